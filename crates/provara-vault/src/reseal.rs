//! Making the seal anew over whatever the vault holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;

use provara_core::finding::Severity;
use provara_core::id::Digest;
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::layout;
use provara_core::layout::REQUIRED;
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::verify::LogVerdict;
use provara_core::verify::seal::files_beside_log;

use crate::clock;
use crate::error::{Context, VaultError};
use crate::files::is_absence;
use crate::found::{Found, refused_log};
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::memory;
use crate::scribe::{OWNER, Scribe};
use crate::seal::{SealReceipt, Staged, sealed_prefix, set_entry, text_entry};
use crate::state_dir::keep;
use crate::vault::Vault;
use crate::walk::{Kind, walk};

impl Vault {
    /// Makes the seal anew: every file of the vault as it is now, artifacts and policies that were changed
    /// by hand among them. In a marked vault an event states those files, so that the log speaks of them.
    /// The notes name what differs from the seal before.
    ///
    /// Without a keyfile, in a vault that has no mark, the list and its root are written, and `manifest.sig`
    /// stays as it is: nobody vouches for the result.
    ///
    /// A torn tail is moved out first, as an append does. Nothing else is mended.
    ///
    /// # Errors
    /// [`VaultError::Locked`]; [`VaultError::BrokenLog`] for a log that does not verify, and
    /// [`VaultError::SealAbsent`], [`VaultError::SealNotCounting`] or [`VaultError::SealOfOther`] for a seal
    /// that does not vouch for it: an owner who has looked [adopts](Vault::adopt) such a state; [`VaultError::Unsigned`] where a marked vault was to be sealed
    /// by nobody; [`VaultError::Structure`] for what a vault cannot hold, such as a link that leaves it; the
    /// errors of a keyfile, or [`VaultError::Io`].
    pub fn manifest(&self, keyfile: Option<&Keyfile>) -> Result<SealReceipt, VaultError> {
        self.manifest_by(keyfile, OWNER)
    }

    /// As [`Vault::manifest`], where `actor` states the files.
    ///
    /// # Errors
    /// As [`Vault::manifest`].
    pub fn manifest_by(
        &self,
        keyfile: Option<&Keyfile>,
        actor: &str,
    ) -> Result<SealReceipt, VaultError> {
        let found = Found::open(self)?;
        self.refuse_missing_files()?;
        match keyfile {
            Some(keyfile) => signed(found, keyfile, actor),
            None if found.is_marked() => Err(VaultError::Unsigned),
            None => unsigned(found),
        }
    }

