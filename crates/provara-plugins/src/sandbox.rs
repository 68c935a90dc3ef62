//! The sandbox of a plugin process: which one is wanted, and what is enforced.
//!
//! The core decides what a host may reach (`Rules`, worked out in `paths`); the launcher enters
//! the sandbox before it becomes the interpreter, and reports what it achieved. On Linux these
//! are Landlock (files, TCP, abstract sockets, signals) and seccomp (everything that Landlock does
//! not cover: other processes, other sockets, and the calls that change a file's mode, owner,
//! times or attributes), besides resource limits and the loss of all capabilities. Elsewhere there
//! are resource limits and the separate process.
//!
//! A level is achieved or it is not: [`Confinement`] says which, and what is missing.

#[cfg(target_os = "linux")]
mod filter;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod mounts;
pub(crate) mod paths;
mod paths_error;
mod secrets;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::raw::Raw;

pub(crate) use secrets::{holds_keys, is_vault};

/// How far a plugin process is confined.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A separate process with a clean environment, and nothing more.
    #[default]
    Process,
    /// Some of it is enforced; what is missing is named.
    Partial,
    /// Landlock with network rules, and seccomp.
    Full,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Process => "process",
            Level::Partial => "partial",
            Level::Full => "full",
        })
    }
}

/// What the launcher achieved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The level.
    pub level: Level,
    /// What keeps it from being full, in words.
    pub missing: Vec<String>,
}

impl fmt::Display for Confinement {
    /// `full`, or `partial: Landlock is not enabled in this kernel`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.level)?;
        if !self.missing.is_empty() {
            write!(f, ": {}", self.missing.join("; "))?;
        }
        Ok(())
    }
}

/// How much confinement the user asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// All of it, or no plugin.
    Require,
    /// The best that the system has.
    #[default]
    Auto,
    /// The separate process only.
    Off,
}

/// The text is none of `require`, `auto` and `off`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not one of require, auto, off", crate::text::inline(.0))]
pub struct UnknownSandboxMode(String);

impl FromStr for SandboxMode {
    type Err = UnknownSandboxMode;

    fn from_str(text: &str) -> Result<SandboxMode, UnknownSandboxMode> {
        match text {
            "require" => Ok(SandboxMode::Require),
            "auto" => Ok(SandboxMode::Auto),
            "off" => Ok(SandboxMode::Off),
            _ => Err(UnknownSandboxMode(text.to_owned())),
        }
    }
}

/// Which sandbox is wanted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) enum SandboxPolicy {
    /// None beyond the separate process.
    #[default]
    Off,
    /// These.
    Enforce {
        /// Whether anything less than [`Level::Full`] is a failure.
        require: bool,
        /// What is allowed.
        rules: Rules,
    },
}

/// What a process is there for, which decides what it may call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Calls {
    /// To run plugins.
    #[default]
    Plugin,
    /// To compute, and to answer on the socket that it has.
    Computing,
}

/// What a plugin process may do. All paths are absolute and without symbolic links; what is
/// beneath a directory belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Files, and directories with all beneath, that may be read.
    pub(crate) read: Vec<Raw>,
    /// Directories whose names may be listed, here and beneath, without reading a file.
    pub(crate) list: Vec<Raw>,
    /// Directories that may be written and read.
    pub(crate) write: Vec<Raw>,
    /// The binaries of the runtime. They are executed once, by the launcher.
    pub(crate) execute: Vec<Raw>,
    /// Which system calls are allowed.
    pub(crate) calls: Calls,
    /// Whether the Internet may be reached.
    pub(crate) network: bool,
    /// The limits of the process.
    pub(crate) limits: limits::Limits,
}

impl Rules {
    /// Whether what lies beneath a directory may be read.
    pub(crate) fn reach(&self, directory: &Path) -> bool {
        let mut open = self.read.iter().chain(&self.write);
        open.any(|open| directory.starts_with(open.as_path()))
    }
}

pub(crate) use limits::Limits;
pub use paths::Withheld;
pub use paths_error::PathsError;

/// The three words that must stand in the unused registers of the one `execve` that the filter
/// lets through. They exist in the launcher's memory only, which that call replaces.
#[derive(Debug, Default)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) struct ExecKey(pub(crate) [u64; 3]);

/// Confines this process, for good.
pub(crate) fn enforce(policy: &SandboxPolicy) -> Result<(Confinement, ExecKey), String> {
    let (require, rules) = match policy {
        SandboxPolicy::Off => {
            let missing = vec!["the sandbox is switched off".to_owned()];
            return Ok((
                Confinement {
                    level: Level::Process,
                    missing,
                },
                ExecKey::default(),
            ));
        }
        SandboxPolicy::Enforce { require, rules } => (*require, rules),
    };
    limits::apply(&rules.limits, rules.calls)
        .map_err(|error| format!("resource limits: {error}"))?;
    #[cfg(target_os = "linux")]
    let (confinement, key) = linux::enforce(rules)?;
    #[cfg(not(target_os = "linux"))]
    let (confinement, key) = {
        let missing = vec!["this system has neither Landlock nor seccomp".to_owned()];
        (
            Confinement {
                level: Level::Process,
                missing,
            },
            ExecKey::default(),
        )
    };
    if require && confinement.level < Level::Full {
        return Err(format!(
            "full confinement is required, but only '{confinement}' is possible"
        ));
    }
    Ok((confinement, key))
}
