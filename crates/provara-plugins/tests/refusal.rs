//! What refusing data under a large union takes. Alone in its process, whose memory is measured.

use std::time::Instant;

use provara_core::json;
use provara_plugins::schema::CompiledSchema;
use serde_json::json;

/// As HL7's FHIR schema has them: kinds of resources under one `oneOf`, one of which holds the others.
const RESOURCES: usize = 150;

/// A schema with the shape of HL7's.
fn schema() -> serde_json::Value {
    let mut definitions = serde_json::Map::new();
    let mut names = Vec::new();
    for number in 0..RESOURCES {
        let name = format!("Resource{number}");
        let mut properties = serde_json::Map::new();
        properties.insert("resourceType".to_owned(), json!({ "const": name }));
        for member in 0..20 {
            let schema = match member % 3 {
                0 => json!({"$ref": "#/definitions/Coding"}),
                1 => json!({"pattern": "^[A-Za-z0-9\\-\\.]{1,64}$", "type": "string"}),
                _ => json!({"items": {"$ref": "#/definitions/Coding"}, "type": "array"}),
            };
            properties.insert(format!("member{member}"), schema);
        }
        properties.insert("contained".to_owned(), json!({"$ref": "#/definitions/Any"}));
        definitions.insert(
            name.clone(),
            json!({"properties": properties, "additionalProperties": false,
                   "required": ["resourceType"]}),
        );
        names.push(json!({"$ref": format!("#/definitions/{name}")}));
    }
    definitions.insert(
        "Bundle".to_owned(),
        json!({"properties": {
            "resourceType": {"const": "Bundle"},
            "entry": {"items": {"$ref": "#/definitions/Entry"}, "type": "array"},
        }, "additionalProperties": false, "required": ["resourceType"]}),
    );
    definitions.insert(
        "Entry".to_owned(),
        json!({"properties": {"resource": {"$ref": "#/definitions/Any"}},
               "additionalProperties": false}),
    );
    definitions.insert(
        "Coding".to_owned(),
        json!({"properties": {"code": {"type": "string"}, "extension": {"items": {"$ref": "#/definitions/Coding"}}},
               "additionalProperties": false}),
    );
    names.push(json!({"$ref": "#/definitions/Bundle"}));
    definitions.insert("Any".to_owned(), json!({ "oneOf": names }));
    json!({"$schema": "http://json-schema.org/draft-06/schema#",
           "oneOf": names, "definitions": definitions})
}

/// The most memory that the process has held, in KiB (proc_pid_status(5), `VmHWM`).
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn one_unknown_member_among_many_forms_is_named_within_bounds() {
    let schema = schema().to_string();
    let schema = CompiledSchema::new("org.example.health.bundle", "4.0", &schema).unwrap();
    let mut bundle = json!({"resourceType": "Bundle", "entry": []});
    let entries = bundle["entry"].as_array_mut().unwrap();
    for number in 0..1000 {
        entries.push(json!({"resource": {
            "resourceType": format!("Resource{}", number % RESOURCES),
            "member0": {"code": "x".repeat(900)},
            "member1": "a-1",
            "member2": [{"code": "y", "extension": [{"code": "z"}]}],
        }}));
    }
    let fits = |data: &serde_json::Value| {
        let text = data.to_string();
        schema.validate(&json::parse(text.as_bytes()).unwrap())
    };
    assert_eq!(fits(&bundle), Ok(()));
    bundle["entry"][777]["resource"]["member2"][0]["extension"][0]["kode"] = json!(1);
    let began = Instant::now();
    let found = fits(&bundle).unwrap_err();
    let taken = began.elapsed();
    let found: Vec<_> = found
        .violations
        .into_iter()
        .map(|found| (found.field, found.error))
        .collect();
    assert_eq!(
        found,
        [(
            "entry[777].resource.member2[0].extension[0].kode".to_owned(),
            "Unexpected field 'kode' (in the form Bundle > Resource27)".to_owned()
        )]
    );
    assert!(taken.as_secs() < 20, "{taken:?}");
    if let Some(peak) = peak() {
        assert!(peak < 200 * 1024, "{peak} KiB");
    }
}
