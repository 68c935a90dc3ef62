//! Merging: the order of section 7 against a reference that is written as the section reads, and
//! the algebra of merges over seeded histories, to the byte.

use std::collections::BTreeSet;

use crate::support::copies::{Copy, Step, registry, rewritten};
use crate::support::log_forge::key;
use proptest::prelude::*;
use provara_core::id::EventId;
use provara_core::json;
use provara_core::merge::{delta, merge};
use provara_core::time::Timestamp;
use provara_core::verify::verify_log;

/// An event to come: actor, time, key, and what it is.
type Deed = (u8, i64, u8, u8);

impl Copy {
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
}

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
