//! Trees of files: what in them must not be lost, and what may be put in place.
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

/// Checks that an output consists of files and directories of its own, gives them the modes that the user
/// lets new files have, and writes them through to the disk: files first, then the directory that names
/// them.
///
/// `target` is where the output will be, for words.
pub(super) fn settle(path: &Path, target: &Path) -> Result<(), StagingError> {
    let parent = target.parent().and_then(|parent| fs::metadata(parent).ok());
    let modes = Modes {
        allowed: 0o777 & !umask(),
        inherited: parent.map_or(0, |parent| parent.mode() & 0o2000),
    };
    settle_within(path, Path::new(""), target, modes)
}

/// The modes that new files of the user's have.
#[derive(Clone, Copy)]
struct Modes {
    allowed: u32,
    /// The group bit that directories have from the one above them.
    inherited: u32,
}

/// The permissions that the user takes from new files (`umask`).
pub(super) fn umask() -> u32 {
    // The call that tells it sets it, for all threads; Linux says it without.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let told = told.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    told.unwrap_or_else(|| {
        let mask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        rustix::process::umask(mask);
        // Of another width on other systems.
        #[allow(clippy::useless_conversion)]
        u32::from(mask.bits())
    })
}

/// As [`settle`], for what lies at the path `shown` within the output.
fn settle_within(
    path: &Path,
    shown: &Path,
    target: &Path,
    modes: Modes,
) -> Result<(), StagingError> {
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
        permit(path, &data, modes).map_err(failed)?;
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
        settle_within(&path.join(&name), &shown.join(&name), target, modes)?;
    }
    // Last: it takes away no right of the owner's but what it was made without.
    permit(path, &data, modes).map_err(failed)?;
    sync(path).map_err(failed)
}

/// Takes from a file or a directory what a new one of the user's would not have. A plugin chooses its own
/// `umask`, and can ask for a file that runs as its owner, who may be root.
fn permit(path: &Path, data: &fs::Metadata, modes: Modes) -> io::Result<()> {
    let mode = data.mode() & 0o7777;
    let inherited = if data.is_dir() { modes.inherited } else { 0 };
    // Whoever made it may read it: that was looked at before.
    let wanted = mode & (modes.allowed | 0o500 | inherited);
    if mode == wanted {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(wanted)) {
        // A file system without modes shows the same one for every file.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && mode & 0o7000 == 0 => {
            Ok(())
        }
        done => done,
    }
}
