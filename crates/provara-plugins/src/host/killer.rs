//! Ending a host from another thread.

use std::sync::{Arc, Mutex, PoisonError};

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
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.killed = true;
        for leader in &targets.leaders {
            launch::kill_group(*leader);
        }
    }

    /// Adds a process; one that comes too late is killed at once.
    pub(crate) fn arm(&self, leader: u32) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.leaders.push(leader);
        if targets.killed {
            launch::kill_group(leader);
        }
    }

    /// Marks a process as waited for.
    pub(crate) fn disarm(&self, leader: u32) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.leaders.retain(|other| *other != leader);
    }
}
