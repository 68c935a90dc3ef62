//! An event on its way into the log, in three steps that a writer of many events takes apart: what
//! it says ([`Content`]) needs no other event, its place ([`Place`]) needs the ids before it, and its
//! signature ([`UnsignedEvent::sign`]) needs neither. Ids chain through content, not through
//! signatures, so the first step and the last may run on all cores.

use std::io::Write as _;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::canonical::{
    CanonicalError, MAX_SAFE_INTEGER, event_form, write_event_form, write_string,
};
use crate::event_type::EventType;
use crate::id::{Digest, EventId, KeyId};
use crate::json::Value;
use crate::keys::{Signature, SigningKey};
use crate::mark::SealName;
use crate::namespace::Namespace;
use crate::number_rule::{NumberFault, Spellings};
use crate::payload::Payload;
use crate::scan::{LineError, scan_line};
use crate::time::Timestamp;
use crate::tree::leaf_at;

/// What an event says, in canonical form, before it has a place in the log.
#[derive(Debug, Clone)]
pub struct Content {
    /// `{"actor":…,"actor_key_id":…,"idempotency_key":…,"namespace":…,"payload":…,"prev_event_hash":null,"type":…}`
    event: Vec<u8>,
    /// Where the actor's name ends in it.
    actor_end: usize,
    /// Where `,"idempotency_key":…` or `,"namespace":…` begins in it, and where `event_id` belongs.
    head: usize,
    /// Where the payload stands in it.
    payload: Range<usize>,
    /// Where `,"timestamp":…` belongs in it, the time in the payload, if the payload wraps data.
    time: Option<usize>,
    /// Where the [`NO_PLACE`] begins that stands for all that the place says.
    place: usize,
    /// What became of the spelling of numbers.
    spellings: Spellings,
}

/// What an event begins with: `actor` is the first of its members.
const ACTOR: &[u8] = b"{\"actor\":";

/// What stands for the place of an event that has none yet.
const NO_PLACE: &[u8] = b"null";

/// What stands before the data in a payload that wraps it.
const DATA_MEMBER: &[u8] = b",\"value\":";

/// Where an event stands in its actor's chain, and when.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The actor's event before; `None` for the first.
    pub prev: Option<EventId>,
    /// One more than that of the actor's event before; 1 for the first. At most 2^53-1.
    pub ts_logical: u64,
    /// When.
    pub timestamp: Timestamp,
    /// The durable seal that the writer found, on the first event after it.
    pub seal: Option<SealName>,
    /// The event in the line before, on one that names no seal and does not follow an event of its own
    /// actor there.
    pub after: Option<EventId>,
}

/// An event that has its id and lacks its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedEvent {
    /// The id.
    pub id: EventId,
    /// The canonical bytes without `sig`.
    signed: Vec<u8>,
    /// Where the payload stands in them.
    payload: Range<usize>,
    /// Where `sig` belongs in them, behind the payload.
    sig_at: usize,
}

/// An event that is ready for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    /// The id.
    pub id: EventId,
    /// The canonical bytes and LF.
    pub line: Vec<u8>,
}

/// What stands before the text of a signature, and behind it.
const SIGNATURE_MEMBER: [&[u8]; 2] = [b"\"sig\":\"", b"\","];

impl Content {
    /// Writes what is said in canonical form: by whom, under which key, of which type.
    ///
    /// # Errors
    /// A number in the payload that would be changed, with its path in the payload.
    pub fn new(
        event_type: &EventType,
        actor: &str,
        namespace: Option<Namespace>,
        payload: &Value<'_>,
        key_id: KeyId,
    ) -> Result<Self, CanonicalError> {
        Self::written(event_type, actor, namespace, payload, key_id, None)
    }

    /// As [`Content::new`], of a payload that a writer made, which has the time of its place if it wraps data;
    /// with the key by which a repeated request for the event is known.
    ///
    /// # Errors
    /// As [`Content::new`].
    pub fn keyed(
        event_type: &EventType,
        actor: &str,
        namespace: Option<Namespace>,
        payload: &Payload<'_>,
        key_id: KeyId,
        idempotency_key: Option<&str>,
    ) -> Result<Self, CanonicalError> {
        let value = payload.value();
        let content = Self::written(event_type, actor, namespace, value, key_id, idempotency_key)?;
        // The data is the last member, and the time the one before it.
        let behind = |length| DATA_MEMBER.len() + length + b"}".len();
        let time = payload.wrapped_length();
        let time = time.map(|length| content.payload.end - behind(length));
        debug_assert!(time.is_none_or(|at| content.event[at..].starts_with(DATA_MEMBER)));
        Ok(Self { time, ..content })
    }

