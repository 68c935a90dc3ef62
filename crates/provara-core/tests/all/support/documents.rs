//! Generates JSON documents: as values, and as the many texts that mean one value.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use provara_core::json::{Object, Value, object};
use provara_core::number::{es_number, python_float};

type Document = Value<'static>;

/// Texts of characters that readers and writers treat differently: quotes, escapes, controls, both
/// sides of the surrogate gap, astral characters.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range('a', 'e'),
        2 => select(vec![
            '"', '\\', '/', '\u{0}', '\u{8}', '\t', '\n', '\u{c}', '\r', '\u{1f}', '\u{7f}',
            '\u{80}', 'é', '€', '\u{2028}', '\u{d7ff}', '\u{e000}', '\u{fb33}', '\u{ffff}',
            '\u{10000}', '\u{1f600}', '\u{10ffff}',
        ]),
        1 => any::<char>(),
    ];
    vec(character, 0..8).prop_map(|characters| characters.into_iter().collect())
}

/// Tokens of numbers whose RFC 8785 form every reader takes for the same number. Left out are
/// floats from 2^53 to 1e21: their form is an integer without fraction and exponent, which is none of a
/// document's when it is given as one.
fn safe_number() -> impl Strategy<Value = String> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    prop_oneof![
        (-999_i64..1000).prop_map(|number| number.to_string()),
        (-((1_i64 << 53) - 1)..(1 << 53)).prop_map(|number| number.to_string()),
        (finite, 0_u8..4).prop_map(|(number, form)| match form {
            0 => python_float(number),
            1 => format!("{number:e}"),
            2 => format!("{number:.3E}"),
            _ => {
                let token = es_number(number);
                if token.contains(['.', 'e']) {
                    token
                } else {
                    format!("{token}.0")
                }
            }
        }),
        select(vec![
            "-0", "-0.0", "0e0", "1E5", "1.0", "1e+3", "5e-324", "0e-400"
        ])
        .prop_map(str::to_owned),
    ]
    .prop_filter("unambiguous", |token| {
        let number = token.parse::<f64>().unwrap().abs();
        number.is_finite() && !(9_007_199_254_740_992.0..1e21).contains(&number)
    })
}

/// Tokens of any numbers.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => safe_number(),
        1 => any::<i128>().prop_map(|number| number.to_string()),
        1 => select(vec!["9007199254740992", "9007199254740993", "1e400", "-1E+999", "1e-400"])
            .prop_map(str::to_owned),
    ]
}

fn distinct(members: Vec<(String, Document)>) -> Document {
    let mut object: Object<'static> = Vec::new();
    for (key, value) in members {
        if object.iter().all(|(known, _)| **known != *key) {
            object.push((Cow::Owned(key), value));
        }
    }
    Value::Object(object)
}

fn tree(number: BoxedStrategy<String>) -> BoxedStrategy<Document> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(|token| Value::Number(Cow::Owned(token))),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((text(), inner), 0..6).prop_map(distinct),
        ]
    })
    .boxed()
}

/// Any document.
pub(crate) fn document() -> BoxedStrategy<Document> {
    tree(number().boxed())
}

/// A document that RFC 8785 can carry.
pub(crate) fn safe_document() -> BoxedStrategy<Document> {
    tree(safe_number().boxed())
}

/// An object.
pub(crate) fn event_document() -> BoxedStrategy<Document> {
    vec((text(), document()), 0..6).prop_map(distinct).boxed()
}

/// An event that the belief reducer may care about, over few keys and values, so that they meet.
pub(crate) fn belief_event() -> impl Strategy<Value = Document> {
    let token = |token: &'static str| Value::Number(Cow::Borrowed(token));
    let kinds = select(vec![
        "OBSERVATION",
        "OBSERVATION",
        "ASSERTION",
        "ATTESTATION",
        "RETRACTION",
        "REDUCER_EPOCH",
        "com.acme.audit.login",
    ]);
    let values = prop_oneof![
        4 => select(vec![token("1"), token("1.0"), Value::Bool(true), token("0.5"), Value::Null]),
        1 => document(),
    ];
    let confidence = select(vec![
        Value::Null,
        token("0.2"),
        token("0.5"),
        token("1"),
        token("1e400"),
        Value::from(" 0.9 "),
        Value::from("nan"),
    ]);
    let subject = select(vec![
        Value::from("s"),
        Value::from("\u{1f600}"),
        Value::Bool(true),
        token("1e-7"),
        Value::Null,
    ]);
    (any::<u16>(), kinds, subject, values, confidence).prop_map(
        |(id, kind, subject, value, confidence)| {
            object([
                ("actor", Value::from("a")),
                ("event_id", Value::from(format!("e{id}"))),
                (
                    "payload",
                    object([
                        ("confidence", confidence),
                        ("predicate", Value::from("p")),
                        ("subject", subject),
                        ("value", value),
                    ]),
                ),
                ("type", Value::from(kind)),
            ])
        },
    )
}

/// A small generator of bits: the spelling of a text needs many choices and no shrinking.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }
}

/// The same value with the members of every object in another order.
pub(crate) fn shuffled(value: &Document, seed: u64) -> Document {
    fn go(value: &Document, choices: &mut Choices) -> Document {
        match value {
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| go(item, choices)).collect())
            }
            Value::Object(members) => {
                let mut members: Object<'static> = members
                    .iter()
                    .map(|(key, item)| (key.clone(), go(item, choices)))
                    .collect();
                for last in (1..members.len()).rev() {
                    members.swap(last, choices.below(last + 1));
                }
                Value::Object(members)
            }
            scalar => scalar.clone(),
        }
    }
    go(value, &mut Choices(seed))
}

/// The same value with the members of every object in the order of their keys.
pub(crate) fn sorted(value: &Document) -> Document {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Object<'static> = members
                .iter()
                .map(|(key, item)| (key.clone(), sorted(item)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members)
        }
        scalar => scalar.clone(),
    }
}

/// One of the many texts of a value: with white space, and with escapes that need not be.
pub(crate) fn spelled(value: &Document, seed: u64) -> String {
    let mut choices = Choices(seed);
    let mut out = String::new();
    spell(&mut out, value, &mut choices);
    out
}

fn space(out: &mut String, choices: &mut Choices) {
    const SPACES: [&str; 8] = ["", "", "", "", " ", "\t", "\n", "\r\n "];
    out.push_str(SPACES[choices.below(SPACES.len())]);
}

fn spell(out: &mut String, value: &Document, choices: &mut Choices) {
    space(out, choices);
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(token) => out.push_str(token),
        Value::String(text) => spell_text(out, text, choices),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                spell(out, item, choices);
            }
            space(out, choices);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, item)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                space(out, choices);
                spell_text(out, key, choices);
                space(out, choices);
                out.push(':');
                spell(out, item, choices);
            }
            space(out, choices);
            out.push('}');
        }
    }
    space(out, choices);
}

fn spell_text(out: &mut String, text: &str, choices: &mut Choices) {
    out.push('"');
    for character in text.chars() {
        let short = match character {
            '"' => Some('"'),
            '\\' => Some('\\'),
            '/' => Some('/'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            _ => None,
        };
        let must = character < ' ' || character == '"' || character == '\\';
        match (short, choices.below(4)) {
            (Some(letter), 0 | 1) => out.extend(['\\', letter]),
            (_, choice) if must || choice == 2 => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&if choices.below(2) == 0 {
                        format!("\\u{unit:04x}")
                    } else {
                        format!("\\u{unit:04X}")
                    });
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
