//! What a witness cosigns: tree heads that go on from all that it saw of their origin before, and no other
//! (spec/VAULT_FORMAT, section 10; C2SP tlog-cosignature, tlog-witness).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::canonical;
use crate::event_proof::{AnyProof, ConsistencyProof, EventProof, ProofError, Proven};
use crate::id::{Digest, KeyId};
use crate::json::{self, Value, object};
use crate::keys::PublicKey;
use crate::signed_note::Signed;
use crate::tree::proof::is_consistent;
use crate::tree_head::{HeadError, SignedHead};

/// The type of what a witness remembers of an origin.
const SEEN: &str = "provara_witnessed_v1";

/// The most digests of a consistency proof (C2SP tlog-witness).
const MOST_DIGESTS: usize = 63;

/// Why a witness does not cosign. What it remembers is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// Not what a witness takes.
    #[error("it is nothing that a witness cosigns: {0}")]
    Malformed(String),
    /// A head that is none.
    #[error("its tree head is none: {0}")]
    Head(#[from] HeadError),
    /// The proof proves nothing.
    #[error("it is not cosigned: {0}")]
    Proof(#[from] ProofError),
    /// The witness has seen nothing of the origin yet.
    #[error("this witness has seen nothing of '{origin}' yet")]
    Unknown {
        /// The origin.
        origin: String,
    },
    /// The first head of an origin comes without a proof of whose it is.
    #[error(
        "the first tree head of '{origin}' that a witness sees comes in a proof of events, which shows whose vault it is"
    )]
    FirstUnproven {
        /// The origin.
        origin: String,
    },
    /// It has seen a later state.
    #[error(
        "this witness has seen {seen} events of '{origin}', and this tree head is over {size}: it is of an earlier state"
    )]
    Earlier {
        /// The origin.
        origin: String,
        /// How many events the witness has seen.
        seen: u64,
        /// The size of the head.
        size: u64,
    },
    /// It has seen another state of the same size, or one that this does not go on from.
    #[error(
        "this tree head of '{origin}' over {size} events contradicts the one over {seen} events that this witness has cosigned: somebody who holds a key of the vault shows two histories"
    )]
    Contradiction {
        /// The origin.
        origin: String,
        /// How many events the witness has seen.
        seen: u64,
        /// The size of the head.
        size: u64,
        /// Where the contradicting head was kept, as evidence.
        kept: Option<PathBuf>,
    },
    /// That it goes on from what was seen is not shown.
    #[error(
        "that this tree head of '{origin}' over {size} events goes on from the {seen} that this witness has seen is not shown"
    )]
    NotShown {
        /// The origin.
        origin: String,
        /// How many events the witness has seen.
        seen: u64,
        /// The size of the head.
        size: u64,
    },
    /// Nobody whom the witness knows signed the head.
    #[error("no key that this witness knows of '{origin}' signed the tree head")]
    Unsigned {
        /// The origin.
        origin: String,
    },
}

/// What is laid before a witness.
#[derive(Debug, Clone)]
pub enum Submission {
    /// A tree head by itself: one that the witness has seen.
    Head(SignedHead),
    /// A tree head in a proof of events, which shows whose vault it is of: the first of an origin.
    First(Box<EventProof>),
    /// A tree head in a proof that it goes on from an older one.
    Next(Box<ConsistencyProof>),
    /// The request of C2SP tlog-witness, whose proof is by digests alone.
    AddCheckpoint {
        /// The size of the tree that the witness has seen.
        old: u64,
        /// The digests of RFC 9162, section 2.1.4.1.
        digests: Vec<Digest>,
        /// The newer head.
        head: SignedHead,
    },
}

impl Submission {
    /// Reads what is laid before a witness: a tree head, a proof of events or of consistency, or the body of an
    /// add-checkpoint request.
    ///
    /// # Errors
    /// [`WitnessRefusal::Malformed`], [`WitnessRefusal::Head`], [`WitnessRefusal::Proof`].
    pub fn parse(text: &[u8]) -> Result<Self, WitnessRefusal> {
        if text.starts_with(b"{") {
            return Ok(match AnyProof::parse(text)? {
                AnyProof::Events(proof) => Self::First(Box::new(proof)),
                AnyProof::Consistency(proof) => Self::Next(Box::new(proof)),
            });
        }
        if let Some(rest) = text.strip_prefix(b"old ") {
            return add_checkpoint(rest);
        }
        Ok(Self::Head(SignedHead::parse(text)?))
    }

