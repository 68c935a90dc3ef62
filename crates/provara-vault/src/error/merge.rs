//! Why a merge is refused.

use std::path::PathBuf;

use provara_core::finding::{Code, Report};
use provara_core::id::{EventId, KeyId};
use provara_core::merge::delta::DeltaError;
use provara_core::merge::safety::Loosening;
use provara_core::merge::{Fork, MergeError, Side};
use serde::Serialize;

use super::{ErrorClass, VaultError};

/// One of the two events of a fork, to be shown.
#[derive(Debug, Clone, Serialize)]
pub struct ForkedEvent {
    /// The event.
    pub event_id: EventId,
    /// Whether it stands in the vault that is merged into.
    pub ours: bool,
    /// The whole event, as its line stands in the log.
    pub event_json: String,
}

/// A fork, to be shown.
#[derive(Debug, Clone, Serialize)]
pub struct ShownFork {
    /// The actor that said two things at one place.
    pub actor: String,
    /// The event that both follow; none where both are the actor's first.
    pub prev_event_hash: Option<EventId>,
    /// The two.
    pub events: [ForkedEvent; 2],
}

impl From<&Fork<'_>> for ShownFork {
    fn from(fork: &Fork<'_>) -> Self {
        Self {
            actor: fork.actor.clone(),
            prev_event_hash: fork.prev,
            events: fork.branches.map(|branch| ForkedEvent {
                event_id: branch.id,
                ours: branch.side == Side::Ours,
                event_json: String::from_utf8_lossy(branch.line).into_owned(),
            }),
        }
    }
}

/// An event that came after the key which signed it had been revoked.
#[derive(Debug, Clone)]
pub struct LateEvent {
    /// The event.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// Who said it.
    pub actor: String,
    /// When, as written.
    pub timestamp_utc: String,
    /// The revoked key.
    pub key_id: KeyId,
    /// Whether it stands in the vault that is merged into.
    pub ours: bool,
}

/// A merge was refused. The vault is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MergeRefusal {
    /// The logs have no union.
    #[error(transparent)]
    Logs(#[from] MergeError),
    /// The file is no whole delta bundle.
    #[error("this is no delta bundle that could be merged: {0}")]
    Delta(DeltaError),
    /// The other vault does not verify.
    #[error("the vault '{}' does not verify; nothing was merged from it", path.display())]
    OtherInvalid {
        /// The vault.
        path: PathBuf,
        /// What was found.
        report: Box<Report>,
    },
    /// The merge would fork the chain of an actor.
    #[error(
        "{}: the merge would fork the chain of {}; two events stand at one place",
        Code::E002,
        list(forks.iter().map(|fork| format!("'{}'", fork.actor)))
    )]
    Forks {
        /// Each with both its events.
        forks: Vec<ShownFork>,
    },
    /// The other vault's seal does not vouch for what it holds.
    #[error("the vault '{}' is not merged from: {source}", path.display())]
    OtherUnsealed {
        /// The vault.
        path: PathBuf,
        /// Why a writer would refuse it.
        source: Box<VaultError>,
    },
    /// Events are signed with keys that neither `keys.json` nor an event of the log knows.
    #[error(
        "{}: the other side has events by keys that this vault does not trust: {}",
        Code::E204,
        list(key_ids.iter().map(KeyId::to_string))
    )]
    UntrustedKeys {
        /// The keys.
        key_ids: Vec<KeyId>,
    },
    /// A key that was to be trusted is not among those of the other side.
    #[error("the other side does not know the key {key_id}, which was to be trusted")]
    NoSuchKey {
        /// The key.
        key_id: KeyId,
    },
    /// The safety policies differ in a way that would loosen a tier.
    #[error("{}: the merge would loosen a safety tier", Code::E400)]
    SafetyLoosened {
        /// Every rule that the other vault has looser.
        rules: Vec<Loosening>,
    },
    /// The joined log would not verify.
    #[error(
        "{code}: the merged log would not verify{}: {reason}",
        event_id.as_deref().map_or_else(String::new, |id| format!(" ({id})"))
    )]
    ResultInvalid {
        /// The code of the first finding, as `PROVARA_E003`.
        code: &'static str,
        /// What it says.
        reason: String,
        /// The event, where it is one.
        event_id: Option<String>,
        /// Whether the result verifies in the append-only order, which was not asked for.
        append_only_helps: bool,
    },
    /// Events that a key signed which the other copy has revoked by now: there is no place for them any more.
    #[error(
        "{}: the merged log would not verify: {} {} signed by a key that does not count there; nothing was merged",
        Code::E202,
        events.len(),
        if events.len() == 1 { "event is" } else { "events are" }
    )]
    AfterRevocation {
        /// What is said of the first of them.
        reason: String,
        /// All of them, in the order of the merged log.
        events: Vec<LateEvent>,
        /// Whether the result verifies in the append-only order, which was not asked for.
        append_only_helps: bool,
    },
}

impl MergeRefusal {
    /// The same, if the result verifies in the append-only order.
    pub(crate) fn or_append_only(mut self, helps: bool) -> Self {
        if let Self::ResultInvalid {
            append_only_helps, ..
        }
        | Self::AfterRevocation {
            append_only_helps, ..
        } = &mut self
        {
            *append_only_helps = helps;
        }
        self
    }

    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Logs(MergeError::Unrelated { .. } | MergeError::Missing { .. })
            | Self::Delta(DeltaError::Type | DeltaError::Json(_))
            | Self::NoSuchKey { .. } => ErrorClass::Usage,
            Self::Logs(_)
            | Self::Delta(_)
            | Self::OtherInvalid { .. }
            | Self::OtherUnsealed { .. }
            | Self::Forks { .. }
            | Self::UntrustedKeys { .. }
            | Self::SafetyLoosened { .. }
            | Self::ResultInvalid { .. }
            | Self::AfterRevocation { .. } => ErrorClass::Evidence,
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<_> = items.collect();
    items.dedup();
    items.join(", ")
}
