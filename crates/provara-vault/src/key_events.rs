//! The events of a log that speak of keys, found without a verification.

use memchr::memmem::Finder;
use provara_core::history::{KeyEvent, KeyEventKind, Proof};
use provara_core::json;
use provara_core::keys::{KeyRegistry, KeyStatus, Signature};
use provara_core::scan::{Field, scan_line};

use crate::log_snapshot::lines_of;

/// The key events of `log`, in its order, with what is needed to check their signatures.
pub(crate) fn key_events(log: &[u8]) -> Vec<KeyEvent> {
    // Every type that speaks of keys has one of these, and few other events do.
    let needles = [
        "\"type\":\"GENESIS\"",
        "\"type\":\"KEY_",
        "\"type\":\"com.provara.",
    ];
    let finders = needles.map(Finder::new);
    let mut found = Vec::new();
    for (number, bytes) in (1..).zip(lines_of(log)) {
        if finders.iter().all(|finder| finder.find(bytes).is_none()) {
            continue;
        }
        let read = || {
            let line = scan_line(bytes).ok()?;
            let kind = KeyEventKind::of(&line.text(Field::Type)?)?;
            let mut signed = Vec::new();
            line.signed_bytes(&mut signed);
            let signature = Signature::from_base64(line.text(Field::Sig)?.as_bytes())?;
            Some(KeyEvent {
                number,
                id: line.text(Field::EventId)?.parse().ok()?,
                signer: line.text(Field::ActorKeyId)?.parse().ok()?,
                kind,
                payload: json::parse(line.raw(Field::Payload)?).ok()?.into_owned(),
                proof: Some(Proof { signed, signature }),
            })
        };
        found.extend(read());
    }
    found
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
