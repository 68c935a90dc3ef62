//! What a seal vouches for: the state of the vault as it is, an earlier one that is continued, or neither
//! (spec/VAULT_FORMAT, section 5).

mod lag;
mod naming;
mod sealed;

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Code, Finding};
use crate::history::{KeyHistory, KeyStanding};
use crate::id::{Digest, KeyId};
use crate::keys::{KeyRegistry, PublicKey};
use crate::layout::{
    KEYS, LOG, MANIFEST, MANIFEST_SIG, anchor_kind, checkpoint_events, is_unlisted,
};
use crate::manifest::{FileEntry, Manifest, RootSignature, RootSignatureError};
use crate::mark::{SealName, may_sign};
use crate::time::Timestamp;
use crate::verify::files::{
    AboutLog, DiskEntry, SealFiles, check_listing, check_manifest_against_disk, check_root_file,
    read_manifest,
};
use crate::verify::{FilesStatement, LogVerdict};

use lag::Lag;
use naming::{Beyond, Naming};
use sealed::SealedFiles;

/// What is said of a seal of which nothing more is known than that it is of other content.
pub const OF_NO_STATE: &str =
    "the seal is neither of the vault as it is nor of any state that its log goes on from";

/// Whether a file is one that neither follows from the log nor belongs to the seal: what a
/// `com.provara.vault.files` event states. An anchor speaks of the log, and proves itself.
#[must_use]
pub fn is_evidence_beside_log(path: &str) -> bool {
    let of_log = path == LOG || path == KEYS || checkpoint_events(path).is_some();
    !of_log && !is_unlisted(path) && anchor_kind(path).is_none()
}

/// The number of the files that a `com.provara.vault.files` event states, and their Merkle root.
#[must_use]
pub fn files_beside_log<'a>(entries: impl Iterator<Item = &'a FileEntry>) -> (u64, Digest) {
    let none = BTreeMap::new();
    SealedFiles::new(entries.cloned(), &none, std::iter::empty()).rest()
}

/// What `keys.json` must say, and which keys count.
#[derive(Debug, Clone, Copy)]
pub enum KeysOf<'a> {
    /// Of a marked vault: what signed events say.
    History(&'a KeyHistory),
    /// Of one without a mark: the file, and what the log says of rotations.
    File {
        /// Its bytes.
        text: &'a [u8],
        /// Its entries.
        registry: &'a KeyRegistry,
        /// Keys that the log promoted and that it does not list.
        promoted: &'a [PublicKey],
        /// Keys that the log revoked.
        revoked: &'a [KeyId],
        /// Keys to which signed events lead; where nobody has looked, all count as such.
        introduced: Option<&'a BTreeSet<KeyId>>,
    },
}

impl<'a> SealCase<'a> {
    fn about_log(&self) -> Option<AboutLog<'a>> {
        let log = self.log;
        self.verdict.map(|verdict| AboutLog { log, verdict })
    }
}

impl<'a> KeysOf<'a> {
    /// The keys of a vault whose log came to this verdict; `text` and `registry` are its `keys.json`.
    #[must_use]
    pub fn verdict(log: &'a LogVerdict, text: &'a [u8], registry: &'a KeyRegistry) -> Self {
        match &log.history {
            Some(history) => Self::History(history),
            None => Self::File {
                text,
                registry,
                promoted: &log.promoted_keys,
                revoked: &log.revoked_keys,
                introduced: Some(&log.introduced),
            },
        }
    }
}

/// A vault whose seal is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct SealCase<'a> {
    /// The log: whole lines, of which the last may lack its LF.
    pub log: &'a [u8],
    /// How many lines those are.
    pub events: u64,
    /// The files of the seal.
    pub seal: SealFiles<'a>,
    /// Every entry below the vault that is not a directory, by its path relative to the vault. That of the
    /// log must be of the bytes of `log`.
    pub disk: &'a BTreeMap<String, DiskEntry>,
    /// The keys.
    pub keys: KeysOf<'a>,
    /// What `keys.json` lists, if it could be read and is sound: for the words of findings.
    pub listed: Option<&'a KeyRegistry>,
    /// What the log states of the files beside it, in order.
    pub files: &'a [FilesStatement],
    /// What the log came to, if it was verified: for the words of findings.
    pub verdict: Option<&'a LogVerdict>,
    /// How many threads may look for the state that an earlier seal is of.
    pub threads: usize,
}

