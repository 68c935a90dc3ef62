//! Cosignatures: that a witness saw a tree head, when, and that it goes on from all that the witness saw of its origin
//! before (C2SP tlog-cosignature, the Ed25519 form; spec/VAULT_FORMAT, section 10).
//!
//! A witness is known by a name and a key, which a verifier key holds (C2SP signed-note, Verifier keys). The name is
//! part of the key hash and not of what is signed, so a witness has a key of its own.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::{PublicKey, Signature, SigningKey};
use crate::signed_note::{KeyHash, NoteSignature, SignedNote, is_name, key_hash};
use crate::time::Timestamp;

/// Ed25519 cosignatures, among the algorithms of signed notes.
pub const ED25519_COSIGNATURE: u8 = 0x04;

/// How many bytes a cosignature has: a time, and a signature.
const LENGTH: usize = 8 + Signature::LENGTH;

/// What a private key of a witness begins with, as tools for notes write it.
const PRIVATE: &str = "PRIVATE+KEY+";

/// A witness: its name, and the key with which it cosigns.
///
/// Its text is a verifier key: the name, `+`, the key hash in 8 hexadecimal digits, `+`, and the Base64 of the byte 4
/// and the 32 bytes of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    name: String,
    key: PublicKey,
}

/// Why a text is no key of a witness; a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessKeyError {
    /// Not of the form.
    #[error("it is not the key of a witness: a name, '+', 8 hexadecimal digits, '+', Base64")]
    Form,
    /// The private half in the place of the public one.
    #[error(
        "it is the private key of a witness: the public half, which was printed when the key was made, is meant"
    )]
    Private,
    /// For signatures of another kind.
    #[error(
        "it is not for Ed25519 cosignatures (type 4, C2SP tlog-cosignature): it is of type {0}"
    )]
    Type(u8),
    /// The digits are not those of name and key.
    #[error(
        "the 8 hexadecimal digits are not those of the name and the key: one of them was changed"
    )]
    Hash,
    /// No key that signs anything.
    #[error("its key is none that a witness could have")]
    Key,
    /// A name that no signer has.
    #[error(
        "a witness has a name without spaces, control characters and '+', such as example.org/witness"
    )]
    Name,
}

impl Witness {
    /// A witness of this name and key.
    ///
    /// # Errors
    /// [`WitnessKeyError::Name`], or [`WitnessKeyError::Key`].
    pub fn new(name: &str, key: PublicKey) -> Result<Self, WitnessKeyError> {
        if !is_name(name) {
            return Err(WitnessKeyError::Name);
        }
        if key.is_weak() {
            return Err(WitnessKeyError::Key);
        }
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// Under which it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With which it signs.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What tells its signatures from those of others.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        key_hash(&self.name, ED25519_COSIGNATURE, self.key.as_bytes())
    }

    /// What its signature of a note is worth.
    #[must_use]
    pub fn cosigned(&self, note: &SignedNote) -> Cosigned {
        let hash = self.key_hash();
        let is_it = |it: &&NoteSignature| it.name == self.name && it.key_hash == hash;
        let Some(found) = note.signatures().iter().find(is_it) else {
            return Cosigned::Not;
        };
        match verified(found, note.text(), &self.key) {
            Some(at) => Cosigned::At(at),
            None => Cosigned::Wrongly,
        }
    }
}

fn verified(found: &NoteSignature, text: &str, key: &PublicKey) -> Option<Timestamp> {
    let bytes: &[u8; LENGTH] = found.signature.as_slice().try_into().ok()?;
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let seconds = u64::from_be_bytes(*time);
    let signature = Signature(signature.try_into().ok()?);
    key.verify(message(seconds, text).as_bytes(), &signature)
        .ok()?;
    // Later than any event can be, which no witness has seen.
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Timestamp::from_unix_micros(micros)
}

/// What a witness signs.
fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, self.key_hash(), self.key.as_bytes())
    }
}

fn write_key(f: &mut impl fmt::Write, name: &str, hash: KeyHash, key: &[u8; 32]) -> fmt::Result {
    let encoded = Zeroizing::new(
        STANDARD.encode(Zeroizing::new([&[ED25519_COSIGNATURE], &key[..]].concat())),
    );
    let hash = u32::from_be_bytes(hash);
    write!(f, "{name}+{hash:08x}+{}", encoded.as_str())
}

