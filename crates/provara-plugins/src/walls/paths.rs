//! What a plugin process may reach in the file system.
//!
//! The kernel's rules are hierarchies of what is allowed; there is no "except". So a place that
//! must stay closed and lies beneath one that is open (a vault in the source tree of an editable
//! install, a keyfile in a directory on `PYTHONPATH`, the keyfile in a vault that an export reads)
//! is left out by opening everything around it, child by child, and letting the directories on the
//! way be listed only. Symbolic links are not followed on the way.
//!
//! A directory that the user chose (an entry of `PYTHONPATH`, the source tree of an editable install)
//! may hold vaults and keyfiles that nobody named. It is searched for them each time. The libraries of
//! the system and of the interpreter are not: that would take longer than starting Python.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::secrets::{DEFAULT_KEYFILE, is_keyfile, is_vault, keyfiles};
use super::{Limits, Rules, site};
use crate::host::Purpose;
use crate::interpreter::Interpreter;
use crate::launch::{Environment, Raw};

/// Places of the system that hold libraries and public data, and no user's files. Some are here
/// because a library reads them if `stat` says that they exist, and does not expect a refusal.
const SYSTEM: [&str; 26] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib32",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/share",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/fonts",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/openssl.cnf",
    "/etc/crypto-policies",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
];

/// Package stores, opened where the interpreter lives in one: all of it is public there.
const STORES: [&str; 3] = ["/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"];

/// What looking up names and checking certificates needs, for an export with network access. Not
/// `/etc/ssl` as a whole: a server's private keys lie there.
const NETWORK: [&str; 13] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
];

/// Directories below an interpreter's prefix that belong to Python.
const OF_PREFIX: [&str; 5] = ["lib", "lib64", "pyvenv.cfg", "ssl", "share/zoneinfo"];

/// The largest file that a plugin may write into its state directory, in bytes.
const MAX_STATE_FILE: u64 = 64 << 20;

/// The largest file that an export may write, in bytes.
const MAX_EXPORT_FILE: u64 = 16 << 30;

/// The most entries that are searched for secrets, or opened one by one around closed places.
const MAX_ENTRIES: usize = 50_000;

/// What lies in source trees, may be huge, and is nothing that Python imports: other environments,
/// and what Cargo builds, each by a file that it has.
const BULK: [&str; 2] = ["pyvenv.cfg", ".rustc_info.json"];

/// Why no walls can be drawn that keep a secret in.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// A keyfile has several names; one of them may lie where plugins read.
    #[error("the keyfile '{}' has {links} names (hard links), and another one might be readable", .path.display())]
    LinkedKeyfile {
        /// The keyfile.
        path: PathBuf,
        /// Its number of names.
        links: u64,
    },
    /// Around a closed place there is too much to open one by one.
    #[error("'{}' lies beneath '{}', which has too many entries to leave it out", .closed.display(), .open.display())]
    TooMany {
        /// The place that must stay closed.
        closed: PathBuf,
        /// The directory that should be open.
        open: PathBuf,
    },
    /// A directory of the user's has too many entries to look for secrets in it.
    #[error("'{}' has more than {MAX_ENTRIES} entries, too many to make sure that no key lies among them", .0.display())]
    Unsearchable(PathBuf),
    /// What plugins may write is in the way of what they may not.
    #[error("the state directory of plugins, '{}', and '{}' lie within each other", .state.display(), .closed.display())]
    State {
        /// The state directory.
        state: PathBuf,
        /// A vault or a keyfile.
        closed: PathBuf,
    },
    /// A directory could not be read.
    #[error("'{}' could not be examined: {source}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// What the rules depend on.
pub(crate) struct Subject<'a> {
    pub(crate) interpreter: &'a Interpreter,
    pub(crate) environment: &'a Environment,
    pub(crate) purpose: &'a Purpose,
    /// The state directory, if this host has one.
    pub(crate) state: Option<&'a Path>,
    /// Vaults and keyfiles that must stay closed, wherever they lie.
    pub(crate) protect: &'a [PathBuf],
    pub(crate) network: bool,
    pub(crate) timeout: Option<Duration>,
}

