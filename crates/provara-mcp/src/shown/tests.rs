use super::*;

fn shown(schema: &Value, room: usize) -> Shown {
    shapes(schema, &json!({}), &[room]).by_room.remove(0)
}

fn is_plain(schema: &Value) -> bool {
    shapes(schema, &json!({}), &[64_000, 4_000, 1_000]).is_plain
}

fn of(schema: Value) -> Value {
    Value::Object(shown(&schema, 1 << 20).schema)
}

#[test]
fn references_stand_where_they_lead() {
    let schema = json!({
        "$ref": "#/definitions/A<B>",
        "definitions": {
            "A<B>": {"type": "object", "properties": {
                "a": {"$ref": "#/definitions/c~1d%25"}, "b": {"$ref": "#named"}, "e": {"$ref": "other.json#/$defs/x"},
                "gone": {"$ref": "https://example.org/elsewhere"}
            }},
            "c/d%": {"type": "string"},
            "n": {"$anchor": "named", "minimum": 1},
            "o": {"$id": "other.json", "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"const": 1}}}
        }
    });
    let expected = json!({"type": "object", "properties": {
        "a": {"type": "string"}, "b": {"minimum": 1}, "e": {"const": 1}, "gone": {}
    }});
    assert_eq!(of(schema.clone()), expected);
    assert!(is_plain(&schema));
    assert!(!shown(&schema, 1 << 20).whole);
}

#[test]
fn what_a_plugin_brings_stands_where_references_lead() {
    let schema = json!({
        "$id": "https://example.org/s/main.json",
        "properties": {
            "a": {"$ref": "money.json#/$defs/amount"},
            "b": {"$ref": "https://example.org/s/money.json"},
            "c": {"$ref": "urn:example:unit"},
            "d": {"$ref": "other.json"}
        }
    });
    let further = json!({
        "money.json": {"type": "object", "$defs": {"amount": {"$ref": "#/$defs/cents"}, "cents": {"type": "integer"}}},
        "https://example.org/units": {"$id": "urn:example:unit", "enum": ["m", "s"]}
    });
    let shown = shapes(&schema, &further, &[1 << 20]).by_room.remove(0);
    let expected = json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": "object"}, "c": {"enum": ["m", "s"]}, "d": {}
    }});
    assert_eq!(Value::Object(shown.schema), expected);
    assert!(!shown.whole);
}

#[test]
fn what_comes_again_in_itself_is_shown_once() {
    let node = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}}});
    let schema =
        json!({"properties": {"first": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}});
    assert_eq!(
        of(schema),
        json!({"type": "object", "properties": {"first": {"type": "object", "properties": {
            "next": {}, "v": {"type": "integer"}
        }}}})
    );
    let itself = json!({"properties": {"child": {"$ref": "#"}, "n": {"not": {"$ref": "#"}}}});
    let expected = json!({"type": "object", "properties": {"child": {}, "n": {}}});
    assert_eq!(of(itself), expected);
    assert_eq!(of(json!({"$ref": "#"})), json!({"type": "object"}));
}

#[test]
fn old_dialects_become_the_newest() {
    let old = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "https://example.org/s",
        "properties": {
            "n": {"minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false, "const": 7},
            "t": {"items": [{"type": "string"}, {}], "additionalItems": false},
            "r": {"$ref": "#/definitions/r", "description": "not there"}
        },
        "dependencies": {"n": ["t"], "t": {"required": ["r"]}},
        "definitions": {"r": {"type": "null"}}
    });
    assert_eq!(
        of(old),
        json!({
            "type": "object",
            "properties": {
                "n": {"exclusiveMinimum": 0, "maximum": 9},
                "t": {"prefixItems": [{"type": "string"}, {}], "maxItems": 2},
                "r": {"type": "null"}
            },
            "dependentRequired": {"n": ["t"]},
            "dependentSchemas": {"t": {"required": ["r"]}}
        })
    );
}

#[test]
fn booleans_tuples_and_patterns_that_some_clients_misread() {
    let schema = json!({"properties": {
        "any": true,
        "none": false,
        "pair": {"prefixItems": [true, {"type": "string"}], "items": false, "maxItems": 5},
        "more": {"prefixItems": [{}], "items": {"type": "string"}},
        "empty": {"type": "array", "items": false},
        "python": {"pattern": "^(?i)a\\Z"},
        "good": {"pattern": "^a$"},
        "open": {"patternProperties": {"(?i)x": {}, "^y": false}, "additionalProperties": false}
    }});
    assert_eq!(
        of(schema),
        json!({"type": "object", "properties": {
            "any": {},
            "none": {"not": {}},
            "pair": {"prefixItems": [{}, {"type": "string"}], "maxItems": 2},
            "more": {"prefixItems": [{}]},
            "empty": {"type": "array", "maxItems": 0},
            "python": {},
            "good": {"pattern": "^a$"},
            "open": {"patternProperties": {"^y": {"not": {}}}}
        }})
    );
}

#[test]
fn what_says_less_refuses_no_more() {
    let gone = json!({"$ref": "https://example.org/elsewhere"});
    let schema = json!({"properties": {
        "a": {"not": gone},
        "b": {"oneOf": [gone, {"type": "string"}]},
        "c": {"if": gone, "then": false},
        "d": {"contains": gone, "maxContains": 1},
        "e": {"contains": {"const": 1}, "minContains": 0},
        "f": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "g": {"not": {"const": 1}, "unevaluatedProperties": false}
    }});
    assert_eq!(
        of(schema),
        json!({"type": "object", "properties": {
            "a": {},
            "b": {"anyOf": [{}, {"type": "string"}]},
            "c": {},
            "d": {"contains": {}},
            "e": {},
            "f": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "g": {"not": {"const": 1}}
        }})
    );
}

