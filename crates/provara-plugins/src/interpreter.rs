//! Which Python runs the plugin host.
//!
//! The order is: `PROVARA_PYTHON`; the `python3` beside this executable (where pip put both), by the
//! path under which it was started and by each link on the way to the file; `$VIRTUAL_ENV/bin/python3`;
//! `python3` on `PATH`. The first that exists is taken and its surroundings are worked out *without
//! running any code of an installed package*: a binary is looked at, a script (such as a version
//! manager's shim) is asked with `-I -S`, which imports neither `site` nor anything of `PYTHONPATH`.

mod inspect;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf;
use crate::environment::{Environment, Layout};
use crate::raw::Raw;
use crate::readable::{Readable, Tree};
use crate::site::{self, site_directories};
use crate::sources;
use inspect::is_executable;

/// What makes Python a plugin host; the number of the protocol's descriptor follows. Not `-m`, for which
/// Python first imports modules of its own that a host does not need.
pub(crate) const HOST_ARGUMENTS: [&str; 3] = [
    "-c",
    "import provara.plugins._host as host; host.main()",
    "--protocol-fd",
];

/// Package stores, opened where the interpreter lives in one: all of it is public there.
const STORES: [&str; 3] = ["/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"];

/// What belongs to Python below an interpreter's prefix. Not `ssl` as a whole: private keys may lie there.
const OF_PREFIX: [&str; 8] = [
    "lib",
    "lib64",
    "pyvenv.cfg",
    "ssl/openssl.cnf",
    "ssl/cert.pem",
    "ssl/cacert.pem",
    "ssl/certs",
    "share/zoneinfo",
];

/// How many links are followed from one name of the executable to the next.
const MAX_LINKS: usize = 40;

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
    /// Where the standard library may lie (`sys.base_prefix`): `prefix` outside an environment; within
    /// one, what its `pyvenv.cfg` and the binary lead to.
    pub base_prefixes: Vec<PathBuf>,
    /// Whether the environment also takes the packages of the installation.
    pub system_site_packages: bool,
    /// How it was found.
    pub found_by: FoundBy,
}

impl Interpreter {
    /// The directories that installed packages lie in: those of the environment, of the user, and
    /// what `PYTHONPATH` names. They change when a package is installed, upgraded or removed.
    #[must_use]
    pub fn package_directories(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut found = self.sites(environment);
        found.extend(environment.python_path.iter().cloned());
        found
    }

    /// The site directories: of the environment, of the installation where the environment takes its
    /// packages, and of the user.
    pub(crate) fn sites(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut prefixes = vec![self.prefix.clone()];
        if self.system_site_packages {
            prefixes.extend(self.base_prefixes.iter().cloned());
        }
        let home = environment.home.as_ref();
        prefixes.extend(home.map(|home| home.join(".local")));
        let mut seen = BTreeSet::new();
        let sites = prefixes.iter().flat_map(|prefix| site_directories(prefix));
        // `lib64` is a link to `lib` in most environments.
        let first =
            |site: &PathBuf| seen.insert(fs::canonicalize(site).unwrap_or_else(|_| site.clone()));
        sites.filter(first).collect()
    }

