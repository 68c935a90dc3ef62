//! Redacting: a payload goes for good, its event stays bound, and nothing else is lost.

use std::fs;
use std::io::Write as _;

use crate::common::{Fixture, codes, copy, note, picture, request, rotation, strict, verifies};
use provara_core::id::EventId;
use provara_core::json;
use provara_core::keys::SigningKey;
use provara_core::scan::scan_line;
use provara_core::tree::EventTree;
use provara_core::verify::REDACTION_TYPE;
use provara_vault::{
    BatchOptions, LogWriter, MergeOptions, RedactOptions, RedactReceipt, RedactRefusal, Vault,
    VaultError, VerifyOptions,
};

const SECRET: &str = "what nobody may read again";

fn redact(vault: &Vault, fixture: &Fixture, id: EventId) -> Result<RedactReceipt, VaultError> {
    let options = RedactOptions {
        reason: "GDPR \u{e9}".to_owned(),
        detail: Some("at length".to_owned()),
        authority: Some("ticket 4711".to_owned()),
        ..RedactOptions::default()
    };
    vault.redact(id, &fixture.keyfile, &options)
}

fn append(vault: &Vault, fixture: &Fixture, actor: &str, text: &str) -> EventId {
    let receipt = vault.append(&note(actor, text), &fixture.keyfile);
    receipt.unwrap().event_id
}

/// The root of the event tree over the first `size` events.
fn tree_root(vault: &Vault, size: usize) -> provara_core::id::Digest {
    let log = fs::read(vault.log_path()).unwrap();
    let mut tree = EventTree::new();
    for line in log.split(|byte| *byte == b'\n').take(size) {
        tree.push(provara_core::tree::leaf(&scan_line(line).unwrap()));
    }
    tree.root()
}

#[track_caller]
fn is_nowhere(fixture: &Fixture) {
    for (path, _, bytes) in picture(fixture.outside()) {
        let found = memchr::memmem::find(&bytes, SECRET.as_bytes());
        assert!(found.is_none(), "{}", path.display());
    }
}

fn refused(error: VaultError) -> RedactRefusal {
    match error {
        VaultError::Redaction(refusal) => refusal,
        error => panic!("{error}"),
    }
}

#[test]
fn a_payload_goes_and_the_tree_keeps_its_root() {
    let fixture = Fixture::new();
    append(&fixture.vault, &fixture, "a", "before");
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    let said = request(
        "OBSERVATION",
        "a",
        &format!(r#"{{"subject":"door","predicate":"is","value":"{SECRET}"}}"#),
    );
    let target = fixture
        .vault
        .append(&said, &fixture.keyfile)
        .unwrap()
        .event_id;
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    append(&fixture.vault, &fixture, "b", "after");
    let root = tree_root(&fixture.vault, 5);

    let receipt = redact(&fixture.vault, &fixture, target).unwrap();
    assert_eq!((receipt.target_line, receipt.event_count), (4, 6));
    assert_eq!(tree_root(&fixture.vault, 5), root);
    assert_eq!(receipt.removed_checkpoints, ["checkpoints/0000000004.chk"]);
    assert!(fixture.file("checkpoints/0000000003.chk").exists());
    is_nowhere(&fixture);
    assert_eq!(verifies(&fixture.vault), 6);
    let log = String::from_utf8(fixture.log()).unwrap();
    let event = json::parse(log.lines().last().unwrap().as_bytes()).unwrap();
    let said = |name| event.get("payload").unwrap().get(name).unwrap().as_str();
    assert_eq!(said("target_event_id"), Some(&*target.to_string()));
    assert_eq!(
        said("target_leaf_hash"),
        Some(&*receipt.target_leaf_hash.to_string())
    );
    assert_eq!(said("authority"), Some("ticket 4711"));

    // The next event of its actor follows the event, as before.
    append(&fixture.vault, &fixture, "a", "next");
    verifies(&fixture.vault);
    let refusal = refused(redact(&fixture.vault, &fixture, target).unwrap_err());
    assert!(
        matches!(refusal, RedactRefusal::Already { .. }),
        "{refusal}"
    );
}

#[test]
fn what_the_rules_read_is_not_redacted() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    fs::write(fixture.file("artifacts/cas/blob"), b"blob").unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    let target = append(&fixture.vault, &fixture, "a", SECRET);
    redact(&fixture.vault, &fixture, target).unwrap();
    for event in rotation(root, &new, quorum) {
        fixture.vault.append(&event, &fixture.keyfile).unwrap();
    }
    let log = String::from_utf8(fixture.log()).unwrap();
    let before = picture(fixture.vault.path());
    let mut kinds = 0;
    for line in log.lines() {
        let event = json::parse(line.as_bytes()).unwrap();
        let text = |name| event.get(name).unwrap().as_str().unwrap();
        let id = text("event_id").parse().unwrap();
        if matches!(text("type"), "OBSERVATION" | "com.example.test.note") {
            continue;
        }
        let refusal = refused(redact(&fixture.vault, &fixture, id).unwrap_err());
        assert!(matches!(refusal, RedactRefusal::Kind { .. }), "{refusal}");
        kinds += 1;
    }
    assert_eq!(kinds, 6);
    let unknown = "evt_000000000000000000000000".parse().unwrap();
    let refusal = refused(redact(&fixture.vault, &fixture, unknown).unwrap_err());
    assert_eq!(refusal, RedactRefusal::Unknown(unknown));
    let empty = RedactOptions::default();
    let error = fixture.vault.redact(target, &fixture.keyfile, &empty);
    assert_eq!(refused(error.unwrap_err()), RedactRefusal::NoReason);
    assert_eq!(picture(fixture.vault.path()), before);
}

