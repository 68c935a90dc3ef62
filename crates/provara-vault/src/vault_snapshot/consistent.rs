//! A consistent snapshot of a vault for a verification, taken while writers may be at work.
//!
//! A view is taken without any lock first. If it is consistent, that is the end of it, as it is for
//! a vault at rest. If not, either a writer is between its steps or the vault is wrong, and the two
//! are told apart by the writers' own lock: a reader's lock, held only while the seal, the small
//! files and the log's length are read, proves that no writer is at work, and what is found then
//! stands. Where a writer holds the lock all the time, the log is taken as far as the seal covers
//! it, which is consistent by construction; what lies beyond is checked by itself.
//!
//! Where a command that leaves an intent was interrupted, the view is of the state that going forward gives.

use std::thread;
use std::time::{Duration, Instant};

use super::{Interrupted, VaultSnapshot};
use crate::error::{Context, VaultError};
use crate::intent::pending::{State, find};
use crate::lock::{Attempt, try_lock_shared};
use crate::vault::Vault;
use provara_core::layout;

/// How long a verification tries to find a moment between two writers.
const PATIENCE: Duration = Duration::from_secs(15);

impl VaultSnapshot {
    /// Takes a view that no writer is in the middle of.
    pub(crate) fn take(vault: &Vault) -> Result<Self, VaultError> {
        Self::take_within(vault, PATIENCE)
    }

    /// As [`VaultSnapshot::take`], with the time in which a moment between two writers is sought.
    pub(super) fn take_within(vault: &Vault, patience: Duration) -> Result<Self, VaultError> {
        let first = Self::look(vault, false)?;
        if first.is_consistent() {
            return Ok(first);
        }
        if !vault.files().is_live() {
            return match first.log.is_some() && first.holds_intent() {
                true => Self::look_forward(vault),
                false => Ok(first),
            };
        }
        let path = vault.log_path();
        let start = Instant::now();
        loop {
            // Opened each time: a merge puts another file in its place, which has the lock then.
            let Ok(log) = vault.open_log_file() else {
                // Without a log there is no lock and no writer.
                return Ok(first);
            };
            match try_lock_shared(&log, &path).context("lock", &path)? {
                Attempt::Replaced => continue,
                Attempt::Busy => {
                    let seen = Self::look(vault, true)?;
                    if seen.is_consistent() {
                        return Ok(seen);
                    }
                }
                attempt @ (Attempt::Held | Attempt::Unsupported) => {
                    let seen = Self::look_under(vault, attempt);
                    // A lock that is not released here goes with the file.
                    let _ = log.unlock();
                    return seen;
                }
            }
            let waited = start.elapsed();
            if waited > patience {
                let holder = "writers that left no moment between them".to_owned();
                return Err(VaultError::Locked {
                    path,
                    waited,
                    holder,
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Looks under a lock, or where there are none.
    fn look_under(vault: &Vault, attempt: Attempt) -> Result<Self, VaultError> {
        let mut seen = Self::look_forward(vault)?;
        if attempt == Attempt::Held {
            // No writer is at work, so they are nobody's.
            seen.forget_leftovers();
        }
        Ok(seen)
    }

    /// Looks while no writer is at work, at the state that an interrupted command comes to.
    fn look_forward(vault: &Vault) -> Result<Self, VaultError> {
        match find(vault) {
            Ok(None) => Self::look(vault, false),
            Ok(Some(pending)) => {
                let mut seen = match pending.state {
                    State::Forward => Self::after(vault, &pending.intent)?,
                    State::Done | State::NotBegun => {
                        let mut seen = Self::look(vault, false)?;
                        seen.forget(&pending.intent);
                        seen
                    }
                };
                seen.interrupted = Some(Interrupted::Settled(pending.note()));
                Ok(seen)
            }
            Err(VaultError::Structure { file, reason }) if file == layout::MERGE_INTENT => {
                let mut seen = Self::look(vault, false)?;
                seen.entries.remove(layout::MERGE_INTENT);
                seen.interrupted = Some(Interrupted::Broken(reason));
                Ok(seen)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a view while no writer is at work, after `first`, which belongs to the same moment. Where a
    /// writer holds the lock all the time, it is one as [`VaultSnapshot::take`] takes.
    pub(crate) fn take_between_writers(
        vault: &Vault,
        first: impl FnMut(),
    ) -> Result<Self, VaultError> {
        Self::take_between_writers_within(vault, PATIENCE, first)
    }

    /// As [`VaultSnapshot::take_between_writers`], with the time in which such a moment is sought.
    pub(super) fn take_between_writers_within(
        vault: &Vault,
        patience: Duration,
        mut first: impl FnMut(),
    ) -> Result<Self, VaultError> {
        let start = Instant::now();
        loop {
            let Ok(log) = vault.open_log_file() else {
                // Without a log, or where nobody writes, there is no lock.
                first();
                return Self::take(vault);
            };
            let path = vault.log_path();
            match try_lock_shared(&log, &path).context("lock", &path)? {
                Attempt::Replaced => continue,
                attempt @ (Attempt::Held | Attempt::Unsupported) => {
                    first();
                    let seen = Self::look_under(vault, attempt);
                    // A lock that is not released here goes with the file.
                    let _ = log.unlock();
                    return seen;
                }
                Attempt::Busy if start.elapsed() > patience => {
                    first();
                    return Self::take(vault);
                }
                Attempt::Busy => thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}
