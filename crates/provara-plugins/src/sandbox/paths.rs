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
//! the system and of the runtime are not: that would take longer than starting it.

mod closed;
mod grants;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::paths_error::PathsError;
use super::secrets::keyfiles;
use super::{Calls, Limits, Rules};
use crate::elf::dynamic_loader;
use crate::environment::Environment;
use crate::purpose::Access;
use crate::raw::Raw;
use crate::readable::Readable;
use crate::runtime::Runtime;
use crate::sources::ClosedSource;
use crate::text::inline;
use closed::Closed;
use grants::Grants;

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

/// The largest file that a plugin may write into its state directory, in bytes.
const MAX_STATE_FILE: u64 = 64 << 20;

/// The largest file that an export may write, in bytes.
const MAX_EXPORT_FILE: u64 = 16 << 30;

/// How much of the state directory is read to see whether a key lies in it, in bytes.
const MAX_STATE_READ: u64 = 64 << 20;

/// Why plugins get no state directory: what they may write must not hold, nor lie in, what they may not
/// read. A plugin can write what looks like a keyfile, so this is no reason to run none.
///
/// The texts are safe for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// A vault or a keyfile lies in it, or what may be one.
    #[error(
        "plugins have no state directory in this run, because '{}' lies in it and is a vault or a \
         keyfile, or looks like one. Move it away if it is yours; remove it if a plugin left it",
        shown(.0)
    )]
    Holds(PathBuf),
    /// It lies in a vault.
    #[error(
        "plugins have no state directory in this run, because '{}' lies in the vault '{}'. \
         Set XDG_STATE_HOME to another directory",
        shown(.state), shown(.vault)
    )]
    Within {
        /// The state directory.
        state: PathBuf,
        /// The vault.
        vault: PathBuf,
    },
    /// There is too much in it to make sure.
    #[error(
        "plugins have no state directory in this run, because they left too much in '{}' to make \
         sure that no key lies among it. It may be emptied",
        shown(.0)
    )]
    TooMuch(PathBuf),
    /// It could not be searched.
    #[error("plugins have no state directory in this run: '{}' could not be searched ({source})", shown(.state))]
    Unreadable {
        /// The state directory.
        state: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

fn shown(path: &Path) -> String {
    inline(&path.to_string_lossy()).into_owned()
}

impl Withheld {
    /// The reason to withhold a state directory, if there is one.
    fn reason(state: &Path, closed: &Closed) -> Option<Withheld> {
        if let Some(secret) = closed.beneath(state) {
            return Some(Withheld::Holds(secret.clone()));
        }
        if let Some(vault) = closed.around(state) {
            return Some(Withheld::Within {
                state: state.to_path_buf(),
                vault: vault.clone(),
            });
        }
        match Grants::find_secret(state, MAX_STATE_READ) {
            Ok(secret) => secret.map(Withheld::Holds),
            Err(PathsError::Io { source, .. }) => Some(Withheld::Unreadable {
                state: state.to_path_buf(),
                source,
            }),
            Err(PathsError::LinkedKeyfile { path, .. }) => Some(Withheld::Holds(path)),
            Err(_) => Some(Withheld::TooMuch(state.to_path_buf())),
        }
    }
}

/// What the rules depend on.
pub(crate) struct Subject<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) environment: &'a Environment,
    pub(crate) access: Access<'a>,
    /// The state directory, if this host has one.
    pub(crate) state: Option<&'a Path>,
    /// Vaults and keyfiles that must stay closed, wherever they lie.
    pub(crate) protect: &'a [PathBuf],
    /// Source trees that the user opened.
    pub(crate) allowed: &'a [PathBuf],
    pub(crate) network: bool,
    pub(crate) timeout: Option<Duration>,
}

/// What a host may reach, and what it goes without.
pub(crate) struct HostRules {
    pub(crate) rules: Rules,
    /// Why it has no state directory, if it was to have one.
    pub(crate) withheld: Option<Withheld>,
    /// The source trees of installed packages that it cannot read.
    pub(crate) closed_sources: Vec<ClosedSource>,
}

