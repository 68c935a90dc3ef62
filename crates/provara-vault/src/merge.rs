//! Merging another vault or a delta bundle into a vault (spec/VAULT_FORMAT, section 7), durably.
//!
//! 1. Verify the other side, take the lock, join the logs, verify the result under the keys that the
//!    vault trusts. *Nothing has changed yet.*
//! 2. Write the whole merged log to a temporary file and sync it; lock it, so that writers who meet it
//!    wait. Move a torn tail and the checkpoints of prefixes that are no more to files outside.
//! 3. Write the intent ([`intent`]) and the new small files, and sync them. *A crash up to here leaves
//!    the old vault.*
//! 4. Rename the merged log into place and sync its directory. *From here on, a crash leaves the merged
//!    vault, once the next writer has completed the intent.*
//! 5. Rename the small files, remove the intent, acknowledge.

pub(crate) mod intent;
mod place;
mod refusal;
mod registry;

use std::fs::File;

use provara_core::finding::{Code, Severity};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::manifest::{
    FileEntry, merkle_root, sign_root, write_manifest, write_merkle_root,
};
use provara_core::merge::delta;
use provara_core::merge::safety::{Ratchet, ratchet};
use provara_core::merge::{Merge, Side, merge};
use provara_core::verify::{KeyDirectory, check_lines};
use serde::Serialize;

use crate::check::check_log;
use crate::checkpoint::unsealed_checkpoints;
use crate::clock;
use crate::error::{Context, VaultError};
use crate::index::LogIndex;
use crate::keyfile;
use crate::layout;
use crate::lock::lock_log;
use crate::parallel::available_threads;
use crate::rotation::{Keys, read_registry};
use crate::seal::{SignatureLag, leftovers, read_entries, read_text, set_entry, signature_lag};
use crate::snapshot::LogSnapshot;
use crate::vault::Vault;
use crate::verify::VerifyOptions;
use crate::writer::sealed_prefix;

use intent::{Intent, settle};
use place::carry_out;
pub use refusal::{ForkedEvent, MergeRefusal, ShownFork};
use registry::joined;

/// How a merge is done.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Put what is new after the log as it is, so that what was said of an earlier prefix stays true.
    pub append_only: bool,
    /// Keep both events of a fork. The result does not verify (`PROVARA_E002`), and no event is
    /// appended to it.
    pub keep_forks: bool,
    /// Take these keys of the other side into `keys.json`, though no promotion in the log brings
    /// them. The merge is not signed with one of them.
    pub trust_keys: Vec<KeyId>,
    /// Sign the seal with this key of the keyfile.
    pub key_id: Option<KeyId>,
}

/// What a merge did to the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeOrder {
    /// The log was the result already; nothing was written.
    Unchanged,
    /// The new events follow the log as it was.
    Appended,
    /// The log is in the order of section 7, and it begins otherwise than before.
    Rewritten,
}

/// A merge that is durable and sealed.
#[derive(Debug, Clone, Serialize)]
pub struct MergeReceipt {
    /// What became of the order.
    pub order: MergeOrder,
    /// How many events are new.
    pub imported: u64,
    /// How many events the log holds.
    pub event_count: u64,
    /// How many bytes at the log's start are as they were.
    pub kept_prefix: u64,
    /// The root of the new seal.
    pub merkle_root: Digest,
    /// The key that signed it; none where nothing was written.
    pub signed_by: Option<KeyId>,
    /// The forks that were kept on purpose.
    pub forks: Vec<ShownFork>,
    /// The checkpoints that no longer fit; copies are in the user's state directory.
    pub retired_checkpoints: Vec<String>,
    /// What else was found and done.
    pub notes: Vec<String>,
}

/// The header line of a bundle, and its events.
pub type DeltaParts<'l> = (Vec<u8>, &'l [u8]);

/// The side that is read.
struct Other<'a> {
    log: &'a [u8],
    registry: KeyRegistry,
    safety_policy: Option<Value<'static>>,
    /// The files below `artifacts/`, which are not merged.
    artifacts: Vec<String>,
}

