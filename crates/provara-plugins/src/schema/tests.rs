use super::*;

fn schema(text: &str) -> CompiledSchema {
    CompiledSchema::new("com.acme.audit.login", "1.0", text).unwrap()
}

fn problems(schema_json: &str, data: &str) -> Vec<(String, String)> {
    let data = json::parse(data.as_bytes()).unwrap();
    match schema(schema_json).validate(&data) {
        Ok(()) => Vec::new(),
        Err(found) => found
            .violations
            .into_iter()
            .map(|v| (v.field, v.error))
            .collect(),
    }
}

fn only(schema_json: &str, data: &str) -> (String, String) {
    let mut found = problems(schema_json, data);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The schema of the specification's example.
const LOGIN: &str = r#"{
    "type": "object",
    "required": ["user_id", "success", "ip_address"],
    "properties": {
        "user_id": {"type": "string"},
        "success": {"type": "boolean"},
        "ip_address": {"type": "string", "format": "ipv4"},
        "user_agent": {"type": "string"}
    }
}"#;

#[test]
fn the_specified_text_to_the_letter() {
    let data = json::parse(br#"{"user_id":"alice","success":true,"ip_address":"192.168.1"}"#);
    let error = schema(LOGIN).validate(&data.unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ERROR: Event validation failed for type 'com.acme.audit.login'.\n  \
         Field: 'ip_address'\n  \
         Error: '192.168.1' is not a valid IPv4 address\n  \
         Schema: com.acme.audit.login v1.0\n\
         Fix: Correct the payload to match the schema."
    );
}

#[test]
fn several_problems_stand_in_document_order() {
    let data = json::parse(br#"{"ip_address":"x","user_id":5}"#).unwrap();
    let error = schema(LOGIN).validate(&data).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ERROR: Event validation failed for type 'com.acme.audit.login'.\n  \
         Field: 'success'\n  \
         Error: Missing required field 'success'\n  \
         Field: 'ip_address'\n  \
         Error: 'x' is not a valid IPv4 address\n  \
         Field: 'user_id'\n  \
         Error: 5 is not a string\n  \
         Schema: com.acme.audit.login v1.0\n\
         Fix: Correct the payload to match the schema."
    );
    let all_missing = problems(LOGIN, "{}");
    let fields: Vec<&str> = all_missing
        .iter()
        .map(|(field, _)| field.as_str())
        .collect();
    assert_eq!(fields, ["user_id", "success", "ip_address"]);
}

#[test]
fn paths_read_as_people_write_them() {
    let nested = r#"{"properties":{"user":{"required":["id"],"properties":{
        "emails":{"items":{"type":"string","format":"email"}},
        "0":{"type":"string"}, "a.b":{"type":"string"}}}}}"#;
    assert_eq!(
        problems(
            nested,
            r#"{"user":{"emails":["a@b.c","nope",3],"0":1,"a.b":2}}"#
        ),
        [
            (
                "user.id".to_owned(),
                "Missing required field 'id'".to_owned()
            ),
            (
                "user.emails[1]".to_owned(),
                "'nope' is not a valid email address".to_owned()
            ),
            ("user.emails[2]".to_owned(), "3 is not a string".to_owned()),
            ("user.0".to_owned(), "1 is not a string".to_owned()),
            ("user[\"a.b\"]".to_owned(), "2 is not a string".to_owned()),
        ]
    );
    assert_eq!(
        only(LOGIN, "[1]"),
        ("(payload)".to_owned(), "[1] is not an object".to_owned())
    );
}

