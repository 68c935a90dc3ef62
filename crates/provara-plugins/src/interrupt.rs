//! Ctrl-C while a plugin runs.
//!
//! The plugin host has its own process group, so the terminal's signal reaches only this process.
//! While a [`Guard`] lives, SIGINT, SIGTERM and SIGHUP do not end the process at once: they wake
//! whoever waits for the host, which lets destructors kill the host and remove staged files. When
//! the last guard is gone the signal takes its default effect, so that a shell sees the process
//! end by the signal. Without a guard the signals do what they always do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// Makes a write beyond the limit for the size of files (RLIMIT_FSIZE) fail with an error that can be told,
/// where the signal would end the process without a word. A program that this one starts is not affected.
///
/// # Errors
/// The system's error.
pub fn outlive_file_limits() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

struct State {
    /// Readable from the first signal on; never drained, because the process is to end.
    wake: UnixStream,
    /// Whether a signal takes its default effect at once.
    default: Arc<AtomicBool>,
    /// The last signal, or 0.
    received: Arc<AtomicUsize>,
    guards: Mutex<usize>,
}

fn state() -> io::Result<&'static State> {
    static STATE: OnceLock<State> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    if let Some(state) = STATE.get() {
        return Ok(state);
    }
    let _lock = INSTALLING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(state) = STATE.get() {
        return Ok(state);
    }
    let (wake, write) = UnixStream::pair()?;
    let default = Arc::new(AtomicBool::new(true));
    let received = Arc::new(AtomicUsize::new(0));
    let ignored = ignored();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Under nohup a hang-up is ignored, and stays so.
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        flag::register_conditional_default(signal, Arc::clone(&default))?;
        flag::register_usize(
            signal,
            Arc::clone(&received),
            signal.unsigned_abs() as usize,
        )?;
        low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(STATE.get_or_init(|| State {
        wake,
        default,
        received,
        guards: Mutex::new(0),
    }))
}

/// The signals that the process was started with ignored, the first in the lowest bit. Only Linux tells without
/// unsafe code.
fn ignored() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Holds back the default effect of the interrupting signals.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Installs the handlers (the first time) and holds the default effect back.
    ///
    /// # Errors
    /// If the system refuses a socket pair or a handler.
    pub fn new() -> io::Result<Guard> {
        let state = state()?;
        let mut guards = state
            .guards
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *guards += 1;
        state.default.store(false, Ordering::SeqCst);
        Ok(Guard(()))
    }

    /// The signal that arrived, if one did.
    #[must_use]
    pub fn received(&self) -> Option<i32> {
        received()
    }

    /// Waits until `source` can be read, a signal has arrived or `limit` has passed; says whether it
    /// can be read.
    ///
    /// # Errors
    /// If the system refuses to wait.
    pub fn wait_for(&self, source: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<bool> {
        self.wait(source, PollFlags::IN, limit)
    }

    /// Waits until `sink` can be written or a signal has arrived; says whether it can be written.
    ///
    /// # Errors
    /// If the system refuses to wait.
    pub fn wait_to_write(&self, sink: BorrowedFd<'_>) -> io::Result<bool> {
        self.wait(sink, PollFlags::OUT, None)
    }

    fn wait(
        &self,
        on: BorrowedFd<'_>,
        what: PollFlags,
        limit: Option<Duration>,
    ) -> io::Result<bool> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [
            PollFd::from_borrowed_fd(on, what),
            PollFd::from_borrowed_fd(self.wake(), PollFlags::IN),
        ];
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A descriptor that is readable once a signal has arrived, for `poll`.
    ///
    /// # Panics
    /// Never: a guard exists only after the handlers were installed.
    #[must_use]
    pub fn wake(&self) -> BorrowedFd<'static> {
        state()
            .expect("a guard exists only after the handlers were installed")
            .wake
            .as_fd()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Ok(state) = state() else { return };
        let mut guards = state
            .guards
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *guards -= 1;
        if *guards > 0 {
            return;
        }
        // First let the default effect in, then look: a signal between the two is not lost.
        state.default.store(true, Ordering::SeqCst);
        if let Some(signal) = received() {
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

/// The signal that arrived, if one did and a guard held it back.
#[must_use]
pub fn received() -> Option<i32> {
    let signal = state().ok()?.received.load(Ordering::SeqCst);
    i32::try_from(signal).ok().filter(|signal| *signal != 0)
}
