//! A replay that goes on from a checkpoint: the state is that of a replay from the start, to the byte,
//! and nothing that a vault holds is believed for being a checkpoint.

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;

use crate::common::{Fixture, request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use provara_core::canonical::jcs;
use provara_core::checkpoint::build;
use provara_core::finding::Report;
use provara_core::json::{self, Object, Value};
use provara_vault::{AppendRequest, BatchOptions, SourceLog, Vault, VerifyOptions};

fn keeping(fixture: &Fixture) -> Vault {
    fixture
        .vault
        .clone()
        .with_cache_directory(Some(fixture.outside().join("cache")))
        .with_record_from(0)
}

fn append(fixture: &Fixture, requests: &[AppendRequest]) {
    fixture
        .vault
        .append_many(requests.to_vec(), &fixture.keyfile, BatchOptions::default())
        .unwrap();
}

fn checkpoint(fixture: &Fixture) -> u64 {
    let receipt = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    receipt.event_count
}

fn verified(vault: &Vault, no_cache: bool) -> SourceLog {
    let options = VerifyOptions {
        no_cache,
        ..VerifyOptions::default()
    };
    let examination = vault.examine(&options).unwrap();
    examination.verified().expect("valid").into_source()
}

/// How a state was come by.
#[derive(Debug, PartialEq)]
enum Way {
    /// The verification had it.
    Known,
    /// From a checkpoint, whose part of the log was not read.
    Resumed,
    Replayed,
}

/// The state as text, and the way to it.
fn beliefs(log: &SourceLog) -> (Vec<u8>, Way) {
    let way = Cell::new(Way::Known);
    let state = log.beliefs_watched(&|done, _| {
        // What is done counts only where it is certain to suffice.
        way.set(if done == 0 {
            Way::Resumed
        } else {
            Way::Replayed
        });
        ControlFlow::Continue(())
    });
    (state.unwrap().to_json(), way.into_inner())
}

fn forget_replay(fixture: &Fixture) {
    let files = fs::read_dir(fixture.outside().join("cache")).unwrap();
    let record = files
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "replayed"));
    fs::remove_file(record.expect("a record")).unwrap();
}

fn observation(value: &str) -> AppendRequest<'static> {
    let data = format!(r#"{{"subject":"door","predicate":"is","value":{value},"confidence":0.9}}"#);
    request("OBSERVATION", "a", &data)
}

/// Events that support, contest, settle and take back what is said of two doors.
fn events() -> impl Strategy<Value = Vec<AppendRequest<'static>>> {
    let kind = prop_oneof![
        4 => Just("OBSERVATION"),
        2 => Just("ASSERTION"),
        3 => Just("ATTESTATION"),
        2 => Just("RETRACTION"),
        1 => Just("REDUCER_EPOCH"),
        2 => Just("com.example.test.note"),
    ];
    let value = prop_oneof![
        Just("1"),
        Just("1.0"),
        Just("true"),
        Just(r#"{"ö":[1e-7]}"#)
    ];
    let event = (kind, 0..2, value, 0..=4u8).prop_map(|(kind, door, value, quarters)| {
        let confidence = f32::from(quarters) / 4.0;
        let data = match kind {
            "REDUCER_EPOCH" => format!(r#"{{"epoch_id":"{door}","reducer_hash":"x"}}"#),
            "com.example.test.note" => r#"{"text":"x"}"#.to_owned(),
            _ => format!(
                r#"{{"subject":"door","predicate":"{door}","value":{value},"confidence":{confidence:?}}}"#
            ),
        };
        request(kind, ["a", "b"][usize::from(quarters % 2)], &data)
    });
    vec(event, 1..7)
}

#[test]
fn from_whatever_checkpoint_the_state_is_that_of_a_replay() {
    let ways = Cell::new((0, 0));
    let mut runner = TestRunner::new(Config::with_cases(16));
    runner
        .run(&events(), |events| {
            for position in 0..=events.len() {
                let (before, after) = events.split_at(position);
                let fixture = Fixture::new();
                let vault = keeping(&fixture);
                append(&fixture, before);
                checkpoint(&fixture);
                verified(&vault, false);
                append(&fixture, after);
                let (state, way) = beliefs(&verified(&vault, false));
                let (expected, whole) = beliefs(&vault.snapshot().unwrap().unverified());
                prop_assert_eq!(whole, Way::Replayed);
                prop_assert_eq!(state, expected, "{} events, then {:?}", position, after);
                let (resumed, replayed) = ways.get();
                match way {
                    Way::Resumed => ways.set((resumed + 1, replayed)),
                    Way::Replayed => ways.set((resumed, replayed + 1)),
                    // Where nothing follows, nothing is heard.
                    Way::Known => prop_assert!(after.is_empty()),
                }
            }
            Ok(())
        })
        .unwrap();
    let (resumed, replayed) = ways.into_inner();
    assert!(resumed > 0 && replayed > 0, "{resumed}, {replayed}");
}

#[test]
fn what_the_verification_replayed_is_not_replayed_again() {
    let fixture = Fixture::new();
    append(&fixture, &[observation("1"), observation("2")]);
    checkpoint(&fixture);
    append(&fixture, &[observation("3")]);
    let (expected, way) = beliefs(&fixture.source());
    assert_eq!(way, Way::Replayed);
    // Without a cache, and where it is passed over, the states are compared each time.
    let vault = keeping(&fixture);
    for _ in 0..2 {
        let log = verified(&vault, true);
        assert_eq!(beliefs(&log), (expected.clone(), Way::Known));
        assert_eq!(beliefs(&verified(&fixture.vault, false)).1, Way::Known);
    }
    // The first verification that is recorded compares, too. The last event needs earlier evidence.
    assert_eq!(beliefs(&verified(&vault, false)).1, Way::Known);
    let log = verified(&vault, false);
    assert_eq!(beliefs(&log), (expected, Way::Replayed));
}

#[test]
fn a_replay_goes_on_from_the_latest_checkpoint() {
    let fixture = Fixture::new();
    let vault = keeping(&fixture);
    let note = || crate::common::note("a", "x");
    append(&fixture, &[observation("1")]);
    checkpoint(&fixture);
    verified(&vault, false);
    // From the first checkpoint on, this one needs a replay; from the second, nothing does.
    append(&fixture, &[observation("2")]);
    assert_eq!(beliefs(&verified(&vault, false)).1, Way::Replayed);
    checkpoint(&fixture);
    append(&fixture, &[note(), note()]);
    assert_eq!(beliefs(&verified(&vault, false)).1, Way::Known);
    // Without the record of a replay, which needs no checkpoint.
    forget_replay(&fixture);
    let log = verified(&vault, false);
    let expected = beliefs(&vault.snapshot().unwrap().unverified()).0;
    assert_eq!(beliefs(&log), (expected.clone(), Way::Resumed));
    // A file that was exchanged since the verification is not gone on from.
    let path = fixture.file("checkpoints/0000000004.chk");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"door", "\"gate")).unwrap();
    assert_eq!(beliefs(&log), (expected, Way::Replayed));
}

