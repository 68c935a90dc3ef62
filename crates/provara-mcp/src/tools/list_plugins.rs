//! What is installed, and what is wrong with what cannot be used.

use provara_plugins::builtin::{Format, Reducer};
use provara_plugins::catalog::{Origin, PluginKind};
use rmcp::model::Tool as Described;
use serde::Serialize;

use super::describe::{Choice, described, object, output, part_cursor, reads};
use super::{Call, Needs, Tool, export_vault, reduce_vault};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "list_plugins";

/// `list_plugins`.
pub(super) struct ListPlugins;

impl Tool for ListPlugins {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, _: &Choice<'_>) -> Described {
        described(
            "List plugins",
            "List the installed event types, reducers and export formats, with the package and version \
             each comes from, its tool here if it has one ('append_event', 'reduce_vault' and 'export_vault' \
             take the names of all), and what is wrong with those that cannot be used.",
            object(
                serde_json::Map::from_iter([("cursor".to_owned(), part_cursor())]),
                &[],
            ),
            output(&[
                ("event_types", "array"),
                ("reducers", "array"),
                ("exports", "array"),
                ("problems", "array"),
            ]),
            reads(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            plugins: true,
            ..Needs::default()
        }
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, _: &JobHandle) -> Result<Answer, Refusal> {
        let catalog = &call.installed.catalog;
        let toolbox = call.registry.toolbox();
        let tool_of = |kind, name: &str| {
            let found = toolbox.of_plugin(kind, name);
            found.map(|tool| tool.described.name.to_string())
        };
        let entry = |kind, name, origin: &Origin| Entry {
            name,
            builtin: false,
            from: origin.to_string(),
            tool: tool_of(kind, name),
            alias: None,
            schema_version: None,
            description: None,
        };
        let own = |name, tool: &str| Entry {
            name,
            builtin: true,
            from: "built-in".to_owned(),
            tool: toolbox.get(tool).map(|_| tool.to_owned()),
            alias: None,
            schema_version: None,
            description: None,
        };
        let event_types: Vec<_> = catalog
            .event_types
            .iter()
            .map(|info| Entry {
                alias: info.alias.as_ref().map(|alias| alias.as_str()),
                schema_version: Some(&info.schema_version),
                ..entry(
                    PluginKind::EventType,
                    info.event_type.as_str(),
                    &info.origin,
                )
            })
            .collect();
        let mut reducers: Vec<_> = catalog
            .reducers
            .iter()
            .map(|info| Entry {
                description: info.description.as_deref(),
                ..entry(PluginKind::Reducer, info.name.as_str(), &info.origin)
            })
            .collect();
        reducers.extend(Reducer::NAMES.map(|name| own(name, reduce_vault::NAME)));
        let mut exports: Vec<_> = catalog
            .exports
            .iter()
            .map(|info| Entry {
                description: info.description.as_deref(),
                ..entry(PluginKind::Export, info.name.as_str(), &info.origin)
            })
            .collect();
        exports.extend(Format::NAMES.map(|name| own(name, export_vault::NAME)));
        let problems: Vec<_> = catalog
            .problems
            .iter()
            .map(|problem| problem.text.as_str())
            .collect();
        let withheld = call.installed.withheld.as_deref();
        let failure = call
            .installed
            .failure
            .iter()
            .map(|failure| failure.0.as_str());
        let problems: Vec<_> = problems
            .into_iter()
            .chain(withheld)
            .chain(failure)
            .collect();
        let mut answer = Answer::new()
            .with("event_types", &event_types)
            .with("reducers", &reducers)
            .with("exports", &exports)
            .with("problems", &problems);
        if let Some(confinement) = &call.installed.confinement {
            answer = answer.with("confinement", confinement);
        }
        Ok(answer)
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    builtin: bool,
    /// Package and version, or the class.
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}