/// What a seal vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealStanding {
    /// There is no `manifest.sig`.
    Absent,
    /// `manifest.sig` is malformed.
    Unreadable,
    /// Its signature does not verify.
    Wrong,
    /// A key signed it that does not count where it stands.
    NotCounting,
    /// It is of other content.
    Other,
    /// It is of the vault as it is.
    Current,
    /// It is of an earlier state, which the log goes on from.
    Continued {
        /// The events that it covers.
        events: u64,
        /// Their bytes in the log.
        length: u64,
    },
}

/// What there is to say of a seal.
#[derive(Debug, Clone)]
pub struct SealJudgement {
    /// What it vouches for.
    pub standing: SealStanding,
    /// The root that `manifest.sig` signs.
    pub root: Option<Digest>,
    /// The key that it names.
    pub key_id: Option<KeyId>,
    /// When it was made, as written.
    pub signed_at_utc: Option<String>,
    /// Everything found in the seal, and in the files against it.
    pub findings: Vec<Finding>,
    /// What [`Code::W001`] says where no writer goes on from the vault.
    unrenewed: Option<String>,
}

impl SealJudgement {
    /// Takes back that the next writer renews what lags: for who knows that writers refuse the vault for
    /// something that is neither in its log nor in its seal.
    pub fn writers_refuse(&mut self) {
        let mut lags = self.findings.iter_mut();
        let lag = lags.find(|finding| finding.code == Code::W001);
        if let (Some(lag), Some(message)) = (lag, self.unrenewed.take()) {
            lag.message = message;
        }
    }
}

/// Judges a seal.
#[must_use]
pub fn judge(case: &SealCase<'_>) -> SealJudgement {
    let mut findings = Vec::new();
    let manifest = read_manifest(case.seal.manifest, &mut findings);
    if let Some(manifest) = &manifest {
        check_listing(manifest, &mut findings);
    }
    let sealed = sealed_files(case, manifest.as_ref());
    let signature = read_signature(case, &mut findings);
    let naming = Naming::of(case.log);
    let standing = match &signature {
        None if case.seal.signature.is_none() => SealStanding::Absent,
        None => SealStanding::Unreadable,
        Some(signature) => {
            let key = signer(case, signature, &mut findings);
            match key {
                None => SealStanding::NotCounting,
                Some(key) if key.verify(&signature.signed, &signature.signature).is_err() => {
                    let message = format!(
                        "the signature does not verify under key {}",
                        signature.key_id
                    );
                    findings.push(Finding::new(Code::E003, MANIFEST_SIG, message));
                    SealStanding::Wrong
                }
                Some(_) => {
                    let standing = place(case, &sealed, signature, manifest.as_ref(), &naming);
                    countable(case, signature, standing, &mut findings)
                }
            }
        }
    };
    let standing = match (case.keys, &signature) {
        (KeysOf::History(_), Some(signature)) => {
            let root = signature.merkle_root;
            let standing =
                check_continuation(case, &sealed, root, standing, &naming, &mut findings);
            check_revoked(case, signature, standing, &naming, &mut findings)
        }
        (KeysOf::History(_), None) => {
            if standing == SealStanding::Absent {
                let message = "the seal is not signed, as that of a marked vault always is";
                findings.push(Finding::new(Code::E014, MANIFEST_SIG, message));
            }
            standing
        }
        (KeysOf::File { .. }, _) => standing,
    };
    let mut unrenewed = None;
    match case.keys {
        KeysOf::History(_) => {
            unrenewed = Lag {
                case,
                sealed: &sealed,
                manifest: manifest.as_ref(),
                signature: signature.as_ref(),
                standing: &standing,
            }
            .check(&naming, &mut findings);
        }
        KeysOf::File { .. } => {
            check_unmarked(
                case,
                manifest.as_ref(),
                signature.as_ref(),
                &standing,
                &mut findings,
            );
        }
    }
    SealJudgement {
        root: signature.as_ref().map(|it| it.merkle_root),
        key_id: signature.as_ref().map(|it| it.key_id),
        signed_at_utc: signature.map(|it| it.signed_at_utc),
        standing,
        findings,
        unrenewed,
    }
}

