//! The record of a verification: a later one gives the same report, finds whatever was changed since,
//! and takes nothing from a record that is damaged, another's, or of other keys.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Fixture, note, request};
use provara_core::finding::Report;
use provara_core::keys::KeyRegistry;
use provara_core::verify::{KeyDirectory, Sequencer, check_lines};
use provara_vault::{AppendRequest, BatchOptions, Vault, VerifyOptions};

/// A vault with several actors, a rotation and a checkpoint, whose verifications are recorded.
fn recorded() -> (Fixture, Vault) {
    let fixture = Fixture::with_quorum();
    let vault = fixture
        .vault
        .clone()
        .with_cache_directory(Some(fixture.outside().join("cache")))
        .with_record_from(0);
    // After the revocation others speak: a key that is new to an actor would be a warning.
    let actors = ["alice", "b\"ö", "carol", "dave", "eve", "frank"];
    let mut requests: Vec<AppendRequest<'static>> = (0..30)
        .map(|number| note(actors[number % 3 + 3 * (number / 20)], &format!("{number}")))
        .collect();
    requests.insert(20, AppendRequest {
        key_id: fixture.receipt.quorum_key_id,
        ..request("KEY_REVOCATION", "guard", &format!(
            r#"{{"revoked_key_id":"{}","reason":"test","trust_boundary_event_id":null,"revoked_at_utc":"2026-11-22T10:00:00Z"}}"#,
            fixture.receipt.root_key_id
        ))
    });
    vault
        .append_many(requests, &fixture.keyfile, BatchOptions::default())
        .unwrap();
    vault
        .checkpoint(&fixture.keyfile, fixture.receipt.quorum_key_id)
        .unwrap();
    (fixture, vault)
}

fn verify(vault: &Vault) -> Report {
    vault.verify(&VerifyOptions::default()).unwrap()
}

fn cold(vault: &Vault) -> Report {
    vault
        .verify(&VerifyOptions {
            no_cache: true,
            ..VerifyOptions::default()
        })
        .unwrap()
}

const TOLD: &str = "are those that verified earlier on this machine";

fn came_from_the_record(report: &Report) -> bool {
    report.notes().iter().any(|note| note.contains(TOLD))
}

/// The report but for the note of what came from the record.
fn same(warm: &Report, cold: &Report) {
    assert_eq!(
        format!("{:?}", warm.findings()),
        format!("{:?}", cold.findings())
    );
    let notes: Vec<_> = warm
        .notes()
        .iter()
        .filter(|note| !note.contains(TOLD))
        .collect();
    assert_eq!(notes, cold.notes().iter().collect::<Vec<_>>());
    assert_eq!(warm.is_valid(), cold.is_valid());
    assert_eq!(warm.event_count(), cold.event_count());
}

fn record_of(fixture: &Fixture) -> PathBuf {
    fs::read_dir(fixture.outside().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "verified"))
        .expect("a record")
}

#[test]
fn a_later_verification_says_the_same() {
    let (fixture, vault) = recorded();
    let first = verify(&vault);
    assert!(!came_from_the_record(&first));
    assert!(first.is_valid(), "{:?}", first.findings());
    for threads in [None, Some(1), Some(3)] {
        let options = VerifyOptions {
            threads,
            ..VerifyOptions::default()
        };
        let second = vault.verify(&options).unwrap();
        assert!(came_from_the_record(&second));
        same(&second, &first);
    }
    // What follows is checked, and joins the record.
    vault
        .append(&note("dave", "more"), &fixture.keyfile)
        .unwrap();
    let third = verify(&vault);
    assert!(came_from_the_record(&third));
    same(&third, &cold(&vault));
    assert_eq!(third.event_count(), first.event_count() + 1);
    assert!(!came_from_the_record(&cold(&vault)));
    let long_only = vault.clone().with_record_from(u64::MAX);
    assert!(
        !came_from_the_record(&verify(&long_only)),
        "the log is short"
    );
    assert!(
        !came_from_the_record(&verify(&fixture.vault)),
        "no cache directory"
    );
}

