//! What a plugin host is started for.
//!
//! Each purpose is a type that holds what it takes, and a host's type says its purpose: only a host that
//! was started with a log can reduce it ([`crate::host::Host`]).

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a host is started for; it decides what the host may see.
///
/// It is one of [`Listing`], [`Validating`], [`Reducing`] and [`Exporting`].
pub trait Purpose: Needs {
    /// Whether plugins may keep state in such a host. A reducer may not: its result depends on the events
    /// alone.
    fn keeps_state(&self) -> bool {
        self.access().keeps_state()
    }
}

/// The part of a purpose that is this crate's own, so that there are no others.
pub trait Needs: Debug + Send + Sync + 'static {
    /// What the host may see.
    fn access(&self) -> Access<'_>;
}

/// What a host may see, as the sandbox and the launcher go by it.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// The plugins.
    Listing,
    /// The plugins of one distribution, of which is to be known what names they have.
    Examining,
    /// The plugins, and data that it is sent.
    Validating,
    /// A log.
    Reducing {
        /// The log. The host gets a copy of it.
        log: &'a [u8],
    },
    /// A vault, and the place of the output.
    Exporting {
        /// The vault's directory.
        vault: &'a Path,
        /// The staging directory.
        staging: &'a Path,
    },
}

impl Access<'_> {
    /// As [`Purpose::keeps_state`].
    pub(crate) fn keeps_state(self) -> bool {
        !matches!(self, Access::Reducing { .. } | Access::Examining)
    }
}

/// Listing plugins.
#[derive(Debug, Clone, Copy)]
pub struct Listing;

/// Loading the plugins of one distribution alone, to learn their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Examining;

/// Asking an event type's `validate`.
#[derive(Debug, Clone, Copy)]
pub struct Validating;

/// Running a reducer.
#[derive(Debug)]
pub struct Reducing {
    /// The log. The host gets a copy of it, in a descriptor of its own.
    pub log: LogBytes,
}

/// The bytes of a log, as whoever took them holds them. They are not read from the file a second time: another
/// program may have changed that since they were verified.
#[derive(Clone)]
pub struct LogBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl<T: AsRef<[u8]> + Send + Sync + 'static> From<Arc<T>> for LogBytes {
    fn from(log: Arc<T>) -> LogBytes {
        LogBytes(log)
    }
}

impl LogBytes {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Debug for LogBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogBytes({})", self.bytes().len())
    }
}

/// Running an export.
#[derive(Debug, Clone)]
pub struct Exporting {
    /// The vault's directory.
    pub vault: PathBuf,
    /// The staging directory, the one place that the export may write.
    pub staging: PathBuf,
}

impl Purpose for Listing {}
impl Purpose for Validating {}
impl Purpose for Reducing {}
impl Purpose for Exporting {}

impl Needs for Listing {
    fn access(&self) -> Access<'_> {
        Access::Listing
    }
}

impl Needs for Examining {
    fn access(&self) -> Access<'_> {
        Access::Examining
    }
}

impl Needs for Validating {
    fn access(&self) -> Access<'_> {
        Access::Validating
    }
}

impl Needs for Reducing {
    fn access(&self) -> Access<'_> {
        Access::Reducing {
            log: self.log.bytes(),
        }
    }
}

impl Needs for Exporting {
    fn access(&self) -> Access<'_> {
        Access::Exporting {
            vault: &self.vault,
            staging: &self.staging,
        }
    }
}
