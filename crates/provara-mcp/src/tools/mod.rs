//! The tools: what a client can call.
//!
//! A tool is one file: its name, what a model is told of it, its schemas, what it needs and what it does.
//! A new one is that file and one line in [`own`].

mod append_event;
mod describe;
mod describe_event_type;
mod event_type;
mod export;
mod export_vault;
mod get_event;
mod get_vault_status;
mod heads;
mod init_vault;
mod installed;
mod list_plugins;
mod prove_event;
mod query_events;
mod reduce_vault;
mod reducer;
mod registry;
mod replay_beliefs;
mod show_event;
mod toolbox;
mod tree_head;
mod verify_vault;

use std::sync::Arc;

use provara_core::canonical;
use provara_core::json::Value as Json;
use provara_plugins::catalog::PluginKind;
use provara_plugins::host::{Host, HostError, Purpose};
use provara_report::{Class, Diagnostic};
use provara_vault::{Vault, VerifiedLog};
use rmcp::model::{JsonObject, Tool as Described};
use serde_json::Value;

pub(crate) use registry::Registry;

use crate::answer::Answer;
use crate::args::{self, Arguments};
use crate::config::Config;
use crate::exact::Exact;
use crate::given;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::ErrorContext;
use crate::state::ServerState;
use crate::vault_handle::VaultHandle;
use crate::warm_host::{self, Installed};
use describe::Choice;
use toolbox::Offered;

/// The server's own tools, in the order in which they are listed. No plugin's tool may take the name of
/// one.
fn own() -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(append_event::AppendEvent),
        Arc::new(verify_vault::VerifyVault),
        Arc::new(query_events::QueryEvents),
        Arc::new(get_event::GetEvent),
        Arc::new(show_event::ShowEvent),
        Arc::new(prove_event::ProveEvent),
        Arc::new(tree_head::TreeHead),
        Arc::new(get_vault_status::GetVaultStatus),
        Arc::new(replay_beliefs::ReplayBeliefs),
        Arc::new(reduce_vault::ReduceVault),
        Arc::new(list_plugins::ListPlugins),
        Arc::new(describe_event_type::DescribeEventType),
        Arc::new(export_vault::ExportVault),
        Arc::new(init_vault::InitVault),
    ]
}

/// All that is known of a tool.
trait Tool: Send + Sync {
    /// The name that a client calls it by.
    fn name(&self) -> &str;

    /// The plugin that it stands for, by kind and name.
    fn plugin(&self) -> Option<(PluginKind, &str)> {
        None
    }

    /// Whether the operator's settings leave room for it.
    fn is_offered(&self, _: &Config) -> bool {
        true
    }

    /// What a client is told of it.
    fn describe(&self, choice: &Choice<'_>) -> Described;

    /// What every call of it needs.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether a call may wait for a plugin, or for the disk, rather than compute.
    fn waits(&self, _: &Call) -> bool {
        false
    }

    /// What says which arguments may be texts, where the input schema that is shown does not.
    fn wanted(&self) -> Option<&JsonObject> {
        None
    }

    /// Whether the argument `vault` names the vault that is meant.
    fn names_vault(&self) -> bool {
        true
    }

    /// Whether the arguments must fit the input schema.
    fn checks_arguments(&self) -> bool {
        true
    }

    /// Whether an answer that is too long for one message comes in parts, for which the tool takes `cursor`.
    fn in_parts(&self) -> bool {
        false
    }

    /// Does it; blocks.
    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal>;
}

/// What a call needs of the server.
pub(crate) struct Needs {
    /// Whether names are looked up among the plugins, which then have to be known.
    pub(crate) plugins: bool,
    /// Whether it writes into a vault, whose writers take turns.
    pub(crate) turn: bool,
    /// How many stages its progress has.
    pub(crate) stages: u32,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            plugins: false,
            turn: false,
            stages: 1,
        }
    }
}

/// A call of a tool, and what it works on.
pub(crate) struct Call {
    pub(crate) server: Arc<ServerState>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tool: Arc<Offered>,
    pub(crate) arguments: Arguments,
    /// The same as they were written, where the numbers in the others are not those.
    pub(crate) exact: Option<Exact>,
    pub(crate) installed: Arc<Installed>,
}

impl Call {
    /// What the call needs, whatever its arguments.
    pub(crate) fn needs(&self) -> Needs {
        self.tool.needs()
    }

    /// Whether the call may wait for a plugin, or for the disk, rather than compute.
    pub(crate) fn waits(&self) -> bool {
        self.tool.tool.waits(self)
    }

