//! Checkpoints: signed snapshots of the belief state (spec/VAULT_FORMAT, section 6).
//!
//! A checkpoint is a shortcut and never a source of truth: whoever relies on one compares its
//! state with the one that the events give.

use crate::beliefs::BeliefState;
use crate::canonical::{jcs, token_preserving, write_string};
use crate::id::{Digest, EventId, IdError, KeyId};
use crate::json::{self, MAX_DEPTH, ParseError, Value};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::time::{Timestamp, TimestampError};

/// The version that every checkpoint states.
pub const SPEC_VERSION: &str = "1.0";

/// How much deeper a value stands in a checkpoint than in the event that it comes from: below
/// `state`, the map, the key, `evidence_by_value`, its list and the evidence, instead of below
/// `payload`.
const EXTRA_DEPTH: usize = 8;

/// A checkpoint that was read; its signature is not checked yet.
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    document: Value<'a>,
    /// The Merkle root of the vault that was sealed when the checkpoint was made, if there was one.
    pub merkle_root: Option<Digest>,
    /// The last event that the state includes; none for a state of no events.
    pub last_event_id: Option<EventId>,
    /// How many events the state includes.
    pub event_count: u64,
    /// The key that signed.
    pub key_id: KeyId,
    /// When it was signed, as stated.
    pub signed_at_utc: Timestamp,
    signature: Signature,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no strict JSON (`PROVARA_E104`).
    #[error("not strict JSON: {0}")]
    Json(#[from] ParseError),
    /// It is in neither canonical form (`PROVARA_E104`).
    #[error("not in canonical form")]
    NotCanonical,
    /// A member is missing (`PROVARA_E300`).
    #[error("'{0}' is missing")]
    Missing(&'static str),
    /// A member has a value that it cannot have (`PROVARA_E302`).
    #[error("'{field}' is not {expected}")]
    Field {
        /// The member.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A hash or an id is malformed (`PROVARA_E100`, `PROVARA_E101`, `PROVARA_E102`).
    #[error("'{field}' is {error}")]
    Id {
        /// The member.
        field: &'static str,
        /// What is wrong with it.
        error: IdError,
    },
    /// `signed_at_utc` is no timestamp (`PROVARA_E105`).
    #[error("'signed_at_utc' is {0}")]
    Time(#[from] TimestampError),
    /// `sig` is not the Base64 of 64 bytes (`PROVARA_E103`).
    #[error("'sig' is not the Base64 of 64 bytes")]
    Signature,
    /// The version is not [`SPEC_VERSION`] (`PROVARA_E303`).
    #[error("'spec_version' is {found:?} and not {SPEC_VERSION:?}")]
    SpecVersion {
        /// The version stated.
        found: String,
    },
    /// What the checkpoint says of its state is not what the state says (`PROVARA_E009`).
    #[error("'{0}' is not that of 'state'")]
    Inconsistent(&'static str),
}

/// Makes a signed checkpoint of `state`, and returns the text of its file.
///
/// `merkle_root` is the root of the vault as it is sealed before the checkpoint enters it.
///
/// What is signed (Ed25519) is the text without `sig`: the members `event_count`, `key_id`,
/// `last_event_id`, `merkle_root`, `signed_at_utc`, `spec_version` and `state`, UTF-8, no white
/// space, keys by code point, minimal escapes, numbers as Python prints them. The state is thus
/// byte for byte the text that its hash is of, and the older tools compute both alike.
#[must_use]
pub fn build(
    state: &BeliefState,
    merkle_root: Option<Digest>,
    key: &SigningKey,
    signed_at: Timestamp,
) -> Vec<u8> {
    let event_count = state.event_count().to_string();
    let head = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"event_count\":");
        out.extend_from_slice(event_count.as_bytes());
        out.extend_from_slice(b",\"key_id\":");
        write_string(out, &key.key_id().to_string());
        out.extend_from_slice(b",\"last_event_id\":");
        out.extend_from_slice(state.last_event_id_json());
        out.extend_from_slice(b",\"merkle_root\":");
        match merkle_root {
            Some(root) => write_string(out, &root.to_string()),
            None => out.extend_from_slice(b"null"),
        }
    };
    let mut tail = b",\"signed_at_utc\":".to_vec();
    write_string(&mut tail, &signed_at.to_string());
    tail.extend_from_slice(b",\"spec_version\":");
    write_string(&mut tail, SPEC_VERSION);
    tail.extend_from_slice(b",\"state\":");
    tail.extend_from_slice(&state.checkpoint_state());
    tail.push(b'}');

    let mut signed = Vec::with_capacity(tail.len() + 256);
    head(&mut signed);
    signed.extend_from_slice(&tail);
    let signature = key.sign(&signed);

    // `sig` sorts between `merkle_root` and `signed_at_utc`.
    let mut text = Vec::with_capacity(signed.len() + 128);
    head(&mut text);
    text.extend_from_slice(b",\"sig\":");
    write_string(&mut text, &signature.to_base64());
    text.extend_from_slice(&tail);
    text
}

impl<'a> Checkpoint<'a> {
    /// Reads a checkpoint, and checks that its parts are of one piece.
    ///
    /// # Errors
    /// The first thing that no checkpoint has.
    pub fn parse(text: &'a [u8]) -> Result<Self, CheckpointError> {
        let document = json::parse_nested(text, MAX_DEPTH + EXTRA_DEPTH)?;
        let member = |field| document.get(field).ok_or(CheckpointError::Missing(field));
        if document.as_object().is_none() {
            let (field, expected) = ("checkpoint", "an object");
            return Err(CheckpointError::Field { field, expected });
        }
        let written = text.strip_suffix(b"\n").unwrap_or(text);
        let canonical = token_preserving(&document) == written
            || jcs(&document).is_ok_and(|strict| strict == written);
        if !canonical {
            return Err(CheckpointError::NotCanonical);
        }
        let spec_version = string(member("spec_version")?, "spec_version")?;
        if spec_version != SPEC_VERSION {
            let found = spec_version.to_owned();
            return Err(CheckpointError::SpecVersion { found });
        }
        let state = member("state")?;
        let metadata = state
            .get("metadata_partial")
            .ok_or(CheckpointError::Missing("state.metadata_partial"))?;
        for field in ["last_event_id", "event_count"] {
            if metadata.get(field) != Some(member(field)?) {
                return Err(CheckpointError::Inconsistent(field));
            }
        }
        let event_count = member("event_count")?;
        let checkpoint = Self {
            merkle_root: optional_id(member("merkle_root")?, "merkle_root")?,
            last_event_id: optional_id(member("last_event_id")?, "last_event_id")?,
            event_count: event_count.as_i64().and_then(|n| n.try_into().ok()).ok_or(
                CheckpointError::Field {
                    field: "event_count",
                    expected: "a count",
                },
            )?,
            key_id: string(member("key_id")?, "key_id")?
                .parse()
                .map_err(|error| CheckpointError::Id {
                    field: "key_id",
                    error,
                })?,
            signed_at_utc: string(member("signed_at_utc")?, "signed_at_utc")?.parse()?,
            signature: member("sig")?
                .as_str()
                .and_then(|text| Signature::from_base64(text.as_bytes()))
                .ok_or(CheckpointError::Signature)?,
            document,
        };
        Ok(checkpoint)
    }

    /// The state: the four maps and `metadata_partial`.
    #[must_use]
    pub fn state(&self) -> &Value<'a> {
        self.document.get("state").unwrap_or(&Value::Null)
    }

    /// Checks the signature, in the strict canonical form and then in the token-preserving one, as
    /// for events. That `key` has the id stated and was trusted is the caller's to know.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        let members = self.document.as_object().cloned().unwrap_or_default();
        let rest = Value::Object(members.into_iter().filter(|it| it.0 != "sig").collect());
        match jcs(&rest) {
            Ok(strict) if key.verify(&strict, &self.signature).is_ok() => Ok(()),
            _ => key.verify(&token_preserving(&rest), &self.signature),
        }
    }

    /// The hash of the state: SHA-256 over its token-preserving canonical form, which is what
    /// [`BeliefState::state_hash`] is of.
    #[must_use]
    pub fn state_hash(&self) -> Digest {
        Digest::of(&token_preserving(self.state()))
    }

    /// What the checkpoint says of the state, without the state.
    #[must_use]
    pub fn claim(&self) -> ClaimedState {
        let text = token_preserving(self.state());
        ClaimedState {
            hash: Digest::of(&text),
            strict: jcs(self.state()).is_ok_and(|strict| strict == text),
        }
    }

    /// Whether the state is `recomputed`, that of the same events.
    #[must_use]
    pub fn agrees_with(&self, recomputed: &BeliefState) -> bool {
        self.claim().agrees_with(recomputed)
    }
}

