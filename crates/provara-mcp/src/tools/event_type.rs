//! The tool of one installed event type.

use std::sync::Arc;

use provara_core::json::Value as Json;
use provara_plugins::catalog::{EventTypeInfo, PluginKind};
use rmcp::model::{JsonObject, Tool as Described};
use serde_json::{Value, json};

use super::append_event::{KEY, Statement, key_schema, receipt, resolved};
use super::describe::{Choice, appends, described, object};
use super::{Call, Needs, Tool, describe_event_type};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::shown::Shapes;

/// The most characters of what a plugin says of a type in the tool's description.
const MAX_ABOUT: usize = 300;

/// Appends events of one installed type.
pub(super) struct EventTypeTool {
    name: String,
    info: EventTypeInfo,
    schema: JsonObject,
    /// What the members of the data may be, by the type's whole schema.
    wanted: JsonObject,
    /// Whether the schema that is shown says all that the type's schema says.
    whole: bool,
    /// Whether the data is below `data`: a call must name a vault, too, or the schema can be that of no tool.
    wrapped: bool,
}

impl EventTypeTool {
    /// The tool with the schema in one of its shapes.
    pub(super) fn new(
        name: String,
        info: &EventTypeInfo,
        choice: &Choice<'_>,
        shapes: &Shapes,
        at: usize,
    ) -> Self {
        let shown = &shapes.by_room[at];
        // Wherever a schema speaks of such a member it is the plugin's own.
        let quoted = format!("\"{KEY}\"");
        let further = info.schemas_json.as_deref().unwrap_or_default();
        let has_key = info.schema_json.contains(&quoted) || further.contains(&quoted);
        Self {
            name,
            info: info.clone(),
            wrapped: !choice.one || !shapes.is_plain || has_key,
            schema: shown.schema.clone(),
            wanted: shapes.wanted.clone(),
            whole: shown.whole,
        }
    }

    /// The arguments as the event's data and its idempotency key.
    fn split(&self, call: &Call) -> Result<(Json<'static>, Option<String>), Refusal> {
        let key = match call.arguments.get(KEY) {
            None => None,
            Some(Value::String(key)) if (1..=1024).contains(&key.len()) => Some(key.clone()),
            Some(_) => {
                return Err(Refusal::new(
                    &format!("'{KEY}' is no text of 1 to 1024 bytes."),
                    "Give a text of your choice, such as a UUID, or leave it out.",
                ));
            }
        };
        if !self.wrapped {
            let mut data = call.evidence()?;
            if let Json::Object(members) = &mut data {
                members.retain(|(name, _)| name != KEY);
            }
            return Ok((data, key));
        }
        let stranger = |name: &&String| !matches!(name.as_str(), "vault" | "data" | KEY);
        if let Some(name) = call.arguments.keys().find(stranger) {
            return Err(Refusal::new(
                &format!(
                    "'{}' is no argument of this tool.",
                    provara_plugins::text::inline(name)
                ),
                "Members of the event belong in 'data'.",
            ));
        }
        match call.evidence_of("data")? {
            Some(data @ Json::Object(_)) => Ok((data, key)),
            _ => Err(Refusal::new(
                "The event's data is missing, or is not an object.",
                "Give it as 'data'.",
            )),
        }
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
        let mut schema = self.schema.clone();
        let about = schema.get("description").and_then(Value::as_str);
        let about = provara_plugins::text::shorten(about.unwrap_or_default(), MAX_ABOUT);
        let short = match self.whole {
            true => String::new(),
            false => format!(
                " The schema here is shortened: '{}' gives the whole one.",
                describe_event_type::NAME
            ),
        };
        let text = format!(
            "Append one signed event of the type {name} ({}), for ever. Data that does not fit is \
             refused with reasons.{short} {about}",
            self.info.origin
        );
        let input = match self.wrapped {
            true => {
                let properties = json!({"data": schema, KEY: key_schema()});
                match choice.one {
                    true => object(as_object(properties), &["data"]),
                    false => choice.input(properties, &["data"]),
                }
            }
            false => {
                schema.remove("description");
                let properties = schema.entry("properties").or_insert_with(|| json!({}));
                if let Value::Object(properties) = properties {
                    properties.insert(KEY.to_owned(), key_schema());
                }
                Arc::new(schema)
            }
        };
        let title = format!("Append {name}");
        described(&title, text.trim_end(), input, receipt(), appends())
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

    fn wanted(&self) -> Option<&JsonObject> {
        (!self.wrapped).then_some(&self.wanted)
    }

    fn names_vault(&self) -> bool {
        self.wrapped
    }

    /// The type's schema is the plugin's business, and its failures have words of their own.
    fn checks_arguments(&self) -> bool {
        false
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let (data, key) = self.split(call)?;
        let statement = Statement::with_key(key);
        resolved(call, self.info.event_type.as_str(), data, statement, job)
    }
}

fn as_object(value: Value) -> JsonObject {
    match value {
        Value::Object(members) => members,
        _ => JsonObject::new(),
    }
}
