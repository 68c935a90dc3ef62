//! What the file system of a vault can do, for a person who wants to know before relying on it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use provara_core::layout;
use serde::Serialize;

use crate::error::{Context, VaultError};
use crate::file_system::{self, Names};
use crate::lock::{Attempt, WithoutLocks, lock_log, try_lock_shared};
use crate::seal::sync_names;
use crate::vault::Vault;

/// What a file system can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether the names in a directory can be made durable.
    pub durable_names: bool,
    /// Whether a file's mode can be changed; not known where another writer is at work, or the vault may only
    /// be read.
    pub modes: Option<bool>,
    /// Whether there are locks.
    pub locks: bool,
    /// Whether one sync makes a whole tree durable, and tells of every failure.
    pub tree_sync: bool,
}

impl Vault {
    /// Tries what the vault's file system can do. Nothing in the vault changes.
    ///
    /// # Errors
    /// [`VaultError::Structure`] without a log, [`VaultError::Sync`] for a disk that fails, or
    /// [`VaultError::Io`].
    pub fn abilities(&self) -> Result<Abilities, VaultError> {
        let path = self.inner_file(layout::LOG)?;
        let log = self.open_log_file()?;
        let (locks, modes) = match lock_log(&path, Duration::ZERO, WithoutLocks::GoOn) {
            // Under the lock, as a file system without nameless files shows the one that is tried with.
            Ok((_held, lock)) => (lock == Attempt::Held, Some(self.changes_modes()?)),
            Err(VaultError::Locked { .. }) => (true, None),
            // Who may only read it can still see whether there are locks.
            Err(VaultError::Io { source, .. }) if is_refusal(&source) => {
                let lock = try_lock_shared(&log, &path).context("lock", &path)?;
                (lock != Attempt::Unsupported, None)
            }
            Err(error) => return Err(error),
        };
        let root = std::fs::File::open(self.path()).context("open", self.path())?;
        Ok(Abilities {
            durable_names: sync_names(self.layer(), self.path())? == Names::Durable,
            modes,
            locks,
            tree_sync: file_system::syncs_as_one(&root),
        })
    }

    fn changes_modes(&self) -> Result<bool, VaultError> {
        let layer = self.layer();
        let made = layer.create_temporary(self.path(), 0o600);
        let made = made.context("make a file in", self.path())?;
        match made.file().set_permissions(Permissions::from_mode(0o400)) {
            Ok(()) => Ok(true),
            Err(error) if file_system::changes_no_modes(&error) => Ok(false),
            Err(error) => Err(error).context("make a file in", self.path()),
        }
    }
}

/// Whether somebody who may only read was refused.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}
