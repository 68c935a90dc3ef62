//! An anchor taken into a vault, and sealed with it (spec/VAULT_FORMAT, section 10).

use provara_core::anchor::Anchor;
use provara_core::event_proof::AnyProof;
use provara_core::finding::Finding;
use provara_core::id::{Digest, KeyId};
use provara_core::keys::Keyfile;
use provara_core::layout;
use provara_core::tree::proof::root_over;
use provara_core::tree_head::SignedHead;
use provara_core::verify::KeptHead;
use provara_timestamps::{Token, TokenError};
use serde::Serialize;

use crate::anchors::{Anchors, MOST_ANCHORS, ReadAnchor, anchor_words};
use crate::error::{AnchorRefusal, VaultError};
use crate::found::Found;
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::memory::{self, leaves_of};
use crate::reseal::SealText;
use crate::seal::{make_directory, set_entry, text_entry};
use crate::vault::Vault;
use crate::vault_snapshot::VaultSnapshot;

/// An anchor that is in the vault and in its seal.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AnchorReceipt {
    /// The file, relative to the vault.
    pub file: String,
    /// What it is: `cosigned_head`, `time_stamp` or `event`.
    pub kind: &'static str,
    /// The origin of the head that was seen.
    pub origin: String,
    /// How many events the head is over.
    pub events: u64,
    /// By whom it was seen, as it says. Whether that is so a verification tells who names them.
    pub claimed_by: Vec<String>,
    /// Whether it was there already, so that nothing was changed.
    pub was_there: bool,
    /// The root of the seal that lists it.
    pub merkle_root: Digest,
    /// What was found and put right on the way.
    pub notes: Vec<String>,
}

impl Vault {
    /// Takes what somebody else made of a tree head of this vault into it, and seals it with a key of `keyfile`: a
    /// cosigned head, a time-stamp response or token over one of `heads` or of the heads of anchors that are there, the
    /// proof of an event of another vault that names a head, or an anchor as it stands in a copy of this vault.
    ///
    /// # Errors
    /// [`VaultError::Anchor`]; those of a new seal ([`Vault::manifest`]).
    pub fn add_anchor(
        &self,
        keyfile: &Keyfile,
        key_id: Option<KeyId>,
        given: &[u8],
        heads: &[SignedHead],
    ) -> Result<AnchorReceipt, VaultError> {
        let mut found = Found::open(self)?;
        found.refuse_fault()?;
        found.refuse_unless_vouched()?;
        let snapshot = VaultSnapshot::look(self, false)?;
        let there = Anchors::of_snapshot(self.files(), &snapshot)?;
        let known = there.readable().map(|(_, anchor)| anchor.head());
        let anchor = read(given, &uid(&found)?, heads.iter().chain(known))?;
        anchor.check().map_err(AnchorRefusal::Invalid)?;
        if let Some(finding) = judge(&mut found, anchor.head()) {
            return Err(AnchorRefusal::NotOfVault(Box::new(finding)).into());
        }
        let (file, text) = (anchor.path(), anchor.to_bytes());
        let mut entries = std::mem::replace(&mut found.entries, Ok(Vec::new()))?;
        let root = found.judgement.root.unwrap_or(Digest::of(b""));
        let was_there = entries.contains(&text_entry(&file, &text));
        if was_there && !found.is_stale() {
            let notes = std::mem::take(&mut found.notes);
            return Ok(receipt(&anchor, file, true, root, notes));
        }
        let count = snapshot.anchors().count();
        if count >= MOST_ANCHORS && !was_there {
            return Err(AnchorRefusal::TooMany(count).into());
        }
        let key = found.signing_key(keyfile, key_id)?;
        let mut files = vec![(file.clone().into(), text.clone())];
        set_entry(&mut entries, text_entry(&file, &text));
        if let Some(text) = found.keys_text() {
            set_entry(&mut entries, text_entry(layout::KEYS, &text));
            files.push((layout::KEYS.into(), text));
        }
        let seal = SealText::write(entries, key)?;
        files.extend(seal.files);
        let plan = Plan {
            operation: Operation::Anchor,
            log: NewLog::Same,
            files,
            removed: Vec::new(),
            seal: seal.signature,
        };
        make_directory(self, layout::ANCHORS)?;
        let prepared = plan.prepare(self, &found.log)?;
        found.clear()?;
        let _log = prepared.carry_out(found.log, found.whole as u64)?;
        found.notes.extend(memory::set(self).notes());
        Ok(receipt(&anchor, file, false, seal.root, found.notes))
    }

