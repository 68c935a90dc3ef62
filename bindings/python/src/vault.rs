//! Operations on a vault, each by its path.

use std::path::{Path, PathBuf};

use provara_core::event_type::EventType;
use provara_core::id::KeyId;
use provara_core::keys::Keyfile;
use provara_core::namespace::Namespace;
use provara_vault::{AppendRequest, InitOptions, Vault, VaultError, read_keyfile};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;

use crate::integers::LargeIntegers;
use crate::{convert, errors};

/// Runs an operation without the interpreter's lock and maps its error.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    operation: impl FnOnce() -> Result<T, VaultError> + Send,
) -> PyResult<T> {
    py.detach(operation)
        .map_err(|error| errors::of_vault(py, error))
}

/// The Python object of what serde writes as JSON. Its numbers are counts, and those of an event.
pub(crate) fn to_python<'py, T: Serialize>(
    py: Python<'py>,
    value: &T,
) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_vec(value)
        .map_err(|error| errors::could_not(py, format!("the result is not JSON: {error}")))?;
    convert::text_to_python(py, &text, LargeIntegers::Float)
}

/// Opens a vault, with the user's cache, and with what this machine remembers of it.
pub(crate) fn open(path: &Path) -> Result<Vault, VaultError> {
    Vault::open(path)
        .map(|vault| vault.with_cache_directory(provara_vault::default_cache_directory()))
        .map(|vault| vault.with_memory(true))
}

/// The keyfile named, or else the vault's own.
pub(crate) fn keyfile_of(vault: &Vault, named: Option<&Path>) -> Result<Keyfile, VaultError> {
    named.map_or_else(|| read_keyfile(&vault.default_keyfile()), read_keyfile)
}

pub(crate) fn key_id_of(py: Python<'_>, text: Option<&str>) -> PyResult<Option<KeyId>> {
    text.map(|text| {
        text.parse()
            .map_err(|error| errors::usage(py, format!("'{text}' is no key id: {error}")))
    })
    .transpose()
}

/// Makes a vault.
#[pyfunction]
#[pyo3(signature = (path, uid=None, actor=None, quorum=false, private_keys=None))]
pub(crate) fn init_vault<'py>(
    py: Python<'py>,
    path: PathBuf,
    uid: Option<String>,
    actor: Option<String>,
    quorum: bool,
    private_keys: Option<PathBuf>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = InitOptions {
        uid,
        actor,
        quorum,
        private_keys,
    };
    let made = run(py, || {
        let made = provara_vault::init(&path, &options)?;
        // Whatever was there before: who makes a new vault knows.
        let _ = open(&path)?.remember_as_made();
        Ok(made)
    })?;
    let receipt = PyDict::new(py);
    receipt.set_item("uid", made.uid)?;
    receipt.set_item("root_key_id", made.root_key_id.to_string())?;
    receipt.set_item("quorum_key_id", made.quorum_key_id.map(|id| id.to_string()))?;
    receipt.set_item("keyfile", made.keyfile)?;
    receipt.set_item("genesis_event_id", made.genesis_event_id.to_string())?;
    receipt.set_item("merkle_root", made.merkle_root.to_string())?;
    Ok(receipt)
}

/// The vault's directory, its log and its default keyfile.
#[pyfunction]
pub(crate) fn open_vault(py: Python<'_>, path: PathBuf) -> PyResult<(PathBuf, PathBuf, PathBuf)> {
    let vault = run(py, || Vault::open(&path))?;
    Ok((
        vault.path().to_owned(),
        vault.log_path(),
        vault.default_keyfile(),
    ))
}

/// Appends one signed event.
#[pyfunction]
#[pyo3(signature = (path, event_type, data, *, actor, keyfile=None, key_id=None, namespace=None, confidence=None, blind=false, idempotency_key=None, no_lock=false))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn append_event<'py>(
    py: Python<'py>,
    path: PathBuf,
    event_type: &str,
    data: &Bound<'py, PyAny>,
    actor: String,
    keyfile: Option<PathBuf>,
    key_id: Option<&str>,
    namespace: Option<&str>,
    confidence: Option<f64>,
    blind: bool,
    idempotency_key: Option<String>,
    no_lock: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let namespace = namespace
        .map(|text| {
            let wrong = |error| errors::usage(py, format!("namespace '{text}': {error}"));
            text.parse::<Namespace>().map_err(wrong)
        })
        .transpose()?;
    let request = AppendRequest {
        event_type: event_type
            .parse::<EventType>()
            .map_err(|error| errors::usage(py, error.to_string()))?,
        data: convert::data_from_python(data)?,
        actor,
        namespace,
        confidence,
        key_id: key_id_of(py, key_id)?,
        blind,
        idempotency_key,
        rounded: 0,
        with_head: false,
    };
    let receipt = run(py, || {
        let vault = open(&path)?.with_no_lock(no_lock);
        let keyfile = keyfile_of(&vault, keyfile.as_deref())?;
        vault.append(&request, &keyfile)
    })?;
    to_python(py, &receipt)
}

/// Makes the seal anew; signed if there is a keyfile, and with `new_seal` also where there was none.
#[pyfunction]
#[pyo3(signature = (path, keyfile=None, new_seal=false, no_lock=false))]
pub(crate) fn make_manifest<'py>(
    py: Python<'py>,
    path: PathBuf,
    keyfile: Option<PathBuf>,
    new_seal: bool,
    no_lock: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let receipt = run(py, || {
        let vault = open(&path)?.with_no_lock(no_lock);
        let keyfile = match keyfile_of(&vault, keyfile.as_deref()) {
            Err(VaultError::KeyfileMissing { .. }) if keyfile.is_none() => None,
            found => Some(found?),
        };
        match new_seal {
            true => vault.new_seal(keyfile.as_ref()),
            false => vault.manifest(keyfile.as_ref()),
        }
    })?;
    to_python(py, &receipt)
}

/// Writes a signed checkpoint.
#[pyfunction]
#[pyo3(signature = (path, keyfile=None, key_id=None, no_lock=false))]
pub(crate) fn make_checkpoint<'py>(
    py: Python<'py>,
    path: PathBuf,
    keyfile: Option<PathBuf>,
    key_id: Option<&str>,
    no_lock: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let key_id = key_id_of(py, key_id)?;
    let receipt = run(py, || {
        let vault = open(&path)?.with_no_lock(no_lock);
        let keyfile = keyfile_of(&vault, keyfile.as_deref())?;
        vault.checkpoint(&keyfile, key_id)
    })?;
    to_python(py, &receipt)
}
