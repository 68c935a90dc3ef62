//! Exceptions: their classes are defined in Python, in `provara.errors`.

use provara_core::canonical::CanonicalError;
use provara_core::number_rule::NumberFault;
use provara_vault::{ErrorClass, VaultError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

const MODULE: &str = "provara.errors";

fn raise(py: Python<'_>, cell: &PyOnceLock<Py<PyType>>, class: &str, text: String) -> PyErr {
    match cell.import(py, MODULE, class) {
        Ok(class) => PyErr::from_type(class.clone(), (text,)),
        Err(error) => error,
    }
}

/// The input is wrong.
pub(crate) fn usage(py: Python<'_>, text: String) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "UsageError", text)
}

/// The evidence is wrong.
pub(crate) fn evidence(py: Python<'_>, text: String) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "InvalidEvidenceError", text)
}

/// It could not be done.
pub(crate) fn could_not(py: Python<'_>, text: String) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    raise(py, &CLASS, "VaultError", text)
}

/// A plugin is at fault.
pub(crate) fn plugin(py: Python<'_>, text: String, name: Option<&str>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, MODULE, "PluginError") {
        Ok(class) => PyErr::from_type(class.clone(), (text, name.map(str::to_owned))),
        Err(error) => error,
    }
}

/// What is wrong, and of a number also what helps.
pub(crate) fn words(error: &VaultError) -> String {
    let VaultError::Canonical(CanonicalError::Number { token, fault, .. }) = error else {
        return error.to_string();
    };
    let float = match fault {
        // Of a long number its author will hardly want another.
        NumberFault::Changed { nearest } if token.len() <= 60 => {
            format!(", or as float({token}), which is {nearest}")
        }
        _ => String::new(),
    };
    format!("{error}; write it as a str{float}")
}

/// The exception of a failed operation on a vault, by who has to act.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is an argument of map_err"
)]
pub(crate) fn of_vault(py: Python<'_>, error: VaultError) -> PyErr {
    of_class(py, error.class(), words(&error))
}

/// The exception with this text, by who has to act.
pub(crate) fn of_class(py: Python<'_>, class: ErrorClass, text: String) -> PyErr {
    match class {
        ErrorClass::Evidence => evidence(py, text),
        ErrorClass::Usage => usage(py, text),
        ErrorClass::CouldNot => could_not(py, text),
    }
}
