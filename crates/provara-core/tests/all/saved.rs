//! A sequencer as bytes: what is read back is what was saved, and bytes that are none are refused.

use provara_core::keys::KeyRegistry;
use provara_core::verify::{KeyDirectory, Sequencer, check_lines};

use crate::support::log_forge::Log;

/// The bytes of one event at the end of a saved sequencer: id, actor, key, offset, line.
const EVENT: usize = 12 + 4 + 4 + 8 + 4;

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
    let last = whole.len() - EVENT;
    for at in [last + 12, last + 16] {
        let with = |number: u32| {
            let mut changed = whole.clone();
            changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
            restored(&changed, &log.registry).is_some()
        };
        for number in [0, 1, 2, u32::MAX] {
            assert!(with(number), "{number} of byte {at}");
        }
        for number in [3, 4, u32::MAX - 1] {
            assert!(!with(number), "{number} of byte {at}");
        }
    }
}
