//! The strict scanner of a log line: proves in one pass, without a tree, that the line is
//! canonical, and finds the members of the event in it.
//!
//! A canonical line is its own canonical form, so what was hashed and signed is the line itself
//! without one or two members: nothing is ever re-serialised to verify (spec/VAULT_FORMAT,
//! sections 2 and 3).

mod line;

use std::ops::Range;

use self::line::{FIELDS, unescape};
pub use self::line::{Field, Form, Line, Member};
use crate::canonical::utf16_order;
use crate::json::{self, MAX_DEPTH, ParseErrorKind};
use crate::number::is_es_form;

/// A line that is in neither canonical form (`PROVARA_E104`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {offset} of the line)")]
pub struct LineError {
    /// What is wrong.
    pub reason: LineFault,
    /// Offset in the line.
    pub offset: usize,
}

/// The ways in which a line is not canonical.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Nothing between two line ends.
    #[error("the line is blank")]
    Blank,
    /// The line is no strict JSON.
    #[error("{0}")]
    Json(ParseErrorKind),
    /// JSON, but not an object.
    #[error("the line is not a JSON object")]
    NotAnObject,
    /// White space outside a string.
    #[error("white space between tokens")]
    WhiteSpace,
    /// CR before the line end.
    #[error("the line ends with CR LF")]
    CarriageReturn,
    /// NUL bytes, as a crash leaves them.
    #[error("NUL bytes")]
    Nul,
    /// The members of an object are in neither of the two orders.
    #[error("keys are not sorted")]
    KeyOrder,
    /// An escape that is not needed, or not in its short or lower-case form.
    #[error("an escape that the canonical form does not use")]
    NeedlessEscape,
    /// Keys by UTF-16 code unit, but a number that is not in ECMAScript form, or the like.
    #[error("the line mixes the two canonical forms")]
    MixedForms,
}

/// Scans one line of the log, given without its LF.
///
/// # Errors
/// The first reason why the line is in neither canonical form.
pub fn scan_line(line: &[u8]) -> Result<Line<'_>, LineError> {
    let fault = |reason, offset| LineError { reason, offset };
    if line.is_empty() {
        return Err(fault(LineFault::Blank, 0));
    }
    if let Err(error) = std::str::from_utf8(line) {
        let reason = LineFault::Json(ParseErrorKind::InvalidUtf8);
        return Err(fault(reason, error.valid_up_to()));
    }
    let mut scanner = Scanner {
        bytes: line,
        at: 0,
        es_numbers: true,
        utf16_sorted: true,
        code_point_sorted: true,
        members: [const { None }; FIELDS.len()],
    };
    if line[0] != b'{' {
        return Err(scanner.not_an_object());
    }
    scanner.object(0)?;
    if scanner.at < line.len() {
        return Err(scanner.misplaced());
    }
    let form = if scanner.utf16_sorted && scanner.es_numbers {
        Form::Jcs
    } else if scanner.code_point_sorted {
        Form::TokenPreserving
    } else {
        let reason = if scanner.utf16_sorted {
            LineFault::MixedForms
        } else {
            LineFault::KeyOrder
        };
        return Err(fault(reason, 0));
    };
    Ok(Line {
        bytes: line,
        form,
        members: scanner.members,
    })
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    es_numbers: bool,
    utf16_sorted: bool,
    code_point_sorted: bool,
    members: [Option<Member>; FIELDS.len()],
}

/// A scanned string: where its inside stands, and whether it has escapes.
struct Scanned {
    inner: Range<usize>,
    escaped: bool,
}

