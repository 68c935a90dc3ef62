//! Whether the log still holds what its writer left in it.
//!
//! A program that edits the log in place leaves its inode and often its length as they were, and changes
//! its times. So the times are compared with those after the writer's own last change; where they differ, the
//! log is read, for they may differ for nothing: a hard link, `chmod` and `touch` change them, and some
//! network file systems set them late.

use std::fs::{File, Metadata};
use std::io;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::file_times::FileTimes;
use crate::files::hash_prefix;

/// How often the log is read in vain before its times are passed over: they then move by themselves, and it
/// would be read for every group.
const IN_VAIN: u32 = 8;

/// The bytes of a log, as their writer knows them.
#[derive(Debug, Clone)]
struct Known {
    length: u64,
    hasher: Sha256,
}

#[derive(Debug)]
struct State {
    /// `None` while they cannot be read.
    times: Option<FileTimes>,
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

    pub(super) fn times(&self) -> Option<FileTimes> {
        self.with(|state| state.times)
    }

    /// Whether the log, with this `metadata`, holds what was noted.
    pub(super) fn is_in(&self, log: &File, metadata: &Metadata) -> io::Result<bool> {
        let now = FileTimes::of(metadata);
        self.with(|state| {
            let Some(before) = state.times else {
                return Ok(true);
            };
            if now == before || state.in_vain >= IN_VAIN {
                return Ok(true);
            }
            let Some(known) = &state.known else {
                // It was not hashed: what has changed its inode alone has not changed its data.
                return Ok(now.same_data(&before));
            };
            let same = hash_prefix(log, known.length)?
                .is_some_and(|hash| hash.finalize() == known.hasher.clone().finalize());
            if same {
                state.times = Some(now);
                state.in_vain += 1;
            }
            Ok(same)
        })
    }
}

fn times(log: &File) -> Option<FileTimes> {
    log.metadata().ok().as_ref().map(FileTimes::of)
}
