//! Many events at once: the log that single appends would make, whatever the groups; what is refused
//! and what a disk refuses; receipts only for what is durable and sealed.

use std::fs::{self, File};
use std::time::Duration;

use crate::common::disk::{EIO, ENOSPC, Failing};
use crate::common::{Fixture, note, picture, remove_seal, request, rotation, strict, verifies};
use provara_core::event::Draft;
use provara_core::json::parse;
use provara_core::keys::SigningKey;
use provara_vault::{
    AppendRequest, BatchOptions, ErrorClass, LogWriter, VaultError, VerifyOptions,
};

fn requests(count: usize) -> Vec<AppendRequest<'static>> {
    (0..count)
        .map(|number| match number % 3 {
            0 => note("alice", &format!("{number}")),
            1 => note("b\"ö", &format!("{number}")),
            _ => request("OBSERVATION", "carol", &format!(r#"{{"n":{number}.0}}"#)),
        })
        .collect()
}

/// What of an event does not depend on when it was written.
fn timeless(fixture: &Fixture) -> Vec<serde_json::Value> {
    let log = String::from_utf8(fixture.log()).unwrap();
    let mut events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        // A payload that wraps data has the event's time.
        let time = event["timestamp_utc"].clone();
        let payload = event["payload"].as_object_mut().unwrap();
        if let Some(of_payload) = payload.remove("timestamp") {
            assert_eq!(of_payload, time);
        }
        for changing in [
            "event_id",
            "sig",
            "timestamp_utc",
            "prev_event_hash",
            "actor_key_id",
            "seal",
            "after",
        ] {
            event.remove(changing);
        }
    }
    events.split_off(2)
}

#[test]
fn a_batch_is_what_single_appends_are() {
    let single = Fixture::new();
    for request in requests(40) {
        single.vault.append(&request, &single.keyfile).unwrap();
    }
    for (group, seal_interval) in [
        (1, Duration::ZERO),
        (7, Duration::ZERO),
        (4096, Duration::MAX),
    ] {
        let fixture = Fixture::new();
        let options = BatchOptions {
            group,
            seal_interval,
            ..BatchOptions::default()
        };
        let receipts = fixture
            .vault
            .append_many(requests(40), &fixture.keyfile, options)
            .unwrap();
        assert_eq!(verifies(&fixture.vault), 42);
        assert_eq!(timeless(&fixture), timeless(&single));
        let log = String::from_utf8(fixture.log()).unwrap();
        assert_eq!(receipts.len(), 40);
        for (line, receipt) in log.lines().skip(2).zip(&receipts) {
            assert_eq!(line, receipt.event_json);
            assert!(line.contains(&format!("\"event_id\":\"{}\"", receipt.event_id)));
        }
        assert_eq!(receipts[39].line, 42);
        assert_eq!(receipts[3].prev_event_hash, Some(receipts[0].event_id));
        let root = std::fs::read_to_string(fixture.file("merkle_root.txt")).unwrap();
        assert_eq!(root.trim_end(), receipts[39].merkle_root.to_string());
    }
}

#[test]
fn a_group_is_handed_on_when_it_is_full_and_not_before() {
    let text = "x".repeat(1 << 20);
    for (events, text, written) in [(10, "x", false), (5, text.as_str(), true)] {
        let fixture = Fixture::new();
        let before = fixture.log();
        let writer = LogWriter::open(&fixture.vault).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
        let requests = (0..events).map(|_| note("a", text)).collect();
        batch.append(requests).unwrap();
        // What is on its way to the disk gets there; the rest is lost with the batch.
        drop(batch);
        let log = fixture.log();
        assert!(log.starts_with(&before));
        assert_eq!(log.len() > before.len(), written, "{events} events");
    }
}

#[test]
fn the_first_bad_request_ends_it_and_those_before_are_in() {
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(127), "]".repeat(127));
    let bad = [
        request("GENESIS", "a", "{}"),
        note("", "no actor"),
        request("com.example.test.note", "a", r#"{"n":9007199254740993}"#),
        request("com.example.test.note", "a", &nested),
        request("KEY_REVOCATION", "a", "{}"),
    ];
    for bad in bad {
        let fixture = Fixture::new();
        let mut all = requests(10);
        all[6] = bad;
        let rejected = fixture
            .vault
            .append_many(all, &fixture.keyfile, BatchOptions::default())
            .unwrap_err();
        assert_eq!(rejected.index, 6);
        assert_eq!(rejected.error.class(), ErrorClass::Usage, "{rejected}");
        assert_eq!(verifies(&fixture.vault), 8);
    }
}

