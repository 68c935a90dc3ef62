//! The socket to the plugin host, with everything that a wait for it must also notice: the end
//! of the host, a deadline, a signal.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::interrupt::Guard;
use crate::protocol::{FrameReader, Violation};
use crate::space::{self, Shortage};

/// Why nothing could be sent or received.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The host closed the socket or ended.
    Closed,
    /// The deadline passed.
    Deadline,
    /// This signal arrived.
    Signal(i32),
    /// There is too little space left for others.
    Exhausted(Shortage),
    /// The host broke the protocol.
    Violation(Violation),
    /// The system failed.
    Io(io::Error),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Violation(violation)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

impl From<rustix::io::Errno> for Stop {
    fn from(errno: rustix::io::Errno) -> Stop {
        Stop::Io(errno.into())
    }
}

/// The core's end of the socket pair.
pub(crate) struct Channel {
    socket: UnixStream,
    frames: FrameReader,
    /// Readable when the host has ended, where the system can tell (Linux).
    process: Option<OwnedFd>,
    guard: Option<Guard>,
    space: space::Watch,
    pub(crate) deadline: Option<Instant>,
}

impl Channel {
    pub(crate) fn new(
        socket: UnixStream,
        process: Option<OwnedFd>,
        guard: Option<Guard>,
        space: space::Watch,
        deadline: Option<Instant>,
    ) -> io::Result<Channel> {
        socket.set_nonblocking(true)?;
        Ok(Channel {
            socket,
            frames: FrameReader::default(),
            process,
            guard,
            space,
            deadline,
        })
    }

    /// Sends all bytes.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT)?,
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Err(Stop::Closed);
                    }
                    _ => return Err(Stop::Io(error)),
                },
            }
        }
        Ok(())
    }

    /// Receives the next frame's body.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Stop> {
        loop {
            if let Some(body) = self.frames.next_frame()? {
                return Ok(body);
            }
            if !self.read_some()? {
                self.wait(PollFlags::IN)?;
            }
        }
    }

    /// Makes sure that nothing has arrived unasked.
    pub(crate) fn expect_quiet(&mut self) -> Result<(), Stop> {
        match self.read_some() {
            Ok(false) if !self.frames.has_bytes() => Ok(()),
            Ok(_) => Err(Violation::Unsolicited.into()),
            // That the host ended is noticed by the next request.
            Err(Stop::Closed) if !self.frames.has_bytes() => Ok(()),
            Err(Stop::Closed) => Err(Violation::Unsolicited.into()),
            Err(stop) => Err(stop),
        }
    }

    /// Tells the host that no request follows.
    pub(crate) fn hang_up(&self) {
        // The host may have ended already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Waits until the host, which was told that no request follows, has closed its end.
    pub(crate) fn close(&mut self) -> Result<(), Stop> {
        loop {
            match self.read_some() {
                Ok(true) => return Err(Violation::Unsolicited.into()),
                Ok(false) if self.frames.has_bytes() => return Err(Violation::Unsolicited.into()),
                Ok(false) => match self.wait(PollFlags::IN) {
                    Ok(()) => {}
                    Err(Stop::Closed) => return Ok(()),
                    Err(stop) => return Err(stop),
                },
                Err(Stop::Closed) if self.frames.has_bytes() => {
                    return Err(Violation::Unsolicited.into());
                }
                Err(Stop::Closed) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Waits until the process has ended, or the time has come. Says whether the system can tell; where it
    /// cannot, nothing was waited for.
    pub(crate) fn wait_for_end(&self, limit: Instant) -> bool {
        let Some(process) = &self.process else {
            return false;
        };
        let left = limit.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        poll(&mut fds, Some(&left)).is_ok()
    }

    /// Takes what is there; false if nothing is.
    fn read_some(&mut self) -> Result<bool, Stop> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(Stop::Closed),
                Ok(count) => {
                    self.frames.push(&buffer[..count]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Err(Stop::Closed),
                    _ => return Err(Stop::Io(error)),
                },
            }
        }
    }

    /// Waits until the socket is ready for `what`.
    fn wait(&self, what: PollFlags) -> Result<(), Stop> {
        loop {
            let left = match self.deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return Err(Stop::Deadline),
                    left => left,
                },
            };
            if let Some(shortage) = self.space.exhausted() {
                return Err(Stop::Exhausted(shortage));
            }
            let look = (!self.space.is_empty()).then_some(space::INTERVAL);
            let pause = left.into_iter().chain(look).min();
            let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
            let mut fds = vec![PollFd::from_borrowed_fd(self.socket.as_fd(), what)];
            let guard = self.guard.as_ref();
            let wake = guard.map(Guard::wake);
            fds.extend(wake.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let process = self.process.as_ref().map(AsFd::as_fd);
            fds.extend(process.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut fds, pause.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if let Some(signal) = guard.and_then(Guard::received) {
                return Err(Stop::Signal(signal));
            }
            // What the host still sent stands before its end.
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
            let process = process.map(|_| fds.last().is_some_and(|fd| !fd.revents().is_empty()));
            if process == Some(true) {
                return Err(Stop::Closed);
            }
        }
    }
}
