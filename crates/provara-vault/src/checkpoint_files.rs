//! The checkpoints that stand in a vault, as a writer looks at them before it goes on.

use std::fs;

use provara_core::checkpoint::Checkpoint;
use provara_core::id::{Digest, EventId};
use provara_core::keys::KeyRegistry;
use provara_core::layout;
use provara_core::manifest::FileEntry;

use crate::error::{Context, VaultError};
use crate::files::{MAX_TEXT, is_absence, read_text};
use crate::vault::Vault;

/// The checkpoints that stand in the vault, relative to it, sorted.
pub(crate) fn checkpoint_names(vault: &Vault) -> Result<Vec<String>, VaultError> {
    let directory = vault.path().join(layout::CHECKPOINTS);
    let listing = match fs::read_dir(&directory) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        listing => listing.context("read the directory", &directory)?,
    };
    let mut names = Vec::new();
    for there in listing {
        let there = there.context("read the directory", &directory)?;
        let Ok(name) = there.file_name().into_string() else {
            continue;
        };
        let path = format!("{}/{name}", layout::CHECKPOINTS);
        if layout::checkpoint_events(&path).is_some() {
            names.push(path);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The entries of checkpoints that an interrupted writer had put in place and not yet sealed: their
/// names and counts fit, and a key of the vault signed them. Other files are not taken in.
pub(crate) fn unsealed_checkpoints(
    vault: &Vault,
    entries: &[FileEntry],
    registry: &KeyRegistry,
    events: u64,
) -> Result<Vec<FileEntry>, VaultError> {
    let directory = vault.path().join(layout::CHECKPOINTS);
    let listing = match fs::read_dir(&directory) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        listing => listing.context("read the directory", &directory)?,
    };
    let mut found = Vec::new();
    for there in listing {
        let there = there.context("read the directory", &directory)?;
        let Ok(name) = there.file_name().into_string() else {
            continue;
        };
        let path = format!("{}/{name}", layout::CHECKPOINTS);
        let is_file = there.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !name.ends_with(".chk") || entries.iter().any(|entry| entry.path == path) {
            continue;
        }
        let metadata = there.metadata().context("read", &there.path())?;
        if metadata.len() > MAX_TEXT {
            continue;
        }
        let Some(text) = read_text(vault.path(), &path)? else {
            continue;
        };
        let ours = Checkpoint::parse(&text).is_ok_and(|checkpoint| {
            checkpoint.event_count <= events
                && layout::checkpoint_path(checkpoint.event_count) == path
                && registry
                    .get(&checkpoint.key_id)
                    .is_some_and(|key| checkpoint.verify(&key.public_key).is_ok())
        });
        if ours {
            let (sha256, size) = (Digest::of(&text), text.len() as u64);
            found.push(FileEntry { path, sha256, size });
        }
    }
    Ok(found)
}

/// Refuses a listed checkpoint of another history: one of more events than the log has, or of exactly as many
/// that ends with another one. What is listed the next seal would cover.
pub(crate) fn refuse_foreign(
    vault: &Vault,
    entries: &[FileEntry],
    events: u64,
    last: Option<EventId>,
) -> Result<(), VaultError> {
    for entry in entries {
        let Some(covered) =
            layout::checkpoint_events(&entry.path).filter(|covered| *covered >= events)
        else {
            continue;
        };
        let text = read_text(vault.path(), &entry.path)?.unwrap_or_default();
        let ends = Checkpoint::parse(&text)
            .ok()
            .and_then(|it| it.last_event_id);
        if covered > events || ends != last {
            return Err(VaultError::SealContradiction {
                file: entry.path.clone(),
                reason: "it is of events that the log does not have".to_owned(),
            });
        }
    }
    Ok(())
}
