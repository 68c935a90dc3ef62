//! The keys of a verification, and the tables of those that have enough signatures.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ed25519_dalek::VerifyingKey;

use crate::backend::Backend;
use crate::scalar::Window;
use crate::table::Table;

/// When a key gets a table, and how much memory all of them may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The signatures that a key has to have for a table of 177 KiB.
    pub narrow_from: u64,
    /// The signatures that a key has to have for a table of 516 KiB, with which each is a fourth cheaper.
    pub wide_from: u64,
    /// The bytes of the tables of all keys together.
    pub most_bytes: usize,
}

impl Limits {
    /// Memory for the tables of 31 keys with many signatures, or of 90 with fewer. `keys.json` may list any number of
    /// keys, and whoever can write to a log decides which of them are used.
    const MOST_BYTES: usize = 16 << 20;

    /// Those of a back end: a table is made once a key has the signatures for which it pays, so that it never costs more
    /// than the signatures that were decided without it (docs/decisions/0040 has the measurements).
    #[must_use]
    pub fn of(backend: Backend) -> Self {
        let (narrow_from, wide_from) = match backend {
            Backend::Dalek => (u64::MAX, u64::MAX),
            Backend::Portable => (96, 1200),
            Backend::Avx2 => (64, 1200),
            Backend::Avx512 => (64, 2500),
        };
        Self {
            narrow_from,
            wide_from,
            most_bytes: Self::MOST_BYTES,
        }
    }
}

/// Keys by their index.
#[derive(Debug)]
pub(crate) struct Keys {
    limits: Limits,
    keys: Vec<Key>,
    bytes: AtomicUsize,
    signatures: AtomicU64,
}

/// Multiples of the base point, made once for a process.
static NARROW_BASE: OnceLock<Table> = OnceLock::new();
static WIDE_BASE: OnceLock<Table> = OnceLock::new();

#[derive(Debug)]
struct Key {
    key: VerifyingKey,
    signatures: AtomicU64,
    table: RwLock<Option<Arc<Table>>>,
}

impl Keys {
    pub(crate) fn new(keys: &[VerifyingKey], limits: Limits) -> Self {
        let key = |key: &VerifyingKey| Key {
            key: *key,
            signatures: AtomicU64::new(0),
            table: RwLock::new(None),
        };
        Self {
            limits,
            keys: keys.iter().map(key).collect(),
            bytes: AtomicUsize::new(0),
            signatures: AtomicU64::new(0),
        }
    }

    pub(crate) fn key(&self, index: usize) -> &VerifyingKey {
        &self.keys[index].key
    }

    /// The bytes of all tables of keys.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The multiples of the base point, which every signature needs.
    pub(crate) fn base(&self) -> &'static Table {
        if self.signatures.load(Ordering::Relaxed) < self.limits.wide_from {
            NARROW_BASE.get_or_init(|| Table::of_base(Window::Narrow))
        } else {
            WIDE_BASE.get_or_init(|| Table::of_base(Window::Wide))
        }
    }

    /// The table of a key that has so many signatures more, made where it now has enough of them. `None` where it has
    /// not, or where there is no memory for it.
    pub(crate) fn table(&self, index: usize, more: u64) -> Option<Arc<Table>> {
        let key = &self.keys[index];
        self.signatures.fetch_add(more, Ordering::Relaxed);
        let signatures = key.signatures.fetch_add(more, Ordering::Relaxed) + more;
        let wanted = if signatures < self.limits.narrow_from {
            return None;
        } else if signatures < self.limits.wide_from {
            Window::Narrow
        } else {
            Window::Wide
        };
        let is_enough = |table: &Option<Arc<Table>>| {
            table.as_ref().is_some_and(|table| table.window() >= wanted)
        };
        let table = key.table.read().unwrap_or_else(PoisonError::into_inner);
        if is_enough(&table) {
            return table.clone();
        }
        drop(table);
        // Whoever else needs this table waits for it: that is shorter than to verify without.
        let mut table = key.table.write().unwrap_or_else(PoisonError::into_inner);
        if !is_enough(&table) {
            let old = table.as_ref().map(|table| table.window());
            // A narrow one in place of a wide one that is too large.
            for window in [wanted, Window::Narrow] {
                if old.is_none_or(|old| old < window) && self.reserve(old, window) {
                    *table = Table::of_negative(&key.key, window).map(Arc::new);
                    break;
                }
            }
        }
        table.clone()
    }

    /// Takes the memory for a table in place of another one, if there is enough.
    fn reserve(&self, old: Option<Window>, new: Window) -> bool {
        let more = Table::bytes(new) - old.map_or(0, Table::bytes);
        let fits = |bytes: usize| {
            let bytes = bytes.checked_add(more)?;
            (bytes <= self.limits.most_bytes).then_some(bytes)
        };
        self.bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn keys(count: u8, limits: Limits) -> Keys {
        let keys: Vec<VerifyingKey> = (0..count)
            .map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key())
            .collect();
        Keys::new(&keys, limits)
    }

    #[test]
    fn a_key_gets_the_table_that_its_signatures_are_worth() {
        let limits = Limits {
            narrow_from: 10,
            wide_from: 100,
            most_bytes: usize::MAX,
        };
        let keys = keys(2, limits);
        let window = |index, more| keys.table(index, more).map(|table| table.window());
        assert_eq!(window(0, 9), None);
        assert_eq!(keys.bytes(), 0);
        assert_eq!(window(0, 1), Some(Window::Narrow));
        assert_eq!(keys.bytes(), Table::bytes(Window::Narrow));
        assert_eq!(keys.base().window(), Window::Narrow);
        assert_eq!(window(0, 89), Some(Window::Narrow));
        assert_eq!(window(1, 1), None);
        assert_eq!(window(0, 1), Some(Window::Wide));
        assert_eq!(keys.bytes(), Table::bytes(Window::Wide));
        assert_eq!(keys.base().window(), Window::Wide);
        assert_eq!(window(1, 1), None);
        assert_eq!(window(1, 1000), Some(Window::Wide));
        assert_eq!(keys.bytes(), 2 * Table::bytes(Window::Wide));
    }

    #[test]
    fn no_number_of_keys_takes_more_memory_than_there_is_for_tables() {
        let (narrow, wide) = (Table::bytes(Window::Narrow), Table::bytes(Window::Wide));
        let limits = Limits {
            narrow_from: 1,
            wide_from: 2,
            most_bytes: 2 * wide + narrow,
        };
        let keys = keys(8, limits);
        let windows: Vec<Option<Window>> = (0..8)
            .map(|index| keys.table(index, 2).map(|table| table.window()))
            .collect();
        let expected = [Some(Window::Wide), Some(Window::Wide), Some(Window::Narrow)];
        assert_eq!(windows[..3], expected);
        assert_eq!(windows[3..], [None; 5]);
        assert_eq!(keys.bytes(), limits.most_bytes);
        // Those that have none are asked for again, and those that are there stay.
        assert!(keys.table(7, 1000).is_none());
        assert_eq!(keys.table(2, 1000).unwrap().window(), Window::Narrow);
        assert_eq!(keys.bytes(), limits.most_bytes);
    }
}
