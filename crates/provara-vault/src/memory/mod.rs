//! What this machine remembers of the vaults that it has seen (spec/VAULT_FORMAT, section 9).
//!
//! A vault cannot tell by itself that it is an earlier state of itself. So the user's state directory
//! keeps, for each path at which a vault verified or was written, how many events its seal covered and the
//! root of the event tree over them. What is there later must continue that.
//!
//! * It is read *before* the vault is looked at, so that a writer at work is never taken for a thief.
//! * It holds only what a seal covers, after that is durable, and never becomes smaller but by a command
//!   that says so: `init`, `restore`, `adopt`, a merge of one's own, `accept`.
//! * It concerns a path, as typed and as resolved: two copies of a vault may honestly differ.
//!
//! What is trusted is the user's own account. A state directory that cannot be used costs a note.

mod judge;
mod list;
mod record;
mod set;
mod sighting;
mod store;

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use provara_core::finding::Finding;
use provara_core::id::{Digest, EventId};
use provara_core::scan::{Field, scan_line};
use provara_core::time::Timestamp;
use provara_core::tree;
use provara_core::tree::proof::root_over;

use crate::clock;
use crate::error::VaultError;
use crate::log_snapshot::{LogSnapshot, lines_of};
use crate::vault::Vault;
use provara_core::parallel::{available_threads, in_order};

use judge::{Verdict, judge};
use record::Record;
use store::Lock;

pub use list::{Published, Remembered, Which, forget, remembered};
pub(crate) use record::place_of;
pub use set::GivenUp;
pub(crate) use set::{set, set_to};
pub(crate) use sighting::{Sealed, sealed};
pub(crate) use store::{Store, Unusable};

/// How many bytes of a leaf are kept: enough to find it again.
pub(crate) const LEAF: usize = 16;

/// The first half of a leaf of the event tree.
pub(crate) type Leaf = [u8; LEAF];

/// What is kept of a leaf.
pub(crate) fn leaf(digest: &Digest) -> Leaf {
    *digest.0.first_chunk().expect("16 of 32 bytes")
}

/// The seal that was found, or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealSeen {
    /// The root that it signs.
    pub(crate) root: Digest,
    /// When, as it says.
    pub(crate) signed_at: Timestamp,
}

/// How far a vault has come: its event tree, and the seal over it.
#[derive(Debug, Clone)]
pub(crate) struct Reached<'a> {
    /// The id of the `GENESIS` event.
    pub(crate) identity: EventId,
    /// How many events the log has.
    pub(crate) size: u64,
    /// Their bytes.
    pub(crate) length: u64,
    /// The root of the event tree over them.
    pub(crate) tree_root: Digest,
    pub(crate) last_event: EventId,
    /// The durable seal; `None` where there is none.
    pub(crate) seal: Option<SealSeen>,
    /// The leaves of the last events. Where they do not reach back to what was remembered, a later
    /// re-ordering is not told from a loss.
    pub(crate) leaves: &'a [Leaf],
}

/// What is there, as it is held against a record.
pub(crate) struct Present<'a> {
    pub(crate) identity: EventId,
    pub(crate) size: u64,
    /// The root of the event tree over the first so many events, which are no more than there are.
    pub(crate) root_at: &'a dyn Fn(u64) -> Option<Digest>,
    pub(crate) seal: Option<SealSeen>,
    /// The leaves of all events.
    pub(crate) leaves: &'a dyn Fn() -> Option<Vec<Leaf>>,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// `W010` and `W011`.
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
    /// Whether what was remembered is there in another order.
    reordered: bool,
    /// How many events were remembered at the vault's own path.
    pub(crate) size: Option<u64>,
}

/// What was remembered of the paths of a vault before it was looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recollection {
    /// Where it was read.
    store: Option<Store>,
    records: Vec<Record>,
    /// What could not be read.
    notes: Vec<String>,
    /// Whether each path has a record with all its leaves.
    whole: bool,
}

