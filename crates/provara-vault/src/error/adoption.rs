//! Why a vault is not adopted.

use provara_core::id::KeyId;

/// Why a vault is not adopted. It is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptRefusal {
    /// Nothing but `keys.json`, which anybody may have written, says that these keys are the vault's.
    #[error(
        "no signed event leads to {}: keys.json alone lists {them}, and whoever can write the vault's files can \
         write there",
        list(key_ids), them = if key_ids.len() == 1 { "it" } else { "them" }
    )]
    Untrusted {
        /// The keys.
        key_ids: Vec<KeyId>,
        /// Whether the owner may leave them out instead: no event is by one of them, and none signs now.
        unused: bool,
    },
    /// A key that was to be trusted, in a vault that has its mark, where keys come by signed events alone.
    #[error(
        "the vault has its mark, so that its keys come by signed events alone, and none of them leads to key \
         {key_id}: {}",
        match listed {
            true => "that keys.json lists it counts for nothing",
            false => "keys.json does not list it either",
        }
    )]
    NotBrought {
        /// The key.
        key_id: KeyId,
        /// Whether `keys.json` lists it all the same.
        listed: bool,
    },
    /// A key that was to be trusted is not in `keys.json`.
    #[error("keys.json does not list the key {key_id}, which was to be trusted")]
    NoSuchKey {
        /// The key.
        key_id: KeyId,
    },
}

fn list(ids: &[KeyId]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!("key {id}")).collect();
    ids.join(", ")
}
