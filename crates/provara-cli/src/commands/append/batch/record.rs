//! One record of a batch: what it says, and why it is refused.

use std::borrow::Cow;

use provara_core::canonical::{CanonicalError, path_step};
use provara_core::event_type::EventType;
use provara_core::json::{self, Value};
use provara_core::namespace::Namespace;
use provara_core::number_policy::{Conversions, NumberPolicy};
use provara_core::number_rule::EventNumber;
use provara_explain::canonical_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::VaultError;

use super::place::{MAX_RECORD, Place, longest};
use super::rejected;
use super::wrapped::Array;

/// A record that was read as an event.
pub(super) struct Item<'a> {
    pub(super) event_type: EventType,
    pub(super) data: Value<'a>,
    pub(super) actor: Option<Cow<'a, str>>,
    pub(super) namespace: Option<Namespace>,
    pub(super) idempotency_key: Option<String>,
    /// What became of its numbers.
    pub(super) converted: Conversions,
}

/// What a record says, with the name of its type still to be resolved.
pub(super) struct Parsed<'a> {
    pub(super) type_name: Cow<'a, str>,
    pub(super) data: Value<'a>,
    pub(super) actor: Option<Cow<'a, str>>,
    pub(super) namespace: Option<Namespace>,
    pub(super) idempotency_key: Option<String>,
    /// What became of its numbers.
    pub(super) converted: Conversions,
}

/// The code of a failure to ask the plugins, which stands against every record of a custom type.
pub(super) const NO_PLUGINS: &str = "plugins";

/// The code of a line of refused records: the batch is the wrong file, and no line of it is a record.
const REFUSED_BEFORE: &str = "rejects";

/// Why a record is refused, in words and in one for programs.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) failure: Diagnostic,
}

impl Refusal {
    pub(super) fn new(code: &'static str, failure: Diagnostic) -> Self {
        Self { code, failure }
    }

    fn fix(mut self, fix: String) -> Self {
        self.failure = self.failure.fix(fix);
        self
    }

    /// Whether it is the record's own fault, so that others may well be taken.
    pub(super) fn is_of_record(&self) -> bool {
        self.failure.class() == Class::Usage && ![NO_PLUGINS, REFUSED_BEFORE].contains(&self.code)
    }
}

/// The code of what the vault refuses.
pub(super) fn code_of(error: &VaultError) -> &'static str {
    match error {
        VaultError::Canonical(_) => "number",
        VaultError::Payload(_) => "payload",
        VaultError::TooLarge { .. } => "too-long",
        VaultError::EmptyActor => "actor",
        VaultError::GenesisByHand | VaultError::ByCommand { .. } => "type",
        VaultError::IdempotencyKey { .. } | VaultError::KeyReused { .. } => "idempotency-key",
        _ => "event",
    }
}

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'f> {
    /// `{"type":…,"data":{…}}`.
    Whole,
    /// The data alone, of this type; the member of it that holds the record's idempotency key, if one does.
    Bare {
        type_name: &'f str,
        key: Option<&'f str>,
    },
}

