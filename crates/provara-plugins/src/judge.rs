//! Schemas, applied in a process of their own.
//!
//! A schema comes from a plugin. A few lines of it can take more time than anybody has, or more
//! memory or stack than a process gets, and nothing inside the process that applies it can stop
//! that. So the executable starts itself once more (see [`crate::launch`]); that process compiles
//! and applies schemas behind the walls, with a limit of memory, and is killed like a plugin.
//!
//! Both ends are here. A question is a header of one line of JSON, a line feed and a body: the
//! schema for `compile`, the data as lines of JSON for `check`. Frames and replies are those of
//! [`crate::protocol`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use provara_core::canonical::token_preserving;
use provara_core::json::{self, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::channel::{Channel, Stop};
use crate::interrupt::Guard;
use crate::launch::orphans::Sweeper;
use crate::launch::{self, Launch, LaunchError, Task};
use crate::process::{self, Ending, Killer, has_ended};
use crate::protocol::{self, FrameReader, Violation};
use crate::schema::{CompiledSchema, SchemaViolation, SchemaViolations};
use crate::space;
use crate::walls::{Limits, Rules, Walls};

/// How long the process may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait for the exit code of a process that has closed its socket.
const ENDING_LIMIT: Duration = Duration::from_millis(500);

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    id: u64,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

/// The result of `compile`.
#[derive(Serialize, Deserialize)]
struct Compiled {
    /// Why the schema cannot be used, safe for a terminal.
    fault: Option<String>,
}

/// The result of `check`.
#[derive(Serialize, Deserialize)]
struct Checked {
    unfit: Option<Unfit>,
}

/// The first of the data that does not fit.
#[derive(Serialize, Deserialize)]
struct Unfit {
    at: usize,
    violations: Vec<SchemaViolation>,
    more: usize,
}

/// The schema of an event type.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) version: &'a str,
    pub(crate) json: &'a str,
}

/// Why there is no process to ask.
pub(crate) enum StartError {
    Launch(LaunchError),
    Stop(Stop),
}

/// The core's end. Dropping it ends the process.
pub(crate) struct Judge {
    child: Option<Child>,
    _sweeper: Sweeper,
    channel: Channel,
    killer: Killer,
    /// The types whose schemas the process holds.
    compiled: HashSet<String>,
    next_id: u64,
}

impl Judge {
    /// Starts the process, which `killer` can end from then on.
    pub(crate) fn start(
        launcher: Option<&Path>,
        killer: &Killer,
        guard: Option<Guard>,
        deadline: Option<Instant>,
    ) -> Result<Judge, StartError> {
        let launched = launch::start(Launch {
            launcher,
            task: Task::Judge,
            log: None,
            // It reads and writes nothing. Its life is bounded by deadlines, not by processor time,
            // since it may serve for long.
            walls: Walls::Up {
                require: false,
                rules: Rules {
                    limits: Limits::new(0, None),
                    ..Rules::default()
                },
            },
        })
        .map_err(StartError::Launch)?;
        let limit = Instant::now() + START_LIMIT;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let watch = space::Watch::new([]);
        let (socket, process) = (launched.socket, launched.process);
        let channel = Channel::new(socket, process, guard, watch, Some(limit))
            .map_err(|error| StartError::Stop(Stop::Io(error)))?;
        killer.arm(launched.child.id());
        let mut judge = Judge {
            child: Some(launched.child),
            _sweeper: launched.sweeper,
            channel,
            killer: killer.clone(),
            compiled: HashSet::new(),
            next_id: 1,
        };
        let report = judge.channel.receive().map_err(StartError::Stop)?;
        launch::read_report(&report).map_err(StartError::Launch)?;
        Ok(judge)
    }

    /// Compiles a schema, which the process keeps. The inner error says why it cannot be used.
    pub(crate) fn compile(
        &mut self,
        schema: Schema<'_>,
        deadline: Option<Instant>,
    ) -> Result<Result<(), String>, Stop> {
        let body = schema.json.as_bytes();
        let compiled: Compiled = self.ask("compile", schema, body, deadline)?;
        if let Some(fault) = compiled.fault {
            return Ok(Err(fault));
        }
        self.compiled.insert(schema.event_type.to_owned());
        Ok(Ok(()))
    }

    /// Whether the schema of a type is there.
    pub(crate) fn knows(&self, event_type: &str) -> bool {
        self.compiled.contains(event_type)
    }

