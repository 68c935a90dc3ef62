//! The record of a replay: a later one goes on from it to the same state, to the byte, and takes nothing from a record
//! that is damaged, of another version, of another vault or of other bytes.

use std::cell::RefCell;
use std::fs::{self, File, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;

use crate::common::{Fixture, copy, note, request, verifies};
use provara_core::json;
use provara_vault::{
    AppendRequest, BatchOptions, MergeOptions, RedactOptions, SourceLog, Vault, VaultError,
    VerifyOptions,
};

fn keeping(fixture: &Fixture, vault: &Vault) -> Vault {
    vault
        .clone()
        .with_cache_directory(Some(fixture.outside().join("cache")))
        .with_record_from(0)
}

fn append(fixture: &Fixture, vault: &Vault, requests: Vec<AppendRequest<'static>>) {
    vault
        .append_many(requests, &fixture.keyfile, BatchOptions::default())
        .unwrap();
}

fn verified(vault: &Vault) -> SourceLog {
    let examination = vault.examine(&VerifyOptions::default()).unwrap();
    examination.verified().expect("valid").into_source()
}

/// The state, and how many bytes of the log it did not read for it.
fn replayed(log: &SourceLog) -> (String, u64) {
    let told = RefCell::new(Vec::new());
    let state = log.beliefs_watched(&|done, _| {
        told.borrow_mut().push(done);
        ControlFlow::Continue(())
    });
    let state = String::from_utf8(state.unwrap().to_json()).unwrap();
    let told = told.into_inner();
    match told[..] {
        // Where nothing follows, nothing is heard.
        [] => (state, log.len()),
        // One range, from the start.
        [_] => (state, 0),
        [from, ..] => (state, from),
    }
}

fn from_the_start(vault: &Vault) -> String {
    replayed(&vault.snapshot().unwrap().unverified()).0
}

/// The state of a vault that verifies, which is that of a replay from the start, and how many bytes were not read.
fn beliefs(vault: &Vault) -> (String, u64) {
    let (state, left_out) = replayed(&verified(vault));
    assert_eq!(state, from_the_start(vault));
    (state, left_out)
}

fn record_of(fixture: &Fixture) -> PathBuf {
    let files = fs::read_dir(fixture.outside().join("cache")).unwrap();
    let mut paths = files.map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|kind| kind == "replayed"))
        .expect("a record")
}

/// Statements about three doors that support, contest, settle and take back each other.
fn statements(seed: usize, count: usize) -> Vec<AppendRequest<'static>> {
    let statement = |number: usize| {
        let dice = ((seed * 31 + number) * 2_654_435_761 % (1 << 32)) >> 7;
        let kind = [
            "OBSERVATION",
            "OBSERVATION",
            "ASSERTION",
            "ATTESTATION",
            "RETRACTION",
            "REDUCER_EPOCH",
        ][dice % 6];
        let value = ["1", "1.0", "true", r#"{"ö":[1e-7]}"#][dice / 6 % 4];
        let (door, confidence) = (dice / 24 % 3, dice / 72 % 5);
        let data = match kind {
            "REDUCER_EPOCH" => format!(r#"{{"epoch_id":"{door}","reducer_hash":"x"}}"#),
            _ => format!(
                r#"{{"subject":"door","predicate":"{door}","value":{value},"confidence":{}}}"#,
                confidence as f64 / 4.0
            ),
        };
        request(kind, ["a", "b"][dice % 2], &data)
    };
    (0..count).map(statement).collect()
}

/// A vault with statements whose replay was recorded.
fn recorded() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let vault = keeping(&fixture, &fixture.vault);
    append(&fixture, &vault, statements(1, 40));
    assert_eq!(beliefs(&vault).1, 0);
    (fixture, vault)
}

#[test]
fn a_replay_reads_what_follows_the_recorded_one() {
    let (fixture, vault) = recorded();
    let first = fs::metadata(vault.log_path()).unwrap().len();
    assert_eq!(beliefs(&vault).1, first);
    append(&fixture, &vault, statements(2, 1));
    assert_eq!(beliefs(&vault).1, first);
    // A record is made anew once more is read without it than is written for it.
    append(&fixture, &vault, statements(3, 60));
    let second = fs::metadata(vault.log_path()).unwrap().len();
    assert!(second - first > fs::metadata(record_of(&fixture)).unwrap().len());
    assert_eq!(beliefs(&vault).1, first);
    assert_eq!(beliefs(&vault).1, second);
    // Without a cache directory there is none, nor for a log that is short.
    assert_eq!(beliefs(&fixture.vault).1, 0);
    assert_eq!(beliefs(&vault.clone().with_record_from(u64::MAX)).1, 0);
    let no_cache = VerifyOptions {
        no_cache: true,
        ..VerifyOptions::default()
    };
    let log = vault.examine(&no_cache).unwrap().verified().expect("valid");
    assert_eq!(replayed(&log.into_source()).1, 0);
}

