//! The built-in reducer over Python's events.

use provara_core::beliefs::BeliefReducer;
use provara_core::content::is_strict_event;
use provara_core::json::{Value, is_integer_token};
use provara_core::number::es_number;
use provara_core::number_rule::{is_large_integer, is_large_integer_token};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::integers::LargeIntegers;
use crate::{convert, errors};

/// The belief state after the events of an iterable.
#[pyfunction]
pub(crate) fn beliefs<'py>(events: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = events.py();
    let mut reducer = BeliefReducer::new();
    let mut large = LargeIntegers::Float;
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
        let mut event = convert::from_python(&event)?;
        let mut found = Found::default();
        each_number(&mut event, &mut |token| found.look(token));
        if found.integer {
            // The events come from who has integers of any length.
            large = LargeIntegers::Int;
        }
        if found.float && is_strict_event(&event) {
            each_number(&mut event, &mut |token| as_in_the_log(token));
        }
        reducer.apply(&event);
    }
    convert::text_to_python(py, &reducer.finish().to_json(), large)
}

/// The large integers that an event has.
#[derive(Default)]
struct Found {
    /// One that is an `int`.
    integer: bool,
    /// One that is a `float`.
    float: bool,
}

impl Found {
    fn look(&mut self, token: &str) -> Option<String> {
        self.integer |= is_large_integer_token(token);
        self.float |= is_float_of_integer(token);
        None
    }
}

/// Whether a token is that of a `float` which is an integer beyond ±(2^53-1).
fn is_float_of_integer(token: &str) -> bool {
    !is_integer_token(token) && is_large_integer(token)
}

/// A reader gives a float for an integer token of a log, which the state has as it stands in the log.
fn as_in_the_log(token: &str) -> Option<String> {
    is_float_of_integer(token).then(|| es_number(token.parse().unwrap_or_default()))
}

/// Calls `change` with each number, and puts what it gives in the place of that.
fn each_number(value: &mut Value<'_>, change: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::Number(token) => {
            if let Some(changed) = change(token) {
                *token = changed.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_number(item, change)),
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(_, member)| each_number(member, change)),
        _ => {}
    }
}
