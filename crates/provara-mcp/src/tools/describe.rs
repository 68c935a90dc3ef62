//! The parts that the descriptions of tools are made of.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as Described, ToolAnnotations};
use serde_json::Value;

/// Which vaults a call may mean.
pub(super) struct Choice<'a> {
    pub(super) vaults: &'a [&'a str],
    /// Whether there is only one, which need not be named.
    pub(super) one: bool,
    /// Whether events may be appended that decide about a vault.
    pub(super) admin: bool,
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

/// Reads only; gives the same for the same vault.
pub(super) fn reads() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(false)
}

/// Adds, and takes nothing away. A second call adds again.
pub(super) fn appends() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(false)
        .destructive(false)
        .idempotent(false)
        .open_world(false)
}
