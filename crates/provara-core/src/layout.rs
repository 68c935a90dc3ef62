//! Where the files of a vault lie, relative to it, `/` between (spec/VAULT_FORMAT, section 1).

use crate::id::Digest;

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

/// The directory of tree heads as others saw them.
pub const ANCHORS: &str = "anchors";

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

/// What an anchor is, as the end of its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnchorKind {
    /// A tree head that witnesses cosigned.
    Head,
    /// A time-stamp token over a tree head.
    TimeStamp,
    /// An event of another vault that names a tree head.
    Event,
}

impl AnchorKind {
    const ALL: [Self; 3] = [Self::Head, Self::TimeStamp, Self::Event];

    const fn end(self) -> &'static str {
        match self {
            Self::Head => ".head",
            Self::TimeStamp => ".timestamp",
            Self::Event => ".event",
        }
    }
}

/// The path of an anchor of a head over `events` events, whose content has this digest.
#[must_use]
pub fn anchor_path(events: u64, content: Digest, kind: AnchorKind) -> String {
    let digest = content.to_string();
    format!("{ANCHORS}/{events:010}-{}{}", &digest[..16], kind.end())
}

/// What is at a path of an anchor; `None` where the path is none.
#[must_use]
pub fn anchor_kind(path: &str) -> Option<AnchorKind> {
    let name = path.strip_prefix(ANCHORS)?.strip_prefix('/')?;
    let mut kinds = AnchorKind::ALL.into_iter();
    let (kind, stem) = kinds.find_map(|kind| Some((kind, name.strip_suffix(kind.end())?)))?;
    let (events, digest) = stem.split_once('-')?;
    let is_number =
        (10..=20).contains(&events.len()) && events.bytes().all(|it| it.is_ascii_digit());
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (is_number && digest.len() == 16 && digest.bytes().all(is_hex)).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_anchor_says_what_it_is() {
        let digest = Digest::of(b"content");
        for kind in AnchorKind::ALL {
            for events in [0, 41, u64::MAX] {
                let path = anchor_path(events, digest, kind);
                assert_eq!(anchor_kind(&path), Some(kind), "{path}");
            }
        }
        for other in [
            "anchors/0000000041-0123456789abcdef",
            "anchors/0000000041-0123456789abcdeF.head",
            "anchors/0000000041-0123456789abcde.head",
            "anchors/000000041-0123456789abcdef.head",
            "anchors/0000000041-../456789abcdef.head",
            "anchors/a/0000000041-0123456789abcdef.head",
            "anchors0000000041-0123456789abcdef.head",
            "0000000041-0123456789abcdef.head",
            CHECKPOINTS,
            LOG,
        ] {
            assert_eq!(anchor_kind(other), None, "{other}");
        }
    }

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