    /// The anchors of this vault as they say, whoever made them.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn anchors(&self) -> Result<Vec<ReadAnchor>, VaultError> {
        let snapshot = VaultSnapshot::look(self, false)?;
        Ok(Anchors::of_snapshot(self.files(), &snapshot)?.into_read())
    }
}

fn receipt(
    anchor: &Anchor,
    file: String,
    was_there: bool,
    merkle_root: Digest,
    notes: Vec<String>,
) -> AnchorReceipt {
    let head = anchor.head().head();
    AnchorReceipt {
        file,
        kind: anchor_words(anchor.kind()).0,
        origin: head.origin.to_string(),
        events: head.size,
        claimed_by: anchor.claims(),
        was_there,
        merkle_root,
        notes,
    }
}

/// The uid of the vault, which heads of it name.
fn uid(found: &Found<'_>) -> Result<String, VaultError> {
    let genesis = found.verdict.genesis.as_ref();
    let uid = genesis.and_then(|it| it.uid.clone());
    uid.ok_or_else(|| VaultError::Structure {
        file: layout::LOG.to_owned(),
        reason: "the GENESIS event states no uid, which tree heads name".to_owned(),
    })
}

/// What stands against a head, if the log does not go on from it.
fn judge(found: &mut Found<'_>, head: &SignedHead) -> Option<Finding> {
    let size = head.head().size;
    let leaves = leaves_of(found.log()).unwrap_or_default();
    let known = usize::try_from(size)
        .ok()
        .and_then(|size| leaves.get(..size));
    if let Some(leaves) = known {
        found.verdict.roots.push((size, root_over(leaves)));
    }
    let kept = KeptHead {
        source: layout::ANCHORS.to_owned(),
        head: head.clone(),
    };
    kept.judge(&found.verdict, &found.registry)
}

/// Reads what was given as an anchor of the vault with this uid.
fn read<'h>(
    given: &[u8],
    uid: &str,
    heads: impl Iterator<Item = &'h SignedHead>,
) -> Result<Anchor, AnchorRefusal> {
    if given.starts_with(b"0") {
        return stamped(given, heads);
    }
    match AnyProof::parse(given) {
        Ok(AnyProof::Events(proof)) => Ok(Anchor::of_event(proof, uid)?),
        _ => Ok(Anchor::parse(given)?),
    }
    .and_then(|anchor| match &anchor {
        Anchor::TimeStamp { head, token } => {
            let token = Token::parse(token)?;
            token.is_over(head.to_string().as_bytes())?;
            token.verify_itself()?;
            Ok(anchor)
        }
        _ => Ok(anchor),
    })
}

/// A time-stamp over one of `heads`.
fn stamped<'h>(
    given: &[u8],
    heads: impl Iterator<Item = &'h SignedHead>,
) -> Result<Anchor, AnchorRefusal> {
    let token = Token::parse(given)?;
    token.verify_itself()?;
    let mut other = None;
    for head in heads {
        match token.is_over(head.to_string().as_bytes()) {
            Ok(()) => {
                return Ok(Anchor::TimeStamp {
                    head: head.clone(),
                    token: token.bytes().to_vec(),
                });
            }
            Err(TokenError::OtherMessage { .. }) => {}
            Err(error) => other = Some(error),
        }
    }
    Err(match other {
        Some(error) => error.into(),
        None => AnchorRefusal::NoHead { hash: token.hash() },
    })
}
