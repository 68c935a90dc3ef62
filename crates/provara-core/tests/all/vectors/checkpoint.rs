//! Checkpoints: one that the existing Python tool made, and our own.

use provara_core::beliefs::{BeliefReducer, BeliefState};
use provara_core::canonical::jcs;
use provara_core::checkpoint::{Checkpoint, CheckpointError, build};
use provara_core::id::Digest;
use provara_core::json::{Value, parse};
use provara_core::keys::{KeyRegistry, SigningKey};

use super::data::read_tar_xz;

fn reduce(lines: &[&[u8]]) -> BeliefState {
    let mut reducer = BeliefReducer::new();
    for line in lines {
        reducer.apply(&parse(line).unwrap());
    }
    reducer.finish()
}

#[test]
fn the_python_tools_checkpoint() {
    let files = read_tar_xz("../corpus/vaults.tar.xz");
    let file = |name: &str| &files[&format!("x_checkpoint_no_manifest/{name}")][..];
    let checkpoint = Checkpoint::parse(file("checkpoints/0000000200.chk")).unwrap();
    assert_eq!(checkpoint.event_count, 200);

    let registry = KeyRegistry::parse(file("identity/keys.json")).unwrap();
    let key = &registry.get(&checkpoint.key_id).unwrap().public_key;
    assert_eq!(checkpoint.verify(key), Ok(()));
    let other = SigningKey::from_seed(&[1; 32]).public();
    assert!(checkpoint.verify(&other).is_err());

    let log = file("events/events.ndjson").strip_suffix(b"\n").unwrap();
    let lines: Vec<_> = log.split(|byte| *byte == b'\n').collect();
    let state = reduce(&lines);
    assert_eq!(checkpoint.state_hash(), state.state_hash);
    assert!(checkpoint.agrees_with(&state));
    assert!(!checkpoint.agrees_with(&reduce(&lines[..199])));
    println!("checkpoint of the Python tool: signature and state of 200 events agree");
}

fn sample() -> (BeliefState, SigningKey, Vec<u8>) {
    let deep = format!("{}1.0{}", "[".repeat(126), "]".repeat(126));
    let event = |id: u8, value: &str| {
        format!(
            r#"{{"actor":"a","event_id":"evt_{id:024x}","payload":{{"predicate":"p","subject":"s","value":{value}}},"type":"OBSERVATION"}}"#
        )
    };
    let events = [event(1, "12345678901234567890"), event(2, &deep)];
    let events: Vec<_> = events.iter().map(String::as_bytes).collect();
    let state = reduce(&events);
    let key = SigningKey::from_seed(&[7; 32]);
    let time = "2026-11-22T10:00:00.000000Z".parse().unwrap();
    let text = build(&state, Some(Digest::of(b"root")), &key, time);
    (state, key, text)
}

/// The deepest value that a log line can hold is still read from a contested entry.
#[test]
fn round_trip() {
    let (state, key, text) = sample();
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.verify(&key.public()), Ok(()));
    assert_eq!(checkpoint.key_id, key.key_id());
    assert_eq!(checkpoint.merkle_root, Some(Digest::of(b"root")));
    assert_eq!(checkpoint.event_count, 2);
    assert_eq!(
        checkpoint.last_event_id.unwrap().to_string(),
        "evt_000000000000000000000002"
    );
    assert!(checkpoint.agrees_with(&state));
    assert!(BeliefReducer::resume(checkpoint.state()).is_ok());

    let empty = BeliefReducer::new().finish();
    let time = "2026-11-22T10:00:00Z".parse().unwrap();
    let text = build(&empty, None, &key, time);
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(
        (checkpoint.last_event_id, checkpoint.merkle_root),
        (None, None)
    );
    assert_eq!(checkpoint.verify(&key.public()), Ok(()));
    assert!(checkpoint.agrees_with(&empty));
}

#[test]
fn every_changed_byte_is_noticed() {
    let (_, key, text) = sample();
    for index in 0..text.len() {
        let mut changed = text.clone();
        changed[index] ^= 1;
        let noticed = match Checkpoint::parse(&changed) {
            Err(_) => true,
            Ok(checkpoint) => checkpoint.verify(&key.public()).is_err(),
        };
        assert!(noticed, "byte {index}");
    }
}

#[test]
fn a_checkpoint_in_the_strict_form() {
    let key = SigningKey::from_seed(&[7; 32]);
    let event = r#"{"event_id":"evt_000000000000000000000001","payload":{"confidence":1,"predicate":"p","subject":"s","value":1},"type":"OBSERVATION"}"#;
    let state = reduce(&[event.as_bytes()]);
    let time = "2026-11-22T10:00:00Z".parse().unwrap();
    let ours = build(&state, None, &key, time);
    let Value::Object(mut members) = parse(&ours).unwrap() else {
        panic!("an object");
    };
    members.retain(|(name, _)| name != "sig");
    let signature = key.sign(&jcs(&Value::Object(members.clone())).unwrap());
    let signature = signature.to_base64();
    members.push(("sig".into(), Value::from(signature)));
    let strict = jcs(&Value::Object(members)).unwrap();
    assert_ne!(strict, ours);

    let checkpoint = Checkpoint::parse(&strict).unwrap();
    assert_eq!(checkpoint.verify(&key.public()), Ok(()));
    assert!(checkpoint.agrees_with(&state));
    assert!(!checkpoint.agrees_with(&reduce(&[])));
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let (_, _, text) = sample();
    let text = String::from_utf8(text).unwrap();
    let fault = |old: &str, new: &str| {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text, "{old}");
        Checkpoint::parse(changed.as_bytes()).expect_err(new)
    };
    assert!(matches!(fault("{", "["), CheckpointError::Json(_)));
    assert_eq!(
        fault("\"sig\":", "\"sig\": "),
        CheckpointError::NotCanonical
    );
    assert!(matches!(fault("2026-", "26-"), CheckpointError::Time(_)));
    assert_eq!(fault("\"sig\"", "\"siG\""), CheckpointError::Missing("sig"));
    assert_eq!(
        fault("\"sig\":\"", "\"sig\":\"A"),
        CheckpointError::Signature
    );
    assert_eq!(
        fault("\"1.0\"", "\"2.0\""),
        CheckpointError::SpecVersion {
            found: "2.0".into()
        }
    );
    assert_eq!(
        fault("\"event_count\":2", "\"event_count\":3"),
        CheckpointError::Inconsistent("event_count")
    );
    assert!(matches!(
        fault("\"merkle_root\":\"", "\"merkle_root\":\"0"),
        CheckpointError::Id {
            field: "merkle_root",
            ..
        }
    ));
    assert!(matches!(
        Checkpoint::parse(b"[]"),
        Err(CheckpointError::Field { .. })
    ));
}
