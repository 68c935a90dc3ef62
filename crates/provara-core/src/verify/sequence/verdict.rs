//! What a log comes to, for whoever judges the rest of a vault.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::finding::Finding;
use crate::history::KeyHistory;
use crate::id::{Digest, EventId, KeyId};
use crate::keys::PublicKey;
use crate::tree::EventTree;
use crate::verify::Predecessor;

/// What the log says of itself once every line was read.
#[derive(Debug, Default)]
pub struct LogVerdict {
    /// Everything found, in the order of the log.
    pub findings: Vec<Finding>,
    /// Lines that are events, sound or not; a line that is none is not counted.
    pub event_count: u64,
    /// Lines, events or not.
    pub lines: u64,
    /// Counts, and what was accepted with a reservation.
    pub notes: Vec<String>,
    /// The same counts as numbers.
    pub counts: LogCounts,
    /// The accepted redactions, one sentence each.
    pub redactions: Vec<String>,
    /// The lines whose payload was redacted, in order.
    pub redacted_lines: Vec<u64>,
    /// What the `GENESIS` event says of the vault.
    pub genesis: Option<Genesis>,
    /// The public keys that the log promoted and that `keys.json` does not list.
    pub promoted_keys: Vec<PublicKey>,
    /// The keys to which signed events lead: those that the `GENESIS` event names, if its root key
    /// signed it, and those that one of these promoted. Whoever can write `keys.json` can list others.
    pub introduced: BTreeSet<KeyId>,
    /// The keys that the log revoked.
    pub revoked_keys: Vec<KeyId>,
    /// For each of them, over how many events what it signs counts: those up to its trust boundary.
    pub trusted_until: BTreeMap<KeyId, u64>,
    /// The seal event that closes the log.
    pub sealed_by: Option<EventId>,
    /// The events up to and with the one that closes the log; redactions alone may follow.
    pub closed_at: Option<u64>,
    /// The keys as signed events bring them; `None` in a vault without a mark.
    pub history: Option<KeyHistory>,
    /// Over every event of the log.
    pub tree: EventTree,
    /// The roots of the tree at the sizes that were [watched](super::Sequencer::watch), in order.
    pub roots: Vec<(u64, Digest)>,
    /// The leaves that were [asked for](super::Sequencer::keep_leaves).
    pub leaves: Option<KeptLeaves>,
    /// The statements of the files beside the log, in order.
    pub files: Vec<FilesStatement>,
    /// The first event of the log.
    pub first_event: Option<EventId>,
    /// The last event of the log.
    pub last_event: Option<EventId>,
    /// The actors whose chains have a gap: one of their events follows one that is not in the log.
    pub gaps: BTreeSet<String>,
}

/// What was counted in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogCounts {
    /// Signatures that verified.
    pub signatures_verified: u64,
    /// Keys that `keys.json` lists or the log brought.
    pub keys_known: u64,
    /// Actors that signed an event.
    pub actors: u64,
    /// Events in the token-preserving canonical form.
    pub token_preserving_events: u64,
    /// Events whose id was derived without `actor_key_id`.
    pub ids_without_actor_key_id: u64,
    /// Payloads that valid redactions took away.
    pub redacted_payloads: u64,
    /// Those of them whose redaction binds nothing of what is left.
    pub unbound_redactions: u64,
}

/// What a `com.provara.vault.files` event states (spec/VAULT_FORMAT, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesStatement {
    /// Its line in the log, from 1.
    pub line: u64,
    /// The number of files beside the log, `keys.json` and the checkpoints.
    pub count: u64,
    /// The Merkle root over their entries.
    pub root: Digest,
}

/// The first halves of the leaves of the event tree from one event on: enough to find a leaf again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptLeaves {
    /// How many events stand before the first of them.
    pub from: u64,
    /// The first 16 bytes of each leaf, in the order of the log.
    pub leaves: Vec<[u8; 16]>,
}

/// The identity that a `GENESIS` event states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// `uid` of the payload.
    pub uid: Option<String>,
    /// `root_key_id` of the payload.
    pub root_key_id: Option<String>,
    /// `quorum_key_id` of the payload: our writer's, beside the root key.
    pub quorum_key_id: Option<String>,
    /// `predecessor_vault` of the payload.
    pub predecessor: Option<Predecessor>,
}