/// Works out what a host may reach.
pub(crate) fn rules_for(subject: &Subject<'_>) -> Result<HostRules, PathsError> {
    let mut closed = Closed::new();
    for path in subject.protect {
        closed.add(path)?;
    }
    let readable = subject
        .runtime
        .readable(subject.environment, subject.allowed);
    let mut grants = grant(subject, &readable, closed)?;
    while grants.leaks() {
        // A search found what another mount shows in a place that is not searched.
        grants = grant(subject, &readable, grants.closed)?;
    }
    let mut write = Vec::new();
    if let Access::Exporting { vault, staging } = subject.access {
        grants.closed.put(real(vault));
        write.push(real(staging).into());
    }
    let state = subject.state.filter(|_| subject.access.keeps_state());
    let state = state.map(real);
    let withheld = state
        .as_ref()
        .and_then(|state| Withheld::reason(state, &grants.closed));
    write.extend(state.filter(|_| withheld.is_none()).map(Raw::from));
    let file_size = match subject.access {
        Access::Exporting { .. } => MAX_EXPORT_FILE,
        Access::Reducing { .. } => 0,
        Access::Examining | Access::Listing | Access::Validating => MAX_STATE_FILE,
    };
    let raw = |paths: BTreeSet<PathBuf>| paths.into_iter().map(Raw::from).collect();
    let rules = Rules {
        read: raw(grants.read),
        list: raw(grants.list),
        write,
        execute: executables(subject.runtime),
        calls: Calls::Plugin,
        network: subject.network,
        limits: Limits::new(file_size, subject.timeout),
    };
    Ok(HostRules {
        rules,
        withheld,
        closed_sources: grants.closed_sources,
    })
}

/// Opens what a host may read, around what is closed. For an export, its vault is not among the closed
/// places afterwards.
fn grant(
    subject: &Subject<'_>,
    readable: &[Readable],
    closed: Closed,
) -> Result<Grants, PathsError> {
    let mut grants = Grants::around(closed);
    let vault = match subject.access {
        Access::Exporting { vault, .. } => Some(open_vault(&mut grants, vault)?),
        _ => None,
    };
    for path in SYSTEM {
        grants.open(Path::new(path))?;
    }
    for path in own_limits() {
        grants.open(&path)?;
    }
    if subject.network {
        for path in NETWORK {
            grants.open(Path::new(path))?;
        }
    }
    for readable in readable {
        match readable {
            Readable::Installed(path) => grants.open(path)?,
            Readable::Chosen(path, tree) => grants.open_searched(path, *tree)?,
            Readable::Source(source, tree) => grants.open_source(source, *tree),
        }
    }
    if let Some(vault) = vault {
        grants.closed.take(&vault);
    }
    Ok(grants)
}

/// Opens a vault but for its keyfiles, and closes it to all that is opened after that.
fn open_vault(grants: &mut Grants, vault: &Path) -> Result<PathBuf, PathsError> {
    let vault = fs::canonicalize(vault).map_err(|source| PathsError::Io {
        path: vault.to_path_buf(),
        source,
    })?;
    for keyfile in keyfiles(&vault)? {
        grants.closed.add(&keyfile)?;
    }
    // It may be among what was to stay closed for everything else.
    grants.closed.take(&vault);
    grants.open(&vault)?;
    grants.closed.put(vault.clone());
    Ok(vault)
}

/// The files that say how much memory and processor time this process may use, which is in the same control
/// group as the host (cgroups(7)).
fn own_limits() -> Vec<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits_of_group(&groups)
}

/// The same for what `/proc/self/cgroup` says: lines of `NUMBER:CONTROLLERS:PATH`, with the number 0 and no
/// controllers for version 2.
fn limits_of_group(groups: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (below, names): (&str, &[&str]) = match controllers {
            "" => ("", &["memory.max", "cpu.max"]),
            "memory" => ("memory", &["memory.limit_in_bytes"]),
            _ => continue,
        };
        let directory = Path::new("/sys/fs/cgroup").join(below);
        let directory = directory.join(group.trim_start_matches('/'));
        found.extend(names.iter().map(|name| directory.join(name)));
    }
    found
}

/// The runtime's binaries, and the dynamic loaders that the kernel executes with them.
fn executables(runtime: &Runtime) -> Vec<Raw> {
    let mut found: Vec<PathBuf> = Vec::new();
    for binary in runtime.executables() {
        let loader = dynamic_loader(binary).and_then(|path| fs::canonicalize(path).ok());
        found.extend([Some(binary.to_path_buf()), loader].into_iter().flatten());
    }
    found.into_iter().map(Raw::from).collect()
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
pub(super) mod tests;