/// Works out what a host may reach.
pub(crate) fn rules(subject: &Subject<'_>) -> Result<Rules, PathsError> {
    let mut closed = BTreeSet::new();
    for path in subject.protect {
        close(path, &mut closed)?;
    }
    let mut grants = Grants {
        closed,
        ..Grants::default()
    };
    let mut write = Vec::new();
    if let Purpose::Export { vault, staging } = subject.purpose {
        let vault = fs::canonicalize(vault).map_err(|source| PathsError::Io {
            path: vault.clone(),
            source,
        })?;
        for keyfile in keyfiles(&vault)? {
            close(&keyfile, &mut grants.closed)?;
        }
        // The vault itself may be among what was to stay closed for everything else.
        grants.closed.remove(&vault);
        grants.open(&vault)?;
        write.push(real(staging).into());
        grants.closed.insert(vault);
    }
    let python = subject.interpreter;
    for path in SYSTEM {
        grants.open(Path::new(path))?;
    }
    // Debian's interpreters begin with a `sitecustomize` that lies there.
    for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(b"python3") {
            grants.open(&entry.path())?;
        }
    }
    for store in STORES
        .iter()
        .filter(|store| python.binary.starts_with(store))
    {
        grants.open(Path::new(store))?;
    }
    if subject.network {
        for path in NETWORK {
            grants.open(Path::new(path))?;
        }
    }
    let home = subject.environment.home.as_deref();
    for prefix in BTreeSet::from([&python.prefix, &python.base_prefix]) {
        // An interpreter in `~/bin` has the home for its prefix, where `lib` is anybody's.
        let is_home = home.is_some_and(|home| home.starts_with(prefix));
        for part in OF_PREFIX.map(|part| prefix.join(part)) {
            if is_home {
                grants.open_searched(&part, Tree::Path)?;
            } else {
                grants.open(&part)?;
            }
        }
    }
    for path in &subject.environment.python_path {
        grants.open_searched(path, Tree::Path)?;
    }
    let mut sites = site::site_directories(&python.prefix);
    if let Some(home) = home {
        let user = site::site_directories(&home.join(".local"));
        for path in &user {
            grants.open(path)?;
        }
        sites.extend(user);
    }
    let home = home.map(real);
    for site in sites {
        for project in site::linked_projects(&site, home.as_deref()) {
            grants.open_searched(&project, Tree::Project)?;
        }
    }
    let state = match subject.purpose {
        Purpose::Reduce { .. } => None,
        _ => subject.state,
    };
    if let Some(state) = state.map(real) {
        grants.keep_apart(&state)?;
        write.push(state.into());
    }
    let file_size = match subject.purpose {
        Purpose::Export { .. } => MAX_EXPORT_FILE,
        Purpose::Reduce { .. } => 0,
        Purpose::Discover | Purpose::Validate => MAX_STATE_FILE,
    };
    let raw = |paths: BTreeSet<PathBuf>| paths.into_iter().map(Raw::from).collect();
    Ok(Rules {
        read: raw(grants.read),
        list: raw(grants.list),
        write,
        execute: executables(&python.binary),
        network: subject.network,
        limits: Limits::new(file_size, subject.timeout),
    })
}

/// The interpreter, and the dynamic loader that the kernel executes with it.
fn executables(binary: &Path) -> Vec<Raw> {
    let loader = dynamic_loader(binary).and_then(|path| fs::canonicalize(path).ok());
    [Some(binary.to_path_buf()), loader]
        .into_iter()
        .flatten()
        .map(Raw::from)
        .collect()
}

/// The program header of type `PT_INTERP` of a 64-bit little-endian ELF file: a path.
fn dynamic_loader(binary: &Path) -> Option<PathBuf> {
    const PT_INTERP: u32 = 3;
    let file = fs::File::open(binary).ok()?;
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    };
    let header = read(0, 64)?;
    // Class 2 is 64 bits, data 1 is little-endian.
    if header[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let word = |bytes: &[u8], at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .map(|b| u64::from_le_bytes(*b))
    };
    let half = |at: usize| {
        header
            .get(at..)?
            .first_chunk()
            .map(|b| u16::from_le_bytes(*b))
    };
    let (table, size, count) = (word(&header, 32)?, half(54)?, half(56)?);
    for index in 0..u64::from(count) {
        let entry = read(table.checked_add(index * u64::from(size))?, 56)?;
        if entry.first_chunk().map(|b| u32::from_le_bytes(*b)) != Some(PT_INTERP) {
            continue;
        }
        let length = usize::try_from(word(&entry, 32)?)
            .ok()
            .filter(|length| *length <= 4096)?;
        let path = read(word(&entry, 8)?, length)?;
        let path = path.strip_suffix(b"\0")?;
        return Some(PathBuf::from(OsStr::from_bytes(path)));
    }
    None
}

