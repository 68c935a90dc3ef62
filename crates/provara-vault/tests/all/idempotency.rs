//! Idempotency keys: one event for one key, whatever was lost, kept, killed or merged; and what is kept outside
//! the vault decides nothing.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use provara_core::keys::SigningKey;
use provara_vault::{
    AppendReceipt, AppendRequest, BatchOptions, LogWriter, MergeOptions, RedactOptions, Rejected,
    Vault, VaultError,
};

use crate::common::{Fixture, copy, note, request, rotation, strict, verifies};

fn keyed(actor: &str, text: &str, key: &str) -> AppendRequest<'static> {
    AppendRequest {
        idempotency_key: Some(key.to_owned()),
        ..note(actor, text)
    }
}

/// A vault with a cache directory.
fn cached() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let directory = fixture.outside().join("cache");
    let vault = fixture.vault.clone().with_cache_directory(Some(directory));
    (fixture, vault)
}

fn kept(fixture: &Fixture) -> PathBuf {
    let mut files = fs::read_dir(fixture.outside().join("cache")).unwrap();
    let is_kept = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "keyed");
    let mut found = files.by_ref().map(|entry| entry.unwrap().path());
    found.find(is_kept).expect("something is kept")
}

fn lines(fixture: &Fixture) -> usize {
    fixture.log().iter().filter(|byte| **byte == b'\n').count()
}

/// Appends once more what is there, and what is not: the answers are those of the log.
fn answers_are_right(
    fixture: &Fixture,
    vault: &Vault,
    first: &AppendReceipt,
    key: &str,
    text: &str,
) {
    let before = lines(fixture);
    let again = vault
        .append(&keyed(&first.actor, text, key), &fixture.keyfile)
        .unwrap();
    assert!(again.repeated);
    assert_eq!(again.event_id, first.event_id);
    assert_eq!(again.event_json, first.event_json);
    let log = fixture.log();
    let line = log
        .split(|byte| *byte == b'\n')
        .nth(again.line as usize - 1)
        .unwrap();
    assert_eq!(line, first.event_json.as_bytes());
    let other = vault.append(&keyed(&first.actor, "another", key), &fixture.keyfile);
    let Err(VaultError::KeyReused { event, .. }) = other else {
        panic!("{other:?}");
    };
    assert_eq!(event, Some((first.event_id, again.line)));
    assert_eq!(lines(fixture), before);
}

#[test]
fn whatever_becomes_of_what_is_kept_the_log_decides() {
    let (fixture, vault) = cached();
    let append = |request: &AppendRequest<'_>| vault.append(request, &fixture.keyfile).unwrap();
    let first = append(&keyed("a", "one", "k1"));
    append(&note("a", "without"));
    let second = append(&keyed("b", "two", "k1"));
    answers_are_right(&fixture, &vault, &first, "k1", "one");
    let path = kept(&fixture);
    let earlier = fs::read(&path).unwrap();
    for number in 0..20 {
        append(&keyed("c", "many", &format!("{number}")));
    }
    let later = fs::read(&path).unwrap();
    assert!(later.len() > earlier.len() && later.starts_with(b"provara idempotency keys"));
    // Gone; of an earlier state; cut; of nothing; every part of it changed.
    let mut wrong = vec![
        Vec::new(),
        earlier.clone(),
        later[..4000].to_vec(),
        later[..later.len() - 1].to_vec(),
    ];
    wrong.push(vec![0; later.len()]);
    // A header of before with the records of today, as a kill between the two leaves it.
    wrong.push([&earlier[..4096], &later[4096..]].concat());
    // A header of today with the records of before, as a loss of power may.
    wrong.push([&later[..4096], &earlier[4096..]].concat());
    for at in (0..later.len()).step_by(37).filter(|at| later[*at] != 0) {
        let mut changed = later.clone();
        changed[at] ^= 1;
        wrong.push(changed);
    }
    for content in wrong {
        fs::write(&path, &content).unwrap();
        answers_are_right(&fixture, &vault, &first, "k1", "one");
        fs::write(&path, &content).unwrap();
        answers_are_right(&fixture, &vault, &second, "k1", "two");
    }
    fs::remove_file(&path).unwrap();
    answers_are_right(&fixture, &vault, &first, "k1", "one");
    // Without any such directory the log is asked each time.
    answers_are_right(&fixture, &fixture.vault, &second, "k1", "two");
    assert!(vault.verify(&strict()).unwrap().is_valid());
}

