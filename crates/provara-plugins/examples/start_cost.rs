//! What the sandbox costs: the time from nothing to a plugin host's first answer, with and without
//! them, in pairs so that a noisy machine disturbs both alike.
//!
//! `cargo run --release -p provara-plugins --example start_cost [PAIRS]`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use provara_plugins::environment::Environment;
use provara_plugins::host::{Host, HostOptions, Validating};
use provara_plugins::launch::maybe_become_launcher;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::SandboxMode;

fn start(runtime: &Runtime, sandbox: SandboxMode) -> Duration {
    // The stand-in of the tests: what the real host imports is the same on both sides.
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_host");
    let version = PathBuf::from(format!("/version-{}", env!("CARGO_PKG_VERSION")));
    let mut options = HostOptions::new(runtime.clone());
    options.sandbox = sandbox;
    options.environment = Environment {
        python_path: vec![fake, version],
        ..Environment::default()
    };
    let started = Instant::now();
    let host = Host::start(Validating, options).expect("the stand-in starts");
    let took = started.elapsed();
    host.finish().expect("the stand-in ends");
    took
}

fn main() {
    maybe_become_launcher();
    let pairs = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let runtime = Runtime::find().expect("there is a Python");
    let mut off = Vec::new();
    let mut added = Vec::new();
    for _ in 0..pairs {
        let without = start(&runtime, SandboxMode::Off);
        let with = start(&runtime, SandboxMode::Auto);
        off.push(without.as_secs_f64() * 1e3);
        added.push((with.as_secs_f64() - without.as_secs_f64()) * 1e3);
    }
    off.sort_by(f64::total_cmp);
    added.sort_by(f64::total_cmp);
    let median = |all: &[f64]| all.get(all.len() / 2).copied().unwrap_or_default();
    println!(
        "start without it     {:7.2} ms (median of {pairs})",
        median(&off)
    );
    println!(
        "added by the sandbox {:7.2} ms (median of the differences)",
        median(&added)
    );
}
