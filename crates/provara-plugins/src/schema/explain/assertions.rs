//! What a schema says of a value itself: its type, its length, its format. The validator applies it, compiled
//! from these keywords alone, so that there is one opinion of each.

use std::ptr;
use std::rc::Rc;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value as Tree};

use super::{Explainer, Found, Place, Scope, words};
use crate::schema::{options, patterns};

/// The keywords that hold no schemas. `dependencies` may.
const KEYWORDS: [&str; 21] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
    "dependentRequired",
    "contentEncoding",
    "contentMediaType",
];

/// The assertions of one schema; none where it makes none.
pub(super) struct Assertions(Option<Validator>);

impl Assertions {
    fn of(schema: &Map<String, Tree>, draft: Draft) -> Assertions {
        let mut alone = Map::new();
        for keyword in KEYWORDS {
            if let Some(value) = schema.get(keyword) {
                alone.insert(keyword.to_owned(), value.clone());
            }
        }
        if let Some(Tree::Object(dependencies)) = schema.get("dependencies") {
            let names = dependencies.iter().filter(|(_, value)| value.is_array());
            let names: Map<_, _> = names.map(|(k, v)| (k.clone(), v.clone())).collect();
            if !names.is_empty() {
                alone.insert("dependencies".to_owned(), Tree::Object(names));
            }
        }
        if alone.is_empty() {
            return Assertions(None);
        }
        patterns::write_out_here(&mut alone);
        // The whole schema compiled, so this part of it does.
        Assertions(options(draft).build(&Tree::Object(alone)).ok())
    }
}

impl<'s> Explainer<'s> {
    /// Finds which assertions of a schema do not hold for a value.
    pub(super) fn asserted(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let known = self.assertions.entry(ptr::from_ref(schema));
        let assertions = known.or_insert_with(|| Rc::new(Assertions::of(schema, scope.draft)));
        let Some(validator) = &assertions.0 else {
            return;
        };
        if validator.is_valid(place.value) {
            return;
        }
        if found.is_deciding() {
            return found.here(place, String::new);
        }
        for error in validator.iter_errors(place.value) {
            match error.kind() {
                Kind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    found.member(&place.absent(name), || words::describe(&error));
                }
                // As its author wrote it.
                Kind::Pattern { .. } => {
                    let pattern = schema.get("pattern").and_then(Tree::as_str);
                    found.here(place, || {
                        words::no_match(place.value, pattern.unwrap_or_default())
                    });
                }
                _ => found.here(place, || words::describe(&error)),
            }
        }
    }

    /// Whether a member's name matches a pattern of `patternProperties`.
    pub(super) fn matches(&mut self, pattern: &'s str, name: &str, scope: &Scope<'s>) -> bool {
        let known = self.patterns.entry(pattern);
        let assertions = known.or_insert_with(|| {
            let schema = Map::from_iter([("pattern".to_owned(), pattern.into())]);
            Rc::new(Assertions::of(&schema, scope.draft))
        });
        let validator = assertions.0.as_ref();
        validator.is_none_or(|validator| validator.is_valid(&Tree::String(name.to_owned())))
    }
}
