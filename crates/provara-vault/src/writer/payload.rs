//! What an append puts into an event: the payload that a reader, and an older tool, will take.

use provara_core::event_type::{CoreType, EventType};
use provara_core::id::{Digest, EventId};
use provara_core::json::Value;
use provara_core::mark::{ADOPTION_TYPE, FILES_TYPE, KEY_ADDED_TYPE};
use provara_core::payload::{BLIND, Payload, PayloadError, payload_for};
use provara_core::scan::{Field, scan_line};
use provara_core::tree::{leaf, tombstone_in};
use provara_core::verify::REDACTION_TYPE;

use crate::append::AppendRequest;
use crate::error::{Ambiguity, VaultError};

/// The member of a redaction that names the event which it is of.
const TARGET: &str = "target_event_id";

/// The member of a redaction that states the leaf of that event.
const TARGET_LEAF: &str = "target_leaf_hash";

/// Key events and redactions speak of what stands before them, so that the log before them must be there
/// and the rules decide over all of it.
pub(super) fn speaks_of_others(event_type: &EventType) -> bool {
    matches!(
        event_type,
        EventType::Core(CoreType::KeyRevocation | CoreType::KeyPromotion)
    ) || [REDACTION_TYPE, KEY_ADDED_TYPE].contains(&event_type.as_str())
}

/// Refuses what no event may be, whatever its data.
pub(super) fn refuse_request(request: &AppendRequest<'_>) -> Result<(), VaultError> {
    if request.event_type == EventType::Core(CoreType::Genesis) {
        return Err(VaultError::GenesisByHand);
    }
    for (event_type, command) in [
        (ADOPTION_TYPE, "provara adopt"),
        (FILES_TYPE, "provara manifest"),
    ] {
        if request.event_type.as_str() == event_type {
            return Err(VaultError::ByCommand {
                event_type,
                command,
            });
        }
    }
    if request.actor.is_empty() {
        return Err(VaultError::EmptyActor);
    }
    Ok(())
}

/// The payload of the event that is asked for.
pub(super) fn payload_of<'a>(
    event_type: &EventType,
    data: Value<'a>,
    confidence: Option<f64>,
    blind: bool,
) -> Result<Payload<'a>, VaultError> {
    if blind && data.get(BLIND).is_some() {
        return Err(VaultError::Ambiguous(Ambiguity::Blind));
    }
    let mut payload = payload_for(event_type, data, confidence).map_err(|error| match error {
        PayloadError::Canonical(error) => VaultError::Canonical(error),
        error => VaultError::Payload(error),
    })?;
    if blind {
        payload = payload.blinded(random_text()?);
    }
    // In the place of a payload it says that one was erased; older tools then ask for the redaction.
    if tombstone_in(payload.value()).is_some() {
        return Err(VaultError::Ambiguous(Ambiguity::Tombstone));
    }
    Ok(payload)
}

/// 16 random bytes in hexadecimal digits.
fn random_text() -> Result<String, VaultError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| VaultError::Randomness {
        reason: error.to_string(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Binds a redaction to the event of `log` that it names: its leaf is what a tombstone must still have.
pub(super) fn bind_redaction(payload: &mut Payload<'_>, log: &[u8]) -> Result<(), VaultError> {
    let refused = |reason: String| VaultError::RedactionTarget { reason };
    let target = payload.value().get(TARGET).and_then(Value::as_str);
    let target: EventId = target.and_then(|text| text.parse().ok()).ok_or_else(|| {
        refused(format!(
            "its data needs '{TARGET}', the id of the event whose payload is to go"
        ))
    })?;
    let leaf = leaf_of(log, target)
        .ok_or_else(|| refused(format!("{target} is no event of this log")))?
        .to_string();
    let stated = payload.value().get(TARGET_LEAF);
    if let Some(stated) = stated {
        return match stated.as_str() == Some(&leaf) {
            true => Ok(()),
            false => Err(refused(format!(
                "'{TARGET_LEAF}' is not that of {target}, which is {leaf}"
            ))),
        };
    }
    if let Value::Object(members) = payload.value_mut() {
        members.push((TARGET_LEAF.into(), leaf.into()));
    }
    Ok(())
}

/// The leaf of an event of the log.
fn leaf_of(log: &[u8], event: EventId) -> Option<Digest> {
    let text = format!("\"event_id\":\"{event}\"");
    let finder = memchr::memmem::Finder::new(&text);
    finder.find_iter(log).find_map(|at| {
        let start = memchr::memrchr(b'\n', &log[..at]).map_or(0, |end| end + 1);
        let rest = &log[start..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        let line = scan_line(line).ok()?;
        // A payload may hold the same words.
        let is_this = line.text(Field::EventId)?.parse() == Ok(event);
        is_this.then(|| leaf(&line))
    })
}
