//! Loading the plugins: one that ends or blocks the process is skipped, and the others are loaded
//! in a new process.
//!
//! All plugins share the host, so it is a plugin's word which of them was in hand. That decides who
//! is skipped, never silently: whoever is stands among the catalogue's problems, and the text says
//! whose word it is (docs/decisions/0017).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::closed;
use super::host_process::HostProcess;
use super::skipped::SkippedPlugin;
use super::{HostError, NO_PLUGIN};
use crate::catalog::{Catalog, Compile};
use crate::claims::Claims;
use crate::protocol::{Discovered, Hello, Loading, Request};
use crate::purpose::Access;
use crate::sandbox::Level;
use crate::schema::{Inspected, Schema};

/// How many plugins are skipped before the failure of the next one is everybody's.
const MAX_SKIPPED: usize = 8;

/// How many times the time limit all attempts together may take before a plugin that fails is
/// everybody's failure.
const MAX_LATE: u32 = 4;

/// The longest name that a plugin is skipped by, in bytes.
const MAX_NAMED: usize = 4096;

impl HostProcess {
    /// Lets the host discover plugins, and checks what it found. Where one is wanted, those that are known
    /// to have other names are not loaded, unless the answer could be another one with them.
    pub(super) fn discover(&mut self) -> Result<Catalog, HostError> {
        let choice = match (&self.options.wanted, self.confinement.level) {
            // Where plugins are less than confined, what is remembered may be their own word.
            (Some((kind, name)), Level::Full) => {
                let options = &self.options;
                let claims = Claims::of(&options.runtime, &options.environment, &options.allowed);
                self.knows_all = claims.as_ref().is_some_and(Claims::is_complete);
                claims.and_then(|claims| claims.choose(*kind, name))
            }
            _ => None,
        };
        if let Some(choice) = choice {
            let catalog = self.discover_without(&choice.left)?;
            if choice.suffices(&catalog) {
                return Ok(catalog);
            }
            self.restart()?;
        }
        self.discover_without(&[])
    }

    /// Discovers all plugins but those of the distributions whose metadata lies there.
    fn discover_without(&mut self, left: &[String]) -> Result<Catalog, HostError> {
        let began = Instant::now();
        let all = self.reads_all_schemas();
        let mut found = loop {
            match self.load(all, left) {
                Ok(found) => break found,
                Err(error) => self.skip_plugin(error, began)?,
            }
        };
        let closed = closed::take_problems(&mut found.problems, &self.closed_sources);
        let mut failed = None;
        let mut compile = |schema: Schema<'_>| {
            // After a failure nothing counts.
            let compiled = match failed {
                None => self.compile(schema),
                Some(_) => Ok(Inspected::default()),
            };
            compiled.unwrap_or_else(|error| {
                failed = Some(error);
                Inspected::default()
            })
        };
        let compile: Option<Compile<'_>> = all.then_some(&mut compile);
        let mut catalog = Catalog::from_wire(found, compile);
        let skipped = self.skipped.iter().map(SkippedPlugin::problem);
        catalog.problems.extend(skipped);
        catalog.problems.extend(closed);
        failed.map_or(Ok(catalog), Err)
    }

    /// Whether every schema is wanted. Reducers and exports need none.
    fn reads_all_schemas(&self) -> bool {
        match self.purpose.access() {
            Access::Listing => true,
            Access::Validating => !self.options.schemas_on_demand,
            Access::Examining | Access::Reducing { .. } | Access::Exporting { .. } => false,
        }
    }

    fn load(&mut self, schemas: bool, left: &[String]) -> Result<Discovered, HostError> {
        let skip: Vec<&Loading> = self.skipped.iter().map(|plugin| &plugin.loading).collect();
        let skip = serde_json::to_vec(&skip).map_err(io::Error::other)?;
        let left = serde_json::to_vec(left).map_err(io::Error::other)?;
        let items = serde_json::to_vec(&self.options.items).map_err(io::Error::other)?;
        let request = self.request("discover").json("skip", &skip);
        let request = request.json("left", &left).json("items", &items);
        let request = request.json("schemas", if schemas { b"true" } else { b"false" });
        self.found(request)
    }

    /// Asks what there is, and makes sure of whose answer it is.
    pub(super) fn found(&mut self, request: Request) -> Result<Discovered, HostError> {
        let found = self.ask(request)?;
        self.pumps.set_label(NO_PLUGIN);
        // Loading plugins ran their code, which may have answered in the host's place. Then the
        // host's own answer comes on top, and before the answer to one more question.
        let again = self.request("hello");
        let _: Hello = self.ask(again)?;
        Ok(found)
    }

    /// Starts the host again without the plugin that it was loading, if that can help against the
    /// error.
    fn skip_plugin(&mut self, error: HostError, began: Instant) -> Result<(), HostError> {
        let Some(culprit) = self.culprit(&error, began.elapsed()) else {
            return Err(match error {
                HostError::Died { .. } | HostError::TimedOut { .. } if !self.skipped.is_empty() => {
                    HostError::Loading {
                        error: Box::new(error),
                        skipped: self.skipped.clone(),
                    }
                }
                error => error,
            });
        };
        self.skipped.push(culprit);
        self.restart()
    }

    /// Starts the host again, without the plugins that are skipped.
    fn restart(&mut self) -> Result<(), HostError> {
        // Before there is another one, which the same handle ends.
        self.end();
        *self = HostProcess::start_without(
            Arc::clone(&self.purpose),
            Arc::clone(&self.options),
            self.skipped.clone(),
            self.kill_handle.clone(),
        )?;
        Ok(())
    }

    fn culprit(&self, error: &HostError, spent: Duration) -> Option<SkippedPlugin> {
        let (label, ending, late) = match error {
            HostError::Died { plugin, ending, .. } => (plugin, format!("ended ({ending})"), false),
            HostError::TimedOut { plugin, limit } => {
                let ending = format!("was ended after {} s", limit.as_secs_f64());
                (plugin, ending, true)
            }
            // What breaks the protocol or fills a disk is no accident of one plugin.
            _ => return None,
        };
        let loading = self.loading.clone()?;
        let known = |other: &SkippedPlugin| other.loading.plugin == loading.plugin;
        let length = loading.plugin.len() + loading.module.as_ref().map_or(0, String::len);
        let limit = self
            .options
            .timeout
            .map(|limit| limit.saturating_mul(MAX_LATE));
        let hopeless = self.skipped.len() == MAX_SKIPPED
            || limit.is_some_and(|limit| spent >= limit)
            // The host did not do without it, or is not the one who speaks.
            || self.skipped.iter().any(known)
            || length > MAX_NAMED
            || self.kill_handle.was_used();
        (!hopeless).then(|| SkippedPlugin {
            loading,
            label: label.clone(),
            ending,
            late,
        })
    }
}