impl Recollection {
    /// Reads what is remembered at the paths of `vault`; nothing, where its memory is not in use.
    pub(crate) fn of(vault: &Vault) -> Self {
        let mut found = Self::default();
        if !vault.has_memory() {
            return found;
        }
        let store = match Store::open(vault.state_directory(), Some(vault.path())) {
            Ok(Some(store)) => store,
            Ok(None) => return found,
            Err(reason) => {
                found.notes.push(unusable(&reason));
                return found;
            }
        };
        let paths = vault.known_paths();
        for path in &paths {
            match store.recall(path) {
                Ok(record) => found.records.extend(record),
                Err(reason) => found.notes.push(damaged(path, &reason)),
            }
        }
        found.whole =
            found.records.len() == paths.len() && found.records.iter().all(|it| it.leaves);
        found.store = Some(store);
        found
    }

    /// The sizes at which the root of the tree is needed, ascending.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<_> = self.records.iter().map(|record| record.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The events of which the leaves are kept at every path.
    pub(crate) fn leaves_from(&self) -> u64 {
        match self.whole {
            true => self.sizes().first().copied().unwrap_or(0),
            false => 0,
        }
    }

    fn at(&self, path: &Path) -> Option<&Record> {
        let place = record::place_of(path);
        self.records.iter().find(|record| record.place == place)
    }

    /// Holds what is there against what was remembered.
    pub(crate) fn compare(&self, vault: &Vault, present: &Present<'_>) -> Judged {
        let mut judged = Judged {
            notes: self.notes.clone(),
            size: self.at(vault.path()).map(|record| record.size),
            ..Judged::default()
        };
        // Somebody may have begun to remember since.
        let open = || Store::open(vault.state_directory(), Some(vault.path()));
        let Some(store) = self.store.clone().or_else(|| open().ok().flatten()) else {
            return judged;
        };
        let mut verdicts: Vec<(Verdict, &Record)> = Vec::new();
        for record in &self.records {
            let kept = || store.leaves(record, &store.lock().ok()?);
            verdicts.push((judge(record, present, &kept), record));
        }
        // Of two paths one tells it: the one that knew more.
        verdicts.sort_by_key(|(_, record)| std::cmp::Reverse(record.size));
        let mut told = Vec::new();
        for (verdict, record) in &verdicts {
            judged.reordered |= *verdict == Verdict::Reordered;
            if told.contains(&verdict.code()) {
                continue;
            }
            told.push(verdict.code());
            judged.findings.extend(verdict.finding(record, present));
            judged.notes.extend(verdict.note(record));
        }
        let own: Vec<_> = vault.known_paths();
        let own: Vec<_> = own.iter().map(|path| record::place_of(path)).collect();
        let elsewhere = store.of_vault_but(present.identity, &own);
        let longest = elsewhere
            .iter()
            .filter(|it| it.size > present.size)
            .max_by_key(|it| it.size);
        judged
            .notes
            .extend(longest.map(|it| judge::longer(it, present)));
        judged
    }

    /// Remembers what a verification found and its seal covers, if nobody else has remembered anything
    /// since. Gives a note where it could not.
    pub(crate) fn remember(
        &self,
        vault: &Vault,
        sealed: &Reached<'_>,
        judged: &Judged,
    ) -> Option<String> {
        if !vault.has_memory() || !judged.findings.is_empty() {
            return None;
        }
        keep(vault, sealed, |path, stored| {
            let same = match stored {
                Ok(stored) => stored.as_ref() == self.at(path),
                Err(_) => self.at(path).is_none(),
            };
            same.then_some(judged.reordered)
        })
    }
}

/// Holds what a writer finds against what is remembered, before it changes anything. Gives what is worth
/// a note.
///
/// # Errors
/// [`VaultError::NotAsRemembered`].
pub(crate) fn check_writer(vault: &Vault, found: &Reached<'_>) -> Result<Judged, VaultError> {
    refuse(look(vault, found))
}

/// As [`check_writer`], for a state that does not stand in the vault yet: `leaves` are those of its events.
///
/// # Errors
/// As there.
pub(crate) fn check_coming(
    vault: &Vault,
    coming: &Reached<'_>,
    leaves: &[Digest],
) -> Result<Vec<String>, VaultError> {
    let judged = refuse(look_with(vault, coming, &|| Some(leaves.to_vec())))?;
    Ok(judged.notes)
}

