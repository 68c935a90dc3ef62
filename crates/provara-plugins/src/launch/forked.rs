//! Launchers that are a copy of this process, made before it has anything to hide.
//!
//! To start an executable takes a millisecond before its first line runs: the kernel maps it, and the
//! dynamic loader links it and asks the processor what it is, which a hypervisor answers slowly. A command
//! that is about to use plugins forks its launchers instead, first of all. A launcher becomes the interpreter
//! with its own `execve` as ever; the one that applies schemas goes on with a copy of what its parent had
//! then: its arguments and its environment, and no key.
//!
//! Two things have no safe form: code that runs between fork and exec, and the effects of signals.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::{LaunchError, Waiting, child, start};

/// How many processes a command with plugins needs: the host, and the one that applies schemas.
const LAUNCHERS: usize = 2;

/// Launchers that nobody has asked for yet.
static READY: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

/// Launchers made ready. Those that are not used end with it.
#[derive(Debug)]
#[must_use = "the launchers end when it is dropped"]
pub struct Prepared(());

impl Drop for Prepared {
    fn drop(&mut self) {
        ready().clear();
    }
}

/// Makes the launchers ready that this process will need first, as copies of it. A program calls it before it
/// reads a key and where it is a launcher itself when it is started so (see [`super::maybe_become_launcher`]).
/// Where the process has threads, or the system is too old, nothing is done, and launchers are started as they are
/// needed.
pub fn prepare() -> Prepared {
    if can_fork() {
        let mut ready = ready();
        while ready.len() < LAUNCHERS {
            let Ok(waiting) = fork() else { break };
            ready.push(waiting);
        }
    }
    Prepared(())
}

/// A launcher that was made ready, if there is one.
pub(super) fn take() -> Option<Waiting> {
    ready().pop()
}

fn ready() -> std::sync::MutexGuard<'static, Vec<Waiting>> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only a process with one thread can be copied whole: what another one holds locked stays locked in the copy.
#[cfg(target_os = "linux")]
fn can_fork() -> bool {
    use std::os::unix::fs::MetadataExt;
    // `.`, `..`, and a directory for each thread.
    let alone = std::fs::metadata("/proc/self/task").is_ok_and(|tasks| tasks.nlink() == 3);
    alone && close_from(u32::MAX)
}

#[cfg(not(target_os = "linux"))]
fn can_fork() -> bool {
    false
}

fn fork() -> Result<Waiting, LaunchError> {
    let mut command = Command::new("provara");
    let become_launcher = || {
        // Also the pipe on which the parent waits to hear of an `execve`.
        close_from(3);
        default_signals();
        child::run()
    };
    // SAFETY: the process has one thread (see `prepare`), so that no lock, the allocator's among them, is held
    // by somebody whom the copy lacks, and all of the standard library can be used there. The closure does not
    // return; it uses no descriptor but the first three, which `Command` has connected.
    unsafe { command.pre_exec(become_launcher) };
    start(command)
}

/// Closes this and all higher descriptors; says whether the system can.
#[cfg(target_os = "linux")]
fn close_from(first: u32) -> bool {
    // SAFETY: close_range touches no memory. Whoever owns one of the descriptors is a value of the parent,
    // which this process never returns to.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0u32) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn close_from(_: u32) -> bool {
    false
}

/// Makes sure that this process hears how its children ended. Whoever started it may have had the signal that tells of
/// them ignored, as services do, and that is inherited: the kernel then forgets a child as soon as it has ended.
pub fn hear_of_children() {
    // SAFETY: no code of this process runs at the signal, before and after.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Gives signals their default effects, as `execve` would. What is ignored stays so.
fn default_signals() {
    for signal in 1..libc::SIGRTMIN() {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: the first call only writes to the given place, which is of the right size and read where it
        // succeeded; the second sets the default effect, for which no code of this process is needed.
        unsafe {
            if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init_ref().sa_sigaction != libc::SIG_IGN
            {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}