    /// What Python reads besides what every process does: its libraries, installed packages, and what
    /// `PYTHONPATH`, links and editable installs name. `allowed` are source trees that the user opened.
    pub(crate) fn readable(&self, environment: &Environment, allowed: &[PathBuf]) -> Vec<Readable> {
        let mut found = Vec::new();
        // Debian's interpreters begin with a `sitecustomize` that lies there.
        for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(b"python3") {
                found.push(Readable::Installed(entry.path()));
            }
        }
        let stores = STORES.iter().filter(|store| self.binary.starts_with(store));
        found.extend(stores.map(|store| Readable::Installed(store.into())));
        // Where a program that is a copy was built, if its own part is a library.
        let libraries = elf::libraries(&self.binary, "libpython3").into_iter();
        found.extend(libraries.map(Readable::Installed));
        let home = environment.home.as_deref();
        let prefixes = self.base_prefixes.iter().chain([&self.prefix]);
        let prefixes: BTreeSet<PathBuf> = prefixes
            .map(|prefix| fs::canonicalize(prefix).unwrap_or_else(|_| prefix.clone()))
            .collect();
        for prefix in &prefixes {
            // An interpreter in `~/bin` has the home for its prefix, where `lib` is anybody's.
            let is_home = home.is_some_and(|home| home.starts_with(prefix));
            found.extend(OF_PREFIX.map(|part| match prefix.join(part) {
                part if is_home => Readable::Chosen(part, Tree::Path),
                part => Readable::Installed(part),
            }));
        }
        let chosen = environment.python_path.iter().cloned();
        found.extend(chosen.map(|path| Readable::Chosen(path, Tree::Path)));
        let home = home.map(|home| fs::canonicalize(home).unwrap_or_else(|_| home.to_path_buf()));
        let home = home.as_deref();
        let sites = self.sites(environment);
        for site in &sites {
            // The user's own, or one that is a link out of the prefix.
            let real = fs::canonicalize(site).unwrap_or_else(|_| site.clone());
            let beneath = prefixes.iter().any(|prefix| real.starts_with(prefix));
            if !beneath && !sources::is_shared(&real, home) {
                found.push(Readable::Installed(real));
            }
            found.extend(site::links(site, home, allowed));
        }
        for site in &sites {
            let trees = sources::linked(site, home, allowed).into_iter();
            found.extend(trees.map(|tree| Readable::Source(tree, Tree::Project)));
        }
        let allowed = allowed.iter().map(|tree| sources::allowed(tree));
        found.extend(allowed.map(|tree| Readable::Source(tree, Tree::Project)));
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
    /// The one that belongs to this executable, or to the environment, is a link that leads nowhere.
    #[error("the Python interpreter '{}' ({}) is a link to '{}', which is not there", .link.display(), .found_by.describe(), .target.display())]
    Dangling {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Where it was looked for.
        found_by: FoundBy,
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
    /// The paths of the running executable: the one that it was started under, what that links to, and
    /// so on to the file.
    pub executables: Vec<PathBuf>,
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
        let path: Vec<PathBuf> = variable("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        Search {
            variable: variable("PROVARA_PYTHON").map(PathBuf::from),
            executables: own_paths(&path),
            virtual_env: variable("VIRTUAL_ENV").map(PathBuf::from),
            path,
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
            return inspected(&program, FoundBy::Variable);
        }
        tried.push("PROVARA_PYTHON, which is not set".to_owned());
        let mut beside: Vec<_> = self
            .executables
            .iter()
            .filter_map(|path| path.parent())
            .collect();
        beside.dedup();
        let in_env = self.virtual_env.as_ref().map(|root| root.join("bin"));
        let mut places = Vec::new();
        let beside = beside.into_iter().map(Path::to_path_buf);
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
                return inspected(&candidate, found_by);
            }
            match dangling(&candidate) {
                // Another one would lack what is installed for this one, and be blamed for it.
                Some(target) if found_by != FoundBy::Path => {
                    return Err(InterpreterError::Dangling {
                        link: candidate,
                        target,
                        found_by,
                    });
                }
                _ => tried.push(candidate.display().to_string()),
            }
        }
        Err(InterpreterError::NotFound { tried })
    }

    /// A name with a slash is a path; one without is looked up on `PATH`.
    fn resolve_name(&self, name: &Path) -> Option<PathBuf> {
        resolve(name, &self.path)
    }
}

/// A program as a shell finds it: by its path, or by its name on `PATH`.
fn resolve(name: &Path, path: &[PathBuf]) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        let absolute = std::path::absolute(name).ok()?;
        return is_executable(&absolute).then_some(absolute);
    }
    path.iter()
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

/// The paths of the running executable, from the one that it was started under. The system gives the
/// file behind all links, beside which no environment need be.
fn own_paths(path: &[PathBuf]) -> Vec<PathBuf> {
    let own = env::current_exe().ok();
    let invoked = env::args_os().next();
    let invoked = invoked.and_then(|name| resolve(Path::new(&name), path));
    // Whoever starts a program may call it what they like.
    let is_own = |path: &PathBuf| match (fs::canonicalize(path), &own) {
        (Ok(real), Some(own)) => fs::canonicalize(own).is_ok_and(|own| own == real),
        _ => false,
    };
    let mut found = invoked.filter(is_own).map(link_chain).unwrap_or_default();
    found.extend(own);
    found
}

/// A path, what it links to, and so on.
fn link_chain(path: PathBuf) -> Vec<PathBuf> {
    let next = |path: &PathBuf| {
        let target = fs::read_link(path).ok()?;
        Some(path.parent()?.join(target))
    };
    std::iter::successors(Some(path), next)
        .take(MAX_LINKS)
        .collect()
}

/// Where a link leads that leads nowhere.
fn dangling(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    let gone = fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    gone.then_some(target)
}

/// Finds the interpreter for the running process.
///
/// # Errors
/// As [`Search::find`].
pub fn find() -> Result<Interpreter, InterpreterError> {
    Search::from_environment().find()
}

/// Works out what belongs to an interpreter.
fn inspected(program: &Path, found_by: FoundBy) -> Result<Interpreter, InterpreterError> {
    let inspect::Surroundings {
        program,
        binary,
        prefix,
        base_prefixes,
        system_site_packages,
    } = inspect::inspect(program).map_err(|reason| InterpreterError::Unusable {
        program: format!("{} (from {})", program.display(), found_by.describe()),
        reason,
    })?;
    Ok(Interpreter {
        program,
        binary,
        prefix,
        base_prefixes,
        system_site_packages,
        found_by,
    })
}

#[cfg(test)]
mod tests;
