//! The explanation against the validator: the one finds something exactly where the other refuses.

use std::io::Read;

use provara_core::canonical::token_preserving;
use provara_core::json::{Value, object, parse};
use serde_json::json;

use crate::schema::{CompiledSchema, to_tree};

/// The files of the JSON-Schema-Test-Suite, by path.
fn suite() -> Vec<(String, Vec<u8>)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/json-schema.tar.xz"
    );
    let packed = std::fs::read(path).unwrap();
    let mut archive = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut archive).unwrap();
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.push((name, content));
    }
    files
}

/// The documents that the suite refers to, as a plugin brings them.
fn remotes(files: &[(String, Vec<u8>)]) -> String {
    let mut schemas = serde_json::Map::new();
    for (name, content) in files {
        let Some((_, name)) = name.split_once("remotes/") else {
            continue;
        };
        // What names a dialect of its own, or one that is not known, is refused.
        let text = String::from_utf8_lossy(content);
        let known = !(name.starts_with("draft3/") || name.starts_with("v1/"));
        if known && name.ends_with(".json") && !text.contains("\"$schema\": \"http://localhost") {
            let schema: serde_json::Value = serde_json::from_slice(content).unwrap();
            let uri = format!("http://localhost:1234/{name}");
            schemas.extend(schema.is_object().then_some((uri, schema)));
        }
    }
    serde_json::to_string(&schemas).unwrap()
}

