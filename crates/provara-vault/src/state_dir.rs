//! The user's directory for what a writer keeps outside the vault: recovered torn tails, and what its
//! new files replace.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, VaultError};
use crate::file_system::{Names, sync_directory};
use crate::lock::LockedLog;
use crate::vault::Vault;

/// Moves a torn tail out of the log, visibly: its bytes are durable outside before they go. Gives
/// the note that says so.
pub(crate) fn recover_tail(
    vault: &Vault,
    log: &LockedLog,
    path: &Path,
    offset: u64,
    length: u64,
) -> Result<String, VaultError> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    log.read_exact_at(&mut bytes, offset)
        .context("read", path)?;
    let kept = keep_tail(vault.state_directory(), vault.path(), offset, &bytes)?;
    vault
        .layer()
        .truncate(log, path, offset)
        .context("cut the torn tail off", path)?;
    log.note_change();
    Ok(format!(
        "the log ended with {length} bytes of an interrupted append (from byte {offset}); they were \
         moved to '{}'",
        kept.display()
    ))
}

/// Keeps a torn tail durably in a new file below `directory`, and gives its path. The file names the
/// vault's directory and the offset that the bytes stood at.
fn keep_tail(
    directory: &Path,
    vault: &Path,
    offset: u64,
    bytes: &[u8],
) -> Result<PathBuf, VaultError> {
    keep(directory, vault, &format!("at-{offset}"), "torn", bytes)
}

/// Keeps `bytes` durably in a new file below `directory`, named after the vault's directory, `what`
/// and a number; gives its path.
pub(crate) fn keep(
    directory: &Path,
    vault: &Path,
    what: &str,
    extension: &str,
    bytes: &[u8],
) -> Result<PathBuf, VaultError> {
    let directory = directory.join("recovered");
    // A file there would be a phantom file of the vault.
    if directory
        .ancestors()
        .find_map(|a| fs::canonicalize(a).ok())
        .is_some_and(|a| a.starts_with(vault))
    {
        return Err(io::Error::other("it lies inside the vault"))
            .context("keep what is recovered in", &directory);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .context("make the directory", &directory)?;
    let name: String = vault.file_name().map_or_else(
        || "vault".into(),
        |name| {
            name.to_string_lossy()
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                        c
                    } else {
                        '_'
                    }
                })
                .take(64)
                .collect()
        },
    );
    for attempt in 0u32.. {
        let path = directory.join(format!("{name}-{what}-{attempt}.{extension}"));
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let mut file = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.context("write to", &path)?,
        };
        file.write_all(bytes).context("write to", &path)?;
        file.sync_all().context("write to", &path)?;
        // Where the file system cannot say that the name is on the disk, its bytes are.
        Names::of(sync_directory(&directory)).context("write to", &directory)?;
        return Ok(path);
    }
    unreachable!("2^32 names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_kept_side_by_side_and_never_in_the_vault() {
        let home = tempfile::tempdir().unwrap();
        let vault = Path::new("/somewhere/my vault");
        let first = keep_tail(home.path(), vault, 12, b"one").unwrap();
        let second = keep_tail(home.path(), vault, 12, b"two").unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read(&first).unwrap(), b"one");
        assert_eq!(fs::read(&second).unwrap(), b"two");
        assert!(first.ends_with("recovered/my_vault-at-12-0.torn"));

        let inside = fs::canonicalize(home.path()).unwrap();
        assert!(keep_tail(&inside.join("state"), &inside, 0, b"x").is_err());
        assert!(!inside.join("state").exists());
    }
}
