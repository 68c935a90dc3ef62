//! The payload that an event carries for the data that it is made of (spec/VAULT_FORMAT, sections 3,
//! 4 and 6).

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::canonical::{CanonicalError, event_form, write_string};
use crate::event_type::{CoreType, EventType};
use crate::id::{Digest, EventId};
use crate::json::{Value, object};
use crate::time::Timestamp;

/// The member that makes a payload one that cannot be guessed.
pub const BLIND: &str = "blind";

/// The member that says when the event was of a wrapped payload.
const TIME: &str = "timestamp";

fn push<'a>(event: &mut Value<'a>, key: &'static str, value: Value<'a>) {
    if let Value::Object(members) = event {
        members.push((Cow::Borrowed(key), value));
    }
}

/// Why data cannot be the payload of an event of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The data is an array, a string or the like.
    #[error("the data must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// Only `init` writes this type.
    #[error("a vault has one GENESIS event, which 'init' writes")]
    Genesis,
    /// A field that the type needs is absent or of the wrong kind.
    #[error("{event_type} needs the field '{field}' ({expected})")]
    Field {
        /// The core type.
        event_type: &'static str,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A confidence for a type that has none, or for data that states its own.
    #[error("a confidence applies only to OBSERVATION and ASSERTION data that states none")]
    Confidence,
    /// A confidence outside 0 to 1.
    #[error("a confidence is a number from 0 to 1")]
    ConfidenceRange,
    /// A number in data that is wrapped would be changed; the path is that in the data.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The most bytes of a payload, in canonical form, that a writer takes for an appended event: every reader holds the
/// line in memory, and what is larger belongs in a file, with its SHA-256 in the event. It is the one limit of every
/// way to append. Readers take any length.
pub const MAX_PAYLOAD: usize = 8 << 20;

/// What an event says, but for what only its place tells: the time of a wrapped payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload<'a> {
    value: Value<'a>,
    wrapped: Option<Wrapped>,
}

/// What is known of the data that a payload wraps.
#[derive(Debug, Clone, PartialEq)]
struct Wrapped {
    /// Its canonical form.
    data: Vec<u8>,
    /// The member of the payload that holds the name made of it.
    named: &'static str,
}

impl<'a> From<Value<'a>> for Payload<'a> {
    /// Data that is a payload as it stands.
    fn from(value: Value<'a>) -> Self {
        let wrapped = None;
        Self { value, wrapped }
    }
}

impl<'a> Payload<'a> {
    /// The payload, without the time if it wraps data.
    #[must_use]
    pub fn value(&self) -> &Value<'a> {
        &self.value
    }

    /// The same, to be added to.
    #[must_use]
    pub fn value_mut(&mut self) -> &mut Value<'a> {
        &mut self.value
    }

    /// Whether it is not the data itself but has it as its `value`.
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.wrapped.is_some()
    }

    /// The length of the canonical form of what it wraps, in bytes.
    pub(crate) fn wrapped_length(&self) -> Option<usize> {
        self.wrapped.as_ref().map(|wrapped| wrapped.data.len())
    }

    /// Adds the random text that makes a payload one that cannot be guessed. The name of wrapped data covers
    /// it too, so that the name tells no more than the rest of the payload does.
    #[must_use]
    pub fn blinded(mut self, random: impl Into<Cow<'a, str>>) -> Self {
        let random = random.into();
        if let (Some(wrapped), Value::Object(members)) = (&self.wrapped, &mut self.value) {
            let name = name_of(Some(&random), &wrapped.data);
            let named = members.iter_mut().find(|(key, _)| key == wrapped.named);
            if let Some((_, value)) = named {
                *value = name.into();
            }
        }
        push(&mut self.value, BLIND, Value::String(random));
        self
    }

    /// The payload as an event of that time has it.
    #[must_use]
    pub fn at(mut self, time: &'a str) -> Value<'a> {
        if self.is_wrapped() {
            push(&mut self.value, TIME, time.into());
        }
        self.value
    }
}