    /// The head that is to be cosigned.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        match self {
            Self::Head(head) | Self::AddCheckpoint { head, .. } => head,
            Self::First(proof) => &proof.head,
            Self::Next(proof) => &proof.new.head,
        }
    }
}

/// The request behind its first four bytes.
fn add_checkpoint(text: &[u8]) -> Result<Submission, WitnessRefusal> {
    let malformed = |what: &str| WitnessRefusal::Malformed(what.to_owned());
    let (lines, head) = memchr::memmem::find(text, b"\n\n")
        .map(|at| (&text[..at], &text[at + 2..]))
        .ok_or_else(|| malformed("the request has no empty line before the checkpoint"))?;
    let lines = std::str::from_utf8(lines).map_err(|_| malformed("the request is no text"))?;
    let mut lines = lines.split('\n');
    let old = lines.next().unwrap_or_default();
    let digits =
        old.bytes().all(|byte| byte.is_ascii_digit()) && (old == "0" || !old.starts_with('0'));
    let old = old.parse().ok().filter(|_| digits);
    let old = old.ok_or_else(|| malformed("what follows 'old' is no size in decimal digits"))?;
    let digest = |line: &str| STANDARD.decode(line).ok()?.try_into().ok().map(Digest);
    let digests: Option<Vec<_>> = lines.map(digest).collect();
    let digests = digests.filter(|it| it.len() <= MOST_DIGESTS);
    Ok(Submission::AddCheckpoint {
        old,
        digests: digests.ok_or_else(|| {
            malformed("the proof is not at most 63 lines, each the Base64 of 32 bytes")
        })?,
        head: SignedHead::parse(head)?,
    })
}

/// How a witness goes about what it has not seen before.
#[derive(Debug, Clone, Default)]
pub struct Witnessing {
    /// Whether the first head of an origin is taken.
    pub first: bool,
    /// The keys of which one must have made the vault; any, where none is named.
    pub root_keys: Vec<KeyId>,
}

/// What was seen of an origin last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    head: SignedHead,
    /// The keys whose signatures of the next head count.
    keys: Vec<PublicKey>,
    root_key: Option<KeyId>,
}

impl Seen {
    /// What is remembered once the head of a submission is cosigned, where this, or nothing, was remembered before.
    ///
    /// # Errors
    /// Why it must not be cosigned.
    pub fn then(
        before: Option<&Self>,
        submission: &Submission,
        options: &Witnessing,
    ) -> Result<Self, WitnessRefusal> {
        match before {
            None => first(submission, options),
            Some(seen) => seen.next(submission, options),
        }
    }

    /// The last head that was cosigned.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The key that made the vault, if it was shown when the witness first saw the origin.
    #[must_use]
    pub fn root_key(&self) -> Option<KeyId> {
        self.root_key
    }

