//! `anyOf` and `oneOf`: which branch was meant.
//!
//! A union is mostly tagged: each branch allows a member its own values (`const`, `enum`), or OpenAPI's
//! `discriminator` names the member, as pydantic writes it. The branch that allows the value is the one that was
//! meant. In other unions it is the branch in which the data fits furthest down. Where neither tells, as for a
//! number under twenty kinds of objects, the words say what each branch wants.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ptr;
use std::rc::Rc;

use serde_json::{Map, Value as Tree};

use super::words;
use super::{Explainer, Found, Place, Scope, enter, stands_alone, subschemas, targets};
use crate::schema::references;
use crate::text::inline;

/// How far references and `allOf` are followed in search of a branch's tag.
const MAX_TAG_DEPTH: usize = 8;

/// The most branches that are told one by one.
const MAX_BRANCHES: usize = 6;

/// What tells the branches of one union apart.
pub(super) struct Tags<'s> {
    /// The member that has the tag.
    member: &'s str,
    /// The values of it that each branch allows; none where any will do.
    allowed: Vec<Option<Vec<&'s Tree>>>,
    /// The branches of those that are strings, as nearly all are: a union may have hundreds of branches, and
    /// a document thousands of values under it.
    texts: HashMap<&'s str, Vec<usize>>,
    /// The branch of a value, by the `mapping` of `discriminator` or the names of the schemas.
    mapped: HashMap<String, usize>,
    /// Whether every branch has a tag and demands it.
    required: bool,
    /// Whether the schema names the member, by `discriminator`.
    named: bool,
}

/// The branches that a value may be meant for.
enum Meant {
    /// It has no tag: all of them.
    Any,
    /// Its tag leaves these.
    These(Vec<usize>),
    /// No branch allows its tag, or that it is absent.
    None,
}

/// What one branch says against a value.
struct Failed {
    branch: usize,
    found: Found,
}

impl Failed {
    /// The better the branch fits, the greater.
    fn rank(&self) -> (usize, Reverse<usize>) {
        (self.found.shallowest, Reverse(self.found.count))
    }
}

/// What was found in all branches.
#[derive(Default)]
struct Tried {
    fitting: usize,
    best: Option<Failed>,
    /// Whether another branch fits as far down as the best.
    tied: bool,
    /// What the first branches say, in one line each, and how many other branches there are.
    told: Vec<(usize, String)>,
    others: usize,
    /// Whether all say the same.
    same: bool,
}

impl Tried {
    fn add(&mut self, failed: Failed) {
        let first = failed.found.first();
        let many = failed.found.count > 1;
        let words = format!("{first}{}", if many { ", …" } else { "" });
        self.same = match self.told.first() {
            Some((_, other)) => self.same && *other == words,
            None => true,
        };
        match self.told.len() < MAX_BRANCHES {
            true => self.told.push((failed.branch, words)),
            false => self.others += 1,
        }
        let depth = |failed: &Failed| failed.found.shallowest;
        match &self.best {
            Some(best) if failed.rank() <= best.rank() => {
                self.tied |= depth(best) == depth(&failed);
            }
            best => {
                let best = best.as_ref();
                self.tied = best.is_some_and(|best| depth(best) == depth(&failed));
                self.best = Some(failed);
            }
        }
    }
}

impl<'s> Explainer<'s> {
    pub(super) fn union(
        &mut self,
        keyword: &str,
        schema: &'s Map<String, Tree>,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let branches = subschemas(schema, keyword);
        if branches.is_empty() || found.is_done() || self.exhausted {
            return;
        }
        let tags = self.tags(schema, branches, scope);
        let tags = tags.as_deref();
        let meant = tags.map_or(Meant::Any, |tags| tags.meant(place.value, found));
        let candidates = match &meant {
            Meant::Any => (0..branches.len()).collect(),
            Meant::These(these) => these.clone(),
            // It is sure that none of them fits.
            Meant::None => Vec::new(),
        };
        let mut tried = self.try_each(keyword, branches, &candidates, place, scope, found);
        if let (Meant::These(these), Some(tags)) = (&meant, tags)
            && (tried.fitting == 0 || keyword == "oneOf")
        {
            // The tag says which branch is meant, and one that allows any tag may fit as well.
            let mut others = tags.possible(place.value);
            others.retain(|branch| !these.contains(branch));
            let asked = Found::deciding();
            let others = self.try_each(keyword, branches, &others, place, scope, &asked);
            tried.fitting += others.fitting;
        }
        if self.exhausted || tried.fitting == 1 || (tried.fitting > 0 && keyword == "anyOf") {
            return;
        }
        if found.is_deciding() {
            return found.here(place, String::new);
        }
        if tried.fitting > 1 {
            return found.here(place, || words::several_forms(place.value));
        }
        if let Some(tags) = tags
            && tags.says_all(place.value)
        {
            return untagged(tags, place, found);
        }
        self.tell(branches, tried, place, scope, found);
    }