/// The strict form does not tell 1 from 1.0: such a checkpoint is sound, and nothing goes on from it.
#[test]
fn a_checkpoint_in_the_strict_form_is_compared_each_time() {
    let fixture = Fixture::new();
    let vault = keeping(&fixture);
    append(&fixture, &[observation("1.0")]);
    checkpoint(&fixture);
    let path = fixture.file("checkpoints/0000000003.chk");
    let honest = fs::read(&path).unwrap();
    let parsed = json::parse(&honest).unwrap();
    let mut members = parsed.as_object().unwrap().clone();
    members.retain(|(name, _)| name != "sig");
    let strict = |members: &Object<'_>| jcs(&Value::Object(members.clone())).unwrap();
    let signature = fixture.keyfile.keys()[0].sign(&strict(&members));
    let signature = Value::String(signature.to_base64().into());
    members.push(("sig".into(), signature));
    let text = strict(&members);
    assert_ne!(text.len(), honest.len());
    fs::write(&path, text).unwrap();
    crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    append(&fixture, &[crate::common::note("a", "x")]);
    let expected = beliefs(&vault.snapshot().unwrap().unverified()).0;
    for _ in 0..2 {
        let log = verified(&vault, false);
        assert_eq!(beliefs(&log), (expected.clone(), Way::Known));
    }
}

#[test]
fn a_checkpoint_in_the_place_of_a_confirmed_one_is_compared() {
    let fixture = Fixture::new();
    let vault = keeping(&fixture);
    append(&fixture, &[observation("1")]);
    checkpoint(&fixture);
    verified(&vault, false);
    // Its name, its count, signed by the vault's own key and sealed; of another history.
    let other = Fixture::new();
    append(&other, &[observation("2")]);
    let state = other
        .vault
        .snapshot()
        .unwrap()
        .unverified()
        .beliefs()
        .unwrap();
    let key = &fixture.keyfile.keys()[0];
    let now = "2026-11-22T10:00:00.000000Z".parse().unwrap();
    let path = fixture.file("checkpoints/0000000003.chk");
    let honest = fs::read(&path).unwrap();
    fs::write(&path, build(&state, None, key, now)).unwrap();
    crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    let verify = || -> Report { vault.verify(&VerifyOptions::default()).unwrap() };
    for _ in 0..2 {
        let report = verify();
        let codes: Vec<_> = report
            .findings()
            .iter()
            .map(|it| it.code.as_str())
            .collect();
        assert_eq!(codes, ["PROVARA_E009"]);
    }
    fs::write(&path, honest).unwrap();
    crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    assert!(verify().is_valid());
    let told = "and the states of the checkpoints (1) were not";
    assert!(verify().notes().iter().any(|note| note.contains(told)));
}
