//! The processes that plugins run in: how one ended, and ending it, also from another thread.

use std::fmt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Ends a host from another thread.
///
/// Killing is final: the host's pending and later requests fail.
#[derive(Debug, Clone, Default)]
pub struct KillHandle(Arc<Mutex<Targets>>);

/// The processes that a [`KillHandle`] ends.
#[derive(Debug, Default)]
struct Targets {
    /// The leaders of their groups. While the lock is held no leader is waited for, so that each
    /// number is still its own.
    leaders: Vec<u32>,
    killed: bool,
}

impl KillHandle {
    /// Kills the host's process group. Does nothing when the host has ended.
    pub fn kill(&self) {
        self.lock().killed = true;
        self.end();
    }

    /// Kills what there is; what comes later lives.
    pub(crate) fn end(&self) {
        for leader in &self.lock().leaders {
            kill_group(*leader);
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
            kill_group(leader);
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

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The system does not tell.
    Unknown,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Code(code) => write!(f, "exit code {code}"),
            ExitReason::Signal(number) => {
                let name = match number {
                    4 => " (SIGILL)",
                    6 => " (SIGABRT)",
                    8 => " (SIGFPE)",
                    9 => " (SIGKILL)",
                    11 => " (SIGSEGV)",
                    15 => " (SIGTERM)",
                    24 => " (SIGXCPU: too much processor time)",
                    25 => " (SIGXFSZ: a file grew too large)",
                    31 => " (SIGSYS: a system call that is not allowed)",
                    _ => "",
                };
                write!(f, "signal {number}{name}")
            }
            ExitReason::Unknown => f.write_str("how is unknown"),
        }
    }
}

impl From<Option<ExitStatus>> for ExitReason {
    fn from(status: Option<ExitStatus>) -> ExitReason {
        use std::os::unix::process::ExitStatusExt;
        match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => ExitReason::Code(code),
            Some((None, Some(signal))) => ExitReason::Signal(signal),
            _ => ExitReason::Unknown,
        }
    }
}

/// Whether a process has ended, without waiting for it: its number stays its own.
pub(crate) fn has_ended(child: &Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid.is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}

/// Kills a process group and takes the leader's exit status.
pub(crate) fn end(mut child: Child) -> Option<ExitStatus> {
    kill_group(child.id());
    child.wait().ok()
}

/// Sends SIGKILL to a process group. The caller makes sure that the leader was not waited for
/// yet, so that the number still belongs to it.
fn kill_group(leader: u32) {
    let pid = i32::try_from(leader).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // The group may have ended by itself.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
