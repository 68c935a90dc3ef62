//! What the files beside the log hashed to, kept in the user's cache directory, so that a command that seals
//! them reads only what has changed.
//!
//! A file counts as unchanged if its device, inode, size and times of modification and of change (`ctime`) are
//! those with which it was hashed. Who may write a file can set the first of these times and not the second; a
//! clock that is set back, or the raw device, takes root. Three things are read every time all the same:
//!
//! * files that had changed less than [`SETTLED`] before they were hashed: a later change may fall into the same
//!   tick of the file system's clock, and a store through a shared mapping changes no time until its page has
//!   been written back;
//! * files on a file system of which is not known that it keeps such times ([`is_well_known`]), or on another
//!   one than the vault;
//! * all files, by a verification and for a backup: this is for writers alone.
//!
//! What is trusted is the user's own account, as by [`verification_cache`](crate::verification_cache).

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provara_core::bytes::{Decoder, Encoder};
use provara_core::id::Digest;

use crate::cache::{place, read, write};
use crate::error::{Context, VaultError};
use crate::file_system::is_well_known;
use crate::file_times::FileTimes;
use crate::files::hash_open;
use crate::vault::Vault;

/// What the cache file begins with. The number changes with the content.
const DOMAIN: &[u8] = b"provara file hashes 1 ";

/// How long a file has been left alone when it is hashed, at least. Linux writes pages back within 35 s
/// (`dirty_expire_centisecs`, `dirty_writeback_centisecs`).
const SETTLED: Duration = Duration::from_secs(60);

/// From how many bytes on hashes are kept: less is read as fast as they are.
const WORTH: u64 = 1 << 20;

/// The largest cache file that is read or written, in bytes: some 400,000 files.
const LIMIT: u64 = 64 << 20;

/// What tells a file, and its content, from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    times: FileTimes,
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            times: FileTimes::of(file),
        }
    }

    /// Whether both times lie far enough before `now`.
    fn is_settled(&self, now: Duration) -> bool {
        now.checked_sub(SETTLED)
            .is_some_and(|settled| self.times.are_before(settled))
    }
}

/// Where hashes are kept.
#[derive(Debug)]
struct Kept {
    directory: PathBuf,
    /// The device of the vault's directory.
    device: u64,
    /// Since 1970.
    now: Duration,
}

/// The hashes of a vault's files.
#[derive(Debug)]
pub(crate) struct FileHashes<'v> {
    vault: &'v Path,
    kept: Option<Kept>,
    known: BTreeMap<String, (Stamp, Digest)>,
    /// Those of files that stand there now.
    current: BTreeMap<String, (Stamp, Digest)>,
    /// How many bytes were hashed.
    hashed: u64,
}

impl<'v> FileHashes<'v> {
    /// Those of a vault, with what is kept of it in its cache directory, if it has one.
    pub(crate) fn of(vault: &'v Vault) -> Self {
        let path = vault.path();
        let relied_on = File::open(path).ok().filter(is_well_known);
        let device = relied_on.and_then(|root| root.metadata().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let kept = match (vault.cache_directory(), device, now) {
            (Some(directory), Some(root), Ok(now)) => Some(Kept {
                directory: directory.to_owned(),
                device: root.dev(),
                now,
            }),
            _ => None,
        };
        Self::with(path, kept)
    }

    fn with(vault: &'v Path, kept: Option<Kept>) -> Self {
        let known = kept.as_ref().and_then(|kept| load(&kept.directory, vault));
        Self {
            vault,
            kept,
            known: known.unwrap_or_default(),
            current: BTreeMap::new(),
            hashed: 0,
        }
    }

    /// The size and SHA-256 of a file of the vault.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub(crate) fn hash(&mut self, relative: &str) -> Result<(u64, Digest), VaultError> {
        let path = self.vault.join(relative);
        let read = || -> std::io::Result<_> {
            if let Some((stamp, digest)) = self.known.get(relative)
                && Stamp::of(&fs::metadata(&path)?) == *stamp
            {
                return Ok((*stamp, *digest, stamp.size, true));
            }
            let mut file = File::open(&path)?;
            let before = Stamp::of(&file.metadata()?);
            let (size, digest) = hash_open(&mut file)?;
            let after = Stamp::of(&file.metadata()?);
            Ok((before, digest, size, before == after && size == before.size))
        };
        let (stamp, digest, size, is_same) = read().context("read", &path)?;
        let was_known = self.known.get(relative).is_some_and(|it| it.0 == stamp);
        if !was_known {
            self.hashed += size;
        }
        let lasts = |kept: &Kept| stamp.device == kept.device && stamp.is_settled(kept.now);
        if was_known || is_same && self.kept.as_ref().is_some_and(lasts) {
            self.current.insert(relative.to_owned(), (stamp, digest));
        }
        Ok((size, digest))
    }

    /// Keeps the hashes of the files that stand there now. Failing to costs the next writer its time, and
    /// nothing else.
    pub(crate) fn keep(self) {
        let Some(kept) = self.kept else { return };
        let total: u64 = self.current.values().map(|(stamp, _)| stamp.size).sum();
        if self.hashed == 0 && self.current.len() == self.known.len() || total < WORTH {
            return;
        }
        let Some(path) = place(&kept.directory, self.vault, "files") else {
            return;
        };
        let mut content = Encoder(identity(self.vault));
        for (path, (stamp, digest)) in &self.current {
            content.sized(path.as_bytes());
            for number in [stamp.device, stamp.inode, stamp.size] {
                content.u64(number);
            }
            for (seconds, nanoseconds) in [stamp.times.modified, stamp.times.changed] {
                content.i64(seconds);
                content.i64(nanoseconds);
            }
            content.raw(&digest.0);
        }
        if content.0.len() as u64 + 32 <= LIMIT {
            let checksum = Digest::of(&content.0);
            let _ = write(&path, &[&content.0, &checksum.0]);
        }
    }
}