#[test]
fn wherever_the_records_end_the_state_is_that_of_a_replay_from_the_start() {
    for seed in 0..12 {
        let fixture = Fixture::new();
        let vault = keeping(&fixture, &fixture.vault);
        let mut gone_on = 0;
        for group in 0..8 {
            append(
                &fixture,
                &vault,
                statements(seed * 8 + group, 1 + (seed + group) % 9),
            );
            gone_on += usize::from(beliefs(&vault).1 > 0);
        }
        assert_eq!(gone_on, 7, "all but the first");
    }
}

#[test]
fn a_record_that_is_damaged_or_of_another_version_counts_for_nothing() {
    let (fixture, vault) = recorded();
    let path = record_of(&fixture);
    let good = fs::read(&path).unwrap();
    let mut records: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 31], [&good[..], b"x"].concat()];
    records.extend((0..good.len()).step_by(5).map(|cut| good[..cut].to_vec()));
    records.extend((0..good.len()).step_by(3).map(|at| {
        let mut damaged = good.clone();
        damaged[at] ^= 1 << (at % 8);
        damaged
    }));
    // Sound in itself, but of a format or a version to come.
    let content = &good[..good.len() - 32];
    let sealed = |content: &[u8]| [content, blake3::hash(content).as_bytes()].concat();
    assert_eq!(sealed(content), good);
    let domain = b"provara replay 1 ";
    assert!(content.starts_with(domain));
    let later = content[domain.len()..].to_vec();
    records.push(sealed(&[&b"provara replay 2 "[..], &later].concat()));
    let mut version = content.to_vec();
    version[domain.len() + 8] = b'9';
    records.push(sealed(&version));
    records.push(sealed(&content[..content.len() - 1]));
    records.push(sealed(&[content, b"x"].concat()));
    let log = verified(&vault);
    let expected = from_the_start(&vault);
    for record in records {
        fs::write(&path, &record).unwrap();
        assert_eq!(replayed(&log), (expected.clone(), 0));
        // And a good one is in its place.
        assert_eq!(fs::read(&path).unwrap().len(), good.len());
        assert_eq!(replayed(&log), (expected.clone(), log.len()));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(replayed(&log), (expected.clone(), 0));
}

#[test]
fn a_record_that_others_may_write_or_that_stands_elsewhere_counts_for_nothing() {
    let (fixture, vault) = recorded();
    let path = record_of(&fixture);
    let elsewhere = fixture.outside().join("elsewhere");
    fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
    assert_eq!(beliefs(&vault).1, 0);
    let length = fs::metadata(vault.log_path()).unwrap().len();
    assert_eq!(beliefs(&vault).1, length, "it was made anew");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(beliefs(&vault).1, 0);
    assert!(!path.is_symlink());
    // A cache inside the vault would be the vault's to write.
    let inside = vault.path().join("cache");
    let within = vault.clone().with_cache_directory(Some(inside.clone()));
    for _ in 0..2 {
        assert_eq!(beliefs(&within).1, 0);
    }
    assert!(!inside.exists());
}

#[test]
fn where_nothing_can_be_recorded_a_replay_is_one_from_the_start() {
    let (fixture, vault) = recorded();
    let occupied = fixture.outside().join("occupied");
    fs::write(&occupied, "a file").unwrap();
    for directory in [occupied.join("cache"), occupied, "/proc/1/cache".into()] {
        let vault = vault.clone().with_cache_directory(Some(directory));
        for _ in 0..2 {
            assert_eq!(beliefs(&vault).1, 0);
        }
    }
}

#[test]
fn a_record_of_another_vault_counts_for_nothing() {
    let (fixture, vault) = recorded();
    let record = fs::read(record_of(&fixture)).unwrap();
    // The same bytes at another place, whose record somebody put there.
    let other = copy(&vault, &fixture.outside().join("other"));
    let other = other
        .with_cache_directory(Some(fixture.outside().join("other-cache")))
        .with_record_from(0);
    assert_eq!(beliefs(&other).1, 0);
    let files = fs::read_dir(fixture.outside().join("other-cache")).unwrap();
    let path = files
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "replayed"))
        .unwrap();
    fs::write(&path, record).unwrap();
    assert_eq!(beliefs(&other).1, 0);
}

