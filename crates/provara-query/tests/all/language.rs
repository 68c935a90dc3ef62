//! What conditions mean.

use provara_core::query::Query;
use provara_query::{ExpressionError, Filter, Kind, Problem};

const EVENT: &[u8] = br#"{"actor":"alice","namespace":"canonical","payload":{"a\"b":2,"big":9007199254740993,"flag":true,"id.orig_h":"10.0.0.1","list":[1,"x",{"k":null}],"n":1.0,"none":null,"note":"line one","nums":[1,5,9],"obj":{"k":1},"ok":false,"small":0.1,"tags":["vpn","home"],"text":"900","time":"2026-01-02T03:04:05Z","zip":"007"},"timestamp_utc":"2026-11-22T10:00:00Z","type":"com.acme.a.b"}"#;

fn matches(condition: &str) -> bool {
    let filter: Filter = condition
        .parse()
        .unwrap_or_else(|error: ExpressionError| panic!("{condition}: {error}"));
    Query::default().predicate(filter).matches(EVENT)
}

#[test]
fn these_are_met() {
    for condition in [
        // the short form
        "payload.n=1",
        "payload.n=1.0",
        "payload.flag=true",
        "payload.list[1]=x",
        "payload.list[1]=\"x\"",
        "payload.list[2].k=null",
        "payload.list[2]={\"k\":null}",
        "payload.zip=007",
        "actor=alice",
        "payload[\"id.orig_h\"]=10.0.0.1",
        "payload['id.orig_h']=10.0.0.1",
        // comparisons
        "payload.n == 1",
        "payload.n == 1.000",
        "payload.big > 9007199254740992",
        "payload.big == 9007199254740993",
        "payload.big < 9007199254740993.5",
        "payload.big < 18446744073709551616",
        "payload.small == 0.1",
        "payload.small > 1e-400",
        "payload.n >= -5",
        "payload.n == 0x1",
        "payload.n == 1u",
        "payload.zip < \"1\"",
        "payload.n != 2 && payload.flag",
        "!payload.ok",
        "payload.none == null",
        "payload.list[2].k == null",
        "payload.obj == {\"k\": 1.0}",
        "payload.nums == [1, 5.0, 9]",
        "payload.text != 900",
        "double(payload.text) == 900",
        // keys
        "payload[\"id.orig_h\"] == '10.0.0.1'",
        "payload.`id.orig_h`.startsWith(\"10.\")",
        "payload[\"a\\\"b\"] == 2",
        "event[\"actor\"] == actor",
        "namespace == \"canonical\"",
        "type == \"com.acme.a.b\"",
        // texts
        "payload.note.contains(\"one\")",
        "payload.note.endsWith(\"one\")",
        "payload.note.matches(r\"^line\\s\\w+$\")",
        "payload.note.matches(\"^line\\\\s\")",
        "matches(payload.note, \"ne o\")",
        "payload.note.matches(\"(?i)LINE\")",
        "size(payload.note) == 8",
        "payload.tags.size() == 2",
        // lists
        "\"vpn\" in payload.tags",
        "actor in [\"alice\", \"bob\"]",
        "actor in [payload.note, \"alice\"]",
        "\"k\" in payload.obj",
        "payload.tags.exists(tag, tag.startsWith(\"v\"))",
        "payload.nums.all(n, n > 0)",
        "payload.nums.exists_one(n, n > 5)",
        "payload.obj.exists(key, key == \"k\")",
        "payload.nums.exists(n, payload.nums.exists(m, m > n))",
        // members
        "has(payload.n)",
        "has(payload.none)",
        "!has(payload.missing)",
        "has(payload[\"id.orig_h\"])",
        "!has(missing)",
        // times
        "timestamp(payload.time) < timestamp(timestamp_utc)",
        "timestamp(payload.time) == timestamp(\"2026-01-02T05:04:05+02:00\")",
        // what cannot be computed, where something else decides
        "payload.missing == 1 || payload.n == 1",
        "payload.n == 1 || payload.missing == 1",
        "!(payload.missing == 1 && payload.ok)",
        "payload.flag ? payload.n == 1 : payload.missing == 1",
        "payload.list.exists(x, x == \"x\")",
        " payload.n == 1 // a remark",
    ] {
        assert!(matches(condition), "{condition}");
    }
}

#[test]
fn these_are_not_met() {
    for condition in [
        "payload.n=2",
        "payload.zip=7",
        "payload.none=1",
        "payload.list[9]=x",
        "payload.big == 9007199254740992",
        // a member that is missing compares with nothing
        "payload.missing == 1",
        "payload.missing != 1",
        "!(payload.missing == 1)",
        "payload.missing == null",
        "payload.missing.deeper == 1",
        "!has(payload.missing.deeper)",
        "missing == payload.missing",
        "payload.missing.exists(x, true)",
        "payload.missing == 1 && payload.n == 1",
        "payload.list[-1] == 1",
        "payload.list[3] == 1",
        // mixed types have no order and are not equal
        "payload.text >= 900",
        "payload.text < 900",
        "payload.text == 900",
        "payload.none >= 0",
        "payload.none == 0",
        "payload.flag > 0",
        "payload.n.contains(\"1\")",
        "payload.n",
        "payload.note",
        "payload.note && true",
        "size(payload.n) == 1",
        "double(payload.note) > 0 || double(payload.note) <= 0",
        "timestamp(payload.note) > timestamp(payload.time)",
        "payload.note.matches(\"^one\")",
        "\"vpn\" in payload.note",
        "payload.nums.exists_one(n, n > 1)",
        "payload.nums.all(n, n > 1)",
        "payload.list.all(x, x > 0)",
        "false",
    ] {
        assert!(!matches(condition), "{condition}");
    }
}