#[test]
fn whatever_byte_is_changed_is_found_warm_as_it_is_cold() {
    let (fixture, vault) = recorded();
    verify(&vault);
    let record = fs::read(record_of(&fixture)).unwrap();
    vault
        .append(&note("dave", "beyond the record"), &fixture.keyfile)
        .unwrap();
    let log = fixture.log();
    for at in (0..log.len()).step_by(31) {
        let mut changed = log.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(vault.log_path(), &changed).unwrap();
        let warm = verify(&vault);
        assert!(!warm.is_valid(), "byte {at}");
        same(&warm, &cold(&vault));
        assert_eq!(
            fs::read(record_of(&fixture)).unwrap(),
            record,
            "only what is sound is recorded"
        );
    }
    // A line taken out, a line twice, the last line cut off, lines exchanged.
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let without = |gone: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != gone);
        kept.flat_map(|(_, line)| line.to_vec())
            .collect::<Vec<u8>>()
    };
    let mut exchanged = lines.clone();
    exchanged.swap(5, 6);
    for changed in [
        without(4),
        without(lines.len() - 1),
        [&log[..], lines[7]].concat(),
        [&log[..], b"{\"torn\":"].concat(),
        exchanged.concat(),
        log[..log.len() - 1].to_vec(),
        Vec::new(),
    ] {
        fs::write(vault.log_path(), &changed).unwrap();
        let warm = verify(&vault);
        assert!(!warm.is_valid());
        same(&warm, &cold(&vault));
    }
    fs::write(vault.log_path(), &log).unwrap();
    let warm = verify(&vault);
    assert!(warm.is_valid() && came_from_the_record(&warm));
}

#[test]
fn other_files_are_checked_as_ever() {
    let (fixture, vault) = recorded();
    verify(&vault);
    for name in [
        "identity/genesis.json",
        "identity/keys.json",
        "manifest.json",
        "manifest.sig",
        "merkle_root.txt",
        "policies/safety_policy.json",
    ] {
        let path = fixture.file(name);
        let text = fs::read(&path).unwrap();
        for at in (0..text.len()).step_by(29) {
            let mut changed = text.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            same(&verify(&vault), &cold(&vault));
        }
        fs::remove_file(&path).unwrap();
        let warm = verify(&vault);
        same(&warm, &cold(&vault));
        fs::write(&path, &text).unwrap();
        assert!(verify(&vault).is_valid());
    }
}

#[test]
fn a_damaged_record_or_another_vaults_is_as_good_as_none() {
    let (fixture, vault) = recorded();
    verify(&vault);
    let path = record_of(&fixture);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(23) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        let report = verify(&vault);
        assert!(
            report.is_valid() && !came_from_the_record(&report),
            "byte {at}"
        );
        fs::write(&path, &whole[..at]).unwrap();
        assert!(!came_from_the_record(&verify(&vault)), "cut to {at} bytes");
    }
    let (other, other_vault) = recorded();
    verify(&other_vault);
    fs::copy(record_of(&other), &path).unwrap();
    assert!(!came_from_the_record(&verify(&vault)), "another vault's");
    assert!(came_from_the_record(&verify(&vault)), "it was made anew");
}

#[test]
fn progress_is_told_to_the_end() {
    let (fixture, vault) = recorded();
    let heard = Arc::new(AtomicU64::new(0));
    let ear = Arc::clone(&heard);
    let total = fixture.log().len() as u64;
    let vault = vault.with_progress(Arc::new(move |done, of| {
        assert_eq!(of, total);
        assert!(done >= ear.swap(done, Ordering::Relaxed));
        ControlFlow::Continue(())
    }));
    cold(&vault);
    assert_eq!(heard.load(Ordering::Relaxed), total);
}

