//! Reading the events of a log, one at a time: from a path, an inherited descriptor or a snapshot.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provara_core::json;
use provara_core::query::Query;
use provara_vault::SourceLog;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyModule};

use crate::ahead::{Ahead, Line};
use crate::convert::{Builder, Strings, Unbuilt, not_json};
use crate::errors;
use crate::integers::{self, FormSearch, LargeIntegers};
use crate::vault::run;

/// How much is read at a time, unless the caller says otherwise.
const CHUNK: usize = 256 << 10;

/// The shortest snapshot that another thread reads ahead, and after how much of it: to start a thread and to
/// wait for its first lines takes as long as reading some thousand events, and many programs want only a few.
const AHEAD_LEAST: usize = 4 << 20;
const AHEAD_FROM: usize = 256 << 10;

/// The longest line that is still taken for an event.
const MAX_LINE: usize = 64 << 20;

/// Where the bytes come from. Files are read at an offset, which leaves the position of a
/// descriptor that others share alone.
enum Source {
    File(File),
    /// A descriptor that belongs to Python and stays open with it; read through `os.pread`.
    Descriptor(i32),
    /// Bytes that are there already.
    Snapshot(Arc<SourceLog>),
}

/// An iterator over the events of a log, as fresh dicts.
#[pyclass(module = "provara._native")]
pub(crate) struct EventReader {
    source: Source,
    /// What messages call the log.
    label: String,
    /// Which lines to look at; all of them if there is none. Boxed because a searcher for AVX2 is
    /// aligned to 32 bytes (see `MAX_ALIGN`).
    query: Option<Box<Query>>,
    strings: Strings,
    large: LargeIntegers,
    /// Where the log ends for this reader; `None` reads to the end of the file.
    length: Option<u64>,
    /// How much is read at a time, in bytes; never 0.
    chunk: usize,
    /// How far the source has been read.
    offset: u64,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// How far the buffer has been searched for a line end.
    searched: usize,
    line: u64,
    ended: bool,
    /// Whether there was an error, or the end: nothing follows.
    over: bool,
    ahead: ReadAhead,
}

/// Whether another thread reads ahead.
enum ReadAhead {
    /// Once `AHEAD_FROM` bytes have been read.
    NotYet,
    Reading(Box<Ahead>),
    Never,
}

#[pymethods]
impl EventReader {
    #[new]
    #[pyo3(signature = (source, length=None, chunk=262144))]
    fn new(source: &Bound<'_, PyAny>, length: Option<u64>, chunk: usize) -> PyResult<Self> {
        let (source, label) = if let Ok(descriptor) = source.extract::<i32>() {
            (Source::Descriptor(descriptor), "the log".to_owned())
        } else {
            let path: PathBuf = source.extract()?;
            // Python's own exception: FileNotFoundError, PermissionError, with the file's name.
            let file = File::open(&path).map_err(|error| os_error(&error, &path))?;
            (Source::File(file), label(&path))
        };
        let mut reader = Self::from_source(source, label, length);
        reader.chunk = chunk.max(1);
        Ok(reader)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = slf.py();
        let mut reader = slf.try_borrow_mut()?;
        if reader.over {
            return Ok(None);
        }
        let event = reader.next_event(py);
        if let Ok(Some(_)) = event {
            return event;
        }
        reader.over = true;
        reader.ahead = ReadAhead::Never;
        let log = match &reader.source {
            Source::Snapshot(log) => Some(Arc::clone(log)),
            _ => None,
        };
        // It goes without the interpreter, and meanwhile another thread may ask for an event.
        drop(reader);
        // A log that another program changed since it verified is refused: its lines may not have been those that did.
        log.map_or(Ok(()), |log| run(py, || log.check_unchanged()))?;
        event
    }
}

