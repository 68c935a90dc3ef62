//! What went wrong, handed to whoever renders it.

use std::path::Path;

use provara_core::canonical::CanonicalError;
use provara_core::finding::Report;
use provara_core::query::Query;
use provara_plugins::builtin::ExportError;
use provara_plugins::catalog::EventTypeInfo;
use provara_plugins::host::HostError;
use provara_plugins::interpreter::InterpreterError;
use provara_plugins::staging::StagingError;
use provara_vault::{SourceLog, VaultError};

/// An error of the libraries that an agent is to be told of.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorContext<'a> {
    /// An operation on a vault failed.
    Vault {
        /// The error.
        error: VaultError,
        /// The vault, as it was named.
        vault: &'a Path,
    },
    /// The vault does not verify, so that nothing is derived from it.
    Unverified {
        /// The vault, as it was named.
        vault: &'a Path,
        /// What was found.
        report: &'a Report,
    },
    /// There is no interpreter for plugins.
    Interpreter(InterpreterError),
    /// The plugin host failed while it loaded the plugins.
    Discovery(HostError),
    /// A plugin, or its host, failed.
    Host(HostError),
    /// The plugin's own `validate` refused the data.
    Refused {
        /// The event type.
        plugin: &'a EventTypeInfo,
        /// The plugin's reason.
        reason: &'a str,
    },
    /// The data has no canonical form.
    Canonical(CanonicalError),
    /// A built-in export stopped.
    Export {
        /// The error.
        error: ExportError,
        /// The vault, as it was named.
        vault: &'a Path,
    },
    /// An export's output could not be staged or moved into its place.
    Staging {
        /// The error.
        error: StagingError,
        /// The name of the export format.
        format: &'a str,
    },
}

/// Turns errors into texts: `ERROR: …`, details, `Fix: …`. The command line implements it, so that an
/// agent reads what a person reads; where the advice to a person is a command or an option, an agent's is
/// a tool, or to ask the operator.
pub trait Renderer: Send + Sync {
    /// The whole text, of several lines.
    fn render(&self, context: ErrorContext<'_>) -> String;

    /// Why a query that chose no event of the log may have been meant otherwise: a sentence for each
    /// reason.
    fn nothing_chosen(&self, query: &Query, log: &SourceLog) -> Vec<String>;
}
