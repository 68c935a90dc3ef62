//! Merging, case by case: what stands where, forks, redactions, what has no union, and delta bundles
//! (spec/VAULT_FORMAT, section 7).

use crate::support::copies::{Copy, registry, rewritten};
use crate::support::log_forge::{Log, id, key, set};
use provara_core::finding::{Code, Finding};
use provara_core::id::EventId;
use provara_core::json;
use provara_core::keys::Signature;
use provara_core::merge::delta::{self, DeltaError};
use provara_core::merge::{MergeError, Side, merge};
use provara_core::time::Timestamp;
use provara_core::verify::verify_log;

#[test]
fn the_genesis_event_stays_first_whatever_the_clocks_say() {
    let earlier = -200_000_000_000_000;
    let (mut ours, mut theirs) = (Copy::born(), Copy::born());
    ours.add("a", earlier, "before the vault was born");
    theirs.add("b", earlier - 1, "long before");
    let merged = rewritten(&ours.log(), &theirs.log());
    assert_eq!(merged, rewritten(&theirs.log(), &ours.log()));
    assert!(merged.starts_with(&ours.lines[0]));
    let verdict = verify_log(&merged, &registry());
    assert!(verdict.findings.iter().all(|found| found.code.is_warning()));
}

#[test]
fn a_chain_comes_before_its_clock() {
    let mut copy = Copy::born();
    copy.add("a", 50, "first");
    copy.add("a", 10, "second, with an earlier time");
    let mut other = Copy::born();
    other.add("b", 30, "between");
    let merged = rewritten(&copy.log(), &other.log());
    let actors: Vec<_> = merged
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let event = json::parse(line).unwrap();
            event.get("actor").unwrap().as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actors, ["genesis", "b", "a", "a"]);
}

/// A copy whose clock is behind, merged with one whose clock is not: what needs another event stands after
/// it, and the result verifies.
#[test]
fn an_event_stands_behind_what_it_needs_whatever_the_clocks_say() {
    let mut common = Copy::born();
    let target = common.add("a", 1_000, "to be redacted");
    let leaf = {
        let line = common.lines.last().unwrap().trim_ascii_end();
        provara_core::tree::leaf(&provara_core::scan::scan_line(line).unwrap())
    };
    let mut slow = common.clone();
    let payload = json::object([
        ("reason", "asked".into()),
        ("target_event_id", target.to_string().into()),
        ("target_leaf_hash", leaf.to_string().into()),
    ]);
    let redaction = slow.add_event("b", 1, 5, "com.provara.redaction", &payload);
    slow.lines[1] = tombstoned(&slow.lines[1], redaction);
    // Key 2 comes on the slow clock's word, and signs on a clock that is slower still.
    let payload = json::object([
        ("added_at_utc", "2026-01-01T00:00:00.000000Z".into()),
        ("algorithm", "Ed25519".into()),
        ("key_id", key(2).key_id().to_string().into()),
        ("public_key_b64", key(2).public().to_base64().into()),
        ("roles", json::Value::Array(vec!["attestation".into()])),
    ]);
    slow.add_event("b", 1, 20, "com.provara.key.added", &payload);
    let note = json::object([("text", "by the new key".into())]);
    slow.add_event("c", 2, 3, "com.example.test.note", &note);
    let boundary = slow.add("d", 1_100, "the last one that counts");
    let payload = json::object([
        ("reason", "lost".into()),
        ("revoked_at_utc", "2026-01-01T00:00:00.000000Z".into()),
        ("revoked_key_id", key(2).key_id().to_string().into()),
        ("trust_boundary_event_id", boundary.to_string().into()),
    ]);
    slow.add_event("e", 1, 4, "KEY_REVOCATION", &payload);

    let other = common.clone().live("other", &[(0, 2), (1, 950)]).log();
    let (merged, back) = (
        rewritten(&slow.log(), &other),
        rewritten(&other, &slow.log()),
    );
    assert_eq!(merged, back);
    let sound = |log: &[u8]| {
        let verdict = verify_log(log, &registry());
        let of_log = |found: &&Finding| !found.code.is_warning() && found.line.is_some();
        let errors: Vec<_> = verdict.findings.iter().filter(of_log).collect();
        assert!(errors.is_empty(), "{errors:?}");
        verdict
    };
    let verdict = sound(&merged);
    assert_eq!(verdict.redacted_lines.len(), 1);

    // Added after the log of the other, the tombstone comes with its redaction, and nothing else changes.
    let slow_log = slow.log();
    let union = merge(&other, &slow_log).unwrap();
    let appended = union.appended();
    let changed: Vec<_> = other
        .split_inclusive(|byte| *byte == b'\n')
        .zip(appended.split_inclusive(|byte| *byte == b'\n'))
        .filter(|(before, after)| before != after)
        .collect();
    assert_eq!(changed, [(&common.lines[1][..], &slow.lines[1][..])]);
    sound(&appended);
}

