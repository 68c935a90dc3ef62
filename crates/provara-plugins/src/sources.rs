//! The source trees of editable installs: which package leads where, and whether the tree says so, too.
//!
//! An editable install leaves its project where it is, and Python's start-up adds the project's
//! directory: a `.pth` file names it, or starts a finder module. Neither is believed, since any package
//! may have any `.pth` file. What leads to a tree is the installer's record: `direct_url.json` (PEP 610),
//! or a `.egg-link` file of installers that came before it.
//!
//! A wheel can bring either record, also under another distribution's name, so the record alone opens
//! nothing. The tree must name the distribution itself; no other package may have installed the record;
//! and it must be a project of its own, not a place that other things live in. What a tree holds is
//! looked at where it is opened ([`crate::sandbox`]).

mod metadata;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use percent_encoding::percent_decode_str;
use provara_report::shell;

use crate::text::inline;
pub use metadata::normalized;
use metadata::read;

/// The most bytes of an installer's record that are read.
const MAX_RECORD: u64 = 64 << 10;

/// The most bytes of a list of installed files (`RECORD`) that are read.
const MAX_LIST: u64 = 16 << 20;

/// Directories that no package owns, so that no package can have them opened.
const SHARED: [&str; 16] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc",
    "/root", "/run", "/sys", "/tmp", "/var",
];

/// The files of which a Python project has at least one.
const PROJECT_FILES: [&str; 3] = ["pyproject.toml", "setup.py", "setup.cfg"];

/// A directory that an installed package's record, or a link in its place, leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The tree, by its real path.
    pub(crate) directory: PathBuf,
    /// The distribution whose record it is, normalised as PEP 503 has it; none where the user alone
    /// named the tree.
    pub(crate) package: Option<String>,
    /// Why the record is not enough, if it is not.
    pub(crate) doubt: Option<Doubt>,
    /// Whether the user allowed it, doubt or not.
    pub(crate) allowed: bool,
}

/// A source tree that plugins cannot read. Its text is safe for a terminal.
#[derive(Debug)]
pub struct ClosedSource {
    /// The tree.
    pub directory: PathBuf,
    /// The distribution whose record leads there, if one does.
    pub package: Option<String>,
    /// Why it is closed.
    pub reason: ClosedReason,
}

/// Why a source tree stays closed.
#[derive(Debug)]
pub enum ClosedReason {
    /// The record that leads there is not enough.
    Doubt(Doubt),
    /// A vault or keys lie in it.
    Holds(PathBuf),
    /// It has more entries than are searched for keys.
    TooLarge,
    /// It could not be searched.
    Unreadable(io::Error),
}

/// Why a record is not enough to open the tree that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The tree says that it is of other packages.
    OtherName(Vec<String>),
    /// The tree says of no package that it is its source.
    NoName,
    /// It is no project, or a place that other things live in.
    NoProject,
    /// Another package installed the record.
    Foreign(String),
}

impl ClosedSource {
    /// Whether the user's word would open it.
    #[must_use]
    pub fn can_be_allowed(&self) -> bool {
        matches!(self.reason, ClosedReason::Doubt(_) | ClosedReason::Holds(_))
    }

    /// What opens it to plugins: sentences without the last full stop, where a command ends them.
    #[must_use]
    pub fn help(&self) -> String {
        let command = format!("provara plugins list --editable {}", shell(&self.directory));
        match &self.reason {
            ClosedReason::Holds(path) => format!(
                "Move '{}' out of it; or, if plugins may read the rest, open it with: {command}",
                inline(&path.to_string_lossy())
            ),
            ClosedReason::Doubt(_) => {
                format!("If plugins may read it, but for vaults and keys, open it with: {command}")
            }
            ClosedReason::TooLarge => {
                "Install the project from a directory of its own, or without --editable.".to_owned()
            }
            ClosedReason::Unreadable(_) => "Install the project without --editable.".to_owned(),
        }
    }
}

impl fmt::Display for ClosedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| inline(&path.to_string_lossy()).into_owned();
        write!(f, "the directory '{}'", shown(&self.directory))?;
        if let Some(package) = &self.package {
            write!(
                f,
                ", the source of the installed package '{}',",
                inline(package)
            )?;
        }
        f.write_str(" stays closed to plugins, because ")?;
        match &self.reason {
            ClosedReason::Doubt(Doubt::OtherName(names)) => {
                let names: Vec<_> = names.iter().map(|name| inline(name)).collect();
                write!(
                    f,
                    "it is that of '{}' by its own metadata",
                    names.join("', '")
                )
            }
            ClosedReason::Doubt(Doubt::NoName) => f.write_str(
                "its own metadata (pyproject.toml, setup.cfg, *.egg-info) names no package",
            ),
            ClosedReason::Doubt(Doubt::NoProject) => f.write_str("it is not a Python project"),
            ClosedReason::Doubt(Doubt::Foreign(package)) => write!(
                f,
                "another package, '{}', installed the record that names it",
                inline(package)
            ),
            ClosedReason::Holds(path) => {
                write!(f, "'{}' is, or holds, a vault or keys", shown(path))
            }
            ClosedReason::TooLarge => {
                f.write_str("it has too many entries to make sure that no key lies among them")
            }
            ClosedReason::Unreadable(error) => write!(f, "it could not be searched ({error})"),
        }
    }
}

