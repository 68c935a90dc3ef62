//! Many at once: writers in threads and in processes, readers in between, and writers that are
//! killed.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Fixture, codes, note, strict};
use provara_core::json;
use provara_vault::{Vault, VerifyOptions, read_keyfile};

/// Makes this test program a writer: the vault, the actor, and how many events.
const WRITER: &str = "PROVARA_TEST_WRITER";

/// Not a test by itself: what the child processes of the tests below run.
#[test]
fn writer_process() {
    let Ok(job) = std::env::var(WRITER) else {
        return;
    };
    let [path, actor, count] = job.split('|').collect::<Vec<_>>()[..] else {
        panic!("{job}");
    };
    let vault = Vault::open(Path::new(path)).unwrap();
    let keyfile = read_keyfile(&vault.default_keyfile()).unwrap();
    let state = vault.path().with_file_name("state");
    let vault = vault
        .with_state_directory(state)
        .with_lock_timeout(Duration::from_secs(60));
    for number in 0..count.parse().unwrap() {
        let receipt = vault
            .append(&note(actor, &number.to_string()), &keyfile)
            .unwrap();
        println!("\nacknowledged {}", receipt.event_id);
    }
}

fn spawn_writer(fixture: &Fixture, actor: &str, count: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_process", "--nocapture"])
        .env(
            WRITER,
            format!("{}|{actor}|{count}", fixture.vault.path().display()),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a writer acknowledged before it ended or was killed.
fn acknowledged(child: &mut Child) -> Vec<String> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
        .collect()
}

fn assert_holds(fixture: &Fixture, receipts: impl IntoIterator<Item = String>) -> u64 {
    let report = fixture.vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    let snapshot = fixture.vault.snapshot().unwrap();
    let ids: BTreeSet<String> = snapshot
        .lines()
        .map(|line| {
            json::parse(line)
                .unwrap()
                .get("event_id")
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for id in receipts {
        assert!(ids.contains(&id), "{id} was acknowledged and is gone");
    }
    report.event_count()
}

#[test]
fn processes_append_at_once_while_readers_verify() {
    let fixture = Fixture::new();
    let mut writers: Vec<_> = (0..8)
        .map(|n| spawn_writer(&fixture, &format!("actor{}", n % 3), 12))
        .collect();
    let done = AtomicBool::new(false);
    let (receipts, verified) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut verified = 0;
            while !done.load(Ordering::Relaxed) {
                let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
                assert!(report.is_valid(), "{:?}", report.findings());
                let snapshot = fixture.vault.snapshot().unwrap();
                assert!(snapshot.is_empty() || snapshot.bytes().ends_with(b"\n"));
                fixture.vault.snapshot().unwrap().summary().unwrap();
                verified += 1;
            }
            verified
        });
        let receipts: Vec<_> = writers.iter_mut().flat_map(acknowledged).collect();
        done.store(true, Ordering::Relaxed);
        (receipts, reader.join().unwrap())
    });
    assert!(
        writers
            .into_iter()
            .all(|mut writer| writer.wait().unwrap().success())
    );
    assert!(verified > 0);
    assert_eq!(receipts.len(), 96);
    assert_eq!(assert_holds(&fixture, receipts), 98);
}

#[test]
fn a_reader_amid_an_append_verifies_what_is_sealed() {
    let fixture = Fixture::new();
    let sealed = fixture.log();
    let seal = ["manifest.json", "merkle_root.txt", "manifest.sig"]
        .map(|file| (fixture.file(file), fs::read(fixture.file(file)).unwrap()));
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    // As it stands between the write of the log and the renames, with the lock held.
    for (path, bytes) in seal {
        fs::write(path, bytes).unwrap();
    }
    let writer = File::options()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    writer.lock().unwrap();
    let report = fixture.vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    assert_eq!(report.event_count(), 2);
    let beyond = fixture.log().len() - sealed.len();
    assert!(
        report
            .notes()
            .iter()
            .any(|note| note.contains(&format!("{beyond} bytes")))
    );
    // The same with nobody at work is a seal that does not fit.
    writer.unlock().unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_E011"]);
}

#[test]
fn threads_append_at_once() {
    let fixture = Fixture::new();
    let receipts: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Vec<String> {
                    let append = |_| fixture.vault.append(&note("one", "x"), &fixture.keyfile);
                    (0..10)
                        .map(|n| append(n).unwrap().event_id.to_string())
                        .collect()
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let distinct: BTreeSet<_> = receipts.iter().collect();
    assert_eq!(distinct.len(), 40);
    assert_eq!(assert_holds(&fixture, receipts), 42);
}

#[test]
fn killed_writers_lose_nothing_that_they_acknowledged() {
    let fixture = Fixture::new();
    let mut receipts = Vec::new();
    // A machine with much to do comes late to the first event: the next victim is given longer.
    let mut patience = 1;
    for kill in 0..25u64 {
        let mut writer = spawn_writer(&fixture, "victim", 1000);
        // From before the first event to amid the later ones, unevenly.
        thread::sleep(Duration::from_millis(5 + (kill * 37) % 83) * patience);
        writer.kill().unwrap();
        let told = receipts.len();
        receipts.extend(acknowledged(&mut writer));
        patience += u32::from(receipts.len() == told);
        writer.wait().unwrap();
        let receipt = fixture
            .vault
            .append(&note("survivor", "x"), &fixture.keyfile)
            .unwrap();
        receipts.push(receipt.event_id.to_string());
        assert_holds(&fixture, receipts.iter().cloned());
    }
    assert!(receipts.len() > 25, "the victims never came to append");
}

#[test]
fn a_file_that_goes_while_it_is_read_is_no_failure_to_read() {
    let fixture = Fixture::new();
    let leftover = fixture.file(".provara-tmp-0123456789abcdef01234567");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // As a writer does that removes what a killed one left.
            while !done.load(Ordering::Relaxed) {
                fs::write(&leftover, b"left").unwrap();
                thread::sleep(Duration::from_micros(50));
                fs::remove_file(&leftover).unwrap();
            }
        });
        let results: Vec<_> = (0..300)
            .map(|_| fixture.vault.verify(&VerifyOptions::default()))
            .collect();
        done.store(true, Ordering::Relaxed);
        for report in results {
            let report = report.unwrap();
            assert!(report.is_valid() || codes(&report).contains(&"PROVARA_E302".to_owned()));
        }
    });
}

#[test]
fn a_reader_beside_a_writer_takes_what_is_sealed() {
    let fixture = Fixture::new();
    let sealed = fixture.log().len() as u64;
    let path = fixture.file("events/events.ndjson");
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    writer.lock().unwrap();
    (&writer).write_all(b"{\"in\":\"flight\"}\n").unwrap();
    assert_eq!(fixture.vault.snapshot().unwrap().len(), sealed);
    drop(writer);
    assert!(fixture.vault.snapshot().unwrap().len() > sealed);
}