#[test]
fn every_format_is_asserted_and_named() {
    for (format, bad, name) in [
        ("ipv4", "192.168.1", "IPv4 address"),
        ("ipv6", "::g", "IPv6 address"),
        ("date-time", "2026-13-01T00:00:00Z", "date-time"),
        ("date", "2026-02-30", "date"),
        ("time", "25:00:00Z", "time"),
        ("duration", "P1X", "duration"),
        ("email", "nobody", "email address"),
        ("idn-email", "nobody", "internationalized email address"),
        ("idn-hostname", "-ä", "internationalized hostname"),
        ("uri", "no scheme", "URI"),
        ("uri-reference", "\\\\x", "URI reference"),
        ("iri", "no scheme", "IRI"),
        ("iri-reference", "\\\\x", "IRI reference"),
        ("uri-template", "{a", "URI template"),
        ("uuid", "1234", "UUID"),
        ("hostname", "-a.example", "hostname"),
        ("json-pointer", "a", "JSON pointer"),
        ("relative-json-pointer", "/a", "relative JSON pointer"),
        ("regex", "(", "regular expression"),
    ] {
        let schema = format!(r#"{{"properties":{{"x":{{"format":"{format}"}}}}}}"#);
        let data = serde_json::json!({ "x": bad }).to_string();
        let (field, error) = only(&schema, &data);
        assert_eq!(field, "x");
        assert_eq!(error, format!("'{bad}' is not a valid {name}"));
    }
    for (format, good) in [
        ("ipv4", "192.168.1.1"),
        ("ipv6", "2001:db8::1"),
        ("date-time", "2026-11-22T10:00:00.5Z"),
        ("date", "2024-02-29"),
        ("email", "a@example.com"),
        ("uri", "https://example.com/a?b#c"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("hostname", "example.com"),
    ] {
        let schema = format!(r#"{{"format":"{format}"}}"#);
        assert_eq!(problems(&schema, &format!("{good:?}")), [], "{format}");
    }
}

#[test]
fn each_keyword_has_readable_words() {
    for (keyword, data, words) in [
        (
            r#""type":["integer","null"]"#,
            r#""a""#,
            "'a' is not an integer or null",
        ),
        (
            r#""enum":["a",1,null]"#,
            r#""b""#,
            "'b' is not one of 'a', 1 or null",
        ),
        (r#""const":"a""#, "1", "1 is not the required value 'a'"),
        (r#""minimum":10"#, "5", "5 is less than the minimum of 10"),
        (
            r#""maximum":1.5"#,
            "5",
            "5 is greater than the maximum of 1.5",
        ),
        (r#""exclusiveMinimum":5"#, "5", "5 is not greater than 5"),
        (r#""exclusiveMaximum":5"#, "5", "5 is not less than 5"),
        (r#""multipleOf":2"#, "5", "5 is not a multiple of 2"),
        (
            r#""minLength":1"#,
            r#""""#,
            "'' is shorter than 1 character",
        ),
        (
            r#""maxLength":2"#,
            r#""abc""#,
            "'abc' is longer than 2 characters",
        ),
        (
            r#""pattern":"^a$""#,
            r#""b""#,
            "'b' does not match the pattern '^a$'",
        ),
        (r#""minItems":2"#, "[1]", "[1] has fewer than 2 items"),
        (r#""maxItems":1"#, "[1,2]", "[1,2] has more than 1 item"),
        (r#""uniqueItems":true"#, "[1,1]", "[1,1] has an item twice"),
        (r#""minProperties":1"#, "{}", "{} has fewer than 1 field"),
        (
            r#""maxProperties":0"#,
            r#"{"a":1}"#,
            r#"{"a":1} has more than 0 fields"#,
        ),
        (
            r#""anyOf":[{"type":"string"},{"minItems":2},{"type":"null"}]"#,
            "[1]",
            "[1] matches none of the allowed forms \
             (1: [1] is not a string; 2: [1] has fewer than 2 items; 3: [1] is not null)",
        ),
        (
            r#""oneOf":[{"type":"number"},{"minimum":1}]"#,
            "5",
            "5 matches more than one of the allowed forms, but must match exactly one",
        ),
        (
            r#""not":{"type":"number"}"#,
            "5",
            r#"5 has a form that is not allowed: {"type":"number"}"#,
        ),
    ] {
        assert_eq!(
            only(&format!("{{{keyword}}}"), data),
            ("(payload)".to_owned(), words.to_owned())
        );
    }
    let closed = r#"{"properties":{"a":{}},"additionalProperties":false}"#;
    assert_eq!(
        problems(closed, r#"{"x":1,"a":2,"y":3}"#),
        [
            ("x".to_owned(), "Unexpected field 'x'".to_owned()),
            ("y".to_owned(), "Unexpected field 'y'".to_owned()),
        ]
    );
    let named = r#"{"propertyNames":{"pattern":"^[a-z]+$"}}"#;
    assert_eq!(
        only(named, r#"{"A":1}"#),
        (
            "A".to_owned(),
            "Field name not allowed: 'A' does not match the pattern '^[a-z]+$'".to_owned()
        )
    );
    assert_eq!(
        only(r#"{"properties":{"a":false}}"#, r#"{"a":1}"#),
        ("a".to_owned(), "1 is not allowed here".to_owned())
    );
}

#[test]
fn values_cannot_reach_the_terminal_raw() {
    let data = serde_json::json!({ "ip_address": "\u{1b}[2J", "success": true, "user_id": "a" });
    let (_, error) = only(LOGIN, &data.to_string());
    assert_eq!(error, "'\\u{1b}[2J' is not a valid IPv4 address");
    let (_, long) = only(r#"{"type":"null"}"#, &format!("{:?}", "x".repeat(500)));
    assert_eq!(long.chars().count(), 120 + 1 + 2 + " is not null".len());
}

#[test]
fn bad_schemas_are_refused() {
    let refused = |text: &str| CompiledSchema::new("t", "1.0", text).unwrap_err();
    assert!(matches!(refused("{"), SchemaError::NotJson(_)));
    assert!(matches!(
        refused(r#"{"type":"object","type":"array"}"#),
        SchemaError::NotJson(_)
    ));
    assert_eq!(refused("[]"), SchemaError::NotAnObject("an array"));
    assert_eq!(
        refused(r#"{"$schema":"https://example.com/x"}"#),
        SchemaError::UnknownDialect("https://example.com/x".to_owned())
    );
    for (text, place) in [
        (r#"{"type":"objekt"}"#, "/type"),
        (r#"{"required":"a"}"#, "/required"),
        (
            r#"{"properties":{"a":{"minLength":-1}}}"#,
            "/properties/a/minLength",
        ),
        (r#"{"pattern":"("}"#, "/pattern"),
    ] {
        let SchemaError::Invalid { at, .. } = refused(text) else {
            panic!("{text}")
        };
        assert_eq!(at, place, "{text}");
    }
}

#[test]
fn references_stay_inside() {
    for reference in [
        "http://127.0.0.1:1/schema",
        "file:///etc/hostname",
        "other.json",
        "#/$defs/x",
    ] {
        let text = format!(r#"{{"properties":{{"a":{{"$ref":"{reference}"}}}}}}"#);
        let error = CompiledSchema::new("t", "1.0", &text).unwrap_err();
        assert!(
            matches!(error, SchemaError::Invalid { .. }),
            "{reference}: {error}"
        );
    }
    let inside = r##"{"$ref":"#/$defs/s","$defs":{"s":{"type":"string"}}}"##;
    assert_eq!(only(inside, "1").1, "1 is not a string");
}

#[test]
fn hostile_schemas_end() {
    let slow = r#"{"pattern":"^(?=(a+)+$)(a+)+\\1$"}"#;
    let data = format!("\"{}!\"", "a".repeat(40));
    assert_eq!(problems(slow, &data).len(), 1);
    let tree =
        r##"{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":false}"##;
    assert_eq!(problems(tree, r#"{"next":{"next":{}}}"#), []);
    assert_eq!(only(tree, r#"{"next":{"next":{"x":1}}}"#).0, "next.next.x");
    // A schema that refers to itself without taking a step must not run out of stack.
    for endless in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#"}]}"##] {
        if let Ok(compiled) = CompiledSchema::new("t", "1.0", endless) {
            let _ = compiled.validate(&json::parse(b"{}").unwrap());
        }
    }
}

#[test]
fn dialects_follow_the_schema() {
    // In Draft 4 `exclusiveMinimum` is a boolean, which Draft 2020-12 refuses.
    let draft4 = r#"{"$schema":"http://json-schema.org/draft-04/schema#","minimum":5,"exclusiveMinimum":true}"#;
    assert_eq!(problems(draft4, "5").len(), 1);
    assert_eq!(problems(draft4, "6").len(), 0);
    assert!(CompiledSchema::new("t", "1.0", r#"{"minimum":5,"exclusiveMinimum":true}"#).is_err());
}

/// Comparing every problem with every other one would take minutes here.
#[test]
fn many_problems_take_time_in_proportion() {
    const MANY: usize = 100_000;
    let items: Vec<usize> = (0..MANY).collect();
    let members: serde_json::Map<String, serde_json::Value> =
        items.iter().map(|i| (format!("m{i}"), 1.into())).collect();
    let started = std::time::Instant::now();
    let schema = r#"{"items":{"type":"string"},"additionalProperties":{"type":"string"}}"#;
    for data in [
        serde_json::json!(items).to_string(),
        serde_json::json!(members).to_string(),
    ] {
        let data = json::parse(data.as_bytes()).unwrap();
        let found = self::schema(schema).validate(&data).unwrap_err();
        // They are counted for as long as the search may take.
        assert_eq!(found.violations.len(), 100);
        assert!((1000..=MANY - 100).contains(&found.more), "{}", found.more);
        assert!(found.violations[7].field.contains('7'), "{found}");
    }
    let taken = started.elapsed();
    assert!(taken.as_secs() < 30, "{taken:?}");
}

#[test]
fn long_lists_and_deep_alternatives_are_cut() {
    let options: Vec<usize> = (0..60).collect();
    let (_, error) = only(&serde_json::json!({ "enum": options }).to_string(), "-1");
    assert!(error.ends_with("48, 49 or 10 others"), "{error}");
    // Two alternatives on each of ten levels are a thousand.
    let mut schema = serde_json::json!({ "type": "null" });
    for _ in 0..10 {
        schema = serde_json::json!({ "anyOf": vec![schema; 2] });
    }
    let (_, error) = only(&schema.to_string(), "1");
    assert!(error.starts_with("1 matches none of the allowed forms (1: 1 matches"));
    assert!(error.len() < 500, "{error}");
}

#[test]
fn patterns_are_those_of_ecma_262() {
    let fits = |pattern: &str, text: &str| {
        let schema = serde_json::json!({ "pattern": pattern }).to_string();
        let data = serde_json::json!(text).to_string();
        let data = json::parse(data.as_bytes()).unwrap();
        let schema = CompiledSchema::new("t", "1.0", &schema);
        schema.map(|schema| schema.validate(&data).is_ok())
    };
    let mut wrong = Vec::new();
    for (pattern, text, expected) in [
        // No line terminator, of which there are four (ECMA-262, section 12.3).
        (r"^.$", "\n", false),
        (r"^.$", "\r", false),
        (r"^.$", "\u{2028}", false),
        (r"^.$", "\u{2029}", false),
        (r"^.$", "\u{85}", true),
        (r"^.$", "\u{b}", true),
        (r"^.*$", "a\rb", false),
        (r"^[^]$", "\r", true),
        (r"^[^a]$", "\r", true),
        // The same where the pattern looks around or refers back.
        (r"^(?=.).$", "\r", false),
        (r"^(?!x).$", "\u{2028}", false),
        (r"^(?<=^).$", "\u{2029}", false),
        (r"^(.)\1$", "\r\r", false),
        (r"^(?=.)\d$", "٣", false),
        (r"^(?=.)\w$", "é", false),
        (r"^(?=.)\s$", "\u{feff}", true),
        (r"^(?=.)\S$", "\u{85}", true),
        // ASCII, but white space, which is Unicode's with the byte order mark.
        (r"^\d$", "٣", false),
        (r"^\D$", "٣", true),
        (r"^\w$", "é", false),
        (r"^\W$", "é", true),
        (r"^\s$", "\u{a0}", true),
        (r"^\s$", "\u{feff}", true),
        (r"^\s$", "\u{85}", false),
        // `$` is the end and nothing before it.
        (r"^a$", "a\n", false),
        (r"a", "bab", true),
        (r"^\p{Lu}$", "É", true),
        (r"^\cA$", "\u{1}", true),
        (r"^[^]$", "\u{2028}", true),
        (r"^(?=.)[\d-x]\D$", "-٣", true),
        (r"^\u{1F600}$", "😀", true),
        (r"^.$", "😀", true),
        (r"\bé", "é", true),
        (r"é\b", "é", true),
    ] {
        let found = fits(pattern, text);
        if found != Ok(expected) {
            wrong.push((pattern, text, found));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn what_draft_7_reads_alike_is_compiled_as_such() {
    let compiled = |text: &str| CompiledSchema::new("a.b.c", "1.0", text).unwrap();
    let newest = jsonschema::Draft::Draft202012;
    for (text, built) in [
        (r#"{"type":"object"}"#, DRAFT_7),
        (
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}"#,
            DRAFT_7,
        ),
        (r#"{"type":"object","$defs":{}}"#, newest),
        (
            r#"{"$schema":"https://json-schema.org/draft/2019-09/schema","type":"object"}"#,
            jsonschema::Draft::Draft201909,
        ),
    ] {
        let schema = compiled(text);
        assert_eq!(schema.validator.draft(), built, "{text}");
        // What does not fit is explained as the author wrote it.
        let explained = schema.draft == newest || schema.draft == built;
        assert!(explained, "{text}");
    }
}

#[test]
fn a_fault_is_told_alike_whatever_compiles_the_schema() {
    let fault = |text: String| CompiledSchema::new("a.b.c", "1.0", &text).unwrap_err();
    for members in [
        r#""type":"strin""#,
        r#""required":"a""#,
        r#""enum":1"#,
        r#""properties":{"a":{"minLength":-1}}"#,
        r#""items":{"pattern":"("}"#,
        r#""anyOf":[]"#,
    ] {
        let of_newest = fault(format!("{{{members},\"$defs\":{{}}}}"));
        assert_eq!(fault(format!("{{{members}}}")), of_newest, "{members}");
    }
}
