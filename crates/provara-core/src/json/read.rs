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
    /// The key that `rest` begins with, quotes and colon included, and how many bytes it has there, if the
    /// builder expects this one, and the object has none such: it saves reading it.
    fn expected_key(&mut self, _: &mut Self::Object, _rest: &[u8]) -> Option<(Self::Key, usize)> {
        None
    }
    /// The key of the object's next member; none if the object is known to have it already.
    fn key(&mut self, object: &mut Self::Object, key: Cow<'a, str>) -> Option<Self::Key>;
    /// The member itself.
    ///
    /// # Errors
    /// The builder's own.
    fn member(
        &mut self,
        object: &mut Self::Object,
        key: Self::Key,
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    /// The object ends. A builder that tells only here that a key came twice refuses it here.
    ///
    /// # Errors
    /// The builder's own.
    fn end_object(&mut self, object: Self::Object) -> Result<Self::Value, Self::Error>;
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
    ) -> Option<Cow<'a, str>> {
        if !seen.insert(members, &key) {
            if !self.last_wins {
                return None;
            }
            members.retain(|(name, _)| *name != key);
        }
        Some(key)
    }

    fn member(
        &mut self,
        (members, _): &mut Self::Object,
        key: Cow<'a, str>,
        value: Value<'a>,
    ) -> Result<(), ParseError> {
        members.push((key, value));
        Ok(())
    }

    fn end_object(&mut self, (members, _): Self::Object) -> Result<Value<'a>, ParseError> {
        Ok(Value::Object(members))
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

    #[inline]
    fn number(&mut self) -> Result<&'a str, ParseError> {
        let start = self.at;
        let Some(length) = number_token(&self.bytes[start..]) else {
            return Err(self.no_number());
        };
        self.at += length;
        Ok(&self.text[start..self.at])
    }

    #[cold]
    fn no_number(&self) -> ParseError {
        let rest = &self.bytes[self.at..];
        let named = rest.starts_with(b"-I") || rest.starts_with(b"-N");
        self.error(if named {
            ParseErrorKind::NotANumber
        } else {
            ParseErrorKind::BadNumber
        })
    }

    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        match self.plain_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.string_with_escapes().map(Cow::Owned),
        }
    }

    /// A string without escapes, if it is one. It is returned in registers: through memory, as a `Cow`
    /// is, every string would cost the processor a stall (store forwarding).
    #[inline(never)]
    fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let end = start + plain_run(&self.bytes[start..]);
        let plain = self.bytes.get(end) == Some(&b'"');
        plain.then(|| {
            self.at = end + 1;
            &self.text[start..end]
        })
    }

    #[cold]
    fn string_with_escapes(&mut self) -> Result<String, ParseError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.error(ParseErrorKind::UnexpectedEnd)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
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

    /// Enters an array or object; gives whether it ends at once with `close`.
    fn open(&mut self, depth: usize, close: u8) -> Result<bool, ParseError> {
        if depth >= self.max_depth {
            return Err(self.error(ParseErrorKind::TooDeep));
        }
        self.at += 1;
        self.skip_space();
        let empty = self.bytes.get(self.at) == Some(&close);
        self.at += usize::from(empty);
        Ok(empty)
    }

    /// Behind an item or a member; gives whether another one follows.
    #[inline]
    fn another(&mut self, close: u8) -> Result<bool, ParseError> {
        self.skip_space();
        let more = match self.bytes.get(self.at) {
            Some(b',') => true,
            Some(b) if *b == close => false,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        self.skip_space();
        Ok(more)
    }

    fn array(&mut self, depth: usize) -> Result<B::Value, B::Error> {
        let mut more = !self.open(depth, b']')?;
        let mut items = self.builder.array();
        while more {
            let item = self.value(depth + 1)?;
            self.builder.item(&mut items, item)?;
            more = self.another(b']')?;
        }
        Ok(self.builder.end_array(items))
    }

    fn object(&mut self, depth: usize) -> Result<B::Value, B::Error> {
        let mut more = !self.open(depth, b'}')?;
        let mut members = self.builder.object();
        while more {
            let rest = &self.bytes[self.at..];
            let key = match self.builder.expected_key(&mut members, rest) {
                Some((key, length)) => {
                    self.at += length;
                    key
                }
                None => self.key(&mut members)?,
            };
            self.skip_space();
            let value = self.value(depth + 1)?;
            self.builder.member(&mut members, key, value)?;
            more = self.another(b'}')?;
        }
        self.builder.end_object(members)
    }

    /// A key and its colon.
    fn key(&mut self, members: &mut B::Object) -> Result<B::Key, B::Error> {
        let offset = self.at;
        if self.bytes.get(offset) != Some(&b'"') {
            return Err(self.unexpected().into());
        }
        let key = self.string()?;
        let Some(key) = self.builder.key(members, key) else {
            return Err(self.duplicate(offset).into());
        };
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.unexpected().into());
        }
        self.at += 1;
        Ok(key)
    }

    /// What is wrong with the key at `offset`, which was read before.
    #[cold]
    fn duplicate(&mut self, offset: usize) -> ParseError {
        self.at = offset;
        match self.string() {
            Ok(key) => ParseError {
                kind: ParseErrorKind::DuplicateKey(key.into_owned()),
                offset,
            },
            Err(error) => error,
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
