//! Reading ahead: a second thread records the lines of a log that this one makes events of.
//!
//! Python's objects are made by the thread that has the interpreter, and that takes as long as reading the
//! lines. What is recorded ahead is bounded by the number of batches.

use std::hint::black_box;
use std::mem;
use std::process;
use std::slice;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use provara_core::parallel::available_threads;
use provara_vault::SourceLog;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::record::{Batch, PLACES, Recorder, Step};

/// How many bytes of lines a batch records, at least; and how many batches there are. With much
/// smaller batches the threads wake each other so often that half of the gain is lost.
const BATCH: usize = 512 << 10;
const BATCHES: usize = 3;

/// How much memory there must be for it: a thread's stack and the batches of most logs, and as much again.
const ROOM: usize = 8 << 20;

/// The lines that are being read ahead.
pub(crate) struct Ahead {
    /// The process that has the other thread: after a fork, the child has not.
    process: u32,
    thread: Option<Ends>,
    batch: Batch,
    /// How far the batch has been made into events.
    step: usize,
    text: usize,
    objects: Objects,
}

/// This thread's ends of the channels. Receivers are for one thread; the lock is never waited for.
struct Ends {
    recorded: Mutex<Receiver<Batch>>,
    used: Sender<Batch>,
}

/// What became of the next line.
pub(crate) enum Line<'py> {
    /// An event, and how many bytes its line had.
    Event(Bound<'py, PyDict>, usize),
    /// It is to be read where it stands: so many bytes.
    Aside(usize),
    /// It is to be read where it stands, and so are all that follow.
    Over,
}

impl Ahead {
    /// Starts to read the lines from `offset` on; none if the machine has one processor, or
    /// the system no thread to give or too little memory.
    pub(crate) fn of(log: Arc<SourceLog>, offset: usize) -> Option<Self> {
        if available_threads() < 2 {
            return None;
        }
        // A thread whose memory has an end ends the process.
        let mut room = Vec::<u8>::new();
        room.try_reserve_exact(ROOM).ok()?;
        drop(black_box(room));
        let (to_here, recorded) = channel();
        let (used, to_there) = channel();
        for _ in 0..BATCHES {
            used.send(Batch::default()).ok()?;
        }
        thread::Builder::new()
            .name("provara-read".to_owned())
            .spawn(move || read(&log, offset, &to_here, &to_there))
            .ok()?;
        let recorded = Mutex::new(recorded);
        Some(Self {
            process: process::id(),
            thread: Some(Ends { recorded, used }),
            batch: Batch::default(),
            step: 0,
            text: 0,
            objects: Objects::default(),
        })
    }

    /// Makes the event of the next line.
    pub(crate) fn line<'py>(&mut self, py: Python<'py>) -> PyResult<Line<'py>> {
        if self.step == self.batch.steps.len() && !self.next_batch(py)? {
            return Ok(Line::Over);
        }
        let step = self.batch.steps[self.step];
        self.step += 1;
        let length = match step {
            Step::Event(length) => length as usize,
            Step::Aside(length) => return Ok(Line::Aside(length)),
            _ => return Err(incomplete()),
        };
        let mut made = Making {
            py,
            steps: self.batch.steps[self.step..].iter(),
            text: &self.batch.text[self.text..],
            shapes: &self.objects.shapes,
            kept: &mut self.objects.kept,
        };
        let event = made.value()?;
        self.step = self.batch.steps.len() - made.steps.len();
        self.text = self.batch.text.len() - made.text.len();
        Ok(Line::Event(event.cast_into()?, length))
    }

    fn next_batch(&mut self, py: Python<'_>) -> PyResult<bool> {
        if process::id() != self.process {
            return Ok(false);
        }
        let Some(Ends { recorded, used }) = &mut self.thread else {
            return Ok(false);
        };
        let recorded = recorded.get_mut().unwrap_or_else(PoisonError::into_inner);
        // With the interpreter: it does not take long, and meanwhile no other thread of Python's may ask for a line, or
        // fork.
        let Ok(next) = recorded.recv() else {
            return Ok(false);
        };
        // The other thread is gone if it has read everything.
        let _ = used.send(mem::replace(&mut self.batch, next));
        (self.step, self.text) = (0, 0);
        for keys in &self.batch.shapes {
            self.objects.add_shape(py, keys)?;
        }
        Ok(!self.batch.steps.is_empty())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // In the child of a fork a channel may have been in the middle of something, and waits for ever.
        if process::id() != self.process {
            mem::forget(self.thread.take());
        }
    }
}

