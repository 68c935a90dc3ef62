//! A canonical line as the scanner found it: its members, and what was hashed and signed.

use std::borrow::Cow;
use std::ops::Range;

use crate::json;

/// In which of the two canonical forms a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// RFC 8785.
    Jcs,
    /// Number tokens as Python prints them, or keys by code point.
    TokenPreserving,
}

/// One member of the event object, as byte ranges of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// From the first quote of the key to the end of the value.
    pub whole: Range<usize>,
    /// The value alone.
    pub value: Range<usize>,
}

/// A canonical line and where its members stand.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) form: Form,
    pub(super) members: [Option<Member>; FIELDS.len()],
}

/// The members of an event that the core knows (spec/VAULT_FORMAT, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// Who says it.
    Actor,
    /// With which key.
    ActorKeyId,
    /// The event in the line before, where that is another actor's.
    After,
    /// The id.
    EventId,
    /// By which a repeated request for the event is known.
    IdempotencyKey,
    /// Where a belief belongs.
    Namespace,
    /// What is said.
    Payload,
    /// The actor's event before.
    PrevEventHash,
    /// The seal that its writer found.
    Seal,
    /// The signature.
    Sig,
    /// When.
    TimestampUtc,
    /// The logical clock.
    TsLogical,
    /// The type.
    Type,
}

/// The names of [`Field`]s, in its order.
pub(super) const FIELDS: [&[u8]; 13] = [
    b"actor",
    b"actor_key_id",
    b"after",
    b"event_id",
    b"idempotency_key",
    b"namespace",
    b"payload",
    b"prev_event_hash",
    b"seal",
    b"sig",
    b"timestamp_utc",
    b"ts_logical",
    b"type",
];

impl Field {
    /// The name as it stands in the event.
    #[must_use]
    pub fn name(self) -> &'static str {
        std::str::from_utf8(FIELDS[self as usize]).expect("ASCII")
    }
}

impl<'a> Line<'a> {
    /// The line without its LF.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which canonical form the line is in.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The JSON text of a member's value.
    #[must_use]
    pub fn raw(&self, field: Field) -> Option<&'a [u8]> {
        self.members[field as usize]
            .as_ref()
            .map(|member| &self.bytes[member.value.clone()])
    }

    /// Where in the line a member's value stands.
    pub(crate) fn place(&self, field: Field) -> Option<Range<usize>> {
        let member = self.members[field as usize].as_ref();
        member.map(|member| member.value.clone())
    }

    /// Whether the member is there and is not `null`.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.raw(field).is_some_and(|raw| raw != b"null")
    }

    /// The value of a member that is a string.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        let raw = self.raw(field)?;
        if raw.first() != Some(&b'"') {
            return None;
        }
        let inner = std::str::from_utf8(&raw[1..raw.len() - 1]).expect("the line is UTF-8");
        Some(unescape(inner))
    }

    /// The value of a member that is an integer of 64 bits.
    #[must_use]
    pub fn integer(&self, field: Field) -> Option<i64> {
        // JSON writes an integer as Rust reads it.
        std::str::from_utf8(self.raw(field)?).ok()?.parse().ok()
    }

    /// Writes to `out` what the event id is the hash of: the line without `event_id` and `sig`.
    pub fn id_preimage(&self, out: &mut Vec<u8>) {
        out.clear();
        self.append_id_preimage(out);
    }

    /// Appends the same to `out`.
    pub(crate) fn append_id_preimage(&self, out: &mut Vec<u8>) {
        self.without(&[Field::EventId, Field::Sig], out);
    }

    /// As [`Line::id_preimage`] without `actor_key_id` too, which some writers set afterwards.
    pub fn legacy_id_preimage(&self, out: &mut Vec<u8>) {
        out.clear();
        self.without(&[Field::ActorKeyId, Field::EventId, Field::Sig], out);
    }

    /// Writes to `out` what was signed: the line without `sig`.
    pub fn signed_bytes(&self, out: &mut Vec<u8>) {
        out.clear();
        self.without(&[Field::Sig], out);
    }

    /// The same in two parts, without a copy.
    pub(crate) fn signed_parts(&self) -> [&'a [u8]; 2] {
        let bytes: &'a [u8] = self.bytes;
        let Some(member) = &self.members[Field::Sig as usize] else {
            return [bytes, b""];
        };
        let (mut before, after) = (&bytes[..member.whole.start], &bytes[member.whole.end..]);
        // A comma follows every member but the last, before which one is left.
        let rest = after.strip_prefix(b",").unwrap_or(after);
        if rest == b"}" {
            before = before.strip_suffix(b",").unwrap_or(before);
        }
        [before, rest]
    }

    /// Appends to `out` the line without `fields` (given in the order of the line's keys).
    fn without(&self, fields: &[Field], out: &mut Vec<u8>) {
        let mut kept = 0;
        for field in fields {
            let Some(member) = &self.members[*field as usize] else {
                continue;
            };
            out.extend_from_slice(&self.bytes[kept..member.whole.start]);
            // A comma follows every member but the last.
            let comma = usize::from(self.bytes[member.whole.end] == b',');
            kept = member.whole.end + comma;
        }
        if self.bytes[kept..] == *b"}" && out.last() == Some(&b',') {
            out.pop();
        }
        out.extend_from_slice(&self.bytes[kept..]);
    }
}

/// Undoes the escapes of a string that the scanner accepted.
pub(super) fn unescape(inner: &str) -> Cow<'_, str> {
    // Without memchr: what it asks of the processor at its first use takes a single append longer than all of its texts.
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (character, length) = json::escape(&rest.as_bytes()[at..]).expect("scanned");
        out.push(character);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