/// What is kept of one vault, in the place of that of another with as many events at the same path.
#[test]
fn what_is_kept_of_another_log_at_the_same_place_is_not_believed() {
    let (fixture, vault) = cached();
    let elsewhere = copy(&vault, &fixture.outside().join("elsewhere"));
    let first = vault
        .append(&keyed("a", "here", "k"), &fixture.keyfile)
        .unwrap();
    elsewhere
        .append(&note("a", "there"), &fixture.keyfile)
        .unwrap();
    let log = fs::read(elsewhere.log_path()).unwrap();
    // The same events but for the key, put there by hand with the seal over them.
    for file in [
        "events/events.ndjson",
        "manifest.json",
        "merkle_root.txt",
        "manifest.sig",
    ] {
        fs::copy(elsewhere.path().join(file), vault.path().join(file)).unwrap();
    }
    assert_eq!(fixture.log(), log);
    let appended = vault
        .append(&keyed("a", "here", "k"), &fixture.keyfile)
        .unwrap();
    assert!(!appended.repeated);
    assert_ne!(appended.event_id, first.event_id);
    assert_eq!(verifies(&vault), 4);
}

#[test]
fn a_writer_gives_the_event_that_it_appended_itself() {
    let fixture = Fixture::new();
    let mut writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
    let long = "of more than one piece ".repeat(1000);
    for (key, text) in [("1", "one"), ("2", &long), ("3", "another")] {
        let request = keyed("a", text, key);
        let first = writer.append(&request, &fixture.keyfile).unwrap();
        let again = writer.append(&request, &fixture.keyfile).unwrap();
        assert!(!first.repeated && again.repeated);
        assert_eq!(again.event_json, first.event_json);
        assert_eq!(again.line, first.line);
    }
}

#[test]
fn the_receipts_of_a_batch_with_repeats_have_the_root_of_its_seal() {
    let fixture = Fixture::new();
    let append = |texts: [&str; 2]| {
        let requests = texts.map(|text| keyed("a", text, text)).to_vec();
        let options = BatchOptions::default();
        let receipts = fixture
            .vault
            .append_many(requests, &fixture.keyfile, options)
            .unwrap();
        let root = fs::read_to_string(fixture.file("merkle_root.txt")).unwrap();
        for receipt in &receipts {
            assert_eq!(receipt.merkle_root.to_string(), root.trim_end());
        }
        receipts.iter().map(|it| it.repeated).collect::<Vec<_>>()
    };
    assert_eq!(append(["1", "2"]), [false, false]);
    assert_eq!(append(["2", "3"]), [true, false]);
    assert_eq!(append(["4", "3"]), [false, true]);
}

