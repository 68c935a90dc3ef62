//! The walls around a plugin process: what stands, and what it is called.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a plugin process is confined.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A separate process with a clean environment, and nothing more.
    #[default]
    Process,
    /// Some walls stand; what is missing is named.
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

/// Which walls are wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Walls {
    /// None beyond the separate process.
    Off,
}

/// What the launcher must know to execute the interpreter once the walls stand.
#[derive(Debug, Default)]
pub(crate) struct ExecKey(pub(crate) [u64; 3]);

/// Puts up the walls around this process, for good.
pub(crate) fn put_up(walls: &Walls) -> Result<(Confinement, ExecKey), String> {
    match walls {
        Walls::Off => Ok((
            Confinement {
                level: Level::Process,
                missing: vec!["switched off".to_owned()],
            },
            ExecKey::default(),
        )),
    }
}
