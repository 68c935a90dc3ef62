//! What a plugin host is started for.

use std::fs::File;
use std::path::PathBuf;

/// What a host is started for; it decides what the host may see.
#[derive(Debug)]
pub enum Purpose {
    /// Listing plugins.
    Discover,
    /// Asking an event type's `validate`.
    Validate,
    /// Running a reducer.
    Reduce {
        /// The log, open for reading only. The host inherits this descriptor.
        log: File,
        /// The length of the snapshot in bytes; what stands after it does not count.
        len: u64,
    },
    /// Running an export.
    Export {
        /// The vault's directory.
        vault: PathBuf,
        /// The staging directory, the one place that the export may write.
        staging: PathBuf,
    },
}
