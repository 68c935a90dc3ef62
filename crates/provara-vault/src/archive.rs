//! A vault as one file: a tar archive, compressed or not, that verifies as it is after unpacking.
//!
//! The archive holds one directory, named after the vault, with the seal first: a reader knows from
//! its beginning what may follow.

mod backup;
mod restore;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use backup::{BackupOptions, BackupReceipt};
pub use restore::{RestoreOptions, RestoreReceipt, restore, restore_through};

use crate::error::{Context, VaultError};
use crate::file_layer::fresh_name;
use crate::file_system::{Names, sync_directory};

/// A directory that goes when it is dropped, beside the place where its content is to be.
struct StagingDir(PathBuf);

impl StagingDir {
    fn beside(target: &Path) -> Result<Self, VaultError> {
        let beside = parent(target);
        let path = beside.join(fresh_name().context("make a directory in", &beside)?);
        // Nobody else's business until it is verified; keys may be among it.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .context("make a directory in", &beside)?;
        Ok(Self(path))
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // Best effort: it has a name of its own and holds copies alone.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The directory that `path` is to stand in.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// Makes the names in a directory durable, where the file system can.
fn sync(directory: &Path) -> io::Result<Names> {
    Names::of(sync_directory(directory))
}
