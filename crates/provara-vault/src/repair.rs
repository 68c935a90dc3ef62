//! Putting right what an interruption left, and nothing else.
//!
//! A torn tail, a seal that lags behind whole and valid events, temporary files and an interrupted
//! merge are what a crash leaves of an honest writer. A break inside the log, a seal that is ahead of
//! the log and bytes that differ from what was sealed are evidence: they are reported, and stay.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use provara_core::id::{Digest, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::manifest::{FileEntry, merkle_root, write_merkle_root};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::check;
use crate::checkpoint::unsealed_checkpoints;
use crate::error::{Context, VaultError};
use crate::index::LogIndex;
use crate::keyfile;
use crate::layout;
use crate::lock::{Shared, is_at, lock_log, try_lock_shared};
use crate::merge::intent::{interrupted, settle};
use crate::rotation::Keys;
use crate::seal::{
    SignatureLag, Staged, leftovers, read_entries, read_text, remove_leftover, set_entry,
    signature_lag,
};
use crate::snapshot::LogSnapshot;
use crate::vault::Vault;
use crate::writer::{recover_tail, sealed_prefix};

/// What an interruption left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A merge that ended between its steps.
    InterruptedMerge,
    /// A temporary file.
    Leftover,
    /// The beginning of an event after the last whole one.
    TornTail,
    /// The last event is whole but for its line end.
    LineEnd,
    /// The seal does not cover what stands in the vault.
    LaggingSeal,
    /// `manifest.sig` is of another seal.
    StaleSignature,
    /// `keys.json` does not say what the log says.
    LaggingKeys,
}

/// One thing that is put right, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct RepairStep {
    /// What it is about.
    pub damage: Damage,
    /// What was found and what becomes of it, as a sentence without a full stop.
    pub text: String,
}

/// What a repair found and did.
#[derive(Debug, Clone, Serialize)]
pub struct RepairReceipt {
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// What was put right, or would be; empty for a vault that lacks nothing.
    pub steps: Vec<RepairStep>,
    /// The root of the seal afterwards; in a dry run, of the seal as it is.
    pub merkle_root: Digest,
    /// The key that signed a new seal.
    pub signed_by: Option<KeyId>,
}

/// What stands there, and what is wrong with it.
struct Diagnosis {
    steps: Vec<RepairStep>,
    entries: Vec<FileEntry>,
    leftovers: Vec<String>,
    registry: KeyRegistry,
    keys_lag: bool,
    index: LogIndex,
    /// Over the log's whole events.
    hasher: Sha256,
    torn: Option<(u64, u64)>,
    add_line_end: bool,
    /// What a new signature replaces.
    lag: Option<SignatureLag>,
}

impl Diagnosis {
    fn add(&mut self, damage: Damage, text: impl Into<String>) {
        let text = text.into();
        self.steps.push(RepairStep { damage, text });
    }

    /// Says what was done in the place of what was to be done.
    fn done(&mut self, damage: Damage, text: String) {
        self.steps.retain(|step| step.damage != damage);
        self.add(damage, text);
    }

    /// Whether the seal has to be made anew.
    fn reseals(&self) -> bool {
        let seals = |step: &RepairStep| !matches!(step.damage, Damage::Leftover | Damage::TornTail);
        self.steps.iter().any(seals)
    }
}

