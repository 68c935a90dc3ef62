//! What becomes of the numbers of data before it is appended, where its author has chosen: nothing, the
//! nearest number that a log can hold, or a string.

use std::mem::take;
use std::ops::AddAssign;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::json::Value;
use crate::number_rule::{EventNumber, NumberFault, is_large_integer, is_large_integer_token};

/// What becomes of numbers that an event cannot hold, and of columns of numbers.
#[derive(Debug)]
pub enum NumberPolicy {
    /// They are as they are, and what would be changed is refused.
    Exact,
    /// What would be changed becomes the nearest binary64.
    Round,
    /// Integers beyond ±(2^53-1), and what would be changed, become strings of the same characters.
    Strings,
    /// All numbers at these places become strings of the same characters; others are as they are.
    StringsAt(Vec<Place>),
}

/// How many numbers a policy has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conversions {
    /// Rounded to the nearest binary64.
    pub rounded: u64,
    /// How many of those are integers beyond ±(2^53-1) now.
    pub to_large_integers: u64,
    /// Made strings.
    pub strings: u64,
}

impl AddAssign for Conversions {
    fn add_assign(&mut self, other: Self) {
        self.rounded += other.rounded;
        self.to_large_integers += other.to_large_integers;
        self.strings += other.strings;
    }
}

impl NumberPolicy {
    /// Applies the policy to data, and counts what it changed.
    #[must_use]
    pub fn apply(&self, data: &mut Value<'_>) -> Conversions {
        let mut done = Conversions::default();
        match self {
            Self::Exact => {}
            Self::Round => each_number(data, &mut |value, token| {
                if let Err(NumberFault::Changed { nearest }) = EventNumber::of(token) {
                    done.rounded += 1;
                    done.to_large_integers += u64::from(is_large_integer_token(&nearest));
                    *value = Value::Number(nearest.into());
                }
            }),
            Self::Strings => each_number(data, &mut |value, token| {
                if is_large_integer(token) || EventNumber::of(token).is_err() {
                    done.strings += u64::from(to_string(value));
                }
            }),
            Self::StringsAt(places) => {
                for place in places {
                    at_place(data, &place.steps, &mut |value| {
                        place.met.store(true, Ordering::Relaxed);
                        done.strings += u64::from(to_string(value));
                    });
                }
            }
        }
        done
    }

    /// The places at which no data had a value so far.
    pub fn never_met(&self) -> impl Iterator<Item = &str> {
        let places: &[Place] = match self {
            Self::StringsAt(places) => places,
            _ => &[],
        };
        let unmet = places.iter().filter(|it| !it.met.load(Ordering::Relaxed));
        unmet.map(|place| place.text.as_str())
    }
}

/// Calls `change` with each number that is at or below `value`, and its token.
fn each_number<'a>(value: &mut Value<'a>, change: &mut impl FnMut(&mut Value<'a>, &str)) {
    match value {
        Value::Number(token) => {
            let token = take(token);
            *value = Value::Number(token.clone());
            change(value, &token);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_number(item, change)),
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(_, member)| each_number(member, change)),
        _ => {}
    }
}

/// Makes a number the string of its characters. Tells whether it was one.
fn to_string(value: &mut Value<'_>) -> bool {
    let Value::Number(token) = value else {
        return false;
    };
    *value = Value::String(take(token));
    true
}

/// Calls `change` with each value at a place.
fn at_place<'a>(value: &mut Value<'a>, steps: &[Step], change: &mut impl FnMut(&mut Value<'a>)) {
    let Some((step, rest)) = steps.split_first() else {
        return change(value);
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => {
            let found = members.iter_mut().find(|(key, _)| key == name);
            if let Some((_, member)) = found {
                at_place(member, rest, change);
            }
        }
        (Step::Item(index), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*index) {
                at_place(item, rest, change);
            }
        }
        (Step::Items, Value::Array(items)) => {
            for item in items {
                at_place(item, rest, change);
            }
        }
        _ => {}
    }
}

/// A place in data: `user.id`, `ids[0]`, `rows[*].id`. A backslash stands before a dot, a bracket or a
/// backslash of a name itself: `id\.orig_h` is one name.
#[derive(Debug)]
pub struct Place {
    text: String,
    steps: Vec<Step>,
    /// Whether any data had a value here.
    met: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
    /// Every item.
    Items,
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            steps: self.steps.clone(),
            met: AtomicBool::new(self.met.load(Ordering::Relaxed)),
        }
    }
}

