//! Turns: a batch that takes long lets other writers in between its groups, and then goes on from what they
//! left.
//!
//! It lets go of the lock where all that it was given is sealed, and the next writer finds a vault at rest. It
//! comes back as any writer comes: it judges what stands there, unless that is what it left. And it asks one
//! thing more: whether the log still holds what it acknowledged.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use provara_core::id::EventId;
use provara_core::keys::Keyfile;
use provara_core::layout;
use provara_core::manifest::FileEntry;

use super::BatchWriter;
use crate::error::{Context, Loss, VaultError};
use crate::files::read_text;
use crate::lock::LockedLog;
use crate::log_snapshot::LogSnapshot;
use crate::seal::text_entry;
use crate::vault::Vault;
use crate::writer::state::SealTexts;
use crate::writer::{LogWriter, lock_settled};

/// The shortest turn.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long the lock is left alone: those who wait for it have been woken, and whoever takes it at once again
/// is there before them.
const HANDOVER: Duration = Duration::from_millis(2);

/// How much of the log's end is compared, in bytes.
const COMPARED: u64 = 4096;

/// How many events a batch takes, at most, before it looks at the clock.
pub(super) const PIECE: usize = 16 << 10;

/// What a writer has seen of a log when it let go of it: enough to tell, later, that the log still holds what
/// it had appended.
#[derive(Debug, Clone)]
pub struct LastSeen {
    /// Where its last bytes begin, and these.
    end: (u64, Vec<u8>),
    /// Its last event.
    event_id: EventId,
}

impl LastSeen {
    /// Refuses a log that does not hold the event any more. It may be another file meanwhile, as after a
    /// merge.
    fn check(&self, vault: &Vault, log: &LockedLog) -> Result<(), VaultError> {
        // The signature is among them: nothing but the event ends like that.
        let (from, end) = &self.end;
        let mut found = vec![0; end.len()];
        let read = log.read_exact_at(&mut found, *from);
        if read.is_ok() && found == *end {
            return Ok(());
        }
        let path = vault.log_path();
        let there = log.metadata().context("read", &path)?;
        let bytes = LogSnapshot::of_prefix(log, there.len(), &path)?;
        let needle = format!("\"event_id\":\"{}\"", self.event_id);
        match memmem::find(&bytes, needle.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(VaultError::LogLost {
                path,
                loss: Loss::Gone {
                    event_id: self.event_id,
                },
                acknowledged: 0,
            }),
        }
    }
}

impl<'v> LogWriter<'v> {
    /// As [`LogWriter::open_with`], for a writer that has been here before.
    ///
    /// # Errors
    /// As [`LogWriter::open_with`]; [`VaultError::LogLost`] where the log does not hold any more what was
    /// seen.
    pub fn open_after(
        vault: &'v Vault,
        keyfile: &Keyfile,
        seen: Option<&LastSeen>,
    ) -> Result<Self, VaultError> {
        let (log, notes) = lock_settled(vault)?;
        if let Some(seen) = seen {
            seen.check(vault, &log)?;
        }
        Self::open_locked(vault, log, keyfile, notes)
    }

    /// What is there now.
    fn seen(&self) -> Option<LastSeen> {
        let there = self.log.metadata().ok()?;
        let from = there.len().saturating_sub(COMPARED);
        let mut end = vec![0; there.len().min(COMPARED) as usize];
        self.log.read_exact_at(&mut end, from).ok()?;
        Some(LastSeen {
            end: (from, end),
            event_id: self.index.last_event?,
        })
    }

    /// Whether `log`, under its lock, and its seal are what this writer left.
    fn left(&self, log: &LockedLog) -> bool {
        let open = self.log.metadata().ok();
        let there = log.metadata().ok();
        let id = |it: &std::fs::Metadata| (it.dev(), it.ino(), it.len());
        let same = open.as_ref().map(id) == there.as_ref().map(id)
            && log.is_as_left(&self.log)
            && there.is_some_and(|there| there.len() == self.index.len);
        same && self.torn.is_none() && self.left_files()
    }

