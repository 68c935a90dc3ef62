//! Events that a command writes by itself, each in the chain of its actor.

use provara_core::canonical::{MAX_SAFE_INTEGER, write_string};
use provara_core::content::SignedEvent;
use provara_core::event::Draft;
use provara_core::json::{Value, object};
use provara_core::keys::SigningKey;
use provara_core::manifest::FileEntry;
use provara_core::mark::{FILES_TYPE, SealName};
use provara_core::verify::seal::files_beside_log;

use crate::clock;
use crate::error::VaultError;
use crate::index::LogIndex;

/// Who speaks where nobody is named.
pub(crate) const OWNER: &str = "provara_user";

/// Writes events behind a log.
pub(crate) struct Scribe<'a> {
    index: LogIndex,
    actor: &'a str,
    key: &'a SigningKey,
    /// The durable seal that was found, if it covers all that is before; the first event names it.
    seal: Option<SealName>,
    /// The lines that follow the log, with the line end that it may lack.
    text: Vec<u8>,
}

impl<'a> Scribe<'a> {
    /// Behind a log that comes to `index`; the first event names `seal`, if that covers all of it.
    pub(crate) fn new(
        index: LogIndex,
        actor: &'a str,
        key: &'a SigningKey,
        seal: Option<SealName>,
    ) -> Result<Self, VaultError> {
        if actor.is_empty() {
            return Err(VaultError::EmptyActor);
        }
        let text = match index.unterminated {
            true => b"\n".to_vec(),
            false => Vec::new(),
        };
        Ok(Self {
            index,
            actor,
            key,
            seal,
            text,
        })
    }

    /// Writes the next event.
    pub(crate) fn write(
        &mut self,
        event_type: &str,
        payload: &Value<'_>,
    ) -> Result<SignedEvent, VaultError> {
        let mut name = Vec::new();
        write_string(&mut name, self.actor);
        let known = self.index.actor(&name);
        let before = known.and_then(|known| known.ts_logical).unwrap_or(0);
        let before = u64::try_from(before).unwrap_or(0);
        if before >= MAX_SAFE_INTEGER {
            let actor = self.actor.to_owned();
            return Err(VaultError::LogicalClock { actor });
        }
        let prev = known.map(|known| known.head);
        // An event that neither names a seal nor follows the one before it by its chain is bound to that.
        let seal = self.seal.take();
        let last = self.index.last_event;
        let after = last.filter(|_| seal.is_none() && prev != last);
        let event = Draft {
            event_type: &event_type.parse().expect("a type of the format's own"),
            actor: self.actor,
            namespace: None,
            payload,
            prev,
            ts_logical: before + 1,
            timestamp: clock::now()?,
            seal,
            after,
        }
        .sign(self.key)?;
        let line = event.line.strip_suffix(b"\n").expect("a line of the log");
        let unwritable = |reason: &dyn std::fmt::Display| VaultError::Unwritable {
            reason: reason.to_string(),
        };
        self.index
            .add(line, true)
            .map_err(|error| unwritable(&error))?;
        self.text.extend_from_slice(&event.line);
        Ok(event)
    }

    /// Writes the statement of the files beside the log that a seal over `entries` is to cover.
    pub(crate) fn state_files<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e FileEntry>,
    ) -> Result<SignedEvent, VaultError> {
        let (count, root) = files_beside_log(entries);
        let payload = object([
            ("file_count", count.into()),
            ("files_root", root.to_string().into()),
        ]);
        self.write(FILES_TYPE, &payload)
    }

    /// What follows the log.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.text
    }
}
