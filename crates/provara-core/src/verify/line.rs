//! The parallel stage: everything that one line shows by itself.

use std::borrow::Cow;

pub use crate::event_type::{CLOSING_TYPE, REDACTION_TYPE};
use crate::event_type::{CoreType, EventType};
use crate::finding::Code;
use crate::id::{Digest, EventId, KeyId};
use crate::json::{self, Value};
use crate::keys::Signature;
use crate::mark::{ADOPTION_TYPE, FILES_TYPE, KEY_ADDED_TYPE, SealName};
use crate::scan::{Field, Form, Line, LineFault, scan_line};
use crate::time::Timestamp;
use crate::tree::{Tombstone, leaf_over, tombstone};
use crate::verify::KeyDirectory;
use crate::verify::judge::{Judge, OneByOne, SignedLine};

/// Longest line whose meaning is guessed at when it has duplicate keys.
const DIAGNOSIS_LIMIT: usize = 1 << 16;

/// What is wrong with a line, before its place in the log is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) expected: Option<String>,
    pub(super) found: Option<String>,
    /// Offset in the line in bytes.
    pub(super) at: usize,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            expected: None,
            found: None,
            at: 0,
        }
    }

    pub(super) fn compare(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

/// How an event id follows from the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivation {
    /// Over the event with `actor_key_id`, as it is written.
    WithKeyId,
    /// Over the event before `actor_key_id` was set.
    WithoutKeyId,
    /// It does not.
    None,
}

/// What is known of a signature before the keys over time are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignatureCheck {
    /// It verifies under a key of `keys.json`.
    Valid,
    /// It does not.
    Invalid,
    /// There is none that could be checked.
    Unusable,
    /// The key is not in `keys.json`; a promotion may have introduced it.
    UnknownKey {
        signature: Signature,
        signed: Vec<u8>,
    },
}

/// What `prev_event_hash` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prev {
    First,
    Event(EventId),
    Unreadable,
}

/// What kind of event it is, as far as the rules distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Core(CoreType),
    Seal,
    Redaction,
    Adoption,
    Files,
    KeyAdded,
    Other,
}

impl Kind {
    fn of(custom: &str) -> Self {
        match custom {
            CLOSING_TYPE => Self::Seal,
            REDACTION_TYPE => Self::Redaction,
            ADOPTION_TYPE => Self::Adoption,
            FILES_TYPE => Self::Files,
            KEY_ADDED_TYPE => Self::KeyAdded,
            _ => Self::Other,
        }
    }

    /// Whether the rules read the payload. Such an event cannot be redacted.
    pub(super) fn is_read(self) -> bool {
        match self {
            Self::Core(core) => matches!(
                core,
                CoreType::Genesis | CoreType::KeyRevocation | CoreType::KeyPromotion
            ),
            Self::Redaction | Self::Adoption | Self::Files | Self::KeyAdded => true,
            Self::Seal | Self::Other => false,
        }
    }

    /// Whether a redaction may replace the payload.
    pub(super) fn is_redactable(self) -> bool {
        !self.is_read() && self != Self::Seal
    }
}

/// A line that is an event, if not always a sound one.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) id: Option<EventId>,
    /// What stands in the place of an id, for messages, if it is none.
    pub(super) id_text: Option<String>,
    pub(super) actor: Option<Cow<'a, str>>,
    pub(super) key_id: Option<KeyId>,
    pub(super) prev: Prev,
    pub(super) kind: Kind,
    pub(super) time: Option<Timestamp>,
    pub(super) ts_logical: Option<i64>,
    pub(super) form: Form,
    pub(super) derivation: Derivation,
    pub(super) signature: SignatureCheck,
    /// The payload of the few types whose content the rules read.
    pub(super) payload: Option<Value<'static>>,
    /// What stands in the place of the payload, if that was redacted.
    pub(super) tombstone: Option<Tombstone>,
    /// Whether it names the seal that its writer found, or the event in the line before.
    pub(super) names: bool,
    /// Its leaf in the event tree.
    pub(super) leaf: Digest,
}

/// One line of the log with all that it shows by itself.
#[derive(Debug)]
pub struct CheckedLine<'a> {
    pub(super) event: Option<Event<'a>>,
    pub(super) problems: Vec<Problem>,
    /// Offset in the log in bytes.
    pub(super) offset: u64,
    /// Whether an LF follows.
    pub(super) ended: bool,
}

