//! Writers, batches, readers, merges and kills for a long time, in one process and beside it: memory
//! and file descriptors stay where they are. A program of its own, so that what it counts is its own.
//!
//! `cargo test` runs a few seconds of it, `make soak` ten minutes (`SOAK_SECONDS=600`).

#![cfg(target_os = "linux")]

#[path = "endure/yard.rs"]
mod yard;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use provara_core::json;
use provara_vault::{
    AppendRequest, BatchOptions, MergeOptions, Vault, VerifyOptions, read_keyfile,
};

use yard::{Random, Yard, extent, ids, receipts};

/// How long one vault is used.
const ROUND: Duration = Duration::from_secs(4);

/// What is killed, and after how many milliseconds at most: as long as it may take beside the others.
const KILLED: [(&[&str], u64); 4] = [
    (
        &[
            "append",
            "vault",
            "--type",
            "OBSERVATION",
            "--actor",
            "killed",
            "--set",
            "value=1",
            "--json",
        ],
        60,
    ),
    (&["checkpoint", "vault"], 300),
    (&["manifest", "vault"], 120),
    (&["repair", "vault"], 120),
];

/// What this process holds: resident memory in KiB, open descriptors.
fn held() -> (u64, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (memory, fs::read_dir("/proc/self/fd").unwrap().count())
}

fn note(actor: &str, number: u64) -> AppendRequest<'static> {
    let data = format!(r#"{{"number":{number}}}"#);
    AppendRequest {
        event_type: "com.example.soak.note".parse().unwrap(),
        data: json::parse(data.as_bytes()).unwrap().into_owned(),
        actor: actor.to_owned(),
        namespace: None,
        confidence: None,
        key_id: None,
        blind: false,
        idempotency_key: None,
        rounded: 0,
        with_head: false,
    }
}

/// One vault, worked at by everybody until the time is up.
fn round(random: &mut Random, until: Instant) -> u64 {
    let yard = Yard::new();
    let open = |name: &str| {
        Vault::open(&yard.path(name))
            .unwrap()
            .with_state_directory(yard.path("state"))
            .with_cache_directory(Some(yard.path("cache")))
    };
    let keyfile = read_keyfile(&yard.path("vault/identity/private_keys.json")).unwrap();
    let status = std::process::Command::new("cp")
        .args(["-r", "vault", "other"])
        .current_dir(yard.path("."))
        .status()
        .unwrap();
    assert!(status.success());
    let promised = Mutex::new(BTreeSet::new());
    let running = || Instant::now() < until;
    let seed = random.below(u64::MAX);
    thread::scope(|scope| {
        scope.spawn(|| {
            let vault = open("vault");
            for number in (0..).take_while(|_| running()) {
                let receipt = vault.append(&note("single", number), &keyfile).unwrap();
                promised
                    .lock()
                    .unwrap()
                    .insert(receipt.event_id.to_string());
                thread::sleep(Duration::from_millis(5));
            }
        });
        scope.spawn(|| {
            let vault = open("vault");
            while running() {
                let batch = (0..50).map(|number| note("batch", number)).collect();
                let receipts = vault.append_many(batch, &keyfile, BatchOptions::default());
                let ids = receipts.map_err(|rejected| rejected.error).unwrap();
                promised
                    .lock()
                    .unwrap()
                    .extend(ids.iter().map(|one| one.event_id.to_string()));
                thread::sleep(Duration::from_millis(100));
            }
        });
        scope.spawn(|| {
            let (vault, other) = (open("vault"), open("other"));
            for number in (0..).take_while(|_| running()) {
                other.append(&note("elsewhere", number), &keyfile).unwrap();
                let options = MergeOptions {
                    append_only: number % 2 == 0,
                    ..MergeOptions::default()
                };
                vault.merge(&other, &keyfile, &options).unwrap();
                thread::sleep(Duration::from_millis(200));
            }
        });
        scope.spawn(|| {
            let vault = open("vault");
            while running() {
                // A writer that was killed leaves a lag or a torn tail until the next one comes; all
                // else is a fault.
                let report = vault.verify(&VerifyOptions::default()).unwrap();
                let allowed = ["E001", "E008", "E011", "E012", "E104", "E300", "E302"];
                for finding in report.findings() {
                    let code = finding.code.as_str().trim_start_matches("PROVARA_");
                    assert!(
                        code.starts_with('W') || allowed.contains(&code),
                        "{finding}"
                    );
                }
                vault.snapshot().unwrap();
            }
        });
        scope.spawn(|| {
            let mut random = Random(seed);
            while running() {
                let (arguments, most) = KILLED[random.below(KILLED.len() as u64) as usize];
                let mut child = yard
                    .command()
                    .args(arguments)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                thread::sleep(Duration::from_millis(random.below(most)));
                let _ = child.kill();
                let output = child.wait_with_output().unwrap();
                if arguments.contains(&"append") {
                    promised.lock().unwrap().extend(receipts(&output.stdout));
                }
            }
        });
    });
    let vault = open("vault");
    vault.repair(Some(&keyfile), false).unwrap();
    let options = VerifyOptions {
        strict: true,
        ..VerifyOptions::default()
    };
    let report = vault.verify(&options).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    let present: BTreeSet<String> = ids(vault.path()).collect();
    let promised = promised.into_inner().unwrap();
    let lost: Vec<_> = promised.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    promised.len() as u64
}

#[test]
fn nothing_grows_and_nothing_is_lost_over_time() {
    let length = Duration::from_secs(extent("SOAK_SECONDS", 6));
    let start = Instant::now();
    let mut random = Random(extent("SEED", 0x0050_a600));
    let mut samples = Vec::new();
    let mut events = 0;
    while start.elapsed() < length {
        let until = Instant::now() + ROUND.min(length);
        events += round(&mut random, until);
        samples.push(held());
    }
    println!(
        "{events} events in {} rounds; memory and descriptors: {samples:?}",
        samples.len()
    );
    assert!(events > 0);
    // The first rounds fill what stays: allocator, threads' stacks, buffers.
    let warm = samples.len() / 5;
    let (memory, descriptors) = samples[warm];
    for (later, open) in &samples[warm..] {
        assert!(*open <= descriptors + 2, "descriptors grow: {samples:?}");
        assert!(
            *later <= memory + memory / 2 + 16_384,
            "memory grows: {samples:?}"
        );
    }
}
