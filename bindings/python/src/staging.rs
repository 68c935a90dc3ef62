//! Outputs of exports, which appear whole or not at all.

use std::ffi::OsString;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use provara_plugins::staging::{self, StagingError};
use provara_report::{Class, Diagnostic};
use provara_vault::enclosing_vault;
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;

use crate::errors;

/// A place for an output that is not there yet.
#[pyclass(module = "provara._native")]
pub(crate) struct Staging(Option<staging::Staging>);

#[pymethods]
impl Staging {
    /// Refuses what the executable refuses.
    #[new]
    fn new(py: Python<'_>, target: PathBuf, force: bool, vault: PathBuf) -> PyResult<Self> {
        let around = enclosing_vault(&target);
        let forbidden: Vec<PathBuf> = iter::once(vault).chain(around).collect();
        // The signals of a Python program are its own business.
        py.detach(|| staging::Staging::prepare_unguarded(&target, force, &forbidden))
            .map(|staging| Self(Some(staging.on_remains(warn))))
            .map_err(|error| raised(py, &error, None))
    }

    /// Where the output is to be written.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<OsString> {
        let staging = self.0.as_ref().ok_or_else(|| gone(py))?;
        Ok(staging.output().into())
    }

    /// Moves the output into place and says where that is. `writer` is whose output it is.
    fn commit(&mut self, py: Python<'_>, writer: &str) -> PyResult<OsString> {
        let staging = self.0.take().ok_or_else(|| gone(py))?;
        let target = staging.target().into();
        py.detach(|| staging.commit())
            .map_err(|error| raised(py, &error, Some(writer)))?;
        Ok(target)
    }

    /// Removes what was written, unless it was moved into place.
    fn discard(&mut self, py: Python<'_>) {
        py.detach(|| drop(self.0.take()));
    }
}

fn gone(py: Python<'_>) -> PyErr {
    errors::usage(py, "the output was moved or discarded already".to_owned())
}

/// The exception for a failure, by who has to act.
fn raised(py: Python<'_>, error: &StagingError, writer: Option<&str>) -> PyErr {
    let text = error.to_string();
    match error {
        StagingError::Exists(_) => {
            let diagnostic = Diagnostic::new(Class::Unavailable, text)
                .fix("Choose another path, or pass force=True.");
            errors::usage(py, diagnostic.exception_text())
        }
        StagingError::NoName(_)
        | StagingError::NotReplaceable { .. }
        | StagingError::Forbidden { .. } => errors::usage(py, text),
        StagingError::Nothing | StagingError::Foreign { .. } => {
            let format = writer.unwrap_or_default();
            errors::plugin(py, format!("export format '{format}': {text}"), writer)
        }
        StagingError::Directory { .. } | StagingError::Io { .. } => errors::could_not(py, text),
    }
}

fn warn(path: &Path, error: &io::Error) {
    let text = format!("'{}' could not be removed: {error}", path.display());
    Python::attach(|py| {
        if let Ok(text) = std::ffi::CString::new(text) {
            // Where warnings are errors there is nobody to take this one.
            let _ = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1);
        }
    });
}