#[test]
fn beside_a_reference() {
    let schema = json!({
        "$defs": {"s": {"type": "string"}, "o": {"properties": {"a": {}}, "additionalProperties": false}},
        "properties": {
            "a": {"$ref": "#/$defs/s", "description": "mine", "maxLength": 3},
            "b": {"$ref": "#/$defs/o", "properties": {"b": {}}}
        }
    });
    assert_eq!(
        of(schema),
        json!({"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 3, "description": "mine"},
            "b": {"allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"properties": {"b": {}}}]}
        }})
    );
}

#[test]
fn plain_roots() {
    for plain in [
        json!({}),
        json!({"type": "object", "properties": {"a.b-c_D": {"oneOf": [{}]}}, "required": ["a.b-c_D"]}),
        json!({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": true}}}}),
        json!({"$schema": "x", "$id": "y", "$comment": "z", "x-mine": 1}),
    ] {
        assert!(is_plain(&plain), "{plain}");
    }
    for other in [
        json!({"oneOf": [{}]}),
        json!({"anyOf": [{}]}),
        json!({"allOf": [{}]}),
        json!({"not": {"required": ["a"]}}),
        json!({"if": {"required": ["a"]}}),
        json!({"enum": [{}]}),
        json!({"patternProperties": {"a": {}}}),
        json!({"maxProperties": 1}),
        json!({"properties": {"": {}}}),
        json!({"properties": {"a b": {}}}),
        json!({"properties": {"$schema": {}}}),
        json!({"properties": {"x".repeat(65): {}}}),
    ] {
        assert!(!is_plain(&other), "{other}");
    }
}

#[test]
fn what_is_large_says_its_top_level() {
    let leaf = json!({"type": "object", "description": "d".repeat(300), "properties": {
        "inner": {"type": "object", "properties": {"deep": {"type": "string", "description": "e".repeat(300)}}}
    }});
    let named: JsonObject = (0..20).map(|n| (format!("p{n}"), leaf.clone())).collect();
    let schema = json!({"type": "object", "properties": named, "required": ["p0"], "additionalProperties": false});
    let full = shown(&schema, 1 << 20);
    assert!(full.whole);
    assert_eq!(Value::Object(full.schema), schema);
    for room in [12_000, 4_000, 2_500, 1_200] {
        let short = shown(&schema, room);
        assert!(!short.whole);
        let text = Value::Object(short.schema.clone()).to_string();
        assert!(text.len() <= room, "{room}: {}", text.len());
        assert_eq!(short.schema["properties"].as_object().unwrap().len(), 20);
        assert_eq!(short.schema["required"], json!(["p0"]));
        assert_eq!(short.schema["additionalProperties"], json!(false));
    }
    let tiny = Value::Object(shown(&schema, 100).schema);
    assert_eq!(tiny, json!({"type": "object"}));
}

#[test]
fn a_schema_that_multiplies_is_bounded() {
    let mut defs = JsonObject::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
        defs.insert(
            format!("l{level}"),
            json!({"properties": {"a": next, "b": next}}),
        );
    }
    let schema = json!({"$ref": "#/$defs/l0", "$defs": defs});
    let shown = shown(&schema, 4_000);
    assert!(!shown.whole);
    assert!(Value::Object(shown.schema).to_string().len() <= 4_000);
    assert!(is_plain(&schema));
}

#[test]
fn what_a_schema_says_is_made_safe_and_what_it_means_stays() {
    let (bad, safe) = ("\u{1b}[2J\u{202e}", "\\u{1b}[2J\\u{202e}");
    let schema = |text: &str| {
        json!({
            "type": "object",
            "description": text,
            "properties": {"a": {"title": text, "enum": [{"title": bad}, bad], "const": {"description": bad}}},
            "required": [bad]
        })
    };
    assert_eq!(of(schema(bad)), schema(safe));
}

#[test]
fn what_members_may_be_does_not_depend_on_the_room() {
    let form =
        |n: usize| json!({"type": "object", "properties": {"t": {"const": format!("t{n}")}}});
    let forms: Vec<_> = (0..150).map(form).collect();
    let schema = json!({"type": "object", "properties": {"m": {"oneOf": forms}}});
    let told = [64_000, 200].map(|room| {
        let shapes = shapes(&schema, &json!({}), &[room]);
        let mut answers = Vec::new();
        for text in [r#"{"t": "t1"}"#, "[1]"] {
            let mut arguments = JsonObject::from_iter([("m".to_owned(), json!(text))]);
            let taken = crate::given::take_texts(&shapes.wanted, &mut arguments, &mut None);
            answers.push((arguments, taken.is_ok()));
        }
        (shapes.by_room[0].schema["properties"]["m"].clone(), answers)
    });
    assert_ne!(told[0].0, json!({}));
    assert_eq!(told[1].0, json!({}));
    assert_eq!(told[0].1, told[1].1);
    assert_eq!(told[1].1[0].0["m"], json!({"t": "t1"}));
    assert_eq!((told[1].1[0].1, told[1].1[1].1), (true, false));
}
