//! Why a payload is not redacted.

use provara_core::id::EventId;

use super::ErrorClass;

/// Why a payload is not redacted. The vault is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactRefusal {
    /// The log holds no such event.
    #[error("the log holds no event {0}")]
    Unknown(EventId),
    /// The rules read the payloads of events of this type.
    #[error("{event_id} is a {event_type} event, whose payload the rules of the format read")]
    Kind {
        /// The event.
        event_id: EventId,
        /// Its type.
        event_type: String,
    },
    /// Its payload went before.
    #[error("the payload of {event_id} was redacted before, by {redaction}")]
    Already {
        /// The event.
        event_id: EventId,
        /// The redaction.
        redaction: String,
    },
    /// A redaction of the log names it and was not carried out.
    #[error("{redaction} redacts {event_id} already, and was not carried out")]
    Open {
        /// The event.
        event_id: EventId,
        /// The redaction.
        redaction: EventId,
    },
    /// No reason was given.
    #[error("a redaction states its reason, and this one is empty")]
    NoReason,
    /// A redaction of the log states another leaf than its target has.
    #[error("{redaction} cannot be carried out: it states another leaf than {target} has")]
    OtherLeaf {
        /// The redaction.
        redaction: EventId,
        /// Its target.
        target: EventId,
    },
}

impl RedactRefusal {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::OtherLeaf { .. } => ErrorClass::Evidence,
            _ => ErrorClass::Usage,
        }
    }
}
