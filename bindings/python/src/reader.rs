//! Reading the events of a log, one at a time, from a path or an inherited descriptor.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use provara_core::json::{self, Value};
use provara_core::time::Timestamp;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyModule};

use crate::convert::{self, Keys};
use crate::errors;

/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// The longest line that is still taken for an event.
const MAX_LINE: usize = 64 << 20;

/// Where the bytes come from. Both are read at an offset, which leaves the position of a
/// descriptor that others share alone.
enum Source {
    File(File),
    /// A descriptor that belongs to Python and stays open with it; read through `os.pread`.
    Descriptor(i32),
}

/// Which events to give.
#[derive(Default)]
struct Filter {
    event_type: Option<String>,
    actor: Option<String>,
    /// Microseconds since 1970, included.
    after: Option<i64>,
    /// Microseconds since 1970, excluded.
    before: Option<i64>,
}

impl Filter {
    fn admits(&self, event: &Value<'_>) -> bool {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|text| event.get(field).and_then(Value::as_str) == Some(text))
        };
        is("type", &self.event_type) && is("actor", &self.actor) && self.admits_time(event)
    }

    fn admits_time(&self, event: &Value<'_>) -> bool {
        if self.after.is_none() && self.before.is_none() {
            return true;
        }
        let text = event.get("timestamp_utc").and_then(Value::as_str);
        let Some(time) = text.and_then(|text| text.parse::<Timestamp>().ok()) else {
            return false;
        };
        let time = time.unix_micros();
        self.after.is_none_or(|after| time >= after) && self.before.is_none_or(|end| time < end)
    }
}

/// An iterator over the events of a log, as fresh dicts.
#[pyclass(module = "provara._native")]
pub(crate) struct EventReader {
    source: Source,
    /// What messages call the log.
    label: String,
    filter: Filter,
    keys: Keys,
    /// Where the log ends for this reader; `None` reads to the end of the file.
    length: Option<u64>,
    /// How far the source has been read.
    offset: u64,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// How far the buffer has been searched for a line end.
    searched: usize,
    line: u64,
    ended: bool,
}

#[pymethods]
impl EventReader {
    #[new]
    #[pyo3(signature = (source, length=None, *, r#type=None, actor=None, after=None, before=None))]
    fn new(
        source: &Bound<'_, PyAny>,
        length: Option<u64>,
        r#type: Option<String>,
        actor: Option<String>,
        after: Option<i64>,
        before: Option<i64>,
    ) -> PyResult<Self> {
        let (source, label) = if let Ok(descriptor) = source.extract::<i32>() {
            (Source::Descriptor(descriptor), "the log".to_owned())
        } else {
            let path: PathBuf = source.extract()?;
            let label = format!("'{}'", path.display());
            // Python's own exception: FileNotFoundError, PermissionError, with the file's name.
            let file = File::open(&path).map_err(|error| os_error(&error, &path))?;
            (Source::File(file), label)
        };
        Ok(Self {
            source,
            label,
            filter: Filter {
                event_type: r#type,
                actor,
                after,
                before,
            },
            keys: Keys::default(),
            length,
            offset: 0,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            line: 0,
            ended: false,
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        loop {
            let Some((start, end, whole)) = self.next_line(py)? else {
                return Ok(None);
            };
            self.line += 1;
            let value = match json::parse(&self.buffer[start..end]) {
                Ok(value) => value,
                // Bytes after the last line end that are no JSON are an append that was never
                // acknowledged: not an event.
                Err(_) if !whole => return Ok(None),
                Err(error) => return Err(self.broken(py, &error.to_string())),
            };
            let Value::Object(members) = &value else {
                let what = format!("{} is not an event", value.kind_name());
                return Err(self.broken(py, &what));
            };
            if self.filter.admits(&value) {
                return convert::object(py, members, &mut self.keys).map(Some);
            }
        }
    }
}

impl EventReader {
    /// Returns the range of the next line in the buffer, and whether a line end closes it.
    fn next_line(&mut self, py: Python<'_>) -> PyResult<Option<(usize, usize, bool)>> {
        loop {
            let unseen = &self.buffer[self.searched..];
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.start, self.searched + at);
                self.start = end + 1;
                self.searched = self.start;
                return Ok(Some((start, end, true)));
            }
            self.searched = self.buffer.len();
            if self.ended {
                let (start, end) = (self.start, self.buffer.len());
                self.start = end;
                return Ok((start < end).then_some((start, end, false)));
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
        let mut want = CHUNK;
        if let Some(length) = self.length {
            want = want.min(usize::try_from(length - self.offset).unwrap_or(CHUNK));
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

    /// The exception for a line that is no event; the reader gives nothing after it.
    fn broken(&mut self, py: Python<'_>, what: &str) -> PyErr {
        self.ended = true;
        self.start = self.buffer.len();
        self.searched = self.start;
        errors::evidence(py, format!("line {} of {}: {what}", self.line, self.label))
    }
}

/// `OSError(errno, message, filename)`, from which Python picks the subclass.
fn os_error(error: &std::io::Error, path: &std::path::Path) -> PyErr {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((code, text, path.to_owned()))
        }
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Microseconds since 1970 of an RFC 3339 timestamp in UTC.
#[pyfunction]
pub(crate) fn timestamp_micros(py: Python<'_>, text: &str) -> PyResult<i64> {
    let time: Timestamp = text
        .parse()
        .map_err(|error| errors::usage(py, format!("'{text}' is {error}")))?;
    Ok(time.unix_micros())
}
