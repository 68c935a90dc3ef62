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
use crate::tree::{Tombstone, tombstone};
use crate::verify::KeyDirectory;
use crate::verify::judge::{Judge, OneByOne, SignedLine};
pub(super) use crate::verify::line_hashes::Derivation;
use crate::verify::line_hashes::{Hashed, Unhashed, derivation};

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

impl Event<'_> {
    /// What its payload hashed to before a redaction, as its tombstone says.
    fn original(&self) -> Option<Digest> {
        self.tombstone.as_ref().map(|tombstone| tombstone.original)
    }
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
    /// Takes what the line hashes to.
    fn take(&mut self, hashed: Hashed) {
        let event = self.event.as_mut().expect("a line that is hashed is one");
        event.derivation = hashed.derivation;
        event.leaf = hashed.leaf;
        if let (Some(stated), Some(derived), None) = (event.id, hashed.derived, &event.tombstone) {
            let problem = Problem::new(Code::E004, "the event id is not that of the content");
            self.problems.push(problem.compare(derived, stated));
        }
    }

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
    let mut at = offset;
    let (mut signed, mut signed_lines) = (Vec::new(), Vec::new());
    let mut unhashed = Unhashed::default();
    let mut lines: Vec<CheckedLine<'a>> = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (piece, after) = rest.split_at(length);
        rest = after;
        let line = piece.strip_suffix(b"\n");
        let ended = line.is_some();
        let mut undecided = None;
        let checked = check_line(
            line.unwrap_or(piece),
            keys,
            lines.len(),
            &mut unhashed,
            &mut undecided,
        );
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
        if unhashed.is_full() || rest.is_empty() {
            unhashed.hash(judge, |hashed| lines[hashed.at].take(hashed));
        }
    }
    for (line, is_good) in signed_lines.into_iter().zip(judge.judge(&signed)?) {
        if let Some(event) = lines[line].event.as_mut().filter(|_| is_good) {
            event.signature = SignatureCheck::Valid;
        }
    }
    Ok(lines)
}

/// Checks one line, of which there are `index` before. If it is in canonical form, it is put into `unhashed`, and its
/// signature, where there is one to decide, into `undecided`; that is not valid until it was decided.
fn check_line<'a>(
    bytes: &'a [u8],
    keys: &KeyDirectory,
    index: usize,
    unhashed: &mut Unhashed<'a>,
    undecided: &mut Option<SignedLine<'a>>,
) -> CheckedLine<'a> {
    let mut problems = Vec::new();
    let event = match scan_line(bytes) {
        Ok(line) => {
            let event = check_event(&line, keys, &mut problems, undecided);
            unhashed.push(index, &line, event.id, event.original());
            Some(event)
        }
        Err(error) => {
            problems.push(Problem {
                at: error.offset,
                ..Problem::new(Code::E104, error.reason.to_string())
            });
            if let Some(canonical) = recover(bytes, &error.reason) {
                return check_recovered(&canonical, keys, problems);
            }
            None
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
            let stated = line.text(Field::EventId);
            let stated = stated.and_then(|id| id.parse::<EventId>().ok());
            stated.is_some_and(|stated| derivation(&line, stated) != Derivation::None)
        })
    };
    Some(strict.filter(|bytes| fits(bytes)).unwrap_or(tokens))
}

/// Checks a line by its canonical form; `problems` are those of the line as it stands.
fn check_recovered(
    canonical: &[u8],
    keys: &KeyDirectory,
    mut problems: Vec<Problem>,
) -> CheckedLine<'static> {
    let line = scan_line(canonical).expect("re-serialised in canonical form");
    let before = problems.len();
    let mut undecided = None;
    let mut event = check_event(&line, keys, &mut problems, &mut undecided);
    // These bytes are nobody else's, so they are neither decided nor hashed together with others.
    let alone = OneByOne(keys);
    if let Some(signed) = undecided
        && alone.judge(&[signed]) == Ok(vec![true])
    {
        event.signature = SignatureCheck::Valid;
    }
    let mut unhashed = Unhashed::default();
    unhashed.push(0, &line, event.id, event.original());
    let mut checked = CheckedLine {
        event: Some(Event {
            actor: event.actor.map(|actor| Cow::Owned(actor.into_owned())),
            ..event
        }),
        problems,
        offset: 0,
        ended: true,
    };
    unhashed.hash(&alone, |hashed| checked.take(hashed));
    for problem in &mut checked.problems[before..] {
        // An offset in the canonical form is none in the line as it stands.
        problem.at = 0;
    }
    checked
}

/// Reads the event that a line is. Its id's derivation and its leaf are known when it was hashed.
fn check_event<'a>(
    line: &Line<'a>,
    keys: &KeyDirectory,
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
    let signature = check_signature(line, key_id, signature, keys, undecided);
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
        derivation: Derivation::None,
        signature,
        payload: payload(line, kind),
        tombstone,
        names,
        leaf: Digest([0; 32]),
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
