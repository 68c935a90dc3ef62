//! A batch that is a JSON document: the elements of one array in it, one after the other.
//!
//! The document is never held: of what stands around the array only the brackets are followed, and an
//! element is kept until it is whole. Documents may follow each other, as files that were put together do.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use provara_core::canonical::write_string;
use provara_core::json::{self, Value};
use provara_report::{Class, Diagnostic};

use super::place::{MAX_RECORD, Place, Placed, keep};
use crate::text::counted;

/// How deep brackets may stand in each other where they are only counted. What is read as a record has a
/// limit of its own.
const MAX_DEPTH: usize = 1 << 16;

/// Which members lead to the array, from the outermost; none where the document is the array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArrayPath(Vec<String>);

impl ArrayPath {
    /// The array to which these members lead.
    pub(super) fn of(names: &[impl AsRef<str>]) -> Self {
        Self(names.iter().map(|name| name.as_ref().to_owned()).collect())
    }
}

impl fmt::Display for ArrayPath {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl FromStr for ArrayPath {
    type Err = String;

    /// Reads `.`, `.a`, `.a.b`, `."a.b"` and `.["a.b"]`, with or without `[]` at the end.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "write '.' for the document, or the members on the way, as '.Records'".to_owned();
        let mut rest = text.strip_suffix("[]").unwrap_or(text);
        if rest == "." || rest.is_empty() && text == "[]" {
            return Ok(Self::default());
        }
        let mut names = Vec::new();
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            let bracket = rest.strip_prefix('[');
            let quoted = bracket.unwrap_or(rest);
            let name;
            if quoted.starts_with('"') {
                let end = end_of_string(quoted.as_bytes()).ok_or_else(wrong)?;
                name = string(&quoted.as_bytes()[..end]).ok_or_else(wrong)?;
                rest = &quoted[end..];
                if bracket.is_some() {
                    rest = rest.strip_prefix(']').ok_or_else(wrong)?;
                }
            } else {
                let end = rest.find(['.', '[', '"']).unwrap_or(rest.len());
                name = rest[..end].to_owned();
                rest = &rest[end..];
            }
            if name.is_empty() && !quoted.starts_with('"')
                || bracket.is_some() && !quoted.starts_with('"')
            {
                return Err(wrong());
            }
            // `.a["b"]` is `.a.["b"]`.
            if rest.starts_with('[') {
                let after: String = format!(".{rest}");
                let Self(more) = after.parse()?;
                names.push(name);
                names.extend(more);
                return Ok(Self(names));
            }
            names.push(name);
        }
        match names.is_empty() {
            true => Err(wrong()),
            false => Ok(Self(names)),
        }
    }
}

