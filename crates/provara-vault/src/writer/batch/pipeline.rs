//! Signs the groups of a batch and puts them at the log's end, in their order, beside the thread that
//! takes the events.
//!
//! Groups that wait are taken together: while a disk is slow to sync, they gather, and the next write
//! and sync are for all of them.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use provara_core::content::UnsignedEvent;
use provara_core::id::KeyId;
use provara_core::keys::Keyfile;
use sha2::{Digest as _, Sha256};

use crate::append::AppendReceipt;
use crate::layer::FileLayer;
use crate::parallel;

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

/// Groups that are durable.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) events: u64,
    pub(super) length: u64,
    /// Over the log up to their end.
    pub(super) hasher: Sha256,
    /// Of those of their events that had one.
    pub(super) receipts: Vec<AppendReceipt>,
}

/// What the disk refused.
#[derive(Debug)]
pub(super) enum Refused {
    Write(io::Error),
    Sync(io::Error),
}

/// Where the next group goes.
#[derive(Debug, Clone)]
pub(super) struct LogEnd {
    pub(super) layer: Arc<dyn FileLayer>,
    pub(super) log: Arc<File>,
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) length: u64,
    /// Over those bytes.
    pub(super) hasher: Sha256,
    /// Holds the key of every event.
    pub(super) keyfile: Keyfile,
    pub(super) threads: usize,
}

impl LogEnd {
    /// Signs groups on all cores, and writes and syncs them at once. What the disk refused is taken
    /// back: the events after it chain to what is not there.
    fn put(&mut self, groups: Vec<Group>) -> Result<Landed, Refused> {
        let length: u64 = groups.iter().map(|group| group.length).sum();
        let queued: Vec<_> = groups.into_iter().flat_map(|group| group.events).collect();
        let events = queued.len() as u64;
        let keyfile = &self.keyfile;
        let signed = parallel::map(queued, self.threads, |queued| {
            let key = keyfile
                .get(&queued.key_id)
                .expect("chosen from the keyfile");
            let line = queued.event.sign(key).line;
            let receipt = queued.receipt.map(|mut receipt| {
                receipt.event_json = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
                *receipt
            });
            (line, receipt)
        });
        let lines: usize = signed.iter().map(|(line, _)| line.len()).sum();
        let mut bytes = Vec::with_capacity(lines + 1);
        if (lines as u64) < length {
            bytes.push(b'\n');
        }
        let mut receipts = Vec::new();
        for (line, receipt) in signed {
            bytes.extend_from_slice(&line);
            receipts.extend(receipt);
        }
        debug_assert_eq!(bytes.len() as u64, length);
        self.write_durably(&bytes).inspect_err(|_| {
            // Best effort: a torn tail that stays is recovered by the next writer.
            let _ = self.layer.truncate(&self.log, &self.path, self.length);
        })?;
        self.hasher.update(&bytes);
        self.length += length;
        Ok(Landed {
            events,
            length,
            hasher: self.hasher.clone(),
            receipts,
        })
    }

    fn write_durably(&self, bytes: &[u8]) -> Result<(), Refused> {
        let (layer, log, path) = (&self.layer, &self.log, &self.path);
        layer.append(log, path, bytes).map_err(Refused::Write)?;
        layer.sync_data(log, path).map_err(Refused::Sync)
    }
}

/// The way of groups to the disk. What was given to it goes there even if it is dropped, which waits for
/// that; after a refusal nothing more does.
#[derive(Debug)]
pub(super) struct Pipeline {
    road: Road,
    /// In bytes.
    waiting: u64,
}

#[derive(Debug)]
enum Road {
    Beside(Worker),
    /// The system has no thread to give: the caller's own does it.
    Here(Box<LogEnd>, Option<Result<Landed, Refused>>),
}

#[derive(Debug)]
struct Worker {
    /// Taken when nothing more comes.
    groups: Option<Sender<Group>>,
    landed: Receiver<Result<Landed, Refused>>,
    thread: Option<JoinHandle<()>>,
}

impl Pipeline {
    pub(super) fn to(end: LogEnd) -> Self {
        let (groups, work) = channel::<Group>();
        let (results, landed) = channel();
        let mut theirs = end.clone();
        let run = move || {
            while let Ok(first) = work.recv() {
                let result = theirs.put([first].into_iter().chain(work.try_iter()).collect());
                let refused = result.is_err();
                if results.send(result).is_err() || refused {
                    return;
                }
            }
        };
        let road = match thread::Builder::new().spawn(run) {
            Ok(thread) => Road::Beside(Worker {
                groups: Some(groups),
                landed,
                thread: Some(thread),
            }),
            Err(_) => Road::Here(Box::new(end), None),
        };
        Self { road, waiting: 0 }
    }

    pub(super) fn push(&mut self, group: Group) {
        self.waiting += group.length;
        match &mut self.road {
            Road::Here(end, landed) => *landed = Some(end.put(vec![group])),
            // A worker that has ended told why, which is still to be taken.
            Road::Beside(worker) => {
                let _ = worker.groups.as_ref().map(|groups| groups.send(group));
            }
        }
    }

    /// What has become of groups since the last call: one answer at a time, then none. Waits while more
    /// than `most` bytes are on their way.
    pub(super) fn landed(&mut self, most: u64) -> Option<Result<Landed, Refused>> {
        let result = match &mut self.road {
            Road::Here(_, landed) => landed.take()?,
            Road::Beside(worker) if self.waiting > most => {
                let landed = worker.landed.recv();
                landed.expect("signing and writing do not panic")
            }
            Road::Beside(worker) => worker.landed.try_recv().ok()?,
        };
        if let Ok(landed) = &result {
            self.waiting -= landed.length;
        }
        Some(result)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.groups.take());
        // The thread holds the log open, and with it the lock.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