fn refuse(judged: Judged) -> Result<Judged, VaultError> {
    match judged.findings.first() {
        Some(finding) => Err(VaultError::NotAsRemembered {
            finding: Box::new(finding.clone()),
        }),
        None => Ok(judged),
    }
}

/// Holds what is found against what is remembered.
pub(crate) fn look(vault: &Vault, found: &Reached<'_>) -> Judged {
    look_with(vault, found, &|| leaves_on_disk(vault, found))
}

fn look_with(vault: &Vault, found: &Reached<'_>, all: &dyn Fn() -> Option<Vec<Digest>>) -> Judged {
    if !vault.has_memory() {
        return Judged::default();
    }
    let recollection = Recollection::of(vault);
    let leaves = OnceCell::new();
    let leaves = || leaves.get_or_init(all).as_deref();
    recollection.compare(
        vault,
        &Present {
            identity: found.identity,
            size: found.size,
            root_at: &|size| match size == found.size {
                true => Some(found.tree_root),
                false => Some(root_over(leaves()?.get(..usize::try_from(size).ok()?)?)),
            },
            seal: found.seal,
            leaves: &|| Some(leaves()?.iter().map(leaf).collect()),
        },
    )
}

/// Holds the log that an interrupted command left against what is remembered, before that command is
/// completed: an intent may be as old as the state that it lies in. A log that cannot be read is for
/// others to judge.
///
/// # Errors
/// [`VaultError::NotAsRemembered`], or [`VaultError::Io`].
pub(crate) fn check_unsettled(vault: &Vault, log: &File) -> Result<(), VaultError> {
    if !vault.has_memory() {
        return Ok(());
    }
    let log = LogSnapshot::of_lines(log, &vault.log_path())?;
    let id = |line| -> Option<EventId> { scan_line(line).ok()?.text(Field::EventId)?.parse().ok() };
    let ends = (
        log.lines().next().and_then(id),
        log.lines().last().and_then(id),
    );
    let ((Some(identity), Some(last_event)), Some(leaves)) = (ends, leaves_of(log.bytes())) else {
        return Ok(());
    };
    let found = Reached {
        identity,
        size: leaves.len() as u64,
        length: log.len(),
        tree_root: root_over(&leaves),
        last_event,
        // It may be the one before or the one after.
        seal: None,
        leaves: &[],
    };
    check_writer(vault, &found).map(drop)
}

/// Remembers what a writer has sealed, durably, under its lock. Gives a note where it could not: that is
/// no reason to fail.
pub(crate) fn remember_writer(vault: &Vault, sealed: &Reached<'_>) -> Option<String> {
    if !vault.has_memory() {
        return None;
    }
    keep(vault, sealed, |_, _| Some(false))
}

/// Whether a record is to be replaced by what is sealed now.
fn is_due(stored: Option<&Record>, sealed: &Reached<'_>) -> bool {
    let (Some(stored), Some(seal)) = (stored, sealed.seal) else {
        return sealed.seal.is_some();
    };
    if stored.identity != sealed.identity || stored.size > sealed.size {
        return false;
    }
    stored.size < sealed.size
        || stored.tree_root != sealed.tree_root
        || (stored.seal_root != seal.root && stored.signed_at <= seal.signed_at)
        || (!stored.leaves && sealed.leaves.len() as u64 == sealed.size)
}

