//! Signed notes: a text, and below it who signed it (C2SP signed-note, `c2sp.org/signed-note`).
//!
//! A note is parsed whatever signed it. A signature of an algorithm that nobody here knows is kept and never
//! counts.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::keys::{PublicKey, Signature, SigningKey};

/// The longest note that is read, in bytes: a hundred signatures of the longest kind there is.
pub const MAX_NOTE: usize = 1 << 20;

/// The most signatures that are read; at least 16 must be.
const MAX_SIGNATURES: usize = 100;

/// What a signature line begins with: an em dash and a space.
const SIGNATURE_LINE: &str = "\u{2014} ";

/// Ed25519 over the text, among the algorithms of signed notes.
pub const ED25519: u8 = 0x01;

/// What tells the keys of one name apart: the first four bytes of a hash of name, algorithm and key.
pub type KeyHash = [u8; 4];

/// The hash of a key that signs notes as `name`.
#[must_use]
pub fn key_hash(name: &str, algorithm: u8, key: &[u8]) -> KeyHash {
    let hash = Sha256::new_with_prefix(name.as_bytes());
    let hash = hash.chain_update([b'\n', algorithm]).chain_update(key);
    *hash.finalize().first_chunk().expect("4 of 32 bytes")
}

/// What others know a key by that signs notes as `name` (C2SP signed-note, Verifier keys).
#[must_use]
pub fn verifier_key(name: &str, key: &PublicKey) -> String {
    let hash = u32::from_be_bytes(key_hash(name, ED25519, key.as_bytes()));
    let encoded = STANDARD.encode([&[ED25519], &key.as_bytes()[..]].concat());
    format!("{name}+{hash:08x}+{encoded}")
}

/// Whether keys may sign notes under this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && c != '+' && !c.is_control();
    !name.is_empty() && name.chars().all(allowed)
}

/// Why bytes are no signed note; a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("it is longer than {MAX_NOTE} bytes")]
    TooLong,
    /// Not UTF-8, or with control characters.
    #[error("it is no text: a signed note is UTF-8 without control characters but line ends")]
    NotText,
    /// No blank line and signatures below it, or the last line has no end.
    #[error(
        "its end is missing: a signed note ends with a blank line and one or more whole signature lines"
    )]
    Unsigned,
    /// A line among the signatures that is none.
    #[error("line {0} is not a signature: an em dash, a space, a name, a space, Base64")]
    Line(usize),
    /// More signatures than are read.
    #[error("it has more than {MAX_SIGNATURES} signatures")]
    TooMany,
    /// A key signed twice.
    #[error("two of its signatures are of one key: the same name and the same key hash")]
    Twice,
}

/// A signature of a note, of which nothing is known until a key verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name under which the key signed.
    pub name: String,
    /// Which key of that name.
    pub key_hash: KeyHash,
    /// What the algorithm gave.
    pub signature: Vec<u8>,
}

/// What a key's signature of a note is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The key did not sign the note.
    Not,
    /// A signature says that it is of the key, and is not.
    Wrongly,
    /// The key signed it.
    Rightly,
}

/// A text and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs `text`, one or more whole lines, as `name`.
    ///
    /// # Panics
    /// If the text or the name is none that a note may have.
    #[must_use]
    pub fn sign(text: String, name: &str, key: &SigningKey) -> Self {
        assert!(is_name(name) && text.ends_with('\n') && is_text(&text));
        let signature = NoteSignature {
            name: name.to_owned(),
            key_hash: key_hash(name, ED25519, key.public().as_bytes()),
            signature: key.sign(text.as_bytes()).0.to_vec(),
        };
        Self {
            text,
            signatures: vec![signature],
        }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// As [`NoteError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if !is_text(note) {
            return Err(NoteError::NotText);
        }
        // The text may have blank lines of its own: the last one ends it.
        let at = note.rfind("\n\n").ok_or(NoteError::Unsigned)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let first = text.lines().count() + 2;
        Ok(Self {
            text: text.to_owned(),
            signatures: signature_lines(lines, first)?,
        })
    }

    /// What is signed, with its last line end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who signed it, as it says.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature, in the place of one of the same name and key hash.
    ///
    /// # Errors
    /// [`NoteError::TooMany`].
    pub fn set_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same =
            |it: &NoteSignature| it.name == signature.name && it.key_hash == signature.key_hash;
        match self.signatures.iter().position(same) {
            Some(at) => self.signatures[at] = signature,
            None if self.signatures.len() == MAX_SIGNATURES => return Err(NoteError::TooMany),
            None => self.signatures.push(signature),
        }
        Ok(())
    }

    /// Whether `key` signed it as `name`.
    #[must_use]
    pub fn signed_by(&self, name: &str, key: &PublicKey) -> Signed {
        let hash = key_hash(name, ED25519, key.as_bytes());
        let is_it = |it: &&NoteSignature| it.name == name && it.key_hash == hash;
        let Some(found) = self.signatures.iter().find(is_it) else {
            return Signed::Not;
        };
        let signature = <[u8; Signature::LENGTH]>::try_from(&found.signature[..]).map(Signature);
        match signature.map(|it| key.verify(self.text.as_bytes(), &it)) {
            Ok(Ok(())) => Signed::Rightly,
            _ => Signed::Wrongly,
        }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|it| it.fmt(f))
    }
}

impl fmt::Display for NoteSignature {
    /// Its line, with the line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_hash[..], &self.signature].concat();
        let encoded = STANDARD.encode(bytes);
        writeln!(f, "{SIGNATURE_LINE}{} {encoded}", self.name)
    }
}

/// Whether a note may hold the text.
fn is_text(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}

/// Reads signatures as they stand below a text, a line each, the first of them in line `first`.
///
/// # Errors
/// As [`NoteError`] says.
pub fn signature_lines(text: &str, first: usize) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = text.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
    let mut signatures: Vec<NoteSignature> = Vec::new();
    for (number, line) in lines.split('\n').enumerate() {
        let signature = signature_line(line).ok_or(NoteError::Line(first + number))?;
        let same =
            |it: &NoteSignature| it.name == signature.name && it.key_hash == signature.key_hash;
        if signatures.iter().any(same) {
            return Err(NoteError::Twice);
        }
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        signatures.push(signature);
    }
    Ok(signatures)
}

fn signature_line(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_LINE)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (hash, signature) = bytes.split_first_chunk()?;
    (is_name(name) && !signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        key_hash: *hash,
        signature: signature.to_vec(),
    })
}
