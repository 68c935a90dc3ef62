//! The keys of a merged vault: those that this vault trusts, and what the joined log makes of them.
//!
//! A key of the other side's `keys.json` is not trusted for standing there: whoever makes a copy of a
//! vault can write a key into it. It counts where an event of the joined log, signed by a trusted key,
//! brings it, or where the user says so. In a marked vault that is an event too, an addition, and
//! `keys.json` follows from the log alone.

use std::collections::BTreeSet;

use provara_core::id::KeyId;
use provara_core::json::{Value, object};
use provara_core::keys::{ALGORITHM, KeyEntry, KeyRegistry};
use provara_core::merge::Merge;
use provara_core::scan::{Field, scan_line};
use provara_core::time::Timestamp;

use super::{MergeOptions, Other};
use crate::error::{MergeRefusal, VaultError};
use crate::key_events::{before_all, key_events};

/// The entries of the keys that the user trusts, as the other side lists them.
pub(super) fn trusted(
    other: &Other<'_>,
    options: &MergeOptions,
) -> Result<Vec<KeyEntry>, VaultError> {
    let entries = options.trust_keys.iter().map(|key_id| {
        let entry = other.registry.get(key_id);
        entry
            .cloned()
            .ok_or(MergeRefusal::NoSuchKey { key_id: *key_id })
    });
    Ok(entries.collect::<Result<_, _>>()?)
}

/// The payload of the event that adds a key.
pub(super) fn addition(entry: &KeyEntry, now: Timestamp) -> Value<'static> {
    let roles = entry.roles.iter().map(|role| role.clone().into());
    object([
        ("added_at_utc", now.to_string().into()),
        ("algorithm", ALGORITHM.into()),
        ("key_id", entry.key_id.to_string().into()),
        ("public_key_b64", entry.public_key.to_base64().into()),
        ("roles", Value::Array(roles.collect())),
    ])
}

/// What `keys.json` says after the merge of two vaults without a mark, in an order that does not depend on
/// the side: the keys that no event brought, then those that were promoted, in the order of `log`.
pub(super) fn joined(ours: &KeyRegistry, trusted: Vec<KeyEntry>, log: &[u8]) -> KeyRegistry {
    let mut known = ours.clone();
    for entry in trusted {
        if known.get(&entry.key_id).is_none() {
            known.keys.push(entry);
        }
    }
    let events = key_events(log);
    // Without a change that is new, the file stays as it is, in whatever order and form.
    let mut registry = known.clone();
    let mut changed = false;
    for event in &events {
        changed |= event.apply(&mut registry);
    }
    if changed {
        registry = before_all(&known);
        for event in &events {
            event.apply(&mut registry);
        }
    }
    registry
}

/// Refuses events that come from the other side by keys that do not count here.
pub(super) fn refuse_unknown(
    merged: &Merge<'_>,
    is_known: impl Fn(&KeyId) -> bool,
) -> Result<(), VaultError> {
    let unknown: BTreeSet<KeyId> = merged
        .imported()
        .filter_map(|line| {
            let line = scan_line(line).ok()?;
            let signer = line.text(Field::ActorKeyId)?.parse().ok()?;
            (!is_known(&signer)).then_some(signer)
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(MergeRefusal::UntrustedKeys {
        key_ids: unknown.into_iter().collect(),
    }
    .into())
}
