//! Anchors, and whom a reader takes at their word.

use std::path::PathBuf;

use provara_vault::{Anchor, Authorities, Held, WitnessKey, anchor_words, stamped_at};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::proofs::head_of;
use crate::vault::{key_id_of, keyfile_of, open, run, to_python};

/// Adds to what a verification is held to whom a reader names: witnesses, how many of them, and certificates.
pub(crate) fn hold_to(
    py: Python<'_>,
    held: &mut Held,
    witnesses: &[String],
    needed: Option<usize>,
    authorities: &[Vec<u8>],
) -> PyResult<()> {
    for text in witnesses {
        let witness: WitnessKey = text.parse().map_err(|error| {
            errors::usage(py, format!("'{text}' is no key of a witness: {error}"))
        })?;
        held.witnesses.push(witness);
    }
    if let Some(twice) = WitnessKey::named_twice(&held.witnesses) {
        let name = twice.name();
        return Err(errors::usage(
            py,
            format!("'{name}' and another have the same key: that is one witness"),
        ));
    }
    held.witnesses_needed = needed;
    for bytes in authorities {
        let read = Authorities::parse(bytes).map_err(|error| {
            errors::usage(
                py,
                format!("what was given names no time-stamp authority: {error}"),
            )
        })?;
        held.authorities.extend(read);
    }
    Ok(())
}

/// Takes an anchor into a vault, and gives its receipt.
#[pyfunction]
#[pyo3(signature = (path, given, *, heads=Vec::new(), keyfile=None, key_id=None, no_lock=false))]
pub(crate) fn add_anchor<'py>(
    py: Python<'py>,
    path: PathBuf,
    given: &[u8],
    heads: Vec<String>,
    keyfile: Option<PathBuf>,
    key_id: Option<&str>,
    no_lock: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let key_id = key_id_of(py, key_id)?;
    let heads = heads.iter().map(|note| head_of(py, note));
    let heads = heads.collect::<PyResult<Vec<_>>>()?;
    let receipt = run(py, || {
        let vault = open(&path)?.with_no_lock(no_lock);
        let keyfile = keyfile_of(&vault, keyfile.as_deref())?;
        vault.add_anchor(&keyfile, key_id, given, &heads)
    })?;
    to_python(py, &receipt)
}

/// The anchors of a vault as they say.
#[pyfunction]
pub(crate) fn list_anchors(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let anchors = run(py, || open(&path)?.anchors())?;
    let shown = anchors.into_iter().map(|(file, anchor)| {
        let (anchor, error) = match anchor {
            Ok(anchor) => (Some(anchor), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let anchor = anchor.as_ref();
        let result = PyDict::new(py);
        result.set_item("file", file)?;
        result.set_item("kind", anchor.map(|it| anchor_words(it.kind()).0))?;
        result.set_item("head", anchor.map(|it| it.head().to_string()))?;
        result.set_item("claimed_by", anchor.map(Anchor::claims).unwrap_or_default())?;
        let at = anchor.and_then(stamped_at).map(|it| it.to_string());
        result.set_item("claimed_at_utc", at)?;
        result.set_item("error", error)?;
        Ok(result)
    });
    shown.collect()
}
