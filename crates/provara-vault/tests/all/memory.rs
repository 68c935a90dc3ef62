//! What a machine remembers of a vault, and what it says when that comes back another.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::disk::{EIO, Failing};
use crate::common::{Fixture, codes, copy, note, picture, strict};
use provara_core::finding::Report;
use provara_vault::{
    BackupOptions, BatchOptions, LogWriter, MergeOptions, MergeOrder, RestoreOptions, Vault,
    VaultError, VerifyOptions, Which, forget, layout, remembered, restore,
};

/// The same vault with memory in the state directory of the fixture.
fn with_memory(fixture: &Fixture, vault: &Path) -> Vault {
    Vault::open(vault)
        .unwrap()
        .with_state_directory(fixture.state())
        .with_memory(true)
}

fn home() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let vault = with_memory(&fixture, fixture.vault.path());
    (fixture, vault)
}

fn verify(vault: &Vault) -> Report {
    vault.verify(&VerifyOptions::default()).unwrap()
}

#[track_caller]
fn silent(vault: &Vault) -> Report {
    let report = vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    report
}

#[track_caller]
fn warned(vault: &Vault, code: &str) -> String {
    let report = verify(vault);
    assert!(report.is_valid(), "{:?}", report.findings());
    assert_eq!(codes(&report), [code], "{:?}", report.findings());
    assert!(!vault.verify(&strict()).unwrap().is_valid());
    report.findings()[0].message.clone()
}

/// How many events are remembered at the path of the vault.
fn size(fixture: &Fixture, vault: &Vault) -> Option<u64> {
    let (list, damaged) = remembered(&fixture.state()).unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
    let at = list.iter().find(|it| it.path == vault.path());
    at.map(|it| it.event_count)
}

/// Puts what is at `from` in the place of `to`, as somebody does with a copy.
fn put(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    for (path, _, bytes) in picture(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::write(&target, bytes).unwrap();
        }
    }
}

fn append(fixture: &Fixture, vault: &Vault, actor: &str) {
    vault
        .clone()
        .append(&note(actor, "x"), &fixture.keyfile)
        .unwrap();
}

#[test]
fn what_comes_back_while_it_is_looked_at_warns_nobody() {
    let (fixture, vault) = home();
    let earlier = copy(&vault, &fixture.outside().join("earlier"));
    append(&fixture, &vault, "a");
    let whole = copy(&vault, &fixture.outside().join("whole"));
    put(earlier.path(), vault.path());
    let (from, to) = (whole.path().to_owned(), vault.path().to_owned());
    let is_back = AtomicBool::new(false);
    // The first word of progress comes when the first look was had.
    let told = vault.clone().with_progress(Arc::new(move |_, _| {
        if !is_back.swap(true, Ordering::Relaxed) {
            put(&from, &to);
        }
        ControlFlow::Continue(())
    }));
    silent(&told);
    assert_eq!(fixture.log(), fs::read(whole.log_path()).unwrap());
}

#[test]
fn an_earlier_state_is_told_until_it_is_accepted() {
    let (fixture, vault) = home();
    silent(&vault);
    assert_eq!(size(&fixture, &vault), Some(2));
    let golden = copy(&vault, &fixture.outside().join("golden"));
    append(&fixture, &vault, "a");
    silent(&vault);
    let newer = copy(&vault, &fixture.outside().join("newer"));

    put(golden.path(), vault.path());
    let message = warned(&vault, "PROVARA_W010");
    assert!(message.contains("1 is not there any more"), "{message}");
    assert_eq!(warned(&vault, "PROVARA_W010"), message, "again and again");
    assert_eq!(size(&fixture, &vault), Some(3));
    // It is the place that is remembered. Elsewhere it is a copy, and a note.
    let elsewhere = with_memory(&fixture, golden.path());
    assert!(
        silent(&elsewhere)
            .notes()
            .join("")
            .contains("had 3 events when")
    );
    // A machine that never saw it knows nothing.
    silent(
        &vault
            .clone()
            .with_state_directory(fixture.outside().join("other")),
    );

    // The later one is a continuation of whatever was there.
    put(newer.path(), vault.path());
    silent(&vault);
    put(golden.path(), vault.path());
    let accepted = vault.accept().unwrap();
    assert!(accepted.report.is_valid());
    assert_eq!(accepted.before[0].event_count, 3);
    assert_eq!(accepted.now.unwrap().event_count, 2);
    assert_eq!(accepted.given_up[0].event_count, 3);
    silent(&vault);
    let again = vault.accept().unwrap();
    assert!(again.given_up.is_empty());
}