#[test]
fn what_is_not_understood_says_where() {
    for (text, character, words) in [
        ("", 1, "not the end"),
        ("payload.value", 0, ""),
        ("payload.value = 900", 15, "'=='"),
        ("payload.a == ", 14, "a value"),
        ("payload.a >= 900 and payload.b", 18, "an operator"),
        ("payload.a & payload.b", 11, "'&&'"),
        ("payload.a + 1 > 2", 11, "arithmetic"),
        ("payload.a - 1 > 2", 11, "arithmetic"),
        ("payload.a-b == 1", 10, "arithmetic"),
        ("payload.a == \"x", 14, "closing \""),
        ("payload.a == \"\\d\"", 15, "escape"),
        ("payload.ä == 1 $", 16, "'$'"),
        ("payload.a.like(\"x\")", 11, "method 'like'"),
        ("lower(payload.a) == \"x\"", 1, "function 'lower'"),
        ("payload.a.matches(\"(\")", 11, "regular expression"),
        ("payload.a.matches(payload.b)", 11, "in quotes"),
        ("payload.a.contains()", 11, "one text"),
        ("size(payload.a, 1) == 1", 1, "one argument"),
        ("payload.a in [1, 2", 19, "','"),
        ("(payload.a == 1", 16, "')'"),
        ("payload.a == 1)", 15, "an operator"),
        ("payload.a[0 == 1", 17, "']'"),
        ("payload. == 1", 10, "the name of a member"),
        ("payload.a == 01x", 14, "no number"),
        ("payload.a == 1e", 14, "no number"),
        ("payload.a == b'x'", 14, "byte strings"),
        ("if == 1", 1, "reserved"),
        ("payload.a == 'é' €", 18, "'€'"),
        ("900", 1, "a number"),
        ("\"text\"", 1, "a string"),
        ("[payload.a]", 1, "a list"),
        ("size(payload.a)", 1, "a number"),
        ("payload.a == 1 && type", 19, "a string"),
        ("payload.a == 1 && (900)", 19, "a number"),
        ("900 || payload.a", 1, "a number"),
        ("!size(payload.a)", 2, "a number"),
        ("payload.a.exists(x, \"x\")", 21, "a string"),
        ("event ? true : false", 1, "an object"),
        (
            "timestamp(timestamp_utc) > timestamp(\"2026-01-01\")",
            38,
            "no moment",
        ),
        (
            "timestamp(timestamp_utc) > \"2026-01-01T00:00:00Z\"",
            26,
            "a time compares with a time only",
        ),
        (
            "payload.at == timestamp(timestamp_utc)",
            12,
            "a time compares with a time only",
        ),
        ("double(\"12a\") == 1", 8, "'12a' is no number"),
        ("payload.tags.exists(x.y, true)", 22, "','"),
        ("has(1)", 1, "a member"),
        ("a..b == 1", 3, "the name of a member"),
        ("=1", 1, "'=='"),
        ("a[x=1", 4, "'=='"),
    ] {
        if character == 0 {
            assert!(text.parse::<Filter>().is_ok(), "{text}");
            continue;
        }
        let error = text.parse::<Filter>().expect_err(text);
        assert_eq!(error.character(), character, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

#[test]
fn what_is_read_is_known() {
    let filter: Filter =
        "payload.a >= 900 && (payload.b == \"x\" || !has(payload.c)) && payload.d.exists(x, x == payload.e[0])"
            .parse()
            .unwrap();
    let reads: Vec<_> = filter
        .reads()
        .into_iter()
        .map(|read| (read.path.to_string(), read.kind))
        .collect();
    let expected = [
        ("payload.a", Some(Kind::Number)),
        ("payload.b", Some(Kind::Text)),
        ("payload.d", None),
        ("payload.e[0]", None),
    ];
    assert_eq!(reads, expected.map(|(path, kind)| (path.to_owned(), kind)));
    let kinds = |condition: &str| -> Vec<_> {
        let filter: Filter = condition.parse().unwrap();
        filter.reads().into_iter().map(|read| read.kind).collect()
    };
    let truth = Some(Kind::Condition);
    for condition in [
        "payload.a",
        "!payload.a",
        "payload.a && payload.b",
        "payload.a || !payload.b",
        "payload.a ? payload.b : payload.c",
    ] {
        assert!(
            kinds(condition).iter().all(|kind| *kind == truth),
            "{condition}"
        );
    }
    assert_eq!(kinds("payload.l.all(x, payload.a)"), [None, truth]);
    let time = "timestamp(payload.a) < timestamp(\"2026-01-31T12:00:00Z\")";
    assert_eq!(kinds(time), [Some(Kind::Time)]);
    assert_eq!(kinds("double(payload.a) > 1"), [Some(Kind::Numeric)]);
}

#[test]
fn a_text_that_is_asked_for_is_looked_for_in_the_line() {
    use provara_core::query::Predicate;
    for (condition, needle) in [
        ("payload.a == \"vpn\"", Some("\"vpn\"")),
        ("payload.n > 1 && \"vpn\" == payload.a", Some("\"vpn\"")),
        ("payload.a=vpn", Some("\"vpn\"")),
        ("payload.a=007", Some("\"007\"")),
        ("payload.a=7", None),
        ("payload.a == \"vpn\" || payload.b == 1", None),
        ("!(payload.a == \"vpn\")", None),
        ("payload.a == \"a\\\"b\"", None),
        ("payload.a == \"\u{e9}\"", None),
    ] {
        let filter: Filter = condition.parse().unwrap();
        assert_eq!(filter.needle(), needle.map(str::as_bytes), "{condition}");
    }
    assert!(matches!(
        "x".repeat(5000).parse::<Filter>(),
        Err(ExpressionError {
            problem: Problem::TooLong,
            ..
        })
    ));
}
