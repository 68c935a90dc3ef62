//! Putting right what an interruption left, and nothing else.
//!
//! A torn tail, a seal that lags behind whole and valid events, temporary files, a command that was
//! interrupted between its steps and a redaction that was not carried out are what honest writers leave.
//! A break inside the log, a seal that does not vouch for what is there and bytes that differ from what was
//! sealed are evidence: they are reported, and stay.

use provara_core::id::{Digest, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::layout;
use provara_core::manifest::{FileEntry, merkle_root, write_merkle_root};
use provara_core::verify::seal::SealStanding;
use serde::Serialize;

use crate::error::{Context, VaultError};
use crate::files::read_text;
use crate::found::Found;
use crate::intent::carry::settle;
use crate::intent::pending::find;
use crate::intent::version_1;
use crate::lock::LockedLog;
use crate::redact::pending::{Unlike, carry_out_pending, open_redactions};
use crate::seal::{Staged, read_entries, set_entry, text_entry};
use crate::vault::Vault;

/// What an interruption left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A command that changes several files ended between its steps.
    Interrupted,
    /// A temporary file.
    Leftover,
    /// The beginning of an event after the last whole one.
    TornTail,
    /// The last event is whole but for its line end.
    LineEnd,
    /// The seal does not cover what stands in the vault.
    LaggingSeal,
    /// `keys.json` does not say what the log says.
    LaggingKeys,
    /// The target of a redaction still has its payload.
    OpenRedaction,
}

/// One thing that is put right, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct RepairStep {
    /// What it is about.
    pub damage: Damage,
    /// What was found and what becomes of it, as a sentence without a full stop.
    pub text: String,
}

impl RepairStep {
    fn new(damage: Damage, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { damage, text }
    }

    /// Whether it is put right without a new seal, and so without a key.
    #[must_use]
    pub fn needs_no_key(&self) -> bool {
        matches!(
            self.damage,
            Damage::Interrupted | Damage::Leftover | Damage::TornTail
        )
    }
}

/// What a repair found and did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RepairReceipt {
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// What was put right, or would be; empty for a vault that lacks nothing.
    pub steps: Vec<RepairStep>,
    /// The root of the seal afterwards; in a dry run, of the seal as it is.
    pub merkle_root: Digest,
    /// The key that signed a new seal.
    pub signed_by: Option<KeyId>,
    /// What there is to know of how it was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What is wrong with what stands there, and what the seal must be over.
struct Diagnosis {
    steps: Vec<RepairStep>,
    /// With the log and `keys.json` as they must be.
    entries: Vec<FileEntry>,
    registry: KeyRegistry,
    add_line_end: bool,
}

impl Vault {
    /// Puts right what an interrupted writer left; with `dry_run`, only says what that would be. With a
    /// keyfile a new seal is signed; without one, in a vault that has no mark, `manifest.sig` stays as it is.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a log that does not verify, and [`VaultError::SealAbsent`],
    /// [`VaultError::SealNotCounting`] or [`VaultError::SealOfOther`] for a seal that does not vouch for it:
    /// evidence, which is never repaired. [`VaultError::Unsigned`] where a marked vault needs a new seal and
    /// there is no key. The errors of a keyfile and of a writer. The vault is then as it was, but for a
    /// command that was interrupted and is settled first.
    pub fn repair(
        &self,
        keyfile: Option<&Keyfile>,
        dry_run: bool,
    ) -> Result<RepairReceipt, VaultError> {
        if dry_run {
            let log = self.lock_for_reading()?;
            return diagnose_all(self, log);
        }
        let (log, notes) = self.lock_for_writing()?;
        let (log, settled) = settle(self, log)?;
        let mut found = Found::look(self, log, Vec::new())?;
        let interrupted = |text| RepairStep::new(Damage::Interrupted, text);
        let mut steps: Vec<_> = settled.into_iter().map(interrupted).collect();
        let open = open_redactions(found.log());
        if let (Some(keyfile), false) = (keyfile, open.is_empty()) {
            found.refuse_fault()?;
            found.refuse_seal()?;
            found.recollect()?;
            let (log, note) = carry_out_pending(self, found.log, keyfile, Unlike::Refused)?;
            steps.extend(note.map(|note| RepairStep::new(Damage::OpenRedaction, note)));
            found = Found::look(self, log, Vec::new())?;
        }
        let mut diagnosis = diagnose(&mut found)?;
        diagnosis
            .steps
            .retain(|step| step.damage != Damage::OpenRedaction);
        let reseals = !diagnosis.steps.iter().all(RepairStep::needs_no_key);
        let key = match keyfile.filter(|_| reseals) {
            None if reseals && found.is_marked() => return Err(VaultError::Unsigned),
            None => None,
            Some(keyfile) => Some(found.signing_key(keyfile, None)?),
        };
        let mut root = merkle_root(read_entries(self.path())?.iter().map(FileEntry::leaf));
        let mut staged = Staged::new(self.layer());
        if reseals {
            let keys = diagnosis.registry.to_json();
            if diagnosis.has(Damage::LaggingKeys) {
                staged.add(self.path().join(layout::KEYS), &keys)?;
            }
            root = staged.add_seal(self.path(), diagnosis.entries.clone(), key)?;
        }
        let seal = staged.sync()?;
        found.clear()?;
        // What was done, in the place of what was to be.
        for text in std::mem::take(&mut found.notes) {
            let damage = match text.contains("interrupted append") {
                true => Damage::TornTail,
                false => Damage::Leftover,
            };
            steps.push(RepairStep::new(damage, text));
        }
        if diagnosis.add_line_end {
            let path = self.log_path();
            let layer = self.layer();
            found.log.check(found.whole as u64)?;
            layer
                .append(&found.log, &path, b"\n")
                .context("write to", &path)?;
            layer
                .sync_data(&found.log, &path)
                .map_err(|source| VaultError::Sync { path, source })?;
            found.log.note_change();
        }
        let length = found.whole as u64 + u64::from(diagnosis.add_line_end);
        seal.publish(&found.log, length)?;
        steps.extend(
            diagnosis
                .steps
                .into_iter()
                .filter(|step| !matches!(step.damage, Damage::TornTail | Damage::Leftover)),
        );
        Ok(RepairReceipt {
            dry_run,
            steps,
            merkle_root: root,
            signed_by: key.map(|key| key.key_id()),
            notes,
        })
    }
}