impl CheckedLine<'_> {
    /// Whether the line by itself is a canonical, complete event whose id is that of its content and
    /// whose signature verifies under a key of the directory.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let proven = |event: &Event<'_>| {
            event.derivation != Derivation::None && event.signature == SignatureCheck::Valid
        };
        self.problems.is_empty() && self.event.as_ref().is_some_and(proven)
    }
}

/// Checks every line of `range`, a run of whole lines (the last line of the log may lack its LF)
/// that starts at byte `offset` of the log. Each signature is decided by itself.
#[must_use]
pub fn check_lines<'a>(range: &'a [u8], offset: u64, keys: &KeyDirectory) -> Vec<CheckedLine<'a>> {
    match check_lines_with(range, offset, keys, &OneByOne(keys)) {
        Ok(lines) => lines,
        Err(never) => match never {},
    }
}

/// As [`check_lines`], the signatures of the whole range decided by `judge` together: by its verdicts, which are the
/// same, and at its cost.
///
/// # Errors
/// Those of the judge.
pub fn check_lines_with<'a, J: Judge>(
    range: &'a [u8],
    offset: u64,
    keys: &KeyDirectory,
    judge: &J,
) -> Result<Vec<CheckedLine<'a>>, J::Error> {
    let mut scratch = Vec::new();
    let mut at = offset;
    let (mut signed, mut signed_lines) = (Vec::new(), Vec::new());
    let mut lines: Vec<CheckedLine<'a>> = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (piece, after) = rest.split_at(length);
        rest = after;
        let line = piece.strip_suffix(b"\n");
        let ended = line.is_some();
        let mut undecided = None;
        let checked = check_line(line.unwrap_or(piece), keys, &mut scratch, &mut undecided);
        if let Some(undecided) = undecided {
            signed.push(undecided);
            signed_lines.push(lines.len());
        }
        lines.push(CheckedLine {
            offset: at,
            ended,
            ..checked
        });
        at += piece.len() as u64;
    }
    for (line, is_good) in signed_lines.into_iter().zip(judge.judge(&signed)?) {
        if let Some(event) = lines[line].event.as_mut().filter(|_| is_good) {
            event.signature = SignatureCheck::Valid;
        }
    }
    Ok(lines)
}

/// Checks one line. Its signature, where there is one to decide, is put into `undecided`, and is not valid until that was
/// decided.
fn check_line<'a>(
    bytes: &'a [u8],
    keys: &KeyDirectory,
    scratch: &mut Vec<u8>,
    undecided: &mut Option<SignedLine<'a>>,
) -> CheckedLine<'a> {
    let mut problems = Vec::new();
    let event = match scan_line(bytes) {
        Ok(line) => Some(check_event(&line, keys, scratch, &mut problems, undecided)),
        Err(error) => {
            problems.push(Problem {
                at: error.offset,
                ..Problem::new(Code::E104, error.reason.to_string())
            });
            recover(bytes, &error.reason)
                .map(|canonical| check_recovered(&canonical, keys, scratch, &mut problems))
        }
    };
    CheckedLine {
        event,
        problems,
        offset: 0,
        ended: true,
    }
}

/// The canonical form of a line that is not in it, so that one needless space does not hide the
/// event from the chain. `None` where the line is no JSON object at all.
fn recover(bytes: &[u8], fault: &LineFault) -> Option<Vec<u8>> {
    let value = match json::parse(bytes) {
        Ok(value) => value,
        Err(error) => {
            let duplicate = matches!(error.kind, json::ParseErrorKind::DuplicateKey(_));
            if !duplicate || bytes.len() > DIAGNOSIS_LIMIT {
                return None;
            }
            json::parse_last_wins(bytes).ok()?
        }
    };
    value.as_object()?;
    let mixed = *fault == LineFault::MixedForms;
    let strict = if mixed {
        None
    } else {
        crate::canonical::jcs(&value).ok()
    };
    let tokens = crate::canonical::token_preserving(&value);
    // Both forms are tried; the one whose id fits is what the line was meant to be.
    let fits = |bytes: &[u8]| {
        scan_line(bytes).is_ok_and(|line| {
            let mut preimage = Vec::new();
            let stated = line
                .text(Field::EventId)
                .and_then(|id| id.parse::<EventId>().ok());
            derivation(&line, stated, &mut preimage) != Derivation::None
        })
    };
    Some(strict.filter(|bytes| fits(bytes)).unwrap_or(tokens))
}

