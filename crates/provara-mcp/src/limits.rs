//! The limits that several modules hold to.

use std::time::Duration;

/// The longest message that is read, in bytes. An event's data is part of one message.
pub(crate) const MAX_MESSAGE: usize = 9 << 20;

/// How long work in hand may take to end after the last client has gone.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(5);
