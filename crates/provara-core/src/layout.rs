//! Where the files of a vault lie, relative to it, `/` between (spec/VAULT_FORMAT, section 1).

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