/// Saved after any line, restored and fed the rest, a sequencer ends with the verdict of one that was fed
/// the whole log: with findings, too.
#[test]
fn a_sequencer_goes_on_where_it_was_saved() {
    let (fixture, _) = recorded();
    let registry =
        KeyRegistry::parse(&fs::read(fixture.file("identity/keys.json")).unwrap()).unwrap();
    let keys = KeyDirectory::new(&registry);
    let log = fixture.log();
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    // The log itself; one with a duplicate and an event of the revoked key at its end; one that was cut.
    let endings = [Vec::new(), [lines[3], lines[9]].concat(), b"{".to_vec()];
    for ending in endings {
        let log = [&log[..], &ending].concat();
        let mut whole = Sequencer::new(&registry);
        whole.feed(check_lines(&log, 0, &keys));
        // Of what has a fault, or goes on in the middle of a line, no state is kept.
        assert_eq!(whole.save().is_some(), ending.is_empty());
        let whole = format!("{:?}", whole.finish(&registry));
        let mut at = 0;
        for line in &lines {
            at += line.len();
            let mut first = Sequencer::new(&registry);
            first.feed(check_lines(&log[..at], 0, &keys));
            let saved = first.save().expect("no findings so far");
            let mut second = Sequencer::restore(&saved).unwrap();
            assert_eq!(second.save().map(|it| it.len()), Some(saved.len()));
            second.feed(check_lines(&log[at..], at as u64, &keys));
            assert_eq!(format!("{:?}", second.finish(&registry)), whole);
            for cut in 0..saved.len().min(400) {
                assert!(Sequencer::restore(&saved[..cut]).is_none());
            }
        }
    }
}

#[test]
fn a_report_names_the_first_and_the_last_event_with_their_times() {
    let fixture = Fixture::new();
    let appended = fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    let options = VerifyOptions {
        describe: true,
        ..VerifyOptions::default()
    };
    let examined = fixture.vault.examine(&options).unwrap();
    let subject = examined.subject().unwrap();
    assert_eq!(subject.merkle_root, Some(subject.files_merkle_root));
    let last = subject.last_event.as_ref().unwrap();
    assert_eq!(last.event_id, appended.event_id);
    assert_eq!(last.timestamp_utc.as_ref(), Some(&appended.timestamp_utc));
    let first = subject.first_event.as_ref().unwrap();
    let log = String::from_utf8(fixture.log()).unwrap();
    let line = log.lines().next().unwrap();
    let time = format!(
        r#""timestamp_utc":"{}""#,
        first.timestamp_utc.as_ref().unwrap()
    );
    assert!(line.contains(&time) && line.contains(&first.event_id.to_string()));
}

#[test]
fn a_checkpoint_that_was_confirmed_is_confirmed_from_then_on() {
    let (_fixture, vault) = recorded();
    let confirmed = |report: &Report| {
        let mut notes = report.notes().iter();
        notes.any(|note| note.contains("the states of the checkpoints (1)"))
    };
    assert!(!confirmed(&verify(&vault)));
    for _ in 0..3 {
        assert!(confirmed(&verify(&vault)));
    }
}

#[test]
fn a_checkpoint_that_comes_later_joins_the_record() {
    let (fixture, vault) = recorded();
    let quorum = fixture.receipt.quorum_key_id;
    vault
        .append(&note("dave", "more"), &fixture.keyfile)
        .unwrap();
    verify(&vault);
    vault.checkpoint(&fixture.keyfile, quorum).unwrap();
    let confirmed = |report: &Report, count| {
        let text = format!("the states of the checkpoints ({count})");
        let mut notes = report.notes().iter();
        notes.any(|note| note.contains(&text))
    };
    assert!(confirmed(&verify(&vault), 1));
    assert!(confirmed(&verify(&vault), 2));
}

#[test]
fn a_log_that_verified_is_its_bytes() {
    let (fixture, vault) = recorded();
    let examination = vault.examine(&VerifyOptions::default()).unwrap();
    let verified = examination.verified().unwrap();
    assert!(AsRef::<[u8]>::as_ref(&verified) == fixture.log());
}
