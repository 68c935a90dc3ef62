//! The removal of trees that a plugin may have made: neither the stack nor the number of open descriptors
//! grows with their depth.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a file or a tree, also one whose directories were made unreadable.
///
/// A directory within a directory is moved up to the root before it is emptied: so no path grows
/// longer than the system takes, however deep the tree.
pub(crate) fn remove(root: &Path) -> io::Result<()> {
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
