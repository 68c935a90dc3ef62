//! Adoption: an owner who has looked says that what stands in a vault is theirs (spec/VAULT_FORMAT,
//! section 4).
//!
//! An older vault gets its mark by it: the keys that count are from then on those that signed events bring.
//! A marked vault is adopted once more where its seal does not vouch for what is there, and the owner knows
//! why. The log must verify in either case; an adoption mends nothing.

use std::collections::BTreeSet;
use std::fs;

use provara_core::finding::{Finding, Severity};
use provara_core::history::{KeyEvent, KeyEventKind, KeyHistory, KeyStanding};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::object;
use provara_core::keys::{KeyEntry, KeyStatus, Keyfile};
use provara_core::layout;
use provara_core::mark::{ADOPTION_TYPE, PolicyKey, SEAL_POLICY, SealPolicy};
use provara_core::scan::{Field, scan_line};
use provara_core::verify::seal::SealStanding;
use serde::Serialize;

use crate::check::check_log;
use crate::error::{AdoptRefusal, Context, VaultError};
use crate::found::Found;
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::intent::pending::find;
use crate::key_events::key_events;
use crate::log_snapshot::lines_of;
use crate::memory;
use crate::reseal::{SealText, differences, states};
use crate::scribe::{OWNER, Scribe};
use crate::seal::{SealReceipt, read_entries, set_entry, text_entry};
use crate::state_dir::keep;
use crate::vault::Vault;
use provara_core::parallel::available_threads;

/// How a vault is adopted.
#[derive(Debug, Clone, Default)]
pub struct AdoptOptions {
    /// Keys that count from now on though no signed event leads to them, as the owner knows that they do.
    pub trust: Vec<KeyId>,
    /// Who adopts; `provara_user` where it is not said.
    pub actor: Option<String>,
    /// Sign with this key of the keyfile.
    pub key_id: Option<KeyId>,
}

/// What the seal was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundSeal {
    /// There is none.
    Absent,
    /// There is one, and it does not vouch for what is there.
    Stale,
    /// It is of an earlier state, which the log goes on from.
    Continued,
    /// It is of the vault as it is.
    Current,
}

impl FoundSeal {
    /// The word that the adoption event has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::Continued => "continued",
            Self::Current => "current",
        }
    }
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// The `GENESIS` event, or an adoption before, introduces it.
    Introduced,
    /// A promotion or an addition in the log brings it.
    Event,
    /// `keys.json` alone lists it: whoever can write the vault's files can put a key there.
    Listed,
}

/// A key of the vault, to be shown.
#[derive(Debug, Clone, Serialize)]
pub struct FoundKey {
    /// The key.
    pub key_id: KeyId,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it is active or revoked.
    pub status: KeyStatus,
    /// Where it comes from.
    pub origin: KeyOrigin,
    /// How many events of the log it signed.
    pub events: u64,
}

/// What stands in a vault, for its owner to look at.
#[derive(Debug, Clone, Serialize)]
pub struct FoundState {
    /// Whether the vault has its mark already.
    pub marked: bool,
    /// The events of its log.
    pub event_count: u64,
    /// The time of the first, as written.
    pub first_event_at: Option<String>,
    /// The time of the last, as written.
    pub last_event_at: Option<String>,
    /// The last event.
    pub last_event_id: Option<EventId>,
    /// The root of the event tree.
    pub tree_root: Digest,
    /// The SHA-256 of the log.
    pub log_sha256: Digest,
    /// What the seal was found to be.
    pub seal: FoundSeal,
    /// Why a writer does not go on from it, if it does not.
    pub refusal: Option<String>,
    /// What this machine remembers otherwise of the vault.
    pub remembered: Option<String>,
    /// What else it remembers, such as a longer copy of the vault at another path.
    pub elsewhere: Vec<String>,
    /// When the seal was made, as written.
    pub sealed_at: Option<String>,
    /// The keys.
    pub keys: Vec<FoundKey>,
    /// What differs from the files that the manifest lists.
    pub differences: Vec<String>,
    /// What a verification would warn of.
    pub warnings: Vec<String>,
}

