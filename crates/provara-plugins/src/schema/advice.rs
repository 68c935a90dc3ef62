//! What the author of a schema should know of it, though it can be used: formats and keywords that decide
//! nothing, and patterns that others read otherwise.

use jsonschema::Draft;
use provara_report::nearest;
use serde_json::{Map, Value as Tree};

use super::remark::{Remark, Remarks, deadline};
use super::structure::each_place;
use super::{options, portable};
use crate::text::inline;

const DRAFTS: [(Draft, &str); 5] = [
    (Draft::Draft4, "draft 4"),
    (Draft::Draft6, "draft 6"),
    (Draft::Draft7, "draft 7"),
    (Draft::Draft201909, "draft 2019-09"),
    (Draft::Draft202012, "draft 2020-12"),
];

/// The formats of the published dialects.
const FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// The keywords that decide something, in any dialect. Others only annotate, and go with all.
const DECIDING: [&str; 45] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "$dynamicRef",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maximum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minContains",
    "minimum",
    "minItems",
    "minLength",
    "minProperties",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "$recursiveRef",
    "$ref",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Keywords that annotate, of the dialects, of OpenAPI and in wide use: none of them is a slip for another.
const ANNOTATING: [&str; 20] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
    "$recursiveAnchor",
    "$schema",
    "$vocabulary",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];

/// What the author should know, in the order of the schema, then of the further ones by the names that the plugin
/// gives them.
pub(super) fn on<'a>(
    schema: &Tree,
    draft: Draft,
    further: impl Iterator<Item = (&'a str, &'a Tree)>,
) -> Remarks {
    let (mut advice, until) = (Remarks::default(), deadline());
    let schemas = std::iter::once((None, schema));
    for (name, schema) in schemas.chain(further.map(|(name, schema)| (Some(name), schema))) {
        // Where no dialect has a keyword there is a schema only if somebody refers to it.
        each_place(schema, draft, &decides, &mut |at, draft, members| {
            advice.in_time(until)?;
            let found = of_members(members, draft).into_iter();
            advice.extend(found.map(|text| Remark::at(name, at, text)))
        });
    }
    advice
}

pub(super) fn decides(keyword: &str) -> bool {
    DECIDING.contains(&keyword)
}

/// What one schema says in vain, or not for everybody.
fn of_members(schema: &Map<String, Tree>, draft: Draft) -> Vec<String> {
    let mut advice = Vec::new();
    let old = matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
    let alone = old && schema.contains_key("$ref");
    for (keyword, value) in schema {
        if alone && decides(keyword) && keyword != "$ref" {
            advice.push(format!(
                "'{keyword}' stands beside '$ref', where {} ignores it; put both into an 'allOf'",
                name(draft)
            ));
            continue;
        }
        if !decides(keyword) {
            advice.extend(of_others(keyword, value).or_else(|| misspelt(keyword)));
            continue;
        }
        if !draft.is_known_keyword(keyword) || replaced(keyword, draft).is_some() {
            let instead = replaced(keyword, draft);
            let instead = instead.map(|it| format!("; write '{it}'"));
            advice.push(format!(
                "'{keyword}' is ignored by {}, the dialect of this schema{}",
                name(draft),
                instead.unwrap_or_default()
            ));
            continue;
        }
        advice.extend(in_vain(keyword, schema));
        match (keyword.as_str(), value) {
            ("format", Tree::String(format)) => advice.extend(unknown_format(format, draft)),
            ("pattern", Tree::String(pattern)) => advice.extend(not_portable(pattern)),
            ("patternProperties", Tree::Object(patterns)) => {
                advice.extend(patterns.keys().filter_map(|pattern| not_portable(pattern)));
            }
            _ => {}
        }
    }
    advice
}

fn name(draft: Draft) -> &'static str {
    let mut drafts = DRAFTS.iter();
    let found = drafts.find(|(known, _)| *known == draft);
    found.map_or("this dialect", |(_, name)| name)
}

/// What a dialect has in place of a keyword that only others read, where the validator counts it as known all the
/// same.
fn replaced(keyword: &str, draft: Draft) -> Option<&'static str> {
    match (keyword, draft) {
        ("additionalItems", Draft::Draft202012) => Some("items"),
        ("$recursiveRef", Draft::Draft202012) => Some("$dynamicRef"),
        _ => None,
    }
}