/// The text of a string with its quotes.
fn string(quoted: &[u8]) -> Option<String> {
    match json::parse(quoted).ok()? {
        Value::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

/// Where the string ends that begins here.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Reads the elements out of the bytes of documents.
pub(super) struct Elements {
    path: ArrayPath,
    /// How many members of the path have been gone into.
    depth: usize,
    state: State,
    value: ValueEnd,
    /// The text of an element or of a name, as far as it has come.
    text: Vec<u8>,
    place: Place,
    line: u64,
    records: u64,
    /// Whether the array of this document was met.
    met: bool,
    /// Whether a document was read to its end.
    after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A document, or nothing more.
    Document,
    /// The value of the path's next member, or of the last.
    Descend,
    /// The first member of an object on the way, or its end.
    FirstName,
    /// A member.
    Name,
    /// The text of a name.
    NameText,
    /// The colon after a name on the way (`true`), or after another.
    Colon(bool),
    /// The value of a member that is not on the way: before it, in it.
    BeforeOther,
    Other,
    /// A comma or the end of an object on the way.
    AfterMember,
    /// The first element, or the end of the array.
    FirstElement,
    BeforeElement,
    Element,
    AfterElement,
}

/// Finds the end of a value.
#[derive(Default)]
struct ValueEnd {
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

enum Found {
    More,
    /// With this byte.
    With,
    /// Before this byte.
    Before,
    Wrong,
}

impl ValueEnd {
    fn next(&mut self, byte: u8) -> Found {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return self.closed();
        }
        match byte {
            b'"' if self.begun && self.open.is_empty() => return Found::Before,
            b'"' => self.in_string = true,
            b'{' | b'[' if self.open.len() == MAX_DEPTH => return Found::Wrong,
            b'{' => self.open.push(b'}'),
            b'[' => self.open.push(b']'),
            b'}' | b']' if self.open.is_empty() => return Found::Before,
            b'}' | b']' => {
                if self.open.pop() != Some(byte) {
                    return Found::Wrong;
                }
                return self.closed();
            }
            b',' if self.open.is_empty() => return Found::Before,
            _ if byte.is_ascii_whitespace() && self.open.is_empty() => return Found::Before,
            _ => {}
        }
        self.begun = true;
        Found::More
    }

    fn closed(&mut self) -> Found {
        self.begun = true;
        match self.open.is_empty() && !self.in_string {
            true => Found::With,
            false => Found::More,
        }
    }
}

type Wrong = (Place, Diagnostic);

impl Elements {
    pub(super) fn at(path: ArrayPath) -> Self {
        Self {
            path,
            depth: 0,
            state: State::Document,
            value: ValueEnd::default(),
            text: Vec::new(),
            place: Place::default(),
            line: 1,
            records: 0,
            met: false,
            after: false,
        }
    }

    /// The input began so many lines before.
    pub(super) fn begin_at(&mut self, lines: u64) {
        self.line += lines;
    }

    /// Reads on to the end of the next element, or of the bytes; says how many were read.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Placed>), Wrong> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if matches!(self.state, State::Element | State::Other | State::NameText) {
                let from = at;
                let found = loop {
                    match self.value.next(bytes[at]) {
                        Found::More => {}
                        found => break Some(found),
                    }
                    self.line += u64::from(bytes[at] == b'\n');
                    at += 1;
                    if at == bytes.len() {
                        break None;
                    }
                };
                at += usize::from(matches!(found, Some(Found::With)));
                if self.state != State::Other {
                    keep(&mut self.text, &bytes[from..at]);
                }
                match found {
                    None => break,
                    Some(Found::Wrong) => {
                        return Err(
                            self.wrong("its brackets do not fit, or stand too deep in each other")
                        );
                    }
                    Some(_) => {}
                }
                match self.state {
                    State::NameText => self.state = self.named()?,
                    State::Other => self.state = State::AfterMember,
                    _ => {
                        self.state = State::AfterElement;
                        return Ok((at, Some((self.place, std::mem::take(&mut self.text)))));
                    }
                }
                continue;
            }
            let taken = self.outside(byte)?;
            self.line += u64::from(taken && byte == b'\n');
            at += usize::from(taken);
        }
        Ok((at, None))
    }

    /// Takes one byte that is part of no value; says whether it was taken.
    fn outside(&mut self, byte: u8) -> Result<bool, Wrong> {
        if byte.is_ascii_whitespace() {
            return Ok(true);
        }
        self.state = match (self.state, byte) {
            (State::Document | State::Descend, b'[') if self.depth == self.path.0.len() => {
                if std::mem::replace(&mut self.met, true) {
                    return Err(self.wrong("the array stands in it twice"));
                }
                State::FirstElement
            }
            (State::Document | State::Descend, b'{') if self.depth < self.path.0.len() => {
                State::FirstName
            }
            (State::Document | State::Descend, _) => return Err(self.unexpected(byte)),
            (State::FirstName | State::Name, b'"') => {
                self.value = ValueEnd::default();
                self.state = State::NameText;
                return Ok(false);
            }
            (State::FirstName | State::AfterMember, b'}') => self.leave()?,
            (State::AfterMember, b',') => State::Name,
            (State::Colon(true), b':') => {
                self.depth += 1;
                State::Descend
            }
            (State::Colon(false), b':') => State::BeforeOther,
            (State::BeforeOther, b',' | b'}' | b']') => {
                return Err(self.wrong("the value of a member is missing"));
            }
            (State::BeforeOther, _) => {
                self.value = ValueEnd::default();
                self.state = State::Other;
                return Ok(false);
            }
            (State::FirstElement | State::AfterElement, b']') => self.left_array(),
            (State::AfterElement, b',') => State::BeforeElement,
            (State::FirstElement | State::BeforeElement, byte)
                if !matches!(byte, b',' | b']' | b'}') =>
            {
                self.records += 1;
                self.place = Place {
                    line: self.line,
                    record: Some(self.records),
                };
                self.value = ValueEnd::default();
                self.state = State::Element;
                return Ok(false);
            }
            _ => {
                return Err(
                    self.wrong(&format!("'{}' stands where it cannot", byte.escape_ascii()))
                );
            }
        };
        Ok(true)
    }

    /// The name of a member is whole.
    fn named(&mut self) -> Result<State, Wrong> {
        let text = std::mem::take(&mut self.text);
        if text.len() > MAX_RECORD {
            return Err(self.wrong("the name of a member is too long"));
        }
        let name = string(&text).ok_or_else(|| self.wrong("the name of a member is no string"))?;
        Ok(State::Colon(self.path.0.get(self.depth) == Some(&name)))
    }

    /// The array has ended.
    fn left_array(&mut self) -> State {
        match self.depth {
            0 => {
                self.met = false;
                self.after = true;
                State::Document
            }
            _ => {
                self.depth -= 1;
                State::AfterMember
            }
        }
    }

    /// An object on the way has ended.
    fn leave(&mut self) -> Result<State, Wrong> {
        if self.depth > 0 {
            self.depth -= 1;
            return Ok(State::AfterMember);
        }
        if !std::mem::take(&mut self.met) {
            return Err(self.absent());
        }
        self.after = true;
        Ok(State::Document)
    }

    /// The line that is being read.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The input has ended.
    pub(super) fn end(&mut self) -> Result<(), (u64, Diagnostic)> {
        if self.state == State::Document {
            return Ok(());
        }
        let failure = Diagnostic::new(
            Class::Usage,
            format!(
                "The JSON document ends before it is whole, after {}.",
                counted(self.records, "record")
            ),
        )
        .fix("Get the file again, whole.");
        Err((self.line, failure))
    }

    fn here(&self) -> Place {
        Place {
            line: self.line,
            record: Some(self.records + 1),
        }
    }

    fn wrong(&self, what: &str) -> Wrong {
        let failure = Diagnostic::new(Class::Usage, format!("The document is not JSON: {what}."))
            .fix("Give a JSON document with one array of records, or one record a line.");
        (self.here(), failure)
    }

    fn absent(&self) -> Wrong {
        let path = shown(&self.path.0);
        let failure = Diagnostic::new(Class::Usage, format!("The document has no array at '{path}'."))
            .fix("Name the members that lead to it, as --records '.Records'; '.' is the document itself.");
        (self.here(), failure)
    }

    fn unexpected(&self, byte: u8) -> Wrong {
        let found = match byte {
            b'[' => "an array",
            b'{' => "an object",
            _ => "neither an object nor an array",
        };
        if self.state == State::Document && self.after {
            let (before, more) = match self.path.0.is_empty() {
                true => ("the array of the records", "such an array"),
                false => ("the document", "such a document"),
            };
            let found = match byte {
                b'[' => "An array",
                b'{' => "An object",
                _ => "Something that is neither an object nor an array",
            };
            let headline = format!("{found} follows {before}.");
            let failure = Diagnostic::new(Class::Usage, headline).fix(format!(
                "Take it away, or put it into the array if it is a record; only {more} may follow."
            ));
            return (self.here(), failure);
        }
        let wanted = match self.depth == self.path.0.len() {
            true => "the array of the records",
            false => "an object on the way to the records",
        };
        let place = match self.depth {
            0 => "The document".to_owned(),
            depth => format!("What stands at '{}'", shown(&self.path.0[..depth])),
        };
        let failure = Diagnostic::new(Class::Usage, format!("{place} is {found}, not {wanted}."))
            .fix("Name the members that lead to it, as --records '.Records'; '.' is the document itself.");
        (self.here(), failure)
    }
}