/// Reads a record, and does with the numbers of its data what the policy says.
pub(super) fn parse<'l>(
    text: &'l [u8],
    place: Place,
    form: Form<'l>,
    policy: &NumberPolicy,
) -> Result<Parsed<'l>, Refusal> {
    if text.len() > MAX_RECORD {
        let headline = format!("The record is longer than {}.", longest());
        let fix = "Of a document with an array of records each is one with --records '.NAME'. Keep other bytes in \
                   a file, and put its name and SHA-256 into the event.";
        return Err(Refusal::new(
            "too-long",
            Diagnostic::new(Class::Usage, headline).fix(fix),
        ));
    }
    let wrong = |code, headline: String| {
        let fix = match form {
            Form::Whole => {
                "Write one JSON object a line: {\"type\":…,\"data\":{…}}, with \"actor\", \"namespace\" \
                 and \"idempotency_key\" where they are wanted. For records that are only data give --type; \
                 for a document with an array of them --records '.NAME'."
            }
            Form::Bare { .. } => {
                "Give one JSON object a line, or a document with --records '.NAME'."
            }
        };
        Refusal::new(code, Diagnostic::new(Class::Usage, headline).fix(fix))
    };
    let value = json::parse(text)
        .map_err(|error| wrong("json", format!("The record is not JSON: {error}.")))?;
    let Value::Object(members) = value else {
        let kind = value.kind_name();
        return Err(wrong(
            "object",
            format!("The record is {kind}, not a JSON object."),
        ));
    };
    if rejected::is_line(&members) {
        return Err(refused_before());
    }
    let (type_name, member) = match form {
        Form::Bare { type_name, key } => (type_name, key),
        Form::Whole => {
            let mut parsed = whole(members, &wrong)?;
            parsed.converted = policy.apply(&mut parsed.data);
            return Ok(parsed);
        }
    };
    let mut data = Value::Object(members);
    let converted = policy.apply(&mut data);
    let idempotency_key = match member {
        None => None,
        Some(member) => Some(match data.get(member) {
            Some(Value::String(text)) => text.clone().into_owned(),
            // As it stands in the event, so that what is the same event has the same key.
            Some(Value::Number(token)) => match EventNumber::of(token) {
                Ok(number) => number.token().to_owned(),
                Err(fault) => {
                    let error = CanonicalError::Number {
                        path: path_step(member),
                        token: token.to_string(),
                        fault,
                    };
                    return Err(Refusal::new("number", canonical_failure(&error, policy)));
                }
            },
            Some(other) => {
                let kind = other.kind_name();
                let headline = format!("'{member}' is {kind}, which is no idempotency key.");
                return Err(wrong("idempotency-key", headline).fix(another_member(member)));
            }
            None => {
                let headline = format!("'{member}', which holds the idempotency key, is missing.");
                let refusal = wrong("idempotency-key", headline);
                // An element of an array is in no document that could be named.
                let array = Array::of(&data).filter(|_| place.record.is_none());
                return Err(match array {
                    Some(array) => refusal.fix(array.fix()),
                    None => refusal.fix(another_member(member)),
                });
            }
        }),
    };
    Ok(Parsed {
        type_name: type_name.into(),
        data,
        actor: None,
        namespace: None,
        idempotency_key,
        converted,
    })
}

/// What helps where a record has no idempotency key in the member that was named.
fn another_member(member: &str) -> String {
    format!(
        "Name a member that is a text or a number in every record (--idempotency-key-from NAME), or give this record \
         such a '{member}'."
    )
}

/// A line that `--rejects` wrote. As data it would be evidence that nobody meant, so that it is refused also where any
/// object would do.
fn refused_before() -> Refusal {
    let headline =
        "It is a line of the file that --rejects wrote, and that file is itself no batch.";
    let fix = "Correct the refused records where they came from, and run that batch again, the whole of it if its \
               records have idempotency keys; without them make a batch of the refused records alone: each is the \
               member 'record' of its line, or 'text'.";
    Refusal::new(
        REFUSED_BEFORE,
        Diagnostic::new(Class::Usage, headline).fix(fix),
    )
}

