//! A vault as a value: its place, and how its operations go about their work.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Context, VaultError};
use crate::file_layer::{FileLayer, SystemFiles};
use crate::file_system::{Lack, is_news};
use crate::files::is_absence;
use crate::foreign::{Foreign, foreign};
use crate::lock::{Attempt, LockedLog, WithoutLocks, lock_log};
use crate::user_dirs::default_state_directory;
use crate::vault_files::{VaultFiles, files_at, files_in};
use provara_core::layout;

/// How long a writer waits for another one by default.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a writer notes that goes on without a lock.
const UNLOCKED: &str =
    "the file system has no locks: nothing keeps another writer out, and two at once lose events";

/// A directory that is a vault. Holds no file open: each operation reads what it needs.
#[derive(Debug, Clone)]
pub struct Vault {
    root: PathBuf,
    files: Arc<dyn VaultFiles>,
    typed: PathBuf,
    memory: bool,
    layer: Arc<dyn FileLayer>,
    lock_timeout: Duration,
    without_locks: WithoutLocks,
    state_directory: PathBuf,
    cache_directory: Option<PathBuf>,
    record_from: u64,
    progress: Option<Progress>,
}

/// From which length of the log on a verification is recorded, in bytes: a shorter one is verified in
/// a few milliseconds.
const RECORD_FROM: u64 = 1 << 20;

/// Who is told how far a verification has come.
#[derive(Clone)]
struct Progress(Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync>);

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// Nothing is at the path: the link that leads there is named, if there is one.
fn nothing_at(path: &Path) -> VaultError {
    let path = path.to_owned();
    // The first of what does not lead on, from the outside in.
    let mut parts: Vec<_> = path
        .ancestors()
        .filter(|it| !it.as_os_str().is_empty())
        .collect();
    parts.reverse();
    let missing = parts.into_iter().find(|part| !part.exists());
    let link = missing.and_then(|part| Some((part.to_owned(), fs::read_link(part).ok()?)));
    match link {
        Some((link, target)) => VaultError::DanglingLink { path, link, target },
        None => VaultError::NotFound { path },
    }
}

