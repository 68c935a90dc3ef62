//! Arguments that a client sent as JSON text, where the schema of the tool wants something else.
//!
//! Some clients, and some models, write `"{\\"a\\": 1}"` for an object and `"2"` for a number. Where a text is not
//! allowed there is no doubt what was meant, if the text is JSON of the kind that is; the numbers in it are
//! those that were written.

use provara_core::json::{self, Value as Json};
use rmcp::model::JsonObject;
use serde_json::Value;

use crate::args::{self, Arguments};
use crate::exact::Exact;
use crate::refusal::Refusal;
use crate::shown::{Dialect, Index, Place};

/// What the members of an event's data may be, by the whole of its type's schema: a schema for [`take_texts`], of
/// properties with their `type`. What is shown of the type may be shortened, and how far depends on what else is
/// installed; what a call means must not.
pub(crate) fn wanted<'s>(root: &'s Value, index: &Index<'s>) -> JsonObject {
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

/// Takes the texts among the arguments that stand for something else.
pub(crate) fn take_texts(
    schema: &JsonObject,
    arguments: &mut Arguments,
    exact: &mut Option<Exact>,
) -> Result<(), Refusal> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    let mut taken: Vec<(String, Json<'static>)> = Vec::new();
    for (name, value) in arguments.iter() {
        let (Some(text), Some(wanted)) = (value.as_str(), properties.get(name)) else {
            continue;
        };
        let kinds = kinds_alone(wanted);
        if !kinds.is_empty() && !kinds.contains(&"string") {
            taken.push((name.clone(), meant(name, text, wanted, &kinds)?));
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    let mut tree = match exact {
        Some(exact) => exact.arguments(),
        None => args::tree(&Value::Object(arguments.clone())),
    };
    for (name, value) in taken {
        let text = String::from_utf8(provara_core::canonical::compact(&value)).unwrap_or_default();
        // A number that has no tree is judged by how it was written.
        let read = serde_json::from_str(&text).unwrap_or(Value::Null);
        arguments.insert(name.clone(), read);
        if let Json::Object(members) = &mut tree
            && let Some((_, member)) = members.iter_mut().find(|(key, _)| *key == name)
        {
            *member = value;
        }
    }
    *exact = Some(Exact::new(tree));
    Ok(())
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
fn kinds_alone(schema: &Value) -> Vec<&str> {
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

fn meant(name: &str, text: &str, schema: &Value, kinds: &[&str]) -> Result<Json<'static>, Refusal> {
    let found = json::parse(text.trim().as_bytes());
    if let Ok(value) = found
        && kinds.iter().any(|kind| is_of(&value, kind))
    {
        return Ok(value.into_owned());
    }
    // A text where a list of texts is wanted can only be one of them.
    let items = schema.get("items").map(kinds_alone).unwrap_or_default();
    if kinds == ["array"] && items == ["string"] {
        return Ok(Json::Array(vec![Json::String(text.to_owned().into())]));
    }
    let wanted: Vec<_> = kinds.iter().map(|kind| in_words(kind)).collect();
    let wanted = wanted.join(" or ");
    Err(Refusal::new(
        &format!(
            "'{}' came as a text, and the text is not JSON of {wanted}.",
            provara_plugins::text::inline(name)
        ),
        &format!("Give {wanted} itself, not a text of it."),
    ))
}

fn is_of(value: &Json<'_>, kind: &str) -> bool {
    match (value, kind) {
        (Json::Object(_), "object")
        | (Json::Array(_), "array")
        | (Json::Bool(_), "boolean")
        | (Json::Null, "null")
        | (Json::Number(_), "number") => true,
        (Json::Number(token), "integer") => token
            .parse::<f64>()
            .is_ok_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "object" => "an object",
        "array" => "an array",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "null" => "null",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> JsonObject {
        let schema = json!({"properties": {
            "data": {"type": "object"}, "limit": {"type": "integer"}, "strict": {"type": "boolean"},
            "where": {"type": "array", "items": {"type": "string"}}, "any": {}, "text": {"type": "string"},
            "either": {"type": ["string", "object"]}, "few": {"type": ["number", "null"]},
            "optional": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null},
            "nested": {"oneOf": [{"anyOf": [{"type": "boolean"}]}, {"const": null}]},
            "one_of": {"enum": [1, 2, null]}, "always": {"const": true},
            "both": {"allOf": [{"minimum": 1}, {"type": "number"}]},
            "open": {"anyOf": [{"type": "integer"}, {"minLength": 1}]},
            "word": {"anyOf": [{"type": "integer"}, {"const": "all"}]}
        }});
        match schema {
            Value::Object(schema) => schema,
            _ => unreachable!(),
        }
    }

    fn taken(arguments: Value) -> Result<(Value, Option<String>), String> {
        let mut arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => unreachable!(),
        };
        let mut exact = None;
        take_texts(&schema(), &mut arguments, &mut exact).map_err(|refusal| refusal.0)?;
        let exact = exact.map(|exact| provara_core::canonical::compact(&exact.arguments()));
        let exact = exact.map(|bytes| String::from_utf8(bytes).unwrap());
        Ok((Value::Object(arguments), exact))
    }

    #[test]
    fn what_there_is_no_doubt_of() {
        let given = json!({"data": "{\"n\": 9007199254740993}", "limit": "2", "strict": "true", "few": "null"});
        let (arguments, exact) = taken(given).unwrap();
        assert_eq!(
            arguments,
            json!({"data": {"n": 9_007_199_254_740_993_u64}, "limit": 2, "strict": true, "few": null})
        );
        let exact = exact.unwrap();
        assert!(
            exact.contains("9007199254740993") && exact.contains("\"limit\":2"),
            "{exact}"
        );
        let (arguments, _) = taken(json!({"where": "[\"a\"]"})).unwrap();
        assert_eq!(arguments, json!({"where": ["a"]}));
        let (arguments, _) = taken(json!({"where": "payload.x > 1"})).unwrap();
        assert_eq!(arguments, json!({"where": ["payload.x > 1"]}));
    }

    #[test]
    fn kinds_are_told_in_many_ways() {
        let given = json!({
            "optional": "2", "nested": "true", "one_of": "2", "always": "true", "both": "1.5"
        });
        let (arguments, _) = taken(given).unwrap();
        let read = json!({"optional": 2, "nested": true, "one_of": 2, "always": true, "both": 1.5});
        assert_eq!(arguments, read);
        let (arguments, _) = taken(json!({"optional": "null", "nested": "null"})).unwrap();
        assert_eq!(arguments, json!({"optional": null, "nested": null}));
        let refusal = taken(json!({"optional": "two"})).unwrap_err();
        assert!(
            refusal.contains("not JSON of a whole number or null"),
            "{refusal}"
        );
        // As deep as it may be, and deeper.
        let mut deep = json!({"type": "integer"});
        for _ in 0..MAX_DEPTH {
            deep = json!({"anyOf": [deep]});
        }
        assert_eq!(kinds_alone(&deep), ["integer"]);
        assert!(kinds_alone(&json!({"anyOf": [deep]})).is_empty());
    }

    #[test]
    fn what_may_be_a_text_stays_one() {
        let given = json!({
            "any": "{}", "text": "1", "either": "{}", "unknown": "2", "limit": 3, "open": "2", "word": "2"
        });
        assert_eq!(taken(given.clone()).unwrap(), (given, None));
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

    #[test]
    fn what_is_something_else_is_refused() {
        for given in [
            json!({"data": "[1]"}),
            json!({"data": "{"}),
            json!({"data": "{\"a\":1,\"a\":2}"}),
            json!({"limit": "2.5"}),
            json!({"limit": "two"}),
            json!({"strict": "yes"}),
        ] {
            let refusal = taken(given.clone()).unwrap_err();
            assert!(refusal.contains("came as a text"), "{given}: {refusal}");
        }
    }
}
