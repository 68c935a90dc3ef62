//! The vault that another one continues: found in a folder, verified, and held against what the
//! successor says of it (spec/VAULT_FORMAT, sections 1 and 8).

use std::fs;
use std::path::{Path, PathBuf};

use provara_core::finding::{Code, Finding};
use provara_core::scan::{Field, scan_line};
use provara_core::verify::files::{GENESIS, Predecessor};

use crate::error::{Context, VaultError};
use crate::vault::Vault;
use crate::verify::VerifyOptions;

/// How many entries of a folder are looked at in search of a predecessor.
const SEARCHED: usize = 10_000;

/// What following a chain of predecessors has found, and the vaults that it has been to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trail {
    pub(crate) visited: Vec<PathBuf>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
}

/// Looks for `predecessor` in `options.predecessors`, verifies it and its own predecessors, and adds
/// what is found to `trail`.
pub(crate) fn follow(
    predecessor: &Predecessor,
    options: &VerifyOptions,
    trail: &mut Trail,
) -> Result<(), VaultError> {
    let Some(folder) = &options.predecessors else {
        let message = "the vault names a predecessor, which was not looked for";
        trail
            .findings
            .push(Finding::new(Code::W008, GENESIS, message));
        return Ok(());
    };
    let seal = predecessor.seal_event_id.as_deref().unwrap_or_default();
    let Some(vault) = find(folder, seal)? else {
        let message = format!("the predecessor, closed by {seal}, is not in the folder searched");
        trail
            .findings
            .push(Finding::new(Code::W008, GENESIS, message));
        return Ok(());
    };
    if trail.visited.iter().any(|visited| visited == vault.path()) {
        let message = "the chain of predecessors comes back to a vault that it started from";
        trail
            .findings
            .push(Finding::new(Code::E302, GENESIS, message));
        return Ok(());
    }
    let name = vault
        .path()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let examined = vault.examine_along(options, trail)?;
    if !examined.report().is_valid() {
        let message = format!(
            "the predecessor '{name}' does not verify: {} findings; verify it by itself to see them",
            examined.report().findings().len()
        );
        trail
            .findings
            .push(Finding::new(Code::E302, GENESIS, message));
        return Ok(());
    }
    if examined.sealed_by().map(|id| id.to_string()).as_deref() != Some(seal) {
        let message = format!("the predecessor '{name}' is not closed by {seal}");
        trail
            .findings
            .push(Finding::new(Code::E302, GENESIS, message));
    }
    let count = examined.report().event_count();
    let root = examined.merkle_root();
    if let Ok(log) = examined.verified() {
        let last = log.lines().last().unwrap_or_default();
        trail.findings.extend(predecessor.check(count, last, root));
    }
    trail.notes.push(format!(
        "the predecessor '{name}' verifies: {count} events, closed by {seal}"
    ));
    Ok(())
}

/// The vault in `folder`, or directly below it, whose log ends with the event `seal`.
fn find(folder: &Path, seal: &str) -> Result<Option<Vault>, VaultError> {
    let entries = fs::read_dir(folder).context("read", folder)?.take(SEARCHED);
    let mut places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // The order of a directory is no order; the same folder gives the same answer.
    places.sort_unstable();
    let ends_with_seal = |place: PathBuf| {
        let vault = Vault::open(&place).ok()?;
        let log = vault.snapshot().ok()?;
        let last = scan_line(log.lines().last()?).ok()?;
        (last.text(Field::EventId)? == seal).then_some(vault)
    };
    let mut places = std::iter::once(folder.to_owned()).chain(places);
    Ok(places.find_map(ends_with_seal))
}