impl Vault {
    /// Merges the events of `other`, another copy of this vault, into this one; see
    /// [`MergeOptions`]. Signed with a key of `keyfile`.
    ///
    /// # Errors
    /// [`VaultError::Merge`] for what stands against the merge itself, the errors of a writer and of a
    /// keyfile. The vault is then as it was, but for [`MergeRefusal::Interrupted`].
    pub fn merge(
        &self,
        other: &Vault,
        keyfile: &Keyfile,
        options: &MergeOptions,
    ) -> Result<MergeReceipt, VaultError> {
        let examination = other.examine(&VerifyOptions::default())?;
        let is_fork = |code: Code| options.keep_forks && code == Code::E002;
        let report = examination.report();
        let sound = report
            .findings()
            .iter()
            .all(|finding| finding.severity != Severity::Error || is_fork(finding.code));
        if !sound {
            return Err(MergeRefusal::OtherInvalid {
                path: other.path().to_owned(),
                report: Box::new(report.clone()),
            }
            .into());
        }
        // What does not verify but for its forks is held against the rules once more when it is joined.
        let log = match examination.verified() {
            Ok(verified) => verified.into_snapshot(),
            Err(_) => other.snapshot()?,
        };
        let policy = read_text(other.path(), layout::SAFETY_POLICY)?.unwrap_or_default();
        let (registry, _) = read_registry(other)?;
        let listed = read_entries(other.path())?.into_iter();
        let artifacts = listed.map(|entry| entry.path);
        let other = Other {
            log: &log,
            registry,
            safety_policy: json::parse(&policy).ok().map(Value::into_owned),
            artifacts: artifacts
                .filter(|path| path.starts_with("artifacts/"))
                .collect(),
        };
        join(self, &other, keyfile, options)
    }

    /// Merges a delta bundle, given as its bytes, into this vault. Nothing in it is believed: each
    /// event must verify under the keys of this vault and the promotions in the joined log.
    ///
    /// # Errors
    /// As [`Vault::merge`].
    pub fn import_delta(
        &self,
        bundle: &[u8],
        keyfile: &Keyfile,
        options: &MergeOptions,
    ) -> Result<MergeReceipt, VaultError> {
        let delta = delta::parse(bundle).map_err(MergeRefusal::Delta)?;
        let other = Other {
            log: delta.events,
            registry: delta.keys,
            safety_policy: None,
            artifacts: Vec::new(),
        };
        join(self, &other, keyfile, options)
    }
}

impl Vault {
    /// A delta bundle of the events of `log`, which is this vault's, after the event `since`: its header
    /// line, and the lines as they stand. `None` where the log holds no such event.
    ///
    /// # Errors
    /// As for any read of `keys.json`.
    pub fn delta<'l>(
        &self,
        log: &'l LogSnapshot,
        since: Option<EventId>,
    ) -> Result<Option<DeltaParts<'l>>, VaultError> {
        let (registry, _) = read_registry(self)?;
        let Some(events) = delta::events_since(log, since) else {
            return Ok(None);
        };
        let count = memchr::memchr_iter(b'\n', events).count() as u64;
        let header = delta::header(since, count, clock::now()?, &registry);
        Ok(Some((header, events)))
    }
}

/// The vault that is merged into, under its lock.
struct Ours {
    log: File,
    bytes: LogSnapshot,
    /// The length of the whole events.
    whole: usize,
    torn: bool,
    entries: Vec<FileEntry>,
    registry: KeyRegistry,
    /// Whether the seal says what stands there.
    sealed: bool,
    leftovers: Vec<String>,
    /// What the next seal's signature replaces.
    lag: Option<SignatureLag>,
    notes: Vec<String>,
}

impl Ours {
    fn open(vault: &Vault, keep_forks: bool) -> Result<Self, VaultError> {
        let path = vault.inner_file(layout::LOG)?;
        let log = lock_log(&path, vault.lock_timeout())?;
        let mut notes = settle(vault, &log)?;
        let mut entries = read_entries(vault.path())?;
        let leftovers = leftovers(vault.path(), &entries)?;
        let length = log.metadata().context("read", &path)?.len();
        let bytes = LogSnapshot::of_prefix(&log, length, &path)?;
        let sealed = sealed_prefix(&entries, &bytes)?.length;
        let (whole, registry, mut lags, events) = match LogIndex::read(&bytes, sealed) {
            Ok((index, torn)) => {
                let keys = Keys::read(vault, &entries, &index, sealed)?;
                let whole = torn.unwrap_or(length);
                (
                    whole,
                    keys.registry,
                    keys.lag || whole != sealed,
                    index.lines,
                )
            }
            // A log with forks that were kept: it is sealed as a whole, or somebody else broke it.
            Err(VaultError::BrokenLog { .. }) if keep_forks && sealed == length => {
                let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
                let keys = Keys::read(vault, &entries, &LogIndex::default(), sealed)?;
                (length, keys.registry, false, lines)
            }
            Err(error) => return Err(error),
        };
        let lag = signature_lag(vault, &entries, &registry)?;
        for found in unsealed_checkpoints(vault, &entries, &registry, events)? {
            lags = true;
            set_entry(&mut entries, found);
        }
        if lags {
            notes.push("the seal lagged behind the log; it now covers it".to_owned());
        }
        Ok(Self {
            whole: usize::try_from(whole).expect("the log is in memory"),
            torn: whole < length,
            log,
            bytes,
            entries,
            registry,
            sealed: !lags,
            leftovers,
            lag,
            notes,
        })
    }

