//! A batch that takes long lets other writers in between its groups, and goes on from what they left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::common::disk::Beside;
use crate::common::{Fixture, copy, note, picture, request, strict, verifies};
use provara_core::keys::Keyfile;
use provara_vault::{
    AppendRequest, BatchOptions, BatchWriter, ErrorClass, LogWriter, Loss, MergeOptions, Rejected,
    Vault, VaultError, layout,
};

/// Seals and looks at the clock as often as it can.
fn options() -> BatchOptions {
    BatchOptions {
        seal_interval: Duration::ZERO,
        ..BatchOptions::default()
    }
}

fn requests(actor: &str, count: usize) -> Vec<AppendRequest<'static>> {
    (0..count)
        .map(|number| note(actor, &number.to_string()))
        .collect()
}

/// The same vault, for a writer that does not wait.
fn impatient(vault: &Vault) -> Vault {
    vault.clone().with_lock_timeout(Duration::ZERO)
}

/// A batch of three events that lets others in.
fn paused<'v>(vault: &'v Vault, keyfile: &'v Keyfile) -> BatchWriter<'v> {
    let writer = LogWriter::open_with(vault, keyfile).unwrap();
    let mut batch = writer.batch(keyfile, options());
    batch.append(requests("batch", 3)).unwrap();
    batch.pause().unwrap();
    batch
}

#[test]
fn a_batch_that_pauses_lets_others_in_and_goes_on_from_what_they_left() {
    for cached in [false, true] {
        let fixture = Fixture::new();
        let cache = cached.then(|| fixture.outside().join("cache"));
        let vault = fixture.vault.clone().with_cache_directory(cache);
        let other = impatient(&vault);
        let writer = LogWriter::open_with(&vault, &fixture.keyfile).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, options());
        for round in 0..4 {
            batch.append(requests("batch", 3)).unwrap();
            let locked = other.append(&note("other", "x"), &fixture.keyfile);
            assert!(matches!(locked, Err(VaultError::Locked { .. })));
            batch.pause().unwrap();
            // Two rounds in which nobody comes, and two in which the same actor goes on.
            for actor in ["other", "batch"].into_iter().take(round % 3) {
                other.append(&note(actor, "x"), &fixture.keyfile).unwrap();
            }
            // While it is away there is nothing to hold for.
            batch.append(Vec::new()).unwrap();
            batch.pause().unwrap();
            other.verify(&strict()).unwrap();
        }
        let receipt = batch.finish().unwrap();
        assert_eq!((receipt.events, receipt.others), (12, 3));
        let receipts = batch.take_receipts();
        assert_eq!(receipts.last().unwrap().line, receipt.last_line);
        drop(batch);
        let report = vault.verify(&strict()).unwrap();
        assert!(report.is_valid(), "{:?}", report.findings());
        let text = String::from_utf8(fixture.log()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + 12 + 3);
        for receipt in &receipts {
            let line = lines[receipt.line as usize - 1];
            assert!(line.contains(&receipt.event_id.to_string()));
        }
        let ids: BTreeSet<_> = receipts.iter().map(|it| it.event_id).collect();
        assert_eq!(ids.len(), 12);
    }
}

#[test]
fn one_call_with_many_events_lets_others_in() {
    let fixture = Fixture::new();
    let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
    std::thread::scope(|scope| {
        let batch = scope.spawn(|| {
            vault
                .append_many(requests("batch", 60_000), keyfile, options())
                .unwrap()
        });
        let mut between = 0;
        while !batch.is_finished() {
            vault.append(&note("other", "x"), keyfile).unwrap();
            between += 1;
        }
        assert_eq!(batch.join().unwrap().len(), 60_000);
        assert!(between > 2, "{between}");
        let report = vault.verify(&strict()).unwrap();
        assert!(report.is_valid(), "{:?}", report.findings());
        assert_eq!(report.event_count(), 2 + 60_000 + between);
    });
}

/// Longer than the shortest turn.
const A_TURN: Duration = Duration::from_millis(120);

