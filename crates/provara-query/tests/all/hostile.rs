//! Expressions and events that somebody made to do harm.

use std::time::{Duration, Instant};

use provara_core::json;
use provara_core::query::Predicate;
use provara_query::Filter;

#[test]
fn deep_and_long_expressions_end() {
    let of = |part: &str, count: usize| part.repeat(count);
    let expressions = [
        of("(", 4000),
        of("(", 2000) + "true" + &of(")", 2000),
        of("!", 4000) + "payload.a",
        of("-", 4000) + "1",
        of("[", 4000),
        of("{\"a\":", 800),
        "payload".to_owned() + &of(".a", 2000),
        "payload".to_owned() + &of("[0]", 1300),
        "payload".to_owned() + &of(".size()", 500),
        of("a ? ", 1000),
        of("a ? a : ", 500) + "a",
        of("a || ", 800) + "a",
        of("a == ", 800) + "a",
        of("a in ", 800) + "a",
        of("a.exists(x, ", 300) + "x" + &of(")", 300),
        of("size(", 800),
        of("\"", 4001),
        of("a", 4097),
        format!("payload.a.matches(\"{}\")", of("(a{1000}){1000}", 3)),
        format!("payload.a.matches(\"{}\")", of("(", 1000)),
    ];
    let event = json::parse(br#"{"a":true,"payload":{"a":"aaaa"}}"#).unwrap();
    for text in expressions {
        let start = Instant::now();
        if let Ok(filter) = text.parse::<Filter>() {
            let _ = filter.holds(&event);
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}: {text:.60}");
    }
}

/// Random texts of the language's own words: no panic, and a refusal has a place in the text.
#[test]
fn random_words_end_in_a_filter_or_in_an_error() {
    const WORDS: &[&str] = &[
        "a",
        "payload",
        ".",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "'x'",
        "\"é\"",
        "'",
        "\"",
        "`",
        "ä",
        "€",
        "1",
        "1.5",
        "1e9",
        "-",
        "+",
        "*",
        "/",
        "%",
        "!",
        "!=",
        "==",
        "=",
        "<",
        ">=",
        "&&",
        "||",
        "&",
        "?",
        ":",
        ",",
        " in ",
        "has",
        "exists",
        "all",
        "true",
        "null",
        " ",
        "\n",
        "//",
        "r'\\d'",
        "b'x'",
        "'\\u00e9'",
        "'\\",
        "0x",
        "9u",
        "\u{1F600}",
        "\u{0}",
        "size",
        "matches",
        "exists(x, x)",
        "has(a.b)",
        "a.b",
        "[1,2]",
        "'''",
        "\\ud800",
        "'\\777'",
    ];
    let event = json::parse(br#"{"a":{"b":[1,"x"]},"payload":{"a":1.5}}"#).unwrap();
    let mut state: u64 = 88_172_645_463_325_252;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut understood = 0;
    for _ in 0..30_000 {
        let count = random(12) + 1;
        let text: String = (0..count).map(|_| WORDS[random(WORDS.len())]).collect();
        match text.parse::<Filter>() {
            Ok(filter) => {
                understood += 1;
                let _ = filter.holds(&event);
                assert!(!filter.is_exhausted());
            }
            Err(error) => {
                assert!(
                    error.offset <= text.len() && text.is_char_boundary(error.offset),
                    "{text:?}"
                );
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(understood > 300, "{understood}");
}

#[test]
fn an_event_that_takes_too_long_gives_the_condition_up() {
    let items = vec!["1"; 20_000].join(",");
    let line = format!("{{\"payload\":{{\"a\":[{items}]}}}}");
    let event = json::parse(line.as_bytes()).unwrap();
    let filter: Filter = "payload.a.all(x, payload.a.all(y, x == y))"
        .parse()
        .unwrap();
    let start = Instant::now();
    assert!(!filter.holds(&event));
    assert!(filter.is_exhausted());
    // Nothing more is evaluated.
    let small = json::parse(br#"{"payload":{"a":[1]}}"#).unwrap();
    assert!(!filter.holds(&small));
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    let again: Filter = filter.text().parse().unwrap();
    assert!(again.holds(&small));
}

#[test]
fn a_regular_expression_takes_linear_time() {
    let line = format!("{{\"a\":\"{}\"}}", "a".repeat(200_000));
    let event = json::parse(line.as_bytes()).unwrap();
    let filter: Filter = "a.matches(\"^(a+)+$b\") || a.matches(\"(a|aa)*c\")"
        .parse()
        .unwrap();
    let start = Instant::now();
    assert!(!filter.holds(&event));
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
