//! The tools that plugins bring: one for each event type, reducer and export.

use std::sync::Arc;

use provara_plugins::catalog::{Catalog, EventTypeInfo};
use serde_json::json;

use super::describe::Choice;
use super::event_type::EventTypeTool;
use super::export::ExportTool;
use super::reducer::ReducerTool;
use super::{Tool, own};
use crate::naming::{APPEND, EXPORT, PREFIXES, REDUCE, tool_names};
use crate::shown::{Shapes, shapes};

/// What is shown of the schemas of event types, in their order.
pub(super) fn all_shapes(catalog: &Catalog, rooms: &[usize]) -> Vec<Shapes> {
    let types = catalog.event_types.iter();
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    let of = |info: &EventTypeInfo| {
        let further = info.schemas_json.as_deref().map_or(json!({}), read);
        shapes(&read(&info.schema_json), &further, rooms)
    };
    types.map(of).collect()
}

/// The tools of all that is installed, each schema in one of its shapes. Their names do not depend on which of
/// them are offered.
pub(super) fn tools(
    choice: &Choice<'_>,
    catalog: &Catalog,
    shapes: &[Shapes],
    at: usize,
) -> Vec<Arc<dyn Tool>> {
    let types = catalog.event_types.iter();
    let reducers = catalog.reducers.iter();
    let exports = catalog.exports.iter();
    let plugins: Vec<_> = types
        .clone()
        .map(|info| (APPEND, info.event_type.as_str()))
        .chain(reducers.clone().map(|info| (REDUCE, info.name.as_str())))
        .chain(exports.clone().map(|info| (EXPORT, info.name.as_str())))
        .collect();
    let own = own();
    let taken: Vec<_> = own.iter().map(|tool| tool.name()).collect();
    let mut names = tool_names(&plugins, &taken).into_iter();
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    for ((info, shapes), name) in types.zip(shapes).zip(names.by_ref()) {
        tools.push(Arc::new(EventTypeTool::new(name, info, choice, shapes, at)));
    }
    for (info, name) in reducers.cloned().zip(names.by_ref()) {
        tools.push(Arc::new(ReducerTool { name, info }));
    }
    for (info, name) in exports.cloned().zip(names) {
        tools.push(Arc::new(ExportTool { name, info }));
    }
    tools
}

/// Whether a pattern may fit the tool of a plugin that is not here yet.
pub(super) fn may_fit_plugins(pattern: &str) -> bool {
    let begins = PREFIXES.iter().any(|prefix| pattern.starts_with(prefix));
    pattern.contains('*') || (begins && own().iter().all(|tool| tool.name() != pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_may_wait_for_a_plugin() {
        for pattern in ["append_com_acme", "*_acme", "export_siem"] {
            assert!(may_fit_plugins(pattern), "{pattern}");
        }
        for pattern in ["", "verify_vualt", "append", "export_vault", "append_event"] {
            assert!(!may_fit_plugins(pattern), "{pattern}");
        }
    }
}
