//! A vault as one file: a tar archive, compressed or not, that verifies as it is after unpacking. Zip archives,
//! as the older tool writes them, are only read.
//!
//! The archive holds one directory, named after the vault, with the seal first: a reader knows from
//! its beginning what may follow.

mod backup;
mod restore;
mod zipped;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use backup::{BackupOptions, BackupReceipt};
pub use restore::{RestoreOptions, RestoreReceipt, restore};

use provara_core::manifest::safe_path;

use crate::error::{Context, VaultError};
use crate::file_layer::fresh_name;

/// A directory that goes when it is dropped, beside the place where its content is to be.
struct StagingDir(PathBuf);

impl StagingDir {
    fn beside(target: &Path) -> Result<Self, VaultError> {
        let beside = parent(target);
        let path = beside.join(fresh_name().context("make a directory in", &beside)?);
        fs::create_dir(&path).context("make a directory in", &beside)?;
        // Nobody else's business until it is verified; keys may be among it.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
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

/// The most entries of an archive.
const MOST_ENTRIES: usize = 1 << 20;

/// What an entry's name is inside the archive; `None` for the directory that holds everything.
///
/// # Errors
/// Why no entry may have that name.
fn plain_name(name: &str, is_directory: bool) -> Result<Option<String>, &'static str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = match is_directory {
        true => name.trim_end_matches('/'),
        false => name,
    };
    if is_directory && matches!(name, "" | ".") {
        return Ok(None);
    }
    match safe_path(name) {
        true => Ok(Some(name.to_owned())),
        false => Err("would be written outside the vault, or has no plain name"),
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

/// Makes the names in a directory durable.
fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