/// A keyword of draft 3, or of OpenAPI, which no dialect here reads.
fn of_others(keyword: &str, value: &Tree) -> Option<String> {
    let (of, instead) = match (keyword, value) {
        ("divisibleBy", Tree::Number(_)) => ("draft 3", "'multipleOf'"),
        ("extends", Tree::Object(_) | Tree::Array(_)) => ("draft 3", "'allOf'"),
        ("disallow", Tree::String(_) | Tree::Array(_)) => ("draft 3", "'not'"),
        ("nullable", Tree::Bool(true)) => ("OpenAPI 3.0", "the type 'null' beside the others"),
        _ => return None,
    };
    Some(format!(
        "'{keyword}' is of {of} and decides nothing here; write {instead}"
    ))
}

fn misspelt(keyword: &str) -> Option<String> {
    if ANNOTATING.contains(&keyword) || keyword.starts_with("x-") {
        return None;
    }
    let near = nearest(keyword, DECIDING.into_iter())?;
    Some(format!(
        "'{}' is no keyword and decides nothing; did you mean '{near}'?",
        inline(keyword)
    ))
}

/// A keyword that does nothing without another.
fn in_vain(keyword: &str, schema: &Map<String, Tree>) -> Option<String> {
    let needed = match keyword {
        "then" | "else" => "if",
        "minContains" | "maxContains" => "contains",
        _ => return None,
    };
    let absent = !schema.contains_key(needed);
    absent.then(|| format!("'{keyword}' decides nothing without '{needed}'"))
}

fn unknown_format(format: &str, draft: Draft) -> Option<String> {
    let known = |draft: Draft| {
        let schema = serde_json::json!({ "format": format });
        let options = options(draft).should_ignore_unknown_formats(false);
        options.build(&schema).is_ok()
    };
    if known(draft) {
        return None;
    }
    let shown = inline(format);
    if known(Draft::Draft202012) {
        return Some(format!(
            "the format '{shown}' is not checked under {}",
            name(draft)
        ));
    }
    let meant = nearest(format, FORMATS.into_iter());
    let meant = meant.map(|meant| format!("; did you mean '{meant}'?"));
    Some(format!(
        "the format '{shown}' is not known and checks nothing{}",
        meant.unwrap_or_default()
    ))
}

