//! What an intent that stands in a vault comes to.

use provara_core::finding::Severity;
use provara_core::id::{Digest, EventId};
use provara_core::layout;
use provara_core::manifest::{
    FileEntry, Manifest, RootSignature, write_manifest, write_merkle_root,
};
use provara_core::verify::files::check_keys;
use provara_core::verify::seal::{KeysOf, SealCase, SealStanding, judge};

use super::{Intent, Source, version_1};
use crate::check::check_log;
use crate::error::VaultError;
use crate::memory::{self, SealSeen};
use crate::vault::Vault;
use crate::vault_files::Standing;
use crate::vault_snapshot::VaultSnapshot;
use provara_core::parallel::available_threads;

/// What is to be done about an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything is as it says: it goes.
    Done,
    /// Some of it is done: the rest follows.
    Forward,
    /// Nothing of it is done, and it cannot be: it goes.
    NotBegun,
}

/// An intent that can be settled.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) intent: Intent,
    pub(crate) state: State,
    /// Of the state that going forward gives: what memory is asked about.
    coming: Option<Coming>,
}

/// What the vault comes to.
#[derive(Debug)]
struct Coming {
    identity: EventId,
    size: u64,
    length: u64,
    tree_root: Digest,
    last_event: EventId,
    seal: Option<SealSeen>,
    /// Of all its events: its log may not stand in its place yet.
    leaves: Vec<Digest>,
}

impl Pending {
    /// Refuses to go forward to what this machine remembers otherwise: whoever can write the vault's files
    /// can put an old intent, or the files of an old state in one, beside the new ones.
    ///
    /// # Errors
    /// [`VaultError::NotAsRemembered`].
    pub(crate) fn recollect(&self, vault: &Vault) -> Result<(), VaultError> {
        let Some(coming) = &self.coming else {
            return Ok(());
        };
        let head = memory::Reached {
            identity: coming.identity,
            size: coming.size,
            length: coming.length,
            tree_root: coming.tree_root,
            last_event: coming.last_event,
            seal: coming.seal,
            leaves: &[],
        };
        memory::check_coming(vault, &head, &coming.leaves).map(drop)
    }

    /// What a writer does about it, for the user.
    pub(crate) fn note(&self) -> String {
        let what = self.intent.operation.words();
        match self.state {
            State::Done => {
                format!("{what} had been interrupted at its very end; its traces were removed")
            }
            State::Forward => format!("{what} had been interrupted; it was completed"),
            State::NotBegun => {
                format!(
                    "{what} had been interrupted before it changed anything; its traces were removed"
                )
            }
        }
    }
}

/// How a file stands to an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
    Neither,
}

fn broken(reason: impl Into<String>) -> VaultError {
    VaultError::Structure {
        file: layout::MERGE_INTENT.to_owned(),
        reason: reason.into(),
    }
}

/// Whether the text is an intent of version 1.1.0, which [`version_1`] settles.
pub(crate) fn is_of_old_version(text: &[u8]) -> bool {
    version_1::Intent::parse(text).is_some()
}

/// The intent that stands in the vault, and what is to be done about it. Only to be asked while no writer is
/// at work.
///
/// # Errors
/// [`VaultError::Structure`] for one that cannot be settled.
pub(crate) fn find(vault: &Vault) -> Result<Option<Pending>, VaultError> {
    let Some(text) = vault.files().read(layout::MERGE_INTENT)? else {
        return Ok(None);
    };
    if is_of_old_version(&text) {
        return Ok(None);
    }
    let intent = Intent::parse(&text).map_err(broken)?;
    let (state, coming) = state(vault, &intent)?;
    Ok(Some(Pending {
        intent,
        state,
        coming,
    }))
}

fn state(vault: &Vault, intent: &Intent) -> Result<(State, Option<Coming>), VaultError> {
    let mut sides = Vec::new();
    let mut at_hand = true;
    for step in &intent.files {
        let side = match step.path.as_str() {
            layout::LOG => side_of_log(vault, intent)?,
            path => {
                let there = vault.files().read(path)?.map(|text| Digest::of(&text));
                side(there, step.was, Some(step.sha256))
            }
        };
        if let (Source::Staged(name), Side::Old) = (&step.source, side) {
            at_hand &= digest_of(vault, name)? == Some(step.sha256);
        }
        sides.push((side, step.path.as_str()));
    }
    for removal in &intent.removed {
        let there = digest_of(vault, &removal.path)?;
        sides.push((side(there, Some(removal.was), None), &removal.path));
    }
    let seal = vault.files().read(layout::MANIFEST_SIG)?;
    let stated = seal
        .as_deref()
        .and_then(|text| RootSignature::parse(text).ok());
    let sealed = match seal.as_deref() {
        Some(text) if text == intent.seal => Side::New,
        _ if stated.map(|it| it.merkle_root) == intent.from => Side::Old,
        _ => Side::Neither,
    };
    sides.push((sealed, layout::MANIFEST_SIG));
    if let Some((_, path)) = sides.iter().find(|(side, _)| *side == Side::Neither) {
        return Err(broken(format!(
            "{path} is neither what it was before {} was interrupted nor what it was to become",
            intent.operation.words()
        )));
    }
    let all = |wanted| sides.iter().all(|(side, _)| *side == wanted);
    if all(Side::New) {
        return Ok((State::Done, None));
    }
    if !at_hand {
        return match all(Side::Old) {
            true => Ok((State::NotBegun, None)),
            false => Err(broken("the log that it was to bring is not there")),
        };
    }
    match evidence(vault, intent)? {
        Ok(coming) => Ok((State::Forward, coming)),
        Err(reason) => Err(broken(format!(
            "no key of the vault vouches for what it would do: {reason}"
        ))),
    }
}

