//! Keys: Ed25519 halves, the keyfile that holds private ones, and the registry of public ones.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, Verifier as _};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::id::{EventId, KeyId};
use crate::json::{self, ParseError, Value};

/// The name that the format gives to its only signature algorithm.
pub const ALGORITHM: &str = "Ed25519";

/// The length of an Ed25519 signature in bytes.
pub const SIGNATURE_LENGTH: usize = 64;

/// The signature is not one of this key over this message (`PROVARA_E003`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Bytes that are no usable public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not standard, padded Base64 of 32 bytes.
    #[error("not the Base64 of 32 bytes")]
    Encoding,
    /// 32 bytes that encode no point of the curve.
    #[error("not a point of the Ed25519 curve")]
    NotAPoint,
    /// A point of small order, under which anybody can sign.
    #[error("a point of small order, under which anybody can sign")]
    Weak,
}

/// An Ed25519 public key that has been checked to be a point of the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Takes the 32 raw bytes of RFC 8032, section 5.1.5.
    ///
    /// # Errors
    /// [`PublicKeyError::NotAPoint`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| PublicKeyError::NotAPoint)
    }

    /// Takes standard, padded Base64 of the 32 raw bytes, as a vault lists a key: a weak one is refused.
    ///
    /// # Errors
    /// As [`PublicKeyError`] says.
    pub fn from_base64(text: &str) -> Result<Self, PublicKeyError> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| PublicKeyError::Encoding)?;
        let bytes = bytes
            .as_slice()
            .try_into()
            .map_err(|_| PublicKeyError::Encoding)?;
        let key = Self::from_bytes(bytes)?;
        if key.is_weak() {
            Err(PublicKeyError::Weak)
        } else {
            Ok(key)
        }
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The raw bytes in standard, padded Base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    /// The id that is derived from the raw bytes.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(self.as_bytes())
    }

    /// Whether the point is of small order: one signature under such a key verifies for many messages,
    /// so it stands for nobody.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.0.is_weak()
    }

    /// Decides a signature as a plain RFC 8032 verification (section 5.1.7, cofactorless) does: `S`
    /// below the group order, and the recomputed `R` equal to the given one byte for byte.
    ///
    /// # Errors
    /// [`BadSignature`], whatever the reason.
    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_LENGTH],
    ) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

/// An Ed25519 private key. Its memory is wiped when it is dropped, and it never prints itself.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    id: KeyId,
}

impl SigningKey {
    /// Takes the 32-byte seed of RFC 8032, section 5.1.5.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let id = KeyId::of(key.verifying_key().as_bytes());
        Self { key, id }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// The id of the public half.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// Signs `message` (RFC 8032, section 5.1.6; deterministic).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// Encodes a signature as an event and a seal carry it: standard, padded Base64.
#[must_use]
pub fn signature_to_base64(signature: &[u8; SIGNATURE_LENGTH]) -> String {
    STANDARD.encode(signature)
}

/// Decodes the Base64 of a signature: standard alphabet, padded, 64 bytes; `None` for anything
/// else.
#[must_use]
pub fn signature_from_base64(text: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
    // 64 bytes are 88 characters; the decoder wants room for whole groups of three.
    let mut bytes = [0; 66];
    if text.len() != 88 {
        return None;
    }
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes[..length].try_into().ok()
}

/// Why a text is no keyfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyfileError {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Json(#[from] ParseError),
    /// It is JSON of another shape.
    #[error("{0}")]
    Shape(&'static str),
    /// A private key that is not the Base64 of 32 bytes.
    #[error("the private key of {0} is not the Base64 of a 32-byte seed")]
    Seed(String),
    /// A private key that stands under another key's id.
    #[error("the private key given for {given} belongs to {derived}")]
    Mismatch {
        /// The id in the file.
        given: String,
        /// The id of the key.
        derived: KeyId,
    },
}

/// Private keys, in the order of their file (spec/VAULT_FORMAT, section 1).
#[derive(Debug, Clone, Default)]
pub struct Keyfile {
    keys: Vec<SigningKey>,
}

impl Keyfile {
    /// Holds `keys` in this order.
    #[must_use]
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self { keys }
    }

    /// Reads either form of a keyfile: `{"keys":[…]}`, or the flat map from key id to seed, whose
    /// `WARNING` member is ignored.
    ///
    /// # Errors
    /// As [`KeyfileError`] says. No error holds private bytes.
    pub fn parse(text: &[u8]) -> Result<Self, KeyfileError> {
        let document = json::parse(text)?;
        let members = document
            .as_object()
            .ok_or(KeyfileError::Shape("not an object"))?;
        let mut keys = Vec::new();
        if let Some(list) = document.get("keys") {
            let list = list
                .as_array()
                .ok_or(KeyfileError::Shape("'keys' is not a list"))?;
            for entry in list {
                let id = entry.get("key_id").and_then(Value::as_str);
                let seed = entry.get("private_key_b64").and_then(Value::as_str);
                let (Some(id), Some(seed)) = (id, seed) else {
                    return Err(KeyfileError::Shape(
                        "an entry lacks key_id or private_key_b64",
                    ));
                };
                keys.push(read_seed(id, seed)?);
            }
        } else {
            for (id, seed) in members.iter().filter(|(id, _)| id != "WARNING") {
                let seed = seed
                    .as_str()
                    .ok_or(KeyfileError::Shape("a value is not a string"))?;
                keys.push(read_seed(id, seed)?);
            }
        }
        if keys.is_empty() {
            return Err(KeyfileError::Shape("it holds no key"));
        }
        Ok(Self { keys })
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.key_id() == *id)
    }

    /// Every key, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// The ids of the keys, in the order of the file.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(SigningKey::key_id)
    }

    /// The written form: `{"keys":[{"key_id","private_key_b64","algorithm"}]}` and LF.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(64 + 160 * self.keys.len()));
        out.extend_from_slice(b"{\n  \"keys\": [");
        for (index, key) in self.keys.iter().enumerate() {
            let seed = Zeroizing::new(STANDARD.encode(Zeroizing::new(key.key.to_bytes())));
            let comma = if index == 0 { "" } else { "," };
            let entry = Zeroizing::new(format!(
                "{comma}\n    {{\n      \"key_id\": \"{}\",\n      \"private_key_b64\": \"{}\",\n      \
                 \"algorithm\": \"{ALGORITHM}\"\n    }}",
                key.id, *seed
            ));
            out.extend_from_slice(entry.as_bytes());
        }
        out.extend_from_slice(b"\n  ]\n}\n");
        out
    }
}