#[test]
fn nothing_follows_the_event_that_closes_the_vault() {
    let fixture = Fixture::new();
    let mut all = requests(6);
    all[3] = request("com.provara.vault.seal", "alice", "{}");
    let rejected = fixture
        .vault
        .append_many(all, &fixture.keyfile, BatchOptions::default())
        .unwrap_err();
    assert_eq!(rejected.index, 4);
    assert!(matches!(rejected.error, VaultError::Closed { .. }));
    assert_eq!(verifies(&fixture.vault), 6);
}

#[test]
fn an_atomic_batch_is_all_or_nothing() {
    let fixture = Fixture::new();
    let options = BatchOptions {
        atomic: true,
        group: 3,
        ..BatchOptions::default()
    };
    let before = picture(fixture.vault.path());
    let mut all = requests(10);
    all[9] = note("", "no actor");
    let rejected = fixture
        .vault
        .append_many(all, &fixture.keyfile, options)
        .unwrap_err();
    assert_eq!(rejected.index, 9);
    assert_eq!(picture(fixture.vault.path()), before);
    let receipts = fixture
        .vault
        .append_many(requests(10), &fixture.keyfile, options)
        .unwrap();
    assert_eq!(receipts.len(), 10);
    assert_eq!(verifies(&fixture.vault), 12);
}

#[test]
fn a_key_event_takes_effect_within_the_batch() {
    let fixture = Fixture::with_quorum();
    let root = fixture.receipt.root_key_id;
    let quorum = fixture.receipt.quorum_key_id.unwrap();
    let revocation = AppendRequest {
        key_id: Some(quorum),
        ..request(
            "KEY_REVOCATION",
            "guard",
            &format!(
                r#"{{"revoked_key_id":"{root}","reason":"test","trust_boundary_event_id":null,"revoked_at_utc":"2026-11-22T10:00:00Z"}}"#
            ),
        )
    };
    let batch = |vault: &provara_vault::Vault, options| {
        let mut all = requests(4);
        all[2] = revocation.clone();
        vault.append_many(all, &fixture.keyfile, options)
    };
    let atomic = BatchOptions {
        atomic: true,
        ..BatchOptions::default()
    };
    let before = picture(fixture.vault.path());
    let refused = batch(&fixture.vault, atomic).unwrap_err();
    assert!(matches!(refused.error, VaultError::NotInAtomicBatch { .. }));
    assert_eq!(picture(fixture.vault.path()), before);
    let receipts = batch(&fixture.vault, BatchOptions::default()).unwrap();
    let keys: Vec<_> = receipts.iter().map(|receipt| receipt.key_id).collect();
    assert_eq!(keys, [root, root, quorum, quorum]);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
}

#[test]
fn a_receipt_tells_what_was_wrapped_and_repeated_where_there_was_something() {
    let fixture = Fixture::new();
    let wrapped = request("OBSERVATION", "a", r#"{"n":1}"#);
    let keyed = AppendRequest {
        idempotency_key: Some("k".to_owned()),
        ..note("a", "x")
    };
    for (requests, told, repeated) in [
        (vec![note("a", "x")], None, None),
        (
            vec![wrapped.clone(), wrapped],
            Some("the data of 2 events"),
            None,
        ),
        (vec![keyed.clone(), keyed, note("a", "y")], None, Some(1)),
    ] {
        let writer = LogWriter::open(&fixture.vault).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
        let asked = requests.len();
        batch.append(requests).unwrap();
        let receipt = batch.finish().unwrap();
        let receipts = batch.take_receipts();
        assert_eq!(receipts.len(), asked);
        assert!(receipts.is_sorted_by_key(|receipt| receipt.line));
        let notes: Vec<_> = receipt.notes.iter().map(String::as_str).collect();
        assert_eq!(notes.len(), usize::from(told.is_some()), "{notes:?}");
        assert!(notes.iter().all(|note| note.starts_with(told.unwrap())));
        let json = serde_json::to_value(&receipt).unwrap();
        let member = json.get("repeated").and_then(serde_json::Value::as_u64);
        assert_eq!(member, repeated, "{json}");
    }
}

#[test]
fn a_dry_run_tells_what_only_an_append_can_judge() {
    let fixture = Fixture::new();
    let data = format!(r#"{{"target_event_id":"evt_{}"}}"#, "0".repeat(24));
    let redaction = request("com.provara.redaction", "a", &data);
    let options = BatchOptions {
        dry_run: true,
        ..BatchOptions::default()
    };
    for (requests, told) in [
        (vec![note("a", "x")], None),
        (vec![redaction.clone(), note("a", "x")], Some("1 event of ")),
        (vec![redaction.clone(), redaction], Some("2 events of ")),
    ] {
        let writer = LogWriter::open_to_judge(&fixture.vault).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, options);
        batch.append(requests).unwrap();
        let notes = batch.finish().unwrap().notes;
        assert_eq!(notes.len(), usize::from(told.is_some()), "{notes:?}");
        assert!(notes.iter().all(|note| note.starts_with(told.unwrap())));
    }
}

#[test]
fn an_event_of_a_key_is_counted_like_any_other() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[79; 32]);
    let [revocation, promotion] = rotation(root, &new, quorum);
    let writer = LogWriter::open(&fixture.vault).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
    batch
        .append(vec![note("a", "x"), revocation, promotion])
        .unwrap();
    let receipt = batch.finish().unwrap();
    let before = fixture.log().split(|byte| *byte == b'\n').count() as u64 - 4;
    assert_eq!((receipt.events, receipt.last_line), (3, before + 3));
    assert_eq!(batch.take_receipts().len(), 3);
}