/// A vault that was adopted.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AdoptReceipt {
    /// The adoption event.
    pub event_id: EventId,
    /// What was found.
    pub found: FoundState,
    /// The keys that the event vouches for.
    pub adopted_keys: Vec<KeyId>,
    /// How many events the log holds now.
    pub event_count: u64,
    /// The root of the new seal.
    pub merkle_root: Digest,
    /// The key that signed both.
    pub key_id: KeyId,
    /// What else was found and done.
    pub notes: Vec<String>,
}

impl Vault {
    /// What an adoption would find, with the same refusals as far as they need no key. Nothing is written.
    ///
    /// # Errors
    /// As [`Vault::adopt`].
    pub fn look(&self) -> Result<FoundState, VaultError> {
        let log = self.lock_for_reading()?;
        if let Some(pending) = find(self)? {
            return Err(VaultError::Pending {
                operation: pending.intent.operation.words(),
            });
        }
        let found = Found::look(self, log, Vec::new())?;
        found.refuse_fault()?;
        Ok(Keys::of(&found).state(&found))
    }

    /// Makes a first seal where there is none, or one in the place of a seal that does not vouch for what is
    /// there: an [adoption](Vault::adopt) that trusts no further key.
    ///
    /// # Errors
    /// As [`Vault::adopt`], and [`VaultError::Unsigned`] without a keyfile.
    pub fn new_seal(&self, keyfile: Option<&Keyfile>) -> Result<SealReceipt, VaultError> {
        let keyfile = keyfile.ok_or(VaultError::Unsigned)?;
        let adopted = self.adopt(keyfile, &AdoptOptions::default())?;
        let listed = read_entries(self.path())?;
        let mut notes = adopted.notes;
        notes.extend(adopted.found.differences);
        Ok(SealReceipt {
            merkle_root: adopted.merkle_root,
            file_count: listed.len() as u64,
            event_count: adopted.event_count,
            signed_by: Some(adopted.key_id),
            notes,
        })
    }

    /// Adopts the vault as it stands: an event says what was found and which keys count, `keys.json` becomes
    /// what signed events say of them, and a new seal covers all files.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a log that does not verify; [`VaultError::Adoption`] for keys that only
    /// `keys.json` vouches for and that are not trusted; [`VaultError::Closed`]; the errors of a writer and
    /// of a keyfile. The vault is then as it was, but for [`VaultError::Interrupted`].
    pub fn adopt(
        &self,
        keyfile: &Keyfile,
        options: &AdoptOptions,
    ) -> Result<AdoptReceipt, VaultError> {
        let mut found = Found::open(self)?;
        found.refuse_fault()?;
        self.refuse_missing_files()?;
        let index = found.index.clone().expect("a log that verifies");
        if let Some(event_id) = index.closed {
            return Err(VaultError::Closed { event_id });
        }
        let keys = Keys::of(&found);
        let state = keys.state(&found);
        let key = found.signing_key(keyfile, options.key_id)?;
        keys.refuse_unknown(&found, &options.trust)?;
        let policy = keys.policy(key.key_id(), keyfile, options)?;
        let adopted_keys = policy.keys.iter().map(|key| key.public_key.key_id());
        let adopted_keys: Vec<_> = adopted_keys.collect();
        for entry in &found.listed.keys {
            if found.registry.get(&entry.key_id).is_none() {
                found.notes.push(format!(
                    "{} listed key {}, to which no signed event leads; it no longer does",
                    layout::KEYS,
                    entry.key_id
                ));
            }
        }

        let actor = options.actor.as_deref().unwrap_or(OWNER);
        let mut scribe = Scribe::new(index, actor, key, found.seal_name())?;
        let payload = object([
            (
                "found",
                object([
                    ("event_count", state.event_count.into()),
                    ("log_sha256", state.log_sha256.to_string().into()),
                    ("seal", state.seal.as_str().into()),
                    ("tree_root", state.tree_root.to_string().into()),
                ]),
            ),
            (SEAL_POLICY, policy.to_value()),
        ]);
        let event = scribe.write(ADOPTION_TYPE, &payload)?;
        // The files that were sealed may be others: what is there is adopted, and stated.
        let mut entries = found.standing_entries();
        let mut event_count = state.event_count + 1;
        if !states(&found.verdict, &entries, &found.manifest) {
            scribe.state_files(entries.iter())?;
            event_count += 1;
        }
        let text = scribe.finish();
        let log = [found.log(), &text].concat();
        let history = judge(&found, &log, key.key_id())?;
        let registry = history.registry_after(event_count);
        let mut files = Vec::new();
        let keys_text = registry.to_json();
        set_entry(&mut entries, text_entry(layout::KEYS, &keys_text));
        files.push((layout::KEYS.into(), keys_text));
        set_entry(&mut entries, text_entry(layout::LOG, &log));
        let seal = SealText::write(entries, key)?;
        files.extend(seal.files);
        let plan = Plan {
            operation: Operation::Adopt,
            log: NewLog::Appended {
                before: found.log(),
                text,
            },
            files,
            removed: Vec::new(),
            seal: seal.signature,
        };
        let prepared = plan.prepare(self, &found.log)?;
        drop(plan);
        if found.refusal().is_some() {
            let note = keep_signature(self)?;
            found.notes.extend(note);
        }
        found.clear()?;
        let _log = prepared.carry_out(found.log, found.whole as u64)?;
        found.notes.extend(state.elsewhere.iter().cloned());
        found.notes.extend(memory::set(self).notes());
        Ok(AdoptReceipt {
            event_id: event.id,
            found: state,
            adopted_keys,
            event_count,
            merkle_root: seal.root,
            key_id: key.key_id(),
            notes: found.notes,
        })
    }
}

