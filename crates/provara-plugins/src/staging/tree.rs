//! Trees of files: what in them must not be lost, what may be put in place, and their removal.
//!
//! A plugin may have made them, so nothing here goes deeper than it can: neither the stack nor the
//! number of open descriptors grows with the depth of a tree.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use provara_core::layout;

use super::{StagingError, sync};
use crate::sandbox::holds_keys;

/// How many files and directories are looked at before a directory is replaced.
pub(super) const MAX_LOOKED_AT: usize = 100_000;

/// The deepest directory of an output.
const MAX_DEPTH: usize = 128;

/// What must not be lost to an output, whatever was asked: replacing a link or a device by accident
/// is worse than asking for another name, and a vault or a key cannot be made again. A directory
/// is looked through at any depth, up to `limit` entries; one that cannot be is spared, too.
pub(super) fn precious(path: &Path, data: &fs::Metadata, limit: usize) -> Option<&'static str> {
    if data.is_dir() {
        return precious_within(path, limit);
    }
    if !data.is_file() {
        return Some("neither a file nor a directory");
    }
    holds_keys(path).then_some("a file that holds keys")
}

fn precious_within(root: &Path, limit: usize) -> Option<&'static str> {
    let mut open = vec![root.to_path_buf()];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        if directory.join(layout::LOG).exists() {
            return Some("or holds a vault");
        }
        let Ok(entries) = fs::read_dir(&directory) else {
            return Some("or holds a directory that cannot be looked into");
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > limit {
                return Some("a directory of more files than are looked through for vaults");
            }
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                open.push(entry.path());
            } else if data.is_file() && holds_keys(&entry.path()) {
                return Some("a directory that holds keys");
            }
        }
    }
    None
}

/// Checks that an output consists of files and directories of its own, and writes it through to
/// the disk: files first, then the directory that names them.
///
/// `shown` is the path within the output, `target` where the output will be; both are for words.
pub(super) fn settle(path: &Path, shown: &Path, target: &Path) -> Result<(), StagingError> {
    let foreign = |what| StagingError::Foreign {
        path: if shown.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            shown.to_path_buf()
        },
        what,
    };
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidFilename => foreign("a path that is too long"),
        _ => StagingError::Io {
            path: target.join(shown),
            source,
        },
    };
    let data = fs::symlink_metadata(path).map_err(failed)?;
    if data.is_symlink() {
        return Err(foreign("a symbolic link"));
    }
    if data.is_file() {
        if data.nlink() > 1 {
            return Err(foreign("a second name of an existing file"));
        }
        if data.mode() & 0o400 == 0 {
            return Err(foreign("a file that its owner may not read"));
        }
        // A plugin that creates a file can ask for it to run as its owner, who may be root.
        if data.mode() & 0o7000 != 0 {
            fs::set_permissions(path, Permissions::from_mode(data.mode() & 0o777))
                .map_err(failed)?;
        }
        return sync(path).map_err(failed);
    }
    if !data.is_dir() {
        return Err(foreign("something that is neither a file nor a directory"));
    }
    if data.mode() & 0o500 != 0o500 {
        return Err(foreign("a directory that its owner may not read"));
    }
    if shown.components().count() >= MAX_DEPTH {
        return Err(foreign("directories that are nested too deep"));
    }
    // The names first, so that no directory stays open on the way down.
    let names: Result<Vec<_>, _> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    for name in names.map_err(failed)? {
        settle(&path.join(&name), &shown.join(&name), target)?;
    }
    sync(path).map_err(failed)
}

/// Removes a file or a tree, also one whose directories were made unreadable.
///
/// A directory within a directory is moved up to the root before it is emptied: so no path grows
/// longer than the system takes, however deep the tree.
pub(super) fn remove(root: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(root)?.is_dir() {
        return fs::remove_file(root);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let random = u64::from_le_bytes(random);
    let mut moved = 0_u64;
    let mut to_empty = vec![];
    open_up(root, || fs::read_dir(root).map(drop))?;
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_dir() {
            to_empty.push(path);
        } else {
            fs::remove_file(&path)?;
        }
    }
    while let Some(directory) = to_empty.pop() {
        // Where it was moved from, something else may have taken its place just before.
        if !fs::symlink_metadata(&directory)?.is_dir() {
            fs::remove_file(&directory)?;
            continue;
        }
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.is_dir() {
                let up = root.join(format!("{random:016x}-{moved}"));
                moved += 1;
                // Moving a directory writes to it: its `..` changes.
                open_up(&path, || fs::rename(&path, &up))?;
                to_empty.push(up);
            } else {
                fs::remove_file(&path)?;
            }
        }
        fs::remove_dir(&directory)?;
    }
    fs::remove_dir(root)
}

/// Does something with a directory, if need be after giving its owner all rights to it.
fn open_up(directory: &Path, act: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(directory, Permissions::from_mode(0o700))?;
            act()
        }
        done => done,
    }
}
