//! The words for what does not fit a schema.

use std::collections::HashMap;
use std::io;
use std::ptr;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::{Map, Value as Tree};

use super::SchemaViolation;
use crate::text::{inline, shorten};

/// The field of a problem of the data as a whole.
pub(super) const WHOLE: &str = "(payload)";

/// The most characters of a value that a message shows.
const MAX_SHOWN: usize = 120;

/// The most values of an `enum` that a message lists.
const MAX_OPTIONS: usize = 50;

/// The most alternatives of an `anyOf` or `oneOf` that a message explains.
const MAX_BRANCHES: usize = 6;

/// How deep it explains alternatives of alternatives: each level multiplies the words.
const MAX_NESTING: usize = 3;

/// A problem and where in the document it stands.
pub(super) struct Located {
    /// The index of each member or item on the way down; a value comes before what it contains.
    pub(super) position: Vec<usize>,
    pub(super) violation: SchemaViolation,
}

/// Puts the errors of the validator into words.
pub(super) struct Locator<'a> {
    document: &'a Tree,
    /// The position of each member, by its name, of the objects that were asked about.
    positions: HashMap<*const Map<String, Tree>, HashMap<&'a str, usize>>,
}

impl<'a> Locator<'a> {
    pub(super) fn new(document: &'a Tree) -> Self {
        Self {
            document,
            positions: HashMap::new(),
        }
    }

    /// Puts one error into words. An error about several members is several problems, one for each.
    pub(super) fn locate(&mut self, error: &ValidationError<'_>) -> Vec<Located> {
        let place = self.follow(error.instance_path().as_str());
        match error.kind() {
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let text = format!("Missing required field '{}'", inline(name));
                vec![self.member(&place, name, text)]
            }
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|name| {
                    let text = format!("Unexpected field '{}'", inline(name));
                    self.member(&place, name, text)
                })
                .collect(),
            Kind::PropertyNames { error } => {
                let name = error.instance().as_str().unwrap_or_default();
                let text = format!("Field name not allowed: {}", describe(error));
                vec![self.member(&place, name, text)]
            }
            _ => vec![place.here(describe(error))],
        }
    }

    /// Follows a JSON Pointer (RFC 6901). Whether a segment is an index or a name follows from
    /// the document, since a member may be called `0`.
    fn follow(&mut self, pointer: &str) -> Place<'a> {
        let mut place = Place {
            path: String::new(),
            position: Vec::new(),
            value: Some(self.document),
        };
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            match place.value {
                Some(Tree::Array(items)) => {
                    let index = segment.parse().unwrap_or(usize::MAX);
                    place.path.push_str(&format!("[{segment}]"));
                    place.position.push(index);
                    place.value = items.get(index);
                }
                Some(Tree::Object(members)) => {
                    let position = self.position(members, &segment);
                    place.position.push(position.unwrap_or(usize::MAX));
                    place.path = join(&place.path, &segment);
                    place.value = members.get(&segment);
                }
                _ => break,
            }
        }
        place
    }

    /// A problem of a member of a place. A member that is absent stands where its object begins.
    fn member(&mut self, place: &Place<'a>, name: &str, error: String) -> Located {
        let mut position = place.position.clone();
        if let Some(Tree::Object(members)) = place.value {
            position.extend(self.position(members, name));
        }
        Located {
            position,
            violation: SchemaViolation {
                field: join(&place.path, name),
                error,
            },
        }
    }

    /// Where a member stands in its object. Looked up by name, because an object of many members
    /// may have a problem in each.
    fn position(&mut self, members: &'a Map<String, Tree>, name: &str) -> Option<usize> {
        let positions = self
            .positions
            .entry(ptr::from_ref(members))
            .or_insert_with(|| members.keys().map(String::as_str).zip(0..).collect());
        positions.get(name).copied()
    }
}