fn identity(vault: &Path) -> Vec<u8> {
    let mut identity = Encoder::default();
    identity.raw(DOMAIN);
    identity.sized(vault.as_os_str().as_bytes());
    identity.0
}

fn load(directory: &Path, vault: &Path) -> Option<BTreeMap<String, (Stamp, Digest)>> {
    let bytes = read(&place(directory, vault, "files")?, LIMIT)?;
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(content).0 != checksum {
        return None;
    }
    let mut from = Decoder(content.strip_prefix(identity(vault).as_slice())?);
    let mut known = BTreeMap::new();
    while !from.ended() {
        let path = String::from_utf8(from.sized()?.to_vec()).ok()?;
        let stamp = Stamp {
            device: from.u64()?,
            inode: from.u64()?,
            size: from.u64()?,
            times: FileTimes {
                modified: (from.i64()?, from.i64()?),
                changed: (from.i64()?, from.i64()?),
            },
        };
        known.insert(path, (stamp, Digest(from.array()?)));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vault's directory with files, and a cache directory beside it.
    struct Home {
        _directory: tempfile::TempDir,
        vault: PathBuf,
        cache: PathBuf,
    }

    const SIZE: usize = 1 << 20;

    impl Home {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = fs::canonicalize(directory.path()).unwrap();
            let vault = root.join("vault");
            fs::create_dir(&vault).unwrap();
            for name in ["a", "b"] {
                fs::write(vault.join(name), vec![b'x'; SIZE]).unwrap();
            }
            Self {
                _directory: directory,
                vault,
                cache: root.join("cache"),
            }
        }

        /// Hashes both files at this many seconds from now; gives the digests, and how many bytes were read.
        fn hashed(&self, later: u64) -> ([Digest; 2], u64) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let kept = Kept {
                directory: self.cache.clone(),
                device: fs::metadata(&self.vault).unwrap().dev(),
                now: now + Duration::from_secs(later),
            };
            let mut hashes = FileHashes::with(&self.vault, Some(kept));
            let digests = ["a", "b"].map(|name| {
                let (size, digest) = hashes.hash(name).unwrap();
                assert_eq!(size, fs::metadata(self.vault.join(name)).unwrap().len());
                digest
            });
            let hashed = hashes.hashed;
            hashes.keep();
            (digests, hashed)
        }
    }

    #[test]
    fn what_has_not_changed_is_read_once() {
        let home = Home::new();
        let (all, one) = (2 * SIZE as u64, SIZE as u64);
        let first = home.hashed(120);
        assert_eq!(first.0, [Digest::of(&vec![b'x'; SIZE]); 2]);
        assert_eq!(first.1, all);
        assert_eq!(home.hashed(120), (first.0, 0));
        // Others at the same size, with the time of modification put back.
        let path = home.vault.join("a");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, vec![b'y'; SIZE]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        let other = [Digest::of(&vec![b'y'; SIZE]), first.0[1]];
        assert_eq!(home.hashed(120), (other, one));
        assert_eq!(home.hashed(120), (other, 0));
        // Another file in its place.
        fs::write(home.vault.join("new"), vec![b'z'; SIZE]).unwrap();
        fs::rename(home.vault.join("new"), home.vault.join("b")).unwrap();
        let third = [other[0], Digest::of(&vec![b'z'; SIZE])];
        assert_eq!(home.hashed(120), (third, one));
    }

    #[test]
    fn what_has_just_changed_is_read_again() {
        let home = Home::new();
        for later in [0, SETTLED.as_secs() - 5] {
            assert_eq!(home.hashed(later).1, 2 * SIZE as u64);
        }
        assert_eq!(home.hashed(120).1, 2 * SIZE as u64);
        assert_eq!(home.hashed(120).1, 0);
    }

    #[test]
    fn a_cache_that_is_damaged_or_of_another_vault_is_as_good_as_none() {
        let home = Home::new();
        let all = 2 * SIZE as u64;
        assert_eq!(home.hashed(120).1, all);
        let path = place(&home.cache, &home.vault, "files").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(home.hashed(120).1, all, "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() - 40]).unwrap();
        assert_eq!(home.hashed(120).1, all);
        // A copy of the vault: other inodes.
        let other = home.vault.with_file_name("other");
        fs::rename(&home.vault, &other).unwrap();
        fs::create_dir(&home.vault).unwrap();
        for name in ["a", "b"] {
            fs::copy(other.join(name), home.vault.join(name)).unwrap();
        }
        assert_eq!(home.hashed(120).1, all);
    }

    #[test]
    fn without_a_place_to_keep_them_files_are_read() {
        let home = Home::new();
        for _ in 0..2 {
            let mut hashes = FileHashes::with(&home.vault, None);
            hashes.hash("a").unwrap();
            assert_eq!(hashes.hashed, SIZE as u64);
            assert!(hashes.hash("absent").is_err());
            hashes.keep();
        }
        assert!(!home.cache.exists());
    }
}
