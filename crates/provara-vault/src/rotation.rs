//! Keys that change: what `keys.json` must say when the log revokes or promotes one.

use provara_core::event_type::{CoreType, EventType};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::Value;
use provara_core::keys::{KeyEntry, KeyRegistry, KeyStatus, PublicKey};
use provara_core::manifest::FileEntry;

use crate::error::VaultError;
use crate::index::LogIndex;
use crate::layout;
use crate::seal::read_text;
use crate::vault::Vault;

/// What a key event changes in `keys.json`.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A key is no longer trusted.
    Revoke { key_id: KeyId, at: Option<String> },
    /// A key takes the place of a revoked one.
    Promote {
        public_key: Box<PublicKey>,
        roles: Vec<String>,
        at: String,
    },
}

impl Change {
    /// The change that an event with this payload makes; `None` for other types, and for payloads
    /// that no reader would let take effect.
    pub(crate) fn of(event_type: &EventType, payload: &Value<'_>) -> Option<Self> {
        match event_type {
            EventType::Core(CoreType::KeyRevocation) => Self::read(true, payload),
            EventType::Core(CoreType::KeyPromotion) => Self::read(false, payload),
            _ => None,
        }
    }

    pub(crate) fn read(revokes: bool, payload: &Value<'_>) -> Option<Self> {
        let text = |field: &str| payload.get(field).and_then(Value::as_str);
        if revokes {
            let key_id = text("revoked_key_id")?.parse().ok()?;
            return Some(Self::Revoke {
                key_id,
                at: text("revoked_at_utc").map(str::to_owned),
            });
        }
        let roles = payload
            .get("roles")
            .and_then(Value::as_array)
            .unwrap_or_default();
        Some(Self::Promote {
            public_key: Box::new(PublicKey::from_base64(text("new_public_key_b64")?).ok()?),
            roles: roles
                .iter()
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect(),
            at: text("promoted_at_utc").unwrap_or_default().to_owned(),
        })
    }

    /// Makes the change; gives whether it was one. Of two promotions of one key the first counts.
    pub(crate) fn apply(&self, registry: &mut KeyRegistry, event: EventId) -> bool {
        let before = registry.clone();
        match self {
            Self::Revoke { key_id, at } => {
                if let Some(entry) = registry
                    .keys
                    .iter_mut()
                    .find(|entry| entry.key_id == *key_id)
                {
                    entry.status = KeyStatus::Revoked;
                    entry.revocation_event_id = Some(event);
                    if entry.revoked_at_utc.is_none() {
                        entry.revoked_at_utc.clone_from(at);
                    }
                }
            }
            Self::Promote {
                public_key,
                roles,
                at,
            } => {
                let key_id = public_key.key_id();
                let listed = registry
                    .keys
                    .iter_mut()
                    .find(|entry| entry.key_id == key_id);
                match listed {
                    Some(entry) => {
                        entry.promotion_event_id.get_or_insert(event);
                    }
                    None => registry.keys.push(KeyEntry {
                        key_id,
                        public_key: PublicKey::clone(public_key),
                        roles: roles.clone(),
                        scopes: vec!["all".to_owned()],
                        status: KeyStatus::Active,
                        created_at_utc: at.clone(),
                        revoked_at_utc: None,
                        revocation_event_id: None,
                        promotion_event_id: Some(event),
                        addition_event_id: None,
                    }),
                }
            }
        }
        *registry != before
    }

    /// Takes the change back if it was made. No key is revoked twice in a log that verifies.
    fn undo(&self, registry: &mut KeyRegistry, event: EventId) {
        match self {
            Self::Revoke { key_id, .. } => {
                let mut entries = registry.keys.iter_mut();
                if let Some(entry) = entries.find(|entry| entry.key_id == *key_id) {
                    entry.status = KeyStatus::Active;
                    entry.revocation_event_id = None;
                    entry.revoked_at_utc = None;
                }
            }
            Self::Promote { .. } => {
                let mut brought = KeyRegistry::default();
                self.apply(&mut brought, event);
                registry.keys.retain(|entry| *entry != brought.keys[0]);
                // A key that was listed before it was promoted.
                for entry in &mut registry.keys {
                    entry.promotion_event_id.take_if(|id| *id == event);
                }
            }
        }
    }
}