#[test]
fn a_log_with_another_history_is_replayed_from_the_start() {
    let (fixture, vault) = recorded();
    let earlier = copy(&vault, &fixture.outside().join("earlier"));
    append(&fixture, &vault, statements(5, 60));
    beliefs(&vault);
    let length = fs::metadata(vault.log_path()).unwrap().len();
    assert_eq!(beliefs(&vault).1, length);
    // Put back, it is shorter than what was recorded; then as long, with other events.
    fs::remove_dir_all(vault.path()).unwrap();
    copy(&earlier, vault.path());
    assert_eq!(beliefs(&vault).1, 0);
    append(&fixture, &vault, statements(6, 60));
    let record = fs::read(record_of(&fixture)).unwrap();
    beliefs(&vault);
    assert_ne!(fs::read(record_of(&fixture)).unwrap(), record);
    fs::remove_dir_all(vault.path()).unwrap();
    copy(&earlier, vault.path());
    append(&fixture, &vault, statements(7, 90));
    assert_eq!(beliefs(&vault).1, 0, "other events at the same place");
}

#[test]
fn what_a_redaction_or_a_merge_changed_is_replayed_from_the_start() {
    let (fixture, vault) = recorded();
    let path = record_of(&fixture);
    let other = copy(&vault, &fixture.outside().join("other"));
    append(&fixture, &other, vec![note("c", "1"), note("c", "2")]);
    let events: Vec<_> = fixture
        .log()
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let event = json::parse(&events[20]).unwrap();
    let id = event
        .get("event_id")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let options = RedactOptions {
        reason: "asked".to_owned(),
        ..RedactOptions::default()
    };
    vault.redact(id, &fixture.keyfile, &options).unwrap();
    assert!(
        !path.exists(),
        "it may hold what is to be gone, as a checkpoint may"
    );
    assert_eq!(beliefs(&vault).1, 0);
    append(&fixture, &vault, statements(10, 1));
    assert!(beliefs(&vault).1 > 0);
    // Events of the other go between those that are there.
    append(&fixture, &vault, statements(11, 5));
    beliefs(&vault);
    vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    verifies(&vault);
    assert_eq!(beliefs(&vault).1, 0);
}

#[test]
fn nothing_is_taken_for_a_log_that_nobody_verified() {
    let (_fixture, vault) = recorded();
    assert_eq!(replayed(&vault.snapshot().unwrap().unverified()).1, 0);
    // Nor for one that does not verify.
    let mut log = fs::read(vault.log_path()).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(vault.log_path(), log).unwrap();
    let examination = vault.examine(&VerifyOptions::default()).unwrap();
    assert!(examination.verified().is_err());
}

/// A log that is mapped, whose parts the verification hashed.
#[test]
fn a_large_log_is_gone_on_from_and_is_refused_once_it_is_edited() {
    let fixture = Fixture::new();
    let vault = keeping(&fixture, &fixture.vault);
    let text = "x".repeat(1 << 20);
    for _ in 0..18 {
        append(&fixture, &vault, vec![note("a", &text)]);
    }
    append(&fixture, &vault, statements(1, 40));
    let first = fs::metadata(vault.log_path()).unwrap().len();
    assert!(first > 17 << 20);
    // What is heard first is of the first range.
    assert!(beliefs(&vault).1 < 2 << 20);
    append(&fixture, &vault, statements(2, 3));
    assert_eq!(beliefs(&vault).1, first);
    let log = verified(&vault);
    let file = File::options().write(true).open(vault.log_path()).unwrap();
    file.write_all_at(b"y", 9 << 20).unwrap();
    let error = log.beliefs().unwrap_err();
    assert!(matches!(error, VaultError::LogChanged { .. }), "{error}");
}

#[test]
fn a_record_of_as_many_other_bytes_is_not_taken() {
    let fixture = Fixture::new();
    let vault = keeping(&fixture, &fixture.vault);
    append(&fixture, &vault, statements(1, 3));
    let before = copy(&fixture.vault, &fixture.outside().join("before"));
    let say = |text: &str| {
        let data = format!(r#"{{"subject":"door","predicate":"last","value":"{text}"}}"#);
        append(&fixture, &vault, vec![request("OBSERVATION", "a", &data)]);
    };
    let length = || fs::metadata(fixture.vault.log_path()).unwrap().len();
    say("this");
    beliefs(&vault);
    let (state, left_out) = beliefs(&vault);
    assert!(state.contains("this") && left_out == length());
    // The vault as it was before, and something else said there.
    fs::remove_dir_all(fixture.vault.path()).unwrap();
    copy(&before, fixture.vault.path());
    say("that");
    assert_eq!(left_out, length());
    let (state, left_out) = beliefs(&vault);
    assert!(state.contains("that") && left_out == 0, "{left_out}");
}
