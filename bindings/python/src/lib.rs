#![deny(unsafe_code)]
//! The extension module `provara._native`: the Rust crates, for the package `provara`.
//!
//! Thin on purpose: it converts, calls and maps errors. What it offers is typed in
//! `python/provara/_native.pyi`; programs use the package, not this module.

mod beliefs;
mod convert;
mod errors;
mod reader;
mod schema;
mod vault;

use provara_core::canonical;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Parses strict JSON: duplicate keys, NaN, lone surrogates and trailing bytes are errors.
#[pyfunction]
fn parse_json<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return convert::text_to_python(py, bytes.as_bytes());
    }
    convert::text_to_python(py, text.extract::<&str>()?.as_bytes())
}

/// Writes an object as compact JSON, members in their order.
#[pyfunction]
fn to_json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut out = Vec::new();
    convert::write_compact(&mut out, &convert::from_python(value)?);
    Ok(String::from_utf8(out)?)
}

/// Writes an object as canonical JSON (RFC 8785).
#[pyfunction]
fn canonical_json<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let tree = convert::from_python(value)?;
    let bytes = canonical::jcs(&tree).map_err(|error| errors::usage(py, error.to_string()))?;
    Ok(PyBytes::new(py, &bytes))
}

/// The extension module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::beliefs::beliefs;
    #[pymodule_export]
    use crate::reader::{EventReader, timestamp_micros};
    #[pymodule_export]
    use crate::schema::{Schema, check_type_name};
    #[pymodule_export]
    use crate::vault::{
        append_event, export_builtin, init_vault, log_length, make_checkpoint, make_manifest,
        open_vault, summary, verify_vault,
    };
    #[pymodule_export]
    use crate::{canonical_json, parse_json, to_json};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
