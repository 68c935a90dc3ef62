//! A verified log held against what others kept of it: tree heads, and the key that its owner named
//! (spec/VAULT_FORMAT, section 10).

use crate::finding::{Code, Finding};
use crate::history::KeyStanding;
use crate::id::{Digest, KeyId};
use crate::keys::{KeyRegistry, PublicKey};
use crate::layout::LOG;
use crate::mark::may_sign;
use crate::signed_note::Signed;
use crate::tree::proof::root_over;
use crate::tree_head::{SignedHead, TreeHead};
use crate::verify::LogVerdict;

/// A tree head that somebody kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    /// Where it comes from, as findings name it: the file.
    pub source: String,
    /// What was kept.
    pub head: SignedHead,
}

impl KeptHead {
    /// What is found where the vault whose log came to `log` is not the one, or not a later state of the one, that
    /// the head was signed for. The roots of the tree at its size must have been [asked
    /// for](super::Sequencer::watch). `registry` is what `keys.json` lists.
    #[must_use]
    pub fn judge(&self, log: &LogVerdict, registry: &KeyRegistry) -> Option<Finding> {
        let head = self.head.head();
        let contradicted = |message: String| Finding::new(Code::E017, &self.source, message);
        let uid = log.genesis.as_ref().and_then(|it| it.uid.as_deref());
        if uid != Some(head.origin.uid.as_str()) {
            let message = "the tree head is of another vault";
            let found = uid.unwrap_or("no uid in the GENESIS event");
            return Some(contradicted(message.to_owned()).compare(&head.origin.uid, found));
        }
        if let Err(reason) = signer(&self.head, log, registry) {
            return Some(Finding::new(Code::E018, &self.source, reason));
        }
        let events = log.tree.size();
        if head.size > events {
            let message = "the log has fewer events than the tree head that was signed for it: it was cut, \
                           or is an earlier state";
            let count = |size: u64| format!("{size} events or more");
            return Some(contradicted(message.to_owned()).compare(count(head.size), events));
        }
        match root_at(log, head.size) {
            Some(root) if root == head.root => None,
            found => {
                let message = format!(
                    "the log does not begin with the {} that the tree head was signed for: some were \
                     changed, left out, added or put in another order",
                    match head.size {
                        1 => "event".to_owned(),
                        size => format!("{size} events"),
                    }
                );
                let found = found.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
                Some(contradicted(message).compare(head.root, found))
            }
        }
    }
}

/// The root over the first `size` events.
fn root_at(log: &LogVerdict, size: u64) -> Option<Digest> {
    if size == 0 {
        return Some(root_over(&[]));
    }
    if size == log.tree.size() {
        return Some(log.tree.root());
    }
    let known = log.roots.iter().find(|(at, _)| *at == size);
    known.map(|(_, root)| *root)
}

/// The key of the vault that signed a head, or why none counts; a sentence without its end.
fn signer(head: &SignedHead, log: &LogVerdict, registry: &KeyRegistry) -> Result<KeyId, String> {
    let TreeHead { origin, size, .. } = head.head();
    let name = origin.to_string();
    let mut refused = None;
    for (key, standing) in keys_at(log, registry, *size) {
        let id = key.key_id();
        let reason = match (head.note().signed_by(&name, &key), standing) {
            (Signed::Not, _) => continue,
            (Signed::Rightly, KeyStanding::Counts) => return Ok(id),
            // A note with one false signature is no evidence of anything (C2SP signed-note, Signatures).
            (Signed::Wrongly, _) => {
                return Err(format!(
                    "the tree head was changed after it was signed, or never was: it has a signature of key \
                     {id} that does not verify"
                ));
            }
            (Signed::Rightly, KeyStanding::NotYet) => {
                format!(
                    "key {id} signed the tree head, which only a later event than its {size} brings"
                )
            }
            (Signed::Rightly, KeyStanding::NoRole) => format!(
                "key {id} signed the tree head, and has neither the role 'root' nor 'attestation'"
            ),
            (Signed::Rightly, KeyStanding::Revoked | KeyStanding::NotIntroduced) => format!(
                "key {id} signed the tree head over {size} events, and what it signs counts over {} and fewer \
                 only: it was revoked",
                log.trusted_until.get(&id).copied().unwrap_or(0)
            ),
        };
        refused.get_or_insert(reason);
    }
    Err(refused.unwrap_or_else(|| "no key of the vault signed the tree head".to_owned()))
}

/// The keys of the vault, and whether each may sign a head over `size` events.
fn keys_at(
    log: &LogVerdict,
    registry: &KeyRegistry,
    size: u64,
) -> impl Iterator<Item = (PublicKey, KeyStanding)> {
    let revoked = move |id: &KeyId| log.trusted_until.get(id).is_some_and(|until| size > *until);
    let said = log.history.as_ref().map(|it| it.registry_after(u64::MAX));
    let (listed, promoted) = match said {
        Some(said) => (said.keys, Vec::new()),
        None => (registry.keys.clone(), log.promoted_keys.clone()),
    };
    let listed = listed.into_iter().map(move |entry| {
        let brought = log.history.as_ref();
        let brought = brought.and_then(|it| it.introduced_at(&entry.key_id));
        let standing = match () {
            () if brought.is_some_and(|at| at > size) => KeyStanding::NotYet,
            () if revoked(&entry.key_id) => KeyStanding::Revoked,
            () if !may_sign(&entry.roles) => KeyStanding::NoRole,
            () => KeyStanding::Counts,
        };
        (entry.public_key, standing)
    });
    let promoted = promoted.into_iter().map(move |key| {
        let standing = match revoked(&key.key_id()) {
            true => KeyStanding::Revoked,
            false => KeyStanding::Counts,
        };
        (key, standing)
    });
    listed.chain(promoted)
}

/// What is found where the `GENESIS` event is not by one of the keys that were `named`; nothing, where none is.
#[must_use]
pub fn judge_root_key(named: &[KeyId], log: &LogVerdict) -> Option<Finding> {
    if named.is_empty() {
        return None;
    }
    let stated = log.genesis.as_ref().and_then(|it| it.root_key_id.as_ref());
    let stated = stated.and_then(|it| it.parse::<KeyId>().ok());
    // Anybody can write an event that names the key of somebody else.
    let proven = stated.filter(|key| log.introduced.contains(key));
    if proven.is_some_and(|key| named.contains(&key)) {
        return None;
    }
    let expected: Vec<_> = named.iter().map(ToString::to_string).collect();
    let found = match (stated, proven) {
        (_, Some(key)) => key.to_string(),
        (Some(key), None) => format!("{key}, which did not sign the GENESIS event"),
        (None, None) => "no root key in the GENESIS event".to_owned(),
    };
    let message = "the vault was not made by the key that was named as its root key";
    let finding = Finding::new(Code::E207, LOG, message);
    Some(finding.compare(expected.join(" or "), found))
}
