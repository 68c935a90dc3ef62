//! Many at once: writers in threads and in processes, readers in between, and writers that are
//! killed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Fixture, codes, note, reseal, rotation, strict};
use provara_core::json;
use provara_core::keys::{Keyfile, SigningKey};
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
        .args(["--exact", "concurrency::writer_process", "--nocapture"])
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
                fixture.source().summary().unwrap();
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

/// A vault whose log is longer than its seal by what `write` does to it, with the lock held, as it
/// stands between the write of a log and the renames.
fn amid(fixture: &Fixture, write: impl FnOnce()) -> File {
    let seal = ["manifest.json", "merkle_root.txt", "manifest.sig"]
        .map(|file| (fixture.file(file), fs::read(fixture.file(file)).unwrap()));
    let keys = fs::read(fixture.file("identity/keys.json")).unwrap();
    write();
    for (path, bytes) in seal {
        fs::write(path, bytes).unwrap();
    }
    fs::write(fixture.file("identity/keys.json"), keys).unwrap();
    let writer = File::options()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    writer.lock().unwrap();
    writer
}

/// What a strict report says of the bytes beyond the seal.
fn of_beyond(fixture: &Fixture, events: u64) -> String {
    let report = fixture.vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    assert_eq!(report.event_count(), events);
    let mut notes = report.notes().iter();
    notes
        .find(|note| note.contains("a writer was at work"))
        .unwrap()
        .clone()
}

#[test]
fn a_reader_amid_an_append_verifies_what_is_sealed() {
    let fixture = Fixture::new();
    let sealed = fixture.log().len();
    let mut writer = amid(&fixture, || {
        let noted = fixture.vault.append(&note("a", "x"), &fixture.keyfile);
        noted.unwrap();
    });
    let whole = fixture.log().len() - sealed;
    let said = of_beyond(&fixture, 2);
    assert!(
        said.contains(&format!("{whole} bytes beyond, {whole} are")),
        "{said}"
    );
    // The beginning of the next event, and room for it that was not filled.
    for more in [&b"{\"actor\":"[..], b"\0\0\0\n", b"{}\n"] {
        writer.write_all(more).unwrap();
        let beyond = fixture.log().len() - sealed;
        let said = of_beyond(&fixture, 2);
        let expected = format!("{beyond} bytes beyond, {whole} are");
        assert!(said.contains(&expected), "{said}");
    }
    // The same with nobody at work is a seal that lags.
    writer.set_len((sealed + whole) as u64).unwrap();
    writer.unlock().unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_W001"]);
}

#[test]
fn a_line_end_that_a_writer_adds_is_no_blank_line() {
    let fixture = Fixture::new();
    let length = fixture.log().len() as u64;
    let log = File::options().write(true).open(fixture.vault.log_path());
    log.unwrap().set_len(length - 1).unwrap();
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    let _writer = amid(&fixture, || {
        let noted = fixture.vault.append(&note("a", "x"), &fixture.keyfile);
        noted.unwrap();
    });
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_W006"]);
    let whole = fixture.log().len() as u64 - length;
    let expected = format!("{whole} bytes beyond, {whole} are");
    assert!(report.notes().iter().any(|note| note.contains(&expected)));
}

#[test]
fn a_rotation_amid_its_append_is_no_fault() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    let _writer = amid(&fixture, || {
        for request in rotation(root, &new, quorum) {
            fixture.vault.append(&request, &fixture.keyfile).unwrap();
        }
        let keyfile = Keyfile::new(vec![new.clone()]);
        let noted = fixture.vault.append(&note("new", "x"), &keyfile);
        noted.unwrap();
    });
    let said = of_beyond(&fixture, 2);
    assert!(!said.contains(", 0 are"), "{said}");
}

#[test]
fn a_lock_hides_no_forged_event() {
    let fixture = Fixture::new();
    let sealed = fixture.log();
    let writer = amid(&fixture, || {
        for text in ["one", "two", "three"] {
            let noted = fixture.vault.append(&note("a", text), &fixture.keyfile);
            noted.unwrap();
        }
    });
    let honest = fixture.log();
    assert!(!of_beyond(&fixture, 2).contains(", 0 are"));
    let text = String::from_utf8(honest.clone()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for (log, expected, line) in [
        (text.replace("\"two\"", "\"2wo\""), "PROVARA_E004", 4),
        (text.replace(lines[3], ""), "PROVARA_E006", 4),
        (text.replace(lines[3], "\n"), "PROVARA_E104", 4),
        (format!("{text}{{}}\n"), "PROVARA_E300", 6),
    ] {
        fs::write(fixture.vault.log_path(), log).unwrap();
        let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        let found = |finding: &provara_core::finding::Finding| {
            finding.code.as_str() == expected && finding.line == Some(line)
        };
        assert!(
            !report.is_valid() && report.findings().iter().any(found),
            "{expected}: {:?}",
            report.findings()
        );
        let seal = |finding: &provara_core::finding::Finding| finding.file == "manifest.json";
        assert!(!report.findings().iter().any(seal), "the lag is excused");
    }
    fs::write(fixture.vault.log_path(), &honest).unwrap();
    assert!(of_beyond(&fixture, 2).contains(&format!("{} bytes", honest.len() - sealed.len())));
    drop(writer);
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
