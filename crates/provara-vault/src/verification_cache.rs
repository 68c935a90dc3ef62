//! The cache of verifications: what one came to, kept in the user's cache directory.
//!
//! It says: the log's first N bytes, which have these hashes ([`crate::log_hashes`]), verified under this
//! `keys.json` with this version of the verifier, and this is what the verifier knew at their end. A later
//! verification compares the hashes of those bytes; only if they are the same does it go on from there, and it
//! checks signatures only beyond. It also names the checkpoints whose states were those of these bytes, so that a later
//! verification need not replay the log to compare them again, and a replay can go on from the last one
//! ([`crate::replay_start`]). Everything else (the seal, the other files, the checkpoints' signatures) is
//! checked as ever. The verdict is that of a verification from the start, as the sequencer's state is
//! restored without loss; a vault with findings or redactions in its log is not recorded.
//!
//! What is trusted: the user's own account. The cached verification lies outside the vault, is taken only if it
//! belongs to the user and nobody else may write it, and holds nothing that a vault could supply. Whoever
//! can write the user's files can forge it, and could as well replace the executable; who cannot rely on
//! that asks for `--no-cache`. The checksum is against accidents, not against them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use provara_core::bytes::{Decoder, Encoder};
use provara_core::id::Digest;

use crate::cache::{place, read, write};
use crate::log_hashes::LogHashes;
use crate::replay_start::Confirmed;

/// What a cached verification begins with. The number changes with the content, and with every change of a rule.
const DOMAIN: &[u8] = b"provara verified 8 ";

/// The largest cached verification, in bytes: some 60 million events.
const LIMIT: u64 = 2 << 30;

/// The most roots that a cached verification keeps: those over the most events.
const MOST_ROOTS: usize = 1024;

/// What an earlier verification came to.
#[derive(Debug)]
pub(crate) struct CachedVerification {
    /// The hashes of the bytes of the log that it was of: whole lines.
    pub(crate) hashes: LogHashes,
    /// The sequencer at their end.
    pub(crate) state: Vec<u8>,
    /// The checkpoints whose states were compared, in the order of what they cover.
    pub(crate) checkpoints: Vec<Confirmed>,
    /// The roots of the event tree over fewer events that this machine remembers of the vault, or that tree heads
    /// were kept of.
    pub(crate) roots: Vec<(u64, Digest)>,
    /// Whether it was read and is as it stands there.
    kept: bool,
}

impl CachedVerification {
    /// The cached verification for the vault at `vault` with this `keys.json`, if there is one.
    pub(crate) fn load(directory: &Path, vault: &Path, keys: Digest) -> Option<Self> {
        let bytes = read(&place(directory, vault, "verified")?, LIMIT)?;
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let content = content.strip_prefix(identity(vault, keys).as_slice())?;
        if Digest::of(&bytes[..bytes.len() - 32]).0 != checksum {
            return None;
        }
        let mut from = Decoder(content);
        let hashes = LogHashes::decode(&mut from)?;
        let mut cached = Self {
            kept: true,
            ..Self::new(hashes, from.sized()?.to_vec())
        };
        for _ in 0..from.u64()? {
            cached.roots.push((from.u64()?, Digest(from.array()?)));
        }
        while !from.ended() {
            cached.checkpoints.push(Confirmed {
                path: String::from_utf8(from.sized()?.to_vec()).ok()?,
                sha256: Digest(from.array()?),
                events: from.u64()?,
                length: from.u64()?,
            });
        }
        let within = |it: &Confirmed| it.length <= cached.length();
        cached.checkpoints.iter().all(within).then_some(cached)
    }

    /// A cached verification that is not kept yet.
    pub(crate) fn new(hashes: LogHashes, state: Vec<u8>) -> Self {
        Self {
            hashes,
            state,
            checkpoints: Vec::new(),
            roots: Vec::new(),
            kept: false,
        }
    }

    /// How many bytes of the log it was of.
    pub(crate) fn length(&self) -> u64 {
        self.hashes.length()
    }

    /// The same cached verification, which knows these roots of the event tree.
    pub(crate) fn with_roots(self, roots: &[(u64, Digest)]) -> Self {
        let mut roots = roots.to_vec();
        roots.sort_unstable();
        roots.dedup();
        roots.drain(..roots.len().saturating_sub(MOST_ROOTS));
        Self { roots, ..self }
    }

    /// The root over the first `size` events, if it is one of those that are kept.
    pub(crate) fn root_at(&self, size: u64) -> Option<Digest> {
        let known = self.roots.iter().find(|(at, _)| *at == size);
        known.map(|(_, root)| *root)
    }

    /// Keeps the cached verification with these checkpoints, those that it covers, unless it stands there so.
    /// Failing to costs the next verification its time, and nothing else.
    pub(crate) fn store(
        mut self,
        checkpoints: &[Confirmed],
        directory: &Path,
        vault: &Path,
        keys: Digest,
    ) {
        let covered = checkpoints.iter().filter(|it| it.length <= self.length());
        let covered: Vec<_> = covered.cloned().collect();
        if self.kept && self.checkpoints == covered {
            return;
        }
        self.checkpoints = covered;
        let Some(path) = place(directory, vault, "verified") else {
            return;
        };
        let mut content = Encoder(identity(vault, keys));
        self.hashes.encode(&mut content);
        content.sized(&self.state);
        content.u64(self.roots.len() as u64);
        for (size, root) in &self.roots {
            content.u64(*size);
            content.raw(&root.0);
        }
        for checkpoint in &self.checkpoints {
            content.sized(checkpoint.path.as_bytes());
            content.raw(&checkpoint.sha256.0);
            content.u64(checkpoint.events);
            content.u64(checkpoint.length);
        }
        let checksum = Digest::of(&content.0);
        let _ = write(&path, &[&content.0, &checksum.0]);
    }
}

/// What the cached verification is about: the verifier's version, the vault, its keys.
fn identity(vault: &Path, keys: Digest) -> Vec<u8> {
    let mut identity = Encoder::default();
    identity.raw(DOMAIN);
    identity.sized(env!("CARGO_PKG_VERSION").as_bytes());
    identity.sized(vault.as_os_str().as_bytes());
    identity.raw(&keys.0);
    identity.0
}
