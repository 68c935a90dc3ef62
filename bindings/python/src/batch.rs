//! Many events, collected in Python and appended together.

use std::path::PathBuf;

use provara_core::event_type::EventType;
use provara_core::id::KeyId;
use provara_core::namespace::Namespace;
use provara_vault::{
    AppendReceipt, AppendRequest, BatchOptions, ErrorClass, LogWriter, VaultError,
};
use pyo3::prelude::*;

use crate::vault::{key_id_of, keyfile_of, open, run, to_python};
use crate::{convert, errors};

/// Which event was refused, and why.
type Refusal = (usize, String);

/// Events that wait to be appended together.
#[pyclass(module = "provara._native")]
pub(crate) struct Batch {
    path: PathBuf,
    keyfile: Option<PathBuf>,
    key_id: Option<KeyId>,
    no_lock: bool,
    requests: Vec<AppendRequest<'static>>,
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (path, keyfile=None, key_id=None, no_lock=false))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        keyfile: Option<PathBuf>,
        key_id: Option<&str>,
        no_lock: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            path,
            keyfile,
            key_id: key_id_of(py, key_id)?,
            no_lock,
            requests: Vec::new(),
        })
    }

    fn __len__(&self) -> usize {
        self.requests.len()
    }

    /// Adds an event to those that wait.
    #[pyo3(signature = (event_type, data, *, actor, namespace=None, confidence=None, blind=false, idempotency_key=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn add(
        &mut self,
        event_type: &str,
        data: &Bound<'_, PyAny>,
        actor: String,
        namespace: Option<&str>,
        confidence: Option<f64>,
        blind: bool,
        idempotency_key: Option<String>,
    ) -> PyResult<()> {
        let py = data.py();
        let request = AppendRequest {
            event_type: event_type
                .parse::<EventType>()
                .map_err(|error| errors::usage(py, error.to_string()))?,
            data: convert::data_from_python(data)?,
            actor,
            namespace: namespace
                .map(|text| {
                    text.parse::<Namespace>()
                        .map_err(|error| errors::usage(py, format!("namespace '{text}': {error}")))
                })
                .transpose()?,
            confidence,
            key_id: self.key_id,
            blind,
            idempotency_key,
        };
        self.requests.push(request);
        Ok(())
    }

    /// Appends those that wait. Gives the receipts, and which event was refused and why; those before
    /// that one are in the log and sealed (none of them if `atomic`).
    #[pyo3(signature = (atomic=false))]
    fn commit<'py>(
        &mut self,
        py: Python<'py>,
        atomic: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Option<Refusal>)> {
        let requests = std::mem::take(&mut self.requests);
        let (path, keyfile, no_lock) = (&self.path, self.keyfile.as_deref(), self.no_lock);
        let (receipts, refused) = run(py, || {
            let vault = open(path)?.with_no_lock(no_lock);
            let keyfile = keyfile_of(&vault, keyfile)?;
            let options = BatchOptions {
                atomic,
                ..BatchOptions::default()
            };
            let mut batch = LogWriter::open_with(&vault, &keyfile)?.batch(&keyfile, options);
            let refused = match batch.append(requests) {
                Ok(()) => None,
                // What the disk refuses, and what is wrong with the vault, is no event's fault.
                Err(rejected) if rejected.error.class() != ErrorClass::Usage => {
                    return Err(rejected.error);
                }
                Err(rejected) => Some((rejected.index, errors::words(&rejected.error))),
            };
            if refused.is_none() || !atomic {
                batch.finish()?;
            }
            Ok::<(Vec<AppendReceipt>, _), VaultError>((batch.take_receipts(), refused))
        })?;
        Ok((to_python(py, &receipts)?, refused))
    }
}
