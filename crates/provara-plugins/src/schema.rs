//! JSON Schemas of custom event types: checked, compiled, applied, and explained.
//!
//! A schema comes from a plugin and is untrusted. It is parsed strictly, checked against the
//! meta-schema of its dialect (Draft 2020-12 unless `$schema` names another), and compiled
//! without any way to fetch a `$ref` from the network or a file; a `$ref` out of the schema leads to those that
//! the plugin brings along. Formats are assertions.
//!
//! What does not fit is told in the words of the plugin specification's section "Schema
//! Validation Failure"; [`SchemaViolations`] prints that text to the letter.

mod advice;
mod common;
mod explain;
mod inspect;
mod patterns;
mod portable;
pub(crate) mod references;
mod remark;
mod structure;
mod words;
pub(crate) mod worker;

use std::fmt;

use provara_core::json::{self, Value};
use provara_report::{Class, Diagnostic};
use serde::{Deserialize, Serialize};
use serde_json::Value as Tree;

pub(crate) use self::inspect::{Inspected, inspect};
use self::references::Bundle;
pub use self::remark::{Remark, Remarks};
use crate::text::inline;

/// Steps after which a pattern with backtracking gives up. A pattern that needs more is a
/// denial of service, and the value is refused.
const BACKTRACK_LIMIT: usize = 200_000;

