//! A sequencer as bytes: what is read back is what was saved, and bytes that are none are refused.

use provara_core::finding::Code;
use provara_core::keys::KeyRegistry;
use provara_core::mark::KEY_ADDED_TYPE;
use provara_core::verify::{KeyDirectory, Sequencer, check_lines};

use crate::support::log_forge::{Log, id, key};

/// The bytes of an author of events (actor and key, before each whether there is one), of where offsets go beyond
/// 4 GiB, which is at the first event alone, and of an event (id, author, offset): the end of a saved sequencer, with a
/// count before each list.
const AUTHOR: usize = 10;
const SHIFT: usize = 8;
const EVENT: usize = 20;

fn saved(log: &Log) -> Vec<u8> {
    let mut sequencer = Sequencer::new(&log.registry);
    let keys = KeyDirectory::new(&log.registry);
    sequencer.feed(check_lines(&log.lines.concat(), 0, &keys));
    sequencer.save().unwrap()
}

/// The verdict on what was saved, in words.
fn restored(saved: &[u8], registry: &KeyRegistry) -> Option<String> {
    Some(format!("{:?}", Sequencer::restore(saved)?.finish(registry)))
}

#[test]
fn what_is_read_back_comes_to_the_same_verdict() {
    let mut log = Log::new();
    let login = log.ids[1];
    log.revoke("authority", 1, 2, Some(login));
    log.promote("authority", 1, 4, 2);
    log.add("alice", 4, "OBSERVATION", "{}");
    let verdict = format!("{:?}", log.whole_verdict());
    assert_eq!(restored(&saved(&log), &log.registry), Some(verdict));
}

#[test]
fn an_event_of_an_actor_or_a_key_that_is_not_there_is_refused() {
    // Three actors, of which each has a key.
    let log = Log::new();
    let whole = saved(&log);
    let shifts = whole.len() - EVENT * log.lines.len() - 8 - SHIFT - 8;
    let author = shifts - AUTHOR;
    for at in [author + 1, author + 6, whole.len() - 8] {
        let with = |number: u32| {
            let mut changed = whole.clone();
            changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
            restored(&changed, &log.registry).is_some()
        };
        for number in [0, 1, 2] {
            assert!(with(number), "{number} of byte {at}");
        }
        for number in [3, 4, u32::MAX] {
            assert!(!with(number), "{number} of byte {at}");
        }
    }
}

fn fed(sequencer: &mut Sequencer, log: &Log, lines: std::ops::Range<usize>) {
    let before = log.lines[..lines.start].concat().len() as u64;
    let keys = KeyDirectory::new(&log.registry);
    sequencer.feed(check_lines(&log.lines[lines].concat(), before, &keys));
}

#[test]
fn a_root_is_given_of_every_size_that_is_asked_for_in_time() {
    let log = Log::new();
    let mut sequencer = Sequencer::new(&log.registry);
    fed(&mut sequencer, &log, 0..2);
    assert!(!sequencer.watch(1), "it is beyond it");
    assert!(sequencer.watch(2) && sequencer.watch(3) && sequencer.watch(4));
    let two = sequencer.tree().root();
    fed(&mut sequencer, &log, 2..3);
    let three = sequencer.tree().root();
    let roots = sequencer.finish(&log.registry).roots;
    assert_eq!(Vec::from_iter(roots), [(2, two), (3, three)]);
}

#[test]
fn the_leaves_after_so_many_events_are_kept() {
    let mut log = Log::new();
    log.add("alice", 2, "com.acme.audit.login", "{}");
    for (fed_before, from, kept) in [(0, 0, 4), (0, 2, 2), (1, 0, 3), (2, 3, 1), (2, 9, 0)] {
        let mut sequencer = Sequencer::new(&log.registry);
        fed(&mut sequencer, &log, 0..fed_before);
        sequencer.keep_leaves(from);
        fed(&mut sequencer, &log, fed_before..4);
        let leaves = sequencer.finish(&log.registry).leaves.unwrap();
        assert_eq!(leaves.leaves.len(), kept, "{fed_before} {from}");
    }
}

#[test]
fn the_founding_keys_are_known_after_a_restoration() {
    let mut log = Log::marked(&[1, 2]);
    log.add("alice", 2, "com.acme.audit.login", "{}");
    let bytes = saved(&log);
    let payload = format!(
        r#"{{"added_at_utc":"2026-01-02T00:00:00Z","algorithm":"Ed25519","key_id":"{}","public_key_b64":"{}","roles":["attestation"]}}"#,
        id(2),
        key(2).public().to_base64()
    );
    log.add("genesis", 1, KEY_ADDED_TYPE, &payload);
    let mut restored = Sequencer::restore(&bytes).unwrap();
    fed(&mut restored, &log, 2..3);
    let found = restored.finish(&log.registry).findings;
    let codes: Vec<Code> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::E201], "it is a key of the vault already");
    assert_eq!(found, log.whole_verdict().findings);
}

#[test]
fn a_revocation_at_no_event_is_refused() {
    let mut log = Log::new();
    let login = log.ids[1];
    let revocation = log.revoke("authority", 1, 2, Some(login));
    let whole = saved(&log);
    let place = [&3u32.to_le_bytes()[..], &revocation.0].concat();
    let at = whole.windows(16).position(|it| it == place).unwrap();
    for (number, sound) in [(3u32, true), (2, true), (1, false), (4, false), (9, false)] {
        let mut changed = whole.clone();
        changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
        let restored = restored(&changed, &log.registry);
        assert_eq!(restored.is_some(), sound, "{number}");
    }
}

#[test]
fn a_key_of_an_actor_that_is_not_there_is_refused() {
    let log = Log::new();
    let whole = saved(&log);
    // Bob has one key, the third.
    let list = [&1u64.to_le_bytes()[..], &2u32.to_le_bytes()].concat();
    let places = whole.windows(12).enumerate();
    let mut refused = 0;
    for (at, _) in places.filter(|(_, it)| *it == list) {
        let with = |number: u32| {
            let mut changed = whole.clone();
            changed[at + 8..at + 12].copy_from_slice(&number.to_le_bytes());
            restored(&changed, &log.registry).is_some()
        };
        assert!(with(2));
        refused += u32::from(!with(3));
    }
    assert_eq!(refused, 1);
}
