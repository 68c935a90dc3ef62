//! Merging another vault or a delta bundle into a vault (spec/VAULT_FORMAT, section 7), durably.
//!
//! 1. Verify the other side, take the lock, join the logs, verify the result under the keys that the
//!    vault trusts. *Nothing has changed yet.*
//! 2. Stage what is new, and move a torn tail and the checkpoints of prefixes that are no more to files
//!    outside. *A crash up to here leaves the old vault.*
//! 3. Declare it and carry it out, with an [intent](crate::intent). *From here on, a crash leaves the merged
//!    vault, once the next writer has settled that.*

mod anchored;
mod late;
mod notes;
mod publish;
mod registry;

use provara_core::finding::{Code, Finding, Severity};
use provara_core::history::{KeyHistory, KeyStanding};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value};
use provara_core::keys::{KeyEntry, KeyRegistry, Keyfile, SigningKey};
use provara_core::layout;
use provara_core::manifest::{FileEntry, merkle_root};
use provara_core::mark::KEY_ADDED_TYPE;
use provara_core::merge::delta;
use provara_core::merge::safety::{Ratchet, ratchet};
use provara_core::merge::{Merge, Side, Variant, merge};
use provara_core::verify::{KeyDirectory, LogVerdict, check_lines};
use serde::Serialize;

use crate::check::check_log;
use crate::clock;
use crate::derive::SourceLog;
use crate::error::{MergeRefusal, ShownFork, VaultError};
use crate::files::read_text;
use crate::found::{Found, refused_log};
use crate::index::LogIndex;
use crate::key_events::key_events;
use crate::keyfile;
use crate::reseal::states;
use crate::rotation::{read_registry, seal_signers};
use crate::scribe::Scribe;
use crate::seal::{read_entries, set_entry, text_entry};
use crate::vault::Vault;
use crate::verify::VerifyOptions;
use provara_core::parallel::available_threads;

use anchored::broken_anchors;
use notes::notes;
use publish::Joined;

/// How a merge is done.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Put what is new after the log as it is, so that what was said of an earlier prefix stays true.
    pub append_only: bool,
    /// Put the log into the order of the format although tree heads of this copy were published, which then no
    /// longer hold. Without this, such a copy is merged as [`append_only`](Self::append_only) says.
    pub break_heads: bool,
    /// Keep both events of a fork. The result does not verify (`PROVARA_E002`), and no event is
    /// appended to it.
    pub keep_forks: bool,
    /// Trust these keys of the other side, though no event in the log brings them: a marked vault gets an
    /// event that adds each, and one without a mark lists them in `keys.json`. The merge is not signed
    /// with one of them.
    pub trust_keys: Vec<KeyId>,
    /// Who says what the merge itself has to say; somebody whom nobody is where it is not said, so that
    /// two copies that merge at the same time do not fork a chain.
    pub actor: Option<String>,
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
    /// As that, but for payloads of the log as it was that a redaction of the other side erased.
    Redacted,
    /// The log is in the order of section 7, and it begins otherwise than before.
    Rewritten,
}

/// A merge that is durable and sealed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
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
    /// The anchors of tree heads that no longer hold; copies are in the user's state directory.
    pub retired_anchors: Vec<String>,
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
    /// The anchors, which are not merged either.
    anchors: Vec<String>,
}

/// Why a merge does not put the log into the order of the format.
const KEPT_ORDER: &str = "tree heads of this copy were published, so the log stays as it is and the new events follow it; \
    --break-heads puts all of it into the order of the format, and those heads no longer hold";

