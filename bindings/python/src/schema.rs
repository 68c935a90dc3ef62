//! JSON Schemas and names of custom event types.

use provara_core::event_type::CustomType;
use provara_core::json;
use provara_plugins::schema::CompiledSchema;
use pyo3::prelude::*;

use crate::errors;

/// A compiled schema of one event type.
#[pyclass(frozen, module = "provara._native")]
pub(crate) struct Schema(CompiledSchema);

#[pymethods]
impl Schema {
    #[new]
    fn new(py: Python<'_>, type_name: &str, version: &str, schema_json: &str) -> PyResult<Self> {
        CompiledSchema::new(type_name, version, schema_json)
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

/// Why a text cannot be the name of a custom event type, or `None` if it can.
#[pyfunction]
pub(crate) fn check_type_name(name: &str) -> Option<String> {
    name.parse::<CustomType>()
        .err()
        .map(|error| error.to_string())
}
