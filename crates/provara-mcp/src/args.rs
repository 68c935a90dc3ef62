//! Arguments of calls: checked against the tool's schema, then read.

use provara_core::json::Value as Json;
use provara_core::number::{es_number, python_float};
use provara_core::number_rule::is_large_integer_token;
use provara_plugins::schema::{CompiledSchema, SchemaViolations};
use provara_report::{Class, Diagnostic};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// What a client may send for one call.
pub(crate) type Arguments = Map<String, Value>;

/// Checks the arguments of a built-in tool.
pub(crate) fn check(
    tool: &str,
    schema: &CompiledSchema,
    arguments: &Json<'_>,
) -> Result<(), Refusal> {
    schema
        .validate(arguments)
        .map_err(|violations| refusal(tool, &violations))
}

fn refusal(tool: &str, found: &SchemaViolations) -> Refusal {
    let headline = format!("The arguments of '{tool}' do not fit its schema.");
    let diagnostic = found.violations.iter().take(20).fold(
        Diagnostic::new(Class::Usage, headline),
        |diagnostic, violation| {
            diagnostic
                .detail(format!("Field: '{}'", violation.field))
                .detail(format!("Error: {}", violation.error))
        },
    );
    let diagnostic =
        diagnostic.fix("Correct the arguments; the tool's input schema says what it takes.");
    Refusal(diagnostic.to_string())
}

/// Arguments that the protocol's library has read, whose numbers were not changed by that.
pub(crate) fn tree(value: &Value) -> Json<'static> {
    match value {
        Value::Null => Json::Null,
        Value::Bool(bool) => Json::Bool(*bool),
        Value::String(text) => Json::String(text.clone().into()),
        Value::Number(number) => {
            let token = match number.as_f64() {
                Some(float) if number.is_f64() => of_float(float),
                _ => number.to_string(),
            };
            Json::Number(token.into())
        }
        Value::Array(items) => Json::Array(items.iter().map(tree).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (name.clone().into(), tree(value));
            Json::Object(members.iter().map(member).collect())
        }
    }
}

/// A token of a number that was not written as an integer, or as one that 64 bits do not hold.
fn of_float(float: f64) -> String {
    let token = es_number(float);
    match is_large_integer_token(&token) {
        // Nobody wrote these digits.
        true => python_float(float),
        false => token,
    }
}

/// A text that the schema has let through, if it was given.
pub(crate) fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

/// A number that the schema has let through, or what stands for its absence.
pub(crate) fn count(arguments: &Arguments, name: &str, absent: usize) -> usize {
    let given = arguments.get(name).and_then(Value::as_f64);
    // The schema bounds it far below what a float cannot count.
    given.map_or(absent, |number| number as usize)
}

/// Whether a switch is on.
pub(crate) fn flag(arguments: &Arguments, name: &str) -> bool {
    arguments
        .get(name)
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_core::canonical::event_form;

    #[test]
    fn numbers_are_kept() {
        let text = r#"{"a":[1,-0.0,1.5,1e-7,9007199254740991,1e300],"b":-5e-324}"#;
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(
            String::from_utf8(event_form(&tree(&value)).unwrap()).unwrap(),
            r#"{"a":[1,0,1.5,1e-7,9007199254740991,1e+300],"b":-5e-324}"#
        );
    }
}
