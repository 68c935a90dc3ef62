//! The tools: what a client can call.

mod append;
mod builtin;
mod derive;
mod export;
mod installed;
mod reading;
mod registry;

use std::sync::Arc;

use provara_plugins::schema::CompiledSchema;
use rmcp::model::{JsonObject, Tool as Described, ToolAnnotations};
use serde_json::Value;

use installed::may_fit_plugins;
pub(crate) use registry::Registry;

use crate::answer::Answer;
use crate::args::{self, Arguments};
use crate::config::Config;
use crate::hub::Hub;
use crate::job::Handle;
use crate::keeper::Installed;
use crate::refusal::Refusal;
use crate::served::Served;

/// What a tool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    AppendEvent,
    VerifyVault,
    QueryEvents,
    GetEvent,
    GetVaultStatus,
    ReplayBeliefs,
    ReduceVault,
    ExportVault,
    ListPlugins,
    InitVault,
    /// Appends an event of this installed type.
    Append(String),
    /// Runs this installed reducer.
    Reduce(String),
    /// Runs this installed export.
    Export(String),
}

impl Action {
    /// How many stages the progress of a call has.
    fn stages(&self) -> u32 {
        match self {
            Self::ReplayBeliefs | Self::ReduceVault | Self::Reduce(_) => 2,
            Self::ExportVault | Self::Export(_) => 3,
            _ => 1,
        }
    }
}

/// A tool as it is offered.
pub(crate) struct Tool {
    pub(crate) described: Described,
    pub(crate) action: Action,
    /// The input schema, ready to use; an event type's own schema is the plugin's business, and
    /// its failures have words of their own.
    schema: Option<CompiledSchema>,
    /// Whether the arguments of an event's tool are wrapped, because they must name a vault.
    wrapped: bool,
}

impl Tool {
    fn new(action: Action, described: Described, wrapped: bool) -> Self {
        let text = Value::Object((*described.input_schema).clone()).to_string();
        let schema = match action {
            Action::Append(_) => None,
            // Ours compile, which a test shows.
            _ => CompiledSchema::new(&described.name, "1", &text).ok(),
        };
        Self {
            described,
            action,
            schema,
            wrapped,
        }
    }

    /// How many stages the progress of a call has.
    pub(crate) fn stages(&self) -> u32 {
        self.action.stages()
    }
}

/// All tools that this server offers now.
#[derive(Default)]
pub(crate) struct Toolbox {
    tools: Vec<Arc<Tool>>,
    /// The operator's patterns that fit no tool.
    idle: Vec<String>,
}

impl Toolbox {
    /// The tools for these vaults and plugins, as far as the operator allows them.
    pub(crate) fn new(config: &Config, vaults: &[Arc<Served>], installed: &Installed) -> Self {
        let names: Vec<_> = vaults.iter().map(|vault| vault.name.as_str()).collect();
        let choice = Choice {
            vaults: &names,
            one: config.init_dir.is_none() && names.len() == 1,
        };
        let mut tools = builtin::tools(config, &choice);
        tools.extend(installed::tools(config, &choice, &installed.catalog));
        if config.read_only {
            let reads = |tool: &Tool| {
                let hints = tool.described.annotations.as_ref();
                hints.is_some_and(|hints| hints.read_only_hint == Some(true))
            };
            tools.retain(reads);
        }
        let idle = config.idle(tools.iter().map(|tool| &*tool.described.name));
        tools.retain(|tool| config.allows(&tool.described.name));
        Self {
            tools: tools.into_iter().map(Arc::new).collect(),
            idle,
        }
    }

    /// The operator's patterns that fit no tool.
    pub(crate) fn idle(&self) -> &[String] {
        &self.idle
    }

    /// Whether a client would see the same.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.tools.len() == other.tools.len()
            && self
                .tools
                .iter()
                .zip(&other.tools)
                .all(|(a, b)| a.described == b.described)
    }

    /// The tools in their order.
    pub(crate) fn all(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// The tool of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Tool>> {
        self.tools
            .iter()
            .find(|tool| tool.described.name == name)
            .cloned()
    }
}

