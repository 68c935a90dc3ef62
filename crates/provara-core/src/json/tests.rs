use super::*;

fn kind(text: &str) -> ParseErrorKind {
    parse(text.as_bytes()).expect_err(text).kind
}

#[test]
fn number_tokens_are_kept() {
    let value = parse(b" [1.0, -0.0, 1E5, 12345678901234567890] ").unwrap();
    let tokens: Vec<_> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|item| match item {
            Value::Number(token) => token.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tokens, ["1.0", "-0.0", "1E5", "12345678901234567890"]);
}

#[test]
fn refuses_what_two_parsers_could_read_differently() {
    assert_eq!(
        kind(r#"{"a":1,"\u0061":2}"#),
        ParseErrorKind::DuplicateKey("a".into())
    );
    assert_eq!(kind(r#""\ud800""#), ParseErrorKind::LoneSurrogate);
    assert_eq!(kind(r#""\ud800\u0041""#), ParseErrorKind::LoneSurrogate);
    assert_eq!(kind("NaN"), ParseErrorKind::NotANumber);
    assert_eq!(kind("-Infinity"), ParseErrorKind::NotANumber);
    assert_eq!(kind("01"), ParseErrorKind::BadNumber);
    assert_eq!(kind("\u{feff}1"), ParseErrorKind::ByteOrderMark);
    assert_eq!(kind("1 2"), ParseErrorKind::TrailingBytes);
    assert_eq!(kind(""), ParseErrorKind::UnexpectedEnd);
}

#[test]
fn finds_duplicates_in_large_objects() {
    let mut text: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    assert!(parse(format!("{{{}}}", text.join(",")).as_bytes()).is_ok());
    text.push("\"k3\":0".into());
    assert_eq!(
        kind(&format!("{{{}}}", text.join(","))),
        ParseErrorKind::DuplicateKey("k3".into())
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(kind(&nested(MAX_DEPTH + 1)), ParseErrorKind::TooDeep);
    assert_eq!(kind(&"[".repeat(1_000_000)), ParseErrorKind::TooDeep);
}

#[test]
fn surrogate_pairs_join() {
    assert_eq!(
        parse(br#""\ud83d\ude00""#).unwrap().as_str(),
        Some("\u{1f600}")
    );
}