    fn log(&self) -> &[u8] {
        &self.bytes[..self.whole]
    }
}

fn join(
    vault: &Vault,
    other: &Other<'_>,
    keyfile: &Keyfile,
    options: &MergeOptions,
) -> Result<MergeReceipt, VaultError> {
    let ours = Ours::open(vault, options.keep_forks)?;
    let merged = merge(ours.log(), other.log).map_err(MergeRefusal::Logs)?;
    let forks: Vec<ShownFork> = merged.forks().iter().map(ShownFork::from).collect();
    if !options.keep_forks && !forks.is_empty() {
        return Err(MergeRefusal::Forks { forks }.into());
    }
    let policy = joined_policy(vault, other)?;
    let log = match options.append_only {
        true => merged.appended(),
        false => merged.rewritten(),
    };
    let registry = joined(&ours.registry, other, &merged, &log, options)?;
    verify(&log, &merged, &registry, options)?;

    let mut notes = ours.notes.clone();
    notes.extend(variant_notes(&merged, options.append_only));
    let here = |path: &String| ours.entries.iter().any(|entry| entry.path == *path);
    let absent = other.artifacts.iter().filter(|path| !here(path)).count();
    if absent > 0 {
        notes.push(format!(
            "{absent} files below artifacts/ of the other copy are not here: a merge takes events alone"
        ));
    }
    let kept_prefix = common_lines(ours.log(), &log);
    let order = match kept_prefix == ours.whole {
        true if log.len() == ours.whole => MergeOrder::Unchanged,
        true => MergeOrder::Appended,
        false => MergeOrder::Rewritten,
    };
    let mut receipt = MergeReceipt {
        order,
        imported: merged.imported().count() as u64,
        event_count: merged.event_count(),
        kept_prefix: kept_prefix as u64,
        merkle_root: merkle_root(ours.entries.iter().map(FileEntry::leaf)),
        signed_by: None,
        forks,
        retired_checkpoints: Vec::new(),
        notes,
    };
    let same_files = registry == ours.registry && policy.is_none();
    if order == MergeOrder::Unchanged && same_files && ours.sealed {
        return Ok(receipt);
    }

    let revoked = |key: &KeyId| {
        let entry = registry.get(key);
        entry.is_some_and(|entry| entry.revocation_event_id.is_some())
    };
    let signers = intent::signers(&registry, &ours.registry, &log);
    let key = keyfile::choose(keyfile, &signers, revoked, options.key_id)?;
    let lines = memchr::memchr_iter(b'\n', &log[..kept_prefix]).count() as u64;
    let intent = plan(vault, &ours, &log, lines, &registry, policy, |root, now| {
        sign_root(root, key, now)
    })?;
    receipt.merkle_root = intent.1;
    receipt.signed_by = Some(key.key_id());
    receipt.retired_checkpoints.clone_from(&intent.0.removed);
    carry_out(vault, &ours, &log, &intent.0, &mut receipt.notes)?;
    Ok(receipt)
}

/// What becomes of the safety policy; `None` where it stays.
fn joined_policy(vault: &Vault, other: &Other<'_>) -> Result<Option<Vec<u8>>, VaultError> {
    let Some(theirs) = &other.safety_policy else {
        return Ok(None);
    };
    vault.inner_file(layout::SAFETY_POLICY)?;
    let text = read_text(vault.path(), layout::SAFETY_POLICY)?.unwrap_or_default();
    let sealed = Digest::of(&text);
    let contradicts =
        |entry: &FileEntry| entry.path == layout::SAFETY_POLICY && entry.sha256 != sealed;
    if read_entries(vault.path())?.iter().any(contradicts) {
        // The ratchet would start from a policy that nobody sealed, and the merge would seal it.
        return Err(VaultError::SealContradiction {
            file: layout::SAFETY_POLICY.to_owned(),
            reason: "it was changed since".to_owned(),
        });
    }
    let ours = json::parse(&text).map_err(|error| VaultError::Structure {
        file: layout::SAFETY_POLICY.to_owned(),
        reason: error.to_string(),
    })?;
    match ratchet(&ours, theirs) {
        Ratchet::Unchanged => Ok(None),
        Ratchet::Tightened(policy) => {
            let mut text = provara_core::canonical::token_preserving(&policy);
            text.push(b'\n');
            Ok(Some(text))
        }
        Ratchet::Loosened(rules) => Err(MergeRefusal::SafetyLoosened { rules }.into()),
    }
}