/// The payload that an appended event of this type carries for `data`.
///
/// A custom type's payload is the data exactly as given. `OBSERVATION` and `ASSERTION` data that does not have
/// both a `subject` and a `predicate` is wrapped; other core types are checked for the fields that the format
/// names (spec/VAULT_FORMAT, sections 3, 4 and 6).
///
/// # Errors
/// As [`PayloadError`] says.
pub fn payload_for<'a>(
    event_type: &EventType,
    data: Value<'a>,
    confidence: Option<f64>,
) -> Result<Payload<'a>, PayloadError> {
    if data.as_object().is_none() {
        return Err(PayloadError::NotAnObject(data.kind_name()));
    }
    if confidence.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return Err(PayloadError::ConfidenceRange);
    }
    let EventType::Core(core) = event_type else {
        return match confidence {
            Some(_) => Err(PayloadError::Confidence),
            None => Ok(data.into()),
        };
    };
    match core {
        CoreType::Genesis => Err(PayloadError::Genesis),
        CoreType::Observation | CoreType::Assertion => {
            if ["subject", "predicate"]
                .iter()
                .any(|field| data.get(field).is_none())
            {
                return wrap(*core, data, confidence);
            }
            match confidence {
                Some(_) if data.get("confidence").is_some() => Err(PayloadError::Confidence),
                Some(value) => {
                    let mut data = data;
                    push(&mut data, "confidence", number(value));
                    Ok(data.into())
                }
                None => Ok(data.into()),
            }
        }
        _ if confidence.is_some() => Err(PayloadError::Confidence),
        _ => {
            for (field, expected, check) in required_fields(*core) {
                if !data.get(field).is_some_and(check) {
                    let event_type = core.as_str();
                    return Err(PayloadError::Field {
                        event_type,
                        field,
                        expected,
                    });
                }
            }
            Ok(data.into())
        }
    }
}

/// Makes data the `value` of a payload. What is absent of its subject and its predicate is filled in so that no
/// other data has the same of both: nobody said that two such statements are about one thing, so the beliefs
/// must not weigh one against the other.
fn wrap(
    core: CoreType,
    data: Value<'_>,
    confidence: Option<f64>,
) -> Result<Payload<'_>, PayloadError> {
    let given = |field: &str| {
        let value = data.get(field).filter(|value| **value != Value::Null);
        value.cloned()
    };
    let canonical = event_form(&data)?;
    let name = || name_of(None, &canonical).into();
    let (subject, predicate, named) = match (given("subject"), given("predicate")) {
        (Some(subject), _) => (subject, name(), "predicate"),
        (None, Some(predicate)) => (name(), predicate, "subject"),
        (None, None) => (name(), core.as_str().into(), "subject"),
    };
    let mut value = object([
        ("subject", subject),
        ("predicate", predicate),
        ("value", data),
    ]);
    if let Some(confidence) = confidence {
        push(&mut value, "confidence", number(confidence));
    }
    let wrapped = Some(Wrapped {
        data: canonical,
        named,
    });
    Ok(Payload { value, wrapped })
}

/// The name of wrapped data: `sha256:` and the digits of the SHA-256 of the canonical form of `{"value":…}`, the
/// data, or of `{"blind":…,"value":…}` if the payload is blind.
fn name_of(blind: Option<&str>, data: &[u8]) -> String {
    let mut head = b"{".to_vec();
    if let Some(random) = blind {
        head.extend_from_slice(b"\"blind\":");
        write_string(&mut head, random);
        head.push(b',');
    }
    head.extend_from_slice(b"\"value\":");
    let hash = Sha256::new_with_prefix(head)
        .chain_update(data)
        .chain_update(b"}");
    format!("sha256:{}", Digest(hash.finalize().into()))
}

fn number(value: f64) -> Value<'static> {
    Value::Number(crate::number::es_number(value).into())
}