impl EventReader {
    /// Reads a snapshot's lines, or those that a query chooses.
    pub(crate) fn of_snapshot(log: Arc<SourceLog>, path: &Path, query: Option<Query>) -> Self {
        let ahead = query.is_none() && log.bytes().len() >= AHEAD_LEAST;
        let mut reader = Self::from_source(Source::Snapshot(log), label(path), None);
        reader.query = query.map(Box::new);
        if ahead {
            reader.ahead = ReadAhead::NotYet;
        }
        reader.ended = true; // there is nothing more to read than is there
        reader
    }

    fn from_source(source: Source, label: String, length: Option<u64>) -> Self {
        Self {
            source,
            label,
            query: None,
            strings: Strings::default(),
            large: LargeIntegers::Undecided,
            length,
            chunk: CHUNK,
            offset: 0,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            line: 0,
            ended: false,
            over: false,
            ahead: ReadAhead::Never,
        }
    }

    fn next_event<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        loop {
            let aside = match self.next_ahead(py)? {
                Line::Event(event, _) => return Ok(Some(event)),
                Line::Aside(length) => Some(self.start..self.start + length),
                Line::Over => None,
            };
            if self.query.as_ref().is_some_and(|it| it.is_exhausted()) {
                let text = provara_explain::exhausted().exception_text();
                return Err(errors::usage(py, text));
            }
            // The other thread's line, even if another program meanwhile wrote over its end.
            let next = match aside {
                Some(line) => Some((self.pass(line), true)),
                None => self.next_line(py)?,
            };
            let Some((range, whole)) = next else {
                return Ok(None);
            };
            self.line += 1;
            let line = match &self.source {
                Source::Snapshot(log) => &log.bytes()[range],
                _ => &self.buffer[range],
            };
            if self
                .query
                .as_ref()
                .is_some_and(|query| !query.matches(line))
            {
                continue;
            }
            let strings = &mut self.strings;
            let mut large = self.large;
            let mut built = json::build(line, &mut Builder { py, strings, large });
            if let Err(Unbuilt::Undecided) = built {
                // Few logs have one. All of it is looked at, once.
                large = decide(py, &self.source, self.length)?;
                built = json::build(line, &mut Builder { py, strings, large });
            }
            self.large = large;
            let what = match built {
                Ok(value) => match value.cast_into::<PyDict>() {
                    Ok(event) => return Ok(Some(event)),
                    Err(_) => not_an_event(line),
                },
                // Bytes after the last line end that are no JSON are an append that was never
                // acknowledged: not an event.
                Err(Unbuilt::Text) if !whole => return Ok(None),
                Err(Unbuilt::Text | Unbuilt::Undecided) => not_json(line),
                Err(Unbuilt::Python(error)) => return Err(*error),
            };
            return Err(self.broken(py, &what));
        }
    }

    /// The event of the next line, if it was read ahead.
    #[inline]
    fn next_ahead<'py>(&mut self, py: Python<'py>) -> PyResult<Line<'py>> {
        if let ReadAhead::NotYet = self.ahead
            && self.start >= AHEAD_FROM
            && let Source::Snapshot(log) = &self.source
        {
            let ahead = Ahead::of(Arc::clone(log), self.start);
            self.ahead = ahead.map_or(ReadAhead::Never, |ahead| ReadAhead::Reading(ahead.into()));
        }
        let ReadAhead::Reading(ahead) = &mut self.ahead else {
            return Ok(Line::Over);
        };
        let line = ahead.line(py)?;
        match line {
            Line::Event(_, length) => {
                self.line += 1;
                self.pass(self.start..self.start + length);
            }
            Line::Aside(_) => {}
            Line::Over => self.ahead = ReadAhead::Never,
        }
        Ok(line)
    }

    /// Goes on behind a line and its end.
    fn pass(&mut self, line: Range<usize>) -> Range<usize> {
        self.start = line.end + 1;
        self.searched = self.start;
        line
    }

    /// Returns the range of the next line in the bytes at hand, and whether a line end closes it.
    fn next_line(&mut self, py: Python<'_>) -> PyResult<Option<(Range<usize>, bool)>> {
        loop {
            let bytes = match &self.source {
                Source::Snapshot(log) => log.bytes(),
                _ => &self.buffer,
            };
            if let Some(at) = memchr::memchr(b'\n', &bytes[self.searched..]) {
                let line = self.pass(self.start..self.searched + at);
                return Ok(Some((line, true)));
            }
            self.searched = bytes.len();
            if self.ended {
                let tail = self.start..bytes.len();
                self.start = tail.end;
                return Ok((!tail.is_empty()).then_some((tail, false)));
            }
            if self.buffer.len() - self.start > MAX_LINE {
                self.line += 1;
                return Err(self.broken(py, "the line is longer than 64 MiB"));
            }
            self.fill(py)?;
        }
    }

    /// Reads on, after dropping the lines that were given.
    fn fill(&mut self, py: Python<'_>) -> PyResult<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let mut want = self.chunk;
        if let Some(length) = self.length {
            want = want.min(usize::try_from(length - self.offset).unwrap_or(want));
        }
        if want == 0 {
            self.ended = true;
            return Ok(());
        }
        let read = match &self.source {
            Source::File(file) => {
                let old = self.buffer.len();
                self.buffer.resize(old + want, 0);
                let read = py.detach(|| file.read_at(&mut self.buffer[old..], self.offset));
                self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
                read.map_err(PyErr::from)?
            }
            Source::Descriptor(descriptor) => {
                let os = PyModule::import(py, "os")?;
                let bytes = os.call_method1("pread", (*descriptor, want, self.offset))?;
                let bytes = bytes.cast::<PyBytes>()?.as_bytes();
                self.buffer.extend_from_slice(bytes);
                bytes.len()
            }
            Source::Snapshot(_) => 0,
        };
        if read == 0 {
            self.ended = true;
            if self.length.is_some() {
                let text = format!("{} became shorter while it was read", self.label);
                return Err(errors::evidence(py, text));
            }
        }
        self.offset += read as u64;
        Ok(())
    }

    /// The exception for a line that is no event.
    fn broken(&self, py: Python<'_>, what: &str) -> PyErr {
        errors::evidence(py, format!("line {} of {}: {what}", self.line, self.label))
    }
}