#[test]
fn another_vault_in_the_place_of_one() {
    let (fixture, vault) = home();
    silent(&vault);
    let other = Fixture::new();
    put(other.vault.path(), vault.path());
    let message = warned(&vault, "PROVARA_W011");
    let known = fixture.receipt.genesis_event_id.to_string();
    assert!(message.contains(&known), "{message}");
    assert_eq!(vault.accept().unwrap().given_up.len(), 1);
    silent(&vault);
    // Forgotten, nothing is held against anything.
    put(other.vault.path(), vault.path());
    let which = Which::Vault(other.receipt.genesis_event_id);
    assert_eq!(forget(&fixture.state(), &which).unwrap().len(), 1);
    silent(&vault);
}

/// Remembers the vault as `before`, puts `after` in its place, and gives what is said then.
fn replaced(fixture: &Fixture, name: &str, before: &Path, after: &Path) -> Report {
    let place = fixture.outside().join(name);
    fs::create_dir(&place).unwrap();
    put(before, &place);
    let vault = with_memory(fixture, &place)
        .with_state_directory(fixture.outside().join(format!("{name}-state")));
    silent(&vault);
    put(after, &place);
    verify(&vault)
}

/// What happens to vaults that lie on two machines.
#[test]
fn honest_work_elsewhere_warns_nobody_and_a_loss_does() {
    let (fixture, a) = home();
    append(&fixture, &a, "first");
    let old = copy(&a, &fixture.outside().join("old"));
    let b = copy(&a, &fixture.outside().join("b"));
    append(&fixture, &a, "a");
    append(&fixture, &b, "b");
    append(&fixture, &b, "b");
    let merged = |name: &str, append_only| {
        let merged = copy(&a, &fixture.outside().join(name));
        let options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        merged.merge(&b, &fixture.keyfile, &options).unwrap();
        merged
    };
    let (appended, rewritten) = (merged("appended", true), merged("rewritten", false));
    for (name, before, after, code, reordered) in [
        ("grown", &old, &a, "", false),
        ("appended-a", &a, &appended, "", false),
        ("appended-b", &b, &appended, "", true),
        ("rewritten-a", &a, &rewritten, "", false),
        ("rewritten-b", &b, &rewritten, "", true),
        ("both", &appended, &rewritten, "", false),
        ("rolled-back", &a, &old, "PROVARA_W010", false),
        ("forked", &a, &b, "PROVARA_W010", false),
        ("unmerged", &rewritten, &b, "PROVARA_W010", false),
    ] {
        let report = replaced(&fixture, name, before.path(), after.path());
        let expected: Vec<&str> = Some(code).into_iter().filter(|it| !it.is_empty()).collect();
        assert_eq!(codes(&report), expected, "{name}: {:?}", report.findings());
        let notes = report.notes().join("\n");
        assert_eq!(notes.contains("re-ordered"), reordered, "{name}: {notes}");
    }
}

#[test]
fn what_went_back_to_an_earlier_seal_is_told() {
    let (fixture, vault) = home();
    silent(&vault);
    let before = copy(&vault, &fixture.outside().join("before"));
    // The same events, and another seal.
    fs::write(vault.path().join("artifacts/note.txt"), "kept").unwrap();
    let events = vault
        .manifest(Some(&fixture.keyfile))
        .map(|_| silent(&vault).event_count());
    let events = events.unwrap();
    put(before.path(), vault.path());
    let message = warned(&vault, "PROVARA_W010");
    if events == 2 {
        assert!(message.contains("earlier seal"), "{message}");
    }
}