type Check = fn(&Value<'_>) -> bool;

/// What a field must be that holds a moment.
pub(crate) const TIMESTAMP: &str = "a timestamp, such as 2026-01-31T12:00:00Z";

/// The fields of a core type's payload: name, what it must be, and the check.
pub(crate) fn required_fields(core: CoreType) -> Vec<(&'static str, &'static str, Check)> {
    let text: Check = |value| value.as_str().is_some_and(|text| !text.is_empty());
    let event_or_null: Check = |value| match value {
        Value::Null => true,
        value => value
            .as_str()
            .is_some_and(|text| text.parse::<EventId>().is_ok()),
    };
    let key: Check = |value| {
        value
            .as_str()
            .is_some_and(|text| text.parse::<crate::id::KeyId>().is_ok())
    };
    let list: Check = |value| value.as_array().is_some();
    let time: Check = |value| {
        value
            .as_str()
            .is_some_and(|text| text.parse::<Timestamp>().is_ok())
    };
    match core {
        CoreType::KeyRevocation => vec![
            ("revoked_key_id", "a key id", key),
            ("reason", "a text", text),
            (
                "trust_boundary_event_id",
                "an event id or null",
                event_or_null,
            ),
            ("revoked_at_utc", TIMESTAMP, time),
        ],
        CoreType::KeyPromotion => vec![
            ("new_key_id", "a key id", key),
            ("new_public_key_b64", "the Base64 of 32 bytes", text),
            ("algorithm", "\"Ed25519\"", |value| {
                value.as_str() == Some(crate::keys::ALGORITHM)
            }),
            ("roles", "a list", list),
            ("promoted_by", "a key id", key),
            ("replaces_key_id", "a key id", key),
            ("promoted_at_utc", TIMESTAMP, time),
        ],
        CoreType::Attestation | CoreType::Retraction => {
            let scalar: Check = |value| {
                matches!(value, Value::Number(_) | Value::Bool(_))
                    || value.as_str().is_some_and(|text| !text.is_empty())
            };
            vec![
                ("subject", "a text", scalar),
                ("predicate", "a text", scalar),
            ]
        }
        CoreType::ReducerEpoch => vec![
            ("epoch_id", "a text", text),
            ("reducer_hash", "a text", text),
        ],
        CoreType::Genesis
        | CoreType::Observation
        | CoreType::Assertion
        | CoreType::SignedStatement
        | CoreType::Receipt => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::jcs;
    use crate::json::parse;

    fn data(text: &str) -> Value<'static> {
        parse(text.as_bytes()).unwrap().into_owned()
    }

    fn text(value: &Value<'_>) -> String {
        String::from_utf8(jcs(value).unwrap()).unwrap()
    }

    #[test]
    fn payloads() {
        let payload = |name: &str, json: &str, confidence| {
            payload_for(&name.parse().unwrap(), data(json), confidence)
                .map(|payload| text(payload.value()))
        };
        let full = r#"{"predicate":"is","subject":"door","value":"open"}"#;
        assert_eq!(payload("OBSERVATION", full, None).unwrap(), full);
        assert_eq!(payload("com.acme.a.b", full, None).unwrap(), full);
        assert_eq!(
            payload("com.acme.a.b", full, Some(1.0)),
            Err(PayloadError::Confidence)
        );
        assert_eq!(payload("GENESIS", "{}", None), Err(PayloadError::Genesis));
        assert_eq!(
            payload("RECEIPT", "[]", None),
            Err(PayloadError::NotAnObject("an array"))
        );
        assert!(matches!(
            payload(
                "KEY_REVOCATION",
                r#"{"revoked_key_id":"bp1_0011223344556677"}"#,
                None
            ),
            Err(PayloadError::Field {
                field: "reason",
                ..
            })
        ));
    }

    #[test]
    fn what_does_not_say_what_it_is_about_is_about_itself() {
        let wrapped = |name: &str, json: &str, confidence, blind: Option<&'static str>| {
            let payload = payload_for(&name.parse().unwrap(), data(json), confidence).unwrap();
            assert!(payload.is_wrapped());
            let payload = match blind {
                Some(random) => payload.blinded(random),
                None => payload,
            };
            text(&payload.at("2026-01-01T00:00:00.000000Z"))
        };
        let named = |name: &str, rest: &str| {
            let name = format!("sha256:{}", Digest::of(name.as_bytes()));
            rest.replace("NAME", &name)
                .replace("TIME", "2026-01-01T00:00:00.000000Z")
        };
        assert_eq!(
            wrapped("OBSERVATION", r#"{"note":"x"}"#, None, None),
            named(
                r#"{"value":{"note":"x"}}"#,
                r#"{"predicate":"OBSERVATION","subject":"NAME","timestamp":"TIME","value":{"note":"x"}}"#
            )
        );
        // Whatever it is written like, the same data has the same name.
        assert_eq!(
            wrapped("OBSERVATION", r#"{"b":1.0,"a":"\u0041"}"#, None, None),
            wrapped("OBSERVATION", r#"{"a":"A","b":1}"#, None, None),
        );
        assert_eq!(
            wrapped(
                "ASSERTION",
                r#"{"subject":"door","n":null}"#,
                Some(0.25),
                None
            ),
            named(
                r#"{"value":{"n":null,"subject":"door"}}"#,
                r#"{"confidence":0.25,"predicate":"NAME","subject":"door","timestamp":"TIME","value":{"n":null,"subject":"door"}}"#
            )
        );
        assert_eq!(
            wrapped(
                "ASSERTION",
                r#"{"predicate":"is","about":"door","value":1}"#,
                None,
                Some("00ff")
            ),
            named(
                r#"{"blind":"00ff","value":{"about":"door","predicate":"is","value":1}}"#,
                r#"{"blind":"00ff","predicate":"is","subject":"NAME","timestamp":"TIME","value":{"about":"door","predicate":"is","value":1}}"#
            )
        );
        let none = payload_for(
            &"ASSERTION".parse().unwrap(),
            data(r#"{"a":[9007199254740993]}"#),
            None,
        );
        assert!(
            matches!(&none, Err(PayloadError::Canonical(CanonicalError::Number { path, .. })) if path == "a[0]"),
            "{none:?}"
        );
    }
}
