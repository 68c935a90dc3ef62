//! Where the references of a schema lead. Nothing is fetched: what stands neither in the document nor in one that
//! the plugin brings is not there.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::dialect::Dialect;

/// The parts of a schema that have an address of their own.
#[derive(Debug, Default)]
pub(crate) struct Index<'s> {
    /// By absolute address, without a fragment.
    resources: HashMap<String, &'s Value>,
    /// By the address of the resource and the anchor's name.
    anchors: HashMap<(String, String), &'s Value>,
}

/// A subschema, and what its own references are relative to.
#[derive(Debug, Clone)]
pub(crate) struct Place<'s> {
    pub(crate) schema: &'s Value,
    /// The address of the resource that it stands in.
    pub(crate) base: String,
    pub(crate) dialect: Dialect,
}

/// The deepest that addresses are looked for.
const DEEPEST: usize = 64;

impl<'s> Index<'s> {
    /// Looks through a document, and through the further ones that its references may lead to: an object, by
    /// URI, where a relative one is meant from that of the document. A value that only looks like a schema may
    /// be among them; it does no harm.
    pub(crate) fn of(root: &'s Value, further: &'s Value) -> Self {
        let mut index = Self::default();
        index.resources.insert(String::new(), root);
        index.look(root, "", 0);
        let base = Place::root(root).base;
        for (uri, schema) in further.as_object().into_iter().flatten() {
            let address = join(&base, uri.split('#').next().unwrap_or_default());
            index.resources.entry(address.clone()).or_insert(schema);
            index.look(schema, &address, 0);
        }
        index
    }

    fn look(&mut self, value: &'s Value, base: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|it| self.look(it, base, depth + 1)),
            Value::Object(members) => {
                let base = self.names(value, base);
                for (name, member) in members {
                    if !matches!(name.as_str(), "enum" | "const" | "default" | "examples") {
                        self.look(member, &base, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes in the names that a subschema gives itself; gives the base for what stands in it.
    fn names(&mut self, schema: &'s Value, base: &str) -> String {
        let mut base = base.to_owned();
        if let Some(id) = own_id(schema) {
            let (address, fragment) = id.split_once('#').unwrap_or((id, ""));
            if !address.is_empty() {
                base = join(&base, address);
                self.resources.entry(base.clone()).or_insert(schema);
            }
            if !fragment.is_empty() {
                let anchor = (base.clone(), fragment.to_owned());
                self.anchors.entry(anchor).or_insert(schema);
            }
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = schema.get(keyword).and_then(Value::as_str) {
                let anchor = (base.clone(), name.to_owned());
                self.anchors.entry(anchor).or_insert(schema);
            }
        }
        base
    }

    /// What a reference at this place leads to.
    pub(crate) fn resolve(&self, reference: &str, from: &Place<'s>) -> Option<Place<'s>> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = match address {
            "" => from.base.clone(),
            address => join(&from.base, address),
        };
        let resource = *self.resources.get(&base)?;
        let dialect = dialect_in(resource).unwrap_or(from.dialect);
        let start = Place {
            schema: resource,
            base,
            dialect,
        };
        let fragment = percent_decode_str(fragment).decode_utf8().ok()?;
        if fragment.is_empty() {
            return Some(start);
        }
        if !fragment.starts_with('/') {
            let name = (start.base.clone(), fragment.into_owned());
            let schema = *self.anchors.get(&name)?;
            return Some(Place { schema, ..start });
        }
        let mut place = start;
        for token in fragment.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match place.schema {
                Value::Object(members) => members.get(&token)?,
                Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
            place = place.into_part(next);
        }
        (place.schema.is_object() || place.schema.is_boolean()).then_some(place)
    }
}

impl<'s> Place<'s> {
    /// The place of the document's root.
    pub(crate) fn root(schema: &'s Value) -> Self {
        let place = Self {
            schema,
            base: String::new(),
            dialect: dialect_in(schema).unwrap_or(Dialect::Draft202012),
        };
        place.clone().into_part(schema)
    }

    /// The place of a part of this one.
    pub(crate) fn into_part(self, schema: &'s Value) -> Self {
        let address = own_id(schema).map(|id| id.split('#').next().unwrap_or_default());
        let base = match address {
            Some(address) if !address.is_empty() => join(&self.base, address),
            _ => self.base,
        };
        let dialect = dialect_in(schema).unwrap_or(self.dialect);
        Self {
            schema,
            base,
            dialect,
        }
    }
}

/// The id that a subschema gives itself, in whichever keyword.
fn own_id(schema: &Value) -> Option<&str> {
    let id = schema.get("$id").or_else(|| schema.get("id"));
    id.and_then(Value::as_str)
}

fn dialect_in(schema: &Value) -> Option<Dialect> {
    schema
        .get("$schema")
        .and_then(Value::as_str)
        .and_then(Dialect::of)
}

/// An address relative to another one (RFC 3986, section 5.2, without dot segments, which ids do not have).
fn join(base: &str, address: &str) -> String {
    let has_scheme = address.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if has_scheme || base.is_empty() {
        return address.to_owned();
    }
    // Of an address with an authority the path begins at the first slash after it.
    let path = match base.find("://") {
        Some(at) => base[at + 3..]
            .find('/')
            .map_or(base.len(), |slash| at + 3 + slash),
        None => 0,
    };
    match address.starts_with('/') {
        true => format!("{}{address}", &base[..path]),
        false => {
            let folder = base[path..]
                .rfind('/')
                .map_or(path, |slash| path + slash + 1);
            format!("{}{address}", &base[..folder])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined() {
        for (base, address, joined) in [
            ("", "a.json", "a.json"),
            ("https://e.org/s/a.json", "b.json", "https://e.org/s/b.json"),
            ("https://e.org/s/a.json", "/b.json", "https://e.org/b.json"),
            ("https://e.org/s/a.json", "urn:x:y", "urn:x:y"),
            ("a.json", "b.json", "b.json"),
            ("s/a.json", "b.json", "s/b.json"),
        ] {
            assert_eq!(join(base, address), joined);
        }
    }
}
