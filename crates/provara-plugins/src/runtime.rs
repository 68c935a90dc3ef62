//! In what plugins run.
//!
//! A plugin host is a process that speaks the host protocol ([`crate::protocol`]). What that process
//! is made of stands here and in the file of each runtime; [`crate::host`], [`crate::launch`] and
//! [`crate::sandbox`] go by it and name no runtime.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, Layout};
use crate::interpreter::{self, Interpreter, InterpreterError};
use crate::raw::Raw;
use crate::readable::Readable;

/// In what plugins run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// Python, with the package `provara`.
    Python(Interpreter),
}

impl Runtime {
    /// Finds the runtime for the running process.
    ///
    /// # Errors
    /// As [`interpreter::Search::find`].
    pub fn find() -> Result<Runtime, InterpreterError> {
        interpreter::find().map(Runtime::Python)
    }

    /// What is executed.
    #[must_use]
    pub fn program(&self) -> &Path {
        match self {
            Runtime::Python(python) => &python.program,
        }
    }

    /// How it was found, in words.
    #[must_use]
    pub fn found_by(&self) -> &'static str {
        match self {
            Runtime::Python(python) => python.found_by.describe(),
        }
    }

    /// The files and directories that change when plugins are installed, upgraded or removed.
    #[must_use]
    pub fn install_places(&self, environment: &Environment) -> Vec<PathBuf> {
        match self {
            Runtime::Python(python) => {
                let mut places = vec![python.program.clone()];
                places.extend(python.package_directories(environment));
                places
            }
        }
    }

    /// The directories that packages lie in; none where there may be others that are not known here.
    pub(crate) fn package_directories(&self, environment: &Environment) -> Option<Vec<PathBuf>> {
        match self {
            Runtime::Python(python) => {
                let settings = std::fs::read(python.prefix.join("pyvenv.cfg")).unwrap_or_default();
                let settings = String::from_utf8_lossy(&settings).to_ascii_lowercase();
                // Then those of the installation that the environment was made from belong to it, too.
                let shares = settings.lines().any(|line| {
                    line.split_once('=').is_some_and(|(name, value)| {
                        name.trim() == "include-system-site-packages" && value.trim() == "true"
                    })
                });
                (!shares).then(|| python.package_directories(environment))
            }
        }
    }

    /// The arguments that make the program a plugin host; the launcher appends the number of the
    /// protocol's descriptor.
    pub(crate) fn arguments(&self) -> Vec<Raw> {
        match self {
            Runtime::Python(_) => interpreter::HOST_ARGUMENTS.map(Into::into).into(),
        }
    }

    /// The variables of the host, in full.
    pub(crate) fn variables(
        &self,
        environment: &Environment,
        layout: Layout,
        state: Option<&Path>,
        scratch: Option<&Path>,
    ) -> Vec<(Raw, Raw)> {
        let mut all = environment.variables(state, scratch);
        all.extend(match self {
            Runtime::Python(_) => interpreter::variables(environment, layout),
        });
        all
    }

    /// The directory that its packages are installed in: what an environment is known by.
    #[must_use]
    pub fn environment_directory(&self) -> &Path {
        match self {
            Runtime::Python(python) => &python.prefix,
        }
    }

    /// What it reads besides what every process does, as far as it lies there. `allowed` are source trees
    /// that the user opened.
    pub(crate) fn readable(&self, environment: &Environment, allowed: &[PathBuf]) -> Vec<Readable> {
        match self {
            Runtime::Python(python) => python.readable(environment, allowed),
        }
    }

    /// The binaries that the launcher executes, without the dynamic loader.
    pub(crate) fn executables(&self) -> Vec<&Path> {
        match self {
            Runtime::Python(python) => vec![&python.binary],
        }
    }
}

/// The program, for messages.
impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program().display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::FoundBy;

    #[test]
    fn nothing_is_passed_that_is_not_meant_to_be() {
        let python = Runtime::Python(Interpreter {
            program: "/env/bin/python3".into(),
            binary: "/usr/bin/python3".into(),
            prefix: "/env".into(),
            base_prefixes: vec!["/usr".into()],
            system_site_packages: false,
            found_by: FoundBy::Path,
        });
        let environment = Environment {
            home: Some(PathBuf::from("/home/u")),
            python_path: vec![PathBuf::from("/a"), PathBuf::from("/b")],
            relative_path: vec![PathBuf::from("c")],
            virtual_env: None,
            plugins: Some("m:C".into()),
        };
        let state = Some(Path::new("/state"));
        let scratch = Some(Path::new("/scratch"));
        let variables = python.variables(&environment, Layout::Varied, state, scratch);
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
                "MPLCONFIGDIR=/scratch/matplotlib",
                "NUMBA_CACHE_DIR=/scratch/numba",
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
                "TEMP=/scratch",
                "TMP=/scratch",
                "TMPDIR=/scratch",
                "TZ=UTC",
                "XDG_CACHE_HOME=/scratch/cache",
            ]
        );
    }
}
