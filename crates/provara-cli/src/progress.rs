//! How far a command has come that takes longer than a second: a line on a terminal's stderr, and nothing on
//! anything else.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use provara_explain::vault_failure;
use provara_plugins::interrupt::Guard;
use provara_report::Diagnostic;
use provara_vault::{Vault, VaultError};

/// What is quicker shows nothing.
const QUIET: Duration = Duration::from_secs(1);

/// Where bytes of a known number are gone through.
const BYTES: &str =
    "{msg}  {bar:30} {percent:>3}%  {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Where things are counted, in an input of known length and in any other.
const COUNTED: &str = "{msg}  {bar:30} {percent:>3}%, {eta} left";
const ENDLESS: &str = "{spinner} {msg}, {elapsed} so far";

/// A line that tells how far a command has come, at what rate, and how long the rest will take.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    /// A line that shows once a second has gone by.
    pub(crate) fn new() -> Self {
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            since: Instant::now(),
        }
    }

    /// Tells that `count` things are done, and how many bytes of how many were gone through, if that is known.
    pub(crate) fn count(&self, count: u64, things: &str, bytes: Option<(u64, u64)>) {
        let elapsed = self.since.elapsed();
        if elapsed < QUIET {
            return;
        }
        let rate = count as f64 / elapsed.as_secs_f64();
        self.bar
            .set_message(format!("{count} {things}, {rate:.0}/s"));
        match bytes {
            Some((done, total)) => {
                self.show(COUNTED);
                self.bar.set_length(total);
                self.bar.set_position(done);
            }
            None => self.show(ENDLESS),
        }
        self.bar.tick();
    }

    /// Tells that of what is being done so many bytes of how many are.
    pub(crate) fn bytes(&self, doing: &str, done: u64, total: u64) {
        if self.since.elapsed() < QUIET {
            return;
        }
        if self.bar.message() != doing || done < self.bar.position() {
            // Another step, with a rate of its own.
            self.bar.set_message(doing.to_owned());
            self.bar.reset();
        }
        self.show(BYTES);
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn show(&self, template: &str) {
        if self.bar.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            // On what is no terminal it draws nothing.
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// The same vault, whose verifications are told here.
    pub(crate) fn watching(&self, vault: &Vault, doing: &'static str) -> Vault {
        let progress = self.clone();
        vault.clone().with_progress(Arc::new(move |done, total| {
            progress.bytes(doing, done, total);
            ControlFlow::Continue(())
        }))
    }
}

/// Tells the time for as long as it lives, where nobody says how far the work has come: a plugin's.
pub(crate) struct Waiting {
    ended: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Waiting {
    pub(crate) fn until(doing: String) -> Self {
        let (ended, end) = channel();
        let tell = move || {
            let progress = Progress::new();
            let mut pause = QUIET;
            while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                progress.bar.set_message(doing.clone());
                progress.show(ENDLESS);
                progress.bar.tick();
                pause = Duration::from_millis(100);
            }
            progress.clear();
        };
        Self {
            ended: Some(ended),
            // Where there is no thread for it, nothing is told.
            teller: thread::Builder::new().spawn(tell).ok(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.ended.take());
        self.teller.take().map(JoinHandle::join);
    }
}

/// Work that a signal ends, after which what it began is removed.
pub(crate) struct Interruptible {
    progress: Progress,
    guard: Guard,
}

impl Interruptible {
    pub(crate) fn new() -> Result<Self, Diagnostic> {
        let guard = Guard::new().map_err(|error| provara_explain::signals_failure(&error))?;
        Ok(Self {
            progress: Progress::new(),
            guard,
        })
    }

    /// Who is told of the work, and ends it once a signal has come.
    pub(crate) fn told(
        &self,
        doing: &'static str,
    ) -> Arc<dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync> {
        let progress = self.progress.clone();
        Arc::new(move |done, total| {
            progress.bytes(doing, done, total);
            match provara_plugins::interrupt::received() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })
    }

    /// What came of it; `removed` is what is told where a signal ended it.
    pub(crate) fn end<T>(
        self,
        result: Result<T, VaultError>,
        path: &Path,
        removed: &str,
    ) -> Result<T, Diagnostic> {
        self.progress.clear();
        result.map_err(|error| match (error, self.guard.received()) {
            (VaultError::Cancelled, Some(signal)) => {
                provara_explain::interrupted_after(signal, removed)
            }
            (error, _) => vault_failure(error, path),
        })
    }
}
