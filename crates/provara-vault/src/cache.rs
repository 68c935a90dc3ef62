//! The user's cache directory: what a vault's commands would otherwise read the whole log for.
//!
//! Nothing in it is needed: a file that is missing, damaged, another vault's or another user's is as
//! good as none, and is replaced. The files lie outside the vault, so that whoever can write to a
//! vault cannot thereby write here. They are not synced: a crash costs the time to make them anew.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use provara_core::id::Digest;
use rustix::fs::OFlags;

use crate::file_layer::fresh_name;

/// Where the file of this `kind` for `vault` is kept below `directory`; none inside the vault, where
/// it would be a phantom file.
pub(crate) fn place(directory: &Path, vault: &Path, kind: &str) -> Option<PathBuf> {
    let there = directory
        .ancestors()
        .find_map(|path| fs::canonicalize(path).ok())?;
    if there.starts_with(vault) {
        return None;
    }
    let name = Digest::of(vault.as_os_str().as_bytes()).to_string();
    Some(directory.join(format!("{}.{kind}", &name[..32])))
}

/// Opens a cache file that is the user's own and that nobody else may write.
pub(crate) fn open_own(path: &Path, options: &mut OpenOptions) -> Option<(File, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits() as i32).open(path).ok()?;
    let there = file.metadata().ok()?;
    let own = there.uid() == rustix::process::geteuid().as_raw() && there.mode() & 0o022 == 0;
    (there.is_file() && own).then_some((file, there))
}

/// The content of a cache file of at most `limit` bytes that is the user's own and that nobody else
/// may write.
pub(crate) fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let (file, there) = open_own(path, OpenOptions::new().read(true))?;
    if there.len() > limit {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(there.len()).ok()? + 1);
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Puts a file of these parts in the place of what stands at `path`.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let directory = path.parent().expect("a file in the cache directory");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let temporary = directory.join(fresh_name()?);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// As [`write`], over what stands there if that is the user's own: a fraction of the time of a new file
/// in its place. For a small file with a checksum that one process writes at a time; a crash may leave
/// parts of both.
pub(crate) fn overwrite(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    match open_own(path, OpenOptions::new().write(true)) {
        // A second name may be that of a copy.
        Some((file, there)) if there.nlink() == 1 => {
            let content = parts.concat();
            file.write_all_at(&content, 0)?;
            if there.len() > content.len() as u64 {
                file.set_len(content.len() as u64)?;
            }
            Ok(())
        }
        _ => write(path, parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_the_users_own_files_outside_the_vault_count() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        let vault = root.join("vault");
        fs::create_dir(&vault).unwrap();
        assert_eq!(place(&vault.join("cache"), &vault, "tail"), None);
        symlink(&vault, root.join("link")).unwrap();
        assert_eq!(place(&root.join("link/cache"), &vault, "tail"), None);

        let path = place(&root.join("cache"), &vault, "tail").unwrap();
        let other = place(&root.join("cache"), &root.join("other"), "tail").unwrap();
        assert_ne!(other, path);
        assert_eq!(read(&path, 100), None);
        write(&path, &[b"one", b"two"]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"onetwo");
        assert_eq!(read(&path, 5), None, "too large");
        write(&path, &[b"three"]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"three");
        for content in ["fo", "longer than before", "", "three"] {
            overwrite(&path, &[content.as_bytes()]).unwrap();
            assert_eq!(read(&path, 100).unwrap(), content.as_bytes());
        }
        overwrite(&other, &[b"new"]).unwrap();
        assert_eq!(read(&other, 100).unwrap(), b"new");
        fs::remove_file(&other).unwrap();
        assert_eq!(fs::read_dir(root.join("cache")).unwrap().count(), 1);
        let copy = root.join("copy");
        fs::hard_link(&path, &copy).unwrap();
        overwrite(&path, &[b"four"]).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"three", "a copy stays as it is");
        overwrite(&path, &[b"three"]).unwrap();
        let link = root.join("cache/link");
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 100), None);
        overwrite(&link, &[b"own"]).unwrap();
        assert_eq!(read(&link, 100).unwrap(), b"own", "in the link's place");
        assert_eq!(read(&path, 100).unwrap(), b"three", "not through it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(read(&path, 100), None, "others may write it");
    }
}
