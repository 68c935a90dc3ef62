//! Events of a batch under an idempotency key: those that are there already, and their receipts in the order of
//! the batch.

use provara_core::id::KeyId;

use super::BatchWriter;
use crate::error::VaultError;
use crate::writer::prepare::Prepared;
use crate::writer::repeat::Asked;

impl BatchWriter<'_> {
    /// Takes an event, unless it is there under its idempotency key. Whether it could be made again matters
    /// only if it is not.
    pub(super) fn admit(
        &mut self,
        asked: Asked<'_>,
        key_id: Option<KeyId>,
        prepared: Result<Prepared, VaultError>,
    ) -> Result<(), VaultError> {
        let there = match self.fresh.get(&asked.known_as) {
            Some((said, event_id, line)) => {
                let named = !self.may_never_be_written();
                asked.refuse_difference(said, named.then_some((*event_id, *line)))?;
                self.writer.keyed()?.get(&asked.known_as)
            }
            None => self.writer.find(&asked)?,
        };
        let Some(place) = there else {
            let (event_id, place) = self.enqueue(prepared?)?;
            self.writer.keyed()?.add(asked.known_as, place);
            let fresh = (asked.said, event_id, place.line);
            self.fresh.insert(asked.known_as, fresh);
            return Ok(());
        };
        if !self.started && !self.options.dry_run {
            self.writer.cover(key_id, self.keyfile)?;
        }
        self.repeated += 1;
        if self.options.receipts {
            self.repeats.push((self.events, place));
        }
        Ok(())
    }

    /// Gives the receipts of events that were there before what follows the first `events` of the batch.
    pub(super) fn acknowledge_repeats(&mut self, events: u64) -> Result<(), VaultError> {
        let count = self.repeats.partition_point(|(after, _)| *after <= events);
        for (_, place) in self.repeats.drain(..count) {
            self.receipts.push(self.writer.receipt_of(place)?);
        }
        Ok(())
    }
}