    fn written(
        event_type: &EventType,
        actor: &str,
        namespace: Option<Namespace>,
        payload: &Value<'_>,
        key_id: KeyId,
        idempotency_key: Option<&str>,
    ) -> Result<Self, CanonicalError> {
        let mut event = Vec::with_capacity(256 + actor.len());
        event.extend_from_slice(ACTOR);
        write_string(&mut event, actor);
        let actor_end = event.len();
        let _ = write!(event, ",\"actor_key_id\":\"{key_id}\"");
        let head = event.len();
        if let Some(key) = idempotency_key {
            event.extend_from_slice(b",\"idempotency_key\":");
            write_string(&mut event, key);
        }
        if let Some(namespace) = namespace {
            let _ = write!(event, ",\"namespace\":\"{}\"", namespace.as_str());
        }
        event.extend_from_slice(b",\"payload\":");
        let start = event.len();
        let spellings = write_event_form(&mut event, payload)?;
        let payload = start..event.len();
        event.extend_from_slice(b",\"prev_event_hash\":");
        let place = event.len();
        event.extend_from_slice(NO_PLACE);
        event.extend_from_slice(b",\"type\":");
        write_string(&mut event, event_type.as_str());
        event.push(b'}');
        Ok(Self {
            event,
            actor_end,
            head,
            payload,
            time: None,
            place,
            spellings,
        })
    }

    /// How many numbers of the payload are not spelled as they were given.
    #[must_use]
    pub fn spellings(&self) -> Spellings {
        self.spellings
    }

    /// The bytes of the payload in canonical form, without the time that its place adds if it wraps data.
    #[must_use]
    pub fn payload_length(&self) -> usize {
        self.payload.len()
    }

    /// The JSON text of the actor's name.
    #[must_use]
    pub fn actor(&self) -> &[u8] {
        &self.event[ACTOR.len()..self.actor_end]
    }

    /// Whether a reader would take an event with this content for a canonical line. A place and a
    /// signature are not looked at: their shape is always the same.
    ///
    /// # Errors
    /// The scanner's objection, such as a payload that is nested too deep.
    pub fn check(&self) -> Result<(), LineError> {
        scan_line(&self.event).map(|_| ())
    }

    /// Gives the event its place, and with it its id.
    ///
    /// Hash input of the id: SHA-256 over the RFC 8785 bytes of the event with `actor_key_id` and
    /// without `event_id` and `sig`.
    ///
    /// # Errors
    /// A `ts_logical` beyond 2^53-1.
    pub fn place(&self, place: &Place) -> Result<UnsignedEvent, CanonicalError> {
        if place.ts_logical > MAX_SAFE_INTEGER {
            return Err(CanonicalError::Number {
                path: "ts_logical".to_owned(),
                token: place.ts_logical.to_string(),
                fault: NumberFault::UnsafeInteger,
            });
        }
        const ID: &[u8] = b",\"event_id\":\"evt_000000000000000000000000\"";
        let (head, rest) = self.event.split_at(self.head);
        let (middle, tail) = rest.split_at(self.place - self.head);
        let (middle, data) = middle.split_at(self.time.map_or(middle.len(), |at| at - self.head));
        let mut signed = Vec::with_capacity(self.event.len() + ID.len() + 300);
        signed.extend_from_slice(head);
        if let Some(after) = place.after {
            let _ = write!(signed, ",\"after\":\"{after}\"");
        }
        let id_at = signed.len();
        signed.extend_from_slice(ID);
        let rest = signed.len();
        signed.extend_from_slice(middle);
        let time_at = signed.len();
        if self.time.is_some() {
            let _ = write!(signed, ",\"timestamp\":\"{}\"", place.timestamp);
        }
        let time = signed.len() - time_at;
        signed.extend_from_slice(data);
        let _ = match place.prev {
            None => signed.write_all(b"null,"),
            Some(prev) => write!(signed, "\"{prev}\","),
        };
        if let Some(seal) = place.seal {
            let _ = write!(signed, "\"seal\":\"{seal}\",");
        }
        let sig_at = signed.len();
        let _ = write!(
            signed,
            "\"timestamp_utc\":\"{}\",\"ts_logical\":{}",
            place.timestamp, place.ts_logical
        );
        signed.extend_from_slice(&tail[NO_PLACE.len()..]);
        let hash = Sha256::new_with_prefix(&signed[..id_at]).chain_update(&signed[rest..]);
        let id = EventId::from_digest(Digest(hash.finalize().into()));
        let at = id_at + b",\"event_id\":\"".len();
        let _ = write!(&mut signed[at..], "{id}");
        let moved = rest - head.len();
        Ok(UnsignedEvent {
            id,
            payload: self.payload.start + moved..self.payload.end + moved + time,
            signed,
            sig_at,
        })
    }
}