impl Vault {
    /// Puts right what an interrupted writer left; with `dry_run`, only says what that would be. With a
    /// keyfile a new seal is signed; without one `manifest.sig` stays as it is, and is then stale.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a break inside the log and [`VaultError::SealContradiction`] for a
    /// seal that is ahead of the log or differs from it: evidence, which is never repaired. The errors
    /// of a keyfile and of a writer. The vault is then as it was.
    pub fn repair(
        &self,
        keyfile: Option<&Keyfile>,
        dry_run: bool,
    ) -> Result<RepairReceipt, VaultError> {
        if dry_run {
            let log = self.lock_for_reading()?;
            return diagnose_all(self, &log);
        }
        let path = self.inner_file(layout::LOG)?;
        let log = lock_log(&path, self.lock_timeout())?;
        let settled = settle(self, &log)?;
        let mut found = diagnose(self, &log)?;
        let mut steps: Vec<_> = settled
            .into_iter()
            .map(|text| RepairStep {
                damage: Damage::InterruptedMerge,
                text,
            })
            .collect();
        let mut receipt = RepairReceipt {
            dry_run,
            steps: Vec::new(),
            merkle_root: merkle_root(found.entries.iter().map(FileEntry::leaf)),
            signed_by: None,
        };
        let key = match keyfile.filter(|_| found.reseals()) {
            None => None,
            Some(keyfile) => {
                let revoked = |key: &KeyId| found.index.revokes(key);
                Some(keyfile::choose(keyfile, &found.registry, revoked, None)?)
            }
        };
        let layer = self.layer();
        let mut staged = Staged::new(layer);
        if found.reseals() {
            if found.keys_lag {
                let text = found.registry.to_json();
                staged.add(self.path().join(layout::KEYS), &text)?;
                set_entry(&mut found.entries, entry(layout::KEYS, &text));
            }
            let (mut hasher, mut size) = (found.hasher.clone(), found.index.len);
            if found.add_line_end {
                hasher.update(b"\n");
                size += 1;
            }
            let sealed = FileEntry {
                path: layout::LOG.to_owned(),
                sha256: Digest(hasher.finalize().into()),
                size,
            };
            set_entry(&mut found.entries, sealed);
            receipt.merkle_root = staged.add_seal(self.path(), found.entries.clone(), key)?;
            receipt.signed_by = key.map(|key| key.key_id());
        }
        let seal = staged.sync()?;
        for name in &found.leftovers {
            remove_leftover(self, name)?;
        }
        if let Some((offset, length)) = found.torn {
            let text = recover_tail(self, &log, &path, offset, length)?;
            found.done(Damage::TornTail, text);
        }
        if let (Some(lag @ SignatureLag::Stale { .. }), Some(_)) = (&found.lag, key) {
            let text = lag.keep(self)?;
            found.done(Damage::StaleSignature, text);
        }
        if found.add_line_end {
            layer
                .append(&log, &path, b"\n")
                .context("write to", &path)?;
        }
        // What an interrupted writer left may not be on the disk yet, and the seal must not lead.
        layer
            .sync_data(&log, &path)
            .map_err(|source| VaultError::Sync {
                path: path.clone(),
                source,
            })?;
        seal.publish()?;
        steps.append(&mut found.steps);
        receipt.steps = steps;
        Ok(receipt)
    }