/// The keys of the log that the adoption makes, if it verifies so.
fn judge(found: &Found<'_>, log: &[u8], signer: KeyId) -> Result<KeyHistory, VaultError> {
    let refused = |code: &'static str, reason: String| VaultError::WouldNotVerify { code, reason };
    let verdict = check_log(log, b"", &found.either(), available_threads())?;
    let wrong = |finding: &&Finding| finding.severity == Severity::Error;
    if let Some(finding) = verdict.findings.iter().find(wrong) {
        return Err(refused(finding.code.as_str(), finding.message.clone()));
    }
    let standing = verdict
        .history
        .as_ref()
        .map(|history| history.standing(&signer, verdict.lines));
    match (verdict.history, standing) {
        (Some(history), Some(KeyStanding::Counts)) => Ok(history),
        _ => Err(refused(
            "PROVARA_E205",
            format!("an adoption by key {signer} would not count beside those that are there"),
        )),
    }
}

/// Keeps the signature that is replaced outside the vault: it may prove that the log was another one.
fn keep_signature(vault: &Vault) -> Result<Option<String>, VaultError> {
    let path = vault.path().join(layout::MANIFEST_SIG);
    if fs::symlink_metadata(&path).is_err() {
        return Ok(None);
    }
    let text = fs::read(&path).context("read", &path)?;
    let kept = keep(
        vault.state_directory(),
        vault.path(),
        "manifest",
        "sig",
        &text,
    )?;
    Ok(Some(format!(
        "{} did not vouch for what was there; it was kept as '{}'",
        layout::MANIFEST_SIG,
        kept.display()
    )))
}

/// The keys of a vault, and where each comes from.
struct Keys {
    entries: Vec<(KeyEntry, KeyOrigin)>,
    root: Option<KeyId>,
    /// The keys that signed events of the log.
    signed: Vec<KeyId>,
}

impl Keys {
    fn of(found: &Found<'_>) -> Self {
        let events = key_events(found.log());
        let brought: BTreeSet<KeyId> = events
            .iter()
            .filter_map(|event| event.brings().map(|entry| entry.key_id))
            .collect();
        let genesis = events.iter().find(|it| it.kind == KeyEventKind::Genesis);
        let text = |event: &KeyEvent| event.payload.get("root_key_id")?.as_str()?.parse().ok();
        // Of a marked vault the file is not asked.
        let entries = found.registry.keys.iter().map(|entry| {
            let id = &entry.key_id;
            let is_introduced = found.is_marked() || found.verdict.introduced.contains(id);
            let origin = match (brought.contains(id), is_introduced) {
                (true, _) => KeyOrigin::Event,
                (false, true) => KeyOrigin::Introduced,
                (false, false) => KeyOrigin::Listed,
            };
            (entry.clone(), origin)
        });
        let signers = lines_of(found.log()).filter_map(|line| {
            let line = scan_line(line).ok()?;
            line.text(Field::ActorKeyId)?.parse().ok()
        });
        Self {
            entries: entries.collect(),
            root: genesis.and_then(text),
            signed: signers.collect(),
        }
    }

