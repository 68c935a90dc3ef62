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

#[test]
fn a_plain_run_ends_at_the_first_byte_that_is_not_plain() {
    for byte in 0..=u8::MAX {
        let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
        for at in 0..40 {
            for neighbour in [b'x', 0x20, 0x80, 0xff] {
                let mut bytes = [neighbour; 40];
                bytes[at] = byte;
                assert_eq!(
                    plain_run(&bytes),
                    if plain { 40 } else { at },
                    "{byte} at {at}"
                );
            }
        }
    }
    // What follows a byte that ends the run must not hide it, nor the other way round.
    assert_eq!(plain_run(b"ab\x1f\x20\x00\"cd"), 2);
    assert_eq!(plain_run(b"\"\x21\x22"), 0);
    assert_eq!(plain_run(b""), 0);
}

/// Gives the keys of a text, and marks those that it expected: `"a":`, with nothing between.
struct ExpectsA(Vec<String>);

impl<'a> Build<'a> for ExpectsA {
    type Value = ();
    type Array = ();
    type Object = ();
    type Key = ();
    type Error = ParseError;

    fn null(&mut self) {}
    fn boolean(&mut self, _: bool) {}
    fn number(&mut self, _: &'a str) -> Result<(), ParseError> {
        Ok(())
    }
    fn string(&mut self, _: Cow<'a, str>) {}
    fn array(&mut self) {}
    fn item(&mut self, (): &mut (), (): ()) -> Result<(), ParseError> {
        Ok(())
    }
    fn end_array(&mut self, (): ()) {}
    fn object(&mut self) {}
    fn expected_key(&mut self, (): &mut (), rest: &[u8]) -> Option<((), usize)> {
        rest.starts_with(br#""a":"#).then(|| {
            self.0.push("expected".to_owned());
            ((), 4)
        })
    }
    fn key(&mut self, (): &mut (), key: Cow<'a, str>) -> Option<()> {
        self.0.push(key.into_owned());
        Some(())
    }
    fn member(&mut self, (): &mut (), (): (), (): ()) -> Result<(), ParseError> {
        Ok(())
    }
    fn end_object(&mut self, (): ()) -> Result<(), ParseError> {
        Ok(())
    }
}

#[test]
fn a_key_that_the_builder_expects_is_not_read() {
    let keys = |text: &str| {
        let mut builder = ExpectsA(Vec::new());
        build(text.as_bytes(), &mut builder).map(|()| builder.0)
    };
    assert_eq!(
        keys(r#"{"a":1,"b":{"a": [2]}, "a" :3,"\u0061":4}"#).unwrap(),
        ["expected", "b", "expected", "a", "a"]
    );
    // What follows it is held to the rules as ever, and errors have their places.
    for text in [
        r#"{"a":}"#,
        r#"{"a":1 2}"#,
        r#"{"a":"#,
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
    ] {
        assert_eq!(keys(text).unwrap_err(), parse(text.as_bytes()).unwrap_err());
    }
}