/// Puts a fault of a schema into words.
pub(super) fn of_schema_fault(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Referencing(fault) => {
            format!(
                "{} ('$ref' may only point into the schema itself)",
                inline(&fault.to_string())
            )
        }
        Kind::Required { property } => {
            format!(
                "missing '{}'",
                inline(property.as_str().unwrap_or_default())
            )
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            format!("{} is not allowed here", show(error.instance()))
        }
        _ => describe(error),
    }
}

/// A place in the data: its name for people and its position.
struct Place<'a> {
    path: String,
    position: Vec<usize>,
    value: Option<&'a Tree>,
}

impl Place<'_> {
    fn here(self, error: String) -> Located {
        let field = if self.path.is_empty() {
            WHOLE.to_owned()
        } else {
            self.path
        };
        Located {
            position: self.position,
            violation: SchemaViolation { field, error },
        }
    }
}

/// Appends a member's name to a path: `a.b`, or `a["b.c"]` where the name itself could be
/// mistaken for a path.
fn join(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
    if name.is_empty() || !name.chars().all(plain) {
        return format!(
            "{path}[\"{}\"]",
            inline(&name.replace('\\', "\\\\").replace('"', "\\\""))
        );
    }
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A value for a message: a string in single quotes, anything else as JSON; cut when long.
fn show(value: &Tree) -> String {
    match value {
        Tree::String(text) => format!("'{}'", inline(&shorten(text, MAX_SHOWN))),
        other => {
            let mut start = Start(Vec::new());
            // It stops with an error where it has written enough.
            let _ = serde_json::to_writer(&mut start, other);
            let text = String::from_utf8_lossy(&start.0);
            inline(&shorten(&text, MAX_SHOWN)).into_owned()
        }
    }
}

/// Takes the start of a text, a little more than what is shown: a value may be large, and many
/// problems may show it.
struct Start(Vec<u8>);

impl io::Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A character has at most four bytes, and the last one may be incomplete.
        if self.0.len() > 4 * (MAX_SHOWN + 1) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a format's values are called, after "is not a valid".
fn format_name(format: &str) -> &str {
    match format {
        "ipv4" => "IPv4 address",
        "ipv6" => "IPv6 address",
        "email" => "email address",
        "idn-email" => "internationalized email address",
        "idn-hostname" => "internationalized hostname",
        "uri" => "URI",
        "uri-reference" => "URI reference",
        "uri-template" => "URI template",
        "iri" => "IRI",
        "iri-reference" => "IRI reference",
        "uuid" => "UUID",
        "json-pointer" => "JSON pointer",
        "relative-json-pointer" => "relative JSON pointer",
        "regex" => "regular expression",
        // "date-time", "date", "time", "duration", "hostname" are their own names.
        other => other,
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn listed(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

/// One error in words, without its place.
fn describe(error: &ValidationError<'_>) -> String {
    describe_within(error, MAX_NESTING)
}

/// The same, with alternatives explained down to `levels`.
fn describe_within(error: &ValidationError<'_>, levels: usize) -> String {
    let value = show(error.instance());
    let characters = |limit| count(limit, "character", "characters");
    let items = |limit| count(limit, "item", "items");
    let fields = |limit| count(limit, "field", "fields");
    match error.kind() {
        Kind::Format { format } => {
            format!("{value} is not a valid {}", inline(format_name(format)))
        }
        Kind::Type { kind } => {
            let wanted = type_names(kind);
            format!("{value} is not {}", listed(&wanted, "or"))
        }
        Kind::Enum { options } => {
            let options = first_options(options);
            format!("{value} is not one of {}", listed(&options, "or"))
        }
        Kind::Constant { expected_value } => {
            format!("{value} is not the required value {}", show(expected_value))
        }
        Kind::Minimum { limit } => format!("{value} is less than the minimum of {limit}"),
        Kind::Maximum { limit } => format!("{value} is greater than the maximum of {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("{value} is not greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("{value} is not less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("{value} is not a multiple of {multiple_of}"),
        Kind::MinLength { limit } => {
            format!("{value} is shorter than {}", characters(*limit))
        }
        Kind::MaxLength { limit } => {
            format!("{value} is longer than {}", characters(*limit))
        }
        Kind::Pattern { pattern } => {
            format!("{value} does not match the pattern '{}'", inline(pattern))
        }
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            format!("{value} cannot be checked: the schema's pattern takes too many steps")
        }
        Kind::MinItems { limit } => {
            format!("{value} has fewer than {}", items(*limit))
        }
        Kind::MaxItems { limit } => {
            format!("{value} has more than {}", items(*limit))
        }
        Kind::AdditionalItems { limit } => {
            format!("{value} has more than {}", items(*limit as u64))
        }
        Kind::UnevaluatedItems { .. } => format!("{value} has items that are not allowed"),
        Kind::UniqueItems => format!("{value} has an item twice"),
        Kind::Contains => format!("{value} has not the number of matching items required"),
        Kind::MinProperties { limit } => {
            format!("{value} has fewer than {}", fields(*limit))
        }
        Kind::MaxProperties { limit } => {
            format!("{value} has more than {}", fields(*limit))
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            format!(
                "{value} matches none of the allowed forms{}",
                branches(context, levels)
            )
        }
        Kind::OneOfMultipleValid { .. } => {
            format!(
                "{value} matches more than one of the allowed forms, but must match exactly one"
            )
        }
        Kind::Not { schema } => format!("{value} has a form that is not allowed: {}", show(schema)),
        Kind::FalseSchema => format!("{value} is not allowed here"),
        Kind::ContentEncoding { content_encoding } => {
            format!("{value} is not encoded as {}", inline(content_encoding))
        }
        Kind::ContentMediaType { content_media_type } => {
            format!(
                "{value} is not of the media type {}",
                inline(content_media_type)
            )
        }
        Kind::FromUtf8 { .. } => format!("{value} does not decode to UTF-8"),
        Kind::Required { property } => {
            format!(
                "Missing required field '{}'",
                inline(property.as_str().unwrap_or_default())
            )
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<String> = unexpected
                .iter()
                .map(|name| format!("'{}'", inline(name)))
                .collect();
            format!("Unexpected field {}", listed(&names, "and"))
        }
        Kind::PropertyNames { error } => {
            format!("Field name not allowed: {}", describe_within(error, levels))
        }
        Kind::Custom { message, .. } => inline(message).into_owned(),
        Kind::Referencing(fault) => inline(&fault.to_string()).into_owned(),
    }
}

/// The names of the types that are allowed.
fn type_names(kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Single(kind) => vec![type_name(*kind).to_owned()],
        TypeKind::Multiple(kinds) => {
            // "an integer or null" reads better than "null or an integer".
            let (nulls, others): (Vec<_>, Vec<_>) =
                kinds.iter().partition(|kind| *kind == JsonType::Null);
            others
                .into_iter()
                .chain(nulls)
                .map(|kind| type_name(kind).to_owned())
                .collect()
        }
    }
}

/// The first of the values that are allowed, and how many others there are.
fn first_options(options: &Tree) -> Vec<String> {
    let all = options.as_array().map_or(&[][..], Vec::as_slice);
    let mut first: Vec<String> = all.iter().take(MAX_OPTIONS).map(show).collect();
    if all.len() > MAX_OPTIONS {
        first.push(format!("{} others", all.len() - MAX_OPTIONS));
    }
    first
}

/// What each alternative lacks: ` (1: …; 2: …)`.
fn branches(context: &[Vec<ValidationError<'static>>], levels: usize) -> String {
    let Some(levels) = levels.checked_sub(1) else {
        return String::new();
    };
    let mut parts: Vec<String> = context
        .iter()
        .enumerate()
        .take(MAX_BRANCHES)
        .filter_map(|(index, errors)| {
            let first = errors.first()?;
            let more = if errors.len() > 1 { ", …" } else { "" };
            Some(format!(
                "{}: {}{more}",
                index + 1,
                describe_within(first, levels)
            ))
        })
        .collect();
    if context.len() > MAX_BRANCHES {
        parts.push("…".to_owned());
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join("; "))
    }
}