    /// What is remembered once a head is cosigned of an origin that is known.
    fn next(&self, submission: &Submission, options: &Witnessing) -> Result<Seen, WitnessRefusal> {
        let (last, new) = (self.head.head(), submission.head().head());
        let origin = || new.origin.to_string();
        let (was, size) = (last.size, new.size);
        if size < was {
            return Err(WitnessRefusal::Earlier {
                origin: origin(),
                seen: was,
                size,
            });
        }
        let contradiction = || WitnessRefusal::Contradiction {
            origin: origin(),
            seen: was,
            size,
            kept: None,
        };
        if let Submission::Next(proof) = submission
            && proof.old.head() == last
        {
            let proven = submission_of(submission).check(Some(&self.head), &options.root_keys)?;
            return Ok(seen_in(&proof.new, &proven, self.root_key));
        }
        // Two heads of one size and of different trees, each by a key of the vault, are evidence by themselves, whatever
        // came after the other one and whoever signed that.
        if let Submission::Next(proof) = submission
            && proof.old.head().size == was
            && signer(&proof.old, &self.keys).is_some()
        {
            return Err(contradiction());
        }
        // Nobody else can put a contradiction under the origin's name.
        signer(submission.head(), &self.keys)
            .ok_or_else(|| WitnessRefusal::Unsigned { origin: origin() })?;
        if size == was {
            return match new.root == last.root {
                true => Ok(Seen {
                    head: submission.head().clone(),
                    ..self.clone()
                }),
                false => Err(contradiction()),
            };
        }
        match submission {
            Submission::AddCheckpoint { old, digests, .. } if *old == was => {
                match is_consistent((was, last.root), (size, new.root), digests) {
                    true => Ok(Seen {
                        head: submission.head().clone(),
                        ..self.clone()
                    }),
                    // A proof that is wrong shows nothing: whoever signed the head may have another.
                    false => Err(WitnessRefusal::NotShown {
                        origin: origin(),
                        seen: was,
                        size,
                    }),
                }
            }
            _ => Err(WitnessRefusal::NotShown {
                origin: origin(),
                seen: was,
                size,
            }),
        }
    }

    /// As it is kept.
    ///
    /// # Panics
    /// Never: texts have a canonical form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let keys = self.keys.iter().map(|key| key.to_base64().into());
        let document = object([
            ("head", self.head.to_string().into()),
            ("keys", Value::Array(keys.collect())),
            (
                "root_key",
                self.root_key
                    .map_or(Value::Null, |it| it.to_string().into()),
            ),
            ("type", SEEN.into()),
        ]);
        let mut text = canonical::jcs(&document).expect("texts");
        text.push(b'\n');
        text
    }

    /// Reads what was kept; `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let document = json::parse(text).ok()?;
        let keys = document.get("keys")?.as_array()?.iter();
        let keys = keys.map(|key| PublicKey::from_base64(key.as_str()?).ok());
        let seen = Self {
            head: SignedHead::parse(document.get("head")?.as_str()?.as_bytes()).ok()?,
            keys: keys.collect::<Option<_>>()?,
            root_key: match document.get("root_key")? {
                Value::Null => None,
                key => Some(key.as_str()?.parse().ok()?),
            },
        };
        (seen.to_bytes() == text).then_some(seen)
    }
}

/// The proof that a submission is.
fn submission_of(submission: &Submission) -> AnyProof {
    match submission {
        Submission::Next(proof) => AnyProof::Consistency((**proof).clone()),
        Submission::First(proof) => AnyProof::Events((**proof).clone()),
        Submission::Head(_) | Submission::AddCheckpoint { .. } => {
            unreachable!("it is asked of proofs")
        }
    }
}

/// What is remembered of an origin of which nothing was seen.
fn first(submission: &Submission, options: &Witnessing) -> Result<Seen, WitnessRefusal> {
    let origin = || submission.head().head().origin.to_string();
    if !options.first && options.root_keys.is_empty() {
        return Err(WitnessRefusal::Unknown { origin: origin() });
    }
    let unproven = || WitnessRefusal::FirstUnproven { origin: origin() };
    let proof = match submission {
        Submission::First(proof) => proof,
        Submission::Next(proof) => &proof.new,
        Submission::Head(_) | Submission::AddCheckpoint { .. } => return Err(unproven()),
    };
    let proven = AnyProof::Events((*proof).clone()).check(None, &options.root_keys)?;
    Ok(seen_in(proof, &proven, proven.root_key))
}

/// What is remembered of a head that was proven.
fn seen_in(proof: &EventProof, proven: &Proven, root_key: Option<KeyId>) -> Seen {
    let keys = proof.keys.iter();
    Seen {
        head: proof.head.clone(),
        keys: keys
            .filter(|key| key.key_id() == proven.signer)
            .cloned()
            .collect(),
        root_key,
    }
}

/// The key of these that signed a head.
fn signer<'k>(head: &SignedHead, keys: &'k [PublicKey]) -> Option<&'k PublicKey> {
    let name = head.head().origin.to_string();
    let mut keys = keys.iter();
    keys.find(|key| head.note().signed_by(&name, key) == Signed::Rightly)
}
