//! Whether a vault that is held open is still what stands at its path.
//!
//! A lock keeps other writers of this kind out and nobody else: an editor, a restore or `git checkout` puts
//! another file in the log's place, or another directory in the vault's, and the open file goes on taking
//! bytes that nobody will read. So what is open is compared with what is there.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provara_core::layout;
use rustix::fs::{AtFlags, Stat, statat};

use super::content::Content;
use crate::error::{Context, Loss, VaultError};
use crate::files::is_absence;

/// The directory of a vault, held open, and the path of its log.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    root: Arc<File>,
    path: PathBuf,
    log: PathBuf,
}

fn id(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the types of both differ from system to system"
)]
fn numbers(of: &Stat) -> (u64, u64) {
    (of.st_dev as u64, of.st_ino as u64)
}

impl Standing {
    /// Holds the directory of the vault that has its log at `log`.
    pub(super) fn of(log: &Path) -> Result<Self, VaultError> {
        let mut above = log.ancestors().skip(Path::new(layout::LOG).iter().count());
        let path = above.next().unwrap_or(Path::new("/")).to_owned();
        let root = File::open(&path).context("open", &path)?;
        Ok(Self {
            root: root.into(),
            path,
            log: log.to_owned(),
        })
    }

    fn lost(&self, loss: Loss) -> VaultError {
        VaultError::LogLost {
            path: self.log.clone(),
            loss,
            acknowledged: 0,
        }
    }

    /// Refuses a directory that is not at the vault's path any more, and a log that is not the one of that
    /// path, or not of this length; gives what the system tells of the log.
    pub(super) fn check(&self, log: &File, length: Option<u64>) -> Result<Metadata, VaultError> {
        self.check_root()?;
        let open = log.metadata().context("read", &self.log)?;
        match fs::symlink_metadata(&self.log) {
            Ok(there) if id(&there) == id(&open) => {}
            Ok(_) => return Err(self.lost(Loss::Replaced)),
            Err(error) if is_absence(&error) => return Err(self.lost(Loss::Removed)),
            Err(error) => return Err(error).context("read", &self.log),
        }
        let (known, found) = (length.unwrap_or(open.len()), open.len());
        match known == found {
            true => Ok(open),
            false => Err(self.lost(Loss::Length { known, found })),
        }
    }

    /// Refuses a log, with this `metadata`, that does not hold what was noted.
    pub(super) fn check_content(
        &self,
        content: &Content,
        log: &File,
        metadata: &Metadata,
    ) -> Result<(), VaultError> {
        match content.is_in(log, metadata).context("read", &self.log)? {
            true => Ok(()),
            false => Err(self.lost(Loss::Edited)),
        }
    }

    /// Refuses a directory that is not at the vault's path any more.
    pub(super) fn check_root(&self) -> Result<(), VaultError> {
        let open = self.root.metadata().context("read", &self.path)?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) if id(&there) == id(&open) => Ok(()),
            Ok(_) => Err(self.lost(Loss::DirectoryReplaced)),
            Err(error) if is_absence(&error) => Err(self.lost(Loss::DirectoryRemoved)),
            Err(error) => Err(error).context("read", &self.path),
        }
    }

    /// Refuses an open directory that is not the one that this vault has at `path`.
    pub(super) fn check_within(&self, directory: &File, path: &Path) -> Result<(), VaultError> {
        let relative = path.strip_prefix(&self.path).unwrap_or(path);
        let relative = match relative.as_os_str().is_empty() {
            true => Path::new("."),
            false => relative,
        };
        let there = statat(&*self.root, relative, AtFlags::SYMLINK_NOFOLLOW);
        let there = there.map_err(io::Error::from);
        let open = directory.metadata().context("read", path)?;
        match there {
            Ok(there) if numbers(&there) == id(&open) => Ok(()),
            Ok(_) => Err(self.lost(Loss::DirectoryReplaced)),
            Err(error) if is_absence(&error) => Err(self.lost(Loss::DirectoryRemoved)),
            Err(error) => Err(error).context("read", path),
        }
    }
}
