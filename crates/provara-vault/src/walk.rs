//! Finding every file of a vault without leaving it.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::path::{Component, Path};

use crate::error::{Context, VaultError};

/// What stands at a path of the vault, besides directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A symbolic link to a regular file within the vault, every step of whose way is within it too.
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
        match (leaves(path, root), fs::metadata(path)) {
            (true, _) => Kind::Unsafe("a symbolic link that leaves the vault"),
            (false, Ok(target)) if target.is_file() => Kind::Link,
            (false, Ok(_)) => Kind::Unsafe("a symbolic link to a directory"),
            (false, Err(_)) => Kind::Unsafe("a symbolic link that leads nowhere"),
        }
    } else {
        Kind::Unsafe("neither a file nor a directory")
    })
}

/// Whether a step of the way that the link at `path` leads is outside of `root`, also where the way comes
/// back: what it then leads to depends on the name and place of the vault, which mean nothing.
fn leaves(path: &Path, root: &Path) -> bool {
    /// As many links as the system follows.
    const LINKS: usize = 40;
    let Some((directory, name)) = path.parent().zip(path.file_name()) else {
        return true;
    };
    let mut here = directory.to_owned();
    let mut links = 0;
    // What is still to be walked, the next step last.
    let mut steps = vec![Step::Into(name.to_owned())];
    while let Some(step) = steps.pop() {
        let there = match step {
            Step::Out => {
                if here == root || !here.pop() {
                    return true;
                }
                continue;
            }
            Step::Into(name) => here.join(name),
        };
        let Ok(target) = fs::read_link(&there) else {
            here = there;
            continue;
        };
        links += 1;
        if target.is_absolute() {
            return true;
        }
        if links > LINKS {
            return false;
        }
        let more = target.components().rev().filter_map(|part| match part {
            Component::ParentDir => Some(Step::Out),
            Component::Normal(name) => Some(Step::Into(name.to_owned())),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        });
        steps.extend(more);
    }
    false
}

/// A step on the way of a link.
enum Step {
    Into(OsString),
    Out,
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

    #[test]
    fn a_link_stays_in_the_vault_on_its_whole_way() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap().join("vault");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"x").unwrap();
        symlink("vault", root.join("../other")).unwrap();
        let inside = root.join("a/b/file");
        let leaves = Kind::Unsafe("a symbolic link that leaves the vault");
        let nowhere = Kind::Unsafe("a symbolic link that leads nowhere");
        let directory = Kind::Unsafe("a symbolic link to a directory");
        let cases = [
            ("absolute", inside.to_str().unwrap(), leaves),
            ("around", "../a/b/../b/file", Kind::Link),
            ("at-root", "../../vault/a/b/file", leaves),
            ("chain", "around", Kind::Link),
            ("chain-out", "at-root", leaves),
            ("loop", "loop", nowhere),
            ("not-a-directory", "b/file/", nowhere),
            ("other-name", "../../other/a/b/file", leaves),
            ("round", "b/../../../vault/a/b/file", leaves),
            ("through", "up/a/b/file", Kind::Link),
            ("through-out", "up/../vault/a/b/file", leaves),
            ("up", "..", directory),
        ];
        for (name, target, _) in cases {
            symlink(target, root.join("a").join(name)).unwrap();
        }
        let found = walk(&root).unwrap();
        for (name, _, kind) in cases {
            let path = format!("a/{name}");
            let found = found.iter().find(|found| found.path == path).unwrap();
            assert_eq!(found.kind, kind, "{name}");
        }
    }
}
