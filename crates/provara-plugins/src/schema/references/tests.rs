use serde_json::json;

use super::*;
use crate::schema::CompiledSchema;

fn fits(schema: &Tree, further: &Tree, data: &Tree) -> Result<bool, SchemaError> {
    let (schema, further) = (schema.to_string(), further.to_string());
    let compiled = CompiledSchema::with_further("t", "1.0", &schema, Some(&further))?;
    let data = data.to_string();
    Ok(compiled
        .validate(&json::parse(data.as_bytes()).unwrap())
        .is_ok())
}

#[test]
fn a_reference_may_have_what_a_uri_cannot() {
    for name in [
        "Map<string,Array<number>>",
        "a b",
        "{x}",
        "List[int]",
        "größe",
        "50%",
        "a^b|c",
        "a\\b",
    ] {
        for keyword in ["definitions", "$defs", "components"] {
            let reference = format!("#/{keyword}/{name}");
            let schema = json!({"$ref": reference, keyword: {name: {"type": "string"}}});
            assert_eq!(fits(&schema, &json!({}), &json!("x")), Ok(true), "{name}");
            assert_eq!(fits(&schema, &json!({}), &json!(1)), Ok(false), "{name}");
        }
    }
    // As it has to be, it is as it was.
    for reference in [
        "#/$defs/a%20b",
        "#/$defs/x~1y",
        "other.json#top",
        "http://[::1]/x?a=[b]",
    ] {
        assert_eq!(escaped(reference), reference);
    }
    assert_eq!(escaped("#/$defs/A<B>"), "#/$defs/A%3CB%3E");
    // In data it is no reference.
    let data = json!({"const": {"$ref": "#/a<b>"}, "properties": {"$ref": {"const": "<"}}});
    assert_eq!(
        fits(&data, &json!({}), &json!({"$ref": "#/a<b>"})),
        Ok(false)
    );
    assert_eq!(
        fits(
            &json!({"const": {"$ref": "<"}}),
            &json!({}),
            &json!({"$ref": "<"})
        ),
        Ok(true)
    );
}

#[test]
fn a_plugin_brings_further_schemas() {
    let main = json!({
        "$id": "https://example.com/schemas/order.json",
        "properties": {
            "customer": {"$ref": "customer.json"},
            "items": {"items": {"$ref": "https://example.com/item#/$defs/Item"}},
            "license": {"$ref": "urn:example:license"},
        },
    });
    let further = json!({
        // A relative URI is meant from that of the main schema, as the reference is.
        "customer.json": {"required": ["name"], "properties": {"address": {"$ref": "#/$defs/A"}},
                          "$defs": {"A": {"type": "string"}}},
        "https://example.com/item#": {"$schema": "http://json-schema.org/draft-07/schema#",
                                      "$defs": {"Item": {"$ref": "price.json"}}},
        // By its own identifier, not by this.
        "price-file": {"$id": "https://example.com/price.json", "type": "number"},
        "urn:example:license": {"enum": ["MIT"]},
    });
    let check = |data: Tree, expected: bool| {
        assert_eq!(fits(&main, &further, &data), Ok(expected), "{data}");
    };
    check(
        json!({"customer": {"name": 1, "address": "x"}, "items": [1.5], "license": "MIT"}),
        true,
    );
    check(json!({"customer": {}}), false);
    check(json!({"customer": {"name": 1, "address": 2}}), false);
    check(json!({"items": ["1"]}), false);
    check(json!({"license": "GPL"}), false);
    let nameless = json!({"properties": {"a": {"$ref": "common/types.json#/$defs/T"}}});
    let types = json!({"common/types.json": {"$defs": {"T": {"$ref": "more.json"}}},
                       "common/more.json": {"type": "string"}});
    assert_eq!(fits(&nameless, &types, &json!({"a": "x"})), Ok(true));
    assert_eq!(fits(&nameless, &types, &json!({"a": 1})), Ok(false));
    let text = main.to_string();
    let compiled =
        CompiledSchema::with_further("t", "1.0", &text, Some(&further.to_string())).unwrap();
    let data = json::parse(br#"{"customer":{"name":1,"address":2},"items":[1,"1"]}"#).unwrap();
    let found = compiled.validate(&data).unwrap_err().violations;
    let fields: Vec<_> = found.iter().map(|found| found.field.as_str()).collect();
    assert_eq!(fields, ["customer.address", "items[1]"]);
}

#[test]
fn what_is_missing_is_named_with_the_attribute() {
    let words = |schema: Tree, further: Tree| {
        let error = fits(&schema, &further, &json!(1)).unwrap_err();
        error.to_string()
    };
    for (reference, uri) in [
        ("http://127.0.0.1:1/schema", "http://127.0.0.1:1/schema"),
        ("file:///etc/hostname", "file:///etc/hostname"),
        ("other.json#/$defs/x", "other.json"),
        ("urn:x:y", "urn:x:y"),
    ] {
        let schema = json!({"properties": {"a": {"$ref": reference}}});
        assert_eq!(
            words(schema.clone(), json!({})),
            format!(
                "at '/': '$ref' leads to '{uri}', which is not here, and nothing is fetched: the plugin has to \
                 bring it in its attribute 'schemas', a dict of schemas by URI"
            )
        );
        assert!(words(schema, json!({"urn:z": {}})).contains(uri));
    }
    let referring = json!({"$ref": "urn:x"});
    for (further, expected) in [
        (
            json!({"urn:x": 5}),
            "the schema 'urn:x' in 'schemas': it is a number, not an object",
        ),
        (
            json!({"urn:x": {"$schema": "urn:mine"}}),
            "the schema 'urn:x' in 'schemas': '$schema' names the unknown dialect 'urn:mine'; known are drafts 4, 6, 7, 2019-09 and 2020-12",
        ),
        (
            json!({"urn:x": {"type": "objekt"}}),
            "at '/': '$ref' leads to 'urn:x': it is no JSON Schema: at '/type': 'objekt' is not allowed here; the types are array, boolean, integer, null, number, object and string",
        ),
        (
            json!({"urn:x": {"$ref": "#/$defs/y"}}),
            "at '/': '$ref' leads nowhere: Pointer '/$defs/y' does not exist",
        ),
    ] {
        assert_eq!(words(referring.clone(), further), expected);
    }
}

#[test]
fn known_dialects_by_http_and_https() {
    for (draft, name) in [
        ("draft-04/schema", "enum"),
        ("draft-06/schema", "const"),
        ("draft-07/schema", "const"),
        ("draft/2019-09/schema", "const"),
        ("draft/2020-12/schema", "const"),
    ] {
        for scheme in ["http", "https"] {
            for end in ["", "#"] {
                let schema = json!({
                    "$schema": format!("{scheme}://json-schema.org/{draft}{end}"),
                    name: if name == "enum" { json!(["a"]) } else { json!("a") },
                });
                assert_eq!(fits(&schema, &json!({}), &json!("a")), Ok(true), "{schema}");
                assert_eq!(
                    fits(&schema, &json!({}), &json!("b")),
                    Ok(false),
                    "{schema}"
                );
            }
        }
    }
    for unknown in [
        "http://json-schema.org/schema#",
        "https://json-schema.org/draft-03/schema#",
        "x",
    ] {
        let schema = json!({"$schema": unknown});
        let error = fits(&schema, &json!({}), &json!("a")).unwrap_err();
        assert_eq!(error, SchemaError::UnknownDialect(unknown.to_owned()));
    }
}
