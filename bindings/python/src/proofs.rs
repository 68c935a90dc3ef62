//! Tree heads and proofs.

use std::path::PathBuf;

use provara_explain::disclosure::{Evidence, Unread};
use provara_vault::{Chosen, Held, KeptHead, SignedHead, TreeHeadOptions};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::vault::{key_id_of, keyfile_of, open, run, to_python};

/// A tree head, read from its note.
pub(crate) fn head_of(py: Python<'_>, note: &str) -> PyResult<SignedHead> {
    SignedHead::parse(note.as_bytes())
        .map_err(|error| errors::usage(py, format!("the text is no tree head: {error}")))
}

/// What a verification is held to.
pub(crate) fn held(py: Python<'_>, heads: &[String], root_keys: &[String]) -> PyResult<Held> {
    let mut held = Held::default();
    for (number, note) in (1..).zip(heads) {
        held.heads.push(KeptHead {
            source: match heads.len() {
                1 => "a tree head that was given".to_owned(),
                all => format!("tree head {number} of the {all} that were given"),
            },
            head: head_of(py, note)?,
        });
    }
    held.root_keys = key_ids(py, root_keys)?;
    Ok(held)
}

fn key_ids(py: Python<'_>, texts: &[String]) -> PyResult<Vec<provara_core::id::KeyId>> {
    let ids = texts.iter().map(|text| key_id_of(py, Some(text)));
    ids.filter_map(Result::transpose).collect()
}

/// The origin, the size and the root of a tree head.
#[pyfunction]
pub(crate) fn read_tree_head(py: Python<'_>, note: &str) -> PyResult<(String, u64, String)> {
    let head = head_of(py, note)?;
    let head = head.head();
    Ok((head.origin.to_string(), head.size, head.root.to_string()))
}

/// Signs a tree head, and gives its note.
#[pyfunction]
#[pyo3(signature = (path, *, keyfile=None, key_id=None, copy=None, continues=None, break_heads=false))]
pub(crate) fn sign_tree_head(
    py: Python<'_>,
    path: PathBuf,
    keyfile: Option<PathBuf>,
    key_id: Option<&str>,
    copy: Option<&str>,
    continues: Option<&str>,
    break_heads: bool,
) -> PyResult<String> {
    let copy = copy.map(str::parse).transpose();
    let copy = copy.map_err(|error: provara_core::tree_head::CopyNameError| {
        errors::usage(py, error.to_string())
    })?;
    let continues = continues.map(|note| head_of(py, note)).transpose()?;
    let options = TreeHeadOptions {
        key_id: key_id_of(py, key_id)?,
        copy,
        continues: continues.map(|head| KeptHead {
            source: "the tree head that was given".to_owned(),
            head,
        }),
        break_heads,
    };
    run(py, || {
        let vault = open(&path)?;
        let keyfile = keyfile_of(&vault, keyfile.as_deref())?;
        vault
            .tree_head(&keyfile, &options)
            .map(|signed| signed.note)
    })
}

/// Which events are to be proven: those with ids, or those in lines.
pub(crate) fn chosen(
    py: Python<'_>,
    events: &[String],
    lines: Option<(u64, u64)>,
) -> PyResult<Chosen> {
    let ids = events.iter().map(|text| {
        text.parse()
            .map_err(|error| errors::usage(py, format!("'{text}' is no event id: {error}")))
    });
    match lines {
        Some((from, to)) => Ok(Chosen::Lines(from, to)),
        None => Ok(Chosen::Events(ids.collect::<PyResult<_>>()?)),
    }
}

/// Checks a proof or a disclosure, held to a head or to root keys. `path` is where an archive lies.
#[pyfunction]
#[pyo3(signature = (proof, *, head=None, root_keys=Vec::new(), path=None))]
pub(crate) fn check_proof<'py>(
    py: Python<'py>,
    proof: &[u8],
    head: Option<&str>,
    root_keys: Vec<String>,
    path: Option<PathBuf>,
) -> PyResult<Bound<'py, PyDict>> {
    let head = head.map(|note| head_of(py, note)).transpose()?;
    let root_keys = key_ids(py, &root_keys)?;
    let checked = py.detach(|| {
        let evidence = Evidence::read(&path.unwrap_or_default(), proof.to_vec())?;
        let proven = evidence.check(head.as_ref(), &root_keys)?;
        Ok((evidence, proven))
    });
    let (evidence, proven) = checked.map_err(|unread| match unread {
        Unread::Refused(error) => {
            errors::evidence(py, format!("the proof proves nothing: {error}"))
        }
        Unread::Failed(diagnostic) => errors::evidence(py, diagnostic.headline()),
    })?;
    let proof = &evidence.proof;
    let asked = evidence.disclosure.as_ref().map(|it| it.asked.as_str());
    let result = PyDict::new(py);
    result.set_item("head", proof.head().to_string())?;
    result.set_item("older", proof.older().map(ToString::to_string))?;
    result.set_item("signed_by", proven.signer.to_string())?;
    result.set_item("root_key", proven.root_key.map(|key| key.to_string()))?;
    result.set_item("events", to_python(py, &proven.events)?)?;
    result.set_item("asked", asked)?;
    result.set_item("as_written", evidence.is_as_written())?;
    Ok(result)
}
