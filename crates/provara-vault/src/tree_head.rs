//! Tree heads of a copy of a vault, signed for others to keep (spec/VAULT_FORMAT, section 10).
//!
//! Whoever publishes heads under one origin must never sign two that contradict each other. So what this machine
//! remembers of the copy has the last head that was published of it. It is kept before the new one is given out,
//! and a new one is signed only for a log that goes on from it. A command that puts another state in the copy's place
//! (a restore, `accept`, a merge that changes the order) gives that origin up; the next head has a new one.

use provara_core::finding::Severity;
use provara_core::id::{Digest, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::layout::KEYS;
use provara_core::tree_head::{CopyName, Origin, SignedHead, TreeHead};
use provara_core::verify::files::check_keys;
use provara_core::verify::{KeptHead, LogVerdict};
use serde::Serialize;

use crate::error::{HeadRefusal, VaultError};
use crate::files::read_text;
use crate::found::refused_log;
use crate::heads::Held;
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
            let verified = Verified::of(self, publication.last())?;
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
        let head = self.store.published(place_of(self.vault.path()))?;
        let head = head.ok_or(HeadRefusal::NoneYet)?;
        match remembered.is_some_and(|size| head.head().size <= size) {
            true => Ok(head),
            false => Err(VaultError::Memory {
                reason: "less is remembered of the vault than was published of it; 'provara tree-head' looks at \
                         all of it"
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

/// What was published of the copy so far.
struct Publication<'v> {
    vault: &'v Vault,
    options: &'v TreeHeadOptions,
    store: Store,
    /// As this machine remembers it.
    published: Option<KeptHead>,
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
        Ok(Self {
            vault,
            options,
            store,
            published: published.map(kept),
        })
    }

    /// The last head that the log must go on from.
    fn last(&self) -> Option<&KeptHead> {
        match self.options.break_heads {
            true => None,
            false => self.published.as_ref().or(self.options.continues.as_ref()),
        }
    }

    /// The name of the copy under which a head of what was verified may be published.
    fn copy(&self, verified: &Verified) -> Result<CopyName, VaultError> {
        let Some(last) = self.last() else {
            let asked = self.options.copy.clone();
            return asked.map_or_else(|| Ok(CopyName::random(random()?)), Ok);
        };
        if let Some(finding) = last.judge(&verified.log, &verified.registry) {
            return Err(HeadRefusal::Broken(Box::new(finding)).into());
        }
        let published = last.head.head().origin.copy.clone();
        match self.options.copy.clone() {
            Some(asked) if asked != published => {
                Err(HeadRefusal::OtherName { published, asked }.into())
            }
            _ => Ok(published),
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
        let head = TreeHead {
            origin,
            size: verified.log.tree.size(),
            root: verified.log.tree.root(),
        };
        let head = head.sign(key);
        let place = place_of(self.vault.path());
        let lock = self.store.lock()?;
        let now = self.store.published(place)?;
        if now.map(kept) != self.published {
            return Ok(None);
        }
        self.store.publish(place, &head, &lock)?;
        Ok(Some(receipt(&head, key.key_id(), verified.notes.clone())))
    }
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
    /// Verifies `vault`, so that the log can be held against `last`, and remembers it.
    fn of(vault: &Vault, last: Option<&KeptHead>) -> Result<Self, VaultError> {
        let options = VerifyOptions {
            held: Held::at_size_of(last),
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
