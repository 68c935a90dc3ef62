//! The merged vault put in the place of the old one: steps 2 to 5 of a merge.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use super::intent::{self, Intent, settle};
use super::{MergeRefusal, Ours};
use crate::error::{Context, VaultError};
use crate::layer::Temporary;
use crate::lock::{is_at, lock_log};
use crate::seal::{remove_leftover, sync_directory};
use crate::state_dir::{keep, keep_tail};
use crate::vault::Vault;

/// Puts `log` and the files of `intent` in place, durably.
pub(super) fn carry_out(
    vault: &Vault,
    ours: &Ours,
    log: &[u8],
    intent: &Intent,
    notes: &mut Vec<String>,
) -> Result<(), VaultError> {
    let path = vault.log_path();
    let directory = path.parent().expect("a file in the vault");
    let temporary = write_log(vault, &ours.log, &path, log)?;
    let next = temporary.file().try_clone().context("lock", &path)?;
    next.try_lock().map_err(|_| VaultError::Locked {
        path: path.clone(),
        waited: std::time::Duration::ZERO,
        holder: "another writer".to_owned(),
    })?;
    for name in &ours.leftovers {
        notes.push(remove_leftover(vault, name)?);
    }
    if let Some(lag) = &ours.lag {
        notes.push(lag.keep(vault)?);
    }
    if ours.torn {
        let tail = &ours.bytes[ours.whole..];
        let kept = keep_tail(
            vault.state_directory(),
            vault.path(),
            ours.whole as u64,
            tail,
        )?;
        notes.push(format!(
            "the log ended with {} bytes of an interrupted append; they were moved to '{}'",
            tail.len(),
            kept.display()
        ));
    }
    for relative in &intent.removed {
        let file = vault.path().join(relative);
        let text = fs::read(&file).context("read", &file)?;
        let name = relative.replace('/', "-");
        let name = name.trim_end_matches(".chk");
        let kept = keep(vault.state_directory(), vault.path(), name, "chk", &text)?;
        notes.push(format!(
            "{relative} was of a prefix that the merged log does not have; it was moved to '{}'",
            kept.display()
        ));
    }
    let prepared = intent.prepare(vault)?;
    intent.declare(vault)?;
    if let Err(source) = vault.layer().rename(temporary, &path) {
        // Best effort: the next writer finds an intent that nothing followed, and removes it.
        let _ = intent::withdraw(vault);
        return Err(source).context("put in place", &path);
    }
    let after = |source: VaultError| {
        VaultError::from(MergeRefusal::Interrupted {
            source: Box::new(source),
        })
    };
    sync_directory(vault.layer(), directory).map_err(after)?;
    if !is_at(&next, &path).context("lock", &path).map_err(after)? {
        // A file system that cannot name nameless files made a copy, which nobody has locked yet. Who
        // was faster than this has completed the merge.
        let log = lock_log(&path, vault.lock_timeout()).map_err(after)?;
        return settle(vault, &log).map(drop).map_err(after);
    }
    intent.complete(vault, prepared).map_err(after)
}

/// Writes the merged log, whole and durable, beside the log, with its owner and mode.
fn write_log(
    vault: &Vault,
    before: &File,
    path: &Path,
    log: &[u8],
) -> Result<Temporary, VaultError> {
    let layer = vault.layer();
    let directory = path.parent().expect("a file in the vault");
    let there = before.metadata().context("read", path)?;
    let temporary = layer
        .create_temporary(directory, 0o666)
        .context("prepare a new version of", path)?;
    let own = temporary.file().metadata().context("read", path)?;
    if (own.uid(), own.gid()) != (there.uid(), there.gid()) {
        // Only root may give files away; for anybody else the file was their own to write before.
        let _ = fchown(temporary.file(), Some(there.uid()), Some(there.gid()));
    }
    temporary
        .file()
        .set_permissions(there.permissions())
        .context("prepare a new version of", path)?;
    layer
        .write_temporary(&temporary, log)
        .context("prepare a new version of", path)?;
    layer
        .sync_temporary(&temporary)
        .map_err(|source| VaultError::Sync {
            path: path.to_owned(),
            source,
        })?;
    Ok(temporary)
}
