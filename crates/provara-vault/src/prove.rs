//! Proofs for somebody who has not the vault: that events are in it, that a tree head goes on from an older one
//! (spec/VAULT_FORMAT, section 10).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem::Finder;
use provara_core::event_proof::{ConsistencyProof, EventProof, ShownEvent};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::{KeyRegistry, PublicKey};
use provara_core::layout::KEYS;
use provara_core::scan::{Field, scan_line};
use provara_core::signed_note::Signed;
use provara_core::tree::proof::{Subtrees, consistency, root_of_subset, root_over, subset};
use provara_core::tree_head::SignedHead;
use provara_core::verify::files::check_keys;

use crate::derive::SourceLog;
use crate::error::{ProofRefusal, VaultError};
use crate::files::read_text;
use crate::key_events::key_lines;
use crate::log_snapshot::lines_of;
use crate::memory::leaves_of;
use crate::proof_index::{ProofIndex, VaultState, boundary, leaf};
use crate::vault::Vault;

/// Which events are proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Those with these ids.
    Events(Vec<EventId>),
    /// Those in the lines from the first to the second, counted from 1, both included.
    Lines(u64, u64),
    /// Those in these lines, counted from 1.
    At(BTreeSet<u64>),
}

impl Vault {
    /// The proof that events of `log`, which is this vault's, are in the tree of `head`.
    ///
    /// # Errors
    /// [`VaultError::Proof`], and as for any read of `keys.json`.
    pub fn prove(
        &self,
        log: &SourceLog,
        head: &SignedHead,
        chosen: &Chosen,
    ) -> Result<EventProof, VaultError> {
        Prover::new(self, log, head)?.events(chosen)
    }

    /// Begins to prove events: to be asked for before the log is verified that they are in.
    #[must_use]
    pub fn proving(&self) -> Proving<'_> {
        Proving {
            vault: self,
            state: VaultState::of(self),
        }
    }

    /// The proof that `new` goes on from `old`, both of them heads of `log`, which is this vault's.
    ///
    /// # Errors
    /// As [`Vault::prove`].
    pub fn prove_consistency(
        &self,
        log: &SourceLog,
        old: &SignedHead,
        new: &SignedHead,
    ) -> Result<ConsistencyProof, VaultError> {
        let (from, to) = (old.head().size, new.head().size);
        let prover = Prover::new(self, log, new)?;
        if from > to {
            return Err(ProofRefusal::Older { from, to }.into());
        }
        prover.hold(old)?;
        let digests = match from {
            0 => Vec::new(),
            _ => consistency(prover.leaves(), from, to),
        };
        Ok(ConsistencyProof {
            old: old.clone(),
            new: prover.proof(&BTreeMap::new(), Some(old))?,
            digests,
        })
    }
}

impl Vault {
    /// What shows that the tree of `head`, which is one of `log`, begins with that of its first `old` events, whatever was
    /// signed over these (RFC 9162, section 2.1.4.1).
    ///
    /// # Errors
    /// [`VaultError::Proof`].
    pub fn consistency(
        &self,
        log: &SourceLog,
        old: u64,
        head: &SignedHead,
    ) -> Result<Vec<Digest>, VaultError> {
        let to = head.head().size;
        if old > to {
            return Err(ProofRefusal::Older { from: old, to }.into());
        }
        let prover = Prover::new(self, log, head)?;
        prover.hold(head)?;
        Ok(match old {
            0 => Vec::new(),
            _ => consistency(prover.leaves(), old, to),
        })
    }

    /// The keys of the vault that signed a head.
    ///
    /// # Errors
    /// As for any read of `keys.json`.
    pub fn head_signers(&self, head: &SignedHead) -> Result<Vec<PublicKey>, VaultError> {
        let registry = registry_of(self)?;
        let name = head.head().origin.to_string();
        let keys = registry.keys.into_iter().map(|entry| entry.public_key);
        Ok(keys
            .filter(|key| head.note().signed_by(&name, key) == Signed::Rightly)
            .collect())
    }
}

/// A vault of which events are to be proven, in the state that it was in at first.
///
/// ```no_run
/// # use provara_vault::{Chosen, EventProof, SignedHead, Vault, VaultError, VerifyOptions};
/// # fn prove(vault: &Vault, head: &SignedHead, chosen: &Chosen) -> Result<Option<EventProof>, VaultError> {
/// let proving = vault.proving();
/// if let Some(proof) = proving.by_index(head, chosen) {
///     return Ok(Some(proof));
/// }
/// let Ok(log) = vault.examine(&VerifyOptions::default())?.verified() else {
///     return Ok(None); // It does not verify.
/// };
/// let proof = proving.by_log(&log, head, chosen);
/// log.check_unchanged()?;
/// proof.map(Some)
/// # }
/// ```
#[derive(Debug)]
pub struct Proving<'v> {
    vault: &'v Vault,
    /// `None` where no index can be kept of it.
    state: Option<VaultState>,
}