#[test]
fn a_last_line_without_its_end_gets_it() {
    let fixture = Fixture::new();
    let log = File::options()
        .write(true)
        .open(fixture.vault.log_path())
        .unwrap();
    log.set_len(log.metadata().unwrap().len() - 1).unwrap();
    // A log that is shorter than its seal is not sealed anew; without the old seal it can be.
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    remove_seal(&fixture.vault);
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    let receipts = fixture
        .vault
        .append_many(requests(5), &fixture.keyfile, BatchOptions::default())
        .unwrap();
    // The adoption made the line end, and took two lines.
    assert_eq!(receipts[4].line, 9);
    assert_eq!(verifies(&fixture.vault), 9);
}

#[test]
fn whatever_the_disk_refuses_what_was_acknowledged_is_there() {
    let mut failed = 0;
    let mut ahead = 0;
    for at in 0.. {
        let fixture = Fixture::new();
        let failing = fixture
            .vault
            .clone()
            .with_layer(Failing::once(at, if at % 2 == 0 { EIO } else { ENOSPC }))
            .with_cache_directory(Some(fixture.outside().join("cache")));
        let options = BatchOptions {
            group: 4,
            seal_interval: Duration::ZERO,
            ..BatchOptions::default()
        };
        let before = picture(fixture.vault.path());
        let writer = match LogWriter::open_with(&failing, &fixture.keyfile) {
            Ok(writer) => writer,
            // The directories are synced before a seal is named.
            Err(error) => {
                assert!(
                    matches!(error, VaultError::Sync { .. }),
                    "step {at}: {error}"
                );
                assert_eq!(picture(fixture.vault.path()), before);
                continue;
            }
        };
        let mut batch = writer.batch(&fixture.keyfile, options);
        let taken = batch.append(requests(10));
        let finished = batch.finish();
        let receipts = batch.take_receipts();
        drop(batch);
        if finished.is_ok() {
            taken.unwrap();
            assert_eq!(receipts.len(), 10);
            break;
        }
        failed += 1;
        // Whatever it was doing, it says how far it came.
        let ended = taken.map_or_else(|rejected| rejected.error, |()| finished.unwrap_err());
        let VaultError::BatchEnded {
            durable, sealed, ..
        } = ended
        else {
            panic!("step {at}: {ended}")
        };
        let text = fixture.log();
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(
            (lines - 2, text.last()),
            (durable, Some(&b'\n')),
            "step {at}"
        );
        assert_eq!(sealed, receipts.len() as u64, "step {at}");
        ahead += durable - sealed;
        let again = fixture
            .vault
            .clone()
            .with_cache_directory(Some(fixture.outside().join("cache")))
            .append(&note("alice", "after"), &fixture.keyfile)
            .unwrap();
        let log = String::from_utf8(fixture.log()).unwrap();
        for receipt in receipts.iter().chain([&again]) {
            let line = log.lines().nth(receipt.line as usize - 1);
            assert_eq!(line, Some(receipt.event_json.as_str()), "step {at}");
        }
        let report = fixture.vault.verify(&strict()).unwrap();
        assert!(report.is_valid(), "step {at}: {:?}", report.findings());
    }
    assert!(
        failed > 30,
        "three groups, each with a seal: {failed} steps"
    );
    assert!(ahead > 0, "what is durable is not always sealed");
}

