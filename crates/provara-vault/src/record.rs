//! The record of a verification, kept in the user's cache directory.
//!
//! It says: the log's first N bytes, which have this SHA-256, verified under this `keys.json` with this
//! version of the verifier, and this is what the verifier knew at their end. A later verification hashes
//! those bytes again; only if they are the same does it go on from there, and it checks signatures only
//! beyond. Everything else (the seal, the other files, the checkpoints) is checked as ever. The verdict is
//! that of a verification from the start, as the sequencer's state is restored without loss; a vault with
//! findings or redactions in its log is not recorded.
//!
//! What is trusted: the user's own account. The record lies outside the vault, is taken only if it
//! belongs to the user and nobody else may write it, and holds nothing that a vault could supply. Whoever
//! can write the user's files can forge it, and could as well replace the executable; who cannot rely on
//! that asks for `--no-cache`. The checksum is against accidents, not against them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use provara_core::id::Digest;

use crate::cache::{Decoder, Encoder, place, read, write};

/// What a record begins with. The number changes with the content, and with every change of a rule.
const DOMAIN: &[u8] = b"provara verified 3 ";

/// The largest record, in bytes: some 60 million events.
const LIMIT: u64 = 2 << 30;

/// What an earlier verification came to.
#[derive(Debug)]
pub(crate) struct Record {
    /// How many bytes of the log it was of: whole lines.
    pub(crate) length: u64,
    /// Their SHA-256.
    pub(crate) digest: Digest,
    /// The sequencer at their end.
    pub(crate) state: Vec<u8>,
}

impl Record {
    /// The record for the vault at `vault` with this `keys.json`, if there is one.
    pub(crate) fn recall(directory: &Path, vault: &Path, keys: Digest) -> Option<Self> {
        let bytes = read(&place(directory, vault, "verified")?, LIMIT)?;
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let content = content.strip_prefix(identity(vault, keys).as_slice())?;
        if Digest::of(&bytes[..bytes.len() - 32]).0 != checksum {
            return None;
        }
        let mut from = Decoder(content);
        let record = Self {
            length: from.u64()?,
            digest: Digest(from.array()?),
            state: from.sized()?.to_vec(),
        };
        from.ended().then_some(record)
    }

    /// Keeps the record. Failing to costs the next verification its time, and nothing else.
    pub(crate) fn keep(&self, directory: &Path, vault: &Path, keys: Digest) {
        let Some(path) = place(directory, vault, "verified") else {
            return;
        };
        let mut content = Encoder(identity(vault, keys));
        content.u64(self.length);
        content.raw(&self.digest.0);
        content.sized(&self.state);
        let checksum = Digest::of(&content.0);
        let _ = write(&path, &[&content.0, &checksum.0]);
    }
}

/// What the record is about: the verifier's version, the vault, its keys.
fn identity(vault: &Path, keys: Digest) -> Vec<u8> {
    let mut identity = Encoder::default();
    identity.raw(DOMAIN);
    identity.sized(env!("CARGO_PKG_VERSION").as_bytes());
    identity.sized(vault.as_os_str().as_bytes());
    identity.raw(&keys.0);
    identity.0
}