/// Whether an event, whose numbers may be spelled in any way, stands in a log in the strict form: its id is
/// that of its RFC 8785 bytes.
#[must_use]
pub fn is_strict_event(event: &Value<'_>) -> bool {
    let id = event.get("event_id").and_then(Value::as_str);
    let (Some(members), Some(id)) = (event.as_object(), id) else {
        return false;
    };
    let hashed = |name: &str| !matches!(name, "event_id" | "sig");
    let rest = members.iter().filter(|(name, _)| hashed(name)).cloned();
    event_form(&Value::Object(rest.collect()))
        .is_ok_and(|bytes| EventId::from_digest(Digest::of(&bytes)).to_string() == id)
}

impl UnsignedEvent {
    /// Signs the RFC 8785 bytes of the event with both ids and without `sig`.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> SignedEvent {
        let mut line = Vec::with_capacity(self.line_length());
        self.sign_into(&mut line, key);
        SignedEvent { id: self.id, line }
    }

    /// What the signature is over: the RFC 8785 bytes of the event with both ids and without `sig`.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// As [`UnsignedEvent::sign`]; the line with its LF goes to the end of `out`.
    pub fn sign_into(&self, out: &mut Vec<u8>, key: &SigningKey) {
        self.write_line(out, &key.sign(&self.signed));
    }

    /// Writes the line with its LF to the end of `out`. `signature` is the one over
    /// [`UnsignedEvent::signed_bytes`].
    pub fn write_line(&self, out: &mut Vec<u8>, signature: &Signature) {
        let [before, after] = SIGNATURE_MEMBER;
        out.extend_from_slice(&self.signed[..self.sig_at]);
        out.extend_from_slice(before);
        signature.write_base64(out);
        out.extend_from_slice(after);
        out.extend_from_slice(&self.signed[self.sig_at..]);
        out.push(b'\n');
    }

    /// The leaf in the event tree of `line`, which [`UnsignedEvent::sign_into`] made of this event: as
    /// [`leaf`](crate::tree::leaf) finds it, without reading the line. The payload must not be a tombstone.
    #[must_use]
    pub fn leaf(&self, line: &[u8]) -> Digest {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let payload = Digest::of(&line[self.payload.clone()]);
        leaf_at(line, Some(self.payload.clone()), payload)
    }

    /// The bytes of the signed line with its LF.
    #[must_use]
    pub fn line_length(&self) -> usize {
        let [before, after] = SIGNATURE_MEMBER;
        self.signed.len() + before.len() + Signature::TEXT_LENGTH + after.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::jcs;
    use crate::json::parse;
    use crate::payload::payload_for;
    use crate::scan::{Field, Form};

    fn content(actor: &str, namespace: Option<Namespace>, payload: &str) -> Content {
        let key = SigningKey::from_seed(&[7; 32]);
        let payload = parse(payload.as_bytes()).unwrap().into();
        let event_type = "com.acme.audit.login".parse().unwrap();
        // Where there is a namespace there is a key too, so that both stand there and neither does.
        let idempotency = namespace.map(|_| "order \"7\"\u{1f600}");
        let key_id = key.key_id();
        Content::keyed(&event_type, actor, namespace, &payload, key_id, idempotency).unwrap()
    }

    #[test]
    fn what_is_written_by_hand_is_what_the_canonical_writer_writes() {
        let key = SigningKey::from_seed(&[7; 32]);
        let place = Place {
            prev: Some(EventId([9; 12])),
            ts_logical: 12,
            timestamp: "2026-11-22T10:00:00Z".parse().unwrap(),
            seal: None,
            after: None,
        };
        for (actor, namespace, payload, prev) in [
            ("alice", None, r#"{"z":1.0,"a":[null,true]}"#, true),
            (
                "a\"\n\u{1}\u{1f600}b",
                Some(Namespace::Archived),
                "{}",
                false,
            ),
            ("\u{fb33}", Some(Namespace::Local), r#"{"":{"":""}}"#, true),
        ] {
            let place = Place {
                prev: place.prev.filter(|_| prev),
                seal: prev.then_some(SealName([7; 16])),
                after: namespace.map(|_| EventId([3; 12])),
                ..place
            };
            let content = content(actor, namespace, payload);
            content.check().unwrap();
            let name = parse(content.actor()).unwrap();
            assert_eq!(name.as_str(), Some(actor));
            let placed = content.place(&place).unwrap();
            let event = placed.sign(&key);
            assert_eq!(placed.line_length(), event.line.len());
            assert_eq!(placed.leaf(&event.line), {
                let line = event.line.strip_suffix(b"\n").unwrap();
                crate::tree::leaf(&scan_line(line).unwrap())
            });
            let line = event.line.strip_suffix(b"\n").unwrap();
            let tree = parse(line).unwrap();
            assert_eq!(jcs(&tree).unwrap(), line);
            assert_eq!(tree.get("actor").unwrap().as_str(), Some(actor));
            assert!(is_strict_event(&tree));
            let other = String::from_utf8_lossy(line).replace("audit.login", "audit.logout");
            assert!(!is_strict_event(&parse(other.as_bytes()).unwrap()));
            let scanned = scan_line(line).unwrap();
            assert_eq!(scanned.form(), Form::Jcs);
            let mut bytes = Vec::new();
            scanned.id_preimage(&mut bytes);
            assert_eq!(EventId::from_digest(Digest::of(&bytes)), event.id);
            assert_eq!(scanned.text(Field::EventId).unwrap(), event.id.to_string());
            scanned.signed_bytes(&mut bytes);
            let sig = scanned.text(Field::Sig).unwrap();
            let sig = crate::keys::Signature::from_base64(sig.as_bytes()).unwrap();
            assert_eq!(key.public().verify(&bytes, &sig), Ok(()));
        }
    }

    #[test]
    fn a_payload_that_wraps_data_has_the_time_of_its_event() {
        let key = SigningKey::from_seed(&[7; 32]);
        let observation: EventType = "OBSERVATION".parse().unwrap();
        for (data, blind) in [
            (r#"{"z":1.50,"a":[null,{"value":",\"value\":"}]}"#, true),
            (r#"{"subject":"\u00e9","note":"\u2028"}"#, false),
            (r#"{"predicate":"is"}"#, true),
            ("{}", false),
        ] {
            let data = parse(data.as_bytes()).unwrap();
            let confidence = blind.then_some(0.5);
            let mut payload = payload_for(&observation, data, confidence).unwrap();
            if blind {
                payload = payload.blinded("ab12");
            }
            let key_id = key.key_id();
            let content =
                Content::keyed(&observation, "a", None, &payload, key_id, Some("k")).unwrap();
            content.check().unwrap();
            for time in ["2026-11-22T10:00:00Z", "2027-01-01T00:00:00.5Z"] {
                let place = Place {
                    prev: Some(EventId([9; 12])),
                    ts_logical: 12,
                    timestamp: time.parse().unwrap(),
                    seal: Some(SealName([7; 16])),
                    after: None,
                };
                let placed = content.place(&place).unwrap();
                let event = placed.sign(&key);
                let line = event.line.strip_suffix(b"\n").unwrap();
                let scanned = scan_line(line).unwrap();
                assert_eq!(scanned.form(), Form::Jcs);
                let time = scanned.text(Field::TimestampUtc).unwrap();
                assert_eq!(time, place.timestamp.to_string());
                assert_eq!(
                    scanned.raw(Field::Payload).unwrap(),
                    event_form(&payload.clone().at(&time)).unwrap()
                );
                assert_eq!(placed.line_length(), event.line.len());
                assert_eq!(placed.leaf(&event.line), crate::tree::leaf(&scanned));
            }
        }
    }

    #[test]
    fn what_no_reader_takes_is_refused_before_it_has_a_place() {
        let nest = |depth: usize| {
            let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            format!("{{\"a\":{arrays}}}")
        };
        assert!(content("a", None, &nest(120)).check().is_ok());
        assert!(content("a", None, &nest(127)).check().is_err());
        let late = Place {
            prev: None,
            ts_logical: MAX_SAFE_INTEGER + 1,
            timestamp: Timestamp::from_unix_micros(0).unwrap(),
            seal: None,
            after: None,
        };
        assert!(content("a", None, "{}").place(&late).is_err());
    }
}
