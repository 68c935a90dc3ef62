//! The anchors that a merge breaks.

use std::collections::{BTreeMap, BTreeSet};

use provara_core::anchor::Anchor;
use provara_core::tree::EventTree;
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
    let sizes: BTreeSet<u64> = anchors
        .iter()
        .filter_map(|(_, anchor)| Some(anchor.as_ref().ok()?.head().head().size))
        .collect();
    // All roots in one pass, however many anchors there are.
    let mut roots = BTreeMap::from([(0, root_over(&[]))]);
    let mut tree = EventTree::new();
    for leaf in leaves_of(log).unwrap_or_default() {
        tree.push(leaf);
        if sizes.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
    }
    let holds = |anchor: &Anchor| {
        let head = anchor.head().head();
        roots.get(&head.size) == Some(&head.root)
    };
    let broken = anchors
        .into_iter()
        .filter(|(_, anchor)| !anchor.as_ref().is_ok_and(holds));
    Ok(broken.map(|(path, _)| path).collect())
}
