//! When a file was changed, as its file system tells it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// When a file was changed: its data, and its inode. A program that edits a file in place leaves its inode and
/// often its length as they were, and changes these; it can set the first back, and not the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileTimes {
    /// In seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl FileTimes {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the data was changed at the same time as in `other`.
    pub(crate) fn same_data(&self, other: &Self) -> bool {
        self.modified == other.modified
    }

    /// Whether both lie before a moment, given since 1970.
    pub(crate) fn are_before(&self, moment: Duration) -> bool {
        let seconds = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
        self.modified.max(self.changed) < (seconds, i64::from(moment.subsec_nanos()))
    }
}
