//! What refusing data costs: `cargo run --release -p provara-plugins --example refusal -- SCHEMA DATA…`.
//!
//! Prints what is wrong with each document, the time that the verdict with its explanation took, and the most
//! memory that the process has held so far.

use std::time::Instant;

use provara_core::json;
use provara_plugins::schema::CompiledSchema;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let schema = std::fs::read_to_string(arguments.next().ok_or("SCHEMA DATA…")?)?;
    let began = Instant::now();
    let schema = CompiledSchema::new("com.example.measured", "1.0", &schema)?;
    println!("compiled in {:?}, {}", began.elapsed(), memory()?);
    for path in arguments {
        let text = std::fs::read(&path)?;
        let data = json::parse(&text)?;
        let began = Instant::now();
        let found = schema.validate(&data);
        let taken = began.elapsed();
        match found {
            Ok(()) => println!("{path}: fits, {taken:?}, {}", memory()?),
            Err(found) => println!("{path}: {taken:?}, {}\n{found}", memory()?),
        }
    }
    Ok(())
}

/// The peak of the resident memory, as Linux tells it.
fn memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    Ok(line.unwrap_or_default().replace('\t', " "))
}
