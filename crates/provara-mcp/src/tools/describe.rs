//! The parts that the descriptions of tools are made of.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as Described, ToolAnnotations};
use serde_json::{Value, json};

/// The most bytes of the names of vaults in a tool's schema.
const MAX_NAMES: usize = 400;

/// Which vaults a call may mean.
pub(super) struct Choice<'a> {
    pub(super) vaults: &'a [&'a str],
    /// Whether there is only one, which need not be named.
    pub(super) one: bool,
    /// Whether events may be appended that decide about a vault.
    pub(super) admin: bool,
}

impl Choice<'_> {
    /// The schema of the argument `vault`. It stands in every tool, so that a long list of names is left out.
    fn schema(&self) -> Value {
        let mut schema = json!({"type": "string", "description": "The vault's name."});
        let names = json!(self.vaults);
        if names.to_string().len() <= MAX_NAMES {
            schema["enum"] = names;
        }
        schema
    }

    /// An input schema with `vault` before the given properties.
    pub(super) fn input(&self, properties: Value, required: &[&str]) -> Arc<JsonObject> {
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
pub(super) fn object(properties: JsonObject, required: &[&str]) -> Arc<JsonObject> {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    Arc::new(schema)
}

/// The parts that every description has. The name is the tool's own and is put in where it is offered.
pub(super) fn described(
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
    Described::new("", description.to_owned(), input)
        .with_title(title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(hints)
}

/// The schema of an object with these members: what a client may count on, and no more, as the schemas of all
/// tools go into every list. None is required, because an answer may come in parts.
pub(super) fn output(members: &[(&str, &str)]) -> Value {
    let members = members.iter().map(|(name, kind)| {
        let schema = match *kind {
            "" => json!({}),
            kind => json!({"type": kind}),
        };
        ((*name).to_owned(), schema)
    });
    json!({"type": "object", "properties": Value::Object(members.collect())})
}

/// The schema of the argument that asks for the next part of a long answer.
pub(super) fn part_cursor() -> Value {
    json!({"type": "string", "maxLength": 40, "description": "next_cursor of the part before. A long answer comes in parts, whose texts joined are its JSON."})
}

/// Reads only; gives the same for the same vault.
pub(super) fn reads() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(false)
}

/// Signs, which the operator may not want of agents; gives the same for the same vault.
pub(super) fn signs() -> ToolAnnotations {
    appends().idempotent(true)
}

/// Adds, and takes nothing away. A second call adds again.
pub(super) fn appends() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(false)
        .destructive(false)
        .idempotent(false)
        .open_world(false)
}
