//! Tree heads of a copy of a vault, signed for others to keep (spec/VAULT_FORMAT, section 10).
//!
//! Whoever publishes heads under one origin must never sign two that contradict each other. So what this machine
//! remembers of the copy has the last head that was published of it. It is kept before the new one is given out,
//! and a new one is signed only for a log that goes on from it. A command that puts another state in the copy's place
//! (a restore, `accept`, a merge that changes the order) gives that origin up; the next head has a new one.

use provara_core::finding::Severity;
use provara_core::id::{Digest, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::layout::{GENESIS, KEYS};
use provara_core::tree_head::{CopyName, Origin, SignedHead, TreeHead};
use provara_core::verify::files::check_keys;
use provara_core::verify::{KeptHead, LogVerdict};
use serde::Serialize;

use crate::error::{HeadRefusal, VaultError};
use crate::files::read_text;
use crate::found::refused_log;
use crate::heads::{Held, uid_of};
use crate::keyfile;
use crate::memory::{Store, place_of};
use crate::vault::Vault;
use crate::verify::VerifyOptions;
use crate::verify::alone::Alone;

/// How often a head is made anew where other processes publish meanwhile.
const ATTEMPTS: u32 = 4;

/// How a tree head is made.
#[derive(Debug, Clone, Default)]
pub struct TreeHeadOptions {
    /// Sign with this key of the keyfile; otherwise its first that may.
    pub key_id: Option<KeyId>,
    /// The name of the copy in the origin, where none was published of it so far; otherwise a random one.
    pub copy: Option<CopyName>,
    /// Go on under the origin of this head, the last that was published of the copy, though this machine does not
    /// know of it.
    pub continues: Option<KeptHead>,
    /// Where the log does not go on from what was published of this copy, or under another name: begin anew, under a
    /// new origin.
    pub break_heads: bool,
}

/// A tree head that was signed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct TreeHeadReceipt {
    /// The signed note, to be kept as it is.
    pub note: String,
    /// The origin: the vault, and the copy that publishes.
    pub origin: String,
    /// How many events the tree is over.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// The key that signed it.
    pub key_id: KeyId,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl Vault {
    /// Verifies the vault, and signs what its event tree is with a key of `keyfile`, for others to keep: what they
    /// hold a later state of it to. Nothing in the vault is written.
    ///
    /// # Errors
    /// [`VaultError::TreeHead`]; what a log that does not verify is, the errors of a verification and of a keyfile;
    /// [`VaultError::Memory`] where this machine cannot remember what it publishes.
    pub fn tree_head(
        &self,
        keyfile: &Keyfile,
        options: &TreeHeadOptions,
    ) -> Result<TreeHeadReceipt, VaultError> {
        for _ in 0..ATTEMPTS {
            let publication = Publication::of(self, options)?;
            let verified = Verified::of(self, &publication.earlier())?;
            let key = verified.signing_key(keyfile, options.key_id)?;
            let copy = publication.copy(&verified)?;
            if let Some(receipt) = publication.sign(&verified, copy, key)? {
                return Ok(receipt);
            }
        }
        Err(HeadRefusal::Overtaken.into())
    }
}

/// Whether tree heads of the copy at the vault's path were published, as far as this machine remembers.
pub(crate) fn is_published(vault: &Vault) -> Result<bool, VaultError> {
    if !vault.has_memory() {
        return Ok(false);
    }
    let store = Store::open(vault.state_directory(), Some(vault.path()));
    match store {
        Ok(Some(store)) => Ok(store.published(place_of(vault.path()))?.is_some()),
        // What cannot be read at all is told by whoever remembers the merge.
        Ok(None) | Err(_) => Ok(false),
    }
}

/// Where a writer publishes heads of what it has sealed.
pub(crate) struct Publisher<'v> {
    vault: &'v Vault,
    store: Store,
}

impl<'v> Publisher<'v> {
    /// Of a copy of which a head was published before. The writer has held the log against what this machine
    /// remembers of it, which was `remembered` events; a head over more of them it could not judge.
    ///
    /// # Errors
    /// [`HeadRefusal::NoneYet`], or [`VaultError::Memory`].
    pub(crate) fn of(vault: &'v Vault, remembered: Option<u64>) -> Result<Self, VaultError> {
        let store = Store::open(vault.state_directory(), Some(vault.path()))?;
        let store = store.filter(|_| vault.has_memory());
        let store = store.ok_or(HeadRefusal::NoneYet)?;
        let publisher = Self { vault, store };
        publisher.last(remembered)?;
        Ok(publisher)
    }

