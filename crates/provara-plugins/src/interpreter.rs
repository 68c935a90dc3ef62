//! Which Python runs the plugin host.
//!
//! The order is: `PROVARA_PYTHON`; the `python3` beside this executable (where pip put both);
//! `$VIRTUAL_ENV/bin/python3`; `python3` on `PATH`. The first that exists is taken and its
//! surroundings are worked out *without running any code of an installed package*: a binary is
//! looked at, a script (such as a version manager's shim) is asked with `-I -S`, which imports
//! neither `site` nor anything of `PYTHONPATH`.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::environment::{Environment, Layout};
use crate::raw::Raw;
use crate::readable::{Readable, Tree};
use crate::site::{linked_projects, site_directories};

/// What makes Python a plugin host; the number of the protocol's descriptor follows.
pub(crate) const HOST_ARGUMENTS: [&str; 3] = ["-m", "provara.plugins._host", "--protocol-fd"];

/// Package stores, opened where the interpreter lives in one: all of it is public there.
const STORES: [&str; 3] = ["/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"];

/// Directories below an interpreter's prefix that belong to Python.
const OF_PREFIX: [&str; 5] = ["lib", "lib64", "pyvenv.cfg", "ssl", "share/zoneinfo"];

/// How an interpreter was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The variable `PROVARA_PYTHON`.
    Variable,
    /// It lies beside the executable.
    BesideExecutable,
    /// The variable `VIRTUAL_ENV`.
    VirtualEnv,
    /// The variable `PATH`.
    Path,
}

impl FoundBy {
    /// The place in words, for messages.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            FoundBy::Variable => "PROVARA_PYTHON",
            FoundBy::BesideExecutable => "beside the provara executable",
            FoundBy::VirtualEnv => "VIRTUAL_ENV",
            FoundBy::Path => "PATH",
        }
    }
}

/// A Python interpreter and the directories that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// What is executed: in a virtual environment the link inside it, because Python finds the
    /// environment by the name under which it is started.
    pub program: PathBuf,
    /// The binary behind all links.
    pub binary: PathBuf,
    /// The environment's prefix (`sys.prefix`).
    pub prefix: PathBuf,
    /// The installation's prefix (`sys.base_prefix`); equal to `prefix` outside an environment.
    pub base_prefix: PathBuf,
    /// How it was found.
    pub found_by: FoundBy,
}

impl Interpreter {
    /// The directories that installed packages lie in: those of the environment, of the user, and
    /// what `PYTHONPATH` names. They change when a package is installed, upgraded or removed.
    #[must_use]
    pub fn package_directories(&self, environment: &Environment) -> Vec<PathBuf> {
        let user = environment.home.as_ref().map(|home| home.join(".local"));
        let prefixes = [Some(&self.prefix), user.as_ref()];
        let mut found: Vec<PathBuf> = prefixes
            .into_iter()
            .flatten()
            .flat_map(|prefix| site_directories(prefix))
            .collect();
        found.extend(environment.python_path.iter().cloned());
        found
    }

    /// What Python reads besides what every process does: its libraries, installed packages, and what
    /// `PYTHONPATH` and editable installs name.
    pub(crate) fn readable(&self, environment: &Environment) -> Vec<Readable> {
        let mut found = Vec::new();
        // Debian's interpreters begin with a `sitecustomize` that lies there.
        for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(b"python3") {
                found.push(Readable::Installed(entry.path()));
            }
        }
        let stores = STORES.iter().filter(|store| self.binary.starts_with(store));
        found.extend(stores.map(|store| Readable::Installed(store.into())));
        let home = environment.home.as_deref();
        for prefix in BTreeSet::from([&self.prefix, &self.base_prefix]) {
            // An interpreter in `~/bin` has the home for its prefix, where `lib` is anybody's.
            let is_home = home.is_some_and(|home| home.starts_with(prefix));
            found.extend(OF_PREFIX.map(|part| match prefix.join(part) {
                part if is_home => Readable::Chosen(part, Tree::Path),
                part => Readable::Installed(part),
            }));
        }
        let chosen = environment.python_path.iter().cloned();
        found.extend(chosen.map(|path| Readable::Chosen(path, Tree::Path)));
        let mut sites = site_directories(&self.prefix);
        if let Some(home) = home {
            let user = site_directories(&home.join(".local"));
            found.extend(user.iter().cloned().map(Readable::Installed));
            sites.extend(user);
        }
        let home = home.map(|home| fs::canonicalize(home).unwrap_or_else(|_| home.to_path_buf()));
        for site in sites {
            let projects = linked_projects(&site, home.as_deref());
            let projects = projects.into_iter();
            found.extend(projects.map(|project| Readable::Chosen(project, Tree::Project)));
        }
        found
    }
}

