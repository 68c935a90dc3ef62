//! A tree head of a vault as it is, for commands that need one and were given none.

use std::path::Path;

use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::{SignedHead, TreeHeadOptions, Vault};

use crate::args::KeyArgs;
use crate::progress::Progress;
use crate::vault;

/// Verifies the vault at `path` and signs a tree head of it.
pub(crate) fn sign(vault: &Vault, path: &Path, key: &KeyArgs) -> Result<SignedHead, Diagnostic> {
    let keyfile = vault::keyfile(vault, key.keyfile.as_deref())?;
    let options = TreeHeadOptions {
        key_id: key.key_id,
        ..TreeHeadOptions::default()
    };
    let progress = Progress::new();
    let signed = progress
        .watching(vault, "verifying")
        .tree_head(&keyfile, &options);
    progress.clear();
    let signed = signed.map_err(|error| vault_failure(error, path))?;
    Ok(SignedHead::parse(signed.note.as_bytes()).expect("it was just signed"))
}