/// `keys.json`, brought in line with the key events that its seal does not cover yet.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) registry: KeyRegistry,
    /// Whether the file must be written anew.
    pub(crate) lag: bool,
}

impl Keys {
    /// Reads `keys.json` and holds it against the seal and the log beyond `sealed` bytes. A writer
    /// that was interrupted after a key event left it as it was sealed, or with the changes of such
    /// events; any other difference is not a writer's doing.
    ///
    /// Without those changes the file must be what was sealed, to the byte and in the form that a
    /// writer gives it. So a crash between the renames of a rotation, in a vault whose `keys.json`
    /// another tool had laid out, is refused: it cannot be told from a key that somebody added.
    /// [`Vault::manifest`] seals such a file, and says that it changed.
    pub(crate) fn read(
        vault: &Vault,
        entries: &[FileEntry],
        index: &LogIndex,
        sealed: u64,
    ) -> Result<Self, VaultError> {
        let (mut registry, digest) = read_registry(vault)?;
        let unsealed = index
            .key_events
            .iter()
            .filter(|event| event.offset >= sealed);
        let changes: Vec<_> = unsealed
            .filter_map(|event| Some((Change::read(event.revokes, &event.payload)?, event.id)))
            .collect();
        let listed = entries.iter().find(|entry| entry.path == layout::KEYS);
        let was_sealed = |digest| listed.is_some_and(|entry| entry.sha256 == digest);
        if !was_sealed(digest) {
            for (change, event) in changes.iter().rev() {
                change.undo(&mut registry, *event);
            }
            if changes.is_empty() || !was_sealed(Digest::of(&registry.to_json())) {
                return Err(VaultError::SealContradiction {
                    file: layout::KEYS.to_owned(),
                    reason: match listed {
                        None => "the manifest does not list it".to_owned(),
                        Some(entry) => {
                            format!("it has the SHA-256 {digest}, not {}", entry.sha256)
                        }
                    },
                });
            }
        }
        for (change, event) in &changes {
            change.apply(&mut registry, *event);
        }
        Ok(Self {
            lag: !changes.is_empty(),
            registry,
        })
    }

    /// What to tell the user.
    pub(crate) fn note(&self) -> Option<String> {
        self.lag.then(|| {
            format!(
                "{} was brought in line with the log's latest key events",
                layout::KEYS
            )
        })
    }
}

/// `keys.json` and the digest of its bytes.
pub(crate) fn read_registry(vault: &Vault) -> Result<(KeyRegistry, Digest), VaultError> {
    vault.inner_file(layout::KEYS)?;
    let structure = |reason: String| VaultError::Structure {
        file: layout::KEYS.to_owned(),
        reason,
    };
    let text = read_text(vault.path(), layout::KEYS)?
        .ok_or_else(|| structure("it is missing".to_owned()))?;
    let registry = KeyRegistry::parse(&text).map_err(|error| structure(error.to_string()))?;
    if let Some(problem) = registry.problems.first() {
        return Err(structure(problem.to_string()));
    }
    Ok((registry, Digest::of(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::keys::SigningKey;

    #[test]
    fn a_promotion_is_named_once_where_its_key_is_listed_already() {
        let event = |byte| EventId([byte; 12]);
        let promote = Change::Promote {
            public_key: Box::new(SigningKey::from_seed(&[4; 32]).public()),
            roles: vec!["root".to_owned()],
            at: "2026-01-02T00:00:00.000000Z".to_owned(),
        };
        let mut registry = KeyRegistry::default();
        assert!(promote.apply(&mut registry, event(1)));
        registry.keys[0].promotion_event_id = None;
        assert!(promote.apply(&mut registry, event(2)));
        assert_eq!(registry.keys[0].promotion_event_id, Some(event(2)));
        assert!(
            !promote.apply(&mut registry, event(3)),
            "the first one counts"
        );
        assert_eq!(registry.keys.len(), 1);
    }
}
