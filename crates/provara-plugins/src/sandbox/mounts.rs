//! Other paths to the same place: what one mount shows, another may show, too (`mount --bind`).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is mounted where, as this process sees it.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

#[derive(Debug)]
struct Mount {
    /// The file system, by its number.
    device: Vec<u8>,
    /// The directory or file of it that is shown.
    root: PathBuf,
    /// Where it is shown.
    point: PathBuf,
}

impl Mounts {
    /// The mounts of this moment. Systems other than Linux show none here.
    pub(super) fn now() -> Mounts {
        fs::read("/proc/self/mountinfo")
            .map(|text| Mounts::parse(&text))
            .unwrap_or_default()
    }

    /// Reads `proc_pid_mountinfo(5)`: after two numbers the device, the root and the mount point.
    fn parse(text: &[u8]) -> Mounts {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ').skip(2);
            Some(Mount {
                device: fields.next()?.to_vec(),
                root: unescaped(fields.next()?),
                point: unescaped(fields.next()?),
            })
        };
        let lines = text.split(|byte| *byte == b'\n');
        Mounts(lines.filter_map(mount).collect())
    }

    /// The other paths to a place, and to what of it is shown elsewhere.
    pub(super) fn aliases(&self, path: &Path) -> Vec<PathBuf> {
        let holds = |mount: &&Mount| path.starts_with(&mount.point);
        // Of several mounts on one point the last one counts.
        let depth = |mount: &&Mount| mount.point.components().count();
        let Some(own) = self.0.iter().filter(holds).max_by_key(depth) else {
            return Vec::new();
        };
        let Ok(below) = path.strip_prefix(&own.point) else {
            return Vec::new();
        };
        let inside = own.root.join(below);
        let others = self.0.iter().filter(|other| other.device == own.device);
        others
            .filter_map(|other| {
                let (original, alias) = match inside.strip_prefix(&other.root) {
                    Ok(rest) => (path.to_path_buf(), other.point.join(rest)),
                    Err(_) => {
                        let rest = other.root.strip_prefix(&inside).ok()?;
                        (path.join(rest), other.point.clone())
                    }
                };
                let alias: PathBuf = alias.components().collect();
                // Something else may be mounted over it.
                (alias != original && is_same(&original, &alias)).then_some(alias)
            })
            .collect()
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::symlink_metadata(path).map(|data| (data.dev(), data.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// A path as it is written there: a blank, a tab, a line feed and a backslash as three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn what_is_shown_twice_is_found() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        // Without mounts, one directory with two names is what a link to it is.
        fs::create_dir_all(root.join("disk/vault/identity")).unwrap();
        fs::write(root.join("disk/vault/identity/k"), "").unwrap();
        fs::hard_link(root.join("disk/vault/identity/k"), root.join("bound")).unwrap();
        fs::write(root.join("other"), "").unwrap();
        let text = format!(
            "21 1 8:1 / / rw - ext4 /dev/a rw\n\
             22 21 8:2 / {0}/disk rw shared:1 - ext4 /dev/b rw\n\
             23 21 8:2 /vault/identity/k {0}/bound rw - ext4 /dev/b rw\n\
             24 21 8:2 /vault/identity/k {0}/other rw - ext4 /dev/b rw\n\
             25 21 8:3 /vault/identity/k {0}/bound rw - ext4 /dev/c rw\n\
             not a mount\n",
            root.display()
        );
        let mounts = Mounts::parse(text.as_bytes());
        let bound = vec![root.join("bound")];
        assert_eq!(mounts.aliases(&root.join("disk/vault/identity/k")), bound);
        assert_eq!(mounts.aliases(&root.join("disk/vault")), bound);
        assert!(mounts.aliases(&root.join("disk/vault/events")).is_empty());
        // The other way round: the one that was named is the one that was mounted.
        let by_bound = Mounts::parse(
            text.lines()
                .take(3)
                .collect::<Vec<_>>()
                .join("\n")
                .as_bytes(),
        );
        assert_eq!(
            by_bound.aliases(&root.join("bound")),
            [root.join("disk/vault/identity/k")]
        );
    }

    #[test]
    fn paths_are_unescaped() {
        assert_eq!(unescaped(br"/a\040b\134\x\1"), Path::new(r"/a b\\x\1"));
    }
}