#[test]
fn a_fork_is_shown_with_both_events_and_only_it_breaks_the_result() {
    let mut common = Copy::born();
    let prev = common.add("a", 1, "common");
    let (mut ours, mut theirs) = (common.clone(), common);
    let left = ours.add("a", 2, "ours");
    ours.add("a", 4, "ours again");
    let right = theirs.add("a", 3, "theirs");
    let (ours, theirs) = (ours.log(), theirs.log());
    let merged = merge(&ours, &theirs).unwrap();
    let [fork] = merged.forks() else {
        panic!("{:?}", merged.forks());
    };
    assert!(fork.is_new());
    assert_eq!((fork.actor.as_str(), fork.prev), ("a", Some(prev)));
    assert_eq!(fork.branches.map(|branch| branch.id), [left, right]);
    assert_eq!(
        fork.branches.map(|branch| branch.side),
        [Side::Ours, Side::Theirs]
    );
    for branch in fork.branches {
        let text = format!("\"event_id\":\"{}\"", branch.id);
        assert!(String::from_utf8_lossy(branch.line).contains(&text));
    }
    let kept = merged.rewritten();
    assert_eq!(kept, merge(&theirs, &ours).unwrap().rewritten());
    let verdict = verify_log(&kept, &registry());
    assert!(
        verdict
            .findings
            .iter()
            .any(|finding| finding.code == Code::E002)
    );
    assert!(
        verdict
            .findings
            .iter()
            .all(|finding| matches!(finding.code, Code::E002 | Code::W009))
    );

    // Merging again changes nothing, and the fork is no news.
    let again = merge(&kept, &theirs).unwrap();
    assert_eq!(again.rewritten(), kept);
    assert!(again.forks().iter().all(|fork| !fork.is_new()));

    // Two first events of one actor are a fork as well.
    let (mut one, mut two) = (Copy::born(), Copy::born());
    one.add("new", 1, "here");
    two.add("new", 1, "there");
    let (one, two) = (one.log(), two.log());
    assert_eq!(merge(&one, &two).unwrap().forks()[0].prev, None);
}

#[test]
fn logs_without_a_union_say_why() {
    let log = Log::new().lines.concat();
    let mut other = Log::with_keys(&[1]);
    other.edit_signed(0, 1, |members| {
        set(
            members,
            "timestamp_utc",
            "2027-01-01T00:00:00.000000Z".into(),
        );
    });
    assert!(matches!(
        merge(&log, &other.lines.concat()),
        Err(MergeError::Unrelated { .. })
    ));
    let mut copy = Copy::born();
    let prev = copy.add("a", 1, "lost");
    let event_id = copy.add("a", 2, "found");
    let expected = MergeError::Missing {
        event_id,
        actor: "a".into(),
        prev,
    };
    assert_eq!(merge(&log, &copy.lines[2]).unwrap_err(), expected);
    let twice = [&copy.lines[1][..], &copy.lines[1][..]].concat();
    assert!(matches!(
        merge(&Copy::born().log(), &twice),
        Err(MergeError::Duplicate {
            side: Side::Theirs,
            line: 2,
            ..
        })
    ));
    assert!(matches!(
        merge(&log, b"{\"no\":\"event\"}\n"),
        Err(MergeError::Line { line: 1, .. })
    ));
}

/// Replaces the payload, saying what it was.
fn tombstoned(line: &[u8], redaction: EventId) -> Vec<u8> {
    let scanned = provara_core::scan::scan_line(line.trim_ascii_end()).unwrap();
    let payload = scanned.raw(provara_core::scan::Field::Payload).unwrap();
    let original = provara_core::id::Digest::of(payload).to_string();
    let line = redact(line, redaction);
    let text = String::from_utf8(line).unwrap();
    text.replace(&"0".repeat(64), &original).into_bytes()
}

