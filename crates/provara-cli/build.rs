//! Links the executable so that it starts quickly: docs/decisions/0018-how-the-executable-is-linked.md says
//! what that gains and what it costs. PROVARA_BUILD_PIE leaves all of it to the compiler.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PROVARA_BUILD_PIE");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let gnu = of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if !gnu || env::var_os("PROVARA_BUILD_PIE").is_some() {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-no-pie");
    if of("HOST") == of("TARGET") && compiler_has("libgcc_eh.a") {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the C compiler, which links, has this library.
fn compiler_has(library: &str) -> bool {
    let asked = Command::new("cc")
        .arg(format!("-print-file-name={library}"))
        .output();
    // What it does not find it answers as it was asked.
    asked.is_ok_and(|answer| {
        let path = String::from_utf8_lossy(&answer.stdout);
        Path::new(path.trim()).is_absolute()
    })
}
