//! Why a tree head is not signed, or a proof not made, in words.

use provara_core::finding::Code;
use provara_vault::{HeadRefusal, ProofRefusal, VaultError};

/// What helps with a tree head that is none, or that is not signed.
pub(super) fn advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::TreeHead(HeadRefusal::NotSealed) => {
            format!("Run 'provara repair {vault}', and try again.")
        }
        VaultError::TreeHead(HeadRefusal::Broken(_)) => format!(
            "Find out what became of the log: 'provara verify {vault}', and a copy or backup of it. If it is as it \
             should be, begin anew under a new origin, which everybody who keeps heads will see: 'provara tree-head \
             {vault} --break-heads'."
        ),
        VaultError::TreeHead(HeadRefusal::OtherName { published, .. }) => format!(
            "Leave --copy out, or name {published}. A new name is a new origin: --break-heads begins one."
        ),
        VaultError::TreeHead(HeadRefusal::NameTaken(_)) => {
            "Leave --copy out, for a random name, or give one that was never used.".to_owned()
        }
        VaultError::TreeHead(HeadRefusal::NoneYet) => {
            format!("Publish the first one: provara tree-head {vault}")
        }
        VaultError::TreeHead(HeadRefusal::Overtaken) => "Try again.".to_owned(),
        VaultError::Proof(ProofRefusal::NoSuchEvent { .. }) => format!(
            "Find the event's id with 'provara query {vault}'; if it came after the tree head, make a new one: provara \
             tree-head {vault}"
        ),
        VaultError::Proof(ProofRefusal::Lines { .. }) => {
            "Name lines that the tree head is over, as 1-20, or make a new tree head.".to_owned()
        }
        VaultError::Proof(ProofRefusal::Older { .. }) => {
            "Name them the other way round: the older one is what --from names.".to_owned()
        }
        VaultError::Proof(_) => format!(
            "The vault is not what the tree head was signed for: see 'provara verify {vault} --head FILE'."
        ),
        _ => format!(
            "Name a file that 'provara tree-head' wrote, whole and as it was: a signed note with an origin, a size and \
             a root. To make one: provara tree-head {vault}"
        ),
    }
}

/// What helps where a vault does not go on from a tree head, is not by the key that was named, or was not seen by whom a
/// reader asks for (`E017` to `E020`, `E207`).
pub fn head_fix(code: Code, vault: &str) -> String {
    match code {
        Code::E207 => {
            "Ask whoever named the key for the vault itself: anybody can make one that verifies."
                .to_owned()
        }
        Code::E019 => "Ask whoever made the anchor for it once more. Who owns the vault takes a broken one out of the folder \
                       'anchors' and seals the vault again ('provara manifest')."
            .to_owned(),
        Code::E020 => format!(
            "Ask the owner of the vault for later anchors, or the witnesses for what they saw last. What there is, and by \
             whom: provara anchor list {vault}"
        ),
        _ => format!(
            "Look for the copy that the tree head was signed for, and compare. Who owns the vault, and has put a backup \
             back or merged with --break-heads, publishes a new one: provara tree-head {vault}"
        ),
    }
}