fn check_recovered(
    canonical: &[u8],
    keys: &KeyDirectory,
    scratch: &mut Vec<u8>,
    problems: &mut Vec<Problem>,
) -> Event<'static> {
    let line = scan_line(canonical).expect("re-serialised in canonical form");
    let before = problems.len();
    let mut undecided = None;
    let mut event = check_event(&line, keys, scratch, problems, &mut undecided);
    // These bytes are nobody else's, so they are not decided together with others.
    if let Some(signed) = undecided
        && OneByOne(keys).judge(&[signed]) == Ok(vec![true])
    {
        event.signature = SignatureCheck::Valid;
    }
    for problem in &mut problems[before..] {
        // An offset in the canonical form is none in the line as it stands.
        problem.at = 0;
    }
    Event {
        actor: event.actor.map(|actor| Cow::Owned(actor.into_owned())),
        ..event
    }
}

fn derivation(line: &Line<'_>, stated: Option<EventId>, scratch: &mut Vec<u8>) -> Derivation {
    let Some(stated) = stated else {
        return Derivation::None;
    };
    line.id_preimage(scratch);
    if EventId::from_digest(Digest::of(scratch)) == stated {
        return Derivation::WithKeyId;
    }
    line.legacy_id_preimage(scratch);
    if EventId::from_digest(Digest::of(scratch)) == stated {
        return Derivation::WithoutKeyId;
    }
    Derivation::None
}

fn check_event<'a>(
    line: &Line<'a>,
    keys: &KeyDirectory,
    scratch: &mut Vec<u8>,
    problems: &mut Vec<Problem>,
    undecided: &mut Option<SignedLine<'a>>,
) -> Event<'a> {
    let mut fields = Fields { line, problems };
    let kind = fields.kind();
    let actor = fields.required_text(Field::Actor);
    let key_id = fields.identifier(Field::ActorKeyId, Code::E102);
    let id = fields.identifier(Field::EventId, Code::E101);
    let prev = fields.prev();
    let time = fields.time();
    let ts_logical = fields.ts_logical();
    fields.payload_is_object();
    let signature = fields.signature();
    let names = fields.names();
    let tombstone = tombstone(line);
    let derivation = derivation(line, id, scratch);
    if let (Some(stated), Derivation::None, None) = (id, derivation, &tombstone) {
        line.id_preimage(scratch);
        let derived = EventId::from_digest(Digest::of(scratch));
        let problem = Problem::new(Code::E004, "the event id is not that of the content");
        problems.push(problem.compare(derived, stated));
    }
    let signature = check_signature(line, key_id, signature, keys, undecided);
    let redacted = tombstone
        .as_ref()
        .filter(|_| derivation == Derivation::None);
    let leaf = leaf_over(line, redacted.map(|tombstone| tombstone.original));
    Event {
        id,
        id_text: match id {
            Some(_) => None,
            None => line.text(Field::EventId).map(Cow::into_owned),
        },
        actor,
        key_id,
        prev,
        kind,
        time,
        ts_logical,
        form: line.form(),
        derivation,
        signature,
        payload: payload(line, kind),
        tombstone,
        names,
        leaf,
    }
}

/// What is known of a signature. One by a known key is invalid until what is put into `undecided` was decided.
fn check_signature<'a>(
    line: &Line<'a>,
    key_id: Option<KeyId>,
    signature: Option<Signature>,
    keys: &KeyDirectory,
    undecided: &mut Option<SignedLine<'a>>,
) -> SignatureCheck {
    let (Some(key_id), Some(signature)) = (key_id, signature) else {
        return SignatureCheck::Unusable;
    };
    let message = line.signed_parts();
    let Some(key) = keys.index(&key_id) else {
        return SignatureCheck::UnknownKey {
            signature,
            signed: message.concat(),
        };
    };
    *undecided = Some(SignedLine {
        key,
        signature,
        message,
    });
    SignatureCheck::Invalid
}

