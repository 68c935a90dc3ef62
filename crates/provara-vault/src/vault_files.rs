//! What verification reads a vault's files through, so that a vault may lie elsewhere than in a directory.
//!
//! Another place (a store) is a file below this one that implements [`VaultFiles`], and a function beside
//! [`files_at`]. Writers know directories alone, with their locks.

mod archive;
mod directory;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use provara_core::id::Digest;

use crate::error::VaultError;
use crate::log_snapshot::LogSnapshot;
use crate::unsealed_tail::UnsealedTail;
use directory::Directory;

/// The files of a vault, wherever they lie. Paths are relative to the vault, with `/` between.
pub(crate) trait VaultFiles: Debug + Send + Sync {
    /// Whether writers may be at work on them: what does not fit together may then be between two of a
    /// writer's steps, which only the lock on the log tells.
    fn is_live(&self) -> bool;

    /// Everything that is there, but directories.
    fn list(&self) -> Result<BTreeMap<String, Entry>, VaultError>;

    /// What is at `path` now, and not what a link there leads to.
    fn stands(&self, path: &str) -> Result<Option<Standing>, VaultError>;

    /// The content of a file, if it is there.
    ///
    /// # Errors
    /// [`VaultError::Structure`] for one that is larger than [`MAX_TEXT`](crate::files::MAX_TEXT) or no
    /// regular file, or [`VaultError::Io`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// The size and SHA-256 of a file of any size.
    fn hash(&self, path: &str) -> Result<(u64, Digest), VaultError>;

    /// Opens the log, or the one that an interrupted command staged, if it is there: what is then taken of it
    /// is of the file that stood there at this moment.
    fn open_log(&self, path: &str) -> Result<Option<Box<dyn OpenLog>>, VaultError>;
}

/// A log that is open.
pub(crate) trait OpenLog {
    /// Takes its whole lines and what follows them; where the log has `sealed` bytes, only these, and what is
    /// beyond them apart.
    fn take(&self, sealed: Option<u64>) -> Result<TakenLog, VaultError>;

    /// Takes all its bytes. Only while no writer is at work.
    fn whole(&self) -> Result<LogSnapshot, VaultError>;

    /// Whether it is still what stands at its path.
    fn is_current(&self) -> bool;
}

/// Something that is in a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A regular file of this size, or a link to one within the vault.
    File(u64),
    /// What a vault cannot hold, and why.
    Other(&'static str),
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    File,
    /// A link, a directory, or anything else.
    Other,
}

/// The log as it was taken.
#[derive(Debug)]
pub(crate) struct TakenLog {
    /// Its whole lines.
    pub(crate) lines: LogSnapshot,
    /// What follows the last line end.
    pub(crate) tail: Vec<u8>,
    /// What a writer had appended beyond its seal: no part of the bytes that were taken.
    pub(crate) unsealed: Option<UnsealedTail>,
}

impl TakenLog {
    /// All of a log that no writer is at work on.
    pub(crate) fn of(log: LogSnapshot) -> Self {
        let whole = memchr::memrchr(b'\n', &log).map_or(0, |end| end + 1);
        Self {
            tail: log[whole..].to_vec(),
            lines: log.cut(whole),
            unsealed: None,
        }
    }

    /// How many bytes were taken.
    pub(crate) fn size(&self) -> u64 {
        self.lines.len() + self.tail.len() as u64
    }
}

/// The files of the vault in an archive.
///
/// # Errors
/// [`VaultError::Archive`], [`VaultError::Io`].
pub(crate) fn files_in(archive: &Path) -> Result<Arc<dyn VaultFiles>, VaultError> {
    Ok(Arc::new(archive::Archive::read(archive)?))
}

/// The files of what lies at `root`, if that may be a vault.
pub(crate) fn files_at(root: &Path) -> Result<Option<Arc<dyn VaultFiles>>, VaultError> {
    if root.is_dir() {
        return Ok(Some(Arc::new(Directory::new(root))));
    }
    Ok(None)
}