    /// Whether the seal and `keys.json` are what this writer left: that the log is does not say so, where another program
    /// was at work.
    fn left_files(&self) -> bool {
        let root = self.vault.path();
        let Ok(Some(keys)) = read_text(root, layout::KEYS) else {
            return false;
        };
        SealTexts::read(self.vault).is_ok_and(|texts| {
            let listed = texts.entries();
            texts.signature_digest() == Some(self.seal.signature)
                && listed
                    .is_ok_and(|listed| beside_the_log(&listed).eq(beside_the_log(&self.entries)))
        }) && self.entries.contains(&text_entry(layout::KEYS, &keys))
    }
}

/// The entries of a manifest but for the log, which grows.
fn beside_the_log(entries: &[FileEntry]) -> impl Iterator<Item = &FileEntry> {
    entries.iter().filter(|entry| entry.path != layout::LOG)
}

/// A batch between two turns.
#[derive(Debug)]
pub(super) struct Away {
    since: Instant,
    seen: Option<LastSeen>,
}

impl BatchWriter<'_> {
    /// Whether others may be waiting for longer than they should.
    pub(super) fn turn_is_over(&self) -> bool {
        let turn = self.options.seal_interval.max(SHORTEST);
        // What it costs to come back may not be most of what is done.
        !self.options.atomic
            && !self.options.dry_run
            && self.turn_since.elapsed() >= turn.max(self.return_took * 4)
    }

    /// Lets go of the lock. All that was taken must be sealed.
    pub(super) fn go_away(&mut self) {
        if self.away.is_some() || self.writer.stopped {
            return;
        }
        debug_assert!(self.queue.is_empty() && !self.lags);
        // It holds the log, and what it knows of the log may be old when it is asked next.
        self.pipeline = None;
        self.writer.remember(self.keyfile);
        let seen = self.writer.seen();
        self.writer.log.release();
        self.away = Some(Away {
            since: Instant::now(),
            seen,
        });
    }

    /// Takes the lock again, if the batch is away, and goes on from what stands there.
    pub(super) fn come_back(&mut self) -> Result<(), VaultError> {
        let Some(away) = self.away.take() else {
            return Ok(());
        };
        // Whatever goes wrong, what was placed cannot be written any more.
        self.take_again(&away).map_err(|error| {
            self.writer.stopped = true;
            self.not_resumed = true;
            if matches!(error, VaultError::LogLost { .. }) {
                return error;
            }
            // Whatever it met where the vault was, it is not the vault that it had.
            match self.writer.log.check_root() {
                Err(lost @ VaultError::LogLost { .. }) => lost,
                _ => error,
            }
        })
    }

    fn take_again(&mut self, away: &Away) -> Result<(), VaultError> {
        self.writer.refuse_if_stopped()?;
        thread::sleep(HANDOVER.saturating_sub(away.since.elapsed()));
        let vault = self.writer.vault;
        let (log, notes) = lock_settled(vault)?;
        let start = Instant::now();
        self.turn_since = start;
        if notes.is_empty() && self.writer.left(&log) {
            log.note_read(self.writer.index.len, &self.writer.hasher);
            self.writer.log = Arc::new(log);
            return Ok(());
        }
        if let Some(seen) = &away.seen {
            seen.check(vault, &log)?;
        }
        let mut found = LogWriter::open_locked(vault, log, self.keyfile, notes)?;
        let before = &mut self.writer;
        let others = found.index.lines.saturating_sub(before.index.lines);
        self.others += others;
        let mut notes = std::mem::take(&mut before.notes);
        notes.append(&mut found.notes);
        found.notes = notes;
        found.forgetful = before.forgetful;
        found.redacted |= before.redacted;
        self.writer = found;
        self.handed = self.writer.index.len;
        self.started = false;
        self.return_took = start.elapsed();
        Ok(())
    }

    /// What a writer that comes back later needs to know of what this batch did.
    #[must_use]
    pub fn last_seen(&self) -> Option<LastSeen> {
        match &self.away {
            Some(away) => away.seen.clone(),
            None => self.writer.seen(),
        }
    }
}