#[test]
fn something_is_found_exactly_where_the_validator_refuses() {
    let files = suite();
    let remotes = remotes(&files);
    let (mut cases, mut wrong) = (0, Vec::new());
    for (name, content) in &files {
        if !name.contains("tests/draft2020-12/") || !name.ends_with(".json") {
            continue;
        }
        for group in parse(content).unwrap().as_array().unwrap() {
            let schema = match group.get("schema").unwrap() {
                boolean @ Value::Bool(_) => {
                    object([("allOf", Value::Array(vec![boolean.clone()]))])
                }
                other => other.clone(),
            };
            let schema = String::from_utf8(token_preserving(&schema)).unwrap();
            let Ok(schema) = CompiledSchema::with_further("t", "1.0", &schema, Some(&remotes))
            else {
                continue;
            };
            for case in group.get("tests").and_then(Value::as_array).unwrap() {
                let data = to_tree(case.get("data").unwrap());
                let valid = schema.validator.is_valid(&data);
                let (found, _) = schema.explain(&data).unwrap();
                cases += 1;
                if valid != found.is_empty() {
                    let told = |of: &Value<'_>| format!("{:?}", of.get("description"));
                    wrong.push(format!(
                        "{name}: {} {}: {valid} {found:?}",
                        told(group),
                        told(case)
                    ));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(cases > 2_000, "{cases}");
}

fn problems(schema: &serde_json::Value, data: &serde_json::Value) -> Vec<(String, String)> {
    let schema = CompiledSchema::new("t", "1.0", &schema.to_string()).unwrap();
    let text = data.to_string();
    match schema.validate(&parse(text.as_bytes()).unwrap()) {
        Ok(()) => Vec::new(),
        Err(found) => {
            let found = found.violations.into_iter();
            found.map(|found| (found.field, found.error)).collect()
        }
    }
}

fn only(schema: &serde_json::Value, data: &serde_json::Value) -> (String, String) {
    let found = problems(schema, data);
    let [(field, error)] = &found[..] else {
        panic!("{found:?}");
    };
    (field.clone(), error.clone())
}

fn told(field: &str, error: &str) -> (String, String) {
    (field.to_owned(), error.to_owned())
}

/// Kinds of pets with a tag, as pydantic writes a union with `Field(discriminator="kind")`.
fn pets() -> serde_json::Value {
    let pet = |kind: &str, member: &str| {
        json!({
            "title": kind.to_uppercase(),
            "type": "object",
            "properties": {"kind": {"const": kind, "type": "string"}, member: {"type": "integer"}},
            "required": ["kind", member],
            "additionalProperties": false,
        })
    };
    json!({
        "$defs": {"Cat": pet("cat", "lives"), "Dog": pet("dog", "tricks"), "Fish": pet("fish", "fins")},
        "properties": {"pet": {
            "discriminator": {
                "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog", "fish": "#/$defs/Fish"},
                "propertyName": "kind",
            },
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}, {"$ref": "#/$defs/Fish"}],
        }},
    })
}

#[test]
fn the_branch_of_the_tag_is_told() {
    let mut schema = pets();
    for _ in 0..2 {
        let check = |pet: serde_json::Value, field: &str, error: &str| {
            assert_eq!(only(&schema, &json!({ "pet": pet })), told(field, error));
        };
        check(
            json!({"kind": "dog", "tricks": "many"}),
            "pet.tricks",
            "'many' is not an integer (in the form Dog)",
        );
        check(
            json!({"kind": "fish"}),
            "pet.fins",
            "Missing required field 'fins' (in the form Fish)",
        );
        check(
            json!({"kind": "dgo", "tricks": 1}),
            "pet.kind",
            "'dgo' is none of the 3 forms; did you mean 'dog'?",
        );
        check(
            json!({"kind": 7}),
            "pet.kind",
            "7 is not one of 'cat', 'dog' or 'fish'",
        );
        check(
            json!({"tricks": 1}),
            "pet.kind",
            "Missing required field 'kind', which tells 3 forms apart",
        );
        assert_eq!(
            problems(&schema, &json!({"pet": {"kind": "cat", "lives": 9}})),
            []
        );
        // The tags alone tell as much.
        schema["properties"]["pet"]
            .as_object_mut()
            .unwrap()
            .remove("discriminator");
    }
}

fn both_fit(value: &str) -> String {
    format!("{value} matches more than one of the allowed forms, but must match exactly one")
}

#[test]
fn openapi_maps_values_to_schemas() {
    let schema = |mapping: serde_json::Value| {
        json!({
            "components": {"schemas": {
                "Card": {"required": ["number"], "properties": {"type": {"type": "string"}}},
                "Bank": {"required": ["iban"], "properties": {"type": {"type": "string"}}},
            }},
            "oneOf": [
                {"$ref": "#/components/schemas/Card"},
                {"$ref": "#/components/schemas/Bank"},
            ],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        })
    };
    let mapped = schema(json!({"by-bank": "#/components/schemas/Bank", "by-card": "Card"}));
    let missing = |name: &str, form: &str| {
        let error = format!("Missing required field '{name}' (in the form {form})");
        told(name, &error)
    };
    assert_eq!(
        only(&mapped, &json!({"type": "by-bank"})),
        missing("iban", "Bank")
    );
    assert_eq!(
        only(&mapped, &json!({"type": "by-card"})),
        missing("number", "Card")
    );
    // Without a mapping the names of the schemas are the values.
    let named = schema(json!({}));
    assert_eq!(
        only(&named, &json!({"type": "Card"})),
        missing("number", "Card")
    );
    assert_eq!(
        only(&named, &json!({"type": "Crad", "number": "x", "iban": 1})),
        told(
            "(payload)",
            &both_fit(r#"{"type":"Crad","number":"x","iban":1}"#)
        )
    );
    assert_eq!(
        only(&named, &json!({"type": "Crad"})),
        told(
            "type",
            "'Crad' is none of the 2 forms; did you mean 'Card'?"
        )
    );
    assert_eq!(
        only(&named, &json!({})),
        told(
            "type",
            "Missing required field 'type', which tells 2 forms apart"
        )
    );
    // A form counts once, by however many names.
    let forms = ["{}", r#"{"type": "by-crad"}"#].map(|data| {
        let data = serde_json::from_str(data).unwrap();
        only(&mapped, &data).1
    });
    assert_eq!(
        forms,
        [
            "Missing required field 'type', which tells 2 forms apart",
            "'by-crad' is none of the 2 forms; did you mean 'by-card'?"
        ]
    );
    // The verdict is the branches': a discriminator only helps to tell what was meant.
    let mut beside = named.clone();
    beside["required"] = json!(["other"]);
    for data in [json!({"number": 1}), json!({"type": "Bank", "number": 1})] {
        assert_eq!(
            only(&beside, &data),
            told("other", "Missing required field 'other'")
        );
    }
    // What both branches take is refused as before, whatever the tag says.
    let both = only(&named, &json!({"type": "Card", "number": 1, "iban": 2}));
    assert!(both.1.ends_with("must match exactly one"), "{both:?}");
}

#[test]
fn without_a_tag_it_is_the_branch_that_fits_furthest_down() {
    let optional = json!({"properties": {"at": {"anyOf": [
        {"type": "null"},
        {"$ref": "#/$defs/Point"},
    ]}}, "$defs": {"Point": {
        "type": "object",
        "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    }}});
    // Beside null there is nothing to choose.
    assert_eq!(
        only(&optional, &json!({"at": {"x": 1, "y": "2"}})),
        told("at.y", "'2' is not a number")
    );
    assert_eq!(
        only(&optional, &json!({"at": 5})),
        told(
            "at",
            "5 matches none of the allowed forms (1: 5 is not null; 2: 5 is not an object)"
        )
    );
    let shapes = json!({"anyOf": [
        {"title": "circle", "required": ["radius"]},
        {"title": "path", "properties": {"points": {"items": {"type": "array"}}}},
    ]});
    assert_eq!(
        only(&shapes, &json!({"points": [[], 3]})),
        told("points[1]", "3 is not an array (in the form path)")
    );
}

#[test]
fn many_branches_are_not_told_one_by_one() {
    let kinds: Vec<_> = (0..20)
        .map(|kind| json!({"type": "object", "required": [format!("of{kind}"), "all"]}))
        .collect();
    let schema = json!({ "oneOf": kinds });
    assert_eq!(
        only(&schema, &json!(5)),
        told(
            "(payload)",
            "5 matches none of the 20 allowed forms: 5 is not an object"
        )
    );
    // The one with the fewest problems.
    assert_eq!(
        problems(&schema, &json!({"of17": 1})),
        [told(
            "all",
            "Missing required field 'all' (in the form 18 of 20)"
        )]
    );
    let mixed: Vec<_> = (0..20)
        .map(|kind| match kind % 2 {
            0 => json!({"type": "string"}),
            _ => json!({"maxLength": kind, "type": "null", "title": format!("kind {kind}")}),
        })
        .collect();
    let (_, error) = only(&json!({ "anyOf": mixed }), &json!(5));
    assert_eq!(
        error,
        "5 matches none of the 20 allowed forms: the nearest is 1 of 20: 5 is not a string"
    );
}

#[test]
fn forms_in_forms_are_named() {
    let mut schema = pets();
    let pet = schema["properties"]["pet"].take();
    schema["properties"] = json!({});
    schema["$defs"]["Pair"] = json!({"properties": {
        "type": {"const": "pair"}, "one": pet, "other": pet,
    }, "required": ["type"]});
    schema["$defs"]["Single"] =
        json!({"properties": {"type": {"const": "single"}}, "required": ["type"]});
    schema["oneOf"] = json!([{"$ref": "#/$defs/Single"}, {"$ref": "#/$defs/Pair"}]);
    let cat = json!({"kind": "cat", "lives": 9});
    let data = json!({"type": "pair", "one": cat, "other": {"kind": "dog", "tricks": 1, "x": 2}});
    assert_eq!(
        only(&schema, &data),
        told("other.x", "Unexpected field 'x' (in the form Pair > Dog)")
    );
}

/// Each of 40 levels doubles the ways through the schema, and 1,000 references would be a deep stack.
#[test]
fn the_search_ends() {
    let mut defs = serde_json::Map::new();
    for level in 0..40 {
        let below = json!({"$ref": format!("#/$defs/l{}", level + 1)});
        defs.insert(format!("l{level}"), json!({"anyOf": [below, below]}));
    }
    defs.insert("l40".to_owned(), json!({"type": "null"}));
    let explosive = json!({"$ref": "#/$defs/l0", "$defs": defs});
    let began = std::time::Instant::now();
    let found = |schema: &serde_json::Value| {
        let schema = CompiledSchema::new("t", "1.0", &schema.to_string()).unwrap();
        schema.explain(&json!(1)).unwrap()
    };
    assert_eq!(found(&explosive), (Vec::new(), 0));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let mut deep = json!({"type": "null"});
    let mut chain = serde_json::Map::new();
    for level in 0..1000 {
        chain.insert(format!("l{level}"), deep);
        deep = json!({"$ref": format!("#/$defs/l{level}")});
    }
    deep["$defs"] = chain.into();
    assert_eq!(found(&deep), (Vec::new(), 0));
    let mut unions = json!({"type": "null"});
    let mut chain = serde_json::Map::new();
    for level in 0..300 {
        chain.insert(format!("l{level}"), unions);
        unions = json!({"oneOf": [{"$ref": format!("#/$defs/l{level}")}, false]});
    }
    unions["$defs"] = chain.into();
    assert_eq!(found(&unions), (Vec::new(), 0));
    // The data is refused all the same.
    assert_eq!(
        only(&deep, &json!(1)),
        told("(payload)", crate::schema::words::UNEXPLAINED)
    );
}