fn side(there: Option<Digest>, old: Option<Digest>, new: Option<Digest>) -> Side {
    match there {
        there if there == new => Side::New,
        there if there == old => Side::Old,
        _ => Side::Neither,
    }
}

/// The digest of a regular file of the vault, if it is there.
fn digest_of(vault: &Vault, relative: &str) -> Result<Option<Digest>, VaultError> {
    match vault.files().stands(relative)? {
        Some(Standing::File) => vault.files().hash(relative).map(|(_, digest)| Some(digest)),
        _ => Ok(None),
    }
}

fn side_of_log(vault: &Vault, intent: &Intent) -> Result<Side, VaultError> {
    let step = intent.step(layout::LOG).expect("it is asked for");
    let Some(log) = vault.files().open_log(layout::LOG)? else {
        return Ok(Side::Neither);
    };
    let bytes = log.whole()?;
    let Source::Append { after, text } = &step.source else {
        return Ok(side(Some(Digest::of(&bytes)), step.was, Some(step.sha256)));
    };
    let Some((before, tail)) = split(&bytes, *after) else {
        return Ok(Side::Neither);
    };
    // The end may be there in part, or the room for it alone.
    let is_part = tail.len() <= text.len()
        && tail
            .iter()
            .zip(text)
            .all(|(there, new)| there == new || *there == 0);
    Ok(match is_part && Some(Digest::of(before)) == step.was {
        true if tail == text => Side::New,
        true => Side::Old,
        false => Side::Neither,
    })
}

fn split(bytes: &[u8], at: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(at).ok()?)
}

/// The state that going forward gives, if the seal of the intent is the current one of that state, by a key
/// that counts; or else why nothing vouches for it.
fn evidence(vault: &Vault, intent: &Intent) -> Result<Result<Option<Coming>, String>, VaultError> {
    let snapshot = VaultSnapshot::after(vault, intent)?;
    let log = snapshot.log_bytes();
    if intent
        .step(layout::LOG)
        .is_some_and(|step| Digest::of(&log) != step.sha256)
    {
        return Ok(Err("the log would be another one".to_owned()));
    }
    let (registry, _) = check_keys(snapshot.text(layout::KEYS));
    let threads = available_threads();
    let verdict = check_log(&log, b"", &registry, threads)?;
    let disk = snapshot.disk(vault, Digest::of(&log))?;
    let keys = snapshot.text(layout::KEYS).unwrap_or_default();
    let judgement = judge(&SealCase {
        log: &log,
        events: verdict.lines,
        seal: snapshot.seal(),
        disk: &disk,
        keys: KeysOf::verdict(&verdict, keys, &registry),
        listed: None,
        files: &verdict.files,
        verdict: Some(&verdict),
        threads,
    });
    if judgement.standing != SealStanding::Current {
        let mut errors = judgement.findings.iter();
        let why = errors.find(|found| found.severity == Severity::Error);
        return Ok(Err(why.map_or_else(
            || "its seal is of another state".to_owned(),
            |found| format!("{} {}", found.file, found.message),
        )));
    }
    // In a vault without a mark keys.json is believed as it stands, and not as it would become.
    if verdict.history.is_none()
        && let Some(signer) = judgement.key_id
        && !verdict.introduced.contains(&signer)
    {
        let (now, _) = check_keys(vault.files().read(layout::KEYS)?.as_deref());
        if now.get(&signer).is_none() {
            return Ok(Err(format!(
                "its seal is by key {signer}, which it would list itself"
            )));
        }
    }
    if let Some(file) = unwritten(&snapshot) {
        return Ok(Err(format!("{file} would not be what a writer makes")));
    }
    let signed_at = judgement.signed_at_utc.as_deref();
    let seal = judgement.root.zip(signed_at.and_then(|at| at.parse().ok()));
    let ends = verdict.first_event.zip(verdict.last_event);
    let Some(leaves) = memory::leaves_of(&log) else {
        return Ok(Err("a line of its log would be no event".to_owned()));
    };
    Ok(Ok(ends.map(|(identity, last_event)| Coming {
        identity,
        size: verdict.lines,
        length: log.len() as u64,
        tree_root: verdict.tree.root(),
        last_event,
        seal: seal.map(|(root, signed_at)| SealSeen { root, signed_at }),
        leaves,
    })))
}

/// The file of the seal that is not what the writer of that seal wrote. Its root covers neither of them.
fn unwritten(snapshot: &VaultSnapshot) -> Option<&'static str> {
    let seal = snapshot.seal();
    let expected = || -> Option<(Vec<u8>, Digest)> {
        let signature = RootSignature::parse(seal.signature?).ok()?;
        let manifest = Manifest::parse(seal.manifest?).ok()?;
        let entries = manifest.files.into_iter().map(|file| {
            Some(FileEntry {
                path: file.path,
                sha256: file.sha256.parse().ok()?,
                size: file.size,
            })
        });
        let entries: Vec<_> = entries.collect::<Option<_>>()?;
        let (text, root) = write_manifest(entries, signature.signed_at_utc.parse().ok()?);
        (root == signature.merkle_root).then_some((text, root))
    };
    match expected() {
        Some((manifest, _)) if seal.manifest != Some(&manifest) => Some(layout::MANIFEST),
        Some((_, root)) if seal.merkle_root != Some(&write_merkle_root(root)) => {
            Some(layout::MERKLE_ROOT)
        }
        Some(_) => None,
        None => Some(layout::MANIFEST),
    }
}
