//! Everything that its author should know of a schema. One that cannot be used is refused at its first fault;
//! here all of them are looked for, so that they need not be mended one by one.

use std::ops::ControlFlow;

use jsonschema::Draft;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Tree};

use super::references::{decoded, meta_schema};
use super::remark::{Remark, Remarks, deadline};
use super::structure::each_place;
use super::{CompiledSchema, Read, Schema, SchemaError, advice, options, patterns, words};

/// What there is to know of a schema.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Inspected {
    /// Why it cannot be used, in a sentence; none if it can.
    pub(crate) fault: Option<String>,
    /// All that is wrong with it; none if it can be used.
    pub(crate) faults: Remarks,
    /// What decides nothing in it, or is read otherwise elsewhere.
    pub(crate) advice: Remarks,
}

impl Inspected {
    /// Of a schema that is refused as a whole.
    pub(crate) fn refused(fault: String) -> Inspected {
        let mut faults = Remarks::default();
        let _ = faults.extend([Remark {
            schema: None,
            at: None,
            text: fault.clone(),
        }]);
        Inspected {
            fault: Some(fault),
            faults,
            advice: Remarks::default(),
        }
    }
}

/// Looks at the schema of an event type, which it gives compiled where it can be used.
pub(crate) fn inspect(schema: Schema<'_>) -> (Inspected, Option<CompiledSchema>) {
    let Schema {
        event_type,
        version,
        json,
        further,
    } = schema;
    match CompiledSchema::with_further(event_type, version, json, further) {
        Ok(compiled) => {
            let advice = compiled.advice();
            let inspected = Inspected {
                advice,
                ..Inspected::default()
            };
            (inspected, Some(compiled))
        }
        Err(error) => {
            let mut inspected = Inspected {
                fault: Some(error.to_string()),
                ..Inspected::default()
            };
            if let Ok(read) = Read::of(json, further) {
                inspected.faults = faults(&read);
                let further = read.further.schemas();
                inspected.advice = advice::on(&read.tree, read.draft, further);
            }
            if inspected.faults.list.is_empty() {
                let _ = inspected.faults.extend([as_remark(error)]);
            }
            (inspected, None)
        }
    }
}

/// The fault for which a schema is refused.
fn as_remark(error: SchemaError) -> Remark {
    match error {
        SchemaError::Invalid { at, reason } => Remark {
            schema: None,
            at: Some(at),
            text: reason,
        },
        SchemaError::Further { uri, reason } => Remark {
            schema: Some(uri),
            at: None,
            text: reason,
        },
        error => Remark {
            schema: None,
            at: None,
            text: error.to_string(),
        },
    }
}

/// What is wrong with the parts of a schema, each looked at for itself. What shows only when all of it is
/// compiled is not among it.
fn faults(read: &Read) -> Remarks {
    let (mut faults, until) = (Remarks::default(), deadline());
    let schemas = std::iter::once((None, &read.tree));
    let further = read.further.schemas();
    for (name, schema) in schemas.chain(further.map(|(name, schema)| (Some(name), schema))) {
        let draft = read.draft.detect(schema);
        let mut written_out = schema.clone();
        patterns::write_out(&mut written_out);
        let meta_schema = meta_schema(draft);
        let against_it = meta_schema.iter_errors(&written_out).map(|error| {
            let at = error.instance_path().as_str();
            Remark::at(name, at, words::of_schema_fault(&error))
        });
        if faults.extend(against_it).is_break() {
            break;
        }
        // Within a schema that has an identifier of its own, pointers are meant from there.
        let mut named: Vec<String> = Vec::new();
        each_place(
            schema,
            draft,
            &advice::decides,
            &mut |at, draft, members| {
                faults.in_time(until)?;
                let id = members.contains_key("$id") || members.contains_key("id");
                if id && !at.is_empty() {
                    named.push(format!("{at}/"));
                }
                faults
                    .extend(bad_patterns(members, draft).map(|(keyword, text)| {
                        Remark::at(name, &format!("{at}/{keyword}"), text)
                    }))?;
                let elsewhere = format!("{at}/");
                if named.iter().any(|other| elsewhere.starts_with(other)) {
                    return ControlFlow::Continue(());
                }
                let reference = members.get("$ref").and_then(Tree::as_str);
                let lost = reference.filter(|reference| is_lost(reference, schema));
                faults.extend(lost.map(|reference| {
                    let reference = crate::text::inline(reference);
                    let text = format!("the reference '{reference}' leads nowhere in the schema");
                    Remark::at(name, &format!("{at}/$ref"), text)
                }))
            },
        );
    }
    faults
}

