use super::*;
use provara_core::canonical::token_preserving;

fn set_on(base: &str, arguments: &[&str], schema: Option<&str>) -> Result<String, SetError> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let base = json::parse(base.as_bytes()).unwrap().into_owned();
    apply(base, &arguments, schema, None)
        .map(|value| String::from_utf8(token_preserving(&value)).unwrap())
}

fn set(arguments: &[&str], schema: Option<&str>) -> Result<String, SetError> {
    set_on("{}", arguments, schema)
}

const SCHEMA: Option<&str> = Some(
    r##"{"properties":{
        "name":{"type":"string"}, "count":{"type":"integer"}, "on":{"type":"boolean"},
        "maybe":{"type":["string","null"]}, "tags":{"items":{"type":"string"}},
        "level":{"enum":["1","2"]}, "user":{"$ref":"#/$defs/user"},
        "either":{"anyOf":[{"type":"number"},{"type":"boolean"}]},
        "list":{"type":"array"}, "open":{}},
        "$defs":{"user":{"properties":{"id":{"type":"string"},"self":{"$ref":"#/$defs/user"}}}}}"##,
);

#[test]
fn the_schema_gives_the_types() {
    for (argument, expected) in [
        ("name=5", r#"{"name":"5"}"#),
        ("name=\"5\"", r#"{"name":"\"5\""}"#),
        ("name=", r#"{"name":""}"#),
        ("name=a=b", r#"{"name":"a=b"}"#),
        ("count=5", r#"{"count":5}"#),
        ("on=true", r#"{"on":true}"#),
        ("maybe=null", r#"{"maybe":null}"#),
        ("maybe=5", r#"{"maybe":"5"}"#),
        ("level=1", r#"{"level":"1"}"#),
        ("user.id=7", r#"{"user":{"id":"7"}}"#),
        (
            "user.self.self.id=7",
            r#"{"user":{"self":{"self":{"id":"7"}}}}"#,
        ),
        ("either=1.50", r#"{"either":1.50}"#),
        ("either=false", r#"{"either":false}"#),
        ("list=[1,\"a\"]", r#"{"list":[1,"a"]}"#),
        ("open=5", r#"{"open":5}"#),
        ("open=text", r#"{"open":"text"}"#),
        ("unknown=true", r#"{"unknown":true}"#),
    ] {
        assert_eq!(
            set(&[argument], SCHEMA).as_deref(),
            Ok(expected),
            "{argument}"
        );
    }
    assert_eq!(
        set(&["tags[0]=1", "tags[1]=true"], SCHEMA).as_deref(),
        Ok(r#"{"tags":["1","true"]}"#)
    );
}

#[test]
fn a_wrong_type_says_what_is_wanted() {
    for (argument, text) in [
        ("count=five", "'five' for 'count' is not an integer"),
        ("on=yes", "'yes' for 'on' is not true or false"),
        (
            "either=x",
            "'x' for 'either' is not true or false or a number",
        ),
        ("list=1", "'1' for 'list' is not an array as JSON"),
    ] {
        assert_eq!(set(&[argument], SCHEMA).unwrap_err().to_string(), text);
    }
}

#[test]
fn without_a_schema_json_is_json() {
    assert_eq!(
        set(
            &[
                "a=1",
                "b=x",
                "c={\"d\":[null]}",
                "e=\"1\"",
                "f=01",
                "g.h=true"
            ],
            None
        )
        .as_deref(),
        Ok(r#"{"a":1,"b":"x","c":{"d":[null]},"e":"1","f":"01","g":{"h":true}}"#)
    );
}

/// Comparing every part of a schema with every other one would take minutes here.
#[test]
fn a_large_schema_takes_time_in_proportion() {
    let parts = vec![r#"{"type":"string"}"#; 100_000].join(",");
    let schema = format!("{{\"allOf\":[{parts}]}}");
    let started = std::time::Instant::now();
    assert!(set(&["a=1"], Some(&schema)).is_ok());
    let taken = started.elapsed();
    assert!(taken.as_secs() < 20, "{taken:?}");
}

#[test]
fn what_was_meant_as_json_is_not_signed_as_text() {
    for text in ["NaN", "-Infinity", "{\"x\":NaN}", "[1,-Infinity]", "[01]"] {
        let refused = set(&[&format!("a={text}")], None);
        assert!(matches!(refused, Err(SetError::BadJson { .. })), "{text}");
        let schema = r#"{"properties":{"a":{"type":"string"}}}"#;
        assert!(set(&[&format!("a={text}")], Some(schema)).is_ok(), "{text}");
    }
    for text in ["Nora", "Inf", "01067", "1.2.3", "[draft"] {
        assert!(set(&[&format!("a={text}")], None).is_ok(), "{text}");
    }
}

#[test]
fn paths() {
    assert_eq!(
        set(
            &["a\\.b=1", "c[0].d=2", "c[1][0]=3", "e.f=4", "e.g=5"],
            None
        )
        .as_deref(),
        Ok(r#"{"a.b":1,"c":[{"d":2},[3]],"e":{"f":4,"g":5}}"#)
    );
    for bad in [
        "=1", "a..b=1", ".a=1", "a.=1", "a[=1", "a[x]=1", "a[0]b=1", "a]=1", "\\a=1",
    ] {
        assert!(
            matches!(set(&[bad], None), Err(SetError::BadPath { .. })),
            "{bad}"
        );
    }
    assert!(matches!(set(&["a"], None), Err(SetError::NoValue(_))));
    let deep = format!("{}=1", vec!["a"; 65].join("."));
    assert!(matches!(set(&[&deep], None), Err(SetError::BadPath { .. })));
}

#[test]
fn what_is_there_is_kept_or_replaced_but_not_broken() {
    assert_eq!(
        set_on(r#"{"a":{"b":1},"c":2}"#, &["a.d=3", "c=4"], None).as_deref(),
        Ok(r#"{"a":{"b":1,"d":3},"c":4}"#)
    );
    assert_eq!(
        set(&["a=1", "a.b=2"], None).unwrap_err().to_string(),
        "'a.b' cannot be set: 'a' is already a number"
    );
    assert_eq!(
        set(&["a=1", "a=2"], None),
        Err(SetError::Twice("a".to_owned()))
    );
    assert_eq!(
        set(&["a[0]=1", "a[2]=2"], None),
        Err(SetError::NoSuchItem {
            key: "a[2]".to_owned(),
            length: 1
        })
    );
    assert!(matches!(
        set(&["[0]=1"], None),
        Err(SetError::BadPath { .. })
    ));
}

#[test]
fn further_schemas_give_types_too() {
    let further = r##"{
        "parts/address.json": {"properties": {"zip": {"$ref": "text.json"}, "back": {"$ref": "../order.json"}}},
        "parts/text.json": {"$id": "https://example.com/text", "type": "string"},
        "https://example.com/items.json": {"$defs": {"List<T>": {"items": {"type": "string"}}}}
    }"##;
    let schema = r##"{"$id": "https://example.com/order.json", "properties": {
        "to": {"$ref": "parts/address.json"},
        "note": {"$ref": "https://example.com/text"},
        "items": {"$ref": "items.json#/$defs/List%3CT%3E"},
        "lost": {"$ref": "absent.json"}}}"##;
    for schema in [schema.to_owned(), schema.replace("%3CT%3E", "<T>")] {
        for (argument, expected) in [
            ("to.zip=123", r#"{"to":{"zip":"123"}}"#),
            ("to.back.to.zip=1", r#"{"to":{"back":{"to":{"zip":"1"}}}}"#),
            ("note=5", r#"{"note":"5"}"#),
            ("items[0]=5", r#"{"items":["5"]}"#),
            ("lost=5", r#"{"lost":5}"#),
        ] {
            let base = Value::Object(Vec::new());
            let given = [argument.to_owned()];
            let data = apply(base, &given, Some(&schema), Some(further)).unwrap();
            let text = String::from_utf8(token_preserving(&data)).unwrap();
            assert_eq!(text, expected, "{argument}");
        }
    }
}