impl Vault {
    /// Merges the events of `other`, another copy of this vault, into this one; see
    /// [`MergeOptions`]. Signed with a key of `keyfile`.
    ///
    /// # Errors
    /// [`VaultError::Merge`] for what stands against the merge itself, the errors of a writer and of a
    /// keyfile. The vault is then as it was, but for [`VaultError::Interrupted`].
    pub fn merge(
        &self,
        other: &Vault,
        keyfile: &Keyfile,
        options: &MergeOptions,
    ) -> Result<MergeReceipt, VaultError> {
        let mut examination = other.examine(&VerifyOptions::default())?;
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
        if let Some(source) = examination.take_refusal() {
            return Err(MergeRefusal::OtherUnsealed {
                path: other.path().to_owned(),
                source: Box::new(source),
            }
            .into());
        }
        // What does not verify but for its forks is held against the rules once more when it is joined.
        let log = match examination.verified() {
            Ok(verified) => verified.into_source(),
            Err(_) => other.snapshot()?.unverified(),
        };
        let policy = read_text(other.path(), layout::SAFETY_POLICY)?.unwrap_or_default();
        let (registry, _) = read_registry(other)?;
        let listed = read_entries(other.path())?.into_iter();
        let listed = listed.map(|entry| entry.path);
        let (anchors, artifacts): (Vec<_>, Vec<_>) =
            listed.partition(|path| layout::anchor_kind(path).is_some());
        let other = Other {
            log: &log,
            registry,
            safety_policy: json::parse(&policy).ok().map(Value::into_owned),
            anchors,
            artifacts: artifacts
                .into_iter()
                .filter(|path| {
                    let below = path.strip_prefix(layout::ARTIFACTS);
                    below.is_some_and(|rest| rest.starts_with('/'))
                })
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
            anchors: Vec::new(),
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
        log: &'l SourceLog,
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

fn join(
    vault: &Vault,
    other: &Other<'_>,
    keyfile: &Keyfile,
    options: &MergeOptions,
) -> Result<MergeReceipt, VaultError> {
    // What is anchored was published, on whatever machine.
    let published = crate::tree_head::is_published(vault)? || !vault.anchors()?.is_empty();
    let kept_order = published && !options.append_only && !options.break_heads;
    let options = &MergeOptions {
        append_only: options.append_only || kept_order,
        ..options.clone()
    };
    let mut ours = open_ours(vault, options)?;
    let before = listed_entries(&mut ours)?;
    let stale = ours.is_stale();

    let trusted = registry::trusted(other, options)?;
    let actor = options.actor.clone().map_or_else(fresh_actor, Ok)?;
    let plain = merge(ours.log(), other.log).map_err(MergeRefusal::Logs)?;
    let is_marked = ours.is_marked() || {
        let rewritten = plain.rewritten();
        KeyHistory::build(&key_events(&rewritten)).is_some()
    };
    // In a marked vault a key comes by an event, and before what it signed.
    let additions = match is_marked {
        true => additions(&ours, &trusted, &actor, keyfile, options)?,
        false => Vec::new(),
    };
    let base = [ours.log(), &additions].concat();
    let merged = match additions.is_empty() {
        true => plain,
        false => merge(&base, other.log).map_err(MergeRefusal::Logs)?,
    };
    let forks: Vec<ShownFork> = merged.forks().iter().map(ShownFork::from).collect();
    if !options.keep_forks && !forks.is_empty() {
        return Err(MergeRefusal::Forks { forks }.into());
    }
    let policy = joined_policy(vault, other)?;
    let mut log = match options.append_only {
        true => merged.appended(),
        false => merged.rewritten(),
    };
    let checked = |log: &[u8], append_only| {
        let how = MergeOptions {
            append_only,
            ..options.clone()
        };
        verify(&ours, other, log, &merged, &trusted, &how)
    };
    let verified = checked(&log, options.append_only).map_err(|error| match error {
        VaultError::Merge(refusal) => {
            // The one other order is tried, so that nobody is sent to where it is refused, too.
            let helps = !options.append_only && checked(&merged.appended(), true).is_ok();
            refusal.or_append_only(helps).into()
        }
        error => error,
    })?;

    let mut notes = notes(&ours, other, &merged, &before, stale);
    if kept_order && log != merged.rewritten() {
        notes.push(KEPT_ORDER.to_owned());
    }
    let kept_prefix = common_lines(ours.log(), &log);
    let order = match kept_prefix == ours.whole {
        true if log.len() == ours.whole => MergeOrder::Unchanged,
        true => MergeOrder::Appended,
        false if options.append_only || log == merged.appended() => MergeOrder::Redacted,
        false => MergeOrder::Rewritten,
    };
    let mut files = Vec::from_iter(changed_keys(&ours, &verified.registry, is_marked)?);
    files.extend(policy.map(|text| (layout::SAFETY_POLICY, text)));
    let mut entries = before.clone();
    for (path, text) in &files {
        set_entry(&mut entries, text_entry(path, text));
    }
    let stated = is_marked && !states(&verified.verdict, &entries, &before);
    if stated && forks.is_empty() {
        let key = verified.signing_key(keyfile, options)?;
        let event = statement(&log, &entries, &actor, key)?;
        log.extend(event);
    }
    let broken = match order {
        MergeOrder::Rewritten => broken_anchors(vault, &log)?,
        MergeOrder::Unchanged | MergeOrder::Appended | MergeOrder::Redacted => Vec::new(),
    };
    let mut receipt = MergeReceipt {
        order,
        imported: merged.imported().count() as u64,
        event_count: memchr::memchr_iter(b'\n', &log).count() as u64,
        kept_prefix: kept_prefix as u64,
        merkle_root: merkle_root(before.iter().map(FileEntry::leaf)),
        signed_by: None,
        forks,
        retired_checkpoints: Vec::new(),
        retired_anchors: Vec::new(),
        notes,
    };
    if log.len() == ours.whole && order == MergeOrder::Unchanged && files.is_empty() && !stale {
        return Ok(receipt);
    }
    let key = verified.signing_key(keyfile, options)?;
    let joined = Joined {
        log: &log,
        kept_prefix,
        files,
        entries,
        // A payload that goes from the log must not stay elsewhere.
        broken,
        erases: merged.variants().iter().any(Variant::redacts_ours),
    };
    joined.publish(ours, key, &mut receipt)?;
    Ok(receipt)
}

/// Opens the vault that is merged into, if it verifies and its seal vouches for it. A log with forks that were
/// kept on purpose is merged on; any other fault is evidence.
fn open_ours<'v>(vault: &'v Vault, options: &MergeOptions) -> Result<Found<'v>, VaultError> {
    let mut ours = Found::open(vault)?;
    let fault = |finding: &&Finding| {
        let kept = options.keep_forks && finding.code == Code::E002;
        finding.severity == Severity::Error && !kept
    };
    if let Some(finding) = ours.verdict.findings.iter().find(fault) {
        return Err(refused_log(finding));
    }
    ours.refuse_unless_vouched()?;
    Ok(ours)
}

/// The `keys.json` that must be written, where it does not stand there yet.
fn changed_keys(
    ours: &Found<'_>,
    registry: &KeyRegistry,
    is_marked: bool,
) -> Result<Option<(&'static str, Vec<u8>)>, VaultError> {
    let keys = registry.to_json();
    let same = match is_marked {
        true => read_text(ours.vault.path(), layout::KEYS)?.as_ref() == Some(&keys),
        false => *registry == ours.listed,
    };
    Ok((!same).then_some((layout::KEYS, keys)))
}

/// The event that states the files, to follow `log`.
fn statement(
    log: &[u8],
    entries: &[FileEntry],
    actor: &str,
    key: &SigningKey,
) -> Result<Vec<u8>, VaultError> {
    let (index, _) = LogIndex::read(log, log.len() as u64)?;
    // The seal that was found covers nothing of what came.
    let mut scribe = Scribe::new(index, actor, key, None)?;
    scribe.state_files(entries.iter())?;
    Ok(scribe.finish())
}

/// What the manifest lists, as far as it is not to be written anew. Without it nothing is merged.
fn listed_entries(ours: &mut Found<'_>) -> Result<Vec<FileEntry>, VaultError> {
    std::mem::replace(&mut ours.entries, Ok(Vec::new()))
}

/// An actor that nobody is: what a merge says is in nobody's chain, so that two copies that merge at the
/// same time do not fork one.
fn fresh_actor() -> Result<String, VaultError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| VaultError::Randomness {
        reason: error.to_string(),
    })?;
    Ok(format!("provara_merge_{:016x}", u64::from_le_bytes(bytes)))
}

