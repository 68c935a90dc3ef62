//! JSON Schemas of custom event types: checked, compiled, applied, and explained.
//!
//! A schema comes from a plugin and is untrusted. It is parsed strictly, checked against the
//! meta-schema of its dialect (Draft 2020-12 unless `$schema` names another), and compiled
//! without any way to fetch a `$ref` from the network or a file. Formats are assertions.
//!
//! What does not fit is told in the words of the plugin specification's section "Schema
//! Validation Failure"; [`SchemaViolations`] prints that text to the letter.

mod words;
pub(crate) mod worker;

use std::collections::HashSet;
use std::fmt;

use provara_core::json::{self, Value};
use provara_report::{Class, Diagnostic};
use serde::{Deserialize, Serialize};
use serde_json::Value as Tree;

use crate::text::inline;

/// At most so many problems of one event are listed; the rest are counted.
const MAX_LISTED: usize = 100;

/// Steps after which a pattern with backtracking gives up. A pattern that needs more is a
/// denial of service, and the value is refused.
const BACKTRACK_LIMIT: usize = 200_000;

/// The dialects of JSON Schema that are known, by the URI in `$schema`.
const DIALECTS: [(&str, jsonschema::Draft); 5] = [
    (
        "https://json-schema.org/draft/2020-12/schema",
        jsonschema::Draft::Draft202012,
    ),
    (
        "https://json-schema.org/draft/2019-09/schema",
        jsonschema::Draft::Draft201909,
    ),
    (
        "http://json-schema.org/draft-07/schema",
        jsonschema::Draft::Draft7,
    ),
    (
        "http://json-schema.org/draft-06/schema",
        jsonschema::Draft::Draft6,
    ),
    (
        "http://json-schema.org/draft-04/schema",
        jsonschema::Draft::Draft4,
    ),
];

/// The schema of an event type.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) version: &'a str,
    pub(crate) json: &'a str,
}

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The text is not strict JSON.
    #[error("it is not JSON: {0}")]
    NotJson(json::ParseError),
    /// The JSON is not an object.
    #[error("it is {0}, not an object")]
    NotAnObject(&'static str),
    /// `$schema` names no known dialect.
    #[error("'$schema' names the unknown dialect '{}'", inline(.0))]
    UnknownDialect(String),
    /// The meta-schema refuses it, or it cannot be compiled.
    #[error("at '{at}': {reason}")]
    Invalid {
        /// JSON Pointer to the place in the schema; `/` for the whole.
        at: String,
        /// What is wrong there, safe for a terminal.
        reason: String,
    },
}

/// A schema that is ready to validate data of one event type.
pub struct CompiledSchema {
    type_name: String,
    version: String,
    validator: jsonschema::Validator,
}

impl fmt::Debug for CompiledSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledSchema")
            .field("type_name", &self.type_name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// One problem of the data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaViolation {
    /// Path to the value, as `user.emails[0]`; `(payload)` for the data as a whole.
    pub field: String,
    /// What is wrong with it, safe for a terminal.
    pub error: String,
}

/// Data that does not fit its schema. [`Display`](fmt::Display) gives the specification's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolations {
    /// The event type.
    pub type_name: String,
    /// The version of the schema.
    pub version: String,
    /// The problems, in the order of the document; never empty, and at most 100.
    pub violations: Vec<SchemaViolation>,
    /// How many more there are.
    pub more: usize,
}

impl SchemaViolations {
    /// The specification's text.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let type_name = inline(&self.type_name);
        let mut diagnostic = Diagnostic::new(
            Class::Usage,
            format!("Event validation failed for type '{type_name}'."),
        );
        for violation in &self.violations {
            diagnostic = diagnostic
                .detail(format!("Field: '{}'", violation.field))
                .detail(format!("Error: {}", violation.error));
        }
        if self.more > 0 {
            diagnostic = diagnostic.detail(format!("… and {} more", self.more));
        }
        diagnostic
            .detail(format!("Schema: {type_name} v{}", inline(&self.version)))
            .fix("Correct the payload to match the schema.")
    }
}

impl fmt::Display for SchemaViolations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic().fmt(f)
    }
}

impl std::error::Error for SchemaViolations {}

