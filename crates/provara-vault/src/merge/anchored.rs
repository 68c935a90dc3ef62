//! The anchors that a merge breaks.

use provara_core::anchor::Anchor;
use provara_core::tree::proof::root_over;

use crate::error::VaultError;
use crate::memory::leaves_of;
use crate::vault::Vault;

/// The anchors of heads that `log` does not go on from.
pub(super) fn broken_anchors(vault: &Vault, log: &[u8]) -> Result<Vec<String>, VaultError> {
    let anchors = vault.anchors()?;
    if anchors.is_empty() {
        return Ok(Vec::new());
    }
    let leaves = leaves_of(log).unwrap_or_default();
    let holds = |anchor: &Anchor| {
        let head = anchor.head().head();
        let size = usize::try_from(head.size).ok();
        let first = size.and_then(|size| leaves.get(..size));
        first.map(root_over) == Some(head.root)
    };
    let broken = anchors
        .into_iter()
        .filter(|(_, anchor)| !anchor.as_ref().is_ok_and(holds));
    Ok(broken.map(|(path, _)| path).collect())
}
