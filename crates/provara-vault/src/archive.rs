//! A vault as one file: a tar archive, compressed or not, that verifies as it is after unpacking. Zip archives,
//! as the older tool writes them, are only read.
//!
//! The archive holds one directory, named after the vault, with the seal first: a reader knows from
//! its beginning what may follow.

mod backup;
mod gzip;
mod restore;
mod staging;

use std::io;
use std::path::{Path, PathBuf};

pub use backup::{BackupOptions, BackupReceipt};
pub use restore::{RestoreOptions, RestoreReceipt, restore, restore_through, restore_watched};

use crate::file_system::{Names, sync_directory};

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
