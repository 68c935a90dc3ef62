//! Why there is no proof.

use provara_core::id::EventId;

use super::ErrorClass;

/// Why there is no proof of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// A line of the log is no event.
    #[error("a line of the log is no event, so that there is no event tree to prove anything of")]
    Unreadable,
    /// The head is over more events than there are.
    #[error("the tree head is over {size} events, and the log has {events}")]
    Longer {
        /// The head's size.
        size: u64,
        /// The events of the log.
        events: u64,
    },
    /// The log does not begin with what the head is over.
    #[error("the log does not begin with the {size} events of the tree head of '{origin}'")]
    OtherTree {
        /// The head's origin.
        origin: String,
        /// Its size.
        size: u64,
    },
    /// No key of the vault signed the head.
    #[error("no key of the vault signed the tree head of '{origin}'")]
    Unsigned {
        /// The head's origin.
        origin: String,
    },
    /// There is no such event among those of the head.
    #[error("no event {event_id} is among the {size} that the tree head is over")]
    NoSuchEvent {
        /// The event.
        event_id: EventId,
        /// The head's size.
        size: u64,
    },
    /// There are no such lines.
    #[error("there are no lines {from} to {to}: the tree head is over the lines 1 to {events}")]
    Lines {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
        /// The head's size.
        events: u64,
    },
    /// The head that is to go on is over fewer events.
    #[error("a tree head over {to} events goes on from none over {from}")]
    Older {
        /// The size of the one.
        from: u64,
        /// The size of the one that is to go on from it.
        to: u64,
    },
}

impl ProofRefusal {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreadable
            | Self::Longer { .. }
            | Self::OtherTree { .. }
            | Self::Unsigned { .. } => ErrorClass::Evidence,
            Self::NoSuchEvent { .. } | Self::Lines { .. } | Self::Older { .. } => ErrorClass::Usage,
        }
    }
}
