//! What is asked of an append, and what it answers.

use provara_core::event_type::EventType;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::Value;
use provara_core::namespace::Namespace;
use provara_core::number_rule::Spellings;
use serde::Serialize;

/// An event to be appended. Whether a custom type is known to anybody, and whether its data keeps
/// to a schema, is for the caller to decide.
#[derive(Debug, Clone)]
pub struct AppendRequest<'a> {
    /// The type. `GENESIS` is refused.
    pub event_type: EventType,
    /// The data, an object; what becomes of it is in spec/VAULT_FORMAT, section 3.
    pub data: Value<'a>,
    /// Who says it; not empty.
    pub actor: String,
    /// Where a belief from it belongs.
    pub namespace: Option<Namespace>,
    /// From 0 to 1, for `OBSERVATION` and `ASSERTION` data that states none.
    pub confidence: Option<f64>,
    /// The key that signs; otherwise the keyfile's first that may.
    pub key_id: Option<KeyId>,
    /// Whether 16 random bytes stand in the payload, as its member `blind`: what is left of a payload that
    /// was erased then tells nobody who guesses at it whether it was this.
    pub blind: bool,
    /// By which a repetition of this request is known: where the log has an event of the actor with this
    /// key, nothing is appended; the answer is that event's receipt if it says the same, and
    /// [`VaultError::KeyReused`](crate::VaultError::KeyReused) if not.
    pub idempotency_key: Option<String>,
    /// How many integers beyond ±(2^53-1) in the data are what whoever asks has made of other numbers, and
    /// tells of: the receipt's notes do not.
    pub rounded: u64,
    /// Whether a tree head is signed over the log with the event. One must have been published of this copy before,
    /// by [`Vault::tree_head`](crate::Vault::tree_head), or nothing is appended.
    pub with_head: bool,
}

impl<'a> AppendRequest<'a> {
    /// An event of `actor`, to be signed by the keyfile's first key that may sign.
    #[must_use]
    pub fn new(event_type: EventType, data: Value<'a>, actor: impl Into<String>) -> Self {
        Self {
            event_type,
            data,
            actor: actor.into(),
            namespace: None,
            confidence: None,
            key_id: None,
            blind: false,
            idempotency_key: None,
            rounded: 0,
            with_head: false,
        }
    }
}

/// An event that is in the log, durable and sealed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AppendReceipt {
    /// The event.
    pub event_id: EventId,
    /// Its type.
    pub event_type: String,
    /// Who said it.
    pub actor: String,
    /// The key that signed it and the seal.
    pub key_id: KeyId,
    /// The actor's event before.
    pub prev_event_hash: Option<EventId>,
    /// The actor's logical clock.
    pub ts_logical: u64,
    /// When, as written.
    pub timestamp_utc: String,
    /// Its line in the log, counted from 1.
    pub line: u64,
    /// The root of the seal that covers it.
    pub merkle_root: Digest,
    /// The line of the log, without its line end. For programs it is the member `event`, an object.
    #[serde(rename = "event", serialize_with = "as_json")]
    pub event_json: String,
    /// What was found and put right on the way (a torn tail, a seal that lagged), and what became of data
    /// that does not say what it is about.
    pub notes: Vec<String>,
    /// Whether nothing was appended, because the event was there already under its idempotency key. For
    /// programs the member is there only where it is true.
    #[serde(skip_serializing_if = "is_false")]
    pub repeated: bool,
    /// The note of a tree head over the log with the event, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree_head: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What a receipt notes of wrapped data ([`provara_core::payload::is_wrapped`]).
pub(crate) const WRAPPED: &str = "the data does not have both 'subject' and 'predicate', so it became \
    the 'value' of the payload, and what is absent was filled in";

/// What a receipt notes of numbers that are not spelled as they were given.
pub(crate) fn spelling_notes(numbers: Spellings) -> Vec<String> {
    let mut notes = Vec::new();
    match numbers.shorter {
        0 => {}
        1 => notes.push(
            "1 number has more digits than a binary64 tells apart; the shortest that is read as the same \
             stands in the log"
                .to_owned(),
        ),
        more => notes.push(format!(
            "{more} numbers have more digits than a binary64 tells apart; the shortest that are read as \
             the same stand in the log"
        )),
    }
    match numbers.large_integers {
        0 => {}
        1 => notes.push(
            "1 integer beyond ±(2^53-1) is kept, as a binary64 is equal to it; readers may give it as \
             a float"
                .to_owned(),
        ),
        more => notes.push(format!(
            "{more} integers beyond ±(2^53-1) are kept, as binary64s are equal to them; readers may \
             give them as floats"
        )),
    }
    notes
}

/// Writes a line of the log as the JSON that it is, to the byte.
fn as_json<S: serde::Serializer>(line: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&serde_json::value::RawValue>(line)
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}