/// The variables that Python gets besides those of every host. The hash seed is fixed, so that a
/// reducer's result depends on the events alone.
pub(crate) fn variables(environment: &Environment, layout: Layout) -> Vec<(Raw, Raw)> {
    let mut all: Vec<(Raw, Raw)> = [
        "PYTHONUTF8",
        "PYTHONSAFEPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    ]
    .map(|name| (name.into(), "1".into()))
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
    if let Ok(list) = env::join_paths(&environment.python_path)
        && !list.is_empty()
    {
        add("PYTHONPATH", list);
    }
    if let Some(root) = &environment.virtual_env {
        add("VIRTUAL_ENV", root.into());
    }
    all
}

/// Why no interpreter can be used.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    /// None of the places has one.
    #[error("no Python interpreter was found (tried {})", .tried.join(", "))]
    NotFound {
        /// The places, in words, in order.
        tried: Vec<String>,
    },
    /// The one that was named explicitly cannot be used.
    #[error("the Python interpreter {program} cannot be used: {reason}")]
    Unusable {
        /// The interpreter.
        program: String,
        /// Why not.
        reason: String,
    },
}

/// Where to look; [`Search::from_environment`] fills it for the running process.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The value of `PROVARA_PYTHON`.
    pub variable: Option<PathBuf>,
    /// The path of the running executable.
    pub executable: Option<PathBuf>,
    /// The value of `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// The directories of `PATH`.
    pub path: Vec<PathBuf>,
}

impl Search {
    /// Reads the process's environment.
    #[must_use]
    pub fn from_environment() -> Search {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Search {
            variable: variable("PROVARA_PYTHON").map(PathBuf::from),
            executable: env::current_exe().ok(),
            virtual_env: variable("VIRTUAL_ENV").map(PathBuf::from),
            path: variable("PATH")
                .map(|path| env::split_paths(&path).collect())
                .unwrap_or_default(),
        }
    }

    /// Finds the interpreter.
    ///
    /// # Errors
    /// [`InterpreterError::Unusable`] if `PROVARA_PYTHON` names something that cannot be run (an
    /// explicit choice is never replaced by another), [`InterpreterError::NotFound`] if no place
    /// has an interpreter.
    pub fn find(&self) -> Result<Interpreter, InterpreterError> {
        let mut tried = Vec::new();
        if let Some(named) = &self.variable {
            let program = self
                .resolve_name(named)
                .ok_or_else(|| InterpreterError::Unusable {
                    program: format!("{} (from PROVARA_PYTHON)", named.display()),
                    reason: "it is not an executable file".to_owned(),
                })?;
            return inspect(&program, FoundBy::Variable);
        }
        tried.push("PROVARA_PYTHON, which is not set".to_owned());
        let beside = self
            .executable
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_path_buf);
        let in_env = self.virtual_env.as_ref().map(|root| root.join("bin"));
        let mut places = Vec::new();
        places.extend(beside.map(|directory| (directory, FoundBy::BesideExecutable)));
        places.extend(in_env.map(|directory| (directory, FoundBy::VirtualEnv)));
        places.extend(
            self.path
                .iter()
                .cloned()
                .map(|directory| (directory, FoundBy::Path)),
        );
        for (directory, found_by) in places {
            // A relative entry would make the choice depend on the current directory.
            if !directory.is_absolute() {
                continue;
            }
            let candidate = directory.join("python3");
            if is_executable(&candidate) {
                return inspect(&candidate, found_by);
            }
            tried.push(candidate.display().to_string());
        }
        Err(InterpreterError::NotFound { tried })
    }

    /// A name with a slash is a path; one without is looked up on `PATH`.
    fn resolve_name(&self, name: &Path) -> Option<PathBuf> {
        if name.components().count() > 1 || name.is_absolute() {
            let absolute = std::path::absolute(name).ok()?;
            return is_executable(&absolute).then_some(absolute);
        }
        self.path
            .iter()
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|candidate| is_executable(candidate))
    }
}

