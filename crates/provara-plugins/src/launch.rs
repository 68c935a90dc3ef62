//! The single place where plugin processes are started.
//!
//! The executable runs itself again in a hidden mode. That second process, the *launcher*, is
//! single-threaded and runs nothing but [`maybe_become_launcher`]: it takes a [`Plan`] from its
//! stdin, which is a socket to the core, keeps the descriptors that the plan intends and no
//! other, ties its life to that of the core, enters the sandbox, reports what it achieved, and
//! becomes the interpreter. Python, and with it every `.pth` file and `sitecustomize` of an
//! installed package, starts inside the sandbox. A command that knows early that it will need plugins forks its
//! launchers instead ([`prepare`]).
//!
//! Nothing is inherited by accident: the standard library opens every descriptor close-on-exec
//! and `Command` passes only stdin, stdout and stderr; the launcher marks all others, also those
//! that the user's shell left open, before it executes anything. The log of a reducer travels
//! over the socket (`SCM_RIGHTS`) for the same reason.

mod child;
mod forked;
pub(crate) mod orphans;

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use orphans::OrphanReaper;

pub use forked::{Prepared, hear_of_children, prepare};

use crate::process;
use crate::protocol;
use crate::raw::Raw;
use crate::sandbox::{Confinement, SandboxPolicy};

/// The first argument that makes an executable a launcher. Nobody types it: with a terminal or a
/// file as stdin the mode ends with an error.
const HIDDEN_MODE: &str = "__plugin-launcher-1";

/// Turns this process into a plugin launcher if it was started as one; returns otherwise.
///
/// An executable that starts plugins calls this before anything else: before it reads its
/// arguments, its environment or a file, and before it starts a thread.
pub fn maybe_become_launcher() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|mode| mode == HIDDEN_MODE)
    {
        child::run();
    }
}

/// What the launcher is to do, as the core tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The process id of the core: the launcher ends if that is no longer its parent.
    parent: i32,
    /// What to become.
    task: Task,
    /// Whether a log descriptor comes with the plan.
    log: bool,
    /// The sandbox to enter.
    policy: SandboxPolicy,
}

/// What the launcher becomes inside the sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// A plugin host, in its runtime.
    Host {
        /// What is executed.
        program: Raw,
        /// Its arguments; the launcher appends the number of the protocol descriptor.
        arguments: Vec<Raw>,
        /// Its whole environment.
        environment: Vec<(Raw, Raw)>,
    },
    /// The process that applies schemas: the launcher's own (see [`crate::schema::worker`]).
    SchemaWorker,
}

/// What the launcher answers before it becomes what it is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Report {
    /// Why it gave up, if it did.
    error: Option<String>,
    /// What was achieved.
    confinement: Confinement,
    /// The number that the log's descriptor has in the host.
    log_fd: Option<i32>,
}

/// Why a plugin process was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher itself could not be started.
    #[error("the plugin launcher {program} could not be started: {source}")]
    Spawn {
        /// The executable.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The connection to the launcher failed.
    #[error("the plugin launcher did not answer: {0}")]
    Silent(io::Error),
    /// The launcher could not do as planned; the text says why.
    #[error("{0}")]
    Refused(String),
}

/// A launcher that waits for its plan. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Waiting {
    mark: String,
    launched: Option<Launched>,
}

/// A process that the launcher has become, or is about to.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) reaper: OrphanReaper,
    pub(crate) child: Child,
    pub(crate) socket: UnixStream,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
    /// Readable when the process has ended (Linux).
    pub(crate) process: Option<OwnedFd>,
}

/// Gives a launcher: one that was made ready (see [`prepare`]), or else `launcher` or the running executable, started
/// now. It gets ready while its plan is made.
pub(crate) fn spawn(launcher: Option<&Path>) -> Result<Waiting, LaunchError> {
    let program = match launcher {
        Some(path) => path.to_path_buf(),
        None => match forked::take() {
            Some(waiting) => return Ok(waiting),
            None => own_executable(),
        },
    };
    let mut command = Command::new(program);
    command.arg(HIDDEN_MODE).env_clear();
    start(command)
}

