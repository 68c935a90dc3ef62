//! Many events, collected in Python and appended together.

use std::path::PathBuf;

use provara_core::event_type::EventType;
use provara_core::id::KeyId;
use provara_core::namespace::Namespace;
use provara_vault::{
    AppendReceipt, AppendRequest, BatchOptions, ErrorClass, LastSeen, LogWriter, VaultError,
};
use pyo3::prelude::*;

use crate::vault::{key_id_of, keyfile_of, open, to_python};
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
    atomic: bool,
    requests: Vec<AppendRequest<'static>>,
    /// The log when it was written to last.
    seen: Option<LastSeen>,
    /// How many events are durable and sealed.
    sealed: u64,
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (path, keyfile=None, key_id=None, no_lock=false, atomic=false))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        keyfile: Option<PathBuf>,
        key_id: Option<&str>,
        no_lock: bool,
        atomic: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            path,
            keyfile,
            key_id: key_id_of(py, key_id)?,
            no_lock,
            atomic,
            requests: Vec::new(),
            seen: None,
            sealed: 0,
        })
    }

    fn __len__(&self) -> usize {
        self.requests.len()
    }

    /// Adds an event to those that wait, unless no vault would take it. Tells whether the log before it
    /// decides if it may be appended: then all that wait are to be appended before the next is taken.
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
    ) -> PyResult<bool> {
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
            rounded: 0,
            with_head: false,
        };
        let needs_log = request.needs_log();
        let checked = match needs_log && self.atomic {
            true => Err(VaultError::NotInAtomicBatch {
                event_type: request.event_type.as_str().to_owned(),
            }),
            false => request.check(),
        };
        checked.map_err(|error| errors::of_vault(py, error))?;
        self.requests.push(request);
        Ok(needs_log)
    }

    /// Appends those that wait. Gives the receipts; which events were refused and why; and the exception
    /// that ended it. Those before a refused one are in the log and sealed (none of them if `atomic`), those
    /// after it as well if it is to `go_on`.
    #[pyo3(signature = (go_on=false))]
    #[expect(clippy::type_complexity, reason = "a tuple in Python")]
    fn commit<'py>(
        &mut self,
        py: Python<'py>,
        go_on: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<Refusal>, Option<Py<PyAny>>)> {
        let (mut receipts, mut refused) = (Vec::new(), Vec::new());
        let done = py.detach(|| self.write(go_on && !self.atomic, &mut receipts, &mut refused));
        let before = self.sealed;
        self.sealed += receipts.len() as u64;
        let failed = done.err().map(|error| match error {
            VaultError::LogLost { path, loss, .. } => {
                let acknowledged = self.sealed;
                let error = VaultError::LogLost {
                    path,
                    loss,
                    acknowledged,
                };
                errors::of_vault(py, error)
            }
            // It counts those of this call by itself.
            error @ VaultError::BatchEnded { .. } if before == 0 => errors::of_vault(py, error),
            error if self.sealed == 0 => errors::of_vault(py, error),
            error => {
                let events = match self.sealed {
                    1 => "1 event that is".to_owned(),
                    more => format!("{more} events that are"),
                };
                errors::of_class(
                    py,
                    error.class(),
                    format!("after {events} in the log and sealed: {error}"),
                )
            }
        });
        let failed = failed.map(|error| error.into_value(py).into_any());
        Ok((to_python(py, &receipts)?, refused, failed))
    }
}

impl Batch {
    fn write(
        &mut self,
        go_on: bool,
        receipts: &mut Vec<AppendReceipt>,
        refused: &mut Vec<Refusal>,
    ) -> Result<(), VaultError> {
        let vault = open(&self.path)?.with_no_lock(self.no_lock);
        let keyfile = keyfile_of(&vault, self.keyfile.as_deref())?;
        let options = BatchOptions {
            atomic: self.atomic,
            ..BatchOptions::default()
        };
        // What cannot be begun can be tried again: nothing is taken before the lock is held.
        let writer = LogWriter::open_after(&vault, &keyfile, self.seen.as_ref())?;
        let mut batch = writer.batch(&keyfile, options);
        let requests = std::mem::take(&mut self.requests);
        let count = requests.len();
        let taken = match go_on {
            true => batch.append_each(requests, &mut |it| {
                refused.push((it.index, errors::words(&it.error)));
            }),
            false => batch.append(requests),
        };
        let taken = match taken {
            // What the disk refuses, and what is wrong with the vault, is no event's fault.
            Err(it) if it.error.class() != ErrorClass::Usage => Err(it.error),
            Err(it) => {
                // What stands against every event stands against those after it, too.
                let after = if go_on { count } else { it.index + 1 };
                let words = errors::words(&it.error);
                refused.extend((it.index..after).map(|index| (index, words.clone())));
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        let done = taken.and_then(|()| {
            let whole = refused.is_empty();
            if whole || !self.atomic {
                batch.finish()?;
                self.seen = batch.last_seen();
            }
            Ok(())
        });
        *receipts = batch.take_receipts();
        done
    }
}

/// The descriptors that hold a lock of a vault's log, or wait for it, with the device and inode of each: a
/// forked child closes them, as the threads that use them are not in it.
#[pyfunction]
pub(crate) fn held_descriptors() -> Vec<(i32, u64, u64)> {
    let held = provara_vault::held_descriptors();
    held.into_iter()
        .map(|it| (it.descriptor, it.device, it.inode))
        .collect()
}
