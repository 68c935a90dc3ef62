//! Why no sandbox can keep a secret out of reach.

use std::io;
use std::path::PathBuf;

/// The most entries that are searched for secrets, or opened one by one around closed places.
pub(super) const MAX_ENTRIES: usize = 50_000;

/// Why no sandbox can keep a secret out of reach.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// A keyfile has several names; one of them may lie where plugins read.
    #[error("the keyfile '{}' has {links} names (hard links), and another one might be readable", .path.display())]
    LinkedKeyfile {
        /// The keyfile.
        path: PathBuf,
        /// Its number of names.
        links: u64,
    },
    /// Around a closed place there is too much to open one by one.
    #[error("'{}' lies beneath '{}', which has too many entries to leave it out", .closed.display(), .open.display())]
    TooMany {
        /// The place that must stay closed.
        closed: PathBuf,
        /// The directory that should be open.
        open: PathBuf,
    },
    /// A directory of the user's has too many entries to look for secrets in it.
    #[error("'{}' has more than {MAX_ENTRIES} entries, too many to make sure that no key lies among them", .0.display())]
    Unsearchable(PathBuf),
    /// A directory could not be read.
    #[error("'{}' could not be examined: {source}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
