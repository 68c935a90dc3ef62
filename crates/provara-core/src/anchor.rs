//! Anchors: tree heads of a vault as others saw them, kept with the vault (spec/VAULT_FORMAT, section 10).
//!
//! Whoever holds the keys and the files can write another history. What they cannot write is what somebody else signed:
//! that a head existed at a time. An anchor is one of three things: a head that witnesses cosigned, a time-stamp token
//! over a head (whose form and trust are no matter of this crate), or an event of another vault that names a head.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::cosignature::{Cosigned, Witness, WitnessKeyError, may_be_cosignature};
use crate::event_proof::{AnyProof, Document, EventProof, ProofError};
use crate::id::{Digest, KeyId};
use crate::json::{self, Value};
use crate::layout::{AnchorKind, anchor_path};
use crate::scan::{Field, scan_line};
use crate::time::Timestamp;
use crate::tree_head::{HeadError, SignedHead};
use crate::{canonical, tree};

/// The type that an anchor with a time-stamp token states.
const TIME_STAMP: &str = "provara_timestamp_v1";

/// The type that an anchor with an event of another vault states.
const EVENT: &str = "provara_witness_event_v1";

/// The largest anchor, in bytes: an event of another vault, with those that speak of its keys.
pub const MAX_ANCHOR: usize = 4 << 20;

/// A tree head as somebody else saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// With the signatures of witnesses on it.
    Head(SignedHead),
    /// A time-stamp token (RFC 3161, a `TimeStampToken` in DER or BER) over the bytes of the head as they stand here.
    TimeStamp {
        /// The head.
        head: SignedHead,
        /// The token.
        token: Vec<u8>,
    },
    /// An event of another vault whose payload has the text of the head as a string.
    Event {
        /// The head.
        head: SignedHead,
        /// The proof of the event.
        proof: Box<EventProof>,
    },
}

/// Why bytes are no anchor, or why one proves nothing; a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// Longer than [`MAX_ANCHOR`].
    #[error("it is longer than {MAX_ANCHOR} bytes")]
    TooLong,
    /// A head that is none.
    #[error("its tree head is none: {0}")]
    Head(#[from] HeadError),
    /// Not the document that it should be.
    #[error("it is no anchor: {0}")]
    Malformed(String),
    /// The proof of the other vault's event proves nothing.
    #[error("the event of the other vault is not proven: {0}")]
    Proof(#[from] ProofError),
    /// No event that is shown names the head.
    #[error(
        "no event that it shows has the text of a tree head of the vault '{uid}' in its payload"
    )]
    NamesNone {
        /// The uid.
        uid: String,
    },
    /// A signature that is not that of the witness whose name and key hash it has.
    #[error(
        "its signature of the witness '{witness}' does not verify: the tree head was changed after it was signed, or never was"
    )]
    Cosignature {
        /// The name of the witness.
        witness: String,
    },
    /// Nobody but the vault itself signed it.
    #[error("nobody but the vault itself signed the tree head: it has no cosignature of a witness")]
    Alone,
}

/// Whom a reader takes at their word: a witness, or another vault by the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessKey {
    /// Whoever cosigns tree heads.
    Cosigner(Box<Witness>),
    /// A vault, whose events name tree heads.
    Vault(KeyId),
}

impl FromStr for WitnessKey {
    type Err = WitnessKeyError;

    fn from_str(text: &str) -> Result<Self, WitnessKeyError> {
        match text.parse() {
            Ok(key) => Ok(Self::Vault(key)),
            Err(_) => Ok(Self::Cosigner(Box::new(text.parse()?))),
        }
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cosigner(witness) => witness.fmt(f),
            Self::Vault(key) => key.fmt(f),
        }
    }
}

