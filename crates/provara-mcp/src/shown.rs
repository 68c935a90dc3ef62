//! A plugin's JSON Schema as clients of the protocol can take it.
//!
//! What is applied to an event's data is the plugin's own schema, to the letter and elsewhere. What is made
//! here is for reading: the model is told it, and some clients compile it. These take less than JSON Schema
//! allows, and where one tool's schema is beyond that they refuse the whole list. So what is shown
//!
//! * is of draft 2020-12, whatever the plugin's dialect, and has no keyword that asserts nothing;
//! * has no references: what they lead to stands in their place, but for what would come again in itself;
//! * has a pattern only if it is a regular expression of JavaScript, under its flag `u`;
//! * means no less to a reader of draft-07: no `items` beside `prefixItems`;
//! * is as long as there is room for, or else says less.
//!
//! It may take data that the plugin's schema refuses, and never the other way round: where a part is left out
//! below `not`, `if` or `oneOf`, these give way, too.

mod convert;
mod dialect;
mod index;
mod pattern;
mod wanted;

use rmcp::model::JsonObject;
use serde_json::{Value, json};

use convert::{Converter, Detail};
use index::Index;
pub(crate) use wanted::kinds_alone;
use wanted::wanted;

/// The most bytes that are made of a schema whatever the room, on the way to what is shown.
const MOST: usize = 64 << 10;

/// A schema as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) schema: JsonObject,
    /// Whether it says all that the plugin's schema says.
    pub(crate) whole: bool,
}

/// From the whole to nothing but "an object".
const LADDER: [Detail; 7] = [
    Detail::new(convert::DEEPEST, 1000, 1000),
    Detail::new(convert::DEEPEST, 120, 200),
    Detail::new(3, 120, 200),
    Detail::new(2, 100, 200),
    Detail::new(1, 80, 100),
    Detail::new(1, 0, 40),
    Detail::new(0, 200, 0),
];

/// What is shown of a schema, for each size that there may be room for.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// Whether each can stand at the root of a tool's input: a plain object, whose members have names that
    /// every API takes (tests/mcp/strict.py has the rules and their sources). It is asked of all of them, so
    /// that how a tool is called does not change with what else is installed.
    pub(crate) is_plain: bool,
    /// In the order of the sizes.
    pub(crate) by_room: Vec<Shown>,
    /// What the members may be, whatever is shown of them (see [`wanted()`]).
    pub(crate) wanted: JsonObject,
}

/// What is shown of the schema of an event's data in at most so many bytes of JSON (or hardly more, for an object
/// of which nothing is said). `further` are the schemas that it may refer to: an object, by URI.
pub(crate) fn shapes(schema: &Value, further: &Value, rooms: &[usize]) -> Shapes {
    let index = Index::of(schema, further);
    let fitting = |room: usize| {
        let mut last = None;
        for (step, detail) in LADDER.iter().enumerate() {
            let (shown, weaker, ended) = at(schema, &index, *detail, room.min(MOST));
            let whole = step == 0 && !weaker;
            if !ended && Value::Object(shown.clone()).to_string().len() <= room {
                let schema = shown;
                return Shown { schema, whole };
            }
            last = Some(shown);
        }
        Shown {
            schema: last.unwrap_or_default(),
            whole: false,
        }
    };
    let by_room: Vec<_> = rooms.iter().map(|room| fitting(*room)).collect();
    Shapes {
        is_plain: by_room.iter().all(|shown| is_plain(&shown.schema)),
        by_room,
        wanted: wanted(schema, &index),
    }
}

fn is_plain(schema: &JsonObject) -> bool {
    let keywords = schema.keys().all(|key| PLAIN.contains(&key.as_str()));
    let properties = schema.get("properties").and_then(Value::as_object);
    keywords && properties.is_none_or(|named| named.keys().all(|name| is_plain_name(name)))
}

/// The keywords that the root of a tool's input may have.
const PLAIN: [&str; 10] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "dependentRequired",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
];

/// `^[a-zA-Z0-9_.-]{1,64}$`
fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The schema in so much detail, whether it takes more than the plugin's, and whether the room ended first.
fn at<'s>(
    schema: &'s Value,
    index: &Index<'s>,
    detail: Detail,
    most: usize,
) -> (JsonObject, bool, bool) {
    let mut converter = Converter::new(schema, index, detail, most);
    let (mut schema, weaker) = converter.root();
    // An event's data is an object, whether its schema says so or not.
    schema.insert("type".to_owned(), json!("object"));
    (schema, weaker, converter.has_ended())
}

#[cfg(test)]
mod tests;