/// Refuses a result that would not verify, and versions of events that do not.
fn verify(
    log: &[u8],
    merged: &Merge<'_>,
    registry: &KeyRegistry,
    options: &MergeOptions,
) -> Result<(), VaultError> {
    let verdict = check_log(log, b"", registry, available_threads());
    let forked = |actor: Option<&str>| merged.forks().iter().any(|f| Some(&*f.actor) == actor);
    let wrong = verdict.findings.iter().find(|finding| {
        let kept = finding.code == Code::E002 && forked(finding.actor.as_deref());
        finding.severity == Severity::Error && !kept
    });
    if let Some(finding) = wrong {
        return Err(MergeRefusal::ResultInvalid {
            code: finding.code.as_str(),
            reason: finding.message.clone(),
            event_id: finding.event_id.clone(),
            append_only: options.append_only,
        }
        .into());
    }
    // A version that is not kept is not in the result, and still has to be an event.
    let keys = KeyDirectory::new(registry);
    for variant in merged.variants() {
        let dropped = match (options.append_only, variant.kept) {
            (false, Side::Theirs) => variant.ours,
            _ => variant.theirs,
        };
        let redacted = variant.theirs_redacted && dropped == variant.theirs;
        if !redacted
            && !check_lines(dropped, 0, &keys)
                .iter()
                .all(|line| line.is_sound())
        {
            return Err(MergeRefusal::ResultInvalid {
                code: Code::E003.as_str(),
                reason: "one of the two versions of the event does not verify".to_owned(),
                event_id: Some(variant.id.to_string()),
                append_only: options.append_only,
            }
            .into());
        }
    }
    Ok(())
}

fn variant_notes(merged: &Merge<'_>, append_only: bool) -> Vec<String> {
    let (redacted, signed): (Vec<_>, Vec<_>) = merged
        .variants()
        .iter()
        .partition(|variant| variant.theirs_redacted);
    let mut notes = Vec::new();
    if !redacted.is_empty() {
        let what = match append_only {
            true => "were redacted in the other log and stay in this one, which keeps its lines",
            false => "were redacted in the other log, and now are in this one",
        };
        notes.push(format!("{} payloads {what}", redacted.len()));
    }
    if !signed.is_empty() {
        notes.push(format!(
            "{} events stand in both logs in different versions; the choice depends on them alone",
            signed.len()
        ));
    }
    notes
}

/// The length of the whole lines that both begin with.
fn common_lines(before: &[u8], after: &[u8]) -> usize {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    if same == before.len() {
        return same;
    }
    memchr::memrchr(b'\n', &before[..same]).map_or(0, |at| at + 1)
}

/// Lays out the small files of the merged vault. `lines` whole lines at the log's start are as they
/// were.
fn plan(
    vault: &Vault,
    ours: &Ours,
    log: &[u8],
    lines: u64,
    registry: &KeyRegistry,
    policy: Option<Vec<u8>>,
    sign: impl Fn(Digest, provara_core::time::Timestamp) -> Vec<u8>,
) -> Result<(Intent, Digest), VaultError> {
    let mut entries = ours.entries.clone();
    let listed = |path: &str, text: &[u8]| FileEntry {
        path: path.to_owned(),
        sha256: Digest::of(text),
        size: text.len() as u64,
    };
    let mut files = Vec::new();
    if *registry != read_registry(vault)?.0 {
        files.push((layout::KEYS.to_owned(), registry.to_json()));
    }
    files.extend(policy.map(|text| (layout::SAFETY_POLICY.to_owned(), text)));
    for (path, text) in &files {
        set_entry(&mut entries, listed(path, text));
    }
    set_entry(&mut entries, listed(layout::LOG, log));
    let retired = |path: &str| {
        let name = path.strip_prefix(layout::CHECKPOINTS);
        let count = name.and_then(|name| name.trim_matches('/').strip_suffix(".chk"));
        layout::is_checkpoint(path)
            && count
                .and_then(|count| count.parse().ok())
                .is_none_or(|count: u64| count > lines)
    };
    let (removed, entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| retired(&entry.path));
    let now = clock::now()?;
    let (manifest, root) = write_manifest(entries, now);
    files.push((layout::MANIFEST.to_owned(), manifest));
    files.push((layout::MERKLE_ROOT.to_owned(), write_merkle_root(root)));
    files.push((layout::MANIFEST_SIG.to_owned(), sign(root, now)));
    let removed = removed.into_iter().map(|entry| entry.path).collect();
    Ok((Intent { files, removed }, root))
}