#[test]
fn only_what_verifies_and_is_sealed_is_remembered() {
    let (fixture, vault) = home();
    append(&fixture, &vault, "a");
    let seal = layout::SEAL.map(|file| fs::read(vault.path().join(file)).unwrap());
    append(&fixture, &vault.clone().with_memory(false), "b");
    // As a crash leaves it: the line is durable, and nothing is renamed.
    for (file, bytes) in layout::SEAL.iter().zip(&seal) {
        fs::write(vault.path().join(file), bytes).unwrap();
    }
    assert_eq!(verify(&vault).event_count(), 4);
    assert_eq!(size(&fixture, &vault), Some(3));
    let log = fs::read(vault.log_path()).unwrap();
    fs::write(vault.log_path(), &log[..log.len() - 100]).unwrap();
    verify(&vault);
    assert_eq!(size(&fixture, &vault), Some(3));
    fs::write(vault.log_path(), &log).unwrap();
    append(&fixture, &vault, "c");
    silent(&vault);
    assert_eq!(size(&fixture, &vault), Some(5));
    // Nothing after an error.
    append(&fixture, &vault.clone().with_memory(false), "d");
    fs::write(vault.path().join("phantom"), "x").unwrap();
    assert!(!verify(&vault).is_valid());
    assert_eq!(size(&fixture, &vault), Some(5));
    // And what does not verify is not accepted.
    assert!(vault.accept().unwrap().now.is_none());
    assert_eq!(size(&fixture, &vault), Some(5));
}

#[test]
fn a_record_of_a_verification_is_used_and_misses_nothing() {
    let (fixture, vault) = home();
    let cache = Some(fixture.outside().join("cache"));
    let vault = vault.with_cache_directory(cache).with_record_from(0);
    let warm = |vault: &Vault| {
        let notes = silent(vault).notes().join("");
        notes.contains("verified earlier on this machine")
    };
    let old = copy(&vault, &fixture.outside().join("old"));
    assert!(!warm(&vault));
    for actor in ["a", "b"] {
        append(&fixture, &vault, actor);
        assert!(warm(&vault), "{actor}");
    }
    assert!(warm(&vault));
    assert_eq!(size(&fixture, &vault), Some(4));
    // A record that lacks the root over what is remembered is passed over, and has it from then on.
    let seen_without_the_record = VerifyOptions {
        no_cache: true,
        ..strict()
    };
    append(&fixture, &vault, "c");
    assert!(vault.verify(&seen_without_the_record).unwrap().is_valid());
    let forgetful = vault.clone().with_memory(false);
    append(&fixture, &forgetful, "d");
    assert!(warm(&forgetful));
    assert!(!warm(&vault));
    assert!(warm(&vault));
    assert_eq!(size(&fixture, &vault), Some(6));
    // The log goes on from a seal that is not the latest: the root over what is sealed is kept with the
    // record.
    let seal = layout::SEAL.map(|file| fs::read(vault.path().join(file)).unwrap());
    append(&fixture, &vault.clone().with_memory(false), "c");
    for (file, bytes) in layout::SEAL.iter().zip(&seal) {
        fs::write(vault.path().join(file), bytes).unwrap();
    }
    let notes = |vault: &Vault| verify(vault).notes().join("");
    notes(&vault);
    notes(&vault);
    assert!(notes(&vault).contains("verified earlier on this machine"));
    assert_eq!(size(&fixture, &vault), Some(6));
    // What was put back is found all the same.
    put(old.path(), vault.path());
    warned(&vault, "PROVARA_W010");
}

