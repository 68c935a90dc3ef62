//! The plugin host: starting it, asking it, ending it.
//!
//! A host's type says what it was started for, and so what it can be asked:
//!
//! ```compile_fail,E0599
//! # use provara_plugins::{catalog::PluginName, host::{Host, HostOptions, Listing}};
//! # fn f(options: HostOptions, name: &PluginName) -> Result<(), provara_plugins::host::HostError> {
//! let mut host = Host::start(Listing, options)?;
//! host.reduce(name)?; // There is no log: only a `Host<Reducing>` has this method.
//! # Ok(())
//! # }
//! ```

mod closed;
mod ending;
mod error;
mod exchange;
mod host_process;
mod learning;
mod loading;
mod options;
mod schema_worker;
mod schemas;
mod skipped;
mod start;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provara_core::canonical;
use provara_core::event_type::CustomType;
use provara_core::json::{self, Value};

pub use error::{HostError, OutputFault, PluginFailure};
use host_process::HostProcess;
pub use learning::learn;
pub use options::HostOptions;
pub use skipped::SkippedPlugin;

use crate::catalog::{Catalog, EventTypeInfo, PluginName};
use crate::launch::LaunchError;
pub use crate::output::NO_PLUGIN;
pub use crate::process::{ExitReason, KillHandle};
use crate::protocol::{Exported, FailureKind, Hello, Reduced, Validated};
pub use crate::purpose::{Exporting, Listing, LogBytes, Purpose, Reducing, Validating};
use crate::sandbox::{Confinement, Level, Withheld};
use crate::schema::SchemaViolations;
use crate::sources::ClosedSource;
pub use crate::space::Shortage;
use crate::surroundings::{Hindrance, hindrances};
use crate::text::block;

/// What an event type's own `validate` decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The data is good.
    Accepted,
    /// The data is refused; the reason is safe for a terminal.
    Refused(String),
}

/// A running plugin host, started for `P`. Dropping it kills it with all its children.
#[derive(Debug)]
pub struct Host<P: Purpose> {
    process: HostProcess,
    purpose: Arc<P>,
}

impl<P: Purpose> Host<P> {
    /// Starts a host and makes sure that it is one of this version.
    ///
    /// On Linux the host's life is tied to that of the calling *thread*: it is killed when the
    /// thread ends. Start it from the thread that uses it.
    ///
    /// # Errors
    /// [`HostError`]; no process remains.
    pub fn start(purpose: P, options: HostOptions) -> Result<Host<P>, HostError> {
        let purpose = Arc::new(purpose);
        let process = HostProcess::start(Arc::clone(&purpose) as _, options)?;
        Ok(Host { process, purpose })
    }

    /// What the launcher achieved.
    #[must_use]
    pub fn confinement(&self) -> &Confinement {
        &self.process.confinement
    }

    /// Why plugins have no state directory, if they were to have one.
    #[must_use]
    pub fn withheld(&self) -> Option<&Withheld> {
        self.process.withheld.as_ref()
    }

    /// The source trees of installed packages that plugins cannot read.
    #[must_use]
    pub fn closed_sources(&self) -> &[ClosedSource] {
        &self.process.closed_sources
    }

    /// What the host said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.process.hello
    }

    /// Gives the host this long, from now on, for what it is asked next. A host that serves several
    /// requests is told so before each of them.
    pub fn limit_next(&mut self, limit: Duration) {
        self.process.limit_next(limit);
    }

    /// Whether the process has ended, so that nothing can be asked any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// The plugins that it goes on without, because loading them ended or blocked a host.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedPlugin] {
        &self.process.skipped
    }

    /// Whether [`learn`] has anything to do in this environment, as far as [`Host::discover`] saw.
    #[must_use]
    pub fn can_learn(&self) -> bool {
        self.process.confinement.level == Level::Full && !self.process.knows_all
    }

    /// A handle that ends this host from another thread, also when [`Host::discover`] starts it again.
    #[must_use]
    pub fn kill_handle(&self) -> KillHandle {
        self.process.kill_handle.clone()
    }

    /// Lets the host discover plugins, and checks what it found. Where a plugin ends or blocks the
    /// process while it is loaded, the host is started again without it (see [`Host::skipped`]); a
    /// time limit counts anew for each. Where one plugin is wanted ([`HostOptions::wanted`]), others may be
    /// missing in the catalogue of which it is known that they have no part in the answer.
    ///
    /// # Errors
    /// [`HostError`]. A plugin that cannot be loaded is a problem in the catalogue, not an error,
    /// unless too many of them end the process or it takes too long.
    pub fn discover(&mut self) -> Result<Catalog, HostError> {
        self.process.discover()
    }

    /// Ends the host and makes sure that it ended well: nothing was sent after the last answer
    /// and the exit code is 0. A result counts only once this has succeeded.
    ///
    /// # Errors
    /// [`HostError::Protocol`], [`HostError::Died`] or [`HostError::TimedOut`].
    pub fn finish(self) -> Result<(), HostError> {
        self.process.finish()
    }
}

