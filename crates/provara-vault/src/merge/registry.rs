//! The keys of a merged vault: those that this vault trusts, and what the joined log makes of them.
//!
//! A key of the other side's `keys.json` is not trusted for standing there: whoever makes a copy of a
//! vault can write a key into it. It counts where an event of the joined log, signed by a trusted key,
//! promotes it, or where the user says so.

use std::collections::BTreeSet;

use provara_core::history::{KeyEvent, KeyEventKind};
use provara_core::id::KeyId;
use provara_core::json;
use provara_core::keys::{KeyRegistry, KeyStatus};
use provara_core::merge::Merge;
use provara_core::scan::{Field, scan_line};

use super::{MergeOptions, MergeRefusal, Other};
use crate::error::VaultError;

/// What `keys.json` says after the merge, in an order that does not depend on the side: the keys that
/// no event brought, then those that were promoted, in the order of `log`.
pub(super) fn joined(
    ours: &KeyRegistry,
    other: &Other<'_>,
    merged: &Merge<'_>,
    log: &[u8],
    options: &MergeOptions,
) -> Result<KeyRegistry, VaultError> {
    let mut known = ours.clone();
    for key_id in &options.trust_keys {
        let entry = other.registry.get(key_id);
        let entry = entry.ok_or(MergeRefusal::NoSuchKey { key_id: *key_id })?;
        if known.get(key_id).is_none() {
            known.keys.push(entry.clone());
        }
    }
    let changes = changes(log);
    // Without a change that is new, the file stays as it is, in whatever order and form.
    let mut registry = known.clone();
    let mut changed = false;
    for change in &changes {
        changed |= change.apply(&mut registry);
    }
    if changed {
        registry = rebuilt(&known, &changes);
    }
    let unknown: BTreeSet<KeyId> = merged
        .imported()
        .filter_map(|line| {
            let signer: KeyId = scan_line(line)
                .ok()?
                .text(Field::ActorKeyId)?
                .parse()
                .ok()?;
            registry.get(&signer).is_none().then_some(signer)
        })
        .collect();
    if !unknown.is_empty() {
        return Err(MergeRefusal::UntrustedKeys {
            key_ids: unknown.into_iter().collect(),
        }
        .into());
    }
    Ok(registry)
}

fn rebuilt(known: &KeyRegistry, changes: &[KeyEvent]) -> KeyRegistry {
    let mut registry = KeyRegistry::default();
    for entry in &known.keys {
        if entry.promotion_event_id.is_none() {
            let mut entry = entry.clone();
            entry.status = KeyStatus::Active;
            entry.revoked_at_utc = None;
            entry.revocation_event_id = None;
            registry.keys.push(entry);
        }
    }
    for change in changes {
        change.apply(&mut registry);
    }
    registry
}

/// The changes of keys that the log speaks of, in its order.
fn changes(log: &[u8]) -> Vec<KeyEvent> {
    let mut found = Vec::new();
    for (number, piece) in (1..).zip(log.split_inclusive(|byte| *byte == b'\n')) {
        // The two types have this in common, and few other events do.
        if memchr::memmem::find(piece, b"\"type\":\"KEY_").is_none() {
            continue;
        }
        let Ok(line) = scan_line(piece.strip_suffix(b"\n").unwrap_or(piece)) else {
            continue;
        };
        let kind = line.text(Field::Type);
        let Some(kind) = kind.and_then(|kind| KeyEventKind::of(&kind)) else {
            continue;
        };
        let read = || {
            let payload = json::parse(line.raw(Field::Payload)?).ok()?;
            Some(KeyEvent {
                number,
                id: line.text(Field::EventId)?.parse().ok()?,
                signer: line.text(Field::ActorKeyId)?.parse().ok()?,
                kind,
                payload: payload.into_owned(),
                proof: None,
            })
        };
        found.extend(read());
    }
    found
}
