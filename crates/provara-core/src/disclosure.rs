//! Chosen events of a vault, for somebody who has only them: a proof, what others saw of its tree head, and what was asked
//! of the log (spec/VAULT_FORMAT, section 10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::anchor::{Anchor, AnchorError};
use crate::canonical;
use crate::event_proof::{AnyProof, Document, EventProof, ProofError, Proven};
use crate::id::KeyId;
use crate::json::{self, Value};
use crate::tree_head::SignedHead;

/// The type that a disclosure states.
const TYPE: &str = "provara_disclosure_v1";

/// The longest text of what was asked, in bytes.
pub const MAX_ASKED: usize = 1 << 16;

/// Events, and what they are to be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// The tree head of the proof as others saw it, in the order of their files. What a head over fewer events says is
    /// nothing about this one, so all are for the very same tree.
    pub anchors: Vec<Anchor>,
    /// What was asked of the log, in the words of whoever chose the events; nothing proves it.
    pub asked: String,
    /// The events, each with what proves it.
    pub proof: EventProof,
}

/// Why bytes are no disclosure, or why one proves nothing; a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// Not the document that it should be.
    #[error("it is no disclosure: {0}")]
    Malformed(String),
    /// The proof in it.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// An anchor that is none, or is not what its name says.
    #[error("its anchor '{name}' proves nothing: {reason}")]
    Anchor {
        /// The file that it was in the vault.
        name: String,
        /// What is wrong.
        reason: AnchorError,
    },
    /// An anchor of something else.
    #[error("its anchor '{0}' is of another tree head than its events are in")]
    OtherHead(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DisclosureDocument {
    anchors: Vec<AnchorDocument>,
    asked: String,
    proof: Document,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorDocument {
    content: String,
    name: String,
}

/// Whether two heads are of one vault and one tree, whoever publishes them.
#[must_use]
pub fn is_same_tree(one: &SignedHead, other: &SignedHead) -> bool {
    let (one, other) = (one.head(), other.head());
    one.origin.uid == other.origin.uid && one.size == other.size && one.root == other.root
}

impl Disclosure {
    /// A disclosure of what `proof` shows, with those of `anchors` that are for its tree head.
    #[must_use]
    pub fn new(proof: EventProof, asked: String, anchors: Vec<Anchor>) -> Self {
        let is_for_it = |it: &Anchor| is_same_tree(it.head(), &proof.head) && it.check().is_ok();
        let mut anchors: Vec<_> = anchors.into_iter().filter(is_for_it).collect();
        anchors.sort_by_key(Anchor::path);
        anchors.dedup_by_key(|it| it.path());
        Self {
            anchors,
            asked,
            proof,
        }
    }

    /// Whether a text says that it is a disclosure.
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        json::parse(text).is_ok_and(|it| it.get("type").and_then(Value::as_str) == Some(TYPE))
    }

    /// The document: canonical JSON in one line.
    ///
    /// # Panics
    /// If an event is no UTF-8; events are canonical JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let anchors = self.anchors.iter().map(|anchor| AnchorDocument {
            content: STANDARD.encode(anchor.to_bytes()),
            name: anchor.path(),
        });
        let document = DisclosureDocument {
            anchors: anchors.collect(),
            asked: self.asked.clone(),
            proof: self.proof.document(),
            r#type: TYPE.to_owned(),
        };
        let mut text = canonical::jcs_of(&document).expect("texts and small numbers");
        text.push(b'\n');
        text
    }

    /// Reads a disclosure in its one form.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub fn parse(text: &[u8]) -> Result<Self, DisclosureError> {
        let malformed = |reason: &dyn ToString| DisclosureError::Malformed(reason.to_string());
        // Strictly first: a member twice would be two disclosures in one.
        let value = json::parse(text).map_err(|error| malformed(&error))?;
        if value.get("type").and_then(Value::as_str) != Some(TYPE) {
            return Err(malformed(&format!("its member 'type' is not {TYPE}")));
        }
        let document: DisclosureDocument =
            serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        if document.asked.len() > MAX_ASKED {
            return Err(malformed(&"its member 'asked' is too long"));
        }
        let mut anchors = Vec::new();
        for AnchorDocument { content, name } in document.anchors {
            let content = STANDARD.decode(content);
            let content = content.map_err(|_| malformed(&"an anchor of it is no Base64"))?;
            let anchor = Anchor::parse(&content).map_err(|reason| DisclosureError::Anchor {
                name: name.clone(),
                reason,
            })?;
            if anchor.path() != name {
                return Err(malformed(&format!(
                    "the name of its anchor '{name}' is not that of what it holds"
                )));
            }
            anchors.push(anchor);
        }
        let ascend = anchors.is_sorted_by(|one, next| one.path() < next.path());
        if !ascend {
            return Err(malformed(
                &"its anchors are not in the order of their names",
            ));
        }
        let disclosure = Self {
            anchors,
            asked: document.asked,
            proof: EventProof::of(document.proof)?,
        };
        match disclosure.to_json() == text {
            true => Ok(disclosure),
            false => Err(malformed(
                &"it is not in the canonical form of JSON (RFC 8785), with a line end",
            )),
        }
    }

    /// Checks all of it as [`AnyProof::check`] does, and that the anchors are for the tree head. Who made an anchor is not
    /// asked ([`Anchor::seen_by`]).
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        head: Option<&SignedHead>,
        root_keys: &[KeyId],
    ) -> Result<Proven, DisclosureError> {
        let proven = AnyProof::Events(self.proof.clone()).check(head, root_keys)?;
        for anchor in &self.anchors {
            if !is_same_tree(anchor.head(), &self.proof.head) {
                return Err(DisclosureError::OtherHead(anchor.path()));
            }
            anchor.check().map_err(|reason| DisclosureError::Anchor {
                name: anchor.path(),
                reason,
            })?;
        }
        Ok(proven)
    }
}