/// Whether `text` is a keyfile in either form, and so must stay unreadable to plugins.
#[must_use]
pub fn looks_like_keyfile(text: &[u8]) -> bool {
    // A file that names a key's id and holds a broken seed may still be a secret.
    !matches!(
        Keyfile::parse(text),
        Err(KeyfileError::Json(_) | KeyfileError::Shape(_))
    )
}

fn read_seed(id: &str, seed: &str) -> Result<SigningKey, KeyfileError> {
    if id.parse::<KeyId>().is_err() {
        return Err(KeyfileError::Shape(
            "a key id is not 'bp1_' and 16 hex digits",
        ));
    }
    let bytes = Zeroizing::new(STANDARD.decode(seed).unwrap_or_default());
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
        bytes
            .as_slice()
            .try_into()
            .map_err(|_| KeyfileError::Seed(id.to_owned()))?,
    );
    let key = SigningKey::from_seed(&seed);
    if key.key_id().to_string() != id {
        return Err(KeyfileError::Mismatch {
            given: id.to_owned(),
            derived: key.key_id(),
        });
    }
    Ok(key)
}

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
    /// It has no list `keys`.
    #[error("it has no list 'keys'")]
    Shape,
}

/// `identity/keys.json`: the public halves that the vault knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRegistry {
    /// The entries that are sound, in the order of the file.
    pub keys: Vec<KeyEntry>,
    /// The entries that are not, which count for nothing.
    pub problems: Vec<KeyEntryError>,
}

impl KeyRegistry {
    /// Reads `keys.json`. Broken entries are set aside in `problems`.
    ///
    /// # Errors
    /// The whole file is unreadable.
    pub fn parse(text: &[u8]) -> Result<Self, KeyRegistryError> {
        let document = json::parse(text)?;
        let list = document.get("keys").and_then(Value::as_array);
        let mut registry = Self::default();
        for (index, entry) in list.ok_or(KeyRegistryError::Shape)?.iter().enumerate() {
            match read_entry(index, entry) {
                Ok(entry) if registry.get(&entry.key_id).is_some() => {
                    let key_id = entry.key_id;
                    registry
                        .problems
                        .push(KeyEntryError::Duplicate { index, key_id });
                }
                Ok(entry) => registry.keys.push(entry),
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
    let event = |field| match entry.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let id = value.as_str().and_then(|text| text.parse::<EventId>().ok());
            id.map(Some).ok_or_else(|| wrong(field))
        }
    };
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
        revoked_at_utc: entry
            .get("revoked_at_utc")
            .and_then(Value::as_str)
            .map(str::to_owned),
        revocation_event_id: event("revocation_event_id")?,
        promotion_event_id: event("promotion_event_id")?,
    })
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

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    #[test]
    fn signatures_verify_and_encode() {
        let signature = key(1).sign(b"message");
        assert_eq!(key(1).public().verify(b"message", &signature), Ok(()));
        assert_eq!(
            key(1).public().verify(b"Message", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            key(2).public().verify(b"message", &signature),
            Err(BadSignature)
        );
        let text = signature_to_base64(&signature);
        assert_eq!(signature_from_base64(text.as_bytes()), Some(signature));
        assert_eq!(signature_from_base64(&text.as_bytes()[..87]), None);
        assert_eq!(
            signature_from_base64(text.replace('=', "A").as_bytes()),
            None
        );
    }

    #[test]
    fn keyfile_forms() {
        let written = Keyfile::new(vec![key(1), key(2)]).to_json();
        let read = Keyfile::parse(&written).unwrap();
        assert!(read.key_ids().eq([key(1).key_id(), key(2).key_id()]));
        let flat = format!(
            r#"{{"WARNING":"keep this secret","{}":"{}"}}"#,
            key(1).key_id(),
            STANDARD.encode([1; 32])
        );
        assert!(
            Keyfile::parse(flat.as_bytes())
                .unwrap()
                .get(&key(1).key_id())
                .is_some()
        );
        let wrong = format!(
            r#"{{"{}":"{}"}}"#,
            key(2).key_id(),
            STANDARD.encode([1; 32])
        );
        assert!(matches!(
            Keyfile::parse(wrong.as_bytes()),
            Err(KeyfileError::Mismatch { .. })
        ));
        assert!(looks_like_keyfile(&written) && looks_like_keyfile(wrong.as_bytes()));
        assert!(!looks_like_keyfile(br#"{"keys":[]}"#) && !looks_like_keyfile(b"{}"));
        assert!(!format!("{read:?}").contains("AQEB"));
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
        };
        let registry = KeyRegistry {
            keys: vec![entry(1), entry(2)],
            problems: vec![],
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
