//! Tree heads and key ids, as the arguments of tools give them.

use provara_core::id::{EventId, KeyId};
use provara_vault::{Held, KeptHead, SignedHead, VaultError};
use serde_json::{Value, json};

use super::Call;
use crate::refusal::Refusal;
use crate::vault_handle::VaultHandle;

/// The most tree heads that a vault is held to in one call.
const MOST_HEADS: usize = 20;

/// The longest tree head, in characters: with the signatures of some witnesses, also of long ones.
const LONGEST: usize = 32_768;

/// The schema of the text of one.
pub(super) fn head_schema(description: &str) -> Value {
    json!({"type": "string", "maxLength": LONGEST, "description": description})
}

/// The schema of several.
pub(super) fn heads_schema() -> Value {
    json!({"type": "array", "maxItems": MOST_HEADS, "items": {"type": "string", "maxLength": LONGEST}, "description": "Texts of tree heads that somebody kept of this vault: it must go on from each."})
}

/// The schema of the keys of which one must have made the vault.
pub(super) fn root_keys_schema() -> Value {
    json!({"type": "array", "maxItems": MOST_HEADS, "items": {"type": "string", "maxLength": 20}, "description": "Key ids: one of them must have made the vault."})
}

/// Reads the text of a tree head that the argument `name` gave.
pub(super) fn head(
    call: &Call,
    handle: &VaultHandle,
    name: &str,
    text: &str,
) -> Result<SignedHead, Refusal> {
    SignedHead::parse(text.as_bytes()).map_err(|source| {
        let path = name.into();
        handle.refusal(&*call.server.renderer, VaultError::Head { path, source })
    })
}

/// What a call holds the vault to.
pub(super) fn held(call: &Call, handle: &VaultHandle) -> Result<Held, Refusal> {
    let mut held = Held::default();
    for (at, text) in texts(call, "heads").enumerate() {
        let source = format!("heads[{at}]");
        let head = head(call, handle, &source, text)?;
        held.heads.push(KeptHead { source, head });
    }
    let keys = texts(call, "root_keys").map(|text| {
        text.parse::<KeyId>().map_err(|_| {
            Refusal::new(
                &format!("'{}' is no key id.", provara_plugins::text::inline(text)),
                "Write 'bp1_' and 16 lower-case hex digits.",
            )
        })
    });
    held.root_keys = keys.collect::<Result<_, _>>()?;
    Ok(held)
}

/// The ids of events that a call names.
pub(super) fn event_ids(call: &Call) -> Result<Vec<EventId>, Refusal> {
    let ids = texts(call, "event_ids").map(|text| {
        text.parse().map_err(|_| {
            Refusal::new(
                &format!("'{}' is no event id.", provara_plugins::text::inline(text)),
                "Write the whole id, 'evt_' and 24 lower-case hex digits; 'query_events' finds it.",
            )
        })
    });
    ids.collect()
}

/// The texts of a list that the schema has let through.
fn texts<'a>(call: &'a Call, name: &str) -> impl Iterator<Item = &'a str> {
    let given = call.arguments.get(name).and_then(Value::as_array);
    given.into_iter().flatten().filter_map(Value::as_str)
}