#[test]
fn after_the_closing_event_redactions_may_follow() {
    let fixture = Fixture::new();
    let target = append(&fixture.vault, &fixture, "a", SECRET);
    let closing = request("com.provara.vault.seal", "a", "{}");
    let closing = fixture.vault.append(&closing, &fixture.keyfile).unwrap();
    let refusal = refused(redact(&fixture.vault, &fixture, closing.event_id).unwrap_err());
    assert!(matches!(refusal, RedactRefusal::Kind { .. }), "{refusal}");
    redact(&fixture.vault, &fixture, target).unwrap();
    is_nowhere(&fixture);
    assert_eq!(verifies(&fixture.vault), 5);
    let error = fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::Closed { .. }), "{error}");
}

/// A redaction event, as another tool or a merge leaves it: its target still has its payload.
fn open_redaction(fixture: &Fixture) -> EventId {
    let target = append(&fixture.vault, fixture, "a", SECRET);
    let data = format!(r#"{{"reason":"asked","target_event_id":"{target}"}}"#);
    let event = request(REDACTION_TYPE, "b", &data);
    fixture.vault.append(&event, &fixture.keyfile).unwrap();
    target
}

#[test]
fn a_redaction_that_was_not_carried_out_is_by_repair() {
    let fixture = Fixture::new();
    let target = open_redaction(&fixture);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_W013"]);
    // To redact it once more is refused, and what is refused changes nothing.
    let before = picture(fixture.vault.path());
    let again = redact(&fixture.vault, &fixture, target).unwrap_err();
    assert!(matches!(refused(again), RedactRefusal::Open { event_id, .. } if event_id == target));
    assert_eq!(picture(fixture.vault.path()), before);
    let planned = fixture.vault.repair(None, true).unwrap();
    assert_eq!(planned.steps.len(), 1, "{:?}", planned.steps);
    let done = fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
    assert_eq!(done.steps.len(), 1, "{:?}", done.steps);
    is_nowhere(&fixture);
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn a_redaction_that_was_not_carried_out_is_by_the_next_writer() {
    type Write = fn(&Fixture) -> Vec<String>;
    let append: Write = |fixture| {
        let receipt = fixture.vault.append(&note("b", "next"), &fixture.keyfile);
        receipt.unwrap().notes
    };
    let batch: Write = |fixture| {
        let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
        let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
        let requests = vec![note("b", "next"), note("a", "one more")];
        batch.append(requests).unwrap();
        batch.finish().unwrap().notes
    };
    let checkpoint: Write = |fixture| {
        let done = fixture.vault.checkpoint(&fixture.keyfile, None);
        done.unwrap().notes
    };
    for (write, torn) in [append, batch, checkpoint]
        .into_iter()
        .flat_map(|write| [(write, false), (write, true)])
    {
        let fixture = Fixture::new();
        open_redaction(&fixture);
        if torn {
            let log = fixture.vault.path().join("events/events.ndjson");
            let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
            log.write_all(b"{\"actor\":\"b\",").unwrap();
        }
        let notes = write(&fixture);
        let told = notes.iter().filter(|note| note.contains("redactions"));
        assert_eq!(told.count(), 1, "torn {torn}: {notes:?}");
        is_nowhere(&fixture);
        verifies(&fixture.vault);
    }
}

#[test]
fn a_merge_takes_over_what_was_redacted_and_nothing_that_was_not() {
    for append_only in [false, true] {
        let fixture = Fixture::new();
        let target = append(&fixture.vault, &fixture, "a", SECRET);
        let other = copy(&fixture.vault, &fixture.outside().join("other"));
        append(&fixture.vault, &fixture, "here", "1");
        fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
        redact(&other, &fixture, target).unwrap();
        let before = fixture.log();
        let root = tree_root(&fixture.vault, 4);
        let options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        let receipt = fixture.vault.merge(&other, &fixture.keyfile, &options);
        let receipt = receipt.unwrap();
        assert_eq!(receipt.retired_checkpoints.len(), 1);
        verifies(&fixture.vault);
        is_nowhere(&fixture);
        if append_only {
            assert_eq!(tree_root(&fixture.vault, 4), root, "the log goes on");
            let log = fixture.log();
            let changed = before
                .split(|byte| *byte == b'\n')
                .zip(log.split(|byte| *byte == b'\n'))
                .filter(|(a, b)| a != b && !a.is_empty())
                .count();
            assert_eq!(changed, 1);
        }
        // And back: the other has nothing to take over.
        other
            .merge(&fixture.vault, &fixture.keyfile, &options)
            .unwrap();
        verifies(&other);
    }
}

#[test]
fn a_tombstone_that_was_changed_is_told() {
    let fixture = Fixture::new();
    let target = append(&fixture.vault, &fixture, "a", SECRET);
    redact(&fixture.vault, &fixture, target).unwrap();
    let log = String::from_utf8(fixture.log()).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("original_payload_hash"))
        .unwrap();
    let namespaced = line.replace("\"actor\":\"a\"", "\"actor\":\"c\"");
    for changed in [
        line.replace("com.example.test.note", "com.example.test.other"),
        namespaced,
    ] {
        fs::write(fixture.vault.log_path(), log.replace(line, &changed)).unwrap();
        crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
        let report = fixture.vault.verify(&strict()).unwrap();
        assert!(
            codes(&report).contains(&"PROVARA_E016".to_owned()),
            "{:?}",
            codes(&report)
        );
    }
}
