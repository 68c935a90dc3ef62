//! How schemas lie in schemas.

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
