//! Events shown to somebody who has not the vault, with what proves that they are in it (spec/VAULT_FORMAT,
//! section 10).
//!
//! A proof holds the lines of the events, a tree head, the digests that lead from the lines to its root, and the
//! events that bring the keys which signed. It proves that the events are in the vault, each at its place, as it was
//! when the head was signed. It does not prove that nothing else is there, but between two of them whose places
//! follow each other.

mod error;
mod trust;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::history::{KeyEvent, KeyHistory, is_redactable};
use crate::id::{Digest, EventId, KeyId};
use crate::json::{self, Value};
use crate::keys::{PublicKey, Signature};
use crate::scan::{Field, Line, scan_line};
use crate::signed_note::Signed;
use crate::tree::proof::{inclusion_of_subset, is_consistent, root_of_subset};
use crate::tree::{self, leaf};
use crate::tree_head::{SignedHead, TreeHead};

pub use error::ProofError;
use trust::Trust;

/// The type that a proof of events states.
const EVENTS: &str = "provara_proof_v1";

/// The last place that a proof can name.
const MOST_AT: u64 = (1 << 53) - 1;

/// What a proof as other tools read it begins with.
const TLOG_PROOF: &str = "c2sp.org/tlog-proof@v1";

/// The type that a proof of consistency states.
const CONSISTENCY: &str = "provara_consistency_v1";

/// An event in a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownEvent {
    /// Its place among the events of the log, from 0.
    pub at: u64,
    /// Its line, without line end.
    pub line: Vec<u8>,
}

/// A proof of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    /// The head that it is for.
    pub head: SignedHead,
    /// The events that are shown and those that speak of keys, ascending, the `GENESIS` event first.
    pub events: Vec<ShownEvent>,
    /// The public keys that signed the head and the events.
    pub keys: Vec<PublicKey>,
    /// What leads from the events to the root ([`subset`](crate::tree::proof::subset)).
    pub digests: Vec<Digest>,
}

/// An event whose place in the vault is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvenEvent {
    /// Its line in the log, from 1.
    pub line: u64,
    /// Its id.
    pub event_id: EventId,
    /// Its type.
    pub event_type: String,
    /// Who said it.
    pub actor: String,
    /// When, as it says.
    pub timestamp_utc: String,
    /// The key that signed it.
    pub key_id: KeyId,
    /// Whether a tombstone stands in the place of its payload: the tree vouches for all else of the event and for the
    /// hash of the payload, and nothing for what the tombstone says of a redaction.
    pub withheld: bool,
    /// Whether it speaks of keys; such an event is in every proof.
    pub brings_keys: bool,
}

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The key that signed the head.
    pub signer: KeyId,
    /// The key that made the vault, if signed events lead from it to `signer`.
    pub root_key: Option<KeyId>,
    /// The events.
    pub events: Vec<ProvenEvent>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    r#type: String,
    head: String,
    events: Vec<DocumentEvent>,
    keys: Vec<String>,
    proof: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentEvent {
    at: u64,
    line: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyDocument {
    r#type: String,
    old: String,
    new: Document,
    proof: Vec<String>,
}

/// A proof of either kind, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyProof {
    /// That events are in a vault.
    Events(EventProof),
    /// That a head goes on from another.
    Consistency(ConsistencyProof),
}

