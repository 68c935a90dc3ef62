//! `restore`: everything is checked before a byte of the vault is written in its place.
//!
//! The archive is read twice. The first time nothing is written: names, kinds, sizes and digests are
//! held against the archive's own manifest. The second time the files are unpacked into a directory
//! beside the target, exactly as they were found; the vault there is verified, synced, and renamed
//! into place as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provara_core::id::Digest;
use provara_core::layout;
use provara_core::manifest::Manifest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::parent;
use super::staging::StagingDir;
use crate::enclosing::outside_vaults;
use crate::error::{ArchiveError, Context, VaultError};
use crate::file_layer::{FileLayer, SystemFiles};
use crate::file_system::Names;
use crate::new_tree::NewTree;
use crate::packed::{Watch, each_entry, honest};
use crate::vault::Vault;
use crate::verify::VerifyOptions;

/// The largest manifest that is kept in memory, in bytes: some 300,000 files.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// How an archive is restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// The most that is unpacked, in bytes; by default what an honest archive of this size holds.
    pub max_size: Option<u64>,
}

/// A vault that was restored.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestoreReceipt {
    /// The vault.
    pub path: PathBuf,
    /// Its files.
    pub file_count: u64,
    /// Its events.
    pub event_count: u64,
    /// The root of its seal.
    pub merkle_root: Digest,
    /// Whether private keys came with it.
    pub private_keys: bool,
    /// What its verification noted.
    pub notes: Vec<String>,
}

/// What an archive holds.
pub(super) struct Inventory {
    /// What stands before the vault's own paths: empty, or its directory and `/`.
    prefix: String,
    /// Files by their whole names, with digest and size.
    files: BTreeMap<String, (Digest, u64)>,
    directories: Vec<String>,
    manifest: Manifest,
}

/// Restores the vault in `archive` to `target`, which must not be there or be an empty directory.
///
/// # Errors
/// [`VaultError::Archive`] for an archive that is refused, [`VaultError::NotEmpty`],
/// [`VaultError::InsideVault`], [`VaultError::Io`]. Nothing is then at `target` that was not there before, but
/// with [`ArchiveError::Unsure`].
pub fn restore(
    archive: &Path,
    target: &Path,
    options: RestoreOptions,
) -> Result<RestoreReceipt, VaultError> {
    restore_through(&SystemFiles, archive, target, options)
}

/// As [`restore`], where `layer` makes the files durable and puts them in place instead of the system's files.
///
/// # Errors
/// As [`restore`].
pub fn restore_through(
    layer: &dyn FileLayer,
    archive: &Path,
    target: &Path,
    options: RestoreOptions,
) -> Result<RestoreReceipt, VaultError> {
    restored(
        layer,
        archive,
        target,
        options,
        Arc::new(|_, _| ControlFlow::Continue(())),
    )
}

/// As [`restore`]; `told` hears how many bytes of how many are done, in each step anew, and may end it.
///
/// # Errors
/// As there, and [`VaultError::Cancelled`] once `told` breaks.
pub fn restore_watched(
    archive: &Path,
    target: &Path,
    options: RestoreOptions,
    told: Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync>,
) -> Result<RestoreReceipt, VaultError> {
    restored(&SystemFiles, archive, target, options, told)
}

fn restored(
    layer: &dyn FileLayer,
    archive: &Path,
    target: &Path,
    options: RestoreOptions,
    told: Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync>,
) -> Result<RestoreReceipt, VaultError> {
    let hears = |done, total| told(done, total);
    let watch = Watch::of(&hears);
    let verifying = Arc::clone(&told);
    watch.settle(restored_while(
        layer, archive, target, options, verifying, &watch,
    ))
}

fn restored_while(
    layer: &dyn FileLayer,
    archive: &Path,
    target: &Path,
    options: RestoreOptions,
    told: Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync>,
    watch: &Watch<'_>,
) -> Result<RestoreReceipt, VaultError> {
    let size = fs::metadata(archive).context("read", archive)?.len();
    let most = options.max_size.unwrap_or_else(|| honest(size));
    let inventory = inspect(archive, most, watch)?;
    check_target(target)?;
    let staging = StagingDir::beside(target)?;
    let root = staging.path().join("vault");
    let names = unpack(layer, archive, &inventory, &root, watch)?;
    let vault = Vault::open(&root)?.with_progress(told);
    let report = vault.verify(&VerifyOptions::default())?;
    if !report.is_valid() {
        return Err(ArchiveError::Invalid {
            report: Box::new(report),
        }
        .into());
    }
    check_target(target)?;
    // Onto an empty directory too, which the system replaces.
    layer
        .rename_file(&root, target)
        .context("put in place", target)?;
    let placed = Names::of(layer.sync_directory(&parent(target)));
    let placed = placed.map_err(|source| ArchiveError::Unsure {
        path: target.to_owned(),
        source,
    })?;
    let note = names.and(placed).note(target);
    let keys = format!("{}{}", inventory.prefix, layout::PRIVATE_KEYS);
    Ok(RestoreReceipt {
        path: target.to_owned(),
        file_count: inventory.files.len() as u64,
        event_count: report.event_count(),
        merkle_root: inventory.manifest.merkle_root(),
        private_keys: inventory.files.contains_key(&keys),
        notes: [&staging.notes, report.notes(), note.as_slice()].concat(),
    })
}

fn check_target(target: &Path) -> Result<(), VaultError> {
    let not_empty = |reason| VaultError::NotEmpty {
        path: target.to_owned(),
        reason,
    };
    outside_vaults(target)?;
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => {
            if !there.context("read", target)?.is_dir() {
                return Err(not_empty("is not a directory"));
            }
        }
    }
    let mut listing = fs::read_dir(target).context("read the directory", target)?;
    match listing.next() {
        None => Ok(()),
        Some(_) => Err(not_empty("is not empty")),
    }
}

