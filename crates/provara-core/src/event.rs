//! Making an event: its payload, its id and its signature (spec/VAULT_FORMAT, section 3).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::canonical::CanonicalError;
use crate::content::{Content, Place};
use crate::event_type::{CoreType, EventType};
use crate::id::EventId;
use crate::json::{Value, object};
use crate::keys::SigningKey;
use crate::mark::SealName;
use crate::time::Timestamp;

/// Where a belief belongs. Readers take any other text as [`Namespace::Local`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// Attested.
    Canonical,
    /// The default.
    Local,
    /// In dispute.
    Contested,
    /// Superseded.
    Archived,
}

impl Namespace {
    /// The name as it stands in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Local => "local",
            Self::Contested => "contested",
            Self::Archived => "archived",
        }
    }
}

/// A text is none of the four namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of canonical, local, contested, archived")]
pub struct NamespaceError;

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        [
            Self::Canonical,
            Self::Local,
            Self::Contested,
            Self::Archived,
        ]
        .into_iter()
        .find(|namespace| namespace.as_str() == text)
        .ok_or(NamespaceError)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An event before it has an id and a signature.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The type.
    pub event_type: &'a EventType,
    /// Who says it; not empty.
    pub actor: &'a str,
    /// Where a belief belongs.
    pub namespace: Option<Namespace>,
    /// What is said: an object.
    pub payload: &'a Value<'a>,
    /// The actor's event before; `None` for the first.
    pub prev: Option<EventId>,
    /// One more than that of the actor's event before; 1 for the first.
    pub ts_logical: u64,
    /// When.
    pub timestamp: Timestamp,
    /// The durable seal that the writer found, on the first event after it.
    pub seal: Option<SealName>,
    /// The event in the line before, on one that names no seal and does not follow an event of its own
    /// actor there.
    pub after: Option<EventId>,
}

/// An event that is ready for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    /// The id.
    pub id: EventId,
    /// The canonical bytes and LF.
    pub line: Vec<u8>,
}

impl Draft<'_> {
    /// Derives the id and signs.
    ///
    /// Hash input of the id: SHA-256 over the RFC 8785 bytes of the event with `actor_key_id` and
    /// without `event_id` and `sig`. Signed: the RFC 8785 bytes of the event with both ids and
    /// without `sig`.
    ///
    /// # Errors
    /// A number in the payload that RFC 8785 cannot carry.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedEvent, CanonicalError> {
        let content = Content::new(
            self.event_type,
            self.actor,
            self.namespace,
            self.payload,
            key.key_id(),
        )?;
        let place = Place {
            prev: self.prev,
            ts_logical: self.ts_logical,
            timestamp: self.timestamp,
            seal: self.seal,
            after: self.after,
        };
        Ok(content.place(&place)?.sign(key))
    }
}

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
    use crate::id::Digest;
    use crate::json::parse;
    use crate::scan::{Field, Form, scan_line};

    fn data(text: &str) -> Value<'static> {
        parse(text.as_bytes()).unwrap().into_owned()
    }

    #[test]
    fn a_signed_event_is_one_canonical_line() {
        let key = SigningKey::from_seed(&[7; 32]);
        let event_type = "com.acme.audit.login".parse().unwrap();
        let payload = data(r#"{"user_id":"alice","n":1.0}"#);
        let event = Draft {
            event_type: &event_type,
            actor: "alice",
            namespace: None,
            payload: &payload,
            prev: None,
            ts_logical: 1,
            timestamp: "2026-11-22T10:00:00Z".parse().unwrap(),
            seal: None,
            after: None,
        }
        .sign(&key)
        .unwrap();
        let line = scan_line(event.line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!(line.form(), Form::Jcs);
        let mut bytes = Vec::new();
        line.id_preimage(&mut bytes);
        assert_eq!(EventId::from_digest(Digest::of(&bytes)), event.id);
        line.signed_bytes(&mut bytes);
        let sig = line.text(Field::Sig).unwrap();
        let sig = crate::keys::signature_from_base64(sig.as_bytes()).unwrap();
        assert_eq!(key.public().verify(&bytes, &sig), Ok(()));
        assert_eq!(
            line.raw(Field::Payload).unwrap(),
            br#"{"n":1,"user_id":"alice"}"#
        );
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
