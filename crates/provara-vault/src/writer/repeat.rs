//! Requests under an idempotency key: whether the log has the event that is asked for.
//!
//! All of it happens under the lock, and the log itself is read before anybody is told that an event is there.

use std::os::unix::fs::FileExt;

use provara_core::canonical;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value};
use provara_core::keys::Keyfile;
use provara_core::namespace::Namespace;
use provara_core::payload::{BLIND, Payload};
use provara_core::scan::{Field, Line, scan_line};
use provara_core::tree::tombstone_in;
use provara_core::verify::REDACTION_TYPE;

use super::LogWriter;
use super::payload::{bind_redaction, payload_of, refuse_request};
use crate::append::{AppendReceipt, AppendRequest};
use crate::error::{Context, VaultError};
use crate::idempotency::{EventPlace, Extent, KeyedEvents, known_as, known_as_of};

/// The longest key, in bytes.
const MAX_KEY: usize = 1024;

/// How much of the log is read at a time for one line, in bytes.
const PIECE: usize = 8 << 10;

/// What is asked for under an idempotency key.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) known_as: Digest,
    pub(super) said: Said,
    /// Without random bytes.
    payload: Payload<'a>,
    key: String,
    actor: String,
}

/// What an event says, as far as a repetition has to say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    event_type: String,
    namespace: Option<String>,
    /// Of the canonical payload, without its time and its random bytes; of an event that says something else,
    /// of the payload that it has.
    payload: Digest,
    /// Whether random bytes were asked for; not known of a payload that was erased and says something else.
    blind: Option<bool>,
}

impl<'a> Asked<'a> {
    /// What is asked for, if it is asked for under a key. A redaction is bound to its target in `log`, as it
    /// is where it is written.
    pub(super) fn of(
        request: &AppendRequest<'a>,
        log: Option<&[u8]>,
    ) -> Result<Option<Self>, VaultError> {
        let Some(key) = &request.idempotency_key else {
            return Ok(None);
        };
        refuse_request(request)?;
        let wrong = |reason: String| Err(VaultError::IdempotencyKey { reason });
        if key.is_empty() {
            return wrong("is empty".to_owned());
        }
        if key.len() > MAX_KEY {
            return wrong(format!("is longer than {MAX_KEY} bytes"));
        }
        let event_type = &request.event_type;
        let data = request.data.clone();
        let mut payload = payload_of(event_type, data, request.confidence, false)?;
        if let Some(log) = log.filter(|_| event_type.as_str() == REDACTION_TYPE) {
            bind_redaction(&mut payload, log)?;
        }
        let actor = canonical::jcs(&Value::String(request.actor.as_str().into()))?;
        Ok(Some(Self {
            known_as: known_as(&actor, key),
            said: Said {
                event_type: event_type.as_str().to_owned(),
                namespace: request.namespace.map(|it| Namespace::as_str(it).to_owned()),
                payload: Digest::of(&canonical::event_form(payload.value())?),
                blind: Some(request.blind),
            },
            payload,
            key: key.clone(),
            actor: request.actor.clone(),
        }))
    }

    /// What the event of a line says. Its payload is compared with the one that this request would have become
    /// in its place, at its time and with its random bytes.
    fn said_in(&self, line: &Line<'_>) -> Said {
        let raw = line.raw(Field::Payload).unwrap_or_default();
        let text = |field| line.text(field).map(|text| text.into_owned());
        let time = text(Field::TimestampUtc).unwrap_or_default();
        let is_this = |payload: Payload<'_>, hash: Digest| {
            let payload = canonical::event_form(&payload.at(&time));
            payload.is_ok_and(|bytes| Digest::of(&bytes) == hash)
        };
        let there = json::parse(raw).ok();
        let erased = there.as_ref().and_then(tombstone_in);
        // Of a payload that was erased its hash is left.
        let hash = erased.as_ref().map(|it| it.original);
        let hash = hash.unwrap_or_else(|| Digest::of(raw));
        let random = there.as_ref().and_then(|it| it.get(BLIND)?.as_str());
        let (same, blind) = if is_this(self.payload.clone(), hash) {
            (true, Some(false))
        } else if let Some(random) = random.filter(|_| self.payload.value().get(BLIND).is_none()) {
            (
                is_this(self.payload.clone().blinded(random), hash),
                Some(true),
            )
        } else {
            (false, erased.is_none().then_some(false))
        };
        Said {
            event_type: text(Field::Type).unwrap_or_default(),
            namespace: text(Field::Namespace),
            payload: if same { self.said.payload } else { hash },
            blind,
        }
    }

    /// Refuses a request that says something else than the event that has its key, which is named if it is
    /// sure to be written.
    pub(super) fn refuse_difference(
        &self,
        there: &Said,
        event: Option<(EventId, u64)>,
    ) -> Result<(), VaultError> {
        let difference = if there.event_type != self.said.event_type {
            "which is of another type"
        } else if there.namespace != self.said.namespace {
            "which is in another namespace"
        } else if there.payload != self.said.payload {
            match (there.blind, self.said.blind) {
                (None, Some(true)) => "whose payload was erased, and its random bytes with it",
                (None, _) => "whose payload was erased, and was another or had random bytes",
                _ => "whose data is another",
            }
        } else {
            match (there.blind, self.said.blind) {
                (Some(true), Some(false)) => "which has random bytes in its payload (blind)",
                (Some(false), Some(true)) => "which has no random bytes in its payload (blind)",
                _ => return Ok(()),
            }
        };
        Err(VaultError::KeyReused {
            key: self.key.clone(),
            actor: self.actor.clone(),
            event,
            difference,
        })
    }
}