    /// The last head that was published.
    fn last(&self, remembered: Option<u64>) -> Result<SignedHead, VaultError> {
        let place = place_of(self.vault.path());
        let last = self.store.last_published(place)?;
        let last = last.ok_or(HeadRefusal::NoneYet)?;
        // What is remembered here says nothing of what another copy has published under the origin.
        let is_covered = remembered.is_some_and(|size| last.head.head().size <= size);
        match is_covered && last.is_by(place) {
            true => Ok(last.head),
            false => Err(VaultError::Memory {
                reason: "something was published of the vault that is not known to be in what is remembered of \
                         it; 'provara tree-head' looks at all of it"
                    .to_owned(),
            }),
        }
    }

    /// Signs the head over a log of this size and root, of which `remembered` events are remembered: it goes on from
    /// all of them, and so from what was published.
    ///
    /// # Errors
    /// As [`Publisher::of`].
    pub(crate) fn sign(
        &self,
        remembered: Option<u64>,
        (size, root): (u64, Digest),
        key: &SigningKey,
    ) -> Result<SignedHead, VaultError> {
        let lock = self.store.lock()?;
        let origin = self.last(remembered)?.head().origin.clone();
        let head = TreeHead { origin, size, root }.sign(key);
        self.store
            .publish(place_of(self.vault.path()), &head, &lock)?;
        Ok(head)
    }
}

/// What was published of the copy so far, and what is asked for.
struct Publication<'v> {
    vault: &'v Vault,
    options: &'v TreeHeadOptions,
    store: Store,
    /// Of the copy at this path.
    published: Option<SignedHead>,
    /// The origin that is gone on under, and the last head of it, of whichever copy.
    origin: Option<(Origin, Option<SignedHead>)>,
    /// Whether nothing else is remembered of the path.
    is_unknown: bool,
}

impl<'v> Publication<'v> {
    fn of(vault: &'v Vault, options: &'v TreeHeadOptions) -> Result<Self, VaultError> {
        if !vault.has_memory() {
            return Err(VaultError::Memory {
                reason:
                    "the vault was opened without it, and what was published must be remembered"
                        .to_owned(),
            });
        }
        let store = Store::make(vault.state_directory(), vault.path())?;
        let published = store.published(place_of(vault.path()))?;
        let named = options.continues.as_ref().map(|kept| &kept.head);
        let known = match options.break_heads {
            true => None,
            false => published.as_ref().or(named),
        };
        let origin = match (known, &options.copy) {
            (Some(head), _) => Some(head.head().origin.clone()),
            (None, Some(copy)) => stated_uid(vault)?.map(|uid| Origin {
                uid,
                copy: copy.clone(),
            }),
            (None, None) => None,
        };
        let last = origin.as_ref().map(|it| store.last_of(&it.to_string()));
        let last = last.transpose()?.flatten().map(|last| last.head);
        Ok(Self {
            vault,
            options,
            is_unknown: !matches!(store.recall(vault.path()), Ok(Some(_))),
            store,
            published,
            origin: origin.map(|origin| (origin, last)),
        })
    }

    /// The heads that the log must go on from.
    fn earlier(&self) -> Vec<KeptHead> {
        let last = self.origin.as_ref().and_then(|(_, last)| last.clone());
        let named = self.options.continues.clone().map(|kept| kept.head);
        let own = match self.options.break_heads {
            true => None,
            false => self.published.clone(),
        };
        [last, own, named].into_iter().flatten().map(kept).collect()
    }

    /// The name of the copy under which a head of what was verified may be published.
    fn copy(&self, verified: &Verified) -> Result<CopyName, VaultError> {
        let asked = self.options.copy.clone();
        if let (true, Some(asked), Some((_, Some(_)))) =
            (self.options.break_heads, &asked, &self.origin)
        {
            return Err(HeadRefusal::NameTaken(asked.clone()).into());
        }
        for earlier in self.earlier() {
            if let Some(finding) = earlier.judge(&verified.log, &verified.registry) {
                return Err(HeadRefusal::Broken(Box::new(finding)).into());
            }
        }
        let Some((origin, _)) = &self.origin else {
            return Ok(CopyName::random(random()?));
        };
        match asked {
            Some(asked) if asked != origin.copy => Err(HeadRefusal::OtherName {
                published: origin.copy.clone(),
                asked,
            }
            .into()),
            _ => Ok(origin.copy.clone()),
        }
    }

