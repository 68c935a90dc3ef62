//! The system clock.

use std::time::{SystemTime, UNIX_EPOCH};

use provara_core::time::Timestamp;

use crate::error::VaultError;

/// The time now, UTC, to the microsecond.
///
/// # Errors
/// [`VaultError::Clock`]: the clock is outside of the years that a timestamp can have.
pub fn now() -> Result<Timestamp, VaultError> {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    micros
        .ok()
        .and_then(Timestamp::from_unix_micros)
        .ok_or(VaultError::Clock)
}