impl WitnessKey {
    /// The key behind it: who has one key is one witness, under whatever names.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        match self {
            Self::Cosigner(witness) => witness.key().key_id(),
            Self::Vault(key) => *key,
        }
    }

    /// The first of `keys` whose key is that of one before it.
    #[must_use]
    pub fn named_twice(keys: &[Self]) -> Option<&Self> {
        let mut seen = std::collections::BTreeSet::new();
        keys.iter().find(|it| !seen.insert(it.key_id()))
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cosigner(witness) => witness.name().to_owned(),
            Self::Vault(key) => key.to_string(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeStampDocument {
    head: String,
    token: String,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventDocument {
    head: String,
    proof: Document,
    r#type: String,
}

impl Anchor {
    /// Reads an anchor in its one form, as it stands in a vault.
    ///
    /// # Errors
    /// [`AnchorError::TooLong`], [`AnchorError::Head`], [`AnchorError::Malformed`] or [`AnchorError::Proof`].
    pub fn parse(text: &[u8]) -> Result<Self, AnchorError> {
        if text.len() > MAX_ANCHOR {
            return Err(AnchorError::TooLong);
        }
        if !text.starts_with(b"{") {
            return Ok(Self::Head(SignedHead::parse(text)?));
        }
        let malformed = |reason: &dyn ToString| AnchorError::Malformed(reason.to_string());
        // Strictly first: a member twice would be two anchors in one.
        let value = json::parse(text).map_err(|error| malformed(&error))?;
        let anchor = match value.get("type").and_then(Value::as_str) {
            Some(TIME_STAMP) => {
                let document: TimeStampDocument =
                    serde_json::from_slice(text).map_err(|error| malformed(&error))?;
                let token = STANDARD.decode(&document.token);
                Self::TimeStamp {
                    head: SignedHead::parse(document.head.as_bytes())?,
                    token: token.map_err(|_| malformed(&"its member 'token' is no Base64"))?,
                }
            }
            Some(EVENT) => {
                let document: EventDocument =
                    serde_json::from_slice(text).map_err(|error| malformed(&error))?;
                Self::Event {
                    head: SignedHead::parse(document.head.as_bytes())?,
                    proof: Box::new(EventProof::of(document.proof)?),
                }
            }
            _ => {
                return Err(malformed(&format!(
                    "its member 'type' is neither {TIME_STAMP} nor {EVENT}"
                )));
            }
        };
        match anchor.to_bytes() == text {
            true => Ok(anchor),
            false => Err(malformed(
                &"it is not in the canonical form of JSON (RFC 8785), with a line end",
            )),
        }
    }

    /// The anchor that an event of another vault is, which names a head of the vault `uid`.
    ///
    /// # Errors
    /// [`AnchorError::NamesNone`], or [`AnchorError::Proof`].
    pub fn of_event(proof: EventProof, uid: &str) -> Result<Self, AnchorError> {
        proof.check()?;
        let mut found = None;
        for event in &proof.events {
            each_text(&event.line, &mut |text| {
                let head = SignedHead::parse(text.as_bytes()).ok();
                let head = head.filter(|it| it.head().origin.uid == uid);
                // The largest of several: it says most.
                let size = |it: &SignedHead| it.head().size;
                if let Some(head) = head
                    && found.as_ref().is_none_or(|it| size(it) < size(&head))
                {
                    found = Some(head);
                }
            });
        }
        let head = found.ok_or_else(|| AnchorError::NamesNone {
            uid: uid.to_owned(),
        })?;
        let proof = Box::new(proof);
        Ok(Self::Event { head, proof })
    }

    /// The file, in its one form.
    ///
    /// # Panics
    /// Never: texts have a canonical form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = |mut text: Vec<u8>| {
            text.push(b'\n');
            text
        };
        match self {
            Self::Head(head) => head.to_string().into_bytes(),
            Self::TimeStamp { head, token } => {
                let stated = TimeStampDocument {
                    head: head.to_string(),
                    token: STANDARD.encode(token),
                    r#type: TIME_STAMP.to_owned(),
                };
                document(canonical::jcs_of(&stated).expect("texts"))
            }
            Self::Event { head, proof } => {
                let stated = EventDocument {
                    head: head.to_string(),
                    proof: proof.document(),
                    r#type: EVENT.to_owned(),
                };
                document(canonical::jcs_of(&stated).expect("texts and small numbers"))
            }
        }
    }

    /// The head that was seen.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        match self {
            Self::Head(head) | Self::TimeStamp { head, .. } | Self::Event { head, .. } => head,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> AnchorKind {
        match self {
            Self::Head(_) => AnchorKind::Head,
            Self::TimeStamp { .. } => AnchorKind::TimeStamp,
            Self::Event { .. } => AnchorKind::Event,
        }
    }

    /// Where it stands in a vault.
    #[must_use]
    pub fn path(&self) -> String {
        let content = Digest::of(&self.to_bytes());
        anchor_path(self.head().head().size, content, self.kind())
    }

    /// Checks what can be checked without trust in anybody: that somebody else may have signed the head; of an event of
    /// another vault, that it is in that one and names the head.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), AnchorError> {
        match self {
            Self::Head(_) if self.claims().is_empty() => Err(AnchorError::Alone),
            Self::Head(_) | Self::TimeStamp { .. } => Ok(()),
            Self::Event { head, proof } => named_at(proof, head, None).map(drop),
        }
    }

    /// By whom it was seen, as it says and nobody has shown yet: names of witnesses, or the uid of the other vault. Of a
    /// token, none.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        match self {
            Self::Head(head) => {
                let origin = head.head().origin.to_string();
                let signatures = head.note().signatures().iter();
                let others = signatures.filter(|it| it.name != origin && may_be_cosignature(it));
                others.map(|it| it.name.clone()).collect()
            }
            Self::TimeStamp { .. } => Vec::new(),
            Self::Event { proof, .. } => vec![proof.head.head().origin.uid.clone()],
        }
    }

    /// When the witness saw the head, as the witness says; `None` where this is not by that one.
    ///
    /// # Errors
    /// [`AnchorError::Cosignature`] or [`AnchorError::Proof`]: something states that it is by the witness, and is not.
    pub fn seen_by(&self, witness: &WitnessKey) -> Result<Option<Timestamp>, AnchorError> {
        match (self, witness) {
            (Self::Head(head), WitnessKey::Cosigner(witness)) => {
                match witness.cosigned(head.note()) {
                    Cosigned::Not => Ok(None),
                    Cosigned::At(time) => Ok(Some(time)),
                    Cosigned::Wrongly => Err(AnchorError::Cosignature {
                        witness: witness.name().to_owned(),
                    }),
                }
            }
            (Self::Event { head, proof }, WitnessKey::Vault(key)) => {
                match named_at(proof, head, Some(*key)) {
                    // Of whomever else's vault it is.
                    Err(AnchorError::Proof(ProofError::OtherRootKey { .. })) => Ok(None),
                    named => named.map(Some),
                }
            }
            _ => Ok(None),
        }
    }
}

