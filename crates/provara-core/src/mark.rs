//! The mark: what a vault says of its own keys in signed events, so that no other file has to be believed
//! (spec/VAULT_FORMAT, section 4).
//!
//! A vault is *marked* if its `GENESIS` event carries a seal policy, or if a valid adoption stands in its
//! log. Its keys are then those that signed events introduce, and its seal must be signed by one of them.

use std::fmt;
use std::str::FromStr;

use crate::id::{Digest, KeyId};
use crate::json::{Value, object};
use crate::keys::{ALGORITHM, KeyEntry, KeyStatus, PublicKey};

pub use crate::event_type::{ADOPTION_TYPE, FILES_TYPE, KEY_ADDED_TYPE};

/// The member of a payload that holds a seal policy.
pub const SEAL_POLICY: &str = "seal_policy";

/// The only version of a seal policy.
pub const POLICY_VERSION: i64 = 1;

/// The roles of which a key needs one to sign events and seals.
pub const SIGNING_ROLES: [&str; 2] = ["root", "attestation"];

/// Whether a key with these roles may sign.
#[must_use]
pub fn may_sign(roles: &[String]) -> bool {
    roles
        .iter()
        .any(|role| SIGNING_ROLES.contains(&role.as_str()))
}

/// The name of a seal as the member `seal` of an event gives it: the first 32 hexadecimal digits of the
/// root that `manifest.sig` signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealName(pub [u8; 16]);

/// A text is not 32 lower-case hexadecimal digits (`PROVARA_E100`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 lower-case hex digits")]
pub struct SealNameError;

impl SealName {
    /// The name of the seal over this root.
    #[must_use]
    pub fn of(root: Digest) -> Self {
        Self(root.0[..16].try_into().expect("16 of 32 bytes"))
    }
}

impl fmt::Display for SealName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SealName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SealName {
    type Err = SealNameError;

    fn from_str(text: &str) -> Result<Self, SealNameError> {
        let (Some(left), Some(right)) = (text.get(..32), text.get(32..)) else {
            return Err(SealNameError);
        };
        // Read as the half of a digest, whose digits are as strict.
        match format!("{left}{left}").parse::<Digest>() {
            Ok(digest) if right.is_empty() => Ok(Self::of(digest)),
            _ => Err(SealNameError),
        }
    }
}

/// Why a seal policy cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A version that this reader does not know (`PROVARA_E303`).
    #[error("'seal_policy.version' is {found}, not {POLICY_VERSION}")]
    Version {
        /// What it is.
        found: String,
    },
    /// A member is absent or of the wrong kind (`PROVARA_E300`).
    #[error("'seal_policy{place}' is missing or is not {expected}")]
    Field {
        /// Where, as `.keys[0].roles`.
        place: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An id that is not that of its key (`PROVARA_E102`).
    #[error("'seal_policy.keys[{index}].key_id' is {given:?}, and the key's id is {derived}")]
    Id {
        /// Position in the list, from 0.
        index: usize,
        /// The id as written.
        given: String,
        /// The id of the key.
        derived: KeyId,
    },
    /// The same key twice, or a member that the format does not name (`PROVARA_E302`).
    #[error("'seal_policy{place}' {reason}")]
    Shape {
        /// Where.
        place: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A key that a seal policy introduces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyKey {
    /// The public half.
    pub public_key: PublicKey,
    /// Such as `root` and `attestation`.
    pub roles: Vec<String>,
    /// Such as `all`.
    pub scopes: Vec<String>,
    /// When the entry was made, as written.
    pub created_at_utc: String,
}

impl PolicyKey {
    /// The key as `keys.json` lists it while it is active.
    #[must_use]
    pub fn entry(&self) -> KeyEntry {
        KeyEntry {
            key_id: self.public_key.key_id(),
            public_key: self.public_key.clone(),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            status: KeyStatus::Active,
            created_at_utc: self.created_at_utc.clone(),
            revoked_at_utc: None,
            revocation_event_id: None,
            promotion_event_id: None,
            addition_event_id: None,
        }
    }
}

impl From<&KeyEntry> for PolicyKey {
    fn from(entry: &KeyEntry) -> Self {
        Self {
            public_key: entry.public_key.clone(),
            roles: entry.roles.clone(),
            scopes: entry.scopes.clone(),
            created_at_utc: entry.created_at_utc.clone(),
        }
    }
}

/// The keys that a `GENESIS` event or an adoption introduces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealPolicy {
    /// The keys, the root key first.
    pub keys: Vec<PolicyKey>,
}

/// The members of a key in a policy.
const MEMBERS: [&str; 6] = [
    "algorithm",
    "created_at_utc",
    "key_id",
    "public_key_b64",
    "roles",
    "scopes",
];

impl SealPolicy {
    /// Reads the value of a member `seal_policy`.
    ///
    /// # Errors
    /// As [`PolicyError`] says.
    pub fn parse(value: &Value<'_>) -> Result<Self, PolicyError> {
        let field = |place: &str, expected| PolicyError::Field {
            place: place.to_owned(),
            expected,
        };
        let shape = |place: String, reason| PolicyError::Shape { place, reason };
        let members = value.as_object().ok_or_else(|| field("", "an object"))?;
        let version = value.get("version").map(|it| (it.as_i64(), it));
        match version {
            Some((Some(POLICY_VERSION), _)) => {}
            Some((_, found)) => {
                let found = crate::canonical::compact(found);
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(PolicyError::Version { found });
            }
            None => return Err(field(".version", "an integer")),
        }
        if members
            .iter()
            .any(|(name, _)| !["keys", "version"].contains(&&**name))
        {
            let reason = "has a member that the format does not name";
            return Err(shape(String::new(), reason));
        }
        let list = value.get("keys").and_then(Value::as_array);
        let list = list
            .filter(|list| !list.is_empty())
            .ok_or_else(|| field(".keys", "a non-empty list"))?;
        let mut policy = Self::default();
        for (index, key) in list.iter().enumerate() {
            let key = read_key(index, key)?;
            let known = |other: &PolicyKey| other.public_key.key_id() == key.public_key.key_id();
            if policy.keys.iter().any(known) {
                return Err(shape(format!(".keys[{index}]"), "is listed twice"));
            }
            policy.keys.push(key);
        }
        Ok(policy)
    }

    /// The value of a member `seal_policy`.
    #[must_use]
    pub fn to_value(&self) -> Value<'static> {
        let texts =
            |list: &[String]| Value::Array(list.iter().map(|text| text.clone().into()).collect());
        let keys = self.keys.iter().map(|key| {
            object([
                ("algorithm", ALGORITHM.into()),
                ("created_at_utc", key.created_at_utc.clone().into()),
                ("key_id", key.public_key.key_id().to_string().into()),
                ("public_key_b64", key.public_key.to_base64().into()),
                ("roles", texts(&key.roles)),
                ("scopes", texts(&key.scopes)),
            ])
        });
        object([
            ("keys", Value::Array(keys.collect())),
            ("version", (POLICY_VERSION as u64).into()),
        ])
    }
}

