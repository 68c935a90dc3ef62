//! The launcher's side: what happens between the start of the process and the interpreter.

// Some system calls have no safe form: marking and closing descriptors that nobody here owns, and executing with a
// key in the unused registers (see `sandbox::filter`).
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::getppid;

use super::{Plan, Report, Task};
use crate::protocol::{self, FrameReader};
use crate::raw::Raw;
use crate::sandbox::{self, Confinement, ExecKey};
use crate::schema::worker;

/// The exit code of a launcher that could not become the interpreter. The core goes by the
/// report; the code is for a person who finds the process in a trace.
const FAILED: i32 = 126;

/// Runs the launcher; ends by becoming the interpreter, or with an error.
pub(super) fn run() -> ! {
    let error = match connect() {
        Ok(mut socket) => match launch(&mut socket) {
            Ok(never) => match never {},
            Err(error) => {
                let report = Report {
                    error: Some(error.to_string()),
                    confinement: Confinement::default(),
                    log_fd: None,
                };
                let _ = send_report(&mut socket, &report);
                error
            }
        },
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "the plugin launcher failed: {error}");
    std::process::exit(FAILED);
}

/// Moves the socket away from stdin.
fn connect() -> io::Result<UnixStream> {
    // Only a socket will do: with anything else on stdin the mode was called by hand.
    let kind = rustix::net::sockopt::socket_type(rustix::stdio::stdin());
    if kind != Ok(rustix::net::SocketType::STREAM) {
        return Err(io::Error::other(
            "this mode is started by provara itself only",
        ));
    }
    Ok(UnixStream::from(fcntl_dupfd_cloexec(
        rustix::stdio::stdin(),
        3,
    )?))
}

fn launch(socket: &mut UnixStream) -> io::Result<std::convert::Infallible> {
    let (plan, log) = receive_plan(socket)?;
    die_with_the_core()?;
    if getppid()
        .map(rustix::process::Pid::as_raw_nonzero)
        .map(|pid| pid.get())
        != Some(plan.parent)
    {
        return Err(io::Error::other(
            "the process that asked for a plugin is gone",
        ));
    }
    match plan.task {
        Task::Host { .. } => mark_descriptors()?,
        // It executes nothing, at which what is marked would be closed.
        Task::SchemaWorker => keep_only(socket.as_raw_fd())?,
    }
    let null = std::fs::OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let executable = match &plan.task {
        Task::Host {
            program,
            arguments,
            environment,
        } => {
            let socket = socket.as_raw_fd();
            Some(Executable::new(program, arguments, environment, socket)?)
        }
        Task::SchemaWorker => None,
    };
    // Nothing after this line opens a file.
    let (confinement, key) = sandbox::enforce(&plan.policy).map_err(io::Error::other)?;
    let log_fd = log.as_ref().map(AsRawFd::as_raw_fd);
    send_report(
        socket,
        &Report {
            error: None,
            confinement,
            log_fd,
        },
    )?;
    let Some(executable) = executable else {
        worker::serve(socket);
    };
    fcntl_setfd(socket.as_fd(), FdFlags::empty())?;
    if let Some(log) = &log {
        fcntl_setfd(log, FdFlags::empty())?;
    }
    Err(executable.execute(&key))
}

/// Ties the life of this process to that of the core, however that ends. On Linux the kernel sees
/// to it; elsewhere the host ends when its socket does, unless a plugin keeps it busy.
#[cfg(target_os = "linux")]
fn die_with_the_core() -> io::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_core() -> io::Result<()> {
    Ok(())
}

