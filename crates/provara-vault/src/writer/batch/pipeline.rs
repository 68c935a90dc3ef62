//! Signs the groups of a batch and puts them at the log's end, in their order, beside the thread that
//! takes the events: the next groups are signed while the disk makes those before them durable.
//!
//! Signed groups that wait are taken together: while a disk is slow to sync, they gather, and the next
//! sync is for all of them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use provara_core::content::UnsignedEvent;
use provara_core::id::{Digest, KeyId};
use provara_core::keys::{Keyfile, Signature};
use sha2::{Digest as _, Sha256};

use crate::append::AppendReceipt;
use crate::error::VaultError;
use crate::file_layer::FileLayer;
use crate::lock::LockedLog;
use provara_core::parallel;

/// How much of the log may be on its way, in bytes: what bounds the memory.
pub(super) const MOST_WAITING: u64 = 16 << 20;

/// An event that has its place.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: UnsignedEvent,
    pub(super) key_id: KeyId,
    pub(super) receipt: Option<Box<AppendReceipt>>,
}

/// Events that follow each other.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) events: Vec<Queued>,
    /// Their lines in bytes, with a line end before them that the log lacks.
    pub(super) length: u64,
}

/// A group that can be written.
#[derive(Debug)]
struct Signed {
    events: u64,
    /// Their lines in pieces as they were signed, with a line end before them that the log lacks.
    pieces: Vec<Vec<u8>>,
    /// All of them, in bytes.
    length: u64,
    /// Of the event tree.
    leaves: Vec<Digest>,
    /// Of those of the events that have one.
    receipts: Vec<AppendReceipt>,
    /// The events, see [`DurableGroups::spent`].
    spent: Vec<Vec<Queued>>,
}

/// Groups that are durable.
#[derive(Debug)]
pub(super) struct DurableGroups {
    pub(super) events: u64,
    pub(super) length: u64,
    /// Over the log up to their end.
    pub(super) hasher: Sha256,
    /// Of the event tree.
    pub(super) leaves: Vec<Digest>,
    /// Of those of their events that had one.
    pub(super) receipts: Vec<AppendReceipt>,
    /// The events, for the thread that made them to free: while others free what it allocated, all wait
    /// for one lock of the allocator (2 % of a batch's processor time).
    #[expect(dead_code, reason = "held to be dropped")]
    spent: Vec<Vec<Queued>>,
}

/// What the disk refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// The log is not what it was.
    Lost(Box<VaultError>),
    Write(io::Error),
    Sync(io::Error),
}

/// Where the next group goes.
#[derive(Debug, Clone)]
pub(super) struct LogEnd {
    pub(super) layer: Arc<dyn FileLayer>,
    pub(super) log: Arc<LockedLog>,
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) length: u64,
    /// Over those bytes.
    pub(super) hasher: Sha256,
}

/// What signs them.
#[derive(Debug, Clone)]
pub(super) struct Signers {
    /// Holds the key of every event.
    pub(super) keyfile: Keyfile,
    pub(super) threads: usize,
}

impl Signers {
    /// The signature of each event; those of one key that follow each other are made together.
    fn signatures(&self, piece: &[Queued]) -> Vec<Signature> {
        let runs = piece.chunk_by(|one, next| one.key_id == next.key_id);
        runs.flat_map(|run| {
            let key = self.keyfile.get(&run[0].key_id);
            let messages: Vec<_> = run.iter().map(|it| it.event.signed_bytes()).collect();
            key.expect("chosen from the keyfile").sign_many(&messages)
        })
        .collect()
    }

    /// Signs a group on all cores.
    fn sign(&self, group: Group) -> Signed {
        let events = group.events.len() as u64;
        let pieces = parallel::map_pieces(group.events, self.threads, |mut piece| {
            let room = piece.iter().map(|queued| queued.event.line_length()).sum();
            let (mut lines, mut receipts) = (Vec::with_capacity(room), Vec::new());
            let mut leaves = Vec::with_capacity(piece.len());
            let signatures = self.signatures(&piece);
            for (queued, signature) in piece.iter_mut().zip(&signatures) {
                let start = lines.len();
                queued.event.write_line(&mut lines, signature);
                leaves.push(queued.event.leaf(&lines[start..]));
                receipts.extend(queued.receipt.take().map(|mut receipt| {
                    let line = &lines[start..lines.len() - 1];
                    receipt.event_json = String::from_utf8_lossy(line).into_owned();
                    *receipt
                }));
            }
            (lines, leaves, receipts, piece)
        });
        let lines: u64 = pieces.iter().map(|(lines, ..)| lines.len() as u64).sum();
        debug_assert!(lines == group.length || lines + 1 == group.length);
        let mut signed = Signed {
            events,
            pieces: Vec::with_capacity(pieces.len() + 1),
            length: group.length,
            leaves: Vec::with_capacity(events as usize),
            receipts: Vec::new(),
            spent: Vec::with_capacity(pieces.len()),
        };
        if lines < group.length {
            signed.pieces.push(b"\n".to_vec());
        }
        for (lines, leaves, receipts, piece) in pieces {
            signed.pieces.push(lines);
            signed.leaves.extend(leaves);
            signed.receipts.extend(receipts);
            signed.spent.push(piece);
        }
        signed
    }
}

