//! Why data does not fit a schema, within bounds.
//!
//! Whether it fits is the validator's to say, and it has said so before this is asked. What the validator
//! offers for an explanation are the errors of *every* branch of an `anyOf` or `oneOf`, each with its own copy
//! of the value that it is about: under HL7's FHIR schema, with 150 kinds of resources under one `oneOf`, they
//! took gigabytes. So the keywords that hold other schemas (the applicators) are walked here, one branch at a
//! time; what a schema says of a value itself (the assertions) is still the validator's, applied alone
//! ([`assertions`]). Of an `anyOf` or `oneOf` the branch that was meant is told ([`unions`]).
//!
//! The walk is bounded in steps, time and depth. Where it ends early, what was found so far is told.

mod assertions;
mod evaluated;
mod found;
#[cfg(test)]
mod tests;
mod unions;

use std::collections::{HashMap, HashSet};
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jsonschema::{Draft, Registry};
use referencing::Resolver;
use serde_json::{Map, Value as Tree};

use self::assertions::Assertions;
pub(super) use self::found::Found;
use self::found::Place;
use self::unions::Tags;
use super::SchemaViolation;
use super::words;

/// How many pairs of a schema and a value are looked at.
const MAX_STEPS: usize = 2_000_000;

/// How long it may take. A pattern that backtracks is a long step.
const MAX_TIME: Duration = Duration::from_secs(5);

/// How deep schemas are followed: each level takes up to two kilobytes of stack in a debug build, and the
/// stack of a thread may be no more than two megabytes.
const MAX_DEPTH: usize = 400;

/// Where references from a schema lead, and the dialect that it is written in.
#[derive(Clone)]
struct Scope<'s> {
    resolver: Resolver<'s>,
    draft: Draft,
}

/// One explanation. `'s` is the life of the schema and of those that it refers to.
pub(super) struct Explainer<'s> {
    /// What the schemas met so far say of a value itself.
    assertions: HashMap<*const Map<String, Tree>, Rc<Assertions>>,
    /// The patterns of `patternProperties` that were met.
    patterns: HashMap<&'s str, Rc<Assertions>>,
    /// What tells the branches of the `anyOf` and `oneOf` apart that were met.
    tags: HashMap<*const Tree, Option<Rc<Tags<'s>>>>,
    /// The schemas and values of the references that are being followed, against circles.
    following: HashSet<(*const Tree, *const Tree)>,
    steps: usize,
    depth: usize,
    until: Instant,
    /// A bound was met: nothing that is found from now on counts.
    exhausted: bool,
}

/// The problems of `document`, of which the first of the document are kept. There are none where a bound was
/// met before any was found.
pub(super) fn explain(
    schema: &Tree,
    draft: Draft,
    registry: &Registry<'_>,
    base: referencing::Uri<String>,
    document: &Tree,
) -> Found {
    let mut explainer = Explainer {
        assertions: HashMap::new(),
        patterns: HashMap::new(),
        tags: HashMap::new(),
        following: HashSet::new(),
        steps: 0,
        depth: 0,
        until: Instant::now() + MAX_TIME,
        exhausted: false,
    };
    let scope = Scope {
        resolver: registry.resolver(base),
        draft,
    };
    let mut found = Found::listing();
    explainer.walk_in(schema, &Place::root(document), &scope, &mut found);
    found
}

impl<'s> Explainer<'s> {
    /// Counts a step; false when there are to be no more.
    fn step(&mut self) -> bool {
        self.steps += 1;
        // The clock is not asked for each.
        let late = self.steps.is_multiple_of(256) && Instant::now() > self.until;
        if self.steps > MAX_STEPS || late || self.depth > MAX_DEPTH {
            self.exhausted = true;
        }
        !self.exhausted
    }

    /// Finds what of the value at `place` does not fit `schema`, a part of the schema of the scope.
    fn walk(&mut self, schema: &'s Tree, place: &Place<'_>, scope: &Scope<'s>, found: &mut Found) {
        if let Some(scope) = enter(schema, scope) {
            self.walk_in(schema, place, &scope, found);
        }
    }

