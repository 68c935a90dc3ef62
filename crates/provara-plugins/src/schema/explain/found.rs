//! What was found, and where: of many problems the first ones of the document are kept, the others counted.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value as Tree;

use super::SchemaViolation;
use super::words;

/// At most so many problems of one event are listed; the rest are counted.
const MAX_LISTED: usize = 100;

/// So many are kept of a branch that may turn out not to be the one that was meant.
const MAX_OF_BRANCH: usize = 12;

/// How many are counted. There is nothing to be learnt from more.
const MAX_COUNTED: usize = 200_000;

/// How many branches in branches are named.
const MAX_FORMS: usize = 3;

/// A place in the data, and how it was come by.
pub(super) struct Place<'p> {
    above: Option<(&'p Place<'p>, Step<'p>)>,
    pub(super) value: &'p Tree,
    pub(super) depth: usize,
}

enum Step<'p> {
    /// The member's name and its index; none where there is no such member.
    Member(&'p str, Option<usize>),
    Item(usize),
}

impl<'p> Place<'p> {
    pub(super) fn root(value: &'p Tree) -> Place<'p> {
        Place {
            above: None,
            value,
            depth: 0,
        }
    }

    fn below<'q>(&'q self, step: Step<'q>, value: &'q Tree) -> Place<'q> {
        Place {
            above: Some((self, step)),
            value,
            depth: self.depth + 1,
        }
    }

    pub(super) fn member<'q>(&'q self, name: &'q str, index: usize, value: &'q Tree) -> Place<'q> {
        self.below(Step::Member(name, Some(index)), value)
    }

    /// A member that is not there.
    pub(super) fn absent<'q>(&'q self, name: &'q str) -> Place<'q> {
        self.below(Step::Member(name, None), &Tree::Null)
    }

    pub(super) fn item<'q>(&'q self, index: usize, value: &'q Tree) -> Place<'q> {
        self.below(Step::Item(index), value)
    }

    /// The index of each member or item on the way down. What is absent stands where its object begins.
    fn position(&self) -> Vec<usize> {
        let mut position = Vec::with_capacity(self.depth);
        let mut place = self;
        while let Some((above, step)) = &place.above {
            match step {
                Step::Member(_, index) => position.extend(*index),
                Step::Item(index) => position.push(*index),
            }
            place = above;
        }
        position.reverse();
        position
    }

    /// The path for people.
    fn path(&self) -> String {
        match &self.above {
            None => String::new(),
            Some((above, Step::Member(name, _))) => words::join(&above.path(), name),
            Some((above, Step::Item(index))) => format!("{}[{index}]", above.path()),
        }
    }
}

/// A problem, by its position in the document: a value comes before what it contains.
#[derive(Clone)]
struct Problem {
    violation: SchemaViolation,
    /// The branches that it was found in, the innermost first.
    forms: Vec<String>,
}

/// The problems found under one schema.
#[derive(Default)]
pub(in crate::schema) struct Found {
    /// How many there are.
    pub(super) count: usize,
    /// How deep the one lies that is the least deep.
    pub(super) shallowest: usize,
    /// How many are kept; none where all that is asked is whether there is one.
    limit: usize,
    kept: BTreeMap<(Vec<usize>, usize), Problem>,
    /// One problem may be found on several ways through the schema.
    seen: HashSet<u64>,
}

impl Found {
    fn keeping(limit: usize) -> Found {
        Found {
            shallowest: usize::MAX,
            limit,
            ..Found::default()
        }
    }

    pub(super) fn listing() -> Found {
        Found::keeping(MAX_LISTED)
    }

    pub(super) fn of_branch() -> Found {
        Found::keeping(MAX_OF_BRANCH)
    }

    /// For the question whether there is any.
    pub(super) fn deciding() -> Found {
        Found::keeping(0)
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.limit == 0
    }

    /// Whether nothing more has to be looked for.
    pub(super) fn is_done(&self) -> bool {
        self.count >= if self.limit == 0 { 1 } else { MAX_COUNTED }
    }

    /// Takes a problem of the value at a place.
    pub(super) fn here(&mut self, place: &Place<'_>, error: impl FnOnce() -> String) {
        self.add(place, error, Vec::new());
    }

    /// Takes a problem of a member, which may be absent.
    pub(super) fn member(&mut self, place: &Place<'_>, error: impl FnOnce() -> String) {
        self.add(place, error, Vec::new());
    }

    fn add(&mut self, place: &Place<'_>, error: impl FnOnce() -> String, forms: Vec<String>) {
        self.shallowest = self.shallowest.min(place.depth);
        if self.limit == 0 {
            self.count += 1;
            return;
        }
        let position = place.position();
        if self.kept.len() >= self.limit
            && self
                .kept
                .last_key_value()
                .is_some_and(|(last, _)| last.0 < position)
        {
            // It would not be kept, and may be one of very many.
            self.count += 1;
            return;
        }
        let path = place.path();
        let field = match path.is_empty() {
            true => words::WHOLE.to_owned(),
            false => path,
        };
        let violation = SchemaViolation {
            field,
            error: error(),
        };
        self.keep(position, Problem { violation, forms });
    }

    fn keep(&mut self, position: Vec<usize>, problem: Problem) {
        let mut hasher = DefaultHasher::new();
        problem.violation.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        self.count += 1;
        self.kept.insert((position, self.count), problem);
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    /// Takes what was found in the branch of an `anyOf` or `oneOf` that was meant.
    pub(super) fn take(&mut self, branch: Found, form: Option<&str>) {
        self.shallowest = self.shallowest.min(branch.shallowest);
        let others = branch.count - branch.kept.len();
        for ((position, _), mut problem) in branch.kept {
            problem.forms.extend(form.map(str::to_owned));
            self.keep(position, problem);
        }
        self.count += others;
    }

    /// The words of the first problem in the document.
    pub(super) fn first(&self) -> &str {
        let first = self.kept.first_key_value();
        first.map_or("", |(_, problem)| &problem.violation.error)
    }

    /// The problems that are kept, in the order of the document, and how many others there are.
    pub(in crate::schema) fn into_violations(self) -> (Vec<SchemaViolation>, usize) {
        let more = self.count - self.kept.len();
        let told = self.kept.into_values().map(|problem| {
            let mut violation = problem.violation;
            let skipped = problem.forms.len().saturating_sub(MAX_FORMS);
            // The innermost ones say most.
            let mut forms: Vec<_> = problem.forms.into_iter().take(MAX_FORMS).collect();
            forms.extend((skipped > 0).then(|| "…".to_owned()));
            forms.reverse();
            if !forms.is_empty() {
                let forms = forms.join(" > ");
                violation.error = format!("{} (in the form {forms})", violation.error);
            }
            violation
        });
        (told.collect(), more)
    }
}
