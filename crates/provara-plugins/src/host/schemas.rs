//! The schemas of event types, which a second process applies (see [`super::schema_worker`]).

use std::time::{Duration, Instant};

use provara_core::json::Value;

use super::HostError;
use super::host_process::HostProcess;
use super::schema_worker::{SchemaWorker, StartError};
use crate::catalog::EventTypeInfo;
use crate::channel::Stop;
use crate::interrupt::Guard;
use crate::process::ExitReason;
use crate::protocol::{Violation, WireSchema};
use crate::purpose::Access;
use crate::schema::{Inspected, Schema, SchemaViolations};

/// How long a plugin's schema may take to compile before the plugin is skipped. An ordinary one
/// takes less than a millisecond.
const COMPILE_LIMIT: Duration = Duration::from_secs(5);

impl HostProcess {
    /// Reads the schema of a type, and compiles it. The inner error says why it cannot be used.
    pub(super) fn load_schema(
        &mut self,
        plugin: &mut EventTypeInfo,
    ) -> Result<Result<(), String>, HostError> {
        self.pumps.set_label(plugin.event_type.as_str());
        let request = self.request("schema");
        let request = request.string("type", plugin.event_type.as_str());
        let loaded: WireSchema = self.ask(request)?;
        match plugin.take_schema(loaded) {
            Ok(()) => Ok(match self.compile(plugin.schema())?.fault {
                None => Ok(()),
                Some(fault) => Err(fault),
            }),
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// Holds data against the schema of its event type.
    pub(super) fn check(
        &mut self,
        plugin: &EventTypeInfo,
        data: &[&Value<'_>],
    ) -> Result<Option<(usize, SchemaViolations)>, HostError> {
        let schema = plugin.schema();
        let deadline = self.channel.deadline;
        let schema_worker = self.schema_worker(schema.event_type)?;
        let checked = (|| {
            if !schema_worker.knows(schema.event_type) {
                // It was compiled before, by a process that is gone.
                schema_worker.compile(schema, false, deadline)?;
            }
            schema_worker.check(schema, data, deadline)
        })();
        checked.map_err(|stop| self.schema_worker_stopped(schema.event_type, stop))
    }

    /// Compiles a schema; a host that lists plugins says all there is to know of it.
    pub(super) fn compile(&mut self, schema: Schema<'_>) -> Result<Inspected, HostError> {
        let inspect = matches!(self.purpose.access(), Access::Listing);
        let limit = Instant::now() + COMPILE_LIMIT;
        let own = self.channel.deadline.filter(|deadline| *deadline < limit);
        let schema_worker = self.schema_worker(schema.event_type)?;
        let compiled = schema_worker.compile(schema, inspect, own.or(Some(limit)));
        match compiled.map_err(|stop| self.schema_worker_stopped(schema.event_type, stop)) {
            Err(HostError::TimedOut { .. }) if own.is_none() => Ok(Inspected::refused(format!(
                "it takes more than {} s to compile",
                COMPILE_LIMIT.as_secs()
            ))),
            Err(HostError::Schema { ending, .. }) => Ok(Inspected::refused(format!(
                "compiling it ended the process that does it ({ending})"
            ))),
            other => other,
        }
    }

    /// Starts the process that applies schemas, for `plugin`, where there is none. It gets ready meanwhile.
    pub(super) fn start_schema_worker(&mut self, plugin: &str) -> Result<(), HostError> {
        if self.schema_worker.is_none() {
            let guard = self.options.interruptible.then(Guard::new).transpose()?;
            let launcher = self.options.launcher.as_deref();
            let deadline = self.channel.deadline;
            let started = SchemaWorker::start(launcher, &self.kill_handle, guard, deadline);
            self.schema_worker =
                Some(started.map_err(|error| self.no_schema_worker(plugin, error))?);
        }
        Ok(())
    }

    /// The process that applies schemas, started where there is none, for `plugin`.
    fn schema_worker(&mut self, plugin: &str) -> Result<&mut SchemaWorker, HostError> {
        self.start_schema_worker(plugin)?;
        let ready = self.schema_worker.as_mut().map(SchemaWorker::ready);
        if let Some(Err(error)) = ready {
            let error = self.no_schema_worker(plugin, error);
            self.schema_worker = None;
            return Err(error);
        }
        // It was put there just now, if it was not there.
        self.schema_worker
            .as_mut()
            .ok_or_else(|| std::io::Error::other("no process applies schemas").into())
    }

    fn no_schema_worker(&mut self, plugin: &str, error: StartError) -> HostError {
        match error {
            StartError::Launch(error) => error.into(),
            StartError::Stop(stop) => self.schema_worker_stopped(plugin, stop),
        }
    }

    /// Ends the process for a reason, and says it.
    fn schema_worker_stopped(&mut self, plugin: &str, stop: Stop) -> HostError {
        let schema_worker = self.schema_worker.take();
        let plugin = plugin.to_owned();
        match stop {
            Stop::Closed => HostError::Schema {
                plugin,
                ending: schema_worker.map_or(ExitReason::Unknown, SchemaWorker::ending),
            },
            Stop::Deadline => HostError::TimedOut {
                plugin,
                limit: self.timeout.unwrap_or_default(),
            },
            Stop::Signal(signal) => HostError::Interrupted(signal),
            Stop::Violation(Violation::Oversized(length)) => {
                HostError::TooLarge(usize::try_from(length).unwrap_or(usize::MAX))
            }
            Stop::Violation(violation) => std::io::Error::other(violation).into(),
            Stop::Io(error) => error.into(),
            // It writes nothing.
            Stop::Exhausted(shortage) => HostError::Exhausted { plugin, shortage },
        }
    }
}