    /// Applies a schema that was compiled; gives the first of the data that does not fit.
    pub(crate) fn check(
        &mut self,
        schema: Schema<'_>,
        data: &[&Value<'_>],
        deadline: Option<Instant>,
    ) -> Result<Option<(usize, SchemaViolations)>, Stop> {
        let mut body = Vec::new();
        for value in data {
            body.extend_from_slice(&token_preserving(value));
            body.push(b'\n');
        }
        let checked: Checked = self.ask("check", schema, &body, deadline)?;
        Ok(checked.unfit.map(|unfit| {
            let violations = SchemaViolations {
                type_name: schema.event_type.to_owned(),
                version: schema.version.to_owned(),
                violations: unfit.violations,
                more: unfit.more,
            };
            (unfit.at, violations)
        }))
    }

    fn ask<T: DeserializeOwned>(
        &mut self,
        op: &'static str,
        schema: Schema<'_>,
        body: &[u8],
        deadline: Option<Instant>,
    ) -> Result<T, Stop> {
        let id = self.next_id;
        self.next_id += 1;
        let header = Header {
            id,
            op: op.into(),
            event_type: schema.event_type.into(),
            version: schema.version.into(),
        };
        let mut question = serde_json::to_vec(&header).map_err(io::Error::other)?;
        question.push(b'\n');
        question.extend_from_slice(body);
        let frame = protocol::frame(&question)
            .map_err(|length| Violation::Oversized(u64::try_from(length).unwrap_or(u64::MAX)))?;
        self.channel.deadline = deadline;
        self.channel.send(&frame)?;
        let reply = self.channel.receive()?;
        protocol::parse_reply(&reply, id, op)?
            .map_err(|error| Stop::Io(io::Error::other(error.message.unwrap_or_default())))
    }

    /// How the process ended, which has closed its socket or was killed.
    pub(crate) fn ending(mut self) -> Ending {
        let limit = Instant::now() + ENDING_LIMIT;
        while self.child.as_ref().is_some_and(|child| !has_ended(child)) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.end()
    }

    fn end(&mut self) -> Ending {
        let status = self.child.take().and_then(|child| {
            // From here on its number may be given to another process.
            self.killer.disarm(child.id());
            process::end(child)
        });
        status.into()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.end();
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// The process's end: answers until the core closes the socket.
pub(crate) fn serve(socket: &mut UnixStream) -> ! {
    let mut frames = FrameReader::default();
    let mut schemas = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(question) = frames.next_frame() {
        let done = match question {
            Some(question) => {
                answer(&question, &mut schemas).and_then(|reply| socket.write_all(&reply))
            }
            None => socket.read(&mut buffer).and_then(|count| {
                frames.push(&buffer[..count]);
                (count > 0)
                    .then_some(())
                    .ok_or(io::ErrorKind::UnexpectedEof.into())
            }),
        };
        if done.is_err() {
            break;
        }
    }
    std::process::exit(0)
}

fn answer(question: &[u8], schemas: &mut HashMap<String, CompiledSchema>) -> io::Result<Vec<u8>> {
    let end = question.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or(io::ErrorKind::InvalidData)?;
    let (header, body) = (&question[..end], &question[end + 1..]);
    let header: Header<'_> = serde_json::from_slice(header)?;
    let result = match &*header.op {
        "compile" => {
            let text = std::str::from_utf8(body).map_err(io::Error::other)?;
            let fault = match CompiledSchema::new(&header.event_type, &header.version, text) {
                Ok(schema) => {
                    schemas.insert(header.event_type.into_owned(), schema);
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            serde_json::to_value(Compiled { fault })?
        }
        _ => {
            let schema = schemas
                .get(&*header.event_type)
                .ok_or(io::ErrorKind::InvalidData)?;
            let mut unfit = None;
            for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
                if line.is_empty() {
                    break;
                }
                let data = json::parse(line).map_err(io::Error::other)?;
                if let Err(found) = schema.validate(&data) {
                    let (violations, more) = (found.violations, found.more);
                    unfit = Some(Unfit {
                        at,
                        violations,
                        more,
                    });
                    break;
                }
            }
            serde_json::to_value(Checked { unfit })?
        }
    };
    let reply = serde_json::json!({ "id": header.id, "ok": true, "result": result });
    let reply = serde_json::to_vec(&reply)?;
    protocol::frame(&reply).map_err(|_| io::ErrorKind::InvalidData.into())
}
