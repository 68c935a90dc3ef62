//! The form of what programs read (`--json`): the schema that a result names, and errors as JSON.
//!
//! `schemas/` of the repository holds a JSON Schema for each name. Where a command's result is an object of
//! ours, its first member `schema` is that name; beliefs, summaries and events are printed as they are hashed
//! or signed, without it. Why a command failed is one line of JSON, the last on stderr; notes and warnings before it
//! are for people.

use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use provara_report::{Class, Diagnostic, Parts};
use serde::Serialize;

use crate::exit_code;

/// The schema of errors.
const ERROR: &str = "provara.error.v1";

static JSON: AtomicBool = AtomicBool::new(false);
static SCHEMA: OnceLock<&'static str> = OnceLock::new();

/// Looks for `--json` among the words, since a command line that is not understood is refused in the form that
/// it asks for, too.
pub(crate) fn choose(typed: &[OsString]) {
    let mut words = typed.iter().skip(1).take_while(|word| *word != "--");
    JSON.store(words.any(|word| word == "--json"), Ordering::Relaxed);
}

/// Names the schema of the command's result.
pub(crate) fn name_schema(name: &'static str) {
    // Set once: a process runs one command.
    let _ = SCHEMA.set(name);
}

/// Whether the command is for a program.
pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// A result as one line of JSON that names its schema.
pub(crate) fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(1024);
    add_line(&mut line, value)?;
    Ok(line)
}

/// Adds such a line to `text`.
pub(crate) fn add_line<T: Serialize>(text: &mut Vec<u8>, value: &T) -> io::Result<()> {
    let start = text.len();
    serde_json::to_writer(&mut *text, value)?;
    if let Some(schema) = SCHEMA.get()
        && text.get(start) == Some(&b'{')
    {
        let comma = if text[start + 1] == b'}' { "" } else { "," };
        let member = format!("\"schema\":\"{schema}\"{comma}");
        text.splice(start + 1..=start, member.into_bytes());
    }
    text.push(b'\n');
    Ok(())
}

/// Why a command failed.
#[derive(Serialize)]
struct Failure {
    schema: &'static str,
    /// Who must act.
    class: &'static str,
    exit_code: u8,
    message: String,
    details: Vec<String>,
    fix: Option<String>,
}

/// The failure that ends a command, as one line without its end.
pub(crate) fn failure(failure: &Diagnostic) -> String {
    let class = match failure.class() {
        Class::Evidence => "evidence",
        Class::Usage => "usage",
        Class::Unavailable => "unavailable",
        Class::Plugin => "plugin",
        Class::Interrupted(_) => "interrupted",
    };
    let Parts {
        headline,
        details,
        fix,
    } = failure.parts();
    let told = Failure {
        schema: ERROR,
        class,
        exit_code: exit_code::number(failure.class()),
        message: headline,
        details,
        fix,
    };
    serde_json::to_string(&told).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_text_is_taken_apart() {
        let text = "ERROR: no.\n  why\nFix: go.".to_owned();
        let given = Diagnostic::verbatim(Class::Plugin, vec![text]);
        let told: serde_json::Value = serde_json::from_str(&failure(&given)).unwrap();
        assert_eq!(
            (&told["message"], &told["fix"]),
            (&"no.".into(), &"go.".into())
        );
        assert_eq!(told["details"], serde_json::json!(["why"]));
        assert_eq!(
            (&told["class"], &told["exit_code"]),
            (&"plugin".into(), &4.into())
        );
    }

    #[test]
    fn json_is_asked_for_before_the_double_dash() {
        let typed = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        choose(&typed(&["provara", "verify", "--", "--json"]));
        assert!(!is_json());
        choose(&typed(&["provara", "verify", "v", "--json"]));
        assert!(is_json());
        choose(&[]);
    }

    #[test]
    fn the_schema_is_the_first_member() {
        name_schema("provara.test.v1");
        let schema = r#""schema":"provara.test.v1""#;
        let value = serde_json::json!({"a": 1});
        let expected = format!("{{{schema},\"a\":1}}\n");
        assert_eq!(line(&value).unwrap(), expected.into_bytes());
        let empty = line(&serde_json::json!({})).unwrap();
        assert_eq!(empty, format!("{{{schema}}}\n").into_bytes());
    }
}
