//! The types that a schema gives to the places of data, through its references into itself and into the further
//! schemas.

use std::collections::{BTreeSet, HashMap, HashSet};

use jsonschema::Uri;
use provara_core::json::Value;

use super::Step;
use crate::schema::references::{absolute, bare, base_of, decoded};

/// How many references are followed on one path; a schema may refer to itself.
const MAX_REFERENCES: usize = 32;

/// A schema, or a part of one, with the document that it stands in.
type Part<'a> = (usize, &'a Value<'a>);

/// The schema of an event type, the first, and the further ones that it may refer to.
pub(super) struct Documents<'a> {
    /// Each with the URI that its references are meant from, where it has a proper one.
    all: Vec<(Option<Uri<String>>, &'a Value<'a>)>,
    /// Their places, by URI.
    by_uri: HashMap<String, usize>,
}

impl<'a> Documents<'a> {
    /// `further` has the further schemas by URI.
    pub(super) fn new(schema: &'a Value<'a>, further: Option<&'a Value<'a>>) -> Documents<'a> {
        let base = base_of(id(schema));
        let mut documents = Documents {
            all: vec![(base.clone().ok(), schema)],
            by_uri: HashMap::new(),
        };
        let Ok(base) = base else { return documents };
        let further = further.and_then(Value::as_object);
        for (key, schema) in further.into_iter().flatten() {
            let Ok(named) = absolute(&base, key) else {
                continue;
            };
            let at = documents.all.len();
            documents.by_uri.insert(bare(&named), at);
            let own = id(schema).and_then(|id| absolute(&named, id).ok());
            if let Some(own) = &own {
                documents.by_uri.entry(bare(own)).or_insert(at);
            }
            documents.all.push((Some(own.unwrap_or(named)), schema));
        }
        documents.by_uri.entry(bare(&base)).or_insert(0);
        documents
    }

    /// The types that the schema allows at a path. Empty means that it does not say.
    pub(super) fn types_at(&self, path: &[Step]) -> BTreeSet<String> {
        let mut schemas = self.expand(vec![(0, self.all[0].1)]);
        for step in path {
            let next = schemas
                .iter()
                .flat_map(|(document, schema)| {
                    let found = below(schema, step);
                    found.into_iter().map(|schema| (*document, schema))
                })
                .collect();
            schemas = self.expand(next);
        }
        // Alternatives add up: the validator decides between them afterwards.
        schemas
            .iter()
            .flat_map(|(_, schema)| own_types(schema))
            .collect()
    }

    /// The schemas together with those that they refer to or combine.
    fn expand(&self, start: Vec<Part<'a>>) -> Vec<Part<'a>> {
        let mut found: Vec<Part<'a>> = Vec::new();
        let mut seen = HashSet::new();
        let mut open = start;
        let mut references = 0;
        while let Some((document, schema)) = open.pop() {
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            found.push((document, schema));
            for keyword in ["allOf", "anyOf", "oneOf"] {
                let parts = schema.get(keyword).and_then(Value::as_array);
                open.extend(parts.into_iter().flatten().map(|part| (document, part)));
            }
            for keyword in ["then", "else"] {
                open.extend(schema.get(keyword).map(|part| (document, part)));
            }
            let reference = schema.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|reference| self.follow(document, reference));
            if let Some(target) = target {
                references += 1;
                if references <= MAX_REFERENCES {
                    open.push(target);
                }
            }
        }
        found
    }

    /// Follows a `$ref` that is a JSON Pointer into the document itself or into another one.
    fn follow(&self, from: usize, reference: &str) -> Option<Part<'a>> {
        let (uri, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if uri.is_empty() {
            from
        } else {
            let base = self.all[from].0.as_ref()?;
            *self.by_uri.get(&bare(&absolute(base, uri).ok()?))?
        };
        let mut value = self.all[document].1;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return None;
        }
        for segment in pointer.split('/').skip(1) {
            let segment = decoded(segment);
            value = match value {
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ => value.get(&segment)?,
            };
        }
        Some((document, value))
    }
}

/// The identifier of a schema, of which draft 4 has another name.
fn id<'a>(schema: &'a Value<'a>) -> Option<&'a str> {
    let id = schema.get("$id").or_else(|| schema.get("id"));
    id.and_then(Value::as_str)
}

/// The schemas that apply one step further down.
fn below<'a>(schema: &'a Value<'a>, step: &Step) -> Vec<&'a Value<'a>> {
    let found = match step {
        Step::Member(name) => schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| schema.get("additionalProperties")),
        Step::Item(index) => schema
            .get("prefixItems")
            .and_then(Value::as_array)
            .and_then(|items| items.get(*index))
            .or_else(|| schema.get("items")),
    };
    found.into_iter().collect()
}

/// The types that one schema names, through `type`, `const` or `enum`.
fn own_types(schema: &Value<'_>) -> Vec<String> {
    let kind = |value: &Value<'_>| {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
        .to_owned()
    };
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.clone().into_owned()],
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => match (
            schema.get("const"),
            schema.get("enum").and_then(Value::as_array),
        ) {
            (Some(value), _) => vec![kind(value)],
            (None, Some(values)) => values.iter().map(kind).collect(),
            (None, None) => Vec::new(),
        },
    }
}
