//! The keyfile: private keys by their ids (spec/VAULT_FORMAT, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{ALGORITHM, SigningKey};
use crate::id::KeyId;
use crate::json::{self, ParseError, Value};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
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
}
