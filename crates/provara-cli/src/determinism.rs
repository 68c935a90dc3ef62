//! Whether two runs of a reducer gave one result, and where they part.

use provara_core::canonical;
use provara_core::json::{self, Value};
use provara_report::{Class, Diagnostic};

/// The place where two results first differ, and what stands there in each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The path, such as `violations[3].score`; empty for the whole result.
    pub(crate) path: String,
    /// The first run's value as JSON, or `None` where it has none.
    pub(crate) first: Option<String>,
    /// The second run's value.
    pub(crate) second: Option<String>,
}

/// Two runs of a reducer over the same events gave two results.
pub(crate) fn not_deterministic(name: &str, difference: Difference) -> Diagnostic {
    let show = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    let place = match difference.path.as_str() {
        "" => "the whole result",
        path => path,
    };
    Diagnostic::new(
        Class::Plugin,
        format!("The reducer '{name}' gave two results for the same events."),
    )
    .detail(format!("First difference: {place}"))
    .detail(format!("One run:   {}", show(difference.first)))
    .detail(format!("The other: {}", show(difference.second)))
    .fix("Let the result depend on the events alone: sort sets, use no time and no randomness.")
}

/// Compares two results, each of which is canonical JSON.
pub(crate) fn difference(first: &[u8], second: &[u8]) -> Option<Difference> {
    if first == second {
        return None;
    }
    let (Ok(first), Ok(second)) = (json::parse(first), json::parse(second)) else {
        return Some(Difference {
            path: String::new(),
            first: None,
            second: None,
        });
    };
    Some(part(String::new(), Some(&first), Some(&second)))
}

/// Where two values that differ part. Members stand in canonical order, so that the first
/// difference is the same whichever run came first.
fn part(path: String, first: Option<&Value<'_>>, second: Option<&Value<'_>>) -> Difference {
    match (first, second) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<_> = a.iter().chain(b).map(|(key, _)| key.as_ref()).collect();
            keys.sort_by(|a, b| canonical::utf16_order(a, b));
            let parted = keys.into_iter().find_map(|key| {
                let find = |members: &[(_, Value<'_>)]| {
                    members
                        .iter()
                        .position(|(name, _): &(std::borrow::Cow<'_, str>, _)| name == key)
                };
                let (a, b) = (find(a).map(|at| &a[at].1), find(b).map(|at| &b[at].1));
                (a != b).then(|| {
                    let dot = if path.is_empty() { "" } else { "." };
                    part(format!("{path}{dot}{key}"), a, b)
                })
            });
            parted.unwrap_or(Difference {
                path,
                first: None,
                second: None,
            })
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            let at = (0..a.len().max(b.len())).find(|at| a.get(*at) != b.get(*at));
            let at = at.unwrap_or_default();
            part(format!("{path}[{at}]"), a.get(at), b.get(at))
        }
        _ => Difference {
            path,
            first: first.map(shown),
            second: second.map(shown),
        },
    }
}

/// A value as JSON, cut to what a line can hold.
fn shown(value: &Value<'_>) -> String {
    let text = String::from_utf8_lossy(&canonical::token_preserving(value)).into_owned();
    provara_plugins::text::shorten(&text, 60).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(first: &str, second: &str) -> Option<(String, String, String)> {
        let show = |side: Option<String>| side.unwrap_or_else(|| "nothing".to_owned());
        difference(first.as_bytes(), second.as_bytes())
            .map(|found| (found.path, show(found.first), show(found.second)))
    }

    #[test]
    fn the_first_differing_path_is_named() {
        let found = |path: &str, a: &str, b: &str| Some((path.into(), a.into(), b.into()));
        assert_eq!(parts(r#"{"a":1}"#, r#"{"a":1}"#), None);
        assert_eq!(parts("1", "2"), found("", "1", "2"));
        assert_eq!(
            parts(r#"{"a":[1,{"b":2}],"c":3}"#, r#"{"a":[1,{"b":4}],"c":5}"#),
            found("a[1].b", "2", "4")
        );
        assert_eq!(
            parts(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#),
            found("a[1]", "2", "nothing")
        );
        assert_eq!(
            parts(r#"{"b":1}"#, r#"{"a":1,"b":1}"#),
            found("a", "nothing", "1")
        );
        assert_eq!(parts(r#"{"a":{}}"#, r#"{"a":[]}"#), found("a", "{}", "[]"));
        let long = format!("{:?}", "x".repeat(100));
        assert_eq!(parts(&long, "1").unwrap().1.chars().count(), 61);
    }
}
