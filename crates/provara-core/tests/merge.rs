//! Merging: the order of section 7 against a reference that is written as the section reads, and
//! the algebra of merges over seeded histories, to the byte.

#[path = "support/log_forge.rs"]
mod log_forge;

use std::collections::{BTreeMap, BTreeSet};

use log_forge::{Log, entry, key};
use proptest::prelude::*;
use provara_core::event::Draft;
use provara_core::event_type::EventType;
use provara_core::finding::{Code, Finding};
use provara_core::id::EventId;
use provara_core::json;
use provara_core::keys::{KeyRegistry, signature_to_base64};
use provara_core::merge::delta::{self, DeltaError};
use provara_core::merge::{MergeError, Side, merge};
use provara_core::time::Timestamp;
use provara_core::verify::verify_log;

/// One event to come: the actor, and its time in steps that repeat often.
type Step = (u8, i64);

/// A copy of a vault: its log, and where each actor stands.
#[derive(Clone)]
struct Copy {
    lines: Vec<Vec<u8>>,
    heads: BTreeMap<String, (EventId, u64)>,
}

impl Copy {
    fn born() -> Self {
        let log = Log::with_keys(&[1]);
        Self {
            lines: log.lines,
            heads: BTreeMap::from([("genesis".to_owned(), (log.ids[0], 1))]),
        }
    }

    /// Appends an event of `actor`; `text` makes events of equal place and time differ.
    fn add(&mut self, actor: &str, at: i64, text: &str) -> EventId {
        let payload = json::object([("text", text.into())]);
        self.add_event(actor, 1, at, "com.example.test.note", &payload)
    }

    fn add_event(
        &mut self,
        actor: &str,
        seed: u8,
        at: i64,
        event_type: &str,
        payload: &json::Value<'_>,
    ) -> EventId {
        let event_type: EventType = event_type.parse().unwrap();
        let (prev, logical) = self
            .heads
            .get(actor)
            .map_or((None, 0), |(id, at)| (Some(*id), *at));
        let event = Draft {
            event_type: &event_type,
            actor,
            namespace: None,
            payload,
            prev,
            ts_logical: logical + 1,
            timestamp: Timestamp::from_unix_micros(1_900_000_000_000_000 + at).unwrap(),
            seal: None,
            after: None,
        }
        .sign(&key(seed))
        .unwrap();
        self.heads.insert(actor.to_owned(), (event.id, logical + 1));
        self.lines.push(event.line);
        event.id
    }

    /// Appends events whose actors no other copy with another `name` has.
    fn live(mut self, name: &str, steps: &[Step]) -> Self {
        for (number, (actor, at)) in steps.iter().enumerate() {
            self.add(&format!("{name}{actor}"), *at, &format!("{name} {number}"));
        }
        self
    }

    /// The same, with events that need others before them.
    fn live_wildly(mut self, name: &str, deeds: &[Deed]) -> Self {
        for (number, (actor, at, seed, what)) in deeds.iter().enumerate() {
            let actor = format!("{name}{actor}");
            let [seed, kind] = [2 + seed % 2, what % 4];
            let known: Vec<EventId> = self.lines.iter().map(|line| id_of(line)).collect();
            let some = known[usize::from(*what) % known.len()];
            match kind {
                0 => drop(self.add(&actor, *at, &format!("{name} {number}"))),
                1 => {
                    let payload = json::object([("target_event_id", some.to_string().into())]);
                    self.add_event(&actor, 1, *at, "com.provara.redaction", &payload);
                }
                2 => {
                    let payload = json::object([
                        ("key_id", key(seed).key_id().to_string().into()),
                        ("public_key_b64", key(seed).public().to_base64().into()),
                    ]);
                    self.add_event(&actor, 1, *at, "com.provara.key.added", &payload);
                }
                _ => {
                    let payload = json::object([("text", name.to_owned().into())]);
                    self.add_event(&actor, seed, *at, "com.example.test.note", &payload);
                }
            }
        }
        self
    }