#[test]
fn a_path_as_typed_and_as_resolved() {
    let (fixture, vault) = home();
    let link = fixture.outside().join("link");
    symlink(vault.path(), &link).unwrap();
    let old = copy(&vault, &fixture.outside().join("old"));
    append(&fixture, &vault, "a");
    silent(&with_memory(&fixture, &link));
    assert_eq!(remembered(&fixture.state()).unwrap().0.len(), 2);
    put(old.path(), vault.path());
    warned(&with_memory(&fixture, &link), "PROVARA_W010");
    warned(&vault, "PROVARA_W010");
    // By whichever name it is accepted.
    assert_eq!(vault.accept().unwrap().given_up.len(), 2);
    silent(&with_memory(&fixture, &link));
    // A stick at a mount point: another directory behind the same name.
    append(&fixture, &vault, "b");
    silent(&with_memory(&fixture, &link));
    fs::remove_file(&link).unwrap();
    symlink(old.path(), &link).unwrap();
    warned(&with_memory(&fixture, &link), "PROVARA_W010");
}

#[test]
fn without_a_usable_state_directory_there_is_a_note() {
    let (fixture, vault) = home();
    let inside = vault.path().join("state/here");
    for directory in [PathBuf::from("/dev/null"), inside.clone()] {
        let vault = vault.clone().with_state_directory(directory);
        let report = silent(&vault);
        let told = |note: &&String| note.contains("remembers of vaults cannot be used");
        assert_eq!(report.notes().iter().filter(told).count(), 1, "{report:?}");
        append(&fixture, &vault, "a");
        assert!(matches!(vault.accept(), Err(VaultError::Memory { .. })));
    }
    assert!(!inside.exists());
    let silent_notes = silent(&vault.clone().with_memory(false));
    assert!(!silent_notes.notes().join("").contains("remembers"));
}

/// A merge that puts events before those that are remembered comes to a log whose beginning is another one. It may
/// be interrupted before that log stands in its place.
#[test]
fn a_merge_that_reorders_is_completed_wherever_it_was_interrupted() {
    let (fixture, vault) = home();
    let other = copy(&vault, &fixture.outside().join("other"));
    append(&fixture, &other, "there");
    for actor in ["a", "b"] {
        append(&fixture, &vault, actor);
    }
    let mut interrupted = 0;
    for call in 0.. {
        let place = fixture.outside().join(format!("here-{call}"));
        copy(&vault, &place);
        let here = with_memory(&fixture, &place);
        silent(&here);
        let failing = here.clone().with_layer(Failing::new(call, EIO, true));
        let options = MergeOptions::default();
        let merged = failing.merge(&other, &fixture.keyfile, &options);
        let left = place.join(layout::MERGE_INTENT).exists();
        if let Ok(receipt) = merged {
            assert!(!left);
            assert_eq!(receipt.order, MergeOrder::Rewritten);
            break;
        }
        interrupted += u32::from(left);
        let repaired = here.repair(Some(&fixture.keyfile), false);
        repaired.unwrap_or_else(|error| panic!("at call {call}: {error}"));
        append(&fixture, &here, "c");
        silent(&here);
    }
    assert!(interrupted > 3, "{interrupted}");
}