fn shown(path: &[String]) -> String {
    match path {
        [] => ".".to_owned(),
        names => names
            .iter()
            .map(|name| format!(".{}", step(name)))
            .collect(),
    }
}

/// A name, in quotes where it would be read as something else.
fn step(name: &str) -> Cow<'_, str> {
    let plain = !name.is_empty() && !name.contains(['.', '[', ']', '"', '\\']);
    match plain && !name.contains(char::is_control) {
        true => Cow::Borrowed(name),
        false => {
            let mut quoted = Vec::new();
            write_string(&mut quoted, name);
            Cow::Owned(String::from_utf8_lossy(&quoted).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArrayPath {
        text.parse().unwrap()
    }

    /// The elements, whatever the pieces in which the bytes come.
    fn elements(at: &str, text: &str) -> Result<Vec<(u64, String)>, String> {
        let mut answers = Vec::new();
        for piece in [1, 2, 7, text.len().max(1)] {
            let mut reader = Elements::at(path(at));
            let mut found = Vec::new();
            let answer = (|| {
                for bytes in text.as_bytes().chunks(piece) {
                    let mut rest = bytes;
                    while !rest.is_empty() {
                        let (used, element) = reader.feed(rest).map_err(|(place, failure)| {
                            format!("{place}: {}", failure.headline())
                        })?;
                        rest = &rest[used..];
                        found.extend(element.map(|(place, text)| {
                            assert_eq!(place.record, Some(found.len() as u64 + 1));
                            (place.line, String::from_utf8(text).unwrap())
                        }));
                    }
                }
                reader
                    .end()
                    .map_err(|(line, failure)| format!("after {line}: {}", failure.headline()))
            })();
            answers.push(answer.map(|()| found));
        }
        let first = answers.remove(0);
        assert!(answers.iter().all(|answer| *answer == first), "{text}");
        first
    }

    #[test]
    fn the_elements_of_one_array_are_found_wherever_it_stands() {
        let pair = || vec![(1, "{\"a\":\"]}\\\"\"}".to_owned()), (2, "{}".to_owned())];
        let array = "[{\"a\":\"]}\\\"\"},\n{}]";
        for (at, text) in [
            (".", array.to_owned()),
            (".[]", format!(" {array} ")),
            (
                ".Records",
                format!("{{\"x\":[{{\"Records\":[1]}},\"}}\"],\"Records\":{array},\"y\":-1e3}}"),
            ),
            (".Records[]", format!("{{\"Records\" : {array} }}")),
            (
                ".a.b",
                format!("{{\"a\":{{\"c\":null,\"b\":{array}}},\"b\":[3]}}"),
            ),
            (
                ".\"a.b\"",
                format!("{{\"a\":{{\"b\":[4]}},\"a.b\":{array}}}"),
            ),
            (
                ".x[\"a\\u002eb\"]",
                format!("{{\"x\":{{\"\\u0061.b\":{array}}}}}"),
            ),
        ] {
            assert_eq!(elements(at, &text).unwrap(), pair(), "{at} {text}");
        }
        assert_eq!(elements(".", "[]\n[]").unwrap(), []);
        assert_eq!(elements(".", "").unwrap(), []);
        let two = elements(".r", "{\"r\":[1]}\n{\"r\":[\"x\",[2]]}").unwrap();
        let texts: Vec<_> = two
            .iter()
            .map(|(line, text)| (*line, text.as_str()))
            .collect();
        assert_eq!(texts, [(1, "1"), (2, "\"x\""), (2, "[2]")]);
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        for (at, text, words) in [
            (".", "{}", "The document is an object, not the array"),
            (
                ".r",
                "[]",
                "The document is an array, not an object on the way",
            ),
            (".r", "{\"q\":[]}", "no array at '.r'"),
            (".r", "{\"r\":{}}", "What stands at '.r' is an object"),
            (".r", "{\"r\":[],\"r\":[]}", "twice"),
            (".", "[1,", "ends before it is whole, after 1 record."),
            (".", "[{\"a\":1}", "ends before it is whole"),
            (".", "[{\"a\":[}]", "brackets"),
            (".", "[1 2]", "'2' stands where it cannot"),
            (".", "[,1]", "',' stands where it cannot"),
            (".", "[1,]", "']' stands where it cannot"),
            (".", "[\"a\"\"b\"]", "stands where it cannot"),
            (
                ".",
                "[1] x",
                "neither an object nor an array follows the array",
            ),
            (
                ".",
                "[{\"a\":1}]\n{\"b\":2}",
                "An object follows the array of the records.",
            ),
            (".r", "{\"r\":[1]} [2]", "An array follows the document."),
            (".r", "{\"a\":,\"r\":[]}", "missing"),
            (".r", "{\"a\" 1}", "'1' stands where it cannot"),
            (".r", "{\"a\":1 \"r\":[]}", "stands where it cannot"),
        ] {
            let failure = elements(at, text).expect_err(text);
            assert!(failure.contains(words), "{text}: {failure}");
        }
        for text in ["", "Records", "..", ".a.", ".[0]", ".a\"b", ".\"a"] {
            assert!(text.parse::<ArrayPath>().is_err(), "{text}");
        }
    }
}
