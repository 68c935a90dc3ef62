//! JSON Schemas and names of custom event types.

use provara_core::event_type::{CustomType, TypeNameError};
use provara_core::json;
use provara_plugins::resolve::Resolution;
use provara_plugins::schema::CompiledSchema;
use pyo3::prelude::*;

use crate::errors;

/// A compiled schema of one event type.
#[pyclass(frozen, module = "provara._native")]
pub(crate) struct Schema(CompiledSchema);

#[pymethods]
impl Schema {
    #[new]
    #[pyo3(signature = (type_name, version, schema_json, schemas_json=None))]
    fn new(
        py: Python<'_>,
        type_name: &str,
        version: &str,
        schema_json: &str,
        schemas_json: Option<&str>,
    ) -> PyResult<Self> {
        CompiledSchema::with_further(type_name, version, schema_json, schemas_json)
            .map(Self)
            .map_err(|error| errors::usage(py, error.to_string()))
    }

    /// The text of the refusal, as the specification words it, or `None`.
    fn check(&self, py: Python<'_>, data_json: &str) -> PyResult<Option<String>> {
        let data = json::parse(data_json.as_bytes())
            .map_err(|error| errors::usage(py, error.to_string()))?;
        Ok(self
            .0
            .validate(&data)
            .err()
            .map(|violations| violations.to_string()))
    }
}

/// What a name stands for as the type of a new event: the kind of answer, and the type or why it is none.
/// `plugin_type` is the type of the plugin that has the name for its type or its alias.
#[pyfunction]
#[pyo3(signature = (name, plugin_type=None))]
pub(crate) fn resolve_event_type(
    py: Python<'_>,
    name: &str,
    plugin_type: Option<&str>,
) -> PyResult<(&'static str, String)> {
    let own = plugin_type
        .map(str::parse::<CustomType>)
        .transpose()
        .map_err(|error| errors::usage(py, error.to_string()))?;
    let plugin = own.as_ref().map(|own| ((), own));
    Ok(match Resolution::of(name, plugin) {
        Resolution::Core(core) => ("core", core.as_str().to_owned()),
        Resolution::Plugin { event_type, .. } => ("plugin", event_type.to_string()),
        Resolution::Unregistered(custom) => ("unregistered", custom.to_string()),
        Resolution::UnknownOwn(custom) => (
            "own",
            provara_explain::unknown_own_type(&custom).exception_text(),
        ),
        Resolution::Reserved(_) => {
            let name = name.to_owned();
            ("none", TypeNameError::Reserved { name }.to_string())
        }
        Resolution::UnknownAlias(error) | Resolution::NoName(error) => ("none", error.to_string()),
    })
}

/// Why a text cannot be the name of a custom event type, or `None` if it can.
#[pyfunction]
pub(crate) fn check_type_name(name: &str) -> Option<String> {
    name.parse::<CustomType>()
        .err()
        .map(|error| error.to_string())
}