    /// The same for a schema whose scope this is.
    fn walk_in(
        &mut self,
        schema: &'s Tree,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        if found.is_done() || !self.step() {
            return;
        }
        match schema {
            Tree::Bool(false) => found.here(place, || words::not_allowed(place.value)),
            Tree::Object(members) if !members.is_empty() => {
                self.depth += 1;
                self.object(members, place, scope, found);
                self.depth -= 1;
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        if stands_alone(schema, scope.draft) {
            return self.references(schema, place, scope, found);
        }
        self.asserted(schema, place, scope, found);
        match place.value {
            Tree::Object(members) => self.members(schema, members, place, scope, found),
            Tree::Array(items) => self.items(schema, items, place, scope, found),
            _ => {}
        }
        self.references(schema, place, scope, found);
        for branch in subschemas(schema, "allOf") {
            self.walk(branch, place, scope, found);
        }
        for keyword in ["anyOf", "oneOf"] {
            self.union(keyword, schema, place, scope, found);
        }
        self.conditions(schema, place, scope, found);
        self.unevaluated(schema, place, scope, found);
    }

    /// Whether a value fits a schema. Where a bound is met, the answer is of no use.
    fn fits(&mut self, schema: &'s Tree, place: &Place<'_>, scope: &Scope<'s>) -> bool {
        let mut found = Found::deciding();
        self.walk(schema, place, scope, &mut found);
        found.count == 0
    }

    /// `$ref`, `$dynamicRef` and `$recursiveRef`.
    fn references(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        for (target, scope) in targets(schema, scope) {
            let pair = (ptr::from_ref(target), ptr::from_ref(place.value));
            // One that leads back to itself without a step in the data says nothing.
            if self.following.insert(pair) {
                self.walk_in(target, place, &scope, found);
                self.following.remove(&pair);
            }
        }
    }

    /// `not`, `if`, `then` and `else`.
    fn conditions(
        &mut self,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        if let Some(not) = schema.get("not") {
            let fits = self.fits(not, place, scope);
            if fits && !self.exhausted {
                found.here(place, || words::forbidden(place.value, not));
            }
        }
        if matches!(scope.draft, Draft::Draft4 | Draft::Draft6) {
            return;
        }
        if let Some(condition) = schema.get("if") {
            let holds = self.fits(condition, place, scope);
            let next = schema.get(if holds { "then" } else { "else" });
            if let Some(next) = next.filter(|_| !self.exhausted) {
                self.walk(next, place, scope, found);
            }
        }
    }

    /// What a schema says of the members of an object.
    fn members(
        &mut self,
        schema: &'s Map<String, Tree>,
        members: &Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let properties = schema.get("properties").and_then(Tree::as_object);
        let patterned = object(schema, "patternProperties");
        let additional = schema.get("additionalProperties");
        if properties.is_some() || !patterned.is_empty() || additional.is_some() {
            for (index, (name, value)) in members.iter().enumerate() {
                let member = place.member(name, index, value);
                let named = properties.and_then(|properties| properties.get(name));
                if let Some(named) = named {
                    self.walk(named, &member, scope, found);
                }
                let mut known = named.is_some();
                for (pattern, branch) in &patterned {
                    if self.matches(pattern, name, scope) {
                        known = true;
                        self.walk(branch, &member, scope, found);
                    }
                }
                match additional.filter(|_| !known) {
                    Some(Tree::Bool(false)) => {
                        if found.is_done() || !self.step() {
                            return;
                        }
                        found.member(&member, || words::unexpected(name));
                    }
                    Some(branch) => self.walk(branch, &member, scope, found),
                    None => {}
                }
            }
        }
        self.names(schema, members, place, scope, found);
        for keyword in ["dependentSchemas", "dependencies"] {
            if !known_in(keyword, scope.draft) {
                continue;
            }
            for (name, branch) in object(schema, keyword) {
                // An array of names is an assertion.
                if members.contains_key(name) && !branch.is_array() {
                    self.walk(branch, place, scope, found);
                }
            }
        }
    }

    /// `propertyNames`.
    fn names(
        &mut self,
        schema: &'s Map<String, Tree>,
        members: &Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let names = schema.get("propertyNames");
        let Some(names) = names.filter(|_| scope.draft != Draft::Draft4) else {
            return;
        };
        for (index, (name, value)) in members.iter().enumerate() {
            let text = Tree::String(name.clone());
            let mut wrong = match found.is_deciding() {
                true => Found::deciding(),
                false => Found::of_branch(),
            };
            self.walk(names, &Place::root(&text), scope, &mut wrong);
            if wrong.count > 0 {
                let member = place.member(name, index, value);
                found.member(&member, || words::bad_name(wrong.first()));
            }
        }
    }

    /// What a schema says of the items of an array.
    fn items(
        &mut self,
        schema: &'s Map<String, Tree>,
        items: &[Tree],
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let (first, rest) = tuple(schema, scope.draft);
        for (index, (item, branch)) in items.iter().zip(first).enumerate() {
            self.walk(branch, &place.item(index, item), scope, found);
        }
        match rest {
            Some(Tree::Bool(false)) if items.len() > first.len() => {
                found.here(place, || words::too_many(place.value, first.len()));
            }
            Some(rest) => {
                for (index, item) in items.iter().enumerate().skip(first.len()) {
                    self.walk(rest, &place.item(index, item), scope, found);
                }
            }
            None => {}
        }
        let contains = schema.get("contains");
        if let Some(contains) = contains.filter(|_| scope.draft != Draft::Draft4) {
            let limit = |keyword: &str| {
                let counted = matches!(
                    scope.draft,
                    Draft::Draft201909 | Draft::Draft202012 | Draft::Unknown
                );
                // An integer may be written as 2.0.
                schema
                    .get(keyword)
                    .filter(|_| counted)
                    .and_then(Tree::as_f64)
            };
            let mut count = 0_f64;
            for (index, item) in items.iter().enumerate() {
                if self.fits(contains, &place.item(index, item), scope) {
                    count += 1.0;
                }
            }
            let enough = count >= limit("minContains").unwrap_or(1.0);
            let few = limit("maxContains").is_none_or(|most| count <= most);
            if !(self.exhausted || enough && few) {
                found.here(place, || words::wrong_number_of_matches(place.value));
            }
        }
    }
}

/// Whether a schema is a reference and nothing else, as one is up to draft 7.
fn stands_alone(schema: &Map<String, Tree>, draft: Draft) -> bool {
    let old = matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
    old && schema.contains_key("$ref")
}

/// Where a schema stands with an identifier of its own, or in a dialect of its own.
fn enter<'s>(schema: &'s Tree, scope: &Scope<'s>) -> Option<Scope<'s>> {
    let draft = scope.draft.detect(schema);
    let resolver = scope
        .resolver
        .in_subresource(draft.create_resource_ref(schema));
    Some(Scope {
        resolver: resolver.ok()?,
        draft,
    })
}

/// What the references of a schema lead to, each with its own scope.
fn targets<'s>(
    schema: &'s Map<String, Tree>,
    scope: &Scope<'s>,
) -> impl Iterator<Item = (&'s Tree, Scope<'s>)> {
    let of = |keyword: &str| schema.get(keyword).and_then(Tree::as_str);
    let mut found = Vec::new();
    found.extend(of("$ref").map(|reference| scope.resolver.lookup(reference)));
    match scope.draft {
        Draft::Draft201909 => {
            found.extend(of("$recursiveRef").map(|_| scope.resolver.lookup_recursive_ref()));
        }
        Draft::Draft202012 | Draft::Unknown => {
            found.extend(of("$dynamicRef").map(|reference| scope.resolver.lookup(reference)));
        }
        _ => {}
    }
    // One that leads nowhere was refused when the schema was compiled.
    found.into_iter().flatten().map(|resolved| {
        let (target, resolver, draft) = resolved.into_inner();
        (target, Scope { resolver, draft })
    })
}