/// The name, the hash and the 32 bytes of a key's text.
fn read_key(text: &str) -> Result<(&str, KeyHash, Zeroizing<[u8; 32]>), WitnessKeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(WitnessKeyError::Form);
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hash.len() != 8 || !hash.bytes().all(is_hex) {
        return Err(WitnessKeyError::Form);
    }
    let hash = u32::from_str_radix(hash, 16).map_err(|_| WitnessKeyError::Form)?;
    let bytes = Zeroizing::new(
        STANDARD
            .decode(encoded)
            .map_err(|_| WitnessKeyError::Form)?,
    );
    let (kind, key) = bytes.split_first().ok_or(WitnessKeyError::Form)?;
    if *kind != ED25519_COSIGNATURE {
        return Err(WitnessKeyError::Type(*kind));
    }
    let key: [u8; 32] = key.try_into().map_err(|_| WitnessKeyError::Form)?;
    Ok((name, hash.to_be_bytes(), Zeroizing::new(key)))
}

impl FromStr for Witness {
    type Err = WitnessKeyError;

    fn from_str(text: &str) -> Result<Self, WitnessKeyError> {
        if text.starts_with(PRIVATE) {
            return Err(WitnessKeyError::Private);
        }
        let (name, hash, key) = read_key(text)?;
        let key = PublicKey::from_bytes(&key).map_err(|_| WitnessKeyError::Key)?;
        let witness = Self::new(name, key)?;
        match witness.key_hash() == hash {
            true => Ok(witness),
            false => Err(WitnessKeyError::Hash),
        }
    }
}

/// What a witness's cosignature of a note is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cosigned {
    /// The witness did not cosign it.
    Not,
    /// A signature says that it is the witness's, and is not.
    Wrongly,
    /// The witness saw it at this time, as the witness says.
    At(Timestamp),
}

/// Whoever cosigns: a witness, with its private key.
///
/// Its text is `PRIVATE+KEY+`, and then as that of [`Witness`], with the 32 bytes of the seed for the key.
pub struct Cosigner {
    witness: Witness,
    key: SigningKey,
    seed: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cosigner").field(&self.witness).finish()
    }
}

impl Cosigner {
    /// A witness of this name, whose key comes of `seed`.
    ///
    /// # Errors
    /// [`WitnessKeyError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, WitnessKeyError> {
        let key = SigningKey::from_seed(seed);
        Ok(Self {
            witness: Witness::new(name, key.public())?,
            key,
            seed: Zeroizing::new(*seed),
        })
    }

    /// Reads the private text.
    ///
    /// # Errors
    /// As [`WitnessKeyError`] says.
    pub fn parse(text: &str) -> Result<Self, WitnessKeyError> {
        let text = text.strip_prefix(PRIVATE).ok_or(WitnessKeyError::Form)?;
        let (name, hash, seed) = read_key(text)?;
        let cosigner = Self::new(name, &seed)?;
        match cosigner.witness.key_hash() == hash {
            true => Ok(cosigner),
            false => Err(WitnessKeyError::Hash),
        }
    }

    /// The private text, without a line end.
    ///
    /// # Panics
    /// Never: a text takes what is written to it.
    #[must_use]
    pub fn private_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(PRIVATE.to_owned());
        let Witness { name, .. } = &self.witness;
        write_key(&mut *text, name, self.witness.key_hash(), &self.seed).expect("a text");
        text
    }

    /// What others know it by.
    #[must_use]
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Cosigns a note, `seconds` after the beginning of 1970. Whoever calls it has made sure that the note goes on from
    /// all that was cosigned for its origin before.
    #[must_use]
    pub fn cosign(&self, note: &SignedNote, seconds: u64) -> NoteSignature {
        let signature = self.key.sign(message(seconds, note.text()).as_bytes());
        NoteSignature {
            name: self.witness.name.clone(),
            key_hash: self.witness.key_hash(),
            signature: [&seconds.to_be_bytes()[..], &signature.0].concat(),
        }
    }
}