    /// Refuses to trust a key that is none of the vault's.
    fn refuse_unknown(&self, found: &Found<'_>, trust: &[KeyId]) -> Result<(), AdoptRefusal> {
        let known = |id: &KeyId| self.entries.iter().any(|(entry, _)| entry.key_id == *id);
        match trust.iter().find(|id| !known(id)) {
            None => Ok(()),
            Some(&key_id) if found.is_marked() => Err(AdoptRefusal::NotBrought {
                key_id,
                listed: found.listed.get(&key_id).is_some(),
            }),
            Some(&key_id) => Err(AdoptRefusal::NoSuchKey { key_id }),
        }
    }

    /// The keys that the adoption vouches for, the root key first.
    fn policy(
        &self,
        signer: KeyId,
        keyfile: &Keyfile,
        options: &AdoptOptions,
    ) -> Result<SealPolicy, VaultError> {
        // Who holds a key need not be told that it is theirs; but the one that signs says so of all others.
        let untrusted: Vec<KeyId> = self
            .entries
            .iter()
            .filter(|(_, origin)| *origin == KeyOrigin::Listed)
            .map(|(entry, _)| entry.key_id)
            .filter(|id| !options.trust.contains(id))
            .filter(|id| *id == signer || keyfile.get(id).is_none())
            .collect();
        if !untrusted.is_empty() {
            let unused = |id: &KeyId| *id != signer && !self.signed.contains(id);
            return Err(AdoptRefusal::Untrusted {
                unused: untrusted.iter().all(unused),
                key_ids: untrusted,
            }
            .into());
        }
        let mut keys: Vec<PolicyKey> = self
            .entries
            .iter()
            .filter(|(_, origin)| *origin != KeyOrigin::Event)
            .map(|(entry, _)| PolicyKey::from(entry))
            .collect();
        keys.sort_by_key(|key| Some(key.public_key.key_id()) != self.root);
        Ok(SealPolicy { keys })
    }

    fn state(&self, found: &Found<'_>) -> FoundState {
        let keys = self.entries.iter().map(|(entry, origin)| FoundKey {
            key_id: entry.key_id,
            roles: entry.roles.clone(),
            status: entry.status,
            origin: *origin,
            events: self.signed.iter().filter(|id| **id == entry.key_id).count() as u64,
        });
        let time = |line: Option<&[u8]>| {
            let line = scan_line(line?).ok()?;
            Some(line.text(Field::TimestampUtc)?.into_owned())
        };
        let mut lines = lines_of(found.log());
        let first = lines.next();
        let last = lines.last().or(first);
        let warnings = found.verdict.findings.iter();
        let memory = found.remembered();
        FoundState {
            marked: found.is_marked(),
            event_count: found.verdict.lines,
            first_event_at: time(first),
            last_event_at: time(last),
            last_event_id: found.verdict.last_event,
            tree_root: found.verdict.tree.root(),
            log_sha256: Digest::of(found.log()),
            seal: match found.judgement.standing {
                SealStanding::Absent => FoundSeal::Absent,
                SealStanding::Current => FoundSeal::Current,
                SealStanding::Continued { .. } => FoundSeal::Continued,
                _ => FoundSeal::Stale,
            },
            refusal: found.refuse_seal().err().map(|error| error.to_string()),
            remembered: memory.findings.first().map(|finding| {
                let finding = Box::new(finding.clone());
                VaultError::NotAsRemembered { finding }.to_string()
            }),
            elsewhere: memory.notes,
            sealed_at: found.judgement.signed_at_utc.clone(),
            keys: keys.collect(),
            differences: match found.manifest.is_empty() {
                true => vec![format!("there is no {} to compare with", layout::MANIFEST)],
                false => differences(&found.manifest, &found.standing_entries()),
            },
            warnings: warnings.map(ToString::to_string).collect(),
        }
    }
}
