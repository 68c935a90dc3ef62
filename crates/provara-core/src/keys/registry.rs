//! The registry of public keys, `identity/keys.json` (spec/VAULT_FORMAT, section 4).

use std::collections::HashSet;

use serde::Serialize;

use super::{ALGORITHM, PublicKey, PublicKeyError};
use crate::id::{EventId, KeyId};
use crate::json::{self, ParseError, Value};

/// What `keys.json` says of a key today. Whether a signature counts is decided by the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Revoked by an event of the log.
    Revoked,
}

/// One entry of `identity/keys.json` (spec/VAULT_FORMAT, section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The id; equal to the one that is derived from `public_key`.
    pub key_id: KeyId,
    /// The public half.
    pub public_key: PublicKey,
    /// Such as `root` and `attestation`.
    pub roles: Vec<String>,
    /// Such as `all`.
    pub scopes: Vec<String>,
    /// Active or revoked.
    pub status: KeyStatus,
    /// When the entry was made, as written.
    pub created_at_utc: String,
    /// When it was revoked, as written.
    pub revoked_at_utc: Option<String>,
    /// The `KEY_REVOCATION` event.
    pub revocation_event_id: Option<EventId>,
    /// The `KEY_PROMOTION` event.
    pub promotion_event_id: Option<EventId>,
    /// The event that added the key, where it replaced none.
    pub addition_event_id: Option<EventId>,
}

/// What is wrong with one entry of `keys.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyEntryError {
    /// A member is absent or of the wrong kind (`PROVARA_E300`).
    #[error("key entry {index}: '{field}' is missing or of the wrong kind")]
    Field {
        /// Position in the list, from 0.
        index: usize,
        /// The member.
        field: &'static str,
    },
    /// The id is malformed, or not that of the key (`PROVARA_E102`).
    #[error("key entry {index}: key_id {given:?} is not that of its public key ({derived})")]
    Id {
        /// Position in the list, from 0.
        index: usize,
        /// The id as written.
        given: String,
        /// The id of the key.
        derived: KeyId,
    },
    /// The public key is none.
    #[error("key entry {index}: public_key_b64 is {error}")]
    PublicKey {
        /// Position in the list, from 0.
        index: usize,
        /// What is wrong with it.
        error: PublicKeyError,
    },
    /// An entry of `revocations` that does not name a key, or whose event is none (`PROVARA_E300`).
    #[error("entry {index} of 'revocations': '{field}' is missing or of the wrong kind")]
    Revocation {
        /// Position in the list, from 0.
        index: usize,
        /// The member.
        field: &'static str,
    },
    /// `revocations` is there and is no list (`PROVARA_E300`).
    #[error("'revocations' is not a list")]
    Revocations,
    /// The same key twice.
    #[error("key entry {index}: {key_id} is listed twice")]
    Duplicate {
        /// Position in the list, from 0.
        index: usize,
        /// The key.
        key_id: KeyId,
    },
}

/// Why `keys.json` cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRegistryError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// It is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// It has no list `keys`.
    #[error("it has no list 'keys'")]
    Shape,
}

/// `identity/keys.json`: the public halves that the vault knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRegistry {
    /// The entries that are sound, in the order of the file.
    pub keys: Vec<KeyEntry>,
    /// The sound entries of the list `revocations`, which only repeats what `keys` says.
    pub revocations: Vec<ListedRevocation>,
    /// The entries of both lists that are not sound, which count for nothing.
    pub problems: Vec<KeyEntryError>,
}

/// An entry of the list `revocations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRevocation {
    /// The key.
    pub key_id: KeyId,
    /// The `KEY_REVOCATION` event, if it is named.
    pub event: Option<EventId>,
}

impl KeyRegistry {
    /// Reads `keys.json`. Broken entries are set aside in `problems`.
    ///
    /// # Errors
    /// The whole file is unreadable.
    pub fn parse(text: &[u8]) -> Result<Self, KeyRegistryError> {
        let document = json::parse(text)?;
        if document.as_object().is_none() {
            return Err(KeyRegistryError::NotAnObject);
        }
        let list = document.get("keys").and_then(Value::as_array);
        let mut registry = Self::default();
        let mut listed = HashSet::new();
        for (index, entry) in list.ok_or(KeyRegistryError::Shape)?.iter().enumerate() {
            match read_entry(index, entry) {
                Ok(entry) if !listed.insert(entry.key_id) => {
                    let key_id = entry.key_id;
                    registry
                        .problems
                        .push(KeyEntryError::Duplicate { index, key_id });
                }
                Ok(entry) => registry.keys.push(entry),
                Err(problem) => registry.problems.push(problem),
            }
        }
        let revocations = match document.get("revocations") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(entries)) => entries.as_slice(),
            Some(_) => {
                registry.problems.push(KeyEntryError::Revocations);
                &[]
            }
        };
        for (index, entry) in revocations.iter().enumerate() {
            match read_revocation(index, entry) {
                Ok(revocation) => registry.revocations.push(revocation),
                Err(problem) => registry.problems.push(problem),
            }
        }
        Ok(registry)
    }

    /// The entry of this key.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&KeyEntry> {
        self.keys.iter().find(|entry| entry.key_id == *id)
    }

    /// The written form, indented for people, with LF at the end; `revocations` follows from the
    /// entries.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let keys: Vec<_> = self.keys.iter().map(WrittenEntry::from).collect();
        let revocations: Vec<_> = self
            .keys
            .iter()
            .filter(|entry| entry.status == KeyStatus::Revoked)
            .map(|entry| WrittenRevocation {
                key_id: entry.key_id,
                revocation_event_id: entry.revocation_event_id,
                revoked_at_utc: entry.revoked_at_utc.as_deref(),
            })
            .collect();
        let mut out = serde_json::to_vec_pretty(&WrittenRegistry { keys, revocations })
            .expect("strings and lists always serialise");
        out.push(b'\n');
        out
    }
}

