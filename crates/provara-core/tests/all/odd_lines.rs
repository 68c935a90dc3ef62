//! Lines that are in no canonical form, and where a finding says that it is.

use crate::support::log_forge::{Log, key, set};
use provara_core::canonical::jcs;
use provara_core::finding::Code;
use provara_core::id::{Digest, EventId};
use provara_core::json::{self, Value};

#[test]
fn a_finding_of_a_member_is_where_its_value_stands() {
    let mut log = Log::new();
    log.edit_signed(2, 3, |members| set(members, "actor", 3_u64.into()));
    let log_bytes = log.lines.concat();
    let at = log_bytes
        .windows(10)
        .position(|bytes| bytes == b"\"actor\":3,");
    let finding = &log.verdict().findings[0];
    assert_eq!(finding.offset, at.map(|at| at as u64 + 8));
    assert_eq!(finding.found.as_deref(), Some("3"));
    log.edit_signed(2, 3, |members| members.retain(|(name, _)| name != "actor"));
    let before = log.lines[..2].concat().len() as u64;
    assert_eq!(log.verdict().findings[0].offset, Some(before));
}

#[test]
fn a_line_in_no_canonical_form_is_read_as_what_it_was_meant_to_be() {
    let not_canonical = [(Code::E104, 3)];
    // The event after it follows it: where the line were not read, its chain would break.
    let edited = |to: &str| {
        let mut log = Log::new();
        log.add("bob", 3, "com.acme.audit.login", "{}");
        log.edit_text(2, "\"n\":2", to);
        log.found()
    };
    assert_eq!(edited("\"n\": 2"), not_canonical, "white space");
    assert_eq!(edited("\"n\": 2.0"), not_canonical, "and another spelling");
    assert_eq!(edited("\"n\":1,\"n\":2"), not_canonical, "the last wins");
    let changed = [(Code::E104, 3), (Code::E004, 3), (Code::E003, 3)];
    assert_eq!(
        edited("\"n\": 3"),
        changed,
        "another value is another event"
    );
    assert_eq!(edited("\"n\":2,\"n\":3"), changed);
    let lost = [(Code::E104, 3), (Code::E013, 4)];
    assert_eq!(edited("\"n\":"), lost, "no JSON");

    let mut log = Log::new();
    log.edit_tokens(2, 3, "\"n\":2", "\"n\":2.0");
    assert_eq!(log.found(), [(Code::W007, 0)], "the token-preserving form");
    log.edit_text(2, "\"n\":2.0", "\"n\": 2.0");
    assert_eq!(log.found(), [(Code::E104, 3), (Code::W007, 0)]);

    // Keys as the one form sorts them, and a number as only the other spells it: neither.
    let mut log = Log::with_keys(&[1, 2, 3]);
    log.add("alice", 2, "com.acme.audit.login", "{}");
    let mixed = "{\"\u{1f600}\":2,\"\u{fb33}\":1}";
    log.add("bob", 3, "com.acme.audit.login", mixed);
    log.edit_text(2, "\":2", "\":2.0");
    let expected = [changed.as_slice(), &[(Code::W007, 0)]].concat();
    assert_eq!(log.found(), expected);
}

#[test]
fn a_long_line_with_a_key_twice_is_not_searched_for_what_it_was_meant_to_be() {
    const LIMIT: usize = 64 << 10;
    let of_length = |length: usize| {
        let log = |pad: usize| {
            let mut log = Log::with_keys(&[1, 2, 3]);
            log.add("alice", 2, "com.acme.audit.login", "{}");
            let payload = format!(r#"{{"n":2,"text":"{}"}}"#, "x".repeat(pad));
            log.add("bob", 3, "com.acme.audit.login", &payload);
            log.add("bob", 3, "com.acme.audit.login", "{}");
            log.edit_text(2, "\"n\":2", "\"n\":1,\"n\":2");
            log
        };
        let shortest = log(0).lines[2].len() - 1;
        let log = log(length - shortest);
        assert_eq!(log.lines[2].len() - 1, length);
        log.found()
    };
    assert_eq!(of_length(LIMIT), [(Code::E104, 3)]);
    assert_eq!(of_length(LIMIT + 1), [(Code::E104, 3), (Code::E013, 4)]);
}

#[test]
fn a_finding_in_a_line_that_is_not_canonical_points_to_its_start() {
    let mut log = Log::new();
    log.edit_signed(1, 2, |members| {
        set(members, "timestamp_utc", "noon".into());
    });
    let offset = |log: &Log, code| {
        let findings = log.verdict().findings.into_iter();
        let mut found = findings.filter(|finding| finding.code == code);
        found.next().unwrap().offset.unwrap()
    };
    let start = log.lines[0].len() as u64;
    assert!(offset(&log, Code::E105) > start);
    log.lines[1].insert(1, b' ');
    assert_eq!(offset(&log, Code::E105), start);
    assert_eq!(offset(&log, Code::E104), start + 1, "where the space is");
}

#[test]
fn lines_that_are_no_events() {
    for (text, count) in [
        ("\n", 1),
        ("\r\n", 1),
        ("[]\n", 1),
        ("garbage\n", 1),
        ("\0\0\0\0\n", 1),
        ("\u{feff}{}\n", 1),
    ] {
        let mut log = Log::new();
        log.lines.insert(2, text.as_bytes().to_vec());
        let found = log.found();
        assert_eq!(found, vec![(Code::E104, 3); count], "{text:?}");
    }
    let mut log = Log::new();
    log.lines[1].insert(1, b' ');
    assert_eq!(log.found(), [(Code::E104, 2)]);
    let mut log = Log::new();
    let end = log.lines[1].len() - 1;
    log.lines[1].insert(end, b'\r');
    assert_eq!(log.found(), [(Code::E104, 2)]);
    let mut log = Log::new();
    log.edit_text(1, "{", "{\"a\":1,\"a\":1,");
    assert!(log.found().contains(&(Code::E104, 2)));
}

/// Derives the id of line `at` without the signer's key, as the oldest tools did.
fn derive_without_key(log: &mut Log, at: usize, seed: u8) {
    let event = json::parse(&log.lines[at]).unwrap().into_owned();
    let Value::Object(mut members) = event else {
        panic!("an event is an object")
    };
    members.retain(|(name, _)| name != "event_id" && name != "sig");
    let canonical = |members: &json::Object<'static>| jcs(&Value::Object(members.clone())).unwrap();
    let mut without = members.clone();
    without.retain(|(name, _)| name != "actor_key_id");
    let event_id = EventId::from_digest(Digest::of(&canonical(&without)));
    members.push(("event_id".into(), event_id.to_string().into()));
    let sig = key(seed).sign(&canonical(&members)).to_base64();
    members.push(("sig".into(), sig.into()));
    log.lines[at] = [canonical(&members), b"\n".to_vec()].concat();
}

#[test]
fn ids_that_were_derived_without_a_key_are_counted() {
    let mut log = Log::new();
    for (at, seed) in [(1, 2), (2, 3)] {
        derive_without_key(&mut log, at, seed);
        assert_eq!(log.found(), [(Code::W007, 0)]);
        let verdict = log.verdict();
        assert_eq!(verdict.counts.ids_without_actor_key_id, at as u64);
        let told = format!("(ids derived without actor_key_id: {at})");
        assert!(verdict.findings[0].message.ends_with(&told));
    }
}
