//! Whether the log still holds what its writer left in it.
//!
//! A program that edits the log in place leaves its inode and often its length as they were, and changes
//! its times. So the times are compared with those after the writer's own last change; where they differ, the
//! log is read, for they may differ for nothing: a hard link, `chmod` and `touch` change them, and some
//! network file systems set them late.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// How often the log is read in vain before its times are passed over: they then move by themselves, and it
/// would be read for every group.
const IN_VAIN: u32 = 8;

/// How much of the log is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// When a log was changed: its data, and its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Times {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The bytes of a log, as their writer knows them.
#[derive(Debug, Clone)]
struct Known {
    length: u64,
    hasher: Sha256,
}

#[derive(Debug)]
struct State {
    /// `None` while they cannot be read.
    times: Option<Times>,
    known: Option<Known>,
    in_vain: u32,
}

/// What a writer left in a log.
#[derive(Debug)]
pub(super) struct Content(Mutex<State>);

impl Content {
    /// Of a log that is about to be read.
    pub(super) fn of(log: &File) -> Self {
        Self(Mutex::new(State {
            times: times(log),
            known: None,
            in_vain: 0,
        }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of what the log holds, as it was read: its first `length` bytes, which `hasher` is over.
    pub(super) fn read(&self, length: u64, hasher: &Sha256) {
        let hasher = hasher.clone();
        self.with(|state| state.known = Some(Known { length, hasher }));
    }

    /// Takes note of a change that the writer itself made. What the log then holds is unknown, until
    /// [`Content::read`] tells.
    pub(super) fn changed(&self, log: &File) {
        let times = times(log);
        self.with(|state| (state.times, state.known) = (times, None));
    }

    pub(super) fn times(&self) -> Option<Times> {
        self.with(|state| state.times)
    }

    /// Whether the log, with this `metadata`, holds what was noted.
    pub(super) fn is_in(&self, log: &File, metadata: &Metadata) -> io::Result<bool> {
        let now = Times::of(metadata);
        self.with(|state| {
            let Some(before) = state.times else {
                return Ok(true);
            };
            if now == before || state.in_vain >= IN_VAIN {
                return Ok(true);
            }
            let Some(known) = &state.known else {
                // It was not hashed: what has changed its inode alone has not changed its data.
                return Ok(now.modified == before.modified);
            };
            let same = hash(log, known.length)?
                .is_some_and(|hash| hash.finalize() == known.hasher.clone().finalize());
            if same {
                state.times = Some(now);
                state.in_vain += 1;
            }
            Ok(same)
        })
    }
}

fn times(log: &File) -> Option<Times> {
    log.metadata().ok().as_ref().map(Times::of)
}

/// Over the first `length` bytes; nothing where the log has fewer.
fn hash(log: &File, length: u64) -> io::Result<Option<Sha256>> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).map_or(PIECE, |rest| rest.min(PIECE));
        match log.read_at(&mut piece[..wanted], at) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                hasher.update(&piece[..read]);
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(hasher))
}
