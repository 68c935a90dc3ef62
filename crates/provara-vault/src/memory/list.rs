//! The memory, shown and forgotten.

use std::path::{Path, PathBuf};

use provara_core::id::{Digest, EventId};
use provara_core::time::Timestamp;
use serde::Serialize;

use super::record::{Record, place_of};
use super::store::{Store, Unusable};
use crate::error::VaultError;
use crate::vault::typed;

/// What this machine remembers of a vault at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// The path, as it was typed or as it was resolved.
    pub path: PathBuf,
    /// The id of the vault's `GENESIS` event.
    pub identity: EventId,
    /// How many events its seal covered.
    pub event_count: u64,
    /// The last of them.
    pub last_event_id: EventId,
    /// The root of the event tree over them.
    pub tree_root: Digest,
    /// The root that the seal signed.
    pub seal_root: Digest,
    /// When, as the seal says.
    pub signed_at_utc: Timestamp,
    /// When this machine saw it, by its own clock.
    pub seen_at_utc: Timestamp,
    /// The last tree head that was published of the copy at the path, if any was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
}

/// The last tree head that was published of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Its origin.
    pub origin: String,
    /// How many events it is over.
    pub size: u64,
}

impl Remembered {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            path: record.path.clone(),
            identity: record.identity,
            event_count: record.size,
            last_event_id: record.last_event,
            tree_root: record.tree_root,
            seal_root: record.seal_root,
            signed_at_utc: record.signed_at,
            seen_at_utc: record.seen_at,
            published: None,
        }
    }

    /// With what was published of the copy, as far as it can be read.
    fn with_published(record: &Record, store: &Store) -> Self {
        let head = store.published(record.place).ok().flatten();
        Self {
            published: head.map(|head| Published {
                origin: head.head().origin.to_string(),
                size: head.head().size,
            }),
            ..Self::of(record)
        }
    }
}

/// Which records are forgotten.
#[derive(Debug, Clone)]
pub enum Which {
    /// Those of this path, as typed and as resolved. It need not be there any more.
    At(PathBuf),
    /// Those of the vault with this `GENESIS` event, wherever it was.
    Vault(EventId),
}

/// Everything that is remembered below a state directory ([`default_state_directory`](crate::default_state_directory) is the user's own),
/// by path; and a sentence about each record that cannot be read.
///
/// # Errors
/// [`VaultError::Memory`].
pub fn remembered(state: &Path) -> Result<(Vec<Remembered>, Vec<String>), VaultError> {
    let Some(store) = Store::open(state, None)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (records, damaged) = store.all();
    let damaged = damaged
        .into_iter()
        .map(|it| format!("{} ", it.0).trim_end().to_owned());
    Ok((
        records
            .iter()
            .map(|record| Remembered::with_published(record, &store))
            .collect(),
        damaged.collect(),
    ))
}

/// Forgets records below a state directory, and gives what they said.
///
/// # Errors
/// [`VaultError::Memory`].
pub fn forget(state: &Path, which: &Which) -> Result<Vec<Remembered>, VaultError> {
    let Some(store) = Store::open(state, None)? else {
        return Ok(Vec::new());
    };
    let lock = store.lock()?;
    let records = match which {
        Which::Vault(identity) => store.of_vault(*identity),
        Which::At(path) => {
            let resolved = std::fs::canonicalize(path).ok();
            let mut places: Vec<_> = [Some(typed(path)), resolved]
                .into_iter()
                .flatten()
                .map(|path| place_of(&path))
                .collect();
            places.dedup();
            let mut all = store.all().0;
            all.retain(|record| places.contains(&record.place));
            all
        }
    };
    for record in &records {
        store.forget(record, &lock)?;
    }
    Ok(records.iter().map(Remembered::of).collect())
}

impl From<Unusable> for VaultError {
    fn from(reason: Unusable) -> Self {
        Self::Memory { reason: reason.0 }
    }
}
