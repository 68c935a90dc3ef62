//! Digests and the two kinds of identifiers: checked once, at the edge, and small inside.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A text is not the identifier that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 64 lower-case hex digits (`PROVARA_E100`).
    #[error("not 64 lower-case hex digits")]
    Digest,
    /// Not `evt_` and 24 lower-case hex digits (`PROVARA_E101`).
    #[error("not 'evt_' followed by 24 lower-case hex digits")]
    Event,
    /// Not `bp1_` and 16 lower-case hex digits (`PROVARA_E102`).
    #[error("not 'bp1_' followed by 16 lower-case hex digits")]
    Key,
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// What no digit stands for.
const NO_DIGIT: u8 = 0xff;

/// What every byte stands for as a hex digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    let (mut bytes, mut all) = ([0; N], 0);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        *byte = high << 4 | low;
        all |= high | low;
    }
    // Digits have four bits; this is asked once, as most texts are what they should be.
    (all < 16).then_some(bytes)
}

fn hex_into(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ];
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut text = [0; 64];
    hex_into(&mut text, bytes);
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len()]).expect("ASCII"))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $prefix:literal, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix).and_then(read_hex).map(Self).ok_or($error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

identifier! {
    /// A SHA-256 digest; printed as 64 lower-case hex digits.
    Digest, 32, "", IdError::Digest
}

identifier! {
    /// An event id: `evt_` and the first 24 hex digits of a SHA-256 (spec/VAULT_FORMAT, section 3).
    EventId, 12, "evt_", IdError::Event
}

identifier! {
    /// A key id: `bp1_` and the first 16 hex digits of the SHA-256 of the raw public key
    /// (spec/VAULT_FORMAT, section 1).
    KeyId, 8, "bp1_", IdError::Key
}

impl Digest {
    /// The standard, padded Base64 of its 32 bytes.
    #[must_use]
    pub fn to_base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.0)
    }

    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of each of them, in their order.
    #[must_use]
    pub fn of_each(messages: &[&[u8]]) -> Vec<Self> {
        messages.iter().map(|message| Self::of(message)).collect()
    }

    /// Its hex digits.
    pub(crate) fn hex(&self) -> [u8; 64] {
        let mut text = [0; 64];
        hex_into(&mut text, &self.0);
        text
    }
}

impl EventId {
    /// The id of the event whose canonical bytes without `event_id` and `sig` hash to `digest`.
    #[must_use]
    pub fn from_digest(digest: Digest) -> Self {
        Self(digest.0[..12].try_into().expect("12 of 32 bytes"))
    }
}

impl KeyId {
    /// The id of a raw public key: the first 8 bytes of SHA-256 over its 32 bytes.
    #[must_use]
    pub fn of(public_key: &[u8; 32]) -> Self {
        Self(
            Digest::of(public_key).0[..8]
                .try_into()
                .expect("8 of 32 bytes"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_digit_or_none() {
        for byte in 0..=127 {
            let pair = String::from_utf8(vec![b'7', byte]).unwrap();
            let digit = "0123456789abcdef".find(char::from(byte));
            let expected = digit.map(|digit| [0x70 | digit as u8]);
            assert_eq!(read_hex::<1>(&pair), expected, "{pair:?}");
            let turned: String = pair.chars().rev().collect();
            let expected = digit.map(|digit| [(digit as u8) << 4 | 7]);
            assert_eq!(read_hex::<1>(&turned), expected, "{turned:?}");
        }
        for text in ["", "7", "777", "7777", "é"] {
            assert_eq!(read_hex::<1>(text), None, "{text}");
        }
        let digest = Digest::of(b"text");
        assert_eq!(digest.hex(), *digest.to_string().as_bytes());
    }

    #[test]
    fn identifiers_are_strict() {
        let id = "evt_745f1631c2bce9c561d6fe87";
        assert_eq!(id.parse::<EventId>().unwrap().to_string(), id);
        for bad in [
            "evt_745F1631c2bce9c561d6fe87",
            "evt_745f",
            "745f1631c2bce9c561d6fe87",
            "",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(IdError::Event));
        }
        assert_eq!("bp1_657cfc1035ea23".parse::<KeyId>(), Err(IdError::Key));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(IdError::Digest));
    }

    #[test]
    fn digest_of_the_published_vector() {
        assert_eq!(
            Digest::of(b"Provara Protocol v1.0").to_string(),
            "03955794ade289f388724cdbbea8d716f4441c3d22ba6670df7bb3e1ae4949c3"
        );
    }
}
