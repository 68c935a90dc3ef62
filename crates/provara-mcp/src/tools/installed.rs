//! The tools that plugins bring: one for each event type, reducer and export.

use std::sync::Arc;

use provara_plugins::catalog::{Catalog, EventTypeInfo, Origin};
use rmcp::model::JsonObject;
use serde::Serialize;
use serde_json::{Value, json};

use super::builtin::{NAMES, export_properties, exported, receipt, reduced, writes_outside};
use super::{Action, Call, Choice, Tool, appends, described, reads};
use crate::answer::Answer;
use crate::config::Config;
use crate::naming::{APPEND, EXPORT, PREFIXES, REDUCE, tool_names};
use crate::refusal::Refusal;

/// The most characters of a text in a plugin's schema.
const MAX_DESCRIPTION: usize = 1000;

/// The longest schema that is shown, in bytes: a client keeps the schemas of all tools in mind.
const MAX_SCHEMA: usize = 256 << 10;

pub(super) fn tools(config: &Config, choice: &Choice<'_>, catalog: &Catalog) -> Vec<Tool> {
    let actions = actions(catalog);
    let names = names(&actions);
    let mut tools = Vec::new();
    for (action, name) in actions.into_iter().zip(names) {
        tools.extend(tool(config, choice, catalog, action, &name));
    }
    tools
}

/// Whether a pattern may fit the tool of a plugin that is not here yet.
pub(crate) fn may_fit_plugins(pattern: &str) -> bool {
    let begins = PREFIXES.iter().any(|prefix| pattern.starts_with(prefix));
    pattern.contains('*') || (begins && !NAMES.contains(&pattern))
}

fn actions(catalog: &Catalog) -> Vec<Action> {
    let types = catalog
        .event_types
        .iter()
        .map(|info| Action::Append(info.event_type.to_string()));
    let reducers = catalog
        .reducers
        .iter()
        .map(|info| Action::Reduce(info.name.to_string()));
    let exports = catalog
        .exports
        .iter()
        .map(|info| Action::Export(info.name.to_string()));
    types.chain(reducers).chain(exports).collect()
}

fn names(actions: &[Action]) -> Vec<String> {
    let plugins: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Action::Append(name) => (APPEND, name.as_str()),
            Action::Reduce(name) => (REDUCE, name.as_str()),
            Action::Export(name) => (EXPORT, name.as_str()),
            _ => ("", ""),
        })
        .collect();
    tool_names(&plugins, &NAMES)
}

fn tool(
    config: &Config,
    choice: &Choice<'_>,
    catalog: &Catalog,
    action: Action,
    tool: &str,
) -> Option<Tool> {
    match &action {
        Action::Append(name) => {
            let info = catalog.event_type(name)?;
            let schema = schema_of(info)?;
            let about = schema
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let text = format!(
                "Append one signed event of the type {name}, for ever. The data is checked against the \
                 type's schema and by its plugin ({}), and refused with reasons if it does not fit. {about}",
                info.origin
            );
            let (input, wrapped) = match choice.one {
                true => (Arc::new(schema), false),
                false => (wrapped(choice, info, schema), true),
            };
            let title = format!("Append {name}");
            let described = described(tool, &title, text.trim_end(), input, receipt(), appends());
            Some(Tool::new(action, described, wrapped))
        }
        Action::Reduce(name) => {
            let info = catalog.reducer(name)?;
            let text = format!(
                "Run the reducer {name} of the plugin {} over all events of a vault and get the state \
                 that it derives. It sees the events and nothing else. The vault is verified first.",
                info.origin
            );
            let input = choice.input(json!({}), &[]);
            let title = format!("Reduce with {name}");
            Some(Tool::new(
                action,
                described(tool, &title, &text, input, reduced(), reads()),
                false,
            ))
        }
        Action::Export(name) => {
            let info = catalog.export(name)?;
            config.export_dir.as_ref()?;
            let text = format!(
                "Write a vault in the format {name} of the plugin {} into the directory that the \
                 operator allowed. It appears whole or not at all; the vault stays as it is. The vault \
                 is verified first.",
                info.origin
            );
            let input = choice.input(export_properties(), &["name"]);
            let title = format!("Export as {name}");
            let described = described(tool, &title, &text, input, exported(), writes_outside());
            Some(Tool::new(action, described, false))
        }
        _ => None,
    }
}

/// The plugin's own schema. A tool's input is an object, which a schema need not say; an event's
/// data is one in any case. Of one that is too long only that is shown; it is applied all the same.
fn schema_of(info: &EventTypeInfo) -> Option<JsonObject> {
    let mut schema: Value = serde_json::from_str(&info.schema_json).ok()?;
    make_safe(&mut schema);
    if schema.to_string().len() > MAX_SCHEMA {
        let text = "The schema is too long to be shown.";
        schema = json!({"description": text});
    }
    let Value::Object(mut schema) = schema else {
        return None;
    };
    if schema.get("type") != Some(&json!("object")) {
        schema.insert("type".to_owned(), json!("object"));
    }
    Some(schema)
}