/// The events that add the keys which the user trusts, behind our log.
fn additions(
    ours: &Found<'_>,
    trusted: &[KeyEntry],
    actor: &str,
    keyfile: &Keyfile,
    options: &MergeOptions,
) -> Result<Vec<u8>, VaultError> {
    let new: Vec<_> = trusted
        .iter()
        .filter(|entry| ours.registry.get(&entry.key_id).is_none() || !ours.is_marked())
        .collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let index = match &ours.index {
        Some(index) => index.clone(),
        // Of a log whose chains fork nothing is gone on from.
        None => return Err(refused_log(ours.fault().expect("it does not join"))),
    };
    let key = ours.signing_key(keyfile, options.key_id)?;
    let mut scribe = Scribe::new(index, actor, key, ours.seal_name())?;
    for entry in new {
        let payload = registry::addition(entry, clock::now()?);
        scribe.write(KEY_ADDED_TYPE, &payload)?;
    }
    Ok(scribe.finish())
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

/// A merged log that verifies.
struct Verified {
    verdict: LogVerdict,
    /// What `keys.json` must say.
    registry: KeyRegistry,
    /// The keys that may sign the seal: none that the merge only begins to trust.
    signers: KeyRegistry,
}

impl Verified {
    /// Chooses the key that signs what the merge says, and its seal.
    fn signing_key<'k>(
        &self,
        keyfile: &'k Keyfile,
        options: &MergeOptions,
    ) -> Result<&'k SigningKey, VaultError> {
        let revoked = |key: &KeyId| {
            let entry = self.registry.get(key);
            entry.is_some_and(|entry| entry.revocation_event_id.is_some())
        };
        keyfile::choose(keyfile, &self.signers, revoked, options.key_id)
    }
}

