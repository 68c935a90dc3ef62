//! The records of a batch, as they come: lines, or the elements of an array.

use std::time::Duration;

use provara_plugins::interrupt::Guard;
use provara_report::Diagnostic;

use super::array::{ArrayPath, Elements};
use super::place::{Place, Placed, keep};
use super::source::{Available, Source};

/// How many records are taken together.
const GROUP: usize = 4096;

/// How many bytes of records are taken together, at most (but for one long record).
const GROUP_BYTES: usize = 8 << 20;

/// The records of the batch.
pub(super) struct Records {
    source: Source,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    line: u64,
    form: Form,
    pub(super) guard: Guard,
}

enum Form {
    /// The first character that is no space tells.
    Unknown,
    Lines,
    Elements(Box<Elements>),
}

/// Records that are taken together.
pub(super) struct Group {
    pub(super) records: Vec<Placed>,
    /// Whether the input ended.
    pub(super) ended: bool,
}

/// The input cannot be read on: the records before that, and why.
pub(super) struct Broken {
    pub(super) records: Vec<Placed>,
    pub(super) stop: Stop,
}

/// Why an input is read no further.
pub(super) enum Stop {
    /// The document around the records is wrong there, before the record that the place counts.
    At(Place, Diagnostic),
    /// The input itself ends badly, after this many lines.
    After(u64, Diagnostic),
}

impl Records {
    /// The records of `source`: the elements of the array at `path`, or lines where there is none (and the
    /// elements of an array that the input itself is).
    pub(super) fn of(source: Source, path: Option<&ArrayPath>) -> Result<Self, Diagnostic> {
        Ok(Self {
            source,
            partial: Vec::new(),
            line: 0,
            form: match path {
                None => Form::Unknown,
                Some(path) => Form::Elements(Box::new(Elements::at(path.clone()))),
            },
            guard: Guard::new().map_err(|error| provara_explain::signals_failure(&error))?,
        })
    }

    /// How many bytes of the input were read, and how many it has.
    pub(super) fn progress(&mut self) -> Option<(u64, u64)> {
        self.source.progress()
    }

    /// The next records that are there; none at the end of the input, or if none comes for as long as
    /// `limit`.
    pub(super) fn group(&mut self, limit: Option<Duration>) -> Result<Group, Box<Broken>> {
        let mut records = Vec::with_capacity(GROUP);
        let mut bytes = 0;
        while records.len() < GROUP && bytes < GROUP_BYTES {
            let limit = match records.is_empty() {
                true => limit,
                false => Some(Duration::ZERO),
            };
            let before = records.len();
            match self.step(limit, &mut records) {
                Ok(Step::More) => {}
                Ok(Step::Nothing) => break,
                Ok(Step::Ended) => {
                    return Ok(Group {
                        records,
                        ended: true,
                    });
                }
                Err(stop) => return Err(Box::new(Broken { records, stop })),
            }
            bytes += records[before..]
                .iter()
                .map(|(_, text)| text.len())
                .sum::<usize>();
        }
        Ok(Group {
            records,
            ended: false,
        })
    }

    /// Reads on, at most to the end of one record.
    fn step(&mut self, limit: Option<Duration>, records: &mut Vec<Placed>) -> Result<Step, Stop> {
        let line = self.lines_read();
        let available = self.source.available(&self.guard, limit);
        let available = match available.map_err(|failure| Stop::After(line, failure))? {
            Available::Nothing => return Ok(Step::Nothing),
            Available::End => return self.end(records),
            Available::Bytes(bytes) => bytes,
        };
        let used = match &mut self.form {
            Form::Unknown => {
                let spaces = available.len() - available.trim_ascii_start().len();
                self.line += memchr::memchr_iter(b'\n', &available[..spaces]).count() as u64;
                match available.get(spaces) {
                    None => {}
                    Some(b'[') => {
                        let mut elements = Elements::at(ArrayPath::default());
                        elements.begin_at(self.line);
                        self.form = Form::Elements(Box::new(elements));
                    }
                    Some(_) => self.form = Form::Lines,
                }
                spaces
            }
            Form::Elements(elements) => {
                let (used, element) = elements
                    .feed(available)
                    .map_err(|(place, failure)| Stop::At(place, failure))?;
                records.extend(element);
                used
            }
            Form::Lines => {
                let end = memchr::memchr(b'\n', available);
                keep(
                    &mut self.partial,
                    &available[..end.unwrap_or(available.len())],
                );
                if end.is_some() {
                    take_line(&mut self.partial, &mut self.line, records);
                }
                end.map_or(available.len(), |end| end + 1)
            }
        };
        self.source.consume(used);
        Ok(Step::More)
    }

    /// How many lines were read.
    fn lines_read(&self) -> u64 {
        match &self.form {
            Form::Elements(elements) => elements.line(),
            _ => self.line,
        }
    }

    /// The input has ended.
    fn end(&mut self, records: &mut Vec<Placed>) -> Result<Step, Stop> {
        match &mut self.form {
            Form::Elements(elements) => {
                let ended = elements.end();
                ended.map_err(|(line, failure)| Stop::After(line, failure))?;
            }
            _ if self.partial.is_empty() => {}
            _ => take_line(&mut self.partial, &mut self.line, records),
        }
        Ok(Step::Ended)
    }
}

enum Step {
    More,
    Nothing,
    Ended,
}

/// A line is whole: it becomes a record, unless it is blank.
fn take_line(partial: &mut Vec<u8>, line: &mut u64, records: &mut Vec<Placed>) {
    *line += 1;
    let place = Place {
        line: *line,
        record: None,
    };
    let text = std::mem::take(partial);
    if !text.trim_ascii().is_empty() {
        records.push((place, text));
    }
}