/// Escapes and shortens what a schema says to people, at every level: a client may show it as it is.
/// What decides which data fits, names of members and values, stays to the letter.
fn make_safe(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(make_safe),
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match (keyword.as_str(), value) {
                    ("title" | "description" | "$comment", Value::String(text)) => {
                        let safe = provara_plugins::text::inline(text);
                        *text = provara_plugins::text::shorten(&safe, MAX_DESCRIPTION).into_owned();
                    }
                    ("enum" | "const" | "default" | "examples", _) => {}
                    (
                        "properties" | "patternProperties" | "dependentSchemas" | "$defs"
                        | "definitions",
                        Value::Object(named),
                    ) => named.values_mut().for_each(make_safe),
                    (_, inner) => make_safe(inner),
                }
            }
        }
        _ => {}
    }
}

/// The schema below `data`, beside the vault's name. With an `$id` of its own it stays the root of
/// its references (`#/$defs/…`).
fn wrapped(choice: &Choice<'_>, info: &EventTypeInfo, mut schema: JsonObject) -> Arc<JsonObject> {
    schema
        .entry("$id")
        .or_insert_with(|| format!("urn:provara:event-type:{}", info.event_type).into());
    choice.input(json!({"data": schema}), &["data"])
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
}

/// `list_plugins`.
pub(super) fn list(call: &Call) -> Result<Answer, Refusal> {
    let catalog = &call.installed.catalog;
    let toolbox = call.registry.toolbox();
    let tool = |wanted: &Action| {
        let found = toolbox.all().iter().find(|tool| tool.action == *wanted);
        found.map(|tool| tool.described.name.to_string())
    };
    let entry = |name, origin: &Origin, action: Action| Entry {
        name,
        builtin: false,
        from: origin.to_string(),
        tool: tool(&action),
        alias: None,
        schema_version: None,
    };
    let own = |name: &'static str, action: Action| Entry {
        name,
        builtin: true,
        from: "built-in".to_owned(),
        tool: tool(&action),
        alias: None,
        schema_version: None,
    };
    let event_types: Vec<_> = catalog
        .event_types
        .iter()
        .map(|info| Entry {
            alias: info.alias.as_ref().map(|alias| alias.as_str()),
            schema_version: Some(&info.schema_version),
            ..entry(
                info.event_type.as_str(),
                &info.origin,
                Action::Append(info.event_type.to_string()),
            )
        })
        .collect();
    let mut reducers: Vec<_> = catalog
        .reducers
        .iter()
        .map(|info| {
            entry(
                info.name.as_str(),
                &info.origin,
                Action::Reduce(info.name.to_string()),
            )
        })
        .collect();
    reducers.extend(["beliefs", "summary"].map(|name| own(name, Action::ReduceVault)));
    let mut exports: Vec<_> = catalog
        .exports
        .iter()
        .map(|info| {
            entry(
                info.name.as_str(),
                &info.origin,
                Action::Export(info.name.to_string()),
            )
        })
        .collect();
    exports.extend(["csv", "json", "ndjson"].map(|name| own(name, Action::ExportVault)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_may_wait_for_a_plugin() {
        for pattern in ["append_com_acme", "*_acme", "export_siem"] {
            assert!(may_fit_plugins(pattern), "{pattern}");
        }
        for pattern in ["", "verify_vualt", "append", "export_vault", "append_event"] {
            assert!(!may_fit_plugins(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_a_schema_says_is_made_safe_and_what_it_means_stays() {
        let (bad, safe) = ("\u{1b}[2J\u{202e}", "\\u{1b}[2J\\u{202e}");
        let inner = |text: &str| {
            json!({
                "title": text,
                "enum": [{"title": bad}, bad],
                "const": {"description": bad},
                "default": bad
            })
        };
        let outer = |text: &str| {
            json!({
                "$comment": text,
                "properties": {"title": inner(text), "enum": inner(text), bad: {}},
                "anyOf": [inner(text), true],
                "items": {"not": inner(text)},
                "required": [bad],
                "pattern": bad
            })
        };
        let mut schema = outer(bad);
        make_safe(&mut schema);
        assert_eq!(schema, outer(safe));
        let mut long = json!({"description": "x".repeat(2 * MAX_DESCRIPTION)});
        make_safe(&mut long);
        let text = long["description"].as_str().unwrap();
        assert_eq!(text.chars().count(), MAX_DESCRIPTION + 1);
    }
}
