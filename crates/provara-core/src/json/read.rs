//! The reader itself, and what it builds.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Object, ParseError, ParseErrorKind, Value, escape, number_token, plain_run};

/// What a JSON text is made into while it is read. The calls come in the order of the text.
pub trait Build<'a> {
    /// A finished value.
    type Value;
    /// An array whose items are still being read.
    type Array;
    /// An object whose members are still being read.
    type Object;
    /// The key of a member.
    type Key;
    /// What goes wrong: the text, or what the builder itself does.
    type Error: From<ParseError>;

    /// `null`
    fn null(&mut self) -> Self::Value;
    /// `true` or `false`
    fn boolean(&mut self, value: bool) -> Self::Value;
    /// A number by its token.
    ///
    /// # Errors
    /// The builder's own.
    fn number(&mut self, token: &'a str) -> Result<Self::Value, Self::Error>;
    /// A string without its escapes.
    fn string(&mut self, text: Cow<'a, str>) -> Self::Value;
    /// An array begins.
    fn array(&mut self) -> Self::Array;
    /// The array's next item.
    ///
    /// # Errors
    /// The builder's own.
    fn item(&mut self, array: &mut Self::Array, item: Self::Value) -> Result<(), Self::Error>;
    /// The array ends.
    fn end_array(&mut self, array: Self::Array) -> Self::Value;
    /// An object begins.
    fn object(&mut self) -> Self::Object;
    /// The key of the object's next member; `Err` gives back one that the object has already.
    ///
    /// # Errors
    /// The key as it was given.
    fn key(
        &mut self,
        object: &mut Self::Object,
        key: Cow<'a, str>,
    ) -> Result<Self::Key, Cow<'a, str>>;
    /// The member itself. A builder that did not tell by the key that the object has it already gives
    /// the key back here.
    ///
    /// # Errors
    /// The builder's own.
    fn member(
        &mut self,
        object: &mut Self::Object,
        key: Self::Key,
        value: Self::Value,
    ) -> Result<Option<String>, Self::Error>;
    /// The object ends.
    fn end_object(&mut self, object: Self::Object) -> Self::Value;
}

/// Builds a [`Value`].
pub(super) struct Tree {
    /// Whether a member takes the place of an earlier one with its key.
    pub(super) last_wins: bool,
}

impl<'a> Build<'a> for Tree {
    type Value = Value<'a>;
    type Array = Vec<Value<'a>>;
    type Object = (Object<'a>, SeenKeys);
    type Key = Cow<'a, str>;
    type Error = ParseError;

    fn null(&mut self) -> Value<'a> {
        Value::Null
    }

    fn boolean(&mut self, value: bool) -> Value<'a> {
        Value::Bool(value)
    }

    fn number(&mut self, token: &'a str) -> Result<Value<'a>, ParseError> {
        Ok(Value::Number(Cow::Borrowed(token)))
    }

    fn string(&mut self, text: Cow<'a, str>) -> Value<'a> {
        Value::String(text)
    }

    fn array(&mut self) -> Vec<Value<'a>> {
        Vec::new()
    }

    fn item(&mut self, array: &mut Vec<Value<'a>>, item: Value<'a>) -> Result<(), ParseError> {
        array.push(item);
        Ok(())
    }

    fn end_array(&mut self, array: Vec<Value<'a>>) -> Value<'a> {
        Value::Array(array)
    }

    fn object(&mut self) -> Self::Object {
        Self::Object::default()
    }

    fn key(
        &mut self,
        (members, seen): &mut Self::Object,
        key: Cow<'a, str>,
    ) -> Result<Cow<'a, str>, Cow<'a, str>> {
        if !seen.insert(members, &key) {
            if !self.last_wins {
                return Err(key);
            }
            members.retain(|(name, _)| *name != key);
        }
        Ok(key)
    }

    fn member(
        &mut self,
        (members, _): &mut Self::Object,
        key: Cow<'a, str>,
        value: Value<'a>,
    ) -> Result<Option<String>, ParseError> {
        members.push((key, value));
        Ok(None)
    }

    fn end_object(&mut self, (members, _): Self::Object) -> Value<'a> {
        Value::Object(members)
    }
}

pub(super) fn read<'a, B: Build<'a>>(
    text: &'a [u8],
    max_depth: usize,
    builder: &mut B,
) -> Result<B::Value, B::Error> {
    let refuse = |kind, offset| Err(ParseError { kind, offset }.into());
    if text.starts_with(b"\xEF\xBB\xBF") {
        return refuse(ParseErrorKind::ByteOrderMark, 0);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => return refuse(ParseErrorKind::InvalidUtf8, error.valid_up_to()),
    };
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        max_depth,
        builder,
    };
    parser.skip_space();
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at < parser.bytes.len() {
        return refuse(ParseErrorKind::TrailingBytes, parser.at);
    }
    Ok(value)
}

