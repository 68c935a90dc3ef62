//! What a writer finds: where the log stands beside its seal, what that seal vouches for, and a torn tail.
//!
//! A writer goes on from a seal that is of the vault as it is, or of an earlier state that the log goes on
//! from. Everything else it refuses, and changes nothing: a new seal would vouch for what nobody looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use provara_core::finding::{Code, Finding, Severity};
use provara_core::history::KeyEventKind;
use provara_core::id::{Digest, KeyId};
use provara_core::layout;
use provara_core::manifest::{FileEntry, RootSignature, merkle_root};
use provara_core::verify::files::{DiskEntry, SealFiles};
use provara_core::verify::seal::{KeysOf, SealCase, SealJudgement, SealStanding, judge};
use sha2::{Digest as _, Sha256};

use crate::check;
use crate::checkpoint_files::{checkpoint_names, refuse_foreign, unsealed_checkpoints};
use crate::error::{Context, VaultError};
use crate::files::read_text;
use crate::index::LogIndex;
use crate::log_snapshot::LogSnapshot;
use crate::redact::pending::has_pending;
use crate::refusal::refused;
use crate::rotation::Keys;
use crate::seal::{Names, NewSeal, entries_of, sealed_prefix, set_entry, text_entry};
use crate::tail::Recalled;
use crate::vault::Vault;
use provara_core::parallel::available_threads;

/// The files of a vault's seal, as they stand there.
#[derive(Debug)]
pub(super) struct SealTexts {
    manifest: Vec<u8>,
    signature: Option<Vec<u8>>,
    merkle_root: Option<Vec<u8>>,
}

impl SealTexts {
    pub(super) fn read(vault: &Vault) -> Result<Self, VaultError> {
        let text = |file| read_text(vault.path(), file);
        Ok(Self {
            manifest: text(layout::MANIFEST)?.ok_or_else(|| VaultError::Structure {
                file: layout::MANIFEST.to_owned(),
                reason: "it is missing".to_owned(),
            })?,
            signature: text(layout::MANIFEST_SIG)?,
            merkle_root: text(layout::MERKLE_ROOT)?,
        })
    }

    /// The entries of the manifest.
    pub(super) fn entries(&self) -> Result<Vec<FileEntry>, VaultError> {
        entries_of(&self.manifest)
    }

    /// The SHA-256 of `manifest.sig`.
    pub(super) fn signature_digest(&self) -> Option<Digest> {
        self.signature.as_deref().map(Digest::of)
    }
}

/// Where a vault stands whose seal a writer goes on from.
#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) index: LogIndex,
    /// Over the log's first `index.len` bytes.
    pub(super) hasher: Sha256,
    pub(super) keys: Keys,
    /// Where a torn tail begins, and how long it is.
    pub(super) torn: Option<(u64, u64)>,
    /// The manifest's files, with those that are not listed yet.
    pub(super) entries: Vec<FileEntry>,
    pub(super) seal: NewSeal,
    /// How many events the seal covers.
    pub(super) sealed: u64,
    /// Whether the name of `manifest.sig` is known to be on the disk.
    pub(super) names: Names,
    pub(super) recalled: bool,
    /// Whether a redaction is to be carried out.
    pub(super) pending: bool,
}

impl WriterState {
    /// What the tail cache knows, if the vault is as it was when that was written: the seal is then the one
    /// that this machine's writer made, over the log that the cache is of.
    pub(super) fn recalled(
        vault: &Vault,
        texts: &SealTexts,
        entries: &[FileEntry],
        recalled: Recalled,
    ) -> Result<Option<Self>, VaultError> {
        let Some(signature) = texts.signature.as_deref() else {
            return Ok(None);
        };
        let Ok(signed) = RootSignature::parse(signature) else {
            return Ok(None);
        };
        let root = signed.merkle_root;
        let is_checkpoint = |path: &&str| layout::checkpoint_events(path).is_some();
        let paths = entries.iter().map(|entry| entry.path.as_str());
        let listed: BTreeSet<&str> = paths.filter(is_checkpoint).collect();
        let on_disk = checkpoint_names(vault)?;
        if Some(recalled.signature) != texts.signature_digest()
            || root != merkle_root(entries.iter().map(FileEntry::leaf))
            || !on_disk
                .iter()
                .map(String::as_str)
                .eq(listed.iter().copied())
        {
            return Ok(None);
        }
        let index = recalled.index;
        let keys = Keys::read(vault, entries, &index, index.len)?;
        // Also where a manifest without a mark lists the file's hash with another size.
        let is_sealed = |text: &Vec<u8>| entries.contains(&text_entry(layout::KEYS, text));
        if keys.lag || !keys.texts.iter().any(is_sealed) {
            return Ok(None);
        }
        Ok(Some(Self {
            sealed: index.lines,
            index,
            hasher: recalled.hasher,
            keys,
            torn: None,
            entries: entries.to_vec(),
            seal: NewSeal {
                root,
                signature: recalled.signature,
                signed_at: signed.signed_at_utc.parse().ok(),
            },
            names: recalled.names,
            recalled: true,
            pending: false,
        }))
    }