fn whole<'l>(
    members: Vec<(Cow<'l, str>, Value<'l>)>,
    wrong: &impl Fn(&'static str, String) -> Refusal,
) -> Result<Parsed<'l>, Refusal> {
    let (mut type_name, mut data, mut actor, mut namespace) = (None, None, None, None);
    let mut idempotency_key = None;
    for (name, value) in members {
        match (&*name, value) {
            ("type", Value::String(text)) => type_name = Some(text),
            ("data", value @ Value::Object(_)) => data = Some(value),
            ("actor", Value::String(text)) => actor = Some(text),
            ("idempotency_key", Value::String(text)) => idempotency_key = Some(text.into_owned()),
            ("namespace", Value::String(text)) => {
                let parsed = super::super::namespace(&text);
                namespace = Some(parsed.map_err(|fix| {
                    let headline = format!("'{text}' is no namespace.");
                    Refusal::new("member", Diagnostic::new(Class::Usage, headline).fix(fix))
                })?);
            }
            ("idempotency_key", value) => {
                let kind = value.kind_name();
                let headline = format!("'{name}' is {kind}, not a string.");
                let fix = "Write it as a text: \"idempotency_key\":\"5\".";
                return Err(wrong("member", headline).fix(fix.to_owned()));
            }
            ("type" | "actor" | "namespace", value) => {
                let kind = value.kind_name();
                return Err(wrong(
                    "member",
                    format!("'{name}' is {kind}, not a string."),
                ));
            }
            ("data", value) => {
                let kind = value.kind_name();
                return Err(wrong(
                    "member",
                    format!("'data' is {kind}, not a JSON object."),
                ));
            }
            _ => {
                return Err(wrong(
                    "member",
                    format!("'{name}' is no member of a batch's record."),
                ));
            }
        }
    }
    let type_name = type_name.ok_or_else(|| wrong("member", "'type' is missing.".to_owned()))?;
    let data = data.ok_or_else(|| wrong("member", "'data' is missing.".to_owned()))?;
    Ok(Parsed {
        type_name,
        data,
        actor,
        namespace,
        idempotency_key,
        converted: Conversions::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_type_and_data_and_perhaps_more() {
        let full = r#" {"data":{"a":1},"type":"OBSERVATION","actor":"x","idempotency_key":"k","namespace":"local"} "#;
        let parsed = parse(
            full.as_bytes(),
            Place::default(),
            Form::Whole,
            &NumberPolicy::Exact,
        )
        .unwrap();
        assert_eq!(parsed.type_name, "OBSERVATION");
        assert_eq!(parsed.actor.as_deref(), Some("x"));
        assert_eq!(parsed.namespace, Some(Namespace::Local));
        assert_eq!(parsed.idempotency_key.as_deref(), Some("k"));
        for (line, code, word) in [
            ("[]", "object", "an array"),
            ("{", "json", "not JSON"),
            (r#"{"type":"OBSERVATION"}"#, "member", "'data' is missing"),
            (r#"{"data":{}}"#, "member", "'type' is missing"),
            (r#"{"type":1,"data":{}}"#, "member", "'type' is a number"),
            (r#"{"type":"A","data":[]}"#, "member", "'data' is an array"),
            (
                r#"{"type":"A","data":{},"actor":null}"#,
                "member",
                "'actor' is null",
            ),
            (
                r#"{"type":"A","data":{},"idempotency_key":1}"#,
                "member",
                "'idempotency_key' is a number",
            ),
            (
                r#"{"type":"A","data":{},"namespace":"x"}"#,
                "member",
                "no namespace",
            ),
            (
                r#"{"type":"A","data":{},"key":1}"#,
                "member",
                "'key' is no member",
            ),
            (r#"{"type":"A","type":"A","data":{}}"#, "json", "not JSON"),
        ] {
            let refusal = parse(
                line.as_bytes(),
                Place::default(),
                Form::Whole,
                &NumberPolicy::Exact,
            )
            .err()
            .expect(line);
            assert_eq!(refusal.code, code, "{line}");
            let headline = refusal.failure.headline();
            assert!(headline.contains(word), "{line}: {headline}");
        }
        let long = vec![b' '; MAX_RECORD + 1];
        assert_eq!(
            parse(&long, Place::default(), Form::Whole, &NumberPolicy::Exact)
                .err()
                .unwrap()
                .code,
            "too-long"
        );
    }

    #[test]
    fn a_line_of_refused_records_is_no_record() {
        let bare = Form::Bare {
            type_name: "a.b.c",
            key: None,
        };
        for line in [
            r#"{"line":2,"code":"json","reason":"The record is not JSON.","text":"{"}"#,
            r#"{"line":1,"record_number":2,"code":"number","reason":"r","record":{"n":1}}"#,
            r#"{"line":9,"code":"too-long","reason":"The record is longer."}"#,
            // Another program sorted the members.
            r#"{"code":"json","hex":"ff","line":2,"reason":"r"}"#,
        ] {
            for form in [Form::Whole, bare] {
                let refusal = parse(
                    line.as_bytes(),
                    Place::default(),
                    form,
                    &NumberPolicy::Exact,
                );
                let refusal = refusal.err().expect(line);
                assert_eq!(refusal.code, REFUSED_BEFORE, "{line}");
                assert!(!refusal.is_of_record());
            }
        }
        for line in [
            r#"{"line":2,"code":"json","reason":"r","record":{},"more":1}"#,
            r#"{"line":2,"code":"json","reason":"r","record":{},"text":""}"#,
            r#"{"line":2,"code":"E17","reason":"r"}"#,
            r#"{"line":"2","code":"json","reason":"r"}"#,
            r#"{"line":2,"code":"json"}"#,
        ] {
            assert!(
                parse(
                    line.as_bytes(),
                    Place::default(),
                    bare,
                    &NumberPolicy::Exact
                )
                .is_ok(),
                "{line}"
            );
        }
    }

    #[test]
    fn a_bare_record_is_all_data() {
        let form = |key| Form::Bare {
            type_name: "a.b.c",
            key,
        };
        let text = br#"{"type":1,"id":7,"eventID":"e-1"}"#;
        let parsed = parse(text, Place::default(), form(None), &NumberPolicy::Exact).unwrap();
        assert_eq!(parsed.type_name, "a.b.c");
        assert_eq!(parsed.data.as_object().unwrap().len(), 3);
        assert_eq!(parsed.idempotency_key, None);
        for (member, key) in [("eventID", "e-1"), ("id", "7")] {
            let parsed = parse(
                text,
                Place::default(),
                form(Some(member)),
                &NumberPolicy::Exact,
            )
            .unwrap();
            assert_eq!(parsed.idempotency_key.as_deref(), Some(key));
        }
        let key = |text: &'static [u8], policy| {
            parse(text, Place::default(), form(Some("id")), &policy).map(|it| it.idempotency_key)
        };
        for (text, wanted) in [
            (&br#"{"id":7.0}"#[..], "7"),
            (br#"{"id":70e-1}"#, "7"),
            (br#"{"id":-0}"#, "0"),
            (br#"{"id":1e21}"#, "1e+21"),
        ] {
            let found = key(text, NumberPolicy::Exact).unwrap();
            assert_eq!(found.as_deref(), Some(wanted));
        }
        let odd = br#"{"id":9007199254740993}"#;
        assert_eq!(key(odd, NumberPolicy::Exact).unwrap_err().code, "number");
        assert_eq!(path_step(r"id.a[0]\"), r"id\.a\[0\]\\");
        for (policy, wanted) in [
            (NumberPolicy::Round, "9007199254740992"),
            (NumberPolicy::Strings, "9007199254740993"),
        ] {
            assert_eq!(key(odd, policy).unwrap().as_deref(), Some(wanted));
        }
        for (text, member) in [(&b"{}"[..], "id"), (br#"{"id":null}"#, "id")] {
            let refusal = parse(
                text,
                Place::default(),
                form(Some(member)),
                &NumberPolicy::Exact,
            )
            .err()
            .unwrap();
            assert_eq!(refusal.code, "idempotency-key");
        }
        assert_eq!(
            parse(b"[1]", Place::default(), form(None), &NumberPolicy::Exact)
                .err()
                .unwrap()
                .code,
            "object"
        );
    }
}