impl Proving<'_> {
    /// The same proof as [`Vault::prove`] makes, from the index that an earlier one left in the cache directory, if the
    /// vault is as it was when it verified for that. Otherwise, and where anything is wrong, there is none, and the log
    /// has to be verified.
    #[must_use]
    pub fn by_index(&self, head: &SignedHead, chosen: &Chosen) -> Option<EventProof> {
        let state = self.state.as_ref()?;
        let index = ProofIndex::open(self.vault, state)?;
        let size = head.head().size;
        if size > index.events {
            return None;
        }
        let mut lines = BTreeMap::new();
        match chosen {
            Chosen::Lines(from, to) if *from > 0 && from <= to && *to <= size => {
                lines.extend((from - 1..*to).zip(index.lines(from - 1..*to)?));
            }
            // Whoever chose by conditions has read the log.
            Chosen::Lines(..) | Chosen::At(_) => return None,
            Chosen::Events(ids) => {
                for id in ids {
                    lines.extend([index.find(*id).filter(|(at, _)| *at < size)?]);
                }
            }
        }
        for at in index.always.iter().take_while(|at| **at < size) {
            lines.insert(*at, index.line(*at)?);
        }
        let lines = lines.into_iter();
        let lines: BTreeMap<_, _> = lines.map(|(at, line)| (at, Cow::Owned(line))).collect();
        let leaves = lines.iter().map(|(at, line)| Some((*at, leaf(line)?)));
        let leaves: Vec<_> = leaves.collect::<Option<_>>()?;
        let registry = registry_of(self.vault).ok()?;
        let proof = assemble((head, None), &registry, lines, &leaves, &index).ok()?;
        (!index.has_failed() && state.is_that_of(self.vault)).then_some(proof)
    }

    /// As [`Vault::prove`], of a log that is of this vault and was verified after this began; leaves an index for the
    /// next proof.
    ///
    /// # Errors
    /// As [`Vault::prove`].
    pub fn by_log(
        &self,
        log: &SourceLog,
        head: &SignedHead,
        chosen: &Chosen,
    ) -> Result<EventProof, VaultError> {
        let prover = Prover::new(self.vault, log, head)?;
        let proof = prover.events(chosen)?;
        if let (Some(state), true) = (&self.state, log.is_settled()) {
            ProofIndex::keep(self.vault, state, log.bytes(), &prover.all);
        }
        Ok(proof)
    }
}

fn registry_of(vault: &Vault) -> Result<KeyRegistry, VaultError> {
    Ok(check_keys(read_text(vault.path(), KEYS)?.as_deref()).0)
}

fn other_tree(head: &SignedHead) -> VaultError {
    let head = head.head();
    ProofRefusal::OtherTree {
        origin: head.origin.to_string(),
        size: head.size,
    }
    .into()
}

/// A log, and a head of it.
struct Prover<'a> {
    log: &'a SourceLog,
    head: &'a SignedHead,
    /// The leaves of all events of the log.
    all: Vec<Digest>,
    /// How many of them the head is over.
    size: usize,
    registry: KeyRegistry,
}

impl<'a> Prover<'a> {
    fn new(vault: &Vault, log: &'a SourceLog, head: &'a SignedHead) -> Result<Self, VaultError> {
        let all = leaves_of(log).ok_or(ProofRefusal::Unreadable)?;
        let size = head.head().size;
        let events = all.len() as u64;
        if size > events {
            return Err(ProofRefusal::Longer { size, events }.into());
        }
        Ok(Self {
            log,
            head,
            all,
            size: usize::try_from(size).expect("no more than there are"),
            registry: registry_of(vault)?,
        })
    }

    /// The leaves of the events that the head is over.
    fn leaves(&self) -> &[Digest] {
        &self.all[..self.size]
    }

    /// Refuses a head that the log does not go on from.
    fn hold(&self, kept: &SignedHead) -> Result<(), VaultError> {
        let head = kept.head();
        let known = usize::try_from(head.size).ok();
        let known = known.and_then(|size| self.leaves().get(..size));
        match known.map(root_over) {
            Some(root) if root == head.root => Ok(()),
            _ => Err(other_tree(kept)),
        }
    }

    /// The lines that the head is over.
    fn lines(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        (0..).zip(lines_of(self.log)).take(self.size)
    }

    fn events(&self, chosen: &Chosen) -> Result<EventProof, VaultError> {
        let events = match chosen {
            Chosen::Lines(from, to) => {
                let events = self.size as u64;
                if *from == 0 || from > to || *to > events {
                    return Err(ProofRefusal::Lines {
                        from: *from,
                        to: *to,
                        events,
                    }
                    .into());
                }
                let lines = self.lines().skip(*from as usize - 1);
                lines.take((to - from + 1) as usize).collect()
            }
            Chosen::Events(ids) => self.find(ids)?,
            Chosen::At(lines) => {
                let is_in = |at: &u64| lines.contains(&(at + 1));
                let found: BTreeMap<_, _> = self.lines().filter(|(at, _)| is_in(at)).collect();
                if found.len() < lines.len() {
                    let (from, to) = (lines.first(), lines.last());
                    return Err(ProofRefusal::Lines {
                        from: from.copied().unwrap_or_default(),
                        to: to.copied().unwrap_or_default(),
                        events: self.size as u64,
                    }
                    .into());
                }
                found
            }
        };
        self.proof(&events, None)
    }