/// An intent can be as old as the state that it lies in: it is not completed before that was looked at.
#[test]
fn an_intent_in_an_earlier_state_is_left_as_it_is() {
    let (fixture, vault) = home();
    let place = fixture.outside().join("interrupted");
    let interrupted = (0..50).find_map(|call| {
        let copy = copy(&vault, &place);
        fs::write(copy.path().join("artifacts/note.txt"), "kept").unwrap();
        let failing = copy.with_layer(Failing::new(call, EIO, true));
        let done = failing.manifest(Some(&fixture.keyfile));
        let left = place.join(layout::MERGE_INTENT).exists();
        if done.is_err() && left {
            return Some(failing);
        }
        fs::remove_dir_all(&place).unwrap();
        None
    });
    let interrupted = interrupted.expect("a call after which the intent is there");
    append(&fixture, &vault, "a");
    silent(&vault);
    put(interrupted.path(), vault.path());
    let before = picture(vault.path());
    let refusals = [
        vault.append(&note("a", "x"), &fixture.keyfile).err(),
        vault.manifest(Some(&fixture.keyfile)).err(),
        vault.repair(Some(&fixture.keyfile), false).err(),
    ];
    for refusal in refusals {
        let refused = matches!(refusal, Some(VaultError::NotAsRemembered { .. }));
        assert!(refused, "{refusal:?}");
    }
    assert_eq!(picture(vault.path()), before, "nothing was changed");
    // An owner who knows why. What the command comes to is not remembered before it stands there.
    let accepted = vault.accept().unwrap();
    assert!(accepted.now.is_some() && accepted.unsettled);
    assert_eq!(size(&fixture, &vault), None);
    verify(&vault);
    assert_eq!(size(&fixture, &vault), None);
    append(&fixture, &vault, "b");
    silent(&vault);
}

#[test]
fn who_makes_a_vault_says_what_was_given_up() {
    let (fixture, vault) = home();
    let archive = fixture.outside().join("old.tar");
    vault.backup(&archive, BackupOptions::default()).unwrap();
    append(&fixture, &vault, "a");
    silent(&vault);
    let keys = fs::read(&fixture.receipt.keyfile).unwrap();
    fs::remove_dir_all(vault.path()).unwrap();
    restore(&archive, vault.path(), RestoreOptions::default()).unwrap();
    let notes = vault.remember_as_made();
    assert!(notes[0].contains("3 events"), "{notes:?}");
    silent(&vault);
    fs::write(&fixture.receipt.keyfile, keys).unwrap();
    assert!(vault.remember_as_made().is_empty());
}

/// Many write and many look, by two names: what a writer is in the middle of is never taken for a loss.
#[test]
fn writers_at_work_are_never_taken_for_a_loss() {
    let (fixture, vault) = home();
    let link = fixture.outside().join("link");
    symlink(vault.path(), &link).unwrap();
    silent(&with_memory(&fixture, &link));
    let done = AtomicBool::new(false);
    let verified = thread::scope(|scope| {
        let look = |name: PathBuf| {
            let (fixture, done) = (&fixture, &done);
            scope.spawn(move || {
                let vault = with_memory(fixture, &name);
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    let report = verify(&vault);
                    let warnings = codes(&report);
                    assert!(!warnings.iter().any(|it| it.contains("W01")), "{report:?}");
                    assert!(report.is_valid(), "{report:?}");
                    assert!(
                        !report.notes().join("").contains("re-ordered"),
                        "{report:?}"
                    );
                    count += 1;
                }
                count
            })
        };
        let readers = [
            look(link.clone()),
            look(vault.path().to_owned()),
            look(link.clone()),
        ];
        let writers: Vec<_> = (0..3)
            .map(|n| {
                let (fixture, link) = (&fixture, &link);
                scope.spawn(move || {
                    let name = if n == 0 { link } else { fixture.vault.path() };
                    let vault = with_memory(fixture, name);
                    for _ in 0..15 {
                        append(fixture, &vault, &format!("actor{n}"));
                    }
                    let mut batch = LogWriter::open_with(&vault, &fixture.keyfile)
                        .unwrap()
                        .batch(&fixture.keyfile, BatchOptions::default());
                    for round in 0..5 {
                        let requests = (0..20).map(|i| note("many", &format!("{round} {i}")));
                        batch.append(requests.collect()).unwrap();
                    }
                    batch.finish().unwrap();
                })
            })
            .collect();
        let writers: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|it| it.unwrap());
        readers.map(|it| it.join().unwrap())
    });
    assert!(verified.iter().all(|count| *count > 0), "{verified:?}");
    assert_eq!(silent(&vault).event_count(), 2 + 3 * 115);
    assert_eq!(size(&fixture, &vault), Some(2 + 3 * 115));
}