/// Remembers at each path where it is due and `permits` does, which says whether the order is another.
fn keep(
    vault: &Vault,
    sealed: &Reached<'_>,
    permits: impl Fn(&Path, Result<Option<Record>, Unusable>) -> Option<bool>,
) -> Option<String> {
    let kept = || -> Result<(), Unusable> {
        let store = Store::make(vault.state_directory(), vault.path())?;
        let lock = store.lock()?;
        for path in vault.known_paths() {
            let stored = store.recall(&path);
            let before = stored.as_ref().ok().cloned().flatten();
            let reordered = permits(&path, stored);
            if let (Some(reordered), true) = (reordered, is_due(before.as_ref(), sealed)) {
                let leaves = before.as_ref().filter(|it| it.leaves && !reordered);
                let known = leaves.map_or(0, |it| it.size);
                if before.is_none() && path == vault.path() {
                    // What was published was held against a record that is no more.
                    store.unpublish(record::place_of(&path), &lock)?;
                }
                put(&store, &path, sealed, known, before, &lock)?;
            }
        }
        Ok(())
    };
    kept().err().map(|reason| unusable(&reason))
}

/// Puts the record of what is sealed at `path`, where the leaves of the first `known` events are kept. `before` is
/// the record that was recalled there under the lock, if there was one.
fn put(
    store: &Store,
    path: &Path,
    sealed: &Reached<'_>,
    known: u64,
    before: Option<Record>,
    lock: &Lock,
) -> Result<(), Unusable> {
    let seal = sealed
        .seal
        .ok_or_else(|| Unusable("there is no seal".to_owned()))?;
    let seen_at = clock::now().map_err(|error| Unusable(error.to_string()))?;
    let mut record = Record {
        path: path.to_owned(),
        place: record::place_of(path),
        identity: sealed.identity,
        size: sealed.size,
        tree_root: sealed.tree_root,
        last_event: sealed.last_event,
        seal_root: seal.root,
        signed_at: seal.signed_at,
        seen_at,
        leaves: false,
        number: 0,
    };
    let first = sealed.size.checked_sub(sealed.leaves.len() as u64);
    let leaves = first.and_then(|first| {
        let skipped = usize::try_from(known.checked_sub(first)?).ok()?;
        Some((known, sealed.leaves.get(skipped..)?))
    });
    store.keep(&mut record, leaves, before, lock)
}

/// The leaves of a log as a writer found it.
fn leaves_on_disk(vault: &Vault, found: &Reached<'_>) -> Option<Vec<Digest>> {
    let log = vault.open_log_file().ok()?;
    let log = LogSnapshot::of_prefix(&log, found.length, &vault.log_path()).ok()?;
    leaves_of(log.bytes())
}

/// The leaves of a log's lines; `None` where one is no event.
pub(crate) fn leaves_of(log: &[u8]) -> Option<Vec<Digest>> {
    let mut leaves = Vec::new();
    let work = |lines, _| {
        let leaf = |line| scan_line(line).ok().map(|line| tree::leaf(&line));
        lines_of(lines).map(leaf).collect::<Option<Vec<_>>>()
    };
    let mut whole = true;
    let _ = in_order(log, available_threads(), work, |piece| {
        whole &= piece.is_some();
        leaves.extend(piece.into_iter().flatten());
        match whole {
            true => std::ops::ControlFlow::Continue(()),
            false => std::ops::ControlFlow::Break(()),
        }
    });
    whole.then_some(leaves)
}

fn unusable(reason: &Unusable) -> String {
    format!(
        "what this machine remembers of vaults cannot be used ({}): an earlier state of this one would \
         not be noticed until that is put right; it has to be yours alone, and outside the vault",
        reason.0
    )
}

fn damaged(path: &Path, reason: &Unusable) -> String {
    format!(
        "what this machine remembers of '{}' cannot be read ({}): an earlier state of it would not be \
         noticed",
        path.display(),
        reason.0
    )
}

impl Vault {
    /// Remembers the vault as it is, whatever this machine remembered of its path, and gives what there is
    /// to tell of that: for a program that has just made it there. A vault that somebody else put there is
    /// to be [accepted](Vault::accept). Nothing, unless the vault is one [with memory](Vault::with_memory).
    #[must_use]
    pub fn remember_as_made(&self) -> Vec<String> {
        set(self).notes()
    }

    /// The paths by which the vault is remembered: resolved, and as typed.
    pub(crate) fn known_paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.path().to_owned()];
        if self.typed_path() != self.path() {
            paths.push(self.typed_path().to_owned());
        }
        paths
    }
}

#[cfg(test)]
mod tests;