/// The source trees of what is installed into a site directory without being there, in the order of the
/// packages' names.
pub(crate) fn linked(site: &Path, home: Option<&Path>, allowed: &[PathBuf]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut lists = None;
    for entry in fs::read_dir(site).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let (package, project, record) = if let Some(stem) = stem(&name, ".dist-info") {
            let text = read(&path.join("direct_url.json"), MAX_RECORD);
            let package = stem.split('-').next().unwrap_or(stem);
            let record = format!("{stem}.dist-info/direct_url.json");
            (
                package,
                text.and_then(|text| editable_project(&text)),
                record,
            )
        } else if let Some(stem) = stem(&name, ".egg-link") {
            let text = read(&path, MAX_RECORD);
            (
                stem,
                text.and_then(|text| linked_egg(&text)),
                format!("{stem}.egg-link"),
            )
        } else {
            continue;
        };
        let Some(directory) = project.and_then(|path| fs::canonicalize(path).ok()) else {
            continue;
        };
        let package = normalized(package);
        let lists = lists.get_or_insert_with(|| installed_lists(site));
        let doubt = doubt(&directory, &package, &record, lists, home);
        found.push(Source {
            allowed: allowed.contains(&directory),
            directory,
            package: Some(package),
            doubt,
        });
    }
    found.sort_by(|a, b| (&a.package, &a.directory).cmp(&(&b.package, &b.directory)));
    found
}

/// A tree that the user opened, whatever leads there.
pub(crate) fn allowed(directory: &Path) -> Source {
    Source {
        directory: directory.to_path_buf(),
        package: None,
        doubt: None,
        allowed: true,
    }
}

/// A name without its end, as text.
fn stem<'a>(name: &'a OsStr, end: &str) -> Option<&'a str> {
    name.to_str()?.strip_suffix(end)
}

/// What an installer noted for a package: its metadata directory, and the files that it put there; none
/// where that is too long to be read.
type InstalledList = (String, Option<Vec<u8>>);

/// The lists of what is installed in a site directory. They are long, and read only where a record of an
/// editable install is to be held against them.
fn installed_lists(site: &Path) -> Vec<InstalledList> {
    let entries = fs::read_dir(site).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".dist-info")?;
            let list = entry.path().join("RECORD");
            list.exists().then(|| (name, read(&list, MAX_LIST)))
        })
        .collect()
}

/// Why a record is not enough to open the tree that it names.
fn doubt(
    directory: &Path,
    package: &str,
    record: &str,
    lists: &[InstalledList],
    home: Option<&Path>,
) -> Option<Doubt> {
    // An installer lists every file of a wheel, whatever the wheel's own list says. What a list says that is
    // too long to be read, nobody knows.
    let foreign = lists.iter().find(|(owner, list)| {
        let list = list.as_ref();
        let has_record = |list: &Vec<u8>| memmem::find(list, record.as_bytes()).is_some();
        !record.starts_with(&format!("{owner}/")) && list.is_none_or(has_record)
    });
    if let Some((owner, _)) = foreign {
        let owner = owner.split('-').next().unwrap_or(owner);
        return Some(Doubt::Foreign(normalized(owner)));
    }
    if !is_project(directory, home) {
        return Some(Doubt::NoProject);
    }
    let names = metadata::names(directory);
    if names.is_empty() {
        return Some(Doubt::NoName);
    }
    let named = names.iter().any(|name| name == package);
    (!named).then_some(Doubt::OtherName(names))
}

/// The project of an editable install, from its `direct_url.json`.
fn editable_project(text: &[u8]) -> Option<PathBuf> {
    let record: serde_json::Value = serde_json::from_slice(text).ok()?;
    let editable = record.get("dir_info")?.get("editable")?.as_bool()?;
    let path = record.get("url")?.as_str()?.strip_prefix("file://")?;
    let decoded = percent_decode_str(path).collect();
    let path = PathBuf::from(std::ffi::OsString::from_vec(decoded));
    (editable && path.is_absolute()).then_some(path)
}

/// The project of a `.egg-link` file: the directory in its first line, from which the second leads to
/// the project's root.
fn linked_egg(text: &[u8]) -> Option<PathBuf> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let directory = Path::new(OsStr::from_bytes(lines.next()?));
    let root = directory.join(OsStr::from_bytes(lines.next().unwrap_or_default()));
    directory.is_absolute().then_some(root)
}

/// Whether a directory looks like a project of the user's.
fn is_project(path: &Path, home: Option<&Path>) -> bool {
    if !path.is_dir() || is_shared(path, home) {
        return false;
    }
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    let hidden = below.is_some_and(|below| {
        below
            .components()
            .any(|part| part.as_os_str().as_bytes().starts_with(b"."))
    });
    !hidden && PROJECT_FILES.iter().any(|name| path.join(name).is_file())
}

/// Whether a directory is a place that other things live in: the root, a home, or one that holds it.
pub(crate) fn is_shared(path: &Path, home: Option<&Path>) -> bool {
    SHARED.iter().any(|shared| path == Path::new(shared))
        || home.is_some_and(|home| home.starts_with(path))
}

#[cfg(test)]
mod tests;
