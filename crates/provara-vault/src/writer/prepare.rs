//! What is asked for, made into the content of an event: the same way for one event and for many.

use provara_core::content::{Content, Place};
use provara_core::event_type::EventType;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::Keyfile;
use provara_core::number_rule::Spellings;
use provara_core::payload::MAX_PAYLOAD;
use provara_core::verify::REDACTION_TYPE;

use super::LogWriter;
use super::payload::{bind_redaction, payload_of, refuse_request, speaks_of_others};
use crate::append::{AppendReceipt, AppendRequest, WRAPPED, spelling_notes};
use crate::error::VaultError;

/// A request in canonical form, and what its receipt says whatever its place is.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) content: Content,
    pub(super) key_id: KeyId,
    pub(super) event_type: EventType,
    pub(super) actor: String,
    /// Whether its data was wrapped.
    pub(super) wrapped: bool,
    /// What there is to tell of the spelling of its numbers.
    pub(super) spellings: Spellings,
}

/// Refuses what is more than one event may say.
fn bounded(content: Content) -> Result<Content, VaultError> {
    match content.payload_length() {
        length if length > MAX_PAYLOAD => Err(VaultError::TooLarge { length }),
        _ => Ok(content),
    }
}

impl AppendRequest<'_> {
    /// Refuses what no vault takes, whatever its log holds: what this passes, an append refuses for the state
    /// of the vault alone.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn check(&self) -> Result<(), VaultError> {
        refuse_request(self)?;
        let payload = payload_of(
            &self.event_type,
            self.data.clone(),
            self.confidence,
            self.blind,
        )?;
        let content = bounded(Content::keyed(
            &self.event_type,
            &self.actor,
            self.namespace,
            &payload,
            self.key_id.unwrap_or(KeyId([0; 8])),
            self.idempotency_key.as_deref(),
        )?)?;
        let checked = content.check();
        checked.map_err(|reason| VaultError::Unwritable {
            reason: reason.to_string(),
        })
    }

    /// Whether the log before it decides if it may be appended: a key event, or a redaction. An atomic batch
    /// takes none.
    #[must_use]
    pub fn needs_log(&self) -> bool {
        speaks_of_others(&self.event_type)
    }
}

impl LogWriter<'_> {
    /// Writes what is asked for in canonical form. A redaction is bound to its target in `log`, if that is
    /// given.
    ///
    /// # Errors
    /// What is wrong with the request or the keys, and [`VaultError::Closed`].
    pub(super) fn prepare(
        &self,
        request: AppendRequest<'_>,
        keyfile: &Keyfile,
        log: Option<&[u8]>,
    ) -> Result<Prepared, VaultError> {
        refuse_request(&request)?;
        let mut payload = payload_of(
            &request.event_type,
            request.data,
            request.confidence,
            request.blind,
        )?;
        let redacts = request.event_type.as_str() == REDACTION_TYPE;
        if let Some(event_id) = self.index.closed.filter(|_| !redacts) {
            return Err(VaultError::Closed { event_id });
        }
        let key_id = self.signing_key(keyfile, request.key_id)?.key_id();
        if let Some(log) = log.filter(|_| redacts) {
            bind_redaction(&mut payload, log)?;
        }
        let content = bounded(Content::keyed(
            &request.event_type,
            &request.actor,
            request.namespace,
            &payload,
            key_id,
            request.idempotency_key.as_deref(),
        )?)?;
        let mut spellings = content.spellings();
        spellings.large_integers = spellings.large_integers.saturating_sub(request.rounded);
        Ok(Prepared {
            content,
            spellings,
            key_id,
            event_type: request.event_type,
            actor: request.actor,
            wrapped: payload.is_wrapped(),
        })
    }
}

impl Prepared {
    /// What became of the data.
    pub(super) fn notes(&self) -> Vec<String> {
        let wrapped = self.wrapped.then(|| WRAPPED.to_owned());
        let spellings = spelling_notes(self.spellings);
        wrapped.into_iter().chain(spellings).collect()
    }

    /// What is answered for the event `id` in line `line`, before it is signed and sealed.
    pub(super) fn into_receipt(self, id: EventId, place: &Place, line: u64) -> AppendReceipt {
        AppendReceipt {
            notes: self.notes(),
            event_id: id,
            event_type: self.event_type.as_str().to_owned(),
            actor: self.actor,
            key_id: self.key_id,
            prev_event_hash: place.prev,
            ts_logical: place.ts_logical,
            timestamp_utc: place.timestamp.to_string(),
            line,
            merkle_root: Digest([0; 32]),
            event_json: String::new(),
            repeated: false,
            tree_head: None,
        }
    }
}