fn receive_plan(socket: &mut UnixStream) -> io::Result<(Plan, Option<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = vec![0; 64 * 1024];
    let mut frames = FrameReader::default();
    let message = recvmsg(
        &*socket,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut control,
        // Everything is marked close-on-exec below, before anything is executed.
        RecvFlags::empty(),
    )?;
    let mut log = None;
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = item {
            log = descriptors.last();
        }
    }
    let mut count = message.bytes;
    let body = loop {
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        frames.push(&buffer[..count]);
        if let Some(body) = frames.next_frame().map_err(io::Error::other)? {
            break body;
        }
        count = socket.read(&mut buffer)?;
    };
    let plan: Plan = serde_json::from_slice(&body).map_err(io::Error::other)?;
    if plan.log != log.is_some() {
        return Err(io::Error::other(
            "the log's descriptor did not arrive with the plan",
        ));
    }
    Ok((plan, log))
}

fn send_report(socket: &mut UnixStream, report: &Report) -> io::Result<()> {
    let body = serde_json::to_vec(report).map_err(io::Error::other)?;
    let frame = protocol::frame(&body).map_err(|_| io::Error::other("the report is too large"))?;
    socket.write_all(&frame)
}

/// Marks every descriptor from 3 on close-on-exec, also those that came from the user's shell.
#[cfg(target_os = "linux")]
fn mark_descriptors() -> io::Result<()> {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC closes nothing and touches no memory; it sets
    // a flag that every descriptor of this process is meant to have at this point.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3u32,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return Ok(());
    }
    // Before Linux 5.11: one by one.
    mark_listed_descriptors("/proc/self/fd")
}

#[cfg(not(target_os = "linux"))]
fn mark_descriptors() -> io::Result<()> {
    mark_listed_descriptors("/dev/fd")
}

fn mark_listed_descriptors(directory: &str) -> io::Result<()> {
    for number in listed_descriptors(directory)? {
        // SAFETY: setting a flag of a descriptor touches no memory, and a number that is no
        // descriptor (any more) gives an error, which means that there is nothing to mark.
        let _ = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Closes every descriptor from 3 on but one, also those that came from the user's shell.
fn keep_only(kept: i32) -> io::Result<()> {
    let directory = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    for number in listed_descriptors(directory)? {
        if number != kept {
            // SAFETY: closing touches no memory. The launcher owns no descriptor here but the one that is kept; the
            // one of the listing is closed already, and is an error that counts for nothing.
            let _ = unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// The descriptors from 3 on.
fn listed_descriptors(directory: &str) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
        numbers.extend(number.filter(|number| *number >= 3));
    }
    Ok(numbers)
}

/// The arguments of `execve`, made before the sandbox is entered.
struct Executable {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Executable {
    fn new(
        program: &Raw,
        given: &[Raw],
        environment: &[(Raw, Raw)],
        protocol_fd: i32,
    ) -> io::Result<Executable> {
        let program = c_string(program.as_os_str())?;
        let mut arguments = vec![program.clone()];
        for argument in given {
            arguments.push(c_string(argument.as_os_str())?);
        }
        arguments.push(c_string(OsStr::new(&protocol_fd.to_string()))?);
        let pair = |(name, value): &(Raw, Raw)| {
            let mut bytes = name.as_os_str().as_bytes().to_vec();
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_os_str().as_bytes());
            c_string(OsStr::from_bytes(&bytes))
        };
        let environment = environment.iter().map(pair).collect::<io::Result<_>>()?;
        Ok(Executable {
            program,
            arguments,
            environment,
        })
    }

    /// Becomes the program; returns only if that failed.
    fn execute(&self, key: &ExecKey) -> io::Error {
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings
                .iter()
                .map(|text| text.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        #[cfg(target_os = "linux")]
        // SAFETY: the three pointers are those of execve(2): a C string and two null-terminated
        // arrays of C strings, all of which live until the call returns, if it does. The kernel
        // ignores the other three registers; the filter compares them with its key.
        unsafe {
            let [a, b, c] = key.0;
            libc::syscall(
                libc::SYS_execve,
                self.program.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                a,
                b,
                c,
            );
        }
        #[cfg(not(target_os = "linux"))]
        // SAFETY: as above.
        unsafe {
            let _ = key;
            libc::execve(
                self.program.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        io::Error::last_os_error()
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::other)
}