#[test]
fn a_key_has_a_greatest_length() {
    let fixture = Fixture::new();
    let append = |key: &str| {
        let request = keyed("a", "text", key);
        fixture.vault.append(&request, &fixture.keyfile)
    };
    append(&"k".repeat(1024)).unwrap();
    for wrong in ["k".repeat(1025), String::new()] {
        let refused = append(&wrong);
        assert!(
            matches!(refused, Err(VaultError::IdempotencyKey { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn of_many_that_ask_at_once_one_appends() {
    let (fixture, vault) = cached();
    let (writers, each) = (8, 12);
    let start = Barrier::new(writers);
    let receipts: Vec<AppendReceipt> = thread::scope(|scope| {
        let ask = || {
            start.wait();
            let asked = (0..each).map(|number| {
                let request = keyed("agent", "the same", &format!("call {number}"));
                vault.append(&request, &fixture.keyfile).unwrap()
            });
            asked.collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    });
    assert_eq!(receipts.iter().filter(|it| !it.repeated).count(), each);
    assert_eq!(lines(&fixture), 2 + each);
    for receipt in &receipts {
        let same = receipts.iter().filter(|it| it.event_id == receipt.event_id);
        assert_eq!(same.count(), writers);
    }
    assert!(vault.verify(&strict()).unwrap().is_valid());
}

/// A writer that was ended between the log and the seal: whoever repeats its request seals what it left.
#[test]
fn an_event_beyond_the_seal_is_sealed_before_its_receipt_is_given() {
    let (fixture, vault) = cached();
    let seal = ["manifest.json", "merkle_root.txt", "manifest.sig"];
    vault
        .append(&keyed("a", "earlier", "e"), &fixture.keyfile)
        .unwrap();
    for torn in [&b""[..], b"{\"actor\":"] {
        let before = seal.map(|file| fs::read(vault.path().join(file)).unwrap());
        let key = format!("k{}", torn.len());
        let first = vault
            .append(&keyed("a", "one", &key), &fixture.keyfile)
            .unwrap();
        for (file, content) in seal.iter().zip(before) {
            fs::write(vault.path().join(file), content).unwrap();
        }
        let log = OpenOptions::new()
            .write(true)
            .open(vault.log_path())
            .unwrap();
        log.write_all_at(torn, log.metadata().unwrap().len())
            .unwrap();
        let again = vault
            .append(&keyed("a", "one", &key), &fixture.keyfile)
            .unwrap();
        assert!(again.repeated && again.event_id == first.event_id);
        let root = fs::read_to_string(vault.path().join("merkle_root.txt")).unwrap();
        assert_eq!(root.trim(), again.merkle_root.to_string());
        assert!(!again.notes.is_empty());
        assert!(vault.verify(&strict()).unwrap().is_valid());
    }
    // The same in a batch that holds nothing else.
    let before = seal.map(|file| fs::read(vault.path().join(file)).unwrap());
    vault
        .append(&keyed("a", "two", "batch"), &fixture.keyfile)
        .unwrap();
    for (file, content) in seal.iter().zip(before) {
        fs::write(vault.path().join(file), content).unwrap();
    }
    let requests = vec![keyed("a", "two", "batch"), keyed("a", "one", "k0")];
    let receipts = vault
        .append_many(requests, &fixture.keyfile, BatchOptions::default())
        .unwrap();
    assert!(receipts.iter().all(|receipt| receipt.repeated));
    assert!(vault.verify(&strict()).unwrap().is_valid());
}

#[test]
fn wrapped_and_blind_data_is_known_again_at_whatever_time() {
    let (fixture, vault) = cached();
    let keyfile = &fixture.keyfile;
    let asked = |key: &str, data: &str, blind| AppendRequest {
        idempotency_key: Some(key.to_owned()),
        blind,
        ..request("OBSERVATION", "a", data)
    };
    let append = |request: &AppendRequest<'_>| vault.append(request, keyfile);
    let (free, full) = (
        r#"{"text":"longer than a tombstone: 0123456789012345678901234567890123456789"}"#,
        r#"{"subject":"door","predicate":"is","value":"open","timestamp":"2026-01-01T00:00:00Z"}"#,
    );
    for (data, blind, key) in [
        (free, false, "k0"),
        (free, true, "k1"),
        (full, false, "k2"),
        (full, true, "k3"),
    ] {
        let first = append(&asked(key, data, blind)).unwrap();
        let many = vec![asked(key, data, blind), asked(key, data, blind)];
        let again = append(&asked(key, data, blind)).unwrap();
        assert!(again.repeated && again.event_json == first.event_json);
        let again = vault
            .append_many(many, keyfile, BatchOptions::default())
            .unwrap();
        assert!(
            again
                .iter()
                .all(|it| it.repeated && it.event_json == first.event_json)
        );

        // What was asked for then was another form of the same data.
        let Err(VaultError::KeyReused { difference, .. }) = append(&asked(key, data, !blind))
        else {
            panic!("{key} was taken");
        };
        assert!(
            difference.contains("random bytes in its payload"),
            "{difference}"
        );
        let Err(VaultError::KeyReused { difference, .. }) = append(&asked(key, "{}", blind)) else {
            panic!("{key} was taken");
        };
        assert_eq!(difference, "whose data is another");

        let redact = RedactOptions {
            reason: "asked for".to_owned(),
            ..RedactOptions::default()
        };
        vault.redact(first.event_id, keyfile, &redact).unwrap();
        // Of what is gone it is only known that it was not this.
        let Err(VaultError::KeyReused { difference, .. }) = append(&asked(key, "{}", false)) else {
            panic!("{key} was taken");
        };
        assert_eq!(
            difference,
            "whose payload was erased, and was another or had random bytes"
        );
        let again = append(&asked(key, data, blind));
        match blind {
            false => assert!(again.unwrap().repeated),
            // Nobody can tell, now that the bytes are gone.
            true => assert!(matches!(
                again,
                Err(VaultError::KeyReused { difference, .. })
                    if difference == "whose payload was erased, and its random bytes with it"
            )),
        }
    }
    // Within one batch, before the first is in the log.
    let both = vec![asked("new", free, true), asked("new", free, false)];
    let refused = vault.append_many(both, keyfile, BatchOptions::default());
    assert!(
        matches!(
            &refused,
            Err(Rejected {
                index: 1,
                error: VaultError::KeyReused { .. }
            })
        ),
        "{refused:?}"
    );
    assert!(vault.verify(&strict()).unwrap().is_valid());
}

#[test]
fn events_that_speak_of_others_are_known_again() {
    let fixture = Fixture::with_quorum();
    let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
    let (root, quorum) = fixture.root_and_quorum();
    let told = vault.append(&note("a", "a secret"), keyfile).unwrap();
    let data = format!(r#"{{"target_event_id":"{}"}}"#, told.event_id);
    let redaction = request("com.provara.redaction", "dpo", &data);
    let new = SigningKey::from_seed(&[79; 32]);
    let [revocation, _] = rotation(root, &new, quorum);
    for (number, asked) in [redaction, revocation].into_iter().enumerate() {
        let asked = AppendRequest {
            idempotency_key: Some(number.to_string()),
            key_id: Some(quorum),
            ..asked
        };
        let first = vault.append(&asked, keyfile).unwrap();
        let again = vault.append(&asked, keyfile).unwrap();
        assert_eq!(
            (first.event_id, false, true),
            (again.event_id, first.repeated, again.repeated)
        );
        // In a batch, which takes such events one by one.
        let more = vec![asked, note("a", "more")];
        let writer = LogWriter::open(vault).unwrap();
        let mut batch = writer.batch(keyfile, BatchOptions::default());
        batch.append(more).unwrap();
        let done = batch.finish().unwrap();
        assert_eq!((done.events, done.repeated), (1, 1));
        let receipts = batch.take_receipts();
        drop(batch);
        let repeated = receipts.iter().map(|it| it.repeated);
        assert_eq!(repeated.collect::<Vec<_>>(), [true, false]);
        assert_eq!(receipts[0].event_id, first.event_id);
    }
}

#[test]
fn a_merge_a_redaction_and_a_closed_vault_change_no_answer() {
    let (fixture, vault) = cached();
    let keyfile = &fixture.keyfile;
    let other = copy(&vault, &fixture.outside().join("other"));
    let there = other.append(&keyed("b", "there", "k"), keyfile).unwrap();
    let here = vault
        .append(
            &keyed("a", "here, and longer than a tombstone would be", "k"),
            keyfile,
        )
        .unwrap();
    vault
        .merge(&other, keyfile, &MergeOptions::default())
        .unwrap();
    answers_are_right(&fixture, &vault, &there, "k", "there");
    let redact = RedactOptions {
        reason: "asked for".to_owned(),
        actor: Some("dpo".to_owned()),
        ..RedactOptions::default()
    };
    vault.redact(here.event_id, keyfile, &redact).unwrap();
    // The payload is gone, and its hash is left.
    let text = "here, and longer than a tombstone would be";
    let again = vault.append(&keyed("a", text, "k"), keyfile).unwrap();
    assert!(again.repeated && again.event_id == here.event_id);
    let refused = vault.append(&keyed("a", "x", "k"), keyfile);
    assert!(
        matches!(refused, Err(VaultError::KeyReused { .. })),
        "{refused:?}"
    );
    let close = AppendRequest {
        idempotency_key: Some("close".to_owned()),
        ..request("com.provara.vault.seal", "a", "{}")
    };
    let closed = vault.append(&close, keyfile).unwrap();
    let again = vault.append(&close, keyfile).unwrap();
    assert!(again.repeated && again.event_id == closed.event_id);
    let refused = vault.append(&keyed("a", "new", "new"), keyfile);
    assert!(
        matches!(refused, Err(VaultError::Closed { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_dry_run_judges_like_a_batch_and_changes_nothing() {
    let (fixture, vault) = cached();
    vault
        .append(&keyed("a", "one", "k"), &fixture.keyfile)
        .unwrap();
    let before = fixture.log();
    let kept_before = fs::read(kept(&fixture)).unwrap();
    let requests = || {
        vec![
            keyed("a", "one", "k"),
            keyed("a", "two", "k"),
            note("", "no actor"),
            keyed("a", "new", "n"),
            keyed("a", "new", "n"),
            keyed("a", "newer", "n"),
            note("a", "plain"),
        ]
    };
    for dry_run in [true, false] {
        let options = BatchOptions {
            dry_run,
            ..BatchOptions::default()
        };
        let writer = match dry_run {
            true => LogWriter::open_to_judge(&vault).unwrap(),
            false => LogWriter::open_with(&vault, &fixture.keyfile).unwrap(),
        };
        let mut batch = writer.batch(&fixture.keyfile, options);
        let mut refused = Vec::new();
        let mut refuse = |it: Rejected| refused.push(it.index);
        batch.append_each(requests(), &mut refuse).unwrap();
        assert_eq!(refused, [1, 2, 5]);
        let receipt = batch.finish().unwrap();
        assert_eq!((receipt.events, receipt.repeated), (2, 2));
        drop(batch);
        assert_eq!(fixture.log() == before, dry_run);
        assert_eq!(fs::read(kept(&fixture)).unwrap() == kept_before, dry_run);
    }
    assert_eq!(verifies(&vault), 5);
}

#[test]
fn what_may_never_be_written_has_no_id() {
    let (fixture, vault) = cached();
    let closing = || request("com.provara.vault.seal", "a", "{}");
    for (dry_run, atomic) in [(true, false), (false, true), (false, false)] {
        let refused = |requests: Vec<AppendRequest<'static>>| {
            let writer = match dry_run {
                true => LogWriter::open_to_judge(&vault).unwrap(),
                false => LogWriter::open_with(&vault, &fixture.keyfile).unwrap(),
            };
            let options = BatchOptions {
                dry_run,
                atomic,
                ..BatchOptions::default()
            };
            let mut batch = writer.batch(&fixture.keyfile, options);
            batch.append(requests).unwrap_err().error
        };
        let key = format!("k{dry_run}{atomic}");
        let reused = refused(vec![keyed("a", "one", &key), keyed("a", "two", &key)]);
        let named = !dry_run && !atomic;
        let VaultError::KeyReused { event, .. } = &reused else {
            panic!("{reused}");
        };
        assert_eq!(event.is_some(), named, "{reused}");
        assert_eq!(reused.to_string().contains("evt_"), named, "{reused}");
        let closed = refused(vec![closing(), note("a", "more")]);
        assert_eq!(
            matches!(closed, VaultError::Closed { .. }),
            named,
            "{closed}"
        );
        assert_eq!(
            matches!(closed, VaultError::ClosedByBatch),
            !named,
            "{closed}"
        );
    }
}

#[test]
fn a_dry_run_says_nothing_of_what_it_leaves_as_it_is() {
    let fixture = Fixture::new();
    let vault = &fixture.vault;
    let seal = ["manifest.json", "manifest.sig", "merkle_root.txt"].map(|name| fixture.file(name));
    let before = seal.each_ref().map(|path| fs::read(path).unwrap());
    vault.append(&note("a", "1"), &fixture.keyfile).unwrap();
    for (path, bytes) in seal.iter().zip(before) {
        fs::write(path, bytes).unwrap();
    }
    // Nor has the last line its end.
    let log = fixture.log();
    fs::write(vault.log_path(), &log[..log.len() - 1]).unwrap();
    for dry_run in [true, false] {
        let writer = match dry_run {
            true => LogWriter::open_to_judge(vault).unwrap(),
            false => LogWriter::open_with(vault, &fixture.keyfile).unwrap(),
        };
        let options = BatchOptions {
            dry_run,
            ..BatchOptions::default()
        };
        let mut batch = writer.batch(&fixture.keyfile, options);
        batch.append(vec![note("a", "2")]).unwrap();
        let notes = batch.finish().unwrap().notes;
        for told in ["the seal lagged", "it was added"] {
            let is_told = notes.iter().any(|it| it.contains(told));
            assert_eq!(is_told, !dry_run, "{notes:?}");
        }
    }
    verifies(vault);
}