    fn try_each(
        &mut self,
        keyword: &str,
        branches: &'s [Tree],
        candidates: &[usize],
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &Found,
    ) -> Tried {
        let mut tried = Tried::default();
        for &branch in candidates {
            let mut own = match found.is_deciding() || tried.fitting > 0 {
                true => Found::deciding(),
                false => Found::of_branch(),
            };
            self.walk(&branches[branch], place, scope, &mut own);
            if self.exhausted {
                break;
            }
            if own.count > 0 {
                tried.add(Failed { branch, found: own });
                continue;
            }
            tried.fitting += 1;
            if keyword == "anyOf" || tried.fitting > 1 {
                break;
            }
        }
        tried
    }

    /// Tells why no branch fits.
    fn tell(
        &mut self,
        branches: &'s [Tree],
        tried: Tried,
        place: &Place<'_>,
        scope: &Scope<'s>,
        found: &mut Found,
    ) {
        let Some(best) = tried.best else {
            return;
        };
        let named = |branch: usize| self.name(branches, branch, scope);
        let alone = tried.told.len() == 1 && tried.others == 0;
        // All that lies no deeper than the value itself says only that it is of another kind.
        let deeper = best.found.shallowest > place.depth;
        if alone || (deeper && !tried.tied) {
            let form = named(best.branch);
            return found.take(best.found, form.as_deref());
        }
        if tried.others == 0 {
            return found.here(place, || words::no_form(place.value, &tried.told));
        }
        if deeper {
            let form = named(best.branch);
            return found.take(best.found, form.as_deref());
        }
        let count = branches.len();
        let nearest = named(best.branch).unwrap_or_default();
        let words = match tried.same {
            true => best.found.first().to_owned(),
            false => format!("the nearest is {nearest}: {}", best.found.first()),
        };
        found.here(place, || words::no_form_of(place.value, count, &words));
    }

    /// What a branch is called: by the schema that it refers to, its title or its number. None where there is
    /// nothing to choose, as between a form and null.
    fn name(&self, branches: &'s [Tree], branch: usize, scope: &Scope<'s>) -> Option<String> {
        let null = |branch: &&Tree| branch.get("type").and_then(Tree::as_str) == Some("null");
        if branches.iter().filter(|branch| !null(branch)).count() < 2 {
            return None;
        }
        let title = |schema: &'s Tree| schema.get("title").and_then(Tree::as_str);
        let chosen = &branches[branch];
        let referred = chosen.get("$ref").and_then(Tree::as_str).map(last_segment);
        let name = referred
            .filter(|name| !name.is_empty())
            .or_else(|| title(chosen).map(str::to_owned));
        let name = name.or_else(|| {
            let target = targets(chosen.as_object()?, scope).next()?.0;
            title(target).map(str::to_owned)
        });
        // The tag is a name as well.
        let tag = || {
            let tags = self.tags.get(&ptr::from_ref(branches.first()?))?;
            let tags = tags.as_deref()?;
            let value = tags.allowed.get(branch)?.as_ref()?.first()?;
            Some(words::show(value))
        };
        let name = name.map(|name| inline(&name).into_owned()).or_else(tag);
        name.or_else(|| Some(format!("{} of {}", branch + 1, branches.len())))
    }

    /// What tells the branches of a union apart.
    fn tags(
        &mut self,
        schema: &'s Map<String, Tree>,
        branches: &'s [Tree],
        scope: &Scope<'s>,
    ) -> Option<Rc<Tags<'s>>> {
        let key = ptr::from_ref(branches.first()?);
        if let Some(known) = self.tags.get(&key) {
            return known.clone();
        }
        let tags = tags_of(schema, branches, scope).map(Rc::new);
        self.tags.insert(key, tags.clone());
        tags
    }
}