/// A redaction of what no log holds: it is refused, and a batch looks at the clock after it.
fn redaction_of_nothing() -> AppendRequest<'static> {
    let data = format!(r#"{{"target_event_id":"evt_{}"}}"#, "0".repeat(24));
    request("com.provara.redaction", "batch", &data)
}

#[test]
fn one_call_lets_a_waiting_writer_in_when_its_turn_is_over() {
    let fixture = Fixture::new();
    let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
    let writer = LogWriter::open_with(vault, keyfile).unwrap();
    let mut batch = writer.batch(keyfile, options());
    let requests: Vec<_> = (0..30)
        .flat_map(|_| [note("batch", "x"), redaction_of_nothing()])
        .collect();
    let is_in = AtomicBool::new(false);
    let (mut refused, mut after) = (0, 0);
    let line = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let appended = vault.append(&note("other", "x"), keyfile);
            is_in.store(true, Ordering::Release);
            appended.unwrap().line
        });
        let mut refuse = |rejected: Rejected| {
            assert!(matches!(rejected.error, VaultError::RedactionTarget { .. }));
            refused += 1;
            match is_in.load(Ordering::Acquire) {
                true => after += 1,
                false => thread::sleep(A_TURN),
            }
        };
        batch.append_each(requests, &mut refuse).unwrap();
        let receipt = batch.finish().unwrap();
        drop(batch);
        assert_eq!((refused, receipt.events, receipt.others), (30, 30, 1));
        other.join().unwrap()
    });
    assert!(after > 0, "nobody got in");
    // Behind the two events of a new vault and the first of the batch, and before its last.
    assert!((4..2 + 30 + 1).contains(&line), "{line}");
    assert_eq!(verifies(vault), 2 + 30 + 1);
}

#[test]
fn a_turn_ends_by_the_clock_and_not_before() {
    for (seal_interval, ends) in [(Duration::ZERO, true), (Duration::from_secs(3600), false)] {
        let fixture = Fixture::new();
        let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
        let options = BatchOptions {
            seal_interval,
            ..options()
        };
        let mut batch = writer.batch(&fixture.keyfile, options);
        for sealed in [0, usize::from(ends)] {
            batch.append(requests("batch", 1)).unwrap();
            // What was taken before is sealed when others are let in.
            assert_eq!(batch.take_receipts().len(), sealed, "{seal_interval:?}");
            thread::sleep(A_TURN);
        }
        assert_eq!(batch.finish().unwrap().events, 2);
    }
}

#[test]
fn what_is_atomic_or_judged_only_is_one_turn() {
    for atomic in [false, true] {
        let fixture = Fixture::new();
        let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
        let options = BatchOptions {
            atomic,
            dry_run: !atomic,
            ..options()
        };
        let mut batch = writer.batch(&fixture.keyfile, options);
        let before = fixture.log();
        for _ in 0..2 {
            batch.append(requests("batch", 1)).unwrap();
            assert_eq!(fixture.log(), before);
            let other = impatient(&fixture.vault).append(&note("other", "x"), &fixture.keyfile);
            assert!(matches!(other, Err(VaultError::Locked { .. })));
            thread::sleep(A_TURN);
        }
        let receipt = batch.finish().unwrap();
        assert_eq!((receipt.events, receipt.last_line), (2, 4));
        assert_eq!(fixture.log() == before, !atomic);
    }
}

#[test]
fn where_nobody_came_a_batch_goes_on_without_a_look() {
    let fixture = Fixture::new();
    let layer = Beside::new(u32::MAX, || {});
    let vault = fixture.vault.clone().with_layer(layer.clone());
    let writer = LogWriter::open_with(&vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options());
    batch.append(requests("batch", 1)).unwrap();
    batch.pause().unwrap();
    let calls = layer.calls();
    batch.append(requests("batch", 1)).unwrap();
    assert_eq!(layer.calls(), calls);
    assert_eq!(batch.finish().unwrap().events, 2);
}

