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
use crate::shown::kinds_alone;

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
    }

    #[test]
    fn what_may_be_a_text_stays_one() {
        let given = json!({
            "any": "{}", "text": "1", "either": "{}", "unknown": "2", "limit": 3, "open": "2", "word": "2"
        });
        assert_eq!(taken(given.clone()).unwrap(), (given, None));
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