/// The patterns of a schema that are no regular expressions, with the keyword.
fn bad_patterns(
    members: &Map<String, Tree>,
    draft: Draft,
) -> impl Iterator<Item = (&'static str, String)> {
    let of_value = members.get("pattern").and_then(Tree::as_str);
    let of_value = of_value.map(|pattern| ("pattern", pattern));
    let of_names = members.get("patternProperties").and_then(Tree::as_object);
    let of_names = of_names.into_iter().flat_map(Map::keys);
    let of_names = of_names.map(|pattern| ("patternProperties", pattern.as_str()));
    of_value
        .into_iter()
        .chain(of_names)
        .filter_map(move |(keyword, pattern)| {
            let pattern = Tree::String(pattern.to_owned());
            let mut alone = Map::from_iter([("pattern".to_owned(), pattern)]);
            patterns::write_out_here(&mut alone);
            let alone = Tree::Object(alone);
            let error = options(draft).build(&alone).err()?;
            Some((keyword, words::of_schema_fault(&error)))
        })
}

/// Whether a pointer leads nowhere in the schema that it stands in.
fn is_lost(reference: &str, schema: &Tree) -> bool {
    let Some(pointer) = reference.strip_prefix('#') else {
        return false;
    };
    if !(pointer.is_empty() || pointer.starts_with('/')) {
        return false;
    }
    let mut place = schema;
    for segment in pointer.split('/').skip(1) {
        let segment = decoded(segment);
        let next = match place {
            Tree::Object(members) => members.get(&segment),
            Tree::Array(items) => segment.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inspected(schema: &Tree, further: Option<&Tree>) -> (Inspected, Option<CompiledSchema>) {
        let (text, further) = (schema.to_string(), further.map(Tree::to_string));
        inspect(Schema {
            event_type: "t",
            version: "1.0",
            json: &text,
            further: further.as_deref(),
        })
    }

    fn faults_of(schema: &Tree, further: Option<&Tree>) -> Vec<String> {
        let (inspected, compiled) = inspected(schema, further);
        assert_eq!(inspected.fault.is_none(), compiled.is_some());
        assert_eq!(inspected.fault.is_none(), inspected.faults.list.is_empty());
        let faults = inspected.faults.list.iter();
        faults.map(Remark::to_string).collect()
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        assert_eq!(
            faults_of(
                &json!({
                    "type": "objekt",
                    "properties": {
                        "a": {"minLength": -1, "patternProperties": {"[": {}, "^a": {}}},
                        "b/c": {"pattern": "(", "$ref": "#/$defs/Lost"},
                        "d": {"$ref": "#/$defs/There"},
                    },
                    "required": "a",
                    "$defs": {"There": {"$id": "urn:x", "$ref": "#/inner", "inner": {}}},
                }),
                None
            ),
            [
                "at '/properties/a/minLength': -1 is less than the minimum of 0",
                "at '/type': 'objekt' is not allowed here; the types are array, boolean, integer, null, number, object and string",
                "at '/required': 'a' is not an array",
                "at '/properties/a/patternProperties': '[' is not a valid regular expression",
                "at '/properties/b~1c/pattern': '(' is not a valid regular expression",
                "at '/properties/b~1c/$ref': the reference '#/$defs/Lost' leads nowhere in the schema",
            ]
        );
    }

    #[test]
    fn those_of_further_schemas_are_too() {
        let further =
            json!({"parts.json": {"properties": {"z": {"minimum": "1"}, "y": {"type": "x"}}}});
        assert_eq!(
            faults_of(&json!({"$ref": "parts.json"}), Some(&further)),
            [
                "in 'parts.json' of 'schemas', at '/properties/z/minimum': '1' is not a number",
                "in 'parts.json' of 'schemas', at '/properties/y/type': 'x' is not allowed here; the types are array, boolean, integer, null, number, object and string",
            ]
        );
        let reference = json!({"$ref": "parts.json", "properties": {"a": {"$ref": "other.json"}}});
        let lost = faults_of(&reference, Some(&json!({"parts.json": {}})));
        assert!(
            lost.len() == 1 && lost[0].contains("'other.json'"),
            "{lost:?}"
        );
        assert_eq!(
            faults_of(&json!({"$schema": "urn:unknown"}), None),
            [
                "'$schema' names the unknown dialect 'urn:unknown'; known are drafts 4, 6, 7, 2019-09 and 2020-12"
            ]
        );
        assert_eq!(faults_of(&json!({"type": "object"}), None), [""; 0]);
    }

    #[test]
    fn advice_is_given_on_a_schema_that_cannot_be_used_too() {
        let (inspected, _) = inspected(&json!({"type": "objekt", "requierd": []}), None);
        assert_eq!(inspected.advice.list.len(), 1);
        assert!(inspected.advice.list[0].text.contains("'required'"));
    }

    #[test]
    fn there_is_an_end_of_what_is_told() {
        let properties: Map<String, Tree> = (0..1000)
            .map(|n| (format!("p{n}"), json!({"type": "x", "minimun": n})))
            .collect();
        let (inspected, _) = inspected(&json!({"properties": properties}), None);
        for remarks in [&inspected.faults, &inspected.advice] {
            assert_eq!((remarks.list.len(), remarks.more), (200, true));
        }
    }
}