/// The first reading: what is there, and that it is what the archive's manifest says.
pub(super) fn inspect(path: &Path, limit: u64, watch: &Watch<'_>) -> Result<Inventory, VaultError> {
    let mut files = BTreeMap::new();
    let mut directories = Vec::new();
    let mut manifests = BTreeMap::new();
    each_entry(path, limit, watch, |name, is_directory, size, content| {
        if is_directory {
            directories.push(name);
            return Ok(());
        }
        let keep = name.rsplit('/').next() == Some(layout::MANIFEST) && size <= LARGEST_MANIFEST;
        let mut text = Vec::new();
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    if keep {
                        text.extend_from_slice(&buffer[..length]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read", path),
            }
        }
        if keep {
            manifests.insert(name.clone(), text);
        }
        let digest = Digest(hasher.finalize().into());
        match files.insert(name.clone(), (digest, size)) {
            None => Ok(()),
            Some(_) => Err(ArchiveError::Entry {
                entry: name,
                reason: "is there twice",
            }
            .into()),
        }
    })?;
    let prefix = match files.contains_key(layout::MANIFEST) {
        true => String::new(),
        false => {
            let tops = manifests.keys().filter_map(|name| name.split_once('/'));
            let (top, _) = tops
                .filter(|(_, rest)| *rest == layout::MANIFEST)
                .min()
                .ok_or(ArchiveError::NoVault)?;
            format!("{top}/")
        }
    };
    let text = manifests
        .get(&format!("{prefix}{}", layout::MANIFEST))
        .ok_or(ArchiveError::NoVault)?;
    let manifest = Manifest::parse(text).map_err(|error| ArchiveError::Contradiction {
        file: layout::MANIFEST.to_owned(),
        reason: error.to_string(),
    })?;
    let inventory = Inventory {
        prefix,
        files,
        directories,
        manifest,
    };
    inventory.check()?;
    Ok(inventory)
}

impl Inventory {
    /// Holds the files against the manifest.
    fn check(&self) -> Result<(), ArchiveError> {
        let contradiction = |file: &str, reason: &str| ArchiveError::Contradiction {
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        let listed: BTreeMap<&str, _> = self
            .manifest
            .files
            .iter()
            .map(|file| (file.path.as_str(), file))
            .collect();
        for (name, (digest, size)) in &self.files {
            let path = name.strip_prefix(&self.prefix).ok_or(ArchiveError::Entry {
                entry: name.clone(),
                reason: "stands outside the vault's directory",
            })?;
            if layout::is_unlisted(path) {
                continue;
            }
            let file = listed
                .get(path)
                .ok_or_else(|| contradiction(path, "it is not listed"))?;
            if file.size != *size {
                let reason = format!("it has {size} bytes, not {}", file.size);
                return Err(contradiction(path, &reason));
            }
            if file.sha256 != digest.to_string() {
                let reason = format!("it has the SHA-256 {digest}, not {}", file.sha256);
                return Err(contradiction(path, &reason));
            }
        }
        for path in listed.keys() {
            if !self.files.contains_key(&format!("{}{path}", self.prefix)) {
                return Err(contradiction(path, "it is missing"));
            }
        }
        Ok(())
    }
}

/// The second reading: writes what the first one found, and nothing else, durably; tells whether the names are.
fn unpack(
    layer: &dyn FileLayer,
    archive: &Path,
    inventory: &Inventory,
    root: &Path,
    watch: &Watch<'_>,
) -> Result<Names, VaultError> {
    let inside = |name: &str| name.strip_prefix(&inventory.prefix).map(str::to_owned);
    let mut tree = NewTree::make(layer, root, inventory.files.len())?;
    let directories = inventory.directories.iter().filter_map(|name| inside(name));
    let parents = inventory.files.keys().filter_map(|name| {
        let path = inside(name)?;
        Some(path.rsplit_once('/')?.0.to_owned())
    });
    let directories: BTreeSet<String> = directories.chain(parents).collect();
    for directory in directories.iter().filter(|name| !name.is_empty()) {
        let mut path = root.to_owned();
        for part in directory.split('/') {
            path.push(part);
            tree.directory(&path)?;
        }
    }
    let changed = || ArchiveError::Unreadable {
        path: archive.to_owned(),
        reason: "it changed while it was read".to_owned(),
    };
    each_entry(
        archive,
        u64::MAX,
        watch,
        |name, is_directory, _, content| {
            if is_directory {
                return Ok(());
            }
            let (digest, size) = inventory.files.get(&name).ok_or_else(changed)?;
            let relative = inside(&name).ok_or_else(changed)?;
            let path = root.join(&relative);
            let private = relative == layout::PRIVATE_KEYS;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(if private { 0o600 } else { 0o666 })
                .open(&path)
                .context("write to", &path)?;
            let mut hasher = Sha256::new();
            let mut left = *size;
            let mut buffer = vec![0; 256 << 10];
            loop {
                let length = content.read(&mut buffer).context("read", archive)?;
                if length == 0 {
                    break;
                }
                left = left.checked_sub(length as u64).ok_or_else(changed)?;
                hasher.update(&buffer[..length]);
                file.write_all(&buffer[..length])
                    .context("write to", &path)?;
            }
            if left > 0 || Digest(hasher.finalize().into()) != *digest {
                return Err(changed().into());
            }
            tree.written(file, path)
        },
    )?;
    tree.sync()
}
