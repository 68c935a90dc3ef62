//! Whether a path lies below a vault, where a new file would be one that its seal does not know.

use std::path::{Path, PathBuf};

use crate::error::VaultError;
use provara_core::layout;

/// The vault below which a path lies, if any.
#[must_use]
pub fn enclosing_vault(path: &Path) -> Option<PathBuf> {
    let is_vault =
        |place: &&Path| place.join(layout::LOG).exists() && place.join(layout::MANIFEST).exists();
    // Through links, where the parent is there already.
    let absolute = std::path::absolute(path).ok()?;
    let parent = absolute.parent()?;
    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    parent.ancestors().find(is_vault).map(Path::to_owned)
}

/// Refuses a place below a vault: what came into being there would be a phantom file.
///
/// # Errors
/// [`VaultError::InsideVault`].
pub(crate) fn outside_vaults(path: &Path) -> Result<(), VaultError> {
    match enclosing_vault(path) {
        None => Ok(()),
        Some(vault) => Err(VaultError::InsideVault {
            path: path.to_owned(),
            vault,
        }),
    }
}
