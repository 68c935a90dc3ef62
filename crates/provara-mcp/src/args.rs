//! Arguments of calls: checked against the tool's schema, then read.

use provara_core::json::Value as Json;
use provara_core::number::es_number;
use provara_plugins::schema::{CompiledSchema, SchemaViolations};
use provara_report::{Class, Diagnostic};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The integers that every JSON reader keeps.
const SAFE: f64 = 9_007_199_254_740_992.0;

/// What a client may send for one call.
pub(crate) type Arguments = Map<String, Value>;

/// Checks the arguments of a built-in tool.
pub(crate) fn check(
    tool: &str,
    schema: &CompiledSchema,
    arguments: &Arguments,
) -> Result<(), Refusal> {
    let tree = Value::Object(arguments.clone());
    schema
        .validate(&evidence(&tree)?)
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

/// A value as it will be signed, with number tokens.
///
/// A transport that has read a number as binary64 no longer knows whether it was written with more
/// digits than fit. So every number that may have lost some is refused; integers that were kept whole are
/// left to the canonical form.
pub(crate) fn evidence(value: &Value) -> Result<Json<'static>, Refusal> {
    exact(value).map_err(|path| {
        let path = path.strip_prefix('.').unwrap_or(&path);
        // Not which number: that is known no longer, or has 300 digits.
        Refusal::new(
            &format!("{path}: the number is beyond ±(2^53-1), too large to be kept exactly."),
            "Write the number as a string, for example \"12345678901234567890\".",
        )
    })
}

/// As [`evidence`]; or where the first number stands that may have lost digits.
fn exact(value: &Value) -> Result<Json<'static>, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(bool) => Json::Bool(*bool),
        Value::String(text) => Json::String(text.clone().into()),
        Value::Number(number) => {
            let token = match number.as_f64() {
                Some(float) if number.is_f64() && float.abs() < SAFE => es_number(float),
                Some(_) if number.is_f64() => return Err(String::new()),
                _ => number.to_string(),
            };
            Json::Number(token.into())
        }
        Value::Array(items) => {
            let item = |(at, item)| exact(item).map_err(|path| format!("[{at}]{path}"));
            Json::Array(
                items
                    .iter()
                    .enumerate()
                    .map(item)
                    .collect::<Result<_, _>>()?,
            )
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match exact(value) {
                Ok(value) => Ok((name.clone().into(), value)),
                Err(path) => Err(format!(".{name}{path}")),
            };
            Json::Object(members.iter().map(member).collect::<Result<_, _>>()?)
        }
    })
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
    use provara_core::canonical::jcs;

    fn canonical(text: &str) -> Option<String> {
        let value = serde_json::from_str(text).unwrap();
        jcs(&evidence(&value).ok()?)
            .ok()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn numbers_are_kept_or_refused() {
        assert_eq!(
            canonical("[1,-0.0,1.5,1e-7]").as_deref(),
            Some("[1,0,1.5,1e-7]")
        );
        assert_eq!(
            canonical("9007199254740991").as_deref(),
            Some("9007199254740991")
        );
        for lost in [
            "9007199254740993",
            "12345678901234567890123",
            "1e300",
            "-9007199254740993",
        ] {
            assert_eq!(canonical(lost), None, "{lost}");
        }
        let lost = serde_json::json!({"a": 1, "b": [0, {"c": -1e300}]});
        let Refusal(text) = evidence(&lost).unwrap_err();
        assert!(
            text.starts_with("ERROR: b[1].c: the number is beyond ±(2^53-1), too large"),
            "{text}"
        );
    }
}
