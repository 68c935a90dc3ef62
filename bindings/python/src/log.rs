//! A vault's log at one moment, verified or not, and what is derived from it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use provara_core::query::Query;
use provara_core::time::Timestamp;
use provara_plugins::builtin::{self, ExportError, Format, Reducer, UnknownReducer};
use provara_vault::{SourceLog, Vault, VerifyOptions};
use pyo3::prelude::*;

use crate::reader::EventReader;
use crate::vault::{open, run, to_python};
use crate::{convert, errors, integers};

/// The whole lines of a log as they stood when it was taken.
#[pyclass(frozen, module = "provara._native")]
pub(crate) struct Log {
    snapshot: Arc<SourceLog>,
    path: PathBuf,
}

/// The log as it is, whatever it is worth.
#[pyfunction]
pub(crate) fn snapshot(py: Python<'_>, path: PathBuf) -> PyResult<Log> {
    run(py, || {
        let vault = Vault::open(&path)?;
        Ok(Log {
            snapshot: Arc::new(vault.snapshot()?.unverified()),
            path: vault.log_path(),
        })
    })
}

/// What a verification found, and the very log that it was of, if the vault is valid.
#[pyfunction]
#[pyo3(signature = (path, strict=false))]
pub(crate) fn examine(
    py: Python<'_>,
    path: PathBuf,
    strict: bool,
) -> PyResult<(Bound<'_, PyAny>, Option<Log>)> {
    let options = VerifyOptions {
        strict,
        ..VerifyOptions::default()
    };
    let (report, log) = run(py, || {
        let vault = open(&path)?;
        let examination = vault.examine(&options)?;
        let report = examination.report().clone();
        let log = examination.verified().ok().map(|log| Log {
            snapshot: Arc::new(log.into_source()),
            path: vault.log_path(),
        });
        Ok((report, log))
    })?;
    Ok((to_python(py, &report)?, log))
}

#[pymethods]
impl Log {
    /// The events, or those of a type, an actor, a time.
    #[pyo3(signature = (*, r#type=None, actor=None, after=None, before=None))]
    fn events(
        &self,
        py: Python<'_>,
        r#type: Option<String>,
        actor: Option<String>,
        after: Option<&str>,
        before: Option<&str>,
    ) -> PyResult<EventReader> {
        let time = |text: &str| -> PyResult<Timestamp> {
            text.parse()
                .map_err(|error| errors::usage(py, format!("'{text}' is {error}")))
        };
        let any = r#type.is_some() || actor.is_some() || after.is_some() || before.is_some();
        let mut query = Query::default();
        if let Some(name) = r#type {
            query = query.event_type(name);
        }
        if let Some(name) = actor {
            query = query.actor(name);
        }
        if let Some(text) = after {
            query = query.after(time(text)?);
        }
        if let Some(text) = before {
            query = query.before(time(text)?);
        }
        let log = Arc::clone(&self.snapshot);
        Ok(EventReader::of_snapshot(
            log,
            &self.path,
            any.then_some(query),
        ))
    }

    /// The belief state after the last event.
    fn beliefs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = run(py, || self.snapshot.beliefs())?;
        convert::text_decided(py, &state.to_json(), || {
            py.detach(|| integers::of_log(self.snapshot.bytes()))
        })
    }

    /// How many events, by whom, of which types.
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let summary = run(py, || self.snapshot.summary())?;
        to_python(py, &summary)
    }

    /// What a built-in reducer makes of the events.
    fn reduce<'py>(&self, py: Python<'py>, reducer: &str) -> PyResult<Bound<'py, PyAny>> {
        let reducer = reducer.parse();
        match reducer.map_err(|error: UnknownReducer| errors::usage(py, error.to_string()))? {
            Reducer::Beliefs => self.beliefs(py),
            Reducer::Summary => self.summary(py),
        }
    }

    /// Writes the events in a built-in format, as `provara export` does.
    fn export(&self, py: Python<'_>, format: &str, output_path: PathBuf) -> PyResult<()> {
        let format: Format = format
            .parse()
            .map_err(|error: builtin::UnknownFormat| errors::usage(py, error.to_string()))?;
        let written = py.detach(|| {
            let mut out = BufWriter::new(File::create(&output_path)?);
            builtin::export(format, self.snapshot.lines(), &mut out)?;
            Ok(out.flush()?)
        });
        written.map_err(|error| match error {
            ExportError::Line { .. } => errors::evidence(py, error.to_string()),
            ExportError::Io(_) => {
                errors::could_not(py, format!("'{}': {error}", output_path.display()))
            }
        })
    }
}
