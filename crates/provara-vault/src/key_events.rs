//! The events of a log that speak of keys, found without a verification.

use memchr::memmem::Finder;
use provara_core::history::KeyEvent;
use provara_core::keys::{KeyRegistry, KeyStatus};
use provara_core::scan::scan_line;

use crate::log_snapshot::lines_of;

/// The key events of `log`, in its order, with what is needed to check their signatures.
pub(crate) fn key_events(log: &[u8]) -> Vec<KeyEvent> {
    key_lines(log).map(|(event, _)| event).collect()
}

/// The key events of `log`, in its order, each with its line.
pub(crate) fn key_lines(log: &[u8]) -> impl Iterator<Item = (KeyEvent, &[u8])> {
    // Every type that speaks of keys has one of these, and few other events do.
    let needles = [
        "\"type\":\"GENESIS\"",
        "\"type\":\"KEY_",
        "\"type\":\"com.provara.",
    ];
    let finders = needles.map(Finder::new);
    let lines = (1..).zip(lines_of(log));
    let suspects =
        lines.filter(move |(_, line)| finders.iter().any(|finder| finder.find(line).is_some()));
    suspects.filter_map(|(number, bytes)| {
        let line = scan_line(bytes).ok()?;
        Some((KeyEvent::read(&line, number)?, bytes))
    })
}

/// `registry` without what events of the log made of it: the keys that none of them brought, as they were.
pub(crate) fn before_all(registry: &KeyRegistry) -> KeyRegistry {
    let mut before = KeyRegistry::default();
    for entry in &registry.keys {
        if entry.promotion_event_id.is_none() && entry.addition_event_id.is_none() {
            let mut entry = entry.clone();
            entry.status = KeyStatus::Active;
            entry.revoked_at_utc = None;
            entry.revocation_event_id = None;
            before.keys.push(entry);
        }
    }
    before
}
