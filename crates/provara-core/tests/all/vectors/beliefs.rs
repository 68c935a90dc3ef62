//! Belief states recorded from the existing Python tool.

use provara_core::beliefs::{BeliefReducer, BeliefState};
use provara_core::id::Digest;
use provara_core::json::{Value, parse};

use super::data::read;

fn reduce(events: &[Value<'_>]) -> BeliefState {
    let mut reducer = BeliefReducer::new();
    for event in events {
        reducer.apply(event);
    }
    reducer.finish()
}

struct Case<'a> {
    events: &'a [Value<'a>],
    text: &'a str,
    hash: &'a str,
}

fn for_each_case(mut check: impl FnMut(usize, Case<'_>)) -> usize {
    let file = read("beliefs.json");
    // The tree keeps number tokens: another JSON library would lose what the cases are about.
    let file = parse(&file).unwrap();
    let cases = file.get("cases").and_then(Value::as_array).unwrap();
    for (index, case) in cases.iter().enumerate() {
        let text = |name| case.get(name).and_then(Value::as_str).unwrap();
        check(
            index,
            Case {
                events: case.get("events").and_then(Value::as_array).unwrap(),
                text: text("canonical_state_json"),
                hash: text("state_hash"),
            },
        );
    }
    cases.len()
}

#[test]
fn states_and_hashes() {
    let count = for_each_case(|index, case| {
        let state = reduce(case.events);
        let text = String::from_utf8(state.to_json()).unwrap();
        assert_eq!(text, case.text, "case {index}");
        assert_eq!(state.state_hash.to_string(), case.hash, "case {index}");
        assert_eq!(state.event_count(), case.events.len() as u64);
        assert_eq!(
            Digest::of(&state.checkpoint_state()),
            state.state_hash,
            "case {index}"
        );
    });
    assert_eq!(count, 60);
    println!("beliefs: {count} states and hashes agree");
}

/// Resumed from the state after any prefix, the reducer gives the recorded state or none.
#[test]
fn resumed_states_are_exact() {
    let (mut exact, mut refused) = (0, 0);
    for_each_case(|index, case| {
        for split in 0..=case.events.len() {
            let (before, after) = case.events.split_at(split);
            let stored = reduce(before).checkpoint_state();
            let resumed = BeliefReducer::resume(&parse(&stored).unwrap()).unwrap();
            let resumed = after
                .iter()
                .try_fold(resumed, |reducer, event| reducer.apply(event));
            match resumed {
                Ok(reducer) => {
                    let text = String::from_utf8(reducer.finish().to_json()).unwrap();
                    assert_eq!(text, case.text, "case {index} resumed at {split}");
                    exact += 1;
                }
                Err(_) => {
                    assert_ne!(split, 0, "a state of no events lacks nothing");
                    assert_ne!(split, case.events.len());
                    refused += 1;
                }
            }
        }
    });
    println!("beliefs: {exact} resumptions are exact, {refused} ask for a replay");
    assert!(exact > 120 && refused > 0);
}
