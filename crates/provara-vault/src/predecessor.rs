//! The vault that another one continues: found in a folder, verified, and held against what the
//! successor says of it (spec/VAULT_FORMAT, sections 1 and 8).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use provara_core::finding::{Code, Finding};
use provara_core::id::Digest;
use provara_core::scan::{Field, scan_line};
use provara_core::verify::files::{GENESIS, Predecessor};
use provara_core::verify::{LogVerdict, report};

use crate::error::{Context, VaultError};
use crate::vault::Vault;
use crate::verify::{Alone, VerifyOptions};

/// How many entries of a folder are looked at in search of predecessors.
const SEARCHED: usize = 10_000;

/// Looks for `predecessor` of `vault` in `options.predecessors`, verifies it and those before it, and
/// gives what is to be said of them: findings of `vault`, and notes.
///
/// A chain may be as long as the folder has vaults. It is walked to its far end first, keeping of each
/// what it takes to judge it, and judged on the way back.
pub(crate) fn follow(
    vault: &Vault,
    predecessor: Predecessor,
    options: &VerifyOptions,
) -> Result<(Vec<Finding>, Vec<String>), VaultError> {
    let finding = |code, message: String| Finding::new(code, GENESIS, message);
    let Some(folder) = &options.predecessors else {
        let message = "the vault names a predecessor, which was not looked for";
        return Ok((vec![finding(Code::W008, message.to_owned())], Vec::new()));
    };
    let closed = closed_vaults(folder)?;
    let mut visited = HashSet::from([vault.path().to_owned()]);
    let mut chain = Vec::new();
    let mut findings = Vec::new();
    let mut next = Some(predecessor);
    while let Some(said) = next.take() {
        let seal = said.seal_event_id.as_deref().unwrap_or_default();
        let Some(vault) = closed.get(seal) else {
            let message =
                format!("the predecessor, closed by {seal}, is not in the folder searched");
            findings.push(finding(Code::W008, message));
            break;
        };
        if !visited.insert(vault.path().to_owned()) {
            let message = "the chain of predecessors comes back to a vault that it started from";
            findings.push(finding(Code::E302, message.to_owned()));
            break;
        }
        let mut alone = vault.examine_alone(options)?;
        next = alone.predecessor.take();
        chain.push(Link::new(vault, said, alone));
    }
    let mut notes = Vec::new();
    for link in chain.into_iter().rev() {
        findings = link.judge(findings, options.strict, &mut notes);
    }
    Ok((findings, notes))
}

/// A vault of the chain.
struct Link {
    name: String,
    /// What the vault after it says of it.
    said: Predecessor,
    verdict: LogVerdict,
    findings: Vec<Finding>,
    notes: Vec<String>,
    merkle_root: Option<Digest>,
    last_line: Vec<u8>,
}

impl Link {
    fn new(vault: &Vault, said: Predecessor, alone: Alone) -> Self {
        let name = vault.path().file_name().unwrap_or_default();
        let last_line = alone.log.as_ref().and_then(|log| log.lines().last());
        Self {
            name: name.to_string_lossy().into_owned(),
            said,
            last_line: last_line.unwrap_or_default().to_owned(),
            verdict: alone.verdict,
            findings: alone.findings,
            notes: alone.notes,
            merkle_root: alone.merkle_root,
        }
    }

    /// What is to be said of it in the vault after it, given what was found of those `before` it: that
    /// it does not verify, or its warnings and notes, which whoever trusts the vault after it must know.
    fn judge(self, before: Vec<Finding>, strict: bool, notes: &mut Vec<String>) -> Vec<Finding> {
        let finding = |message: String| Finding::new(Code::E302, GENESIS, message);
        let (name, said) = (self.name, self.said);
        let sealed_by = self.verdict.sealed_by.map(|id| id.to_string());
        let report = report(self.verdict, self.findings, self.notes, strict);
        let all = || report.findings().iter().chain(&before);
        if !all().all(|finding| finding.code.is_warning()) {
            let findings = match all().count() {
                1 => "1 finding".to_owned(),
                count => format!("{count} findings"),
            };
            return vec![finding(format!(
                "the predecessor '{name}' does not verify ({findings}): verify it by itself to see more"
            ))];
        }
        let seal = said.seal_event_id.as_deref().unwrap_or_default();
        let mut findings = before;
        findings.extend(report.findings().iter().map(|found| {
            let line = found
                .line
                .map_or_else(String::new, |line| format!(":{line}"));
            let message = format!(
                "in the predecessor '{name}', {}{line}: {}",
                found.file, found.message
            );
            Finding::new(found.code, GENESIS, message)
        }));
        if sealed_by.as_deref() != Some(seal) {
            findings.push(finding(format!(
                "the predecessor '{name}' is not closed by {seal}"
            )));
        }
        let count = report.event_count();
        findings.extend(said.check(count, &self.last_line, self.merkle_root));
        notes.push(format!(
            "the predecessor '{name}' verifies: {count} events, closed by {seal}"
        ));
        let told = report.notes().iter();
        notes.extend(told.map(|note| format!("in the predecessor '{name}': {note}")));
        findings
    }
}

/// The vaults in `folder`, or directly below it, by the id of the last event of each.
fn closed_vaults(folder: &Path) -> Result<HashMap<String, Vault>, VaultError> {
    let entries = fs::read_dir(folder).context("read", folder)?.take(SEARCHED);
    let mut places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // The order of a directory is no order; of two with one last event, the first is always the same.
    places.sort_unstable();
    let last_event = |place: PathBuf| {
        let vault = Vault::open(&place).ok()?;
        let log = vault.snapshot().ok()?;
        let last = scan_line(log.lines().last()?).ok()?;
        Some((last.text(Field::EventId)?.into_owned(), vault))
    };
    let places = std::iter::once(folder.to_owned()).chain(places);
    let mut found = HashMap::new();
    for (id, vault) in places.filter_map(last_event) {
        found.entry(id).or_insert(vault);
    }
    Ok(found)
}