#[test]
fn after_what_the_disk_refuses_nothing_more_is_written() {
    let fixture = Fixture::new();
    let counted = Failing::once(u32::MAX, EIO);
    let vault = fixture.vault.clone().with_layer(counted.clone());
    drop(LogWriter::open_with(&vault, &fixture.keyfile).unwrap());
    // The first call after the opening is a write to the log.
    let (failing, held) = Failing::held(counted.calls(), EIO);
    let vault = fixture.vault.clone().with_layer(failing);
    let options = BatchOptions {
        group: 1,
        seal_interval: Duration::MAX,
        ..BatchOptions::default()
    };
    let before = picture(fixture.vault.path());
    let writer = LogWriter::open_with(&vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, options);
    batch.append(requests(10)).unwrap();
    // One group is with the disk, and the others, which chain to it, are on their way.
    drop(held);
    let error = batch.finish().unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::BatchEnded {
                durable: 0,
                sealed: 0,
                ..
            }
        ),
        "{error}"
    );
    drop(batch);
    assert_eq!(picture(fixture.vault.path()), before);
    assert_eq!(verifies(&fixture.vault), 2);
}

#[test]
fn clocks_that_went_backwards_are_told_once() {
    let fixture = Fixture::new();
    let mut log = fixture.log();
    for (actor, timestamp) in [
        ("alice", "2098-01-01T00:00:00Z"),
        ("bob", "2099-01-01T00:00:00Z"),
    ] {
        let early = Draft {
            event_type: &"com.acme.audit.login".parse().unwrap(),
            actor,
            namespace: None,
            payload: &parse(b"{}").unwrap(),
            prev: None,
            ts_logical: 1,
            timestamp: timestamp.parse().unwrap(),
            seal: None,
            after: None,
        };
        log.extend(early.sign(&fixture.keyfile.keys()[0]).unwrap().line);
    }
    fs::write(fixture.vault.log_path(), log).unwrap();
    let writer = LogWriter::open(&fixture.vault).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
    let next = ["alice", "bob", "alice", "carol"].map(|actor| note(actor, "x"));
    batch.append(next.into()).unwrap();
    let notes = batch.finish().unwrap().notes;
    let told: Vec<_> = notes.iter().filter(|note| note.contains("clock")).collect();
    assert_eq!(
        told,
        [
            "the system clock is behind the last events of actors (as late as 2099-01-01T00:00:00.000000Z): the \
             time of 2 events goes backwards"
        ]
    );
}

#[test]
fn a_request_is_refused_by_its_place_among_all() {
    let fixture = Fixture::new();
    let data = format!(r#"{{"target_event_id":"evt_{}"}}"#, "0".repeat(24));
    let refused = request("com.provara.redaction", "a", &data);
    let writer = LogWriter::open(&fixture.vault).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
    let mut places = Vec::new();
    let requests = vec![
        note("a", "1"),
        refused.clone(),
        note("a", "2"),
        refused.clone(),
        refused,
    ];
    batch
        .append_each(requests, &mut |rejected| places.push(rejected.index))
        .unwrap();
    assert_eq!(places, [1, 3, 4]);
    assert_eq!(batch.finish().unwrap().events, 2);
}

#[test]
fn a_batch_of_nothing_tells_of_nothing_that_it_would_have_put_right() {
    let fixture = Fixture::new();
    let earlier = fs::read(fixture.file("merkle_root.txt")).unwrap();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    fs::write(fixture.file("merkle_root.txt"), earlier).unwrap();
    let finish = |requests: Vec<AppendRequest<'static>>| {
        let writer = LogWriter::open(&fixture.vault).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
        batch.append(requests).unwrap();
        batch.finish().unwrap().notes
    };
    assert_eq!(finish(Vec::new()), Vec::<String>::new());
    let notes = finish(requests(1));
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("of an earlier state"), "{notes:?}");
    assert_eq!(finish(requests(1)), Vec::<String>::new());
}

#[test]
fn events_of_several_keys_are_signed_by_their_own() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let requests = [root, quorum, quorum, root, quorum, root]
        .into_iter()
        .enumerate()
        .map(|(number, key)| AppendRequest {
            key_id: Some(key),
            ..note(&format!("of {key}"), &number.to_string())
        });
    let receipts = fixture
        .vault
        .append_many(
            requests.collect(),
            &fixture.keyfile,
            BatchOptions::default(),
        )
        .unwrap();
    assert_eq!(receipts.len(), 6);
    verifies(&fixture.vault);
}
