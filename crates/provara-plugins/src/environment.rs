//! The environment of the plugin host: what Python needs and nothing else.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::raw::Raw;

/// The search path of the host. It starts no programs, but the standard library asks for one.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

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
        Environment {
            home: variable("HOME").map(PathBuf::from).filter(absolute),
            python_path: variable("PYTHONPATH")
                .map(|list| env::split_paths(&list).filter(absolute).collect())
                .unwrap_or_default(),
            virtual_env: variable("VIRTUAL_ENV").map(PathBuf::from).filter(absolute),
            plugins: variable("PROVARA_PLUGINS"),
        }
    }

    /// The variables of the host, in full. The locale, time zone and hash seed are fixed, so that
    /// a reducer's result depends on the events alone.
    pub(crate) fn variables(&self, layout: Layout, state: Option<&Path>) -> Vec<(Raw, Raw)> {
        let mut all: Vec<(Raw, Raw)> = [
            ("PATH", PATH),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("PYTHONUTF8", "1"),
            ("PYTHONSAFEPATH", "1"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("PROVARA_HOST", "1"),
            // Sums of floating-point numbers depend on how many threads share them out.
            ("OMP_NUM_THREADS", "1"),
            ("OPENBLAS_NUM_THREADS", "1"),
            ("MKL_NUM_THREADS", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let mut add = |name: &str, value: OsString| all.push((name.into(), value.into()));
        match layout {
            Layout::Usual => add("PYTHONHASHSEED", "0".into()),
            Layout::Varied => {
                add("PYTHONHASHSEED", "1".into());
                // Another allocator gives objects other addresses, and with them another `id` and
                // another default hash.
                add("PYTHONMALLOC", "malloc".into());
            }
        }
        if let Some(home) = &self.home {
            add("HOME", home.into());
        }
        if let Ok(list) = env::join_paths(&self.python_path)
            && !list.is_empty()
        {
            add("PYTHONPATH", list);
        }
        if let Some(root) = &self.virtual_env {
            add("VIRTUAL_ENV", root.into());
        }
        if let Some(plugins) = &self.plugins {
            add("PROVARA_PLUGINS", plugins.clone());
        }
        if let Some(state) = state {
            add("PROVARA_PLUGIN_STATE", state.into());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_passed_that_is_not_meant_to_be() {
        let environment = Environment {
            home: Some(PathBuf::from("/home/u")),
            python_path: vec![PathBuf::from("/a"), PathBuf::from("/b")],
            virtual_env: None,
            plugins: Some("m:C".into()),
        };
        let variables = environment.variables(Layout::Varied, Some(Path::new("/state")));
        let mut shown: Vec<String> = variables
            .iter()
            .map(|(name, value)| {
                format!(
                    "{}={}",
                    name.as_os_str().display(),
                    value.as_os_str().display()
                )
            })
            .collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                "HOME=/home/u",
                "LANG=C.UTF-8",
                "LC_ALL=C.UTF-8",
                "MKL_NUM_THREADS=1",
                "OMP_NUM_THREADS=1",
                "OPENBLAS_NUM_THREADS=1",
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "PROVARA_HOST=1",
                "PROVARA_PLUGINS=m:C",
                "PROVARA_PLUGIN_STATE=/state",
                "PYTHONDONTWRITEBYTECODE=1",
                "PYTHONHASHSEED=1",
                "PYTHONMALLOC=malloc",
                "PYTHONPATH=/a:/b",
                "PYTHONSAFEPATH=1",
                "PYTHONUNBUFFERED=1",
                "PYTHONUTF8=1",
                "TZ=UTC",
            ]
        );
    }
}
