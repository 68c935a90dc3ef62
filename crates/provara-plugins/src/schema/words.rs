//! The words for what does not fit a schema.

use std::io;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ReferencingError, ValidationError};
use provara_report::nearest;
use serde_json::Value as Tree;

use super::structure::NAMELESS;
use crate::text::{inline, shorten};

/// The field of a problem of the data as a whole.
pub(super) const WHOLE: &str = "(payload)";

/// What is told where the bounds of an explanation were met before anything was found.
pub(super) const UNEXPLAINED: &str = "The data does not match the schema; what does not was not found within the limits of the search";

/// The most characters of a value that a message shows.
const MAX_SHOWN: usize = 120;

/// The most values of an `enum` that a message lists.
const MAX_OPTIONS: usize = 50;

/// The most characters that a message spends on one alternative of several, which may have alternatives itself.
const MAX_OF_FORM: usize = 160;

/// What may stand where no type does.
const TYPES: &str = "; the types are array, boolean, integer, null, number, object and string";

/// Puts a fault of a schema into words.
pub(super) fn of_schema_fault(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Referencing(fault) => unresolved(fault),
        Kind::Required { property } => {
            format!(
                "missing '{}'",
                inline(property.as_str().unwrap_or_default())
            )
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            let at = error.instance_path().as_str();
            let of_type = at.ends_with("/type") && !at.ends_with("/dependencies/type");
            let types = if of_type { TYPES } else { "" };
            format!("{} is not allowed here{types}", show(error.instance()))
        }
        _ => describe(error),
    }
}

/// Appends a member's name to a path: `a.b`, or `a["b.c"]` where the name itself could be
/// mistaken for a path.
pub(super) fn join(path: &str, name: &str) -> String {
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
pub(super) fn show(value: &Tree) -> String {
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
pub(super) fn describe(error: &ValidationError<'_>) -> String {
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
            let options = options.as_array().map_or(&[][..], Vec::as_slice);
            let options = first_options(options.iter());
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
        Kind::Pattern { pattern } => no_match(error.instance(), pattern),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            format!("{value} cannot be checked: the schema's pattern takes too many steps")
        }
        Kind::MinItems { limit } => {
            format!("{value} has fewer than {}", items(*limit))
        }
        Kind::MaxItems { limit } => {
            format!("{value} has more than {}", items(*limit))
        }
        Kind::AdditionalItems { limit } => too_many(error.instance(), *limit),
        Kind::UnevaluatedItems { .. } => unexpected_items(error.instance()),
        Kind::UniqueItems => format!("{value} has an item twice"),
        Kind::Contains => wrong_number_of_matches(error.instance()),
        Kind::MinProperties { limit } => {
            format!("{value} has fewer than {}", fields(*limit))
        }
        Kind::MaxProperties { limit } => {
            format!("{value} has more than {}", fields(*limit))
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => no_form(error.instance(), &[]),
        Kind::OneOfMultipleValid { .. } => several_forms(error.instance()),
        Kind::Not { schema } => forbidden(error.instance(), schema),
        Kind::FalseSchema => not_allowed(error.instance()),
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
        Kind::PropertyNames { error } => bad_name(&describe(error)),
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
fn first_options<'v>(all: impl ExactSizeIterator<Item = &'v Tree>) -> Vec<String> {
    let others = all.len().saturating_sub(MAX_OPTIONS);
    let mut first: Vec<String> = all.take(MAX_OPTIONS).map(show).collect();
    if others > 0 {
        first.push(format!("{others} others"));
    }
    first
}

/// A reference that leads nowhere.
fn unresolved(fault: &ReferencingError) -> String {
    match fault {
        ReferencingError::Unretrievable { uri, source } => {
            let relative = uri.strip_prefix(NAMELESS).unwrap_or(uri);
            let (uri, source) = (inline(relative), source.to_string());
            match source.is_empty() || source.contains("once the registry is populated") {
                true => format!(
                    "'$ref' leads to '{uri}', which is not here, and nothing is fetched: the plugin has to bring \
                     it in its attribute 'schemas', a dict of schemas by URI"
                ),
                false => format!("'$ref' leads to '{uri}': {}", inline(&source)),
            }
        }
        fault => format!("'$ref' leads nowhere: {}", inline(&fault.to_string())),
    }
}

pub(super) fn no_match(value: &Tree, pattern: &str) -> String {
    let (value, pattern) = (show(value), inline(pattern));
    format!("{value} does not match the pattern '{pattern}'")
}

pub(super) fn unexpected(name: &str) -> String {
    format!("Unexpected field '{}'", inline(name))
}

pub(super) fn bad_name(reason: &str) -> String {
    format!("Field name not allowed: {reason}")
}

pub(super) fn not_allowed(value: &Tree) -> String {
    format!("{} is not allowed here", show(value))
}

pub(super) fn forbidden(value: &Tree, schema: &Tree) -> String {
    let (value, schema) = (show(value), show(schema));
    format!("{value} has a form that is not allowed: {schema}")
}

pub(super) fn too_many(value: &Tree, limit: usize) -> String {
    let items = count(limit as u64, "item", "items");
    format!("{} has more than {items}", show(value))
}

pub(super) fn unexpected_items(value: &Tree) -> String {
    format!("{} has items that are not allowed", show(value))
}

pub(super) fn wrong_number_of_matches(value: &Tree) -> String {
    let value = show(value);
    format!("{value} has not the number of matching items required")
}

pub(super) fn several_forms(value: &Tree) -> String {
    let value = show(value);
    format!("{value} matches more than one of the allowed forms, but must match exactly one")
}

/// What each form lacks, by its index: ` (1: …; 2: …)`.
pub(super) fn no_form(value: &Tree, forms: &[(usize, String)]) -> String {
    let forms: Vec<String> = forms
        .iter()
        .map(|(index, words)| format!("{}: {}", index + 1, shorten(words, MAX_OF_FORM)))
        .collect();
    let forms = match forms.is_empty() {
        true => String::new(),
        false => format!(" ({})", forms.join("; ")),
    };
    format!("{} matches none of the allowed forms{forms}", show(value))
}

/// The same for so many forms that what each lacks would hide what matters.
pub(super) fn no_form_of(value: &Tree, forms: usize, reason: &str) -> String {
    let reason = shorten(reason, 2 * MAX_OF_FORM);
    let value = show(value);
    format!("{value} matches none of the {forms} allowed forms: {reason}")
}

/// The value of the member that tells forms apart is none of a form.
pub(super) fn unknown_tag(value: &Tree, allowed: &[&Tree], forms: usize) -> String {
    let meant = value
        .as_str()
        .and_then(|text| nearest(text, allowed.iter().filter_map(|value| value.as_str())));
    let value = show(value);
    if let Some(meant) = meant {
        return format!(
            "{value} is none of the {forms} forms; did you mean '{}'?",
            inline(meant)
        );
    }
    let options = first_options(allowed.iter().copied());
    format!("{value} is not one of {}", listed(&options, "or"))
}

/// The member that tells forms apart is absent.
pub(super) fn no_tag(member: &str, forms: usize) -> String {
    let member = inline(member);
    format!("Missing required field '{member}', which tells {forms} forms apart")
}
