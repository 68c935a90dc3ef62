//! What a writer finds: where the log stands beside its seal, and a torn tail.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use provara_core::id::Digest;
use provara_core::manifest::FileEntry;
use sha2::{Digest as _, Sha256};

use crate::check;
use crate::error::{Context, VaultError};
use crate::index::LogIndex;
use crate::layout;
use crate::rotation::Keys;
use crate::snapshot::LogSnapshot;
use crate::state_dir::keep_tail;
use crate::vault::Vault;

/// Where the log stands: its index, its hash state, the keys, and a torn tail (where it begins and
/// how long it is).
pub(super) type Standing = (LogIndex, Sha256, Keys, Option<(u64, u64)>);

/// Reads the whole log, and checks what the seal does not cover yet.
pub(super) fn read_log(
    vault: &Vault,
    log: &File,
    path: &Path,
    entries: &[FileEntry],
    notes: &mut Vec<String>,
) -> Result<Standing, VaultError> {
    let length = log.metadata().context("read", path)?.len();
    let bytes = LogSnapshot::of_prefix(log, length, path)?;
    let sealed = sealed_prefix(entries, &bytes)?;
    let (index, torn) = LogIndex::read(&bytes, sealed.length)?;
    if index.lines == 0 {
        return Err(VaultError::Structure {
            file: layout::LOG.to_owned(),
            reason: "it holds no event; a vault starts with a GENESIS event".to_owned(),
        });
    }
    let mut hasher = sealed.hasher;
    if index.len > sealed.length {
        hasher.update(&bytes[sealed.length as usize..index.len as usize]);
        notes.push(format!(
            "the seal lagged behind the log by {} bytes of whole events; it now covers them",
            index.len - sealed.length
        ));
    }
    let keys = Keys::read(vault, entries, &index, sealed.length)?;
    if index.len > sealed.length {
        check::unsealed(&bytes[..index.len as usize], sealed.length, &keys.registry)?;
    }
    let torn = torn.map(|at| (at, length - at));
    Ok((index, hasher, keys, torn))
}

/// Moves a torn tail out of the log, visibly: its bytes are durable outside before they go. Gives
/// the note that says so.
pub(crate) fn recover_tail(
    vault: &Vault,
    log: &File,
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
    Ok(format!(
        "the log ended with {length} bytes of an interrupted append (from byte {offset}); they were \
         moved to '{}'",
        kept.display()
    ))
}

/// The part of the log that the seal covers.
pub(crate) struct Sealed {
    /// In bytes.
    pub(crate) length: u64,
    /// Over those bytes.
    pub(crate) hasher: Sha256,
}

/// Checks that the log begins with what was sealed. The seal may lag behind the log; where it leads,
/// or the bytes differ, events that were there are gone or changed.
pub(crate) fn sealed_prefix(entries: &[FileEntry], log: &[u8]) -> Result<Sealed, VaultError> {
    let contradiction = |reason: String| VaultError::SealContradiction {
        file: layout::LOG.to_owned(),
        reason,
    };
    let entry = entries
        .iter()
        .find(|entry| entry.path == layout::LOG)
        .ok_or_else(|| contradiction("the manifest does not list it".to_owned()))?;
    if entry.size > log.len() as u64 {
        return Err(contradiction(format!(
            "the seal covers {} bytes and the log has only {}: events that were sealed are missing",
            entry.size,
            log.len()
        )));
    }
    let hasher = Sha256::new_with_prefix(&log[..entry.size as usize]);
    let found = Digest(hasher.clone().finalize().into());
    if found != entry.sha256 {
        return Err(contradiction(format!(
            "the first {} bytes have the SHA-256 {found}, not {}",
            entry.size, entry.sha256
        )));
    }
    Ok(Sealed {
        length: entry.size,
        hasher,
    })
}