/// What becomes of large integers in a log, as it now is up to `length`.
fn decide(py: Python<'_>, source: &Source, length: Option<u64>) -> PyResult<LargeIntegers> {
    if let Source::Snapshot(log) = source {
        return Ok(py.detach(|| integers::of_log(log.bytes())));
    }
    let (mut search, mut offset) = (FormSearch::default(), 0);
    loop {
        let left = length.map_or(CHUNK as u64, |length| length - offset);
        let want = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let piece = read_at(py, source, want, offset)?;
        offset += piece.len() as u64;
        if piece.is_empty() || !py.detach(|| search.feed(&piece)) {
            return Ok(search.decision());
        }
    }
}

/// What stands in a file at an offset, at most `want` bytes.
fn read_at(py: Python<'_>, source: &Source, want: usize, offset: u64) -> PyResult<Vec<u8>> {
    match source {
        Source::File(file) => {
            let mut piece = vec![0; want];
            let read = py.detach(|| file.read_at(&mut piece, offset))?;
            piece.truncate(read);
            Ok(piece)
        }
        Source::Descriptor(descriptor) => {
            let os = PyModule::import(py, "os")?;
            let bytes = os.call_method1("pread", (*descriptor, want, offset))?;
            Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
        }
        Source::Snapshot(_) => Ok(Vec::new()),
    }
}

/// What is said of a line that is JSON and no object.
fn not_an_event(line: &[u8]) -> String {
    let kind = json::parse(line).map_or("this", |value| value.kind_name());
    format!("{kind} is not an event")
}

fn label(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// `OSError(errno, message, filename)`, from which Python picks the subclass.
fn os_error(error: &std::io::Error, path: &Path) -> PyErr {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            PyOSError::new_err((code, text, path.to_owned()))
        }
        None => PyOSError::new_err(error.to_string()),
    }
}