/// Finds the interpreter for the running process.
///
/// # Errors
/// As [`Search::find`].
pub fn find() -> Result<Interpreter, InterpreterError> {
    Search::from_environment().find()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Works out what belongs to an interpreter.
fn inspect(program: &Path, found_by: FoundBy) -> Result<Interpreter, InterpreterError> {
    let unusable = |reason: String| InterpreterError::Unusable {
        program: format!("{} (from {})", program.display(), found_by.describe()),
        reason,
    };
    let binary = fs::canonicalize(program).map_err(|error| unusable(error.to_string()))?;
    let script = starts_with(&binary, b"#!").map_err(|error| unusable(error.to_string()))?;
    if script {
        let told = ask(program).map_err(unusable)?;
        // What a shim names may be a virtual environment's link: look at that one.
        let told = if told.is_absolute() && is_executable(&told) {
            told
        } else {
            return Err(unusable(format!(
                "it names {}, which cannot be run",
                told.display()
            )));
        };
        let binary = fs::canonicalize(&told).map_err(|error| unusable(error.to_string()))?;
        if starts_with(&binary, b"#!").map_err(|error| unusable(error.to_string()))? {
            return Err(unusable(
                "it is a script that names another script".to_owned(),
            ));
        }
        return Ok(describe(told, binary, found_by));
    }
    Ok(describe(program.to_path_buf(), binary, found_by))
}

/// Reads the prefixes from the directory layout, as Python's own start-up does.
fn describe(program: PathBuf, binary: PathBuf, found_by: FoundBy) -> Interpreter {
    let above = |path: &Path| {
        let parent = path.parent().and_then(Path::parent).map(Path::to_path_buf);
        parent.unwrap_or_else(|| PathBuf::from("/"))
    };
    let base_prefix = above(&binary);
    let environment = [program.parent(), program.parent().and_then(Path::parent)]
        .into_iter()
        .flatten()
        .find(|directory| directory.join("pyvenv.cfg").is_file())
        .map(Path::to_path_buf);
    // Outside an environment the prefix is that of the binary, whatever link led there.
    let prefix = environment.unwrap_or_else(|| base_prefix.clone());
    Interpreter {
        program,
        binary,
        prefix,
        base_prefix,
        found_by,
    }
}

fn starts_with(path: &Path, magic: &[u8]) -> io::Result<bool> {
    let mut head = [0; 2];
    let mut file = fs::File::open(path)?;
    match io::Read::read_exact(&mut file, &mut head) {
        Ok(()) => Ok(head == magic),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks a shim which interpreter it stands for.
///
/// A shim is a shell script: it gets `PATH` and `HOME`, which shims need, and nothing else.
fn ask(program: &Path) -> Result<PathBuf, String> {
    let mut command = Command::new(program);
    command
        .args([
            "-I",
            "-S",
            "-c",
            "import sys; sys.stdout.write(sys.executable)",
        ])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let kept = [
        "PATH",
        "HOME",
        "PYENV_VERSION",
        "PYENV_ROOT",
        "ASDF_DIR",
        "ASDF_DATA_DIR",
    ];
    for name in kept {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status));
    }
    let path = OsStr::from_bytes(&output.stdout);
    if path.is_empty() {
        return Err("it did not say which interpreter it stands for".to_owned());
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::symlink;

    fn executable(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_order_is_variable_beside_environment_path() {
        let dir = TempDir::new();
        let place = |name: &str| dir.path().join(name).join("bin");
        for name in ["variable", "beside", "env", "path"] {
            executable(&place(name).join("python3"), "\x7fELF");
        }
        let mut search = Search {
            variable: Some(place("variable").join("python3")),
            executable: Some(place("beside").join("provara")),
            virtual_env: Some(dir.path().join("env")),
            path: vec![PathBuf::from("relative"), place("path")],
        };
        assert_eq!(search.find().unwrap().found_by, FoundBy::Variable);
        search.variable = Some(PathBuf::from("python3"));
        assert_eq!(
            search.find().unwrap().program,
            place("path").join("python3")
        );
        search.variable = None;
        assert_eq!(search.find().unwrap().found_by, FoundBy::BesideExecutable);
        search.executable = None;
        assert_eq!(search.find().unwrap().found_by, FoundBy::VirtualEnv);
        search.virtual_env = None;
        assert_eq!(search.find().unwrap().found_by, FoundBy::Path);
        search.path.pop();
        assert!(matches!(
            search.find(),
            Err(InterpreterError::NotFound { .. })
        ));
    }

    #[test]
    fn an_explicit_choice_is_not_replaced() {
        let dir = TempDir::new();
        executable(&dir.path().join("python3"), "\x7fELF");
        let search = Search {
            variable: Some(dir.path().join("absent")),
            path: vec![dir.path().to_path_buf()],
            ..Search::default()
        };
        let error = search.find().unwrap_err();
        assert!(matches!(error, InterpreterError::Unusable { .. }));
        assert!(error.to_string().contains("PROVARA_PYTHON"), "{error}");
    }

    #[test]
    fn an_environment_keeps_its_link() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        executable(&root.join("usr/bin/python3.11"), "\x7fELF");
        fs::create_dir_all(root.join("venv/bin")).unwrap();
        fs::write(root.join("venv/pyvenv.cfg"), "home = /usr/bin\n").unwrap();
        symlink(
            root.join("usr/bin/python3.11"),
            root.join("venv/bin/python3"),
        )
        .unwrap();
        let search = Search {
            virtual_env: Some(root.join("venv")),
            ..Search::default()
        };
        let found = search.find().unwrap();
        assert_eq!(found.program, root.join("venv/bin/python3"));
        assert_eq!(found.binary, root.join("usr/bin/python3.11"));
        assert_eq!(found.prefix, root.join("venv"));
        assert_eq!(found.base_prefix, root.join("usr"));
    }

    #[test]
    fn a_shim_is_asked() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        let real = root.join("versions/3.11/bin/python3");
        executable(&real, "\x7fELF");
        let shim = root.join("shims/python3");
        executable(
            &shim,
            &format!(
                "#!/bin/sh\n[ \"$1$2\" = -I-S ] && printf %s {}\n",
                real.display()
            ),
        );
        let search = Search {
            path: vec![root.join("shims")],
            ..Search::default()
        };
        let found = search.find().unwrap();
        assert_eq!(found.program, real);
        assert_eq!(found.base_prefix, root.join("versions/3.11"));
        executable(&shim, "#!/bin/sh\nexit 3\n");
        assert!(matches!(
            search.find(),
            Err(InterpreterError::Unusable { .. })
        ));
    }
}