#[test]
fn a_turn_is_longer_than_it_took_to_come_back() {
    let mut calls = u32::MAX;
    for slow in [false, true] {
        let fixture = Fixture::new();
        let layer = Beside::new(calls, || thread::sleep(3 * A_TURN));
        let vault = fixture.vault.clone().with_layer(layer.clone());
        let writer = LogWriter::open_with(&vault, &fixture.keyfile).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, options());
        batch.append(requests("batch", 1)).unwrap();
        batch.pause().unwrap();
        fixture
            .vault
            .append(&note("other", "x"), &fixture.keyfile)
            .unwrap();
        // The first that it does when it comes back; another time, that is slow.
        calls = layer.calls();
        batch.take_receipts();
        batch.append(requests("batch", 1)).unwrap();
        assert!(layer.calls() > calls, "nothing that could be slow");
        if slow {
            thread::sleep(2 * A_TURN);
            batch.append(requests("batch", 1)).unwrap();
            assert_eq!(batch.take_receipts().len(), 0, "it ended before");
            assert_eq!(batch.finish().unwrap().events, 3);
        }
    }
}

#[test]
fn an_atomic_batch_keeps_the_lock() {
    let fixture = Fixture::new();
    let options = BatchOptions {
        atomic: true,
        ..options()
    };
    let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options);
    batch.append(requests("batch", 3)).unwrap();
    batch.pause().unwrap();
    let other = impatient(&fixture.vault).append(&note("other", "x"), &fixture.keyfile);
    assert!(matches!(other, Err(VaultError::Locked { .. })));
    batch.append(requests("batch", 3)).unwrap();
    assert_eq!(batch.finish().unwrap().events, 6);
}

#[test]
fn what_others_decide_meanwhile_counts() {
    let fixture = Fixture::new();
    let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options());
    batch.append(requests("batch", 2)).unwrap();
    batch.pause().unwrap();
    let closing = request("com.provara.vault.seal", "other", r#"{"reason":"the end"}"#);
    impatient(&fixture.vault)
        .append(&closing, &fixture.keyfile)
        .unwrap();
    let rejected = batch.append(requests("batch", 1)).unwrap_err();
    assert!(matches!(rejected.error, VaultError::Closed { .. }));
    assert_eq!(batch.finish().unwrap().events, 2);
}

#[test]
fn after_a_merge_between_two_turns_the_batch_goes_on() {
    let fixture = Fixture::new();
    let other = copy(&fixture.vault, &fixture.outside().join("other"));
    for number in 0..3 {
        other
            .append(&note("there", &number.to_string()), &fixture.keyfile)
            .unwrap();
    }
    let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options());
    batch.append(requests("batch", 3)).unwrap();
    batch.pause().unwrap();
    // The log is another file, in another order.
    let before = fixture.log();
    impatient(&fixture.vault)
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert!(!fixture.log().starts_with(&before));
    batch.append(requests("batch", 3)).unwrap();
    assert_eq!(batch.finish().unwrap().events, 6);
    drop(batch);
    let report = fixture.vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
}

#[test]
fn a_batch_that_finds_its_events_gone_says_so_and_writes_nothing() {
    for whole in [false, true] {
        let fixture = Fixture::new();
        let older = fixture.outside().join("older");
        copy(&fixture.vault, &older);
        let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, options());
        batch.append(requests("batch", 3)).unwrap();
        batch.pause().unwrap();
        let last = batch.take_receipts().pop().unwrap().event_id;
        if whole {
            fs::rename(fixture.vault.path(), fixture.outside().join("away")).unwrap();
            fs::rename(&older, fixture.vault.path()).unwrap();
            // It has gone on since.
            for number in 0..5 {
                fixture
                    .vault
                    .append(&note("other", &number.to_string()), &fixture.keyfile)
                    .unwrap();
            }
        } else {
            // In its place, as 'cp' writes.
            fs::copy(older.join(layout::LOG), fixture.vault.log_path()).unwrap();
        }
        let before = picture(fixture.vault.path());
        let rejected = batch.append(requests("batch", 1)).unwrap_err();
        match rejected.error {
            VaultError::LogLost {
                loss: Loss::Gone { event_id },
                acknowledged: 3,
                ..
            } => assert_eq!(event_id, last),
            other => panic!("{other}"),
        }
        assert!(matches!(batch.finish(), Err(VaultError::Stopped)));
        assert!(batch.take_receipts().is_empty());
        drop(batch);
        assert_eq!(picture(fixture.vault.path()), before);
    }
}

