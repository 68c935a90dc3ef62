//! The tools as they are offered: described, their schemas compiled, as far as the operator allows them, and
//! listed as far as there is room.

use std::collections::BTreeSet;
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
    /// How long its description is in a list, in bytes.
    length: usize,
}

/// The most bytes of all tools in a list: it goes out in one page, because several clients read no other, and
/// is kept in a model's mind. There is some room left for what goes around it.
const LIST: usize = 62_000;

/// How large the schema of an event type's tool may be, in bytes: the largest of these with which all tools fit
/// into the list. If none is, the last, and the tools that are used least are left out.
const ROOMS: [usize; 3] = [4_000, 2_000, 1_000];

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
        let length = serde_json::to_string(&described).map_or(0, |text| text.len() + 1);
        Self {
            tool,
            described,
            schema,
            length,
        }
    }

    fn reads_only(&self) -> bool {
        let hints = self.described.annotations.as_ref();
        hints.is_some_and(|hints| hints.read_only_hint == Some(true))
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
    /// The names of those that have no room in a list. They can be called all the same: a client may have
    /// been told of them before.
    unlisted: BTreeSet<String>,
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
        let made = |tools: Vec<Arc<dyn Tool>>| -> Vec<Offered> {
            let tools = tools.into_iter().filter(|tool| tool.is_offered(config));
            let tools = tools.map(|tool| Offered::new(tool, &choice));
            tools
                .filter(|tool| !config.read_only || tool.reads_only())
                .collect()
        };
        let mut tools = made(own());
        let allowed = |tool: &Offered| config.allows(&tool.described.name);
        let length = |tools: &[Offered]| -> usize {
            let tools = tools.iter().filter(|tool| allowed(tool));
            tools.map(|tool| tool.length).sum()
        };
        let room = LIST.saturating_sub(length(&tools));
        let shapes = installed::all_shapes(&installed.catalog, &ROOMS);
        let with = |at| made(installed::tools(&choice, &installed.catalog, &shapes, at));
        let mut found = (0..ROOMS.len())
            .map(with)
            .find(|tools| length(tools) <= room);
        let fit = found.is_some();
        let of_plugins = found.take().unwrap_or_else(|| with(ROOMS.len() - 1));
        let own = tools.len();
        tools.extend(of_plugins);
        let idle = config.idle(tools.iter().map(|tool| &*tool.described.name));
        let kept: Vec<bool> = tools.iter().map(allowed).collect();
        let unlisted = match fit {
            true => BTreeSet::new(),
            false => {
                let of_plugins = tools[own..].iter().filter(|tool| allowed(tool)).collect();
                without_room(of_plugins, room, installed)
            }
        };
        let tools = tools.into_iter().zip(kept).filter(|(_, kept)| *kept);
        Self {
            tools: tools.map(|(tool, _)| Arc::new(tool)).collect(),
            unlisted,
            idle,
        }
    }

    /// The operator's patterns that fit no tool.
    pub(crate) fn idle(&self) -> &[String] {
        &self.idle
    }

    /// Whether a client would see the same.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let described = |toolbox: &'_ Self| -> Vec<Described> {
            toolbox
                .listed()
                .map(|tool| tool.described.clone())
                .collect()
        };
        described(self) == described(other)
    }

    /// The tools that a list has, in their order.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Offered> {
        let tools = self.tools.iter().map(|tool| &**tool);
        tools.filter(|tool| !self.unlisted.contains(tool.tool.name()))
    }

    /// The tool that a plugin of this kind and name brings, if a list has it.
    pub(super) fn of_plugin(&self, kind: PluginKind, name: &str) -> Option<&Offered> {
        let wanted = Some((kind, name));
        self.listed().find(|tool| tool.tool.plugin() == wanted)
    }

    /// The tool of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Offered>> {
        self.tools
            .iter()
            .find(|tool| tool.described.name == name)
            .cloned()
    }
}

/// The names of those tools that there is no room for: what the vaults have most of comes first, then reducers
/// and exports, and what is not used last, by name.
fn without_room(
    mut tools: Vec<&Offered>,
    mut room: usize,
    installed: &Installed,
) -> BTreeSet<String> {
    let place = |tool: &&Offered| {
        let (kind, name) = tool.tool.plugin().unwrap_or((PluginKind::Export, ""));
        let events = match kind {
            PluginKind::EventType => installed.usage.get(name).copied().unwrap_or_default(),
            _ => 0,
        };
        let unused = kind == PluginKind::EventType && events == 0;
        (std::cmp::Reverse(events), unused, kind, name.to_owned())
    };
    tools.sort_by_cached_key(place);
    let mut left_out = BTreeSet::new();
    for tool in tools {
        match tool.length <= room {
            true => room -= tool.length,
            false => drop(left_out.insert(tool.tool.name().to_owned())),
        }
    }
    left_out
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