/// The tag of a value is none that a branch allows, or is absent.
fn untagged(tags: &Tags<'_>, place: &Place<'_>, found: &mut Found) {
    let mapped: Vec<Tree> = tags.mapped.keys().map(|tag| tag.as_str().into()).collect();
    let mut allowed: Vec<&Tree> = tags.allowed.iter().flatten().flatten().copied().collect();
    if allowed.is_empty() {
        allowed.extend(&mapped);
        allowed.sort_by_key(|tag| tag.as_str());
    }
    // A form may have several tags: the name of its schema beside those that are mapped to it.
    let forms = tags.allowed.len();
    let members = place.value.as_object().into_iter().flatten();
    let mut members = members.enumerate();
    match members.find(|(_, (name, _))| *name == tags.member) {
        Some((index, (name, value))) => {
            let member = place.member(name, index, value);
            found.member(&member, || words::unknown_tag(value, &allowed, forms));
        }
        None => {
            let member = place.absent(tags.member);
            found.member(&member, || words::no_tag(tags.member, forms));
        }
    }
}

impl<'s> Tags<'s> {
    /// The branches that allow a tag by name.
    fn closed(&self, tag: &Tree) -> Vec<usize> {
        if let Tree::String(tag) = tag {
            return self.texts.get(tag.as_str()).cloned().unwrap_or_default();
        }
        let allows = |allowed: &Option<Vec<&Tree>>| {
            let mut allowed = allowed.iter().flatten();
            allowed.any(|allowed| equal(allowed, tag))
        };
        let branches = self.allowed.iter().enumerate();
        branches
            .filter(|(_, allowed)| allows(allowed))
            .map(|(branch, _)| branch)
            .collect()
    }

    /// The branches that allow any tag.
    fn open(&self) -> impl Iterator<Item = usize> {
        let branches = self.allowed.iter().enumerate();
        let open = branches.filter(|(_, allowed)| allowed.is_none());
        open.map(|(branch, _)| branch)
    }

    /// The branches that a value may fit, by its tag.
    fn possible(&self, value: &Tree) -> Vec<usize> {
        match value.get(self.member) {
            None => (0..self.allowed.len()).collect(),
            Some(tag) => self.closed(tag).into_iter().chain(self.open()).collect(),
        }
    }

    /// Whether the tag of a value that no branch takes, or that it is absent, is all that there is to tell.
    fn says_all(&self, value: &Tree) -> bool {
        let Tree::Object(members) = value else {
            return false;
        };
        let Some(tag) = members.get(self.member) else {
            return self.required || self.named;
        };
        let mapped = tag
            .as_str()
            .is_some_and(|tag| self.mapped.contains_key(tag));
        let open = self.open().next().is_some() && self.mapped.is_empty();
        !(mapped || open) && self.closed(tag).is_empty()
    }

    /// Which branches a value may be meant for.
    fn meant(&self, value: &Tree, found: &Found) -> Meant {
        let Tree::Object(members) = value else {
            return Meant::Any;
        };
        let Some(tag) = members.get(self.member) else {
            return match self.required {
                true => Meant::None,
                false => Meant::Any,
            };
        };
        let mapped = tag.as_str().and_then(|tag| self.mapped.get(tag));
        if let Some(mapped) = mapped.filter(|_| !found.is_deciding()) {
            return Meant::These(vec![*mapped]);
        }
        let mut these = self.closed(tag);
        // What a branch without a tag makes of the value counts for the verdict. Where the tag tells, it was
        // not what was meant.
        if these.is_empty() || found.is_deciding() {
            these.extend(self.open());
        }
        match these.is_empty() {
            true => Meant::None,
            false => Meant::These(these),
        }
    }
}

fn tags_of<'s>(
    schema: &'s Map<String, Tree>,
    branches: &'s [Tree],
    scope: &Scope<'s>,
) -> Option<Tags<'s>> {
    let pins: Vec<Pins<'s>> = branches
        .iter()
        .map(|branch| {
            let mut pins = Pins::default();
            if let Some(scope) = enter(branch, scope) {
                pins.collect(branch, &scope, 0);
            }
            pins
        })
        .collect();
    let named = schema.get("discriminator");
    let named = named.and_then(|named| Some((named, named.get("propertyName")?.as_str()?)));
    let member = match named {
        Some((_, member)) => member,
        None => commonest(&pins)?,
    };
    let allowed: Vec<_> = pins
        .iter()
        .map(|pins| pins.values.get(member).cloned())
        .collect();
    let demanded =
        |pins: &Pins<'s>| pins.values.contains_key(member) && pins.required.contains(&member);
    let required = pins.iter().all(demanded);
    let mapped = named.map(|(named, _)| mapping(named, branches));
    let mut texts: HashMap<&'s str, Vec<usize>> = HashMap::new();
    for (branch, values) in allowed.iter().enumerate() {
        for text in values.iter().flatten().filter_map(|value| value.as_str()) {
            texts.entry(text).or_default().push(branch);
        }
    }
    Some(Tags {
        member,
        allowed,
        texts,
        mapped: mapped.unwrap_or_default(),
        required,
        named: named.is_some(),
    })
}

