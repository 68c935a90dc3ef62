//! The whole schema of an event type, or a part of it.

use provara_core::canonical;
use provara_core::json::{self, Value as Json};
use provara_plugins::catalog::PluginKind;
use rmcp::model::Tool as Described;
use serde_json::json;

use super::append_event::unknown;
use super::describe::{Choice, described, object, output, part_cursor, reads};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::args;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "describe_event_type";

/// `describe_event_type`.
pub(super) struct DescribeEventType;

impl Tool for DescribeEventType {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, _: &Choice<'_>) -> Described {
        let properties = json!({
            "type": {"type": "string", "minLength": 1, "maxLength": 200, "description": "An installed event type or its alias ('list_plugins')."},
            "path": {"type": "string", "maxLength": 1000, "description": "A JSON Pointer to a part of the schema, such as /properties/user or /$defs/Address."},
            "cursor": part_cursor()
        });
        let properties = match properties {
            serde_json::Value::Object(properties) => properties,
            _ => serde_json::Map::new(),
        };
        described(
            "Describe an event type",
            "The whole JSON Schema that the data of an installed event type must fit, with the schemas that it \
             refers to by URI, or the part of it at 'path'. Tools 'append_…' show it shortened where it is large.",
            object(properties, &["type"]),
            output(&[("event_type", "string"), ("schema", "")]),
            reads(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            plugins: true,
            ..Needs::default()
        }
    }

    fn names_vault(&self) -> bool {
        false
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, _: &JobHandle) -> Result<Answer, Refusal> {
        let name = args::text(&call.arguments, "type").unwrap_or_default();
        let Some(info) = call.installed.catalog.event_type(name) else {
            return Err(unknown(call, name));
        };
        let event_type = info.event_type.as_str();
        let toolbox = call.registry.toolbox();
        let tool = toolbox.of_plugin(PluginKind::EventType, event_type);
        let mut answer = Answer::new()
            .with("event_type", event_type)
            .with("schema_version", &info.schema_version)
            .with("from", &info.origin.to_string());
        if let Some(alias) = &info.alias {
            answer = answer.with("alias", alias);
        }
        if let Some(tool) = tool {
            answer = answer.with("tool", &*tool.described.name);
        }
        let Some(path) = args::text(&call.arguments, "path") else {
            if let Some(further) = &info.schemas_json {
                answer = answer.with_json("schemas", further);
            }
            return Ok(answer.with_json("schema", &info.schema_json));
        };
        let broken = || {
            Refusal::new(
                "The schema is not JSON.",
                "Report it to the plugin's author.",
            )
        };
        let schema = json::parse(info.schema_json.as_bytes()).map_err(|_| broken())?;
        let part = at(&schema, path).ok_or_else(|| {
            Refusal::new(
                &format!(
                    "The schema of {event_type} has no part at '{}'.",
                    provara_plugins::text::inline(path)
                ),
                "Call without 'path' for the whole schema; a path is a JSON Pointer, such as /properties/user.",
            )
        })?;
        let part = String::from_utf8(canonical::compact(part)).map_err(|_| broken())?;
        Ok(answer.with("path", path).with_json("schema", &part))
    }
}

/// What a JSON Pointer leads to (RFC 6901); one with a `#` before it, as references have it, does as well.
fn at<'v, 'a>(schema: &'v Json<'a>, path: &str) -> Option<&'v Json<'a>> {
    let path = path.strip_prefix('#').unwrap_or(path);
    if path.is_empty() {
        return Some(schema);
    }
    let mut found = schema;
    for token in path.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        found = match found {
            Json::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            other => other.get(&token)?,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_part() {
        let schema = json::parse(br#"{"a/b":{"~":[1,{"c":2}]},"":3}"#).unwrap();
        let found = |path: &str| {
            at(&schema, path).map(|part| String::from_utf8(canonical::compact(part)).unwrap())
        };
        assert_eq!(found("/a~1b/~0/1/c").as_deref(), Some("2"));
        assert_eq!(found("#/").as_deref(), Some("3"));
        assert!(found("").is_some() && found("#").is_some());
        assert_eq!(found("a"), None);
        assert_eq!(found("/a~1b/~0/2"), None);
        assert_eq!(found("/a~1b/~0/x"), None);
    }
}
