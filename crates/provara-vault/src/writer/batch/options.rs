//! What is asked of a batch, and what it came to.

use std::time::Duration;

use provara_core::id::{Digest, EventId};

use crate::error::VaultError;

/// How a batch goes about its work.
#[derive(Debug, Clone, Copy)]
pub struct BatchOptions {
    /// All or nothing: no byte is written before [`finish`], which writes and syncs every event at once.
    /// The batch is held in memory.
    ///
    /// [`finish`]: super::BatchWriter::finish
    pub atomic: bool,
    /// Whether receipts are kept for [`take_receipts`](super::BatchWriter::take_receipts).
    pub receipts: bool,
    /// The events of a group, at most: what is handed on to be signed, written and synced. Groups that
    /// wait for the disk are synced together.
    pub group: usize,
    /// How long events may be durable and not yet sealed.
    pub seal_interval: Duration,
    /// Judge the events and write none: what is taken has its place, and is neither signed nor kept. Key
    /// events and redactions are judged as far as that needs no log that holds what was taken.
    pub dry_run: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            atomic: false,
            receipts: true,
            group: 4096,
            seal_interval: Duration::from_secs(1),
            dry_run: false,
        }
    }
}

/// What a batch came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct BatchReceipt {
    /// How many events were appended; every one is durable and sealed.
    pub events: u64,
    /// The last of them.
    pub last_event_id: Option<EventId>,
    /// The line of the last of them, counted from 1; the log's last line where there is none.
    pub last_line: u64,
    /// How many events of other writers were appended while the batch was at work: their lines may stand
    /// between those of the batch.
    pub others: u64,
    /// The root of the seal.
    pub merkle_root: Digest,
    /// What was found and put right on the way.
    pub notes: Vec<String>,
    /// How many requests were for events that were there already, under their idempotency keys. For programs
    /// the member is there only where there were some.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A request that was refused. Those before it were taken.
#[derive(Debug, thiserror::Error)]
#[error("request {index}: {error}")]
pub struct Rejected {
    /// Its place among the requests that were given together, from 0.
    pub index: usize,
    /// Why.
    pub error: VaultError,
}