/// Whether a signature of a note has the length of a cosignature, whoever made it: whose it is only its key tells.
#[must_use]
pub fn may_be_cosignature(signature: &NoteSignature) -> bool {
    signature.signature.len() == LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;
    use crate::tree_head::{Origin, SignedHead, TreeHead};

    const SECONDS: u64 = 1_679_315_147;

    fn cosigner() -> Cosigner {
        Cosigner::new("example.org/w1", &[3; 32]).unwrap()
    }

    fn head() -> SignedHead {
        let head = TreeHead {
            origin: Origin {
                uid: "lab-7".to_owned(),
                copy: "main".parse().unwrap(),
            },
            size: 7,
            root: Digest::of(b"a tree"),
        };
        head.sign(&SigningKey::from_seed(&[1; 32]))
    }

    #[test]
    fn a_cosignature_is_read_as_it_was_made() {
        let cosigner = cosigner();
        let head = head();
        let signature = cosigner.cosign(head.note(), SECONDS);
        assert!(may_be_cosignature(&signature));
        let text = head.signed_also(signature).unwrap().to_string();
        let read = SignedHead::parse(text.as_bytes()).unwrap();
        let at = cosigner.witness().cosigned(read.note());
        let Cosigned::At(at) = at else {
            panic!("{at:?}");
        };
        assert_eq!(at.to_string(), "2023-03-20T12:25:47.000000Z");
        let other = Cosigner::new("example.org/w1", &[4; 32]).unwrap();
        assert_eq!(other.witness().cosigned(read.note()), Cosigned::Not);
        let renamed = Cosigner::new("example.org/w2", &[3; 32]).unwrap();
        assert_eq!(renamed.witness().cosigned(read.note()), Cosigned::Not);
    }

    #[test]
    fn every_changed_bit_of_it_is_noticed() {
        let cosigner = cosigner();
        let signature = cosigner.cosign(head().note(), SECONDS);
        for at in 0..signature.signature.len() {
            for bit in 0..8 {
                let mut changed = signature.clone();
                changed.signature[at] ^= 1 << bit;
                let note = head().signed_also(changed).unwrap();
                let found = cosigner.witness().cosigned(note.note());
                assert_eq!(found, Cosigned::Wrongly, "byte {at}, bit {bit}");
            }
        }
        for length in 1..signature.signature.len() {
            let mut cut = signature.clone();
            cut.signature.truncate(length);
            let note = head().signed_also(cut).unwrap();
            assert_eq!(cosigner.witness().cosigned(note.note()), Cosigned::Wrongly);
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_is_no_cosignature() {
        let cosigner = cosigner();
        for seconds in [u64::MAX, 1 << 63, 253_402_300_800] {
            let note = head()
                .signed_also(cosigner.cosign(head().note(), seconds))
                .unwrap();
            assert_eq!(cosigner.witness().cosigned(note.note()), Cosigned::Wrongly);
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let cosigner = cosigner();
        let text = cosigner.witness().to_string();
        assert_eq!(text.parse().as_ref(), Ok(cosigner.witness()));
        let private = cosigner.private_text();
        let read = Cosigner::parse(&private).unwrap();
        assert_eq!(read.witness(), cosigner.witness());
        assert_eq!(
            read.cosign(head().note(), SECONDS),
            cosigner.cosign(head().note(), SECONDS)
        );
        assert!(!format!("{cosigner:?}").contains(&private[20..40]));

        let parsed = |text: &str| text.parse::<Witness>().unwrap_err();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(changed.parse::<Witness>().is_err(), "{changed}");
            }
        }
        assert_eq!(parsed(""), WitnessKeyError::Form);
        assert_eq!(parsed("example.org/w1+0123abcd"), WitnessKeyError::Form);
        assert_eq!(parsed(&private), WitnessKeyError::Private);
        let of_log = crate::signed_note::verifier_key("example.org/w1", cosigner.witness().key());
        assert_eq!(parsed(&of_log), WitnessKeyError::Type(1));
        assert_eq!(
            Cosigner::new("a b", &[3; 32]).unwrap_err(),
            WitnessKeyError::Name
        );
        assert!(Cosigner::parse(&text).is_err());
        let weak = PublicKey::from_bytes(&[1; 32].map(|_| 0)).unwrap();
        assert_eq!(Witness::new("w", weak), Err(WitnessKeyError::Key));
    }
}
