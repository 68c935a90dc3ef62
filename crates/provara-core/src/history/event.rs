//! The events that speak of keys, and what each does to `keys.json`.

use crate::event_type::{CLOSING_TYPE, FILES_TYPE, REDACTION_TYPE};
use crate::id::{EventId, KeyId};
use crate::json::{self, Value};
use crate::keys::{KeyEntry, KeyRegistry, KeyStatus, PublicKey, Signature};
use crate::mark::{ADOPTION_TYPE, KEY_ADDED_TYPE, SEAL_POLICY, SealPolicy};
use crate::scan::{Field, Line};

/// What an event does to the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEventKind {
    /// Founds the vault and, if it carries a seal policy, marks it.
    Genesis,
    /// Gives an older vault its mark.
    Adoption,
    /// Puts a key in the place of a revoked one.
    Promotion,
    /// Adds a key.
    Addition,
    /// Takes a key out of use.
    Revocation,
}

/// Whether a redaction may take the payload of an event of this type away: the rules read those of others
/// (spec/VAULT_FORMAT, section 8).
#[must_use]
pub fn is_redactable(event_type: &str) -> bool {
    KeyEventKind::of(event_type).is_none()
        && ![FILES_TYPE, REDACTION_TYPE, CLOSING_TYPE].contains(&event_type)
}

impl KeyEventKind {
    /// What an event of this type does to the keys; `None` for a type that does nothing to them.
    #[must_use]
    pub fn of(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "GENESIS" => Self::Genesis,
            "KEY_PROMOTION" => Self::Promotion,
            "KEY_REVOCATION" => Self::Revocation,
            ADOPTION_TYPE => Self::Adoption,
            KEY_ADDED_TYPE => Self::Addition,
            _ => return None,
        })
    }

    /// Every kind, at the place that is its number.
    const NUMBERED: [Self; 5] = [
        Self::Genesis,
        Self::Adoption,
        Self::Promotion,
        Self::Addition,
        Self::Revocation,
    ];

    /// Its number in what is kept of a log: the record of a verification and the tail cache. A number never
    /// comes to mean another kind.
    #[must_use]
    pub fn number(self) -> u8 {
        let number = Self::NUMBERED.iter().position(|kind| *kind == self);
        number.expect("every kind is listed") as u8
    }

    /// The kind with this [`KeyEventKind::number`].
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::NUMBERED.get(usize::from(number)).copied()
    }
}

/// A signature that is still to be checked, and what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The line without `sig`.
    pub signed: Vec<u8>,
    /// `sig`
    pub signature: Signature,
}

/// An event that speaks of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvent {
    /// Its place among the events of the log, from 1.
    pub number: u64,
    /// Its id.
    pub id: EventId,
    /// The key that signed it.
    pub signer: KeyId,
    /// What it does.
    pub kind: KeyEventKind,
    /// What it says.
    pub payload: Value<'static>,
    /// The signature, where nobody has checked it yet.
    pub proof: Option<Proof>,
}

impl KeyEvent {
    /// The event that a line holds, the `number`th of the log from 1, with what is needed to check its signature;
    /// `None` where it does nothing to the keys.
    #[must_use]
    pub fn read(line: &Line<'_>, number: u64) -> Option<Self> {
        let kind = KeyEventKind::of(&line.text(Field::Type)?)?;
        let mut signed = Vec::new();
        line.signed_bytes(&mut signed);
        let signature = Signature::from_base64(line.text(Field::Sig)?.as_bytes())?;
        Some(Self {
            number,
            id: line.text(Field::EventId)?.parse().ok()?,
            signer: line.text(Field::ActorKeyId)?.parse().ok()?,
            kind,
            payload: json::parse(line.raw(Field::Payload)?).ok()?.into_owned(),
            proof: Some(Proof { signed, signature }),
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }

    /// The key that it takes out of use or brings.
    #[must_use]
    pub fn subject(&self) -> Option<KeyId> {
        let names: &[&str] = match self.kind {
            KeyEventKind::Revocation => &["revoked_key_id"],
            KeyEventKind::Promotion => &["new_key_id", "promoted_key_id"],
            KeyEventKind::Addition => &["key_id"],
            KeyEventKind::Genesis | KeyEventKind::Adoption => &[],
        };
        names.iter().find_map(|name| self.text(name)?.parse().ok())
    }

    pub(super) fn policy(&self) -> Option<SealPolicy> {
        SealPolicy::parse(self.payload.get(SEAL_POLICY)?).ok()
    }

    /// The entry of `keys.json` for the key that a promotion or an addition brings; `None` for other
    /// events, and for a payload that no reader would let take effect.
    #[must_use]
    pub fn brings(&self) -> Option<KeyEntry> {
        let (key, at) = match self.kind {
            KeyEventKind::Promotion => ("new_public_key_b64", "promoted_at_utc"),
            KeyEventKind::Addition => ("public_key_b64", "added_at_utc"),
            _ => return None,
        };
        let public_key = PublicKey::from_base64(self.text(key)?).ok()?;
        let key_id = public_key.key_id();
        (self.subject() == Some(key_id)).then_some(())?;
        let roles = self.payload.get("roles").and_then(Value::as_array);
        let roles = roles.unwrap_or_default().iter();
        let promotes = self.kind == KeyEventKind::Promotion;
        Some(KeyEntry {
            key_id,
            public_key,
            roles: roles
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect(),
            scopes: vec!["all".to_owned()],
            status: KeyStatus::Active,
            created_at_utc: self.text(at).unwrap_or_default().to_owned(),
            revoked_at_utc: None,
            revocation_event_id: None,
            promotion_event_id: promotes.then_some(self.id),
            addition_event_id: (!promotes).then_some(self.id),
        })
    }

    /// Makes the change that the event makes to `keys.json`; gives whether it was one. Of two promotions
    /// of one key the first counts.
    pub fn apply(&self, registry: &mut KeyRegistry) -> bool {
        if let Some(entry) = self.brings() {
            let mut listed = registry.keys.iter_mut();
            return match listed.find(|known| known.key_id == entry.key_id) {
                None => {
                    registry.keys.push(entry);
                    true
                }
                Some(known) => {
                    let (known, new) = match self.kind {
                        KeyEventKind::Promotion => {
                            (&mut known.promotion_event_id, entry.promotion_event_id)
                        }
                        _ => (&mut known.addition_event_id, entry.addition_event_id),
                    };
                    let fresh = known.is_none();
                    *known = known.or(new);
                    fresh
                }
            };
        }
        if self.kind != KeyEventKind::Revocation {
            return false;
        }
        let subject = self.subject();
        let mut entries = registry.keys.iter_mut();
        let Some(entry) = entries.find(|entry| Some(entry.key_id) == subject) else {
            return false;
        };
        let before = entry.clone();
        entry.status = KeyStatus::Revoked;
        entry.revocation_event_id = Some(self.id);
        if entry.revoked_at_utc.is_none() {
            entry.revoked_at_utc = self.text("revoked_at_utc").map(str::to_owned);
        }
        *entry != before
    }

    /// Whether the signature is that of `key`, or was checked before.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.proof
            .as_ref()
            .is_none_or(|proof| key.verify(&proof.signed, &proof.signature).is_ok())
    }
}
