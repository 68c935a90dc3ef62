//! A process that has used up its descriptors or can have no thread: what a batch acknowledges is in
//! the log, the seal never leads, and what is read is the same.

use std::env;
use std::fs::File;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::{Fixture, note, verifies};
use provara_vault::{AppendRequest, BatchOptions, LogWriter, VaultError, VerifyOptions};

/// Set for a process of its own.
const ALONE: &str = "PROVARA_TEST_ALONE";

/// Runs `test` once more in a process of its own, in which `limit` (of a shell) holds, unless this is
/// it; gives whether it is. A limit concerns all tests of a process.
fn alone(test: &str, limit: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("{limit} && exec \"$0\" --exact starved::{test}"),
        ])
        .arg(env::current_exe().unwrap())
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    false
}

fn requests(count: usize) -> Vec<AppendRequest<'static>> {
    (0..count)
        .map(|number| note("a", &number.to_string()))
        .collect()
}

#[test]
fn without_a_descriptor_the_seal_lags_and_never_leads() {
    let test = "without_a_descriptor_the_seal_lags_and_never_leads";
    if !alone(test, "ulimit -n 64") {
        return;
    }
    let fixture = Fixture::new();
    let options = BatchOptions {
        group: 4,
        seal_interval: Duration::MAX,
        ..BatchOptions::default()
    };
    let writer = LogWriter::open(&fixture.vault).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options);
    let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(all.len() < 64);
    // Writing needs none; a new seal does.
    batch.append(requests(10)).unwrap();
    let error = batch.finish().unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::BatchEnded {
                durable: 10,
                sealed: 0,
                ..
            }
        ),
        "{error}"
    );
    assert!(batch.take_receipts().is_empty());
    drop(all);
    assert!(matches!(batch.finish(), Err(VaultError::Stopped)));
    drop(batch);
    let receipt = fixture
        .vault
        .append(&note("a", "after"), &fixture.keyfile)
        .unwrap();
    assert_eq!(receipt.line, 13);
    assert_eq!(verifies(&fixture.vault), 13);
}

#[test]
fn without_a_thread_the_batch_is_written_all_the_same() {
    // No address space has room for such a stack.
    let test = "without_a_thread_the_batch_is_written_all_the_same";
    if !alone(test, "export RUST_MIN_STACK=1125899906842624") {
        return;
    }
    assert!(thread::Builder::new().spawn(|| ()).is_err());
    let fixture = Fixture::new();
    let options = BatchOptions {
        group: 300,
        ..BatchOptions::default()
    };
    let receipts = fixture
        .vault
        .append_many(requests(1000), &fixture.keyfile, options)
        .unwrap();
    assert_eq!(receipts.len(), 1000);
    let log = String::from_utf8(fixture.log()).unwrap();
    for receipt in &receipts {
        let line = log.lines().nth(receipt.line as usize - 1);
        assert_eq!(line, Some(receipt.event_json.as_str()));
    }
}

#[test]
fn without_a_thread_a_vault_is_verified_and_replayed_all_the_same() {
    let test = "without_a_thread_a_vault_is_verified_and_replayed_all_the_same";
    if !alone(test, "export RUST_MIN_STACK=1125899906842624") {
        return;
    }
    assert!(thread::Builder::new().spawn(|| ()).is_err());
    let fixture = Fixture::new();
    let many = (0..1500).map(|_| note("a", &"x".repeat(600))).collect();
    fixture
        .vault
        .append_many(many, &fixture.keyfile, BatchOptions::default())
        .unwrap();
    let events = 1502;
    assert!(fixture.log().len() > 4 * (256 << 10), "several ranges");
    let options = VerifyOptions {
        threads: Some(3),
        ..VerifyOptions::default()
    };
    let examination = fixture.vault.examine(&options).unwrap();
    assert!(examination.report().is_valid());
    assert_eq!(examination.report().event_count(), events);
    let log = examination.verified().unwrap();
    assert_eq!(log.beliefs().unwrap().event_count(), events);
    assert_eq!(log.summary().unwrap().event_count, events);
}
