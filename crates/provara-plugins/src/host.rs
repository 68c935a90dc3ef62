//! The plugin host: starting it, asking it, ending it.

mod ending;
mod error;
mod exchange;
mod loading;
mod options;
mod schema_worker;
mod schemas;
mod skipped;
mod start;

use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use provara_core::canonical;
use provara_core::event_type::CustomType;
use provara_core::json::{self, Value};

pub use error::{HostError, OutputFault, PluginFailure};
pub use options::HostOptions;
use schema_worker::SchemaWorker;
pub use skipped::SkippedPlugin;

use crate::catalog::PluginName;
use crate::channel::Channel;
use crate::launch::orphans::OrphanReaper;
pub use crate::output::NO_PLUGIN;
use crate::output::Pumps;
use crate::process::has_ended;
pub use crate::process::{ExitReason, KillHandle};
use crate::protocol::{Exported, FailureKind, Hello, Loading, Reduced, Validated};
pub use crate::purpose::Purpose;
use crate::sandbox::{Confinement, Withheld};
use crate::text::{block, inline};
use crate::violation::Role;

/// What an event type's own `validate` decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The data is good.
    Accepted,
    /// The data is refused; the reason is safe for a terminal.
    Refused(String),
}

/// A running plugin host. Dropping it kills it with all its children.
pub struct Host {
    /// How it was started, to start it again.
    options: Arc<HostOptions>,
    skipped: Vec<SkippedPlugin>,
    /// What the host says that it is loading.
    loading: Option<Loading>,
    child: Option<Child>,
    reaper: OrphanReaper,
    kill_handle: KillHandle,
    role: Role,
    network: bool,
    channel: Channel,
    pumps: Pumps,
    confinement: Confinement,
    withheld: Option<Withheld>,
    hello: Hello,
    /// The process that applies schemas, once one was needed.
    schema_worker: Option<SchemaWorker>,
    /// The log's descriptor in the host, and the snapshot's length.
    log: Option<(i32, u64)>,
    timeout: Option<Duration>,
    next_id: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("confinement", &self.confinement)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// What the launcher achieved.
    #[must_use]
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Why plugins have no state directory, if they were to have one.
    #[must_use]
    pub fn withheld(&self) -> Option<&Withheld> {
        self.withheld.as_ref()
    }

    /// What the host said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Gives the host this long, from now on, for what it is asked next. A host that serves several
    /// requests is told so before each of them.
    pub fn limit_next(&mut self, limit: Duration) {
        self.timeout = Some(limit);
        // A limit beyond all time is none.
        self.channel.deadline = Instant::now().checked_add(limit);
    }

    /// Whether the process has ended, so that nothing can be asked any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.child.as_ref().is_none_or(has_ended)
    }

    /// The plugins that it goes on without, because loading them ended or blocked a host.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedPlugin] {
        &self.skipped
    }

    /// A handle that ends this host from another thread, also when [`Host::discover`] starts it again.
    #[must_use]
    pub fn kill_handle(&self) -> KillHandle {
        self.kill_handle.clone()
    }

    /// Asks the event type's own `validate`. The data has already passed the schema.
    ///
    /// # Errors
    /// [`HostError`], among them [`OutputFault`]s of data that has no canonical form.
    pub fn validate(
        &mut self,
        event_type: &CustomType,
        data: &Value<'_>,
    ) -> Result<Verdict, HostError> {
        self.pumps.set_label(event_type.as_str());
        // The canonical form: what will be signed, and what reducers will see.
        let data = canonical::jcs(data).map_err(|error| HostError::Output {
            plugin: event_type.as_str().to_owned(),
            reason: OutputFault::NotCanonical(error),
        })?;
        let request = self
            .request("validate")
            .string("type", event_type.as_str())
            .json("data", &data);
        let answer: Validated = self.ask(request)?;
        Ok(match answer {
            Validated { valid: true, .. } => Verdict::Accepted,
            Validated { reason, tried, .. } => {
                let reason = reason.unwrap_or_else(|| "validate() refused the data".to_owned());
                // A plugin that the sandbox stopped has not judged the data: it failed.
                let violation =
                    tried.and_then(|tried| self.explain(None, Some(&reason), Some(&tried)));
                let reason = block(&reason).into_owned();
                if violation.is_some() {
                    return Err(HostError::Plugin(Box::new(PluginFailure {
                        kind: FailureKind::Raised,
                        plugin: event_type.as_str().to_owned(),
                        exception: None,
                        message: Some(reason),
                        traceback: None,
                        violation,
                    })));
                }
                Verdict::Refused(reason)
            }
        })
    }

    /// Runs a reducer over the log that the host was started with. The result is one canonical
    /// JSON text.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// If the host was not started for [`Purpose::Reduce`].
    pub fn reduce(&mut self, name: &PluginName) -> Result<Vec<u8>, HostError> {
        let (log_fd, length) = self.log.expect("a host that reduces is started with a log");
        self.pumps.set_label(name.as_str());
        let request = self
            .request("reduce")
            .string("name", name.as_str())
            .number("log_fd", u64::try_from(log_fd).unwrap_or_default())
            .number("log_length", length)
            .number("log_chunk", self.options.layout.log_chunk());
        let answer: Reduced = self.ask(request)?;
        let fault = |reason: OutputFault| HostError::Output {
            plugin: name.as_str().to_owned(),
            reason,
        };
        let value = json::parse(answer.output_json.as_bytes())
            .map_err(|error| fault(OutputFault::NotJson(error)))?;
        canonical::jcs(&value).map_err(|error| fault(OutputFault::NotCanonical(error)))
    }

    /// Runs an export of the vault that the host was started with. `output` lies in the staging
    /// directory.
    ///
    /// # Errors
    /// [`HostError`].
    ///
    /// # Panics
    /// If the host was not started for [`Purpose::Export`].
    pub fn export(&mut self, name: &PluginName, output: &Path) -> Result<(), HostError> {
        let Purpose::Export { vault, .. } = &self.options.purpose else {
            panic!("a host that exports is started with a vault");
        };
        self.pumps.set_label(name.as_str());
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| {
                let shown = inline(&path.to_string_lossy()).into_owned();
                HostError::Io(io::Error::other(format!("the path '{shown}' is not UTF-8")))
            })
        };
        let (vault, output) = (text(vault)?, text(output)?);
        let request = self
            .request("export")
            .string("name", name.as_str())
            .string("vault_path", &vault)
            .string("output_path", &output);
        self.ask::<Exported>(request).map(|_| ())
    }
}
