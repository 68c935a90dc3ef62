//! Finding every file of a vault without leaving it.

use std::fs::{self, FileType};
use std::path::Path;

use crate::error::{Context, VaultError};

/// What stands at a path of the vault, besides directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A symbolic link to a regular file within the vault.
    Link,
    /// Something that a vault cannot hold, and why.
    Unsafe(&'static str),
}

/// Something found in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Relative path, `/` between; lossy where the name is not UTF-8, which is then `Unsafe`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Everything below `root` (canonical) but directories, sorted by path. No link is followed into a
/// directory, so the walk ends and stays inside. What vanishes while it is looked at is left out.
pub(crate) fn walk(root: &Path) -> Result<Vec<Found>, VaultError> {
    let mut found = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(directory) = pending.pop() {
        let path = root.join(&directory);
        for entry in fs::read_dir(&path).context("read the directory", &path)? {
            let entry = entry.context("read the directory", &path)?;
            let (name, readable) = match entry.file_name().into_string() {
                Ok(name) => (name, true),
                Err(name) => (name.to_string_lossy().into_owned(), false),
            };
            let relative = match directory.as_str() {
                "" => name,
                directory => format!("{directory}/{name}"),
            };
            let kind = entry.file_type().context("read", &entry.path())?;
            match kind_of(kind, readable, &entry.path(), root) {
                None => pending.push(relative),
                Some(kind) => found.push(Found {
                    path: relative,
                    kind,
                }),
            }
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The kind of a directory entry; `None` for a directory.
fn kind_of(kind: FileType, readable: bool, path: &Path, root: &Path) -> Option<Kind> {
    if !readable {
        return Some(Kind::Unsafe("its name is not UTF-8"));
    }
    if kind.is_dir() {
        return None;
    }
    Some(if kind.is_file() {
        Kind::File
    } else if kind.is_symlink() {
        match fs::canonicalize(path) {
            Ok(target) if !target.starts_with(root) => {
                Kind::Unsafe("a symbolic link that leaves the vault")
            }
            Ok(target) if target.is_file() => Kind::Link,
            Ok(_) => Kind::Unsafe("a symbolic link to a directory"),
            Err(_) => Kind::Unsafe("a symbolic link that leads nowhere"),
        }
    } else {
        Kind::Unsafe("neither a file nor a directory")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_not_followed_out_or_in_circles() {
        let outside = tempfile::tempdir().unwrap();
        let vault = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(vault.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"x").unwrap();
        fs::write(root.join("a-file"), b"x").unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        symlink("b/file", root.join("a/inside")).unwrap();
        symlink(outside.path().join("secret"), root.join("a/outside")).unwrap();
        symlink(outside.path(), root.join("directory")).unwrap();
        symlink("..", root.join("a/circle")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let found = walk(&root).unwrap();
        let unsafe_link = |reason| Kind::Unsafe(reason);
        let expected = [
            ("a-file", Kind::File),
            ("a/b/file", Kind::File),
            ("a/circle", unsafe_link("a symbolic link to a directory")),
            ("a/inside", Kind::Link),
            (
                "a/outside",
                unsafe_link("a symbolic link that leaves the vault"),
            ),
            (
                "dangling",
                unsafe_link("a symbolic link that leads nowhere"),
            ),
            (
                "directory",
                unsafe_link("a symbolic link that leaves the vault"),
            ),
        ];
        let got: Vec<_> = found
            .iter()
            .map(|found| (found.path.as_str(), found.kind))
            .collect();
        assert_eq!(got, expected);
    }
}