    /// Takes the arguments that came as JSON text for what they stand for.
    pub(crate) fn take_texts(&mut self) -> Result<(), Refusal> {
        let shown = &*self.tool.described.input_schema;
        let schema = self.tool.tool.wanted().unwrap_or(shown);
        given::take_texts(schema, &mut self.arguments, &mut self.exact)
    }

    /// The part of the answer that is asked for, where it may come in parts.
    pub(crate) fn part(&self) -> Option<String> {
        let parts = self.tool.tool.in_parts();
        let cursor = parts.then(|| args::text(&self.arguments, "cursor"))?;
        cursor.map(str::to_owned)
    }

    /// The vault that the call means.
    pub(crate) fn vault(&self) -> Result<Arc<VaultHandle>, Refusal> {
        if let Some(name) = args::text(&self.arguments, "vault")
            && self.tool.tool.names_vault()
        {
            return self.server.vault(name);
        }
        let vaults = self.server.vaults();
        match &vaults[..] {
            [only] => Ok(Arc::clone(only)),
            _ => {
                let names: Vec<_> = vaults.iter().map(|vault| vault.name.as_str()).collect();
                Err(Refusal::new(
                    "It is not said which vault is meant.",
                    &format!("Name one of them with 'vault': {}.", names.join(", ")),
                ))
            }
        }
    }

    /// Does it; blocks.
    pub(crate) fn run(&self, job: &JobHandle) -> Result<Answer, Refusal> {
        if let Some(schema) = &self.tool.schema {
            args::check(&self.tool.described.name, schema, &self.evidence()?)?;
        }
        self.tool.tool.run(self, job)
    }

    /// The arguments as they will be signed, with their numbers as they were written.
    fn evidence(&self) -> Result<Json<'static>, Refusal> {
        let tree = match &self.exact {
            Some(exact) => exact.arguments(),
            None => args::tree(&Value::Object(self.arguments.clone())),
        };
        canonical::event_form(&tree).map_err(|error| {
            // The place in the data, in the words of the command line.
            let context = ErrorContext::Canonical(match self.tool.tool.names_vault() {
                true => error.inside("data"),
                false => error,
            });
            Refusal(self.server.renderer.render(context))
        })?;
        Ok(tree)
    }

    /// An argument as it will be signed.
    fn evidence_of(&self, name: &str) -> Result<Option<Json<'static>>, Refusal> {
        let Json::Object(members) = self.evidence()? else {
            return Ok(None);
        };
        let found = members.into_iter().find(|(key, _)| key == name);
        Ok(found.map(|(_, value)| value))
    }

    /// The vault and its log, which has verified: what everything that derives begins with. `then` names
    /// what comes after.
    fn verify_first(
        &self,
        handle: &VaultHandle,
        job: &JobHandle,
        then: &'static str,
    ) -> Result<(Vault, Arc<VerifiedLog>), Refusal> {
        let renderer = &*self.server.renderer;
        job.stage("verifying");
        let vault = handle.open(renderer, job)?;
        let log = handle.verified(&vault, renderer)?;
        job.check_cancelled()?;
        job.stage(then);
        Ok((vault, log))
    }

    /// Asks a plugin in a host of its own, which can reach what its purpose says and nothing else.
    fn ask_plugin<P: Purpose, T>(
        &self,
        purpose: P,
        job: &JobHandle,
        ask: impl FnOnce(&mut Host<P>) -> Result<T, HostError>,
    ) -> Result<T, Refusal> {
        let (server, renderer) = (&self.server, &*self.server.renderer);
        let refused = |error| Refusal(renderer.render(ErrorContext::Host(error)));
        let (plugins, protect) = (&server.config.plugins, server.protected());
        let mut host =
            warm_host::start(plugins, purpose, protect, &self.installed.skipped, renderer)?;
        job.tie(host.kill_handle());
        warm_host::load(&mut host, renderer)?;
        let answer = ask(&mut host).map_err(refused)?;
        host.finish().map_err(refused)?;
        Ok(answer)
    }

    /// No plugin has this name.
    fn no_plugin(&self, what: &str, name: &str) -> Refusal {
        let headline = format!("No installed plugin provides the {what} '{name}'.");
        let failure = self
            .installed
            .failure
            .iter()
            .map(|failure| failure.0.as_str());
        let problems = self
            .installed
            .catalog
            .problems
            .iter()
            .map(|problem| problem.text.as_str());
        let diagnostic = problems
            .chain(failure)
            .fold(Diagnostic::new(Class::Usage, headline), Diagnostic::detail)
            .fix("Use one that 'list_plugins' shows.");
        Refusal(diagnostic.to_string())
    }
}
