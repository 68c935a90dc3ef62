//! The payload that an event carries for the data that it is made of (spec/VAULT_FORMAT, sections 3,
//! 4 and 6).

use std::borrow::Cow;

use crate::event_type::{CoreType, EventType};
use crate::id::EventId;
use crate::json::{Value, object};
use crate::time::Timestamp;

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
}

/// The payload that an appended event of this type carries for `data`.
///
/// A custom type's payload is the data exactly as given. `OBSERVATION` and `ASSERTION` data
/// without `subject` and `predicate` is wrapped; other core types are checked for the fields that
/// the format names (spec/VAULT_FORMAT, sections 3, 4 and 6).
///
/// # Errors
/// As [`PayloadError`] says.
pub fn payload_for<'a>(
    event_type: &EventType,
    data: Value<'a>,
    confidence: Option<f64>,
) -> Result<Value<'a>, PayloadError> {
    if data.as_object().is_none() {
        return Err(PayloadError::NotAnObject(data.kind_name()));
    }
    if confidence.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return Err(PayloadError::ConfidenceRange);
    }
    let EventType::Core(core) = event_type else {
        return if confidence.is_some() {
            Err(PayloadError::Confidence)
        } else {
            Ok(data)
        };
    };
    match core {
        CoreType::Genesis => Err(PayloadError::Genesis),
        CoreType::Observation | CoreType::Assertion => {
            if is_wrapped(event_type, &data) {
                return Ok(wrap(*core, data, confidence));
            }
            match confidence {
                Some(_) if data.get("confidence").is_some() => Err(PayloadError::Confidence),
                Some(value) => {
                    let mut data = data;
                    push(&mut data, "confidence", number(value));
                    Ok(data)
                }
                None => Ok(data),
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
            Ok(data)
        }
    }
}

/// Whether the payload of such an event is not `data` itself but has it as its `value`: an
/// `OBSERVATION` or an `ASSERTION` that does not have both a `subject` and a `predicate`
/// (spec/VAULT_FORMAT, section 3).
#[must_use]
pub fn is_wrapped(event_type: &EventType, data: &Value<'_>) -> bool {
    matches!(
        event_type,
        EventType::Core(CoreType::Observation | CoreType::Assertion)
    ) && ["subject", "predicate"]
        .iter()
        .any(|field| data.get(field).is_none())
}

fn wrap(core: CoreType, data: Value<'_>, confidence: Option<f64>) -> Value<'_> {
    let member = |field: &str, default: &'static str| match data.get(field) {
        None | Some(Value::Null) => default.into(),
        Some(value) => value.clone(),
    };
    let (subject, predicate) = (
        member("subject", "provara_cli"),
        member("predicate", core.as_str()),
    );
    object([
        ("subject", subject),
        ("predicate", predicate),
        ("value", data),
        ("confidence", number(confidence.unwrap_or(1.0))),
    ])
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

    #[test]
    fn payloads() {
        let payload = |name: &str, text: &str, confidence| {
            payload_for(&name.parse().unwrap(), data(text), confidence)
                .map(|value| String::from_utf8(jcs(&value).unwrap()).unwrap())
        };
        assert_eq!(
            payload("OBSERVATION", r#"{"note":"x"}"#, None).unwrap(),
            r#"{"confidence":1,"predicate":"OBSERVATION","subject":"provara_cli","value":{"note":"x"}}"#
        );
        assert_eq!(
            payload("ASSERTION", r#"{"subject":"door"}"#, Some(0.25)).unwrap(),
            r#"{"confidence":0.25,"predicate":"ASSERTION","subject":"door","value":{"subject":"door"}}"#
        );
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
}