/// The other thread: records lines until there are no more, nobody wants them, or memory runs out.
fn read(log: &SourceLog, mut offset: usize, to: &Sender<Batch>, from: &Receiver<Batch>) {
    let mut recorder = Recorder::new();
    let bytes = log.bytes();
    for mut batch in from {
        batch.clear();
        let end = offset + BATCH;
        while offset < end {
            let length = memchr::memchr(b'\n', &bytes[offset..]);
            let line = length.map(|length| &bytes[offset..offset + length]);
            let Some(line) = line.filter(|line| batch.reserve(line).is_ok()) else {
                let _ = to.send(batch);
                return;
            };
            recorder.record(line, &mut batch);
            offset += line.len() + 1;
        }
        if to.send(batch).is_err() {
            return;
        }
    }
}

/// The objects that records refer to.
struct Objects {
    shapes: Vec<Shape>,
    /// The strings that may recur, by their places.
    kept: Vec<Option<Py<PyString>>>,
}

/// The keys of dicts.
struct Shape {
    keys: Vec<Py<PyString>>,
    /// A dict that has them, each with `None`: a copy of it takes less time than a dict that grows.
    dict: Py<PyDict>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            shapes: Vec::new(),
            kept: (0..PLACES).map(|_| None).collect(),
        }
    }
}

impl Objects {
    fn add_shape(&mut self, py: Python<'_>, keys: &[Box<str>]) -> PyResult<()> {
        let dict = PyDict::new(py);
        let keys: Vec<_> = keys.iter().map(|key| PyString::intern(py, key)).collect();
        for key in &keys {
            dict.set_item(key, py.None())?;
        }
        self.shapes.push(Shape {
            keys: keys.into_iter().map(Bound::unbind).collect(),
            dict: dict.unbind(),
        });
        Ok(())
    }
}

/// A record on its way to an event: what is left of it.
struct Making<'m, 'py> {
    py: Python<'py>,
    steps: slice::Iter<'m, Step>,
    text: &'m str,
    shapes: &'m [Shape],
    kept: &'m mut [Option<Py<PyString>>],
}

impl<'py> Making<'_, 'py> {
    /// Makes the next value. It is as deep as the reader lets JSON be.
    fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match *self.steps.next().ok_or_else(incomplete)? {
            Step::Null => py.None().into_bound(py),
            Step::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
            Step::Int(value) => PyInt::new(py, value).into_any(),
            Step::Float(value) => PyFloat::new(py, value).into_any(),
            Step::Text(length) => self.string(length).into_any(),
            Step::Keep(place, length) => {
                let made = self.string(length);
                self.kept[usize::from(place)] = Some(made.clone().unbind());
                made.into_any()
            }
            Step::Kept(place) => {
                let kept = self.kept[usize::from(place)].as_ref();
                kept.ok_or_else(incomplete)?.bind(py).clone().into_any()
            }
            Step::List(items) => {
                let list = PyList::empty(py);
                for _ in 0..items {
                    list.append(self.value()?)?;
                }
                list.into_any()
            }
            Step::Dict(shape) => self.dict(shape)?,
            Step::Event(_) | Step::Aside(_) => return Err(incomplete()),
        })
    }

    fn dict(&mut self, shape: u32) -> PyResult<Bound<'py, PyAny>> {
        let shape = &self.shapes[shape as usize];
        let dict = shape.dict.bind(self.py).copy()?;
        for key in &shape.keys {
            dict.set_item(key.bind(self.py), self.value()?)?;
        }
        Ok(dict.into_any())
    }

    fn string(&mut self, length: u32) -> Bound<'py, PyString> {
        let (string, rest) = self.text.split_at(length as usize);
        self.text = rest;
        PyString::new(self.py, string)
    }
}

/// Never seen: records are made whole.
fn incomplete() -> PyErr {
    PyRuntimeError::new_err("an event was recorded in part")
}
