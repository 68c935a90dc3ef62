//! Redaction: a payload goes, and what is left of its event stays bound by a signature (spec/VAULT_FORMAT,
//! section 8).
//!
//! A signed event states the leaf that its target has in the event tree; the target's payload is replaced by
//! a tombstone that keeps this leaf. Both happen in one step, with an [intent](crate::intent). No copy of
//! the payload is made on the way, and checkpoints whose states may hold it go without one.

pub(crate) mod pending;
mod tombstone;

use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{Value, object};
use provara_core::keys::Keyfile;
use provara_core::scan::{Field, scan_line};
use provara_core::tree;
use provara_core::verify::REDACTION_TYPE;
use serde::Serialize;

use crate::error::{RedactRefusal, VaultError};
use crate::found::Found;
use crate::log_snapshot::lines_of;
use crate::scribe::{OWNER, Scribe};
use crate::vault::Vault;

use pending::{Unlike, carry_out, open_targets};
use tombstone::{Tombstone, is_redactable, publish, replace};

/// How a payload is redacted.
#[derive(Debug, Clone, Default)]
pub struct RedactOptions {
    /// Why, in a word or two; the tombstone repeats it, in the open.
    pub reason: String,
    /// Why, at length.
    pub detail: Option<String>,
    /// Who asked for it.
    pub authority: Option<String>,
    /// Who redacts; `provara_user` where it is not said.
    pub actor: Option<String>,
    /// Sign with this key of the keyfile.
    pub key_id: Option<KeyId>,
}

/// A redaction that is durable and sealed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RedactReceipt {
    /// The redaction event.
    pub event_id: EventId,
    /// The event whose payload went.
    pub target_event_id: EventId,
    /// Its line, counted from 1.
    pub target_line: u64,
    /// Its leaf in the event tree, as before.
    pub target_leaf_hash: Digest,
    /// How many events the log holds.
    pub event_count: u64,
    /// The root of the new seal.
    pub merkle_root: Digest,
    /// The key that signed both.
    pub key_id: KeyId,
    /// The checkpoints that went, as their states may hold the payload.
    pub removed_checkpoints: Vec<String>,
    /// What else was found and done.
    pub notes: Vec<String>,
}

impl Vault {
    /// Replaces the payload of `target` by a tombstone, and appends the event that permits it: one step.
    ///
    /// # Errors
    /// [`VaultError::Redaction`] for an event that cannot be redacted; the errors of a writer and of a
    /// keyfile. The vault is then as it was, but for [`VaultError::Interrupted`].
    pub fn redact(
        &self,
        target: EventId,
        keyfile: &Keyfile,
        options: &RedactOptions,
    ) -> Result<RedactReceipt, VaultError> {
        if options.reason.trim().is_empty() {
            return Err(RedactRefusal::NoReason.into());
        }
        let mut found = Found::open(self)?;
        found.refuse_fault()?;
        found.refuse_unless_vouched()?;
        // What is refused changes nothing, not even what is open besides.
        find_target(&found, target)?;
        let mut open = open_targets(found.log()).into_iter();
        if let Some(by) = open.find(|by| by.target == target) {
            return Err(RedactRefusal::Open {
                event_id: target,
                redaction: by.redaction,
            }
            .into());
        }
        let carried = carry_out(found, keyfile, Unlike::Refused)?;
        found = carried.0;
        found.notes.extend(carried.1);
        let at = find_target(&found, target)?;
        let (line, leaf) = {
            let line = &found.log()[at.start..at.end];
            let scanned = scan_line(line).expect("a log that verifies");
            (line.to_vec(), tree::leaf(&scanned))
        };
        let key = found.signing_key(keyfile, options.key_id)?;
        let actor = options.actor.as_deref().unwrap_or(OWNER);
        let index = found.index.clone().expect("a log that verifies");
        let mut scribe = Scribe::new(index, actor, key, found.seal_name())?;
        let mut payload = vec![
            ("target_event_id", target.to_string().into()),
            ("target_leaf_hash", leaf.to_string().into()),
            ("reason", options.reason.clone().into()),
            ("redaction_method", "tombstone".into()),
        ];
        let texts = [
            ("reason_detail", &options.detail),
            ("authority", &options.authority),
        ];
        for (name, text) in texts {
            payload.extend(text.clone().map(|text| (name, Value::from(text))));
        }
        let event = scribe.write(REDACTION_TYPE, &object(payload))?;
        let tombstone = Tombstone {
            redaction: event.id,
            reason: &options.reason,
        };
        let replaced = replace(&line, &tombstone);
        let log = [
            &found.log()[..at.start],
            &replaced,
            &found.log()[at.end..],
            &scribe.finish(),
        ]
        .concat();
        let mut receipt = RedactReceipt {
            event_id: event.id,
            target_event_id: target,
            target_line: at.number,
            target_leaf_hash: leaf,
            event_count: found.verdict.lines + 1,
            merkle_root: Digest([0; 32]),
            key_id: key.key_id(),
            removed_checkpoints: Vec::new(),
            notes: Vec::new(),
        };
        let done = publish(found, &log, at.number, key)?;
        receipt.merkle_root = done.root;
        receipt.removed_checkpoints = done.removed;
        receipt.notes = done.notes;
        Ok(receipt)
    }
}

/// Where a line stands in the log.
struct At {
    number: u64,
    start: usize,
    /// Its line end not included.
    end: usize,
}

fn find_target(found: &Found<'_>, target: EventId) -> Result<At, VaultError> {
    let mut start = 0;
    for (number, line) in (1..).zip(lines_of(found.log())) {
        let at = At {
            number,
            start,
            end: start + line.len(),
        };
        start = at.end + 1;
        let scanned = scan_line(line).expect("a log that verifies");
        if scanned.text(Field::EventId).as_deref() != Some(&target.to_string()) {
            continue;
        }
        if !is_redactable(&scanned) {
            let event_type = scanned.text(Field::Type).unwrap_or_default().into_owned();
            return Err(RedactRefusal::Kind {
                event_id: target,
                event_type,
            }
            .into());
        }
        if found.verdict.redacted_lines.contains(&number) {
            let by = tree::tombstone(&scanned).and_then(|it| it.redaction);
            return Err(RedactRefusal::Already {
                event_id: target,
                redaction: by.map_or_else(|| "an event".to_owned(), |id| id.to_string()),
            }
            .into());
        }
        return Ok(at);
    }
    Err(RedactRefusal::Unknown(target).into())
}