struct Parser<'a, 'b, B> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    builder: &'b mut B,
}

impl<'a, B: Build<'a>> Parser<'a, '_, B> {
    fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError {
            kind,
            offset: self.at,
        }
    }

    fn unexpected(&self) -> ParseError {
        self.error(match self.bytes.get(self.at) {
            None => ParseErrorKind::UnexpectedEnd,
            Some(b) => ParseErrorKind::UnexpectedByte(*b),
        })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), ParseError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn value(&mut self, depth: usize) -> Result<B::Value, B::Error> {
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                Ok(self.builder.string(text))
            }
            Some(b't') => {
                self.literal("true")?;
                Ok(self.builder.boolean(true))
            }
            Some(b'f') => {
                self.literal("false")?;
                Ok(self.builder.boolean(false))
            }
            Some(b'n') => {
                self.literal("null")?;
                Ok(self.builder.null())
            }
            Some(b'-' | b'0'..=b'9') => {
                let token = self.number()?;
                self.builder.number(token)
            }
            Some(b'N' | b'I') => Err(self.error(ParseErrorKind::NotANumber).into()),
            _ => Err(self.unexpected().into()),
        }
    }

    fn number(&mut self) -> Result<&'a str, ParseError> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(b"-I") || rest.starts_with(b"-N") {
            return Err(self.error(ParseErrorKind::NotANumber));
        }
        let length = number_token(rest).ok_or_else(|| self.error(ParseErrorKind::BadNumber))?;
        let token = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(token)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.at += 1;
        let start = self.at;
        let plain = plain_run(&self.bytes[start..]);
        self.at += plain;
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..start + plain]));
        }
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.error(ParseErrorKind::UnexpectedEnd)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    let (character, length) =
                        escape(&self.bytes[self.at..]).map_err(|kind| self.error(kind))?;
                    out.push(character);
                    self.at += length;
                }
                Some(b) if *b < 0x20 => {
                    return Err(self.error(ParseErrorKind::ControlCharacter(*b)));
                }
                Some(_) => {
                    let run = plain_run(&self.bytes[self.at..]);
                    out.push_str(&self.text[self.at..self.at + run]);
                    self.at += run;
                }
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<B::Value, B::Error> {
        if depth >= self.max_depth {
            return Err(self.error(ParseErrorKind::TooDeep).into());
        }
        self.at += 1;
        let mut items = self.builder.array();
        self.skip_space();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(self.builder.end_array(items));
        }
        loop {
            self.skip_space();
            let item = self.value(depth + 1)?;
            self.builder.item(&mut items, item)?;
            self.skip_space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(self.builder.end_array(items));
                }
                _ => return Err(self.unexpected().into()),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<B::Value, B::Error> {
        if depth >= self.max_depth {
            return Err(self.error(ParseErrorKind::TooDeep).into());
        }
        self.at += 1;
        let mut members = self.builder.object();
        self.skip_space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(self.builder.end_object(members));
        }
        loop {
            self.skip_space();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.unexpected().into());
            }
            let offset = self.at;
            let duplicate = |key| ParseError {
                kind: ParseErrorKind::DuplicateKey(key),
                offset,
            };
            let key = self.string()?;
            let key = self
                .builder
                .key(&mut members, key)
                .map_err(|key| duplicate(key.into_owned()))?;
            self.skip_space();
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.unexpected().into());
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            if let Some(key) = self.builder.member(&mut members, key, value)? {
                return Err(duplicate(key).into());
            }
            self.skip_space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.builder.end_object(members));
                }
                _ => return Err(self.unexpected().into()),
            }
        }
    }
}

/// Finds a key that an object has already: by its order, where the keys are sorted; by looking through
/// a small object, by a set in a large one, so that a hostile object of n keys costs n and not n².
#[derive(Default)]
pub(super) struct SeenKeys {
    unsorted: bool,
    set: HashSet<String>,
}

impl SeenKeys {
    const SMALL: usize = 16;

    fn insert(&mut self, members: &Object<'_>, key: &str) -> bool {
        if !self.unsorted {
            if members.last().is_none_or(|(last, _)| **last < *key) {
                return true;
            }
            self.unsorted = true;
        }
        if members.len() < Self::SMALL {
            return members.iter().all(|(known, _)| known != key);
        }
        if self.set.is_empty() {
            self.set
                .extend(members.iter().map(|(known, _)| known.to_string()));
        }
        self.set.insert(key.to_owned())
    }
}
