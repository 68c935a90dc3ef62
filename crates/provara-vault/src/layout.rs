//! Where things lie in a vault (spec/VAULT_FORMAT, section 1).

pub use provara_core::layout::{
    CHECKPOINTS, GENESIS, KEYS, LOG, MANIFEST, MANIFEST_SIG, MERKLE_ROOT, PRIVATE_KEYS,
    SAFETY_POLICY, SEAL,
};

/// What a merge is about to do; there only while one is at work, or after one was interrupted.
pub const MERGE_INTENT: &str = ".provara-merge.json";

/// The custom type that closes a vault (section 8).
pub const CLOSING_TYPE: &str = "com.provara.vault.seal";

/// What the names of this crate's temporary files begin with.
///
/// Where the system has files without a name (Linux, `O_TMPFILE`), a temporary file has this name
/// only between being whole and durable and being renamed; elsewhere for as long as it is written.
/// A verification takes no notice of the name: such a file is a phantom file like any other, but a
/// reader that meets one while a writer is at work looks again when the writer is done. What a
/// crash left behind is removed by the next writer, under the lock.
pub const TEMPORARY_PREFIX: &str = ".provara-tmp-";

/// Whether `path` (relative, `/` between) is outside the manifest by the format's own rule.
#[must_use]
pub fn is_unlisted(path: &str) -> bool {
    SEAL.contains(&path) || path == PRIVATE_KEYS
}

/// The name of the checkpoint after `events` events, relative to the vault.
#[must_use]
pub fn checkpoint_path(events: u64) -> String {
    format!("{CHECKPOINTS}/{events:010}.chk")
}

/// Whether a path relative to the vault is that of a checkpoint.
#[must_use]
pub fn is_checkpoint(path: &str) -> bool {
    path.strip_prefix(CHECKPOINTS)
        .and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".chk"))
        .is_some_and(|name| name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()))
}
