//! Ending a host from another thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::launch;

/// Ends a host from another thread.
///
/// Killing is final: the host's pending and later requests fail.
#[derive(Debug, Clone, Default)]
pub struct Killer(Arc<Mutex<Targets>>);

/// The processes that a [`Killer`] ends.
#[derive(Debug, Default)]
struct Targets {
    /// The leaders of their groups. While the lock is held no leader is waited for, so that each
    /// number is still its own.
    leaders: Vec<u32>,
    killed: bool,
}

impl Killer {
    /// Kills the host's process group. Does nothing when the host has ended.
    pub fn kill(&self) {
        self.lock().killed = true;
        self.end();
    }

    /// Kills what there is; what comes later lives.
    pub(crate) fn end(&self) {
        for leader in &self.lock().leaders {
            launch::kill_group(*leader);
        }
    }

    /// Whether somebody killed the host.
    pub(crate) fn was_used(&self) -> bool {
        self.lock().killed
    }

    /// Adds a process; one that comes too late is killed at once.
    pub(crate) fn arm(&self, leader: u32) {
        let mut targets = self.lock();
        targets.leaders.push(leader);
        if targets.killed {
            launch::kill_group(leader);
        }
    }

    /// Marks a process as waited for.
    pub(crate) fn disarm(&self, leader: u32) {
        self.lock().leaders.retain(|other| *other != leader);
    }

    fn lock(&self) -> MutexGuard<'_, Targets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