/// The schema of an event type.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) version: &'a str,
    pub(crate) json: &'a str,
    /// The further schemas that it refers to, one JSON object by URI.
    pub(crate) further: Option<&'a str>,
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
    #[error("'$schema' names the unknown dialect '{}'; known are drafts 4, 6, 7, 2019-09 and 2020-12", inline(.0))]
    UnknownDialect(String),
    /// A further schema that the plugin brings cannot be used.
    #[error("the schema '{uri}' in 'schemas': {reason}")]
    Further {
        /// Its URI, safe for a terminal.
        uri: String,
        /// What is wrong with it, safe for a terminal.
        reason: String,
    },
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
    /// The schema that the validator was compiled from, to say what does not fit.
    tree: Tree,
    draft: jsonschema::Draft,
    further: Bundle,
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
    /// How many more were found; the search is bounded.
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
        CompiledSchema::with_further(type_name, version, schema_json, None)
    }

    /// The same for a schema that refers to others: `further` is one JSON object that has them by URI.
    ///
    /// # Errors
    /// [`SchemaError`], which says where in which schema the fault is.
    pub fn with_further(
        type_name: &str,
        version: &str,
        schema_json: &str,
        further: Option<&str>,
    ) -> Result<CompiledSchema, SchemaError> {
        let Read {
            tree,
            draft,
            base,
            further,
        } = Read::of(schema_json, further)?;
        let mut written_out = tree.clone();
        patterns::write_out(&mut written_out);
        let build = |draft, schema: &Tree| {
            let options = options(draft).with_base_uri(base.as_str());
            options.with_retriever(further.clone()).build(schema)
        };
        let validator = match in_draft_7(draft, &written_out).map(|it| build(DRAFT_7, &it)) {
            Some(Ok(validator)) => Ok(validator),
            // What is wrong is told in the words of its own dialect.
            Some(Err(_)) | None => build(draft, &written_out),
        };
        Ok(CompiledSchema {
            type_name: type_name.to_owned(),
            version: version.to_owned(),
            validator: validator.map_err(|error| invalid(&error))?,
            tree,
            draft,
            further,
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

    /// What its author should know of it, though it can be used: misspelt and ignored keywords, unknown formats,
    /// patterns that others read otherwise; of the further schemas, too.
    #[must_use]
    pub fn advice(&self) -> Remarks {
        advice::on(&self.tree, self.draft, self.further.schemas())
    }

    /// Checks data.
    ///
    /// A schema can take all the time and memory there is: see [`crate::host::Host::check`] for one
    /// that is not trusted. What is wrong with data is looked for within bounds.
    ///
    /// # Errors
    /// The problems found, in the order of the document.
    pub fn validate(&self, data: &Value<'_>) -> Result<(), SchemaViolations> {
        let tree = to_tree(data);
        if self.validator.is_valid(&tree) {
            return Ok(());
        }
        let (mut violations, more) = self.explain(&tree).unwrap_or_default();
        if violations.is_empty() {
            violations.push(SchemaViolation {
                field: words::WHOLE.to_owned(),
                error: words::UNEXPLAINED.to_owned(),
            });
        }
        Err(SchemaViolations {
            type_name: self.type_name.clone(),
            version: self.version.clone(),
            violations,
            more,
        })
    }

    /// What does not fit, and how much more there is. Nothing where the bounds of the search were met first.
    fn explain(&self, data: &Tree) -> Result<(Vec<SchemaViolation>, usize), referencing::Error> {
        let base = references::base(self.draft, &self.tree)?;
        let registry = jsonschema::Registry::new()
            .draft(self.draft)
            .retriever(self.further.clone())
            .add(base.as_str(), self.draft.create_resource_ref(&self.tree))?
            .prepare()?;
        let found = explain::explain(&self.tree, self.draft, &registry, base, data);
        Ok(found.into_violations())
    }
}

/// A schema that was read, and not looked at yet.
struct Read {
    tree: Tree,
    draft: jsonschema::Draft,
    /// The URI that its references are meant from.
    base: jsonschema::Uri<String>,
    further: Bundle,
}

impl Read {
    fn of(schema_json: &str, further: Option<&str>) -> Result<Read, SchemaError> {
        let value = json::parse(schema_json.as_bytes()).map_err(SchemaError::NotJson)?;
        if value.as_object().is_none() {
            return Err(SchemaError::NotAnObject(value.kind_name()));
        }
        let draft = dialect(&value)?;
        let tree = references::prepared(&value);
        let base = references::base(draft, &tree).map_err(|error| invalid(&error.into()))?;
        let further = match further {
            None => Bundle::default(),
            Some(further) => Bundle::read(further, &base, draft)?,
        };
        Ok(Read {
            tree,
            draft,
            base,
            further,
        })
    }
}

/// How every schema is compiled.
fn options<'o>(draft: jsonschema::Draft) -> jsonschema::ValidationOptions<'o> {
    jsonschema::options()
        .with_draft(draft)
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(
            jsonschema::PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT),
        )
}

const DRAFT_7: jsonschema::Draft = jsonschema::Draft::Draft7;

/// The same schema in Draft 7, if it says the same there ([`common`]).
fn in_draft_7(draft: jsonschema::Draft, schema: &Tree) -> Option<Tree> {
    let mut schema = schema.as_object()?.clone();
    schema.remove("$schema");
    let common = draft == jsonschema::Draft::Draft202012 && common::is_common(&schema);
    common.then_some(Tree::Object(schema))
}

/// A fault that compiling a schema found.
fn invalid(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    // The instance of a meta-schema error is the schema itself.
    let at = error.instance_path().as_str();
    let at = if at.is_empty() { "/" } else { at };
    SchemaError::Invalid {
        at: inline(at).into_owned(),
        reason: words::of_schema_fault(error),
    }
}

/// The dialect that `$schema` names, by `http` or `https`; Draft 2020-12 if it is absent.
fn dialect(schema: &Value<'_>) -> Result<jsonschema::Draft, SchemaError> {
    let Some(named) = schema.get("$schema") else {
        return Ok(jsonschema::Draft::Draft202012);
    };
    let unknown = |name: &str| SchemaError::UnknownDialect(name.to_owned());
    let name = named.as_str().ok_or_else(|| unknown(named.kind_name()))?;
    let bare = name.strip_suffix('#').unwrap_or(name);
    // The URI without a version means another dialect each time that one is published.
    let versioned = !bare.ends_with("//json-schema.org/schema");
    match jsonschema::Draft::from_schema_uri(bare) {
        draft if versioned && draft != jsonschema::Draft::Unknown => Ok(draft),
        _ => Err(unknown(name)),
    }
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
