//! What the members of an event's data may be, whatever is shown of them.

use rmcp::model::JsonObject;
use serde_json::Value;

use super::dialect::Dialect;
use super::index::{Index, Place};

/// What the members of an event's data may be, by the whole of its type's schema: a schema for
/// `given::take_texts`, of
/// properties with their `type`. What is shown of the type may be shortened, and how far depends on what else is
/// installed; what a call means must not.
pub(super) fn wanted<'s>(root: &'s Value, index: &Index<'s>) -> JsonObject {
    let mut properties = JsonObject::new();
    let mut place = Some(Place::root(root));
    for _ in 0..MAX_DEPTH {
        let Some(at) = place.take() else { break };
        let reference = at.schema.get("$ref").and_then(Value::as_str);
        place = reference.and_then(|reference| index.resolve(reference, &at));
        if place.is_some() && at.dialect <= Dialect::Draft7 {
            continue;
        }
        let named = at.schema.get("properties").and_then(Value::as_object);
        for (name, schema) in named.into_iter().flatten() {
            let place = at.clone().into_part(schema);
            let mut wanted =
                JsonObject::from_iter([("type".to_owned(), kinds(&place, index).into())]);
            if let Some(items) = schema.get("items") {
                let items = kinds(&place.into_part(items), index);
                wanted.insert("items".to_owned(), serde_json::json!({"type": items}));
            }
            properties.entry(name.as_str()).or_insert(wanted.into());
        }
    }
    JsonObject::from_iter([("properties".to_owned(), properties.into())])
}

/// How many schemas inside one another are looked into, references among them.
const MAX_DEPTH: usize = 16;

/// How many schemas are looked into for one value: where references share their targets, there is no other end.
const MAX_LOOKED: usize = 10_000;

/// The kinds of values that a schema names, by `type`, by the values themselves, in each of its branches, or where
/// its reference leads; none where it names none.
fn kinds<'s>(place: &Place<'s>, index: &Index<'s>) -> Vec<&'s str> {
    let mut left = MAX_LOOKED;
    kinds_within(place, index, 0, &mut left)
}

/// The same of a schema without references.
pub(crate) fn kinds_alone(schema: &Value) -> Vec<&str> {
    kinds(&Place::root(schema), &Index::default())
}

fn kinds_within<'s>(
    place: &Place<'s>,
    index: &Index<'s>,
    depth: usize,
    left: &mut usize,
) -> Vec<&'s str> {
    if depth > MAX_DEPTH || *left == 0 {
        return Vec::new();
    }
    *left -= 1;
    let schema = place.schema;
    let list = |name: &str| schema.get(name).and_then(Value::as_array);
    let mut inside = |place: &Place<'s>| kinds_within(place, index, depth + 1, left);
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = index.resolve(reference, place);
        let found = target.map(|target| inside(&target)).unwrap_or_default();
        // Until draft-07 what stands beside a reference is not there.
        if !found.is_empty() || place.dialect <= Dialect::Draft7 {
            return found;
        }
    }
    let mut found = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => {
            let constant = schema.get("const");
            if let Some(value) = constant.filter(|_| place.dialect > Dialect::Draft4) {
                vec![kind_of(value)]
            } else if let Some(values) = list("enum") {
                values.iter().map(kind_of).collect()
            } else if let Some(branches) = list("anyOf").or_else(|| list("oneOf")) {
                let mut found = Vec::new();
                for branch in branches {
                    let kinds = inside(&place.clone().into_part(branch));
                    // A branch that names none takes all.
                    if kinds.is_empty() {
                        return Vec::new();
                    }
                    found.extend(kinds);
                }
                found
            } else {
                // Each holds: the first that names some is as good as any.
                let mut parts = list("allOf").into_iter().flatten();
                let found = parts.find_map(|part| {
                    let kinds = inside(&place.clone().into_part(part));
                    (!kinds.is_empty()).then_some(kinds)
                });
                found.unwrap_or_default()
            }
        }
    };
    let mut seen = Vec::new();
    found.retain(|kind| {
        !seen.contains(kind) && {
            seen.push(*kind);
            true
        }
    });
    found
}

/// The kind of a value that a schema names.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_looked_into_up_to_a_depth() {
        let mut deep = json!({"type": "integer"});
        for _ in 0..MAX_DEPTH {
            deep = json!({"anyOf": [deep]});
        }
        assert_eq!(kinds_alone(&deep), ["integer"]);
        assert!(kinds_alone(&json!({"anyOf": [deep]})).is_empty());
    }

    #[test]
    fn references_are_followed_in_the_whole_schema() {
        let of = |schema: Value| {
            let further = json!({"more.json": {"type": "boolean"}});
            Value::Object(wanted(&schema, &Index::of(&schema, &further)))
        };
        let defs = json!({
            "Data": {"properties": {"a": {"oneOf": [{"$ref": "#/$defs/One"}, {"type": "null"}]}}},
            "One": {"allOf": [{"minimum": 1}, {"$ref": "#/$defs/Two"}]},
            "Two": {"type": "integer"},
            "Round": {"anyOf": [{"$ref": "#/$defs/Round"}, {"$ref": "#/$defs/Round"}]}
        });
        let data = json!({"$ref": "#/$defs/Data", "$defs": defs, "properties": {
            "b": {"type": "array", "items": {"$ref": "more.json"}},
            "c": {"$ref": "#/$defs/Round"}, "d": {"$ref": "#/$defs/none"}, "e": true
        }});
        let a = json!({"type": ["integer", "null"]});
        let expected = json!({"properties": {
            "a": a, "b": {"type": ["array"], "items": {"type": ["boolean"]}},
            "c": {"type": []}, "d": {"type": []}, "e": {"type": []}
        }});
        assert_eq!(of(data.clone()), expected);
        // Until draft-07 a reference is all that there is.
        let mut older = data;
        older["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        assert_eq!(of(older), json!({"properties": {"a": a}}));
        // What is shared is not looked into without end.
        let level = |n: usize| {
            let next = json!({"$ref": format!("#/$defs/{n}")});
            json!({"oneOf": vec![next; 50]})
        };
        let wide = json!({
            "properties": {"a": level(0)},
            "$defs": {"0": level(1), "1": level(2), "2": level(3), "3": level(4), "4": {"type": "null"}}
        });
        assert_eq!(of(wide), json!({"properties": {"a": {"type": []}}}));
    }
}