/// The files that the seal is over. What the manifest lists beside the log must be on the disk, so that
/// either tells; without a manifest it is the disk.
fn sealed_files(case: &SealCase<'_>, manifest: Option<&Manifest>) -> SealedFiles {
    let listed: Vec<FileEntry> = match manifest {
        Some(manifest) => {
            let entry = |file: &crate::manifest::ListedFile| {
                Some(FileEntry {
                    path: file.path.clone(),
                    sha256: file.sha256.parse().ok()?,
                    size: file.size,
                })
            };
            manifest.files.iter().filter_map(entry).collect()
        }
        None => case
            .disk
            .iter()
            .filter_map(|(path, entry)| match entry {
                DiskEntry::File { size, sha256 } => Some(FileEntry {
                    path: path.clone(),
                    sha256: *sha256,
                    size: *size,
                }),
                DiskEntry::Other(_) => None,
            })
            .collect(),
    };
    match case.keys {
        KeysOf::History(history) => {
            SealedFiles::new(listed.into_iter(), case.disk, history.texts())
        }
        KeysOf::File { text, .. } => {
            let keys = std::iter::once((0, text.to_vec()));
            SealedFiles::new(listed.into_iter(), case.disk, keys)
        }
    }
}

fn read_signature(case: &SealCase<'_>, findings: &mut Vec<Finding>) -> Option<RootSignature> {
    let mut report = |code, message: String| {
        findings.push(Finding::new(code, MANIFEST_SIG, message));
    };
    let text = case.seal.signature?;
    match RootSignature::parse(text) {
        Ok(signature) => {
            if let Err(error) = signature.signed_at_utc.parse::<Timestamp>() {
                report(Code::E105, format!("'signed_at_utc' is {error}"));
            }
            Some(signature)
        }
        Err(error) => {
            let code = match error {
                RootSignatureError::Json(_) => Code::E104,
                RootSignatureError::Field(_) => Code::E300,
                RootSignatureError::Unsigned(_) => Code::E302,
                RootSignatureError::Root => Code::E100,
                RootSignatureError::KeyId => Code::E102,
                RootSignatureError::Signature => Code::E103,
                RootSignatureError::Version(_) => Code::E303,
            };
            report(code, error.to_string());
            None
        }
    }
}

/// The key that a seal names, if the vault has it.
fn signer<'a>(
    case: &SealCase<'a>,
    signature: &RootSignature,
    findings: &mut Vec<Finding>,
) -> Option<&'a PublicKey> {
    let id = signature.key_id;
    let (key, code, message) = match case.keys {
        KeysOf::History(history) => (
            history.public_key(&id),
            Code::E205,
            format!("the seal is signed by key {id}, to which no signed event of the vault leads"),
        ),
        KeysOf::File {
            registry, promoted, ..
        } => (
            registry
                .get(&id)
                .map(|entry| &entry.public_key)
                .or_else(|| promoted.iter().find(|key| key.key_id() == id)),
            Code::E204,
            format!("the signer's key {id} is not in keys.json"),
        ),
    };
    if key.is_none() {
        findings.push(Finding::new(code, MANIFEST_SIG, message));
    }
    key
}

