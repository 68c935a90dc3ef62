//! Why a plugin host gave no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use provara_core::canonical::CanonicalError;
use provara_core::json;

use super::skipped::SkippedPlugin;
use crate::launch::LaunchError;
use crate::output::NO_PLUGIN;
use crate::process::ExitReason;
use crate::protocol::{FailureKind, Violation};
use crate::runtime::Runtime;
use crate::sandbox::PathsError;
use crate::space::Shortage;
use crate::text::inline;
use crate::violation::{Suspicion, Violation as Attempt};

/// How a plugin failed. All texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFailure {
    /// The class of failure.
    pub kind: FailureKind,
    /// The plugin.
    pub plugin: String,
    /// The exception's class, as `ValueError`.
    pub exception: Option<String>,
    /// The exception's text; may have several lines.
    pub message: Option<String>,
    /// The traceback, of several lines.
    pub traceback: Option<String>,
    /// What the sandbox refused, if the failure comes from that.
    pub violation: Option<Attempt>,
    /// The rule of the sandbox that it may come from, if that is not known.
    pub suspicion: Option<Suspicion>,
}

/// Why the host gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No process was started, or not as confined as required.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// No sandbox can keep a keyfile or a vault out of reach.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// The runtime started but is no Provara host: most often it cannot import `provara`.
    #[error("{runtime} did not start as a plugin host ({ending})")]
    NoHost {
        /// The runtime.
        runtime: Box<Runtime>,
        /// How it ended.
        ending: ExitReason,
        /// The last lines that it printed, safe for a terminal.
        output: String,
    },
    /// The runtime has another version of `provara` than this executable's.
    #[error("{runtime} has provara {found}, but this is provara {expected}")]
    Version {
        /// The runtime.
        runtime: Box<Runtime>,
        /// This executable's version.
        expected: &'static str,
        /// The version found.
        found: String,
    },
    /// The host broke the protocol; a plugin did it.
    #[error("{} broke the host protocol: the host {violation}", who(.plugin))]
    Protocol {
        /// The plugin in hand, or `plugins` if none is known to be.
        plugin: String,
        /// What was wrong.
        violation: Violation,
    },
    /// The host ended while it was to answer.
    #[error("{} ended its process ({ending})", who(.plugin))]
    Died {
        /// The plugin in hand, or `plugins` if none is known to be.
        plugin: String,
        /// How it ended.
        ending: ExitReason,
        /// The rule of the sandbox that it may come from, by what was printed last.
        suspicion: Option<Suspicion>,
    },
    /// Applying a schema ended the process that does it, most often for want of memory.
    #[error(
        "the schema of '{plugin}' could not be applied: the process that does it ended ({ending})"
    )]
    Schema {
        /// The event type.
        plugin: String,
        /// How it ended.
        ending: ExitReason,
    },
    /// No answer came in time.
    #[error("{} did not finish within {} s", late(.plugin), .limit.as_secs_f64())]
    TimedOut {
        /// The plugin in hand, or `plugins` if none is known to be.
        plugin: String,
        /// The limit.
        limit: Duration,
    },
    /// Loading a plugin failed after others had been skipped for ending or blocking the process.
    #[error("{error}")]
    Loading {
        /// The last failure.
        error: Box<HostError>,
        /// Who was skipped before.
        skipped: Vec<SkippedPlugin>,
    },
    /// A plugin left too little space.
    #[error("{} was ended because {}", who(.plugin), too_full(.shortage))]
    Exhausted {
        /// The plugin in hand, or `plugins` if none is known to be.
        plugin: String,
        /// Where, and of what.
        shortage: Shortage,
    },
    /// This signal asked the process to end. The host is gone; once the last
    /// [`Guard`](crate::interrupt::Guard) is dropped the signal takes its default effect.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
    /// A plugin raised, exited, or returned what it must not.
    #[error("the plugin '{}' failed{}", .0.plugin, .0.message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Plugin(Box<PluginFailure>),
    /// A reducer's result is not what the contract allows.
    #[error("the reducer '{plugin}' returned what cannot be printed canonically: {reason}")]
    Output {
        /// The reducer.
        plugin: String,
        /// What is wrong with its result.
        reason: OutputFault,
    },
    /// A path that a plugin is to be given is not UTF-8, and plugins get paths as text.
    #[error("the path '{}' is not UTF-8, and plugins get paths as text", inline(&.0.to_string_lossy()))]
    NotText(PathBuf),
    /// The request does not fit into a frame.
    #[error("the data of {0} bytes is too large for a plugin")]
    TooLarge(usize),
    /// The system failed.
    #[error("the connection to the plugin host failed: {0}")]
    Io(#[from] io::Error),
}

/// The plugin in hand, for a sentence.
fn who(plugin: &str) -> String {
    match plugin {
        NO_PLUGIN => "an installed plugin".to_owned(),
        plugin => format!("the plugin '{plugin}'"),
    }
}

/// Who took too long. Where no plugin is in hand it may be Python itself, which has to start.
fn late(plugin: &str) -> String {
    match plugin {
        NO_PLUGIN => "the process for plugins".to_owned(),
        plugin => who(plugin),
    }
}

/// What was too full, for a sentence.
fn too_full(shortage: &Shortage) -> String {
    match shortage {
        Shortage::Disk(directory) => format!("it left too little space in {}", directory.display()),
        Shortage::Memory { directory, most } => format!(
            "the files in its temporary directory, {}, which is in memory, took more than the {} MiB that they may",
            directory.display(),
            most >> 20
        ),
    }
}

/// What is wrong with a reducer's result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OutputFault {
    /// It is not strict JSON.
    #[error(transparent)]
    NotJson(json::ParseError),
    /// It has no canonical form.
    #[error(transparent)]
    NotCanonical(CanonicalError),
}
