//! Where the references of a schema lead: into itself, and into the further schemas that its plugin brings.
//! Nothing is ever fetched.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use jsonschema::{Draft, Retrieve, Uri};
use percent_encoding::percent_decode_str;
use provara_core::json::{self, Value};
use referencing::uri;
use serde_json::Value as Tree;

use super::structure::{NAMELESS, each_schema};
use super::{SchemaError, patterns, words};
use crate::text::inline;

/// The schemas that a plugin brings beside that of its type, by URI.
#[derive(Debug, Default)]
pub(super) struct Further {
    /// What a reference leads to, without its fragment.
    by_uri: HashMap<String, Tree>,
    /// The names that the plugin gives them, in order, and their URIs.
    named: BTreeMap<String, String>,
    /// The dialect of those that name none.
    draft: Option<Draft>,
}

/// The same, shared among the compilations and explanations of one schema.
#[derive(Debug, Clone, Default)]
pub(super) struct Bundle(Arc<Further>);

impl Bundle {
    /// Reads the further schemas, one JSON object by URI. A relative URI is meant from that of the main schema,
    /// as a reference is; a schema is known by its own identifier, too.
    pub(super) fn read(
        text: &str,
        base: &Uri<String>,
        draft: Draft,
    ) -> Result<Bundle, SchemaError> {
        let value = json::parse(text.as_bytes()).map_err(SchemaError::NotJson)?;
        let fault = |uri: &str, reason: String| SchemaError::Further {
            uri: inline(uri).into_owned(),
            reason,
        };
        let mut by_uri = HashMap::new();
        let mut names = BTreeMap::new();
        for (key, schema) in value.as_object().into_iter().flatten() {
            if schema.as_object().is_none() {
                let kind = schema.kind_name();
                return Err(fault(key, format!("it is {kind}, not an object")));
            }
            let own = match schema.get("$schema") {
                None => draft,
                Some(_) => super::dialect(schema).map_err(|error| fault(key, error.to_string()))?,
            };
            let tree = prepared(schema);
            let named = absolute(base, key).map_err(|reason| fault(key, reason))?;
            if let Some(id) = own.create_resource_ref(&tree).id()
                && let Ok(id) = absolute(&named, id)
            {
                by_uri.entry(bare(&id)).or_insert_with(|| tree.clone());
            }
            names.insert(key.clone().into_owned(), bare(&named));
            by_uri.insert(bare(&named), tree);
        }
        Ok(Bundle(Arc::new(Further {
            by_uri,
            named: names,
            draft: Some(draft),
        })))
    }

    /// Each by the name that the plugin gives it.
    pub(super) fn schemas(&self) -> impl Iterator<Item = (&str, &Tree)> {
        let Further { by_uri, named, .. } = &*self.0;
        named
            .iter()
            .filter_map(|(name, uri)| Some((name.as_str(), by_uri.get(uri)?)))
    }
}

impl Retrieve for Bundle {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Tree, Box<dyn Error + Send + Sync>> {
        let Further { by_uri, draft, .. } = &*self.0;
        let found = by_uri.get(&bare(uri)).ok_or("")?;
        let draft = draft.unwrap_or_default().detect(found);
        let mut schema = found.clone();
        patterns::write_out(&mut schema);
        check(draft, &schema).map_err(|reason| format!("it is no JSON Schema: {reason}"))?;
        Ok(schema)
    }
}

/// The meta-schema of a dialect.
pub(super) fn meta_schema(draft: Draft) -> jsonschema::meta::MetaValidator<'static> {
    match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        _ => jsonschema::draft202012::meta::validator(),
    }
}

/// Holds a schema against the meta-schema of its dialect.
fn check(draft: Draft, schema: &Tree) -> Result<(), String> {
    meta_schema(draft).validate(schema).map_err(|error| {
        let at = error.instance_path().as_str();
        let at = if at.is_empty() { "/" } else { at };
        format!("at '{}': {}", inline(at), words::of_schema_fault(&error))
    })
}

/// The URI that references in a schema are meant from.
pub(super) fn base(draft: Draft, schema: &Tree) -> Result<Uri<String>, referencing::Error> {
    let nameless = uri::from_str(NAMELESS)?;
    match draft.create_resource_ref(schema).id() {
        Some(id) => uri::resolve_against(&nameless.borrow(), id),
        None => Ok(nameless),
    }
}

/// The URI that references are meant from in a schema that has this identifier, or none.
pub(crate) fn base_of(id: Option<&str>) -> Result<Uri<String>, String> {
    let nameless = uri::from_str(NAMELESS).map_err(|error| error.to_string())?;
    id.map_or(Ok(nameless.clone()), |id| absolute(&nameless, id))
}

/// The URI that a reference leads to from `base`.
pub(crate) fn absolute(base: &Uri<String>, reference: &str) -> Result<Uri<String>, String> {
    let reference = escaped(reference);
    uri::resolve_against(&base.borrow(), &reference)
        .map_err(|error| inline(&error.to_string()).into_owned())
}

/// A URI without its fragment.
pub(crate) fn bare(uri: &Uri<String>) -> String {
    let text = uri.as_str();
    text.split_once('#')
        .map_or(text, |(bare, _)| bare)
        .to_owned()
}

/// Copies a schema into the tree that the validator reads. In references the characters that a URI cannot have
/// are percent-encoded (RFC 3986, section 2.1), which leads to the same place: published schemas have
/// `#/definitions/Map<string>`, which every other validator follows.
pub(super) fn prepared(schema: &Value<'_>) -> Tree {
    let mut tree = super::to_tree(schema);
    each_schema(&mut tree, &mut |schema| {
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(Tree::String(reference)) = schema.get_mut(keyword) {
                *reference = escaped(reference);
            }
        }
    });
    tree
}

/// A reference with what a URI cannot have percent-encoded.
fn escaped(reference: &str) -> String {
    let mut out = String::with_capacity(reference.len());
    let mut fragment = false;
    for (at, c) in reference.char_indices() {
        let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let allowed = match c {
            '#' => !std::mem::replace(&mut fragment, true),
            '%' => reference.get(at + 1..at + 3).is_some_and(hexadecimal),
            '[' | ']' => !fragment,
            '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`' | ' ' => false,
            c => c.is_ascii_graphic(),
        };
        if allowed {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A segment of a reference as people write it.
pub(crate) fn decoded(segment: &str) -> String {
    let segment = percent_decode_str(segment).decode_utf8_lossy();
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests;
