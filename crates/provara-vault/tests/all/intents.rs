//! What a command leaves that changes several files: whatever a crash kept of it, the next one goes forward
//! from it; and nobody without a key of the vault makes one that anything follows from.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::crash::{Change, Disk, Files, Recording, below, files_of, place};
use crate::common::{Fixture, codes, copy, list_key, note, picture, strict, verifies};
use provara_core::canonical::jcs;
use provara_core::finding::{Report, Severity};
use provara_core::id::Digest;
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_vault::{
    AdoptOptions, BackupOptions, MergeOptions, RedactOptions, RestoreOptions, Vault, VaultError,
    VerifyOptions, restore,
};

const INTENT: &str = ".provara-merge.json";
const SECRET: &str = "what nobody may read again";

/// Runs `operation`; gives the files before it and every change that it made.
fn recorded(vault: &Vault, operation: impl FnOnce(&Vault)) -> (Files, Vec<Change>) {
    let start = files_of(vault.path());
    let layer = Arc::new(Recording::default());
    operation(&vault.clone().with_layer(layer.clone()));
    let changes = std::mem::take(&mut layer.0.lock().unwrap().changes);
    (start, below(changes, vault.path()))
}

fn errors(report: &Report) -> Vec<String> {
    let findings = report.findings().iter();
    findings
        .filter(|finding| finding.severity == Severity::Error)
        .map(ToString::to_string)
        .collect()
}

/// Tries every state that a crash may leave of `operation`, and one more command after it. `fault` is what is
/// wrong before the operation begins, and its user's doing.
fn survives(
    fixture: &Fixture,
    operation: impl FnOnce(&Vault),
    fault: fn(&str) -> bool,
    forbidden: Option<&str>,
) -> usize {
    let (start, changes) = recorded(&fixture.vault, operation);
    let acknowledged: Vec<String> =
        String::from_utf8(start[Path::new("events/events.ndjson")].clone())
            .unwrap()
            .lines()
            .map(|line| line[line.find("\"event_id\"").unwrap()..][..43].to_owned())
            .collect();
    let mut disk = Disk::of(start.clone());
    let mut points = vec![disk.clone()];
    for change in &changes {
        disk.apply(change);
        points.push(disk.clone());
    }
    let mut seen = BTreeSet::new();
    for (point, disk) in points.iter().enumerate() {
        for files in disk.states() {
            if !seen.insert(files.clone()) {
                continue;
            }
            let what =
                |words: &str| format!("after change {point} {:?}: {words}", changes.get(point));
            let began = files.contains_key(Path::new(INTENT));
            let (_directory, vault) = place(&files);
            let report = vault.verify(&VerifyOptions::default()).unwrap();
            let found = errors(&report);
            let excused = !began && found.iter().all(|error| fault(error));
            // Staged files that no intent names yet are none.
            assert!(found.is_empty() || excused, "{}", what(&found.join("; ")));
            if point % 2 == 0 {
                let repaired = vault.repair(Some(&fixture.keyfile), false);
                repaired.unwrap_or_else(|error| panic!("{}", what(&error.to_string())));
                let again = vault.repair(Some(&fixture.keyfile), true).unwrap();
                assert!(again.steps.is_empty(), "{:?}", again.steps);
            }
            let appended = vault.append(&note("next", "writer"), &fixture.keyfile);
            appended.unwrap_or_else(|error| panic!("{}", what(&error.to_string())));
            assert!(!vault.path().join(INTENT).exists());
            let report = vault.verify(&strict()).unwrap();
            let found = errors(&report);
            let excused = found.iter().all(|error| fault(error));
            assert!(report.is_valid() || excused, "{}", what(&found.join("; ")));
            let log = fs::read_to_string(vault.log_path()).unwrap();
            for id in &acknowledged {
                assert!(log.contains(id), "{}", what("an event is gone"));
            }
            if let Some(text) = forbidden.filter(|text| !log.contains(*text)) {
                let holds = |(path, _, bytes): &(PathBuf, u32, Vec<u8>)| {
                    path.is_file() && memchr::memmem::find(bytes, text.as_bytes()).is_some()
                };
                let root = vault.path().parent().unwrap();
                let found = picture(root).into_iter().find(holds);
                assert!(found.is_none(), "{:?}", found.unwrap().0);
            }
        }
    }
    println!("{} states after {} changes", seen.len(), changes.len());
    seen.len()
}

