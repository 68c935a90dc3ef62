//! Schemas, applied in a process of their own.
//!
//! A schema comes from a plugin. A few lines of it can take more time than anybody has, or more
//! memory or stack than a process gets, and nothing inside the process that applies it can stop
//! that. So the executable starts itself once more (see [`crate::launch`]); that process compiles
//! and applies schemas in a sandbox, with a limit of memory, and is killed like a plugin.
//!
//! This is the core's end; the other one, and what the two say to each other, is
//! [`crate::schema::worker`].

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use provara_core::canonical::token_preserving;
use provara_core::json::Value;
use serde::de::DeserializeOwned;

use crate::channel::{Channel, Stop};
use crate::interrupt::Guard;
use crate::launch::orphans::OrphanReaper;
use crate::launch::{self, LaunchError, Task};
use crate::process::{self, ExitReason, KillHandle, has_ended};
use crate::protocol::{self, Violation};
use crate::sandbox::{Calls, Limits, Rules, SandboxPolicy};
use crate::schema::worker::{Checked, Header};
use crate::schema::{Inspected, Schema, SchemaViolations};
use crate::space;

/// How long the process may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait for the exit code of a process that has closed its socket.
const ENDING_LIMIT: Duration = Duration::from_millis(500);

/// Why there is no process to ask.
pub(super) enum StartError {
    Launch(LaunchError),
    Stop(Stop),
}

/// The core's end. Dropping it ends the process.
pub(super) struct SchemaWorker {
    child: Option<Child>,
    _reaper: OrphanReaper,
    channel: Channel,
    kill_handle: KillHandle,
    /// Until when it has to report that it is confined, while it has not.
    report_by: Option<Instant>,
    /// The types whose schemas the process holds.
    compiled: HashSet<String>,
    next_id: u64,
}

impl SchemaWorker {
    /// Starts the process, which `kill_handle` can end from then on, and does not wait until it is ready
    /// (see [`SchemaWorker::ready`]).
    pub(super) fn start(
        launcher: Option<&Path>,
        kill_handle: &KillHandle,
        guard: Option<Guard>,
        deadline: Option<Instant>,
    ) -> Result<SchemaWorker, StartError> {
        // It reads and writes nothing. Its life is bounded by deadlines, not by processor time, since it may
        // serve for long.
        let policy = SandboxPolicy::Enforce {
            require: false,
            rules: Rules {
                calls: Calls::Computing,
                limits: Limits::new(0, None),
                ..Rules::default()
            },
        };
        let launched = launch::spawn(launcher)
            .and_then(|waiting| waiting.launch(Task::SchemaWorker, None, policy))
            .map_err(StartError::Launch)?;
        let limit = Instant::now() + START_LIMIT;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let watch = space::Watch::new([]);
        let (socket, process) = (launched.socket, launched.process);
        let channel = Channel::new(socket, process, guard, watch, Some(limit))
            .map_err(|error| StartError::Stop(Stop::Io(error)))?;
        kill_handle.arm(launched.child.id());
        Ok(SchemaWorker {
            child: Some(launched.child),
            _reaper: launched.reaper,
            channel,
            kill_handle: kill_handle.clone(),
            report_by: Some(limit),
            compiled: HashSet::new(),
            next_id: 1,
        })
    }

    /// Makes sure that the process is confined, before it is asked anything.
    pub(super) fn ready(&mut self) -> Result<(), StartError> {
        let Some(limit) = self.report_by.take() else {
            return Ok(());
        };
        self.channel.deadline = Some(limit);
        let report = self.channel.receive().map_err(StartError::Stop)?;
        launch::read_report(&report).map_err(StartError::Launch)?;
        Ok(())
    }

    /// Compiles a schema, which the process keeps, and says all there is to know of it where it is to be inspected.
    pub(super) fn compile(
        &mut self,
        schema: Schema<'_>,
        inspect: bool,
        deadline: Option<Instant>,
    ) -> Result<Inspected, Stop> {
        let body = [schema.json, schema.further.unwrap_or_default()].concat();
        let op = if inspect { "inspect" } else { "compile" };
        let inspected: Inspected = self.ask(op, schema, body.as_bytes(), deadline)?;
        if inspected.fault.is_none() {
            self.compiled.insert(schema.event_type.to_owned());
        }
        Ok(inspected)
    }

    /// Whether the schema of a type is there.
    pub(super) fn knows(&self, event_type: &str) -> bool {
        self.compiled.contains(event_type)
    }

    /// Applies a schema that was compiled; gives the first of the data that does not fit.
    pub(super) fn check(
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
            schema_length: schema.json.len(),
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
    pub(super) fn ending(mut self) -> ExitReason {
        let limit = Instant::now() + ENDING_LIMIT;
        while self.child.as_ref().is_some_and(|child| !has_ended(child)) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.end()
    }

    fn end(&mut self) -> ExitReason {
        let status = self.child.take().and_then(|child| {
            // From here on its number may be given to another process.
            self.kill_handle.disarm(child.id());
            process::end(child)
        });
        status.into()
    }
}

impl Drop for SchemaWorker {
    fn drop(&mut self) {
        self.end();
    }
}
