//! The environment of the plugin host: what it needs and nothing else. What one runtime alone needs is
//! added in the runtime's file.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::raw::Raw;

/// The search path of the host. It starts no programs, but standard libraries ask for one.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where libraries keep what they could compute again: the variable, and the place in the temporary
/// directory. They make it themselves.
const CACHES: [(&str, &str); 3] = [
    ("XDG_CACHE_HOME", "cache"),
    ("MPLCONFIGDIR", "matplotlib"),
    ("NUMBA_CACHE_DIR", "numba"),
];

/// Everything about a host that a reducer's result must not depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// As in every run.
    #[default]
    Usual,
    /// Another hash seed, another memory allocator, and the log read in other pieces: a second run
    /// that looks for results which depend on any of them.
    Varied,
}

impl Layout {
    /// How many bytes of the log the host reads at a time.
    pub(crate) fn log_chunk(self) -> u64 {
        match self {
            Layout::Usual => 256 << 10,
            // Prime, and shorter than most events: the pieces end within lines.
            Layout::Varied => 487,
        }
    }
}

/// The variables of the user that reach the host. Everything else, whatever it is called, stays
/// behind: a secret in the environment is none of a plugin's business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HOME`: Python derives the user's site-packages from it.
    pub home: Option<PathBuf>,
    /// `PYTHONPATH`, absolute entries only: a relative one would mean the current directory.
    pub python_path: Vec<PathBuf>,
    /// The entries of `PYTHONPATH` that are relative, and are left out.
    pub relative_path: Vec<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// `PROVARA_PLUGINS`: modules to import.
    pub plugins: Option<OsString>,
}

impl Environment {
    /// Takes the variables from the running process.
    #[must_use]
    pub fn from_process() -> Environment {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let absolute = |path: &PathBuf| path.is_absolute();
        let entries = variable("PYTHONPATH");
        let entries = entries.iter().flat_map(env::split_paths);
        let (python_path, relative_path) = entries.partition(absolute);
        Environment {
            home: variable("HOME").map(PathBuf::from).filter(absolute),
            python_path,
            relative_path,
            virtual_env: variable("VIRTUAL_ENV").map(PathBuf::from).filter(absolute),
            plugins: variable("PROVARA_PLUGINS"),
        }
    }

    /// The variables that every host has, whatever it runs in. The locale and the time zone are fixed, so
    /// that a reducer's result depends on the events alone. `scratch` is the temporary directory; what
    /// libraries would keep elsewhere is kept there, and goes with it.
    pub(crate) fn variables(
        &self,
        state: Option<&Path>,
        scratch: Option<&Path>,
    ) -> Vec<(Raw, Raw)> {
        let mut all: Vec<(Raw, Raw)> = [
            ("PATH", PATH),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("PROVARA_HOST", "1"),
            // Sums of floating-point numbers depend on how many threads share them out.
            ("OMP_NUM_THREADS", "1"),
            ("OPENBLAS_NUM_THREADS", "1"),
            ("MKL_NUM_THREADS", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let mut add = |name: &str, value: OsString| all.push((name.into(), value.into()));
        if let Some(home) = &self.home {
            add("HOME", home.into());
        }
        if let Some(plugins) = &self.plugins {
            add("PROVARA_PLUGINS", plugins.clone());
        }
        if let Some(state) = state {
            add("PROVARA_PLUGIN_STATE", state.into());
        }
        if let Some(scratch) = scratch {
            for name in ["TMPDIR", "TEMP", "TMP"] {
                add(name, scratch.into());
            }
            for (name, directory) in CACHES {
                add(name, scratch.join(directory).into());
            }
        }
        all
    }
}