    /// Reads the whole log, judges the seal, and checks what it does not cover yet.
    pub(super) fn read(
        vault: &Vault,
        log: &File,
        texts: &SealTexts,
        entries: Vec<FileEntry>,
        notes: &mut Vec<String>,
    ) -> Result<Self, VaultError> {
        let path = vault.log_path();
        let length = log.metadata().context("read", &path)?.len();
        let bytes = LogSnapshot::of_prefix(log, length, &path)?;
        let state = Self::of_bytes(vault, &bytes, texts, entries, notes);
        // First of all: what it read may be why it failed.
        bytes.check_unchanged()?;
        state
    }

    fn of_bytes(
        vault: &Vault,
        bytes: &[u8],
        texts: &SealTexts,
        mut entries: Vec<FileEntry>,
        notes: &mut Vec<String>,
    ) -> Result<Self, VaultError> {
        let length = bytes.len() as u64;
        let prefix = sealed_prefix(&entries, bytes)?;
        let (mut index, torn) = LogIndex::read(bytes, prefix.length)?;
        if index.lines == 0 {
            return Err(VaultError::Structure {
                file: layout::LOG.to_owned(),
                reason: "it holds no event; a vault starts with a GENESIS event".to_owned(),
            });
        }
        let mut hasher = prefix.hasher;
        hasher.update(&bytes[prefix.length as usize..index.len as usize]);
        let whole = &bytes[..index.len as usize];
        let keys = Keys::read(vault, &entries, &index, prefix.length)?;
        let unlisted = unsealed_checkpoints(vault, &entries, &keys.registry, index.lines)?;
        let case = Case {
            log: whole,
            digest: Digest(hasher.clone().finalize().into()),
            index: &index,
            keys: &keys,
            texts,
            disk: disk(vault, &entries, &unlisted, &keys)?,
        };
        let judged = case.judge();
        let sealed = covered(&judged, whole, &index, &keys, notes)?;
        refuse_doubtful(&judged, &keys)?;
        if let Some(history) = &keys.history {
            index.settle_proofs(history);
        }
        notes.extend(keys.note());
        // The manifest may be of an earlier state than the file.
        set_entry(&mut entries, text_entry(layout::KEYS, &keys.texts[0]));
        for found in unlisted {
            notes.push(format!("{} was not in the seal yet; it now is", found.path));
            set_entry(&mut entries, found);
        }
        refuse_foreign(vault, &entries, index.lines, index.last_event)?;
        let pending = has_pending(whole);
        Ok(Self {
            torn: torn.map(|at| (at, length - at)),
            sealed,
            index,
            hasher,
            keys,
            entries,
            seal: NewSeal {
                root: judged.root.expect("it is of something"),
                signature: texts.signature_digest().expect("it was read"),
                signed_at: judged.signed_at_utc.and_then(|text| text.parse().ok()),
            },
            names: Names::Unknown,
            recalled: false,
            pending,
        })
    }
}

