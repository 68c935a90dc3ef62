//! The raw limits of this machine that the benchmarks stand beside: what the primitives and the disk
//! give when nothing else is done.
//!
//! `limits FILE DIRECTORY` prints one JSON object: single Ed25519 verifications and signatures a second
//! on all cores (over messages as long as the lines of FILE on average), SHA-256 over FILE on one core
//! in bytes a second, and the median seconds of a bare write and sync in DIRECTORY. `limits --once
//! BYTES DIRECTORY` does that write and sync once, for a line of so many bytes: to be timed as a process.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use provara_core::keys::SigningKey;
use sha2::{Digest, Sha256};

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match (words.as_slice(), words.get(1).map(|word| word.parse())) {
        (["--once", _, directory], Some(Ok(line))) => {
            write_and_sync(Path::new(directory), line).map(|()| String::new())
        }
        ([file, directory], _) => measure(Path::new(file), Path::new(directory)),
        _ => {
            eprintln!("usage: limits FILE DIRECTORY | limits --once BYTES DIRECTORY");
            exit(2);
        }
    };
    match done {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("limits: {error}");
            exit(1);
        }
    }
}

fn measure(file: &Path, directory: &Path) -> std::io::Result<String> {
    let bytes = fs::read(file)?;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count().max(1);
    let message = vec![b'x'; bytes.len() / lines];
    let cores = thread::available_parallelism()?.get();
    let key = SigningKey::from_seed(&[7; 32]);
    let (public, signature) = (key.public(), key.sign(&message));
    let verify = rate(cores, || {
        black_box(
            public
                .verify(black_box(&message), black_box(&signature))
                .is_ok(),
        );
    });
    let sign = rate(cores, || {
        black_box(key.sign(black_box(&message)));
    });
    let begin = Instant::now();
    black_box(Sha256::digest(&bytes));
    let sha256 = bytes.len() as f64 / begin.elapsed().as_secs_f64();
    let sync = median(30, || write_and_sync(directory, message.len()))?;
    Ok(format!(
        "{{\"cores\":{cores},\"message_bytes\":{},\"verify_per_s\":{verify:.0},\"sign_per_s\":{sign:.0},\
         \"sha256_bytes_per_s\":{sha256:.0},\"write_sync_s\":{sync:.6}}}\n",
        message.len()
    ))
}

/// How often `work` is done a second, on `threads` threads together.
fn rate(threads: usize, work: impl Fn() + Sync) -> f64 {
    let begin = Instant::now();
    let counts: Vec<u64> = thread::scope(|scope| {
        let run = || {
            let mut count = 0u64;
            while begin.elapsed() < SPAN {
                for _ in 0..100 {
                    work();
                }
                count += 100;
            }
            count
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    counts.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64()
}

/// What an append must at least do: a line at the end of a log and the three files of the seal, each
/// written and synced.
fn write_and_sync(directory: &Path, line: usize) -> std::io::Result<()> {
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("log"))?;
    log.write_all(&vec![b'x'; line])?;
    log.sync_data()?;
    for (name, size) in [
        ("manifest.json", 1400),
        ("merkle_root.txt", 65),
        ("manifest.sig", 290),
    ] {
        let mut file = File::create(directory.join(name))?;
        file.write_all(&vec![b'x'; size])?;
        file.sync_all()?;
    }
    Ok(())
}

fn median(runs: usize, mut work: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begin = Instant::now();
        work()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[runs / 2])
}