impl AnyProof {
    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Self::Events(proof) => proof.to_json(),
            Self::Consistency(proof) => proof.to_json(),
        }
    }

    /// The head that it is for; of a proof of consistency the newer one.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        match self {
            Self::Events(proof) => &proof.head,
            Self::Consistency(proof) => &proof.new.head,
        }
    }

    /// The head from which the other one goes on.
    #[must_use]
    pub fn older(&self) -> Option<&SignedHead> {
        match self {
            Self::Events(_) => None,
            Self::Consistency(proof) => Some(&proof.old),
        }
    }

    /// Checks all of it, and that it is for `head` (of a proof of consistency: that the older one is that), and of a
    /// vault that one of `root_keys` made. Held to neither, it may be of a vault that somebody made for the occasion.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        head: Option<&SignedHead>,
        root_keys: &[KeyId],
    ) -> Result<Proven, ProofError> {
        let own = self.older().unwrap_or(self.head());
        if let Some(head) = head.filter(|head| head.head() != own.head()) {
            return Err(ProofError::OtherHead {
                expected: in_words(head.head()),
                found: in_words(own.head()),
            });
        }
        // Whose signature counts is that on the head which somebody kept: the proof's own copy is its maker's.
        let kept = head.unwrap_or(own);
        let proven = match self {
            Self::Events(proof) => proof.check_for(kept),
            Self::Consistency(proof) => proof.check_for(kept),
        }?;
        let is_one = proven.root_key.is_some_and(|key| root_keys.contains(&key));
        if root_keys.is_empty() || is_one {
            return Ok(proven);
        }
        let named: Vec<_> = root_keys.iter().map(ToString::to_string).collect();
        let found = proven.root_key.map(|key| key.to_string());
        Err(ProofError::OtherRootKey {
            expected: named.join(" or "),
            found: found.unwrap_or_else(|| "a key from which no signed events lead on".to_owned()),
        })
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] or [`ProofError::Head`].
    pub fn parse(text: &[u8]) -> Result<Self, ProofError> {
        let malformed = |reason: &dyn ToString| ProofError::Malformed(reason.to_string());
        if text.starts_with(TLOG_PROOF.as_bytes()) {
            return Err(malformed(
                &"it is a C2SP tlog-proof, which lacks the events that speak of keys; without them nobody can tell \
                  whether the keys counted",
            ));
        }
        // Strictly first: a member twice would be two proofs in one.
        let value = json::parse(text).map_err(|error| malformed(&error))?;
        let proof = match value.get("type").and_then(Value::as_str) {
            Some(EVENTS) => {
                let document = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
                Self::Events(EventProof::of(document)?)
            }
            Some(CONSISTENCY) => {
                let document = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
                Self::Consistency(ConsistencyProof::of(document)?)
            }
            _ => {
                return Err(ProofError::Malformed(format!(
                    "its member 'type' is neither {EVENTS} nor {CONSISTENCY}"
                )));
            }
        };
        // One proof has one text, so that whatever is changed in it shows.
        match proof.to_json() == text {
            true => Ok(proof),
            false => Err(ProofError::Malformed(
                "it is not in the canonical form of JSON (RFC 8785), with a line end".to_owned(),
            )),
        }
    }
}

fn in_words(head: &TreeHead) -> String {
    format!(
        "'{}' over {} events with the root {}",
        head.origin, head.size, head.root
    )
}

fn digests(texts: &[String]) -> Result<Vec<Digest>, ProofError> {
    let digest = |text: &String| STANDARD.decode(text).ok()?.try_into().ok().map(Digest);
    let all: Option<_> = texts.iter().map(digest).collect();
    all.ok_or_else(|| {
        ProofError::Malformed("'proof' is no list of the Base64 of 32 bytes".to_owned())
    })
}

fn texts(digests: &[Digest]) -> Vec<String> {
    digests
        .iter()
        .map(|digest| STANDARD.encode(digest.0))
        .collect()
}

impl EventProof {
    pub(crate) fn of(document: Document) -> Result<Self, ProofError> {
        let keys = document.keys.iter().map(|key| PublicKey::from_base64(key));
        let keys = keys
            .collect::<Result<_, _>>()
            .map_err(|error| ProofError::Malformed(format!("one of its keys is {error}")))?;
        // The canonical form has no larger numbers.
        if document.events.iter().any(|event| event.at > MOST_AT) {
            return Err(ProofError::Malformed("a place is beyond 2^53".to_owned()));
        }
        let events = document.events.into_iter().map(|event| ShownEvent {
            at: event.at,
            line: event.line.into_bytes(),
        });
        Ok(Self {
            head: SignedHead::parse(document.head.as_bytes())?,
            events: events.collect(),
            keys,
            digests: digests(&document.proof)?,
        })
    }

