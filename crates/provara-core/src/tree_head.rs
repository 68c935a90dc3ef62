//! Tree heads: what the event tree of a vault was at one size, signed by a key of the vault, for others to keep
//! (spec/VAULT_FORMAT, section 10).
//!
//! A tree head is a signed note whose text is a checkpoint (C2SP tlog-checkpoint): origin, size, root. The
//! origin names the vault and one *publishing copy* of it, because whoever publishes heads under one origin must
//! never sign two that contradict each other, and two copies of a vault may honestly differ.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::id::Digest;
use crate::keys::SigningKey;
use crate::signed_note::{NoteError, NoteSignature, SignedNote};

/// What every origin of ours begins with.
const PREFIX: &str = "provara/";

/// The longest name of a copy.
const MAX_COPY: usize = 64;

/// The name of a publishing copy: lower-case letters, digits, `.`, `_` and `-`, 1 to 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyName(String);

/// A text is no name of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a copy has 1 to {MAX_COPY} lower-case letters, digits, '.', '_' or '-'")]
pub struct CopyNameError;

impl FromStr for CopyName {
    type Err = CopyNameError;

    fn from_str(text: &str) -> Result<Self, CopyNameError> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        match (1..=MAX_COPY).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(CopyNameError),
        }
    }
}

impl CopyName {
    /// The name that these random bytes make.
    #[must_use]
    pub fn random(bytes: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(bytes)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CopyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin of heads: a vault, and the copy that publishes them.
///
/// Its text is `provara/`, the vault's uid, `/` and the name of the copy. In the uid each byte is written as `%`
/// and two upper-case hexadecimal digits that is not one of those that RFC 3986 calls unreserved: no reader of
/// notes stumbles over a space or a `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The uid, as `GENESIS` states it.
    pub uid: String,
    /// The copy.
    pub copy: CopyName,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for byte in self.uid.bytes() {
            match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                true => write!(f, "{}", char::from(byte))?,
                false => write!(f, "%{byte:02X}")?,
            }
        }
        write!(f, "/{}", self.copy)
    }
}

impl Origin {
    /// The origin that a text names; `None` for one that no vault has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (uid, copy) = text.strip_prefix(PREFIX)?.split_once('/')?;
        let origin = Self {
            uid: unescape(uid)?,
            copy: copy.parse().ok()?,
        };
        // One origin has one text.
        (origin.to_string() == text).then_some(origin)
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = match first {
            b'%' => {
                let (digits, more) = more.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                more
            }
            _ => {
                bytes.push(*first);
                more
            }
        };
    }
    String::from_utf8(bytes).ok().filter(|uid| !uid.is_empty())
}

/// Why bytes are no tree head of a vault; a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint of three lines.
    #[error(
        "its text is no tree head: an origin, a size in decimal digits, and the Base64 of a root, each in a line"
    )]
    Checkpoint,
    /// The origin is none of a vault.
    #[error("its origin is none of a vault: provara/, the uid, /, the name of a copy")]
    Origin,
}

/// The event tree of a vault at one size, as a copy of it publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Who publishes it.
    pub origin: Origin,
    /// How many events the tree is over.
    pub size: u64,
    /// Its root.
    pub root: Digest,
}

impl TreeHead {
    /// Signs it.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedHead {
        let origin = self.origin.to_string();
        let root = STANDARD.encode(self.root.0);
        let text = format!("{origin}\n{}\n{root}\n", self.size);
        SignedHead {
            note: SignedNote::sign(text, &origin, key),
            head: self,
        }
    }

    fn parse(text: &str) -> Result<Self, HeadError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(HeadError::Checkpoint);
        };
        let size = Some(size)
            .filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|it| *it == "0" || !it.starts_with('0'))
            .and_then(|it| it.parse().ok());
        let bytes = STANDARD.decode(root).ok();
        let root = bytes.and_then(|it| it.try_into().ok()).map(Digest);
        let (Some(size), Some(root)) = (size, root) else {
            return Err(HeadError::Checkpoint);
        };
        let origin = Origin::parse(origin).ok_or(HeadError::Origin)?;
        Ok(Self { origin, size, root })
    }
}

/// A tree head and who signed it, of which nothing is known until a key verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    head: TreeHead,
    note: SignedNote,
}

impl SignedHead {
    /// Reads one. A checkpoint with further lines is none of ours: nobody could hold a log to what they say.
    ///
    /// # Errors
    /// As [`HeadError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let note = SignedNote::parse(bytes)?;
        let head = TreeHead::parse(note.text())?;
        Ok(Self { head, note })
    }

    /// What it says.
    #[must_use]
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The note that it is.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// With a signature more, or another one of the same key.
    ///
    /// # Errors
    /// [`NoteError::TooMany`].
    pub fn signed_also(mut self, signature: NoteSignature) -> Result<Self, NoteError> {
        self.note.set_signature(signature)?;
        Ok(self)
    }
}

impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed_note::Signed;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    fn head(uid: &str) -> TreeHead {
        TreeHead {
            origin: Origin {
                uid: uid.to_owned(),
                copy: "ward-3".parse().unwrap(),
            },
            size: 42,
            root: Digest::of(b"a tree"),
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_signed() {
        for uid in ["lab-7", "a b+c", "Прова%2F/ра", "\u{7f}~._-", "/"] {
            let signed = head(uid).sign(&key(1));
            let text = signed.to_string();
            assert_eq!(SignedHead::parse(text.as_bytes()).as_ref(), Ok(&signed));
            let name = signed.head().origin.to_string();
            assert!(name.is_ascii() && !name.contains(['+', ' ']), "{name}");
            assert_eq!(
                signed.note().signed_by(&name, &key(1).public()),
                Signed::Rightly
            );
            assert_eq!(
                signed.note().signed_by(&name, &key(2).public()),
                Signed::Not
            );
            assert_eq!(text.lines().count(), 5);
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = head("lab-7").sign(&key(1)).to_string().into_bytes();
        let public = key(1).public();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                if let Ok(read) = SignedHead::parse(&changed) {
                    let name = read.head().origin.to_string();
                    let signed = read.note().signed_by(&name, &public);
                    assert_ne!(signed, Signed::Rightly, "byte {at}, bit {bit}");
                }
            }
        }
        for length in 0..text.len() {
            assert!(SignedHead::parse(&text[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let good = head("lab-7").sign(&key(1)).to_string();
        let refused = |from: &str, to: &str| {
            assert!(good.contains(from), "{from:?}");
            SignedHead::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        assert_eq!(refused("\n42\n", "\n042\n"), HeadError::Checkpoint);
        assert_eq!(refused("\n42\n", "\n+42\n"), HeadError::Checkpoint);
        assert_eq!(refused("\n42\n", "\n-1\n"), HeadError::Checkpoint);
        assert_eq!(
            refused("\n42\n", "\n18446744073709551616\n"),
            HeadError::Checkpoint
        );
        assert_eq!(refused("\n42\n", "\n42\nmore\n"), HeadError::Checkpoint);
        assert_eq!(refused("=\n\n", "\n\n"), HeadError::Checkpoint);
        assert_eq!(refused("\n\n", "\nextension\n\n"), HeadError::Checkpoint);
        assert_eq!(refused("provara/", "example.com/"), HeadError::Origin);
        assert_eq!(refused("/ward-3\n", "/Ward-3\n"), HeadError::Origin);
        assert_eq!(refused("lab-7/", "lab%2d7/"), HeadError::Origin);
        assert_eq!(refused("lab-7/", "lab%2/"), HeadError::Origin);
        assert_eq!(refused("lab-7/", "/"), HeadError::Origin);
        assert_eq!(refused("\n\n", "\n"), NoteError::Unsigned.into());
        assert_eq!(refused("\u{2014} ", "- "), NoteError::Line(5).into());
        assert_eq!(refused("\n42\n", "\n42\r\n"), NoteError::NotText.into());
        let signature = good.lines().last().unwrap();
        assert_eq!(
            SignedHead::parse(format!("{good}{signature}\n").as_bytes()),
            Err(NoteError::Twice.into())
        );
        let note = good.split_once("\n\n").unwrap().0;
        assert_eq!(
            SignedHead::parse(format!("{note}\n\n").as_bytes()),
            Err(NoteError::Unsigned.into())
        );
    }

    #[test]
    fn a_signature_that_nobody_here_knows_is_kept_and_does_not_count() {
        let signed = head("lab-7").sign(&key(1));
        let name = signed.head().origin.to_string();
        let unknown = STANDARD.encode([&[1, 2, 3, 4][..], &[7; 2420]].concat());
        let text = format!("{signed}\u{2014} witness.example/w1 {unknown}\n");
        let read = SignedHead::parse(text.as_bytes()).unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(read.note().signatures().len(), 2);
        assert_eq!(
            read.note().signed_by(&name, &key(1).public()),
            Signed::Rightly
        );
        let alone = text
            .lines()
            .filter(|line| !line.contains(&format!("\u{2014} {name}")));
        let alone: String = alone.map(|line| format!("{line}\n")).collect();
        let read = SignedHead::parse(alone.as_bytes()).unwrap();
        assert_eq!(read.note().signed_by(&name, &key(1).public()), Signed::Not);
    }

    #[test]
    fn names_of_copies() {
        assert_eq!(CopyName::random([0; 8]).as_str(), "0000000000000000");
        for name in ["a", "0-._z", &"x".repeat(64)] {
            assert_eq!(name.parse::<CopyName>().unwrap().as_str(), name);
        }
        for name in ["", "A", "a/b", "a b", "ä", "a+b", &"x".repeat(65)] {
            assert_eq!(name.parse::<CopyName>(), Err(CopyNameError));
        }
    }
}