/// The member that most branches give values of their own; at least two have to.
fn commonest<'s>(pins: &[Pins<'s>]) -> Option<&'s str> {
    let mut members: Vec<(&'s str, usize)> = Vec::new();
    for member in pins.iter().flat_map(|pins| &pins.order) {
        match members.iter_mut().find(|(known, _)| known == member) {
            Some((_, count)) => *count += 1,
            None => members.push((member, 1)),
        }
    }
    let differs = |member: &str| {
        let mut values = pins.iter().filter_map(|pins| pins.values.get(member));
        let first = values.next();
        values.any(|other| Some(other) != first)
    };
    members.retain(|(member, count)| *count >= 2 && differs(member));
    // Of several the first.
    let most = members.iter().map(|(_, count)| *count).max()?;
    let found = members.iter().find(|(_, count)| *count == most);
    found.map(|(member, _)| *member)
}

/// OpenAPI's `mapping`, and the names of the schemas, which are the values where there is none.
fn mapping(discriminator: &Tree, branches: &[Tree]) -> HashMap<String, usize> {
    let references: Vec<_> = branches
        .iter()
        .map(|branch| branch.get("$ref").and_then(Tree::as_str))
        .collect();
    let mut mapped = HashMap::new();
    for (branch, reference) in references.iter().enumerate() {
        if let Some(reference) = reference {
            mapped.insert(last_segment(reference), branch);
        }
    }
    let mapping = discriminator.get("mapping").and_then(Tree::as_object);
    for (value, target) in mapping.into_iter().flatten() {
        let leads = |reference: &Option<&str>| {
            let target = target.as_str();
            // A bare name stands for the schema of that name.
            *reference == target || reference.map(last_segment).as_deref() == target
        };
        if let Some(branch) = references.iter().position(leads) {
            mapped.insert(value.clone(), branch);
        }
    }
    mapped
}

/// The members that a branch allows only some values.
#[derive(Default)]
struct Pins<'s> {
    order: Vec<&'s str>,
    values: HashMap<&'s str, Vec<&'s Tree>>,
    required: Vec<&'s str>,
}

impl<'s> Pins<'s> {
    fn collect(&mut self, schema: &'s Tree, scope: &Scope<'s>, depth: usize) {
        let Some(members) = schema.as_object().filter(|_| depth <= MAX_TAG_DEPTH) else {
            return;
        };
        for (target, scope) in targets(members, scope) {
            self.collect(target, &scope, depth + 1);
        }
        if stands_alone(members, scope.draft) {
            return;
        }
        for branch in subschemas(members, "allOf") {
            if let Some(scope) = enter(branch, scope) {
                self.collect(branch, &scope, depth + 1);
            }
        }
        let required = members.get("required").and_then(Tree::as_array);
        self.required
            .extend(required.into_iter().flatten().filter_map(Tree::as_str));
        let properties = members.get("properties").and_then(Tree::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(scope) = enter(property, scope)
                && let Some(values) = allowed(property, &scope, depth)
                && self.values.insert(name, values).is_none()
            {
                self.order.push(name);
            }
        }
    }
}

/// The values that a schema allows by `const` or `enum`, if that is all that it may be.
fn allowed<'s>(schema: &'s Tree, scope: &Scope<'s>, depth: usize) -> Option<Vec<&'s Tree>> {
    let scalar = |value: &&Tree| !value.is_object() && !value.is_array();
    let members = schema.as_object()?;
    let own = !stands_alone(members, scope.draft);
    let get = |keyword: &str| members.get(keyword).filter(|_| own);
    let constant = get("const").filter(|_| scope.draft != jsonschema::Draft::Draft4);
    let values: Option<Vec<&Tree>> = match (constant, get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Tree::Array(values))) => Some(values.iter().collect()),
        _ => None,
    };
    if let Some(values) = values {
        return values.iter().all(scalar).then_some(values);
    }
    let (target, scope) = targets(members, scope).next()?;
    (depth < MAX_TAG_DEPTH).then_some(())?;
    allowed(target, &scope, depth + 1)
}

/// Whether two values are the same to JSON Schema, to which 1.0 is 1.
fn equal(one: &Tree, other: &Tree) -> bool {
    match (one, other) {
        (Tree::Number(one), Tree::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// The last segment of a reference, which mostly is the schema's name.
fn last_segment(reference: &str) -> String {
    let last = reference.rsplit(['/', '#']).next().unwrap_or_default();
    references::decoded(last)
}
