//! Why a vault is not adopted, and a payload not redacted, in words.

use provara_vault::{AdoptRefusal, RedactRefusal};

/// What the user can do about an adoption.
pub(super) fn adopt_fix(refusal: &AdoptRefusal, vault: &str) -> String {
    match refusal {
        AdoptRefusal::Untrusted { key_ids, unused } => {
            let trust: Vec<_> = key_ids.iter().map(|id| format!("--trust {id}")).collect();
            let otherwise = match unused {
                true => {
                    " Otherwise take them out of identity/keys.json: no event is by one of them."
                }
                false => "",
            };
            format!(
                "If you know that they are the vault's: provara adopt {vault} {}.{otherwise}",
                trust.join(" ")
            )
        }
        AdoptRefusal::NotBrought { .. } => format!(
            "Leave --trust out. To add a key, append the event that brings it: provara append {vault} --type \
             com.provara.key.added --allow-unregistered --data JSON (with the members \
             algorithm, key_id, public_key_b64, roles and added_at_utc), or merge the copy that has its events: \
             provara merge --trust-key ID."
        ),
        AdoptRefusal::NoSuchKey { .. } => {
            format!("Name a key that stands in {vault}/identity/keys.json.")
        }
    }
}

/// What the user can do about a redaction.
pub(super) fn redact_fix(refusal: &RedactRefusal, vault: &str) -> String {
    match refusal {
        RedactRefusal::Unknown(_) => {
            format!("Find the event's id: provara query {vault}")
        }
        RedactRefusal::Kind { .. } => {
            "Redact an event of another type; of this one the payload has to stay.".to_owned()
        }
        RedactRefusal::Already { .. } => {
            "Nothing is to be done here; copies and backups may still hold it.".to_owned()
        }
        RedactRefusal::Open { .. } => {
            format!("Run 'provara repair {vault}': it carries the redaction out.")
        }
        RedactRefusal::NoReason => "Say why: --reason TEXT.".to_owned(),
        RedactRefusal::OtherLeaf { .. } => format!(
            "The event is not the one that was to be redacted, or was changed since: run 'provara verify \
             {vault}', and restore the vault from a copy that verifies."
        ),
    }
}
