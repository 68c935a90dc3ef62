//! A vault's log at one moment, verified or not, and what is derived from it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use provara_core::query::Query;
use provara_core::time::Timestamp;
use provara_plugins::builtin::{self, ExportError, Format, Reducer, UnknownReducer};
use provara_query::Filter;
use provara_vault::{SourceLog, Vault, VerifyOptions, now};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::anchors::hold_to;
use crate::proofs::{chosen, head_of, held};
use crate::reader::EventReader;
use crate::vault::{open, run, to_python};
use crate::{convert, errors, integers};

/// The whole lines of a log as they stood when it was taken.
#[pyclass(frozen, module = "provara._native")]
pub(crate) struct Log {
    snapshot: Arc<SourceLog>,
    vault: Vault,
}

/// The log as it is, whatever it is worth.
#[pyfunction]
pub(crate) fn snapshot(py: Python<'_>, path: PathBuf) -> PyResult<Log> {
    run(py, || {
        let vault = Vault::open(&path)?;
        Ok(Log {
            snapshot: Arc::new(vault.snapshot()?.unverified()),
            vault,
        })
    })
}

/// What a verification is held to: tree heads, root keys, witnesses, how many of them, and certificates.
type HeldTo = (
    Vec<String>,
    Vec<String>,
    Vec<String>,
    Option<usize>,
    Vec<Vec<u8>>,
);

fn options(py: Python<'_>, strict: bool, held_to: HeldTo) -> PyResult<VerifyOptions> {
    let (heads, root_keys, witnesses, needed, authorities) = held_to;
    let mut held = held(py, &heads, &root_keys)?;
    hold_to(py, &mut held, &witnesses, needed, &authorities)?;
    Ok(VerifyOptions {
        strict,
        held,
        ..VerifyOptions::default()
    })
}

/// What a verification found, and the very log that it was of, if the vault is valid.
#[pyfunction]
#[pyo3(signature = (path, strict=false, held_to=HeldTo::default()))]
pub(crate) fn examine(
    py: Python<'_>,
    path: PathBuf,
    strict: bool,
    held_to: HeldTo,
) -> PyResult<(Bound<'_, PyAny>, Option<Log>)> {
    let options = options(py, strict, held_to)?;
    let (report, log) = run(py, || {
        let vault = open(&path)?;
        let examination = vault.examine(&options)?;
        let report = examination.report().clone();
        let log = examination.verified().ok().map(|log| Log {
            snapshot: Arc::new(log.into_source()),
            vault,
        });
        Ok((report, log))
    })?;
    Ok((to_python(py, &report)?, log))
}

/// What a verification found, and the page for people about it.
#[pyfunction]
pub(crate) fn verification_page(
    py: Python<'_>,
    path: PathBuf,
    strict: bool,
    held_to: HeldTo,
) -> PyResult<(Bound<'_, PyAny>, String)> {
    let options = VerifyOptions {
        describe: true,
        ..options(py, strict, held_to)?
    };
    let (report, page) = run(py, || {
        let examination = open(&path)?.examine(&options)?;
        let version = env!("CARGO_PKG_VERSION");
        let page =
            provara_explain::verification_page(&examination, &options, &path, version, now()?)?;
        Ok((examination.report().clone(), page))
    })?;
    Ok((to_python(py, &report)?, page))
}

#[pymethods]
impl Log {
    /// The proof that events, or lines, are in the tree of a head.
    #[pyo3(signature = (head, *, events=Vec::new(), lines=None))]
    fn prove<'py>(
        &self,
        py: Python<'py>,
        head: &str,
        events: Vec<String>,
        lines: Option<(u64, u64)>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let head = head_of(py, head)?;
        let chosen = chosen(py, &events, lines)?;
        let proof = run(py, || {
            let proof = self.vault.prove(&self.snapshot, &head, &chosen);
            // First of all: what it read may be why it failed.
            self.snapshot.check_unchanged()?;
            proof
        })?;
        Ok(PyBytes::new(py, &proof.to_json()))
    }

    /// The proof that a head goes on from an older one.
    fn prove_consistency<'py>(
        &self,
        py: Python<'py>,
        old: &str,
        new: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (old, new) = (head_of(py, old)?, head_of(py, new)?);
        let proof = run(py, || {
            let proof = self.vault.prove_consistency(&self.snapshot, &old, &new);
            self.snapshot.check_unchanged()?;
            proof
        })?;
        Ok(PyBytes::new(py, &proof.to_json()))
    }

    /// The events, or those of types, of actors, of a time, and that meet conditions.
    #[pyo3(signature = (*, types=Vec::new(), actors=Vec::new(), after=None, before=None, conditions=Vec::new()))]
    fn events(
        &self,
        py: Python<'_>,
        types: Vec<String>,
        actors: Vec<String>,
        after: Option<&str>,
        before: Option<&str>,
        conditions: Vec<String>,
    ) -> PyResult<EventReader> {
        let time = |name: &str, text: &str| -> PyResult<Timestamp> {
            let now = run(py, provara_vault::now)?;
            provara_query::when(text, now).map_err(|error| {
                let diagnostic = provara_explain::when_failure(name, &error);
                errors::usage(py, diagnostic.exception_text())
            })
        };
        let any = !(types.is_empty() && actors.is_empty() && conditions.is_empty())
            || after.is_some()
            || before.is_some();
        let mut query = types.into_iter().fold(Query::default(), Query::event_type);
        query = actors.into_iter().fold(query, Query::actor);
        if let Some(text) = after {
            query = query.after(time("after", text)?);
        }
        if let Some(text) = before {
            query = query.before(time("before", text)?);
        }
        for text in conditions {
            let filter: Filter = text.parse().map_err(|error| {
                let diagnostic = provara_explain::condition_failure(&error);
                errors::usage(py, diagnostic.exception_text())
            })?;
            query = query.predicate(filter);
        }
        let log = Arc::clone(&self.snapshot);
        Ok(EventReader::of_snapshot(
            log,
            &self.vault.log_path(),
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
