//! The limits that several modules hold to.

use std::time::Duration;

use provara_core::payload::MAX_PAYLOAD;

/// The longest message that is read, in bytes. An event's data is part of one message.
pub(crate) const MAX_MESSAGE: usize = MAX_PAYLOAD + (1 << 20);

/// How long work in hand may take to end after the last client has gone.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(5);
