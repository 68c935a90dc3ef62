//! A merge that verifies, put in the place of the vault that it was merged into.

use provara_core::keys::SigningKey;
use provara_core::layout;
use provara_core::manifest::FileEntry;

use super::MergeReceipt;
use crate::error::VaultError;
use crate::found::Found;
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::memory;
use crate::replay_record;
use crate::reseal::{SealText, retire};
use crate::seal::{set_entry, text_entry};

/// A merged vault that verifies, before anything of it is written.
pub(super) struct Joined<'l> {
    pub(super) log: &'l [u8],
    /// How many bytes at its start are as they were.
    pub(super) kept_prefix: usize,
    /// The other files that change, by path.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    /// What the old seal lists, with the files that change: the log's own entry, and checkpoints that are to
    /// go, are still the old ones.
    pub(super) entries: Vec<FileEntry>,
    /// The anchors of heads that the log does not go on from.
    pub(super) broken: Vec<String>,
    /// Whether a payload goes from the log.
    pub(super) erases: bool,
}

impl Joined<'_> {
    /// Puts it in the place of ours, sealed with `key`.
    pub(super) fn publish(
        self,
        mut ours: Found<'_>,
        key: &SigningKey,
        receipt: &mut MergeReceipt,
    ) -> Result<(), VaultError> {
        let Self {
            log, mut entries, ..
        } = self;
        let files = self.files.into_iter();
        let mut files: Vec<_> = files.map(|(path, text)| (path.into(), text)).collect();
        let vault = ours.vault;
        let lines = memchr::memchr_iter(b'\n', &log[..self.kept_prefix]).count() as u64;
        receipt.signed_by = Some(key.key_id());
        set_entry(&mut entries, text_entry(layout::LOG, log));
        let broken = self.broken;
        let retired = |path: &str| {
            layout::checkpoint_events(path).is_some_and(|count| count > lines)
                || broken.iter().any(|it| it == path)
        };
        let (removed, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| retired(&entry.path));
        let removed: Vec<String> = removed.into_iter().map(|entry| entry.path).collect();
        let seal = SealText::write(entries, key)?;
        files.extend(seal.files);
        let log = match log.strip_prefix(ours.log()) {
            Some([]) => NewLog::Same,
            Some(text) => NewLog::Appended {
                before: ours.log(),
                text: text.to_vec(),
            },
            None => NewLog::Other {
                before: ours.log(),
                log,
            },
        };
        let plan = Plan {
            operation: Operation::Merge,
            log,
            files,
            removed: removed.clone(),
            seal: seal.signature,
        };
        if self.erases {
            replay_record::forget(vault);
        }
        let prepared = plan.prepare(vault, &ours.log)?;
        drop(plan);
        let retirement = retire(vault, &removed, !self.erases)?;
        ours.notes.clear();
        ours.clear()?;
        receipt.notes.append(&mut ours.notes);
        receipt.notes.extend(retirement);
        let _log = prepared.carry_out(ours.log, ours.whole as u64)?;
        if self.erases {
            // A replay may have been at work meanwhile.
            replay_record::forget(vault);
        }
        receipt.notes.extend(memory::set(vault).notes());
        receipt.merkle_root = seal.root;
        let is_anchor = |path: &String| layout::anchor_kind(path).is_some();
        (receipt.retired_anchors, receipt.retired_checkpoints) =
            removed.into_iter().partition(is_anchor);
        Ok(())
    }
}