/// Refuses a result that would not verify, and versions of events that do not.
fn verify(
    ours: &Found<'_>,
    other: &Other<'_>,
    log: &[u8],
    merged: &Merge<'_>,
    trusted: &[KeyEntry],
    options: &MergeOptions,
) -> Result<Verified, VaultError> {
    let threads = available_threads();
    let (registry, signers, verdict);
    // The keys that either side lists give the signatures to check; whether they count, the log says.
    let mut either = ours.listed.clone();
    for entry in &other.registry.keys {
        if either.get(&entry.key_id).is_none() {
            either.keys.push(entry.clone());
        }
    }
    match KeyHistory::build(&key_events(log)) {
        Some(history) => {
            let introduced =
                |key: &KeyId| history.standing(key, u64::MAX) != KeyStanding::NotIntroduced;
            registry::refuse_unknown(merged, introduced)?;
            registry = history.registry_after(u64::MAX);
            for entry in &registry.keys {
                either.keys.retain(|known| known.key_id != entry.key_id);
                either.keys.push(entry.clone());
            }
            verdict = check_log(log, b"", &either, threads)?;
            let mut trustworthy = registry.clone();
            let is_new = |key: &KeyId| trusted.iter().any(|entry| entry.key_id == *key);
            trustworthy.keys.retain(|entry| {
                ours.registry.get(&entry.key_id).is_some() || !is_new(&entry.key_id)
            });
            signers = trustworthy;
        }
        None => {
            registry = registry::joined(&ours.listed, trusted.to_vec(), log);
            registry::refuse_unknown(merged, |key| registry.get(key).is_some())?;
            let promoted = check_log(log, b"", &ours.listed, threads)?.promoted_keys;
            verdict = check_log(log, b"", &registry, threads)?;
            signers = seal_signers(&registry, &ours.listed, &promoted);
        }
    }
    let forked = |actor: Option<&str>| merged.forks().iter().any(|f| Some(&*f.actor) == actor);
    let wrong = verdict.findings.iter().find(|finding| {
        let kept = finding.code == Code::E002 && forked(finding.actor.as_deref());
        finding.severity == Severity::Error && !kept
    });
    if let Some(finding) = wrong {
        return Err(late::refusal(finding, &verdict, log, merged).into());
    }
    // A version that is not kept is not in the result, and still has to be an event.
    let keys = KeyDirectory::new(&registry);
    for variant in merged.variants() {
        let takes_theirs = match options.append_only {
            true => variant.redacts_ours(),
            false => variant.kept == Side::Theirs,
        };
        let dropped = match takes_theirs {
            true => variant.ours,
            false => variant.theirs,
        };
        // What was redacted is no event by itself, and its redaction permits it; ours is in a log that verifies.
        if !variant.theirs_redacted
            && !check_lines(dropped, 0, &keys)
                .iter()
                .all(|line| line.is_sound())
        {
            return Err(MergeRefusal::ResultInvalid {
                code: Code::E003.as_str(),
                reason: "one of the two versions of the event does not verify".to_owned(),
                event_id: Some(variant.id.to_string()),
                append_only_helps: false,
            }
            .into());
        }
    }
    Ok(Verified {
        verdict,
        registry,
        signers,
    })
}

/// The length of the whole lines that both begin with.
fn common_lines(before: &[u8], after: &[u8]) -> usize {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    if same == before.len() {
        return same;
    }
    memchr::memrchr(b'\n', &before[..same]).map_or(0, |at| at + 1)
}