/// The state of a checkpoint, as far as it takes to compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedState {
    /// As [`Checkpoint::state_hash`].
    pub hash: Digest,
    /// Whether the state stands in the strict canonical form.
    strict: bool,
}

impl ClaimedState {
    /// Whether the state is `recomputed`, that of the same events. A checkpoint in the strict form,
    /// whose numbers do not tell `1` from `1.0`, is compared in that form.
    #[must_use]
    pub fn agrees_with(&self, recomputed: &BeliefState) -> bool {
        if self.hash == recomputed.state_hash {
            return true;
        }
        let text = recomputed.checkpoint_state();
        let strict = json::parse_nested(&text, MAX_DEPTH + EXTRA_DEPTH).map(|state| jcs(&state));
        self.strict && matches!(strict, Ok(Ok(strict)) if Digest::of(&strict) == self.hash)
    }
}

fn string<'v>(value: &'v Value<'_>, field: &'static str) -> Result<&'v str, CheckpointError> {
    value.as_str().ok_or(CheckpointError::Field {
        field,
        expected: "a string",
    })
}

fn optional_id<T: std::str::FromStr<Err = IdError>>(
    value: &Value<'_>,
    field: &'static str,
) -> Result<Option<T>, CheckpointError> {
    if *value == Value::Null {
        return Ok(None);
    }
    string(value, field)?
        .parse()
        .map(Some)
        .map_err(|error| CheckpointError::Id { field, error })
}