impl LogEnd {
    /// Writes signed groups and syncs them at once. What the disk refused is taken back: the events after
    /// it chain to what is not there.
    fn put(&mut self, groups: Vec<Signed>) -> Result<DurableGroups, Refused> {
        let known = self.log.check(self.length);
        known.map_err(|error| Refused::Lost(Box::new(error)))?;
        self.write_durably(&groups).inspect_err(|_| {
            // Best effort: a torn tail that stays is recovered by the next writer.
            let _ = self.layer.truncate(&self.log, &self.path, self.length);
        })?;
        let (mut events, mut length) = (0, 0);
        let (mut leaves, mut receipts, mut spent) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups {
            for piece in &group.pieces {
                self.hasher.update(piece);
            }
            events += group.events;
            length += group.length;
            leaves.extend(group.leaves);
            receipts.extend(group.receipts);
            spent.extend(group.spent);
        }
        self.length += length;
        self.log.note_read(self.length, &self.hasher);
        Ok(DurableGroups {
            events,
            length,
            hasher: self.hasher.clone(),
            leaves,
            receipts,
            spent,
        })
    }

    fn write_durably(&self, groups: &[Signed]) -> Result<(), Refused> {
        let (layer, log, path) = (&self.layer, &self.log, &self.path);
        for piece in groups.iter().flat_map(|group| &group.pieces) {
            layer.append(log, path, piece).map_err(Refused::Write)?;
        }
        self.log.note_change();
        layer.sync_data(log, path).map_err(Refused::Sync)
    }
}

/// The way of groups to the disk. What was given to it goes there even if it is dropped, which waits for
/// that; after a refusal nothing more does.
#[derive(Debug)]
pub(super) struct Pipeline {
    execution: Execution,
    /// In bytes.
    waiting: u64,
}

#[derive(Debug)]
enum Execution {
    Beside(Workers),
    /// The system has no threads to give: the caller's own does it.
    Here(
        Box<(Signers, LogEnd)>,
        Option<Result<DurableGroups, Refused>>,
    ),
}

/// One thread that signs, with more of its own, and one that writes.
#[derive(Debug)]
struct Workers {
    /// Taken when nothing more comes.
    groups: Option<Sender<Group>>,
    durable: Receiver<Result<DurableGroups, Refused>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// `None` where the system has no threads to give.
    fn start(signers: &Signers, end: &LogEnd) -> Option<Self> {
        let (groups, unsigned) = channel();
        let (signed, unwritten) = channel::<Signed>();
        let (results, durable) = channel();
        let (signers, mut end) = (signers.clone(), end.clone());
        let write = move || {
            while let Ok(first) = unwritten.recv() {
                let result = end.put([first].into_iter().chain(unwritten.try_iter()).collect());
                let refused = result.is_err();
                if results.send(result).is_err() || refused {
                    return;
                }
            }
        };
        let sign = move || {
            // Nobody takes what is signed after a refusal.
            while let Ok(group) = unsigned.recv() {
                if signed.send(signers.sign(group)).is_err() {
                    return;
                }
            }
        };
        // A writer that stands alone ends at once: what signs for it is dropped here.
        let writing = thread::Builder::new().spawn(write).ok()?;
        let signing = thread::Builder::new().spawn(sign).ok()?;
        Some(Self {
            groups: Some(groups),
            durable,
            threads: vec![signing, writing],
        })
    }
}

impl Pipeline {
    pub(super) fn to(signers: Signers, end: LogEnd) -> Self {
        let execution = match Workers::start(&signers, &end) {
            Some(workers) => Execution::Beside(workers),
            None => Execution::Here(Box::new((signers, end)), None),
        };
        Self {
            execution,
            waiting: 0,
        }
    }

    pub(super) fn push(&mut self, group: Group) {
        self.waiting += group.length;
        match &mut self.execution {
            Execution::Here(here, durable) => {
                let (signers, end) = &mut **here;
                *durable = Some(end.put(vec![signers.sign(group)]));
            }
            // Workers that have ended told why, which is still to be taken.
            Execution::Beside(workers) => {
                let _ = workers.groups.as_ref().map(|groups| groups.send(group));
            }
        }
    }

    /// What has become of groups since the last call: one answer at a time, then none. Waits while more
    /// than `most` bytes are on their way.
    pub(super) fn durable(&mut self, most: u64) -> Option<Result<DurableGroups, Refused>> {
        let result = match &mut self.execution {
            Execution::Here(_, durable) => durable.take()?,
            Execution::Beside(workers) if self.waiting > most => {
                let durable = workers.durable.recv();
                durable.expect("signing and writing do not panic")
            }
            Execution::Beside(workers) => workers.durable.try_recv().ok()?,
        };
        if let Ok(durable) = &result {
            self.waiting -= durable.length;
        }
        Some(result)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.groups.take());
        // The one that writes holds the log open, and with it the lock.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
