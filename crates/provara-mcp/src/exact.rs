//! The numbers of a call as they were written.
//!
//! The protocol's library reads a number as 64 bits and no longer knows what was written. What an event
//! takes is decided by what was written, so the arguments of a call that has a number which would be
//! changed, or lose digits, go with the request a second time.

use std::borrow::Cow;
use std::sync::Arc;

use provara_core::canonical;
use provara_core::json::{self, Value};
use provara_core::number_rule::{EventNumber, NumberFault, Spelling};
use rmcp::model::Extensions;

/// The arguments of a call as they were written; attached to the request.
#[derive(Debug, Clone)]
pub(crate) struct Exact(Arc<Value<'static>>);

impl Exact {
    pub(crate) fn new(arguments: Value<'static>) -> Self {
        Self(Arc::new(arguments))
    }

    /// The arguments.
    pub(crate) fn arguments(&self) -> Value<'static> {
        (*self.0).clone()
    }
}

/// The arguments that are attached to a request, or to the HTTP request in which it came.
pub(crate) fn attached(extensions: &Extensions) -> Option<Exact> {
    let head = || extensions.get::<http::request::Parts>()?.extensions.get();
    extensions.get().or_else(head).cloned()
}

/// What the protocol's library is to read of a message, and the arguments of it that would be changed on
/// the way. A number that no 64 bits hold, which the library would not read, is null for it.
pub(crate) fn of(text: &[u8]) -> (Cow<'_, [u8]>, Option<Exact>) {
    let as_it_is = (Cow::Borrowed(text), None);
    // What is no message is answered by whoever reads it.
    let Ok(mut message) = json::parse(text) else {
        return as_it_is;
    };
    if message.get("method").and_then(Value::as_str) != Some("tools/call") {
        return as_it_is;
    }
    let params = member(&mut message, "params");
    let Some(arguments) = params.and_then(|params| member(params, "arguments")) else {
        return as_it_is;
    };
    let mut found = Found::default();
    found.look(arguments);
    if !found.changed {
        return as_it_is;
    }
    let exact = Exact(Arc::new(arguments.clone().into_owned()));
    if !found.unreadable {
        return (Cow::Borrowed(text), Some(exact));
    }
    without_unreadable(arguments);
    (Cow::Owned(canonical::compact(&message)), Some(exact))
}

fn member<'v, 'a>(value: &'v mut Value<'a>, name: &str) -> Option<&'v mut Value<'a>> {
    let Value::Object(members) = value else {
        return None;
    };
    let found = members.iter_mut().find(|(key, _)| key == name);
    found.map(|(_, value)| value)
}

/// The numbers that there are.
#[derive(Default)]
struct Found {
    /// One that 64 bits do not hold as it was written.
    changed: bool,
    /// One that the protocol's library does not read.
    unreadable: bool,
}

impl Found {
    fn look(&mut self, value: &Value<'_>) {
        match value {
            Value::Number(token) => match EventNumber::of(token) {
                Ok(number) => self.changed |= number.spelling() != Spelling::Same,
                Err(fault) => {
                    self.changed = true;
                    self.unreadable |= fault == NumberFault::OutOfRange;
                }
            },
            Value::Array(items) => items.iter().for_each(|item| self.look(item)),
            Value::Object(members) => members.iter().for_each(|(_, member)| self.look(member)),
            _ => {}
        }
    }
}

fn without_unreadable(value: &mut Value<'_>) {
    match value {
        Value::Number(token) if EventNumber::of(token) == Err(NumberFault::OutOfRange) => {
            *value = Value::Null;
        }
        Value::Array(items) => items.iter_mut().for_each(without_unreadable),
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(_, member)| without_unreadable(member)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> (String, Option<String>) {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        let (read, exact) = of(text.as_bytes());
        let told = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let exact = exact.map(|exact| told(&canonical::compact(&exact.arguments())));
        (told(&read), exact)
    }

    #[test]
    fn what_64_bits_hold_goes_once() {
        for arguments in ["{}", r#"{"a":[1.0,-0,9007199254740991,1.5e300,"1e400"]}"#] {
            let (text, exact) = read(arguments);
            assert!(text.contains(arguments) && exact.is_none(), "{arguments}");
        }
        let other = br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":9007199254740993}}"#;
        assert!(of(other).1.is_none());
        assert!(of(b"nonsense").1.is_none());
    }

    #[test]
    fn what_would_be_changed_goes_as_it_was_written() {
        for arguments in [
            r#"{"a":9007199254740993}"#,
            r#"{"a":[{"b":0.10000000000000001}]}"#,
            r#"{"a":12345678901234567.89}"#,
            r#"{"a":1e-400}"#,
            r#"{"a":18014398509481984}"#,
        ] {
            let (text, exact) = read(arguments);
            assert!(text.contains(arguments), "{text}");
            assert_eq!(exact.as_deref(), Some(arguments));
        }
        let (text, exact) = read(r#"{"a":[1e400,1]}"#);
        assert!(text.contains(r#"{"a":[null,1]}"#), "{text}");
        assert_eq!(exact.as_deref(), Some(r#"{"a":[1e400,1]}"#));
    }
}