    /// Refuses a vault that lacks a file that every vault has: sealed without it, it would not verify
    /// either, and the digest that the seal has of it would be gone.
    pub(crate) fn refuse_missing_files(&self) -> Result<(), VaultError> {
        for file in REQUIRED {
            let there = fs::symlink_metadata(self.path().join(file));
            if there.is_err_and(|error| is_absence(&error)) {
                return Err(VaultError::Structure {
                    file: file.to_owned(),
                    reason: "a file that every vault has is missing".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The files below the vault that hold private keys, absolute, sorted: the default keyfile and
    /// any other that parses as one.
    ///
    /// # Errors
    /// [`VaultError::Io`] where a file cannot be read.
    pub fn protected_files(&self) -> Result<Vec<std::path::PathBuf>, VaultError> {
        /// A keyfile of this size would hold some 10,000 keys.
        const LARGEST: u64 = 2 << 20;
        let mut protected = Vec::new();
        for found in walk(self.path())? {
            let path = self.path().join(&found.path);
            if matches!(found.kind, Kind::Unsafe(_)) {
                continue;
            }
            let size = fs::metadata(&path).context("read", &path)?.len();
            let holds_keys = found.path == layout::PRIVATE_KEYS
                || (size <= LARGEST && {
                    let text = zeroize::Zeroizing::new(fs::read(&path).context("read", &path)?);
                    provara_core::keys::looks_like_keyfile(&text)
                });
            if holds_keys {
                protected.push(path);
            }
        }
        Ok(protected)
    }
}

/// A seal of all files as they are, signed.
fn signed(mut found: Found<'_>, keyfile: &Keyfile, actor: &str) -> Result<SealReceipt, VaultError> {
    found.refuse_fault()?;
    found.refuse_unless_vouched()?;
    std::mem::replace(&mut found.entries, Ok(Vec::new()))?;
    let before = found.manifest.clone();
    let key = found.signing_key(keyfile, None)?;
    let mut entries = found.standing_entries();
    let mut files = Vec::new();
    if let Some(text) = found.keys_text() {
        set_entry(&mut entries, text_entry(layout::KEYS, &text));
        files.push((layout::KEYS.into(), text));
        let note = format!("{} was brought in line with the log", layout::KEYS);
        found.notes.push(note);
    }
    let mut text = Vec::new();
    if found.is_marked() && !states(&found.verdict, &entries, &before) {
        text = statement(&found, &entries, key, actor)?;
        let note = "the log states the files beside it".to_owned();
        found.notes.push(note);
    }
    let log = [found.log(), &text].concat();
    set_entry(&mut entries, text_entry(layout::LOG, &log));
    found.notes.extend(differences(&before, &entries));
    let file_count = entries.len() as u64;
    let seal = SealText::write(entries, key)?;
    files.extend(seal.files);
    let events = u64::from(!text.is_empty());
    let plan = Plan {
        operation: Operation::Manifest,
        log: match text.is_empty() {
            true => NewLog::Same,
            false => NewLog::Appended {
                before: found.log(),
                text,
            },
        },
        files,
        removed: Vec::new(),
        seal: seal.signature,
    };
    let prepared = plan.prepare(found.vault, &found.log)?;
    drop(plan);
    found.clear()?;
    let _log = prepared.carry_out(found.log, found.whole as u64)?;
    found.notes.extend(memory::set(found.vault).notes());
    Ok(SealReceipt {
        merkle_root: seal.root,
        file_count,
        event_count: found.verdict.lines + events,
        signed_by: Some(key.key_id()),
        notes: found.notes,
    })
}

/// The list and its root, which nobody signs: of a vault without a mark.
fn unsigned(mut found: Found<'_>) -> Result<SealReceipt, VaultError> {
    let before = match std::mem::replace(&mut found.entries, Ok(Vec::new())) {
        Err(VaultError::Structure { reason, .. }) => {
            let reason = format!("{}: {reason}", layout::MANIFEST);
            return Err(VaultError::NoSeal { reason });
        }
        before => before?,
    };
    // Listed anew, a log that was changed or lost its end would look whole.
    let sealed = sealed_prefix(&before, &found.bytes)?.length;
    let mut faults = found.verdict.findings.iter();
    let fault = |severity| severity == Severity::Error;
    if let Some(finding) = faults.find(|finding| fault(finding.severity)) {
        let error = refused_log(finding);
        if finding.offset.is_some_and(|offset| offset >= sealed) {
            return Err(error);
        }
        found
            .notes
            .push(format!("{error}; the list covers it as it is"));
    }
    let entries = found.standing_entries();
    found.notes.extend(differences(&before, &entries));
    let file_count = entries.len() as u64;
    let mut staged = Staged::new(found.vault.layer());
    let merkle_root = staged.add_seal(found.vault.path(), entries, None)?;
    let seal = staged.sync()?;
    found.clear()?;
    seal.publish(&found.log, found.whole as u64)?;
    Ok(SealReceipt {
        merkle_root,
        file_count,
        event_count: found.verdict.lines,
        signed_by: None,
        notes: found.notes,
    })
}

/// What follows the log once it states the files of a seal over `entries`.
pub(crate) fn statement(
    found: &Found<'_>,
    entries: &[FileEntry],
    key: &SigningKey,
    actor: &str,
) -> Result<Vec<u8>, VaultError> {
    let index = found.index.clone().expect("a log that verifies");
    if let Some(event_id) = index.closed {
        return Err(VaultError::Closed { event_id });
    }
    let mut scribe = Scribe::new(index, actor, key, found.seal_name())?;
    scribe.state_files(entries.iter())?;
    Ok(scribe.finish())
}

/// Whether the log states the files beside it that `entries` list. Where it states none, those `before` need
/// no statement.
pub(crate) fn states(verdict: &LogVerdict, entries: &[FileEntry], before: &[FileEntry]) -> bool {
    let files = files_beside_log(entries.iter());
    match verdict.files.last() {
        Some(stated) => (stated.count, stated.root) == files,
        None => files_beside_log(before.iter()) == files,
    }
}

/// The files of a signed seal, as texts.
pub(crate) struct SealText {
    /// `manifest.json` and `merkle_root.txt`.
    pub(crate) files: [(Cow<'static, str>, Vec<u8>); 2],
    /// `manifest.sig`.
    pub(crate) signature: Vec<u8>,
    pub(crate) root: Digest,
}

impl SealText {
    /// A seal over `entries`; one time stands in the list and in its signature.
    pub(crate) fn write(entries: Vec<FileEntry>, key: &SigningKey) -> Result<Self, VaultError> {
        let now = clock::now()?;
        let (manifest, root) = write_manifest(entries, now);
        Ok(Self {
            files: [
                (layout::MANIFEST.into(), manifest),
                (layout::MERKLE_ROOT.into(), write_merkle_root(root)),
            ],
            signature: sign_root(root, key, now),
            root,
        })
    }
}

/// What becomes of checkpoints that go: copies stay outside the vault, unless a payload that is to be gone
/// may stand in them.
pub(crate) fn retire(
    vault: &Vault,
    checkpoints: &[String],
    keep_copies: bool,
) -> Result<Vec<String>, VaultError> {
    let mut notes = Vec::new();
    for relative in checkpoints {
        let is_anchor = layout::anchor_kind(relative).is_some();
        // An anchor holds nothing of a payload.
        if !keep_copies && !is_anchor {
            notes.push(format!(
                "{relative} held what the redacted event said, or could; it was removed, and no copy is kept"
            ));
            continue;
        }
        let file = vault.path().join(relative);
        let text = fs::read(&file).context("read", &file)?;
        let name = relative.replace('/', "-");
        let (name, end) = name.rsplit_once('.').unwrap_or((&name, "chk"));
        let kept = keep(vault.state_directory(), vault.path(), name, end, &text)?;
        let what = match is_anchor {
            true => "is of a tree head that no longer holds",
            false => "was of a prefix that the log no longer has",
        };
        notes.push(format!(
            "{relative} {what}; it was moved to '{}'",
            kept.display()
        ));
    }
    Ok(notes)
}

/// How the files differ from those of the seal before, one sentence each. That the log grew is no
/// news.
pub(crate) fn differences<'a>(before: &'a [FileEntry], after: &'a [FileEntry]) -> Vec<String> {
    // In whatever order they stand: with many files a search for each would take long.
    let by_path = |entries: &'a [FileEntry]| -> HashMap<&'a str, &'a FileEntry> {
        entries
            .iter()
            .rev()
            .map(|it| (it.path.as_str(), it))
            .collect()
    };
    let (old, new) = (by_path(before), by_path(after));
    let mut notes = Vec::new();
    for entry in after {
        match old.get(entry.path.as_str()).copied() {
            None => notes.push(format!("{} is new in the seal", entry.path)),
            Some(old) if old == entry => {}
            Some(old) if entry.path == layout::LOG && old.size <= entry.size => {}
            Some(old) if old.size == entry.size => {
                notes.push(format!("{} has changed", entry.path));
            }
            Some(old) => notes.push(format!(
                "{} has changed from {} to {} bytes",
                entry.path, old.size, entry.size
            )),
        }
    }
    let gone = before
        .iter()
        .filter(|old| !new.contains_key(old.path.as_str()));
    notes.extend(gone.map(|old| format!("{} is gone", old.path)));
    notes
}
