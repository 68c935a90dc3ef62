//! Ending a host: when its work is done, for a reason, or because nobody wants it any more.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::HostError;
use super::host_process::HostProcess;
use crate::channel::Stop;
use crate::process::{self, ExitReason, has_ended};
use crate::sandbox::Level;
use crate::violation::{self, Suspicion};

/// How long a host may take to end after its last answer. What remains then is killed.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for the rest of a dead host's output.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

impl HostProcess {
    /// Ends the host and makes sure that it ended well.
    pub(super) fn finish(mut self) -> Result<(), HostError> {
        let limit = Instant::now() + END_LIMIT;
        self.channel.deadline = Some(
            self.channel
                .deadline
                .map_or(limit, |deadline| deadline.min(limit)),
        );
        self.channel.hang_up();
        // While the host ends.
        self.schema_worker = None;
        let closed = self.channel.close();
        let plugin = self.pumps.label();
        if let Err(stop) = closed {
            let timeout = self.timeout;
            self.timeout = Some(timeout.map_or(END_LIMIT, |limit| limit.min(END_LIMIT)));
            return Err(self.stopped(stop));
        }
        // The socket is closed: the process is about to end, or hangs on the way.
        let ending = self.wait(limit);
        self.pumps.drain(DRAIN_LIMIT);
        match ending {
            Some(ExitReason::Code(0)) => Ok(()),
            Some(ending) => Err(self.died(plugin, ending)),
            None => Err(HostError::TimedOut {
                plugin,
                limit: END_LIMIT,
            }),
        }
    }

    /// Ends the host for a reason, and says it.
    pub(super) fn stopped(&mut self, stop: Stop) -> HostError {
        let plugin = self.pumps.label();
        match stop {
            Stop::Closed => {
                // Give the process the moment that it needs to end by itself: its own exit code
                // says more than our signal.
                let ending = self
                    .wait(Instant::now() + DRAIN_LIMIT)
                    .unwrap_or(ExitReason::Unknown);
                self.pumps.drain(DRAIN_LIMIT);
                self.died(plugin, ending)
            }
            Stop::Deadline => {
                self.end();
                HostError::TimedOut {
                    plugin,
                    limit: self.timeout.unwrap_or_default(),
                }
            }
            Stop::Violation(violation) => {
                self.end();
                HostError::Protocol { plugin, violation }
            }
            Stop::Exhausted(shortage) => {
                self.end();
                HostError::Exhausted { plugin, shortage }
            }
            Stop::Signal(signal) => {
                self.end();
                HostError::Interrupted(signal)
            }
            Stop::Io(error) => {
                self.end();
                HostError::Io(error)
            }
        }
    }

    /// The process ended. What a library prints before it ends its process says why.
    fn died(&self, plugin: String, ending: ExitReason) -> HostError {
        HostError::Died {
            plugin,
            ending,
            suspicion: self.suspect(&self.pumps.tail()),
        }
    }

    /// Which rule of the sandbox a failure may come from, by what was said of it.
    pub(super) fn suspect(&self, said: &str) -> Option<Suspicion> {
        let sandboxed = self.confinement.level > Level::Process;
        let suspected = || violation::suspect(self.role, self.network, said);
        sandboxed.then(suspected).flatten()
    }

    /// Waits for the process to end by itself; kills what is left of its group in any case.
    fn wait(&mut self, limit: Instant) -> Option<ExitReason> {
        let mut pause = Duration::from_micros(200);
        let ended = loop {
            if self.child.as_ref().is_none_or(has_ended) {
                break true;
            }
            if Instant::now() >= limit {
                break false;
            }
            if !self.channel.wait_for_end(limit) {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        };
        let status = self.end();
        ended.then(|| status.into())
    }

    /// Kills the process group and waits for its leader.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        let child = self.child.take()?;
        self.kill_handle.end();
        // It counts as a host: what hides its origin is found by the last one to end.
        self.schema_worker = None;
        if self.confinement.level < Level::Full {
            self.reaper.reap();
        }
        // From here on the leader's number may be given to another process.
        self.kill_handle.disarm(child.id());
        let status = process::end(child);
        self.scratch = None;
        self.pumps.drain(DRAIN_LIMIT);
        status
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.end();
    }
}
