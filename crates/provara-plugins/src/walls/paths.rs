//! What a plugin process may reach in the file system.
//!
//! The kernel's rules are hierarchies of what is allowed; there is no "except". So a place that
//! must stay closed and lies beneath one that is open (a vault in the source tree of an editable
//! install, a keyfile in a directory on `PYTHONPATH`, the keyfile in a vault that an export reads)
//! is left out by opening everything around it, child by child, and letting the directories on the
//! way be listed only. Symbolic links are not followed on the way.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use provara_core::keys::looks_like_keyfile;

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

/// The largest file that is looked at as a possible keyfile, in bytes.
const MAX_KEYFILE: u64 = 4 * 1024 * 1024;

/// The largest file that a plugin may write into its state directory, in bytes.
const MAX_STATE_FILE: u64 = 64 << 20;

/// The largest file that an export may write, in bytes.
const MAX_EXPORT_FILE: u64 = 16 << 30;

/// The most entries that are opened one by one around closed places.
const MAX_ENTRIES: usize = 50_000;

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
        read: BTreeSet::new(),
        list: BTreeSet::new(),
        entries: 0,
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
    for prefix in BTreeSet::from([&python.prefix, &python.base_prefix]) {
        for part in OF_PREFIX {
            grants.open(&prefix.join(part))?;
        }
    }
    for path in &subject.environment.python_path {
        grants.open(path)?;
    }
    let home = subject.environment.home.as_deref();
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
            grants.open_project(&project)?;
        }
    }
    let state = match subject.purpose {
        Purpose::Reduce { .. } => None,
        _ => subject.state,
    };
    write.extend(state.map(|path| Raw::from(real(path))));
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
    closed.insert(path);
    Ok(())
}

/// Every file of a vault that is a keyfile: the default one by its name, the others by content.
fn keyfiles(vault: &Path) -> Result<Vec<PathBuf>, PathsError> {
    let mut found = vec![vault.join("identity/private_keys.json")];
    let mut open = vec![vault.to_path_buf()];
    while let Some(directory) = open.pop() {
        let failed = |source| PathsError::Io {
            path: directory.clone(),
            source,
        };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && is_keyfile(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a file parses as a keyfile. One that cannot be read is closed to us and stays closed.
fn is_keyfile(path: &Path) -> bool {
    use io::Read;
    let Ok(file) = fs::File::open(path) else {
        return false;
    };
    let mut bytes = Vec::new();
    let mut start = file.take(64);
    if start.read_to_end(&mut bytes).is_err() || bytes.trim_ascii_start().first() != Some(&b'{') {
        return false;
    }
    let mut rest = start.into_inner().take(MAX_KEYFILE);
    rest.read_to_end(&mut bytes).is_ok() && looks_like_keyfile(&bytes)
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What is open and what stays closed, while it is worked out.
struct Grants {
    closed: BTreeSet<PathBuf>,
    read: BTreeSet<PathBuf>,
    list: BTreeSet<PathBuf>,
    entries: usize,
}

impl Grants {
    /// Opens a file, or a directory with all that is beneath, except the closed places.
    fn open(&mut self, path: &Path) -> Result<(), PathsError> {
        match fs::canonicalize(path) {
            Ok(path) => self.open_real(path.clone(), &path, false),
            Err(_) => Ok(()),
        }
    }

    /// Opens the directory of a project: what is visible in it. Hidden files there are not
    /// Python's (`.git`, `.env`).
    fn open_project(&mut self, path: &Path) -> Result<(), PathsError> {
        self.open_real(path.to_path_buf(), path, true)
    }

    fn open_real(
        &mut self,
        path: PathBuf,
        root: &Path,
        visible_only: bool,
    ) -> Result<(), PathsError> {
        if self.closed.iter().any(|closed| path.starts_with(closed)) {
            return Ok(());
        }
        let beneath = self
            .closed
            .iter()
            .find(|closed| closed.starts_with(&path))
            .cloned();
        if beneath.is_none() && !visible_only {
            self.read.insert(path);
            return Ok(());
        }
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
                    closed: beneath.unwrap_or(path),
                    open: root.to_path_buf(),
                });
            }
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let link = entry.file_type().map_or(true, |kind| kind.is_symlink());
            if link || (visible_only && hidden) {
                continue;
            }
            self.open_real(entry.path(), root, false)?;
        }
        self.list.insert(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
