//! The built-in reducer over Python's events.

use provara_core::beliefs::BeliefReducer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::{convert, errors};

/// The belief state after the events of an iterable.
#[pyfunction]
pub(crate) fn beliefs<'py>(events: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = events.py();
    let mut reducer = BeliefReducer::new();
    for event in events.try_iter()? {
        let event = event?;
        let event = if event.is_instance_of::<PyDict>() {
            event
        } else if event.is_instance_of::<PyMapping>() {
            py.get_type::<PyDict>().call1((event,))?
        } else {
            let name = event.get_type().name()?;
            return Err(errors::usage(py, format!("an event is a dict, not {name}")));
        };
        reducer.apply(&convert::from_python(&event)?);
    }
    convert::text_to_python(py, &reducer.finish().to_json())
}