/// How many events a seal covers that a writer goes on from; what lies beyond it must verify.
fn covered(
    judged: &SealJudgement,
    log: &[u8],
    index: &LogIndex,
    keys: &Keys,
    notes: &mut Vec<String>,
) -> Result<u64, VaultError> {
    match judged.standing {
        SealStanding::Current => {
            if judged.findings.iter().any(|it| it.code == Code::W001) {
                notes.push(
                    "files of the seal were of an earlier state, as an interrupted writer leaves \
                     them; they were made anew"
                        .to_owned(),
                );
            }
            Ok(index.lines)
        }
        SealStanding::Continued { events, length } => {
            check::unsealed(log, length, &keys.registry)?;
            notes.push(format!(
                "the seal lagged behind the log by {} bytes of whole events (lines {} to {}); it now \
                 covers them",
                index.len - length,
                events + 1,
                index.lines,
            ));
            Ok(events)
        }
        _ => {
            let refusal = refused(judged, index.lines, index.last_event);
            Err(refusal.expect("it vouches for nothing"))
        }
    }
}

/// Refuses a seal that covers the log and is not to be gone on from all the same: over files of which one is
/// another.
fn refuse_doubtful(judged: &SealJudgement, keys: &Keys) -> Result<(), VaultError> {
    let is_marked = keys.history.is_some();
    // Of a vault without a mark an interrupted writer leaves files that contradict each other.
    let error = |finding: &&Finding| finding.severity == Severity::Error;
    match judged.findings.iter().find(error).filter(|_| is_marked) {
        None => Ok(()),
        Some(finding) => Err(VaultError::SealContradiction {
            file: finding.file.clone(),
            reason: finding.message.clone(),
        }),
    }
}

/// A vault whose seal is to be judged.
struct Case<'a> {
    log: &'a [u8],
    /// Of the log.
    digest: Digest,
    index: &'a LogIndex,
    keys: &'a Keys,
    texts: &'a SealTexts,
    disk: BTreeMap<String, DiskEntry>,
}

impl Case<'_> {
    fn judge(mut self) -> SealJudgement {
        let log = DiskEntry::File {
            size: self.log.len() as u64,
            sha256: self.digest,
        };
        self.disk.insert(layout::LOG.to_owned(), log);
        let revocations = self.index.key_events.iter();
        let revoked: Vec<KeyId> = revocations
            .filter(|event| event.kind == KeyEventKind::Revocation)
            .filter_map(|event| event.subject())
            .collect();
        let with = |keys| {
            judge(&SealCase {
                log: self.log,
                events: self.index.lines,
                seal: SealFiles {
                    manifest: Some(&self.texts.manifest),
                    signature: self.texts.signature.as_deref(),
                    merkle_root: self.texts.merkle_root.as_deref(),
                },
                disk: &self.disk,
                keys,
                listed: None,
                files: &[],
                verdict: None,
                threads: available_threads(),
            })
        };
        if let Some(history) = &self.keys.history {
            return with(KeysOf::History(history));
        }
        let mut judged = None;
        for text in &self.keys.texts {
            let found = with(KeysOf::File {
                text,
                registry: &self.keys.registry,
                promoted: &[],
                revoked: &revoked,
                introduced: None,
            });
            if found.standing != SealStanding::Other {
                return found;
            }
            judged.get_or_insert(found);
        }
        judged.expect("a keys.json has bytes")
    }
}

/// What stands beside the log, as far as an append looks: it reads `keys.json` and checkpoints that are
/// not listed yet, and takes what the manifest says of the other files, which a verification reads.
fn disk(
    vault: &Vault,
    entries: &[FileEntry],
    unlisted: &[FileEntry],
    keys: &Keys,
) -> Result<BTreeMap<String, DiskEntry>, VaultError> {
    let file = |entry: &FileEntry| DiskEntry::File {
        size: entry.size,
        sha256: entry.sha256,
    };
    let mut disk: BTreeMap<String, DiskEntry> = entries
        .iter()
        .filter(|entry| layout::checkpoint_events(&entry.path).is_none())
        .map(|entry| (entry.path.clone(), file(entry)))
        .collect();
    let keys = text_entry(layout::KEYS, &keys.texts[0]);
    disk.insert(layout::KEYS.to_owned(), file(&keys));
    for path in checkpoint_names(vault)? {
        let is_this = |entry: &&FileEntry| entry.path == path;
        let known = entries.iter().chain(unlisted).find(is_this);
        let known = known.ok_or_else(|| VaultError::SealContradiction {
            file: path.clone(),
            reason: "the manifest does not list it, and it is no checkpoint of this log by a key of the \
                     vault"
                .to_owned(),
        })?;
        disk.insert(path.clone(), file(known));
    }
    Ok(disk)
}
