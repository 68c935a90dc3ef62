//! The form of what programs read (`--json`): the schema that a result names, and messages as JSON.
//!
//! `schemas/` of the repository holds a JSON Schema for each name. Where a command's result is an object of
//! ours, its first member `schema` is that name; beliefs, summaries and events are printed as they are hashed
//! or signed, without it. What a command would say on stderr is a line of JSON there, of one shape.

use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use provara_report::{Class, Diagnostic, ERROR_LABEL, FIX_LABEL, Parts};
use serde::Serialize;

use crate::exit_code;

/// The schema of messages.
const MESSAGE: &str = "provara.message.v1";

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

/// Whether messages are for programs.
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

/// Something that is told beside the result.
#[derive(Serialize)]
struct Message<'a> {
    schema: &'static str,
    level: &'static str,
    message: String,
    details: Vec<String>,
    fix: Option<String>,
    /// Who must act, where the command failed.
    class: Option<&'a str>,
    exit_code: Option<u8>,
}

/// The failure that ends a command.
pub(crate) fn failure(failure: &Diagnostic) -> String {
    let class = match failure.class() {
        Class::Evidence => "evidence",
        Class::Usage => "usage",
        Class::Unavailable => "unavailable",
        Class::Plugin => "plugin",
        Class::Interrupted(_) => "interrupted",
    };
    let code = exit_code::number(failure.class());
    told("error", failure.parts(), Some((class, code)))
}

/// A text that was made for people.
pub(crate) fn message(text: &str) -> String {
    let labels = [("warning", "WARNING:"), ("note", "note:")];
    let found = labels.iter().find(|(_, label)| text.starts_with(label));
    let (level, label) = found.unwrap_or(&("error", ERROR_LABEL));
    told(level, Parts::of_text(text, label, FIX_LABEL), None)
}

fn told(level: &'static str, parts: Parts, failed: Option<(&str, u8)>) -> String {
    let message = Message {
        schema: MESSAGE,
        level,
        message: parts.headline,
        details: parts.details,
        fix: parts.fix,
        class: failed.map(|(class, _)| class),
        exit_code: failed.map(|(_, code)| code),
    };
    serde_json::to_string(&message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_people_is_taken_apart() {
        for (text, level, message, fix) in [
            ("WARNING: it rains.", "warning", "it rains.", None),
            ("note: it is late", "note", "it is late", None),
            ("ERROR: no.\n  line\nFix: go.", "error", "no.", Some("go.")),
        ] {
            let told: serde_json::Value = serde_json::from_str(&super::message(text)).unwrap();
            assert_eq!(told["level"], level);
            assert_eq!(told["message"], message);
            assert_eq!(told["fix"].as_str(), fix);
        }
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