fn read_key(index: usize, key: &Value<'_>) -> Result<PolicyKey, PolicyError> {
    let wrong = |name: &str, expected| PolicyError::Field {
        place: format!(".keys[{index}].{name}"),
        expected,
    };
    let text = |name| key.get(name).and_then(Value::as_str);
    let texts = |name| -> Option<Vec<String>> {
        let items = key.get(name)?.as_array()?;
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    if text("algorithm") != Some(ALGORITHM) {
        return Err(wrong("algorithm", "\"Ed25519\""));
    }
    let members = key.as_object().map(Vec::as_slice).unwrap_or_default();
    if members.iter().any(|(name, _)| !MEMBERS.contains(&&**name)) {
        return Err(PolicyError::Shape {
            place: format!(".keys[{index}]"),
            reason: "has a member that the format does not name",
        });
    }
    let public_key = text("public_key_b64").and_then(|text| PublicKey::from_base64(text).ok());
    let public_key = public_key.ok_or_else(|| wrong("public_key_b64", "an Ed25519 key"))?;
    let given = text("key_id").ok_or_else(|| wrong("key_id", "a key id"))?;
    let derived = public_key.key_id();
    if given != derived.to_string() {
        return Err(PolicyError::Id {
            index,
            given: given.to_owned(),
            derived,
        });
    }
    Ok(PolicyKey {
        public_key,
        roles: texts("roles").ok_or_else(|| wrong("roles", "a list of strings"))?,
        scopes: texts("scopes").ok_or_else(|| wrong("scopes", "a list of strings"))?,
        created_at_utc: text("created_at_utc")
            .ok_or_else(|| wrong("created_at_utc", "a string"))?
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::jcs;
    use crate::json::parse;
    use crate::keys::SigningKey;

    #[test]
    fn a_policy_reads_back_and_takes_nothing_else() {
        let key = |byte: u8| PolicyKey {
            public_key: SigningKey::from_seed(&[byte; 32]).public(),
            roles: vec!["root".into(), "attestation".into()],
            scopes: vec!["all".into()],
            created_at_utc: "2026-01-01T00:00:00.000000Z".into(),
        };
        let policy = SealPolicy {
            keys: vec![key(1), key(2)],
        };
        let text = String::from_utf8(jcs(&policy.to_value()).unwrap()).unwrap();
        let read = |text: &str| SealPolicy::parse(&parse(text.as_bytes()).unwrap());
        assert_eq!(read(&text), Ok(policy.clone()));
        let one = SealPolicy {
            keys: vec![key(1), key(1)],
        };
        assert!(matches!(
            SealPolicy::parse(&one.to_value()),
            Err(PolicyError::Shape { .. })
        ));
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"version\":1", "\"version\":\"1\""),
            ("\"version\":1", "\"more\":1,\"version\":1"),
            ("\"algorithm\"", "\"a\":1,\"algorithm\""),
            ("Ed25519", "Ed448"),
            ("\"roles\":[\"root\",", "\"roles\":[1,"),
        ] {
            assert!(text.contains(from));
            assert!(read(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
        let id = |byte| key(byte).public_key.key_id().to_string();
        let swapped = text.replace(&id(2), &id(3));
        assert!(matches!(
            read(&swapped),
            Err(PolicyError::Id { index: 1, .. })
        ));
    }

    #[test]
    fn names_of_seals_are_strict() {
        let name = SealName::of(Digest([0xab; 32]));
        assert_eq!(name.to_string(), "ab".repeat(16));
        assert_eq!("ab".repeat(16).parse(), Ok(name));
        for bad in [
            "",
            &"ab".repeat(15),
            &"ab".repeat(17),
            &"AB".repeat(16),
            &"é".repeat(16),
        ] {
            assert_eq!(bad.parse::<SealName>(), Err(SealNameError), "{bad}");
        }
    }
}