/// When the first of the events of a proof that name `head` was written, as it says. The proof is of a vault that
/// `root_key` made, where one is given.
fn named_at(
    proof: &EventProof,
    head: &SignedHead,
    root_key: Option<KeyId>,
) -> Result<Timestamp, AnchorError> {
    let any = AnyProof::Events(proof.clone());
    let proven = any.check(None, root_key.as_slice())?;
    let stated = head.to_string();
    let shown = proof.events.iter().zip(&proven.events);
    for (event, proven) in shown.filter(|(_, proven)| !proven.withheld) {
        let mut names = false;
        each_text(&event.line, &mut |text| names |= text == stated);
        if names && let Ok(time) = proven.timestamp_utc.parse() {
            return Ok(time);
        }
    }
    Err(AnchorError::NamesNone {
        uid: head.head().origin.uid.clone(),
    })
}

/// Gives each string in the payload of an event.
fn each_text(line: &[u8], given: &mut impl FnMut(&str)) {
    let Ok(line) = scan_line(line) else {
        return;
    };
    // What a tombstone says nobody signed.
    if tree::tombstone(&line).is_some() {
        return;
    }
    let payload = line.raw(Field::Payload);
    let Some(payload) = payload.and_then(|it| json::parse(it).ok()) else {
        return;
    };
    let mut rest = vec![&payload];
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => given(text),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.iter().map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// When a witness saw a head, and over how many events that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The events.
    pub events: u64,
    /// When, as the witness says.
    pub at: Timestamp,
    /// Which of the witnesses, by its place among them.
    pub witness: usize,
}

