#![deny(unsafe_code)]
//! The extension module `provara._native`: the Rust crates, for the package `provara`.
//!
//! Thin on purpose: it converts, calls and maps errors. What it offers is typed in
//! `python/provara/_native.pyi`; programs use the package, not this module.

mod ahead;
mod anchors;
mod batch;
mod beliefs;
mod convert;
mod errors;
mod integers;
mod log;
mod proofs;
mod reader;
mod record;
mod schema;
mod staging;
mod vault;

use integers::LargeIntegers;
use provara_core::canonical;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What Python's allocator guarantees for an object, in bytes. PyO3 puts the fields of a class into
/// such an object and asks for no more: a field with a stricter alignment, such as the tables of a
/// SIMD searcher, would be undefined behaviour and has to be boxed.
const MAX_ALIGN: usize = 16;

const _: () = {
    assert!(align_of::<reader::EventReader>() <= MAX_ALIGN);
    assert!(align_of::<log::Log>() <= MAX_ALIGN);
    assert!(align_of::<schema::Schema>() <= MAX_ALIGN);
    assert!(align_of::<staging::Staging>() <= MAX_ALIGN);
};

/// Parses strict JSON: duplicate keys, NaN, lone surrogates and trailing bytes are errors. Integers keep
/// their digits, or are what a reader of an event makes of them.
#[pyfunction]
#[pyo3(signature = (text, *, of_event=false))]
fn parse_json<'py>(
    py: Python<'py>,
    text: &Bound<'py, PyAny>,
    of_event: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let large = match of_event {
        true => LargeIntegers::Float,
        false => LargeIntegers::Int,
    };
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return convert::text_to_python(py, bytes.as_bytes(), large);
    }
    convert::text_to_python(py, text.extract::<&str>()?.as_bytes(), large)
}

/// Writes an object as compact JSON, members in their order.
#[pyfunction]
fn to_json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = canonical::compact(&convert::from_python(value)?);
    Ok(String::from_utf8(text)?)
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
    use crate::anchors::{add_anchor, list_anchors};
    #[pymodule_export]
    use crate::batch::{Batch, held_descriptors};
    #[pymodule_export]
    use crate::beliefs::beliefs;
    #[pymodule_export]
    use crate::log::{Log, examine, snapshot, verification_page};
    #[pymodule_export]
    use crate::proofs::{check_proof, read_tree_head, sign_tree_head};
    #[pymodule_export]
    use crate::reader::EventReader;
    #[pymodule_export]
    use crate::schema::{Schema, check_type_name, resolve_event_type};
    #[pymodule_export]
    use crate::staging::Staging;
    #[pymodule_export]
    use crate::vault::{append_event, init_vault, make_checkpoint, make_manifest, open_vault};
    #[pymodule_export]
    use crate::{canonical_json, parse_json, to_json};

    use provara_plugins::builtin::Reducer;
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add(
            "BUILTIN_REDUCERS",
            PyTuple::new(module.py(), Reducer::NAMES)?,
        )
    }
}