impl LogWriter<'_> {
    /// The events with a key, as the log has them.
    pub(super) fn keyed(&mut self) -> Result<&mut KeyedEvents, VaultError> {
        if self.keyed.is_none() {
            let directory = self.vault.cache_directory();
            let (log, found) = (&self.log, &self.found);
            let keyed = KeyedEvents::of(log, &self.path, found, directory, self.vault.path())?;
            self.keyed = Some(Box::new(keyed));
        }
        Ok(self.keyed.as_mut().expect("it was put there just now"))
    }

    /// Where the durable event stands that is asked for, if the log has it.
    ///
    /// # Errors
    /// [`VaultError::KeyReused`] if what has its key says something else.
    pub(super) fn find(&mut self, asked: &Asked) -> Result<Option<EventPlace>, VaultError> {
        let Some(place) = self.keyed()?.get(&asked.known_as) else {
            return Ok(None);
        };
        if let Some((there, event_id)) = self.said_at(place, asked)? {
            asked.refuse_difference(&there, Some((event_id, place.line)))?;
            return Ok(Some(place));
        }
        // What was kept is not of this log, whatever it looked like: the log decides.
        let (log, found) = (&self.log, &self.found);
        let keyed = KeyedEvents::of(log, &self.path, found, None, self.vault.path())?;
        let place = self.keyed.insert(Box::new(keyed)).get(&asked.known_as);
        let Some(place) = place else { return Ok(None) };
        let (there, event_id) = self.said_at(place, asked)?.ok_or(VaultError::LogReplaced)?;
        asked.refuse_difference(&there, Some((event_id, place.line)))?;
        Ok(Some(place))
    }

    /// What the event there says, if it is the one that is asked for.
    fn said_at(
        &self,
        place: EventPlace,
        asked: &Asked,
    ) -> Result<Option<(Said, EventId)>, VaultError> {
        let bytes = self.line_at(place)?;
        let line = scan_line(&bytes).ok();
        let line = line.filter(|line| known_as_of(line) == Some(asked.known_as));
        Ok(line.and_then(|line| {
            let event_id = line.text(Field::EventId)?.parse().ok()?;
            Some((asked.said_in(&line), event_id))
        }))
    }

    /// The line of the log that begins there, without its end; what is left of the log where it has none.
    fn line_at(&self, place: EventPlace) -> Result<Vec<u8>, VaultError> {
        let mut line = Vec::new();
        loop {
            let mut piece = [0; PIECE];
            let at = place.offset + line.len() as u64;
            let read = self.log.read_at(&mut piece, at);
            let piece = &piece[..read.context("read", &self.path)?];
            let end = memchr::memchr(b'\n', piece);
            line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            if end.is_some() || piece.is_empty() {
                return Ok(line);
            }
        }
    }

    /// The receipt of a sealed event of the log.
    pub(super) fn receipt_of(&self, place: EventPlace) -> Result<AppendReceipt, VaultError> {
        let bytes = self.line_at(place)?;
        let receipt = scan_line(&bytes).ok().and_then(|line| {
            let text = |field| line.text(field);
            Some(AppendReceipt {
                event_id: text(Field::EventId)?.parse().ok()?,
                event_type: text(Field::Type)?.into_owned(),
                actor: text(Field::Actor)?.into_owned(),
                key_id: text(Field::ActorKeyId)?.parse().ok()?,
                prev_event_hash: text(Field::PrevEventHash).and_then(|id| id.parse().ok()),
                ts_logical: u64::try_from(line.integer(Field::TsLogical).unwrap_or(0)).unwrap_or(0),
                timestamp_utc: text(Field::TimestampUtc)?.into_owned(),
                line: place.line,
                merkle_root: self.seal.root,
                event_json: String::from_utf8_lossy(line.bytes()).into_owned(),
                notes: Vec::new(),
                repeated: true,
                tree_head: None,
            })
        });
        receipt.ok_or(VaultError::LogReplaced)
    }

    /// The answer to a request that the log has the event of: the seal must cover it.
    pub(super) fn repeated(
        &mut self,
        place: EventPlace,
        key_id: Option<KeyId>,
        keyfile: &Keyfile,
    ) -> Result<AppendReceipt, VaultError> {
        let sealed = self.cover(key_id, keyfile)?;
        let mut receipt = self.receipt_of(place)?;
        if sealed {
            receipt.notes = self.take_notes();
        }
        Ok(receipt)
    }

    /// Seals what an interrupted writer left unsealed; says whether there was something.
    pub(super) fn cover(
        &mut self,
        key_id: Option<KeyId>,
        keyfile: &Keyfile,
    ) -> Result<bool, VaultError> {
        let lags = self.sealed_events != self.index.lines || self.keys_lag;
        if lags {
            let key = self.signing_key(keyfile, key_id)?;
            self.renew_seal(None, key)?;
        }
        Ok(lags)
    }

    /// Keeps what is known of the events with a key for the next writer.
    pub(super) fn keep_keyed(&mut self) {
        if let (Some(keyed), Some(directory)) = (&mut self.keyed, self.vault.cache_directory()) {
            let extent = Extent {
                length: self.index.len,
                tree: self.index.tree.clone(),
            };
            keyed.store(directory, self.vault.path(), &extent);
        }
    }
}