    /// The lines of these events.
    fn find(&self, ids: &[EventId]) -> Result<BTreeMap<u64, &'a [u8]>, VaultError> {
        match self.known(ids) {
            (found, None) => Ok(found),
            (_, Some(event_id)) => Err(ProofRefusal::NoSuchEvent {
                event_id,
                size: self.size as u64,
            }
            .into()),
        }
    }

    /// The lines of these events as far as they are there, and the first that is not.
    fn known(&self, ids: &[EventId]) -> (BTreeMap<u64, &'a [u8]>, Option<EventId>) {
        let texts: Vec<_> = ids
            .iter()
            .map(|id| format!("\"event_id\":\"{id}\""))
            .collect();
        let finders: Vec<_> = texts.iter().map(Finder::new).collect();
        let mut found = BTreeMap::new();
        let mut open: BTreeSet<_> = ids.iter().copied().collect();
        for (at, line) in self.lines() {
            if open.is_empty() {
                break;
            }
            if finders.iter().all(|finder| finder.find(line).is_none()) {
                continue;
            }
            let id = scan_line(line).ok();
            let id = id.and_then(|line| line.text(Field::EventId)?.parse::<EventId>().ok());
            if id.is_some_and(|id| open.remove(&id)) {
                found.insert(at, line);
            }
        }
        (found, open.first().copied())
    }

    /// The proof of these events, and of those that bring the keys which signed them, the head and `other`.
    fn proof(
        &self,
        chosen: &BTreeMap<u64, &'a [u8]>,
        other: Option<&SignedHead>,
    ) -> Result<EventProof, VaultError> {
        let mut lines = chosen.clone();
        lines.extend(self.key_events());
        // Up to where a key was trusted that was revoked.
        let boundaries = key_lines(self.log).filter_map(|(event, _)| boundary(&event));
        let boundaries: Vec<_> = boundaries.collect();
        if !boundaries.is_empty() {
            // One that the head is not over is beyond all that it vouches for.
            lines.extend(self.known(&boundaries).0);
        }
        let leaves: Vec<_> = lines
            .keys()
            .map(|at| (*at, self.all[*at as usize]))
            .collect();
        let lines = lines.into_iter();
        let lines = lines.map(|(at, line)| (at, Cow::Borrowed(line))).collect();
        let heads = (self.head, other);
        assemble(heads, &self.registry, lines, &leaves, self.leaves())
    }

    /// The events that speak of keys, the first one of all of them.
    fn key_events(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let size = self.size as u64;
        let lines = key_lines(self.log).map(|(event, line)| (event.number - 1, line));
        lines.take_while(move |(at, _)| *at < size)
    }
}

/// The proof of these lines, which have these leaves, for the first of the heads, with the keys that signed them and
/// the heads.
fn assemble(
    (head, other): (&SignedHead, Option<&SignedHead>),
    registry: &KeyRegistry,
    lines: BTreeMap<u64, Cow<'_, [u8]>>,
    leaves: &[(u64, Digest)],
    subtrees: &(impl Subtrees + ?Sized),
) -> Result<EventProof, VaultError> {
    let size = head.head().size;
    let places: Vec<_> = lines.keys().copied().collect();
    let digests = subset(subtrees, &places, size);
    // Without a look at all the leaves once more.
    let root = root_of_subset(leaves, size, &digests);
    if root.unwrap_or_else(|| subtrees.root(0..size)) != head.head().root {
        return Err(other_tree(head));
    }
    let mut signers = BTreeSet::new();
    for line in lines.values() {
        let line = scan_line(line).ok().ok_or(ProofRefusal::Unreadable)?;
        let key = line.text(Field::ActorKeyId);
        signers.extend(key.and_then(|key| key.parse::<KeyId>().ok()));
    }
    let signed = |head: &SignedHead, key: &PublicKey| {
        let name = head.head().origin.to_string();
        head.note().signed_by(&name, key) == Signed::Rightly
    };
    for head in [Some(head), other].into_iter().flatten() {
        let mut keys = registry.keys.iter();
        if !keys.any(|entry| signed(head, &entry.public_key)) {
            return Err(ProofRefusal::Unsigned {
                origin: head.head().origin.to_string(),
            }
            .into());
        }
    }
    let signs = |key: &PublicKey| signed(head, key) || other.is_some_and(|head| signed(head, key));
    let keys = registry.keys.iter().map(|entry| &entry.public_key);
    let keys = keys.filter(|key| signers.contains(&key.key_id()) || signs(key));
    Ok(EventProof {
        head: head.clone(),
        events: lines
            .into_iter()
            .map(|(at, line)| ShownEvent {
                at,
                line: line.into_owned(),
            })
            .collect(),
        keys: keys.cloned().collect(),
        digests,
    })
}
