//! The record of a replay: what the reducer knew at the end of a log, kept in the user's cache directory.
//!
//! It says: this is what the reducer came to after the log's first N bytes, which have these hashes
//! ([`crate::log_hashes`]). A later replay of a log that verified compares the hashes of those bytes; only if they
//! are the same does it go on from there. What the reducer knows follows from those bytes alone, so neither keys nor
//! findings are asked after: they are the verification's, which comes first. Nothing is taken for a log that did not
//! verify, and nothing is recorded of one.
//!
//! It holds subjects and values. So a redaction removes it, as it removes checkpoints.
//!
//! What is trusted is what is trusted of a cached verification ([`crate::verification_cache`]): the user's own
//! account, and nothing that a vault could supply. A record that is damaged, of another version, of another vault or
//! of other bytes counts for nothing, and the log is replayed from its start.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use provara_core::beliefs::LogReducer;
use provara_core::bytes::{Decoder, Encoder};

use crate::cache::{place, read, write};
use crate::log_hashes::LogHashes;
use crate::log_snapshot::LogSnapshot;
use crate::vault::Vault;

/// What a record begins with. The number changes with the content, and with every change of a rule of the reducer.
const DOMAIN: &[u8] = b"provara replay 1 ";

/// The largest record, in bytes: some ten million subjects.
const LIMIT: u64 = 1 << 30;

/// Removes the record of a replay of `vault`: it may hold what a redaction takes out of the log.
pub(crate) fn forget(vault: &Vault) {
    let records = vault
        .cache_directory()
        .and_then(|it| ReplayRecords::of(vault, it));
    if let Some(records) = records {
        // What is not there, or not to be removed, is as good as before: nothing goes on from it.
        let _ = fs::remove_file(&records.path);
    }
}

/// Where replays of a vault are recorded.
#[derive(Debug)]
pub(crate) struct ReplayRecords {
    path: PathBuf,
    vault: PathBuf,
    /// From which length of the log on.
    from: u64,
}

/// A replay that was recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) reducer: LogReducer,
    /// How many bytes of the log it was of: whole lines.
    pub(crate) length: u64,
    /// The length of the record in bytes.
    size: u64,
}

impl Recorded {
    /// Whether a record of the first `length` bytes of the log is worth being made in the place of this one: whether
    /// there is more to read without it than to write.
    pub(crate) fn is_outdated(&self, length: u64) -> bool {
        length - self.length >= self.size
    }
}

impl ReplayRecords {
    /// The records of `vault` below `directory`.
    pub(crate) fn of(vault: &Vault, directory: &Path) -> Option<Self> {
        Some(Self {
            path: place(directory, vault.path(), "replayed")?,
            vault: vault.path().to_owned(),
            from: vault.record_from(),
        })
    }

    /// The replay that was recorded, if `log`, which verified, begins with the bytes that it was of.
    pub(crate) fn load(&self, log: &LogSnapshot) -> Option<Recorded> {
        if log.len() < self.from {
            return None;
        }
        let bytes = read(&self.path, LIMIT)?;
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let content = content.strip_prefix(self.identity().as_slice())?;
        let whole = &bytes[..bytes.len() - 32];
        if blake3::hash(whole).as_bytes() != checksum {
            return None;
        }
        let mut from = Decoder(content);
        let hashes = LogHashes::decode(&mut from)?;
        let length = hashes.length();
        let end = usize::try_from(length).ok()?;
        let is_line = end > 0 && log.get(end - 1) == Some(&b'\n');
        if !is_line || !log.begins_with(&hashes) {
            return None;
        }
        let reducer = LogReducer::restore(from.sized()?, length)?;
        from.ended().then_some(Recorded {
            reducer,
            length,
            size: bytes.len() as u64,
        })
    }

    /// Records what `reducer` came to after all of `log`, if it verified. Failing to costs the next replay its
    /// time, and nothing else.
    pub(crate) fn store(&self, reducer: &LogReducer, log: &LogSnapshot) {
        if log.len() < self.from || !log.ends_with(b"\n") {
            return;
        }
        let Some(hashes) = log.hashes() else {
            return;
        };
        let mut content = Encoder(self.identity());
        hashes.encode(&mut content);
        content.sized(&reducer.save());
        if content.0.len() as u64 + 32 > LIMIT {
            return;
        }
        let checksum = blake3::hash(&content.0);
        let _ = write(&self.path, &[&content.0, checksum.as_bytes()]);
    }

    /// What a record is about: the version, the vault.
    fn identity(&self) -> Vec<u8> {
        let mut identity = Encoder::default();
        identity.raw(DOMAIN);
        identity.sized(env!("CARGO_PKG_VERSION").as_bytes());
        identity.sized(self.vault.as_os_str().as_bytes());
        identity.0
    }
}