impl CompiledSchema {
    /// Parses, checks and compiles the schema of an event type.
    ///
    /// # Errors
    /// [`SchemaError`], which says where in the schema the fault is.
    pub fn new(
        type_name: &str,
        version: &str,
        schema_json: &str,
    ) -> Result<CompiledSchema, SchemaError> {
        let value = json::parse(schema_json.as_bytes()).map_err(SchemaError::NotJson)?;
        if value.as_object().is_none() {
            return Err(SchemaError::NotAnObject(value.kind_name()));
        }
        let draft = dialect(&value)?;
        let tree = to_tree(&value);
        let validator = jsonschema::options()
            .with_draft(draft)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(
                jsonschema::PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT),
            )
            .build(&tree)
            .map_err(|error| {
                // The instance of a meta-schema error is the schema itself.
                let at = error.instance_path().as_str();
                let at = if at.is_empty() { "/" } else { at };
                SchemaError::Invalid {
                    at: inline(at).into_owned(),
                    reason: words::of_schema_fault(&error),
                }
            })?;
        Ok(CompiledSchema {
            type_name: type_name.to_owned(),
            version: version.to_owned(),
            validator,
        })
    }

    /// The event type that the schema belongs to.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The version of the schema.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Checks data.
    ///
    /// A schema can take all the time and memory there is: see [`crate::host::Host::check`] for one
    /// that is not trusted.
    ///
    /// # Errors
    /// The problems found, in the order of the document.
    pub fn validate(&self, data: &Value<'_>) -> Result<(), SchemaViolations> {
        let tree = to_tree(data);
        if self.validator.is_valid(&tree) {
            return Ok(());
        }
        let mut locator = words::Locator::new(&tree);
        let mut found: Vec<words::Located> = self
            .validator
            .iter_errors(&tree)
            .flat_map(|error| locator.locate(&error))
            .collect();
        found.sort_by(|a, b| a.position.cmp(&b.position));
        // One problem may be found on several ways through the schema.
        let mut seen = HashSet::with_capacity(found.len());
        let mut violations: Vec<SchemaViolation> = found
            .into_iter()
            .map(|located| located.violation)
            .filter(|violation| seen.insert(violation.clone()))
            .collect();
        if violations.is_empty() {
            // The two ways of asking disagree: refuse, as the first one did.
            violations.push(SchemaViolation {
                field: words::WHOLE.to_owned(),
                error: "The data does not match the schema".to_owned(),
            });
        }
        let more = violations.len().saturating_sub(MAX_LISTED);
        violations.truncate(MAX_LISTED);
        Err(SchemaViolations {
            type_name: self.type_name.clone(),
            version: self.version.clone(),
            violations,
            more,
        })
    }
}

/// The dialect that `$schema` names; Draft 2020-12 if it is absent.
fn dialect(schema: &Value<'_>) -> Result<jsonschema::Draft, SchemaError> {
    let Some(named) = schema.get("$schema") else {
        return Ok(jsonschema::Draft::Draft202012);
    };
    let unknown = |name: &str| SchemaError::UnknownDialect(name.to_owned());
    let name = named.as_str().ok_or_else(|| unknown(named.kind_name()))?;
    let bare = name.strip_suffix('#').unwrap_or(name);
    let known = DIALECTS.iter().find(|(uri, _)| *uri == bare);
    known.map(|(_, draft)| *draft).ok_or_else(|| unknown(name))
}

/// Copies a strict value into the tree that the validator reads; members keep their order.
///
/// An integer beyond 64 bits becomes the nearest binary64, as in every JSON Schema validator
/// without arbitrary precision; the writer refuses such integers anyway.
pub(crate) fn to_tree(value: &Value<'_>) -> Tree {
    match value {
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(*value),
        Value::Number(token) => {
            // The token follows the grammar of JSON; only infinity has no tree form.
            serde_json::from_str(token).unwrap_or(Tree::Null)
        }
        Value::String(text) => Tree::String(text.clone().into_owned()),
        Value::Array(items) => Tree::Array(items.iter().map(to_tree).collect()),
        Value::Object(members) => Tree::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone().into_owned(), to_tree(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests;
