//! Keys: Ed25519 halves, the keyfile that holds private ones, and the registry of public ones.

mod keyfile;
mod mac;
mod registry;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Verifier as _;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroize as _;

use crate::id::KeyId;

pub use keyfile::{Keyfile, KeyfileError, looks_like_keyfile};
pub use mac::Mac;
pub use registry::{
    KeyEntry, KeyEntryError, KeyRegistry, KeyRegistryError, KeyStatus, ListedRevocation,
};

/// The name that the format gives to its only signature algorithm.
pub const ALGORITHM: &str = "Ed25519";

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
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
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
    /// What RFC 8032 derives from the seed for each signature anew: of a batch it is the same each time.
    expanded: Arc<ExpandedSecretKey>,
    id: KeyId,
}

impl SigningKey {
    /// Takes the 32-byte seed of RFC 8032, section 5.1.5.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let id = KeyId::of(key.verifying_key().as_bytes());
        let expanded = Arc::new(ExpandedSecretKey::from(seed));
        Self { key, expanded, id }
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
    pub fn sign(&self, message: &[u8]) -> Signature {
        // The public key is the seed's own: another one in its place would give the seed away.
        Signature(raw_sign::<Sha512>(&self.expanded, message, self.key.as_ref()).to_bytes())
    }

    /// Authenticates `message` to whoever holds this key, and to nobody else: HMAC-SHA-256 under the seed. It
    /// takes a fraction of a signature, and proves nothing to others. `domain` tells what it is made for; none
    /// must begin with another one.
    ///
    /// Signing hashes the seed with SHA-512 and never with HMAC-SHA-256, so that neither says anything of the
    /// other.
    #[must_use]
    pub fn mac(&self, domain: &[u8], message: &[u8]) -> Mac {
        Mac::of(self.key.as_bytes(), &[domain, message])
    }

    /// Signs each of `messages`, as [`SigningKey::sign`] does and with the same bytes, in less time: the field
    /// inversion that encodes a point, the costliest step after the multiplication, is one for all of them.
    /// Nothing here depends on a secret in its time.
    #[must_use]
    pub fn sign_many(&self, messages: &[&[u8]]) -> Vec<Signature> {
        let public = self.key.as_ref().as_bytes();
        let hash = |parts: [&[u8]; 3]| {
            let hash = parts
                .iter()
                .fold(Sha512::new(), |hash, part| hash.chain_update(part));
            Scalar::from_hash(hash)
        };
        // The names of RFC 8032, section 5.1.6: R = rB and S = r + kA's scalar.
        let nonce = |message: &&[u8]| hash([&self.expanded.hash_prefix, message, b""]);
        let mut nonces: Vec<Scalar> = messages.iter().map(nonce).collect();
        let points: Vec<_> = nonces.iter().map(EdwardsPoint::mul_base).collect();
        let encoded = EdwardsPoint::compress_batch_alloc(&points);
        let signed = messages.iter().zip(&nonces).zip(encoded);
        let signatures = signed.map(|((message, r), point)| {
            let k = hash([&point.0, public, message]);
            let s = k * self.expanded.scalar + r;
            let mut signature = [0; Signature::LENGTH];
            signature[..32].copy_from_slice(&point.0);
            signature[32..].copy_from_slice(s.as_bytes());
            Signature(signature)
        });
        let signatures = signatures.collect();
        // Who knows one of them knows the key.
        nonces.zeroize();
        signatures
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// A signature as it was read or made: 64 bytes, of which nothing is known until a key [verifies](PublicKey::verify)
/// them. Its text is standard, padded Base64, as an event and a seal carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; Self::LENGTH]);

impl Signature {
    /// Its length in bytes.
    pub const LENGTH: usize = 64;

    /// The length of its Base64 in characters.
    pub const TEXT_LENGTH: usize = 88;

    /// Reads its Base64: the standard alphabet, padded, 64 bytes; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        // The decoder wants room for whole groups of three.
        let mut bytes = [0; Self::LENGTH + 2];
        if text.len() != Self::TEXT_LENGTH {
            return None;
        }
        let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
        bytes[..length].try_into().ok().map(Self)
    }

    /// Its Base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Writes its Base64 to the end of `out`.
    pub(crate) fn write_base64(&self, out: &mut Vec<u8>) {
        let mut text = [0; Self::TEXT_LENGTH];
        let length = STANDARD.encode_slice(self.0, &mut text);
        out.extend_from_slice(&text[..length.expect("64 bytes are 88 characters")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    #[test]
    fn a_signature_is_that_of_the_library_for_the_seed() {
        use ed25519_dalek::Signer as _;

        for seed in 0..=255u8 {
            let message = vec![seed; usize::from(seed) * 3];
            let expected = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).sign(&message);
            assert_eq!(key(seed).sign(&message).0, expected.to_bytes());
            assert_eq!(key(seed).clone().sign(&message).0, expected.to_bytes());
        }
    }

    #[test]
    fn many_signatures_are_those_of_each_alone() {
        // Around the block of SHA-512, and longer.
        let messages: Vec<Vec<u8>> = (0..300_usize)
            .map(|number| vec![number as u8; number * 3 % 700])
            .collect();
        for count in [0, 1, 2, 7, 128, 300] {
            let messages: Vec<&[u8]> = messages[..count].iter().map(Vec::as_slice).collect();
            for seed in [0, 9, 255] {
                let each = messages.iter().map(|message| key(seed).sign(message));
                assert_eq!(key(seed).sign_many(&messages), each.collect::<Vec<_>>());
            }
        }
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
        let text = signature.to_base64();
        assert_eq!(Signature::from_base64(text.as_bytes()), Some(signature));
        assert_eq!(Signature::from_base64(&text.as_bytes()[..87]), None);
        assert_eq!(
            Signature::from_base64(text.replace('=', "A").as_bytes()),
            None
        );
    }
}
