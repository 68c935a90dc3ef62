//! Maps whose keys come from a log.

use std::collections;

/// Hashes with a secret of the process, as the log's author chooses the keys.
pub(crate) type HashMap<K, V> = collections::HashMap<K, V, foldhash::quality::RandomState>;
