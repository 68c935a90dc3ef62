//! The tool of one installed event type.

use std::sync::Arc;

use provara_core::json::Value as Json;
use provara_plugins::catalog::{EventTypeInfo, PluginKind};
use rmcp::model::{JsonObject, Tool as Described};
use serde_json::{Value, json};

use super::append_event::{Statement, receipt_schema, resolved};
use super::describe::{Choice, appends, described};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The most characters of a text in a plugin's schema.
const MAX_DESCRIPTION: usize = 1000;

/// The longest schema that is shown, in bytes: a client keeps the schemas of all tools in mind.
const MAX_SCHEMA: usize = 256 << 10;

/// Appends events of one installed type.
pub(super) struct EventTypeTool {
    name: String,
    info: EventTypeInfo,
    schema: JsonObject,
    /// Whether the data is below `data`, because a call must name a vault, too.
    wrapped: bool,
}

impl EventTypeTool {
    /// The tool, where its schema can be that of a tool.
    pub(super) fn new(name: String, info: &EventTypeInfo, choice: &Choice<'_>) -> Option<Self> {
        Some(Self {
            name,
            info: info.clone(),
            schema: schema_of(info)?,
            wrapped: !choice.one,
        })
    }
}

impl Tool for EventTypeTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn plugin(&self) -> Option<(PluginKind, &str)> {
        Some((PluginKind::EventType, self.info.event_type.as_str()))
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        let name = &self.info.event_type;
        let about = self
            .schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let text = format!(
            "Append one signed event of the type {name}, for ever. The data is checked against the \
             type's schema and by its plugin ({}), and refused with reasons if it does not fit. {about}",
            self.info.origin
        );
        let schema = self.schema.clone();
        let input = match self.wrapped {
            false => Arc::new(schema),
            true => wrapped(choice, &self.info, schema),
        };
        let title = format!("Append {name}");
        described(&title, text.trim_end(), input, receipt_schema(), appends())
    }

    fn needs(&self) -> Needs {
        Needs {
            turn: true,
            ..Needs::default()
        }
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn names_vault(&self) -> bool {
        self.wrapped
    }

    /// The type's schema is the plugin's business, and its failures have words of their own.
    fn checks_arguments(&self) -> bool {
        false
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let data = if self.wrapped {
            let stranger = |name: &&String| !matches!(name.as_str(), "vault" | "data");
            if let Some(name) = call.arguments.keys().find(stranger) {
                return Err(Refusal::new(
                    &format!("'{name}' is no argument of this tool."),
                    "Give 'vault' and 'data'; members of the event belong into 'data'.",
                ));
            }
            match call.evidence_of("data")? {
                Some(data @ Json::Object(_)) => data,
                _ => {
                    return Err(Refusal::new(
                        "The event's data is missing, or is not an object.",
                        "Give it as 'data', beside 'vault'.",
                    ));
                }
            }
        } else {
            call.evidence()?
        };
        resolved(
            call,
            self.info.event_type.as_str(),
            data,
            Statement::default(),
            job,
        )
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

#[cfg(test)]
mod tests {
    use super::*;

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