/// The schemas of the first items one by one, and that of the others.
fn tuple(schema: &Map<String, Tree>, draft: Draft) -> (&[Tree], Option<&Tree>) {
    let items = schema.get("items");
    if matches!(draft, Draft::Draft202012 | Draft::Unknown) {
        return (subschemas(schema, "prefixItems"), items);
    }
    match items {
        Some(Tree::Array(first)) => (first, schema.get("additionalItems")),
        items => (&[], items),
    }
}

/// The schemas of a keyword that holds an array of them.
fn subschemas<'s>(schema: &'s Map<String, Tree>, keyword: &str) -> &'s [Tree] {
    schema
        .get(keyword)
        .and_then(Tree::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The members of a keyword that holds an object.
fn object<'s>(schema: &'s Map<String, Tree>, keyword: &str) -> Vec<(&'s str, &'s Tree)> {
    let members = schema.get(keyword).and_then(Tree::as_object);
    let members = members.into_iter().flatten();
    members
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// Whether a dialect has a keyword that not every one has. The older form of dependencies is taken in all, as
/// the validator takes it.
fn known_in(keyword: &str, draft: Draft) -> bool {
    match keyword {
        "dependentSchemas" | "unevaluatedProperties" | "unevaluatedItems" => matches!(
            draft,
            Draft::Draft201909 | Draft::Draft202012 | Draft::Unknown
        ),
        _ => true,
    }
}