    fn log(&self) -> Vec<u8> {
        self.lines.concat()
    }
}

/// An event to come: actor, time, key, and what it is.
type Deed = (u8, i64, u8, u8);

fn id_of(line: &[u8]) -> EventId {
    let event = json::parse(line.trim_ascii_end()).unwrap();
    event
        .get("event_id")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn registry() -> KeyRegistry {
    KeyRegistry {
        keys: vec![entry(1)],
        ..KeyRegistry::default()
    }
}

fn rewritten(ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let merged = merge(ours, theirs).unwrap();
    assert!(merged.forks().is_empty());
    merged.rewritten()
}

/// Section 7 as it reads, with JSON trees and in quadratic time.
fn as_the_section_reads(logs: &[&[u8]]) -> Vec<u8> {
    let text = |line: &[u8], name: &str| {
        let event = json::parse(line).unwrap();
        event
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let lines: BTreeSet<&[u8]> = logs
        .iter()
        .flat_map(|log| log.split(|byte| *byte == b'\n'))
        .filter(|line| !line.is_empty())
        .collect();
    let mut left: Vec<&[u8]> = lines.into_iter().collect();
    let said = |line: &[u8], name: &str| {
        let event = json::parse(line).unwrap();
        let payload = event.get("payload").unwrap();
        payload
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let brought = |line: &[u8]| match text(line, "type").as_deref() {
        Some("com.provara.key.added") => said(line, "key_id"),
        _ => None,
    };
    let known: BTreeSet<_> = left.iter().map(|line| text(line, "event_id")).collect();
    let late: BTreeSet<_> = left.iter().filter_map(|line| brought(line)).collect();
    let mut there = BTreeSet::new();
    let mut taken: BTreeSet<Option<String>> = BTreeSet::from([None]);
    let mut out = Vec::new();
    while !left.is_empty() {
        let follows = |line: &[u8]| taken.contains(&text(line, "prev_event_hash"));
        let waits = |line: &[u8]| {
            let target = match text(line, "type").as_deref() {
                Some("com.provara.redaction") => said(line, "target_event_id"),
                _ => None,
            };
            let signer = text(line, "actor_key_id").unwrap();
            (target.is_some() && known.contains(&target) && !taken.contains(&target))
                || (late.contains(&signer) && !there.contains(&signer))
        };
        // Where all wait in a circle, the least one waits no more.
        let free = left.iter().any(|line| follows(line) && !waits(line));
        let (at, _) = left
            .iter()
            .enumerate()
            .filter(|(_, line)| follows(line) && !(free && waits(line)))
            .min_by_key(|(_, line)| {
                let first = text(line, "type").as_deref() != Some("GENESIS");
                (first, text(line, "timestamp_utc"), text(line, "event_id"))
            })
            .unwrap();
        let line = left.remove(at);
        taken.insert(text(line, "event_id"));
        there.extend(brought(line));
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u8..3, 0i64..6), 0..most)
}

fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec((0u8..3, 0i64..6, 0u8..2, any::<u8>()), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn merging_is_commutative_associative_and_idempotent_to_the_byte(
        common in steps(6), a in steps(8), b in steps(8), c in steps(5)
    ) {
        let common = Copy::born().live("common", &common);
        let [a, b, c] = [("a", &a), ("b", &b), ("c", &c)].map(|(name, steps)| common.clone().live(name, steps).log());
        let ab = rewritten(&a, &b);
        prop_assert_eq!(&ab, &rewritten(&b, &a));
        prop_assert_eq!(&ab, &as_the_section_reads(&[&a, &b]));
        prop_assert_eq!(&ab, &rewritten(&ab, &b));
        prop_assert_eq!(&ab, &rewritten(&b, &ab));
        prop_assert_eq!(&ab, &rewritten(&ab, &ab));
        prop_assert_eq!(rewritten(&ab, &c), rewritten(&a, &rewritten(&b, &c)));

        let verdict = verify_log(&ab, &registry());
        let errors: Vec<_> = verdict.findings.iter().filter(|finding| !finding.code.is_warning()).collect();
        prop_assert!(errors.is_empty(), "{:?}", errors);
    }

    #[test]
    fn what_events_wait_for_leaves_merging_commutative_associative_and_idempotent(
        common in deeds(6), a in deeds(8), b in deeds(8), c in deeds(5)
    ) {
        let common = Copy::born().live_wildly("common", &common);
        let [a, b, c] = [("a", &a), ("b", &b), ("c", &c)].map(|(name, deeds)| common.clone().live_wildly(name, deeds).log());
        let ab = rewritten(&a, &b);
        prop_assert_eq!(&ab, &rewritten(&b, &a));
        prop_assert_eq!(&ab, &as_the_section_reads(&[&a, &b]));
        prop_assert_eq!(&ab, &rewritten(&ab, &ab));
        prop_assert_eq!(rewritten(&ab, &c), rewritten(&a, &rewritten(&b, &c)));
        let appended = merge(&a, &b).unwrap().appended();
        prop_assert_eq!(rewritten(&appended, &b), ab);
    }

    #[test]
    fn an_append_only_merge_keeps_the_prefix_and_brings_the_same_events(
        common in steps(6), a in steps(8), b in steps(8)
    ) {
        let common = Copy::born().live("common", &common);
        let [a, b] = [("a", &a), ("b", &b)].map(|(name, steps)| common.clone().live(name, steps).log());
        let merged = merge(&a, &b).unwrap();
        let appended = merged.appended();
        prop_assert!(appended.starts_with(&a));
        prop_assert_eq!(&merge(&appended, &b).unwrap().appended(), &appended);
        // The new events stand among themselves as they do in the rewritten log.
        let new = &appended[a.len()..];
        let in_order: Vec<u8> = merged.rewritten().split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !a.split_inclusive(|byte| *byte == b'\n').any(|old| old == *line))
            .flatten().copied().collect();
        prop_assert_eq!(new, &in_order[..]);
        // Whatever way it came, the union is the same.
        prop_assert_eq!(rewritten(&appended, &b), rewritten(&a, &b));
        prop_assert!(verify_log(&appended, &registry()).findings.iter().all(|finding| finding.code.is_warning()));
    }

    #[test]
    fn a_bundle_since_any_event_brings_what_the_whole_log_brings(
        common in steps(6), b in steps(8), since in any::<prop::sample::Index>()
    ) {
        let a = Copy::born().live("common", &common);
        let b = a.clone().live("b", &b);
        let at = since.index(a.lines.len());
        let id = json::parse(a.lines[at].trim_ascii_end()).unwrap().get("event_id").unwrap().as_str().unwrap().to_owned();
        let log = b.log();
        let events = delta::events_since(&log, Some(id.parse().unwrap())).unwrap();
        let count = events.iter().filter(|byte| **byte == b'\n').count() as u64;
        prop_assert_eq!(count as usize, b.lines.len() - at - 1);
        let mut bundle = delta::header(Some(id.parse().unwrap()), count, Timestamp::from_unix_micros(0).unwrap(), &registry());
        bundle.extend_from_slice(events);
        let read = delta::parse(&bundle).unwrap();
        prop_assert_eq!(&read.keys, &registry());
        prop_assert_eq!(rewritten(&a.log(), read.events), rewritten(&a.log(), &log));
    }
}

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
        log_forge::set(
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
        .replace(&sig, &signature_to_base64(&[7; 64]))
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
    let changed = text.replacen(&log_forge::id(1).to_string(), "bp1_0000000000000000", 1);
    assert!(matches!(refused(changed.as_bytes()), DeltaError::Keys(_)));
}