/// The state that a seal is of.
fn place(
    case: &SealCase<'_>,
    sealed: &SealedFiles,
    signature: &RootSignature,
    manifest: Option<&Manifest>,
    naming: &Naming<'_>,
) -> SealStanding {
    let target = signature.merkle_root;
    let log = match case.disk.get(LOG) {
        Some(DiskEntry::File { sha256, .. }) => *sha256,
        _ => Digest::of(case.log),
    };
    if sealed.is_root(target, case.events, log, case.log.len() as u64) {
        return SealStanding::Current;
    }
    let low = match case.keys {
        KeysOf::History(_) => naming.bound(SealName::of(target)),
        KeysOf::File { .. } => 0,
    };
    // Nearly always the manifest on the disk is the one that was sealed, and says where that ended.
    let hint = manifest.and_then(|manifest| {
        let log = manifest.files.iter().find(|file| file.path == LOG)?;
        let end = usize::try_from(log.size)
            .ok()
            .filter(|end| *end >= low && *end < case.log.len())?;
        let prefix = case.log.get(..end).filter(|it| it.ends_with(b"\n"))?;
        let events = memchr::memchr_iter(b'\n', prefix).count() as u64;
        sealed
            .is_root(target, events, Digest::of(prefix), log.size)
            .then_some((events, log.size))
    });
    let near = || {
        let signed = signature.signed_at_utc.parse().ok()?;
        sealed.find_near(target, case.log, low, signed)
    };
    let found = hint.or_else(near).or_else(|| {
        let first = memchr::memchr_iter(b'\n', &case.log[..low]).count() as u64;
        sealed.find(target, case.log, (first, low), case.threads)
    });
    match found {
        Some((events, length)) => SealStanding::Continued { events, length },
        None => SealStanding::Other,
    }
}

/// Whether the key counts where the seal stands.
fn countable(
    case: &SealCase<'_>,
    signature: &RootSignature,
    standing: SealStanding,
    findings: &mut Vec<Finding>,
) -> SealStanding {
    let events = match standing {
        SealStanding::Current => case.events,
        SealStanding::Continued { events, .. } => events,
        other => return other,
    };
    const NO_ROLE: &str = "which has neither the role 'root' nor 'attestation'";
    let id = signature.key_id;
    let objection = match case.keys {
        KeysOf::History(history) => match history.standing(&id, events) {
            KeyStanding::Counts => None,
            KeyStanding::NotIntroduced => Some((Code::E205, "to which no signed event leads")),
            KeyStanding::NotYet => Some((Code::E202, "which an event brings only after it")),
            KeyStanding::Revoked => Some((Code::E202, "which the log revoked before it")),
            KeyStanding::NoRole => Some((Code::E202, NO_ROLE)),
        },
        KeysOf::File {
            registry, revoked, ..
        } => {
            let listed = registry.get(&id);
            if listed.is_some_and(|entry| !may_sign(&entry.roles)) {
                Some((Code::E202, NO_ROLE))
            } else if standing == SealStanding::Current && revoked.contains(&id) {
                Some((Code::E202, "which the log revoked"))
            } else {
                None
            }
        }
    };
    let Some((code, reason)) = objection else {
        return standing;
    };
    let message =
        format!("the seal, of the state after {events} events, is signed by key {id}, {reason}");
    findings.push(Finding::new(code, MANIFEST_SIG, message));
    SealStanding::NotCounting
}

/// In a marked vault: a key that an event beyond its seal revokes vouches for nothing but what stood directly
/// before that event, which names the seal. Otherwise whoever holds a revoked key could seal other files.
fn check_revoked(
    case: &SealCase<'_>,
    signature: &RootSignature,
    standing: SealStanding,
    naming: &Naming<'_>,
    findings: &mut Vec<Finding>,
) -> SealStanding {
    let (KeysOf::History(history), SealStanding::Continued { events, length }) =
        (case.keys, &standing)
    else {
        return standing;
    };
    let id = signature.key_id;
    let Some(revoked) = history.revoked_at(&id) else {
        return standing;
    };
    let this = Some(SealName::of(signature.merkle_root));
    if revoked == events + 1 && naming.named_at(*length as usize) == this {
        return standing;
    }
    let message = format!(
        "the seal, of the state after {events} events, is signed by key {id}, which line {revoked} revokes \
         without naming this seal"
    );
    findings.push(Finding::new(Code::E202, MANIFEST_SIG, message));
    SealStanding::NotCounting
}

