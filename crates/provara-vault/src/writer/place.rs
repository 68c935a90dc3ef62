//! Where the next event of an actor stands: behind its last one, and bound to all before it.

use provara_core::canonical::MAX_SAFE_INTEGER;
use provara_core::content::Place;
use provara_core::id::EventId;
use provara_core::mark::SealName;
use provara_core::time::Timestamp;

use super::LogWriter;
use crate::clock;
use crate::error::VaultError;
use crate::seal::Names;

impl LogWriter<'_> {
    /// The place of the next event of `actor`, and the time of the one before if the clock went backwards
    /// since. `actor_json` is the JSON text of the name.
    pub(super) fn next_place(
        &self,
        actor: &str,
        actor_json: &[u8],
    ) -> Result<(Place, Option<Timestamp>), VaultError> {
        let known = self.index.actor(actor_json);
        let ts_logical = match known.and_then(|known| known.ts_logical) {
            None => 1,
            // Ours are never below 1; after another tool's that is, 1 goes forward too.
            Some(before) => match u64::try_from(before) {
                Err(_) => 1,
                Ok(before) if before < MAX_SAFE_INTEGER => before + 1,
                Ok(_) => {
                    let actor = actor.to_owned();
                    return Err(VaultError::LogicalClock { actor });
                }
            },
        };
        let timestamp = clock::now()?;
        let later = known
            .and_then(|known| known.timestamp)
            .filter(|before| *before > timestamp);
        let prev = known.map(|known| known.head);
        let (seal, after) = self.binding(prev);
        let place = Place {
            prev,
            ts_logical,
            timestamp,
            seal,
            after,
        };
        Ok((place, later))
    }

    /// What binds the next event of a marked vault to all before it, if that is not its `prev`: the name of the
    /// seal in its place, if that covers all of the log and no loss of power can undo it; or else the event in
    /// the line before.
    fn binding(&self, prev: Option<EventId>) -> (Option<SealName>, Option<EventId>) {
        if self.history.is_none() {
            return (None, None);
        }
        if self.names == Names::Durable && self.sealed_events == self.index.lines {
            return (Some(SealName::of(self.seal.root)), None);
        }
        let before = self.index.last_event;
        (None, before.filter(|_| before != prev))
    }
}