/// Replaces the payload of an event as a redaction by `redaction` permits.
fn redact(line: &[u8], redaction: EventId) -> Vec<u8> {
    let mut event = json::parse(line.trim_ascii_end()).unwrap().into_owned();
    let json::Value::Object(members) = &mut event else {
        panic!()
    };
    let payload = members
        .iter_mut()
        .find(|(name, _)| name == "payload")
        .unwrap();
    payload.1 = json::object([
        ("original_payload_hash", "0".repeat(64).into()),
        ("redacted", true.into()),
        ("redaction_event_id", redaction.to_string().into()),
        ("redaction_reason", "asked".into()),
    ]);
    let mut line = provara_core::canonical::jcs(&event).unwrap();
    line.push(b'\n');
    line
}

#[test]
fn a_redacted_payload_stays_redacted_from_either_side() {
    let mut log = Log::new();
    let target = log.ids[1];
    let whole = log.lines.concat();
    let redaction = log.add(
        "bob",
        3,
        "com.provara.redaction",
        &format!(
            r#"{{"authority":"a","reason":"r","reason_detail":"d","redaction_method":"tombstone","target_event_id":"{target}"}}"#
        ),
    );
    log.lines[1] = redact(&log.lines[1], redaction);
    let redacted = log.lines.concat();
    assert_eq!(rewritten(&whole, &redacted), redacted);
    assert_eq!(rewritten(&redacted, &whole), redacted);
    assert!(
        verify_log(&redacted, &log.registry)
            .findings
            .iter()
            .all(|f| f.code.is_warning())
    );
    let merged = merge(&whole, &redacted).unwrap();
    let [variant] = merged.variants() else {
        panic!()
    };
    assert!(variant.theirs_redacted && variant.kept == Side::Theirs);
    // Its own redacted payload is the one thing that an append-only merge changes in this log.
    let appended = merged.appended();
    assert!(appended.starts_with(&log.lines[..3].concat()));
    assert_eq!(appended, redacted);
}

#[test]
fn two_signatures_of_one_event_come_to_one() {
    let log = Log::new();
    let mut other = log.lines.clone();
    // The id is over all but the signature.
    let event = json::parse(other[2].trim_ascii_end()).unwrap();
    let sig = event.get("sig").unwrap().as_str().unwrap().to_owned();
    let text = String::from_utf8(other[2].clone()).unwrap();
    other[2] = text
        .replace(&sig, &Signature([7; 64]).to_base64())
        .into_bytes();
    let (ours, theirs) = (log.lines.concat(), other.concat());
    assert_eq!(rewritten(&ours, &theirs), rewritten(&theirs, &ours));
}

#[test]
fn bundles_that_are_cut_or_changed_are_refused() {
    let log = Log::new();
    let mut bundle = delta::header(
        None,
        3,
        Timestamp::from_unix_micros(0).unwrap(),
        &log.registry,
    );
    bundle.extend_from_slice(&log.lines.concat());
    assert_eq!(delta::parse(&bundle).unwrap().events, log.lines.concat());
    let refused = |text: &[u8]| delta::parse(text).unwrap_err();
    assert_eq!(refused(&bundle[..bundle.len() - 1]), DeltaError::Cut);
    let short = bundle.len() - log.lines[2].len();
    assert_eq!(
        refused(&bundle[..short]),
        DeltaError::Count {
            announced: 3,
            found: 2
        }
    );
    assert_eq!(refused(&log.lines[0]), DeltaError::Type);
    assert!(matches!(refused(b""), DeltaError::Json(_)));
    let text = String::from_utf8(bundle).unwrap();
    for (from, to, field) in [
        ("\"event_count\":3", "\"event_count\":-3", "event_count"),
        ("\"since_hash\":null", "\"since_hash\":7", "since_hash"),
        ("\"keys\":[", "\"keyz\":[", "keys"),
        ("\"exported_at\":\"", "\"exported\":\"", "exported_at"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = refused(text.replacen(from, to, 1).as_bytes());
        assert!(
            matches!(changed, DeltaError::Field { field: named, .. } if named == field),
            "{changed}"
        );
    }
    let changed = text.replacen(&id(1).to_string(), "bp1_0000000000000000", 1);
    assert!(matches!(refused(changed.as_bytes()), DeltaError::Keys(_)));
}