fn never(_: &str) -> bool {
    false
}

/// A vault with a few events and a checkpoint.
fn lived_in(fixture: &Fixture) {
    for (actor, text) in [("a", "one"), ("b", SECRET), ("a", "three")] {
        let noted = fixture.vault.append(&note(actor, text), &fixture.keyfile);
        noted.unwrap();
    }
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
}

#[test]
fn a_new_seal_is_carried_on_from_wherever_it_ended() {
    let fixture = Fixture::new();
    lived_in(&fixture);
    fs::write(fixture.file("artifacts/cas/blob"), b"blob").unwrap();
    let seal = |vault: &Vault| drop(vault.manifest(Some(&fixture.keyfile)).unwrap());
    let by_user = |error: &str| error.contains("artifacts/cas/blob");
    assert!(survives(&fixture, seal, by_user, None) > 12);
}

#[test]
fn an_adoption_is_carried_on_from_wherever_it_ended() {
    for fixture in [Fixture::unmarked(true), Fixture::with_quorum()] {
        lived_in(&fixture);
        let adopt = |vault: &Vault| {
            let options = AdoptOptions::default();
            drop(vault.adopt(&fixture.keyfile, &options).unwrap());
        };
        assert!(survives(&fixture, adopt, never, None) > 12);
    }
}

#[test]
fn a_redaction_is_carried_on_from_wherever_it_ended() {
    let fixture = Fixture::new();
    lived_in(&fixture);
    let log = String::from_utf8(fixture.log()).unwrap();
    let line = log.lines().find(|line| line.contains(SECRET)).unwrap();
    let id = json::parse(line.as_bytes()).unwrap();
    let id = id
        .get("event_id")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let redact = |vault: &Vault| {
        let options = RedactOptions {
            reason: "asked".to_owned(),
            ..RedactOptions::default()
        };
        drop(vault.redact(id, &fixture.keyfile, &options).unwrap());
    };
    assert!(survives(&fixture, redact, never, Some(SECRET)) > 12);
}

#[test]
fn a_merge_is_carried_on_from_wherever_it_ended() {
    for append_only in [false, true] {
        let fixture = Fixture::new();
        let other = copy(&fixture.vault, &fixture.outside().join("other"));
        other.append(&note("there", "1"), &fixture.keyfile).unwrap();
        // The other copy is stricter, so that policies change, and the log states it.
        let policy = other.path().join("policies/safety_policy.json");
        let text = fs::read_to_string(&policy).unwrap();
        let stricter = text.replacen("\"offline_allowed\": true", "\"offline_allowed\": false", 1);
        assert_ne!(text, stricter);
        fs::write(&policy, stricter).unwrap();
        other.manifest(Some(&fixture.keyfile)).unwrap();
        lived_in(&fixture);
        let options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        let merge = |vault: &Vault| drop(vault.merge(&other, &fixture.keyfile, &options).unwrap());
        assert!(survives(&fixture, merge, never, None) > 12);
        assert!(verifies(&fixture.vault) >= 8);
    }
}

/// Adopts the vault, and gives its files as they were before with the intent of that.
fn adoption_begun(fixture: &Fixture) -> Files {
    let adopt = |vault: &Vault| {
        let options = AdoptOptions::default();
        drop(vault.adopt(&fixture.keyfile, &options).unwrap());
    };
    let (mut files, changes) = recorded(&fixture.vault, adopt);
    let intent = changes.into_iter().find_map(|change| match change {
        Change::Rename(path, bytes) if path == Path::new(INTENT) => Some(bytes),
        _ => None,
    });
    files.insert(INTENT.into(), intent.unwrap());
    files
}