    /// The log, while no writer is at work.
    fn lock_for_reading(&self) -> Result<File, VaultError> {
        let path = self.inner_file(layout::LOG)?;
        let start = Instant::now();
        loop {
            let log = self.open_log_file()?;
            match try_lock_shared(&log).context("lock", &path)? {
                Shared::Held if !is_at(&log, &path).context("read", &path)? => continue,
                Shared::Held | Shared::Unsupported => return Ok(log),
                Shared::Busy => {}
            }
            let waited = start.elapsed();
            if waited >= self.lock_timeout() {
                let holder = "another writer".to_owned();
                return Err(VaultError::Locked {
                    path,
                    waited,
                    holder,
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a repair would do.
fn diagnose_all(vault: &Vault, log: &File) -> Result<RepairReceipt, VaultError> {
    let interrupted = interrupted(vault, log)?;
    let merge = interrupted.map(|(_, state)| RepairStep {
        damage: Damage::InterruptedMerge,
        text: state.note(),
    });
    let (steps, entries) = match merge {
        // What else there is shows once that is settled.
        Some(step) => (vec![step], read_entries(vault.path())?),
        None => {
            let found = diagnose(vault, log)?;
            (found.steps, found.entries)
        }
    };
    Ok(RepairReceipt {
        dry_run: true,
        steps,
        merkle_root: merkle_root(entries.iter().map(FileEntry::leaf)),
        signed_by: None,
    })
}

fn diagnose(vault: &Vault, log: &File) -> Result<Diagnosis, VaultError> {
    let path = vault.log_path();
    let entries = read_entries(vault.path())?;
    let sealed_root = merkle_root(entries.iter().map(FileEntry::leaf));
    let length = log.metadata().context("read", &path)?.len();
    let bytes = LogSnapshot::of_prefix(log, length, &path)?;
    let sealed = sealed_prefix(&entries, &bytes)?;
    let (index, torn) = LogIndex::read(&bytes, sealed.length)?;
    if index.lines == 0 {
        return Err(VaultError::Structure {
            file: layout::LOG.to_owned(),
            reason: "it holds no event; a vault starts with a GENESIS event".to_owned(),
        });
    }
    let whole = index.len;
    let keys = Keys::read(vault, &entries, &index, sealed.length)?;
    let mut hasher = sealed.hasher;
    if whole > sealed.length {
        check::unsealed(&bytes[..whole as usize], sealed.length, &keys.registry)?;
        hasher.update(&bytes[sealed.length as usize..whole as usize]);
    }
    let mut found = Diagnosis {
        steps: Vec::new(),
        leftovers: leftovers(vault.path(), &entries)?,
        add_line_end: index.unterminated && whole > sealed.length,
        lag: None,
        torn: torn.map(|at| (at, length - at)),
        keys_lag: keys.lag,
        registry: keys.registry,
        entries,
        index,
        hasher,
    };
    for name in found.leftovers.clone() {
        found.add(
            Damage::Leftover,
            format!("{name}, which an interrupted writer left, is removed"),
        );
    }
    if let Some((offset, length)) = found.torn {
        found.add(
            Damage::TornTail,
            format!(
                "the log ends with {length} bytes of an interrupted append (from byte {offset}); they are \
                 moved to a file outside the vault"
            ),
        );
    }
    if found.add_line_end {
        let text = "the last event lacks its line end; it is added";
        found.add(Damage::LineEnd, text);
    }
    if whole > sealed.length {
        let bytes = whole - sealed.length;
        let text = format!("the seal lags behind the log by {bytes} bytes of whole, valid events");
        found.add(Damage::LaggingSeal, text);
    }
    if found.keys_lag {
        let text = format!("{} is brought in line with the log", layout::KEYS);
        found.add(Damage::LaggingKeys, text);
    }
    let (registry, events) = (found.registry.clone(), found.index.lines);
    for checkpoint in unsealed_checkpoints(vault, &found.entries, &registry, events)? {
        let text = format!("{} is not in the seal yet", checkpoint.path);
        found.add(Damage::LaggingSeal, text);
        set_entry(&mut found.entries, checkpoint);
    }
    found_in_seal(vault, sealed_root, &mut found)?;
    Ok(found)
}

/// The two small files of the seal that may lag behind the manifest.
fn found_in_seal(vault: &Vault, root: Digest, found: &mut Diagnosis) -> Result<(), VaultError> {
    let text = read_text(vault.path(), layout::MERKLE_ROOT)?.unwrap_or_default();
    if text != write_merkle_root(root) {
        let text = format!("{} does not hold the manifest's root", layout::MERKLE_ROOT);
        found.add(Damage::LaggingSeal, text);
    }
    // Held against the manifest as it is on the disk; a wrong signature is an error, not a lag.
    let entries = read_entries(vault.path())?;
    found.lag = signature_lag(vault, &entries, &found.registry)?;
    let file = layout::MANIFEST_SIG;
    match &found.lag {
        None => {}
        Some(SignatureLag::Stale { root, .. }) => {
            let text = format!(
                "{file} is of another seal (root {root}); a new one takes its place, and it is kept \
                 outside the vault"
            );
            found.add(Damage::StaleSignature, text);
        }
        Some(_) => found.add(Damage::LaggingSeal, format!("{file} is missing")),
    }
    Ok(())
}

fn entry(path: &str, bytes: &[u8]) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
    }
}