#[derive(Serialize)]
struct WrittenRegistry<'a> {
    keys: Vec<WrittenEntry<'a>>,
    revocations: Vec<WrittenRevocation<'a>>,
}

#[derive(Serialize)]
struct WrittenRevocation<'a> {
    key_id: KeyId,
    revocation_event_id: Option<EventId>,
    revoked_at_utc: Option<&'a str>,
}

#[derive(Serialize)]
struct WrittenEntry<'a> {
    key_id: KeyId,
    algorithm: &'static str,
    public_key_b64: String,
    roles: &'a [String],
    scopes: &'a [String],
    status: KeyStatus,
    created_at_utc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at_utc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addition_event_id: Option<EventId>,
}

impl<'a> From<&'a KeyEntry> for WrittenEntry<'a> {
    fn from(entry: &'a KeyEntry) -> Self {
        Self {
            key_id: entry.key_id,
            algorithm: ALGORITHM,
            public_key_b64: entry.public_key.to_base64(),
            roles: &entry.roles,
            scopes: &entry.scopes,
            status: entry.status,
            created_at_utc: &entry.created_at_utc,
            revoked_at_utc: entry.revoked_at_utc.as_deref(),
            revocation_event_id: entry.revocation_event_id,
            promotion_event_id: entry.promotion_event_id,
            addition_event_id: entry.addition_event_id,
        }
    }
}

fn read_entry(index: usize, entry: &Value<'_>) -> Result<KeyEntry, KeyEntryError> {
    let wrong = |field| KeyEntryError::Field { index, field };
    let text = |field| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| wrong(field))
    };
    let event = |field| optional_event(entry, field).ok_or_else(|| wrong(field));
    if text("algorithm")? != ALGORITHM {
        return Err(wrong("algorithm"));
    }
    let public_key = PublicKey::from_base64(text("public_key_b64")?)
        .map_err(|error| KeyEntryError::PublicKey { index, error })?;
    let (given, derived) = (text("key_id")?, public_key.key_id());
    if given != derived.to_string() {
        return Err(KeyEntryError::Id {
            index,
            given: given.to_owned(),
            derived,
        });
    }
    Ok(KeyEntry {
        key_id: derived,
        public_key,
        roles: text_list(entry, "roles").ok_or_else(|| wrong("roles"))?,
        scopes: text_list(entry, "scopes").ok_or_else(|| wrong("scopes"))?,
        status: match text("status")? {
            "active" => KeyStatus::Active,
            "revoked" => KeyStatus::Revoked,
            _ => return Err(wrong("status")),
        },
        created_at_utc: text("created_at_utc")?.to_owned(),
        revoked_at_utc: optional_text(entry, "revoked_at_utc")
            .ok_or_else(|| wrong("revoked_at_utc"))?,
        revocation_event_id: event("revocation_event_id")?,
        promotion_event_id: event("promotion_event_id")?,
        addition_event_id: event("addition_event_id")?,
    })
}

fn read_revocation(index: usize, entry: &Value<'_>) -> Result<ListedRevocation, KeyEntryError> {
    let wrong = |field| KeyEntryError::Revocation { index, field };
    let key_id = entry.get("key_id").and_then(Value::as_str);
    let field = "revocation_event_id";
    // Nothing depends on the time, but it must be one that can be shown.
    optional_text(entry, "revoked_at_utc").ok_or_else(|| wrong("revoked_at_utc"))?;
    Ok(ListedRevocation {
        key_id: key_id
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong("key_id"))?,
        event: optional_event(entry, field).ok_or_else(|| wrong(field))?,
    })
}

/// A member that is an event id or absent; the outer `None` says that it is neither.
#[expect(clippy::option_option, reason = "the two differ")]
fn optional_event(entry: &Value<'_>, field: &str) -> Option<Option<EventId>> {
    match entry.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str()?.parse().ok().map(Some),
    }
}

/// A member that is a text or absent; the outer `None` says that it is neither.
#[expect(clippy::option_option, reason = "the two differ")]
fn optional_text(entry: &Value<'_>, field: &str) -> Option<Option<String>> {
    match entry.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    }
}

/// A member that is a list of strings.
fn text_list(entry: &Value<'_>, field: &str) -> Option<Vec<String>> {
    let items = entry.get(field)?.as_array()?;
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    #[test]
    fn registry_sets_broken_entries_aside() {
        let entry = |byte| KeyEntry {
            key_id: key(byte).key_id(),
            public_key: key(byte).public(),
            roles: vec!["root".into()],
            scopes: vec!["all".into()],
            status: KeyStatus::Active,
            created_at_utc: "2026-01-01T00:00:00.000000Z".into(),
            revoked_at_utc: None,
            revocation_event_id: None,
            promotion_event_id: None,
            addition_event_id: None,
        };
        let registry = KeyRegistry {
            keys: vec![entry(1), entry(2)],
            ..KeyRegistry::default()
        };
        let text = String::from_utf8(registry.to_json()).unwrap();
        assert_eq!(KeyRegistry::parse(text.as_bytes()).unwrap(), registry);
        let swapped = text.replace(&key(2).key_id().to_string(), &key(1).key_id().to_string());
        let registry = KeyRegistry::parse(swapped.as_bytes()).unwrap();
        assert_eq!(registry.keys.len(), 1);
        assert!(matches!(
            registry.problems[..],
            [KeyEntryError::Id { index: 1, .. }]
        ));
    }
}