/// Starts a launcher, in a process group of its own.
fn start(mut command: Command) -> Result<Waiting, LaunchError> {
    let program = PathBuf::from(command.get_program());
    let spawn_error = |source: io::Error| LaunchError::Spawn {
        program: program.clone(),
        source,
    };
    let (socket, theirs) = UnixStream::pair().map_err(spawn_error)?;
    command
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = orphans::registered(|| command.spawn()).map_err(spawn_error)?;
    // It holds the other end of the socket.
    drop(command);
    let mark = orphans::new_mark();
    let reaper = OrphanReaper::new(mark.clone(), child.id());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        // Both were asked for above.
        return Err(spawn_error(io::Error::other("its output is not connected")));
    };
    let process = process_descriptor(&child);
    let launched = Launched {
        reaper,
        child,
        socket,
        stdout,
        stderr,
        process,
    };
    Ok(Waiting {
        mark,
        launched: Some(launched),
    })
}

impl Waiting {
    /// Sends it its plan: what to become, in which sandbox, and a read-only descriptor that the process
    /// inherits. The launcher's report is the first frame on the socket.
    pub(crate) fn launch(
        mut self,
        mut task: Task,
        log: Option<&File>,
        policy: SandboxPolicy,
    ) -> Result<Launched, LaunchError> {
        if let Task::Host { environment, .. } = &mut task {
            environment.push((orphans::VARIABLE.into(), self.mark.as_str().into()));
        }
        let plan = Plan {
            parent: i32::try_from(std::process::id()).unwrap_or(0),
            task,
            log: log.is_some(),
            policy,
        };
        let sent = match &self.launched {
            Some(launched) => send_plan(&launched.socket, &plan, log),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        sent.map_err(LaunchError::Silent)?;
        // It was there to send to.
        self.launched
            .take()
            .ok_or_else(|| LaunchError::Silent(io::ErrorKind::NotConnected.into()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(launched) = self.launched.take() {
            process::end(launched.child);
        }
    }
}

/// Reads the launcher's report.
pub(crate) fn read_report(frame: &[u8]) -> Result<(Confinement, Option<i32>), LaunchError> {
    let report: Report = serde_json::from_slice(frame)
        .map_err(|error| LaunchError::Silent(io::Error::other(error)))?;
    match report.error {
        Some(error) => Err(LaunchError::Refused(
            crate::text::inline(&error).into_owned(),
        )),
        None => Ok((report.confinement, report.log_fd)),
    }
}

/// The running executable. On Linux by the kernel's own link, which also holds when the file has
/// been replaced since the start.
fn own_executable() -> PathBuf {
    let link = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && link.exists() {
        return link.to_path_buf();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("provara"))
}

#[cfg(target_os = "linux")]
fn process_descriptor(child: &Child) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).ok()?)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn process_descriptor(_: &Child) -> Option<OwnedFd> {
    None
}

fn send_plan(mut socket: &UnixStream, plan: &Plan, log: Option<&File>) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    let body = serde_json::to_vec(plan).map_err(io::Error::other)?;
    let frame = protocol::frame(&body).map_err(|_| io::Error::other("the plan is too large"))?;
    let mut sent = 0;
    if let Some(log) = log {
        let descriptors = [log.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("a descriptor does not fit"));
        }
        sent = sendmsg(
            socket,
            &[IoSlice::new(&frame)],
            &mut control,
            SendFlags::empty(),
        )?;
    }
    socket.write_all(&frame[sent..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_failure_is_an_error() {
        let report = Report {
            error: Some("no\x1b sandbox".to_owned()),
            confinement: Confinement::default(),
            log_fd: None,
        };
        let frame = serde_json::to_vec(&report).unwrap();
        let error = read_report(&frame).unwrap_err();
        assert_eq!(error.to_string(), "no\\u{1b} sandbox");
        assert!(matches!(read_report(b"{}"), Err(LaunchError::Silent(_))));
    }
}
