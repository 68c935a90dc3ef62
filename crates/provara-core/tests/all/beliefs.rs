//! The reducer where the recorded cases do not reach: odd input, and size.

use std::time::{Duration, Instant};

use provara_core::beliefs::{BeliefReducer, BeliefState};
use provara_core::json::{Value, parse};

fn reduce(events: &[String]) -> BeliefState {
    let mut reducer = BeliefReducer::new();
    for event in events {
        reducer.apply(&parse(event.as_bytes()).expect(event));
    }
    reducer.finish()
}

/// The state after events given as type and payload; they get the ids `e1`, `e2`, …
fn state_of(events: &[(&str, &str)]) -> Value<'static> {
    let events: Vec<_> = (1..)
        .zip(events)
        .map(|(number, (event_type, payload))| event(number, event_type, payload))
        .collect();
    let text = reduce(&events).to_json();
    parse(&text).unwrap().into_owned()
}

fn event(number: usize, event_type: &str, payload: &str) -> String {
    format!(r#"{{"actor":"ann","event_id":"e{number}","payload":{payload},"type":"{event_type}"}}"#)
}

fn text(state: &Value<'_>, path: &[&str]) -> String {
    let value = path
        .iter()
        .fold(state, |value, name| value.get(name).unwrap_or(&Value::Null));
    String::from_utf8(provara_core::canonical::token_preserving(value)).unwrap()
}

#[test]
fn subjects_are_text_as_python_prints_it() {
    for (subject, key) in [
        ("true", "True:p"),
        ("1.0", "1.0:p"),
        ("1e-7", "1e-07:p"),
        ("12345678901234567890123", "12345678901234567890123:p"),
        ("\"a:b\"", "a:b:p"),
        ("\" \"", " :p"),
    ] {
        let payload = format!(r#"{{"predicate":"p","subject":{subject},"value":1}}"#);
        let state = state_of(&[("OBSERVATION", &payload)]);
        assert_eq!(text(&state, &["local", key, "provenance"]), "\"e1\"");
    }
    for subject in ["null", "false", "0", "0.0", "\"\"", "[1]", "{\"a\":1}"] {
        for event_type in ["OBSERVATION", "ASSERTION", "ATTESTATION", "RETRACTION"] {
            let payload = format!(r#"{{"predicate":"p","subject":{subject},"value":1}}"#);
            let state = state_of(&[(event_type, &payload)]);
            for map in ["archived", "canonical", "contested", "local"] {
                assert_eq!(text(&state, &[map]), "{}", "{event_type} {subject}");
            }
            assert_eq!(text(&state, &["metadata", "event_count"]), "1");
            assert_eq!(text(&state, &["metadata", "last_event_id"]), "\"e1\"");
        }
    }
}

#[test]
fn a_conflict_lists_all_evidence_and_the_order_of_the_cases_counts() {
    let state = state_of(&[
        (
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":1,"confidence":0.2}"#,
        ),
        ("RETRACTION", r#"{"subject":"s","predicate":"p"}"#),
        (
            "ATTESTATION",
            r#"{"subject":"s","predicate":"p","value":true}"#,
        ),
        // Equal to the canonical `true`, so a local entry and no conflict.
        (
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":1.0,"confidence":0.9}"#,
        ),
        // Differs from both: the canonical entry is named first.
        (
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":[1],"confidence":0.5}"#,
        ),
        // Too weak for a conflict; a contested key gets a local entry again.
        (
            "ASSERTION",
            r#"{"subject":"s","predicate":"p","value":[2],"timestamp":""}"#,
        ),
    ]);
    let entry = ["contested", "s:p"];
    let member = |name| text(&state, &[entry[0], entry[1], name]);
    assert_eq!(member("reason"), "\"conflicts_with_canonical\"");
    assert_eq!(member("canonical_value"), "true");
    assert_eq!(member("total_evidence_count"), "3");
    let groups = state.get("contested").unwrap().get("s:p").unwrap();
    let groups = groups
        .get("evidence_by_value")
        .unwrap()
        .as_object()
        .unwrap();
    let keys: Vec<_> = groups.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["1", "1.0", "[1]"]);
    assert_eq!(text(&state, &["local", "s:p", "evidence_count"]), "4");
    assert_eq!(text(&state, &["local", "s:p", "confidence"]), "0.35");
    assert_eq!(text(&state, &["local", "s:p", "timestamp"]), "null");
}

#[test]
fn times_and_namespaces_are_read_leniently() {
    for (members, expected) in [
        (r#""timestamp":"t1","timestamp_utc":"t2""#, "\"t1\""),
        (r#""timestamp":"","timestamp_utc":"t2""#, "\"t2\""),
        (r#""timestamp":"","timestamp_utc":"""#, "\"\""),
        (r#""timestamp":1.0"#, "\"1.0\""),
        (r#""timestamp":["t"],"timestamp_utc":null"#, "null"),
    ] {
        let payload = format!(r#"{{"subject":"s","predicate":"p",{members}}}"#);
        let state = state_of(&[("OBSERVATION", &payload)]);
        assert_eq!(text(&state, &["local", "s:p", "timestamp"]), expected);
    }
    for (stated, expected) in [
        (r#"" Canonical\u001c""#, "canonical"),
        ("\"ARCHIVED\"", "archived"),
        ("\"contested\\u00a0\"", "contested"),
        ("\"canonica1\"", "local"),
        ("[\"canonical\"]", "local"),
        ("null", "local"),
    ] {
        let evidence = |value: u8| {
            format!(
                r#"{{"actor":7,"id":"i{value}","namespace":{stated},"payload":{{"predicate":"p","subject":"s","value":{value}}},"type":"OBSERVATION"}}"#
            )
        };
        let state = reduce(&[evidence(1), evidence(2)]).to_json();
        let state = parse(&state).unwrap();
        let groups = ["contested", "s:p", "evidence_by_value", "1"];
        let list = text(&state, &groups);
        let expected = format!(
            r#"[{{"actor":"7","confidence":0.5,"event_id":"i1","namespace":"{expected}","timestamp_utc":null,"value":1}}]"#
        );
        assert_eq!(list, expected, "{stated}");
    }
}

#[test]
fn what_is_no_event_changes_nothing_and_bare_events_count() {
    let empty = BeliefReducer::new().finish();
    assert_eq!(reduce(&["[]".into(), "null".into(), "\"x\"".into()]), empty);
    let state = reduce(&[
        r#"{"type":"OBSERVATION","payload":"text"}"#.into(),
        "{}".into(),
    ]);
    let state = state.to_json();
    let state = parse(&state).unwrap();
    assert_eq!(text(&state, &["metadata", "event_count"]), "2");
    assert_eq!(
        text(&state, &["metadata", "last_event_id"]),
        "\"unknown_event\""
    );
}

#[test]
fn epochs() {
    let state = state_of(&[(
        "REDUCER_EPOCH",
        r#"{"epoch_id":2.0,"effective_from_event_id":""}"#,
    )]);
    assert_eq!(
        text(&state, &["metadata", "current_epoch"]),
        r#"{"effective_from_event_id":"e1","epoch_id":2.0,"ontology_versions":null,"reducer_hash":null}"#
    );
}

#[test]
fn numbers_beyond_binary64_neither_panic_nor_change() {
    let state = state_of(&[
        (
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":1e400,"confidence":1e400}"#,
        ),
        (
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":-1e400,"confidence":"inf"}"#,
        ),
    ]);
    let list = text(&state, &["contested", "s:p", "evidence_by_value", "1e400"]);
    assert!(
        list.contains(r#""confidence":0.5"#) && list.contains(r#""value":1e400"#),
        "{list}"
    );
}

/// A key that every event contests, against a canonical entry and against a local one.
#[test]
fn contested_by_every_event() {
    const EVENTS: usize = 100_000;
    let payload = |value: usize| {
        format!(
            r#"{{"confidence":1,"predicate":"p","subject":"s","value":"v{}"}}"#,
            value % 50
        )
    };
    for attested in [true, false] {
        let mut events = vec![event(
            0,
            if attested { "ATTESTATION" } else { "GENESIS" },
            r#"{"predicate":"p","subject":"s","value":0}"#,
        )];
        events.extend((1..EVENTS).map(|number| event(number, "OBSERVATION", &payload(number))));
        let started = Instant::now();
        let mut reducer = BeliefReducer::new();
        for event in &events {
            reducer.apply(&parse(event.as_bytes()).unwrap());
        }
        let state = reducer.finish();
        let took = started.elapsed();
        println!("{EVENTS} events contest one key (attested: {attested}): {took:?}");
        assert_eq!(state.event_count(), EVENTS as u64);
        // Quadratic work would take minutes; the bound leaves room for a busy machine.
        assert!(took < Duration::from_secs(60), "{took:?}");
        let text = state.to_json();
        let text = parse(&text).unwrap();
        let entry = text.get("contested").unwrap().get("s:p").unwrap();
        let total = entry.get("total_evidence_count").unwrap().as_i64();
        // Without a canonical entry every other event finds no local entry to differ from.
        let expected = if attested { EVENTS - 1 } else { EVENTS - 2 };
        assert_eq!(total, Some(expected as i64));
    }
}

/// A resumed reducer stops where a complete one would count or list earlier evidence, even where
/// the state shows nothing of it.
#[test]
fn resumption_is_exact_or_refused() {
    let seen = r#"{"subject":"s","predicate":"p","value":1,"confidence":0.2}"#;
    let before = [
        event(1, "OBSERVATION", seen),
        event(2, "RETRACTION", r#"{"subject":"s","predicate":"p"}"#),
        event(
            3,
            "OBSERVATION",
            r#"{"subject":"t","predicate":"p","value":1.0}"#,
        ),
    ];
    let stored = reduce(&before).checkpoint_state();
    let stored = parse(&stored).unwrap();
    assert_eq!(
        text(&stored, &["archived"]),
        "{}",
        "the retraction left no trace"
    );
    let next = |payload: &str, event_type| {
        let text = event(4, event_type, payload);
        let resumed = BeliefReducer::resume(&stored).unwrap();
        let resumed = resumed.apply(&parse(text.as_bytes()).unwrap());
        let mut all = before.to_vec();
        all.push(text);
        (
            resumed.map(|reducer| reducer.finish().to_json()).ok(),
            reduce(&all).to_json(),
        )
    };
    for (event_type, payload) in [
        ("com.acme.audit.login", "{}"),
        (
            "OBSERVATION",
            r#"{"subject":"t","predicate":"p","value":true,"confidence":0.4}"#,
        ),
        ("OBSERVATION", r#"{"subject":"","predicate":"p"}"#),
        (
            "ATTESTATION",
            r#"{"subject":"s","predicate":"p","value":5}"#,
        ),
        ("RETRACTION", r#"{"subject":"t","predicate":"p"}"#),
        ("REDUCER_EPOCH", r#"{"epoch_id":"e"}"#),
    ] {
        let (resumed, complete) = next(payload, event_type);
        assert_eq!(resumed, Some(complete), "{event_type} {payload}");
    }
    for payload in [
        seen,
        r#"{"subject":"t","predicate":"p","value":2}"#,
        r#"{"subject":"t","predicate":"p","value":1,"confidence":0.9}"#,
        r#"{"subject":"u","predicate":"p","value":2}"#,
    ] {
        assert_eq!(next(payload, "OBSERVATION").0, None, "{payload}");
    }
}

#[test]
fn only_states_of_this_reducer_are_resumed() {
    let events = [
        event(
            1,
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":1}"#,
        ),
        event(
            2,
            "OBSERVATION",
            r#"{"subject":"s","predicate":"p","value":2}"#,
        ),
        event(
            3,
            "ATTESTATION",
            r#"{"subject":"t","predicate":"p","value":2}"#,
        ),
        event(
            4,
            "ATTESTATION",
            r#"{"subject":"t","predicate":"p","value":3}"#,
        ),
        event(
            5,
            "OBSERVATION",
            r#"{"subject":"u","predicate":"p","value":2}"#,
        ),
    ];
    let good = String::from_utf8(reduce(&events).checkpoint_state()).unwrap();
    let resume = |text: &str| {
        let result = BeliefReducer::resume(&parse(text.as_bytes()).unwrap());
        result.map(|reducer| String::from_utf8(reducer.finish().checkpoint_state()).unwrap())
    };
    assert_eq!(resume(&good).as_deref(), Ok(&*good));
    for (old, new, place) in [
        ("\"archived\":{", "\"archive\":{", "archive"),
        (
            "SovereignReducerV0",
            "Other",
            "metadata_partial.reducer.name",
        ),
        ("\"0.2.0\"", "\"0.3.0\"", "metadata_partial.reducer.version"),
        (
            "\"conflict_confidence_threshold\":0.5",
            "\"conflict_confidence_threshold\":0.6",
            "metadata_partial.reducer.conflict_confidence_threshold",
        ),
        (
            "\"event_count\":5",
            "\"event_count\":-5",
            "metadata_partial.event_count",
        ),
        (
            "\"confidence\":0.5,\"evidence_count\"",
            "\"evidence_count\"",
            "local[\"u:p\"].confidence",
        ),
        ("AWAITING_RESOLUTION", "DONE", "contested[\"s:p\"].status"),
        (
            "\"attested_by\":\"ann\",\"provenance\":\"e4\",\"value\"",
            "\"attested_by\":\"ann\",\"provenance\":\"e4\",\"x\":1,\"value\"",
            "canonical[\"t:p\"].x",
        ),
        (
            "\"archived\":{\"t:p\":[",
            "\"archived\":{\"v:p\":[],\"t:p\":[",
            "archived[\"v:p\"]",
        ),
    ] {
        let broken = good.replacen(old, new, 1);
        assert_ne!(broken, good, "{old}");
        let error = resume(&broken).expect_err(new);
        assert_eq!(error.place, place);
    }
    assert!(resume("[]").is_err());
}

/// What is viewed of a line has the effect of the whole line, whatever the line is.
#[test]
fn a_view_of_a_line_reduces_as_the_line_does() {
    let lines = [
        r#"{"actor":"a","event_id":"e1","namespace":" Canonical ","payload":{"confidence":0.9,"predicate":"p","subject":"s","value":1},"type":"OBSERVATION"}"#,
        r#"{"actor":0,"event_id":"e2","payload":{"predicate":"p","subject":"s","value":1.5},"type":"ASSERTION"}"#,
        r#"{"actor":"b","event_id":"e3","payload":{"actor_key_id":"k","predicate":"p","subject":"s","value":{"a":[1]}},"type":"ATTESTATION"}"#,
        r#"{"event_id":"e4","payload":{"predicate":"p","subject":"s"},"type":"RETRACTION"}"#,
        r#"{"event_id":"e5","payload":{"epoch_id":"x","reducer_hash":"h"},"type":"REDUCER_EPOCH"}"#,
        r#"{"actor":"c","event_id":"e6","payload":{"subject":"s"},"type":"com.example.a.b"}"#,
        r#"{"event_id":"","id":"e7","payload":{},"type":"OBSERVATION"}"#,
        r#"{"id":"e8","type":"com.example.a.b"}"#,
        r#"{"event_id":7,"type":"RECEIPT"}"#,
        r#"{"event_id":"e10","payload":[1],"type":"OBSERVATION"}"#,
        r#"{"event_id":"e11","type":3}"#,
        r#"{"type":"OBSERVATION", "event_id":"e12","actor":"d","payload":{"subject":"t","predicate":"q","value":1}}"#,
    ];
    let (mut whole, mut viewed) = (BeliefReducer::new(), BeliefReducer::new());
    for line in lines {
        whole.apply(&provara_core::json::parse(line.as_bytes()).unwrap());
        viewed.apply(&provara_core::beliefs::view(line.as_bytes()).unwrap());
        let text = |reducer: &BeliefReducer| String::from_utf8(reducer.state().to_json()).unwrap();
        assert_eq!(text(&viewed), text(&whole), "{line}");
    }
    assert!(provara_core::beliefs::view(b"{").is_err());
    assert!(
        provara_core::beliefs::view(b"[1]")
            .unwrap()
            .as_object()
            .is_none()
    );
}

#[test]
fn a_state_is_finished_within_a_bound_or_not_at_all() {
    let said = |subject: usize, value: usize| {
        format!(
            r#"{{"confidence":0.9,"predicate":"p","subject":"s{subject}","value":"{}"}}"#,
            "x".repeat(value)
        )
    };
    // Contested, attested and then superseded, and merely seen.
    let mut events: Vec<String> = Vec::new();
    for number in 0..40 {
        let kind = match number % 4 {
            3 => "ATTESTATION",
            _ => "OBSERVATION",
        };
        events.push(event(number, kind, &said(number % 7, number)));
    }
    let reducer = || {
        let mut reducer = BeliefReducer::new();
        for event in &events {
            reducer.apply(&parse(event.as_bytes()).unwrap());
        }
        reducer
    };
    let whole = reducer().finish();
    let length = whole.to_json().len();
    // Between the brace and the metadata.
    let text = String::from_utf8(whole.to_json()).unwrap();
    let maps = text.find(",\"metadata\":").unwrap() - 1;
    for most in [maps, maps + 1, length, usize::MAX] {
        assert_eq!(reducer().finish_within(most).unwrap(), whole);
    }
    for most in [0, 1, 12, maps / 2, maps - 1] {
        assert!(reducer().finish_within(most).is_err(), "{most}");
    }
}