/// Why a text names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing stands where a name must.
    #[error("a name is empty")]
    EmptyName,
    /// A backslash before another character.
    #[error("a backslash stands before '.', '[', ']' or '\\' only")]
    Escape,
    /// What stands in brackets, or behind them, is wrong.
    #[error("in brackets stands the number of an item or '*', and behind them '.', '[' or nothing")]
    Item,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = name(rest)?;
            steps.push(Step::Member(name));
            rest = after;
            while let Some(inner) = rest.strip_prefix('[') {
                let (item, after) = inner.split_once(']').ok_or(PlaceError::Item)?;
                steps.push(match item {
                    "*" => Step::Items,
                    index => Step::Item(index.parse().map_err(|_| PlaceError::Item)?),
                });
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(more) => rest = more,
                None if rest.is_empty() => break,
                None => return Err(PlaceError::Item),
            }
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
            met: AtomicBool::new(false),
        })
    }
}

/// The name at the start of a text without its escapes, and what follows it.
fn name(text: &str) -> Result<(String, &str), PlaceError> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let end = loop {
        match chars.next() {
            Some((_, '\\')) => match chars.next() {
                Some((_, character @ ('.' | '[' | ']' | '\\'))) => name.push(character),
                _ => return Err(PlaceError::Escape),
            },
            Some((at, '.' | '[')) => break at,
            Some((_, ']')) => return Err(PlaceError::Item),
            Some((_, character)) => name.push(character),
            None => break text.len(),
        }
    };
    if name.is_empty() {
        return Err(PlaceError::EmptyName);
    }
    Ok((name, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::compact;
    use crate::json::parse;

    fn applied(policy: &NumberPolicy, text: &str) -> (String, Conversions) {
        let mut data = parse(text.as_bytes()).unwrap();
        let done = policy.apply(&mut data);
        (String::from_utf8(compact(&data)).unwrap(), done)
    }

    fn at(places: &[&str]) -> NumberPolicy {
        NumberPolicy::StringsAt(places.iter().map(|text| text.parse().unwrap()).collect())
    }

    const MIXED: &str = r#"{"a":-9223372036854775808,"b":[1,2.50,9007199254740992,1e400],"c":{"d":12345678901234567.89,"e":1e-400}}"#;

    #[test]
    fn exact_changes_nothing() {
        let done = applied(&NumberPolicy::Exact, MIXED);
        assert_eq!(done, (MIXED.to_owned(), Conversions::default()));
    }

    #[test]
    fn round_takes_the_nearest() {
        let (text, done) = applied(&NumberPolicy::Round, MIXED);
        assert_eq!(
            text,
            r#"{"a":-9223372036854776000,"b":[1,2.50,9007199254740992,1e400],"c":{"d":12345678901234568,"e":0}}"#
        );
        assert_eq!((done.rounded, done.strings), (3, 0));
    }

    #[test]
    fn strings_keep_every_character() {
        let (text, done) = applied(&NumberPolicy::Strings, MIXED);
        assert_eq!(
            text,
            r#"{"a":"-9223372036854775808","b":[1,2.50,"9007199254740992","1e400"],"c":{"d":"12345678901234567.89","e":"1e-400"}}"#
        );
        assert_eq!((done.rounded, done.strings), (0, 5));
    }

    #[test]
    fn a_column_gets_one_type() {
        let policy = at(&["id", "rows[*].id", r"id\.orig[1]", "gone", "none.at.all"]);
        let (text, done) = applied(
            &policy,
            r#"{"id":7,"rows":[{"id":1.0},{"id":"x"},{"id":null},{"n":9007199254740993}],"id.orig":[1,2],"gone":{}}"#,
        );
        assert_eq!(
            text,
            r#"{"id":"7","rows":[{"id":"1.0"},{"id":"x"},{"id":null},{"n":9007199254740993}],"id.orig":[1,"2"],"gone":{}}"#
        );
        assert_eq!(done.strings, 3);
        assert_eq!(policy.never_met().collect::<Vec<_>>(), ["none.at.all"]);
    }

    #[test]
    fn what_is_no_place() {
        for (text, error) in [
            ("", PlaceError::EmptyName),
            ("a..b", PlaceError::EmptyName),
            ("[0]", PlaceError::EmptyName),
            ("a.", PlaceError::EmptyName),
            (r"a\b", PlaceError::Escape),
            (r"a\", PlaceError::Escape),
            ("a[x]", PlaceError::Item),
            ("a[", PlaceError::Item),
            ("a[0]b", PlaceError::Item),
            ("a]", PlaceError::Item),
        ] {
            assert_eq!(text.parse::<Place>().unwrap_err(), error, "{text}");
        }
    }
}