impl Diagnosis {
    fn add(&mut self, damage: Damage, text: impl Into<String>) {
        self.steps.push(RepairStep::new(damage, text));
    }

    fn has(&self, damage: Damage) -> bool {
        self.steps.iter().any(|step| step.damage == damage)
    }
}

/// What a repair would do.
fn diagnose_all(vault: &Vault, log: LockedLog) -> Result<RepairReceipt, VaultError> {
    let of_old_version = version_1::interrupted(vault, &log)?;
    let interrupted = match of_old_version {
        Some((_, state)) => Some(state.note()),
        None => find(vault)?.map(|pending| pending.note()),
    };
    let steps = match interrupted {
        // What else there is shows once that is settled.
        Some(text) => vec![RepairStep::new(Damage::Interrupted, text)],
        None => diagnose(&mut Found::look(vault, log, Vec::new())?)?.steps,
    };
    let entries = read_entries(vault.path())?;
    Ok(RepairReceipt {
        dry_run: true,
        steps,
        merkle_root: merkle_root(entries.iter().map(FileEntry::leaf)),
        signed_by: None,
        notes: Vec::new(),
    })
}

fn diagnose(found: &mut Found<'_>) -> Result<Diagnosis, VaultError> {
    found.refuse_fault()?;
    found.refuse_seal()?;
    // Its notes are no damage.
    found.recollect()?;
    let entries = std::mem::replace(&mut found.entries, Ok(Vec::new()))?;
    let sealed = match found.judgement.standing {
        SealStanding::Continued { length, .. } => length,
        _ => found.whole as u64,
    };
    let index = found.index.as_ref().expect("a log that verifies");
    let mut diagnosis = Diagnosis {
        steps: Vec::new(),
        entries,
        registry: found.registry.clone(),
        add_line_end: index.unterminated && found.whole as u64 > sealed,
    };
    for name in found.leftovers() {
        diagnosis.add(
            Damage::Leftover,
            format!("{name}, which an interrupted writer left, is removed"),
        );
    }
    let torn = found.bytes.len() - found.whole as u64;
    if torn > 0 {
        diagnosis.add(
            Damage::TornTail,
            format!(
                "the log ends with {torn} bytes of an interrupted append (from byte {}); they are \
                 moved to a file outside the vault",
                found.whole
            ),
        );
    }
    let mut log = found.log().to_vec();
    if diagnosis.add_line_end {
        log.push(b'\n');
        let text = "the last event lacks its line end; it is added";
        diagnosis.add(Damage::LineEnd, text);
    }
    if found.whole as u64 > sealed {
        let bytes = found.whole as u64 - sealed;
        let text = format!("the seal lags behind the log by {bytes} bytes of whole, valid events");
        diagnosis.add(Damage::LaggingSeal, text);
    }
    let keys = diagnosis.registry.to_json();
    let keys_lag = found.keys_lag;
    if keys_lag {
        let text = format!("{} is brought in line with the log", layout::KEYS);
        diagnosis.add(Damage::LaggingKeys, text);
        set_entry(&mut diagnosis.entries, text_entry(layout::KEYS, &keys));
    }
    for path in &found.unlisted {
        let text = format!("{path} is not in the seal yet");
        diagnosis.add(Damage::LaggingSeal, text);
    }
    set_entry(&mut diagnosis.entries, text_entry(layout::LOG, &log));
    if !diagnosis.has(Damage::LaggingSeal) && !keys_lag {
        stale_files(found, &mut diagnosis)?;
    }
    let open = open_redactions(found.log());
    for redaction in open {
        let text = format!("the payload that {redaction} redacts is still there; it is replaced");
        diagnosis.add(Damage::OpenRedaction, text);
    }
    Ok(diagnosis)
}

/// The files of the seal that are of another state than its signature.
fn stale_files(found: &Found<'_>, diagnosis: &mut Diagnosis) -> Result<(), VaultError> {
    let root = merkle_root(diagnosis.entries.iter().map(FileEntry::leaf));
    let listed = read_entries(found.vault.path())?;
    let stated = read_text(found.vault.path(), layout::MERKLE_ROOT)?;
    let stale = [
        (
            layout::MANIFEST,
            merkle_root(listed.iter().map(FileEntry::leaf)) != root,
        ),
        (layout::MERKLE_ROOT, stated != Some(write_merkle_root(root))),
        (layout::MANIFEST_SIG, found.judgement.root != Some(root)),
    ];
    for (file, _) in stale.into_iter().filter(|(_, stale)| *stale) {
        let text = format!("{file} is of another state than the vault");
        diagnosis.add(Damage::LaggingSeal, text);
    }
    Ok(())
}