/// Which vaults a call may mean.
pub(crate) struct Choice<'a> {
    vaults: &'a [&'a str],
    /// Whether there is only one, which need not be named.
    one: bool,
}

impl Choice<'_> {
    /// The schema of the argument `vault`.
    fn schema(&self) -> Value {
        serde_json::json!({
            "type": "string",
            "enum": self.vaults,
            "description": "The vault to work on, by its name."
        })
    }

    /// An input schema with `vault` before the given properties.
    fn input(&self, properties: Value, required: &[&str]) -> Arc<JsonObject> {
        let mut all = JsonObject::new();
        let mut needed: Vec<&str> = Vec::new();
        if !self.vaults.is_empty() {
            all.insert("vault".to_owned(), self.schema());
        }
        if !self.one {
            needed.push("vault");
        }
        if let Value::Object(properties) = properties {
            all.extend(properties);
        }
        needed.extend(required);
        object(all, &needed)
    }
}

/// A closed object schema.
fn object(properties: JsonObject, required: &[&str]) -> Arc<JsonObject> {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    Arc::new(schema)
}

/// The parts that every description has.
fn described(
    name: &str,
    title: &str,
    description: &str,
    input: Arc<JsonObject>,
    output: Value,
    hints: ToolAnnotations,
) -> Described {
    let output = match output {
        Value::Object(output) => output,
        _ => JsonObject::new(),
    };
    Described::new(name.to_owned(), description.to_owned(), input)
        .with_title(title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(hints)
}

/// Reads only; gives the same for the same vault.
fn reads() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(false)
}

/// Adds, and takes nothing away. A second call adds again.
fn appends() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(false)
        .destructive(false)
        .idempotent(false)
        .open_world(false)
}

/// What a call needs, whatever its tool.
pub(crate) struct Call {
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tool: Arc<Tool>,
    pub(crate) arguments: Arguments,
    pub(crate) installed: Arc<Installed>,
}

impl Call {
    /// Whether the call writes into a vault, whose writers take turns.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.tool.action, Action::AppendEvent | Action::Append(_))
    }

    /// Whether the call may wait for a plugin, or for the disk, rather than compute.
    pub(crate) fn waits(&self) -> bool {
        let given = |name| args::text(&self.arguments, name);
        let catalog = &self.installed.catalog;
        match self.tool.action {
            Action::AppendEvent
            | Action::Append(_)
            | Action::Reduce(_)
            | Action::Export(_)
            | Action::InitVault => true,
            Action::ReduceVault => given("reducer").is_some_and(|n| catalog.reducer(n).is_some()),
            Action::ExportVault => given("format").is_some_and(|n| catalog.export(n).is_some()),
            _ => false,
        }
    }

    /// The vault that the call means.
    pub(crate) fn vault(&self) -> Result<Arc<Served>, Refusal> {
        if let Some(name) = args::text(&self.arguments, "vault")
            && (self.tool.wrapped || !matches!(self.tool.action, Action::Append(_)))
        {
            return self.hub.vault(name);
        }
        let vaults = self.hub.vaults();
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
    pub(crate) fn run(&self, job: &Handle) -> Result<Answer, Refusal> {
        if let Some(schema) = &self.tool.schema {
            args::check(&self.tool.described.name, schema, &self.arguments)?;
        }
        match &self.tool.action {
            Action::AppendEvent => append::any(self, job),
            Action::Append(name) => append::typed(self, name, self.tool.wrapped, job),
            Action::VerifyVault => reading::verify(self, job),
            Action::QueryEvents => reading::query_events(self, job),
            Action::GetEvent => reading::get_event(self, job),
            Action::GetVaultStatus => reading::status(self, job),
            Action::ReplayBeliefs => derive::beliefs(self, job),
            Action::ReduceVault => {
                let name = args::text(&self.arguments, "reducer").unwrap_or("summary");
                derive::reduce(self, name, job)
            }
            Action::Reduce(name) => derive::reduce(self, name, job),
            Action::ExportVault => {
                let name = args::text(&self.arguments, "format").unwrap_or_default();
                export::export(self, name, job)
            }
            Action::Export(name) => export::export(self, name, job),
            Action::ListPlugins => installed::list(self),
            Action::InitVault => append::init(self),
        }
    }
}
