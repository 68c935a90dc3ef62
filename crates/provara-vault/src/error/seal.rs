//! A seal that is of other content than what stands in the vault.

use std::fmt;

use provara_core::id::{Digest, EventId, KeyId};

/// A seal beside a vault that it is not of: what is there, and what was sealed.
#[derive(Debug)]
pub struct OtherSeal {
    /// The events of the log.
    pub events: u64,
    /// The last of them.
    pub last: Option<EventId>,
    /// The root that the seal signs.
    pub root: Option<Digest>,
    /// The key that signed it.
    pub key_id: Option<KeyId>,
    /// When, as written.
    pub signed_at_utc: String,
    /// What shows it, where it is more than that the root is none of the log's.
    pub reason: Option<String>,
}

impl std::error::Error for OtherSeal {}

impl fmt::Display for OtherSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the vault is not what was sealed: its log holds {} events",
            self.events
        )?;
        if let Some(last) = self.last {
            write!(f, ", the last of them {last}")?;
        }
        f.write_str("; the seal")?;
        if let Some(root) = self.root {
            write!(f, " (root {root})")?;
        }
        if !self.signed_at_utc.is_empty() {
            write!(f, ", made at {}", self.signed_at_utc)?;
        }
        if let Some(key_id) = self.key_id {
            write!(f, " by key {key_id},")?;
        }
        f.write_str(" is of no state that this log, with the files beside it, was in")?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
