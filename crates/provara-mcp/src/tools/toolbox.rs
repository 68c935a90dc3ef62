//! The tools as they are offered: described, their schemas compiled, as far as the operator allows them.

use std::sync::Arc;

use provara_plugins::catalog::PluginKind;
use provara_plugins::schema::CompiledSchema;
use rmcp::model::Tool as Described;
use serde_json::Value;

use super::describe::Choice;
use super::{Needs, Tool, installed, own};
use crate::config::Config;
use crate::vault_handle::VaultHandle;
use crate::warm_host::Installed;

/// A tool as it is offered.
pub(crate) struct Offered {
    pub(super) tool: Arc<dyn Tool>,
    pub(crate) described: Described,
    /// The input schema, ready to use, where the arguments are checked against it.
    pub(super) schema: Option<CompiledSchema>,
}

impl Offered {
    fn new(tool: Arc<dyn Tool>, choice: &Choice<'_>) -> Self {
        let mut described = tool.describe(choice);
        described.name = tool.name().to_owned().into();
        let text = Value::Object((*described.input_schema).clone()).to_string();
        let schema = match tool.checks_arguments() {
            false => None,
            // Ours compile, which a test shows.
            true => CompiledSchema::new(&described.name, "1", &text).ok(),
        };
        Self {
            tool,
            described,
            schema,
        }
    }

    /// What every call of it needs.
    pub(crate) fn needs(&self) -> Needs {
        self.tool.needs()
    }
}

/// All tools that this server offers now.
#[derive(Default)]
pub(crate) struct Toolbox {
    tools: Vec<Arc<Offered>>,
    /// The operator's patterns that fit no tool.
    idle: Vec<String>,
}

impl Toolbox {
    /// The tools for these vaults and plugins, as far as the operator allows them.
    pub(crate) fn new(config: &Config, vaults: &[Arc<VaultHandle>], installed: &Installed) -> Self {
        let names: Vec<_> = vaults.iter().map(|vault| vault.name.as_str()).collect();
        let choice = Choice {
            vaults: &names,
            one: config.init_dir.is_none() && names.len() == 1,
            admin: config.allow_admin,
        };
        let mut tools = own();
        tools.extend(installed::tools(&choice, &installed.catalog));
        tools.retain(|tool| tool.is_offered(config));
        let tools = tools.into_iter().map(|tool| Offered::new(tool, &choice));
        let mut tools: Vec<_> = tools.collect();
        if config.read_only {
            let reads = |tool: &Offered| {
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
    pub(crate) fn all(&self) -> &[Arc<Offered>] {
        &self.tools
    }

    /// The tool that a plugin of this kind and name brings.
    pub(super) fn of_plugin(&self, kind: PluginKind, name: &str) -> Option<&Offered> {
        let wanted = Some((kind, name));
        let found = self.tools.iter().find(|tool| tool.tool.plugin() == wanted);
        found.map(|tool| &**tool)
    }

    /// The tool of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Offered>> {
        self.tools
            .iter()
            .find(|tool| tool.described.name == name)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_of_ours_is_described_and_its_schemas_compile() {
        let choice = Choice {
            vaults: &["v", "w"],
            one: false,
            admin: true,
        };
        let config = crate::config::tests::full();
        let mut names = std::collections::BTreeSet::new();
        for tool in own() {
            assert!(tool.is_offered(&config), "{}", tool.name());
            let tool = Offered::new(tool, &choice);
            assert!(names.insert(tool.tool.name().to_owned()));
            assert!(tool.schema.is_some(), "{}", tool.described.name);
            let output = Value::Object((**tool.described.output_schema.as_ref().unwrap()).clone());
            CompiledSchema::new("o", "1", &output.to_string()).unwrap();
            assert!(tool.described.title.is_some() && tool.described.annotations.is_some());
        }
    }
}
