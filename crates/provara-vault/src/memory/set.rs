//! The memory of a path, set to what is there now: by commands that put it there.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use provara_core::id::{Digest, EventId};
use provara_core::layout;
use provara_core::manifest::RootSignature;
use provara_core::scan::{Field, scan_line};
use provara_core::time::Timestamp;
use provara_core::tree::proof::root_over;
use serde::Serialize;

use super::judge::{Verdict, judge};
use super::record::{Record, place_of};
use super::store::{Lock, Store, Unusable};
use super::{Leaf, Present, Reached, SealSeen, leaf, leaves_of, put};
use crate::files::read_text;
use crate::log_snapshot::{LogSnapshot, lines_of};
use crate::seal::read_entries;
use crate::vault::Vault;

/// What this machine remembered of a path, and that is no longer held against what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// The path.
    pub path: PathBuf,
    /// The id of the `GENESIS` event of the vault that was there.
    pub identity: EventId,
    /// How many events its seal covered.
    pub event_count: u64,
    /// The last of them.
    pub last_event_id: EventId,
    /// When this machine saw it.
    pub seen_at_utc: Timestamp,
}

impl GivenUp {
    fn of(record: &Record) -> Self {
        Self {
            path: record.path.clone(),
            identity: record.identity,
            event_count: record.size,
            last_event_id: record.last_event,
            seen_at_utc: record.seen_at,
        }
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this machine no longer expects at '{}' what it saw there ({}): {} events of the vault {}, \
             up to {}",
            self.path.display(),
            self.seen_at_utc,
            self.event_count,
            self.identity,
            self.last_event_id
        )
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) given_up: Vec<GivenUp>,
    /// What no longer holds of the tree heads that were published of the copy.
    pub(crate) heads: Option<String>,
    /// Why it could not be done.
    failed: Option<String>,
}

impl Set {
    /// The sentences for a receipt.
    pub(crate) fn notes(&self) -> Vec<String> {
        let given_up = self.given_up.iter().map(GivenUp::to_string);
        given_up
            .chain(self.heads.clone())
            .chain(self.failed.clone())
            .collect()
    }
}

/// Remembers at the path of `vault` what is there now, whatever was remembered, and says what is given
/// up: for a command that has just put it there, all of it durable.
pub(crate) fn set(vault: &Vault) -> Set {
    if !vault.has_memory() {
        return Set::default();
    }
    let there = || {
        let (seal, length) = read_seal(vault)?;
        let log = vault.open_log_file().map_err(failed)?;
        let log = LogSnapshot::of_prefix(&log, length, &vault.log_path()).map_err(failed)?;
        set_to(vault, log.bytes(), seal)
    };
    there().unwrap_or_else(|reason| Set {
        failed: Some(super::unusable(&reason)),
        ..Set::default()
    })
}

/// As [`set`], to a log that is sealed by `seal`.
pub(crate) fn set_to(vault: &Vault, log: &[u8], seal: SealSeen) -> Result<Set, Unusable> {
    let id = |line| scan_line(line).ok()?.text(Field::EventId)?.parse().ok();
    let first: Option<EventId> = lines_of(log).next().and_then(id);
    let whole = log.strip_suffix(b"\n").unwrap_or(log);
    let start = memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1);
    let last: Option<EventId> = id(&whole[start..]);
    let (Some(identity), Some(last_event), Some(leaves)) = (first, last, leaves_of(log)) else {
        return Err(Unusable("its log cannot be read".to_owned()));
    };
    let short: Vec<Leaf> = leaves.iter().map(leaf).collect();
    let size = leaves.len() as u64;
    let tree_root = root_over(&leaves);
    let present = Present {
        identity,
        size,
        root_at: &|at| match at == size {
            true => Some(tree_root),
            false => Some(root_over(leaves.get(..usize::try_from(at).ok()?)?)),
        },
        seal: Some(seal),
        leaves: &|| Some(short.clone()),
    };
    let now = Reached {
        identity,
        size,
        length: log.len() as u64,
        tree_root,
        last_event,
        seal: Some(seal),
        leaves: &short,
    };
    let store = Store::make(vault.state_directory(), vault.path())?;
    let lock = store.lock()?;
    let mut set = Set::default();
    for path in paths(vault, &store, identity) {
        if let Ok(Some(record)) = store.recall(&path) {
            let kept = OnceCell::new();
            let kept = || kept.get_or_init(|| store.leaves(&record, &lock)).clone();
            if !matches!(
                judge(&record, &present, &kept),
                Verdict::Continues | Verdict::Reordered
            ) {
                set.given_up.push(GivenUp::of(&record));
            }
        }
        put(&store, &path, &now, 0, None, &lock)?;
    }
    set.heads = give_heads_up(vault, &store, &leaves, &lock)?;
    Ok(set)
}

/// Gives the origin up under which tree heads of the copy at the vault's path were published, if a log with these
/// `leaves` does not go on from the last of them; and says so.
fn give_heads_up(
    vault: &Vault,
    store: &Store,
    leaves: &[Digest],
    lock: &Lock,
) -> Result<Option<String>, Unusable> {
    let place = place_of(vault.path());
    let Some(published) = store.published(place)? else {
        return Ok(None);
    };
    let head = published.head();
    let known = usize::try_from(head.size).ok();
    let known = known.and_then(|size| leaves.get(..size));
    if known.is_some_and(|known| root_over(known) == head.root) {
        return Ok(None);
    }
    store.unpublish(place, lock)?;
    Ok(Some(format!(
        "the tree heads that were published of this copy as '{}', the last over {} events, do not hold for what is \
         there now: whoever kept one will find that, and the next one gets a new origin",
        head.origin, head.size
    )))
}

/// The paths of the vault, and others that are known to lead to it.
fn paths(vault: &Vault, store: &Store, identity: EventId) -> Vec<PathBuf> {
    let mut paths = vault.known_paths();
    let mut identities = BTreeSet::from([identity]);
    for path in &paths {
        identities.extend(store.recall(path).ok().flatten().map(|it| it.identity));
    }
    for record in identities.iter().flat_map(|it| store.of_vault(*it)) {
        let known = paths.iter().any(|path| place_of(path) == record.place);
        if !known && fs::canonicalize(&record.path).is_ok_and(|it| it == vault.path()) {
            paths.push(record.path);
        }
    }
    paths
}

/// The seal, and how much of the log it covers.
fn read_seal(vault: &Vault) -> Result<(SealSeen, u64), Unusable> {
    let text = read_text(vault.path(), layout::MANIFEST_SIG).map_err(failed)?;
    let signature = RootSignature::parse(&text.unwrap_or_default()).map_err(failed)?;
    let entries = read_entries(vault.path()).map_err(failed)?;
    let root = provara_core::manifest::merkle_root(entries.iter().map(|entry| entry.leaf()));
    let log = entries.iter().find(|entry| entry.path == layout::LOG);
    match log.filter(|_| root == signature.merkle_root) {
        None => Err(Unusable("its seal lags behind".to_owned())),
        Some(log) => {
            let signed_at = signature.signed_at_utc.parse().map_err(failed)?;
            let seal = SealSeen { root, signed_at };
            Ok((seal, log.size))
        }
    }
}

fn failed(error: impl fmt::Display) -> Unusable {
    Unusable(error.to_string())
}