impl Host<Listing> {
    /// What keeps a part of the installation from plugins, or slows them, without being an error.
    #[must_use]
    pub fn hindrances(&self) -> Vec<Hindrance> {
        let options = &self.process.options;
        let open = self.process.open.as_deref();
        hindrances(&options.runtime, &options.environment, open)
    }
}

impl Host<Validating> {
    /// Reads and compiles the schema of the event type of a name or alias, where that was left until it is
    /// needed and has not been done. A type whose schema cannot be used is no longer found in the catalogue,
    /// and is one of its problems.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn load_schema(&mut self, catalog: &mut Catalog, name: &str) -> Result<(), HostError> {
        let Some(index) = catalog.event_type_index(name) else {
            return Ok(());
        };
        let plugin = &mut catalog.event_types[index];
        if plugin.schema_json.is_empty()
            && let Err(reason) = self.process.load_schema(plugin)?
        {
            let problem = plugin.refuse_schema(&reason);
            catalog.problems.push(problem);
        }
        Ok(())
    }

    /// Holds data against the schema of its event type, and gives the first that does not fit, with
    /// its place among the data.
    ///
    /// # Errors
    /// [`HostError::TimedOut`], [`HostError::Interrupted`], or [`HostError::Schema`] if applying
    /// the schema ended the process that does it.
    pub fn check(
        &mut self,
        plugin: &EventTypeInfo,
        data: &[&Value<'_>],
    ) -> Result<Option<(usize, SchemaViolations)>, HostError> {
        self.process.check(plugin, data)
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
        let process = &mut self.process;
        process.pumps.set_label(event_type.as_str());
        // The canonical form: what will be signed, and what reducers will see.
        let data = canonical::event_form(data).map_err(|error| HostError::Output {
            plugin: event_type.as_str().to_owned(),
            reason: OutputFault::NotCanonical(error),
        })?;
        let request = process
            .request("validate")
            .string("type", event_type.as_str())
            .json("data", &data);
        let answer: Validated = process.ask(request)?;
        Ok(match answer {
            Validated { valid: true, .. } => Verdict::Accepted,
            Validated { reason, tried, .. } => {
                let reason = reason.unwrap_or_else(|| "validate() refused the data".to_owned());
                // A plugin that the sandbox stopped has not judged the data: it failed.
                let violation =
                    tried.and_then(|tried| process.explain(None, Some(&reason), Some(&tried)));
                let reason = block(&reason).into_owned();
                if violation.is_some() {
                    return Err(HostError::Plugin(Box::new(PluginFailure {
                        kind: FailureKind::Raised,
                        plugin: event_type.as_str().to_owned(),
                        exception: None,
                        message: Some(reason),
                        traceback: None,
                        violation,
                        suspicion: None,
                    })));
                }
                Verdict::Refused(match process.suspect(&reason) {
                    Some(suspicion) => format!("{reason}\n{suspicion}"),
                    None => reason,
                })
            }
        })
    }
}

impl Host<Reducing> {
    /// Runs a reducer over the log that the host was started with. The result is one canonical
    /// JSON text.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn reduce(&mut self, name: &PluginName) -> Result<Vec<u8>, HostError> {
        let process = &mut self.process;
        let no_log = || LaunchError::Refused("the launcher did not hand the log on".to_owned());
        let log_fd = process.log_fd.ok_or_else(no_log)?;
        process.pumps.set_label(name.as_str());
        let request = process
            .request("reduce")
            .string("name", name.as_str())
            .number("log_fd", log_fd.into())
            .number("log_length", self.purpose.log.bytes().len() as u64)
            .number("log_chunk", process.options.layout.log_chunk());
        let answer: Reduced = process.ask(request)?;
        let fault = |reason: OutputFault| HostError::Output {
            plugin: name.as_str().to_owned(),
            reason,
        };
        let value = json::parse(answer.output_json.as_bytes())
            .map_err(|error| fault(OutputFault::NotJson(error)))?;
        canonical::result_form(&value).map_err(|error| fault(OutputFault::NotCanonical(error)))
    }
}

impl Host<Exporting> {
    /// Runs an export of the vault that the host was started with. `output` lies in the staging
    /// directory.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn export(&mut self, name: &PluginName, output: &Path) -> Result<(), HostError> {
        let process = &mut self.process;
        process.pumps.set_label(name.as_str());
        let text = |path: &Path| {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| HostError::NotText(path.to_path_buf()))
        };
        let (vault, output) = (text(&self.purpose.vault)?, text(output)?);
        let request = process
            .request("export")
            .string("name", name.as_str())
            .string("vault_path", &vault)
            .string("output_path", &output);
        process.ask::<Exported>(request).map(|_| ())
    }
}