    /// The document: canonical JSON in one line.
    ///
    /// # Panics
    /// If an event is no UTF-8; events are canonical JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.document())
    }

    pub(crate) fn document(&self) -> Document {
        let events = self.events.iter().map(|event| DocumentEvent {
            at: event.at,
            line: String::from_utf8(event.line.clone()).expect("canonical JSON"),
        });
        Document {
            r#type: EVENTS.to_owned(),
            head: self.head.to_string(),
            events: events.collect(),
            keys: self.keys.iter().map(PublicKey::to_base64).collect(),
            proof: texts(&self.digests),
        }
    }

    /// Checks all of it: the head's signature, that the events are in its tree, each event's id and signature, and
    /// that signed events lead to the keys.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<Proven, ProofError> {
        self.check_for(&self.head)
    }

    /// As [`EventProof::check`], where `kept` is the same head with the signatures that count.
    fn check_for(&self, kept: &SignedHead) -> Result<Proven, ProofError> {
        let lines: Vec<_> = self.events.iter().map(read).collect::<Result<_, _>>()?;
        let leaves: Vec<_> = lines.iter().map(|(at, line)| (*at, leaf(line))).collect();
        let head = kept.head();
        let root = root_of_subset(&leaves, head.size, &self.digests);
        if root != Some(head.root) {
            return Err(ProofError::OtherRoot {
                expected: head.root,
                found: root.map_or_else(|| "leads to none".to_owned(), |it| it.to_string()),
            });
        }
        let keys = self.keys_by_id()?;
        // What the proof says of it has to be right, too.
        signer(&self.head, &self.keys)?;
        let signer = signer(kept, &self.keys)?;
        let mut events = Vec::new();
        for (at, line) in &lines {
            events.push(event(*at, line, &keys)?);
        }
        let root_key = self.root_key(&lines, &events, signer)?;
        Ok(Proven {
            signer,
            root_key,
            events,
        })
    }

    /// The proof of its event at a place alone, as other tools read it (C2SP tlog-proof); `None` where it is not among its
    /// events, or they are not in its tree. The extra data is the event's line: the entry is that line with the hash of its
    /// payload, in quotes, in the place of the payload. The key history is not in it.
    #[must_use]
    pub fn to_tlog_proof(&self, at: u64) -> Option<String> {
        let lines = self.events.iter().map(|event| read(event).ok());
        let lines: Vec<_> = lines.collect::<Option<_>>()?;
        let leaves: Vec<_> = lines.iter().map(|(at, line)| (*at, leaf(line))).collect();
        let size = self.head.head().size;
        let siblings = inclusion_of_subset(&leaves, size, &self.digests, at)?;
        let event = self.events.iter().find(|event| event.at == at)?;
        let line = STANDARD.encode(&event.line);
        let siblings: String = siblings.iter().map(|it| it.to_base64() + "\n").collect();
        Some(format!(
            "{TLOG_PROOF}\nextra {line}\nindex {at}\n{siblings}\n{}",
            self.head
        ))
    }

    /// The keys that its events bring; `None` where they mark no vault.
    fn history(&self) -> Option<KeyHistory> {
        let lines = self.events.iter().filter_map(|event| read(event).ok());
        let events: Vec<_> = lines
            .filter_map(|(at, line)| KeyEvent::read(&line, at + 1))
            .collect();
        KeyHistory::build(&events)
    }

    /// The keys, each of which is there once.
    fn keys_by_id(&self) -> Result<BTreeMap<KeyId, &PublicKey>, ProofError> {
        let keys: BTreeMap<_, _> = self.keys.iter().map(|key| (key.key_id(), key)).collect();
        match keys.len() == self.keys.len() {
            true => Ok(keys),
            false => Err(ProofError::Malformed(
                "two of its keys have one id".to_owned(),
            )),
        }
    }

    /// The key that made the vault, if signed events lead from it to whoever signed the head; in a marked vault they
    /// must, and to whoever signed the events.
    fn root_key(
        &self,
        lines: &[(u64, Line<'_>)],
        events: &[ProvenEvent],
        signer: KeyId,
    ) -> Result<Option<KeyId>, ProofError> {
        let Some((0, genesis)) = lines.first() else {
            return Err(ProofError::Malformed(
                "it lacks the first event of the log, which founds the vault".to_owned(),
            ));
        };
        let payload = genesis
            .raw(Field::Payload)
            .and_then(|it| json::parse(it).ok());
        let stated = |name: &str| payload.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let uid = self.head.head().origin.uid.as_str();
        if stated("uid").as_deref() != Some(uid) {
            return Err(ProofError::Forged {
                at: 0,
                reason: format!("it states another uid than the tree head, '{uid}'"),
            });
        }
        let root = stated("root_key_id").and_then(|it| it.parse::<KeyId>().ok());
        // Anybody can write an event that names the key of somebody else.
        let root = root.filter(|key| *key == events[0].key_id);
        let trust = Trust::of(lines, self.history());
        for event in events.iter().filter(|event| !event.withheld) {
            // The event that adopts a vault introduces the keys of all events.
            let counts = |after| trust.counts(&event.key_id, after, event.line);
            if !counts(event.line - 1) && !counts(event.line) {
                return Err(ProofError::Key {
                    key: event.key_id,
                    what: format!("the event in line {}", event.line),
                });
            }
        }
        let size = self.head.head().size;
        match (trust.counts(&signer, size, size), &trust.history) {
            (false, _) => Err(ProofError::Key {
                key: signer,
                what: "the tree head".to_owned(),
            }),
            (true, Some(history)) => Ok(root.filter(|_| history.unvouched().is_none())),
            (true, None) => Ok(root.filter(|key| *key == signer)),
        }
    }
}

/// The key of these that signed a head.
fn signer(head: &SignedHead, keys: &[PublicKey]) -> Result<KeyId, ProofError> {
    let name = head.head().origin.to_string();
    for key in keys {
        match head.note().signed_by(&name, key) {
            Signed::Rightly => return Ok(key.key_id()),
            Signed::Wrongly => break,
            Signed::Not => {}
        }
    }
    Err(ProofError::Unsigned)
}

/// An event by itself: its id is that of its content, and its key signed it.
fn event(
    at: u64,
    line: &Line<'_>,
    keys: &BTreeMap<KeyId, &PublicKey>,
) -> Result<ProvenEvent, ProofError> {
    let forged = |reason: &str| ProofError::Forged {
        at,
        reason: reason.to_owned(),
    };
    let text = |field| line.text(field).map(std::borrow::Cow::into_owned);
    let key_id = text(Field::ActorKeyId).and_then(|it| it.parse::<KeyId>().ok());
    let event_id = text(Field::EventId).and_then(|it| it.parse().ok());
    let (Some(key_id), Some(event_id)) = (key_id, event_id) else {
        return Err(forged("it has no id, or names no key"));
    };
    let of_content = tree::id_is_of_content(line);
    let withheld = !of_content && tree::tombstone(line).is_some();
    if !of_content && !withheld {
        return Err(forged("its id is not that of its content"));
    }
    // What the rules read is in every proof whole: a revocation whose payload is withheld would revoke nothing.
    if withheld && !is_redactable(&line.text(Field::Type).unwrap_or_default()) {
        return Err(forged(
            "its payload is withheld, which the rules of the format read",
        ));
    }
    if !withheld {
        let key = keys
            .get(&key_id)
            .ok_or_else(|| forged(&format!("the proof lacks key {key_id}, which it names")))?;
        let signature = text(Field::Sig).and_then(|it| Signature::from_base64(it.as_bytes()));
        let mut signed = Vec::new();
        line.signed_bytes(&mut signed);
        if signature.is_none_or(|it| key.verify(&signed, &it).is_err()) {
            return Err(forged(&format!(
                "its signature is not that of key {key_id}"
            )));
        }
    }
    Ok(ProvenEvent {
        line: at + 1,
        event_id,
        event_type: text(Field::Type).unwrap_or_default(),
        actor: text(Field::Actor).unwrap_or_default(),
        timestamp_utc: text(Field::TimestampUtc).unwrap_or_default(),
        key_id,
        withheld,
        brings_keys: KeyEvent::read(line, at + 1).is_some(),
    })
}

fn read(event: &ShownEvent) -> Result<(u64, Line<'_>), ProofError> {
    let line = scan_line(&event.line).map_err(|_| ProofError::Line { at: event.at })?;
    Ok((event.at, line))
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    let mut text = canonical::jcs_of(document).expect("texts and small numbers");
    text.push(b'\n');
    text
}

/// A proof that a head goes on from an older one of the same vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The older head.
    pub old: SignedHead,
    /// The newer head, with the events that bring the keys which signed the two.
    pub new: EventProof,
    /// RFC 9162, section 2.1.4.
    pub digests: Vec<Digest>,
}