    /// Signs a head and remembers it, unless another process has published one since.
    fn sign(
        &self,
        verified: &Verified,
        copy: CopyName,
        key: &SigningKey,
    ) -> Result<Option<TreeHeadReceipt>, VaultError> {
        let origin = Origin {
            uid: verified.uid.clone(),
            copy,
        };
        let name = origin.to_string();
        let judged = self.origin.as_ref().and_then(|(_, last)| last.clone());
        let head = TreeHead {
            origin,
            size: verified.log.tree.size(),
            root: verified.log.tree.root(),
        };
        let head = head.sign(key);
        let place = place_of(self.vault.path());
        let lock = self.store.lock()?;
        let own = self.store.published(place)?;
        // Where nothing else was known, the verification began a record, which parts with what was published.
        let is_same = own == self.published || (own.is_none() && self.is_unknown);
        let last = self.store.last_of(&name)?.map(|last| last.head);
        if !is_same || last != judged {
            return Ok(None);
        }
        self.store.publish(place, &head, &lock)?;
        Ok(Some(receipt(&head, key.key_id(), verified.notes.clone())))
    }
}

/// The uid as `genesis.json` states it; a vault that verifies states the same in its `GENESIS` event.
fn stated_uid(vault: &Vault) -> Result<Option<String>, VaultError> {
    let text = read_text(vault.path(), GENESIS)?;
    Ok(text.as_deref().and_then(uid_of))
}

/// A head as this machine remembers it.
fn kept(head: SignedHead) -> KeptHead {
    KeptHead {
        source: "what this machine published".to_owned(),
        head,
    }
}

fn receipt(head: &SignedHead, key_id: KeyId, notes: Vec<String>) -> TreeHeadReceipt {
    TreeHeadReceipt {
        note: head.to_string(),
        origin: head.head().origin.to_string(),
        size: head.head().size,
        root: head.head().root,
        key_id,
        notes,
    }
}

fn random() -> Result<[u8; 8], VaultError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| VaultError::Randomness {
        reason: error.to_string(),
    })?;
    Ok(bytes)
}

/// A vault that verifies, whose seal covers all of its log.
struct Verified {
    log: LogVerdict,
    uid: String,
    /// The keys as they are at the end of the log.
    registry: KeyRegistry,
    notes: Vec<String>,
}

impl Verified {
    /// Verifies `vault`, so that the log can be held against `earlier` heads, and remembers it.
    fn of(vault: &Vault, earlier: &[KeptHead]) -> Result<Self, VaultError> {
        let options = VerifyOptions {
            held: Held::at_sizes_of(earlier),
            ..VerifyOptions::default()
        };
        let mut alone = vault.examine_alone(&options)?;
        refuse(&alone)?;
        alone.remember(vault);
        let (registry, _) = check_keys(read_text(vault.path(), KEYS)?.as_deref());
        let log = alone.verdict;
        let registry = match &log.history {
            Some(history) => history.registry_after(log.lines),
            None => registry,
        };
        let uid = log.genesis.as_ref().and_then(|it| it.uid.clone());
        let uid = uid.ok_or_else(|| VaultError::Structure {
            file: provara_core::layout::LOG.to_owned(),
            reason: "the GENESIS event states no uid, which the origin of a tree head names"
                .to_owned(),
        })?;
        Ok(Self {
            log,
            uid,
            registry,
            notes: alone.notes,
        })
    }

    /// The key that signs: it must count at the end of the log.
    fn signing_key<'k>(
        &self,
        keyfile: &'k Keyfile,
        wanted: Option<KeyId>,
    ) -> Result<&'k SigningKey, VaultError> {
        let revoked = |key: &KeyId| self.log.revoked_keys.contains(key);
        keyfile::choose(keyfile, &self.registry, revoked, wanted)
    }
}

/// Refuses a vault of which no head may be signed.
fn refuse(alone: &Alone) -> Result<(), VaultError> {
    let mut findings = alone.verdict.findings.iter().chain(&alone.findings);
    if let Some(finding) = findings.find(|it| it.severity == Severity::Error) {
        return Err(refused_log(finding));
    }
    if let Some(finding) = alone.not_as_remembered() {
        return Err(VaultError::NotAsRemembered {
            finding: Box::new(finding.clone()),
        });
    }
    let covered = alone.sealed.map(|(_, events, _)| events);
    match alone.unsettled || covered != Some(alone.verdict.tree.size()) {
        true => Err(HeadRefusal::NotSealed.into()),
        false => Ok(()),
    }
}
