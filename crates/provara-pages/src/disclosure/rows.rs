//! A payload as a list that people read.

use provara_core::json::{self, Value};

/// What stands between the names of a way into a payload.
const INTO: &str = " \u{203a} ";

/// Each value of a payload with the way to it, numbers as they were signed; items of lists are counted from 1.
pub(super) fn rows(payload: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Ok(value) = json::parse(payload) {
        collect(&value, "", &mut found);
    }
    found
}

fn collect(value: &Value<'_>, way: &str, found: &mut Vec<(String, String)>) {
    let into = |name: &str| match way {
        "" => name.to_owned(),
        way => format!("{way}{INTO}{name}"),
    };
    let mut leaf = |text: &str| found.push((way.to_owned(), text.to_owned()));
    match value {
        Value::String(text) => leaf(text),
        Value::Object(members) if members.is_empty() => leaf("(nothing)"),
        Value::Array(items) if items.is_empty() => leaf("(an empty list)"),
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, &into(name), found);
            }
        }
        Value::Array(items) => {
            for (at, value) in (1..).zip(items) {
                collect(value, &into(&format!("{at}")), found);
            }
        }
        Value::Number(token) => leaf(token),
        Value::Bool(value) => leaf(if *value { "true" } else { "false" }),
        Value::Null => leaf("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_and_values() {
        let payload = br#"{"a":{"b":[1.50,{"c":"x"}],"d":{}},"e":[],"f":null,"g":true}"#;
        let found = rows(payload);
        let found: Vec<_> = found
            .iter()
            .map(|(way, it)| (way.as_str(), it.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("a › b › 1", "1.50"),
                ("a › b › 2 › c", "x"),
                ("a › d", "(nothing)"),
                ("e", "(an empty list)"),
                ("f", "null"),
                ("g", "true"),
            ]
        );
        assert_eq!(rows(b"{}"), [(String::new(), "(nothing)".to_owned())]);
    }
}