impl Vault {
    /// Opens the vault at `path`: a directory that holds a log, a genesis file or a manifest, and is not
    /// plainly something else ([`Foreign`](crate::Foreign)). What else it lacks is for a verification to find.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], [`VaultError::DanglingLink`], [`VaultError::NotAVault`], or
    /// [`VaultError::Io`].
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let root = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(nothing_at(path));
            }
            root => root.context("open", path)?,
        };
        let kind = foreign(&root);
        let not_a_vault = |reason: &str| VaultError::NotAVault {
            path: path.to_owned(),
            reason: kind.map_or_else(|| reason.to_owned(), |kind| kind.to_string()),
            kind,
        };
        let Some(files) = files_at(&root)? else {
            return Err(not_a_vault("it is not a directory"));
        };
        let marks = [layout::LOG, layout::GENESIS, layout::MANIFEST];
        let mut found = false;
        for mark in marks {
            found |= files.stands(mark)?.is_some();
        }
        if !found || kind.is_some() {
            return Err(not_a_vault(&format!(
                "it holds none of {}",
                marks.join(", ")
            )));
        }
        Ok(Self::at(root, path, files))
    }

    /// Opens the vault in an archive, for a verification alone: a tar archive, compressed with gzip or Zstandard or
    /// not, or a zip archive. It is read into memory, as far as an honest archive of its size goes; nothing is
    /// unpacked to a disk, and nothing of it is remembered. A directory is opened as by [`Vault::open`].
    ///
    /// # Errors
    /// As [`Vault::open`]; [`VaultError::Archive`] for an archive that is refused, as by
    /// [`restore`](crate::restore).
    pub fn open_to_verify(path: &Path) -> Result<Self, VaultError> {
        match fs::canonicalize(path) {
            Ok(root) if foreign(&root) == Some(Foreign::Archive) => {
                let files = files_in(&root)?;
                Ok(Self::at(root, path, files))
            }
            _ => Self::open(path),
        }
    }

    /// Whether it lies in an archive.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        !self.files.is_live()
    }

    fn at(root: PathBuf, path: &Path, files: Arc<dyn VaultFiles>) -> Self {
        Self {
            root,
            files,
            typed: typed(path),
            memory: false,
            layer: Arc::new(SystemFiles),
            lock_timeout: LOCK_TIMEOUT,
            without_locks: WithoutLocks::Refuse,
            state_directory: default_state_directory(),
            cache_directory: None,
            record_from: RECORD_FROM,
            progress: None,
        }
    }

    /// The same vault, changed through `layer` instead of the system's files.
    #[must_use]
    pub fn with_layer(mut self, layer: Arc<dyn FileLayer>) -> Self {
        self.layer = layer;
        self
    }

    /// The same vault, whose writers wait this long for the lock ([`LOCK_TIMEOUT`] otherwise).
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// The same vault, whose writers go on, if `alone`, where its file system has no locks
    /// ([`VaultError::NoLocks`] otherwise): nothing but the caller's word then keeps two writers apart, and two
    /// at once lose events. Where there are locks, they are taken as ever.
    #[must_use]
    pub fn with_no_lock(mut self, alone: bool) -> Self {
        self.without_locks = match alone {
            true => WithoutLocks::GoOn,
            false => WithoutLocks::Refuse,
        };
        self
    }

    /// The same vault, whose recovered torn tails and replaced signatures of other seals are kept below
    /// `directory` instead of the user's state directory (`$XDG_STATE_HOME/provara`).
    #[must_use]
    pub fn with_state_directory(mut self, directory: PathBuf) -> Self {
        self.state_directory = directory;
        self
    }

    /// The same vault, which is held against what this machine remembers of it, and remembered: by every
    /// verification and every writer, in the state directory ([`Vault::with_state_directory`]). A vault is
    /// opened without it: a program that works on copies of its own decides whether they are the user's.
    #[must_use]
    pub fn with_memory(mut self, memory: bool) -> Self {
        self.memory = memory;
        self
    }

    /// The same vault, whose verifications read `files`.
    #[cfg(test)]
    pub(crate) fn with_files(mut self, files: Arc<dyn VaultFiles>) -> Self {
        self.files = files;
        self
    }

    pub(crate) fn has_memory(&self) -> bool {
        self.memory
    }

    /// The path that the vault was opened by, absolute; symbolic links in it stay.
    pub(crate) fn typed_path(&self) -> &Path {
        &self.typed
    }

    /// The same vault, which keeps below `directory` what it would otherwise read the whole log for
    /// ([`default_cache_directory`](crate::default_cache_directory) is the user's own). Without it,
    /// nothing is kept and nothing is taken from a cache.
    #[must_use]
    pub fn with_cache_directory(mut self, directory: Option<PathBuf>) -> Self {
        self.cache_directory = directory;
        self
    }

    /// The same vault, whose verifications are recorded from this length of the log on, in bytes (1 MiB
    /// otherwise).
    #[must_use]
    pub fn with_record_from(mut self, length: u64) -> Self {
        self.record_from = length;
        self
    }

    pub(crate) fn record_from(&self) -> u64 {
        self.record_from
    }

    /// The same vault, whose verifications tell `progress` how many bytes of the log they have checked,
    /// and of how many; again and again, from the thread that asked. Where it breaks, the verification
    /// ends with [`VaultError::Cancelled`].
    #[must_use]
    pub fn with_progress(
        mut self,
        progress: Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync>,
    ) -> Self {
        self.progress = Some(Progress(progress));
        self
    }

    /// The same vault, which tells its progress to whoever that of `other` is told.
    pub(crate) fn told_like(mut self, other: &Self) -> Self {
        self.progress.clone_from(&other.progress);
        self
    }

    pub(crate) fn tell_progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        match &self.progress {
            Some(Progress(progress)) => progress(done, total),
            None => ControlFlow::Continue(()),
        }
    }

    /// The vault's directory, absolute and without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What a verification reads.
    pub(crate) fn files(&self) -> &dyn VaultFiles {
        &*self.files
    }

    /// The log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.root.join(layout::LOG)
    }

    /// The keyfile that `init` writes where no other place is named.
    #[must_use]
    pub fn default_keyfile(&self) -> PathBuf {
        self.root.join(layout::PRIVATE_KEYS)
    }

    pub(crate) fn layer(&self) -> &dyn FileLayer {
        &*self.layer
    }

    pub(crate) fn shared_layer(&self) -> Arc<dyn FileLayer> {
        Arc::clone(&self.layer)
    }

    pub(crate) fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    /// Whether writers go on where the file system has no locks.
    pub(crate) fn goes_without_lock(&self) -> bool {
        self.without_locks == WithoutLocks::GoOn
    }

    /// Opens the log for appending, under the writers' lock. Notes, once, that there is none.
    pub(crate) fn lock_for_writing(&self) -> Result<(LockedLog, Vec<String>), VaultError> {
        let path = self.inner_file(layout::LOG)?;
        let (log, lock) = lock_log(&path, self.lock_timeout, self.without_locks)?;
        let unlocked = lock == Attempt::Unsupported && is_news(&self.root, Lack::Locks);
        Ok((
            log,
            unlocked.then(|| UNLOCKED.to_owned()).into_iter().collect(),
        ))
    }

    pub(crate) fn cache_directory(&self) -> Option<&Path> {
        self.cache_directory.as_deref()
    }

    pub(crate) fn state_directory(&self) -> &Path {
        &self.state_directory
    }

    /// Opens the log for reading, if it is a regular file within the vault.
    pub(crate) fn open_log_file(&self) -> Result<File, VaultError> {
        let path = self.inner_file(layout::LOG)?;
        File::open(&path).context("read", &path)
    }

    /// The path of a file of the vault that must be there and be a regular file inside it, reached
    /// through no symbolic link.
    pub(crate) fn inner_file(&self, relative: &str) -> Result<PathBuf, VaultError> {
        let structure = |reason: &str| VaultError::Structure {
            file: relative.to_owned(),
            reason: reason.to_owned(),
        };
        let path = self.root.join(relative);
        let real = match fs::canonicalize(&path) {
            Err(error) if is_absence(&error) => return Err(structure("it is missing")),
            real => real.context("read", &path)?,
        };
        if real != path {
            return Err(structure("it is reached through a symbolic link"));
        }
        if !real.is_file() {
            return Err(structure("it is not a regular file"));
        }
        Ok(path)
    }
}

/// A path as it was typed, made absolute; symbolic links in it stay.
pub(crate) fn typed(path: &Path) -> PathBuf {
    match std::path::absolute(path) {
        // Without a slash at its end.
        Ok(path) => path.components().collect(),
        Err(_) => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
    }
}
