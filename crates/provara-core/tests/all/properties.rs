//! Properties of the canonical forms, the reader, the scanner, the writer and the reducer, over
//! generated documents.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use provara_core::beliefs::BeliefReducer;
use provara_core::canonical::{event_form, jcs, token_preserving};
use provara_core::id::Digest;
use provara_core::json::{ParseErrorKind, Value, parse};
use provara_core::scan::{Form, scan_line};
use serde_json::Value as Tree;

use crate::support::documents::{
    belief_event, document, event_document, safe_document, shuffled, sorted, spelled,
};
use crate::support::log_forge::Log;

/// A failure prints its smallest input, which then becomes a test of its own.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The same value as another library reads it.
fn same(ours: &Value<'_>, theirs: &Tree) -> bool {
    match (ours, theirs) {
        (Value::Null, Tree::Null) => true,
        (Value::Bool(a), Tree::Bool(b)) => a == b,
        (Value::Number(token), Tree::Number(number)) => {
            // Bits and not `==`: the sign of a zero is part of the value. An integer that is read
            // as one has no signed zero.
            let ours: f64 = token.parse().unwrap();
            let theirs = number.as_f64().unwrap();
            ours.to_bits() == theirs.to_bits() || ours == 0.0 && token == "-0"
        }
        (Value::String(a), Tree::String(b)) => a == b,
        (Value::Array(a), Tree::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Tree::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(&**key).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// A text with one byte replaced, removed or inserted.
fn damaged(text: &[u8], at: Index, byte: u8, how: u8) -> Vec<u8> {
    let mut text = text.to_vec();
    let at = at.index(text.len());
    match how % 3 {
        0 => text[at] = byte,
        1 => {
            text.remove(at);
        }
        _ => text.insert(at, byte),
    }
    text
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_strict_form_is_idempotent_and_free_of_order(
        value in safe_document(),
        seed in any::<u64>(),
    ) {
        let canonical = jcs(&value).unwrap();
        prop_assert_eq!(&jcs(&parse(&canonical).unwrap()).unwrap(), &canonical);
        prop_assert_eq!(jcs(&shuffled(&value, seed)).unwrap(), canonical);
    }

    #[test]
    fn the_token_form_is_idempotent_and_free_of_order(value in document(), seed in any::<u64>()) {
        let canonical = token_preserving(&value);
        prop_assert_eq!(&token_preserving(&parse(&canonical).unwrap()), &canonical);
        prop_assert_eq!(token_preserving(&shuffled(&value, seed)), canonical);
    }

    /// Whatever the spelling: reading it, writing the canonical form and reading that gives the
    /// value that was spelled, token by token.
    #[test]
    fn reading_undoes_writing(value in document(), seed in any::<u64>()) {
        let text = spelled(&value, seed);
        let read = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&read, &value, "{}", text);
        let canonical = token_preserving(&read);
        prop_assert_eq!(parse(&canonical).unwrap(), sorted(&value));
    }

    #[test]
    fn serde_json_reads_the_same(value in safe_document(), seed in any::<u64>()) {
        let text = spelled(&value, seed);
        let theirs: Tree = serde_json::from_str(&text).unwrap();
        prop_assert!(same(&parse(text.as_bytes()).unwrap(), &theirs), "{}", text);
        let theirs: Tree = serde_json::from_slice(&jcs(&value).unwrap()).unwrap();
        let again = jcs(&value).unwrap();
        prop_assert!(same(&parse(&again).unwrap(), &theirs));
    }

    /// On damaged texts the two readers agree, but for what this one refuses on purpose.
    #[test]
    fn serde_json_refuses_the_same(
        value in safe_document(),
        seed in any::<u64>(),
        at in any::<Index>(),
        byte in any::<u8>(),
        how in any::<u8>(),
    ) {
        let text = damaged(spelled(&value, seed).as_bytes(), at, byte, how);
        let theirs = serde_json::from_slice::<Tree>(&text);
        match (parse(&text), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours, &theirs)),
            (Err(error), Ok(_)) => {
                let on_purpose = matches!(error.kind, ParseErrorKind::DuplicateKey(_));
                prop_assert!(on_purpose, "{error}: {}", String::from_utf8_lossy(&text));
            }
            (Ok(_), Err(error)) => {
                // A number that is valid JSON and beyond every binary64.
                let range = error.to_string().starts_with("number out of range");
                prop_assert!(range, "{error}: {}", String::from_utf8_lossy(&text));
            }
            (Err(_), Err(_)) => {}
        }
    }

    /// The scanner, which builds no tree, takes what is canonical by the definition with a tree.
    #[test]
    fn the_scanner_takes_canonical_lines(value in event_document()) {
        let tokens = token_preserving(&value);
        prop_assert!(scan_line(&tokens).is_ok(), "{}", String::from_utf8_lossy(&tokens));
        if let Ok(strict) = jcs(&value) {
            let line = scan_line(&strict);
            prop_assert!(line.is_ok(), "{}", String::from_utf8_lossy(&strict));
            prop_assert_eq!(line.unwrap().form(), Form::Jcs);
        }
    }

    /// And nothing else.
    #[test]
    fn the_scanner_takes_nothing_else(
        value in event_document(),
        seed in any::<u64>(),
        at in any::<Index>(),
        byte in any::<u8>(),
        how in any::<u8>(),
        spell in any::<bool>(),
    ) {
        let text = if spell {
            spelled(&value, seed).into_bytes()
        } else {
            token_preserving(&value)
        };
        let text = damaged(&text, at, byte, how);
        if let Ok(line) = scan_line(&text) {
            let value = parse(&text).expect("a canonical line is JSON");
            let canonical = token_preserving(&value) == text
                || jcs(&value).is_ok_and(|strict| strict == text);
            prop_assert!(canonical, "{:?}: {}", line.form(), String::from_utf8_lossy(&text));
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    /// What the writer writes verifies; with any one byte of it changed it does not.
    #[test]
    fn written_events_verify_and_changed_ones_do_not(
        payloads in vec((event_document(), 0_usize..3), 1..6),
        changes in vec((any::<Index>(), 1_u8..), 24),
    ) {
        let mut log = Log::new();
        let actors = [("alice", 2), ("bob", 3), ("genesis", 1)];
        for (payload, actor) in &payloads {
            let (name, key) = actors[*actor];
            if event_form(payload).is_ok() {
                log.add_value(name, key, "com.acme.audit.login", payload);
            }
        }
        let text = log.lines.concat();
        let verdict = log.verdict();
        prop_assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
        prop_assert_eq!(verdict.event_count, log.lines.len() as u64);

        for (at, change) in changes {
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed[at] ^= change;
            let mut verdict = provara_core::verify::verify_log(&changed, &log.registry);
            verdict.findings.retain(|finding| finding.code != provara_core::finding::Code::W009);
            prop_assert!(!verdict.findings.is_empty(), "byte {at} ^ {change:#x}");
        }
    }

    /// A state is its own canonical text, its hash is that of its text, and a resumed reducer gives
    /// the same state or none.
    #[test]
    fn states_are_canonical_and_resumption_is_exact(
        events in vec(belief_event(), 0..24),
        split in any::<Index>(),
    ) {
        let reduce = |events: &[Value<'_>]| {
            let mut reducer = BeliefReducer::new();
            events.iter().for_each(|event| reducer.apply(event));
            reducer.finish()
        };
        let state = reduce(&events);
        let text = state.to_json();
        prop_assert_eq!(token_preserving(&parse(&text).unwrap()), text);
        let stored = state.checkpoint_state();
        prop_assert_eq!(token_preserving(&parse(&stored).unwrap()), &stored[..]);
        prop_assert_eq!(Digest::of(&stored), state.state_hash);
        prop_assert_eq!(state.event_count(), events.len() as u64);

        let (before, after) = events.split_at(split.index(events.len() + 1));
        let stored = reduce(before).checkpoint_state();
        let resumed = BeliefReducer::resume(&parse(&stored).unwrap()).unwrap();
        let resumed = after.iter().try_fold(resumed, |reducer, event| reducer.apply(event));
        if let Ok(resumed) = resumed {
            prop_assert_eq!(resumed.finish(), state);
        } else {
            prop_assert!(!before.is_empty());
        }
    }
}
