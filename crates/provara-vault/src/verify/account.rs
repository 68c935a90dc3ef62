//! What a verification knows of a vault beside what it found: its keys over the log, what its seal vouches for, what it
//! was held to. For whoever tells people of it.

use std::collections::BTreeSet;

use provara_core::finding::{Code, Finding};
use provara_core::history::KeyHistory;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::{KeyEntry, KeyRegistry, PublicKey};
use provara_core::verify::seal::{SealJudgement, SealStanding};
use provara_core::verify::{KeptHead, LogVerdict};

/// What there is to tell of a vault that was verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Account {
    /// Whether signed events say which keys count, and `keys.json` need not be believed.
    pub marked: bool,
    /// The key on which all others rest, where no signed event leads to it: whoever adopted the vault trusted its owner.
    pub unvouched: Option<KeyId>,
    /// The keys in the order in which they came.
    pub keys: Vec<KeyAccount>,
    /// What the seal vouches for.
    pub seal: SealAccount,
    /// The events up to and with the one that closes the log.
    pub closed_at: Option<u64>,
    /// The event that closes it.
    pub closed_by: Option<EventId>,
    /// Whether the vault continues another one.
    pub continues: bool,
    /// The tree heads of this vault that it was held to.
    pub heads: Vec<HeadAccount>,
    /// SHA-256 of `genesis.json`.
    pub genesis_sha256: Option<Digest>,
    /// Whether a part of the log verified in an earlier run on this machine, and its signatures were not checked again.
    pub from_cache: bool,
    /// The actors whose chains have a gap: one of their events follows one that is not in the log.
    pub gaps: BTreeSet<String>,
}

/// A key over the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccount {
    /// Its id.
    pub key_id: KeyId,
    /// What it may do, as the event that brought it says; in a vault without a mark, as `keys.json` says.
    pub roles: Vec<String>,
    /// The line of the event that introduced it, from 1; 0 for a key that counts from the start. `None` where no signed
    /// event says so.
    pub from: Option<u64>,
    /// The event that brought it in the place of another key, or beside others.
    pub brought_by: Option<EventId>,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// The line of the event that revoked it, in a marked vault.
    pub revoked_at: Option<u64>,
    /// That event.
    pub revoked_by: Option<EventId>,
    /// Over how many events what it signed counts all the same: those up to its trust boundary.
    pub trusted_until: Option<u64>,
    /// Whether signed events lead to it.
    pub is_introduced: bool,
}

/// What a seal vouches for.
#[derive(Debug, Clone)]
pub struct SealAccount {
    /// What state it is of.
    pub standing: SealStanding,
    /// The root that it signs.
    pub root: Option<Digest>,
    /// The key that it names.
    pub key_id: Option<KeyId>,
    /// When it was made, as it says.
    pub signed_at_utc: Option<String>,
}

/// A tree head that the vault was held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAccount {
    /// The file.
    pub source: String,
    /// Which copy of which vault it is of.
    pub origin: String,
    /// Over how many events it is.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// Whether the vault goes on from it.
    pub holds: bool,
}

impl SealAccount {
    fn of(judgement: &SealJudgement) -> Self {
        Self {
            standing: judgement.standing.clone(),
            root: judgement.root,
            key_id: judgement.key_id,
            signed_at_utc: judgement.signed_at_utc.clone(),
        }
    }
}

impl HeadAccount {
    fn of(kept: &KeptHead, findings: &[Finding]) -> Self {
        let head = kept.head.head();
        let against =
            |it: &Finding| matches!(it.code, Code::E017 | Code::E018) && it.file == kept.source;
        Self {
            source: kept.source.clone(),
            origin: head.origin.to_string(),
            size: head.size,
            root: head.root,
            holds: !findings.iter().any(against),
        }
    }
}

impl KeyAccount {
    fn of(entry: &KeyEntry, log: &LogVerdict) -> Self {
        let id = entry.key_id;
        Self {
            key_id: id,
            roles: entry.roles.clone(),
            from: None,
            brought_by: entry.promotion_event_id.or(entry.addition_event_id),
            is_revoked: log.revoked_keys.contains(&id) || entry.revocation_event_id.is_some(),
            revoked_at: None,
            revoked_by: entry.revocation_event_id,
            trusted_until: log.trusted_until.get(&id).copied(),
            is_introduced: true,
        }
    }

    fn in_history(entry: &KeyEntry, log: &LogVerdict, history: &KeyHistory) -> Self {
        Self {
            from: history.introduced_at(&entry.key_id),
            revoked_at: history.revoked_at(&entry.key_id),
            ..Self::of(entry, log)
        }
    }

    fn without_mark(entry: &KeyEntry, log: &LogVerdict) -> Self {
        Self {
            is_introduced: log.introduced.contains(&entry.key_id),
            ..Self::of(entry, log)
        }
    }

    /// A key that the log brought and that `keys.json` lacks.
    fn unlisted(key: &PublicKey, log: &LogVerdict) -> Self {
        let id = key.key_id();
        Self {
            key_id: id,
            roles: Vec::new(),
            from: None,
            brought_by: None,
            is_revoked: log.revoked_keys.contains(&id),
            revoked_at: None,
            revoked_by: None,
            trusted_until: log.trusted_until.get(&id).copied(),
            is_introduced: log.introduced.contains(&id),
        }
    }
}

impl Account {
    /// What there is to tell of a vault whose log came to `log`; `registry` is its `keys.json`, `heads` what it was held
    /// to, and `findings` hold what speaks against them.
    pub(super) fn of<'h>(
        log: &LogVerdict,
        registry: &KeyRegistry,
        judgement: &SealJudgement,
        heads: impl Iterator<Item = &'h KeptHead>,
        findings: &[Finding],
        genesis_sha256: Option<Digest>,
    ) -> Self {
        let history = log.history.as_ref();
        let keys = match history {
            Some(history) => {
                let entries = history.registry_after(log.lines).keys;
                let entries = entries.iter();
                entries
                    .map(|entry| KeyAccount::in_history(entry, log, history))
                    .collect()
            }
            None => {
                let listed = registry.keys.iter();
                let unlisted = log.promoted_keys.iter();
                let unlisted = unlisted.filter(|key| registry.get(&key.key_id()).is_none());
                listed
                    .map(|entry| KeyAccount::without_mark(entry, log))
                    .chain(unlisted.map(|key| KeyAccount::unlisted(key, log)))
                    .collect()
            }
        };
        let genesis = log.genesis.as_ref();
        Self {
            marked: history.is_some(),
            unvouched: history.and_then(KeyHistory::unvouched),
            keys,
            seal: SealAccount::of(judgement),
            closed_at: log.closed_at,
            closed_by: log.sealed_by,
            continues: genesis.is_some_and(|it| it.predecessor.is_some()),
            heads: heads.map(|kept| HeadAccount::of(kept, findings)).collect(),
            genesis_sha256,
            from_cache: false,
            gaps: log.gaps.clone(),
        }
    }
}