fn payload(line: &Line<'_>, kind: Kind) -> Option<Value<'static>> {
    let raw = line.raw(Field::Payload).filter(|_| kind.is_read())?;
    json::parse(raw).ok().map(Value::into_owned)
}

/// Reads the fields of one event and notes what is wrong with them.
struct Fields<'l, 'a> {
    line: &'l Line<'a>,
    problems: &'l mut Vec<Problem>,
}

impl<'a> Fields<'_, 'a> {
    fn note(&mut self, code: Code, field: Field, what: &str) {
        let at = self.line.raw(field).map_or(0, |raw| {
            raw.as_ptr() as usize - self.line.bytes().as_ptr() as usize
        });
        let mut problem = Problem::new(code, format!("'{}' {what}", field.name()));
        problem.at = at;
        problem.found = self.line.raw(field).map(excerpt);
        self.problems.push(problem);
    }

    /// A text that must be there and must not be empty.
    fn required_text(&mut self, field: Field) -> Option<Cow<'a, str>> {
        if !self.line.has(field) {
            self.note(Code::E300, field, "is missing");
            return None;
        }
        let text = self.line.text(field).filter(|text| !text.is_empty());
        if text.is_none() {
            self.note(Code::E300, field, "is not a non-empty string");
        }
        text
    }

    fn identifier<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        field: Field,
        code: Code,
    ) -> Option<T> {
        if !self.line.has(field) {
            self.note(Code::E300, field, "is missing");
            return None;
        }
        match self.line.text(field).unwrap_or_default().parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.note(code, field, &format!("is {error}"));
                None
            }
        }
    }

    fn kind(&mut self) -> Kind {
        let Some(name) = self.required_text(Field::Type) else {
            return Kind::Other;
        };
        match name.parse::<EventType>() {
            Ok(EventType::Core(core)) => Kind::Core(core),
            Ok(EventType::Custom(_)) => Kind::of(&name),
            Err(error) => {
                self.note(
                    Code::E301,
                    Field::Type,
                    &format!("is no event type: {error}"),
                );
                Kind::Other
            }
        }
    }

    fn prev(&mut self) -> Prev {
        match self.line.raw(Field::PrevEventHash) {
            None => {
                self.note(Code::E300, Field::PrevEventHash, "is missing");
                Prev::Unreadable
            }
            Some(b"null") => Prev::First,
            Some(_) => self
                .identifier(Field::PrevEventHash, Code::E101)
                .map_or(Prev::Unreadable, Prev::Event),
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        let text = self.required_text(Field::TimestampUtc)?;
        let time = text.parse();
        if let Err(error) = &time {
            self.note(Code::E105, Field::TimestampUtc, &format!("is {error}"));
        }
        time.ok()
    }

    fn ts_logical(&mut self) -> Option<i64> {
        if !self.line.has(Field::TsLogical) {
            return None;
        }
        let number = self.line.integer(Field::TsLogical);
        if number.is_none() {
            self.note(Code::E300, Field::TsLogical, "is not an integer of 64 bits");
        }
        number
    }

    /// What only the writer of a marked vault writes: the seal that it found, or the event in the line before.
    fn names(&mut self) -> bool {
        let (seal, after) = (self.line.has(Field::Seal), self.line.has(Field::After));
        if seal {
            let _: Option<SealName> = self.identifier(Field::Seal, Code::E100);
        }
        if after {
            let _: Option<EventId> = self.identifier(Field::After, Code::E101);
        }
        seal || after
    }

    fn payload_is_object(&mut self) {
        match self.line.raw(Field::Payload) {
            None => self.note(Code::E300, Field::Payload, "is missing"),
            Some(raw) if raw[0] != b'{' => {
                self.note(Code::E300, Field::Payload, "is not an object");
            }
            Some(_) => {}
        }
    }

    fn signature(&mut self) -> Option<Signature> {
        if !self.line.has(Field::Sig) {
            self.note(
                Code::E300,
                Field::Sig,
                "is missing: an unsigned line is not evidence",
            );
            return None;
        }
        let text = self.line.text(Field::Sig).unwrap_or_default();
        let signature = Signature::from_base64(text.as_bytes());
        if signature.is_none() {
            self.note(
                Code::E103,
                Field::Sig,
                "is not the padded Base64 of 64 bytes",
            );
        }
        signature
    }
}

/// The start of a JSON text, for messages.
fn excerpt(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
