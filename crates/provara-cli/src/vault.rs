//! Opening a vault and finding the key to sign with.

use std::path::{Path, PathBuf};

use provara_core::keys::Keyfile;
use provara_explain::{nearest, vault_failure};
use provara_report::{Class, Diagnostic};
use provara_vault::{Vault, VaultError};

use crate::args::LockArgs;

/// Opens the vault at `path`.
pub(crate) fn open(path: &Path) -> Result<Vault, Diagnostic> {
    Vault::open(path).map(ours).map_err(|error| {
        let failure = vault_failure(error, path);
        match is_nothing(path) {
            // Nobody who reads a vault, or changes one, wants a new one in its place.
            true => failure.fix(not_there(path)),
            false => failure,
        }
    })
}

/// Opens the vault at `path` for a verification: it may lie in an archive.
pub(crate) fn open_to_verify(path: &Path) -> Result<Vault, Diagnostic> {
    match Vault::open_to_verify(path) {
        // What is in an archive is at no place of its own, where a later state could be remembered.
        Ok(vault) if vault.is_archive() => Ok(vault),
        Err(error @ VaultError::Archive(_)) => Err(vault_failure(error, path)),
        _ => open(path),
    }
}

/// Opens the vault at `path` for a command that writes to it.
pub(crate) fn open_to_write(path: &Path, lock: LockArgs) -> Result<Vault, Diagnostic> {
    open(path).map(|vault| vault.with_no_lock(lock.no_lock))
}

/// Opens the vault at `path` for the first event, perhaps: where none is, a new one may be what is wanted.
pub(crate) fn open_to_append(path: &Path, lock: LockArgs) -> Result<Vault, Diagnostic> {
    Vault::open(path)
        .map(|vault| ours(vault).with_no_lock(lock.no_lock))
        .map_err(|error| vault_failure(error, path))
}

fn ours(vault: Vault) -> Vault {
    vault
        .with_cache_directory(provara_vault::default_cache_directory())
        .with_memory(true)
}

/// Whether nothing is at the path. A link that leads nowhere is not mistyped.
fn is_nothing(path: &Path) -> bool {
    !path.exists() && !path.is_symlink()
}

/// What helps where nothing is at the path: what stands beside it under a like name, and what this machine saw.
fn not_there(path: &Path) -> String {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let names = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let names: Vec<_> = names
        .take(1000)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let typed = path.file_name().and_then(|name| name.to_str());
    let near = typed.and_then(|name| nearest(name, names.iter().map(String::as_str)));
    match near {
        Some(name) => format!(
            "Did you mean {}? 'provara memory list' shows where this machine saw vaults.",
            provara_report::shell(&path.with_file_name(name))
        ),
        None => {
            "Check the path; 'provara memory list' shows where this machine saw vaults.".to_owned()
        }
    }
}

/// Remembers the vault that was just made at `path`; gives what there is to tell of that.
pub(crate) fn remember_as_made(path: &Path) -> Vec<String> {
    Vault::open(path).map_or_else(
        // Somebody took it away again.
        |_| Vec::new(),
        |vault| vault.with_memory(true).remember_as_made(),
    )
}

/// Where the keyfile to sign with is: `--keyfile`, `PROVARA_KEYFILE`, the vault's own.
pub(crate) fn keyfile_path(vault: &Vault, option: Option<&Path>) -> PathBuf {
    option
        .map(Path::to_owned)
        .or_else(|| environment("PROVARA_KEYFILE").map(PathBuf::from))
        .unwrap_or_else(|| vault.default_keyfile())
}

/// Reads the keyfile to sign with.
pub(crate) fn keyfile(vault: &Vault, option: Option<&Path>) -> Result<Keyfile, Diagnostic> {
    let path = keyfile_path(vault, option);
    provara_vault::read_keyfile(&path).map_err(|error| {
        let failure = vault_failure(error, vault.path());
        match option.is_none() && environment("PROVARA_KEYFILE").is_some() {
            true => failure.detail("PROVARA_KEYFILE names it."),
            false => failure,
        }
    })
}

/// Who makes the statements: `--actor`, `PROVARA_ACTOR`, or the default.
pub(crate) fn actor(option: Option<&str>) -> Result<String, Diagnostic> {
    if let Some(actor) = option {
        return Ok(actor.to_owned());
    }
    match environment("PROVARA_ACTOR").map(std::ffi::OsString::into_string) {
        None => Ok("provara_user".to_owned()),
        Some(Ok(actor)) => Ok(actor),
        Some(Err(_)) => Err(Diagnostic::new(Class::Usage, "PROVARA_ACTOR is not UTF-8.")
            .fix("Set it to a name, or give --actor NAME.")),
    }
}

/// The value of an environment variable; an empty one counts as absent.
pub(crate) fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