impl ConsistencyProof {
    fn of(document: ConsistencyDocument) -> Result<Self, ProofError> {
        Ok(Self {
            old: SignedHead::parse(document.old.as_bytes())?,
            new: EventProof::of(document.new)?,
            digests: digests(&document.proof)?,
        })
    }

    /// The document: canonical JSON in one line.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&ConsistencyDocument {
            r#type: CONSISTENCY.to_owned(),
            old: self.old.to_string(),
            new: self.new.document(),
            proof: texts(&self.digests),
        })
    }

    /// Checks that keys of the vault signed both heads, and that the newer tree begins with the older one.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<Proven, ProofError> {
        self.check_for(&self.old)
    }

    /// As [`ConsistencyProof::check`], where `kept` is the older head with the signatures that count.
    fn check_for(&self, kept: &SignedHead) -> Result<Proven, ProofError> {
        let (old, new) = (kept.head(), self.new.head.head());
        if old.origin.uid != new.origin.uid {
            let (old, new) = (old.origin.to_string(), new.origin.to_string());
            return Err(ProofError::OtherVault(old, new));
        }
        if old.size == 0 {
            return Err(ProofError::Malformed(
                "its older tree head is over no events, and says nothing".to_owned(),
            ));
        }
        let proven = self.new.check()?;
        signer(&self.old, &self.new.keys)?;
        let signer = signer(kept, &self.new.keys)?;
        let lines: Vec<_> = self.new.events.iter().map(read).collect::<Result<_, _>>()?;
        let trust = Trust::of(&lines, self.new.history());
        if !trust.counts(&signer, old.size, old.size) {
            return Err(ProofError::Key {
                key: signer,
                what: "the older tree head".to_owned(),
            });
        }
        // Whoever has a key that was revoked meanwhile would leave the revocation out. A key that came after the older
        // head is brought by one that counts.
        let came_later = |history: &KeyHistory| {
            let came = history.introduced_at(&proven.signer);
            came.is_some_and(|at| at > old.size)
        };
        if proven.signer != signer && !trust.history.as_ref().is_some_and(came_later) {
            return Err(ProofError::OtherSigner {
                old: signer,
                new: proven.signer,
            });
        }
        match is_consistent((old.size, old.root), (new.size, new.root), &self.digests) {
            true => Ok(proven),
            false => Err(ProofError::Inconsistent),
        }
    }
}
