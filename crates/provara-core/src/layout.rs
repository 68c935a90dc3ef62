//! Where the files of a vault lie, relative to it, `/` between (spec/VAULT_FORMAT, section 1).

/// The directory of the log.
pub const EVENTS: &str = "events";
/// The directory of the vault's birth and its keys.
pub const IDENTITY: &str = "identity";
/// The directory of the policies.
pub const POLICIES: &str = "policies";
/// The directory of files that events speak of.
pub const ARTIFACTS: &str = "artifacts";

/// The log.
pub const LOG: &str = "events/events.ndjson";
/// The facts of the vault's birth.
pub const GENESIS: &str = "identity/genesis.json";
/// The public keys.
pub const KEYS: &str = "identity/keys.json";
/// The default keyfile: the one file beside the seal that the manifest never lists.
pub const PRIVATE_KEYS: &str = "identity/private_keys.json";

/// The tiers of actions and what each asks for.
pub const SAFETY_POLICY: &str = "policies/safety_policy.json";
/// What copies of the vault agree on.
pub const SYNC_CONTRACT: &str = "policies/sync_contract.json";
/// How long events are kept.
pub const RETENTION_POLICY: &str = "policies/retention_policy.json";
/// The perception ontology.
pub const ONTOLOGY: &str = "policies/ontology/perception_ontology_v1.json";

/// The list of the files and their digests.
pub const MANIFEST: &str = "manifest.json";
/// The signature of the manifest's Merkle root.
pub const MANIFEST_SIG: &str = "manifest.sig";
/// The manifest's Merkle root.
pub const MERKLE_ROOT: &str = "merkle_root.txt";

/// The directory of signed state snapshots.
pub const CHECKPOINTS: &str = "checkpoints";

/// What a command that changes several files is about to do; there only while one is at work, or after one
/// was interrupted.
pub const MERGE_INTENT: &str = ".provara-merge.json";

/// The files that are the seal, which the manifest does not list.
pub const SEAL: [&str; 3] = [MANIFEST, MANIFEST_SIG, MERKLE_ROOT];

/// The files that every vault has beside its log and its seal.
pub const REQUIRED: [&str; 6] = [
    GENESIS,
    KEYS,
    SAFETY_POLICY,
    SYNC_CONTRACT,
    RETENTION_POLICY,
    ONTOLOGY,
];

/// Whether a path has no place in a manifest: the seal itself and the default keyfile.
#[must_use]
pub fn is_unlisted(path: &str) -> bool {
    SEAL.contains(&path) || path == PRIVATE_KEYS
}

/// The path of the checkpoint after `events` events.
#[must_use]
pub fn checkpoint_path(events: u64) -> String {
    format!("{CHECKPOINTS}/{events:010}.chk")
}

/// How many events the checkpoint at `path` is of, if that is the path of one.
#[must_use]
pub fn checkpoint_events(path: &str) -> Option<u64> {
    let name = path.strip_prefix(CHECKPOINTS)?.strip_prefix('/')?;
    let digits = name.strip_suffix(".chk")?;
    let is_number = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_checkpoint_says_how_many_events_it_is_of() {
        for events in [0, 7, 9_999_999_999] {
            assert_eq!(checkpoint_events(&checkpoint_path(events)), Some(events));
        }
        for other in [
            "checkpoints/7.chk",
            "checkpoints/00000000070.chk",
            "checkpoints/000000000x.chk",
            "checkpoints/+000000007.chk",
            "checkpoints/0000000007",
            "checkpoints0000000007.chk",
            "0000000007.chk",
            LOG,
        ] {
            assert_eq!(checkpoint_events(other), None, "{other}");
        }
    }
}