/// What several witnesses together saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// So many events were there…
    pub events: u64,
    /// …at this time, as that many of the witnesses say.
    pub at: Timestamp,
    /// Who has seen so many events or more, by their places among the witnesses, ascending.
    pub by: Vec<usize>,
}

/// The largest number of events that `needed` witnesses or more saw, and when that many had; `None` where fewer did
/// so. All sightings are of one history.
#[must_use]
pub fn witnessed(sightings: &[Sighting], needed: usize) -> Option<Witnessed> {
    let mut largest = std::collections::BTreeMap::<usize, u64>::new();
    for seen in sightings {
        let of_witness = largest.entry(seen.witness).or_default();
        *of_witness = seen.events.max(*of_witness);
    }
    let mut sizes: Vec<u64> = largest.values().copied().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let events = *sizes.get(needed.max(1) - 1)?;
    let by: Vec<usize> = largest
        .into_iter()
        .filter(|(_, size)| *size >= events)
        .map(|it| it.0)
        .collect();
    // A witness that saw more has seen these, too.
    let first = |witness: usize| {
        let seen = sightings
            .iter()
            .filter(|it| it.witness == witness && it.events >= events);
        seen.map(|it| it.at).min().expect("it saw as many")
    };
    let mut times: Vec<Timestamp> = by.iter().map(|witness| first(*witness)).collect();
    times.sort_unstable();
    let at = times[needed.max(1) - 1];
    Some(Witnessed { events, at, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_unix_micros(hour * 3_600_000_000).unwrap()
    }

    fn seen(events: u64, hour: i64, witness: usize) -> Sighting {
        let at = at(hour);
        Sighting {
            events,
            at,
            witness,
        }
    }

    #[test]
    fn what_several_witnesses_saw() {
        let all = [
            seen(5, 1, 0),
            seen(9, 3, 0),
            seen(5, 2, 1),
            seen(7, 8, 1),
            seen(6, 4, 2),
        ];
        // The second saw seven, which the first had seen within nine.
        let two = witnessed(&all, 2).unwrap();
        assert_eq!((two.events, two.at, &two.by[..]), (7, at(8), &[0, 1][..]));
        let one = witnessed(&all, 1).unwrap();
        assert_eq!((one.events, one.at, &one.by[..]), (9, at(3), &[0][..]));
        let three = witnessed(&all, 3).unwrap();
        assert_eq!(
            (three.events, three.at, &three.by[..]),
            (6, at(8), &[0, 1, 2][..])
        );
        assert_eq!(witnessed(&all, 4), None);
        assert_eq!(witnessed(&[], 1), None);
        // Nobody at all is never enough.
        assert_eq!(witnessed(&[], 0), None);
        // What one witness says twice is said by one.
        assert_eq!(witnessed(&[seen(5, 1, 0), seen(6, 2, 0)], 2), None);
    }

    #[test]
    fn a_witness_is_named_by_a_key_of_either_kind() {
        let root = "bp1_0123456789abcdef";
        let key: WitnessKey = root.parse().unwrap();
        assert_eq!(key, WitnessKey::Vault(root.parse().unwrap()));
        assert_eq!(key.to_string(), root);
        let cosigner = crate::cosignature::Cosigner::new("example.org/w", &[1; 32]).unwrap();
        let text = cosigner.witness().to_string();
        let key: WitnessKey = text.parse().unwrap();
        assert_eq!(
            (key.to_string(), key.name()),
            (text, "example.org/w".to_owned())
        );
        assert_eq!("w".parse::<WitnessKey>(), Err(WitnessKeyError::Form));
    }
}