/// In a marked vault: that a seal is of the vault's state, and what lies beyond it.
fn check_continuation(
    case: &SealCase<'_>,
    sealed: &SealedFiles,
    root: Digest,
    standing: SealStanding,
    naming: &Naming<'_>,
    findings: &mut Vec<Finding>,
) -> SealStanding {
    let this = SealName::of(root);
    let (_, files) = sealed.rest();
    let mut other = |message: String| {
        let mut finding = Finding::new(Code::E015, MANIFEST_SIG, message);
        finding.found = Some(format!("root {root}"));
        findings.push(finding);
        SealStanding::Other
    };
    let covered = match standing {
        SealStanding::Other => {
            return other(OF_NO_STATE.to_owned());
        }
        SealStanding::Continued { events, length } => {
            match naming.beyond((events, length as usize), this, files) {
                Err(Beyond::Seal { line, name }) => {
                    return other(format!(
                        "the seal covers the first {events} events, and line {line} names the seal \
                         {name}, which is not the one that it directly follows"
                    ));
                }
                Err(Beyond::Files { line }) => {
                    return other(format!(
                        "the seal covers the first {events} events, and line {line} states other files \
                         than those that are there"
                    ));
                }
                Err(Beyond::Line { line }) => {
                    return other(format!(
                        "the seal covers the first {events} events, and line {line} follows another event \
                         than the one in the line before it"
                    ));
                }
                Ok(loose) => {
                    if let Some(first) = loose.first() {
                        let count = loose.len();
                        let message = format!(
                            "beyond the seal events name neither a seal nor the line before them, as those \
                             of older tools do (lines: {count}): who can write files can take such an event, \
                             or one before it, away unseen"
                        );
                        let mut finding = Finding::new(Code::W014, LOG, message);
                        finding.line = Some(*first);
                        findings.push(finding);
                    }
                }
            }
            events
        }
        SealStanding::Current => case.events,
        other => return other,
    };
    let stated = case.files.iter().rev().find(|it| it.line <= covered);
    if let Some(stated) = stated.filter(|stated| stated.root != files) {
        let message = format!(
            "the sealed files beside the log are not those that the log states in line {}: another tool \
             sealed them, or a key of the vault signed for other files than were stated",
            stated.line
        );
        let finding = Finding::new(Code::W015, MANIFEST, message);
        findings.push(finding.compare(stated.root, files));
    }
    standing
}

/// The files of a vault without a mark against its manifest, and its signature.
fn check_unmarked(
    case: &SealCase<'_>,
    manifest: Option<&Manifest>,
    signature: Option<&RootSignature>,
    standing: &SealStanding,
    findings: &mut Vec<Finding>,
) {
    let Some(manifest) = manifest else { return };
    check_manifest_against_disk(manifest, case.disk, case.about_log(), findings);
    let root = manifest.merkle_root();
    check_root_file(case.seal.merkle_root, root, findings);
    let Some(signature) = signature else {
        if case.seal.signature.is_none() {
            let message = "the seal is not signed";
            findings.push(Finding::new(Code::W002, MANIFEST_SIG, message));
        }
        return;
    };
    let verifies = !matches!(standing, SealStanding::Wrong | SealStanding::NotCounting);
    if verifies && signature.merkle_root != root {
        let message = "the signature is of another seal, an earlier or a later one";
        let finding = Finding::new(Code::W001, MANIFEST_SIG, message);
        findings.push(finding.compare(root, signature.merkle_root));
    }
    if let KeysOf::File {
        introduced: Some(introduced),
        ..
    } = case.keys
        && verifies
        && !introduced.contains(&signature.key_id)
    {
        let message = format!(
            "the seal is signed by key {}, which keys.json alone vouches for, as no signed events lead to \
             it from the GENESIS event",
            signature.key_id
        );
        findings.push(Finding::new(Code::W009, MANIFEST_SIG, message));
    }
}