/// What of a pattern other validators refuse or read otherwise.
fn not_portable(pattern: &str) -> Option<String> {
    let found = portable::fault(pattern)?;
    Some(format!(
        "the pattern '{}' is not portable: {found}",
        inline(pattern)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sentences(advice: Remarks) -> Vec<String> {
        assert!(!advice.more);
        advice.list.iter().map(Remark::to_string).collect()
    }

    fn advice(schema: &Tree) -> Vec<String> {
        let text = schema.to_string();
        sentences(
            crate::schema::CompiledSchema::new("t", "1.0", &text)
                .unwrap()
                .advice(),
        )
    }

    #[test]
    fn what_decides_nothing_is_told() {
        assert_eq!(
            advice(&json!({
                "properties": {
                    "by": {"type": "string", "format": "emial"},
                    "at": {"format": "datetime"},
                    "n": {"format": "int64", "minimun": 3, "maxLenght": 2},
                    "a/b": {"then": {"type": "null"}, "requierd": ["x"]},
                },
                "aditionalProperties": false,
            })),
            [
                "at '/': 'aditionalProperties' is no keyword and decides nothing; did you mean \
                 'additionalProperties'?",
                "at '/properties/by': the format 'emial' is not known and checks nothing; did you mean 'email'?",
                "at '/properties/at': the format 'datetime' is not known and checks nothing; did you mean \
                 'date-time'?",
                "at '/properties/n': the format 'int64' is not known and checks nothing",
                "at '/properties/n': 'minimun' is no keyword and decides nothing; did you mean 'minimum'?",
                "at '/properties/n': 'maxLenght' is no keyword and decides nothing; did you mean 'maxLength'?",
                "at '/properties/a~1b': 'then' decides nothing without 'if'",
                "at '/properties/a~1b': 'requierd' is no keyword and decides nothing; did you mean 'required'?",
            ]
        );
    }

    #[test]
    fn further_schemas_are_looked_at_too() {
        let further = json!({
            "parts/zip.json": {"$id": "https://example.com/zip.json", "properties": {"z": {"minimun": 1}}},
            "old.json": {"$schema": "http://json-schema.org/draft-04/schema#", "const": 1},
        });
        let schema = json!({"$ref": "parts/zip.json", "format": "emial"}).to_string();
        let compiled = crate::schema::CompiledSchema::with_further(
            "t",
            "1.0",
            &schema,
            Some(&further.to_string()),
        );
        assert_eq!(
            sentences(compiled.unwrap().advice()),
            [
                "at '/': the format 'emial' is not known and checks nothing; did you mean 'email'?",
                "in 'old.json' of 'schemas', at '/': 'const' is ignored by draft 4, the dialect of this schema",
                "in 'parts/zip.json' of 'schemas', at '/properties/z': 'minimun' is no keyword and decides \
                 nothing; did you mean 'minimum'?",
            ]
        );
    }

    #[test]
    fn what_the_dialect_ignores_is_told() {
        assert_eq!(
            advice(&json!({
                "$schema": "http://json-schema.org/draft-04/schema#",
                "properties": {"a": {"const": 1}, "b": {"$ref": "#/definitions/B", "minLength": 2}},
                "definitions": {"B": {"format": "uuid", "if": {}, "then": {}}},
            })),
            [
                "at '/properties/a': 'const' is ignored by draft 4, the dialect of this schema",
                "at '/properties/b': 'minLength' stands beside '$ref', where draft 4 ignores it; put both into \
                 an 'allOf'",
                "at '/definitions/B': the format 'uuid' is not checked under draft 4",
                "at '/definitions/B': 'if' is ignored by draft 4, the dialect of this schema",
                "at '/definitions/B': 'then' is ignored by draft 4, the dialect of this schema",
            ]
        );
        let tuple = json!({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{}],
                           "unevaluatedProperties": false});
        assert_eq!(advice(&tuple).len(), 2);
    }

    #[test]
    fn what_only_other_dialects_have_is_told() {
        let schema = json!({
            "prefixItems": [{}],
            "additionalItems": false,
            "properties": {
                "a": {"$recursiveRef": "#"},
                "b": {"divisibleBy": 2, "extends": {"type": "string"}, "disallow": "null"},
                "c": {"type": "string", "nullable": true},
                "d": {"type": "string", "nullable": false},
            },
        });
        assert_eq!(
            advice(&schema),
            [
                "at '/': 'additionalItems' is ignored by draft 2020-12, the dialect of this schema; write 'items'",
                "at '/properties/a': '$recursiveRef' is ignored by draft 2020-12, the dialect of this schema; \
                 write '$dynamicRef'",
                "at '/properties/b': 'divisibleBy' is of draft 3 and decides nothing here; write 'multipleOf'",
                "at '/properties/b': 'extends' is of draft 3 and decides nothing here; write 'allOf'",
                "at '/properties/b': 'disallow' is of draft 3 and decides nothing here; write 'not'",
                "at '/properties/c': 'nullable' is of OpenAPI 3.0 and decides nothing here; write the type 'null' \
                 beside the others",
            ]
        );
        // What is called ignored is.
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&json!([1, 2])));
        assert!(validator.is_valid(&json!({"a": 3, "b": 3})));
    }

    #[test]
    fn patterns_that_others_read_otherwise_are_told() {
        for pattern in [r"\bword\b", "[[:alpha:]]", "^[]a]+$", r"^\x{41}$", "a++"] {
            let found = advice(&json!({"pattern": pattern}));
            assert_eq!(found.len(), 1, "{pattern}: {found:?}");
            assert!(found[0].contains("is not portable: "), "{found:?}");
        }
        for pattern in [r"^(?:a|b)(?=c)\d+\.$", r"\\b", r"^(?<year>\d{4})$"] {
            assert_eq!(advice(&json!({"pattern": pattern})), [""; 0], "{pattern}");
        }
    }

    #[test]
    fn a_good_schema_gets_no_advice() {
        for schema in [
            json!({"title": "t", "description": "d", "version": "1.2", "x-of": 1, "$comment": "c",
                   "examples": [{"format": "emial"}], "discriminator": {"propertyName": "minimun"},
                   "properties": {"format": {"const": {"minimun": 1}}, "minimun": {"type": "string"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#",
                   "dependencies": {"a": ["b"]}, "additionalItems": false}),
        ] {
            assert_eq!(advice(&schema), [""; 0]);
        }
    }
}