/// Puts a place among those that stay closed. One that is not there needs no care.
fn close(path: &Path, closed: &mut BTreeSet<PathBuf>) -> Result<(), PathsError> {
    let Ok(path) = fs::canonicalize(path) else {
        return Ok(());
    };
    let data = fs::metadata(&path).map_err(|source| PathsError::Io {
        path: path.clone(),
        source,
    })?;
    if data.is_file() && data.nlink() > 1 {
        return Err(PathsError::LinkedKeyfile {
            links: data.nlink(),
            path,
        });
    }
    if data.is_dir() {
        // Closed with its vault, unless it has another name elsewhere.
        close(&path.join(DEFAULT_KEYFILE), closed)?;
    }
    closed.insert(path);
    Ok(())
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A directory that the user chose.
#[derive(Clone, Copy, PartialEq)]
enum Tree {
    /// One to find modules in.
    Path,
    /// One in which a project is made. What is hidden there is not Python's (`.git`, `.env`), and
    /// neither is what is in [`BULK`].
    Project,
}

/// What is open and what stays closed, while it is worked out.
#[derive(Default)]
struct Grants {
    closed: BTreeSet<PathBuf>,
    read: BTreeSet<PathBuf>,
    list: BTreeSet<PathBuf>,
    /// How many entries were opened one by one.
    entries: usize,
    /// How many entries were searched.
    searched: usize,
}

impl Grants {
    /// Opens a file, or a directory with all that is beneath, except the closed places.
    fn open(&mut self, path: &Path) -> Result<(), PathsError> {
        match fs::canonicalize(path) {
            Ok(path) => self.open_real(path.clone(), &path),
            Err(_) => Ok(()),
        }
    }

    fn open_real(&mut self, path: PathBuf, root: &Path) -> Result<(), PathsError> {
        if self.is_closed(&path) {
            return Ok(());
        }
        let Some(beneath) = self
            .closed
            .iter()
            .find(|closed| closed.starts_with(&path))
            .cloned()
        else {
            self.read.insert(path);
            return Ok(());
        };
        for entry in fs::read_dir(&path)
            .map_err(|source| PathsError::Io {
                path: path.clone(),
                source,
            })?
            .flatten()
        {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(PathsError::TooMany {
                    closed: beneath,
                    open: root.to_path_buf(),
                });
            }
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                self.open_real(entry.path(), root)?;
            }
        }
        self.list.insert(path);
        Ok(())
    }

    /// Opens what the user chose, except the closed places and every vault and keyfile in it.
    fn open_searched(&mut self, path: &Path, tree: Tree) -> Result<(), PathsError> {
        let Ok(path) = fs::canonicalize(path) else {
            return Ok(());
        };
        let opened = self.read.iter().any(|open| path.starts_with(open));
        if opened || self.is_closed(&path) {
            return Ok(());
        }
        let Ok(kind) = fs::metadata(&path).map(|data| data.file_type()) else {
            return Ok(());
        };
        if self.opens(&path, kind, &path, tree)? {
            self.read.insert(path);
        }
        Ok(())
    }

    /// Whether a file, or a directory with all that is beneath, may be opened. Of a directory that
    /// may not as a whole, opens what may be. What proves to be a vault or a keyfile is closed from
    /// now on.
    fn opens(
        &mut self,
        path: &Path,
        kind: FileType,
        root: &Path,
        tree: Tree,
    ) -> Result<bool, PathsError> {
        if self.read.contains(path) {
            return Ok(true);
        }
        if self.closed.contains(path) {
            return Ok(false);
        }
        if kind.is_dir() && is_vault(path) || kind.is_file() && is_keyfile(path) {
            close(path, &mut self.closed)?;
            return Ok(false);
        }
        if kind.is_dir() {
            return self.search(path, root, tree);
        }
        Ok(true)
    }

    /// Opens what may be open in a directory. If that is all of it, says so instead, and the caller
    /// opens it as a whole.
    fn search(&mut self, path: &Path, root: &Path, tree: Tree) -> Result<bool, PathsError> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            // Closed to us, and so to a plugin, or gone.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(true);
            }
            Err(source) => {
                return Err(PathsError::Io {
                    path: path.to_path_buf(),
                    source,
                });
            }
        };
        let mut whole = true;
        let mut open = Vec::new();
        for entry in entries.flatten() {
            self.searched += 1;
            if self.searched > MAX_ENTRIES {
                return Err(PathsError::Unsearchable(root.to_path_buf()));
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            // Opens nothing: what it leads to decides.
            if kind.is_symlink() {
                continue;
            }
            let child = entry.path();
            let left_out = tree == Tree::Project && is_left_out(&child, kind.is_dir());
            if !left_out && self.opens(&child, kind, root, tree)? {
                open.push(child);
            } else {
                whole = false;
            }
        }
        if !whole {
            self.read.extend(open);
            self.list.insert(path.to_path_buf());
        }
        Ok(whole)
    }

    /// Makes sure that a directory which plugins may write has nothing to do with what is closed.
    fn keep_apart(&self, state: &Path) -> Result<(), PathsError> {
        let mut within = Grants::default();
        within.open_searched(state, Tree::Path)?;
        let mut closed = self.closed.iter().chain(&within.closed);
        match closed.find(|closed| closed.starts_with(state) || state.starts_with(closed)) {
            None => Ok(()),
            Some(closed) => Err(PathsError::State {
                state: state.to_path_buf(),
                closed: closed.clone(),
            }),
        }
    }

    fn is_closed(&self, path: &Path) -> bool {
        self.closed.iter().any(|closed| path.starts_with(closed))
    }
}

/// Whether something in a project is none of Python's business.
fn is_left_out(path: &Path, is_dir: bool) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().starts_with(b".")
        || is_dir && (name == "node_modules" || BULK.iter().any(|file| path.join(file).is_file()))
}

#[cfg(test)]
pub(super) mod tests;