#[test]
fn a_batch_whose_vault_is_moved_meanwhile_says_what_is_known() {
    for (gone, waits) in [(true, false), (false, false), (false, true)] {
        let fixture = Fixture::new();
        let vault = impatient(&fixture.vault);
        let mut batch = paused(&vault, &fixture.keyfile);
        let holder = waits.then(|| LogWriter::open(&fixture.vault).unwrap());
        if gone {
            fs::rename(vault.path(), fixture.outside().join("away")).unwrap();
        } else if !waits {
            // The vault stays where it is, and cannot be gone on from.
            fs::write(fixture.file("manifest.sig"), "{}").unwrap();
        }
        let error = batch.append(requests("batch", 1)).unwrap_err().error;
        let text = error.to_string();
        match (gone, &error) {
            (
                true,
                VaultError::LogLost {
                    loss,
                    acknowledged: 3,
                    ..
                },
            ) => {
                assert_eq!(*loss, Loss::DirectoryRemoved);
            }
            (
                false,
                VaultError::NotResumed {
                    acknowledged: 3,
                    source,
                },
            ) => {
                assert_eq!(
                    matches!(**source, VaultError::Locked { .. }),
                    waits,
                    "{text}"
                );
            }
            _ => panic!("{text}"),
        }
        assert!(text.contains("were in the log"), "{text}");
        assert!(!text.contains("are in the log"), "{text}");
        assert!(matches!(batch.finish(), Err(VaultError::Stopped)));
        drop(holder);
    }
}

