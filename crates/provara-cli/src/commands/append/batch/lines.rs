//! The lines of a batch, as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::time::Duration;

use provara_plugins::interrupt::Guard;
use provara_report::{Class, Diagnostic};

use crate::data::MAX_DATA_BYTES;
use crate::stdio::stdin;

/// How many lines are taken together.
const GROUP: usize = 4096;

/// How many bytes of lines are taken together, at most (but for one long line).
const GROUP_BYTES: usize = 8 << 20;

/// The longest line: as much data as one event may have, and its other members.
const MAX_LINE: u64 = MAX_DATA_BYTES + (64 << 10);

/// A line with its number, from 1.
pub(super) type Numbered = (u64, Vec<u8>);

/// What the batch is read from.
pub(super) struct Source {
    reader: BufReader<File>,
    name: String,
}

impl Source {
    pub(super) fn open(source: &str) -> Result<Self, Diagnostic> {
        let (file, name) = match source {
            "-" => (
                stdin().and_then(|input| input.as_fd().try_clone_to_owned().map(File::from)),
                "standard input",
            ),
            path => (File::open(path), path),
        };
        let file = file.map_err(|error| unreadable(name, &error))?;
        if file.metadata().is_ok_and(|data| data.is_dir()) {
            return Err(Diagnostic::new(
                Class::Usage,
                format!("'{name}' is a directory, not a batch."),
            )
            .fix("Name a file of lines {\"type\":…,\"data\":{…}}; '-' reads standard input."));
        }
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, file),
            name: name.to_owned(),
        })
    }
}

/// The lines of the batch.
pub(super) struct Lines {
    source: Source,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    number: u64,
    pub(super) guard: Guard,
}

impl Lines {
    pub(super) fn of(source: Source) -> Result<Self, Diagnostic> {
        Ok(Self {
            source,
            partial: Vec::new(),
            number: 0,
            guard: Guard::new().map_err(|error| provara_explain::signals_failure(&error))?,
        })
    }

    /// Whether there is something to read, or the end of it, within a time.
    fn ready(&self, limit: Option<Duration>) -> Result<bool, Diagnostic> {
        if !self.source.reader.buffer().is_empty() {
            return Ok(true);
        }
        let ready = self
            .guard
            .wait_for(self.source.reader.get_ref().as_fd(), limit);
        match self.guard.received() {
            Some(signal) => Err(provara_explain::interrupted(signal)),
            None => ready.map_err(|error| unreadable(&self.source.name, &error)),
        }
    }

    /// The next lines that are there, without their ends; none at the end of the input, or if none
    /// comes for as long as `limit`. The error has the lines before the one that could not be read,
    /// its number, and why.
    pub(super) fn group(
        &mut self,
        limit: Option<Duration>,
    ) -> Result<Group, (Vec<Numbered>, u64, Diagnostic)> {
        let mut lines = Vec::with_capacity(GROUP);
        let mut bytes = 0;
        while lines.len() < GROUP && bytes < GROUP_BYTES {
            let number = self.number + 1;
            let limit = if lines.is_empty() {
                limit
            } else {
                Some(Duration::ZERO)
            };
            match self.ready(limit) {
                Ok(true) => {}
                Ok(false) => {
                    return Ok(Group {
                        lines,
                        ended: false,
                    });
                }
                Err(failure) => return Err((lines, number, failure)),
            }
            let available = match self.source.reader.fill_buf() {
                Ok(available) => available,
                Err(error) => return Err((lines, number, unreadable(&self.source.name, &error))),
            };
            let end = memchr::memchr(b'\n', available);
            let ended = available.is_empty();
            let (line, used) = match end {
                Some(end) => (&available[..end], end + 1),
                None => (available, available.len()),
            };
            self.partial.extend_from_slice(line);
            self.source.reader.consume(used);
            if self.partial.len() as u64 > MAX_LINE {
                let failure = Diagnostic::new(
                    Class::Usage,
                    format!("The line is longer than {MAX_LINE} bytes."),
                )
                .fix("Keep the bytes in a file, and put its name and SHA-256 into the event.");
                return Err((lines, number, failure));
            }
            if end.is_some() || (ended && !self.partial.is_empty()) {
                bytes += self.partial.len();
                self.number = number;
                lines.push((number, std::mem::take(&mut self.partial)));
            }
            if ended {
                return Ok(Group { lines, ended });
            }
        }
        Ok(Group {
            lines,
            ended: false,
        })
    }
}

/// Lines that are taken together.
pub(super) struct Group {
    pub(super) lines: Vec<Numbered>,
    /// Whether the input ended.
    pub(super) ended: bool,
}

fn unreadable(source: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::new(
        Class::Unavailable,
        format!("The batch could not be read from '{source}': {error}."),
    )
    .fix("Check the path; '-' reads standard input.")
}
