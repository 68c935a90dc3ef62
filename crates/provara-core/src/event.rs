//! Making an event in one go: from what it says and where it stands to a signed line
//! (spec/VAULT_FORMAT, section 3).

use crate::canonical::CanonicalError;
use crate::content::{Content, Place, SignedEvent};
use crate::event_type::EventType;
use crate::id::EventId;
use crate::json::Value;
use crate::keys::SigningKey;
use crate::mark::SealName;
use crate::namespace::Namespace;
use crate::time::Timestamp;

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

impl Draft<'_> {
    /// Derives the id and signs.
    ///
    /// Hash input of the id: SHA-256 over the RFC 8785 bytes of the event with `actor_key_id` and
    /// without `event_id` and `sig`. Signed: the RFC 8785 bytes of the event with both ids and
    /// without `sig`.
    ///
    /// # Errors
    /// A number in the payload that would be changed.
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

#[cfg(test)]
mod tests {
    use super::*;
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
        let sig = crate::keys::Signature::from_base64(sig.as_bytes()).unwrap();
        assert_eq!(key.public().verify(&bytes, &sig), Ok(()));
        assert_eq!(
            line.raw(Field::Payload).unwrap(),
            br#"{"n":1,"user_id":"alice"}"#
        );
    }
}