#[test]
fn a_batch_that_comes_back_refuses_files_that_another_program_changed() {
    let changes: [(&str, Option<&[u8]>); 5] = [
        ("identity/keys.json", Some(b"")),
        (
            "identity/keys.json",
            Some(br#"{"keys":[],"revocations":[]}"#),
        ),
        ("identity/keys.json", None),
        ("manifest.json", Some(b"garbage")),
        ("manifest.sig", None),
    ];
    for (file, content) in changes {
        let fixture = Fixture::new();
        let vault = impatient(&fixture.vault);
        let mut batch = paused(&vault, &fixture.keyfile);
        match content {
            Some(content) => fs::write(fixture.file(file), content).unwrap(),
            None => fs::remove_file(fixture.file(file)).unwrap(),
        }
        let error = batch.append(requests("batch", 1)).unwrap_err().error;
        assert!(
            matches!(
                error,
                VaultError::NotResumed {
                    acknowledged: 3,
                    ..
                }
            ),
            "{file}: {error}"
        );
        // As any writer refuses it: the evidence is bad, and nobody need try again.
        assert_eq!(error.class(), ErrorClass::Evidence, "{file}: {error}");
        assert!(matches!(batch.finish(), Err(VaultError::Stopped)));
    }
}

#[test]
fn a_writer_that_comes_back_looks_for_what_it_had_seen() {
    // The log that lies there then is shorter than what was seen, or longer.
    for others in [0, 8] {
        let fixture = Fixture::new();
        let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
        let older = copy(vault, &fixture.outside().join("older"));
        older
            .append_many(requests("older", others), keyfile, BatchOptions::default())
            .unwrap();
        let mut batch = LogWriter::open_with(vault, keyfile)
            .unwrap()
            .batch(keyfile, options());
        batch.append(requests("batch", 2)).unwrap();
        batch.finish().unwrap();
        let seen = batch.last_seen();
        drop(batch);
        drop(LogWriter::open_after(vault, keyfile, seen.as_ref()).unwrap());
        vault.append(&note("other", "x"), keyfile).unwrap();
        drop(LogWriter::open_after(vault, keyfile, seen.as_ref()).unwrap());
        fs::rename(vault.path(), fixture.outside().join("away")).unwrap();
        fs::rename(older.path(), vault.path()).unwrap();
        let error = LogWriter::open_after(vault, keyfile, seen.as_ref()).unwrap_err();
        let VaultError::LogLost {
            loss: Loss::Gone { .. },
            ..
        } = error
        else {
            panic!("{error}");
        };
    }
}

/// Other bytes within the log, at the same length, later than the last write as the file system tells it.
fn edit_in_place(vault: &Vault) {
    std::thread::sleep(Duration::from_millis(20));
    let log = File::options().write(true).open(vault.log_path());
    log.unwrap().write_all_at(b"!", 40).unwrap();
}

/// As a log that was not sealed like this, or that is no log any more.
fn is_found_out(error: &VaultError) -> bool {
    match error {
        VaultError::BatchEnded { source, .. } | VaultError::NotResumed { source, .. } => {
            is_found_out(source)
        }
        error => matches!(
            error,
            VaultError::BrokenLog { .. } | VaultError::SealContradiction { .. }
        ),
    }
}

#[test]
fn a_log_that_was_edited_in_place_is_gone_on_from_by_nobody() {
    for paused in [false, true] {
        let fixture = Fixture::new();
        let cache = fixture.outside().join("cache");
        let vault = fixture.vault.clone().with_cache_directory(Some(cache));
        let writer = LogWriter::open_with(&vault, &fixture.keyfile).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, options());
        batch.append(requests("batch", 3)).unwrap();
        if paused {
            batch.pause().unwrap();
        }
        let receipts = batch.take_receipts().len() as u64;
        edit_in_place(&vault);
        let before = picture(vault.path());
        let error = match batch.append(requests("batch", 1)) {
            Err(rejected) => rejected.error,
            Ok(()) => batch.finish().unwrap_err(),
        };
        match error {
            VaultError::LogLost {
                loss: Loss::Edited,
                acknowledged,
                ..
            } if !paused => assert_eq!(acknowledged, receipts),
            // Whoever comes back reads.
            error if paused => assert!(is_found_out(&error), "{error}"),
            other => panic!("{other}"),
        }
        drop(batch);
        // No memory of the log as it was lets a later writer go on.
        for _ in 0..2 {
            let error = vault.append(&note("other", "x"), &fixture.keyfile);
            let error = error.unwrap_err();
            assert!(is_found_out(&error), "{error}");
        }
        assert_eq!(picture(vault.path()), before);
    }
}

#[test]
fn what_changes_a_logs_times_and_not_its_bytes_stops_nobody() {
    let fixture = Fixture::new();
    let vault = &fixture.vault;
    let writer = LogWriter::open_with(vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options());
    // More often than a log is read for nothing.
    for round in 0..12 {
        batch.append(requests("batch", 2)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let log = File::options().write(true).open(vault.log_path()).unwrap();
        match round % 3 {
            0 => log.set_modified(SystemTime::now()).unwrap(),
            1 => log
                .set_permissions(fs::Permissions::from_mode(0o640 + round))
                .unwrap(),
            _ => {
                fs::hard_link(vault.log_path(), fixture.outside().join(round.to_string())).unwrap();
            }
        }
    }
    assert_eq!(batch.finish().unwrap().events, 24);
    drop(batch);
    let report = vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
}

#[test]
fn a_batch_that_comes_back_looks_at_what_the_manifest_lists_beside_the_log() {
    let fixture = Fixture::new();
    let vault = impatient(&fixture.vault);
    let mut batch = paused(&vault, &fixture.keyfile);
    // Under the signature of before, which is not over this list.
    let mut listed: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture.file("manifest.json")).unwrap()).unwrap();
    let files = listed["files"].as_array_mut().unwrap();
    let genesis = files
        .iter_mut()
        .find(|it| it["path"] == "identity/genesis.json");
    genesis.unwrap()["size"] = 1.into();
    fs::write(fixture.file("manifest.json"), listed.to_string()).unwrap();
    let error = batch.append(requests("batch", 1)).unwrap_err().error;
    assert!(matches!(error, VaultError::NotResumed { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Evidence, "{error}");
}
