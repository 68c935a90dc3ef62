//! How schemas lie in schemas.

use std::ops::ControlFlow;

use jsonschema::Draft;
use serde_json::{Map, Value as Tree};

/// What a schema without an identifier is called, so that a relative reference leads somewhere.
pub(super) const NAMELESS: &str = "plugin:///";

/// The keywords whose values are data, in which a `$ref` is no reference.
pub(super) const DATA: [&str; 5] = ["const", "enum", "default", "example", "examples"];

/// The keywords whose members are schemas by names that the author chose.
pub(super) const NAMED: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// Visits every schema in a schema. What stands under a keyword that no dialect has counts as one, since a
/// reference may lead there.
pub(super) fn each_schema(schema: &mut Tree, visit: &mut impl FnMut(&mut Map<String, Tree>)) {
    match schema {
        Tree::Array(items) => items.iter_mut().for_each(|item| each_schema(item, visit)),
        Tree::Object(members) => {
            visit(members);
            for (keyword, value) in members {
                match value {
                    Tree::Object(named) if NAMED.contains(&keyword.as_str()) => {
                        let schemas = named.values_mut();
                        schemas.for_each(|schema| each_schema(schema, visit));
                    }
                    _ if DATA.contains(&keyword.as_str()) => {}
                    value => each_schema(value, visit),
                }
            }
        }
        _ => {}
    }
}

/// Visits every schema in a schema, with its place as a JSON Pointer and its dialect, below the keywords that
/// `followed` names, until the visitor has enough.
pub(super) fn each_place(
    schema: &Tree,
    draft: Draft,
    followed: &impl Fn(&str) -> bool,
    visit: &mut impl FnMut(&str, Draft, &Map<String, Tree>) -> ControlFlow<()>,
) {
    let mut walk = Walk {
        at: String::new(),
        followed,
        visit,
    };
    // That it ended early is the visitor's own.
    let _ = walk.walk(schema, draft);
}

struct Walk<'w, F, V> {
    at: String,
    followed: &'w F,
    visit: &'w mut V,
}

impl<F, V> Walk<'_, F, V>
where
    F: Fn(&str) -> bool,
    V: FnMut(&str, Draft, &Map<String, Tree>) -> ControlFlow<()>,
{
    fn walk(&mut self, schema: &Tree, draft: Draft) -> ControlFlow<()> {
        match schema {
            Tree::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.below(&index.to_string(), item, draft)?;
                }
            }
            Tree::Object(members) => {
                let draft = draft.detect(schema);
                (self.visit)(&self.at, draft, members)?;
                for (keyword, value) in members {
                    match value {
                        Tree::Object(schemas) if NAMED.contains(&keyword.as_str()) => {
                            let length = self.push(keyword);
                            for (name, schema) in schemas {
                                self.below(name, schema, draft)?;
                            }
                            self.at.truncate(length);
                        }
                        _ if DATA.contains(&keyword.as_str()) || !(self.followed)(keyword) => {}
                        value => self.below(keyword, value, draft)?,
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn below(&mut self, segment: &str, schema: &Tree, draft: Draft) -> ControlFlow<()> {
        let length = self.push(segment);
        let done = self.walk(schema, draft);
        self.at.truncate(length);
        done
    }

    /// Appends a segment to the place, and says how long the place was.
    fn push(&mut self, segment: &str) -> usize {
        let length = self.at.len();
        self.at.push('/');
        self.at
            .push_str(&segment.replace('~', "~0").replace('/', "~1"));
        length
    }
}
