//! The seal over what a batch has written, and the receipts that it allows.

use std::time::Instant;

use provara_core::id::{Digest, KeyId};
use provara_core::layout;

use super::BatchWriter;
use crate::append::AppendReceipt;
use crate::error::VaultError;
use crate::seal::{Staged, log_entry, set_entry, text_entry};

impl BatchWriter<'_> {
    /// Renews the seal over all that was handed to the disk.
    pub(super) fn seal(&mut self) -> Result<(), VaultError> {
        self.settle()?;
        let Some((event_id, key_id)) = self.last.filter(|_| self.lags) else {
            return self.acknowledge_repeats(self.events);
        };
        match self.renew_seal(key_id) {
            Ok(root) => self.acknowledge(root),
            Err(lost @ VaultError::LogLost { .. }) => {
                self.writer.stopped = true;
                Err(lost)
            }
            Err(source) => {
                self.writer.stopped = true;
                Err(VaultError::SealLags {
                    event_id,
                    line: self.writer.index.lines,
                    source: Box::new(source),
                })
            }
        }
    }

    fn renew_seal(&mut self, key_id: KeyId) -> Result<Digest, VaultError> {
        let writer = &mut self.writer;
        // The next event names this seal, as it covers all that was placed.
        debug_assert!(self.queue.is_empty() && self.handed == writer.index.len);
        let key = self.keyfile.get(&key_id).expect("chosen from the keyfile");
        let mut entries = writer.entries.clone();
        let mut staged = Staged::new(writer.vault.layer());
        if writer.keys_lag {
            let text = writer.registry.to_json();
            staged.add(writer.vault.path().join(layout::KEYS), &text)?;
            set_entry(&mut entries, text_entry(layout::KEYS, &text));
        }
        set_entry(&mut entries, log_entry(&writer.hasher, self.handed));
        let seal = staged.add_signed_seal(writer.vault.path(), entries.clone(), key)?;
        let names = staged.sync()?.publish_names(&writer.log, self.handed)?;
        writer.sealed(entries, seal, names);
        writer.recollect(&std::mem::take(&mut self.leaves));
        Ok(seal.root)
    }

    /// What was written is sealed under `root`.
    pub(super) fn acknowledge(&mut self, root: Digest) -> Result<(), VaultError> {
        let before = std::mem::replace(&mut self.sealed_events, self.events);
        self.lags = false;
        self.sealed_at = Instant::now();
        self.fresh.clear();
        let unsealed = std::mem::take(&mut self.unsealed);
        if self.repeats.is_empty() {
            let sealed = unsealed.into_iter().map(|receipt| AppendReceipt {
                merkle_root: root,
                ..receipt
            });
            self.receipts.extend(sealed);
            return Ok(());
        }
        for (receipt, events) in unsealed.into_iter().zip(before..) {
            self.acknowledge_repeats(events)?;
            self.receipts.push(AppendReceipt {
                merkle_root: root,
                ..receipt
            });
        }
        self.acknowledge_repeats(self.events)
    }
}