#[test]
fn readers_judge_what_going_forward_gives() {
    let fixture = Fixture::new();
    lived_in(&fixture);
    let (_directory, vault) = place(&adoption_begun(&fixture));
    let after = files_of(fixture.vault.path());
    let before = picture(vault.path());
    let report = vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    assert_eq!(codes(&report), ["PROVARA_W001"]);
    assert_eq!(report.event_count(), verifies(&fixture.vault));
    let planned = vault.repair(None, true).unwrap();
    assert_eq!(planned.steps.len(), 1, "{:?}", planned.steps);
    let place = vault.path().parent().unwrap();
    let archive = place.join("backup.tar");
    let options = BackupOptions::default();
    vault.backup(&archive, options).unwrap();
    let restored = place.join("restored");
    restore(&archive, &restored, RestoreOptions::default()).unwrap();
    verifies(&Vault::open(&restored).unwrap());
    assert_eq!(picture(vault.path()), before, "a reader wrote");
    // It needs no key: the seal is there already.
    vault.repair(None, false).unwrap();
    assert_eq!(files_of(vault.path()), after);
}

/// An intent of somebody who can write files and has the keys of `own`: the vault becomes `to`.
fn forge(vault: &Vault, to: &Vault) {
    let read = |vault: &Vault, path: &str| fs::read(vault.path().join(path)).unwrap();
    let digest = |bytes: &[u8]| Value::from(Digest::of(bytes).to_string());
    let mut files = Vec::new();
    let staged = "events/.provara-tmp-00112233445566778899aabb";
    let log = "events/events.ndjson";
    if read(vault, log) != read(to, log) {
        fs::write(vault.path().join(staged), read(to, log)).unwrap();
        files.push(json::object([
            ("path", log.into()),
            ("sha256", digest(&read(to, log))),
            ("staged", staged.into()),
            ("was", digest(&read(vault, log))),
        ]));
    }
    for path in ["identity/keys.json", "manifest.json", "merkle_root.txt"] {
        let (old, new) = (read(vault, path), read(to, path));
        if old != new {
            let text = String::from_utf8(new.clone()).unwrap();
            files.push(json::object([
                ("content", text.into()),
                ("path", path.into()),
                ("sha256", digest(&new)),
                ("was", digest(&old)),
            ]));
        }
    }
    let root = |vault: &Vault| {
        let seal = read(vault, "manifest.sig");
        let seal = json::parse(&seal).unwrap().into_owned();
        seal.get("merkle_root")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let seal = String::from_utf8(read(to, "manifest.sig")).unwrap();
    let intent = json::object([
        ("files", Value::Array(files)),
        ("from", root(vault).into()),
        ("operation", "merge".into()),
        ("removed", Value::Array(Vec::new())),
        ("seal", seal.into()),
        ("to", root(to).into()),
        ("type", "provara_intent_v2".into()),
    ]);
    fs::write(vault.path().join(INTENT), jcs(&intent).unwrap()).unwrap();
}

/// Nothing follows from the intent that stands in the vault.
#[track_caller]
fn is_refused(fixture: &Fixture) {
    let before = picture(fixture.vault.path());
    for error in fixture.refusals() {
        assert!(
            matches!(&error, VaultError::Structure { file, .. } if file == INTENT),
            "{error}"
        );
    }
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    let found = codes(&report);
    assert!(found.contains(&"PROVARA_E302".to_owned()), "{found:?}");
    assert_eq!(picture(fixture.vault.path()), before);
}

#[test]
fn an_intent_by_nobody_of_the_vault_brings_nothing_about() {
    let stranger = SigningKey::from_seed(&[77; 32]);
    let own = Keyfile::new(vec![stranger.clone()]);
    type Edit = fn(&Vault, &SigningKey);
    let list_own_key: Edit = list_key;
    let cut_an_event: Edit = |vault, _| {
        let log = fs::read_to_string(vault.log_path()).unwrap();
        let lines: Vec<_> = log.split_inclusive('\n').collect();
        let without = [&lines[..3], &lines[4..]].concat().concat();
        fs::write(vault.log_path(), without).unwrap();
    };
    let both: Edit = |vault, key| {
        let path = vault.path().join("identity/keys.json");
        let mut registry = KeyRegistry::parse(&fs::read(&path).unwrap()).unwrap();
        registry.keys[0].key_id = key.key_id();
        registry.keys[0].public_key = key.public();
        fs::write(&path, registry.to_json()).unwrap();
        let log = fs::read_to_string(vault.log_path()).unwrap();
        let end = log[..log.len() - 1].rfind('\n').unwrap();
        fs::write(vault.log_path(), &log[..=end]).unwrap();
    };
    for marked in [true, false] {
        for edit in [list_own_key, cut_an_event, both] {
            for seals in [true, false] {
                let fixture = match marked {
                    true => Fixture::with_quorum(),
                    false => Fixture::unmarked(true),
                };
                lived_in(&fixture);
                let forged = copy(&fixture.vault, &fixture.outside().join("forged"));
                edit(&forged, &stranger);
                let signature = forged.path().join("manifest.sig");
                let genuine = fs::read(&signature).unwrap();
                crate::common::reseal(&forged, &own.keys()[0]);
                if !seals {
                    fs::write(&signature, genuine).unwrap();
                }
                forge(&fixture.vault, &forged);
                is_refused(&fixture);
            }
        }
    }
}

#[test]
fn a_changed_intent_brings_nothing_else_about() {
    let fixture = Fixture::new();
    lived_in(&fixture);
    let seal = |vault: &Vault| drop(vault.manifest(Some(&fixture.keyfile)).unwrap());
    let (start, changes) = recorded(&fixture.vault, seal);
    let after = files_of(fixture.vault.path());
    let intent = changes.into_iter().find_map(|change| match change {
        Change::Rename(path, bytes) if path == Path::new(INTENT) => Some(bytes),
        _ => None,
    });
    let intent = intent.unwrap();
    let (mut refused, mut accepted) = (0, 0);
    for at in (0..intent.len()).step_by(37) {
        let mut changed = intent.clone();
        changed[at] ^= 1;
        let mut files = start.clone();
        files.insert(INTENT.into(), changed);
        let (_directory, vault) = place(&files);
        match vault.repair(Some(&fixture.keyfile), false) {
            Err(_) => {
                refused += 1;
                files.remove(Path::new(INTENT));
                let mut left = files_of(vault.path());
                left.remove(Path::new(INTENT));
                assert_eq!(left, files, "byte {at}");
            }
            // What says how it began is not held against what is as it was to become.
            Ok(_) => {
                accepted += 1;
                assert_eq!(files_of(vault.path()), after, "byte {at}");
            }
        }
    }
    assert!(refused > 40 && accepted == 0, "{refused} {accepted}");
}

#[test]
fn garbage_in_its_place_is_evidence() {
    let fixture = Fixture::new();
    for text in ["", "{}", "null", "{\"type\":\"provara_intent_v3\"}"] {
        fs::write(fixture.file(INTENT), text).unwrap();
        is_refused(&fixture);
    }
    fs::remove_file(fixture.file(INTENT)).unwrap();
    verifies(&fixture.vault);
}

/// Whoever can write files can put an old state in an intent, or in the place of the files. The seal is genuine,
/// and only memory tells.
#[test]
fn an_old_state_in_an_intent_is_what_memory_is_for() {
    for remembers in [true, false] {
        let fixture = Fixture::new();
        let vault = fixture.vault.clone().with_memory(remembers);
        vault.append(&note("a", "one"), &fixture.keyfile).unwrap();
        let earlier = copy(&vault, &fixture.outside().join("earlier"));
        vault.append(&note("a", "two"), &fixture.keyfile).unwrap();
        forge(&vault, &earlier);
        let before = picture(vault.path());
        let appended = vault.append(&note("a", "three"), &fixture.keyfile);
        if remembers {
            let error = appended.unwrap_err();
            assert!(
                matches!(error, VaultError::NotAsRemembered { .. }),
                "{error}"
            );
            assert_eq!(picture(vault.path()), before);
        } else {
            appended.unwrap();
            assert_eq!(
                verifies(&vault),
                4,
                "a state that the vault was in, and one event"
            );
        }
    }
}

#[test]
fn what_is_no_file_beside_an_intent_is_told_by_its_own_name() {
    let fixture = Fixture::new();
    lived_in(&fixture);
    let (_directory, vault) = place(&adoption_begun(&fixture));
    let seal = vault.path().join("manifest.sig");
    fs::remove_file(&seal).unwrap();
    fs::create_dir(&seal).unwrap();
    let error = vault.verify(&VerifyOptions::default()).unwrap_err();
    assert!(
        matches!(&error, VaultError::Structure { file, .. } if file == "manifest.sig"),
        "{error}"
    );
}