impl Scanner<'_> {
    fn fault(&self, reason: LineFault) -> LineError {
        LineError {
            reason,
            offset: self.at,
        }
    }

    fn json(&self, kind: ParseErrorKind) -> LineError {
        self.fault(LineFault::Json(kind))
    }

    /// The error for the byte at hand, which no canonical line has here.
    fn misplaced(&self) -> LineError {
        match self.bytes.get(self.at) {
            None => self.json(ParseErrorKind::UnexpectedEnd),
            Some(b'\r') if self.at + 1 == self.bytes.len() => self.fault(LineFault::CarriageReturn),
            Some(b' ' | b'\t' | b'\r' | b'\n') => self.fault(LineFault::WhiteSpace),
            Some(0) => self.fault(LineFault::Nul),
            Some(b'N' | b'I') => self.json(ParseErrorKind::NotANumber),
            Some(b) => self.json(ParseErrorKind::UnexpectedByte(*b)),
        }
    }

    fn not_an_object(&self) -> LineError {
        match json::parse(self.bytes) {
            Ok(json::Value::Object(_)) => self.misplaced(),
            Ok(_) => self.fault(LineFault::NotAnObject),
            Err(_) if self.bytes == b"\r" => self.fault(LineFault::CarriageReturn),
            Err(_) if self.bytes.iter().all(u8::is_ascii_whitespace) => {
                self.fault(LineFault::Blank)
            }
            Err(_) if self.bytes[0] == 0 => self.fault(LineFault::Nul),
            Err(error) => LineError {
                reason: LineFault::Json(error.kind),
                offset: error.offset,
            },
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), LineError> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.misplaced()),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), LineError> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.misplaced())
    }

    fn number(&mut self) -> Result<(), LineError> {
        let rest = &self.bytes[self.at..];
        let length =
            json::number_token(rest).ok_or_else(|| self.json(ParseErrorKind::BadNumber))?;
        let token = std::str::from_utf8(&rest[..length]).expect("ASCII");
        self.es_numbers &= is_es_form(token);
        self.at += length;
        Ok(())
    }

    /// A string with minimal escapes (RFC 8785, section 3.2.2.2), from its quote on.
    fn string(&mut self) -> Result<Scanned, LineError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += json::plain_run(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                None => return Err(self.json(ParseErrorKind::UnexpectedEnd)),
                Some(b'"') => {
                    let inner = start..self.at;
                    self.at += 1;
                    return Ok(Scanned { inner, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += self.minimal_escape()?;
                }
                Some(b) => return Err(self.json(ParseErrorKind::ControlCharacter(*b))),
            }
        }
    }

    /// The length of the escape at hand, if the canonical form would use it.
    fn minimal_escape(&self) -> Result<usize, LineError> {
        let rest = &self.bytes[self.at..];
        let (character, length) = json::escape(rest).map_err(|kind| self.json(kind))?;
        let minimal = match rest[1] {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => true,
            b'u' => {
                character < ' '
                    && !matches!(character, '\u{8}' | '\t' | '\n' | '\u{c}' | '\r')
                    && !rest[2..6].iter().any(u8::is_ascii_uppercase)
            }
            _ => false,
        };
        if minimal {
            Ok(length)
        } else {
            Err(self.fault(LineFault::NeedlessEscape))
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), LineError> {
        if depth >= MAX_DEPTH {
            return Err(self.json(ParseErrorKind::TooDeep));
        }
        self.at += 1;
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.misplaced()),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), LineError> {
        if depth >= MAX_DEPTH {
            return Err(self.json(ParseErrorKind::TooDeep));
        }
        self.at += 1;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut last: Option<Scanned> = None;
        loop {
            let whole = self.at;
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.misplaced());
            }
            let key = self.string()?;
            if let Some(last) = &last {
                self.compare(last, &key, whole)?;
            }
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.misplaced());
            }
            self.at += 1;
            let value = self.at;
            self.value(depth + 1)?;
            if depth == 0 {
                self.note_member(&key, whole, value);
            }
            last = Some(key);
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.misplaced()),
            }
        }
    }

    fn note_member(&mut self, key: &Scanned, whole: usize, value: usize) {
        let name = &self.bytes[key.inner.clone()];
        if let Some(field) = FIELDS.iter().position(|known| *known == name) {
            self.members[field] = Some(Member {
                whole: whole..self.at,
                value: value..self.at,
            });
        }
    }

    /// Holds two neighbouring keys against both orders. Equal keys are a duplicate; a duplicate
    /// that is not a neighbour breaks both orders somewhere.
    fn compare(&mut self, last: &Scanned, key: &Scanned, at: usize) -> Result<(), LineError> {
        let (a, b) = (
            &self.bytes[last.inner.clone()],
            &self.bytes[key.inner.clone()],
        );
        if !last.escaped && !key.escaped {
            // Where they first differ decides. Both orders are that of the bytes, but for a character beyond U+FFFF.
            let ordered = match a.iter().zip(b).find(|(a, b)| a != b) {
                Some((a, b)) => a < b && *b < 0xF0,
                None => a.len() < b.len(),
            };
            if ordered {
                return Ok(());
            }
        }
        let text = |bytes| unescape(std::str::from_utf8(bytes).expect("the line is UTF-8"));
        let (a, b) = (text(a), text(b));
        if a == b {
            let reason = LineFault::Json(ParseErrorKind::DuplicateKey(b.into_owned()));
            return Err(LineError { reason, offset: at });
        }
        self.code_point_sorted &= a < b;
        self.utf16_sorted &= utf16_order(&a, &b).is_lt();
        if !self.code_point_sorted && !self.utf16_sorted {
            // Say "duplicate" where that is why: it is the graver of the two.
            let reason = match json::parse(self.bytes) {
                Err(error) if matches!(error.kind, ParseErrorKind::DuplicateKey(_)) => {
                    return Err(LineError {
                        reason: LineFault::Json(error.kind),
                        offset: error.offset,
                    });
                }
                _ => LineFault::KeyOrder,
            };
            return Err(LineError { reason, offset: at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> LineFault {
        scan_line(line.as_bytes()).expect_err(line).reason
    }

    #[test]
    fn forms() {
        let form = |line: &str| scan_line(line.as_bytes()).unwrap().form();
        assert_eq!(form(r#"{"a":1,"b":[1.5,"x"]}"#), Form::Jcs);
        assert_eq!(form(r#"{"a":1.0}"#), Form::TokenPreserving);
        assert_eq!(form("{\"\u{1f600}\":1,\"\u{fb33}\":1}"), Form::Jcs);
        assert_eq!(
            form("{\"\u{fb33}\":1,\"\u{1f600}\":1}"),
            Form::TokenPreserving
        );
        assert_eq!(
            form("{\"\u{fb33}\":1,\"\u{10ffff}\":1}"),
            Form::TokenPreserving
        );
        assert_eq!(
            fault("{\"\u{1f600}\":1.0,\"\u{fb33}\":1}"),
            LineFault::MixedForms
        );
    }

    #[test]
    fn what_is_not_canonical_is_named() {
        let duplicate = |key: &str| LineFault::Json(ParseErrorKind::DuplicateKey(key.into()));
        assert_eq!(fault(""), LineFault::Blank);
        assert_eq!(fault("  "), LineFault::Blank);
        assert_eq!(fault("[1]"), LineFault::NotAnObject);
        assert_eq!(fault("{\"a\": 1}"), LineFault::WhiteSpace);
        assert_eq!(fault(" {\"a\":1}"), LineFault::WhiteSpace);
        assert_eq!(fault("{\"a\":1}\r"), LineFault::CarriageReturn);
        assert_eq!(fault("\r"), LineFault::CarriageReturn);
        assert_eq!(fault("{\"a\":1\r}"), LineFault::WhiteSpace);
        assert_eq!(fault("{\"a\":1}\0\0"), LineFault::Nul);
        assert_eq!(fault("\0\0\0"), LineFault::Nul);
        assert_eq!(fault(r#"{"b":1,"a":1}"#), LineFault::KeyOrder);
        // Whatever else is wrong behind it, but for a duplicate.
        assert_eq!(fault(r#"{"b":1,"a":1,"c":}"#), LineFault::KeyOrder);
        assert_eq!(fault(r#"{"ab":1,"a":1}"#), LineFault::KeyOrder);
        // Keys are compared as what they say, not as it is escaped.
        assert_eq!(fault(r#"{"A":1,"\n":1}"#), LineFault::KeyOrder);
        assert_eq!(fault(r#"{"a":1,"a":1}"#), duplicate("a"));
        assert_eq!(fault(r#"{"type":1,"a":1,"type":1}"#), duplicate("type"));
        assert_eq!(fault(r#"{"a":"\/"}"#), LineFault::NeedlessEscape);
        assert_eq!(fault(r#"{"a":"\u0041"}"#), LineFault::NeedlessEscape);
        assert_eq!(fault(r#"{"a":"\u0020"}"#), LineFault::NeedlessEscape);
        assert_eq!(fault(r#"{"a":"\u000A"}"#), LineFault::NeedlessEscape);
        assert_eq!(fault(r#"{"a":"\u001F"}"#), LineFault::NeedlessEscape);
        assert_eq!(
            fault("\u{feff}{}"),
            LineFault::Json(ParseErrorKind::ByteOrderMark)
        );
        assert_eq!(
            fault(r#"{"a":1"#),
            LineFault::Json(ParseErrorKind::UnexpectedEnd)
        );
        assert!(scan_line(br#"{"a":"\u001f\n\u0000"}"#).is_ok());
    }

    #[test]
    fn preimages_drop_members_wherever_they_stand() {
        let check = |line: &str, id: &str, legacy: &str, signed: &str| {
            let line = scan_line(line.as_bytes()).unwrap();
            let mut out = Vec::new();
            line.id_preimage(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), id);
            line.legacy_id_preimage(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), legacy);
            line.signed_bytes(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), signed);
            assert_eq!(line.signed_parts().concat(), out);
        };
        check(
            r#"{"actor":"a","actor_key_id":"k","event_id":"e","sig":"s","type":"t"}"#,
            r#"{"actor":"a","actor_key_id":"k","type":"t"}"#,
            r#"{"actor":"a","type":"t"}"#,
            r#"{"actor":"a","actor_key_id":"k","event_id":"e","type":"t"}"#,
        );
        check(
            r#"{"actor":"a","event_id":"e","sig":"s"}"#,
            r#"{"actor":"a"}"#,
            r#"{"actor":"a"}"#,
            r#"{"actor":"a","event_id":"e"}"#,
        );
        check(
            r#"{"event_id":"e","sig":"s"}"#,
            "{}",
            "{}",
            r#"{"event_id":"e"}"#,
        );
    }

    #[test]
    fn text_is_unescaped() {
        let line = scan_line(br#"{"actor":"a\"\n\u0001b","type":1}"#).unwrap();
        assert_eq!(line.text(Field::Actor).unwrap(), "a\"\n\u{1}b");
        assert_eq!(line.text(Field::Type), None);
        assert!(!line.has(Field::Sig));
    }
}
