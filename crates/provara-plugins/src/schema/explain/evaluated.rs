//! `unevaluatedProperties` and `unevaluatedItems`: what no other keyword of a schema has looked at.

use std::collections::HashSet;

use jsonschema::Draft;
use serde_json::{Map, Value as Tree};

use super::words;
use super::{Explainer, Found, Place, Scope, enter, known_in, object, subschemas, targets, tuple};

/// The members and items of one value that a schema has looked at, by their index.
#[derive(Default)]
struct Evaluated {
    all_members: bool,
    members: HashSet<usize>,
    all_items: bool,
    first_items: usize,
    items: HashSet<usize>,
}

impl<'s> Explainer<'s> {
    /// Finds what the two keywords refuse. Where something else is wrong with the value, nothing: a branch that
    /// does not fit has looked at nothing, and all that is in it would be told again.
    pub(super) fn unevaluated(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let asked = |keyword: &str| {
            schema
                .get(keyword)
                .filter(|_| known_in(keyword, scope.draft))
        };
        let (of_members, of_items) = (asked("unevaluatedProperties"), asked("unevaluatedItems"));
        if (of_members.is_none() && of_items.is_none()) || found.count > 0 {
            return;
        }
        let mut evaluated = Evaluated::default();
        self.evaluate(schema, place, scope, &mut evaluated);
        match (place.value, of_members, of_items) {
            (Tree::Object(members), Some(rest), _) if !evaluated.all_members => {
                for (index, (name, value)) in members.iter().enumerate() {
                    let member = place.member(name, index, value);
                    match rest {
                        _ if evaluated.members.contains(&index) => {}
                        Tree::Bool(false) => found.member(&member, || words::unexpected(name)),
                        rest => self.walk(rest, &member, scope, found),
                    }
                }
            }
            (Tree::Array(items), _, Some(rest)) if !evaluated.all_items => {
                let others = items.iter().enumerate().skip(evaluated.first_items);
                for (index, item) in others {
                    if evaluated.items.contains(&index) {
                        continue;
                    }
                    if rest == &Tree::Bool(false) {
                        return found.here(place, || words::unexpected_items(place.value));
                    }
                    self.walk(rest, &place.item(index, item), scope, found);
                }
            }
            _ => {}
        }
    }

    /// Adds what a schema that fits has looked at, but for its own two keywords.
    fn evaluate(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        seen: &mut Evaluated,
    ) {
        match place.value {
            Tree::Object(members) => self.evaluate_members(schema, members, scope, seen),
            Tree::Array(items) => self.evaluate_items(schema, items, place, scope, seen),
            _ => return,
        }
        for (target, scope) in targets(schema, scope) {
            self.evaluate_in(target, place, &scope, seen);
        }
        for branch in subschemas(schema, "allOf") {
            self.evaluate_whole(branch, place, scope, seen);
        }
        for keyword in ["anyOf", "oneOf"] {
            for branch in subschemas(schema, keyword) {
                if self.fits(branch, place, scope) {
                    self.evaluate_whole(branch, place, scope, seen);
                }
            }
        }
        if let Some(condition) = schema.get("if") {
            let holds = self.fits(condition, place, scope);
            if holds {
                self.evaluate_whole(condition, place, scope, seen);
            }
            if let Some(next) = schema.get(if holds { "then" } else { "else" }) {
                self.evaluate_whole(next, place, scope, seen);
            }
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            for (name, branch) in object(schema, keyword) {
                if place.value.get(name).is_some() {
                    self.evaluate_whole(branch, place, scope, seen);
                }
            }
        }
    }

    /// Adds what a schema that fits has looked at, with its own two keywords.
    fn evaluate_whole(
        &mut self,
        schema: &'s Tree,
        place: &Place<'_>,
        scope: &Scope<'s>,
        seen: &mut Evaluated,
    ) {
        if let Some(scope) = enter(schema, scope) {
            self.evaluate_in(schema, place, &scope, seen);
        }
    }

    /// The same for a schema whose scope this is.
    fn evaluate_in(
        &mut self,
        schema: &'s Tree,
        place: &Place<'_>,
        scope: &Scope<'s>,
        seen: &mut Evaluated,
    ) {
        let Tree::Object(members) = schema else {
            return;
        };
        if !self.step() {
            return;
        }
        seen.all_members |= members.contains_key("unevaluatedProperties");
        seen.all_items |= members.contains_key("unevaluatedItems");
        self.depth += 1;
        self.evaluate(members, place, scope, seen);
        self.depth -= 1;
    }

    fn evaluate_members(
        &mut self,
        schema: &'s Map<String, Tree>,
        members: &Map<String, Tree>,
        scope: &Scope<'s>,
        seen: &mut Evaluated,
    ) {
        if schema.contains_key("additionalProperties") {
            seen.all_members = true;
            return;
        }
        let properties = schema.get("properties").and_then(Tree::as_object);
        let patterned = object(schema, "patternProperties");
        for (index, name) in members.keys().enumerate() {
            let named = properties.is_some_and(|properties| properties.contains_key(name));
            let matched = |(pattern, _): &(&'s str, _)| self.matches(pattern, name, scope);
            if named || patterned.iter().any(matched) {
                seen.members.insert(index);
            }
        }
    }

    fn evaluate_items(
        &mut self,
        schema: &'s Map<String, Tree>,
        items: &[Tree],
        place: &Place<'_>,
        scope: &Scope<'s>,
        seen: &mut Evaluated,
    ) {
        let (first, rest) = tuple(schema, scope.draft);
        seen.all_items |= rest.is_some();
        seen.first_items = seen.first_items.max(first.len());
        // Draft 2019-09 did not count these.
        let contains = schema.get("contains");
        if let Some(contains) = contains.filter(|_| scope.draft != Draft::Draft201909) {
            for (index, item) in items.iter().enumerate() {
                if self.fits(contains, &place.item(index, item), scope) {
                    seen.items.insert(index);
                }
            }
        }
    }
}
