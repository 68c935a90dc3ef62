//! Checkpoints held against the log that they claim to be the state of.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use provara_core::beliefs::LogReducer;
use provara_core::checkpoint::{Checkpoint, CheckpointError, ClaimedState};
use provara_core::finding::{Code, Finding};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::Value;
use provara_core::keys::{KeyRegistry, PublicKey};
use provara_core::layout;
use provara_core::verify::LogVerdict;

use crate::derive::{each_event, unprinted};
use crate::error::{Context, VaultError};
use crate::replay_start::Confirmed;
use crate::vault::Vault;
use crate::vault_snapshot::VaultSnapshot;
use provara_core::parallel::available_threads;

/// What one checkpoint says and the log must confirm.
struct Claim<'t> {
    path: &'t str,
    sha256: Digest,
    key_id: KeyId,
    /// The event that it ends with.
    last_event: Option<EventId>,
    state: ClaimedState,
}

/// What was found of the checkpoints.
#[derive(Default)]
pub(crate) struct Checkpoints {
    pub(crate) findings: Vec<Finding>,
    /// Those whose states are known to be the log's, in the order of what they cover.
    pub(crate) confirmed: Vec<Confirmed>,
    /// The reducer after the whole log, if it was replayed.
    pub(crate) replayed: Option<LogReducer>,
}

/// Checks every checkpoint's form and signature, and its state if the log is `sound`, unless it is one
/// of those that were `confirmed` for what the log begins with.
pub(crate) fn check_checkpoints(
    vault: &Vault,
    snapshot: &VaultSnapshot,
    registry: &KeyRegistry,
    log: &LogVerdict,
    sound: bool,
    confirmed: &[Confirmed],
    notes: &mut Vec<String>,
) -> Result<Checkpoints, VaultError> {
    let mut found = Checkpoints::default();
    let findings = &mut found.findings;
    // By the number of events that they cover; the reducer passes once. One text is held at a time.
    let mut claims: BTreeMap<u64, Vec<Claim<'_>>> = BTreeMap::new();
    for path in snapshot.checkpoints() {
        // A merge takes away those of a prefix that it does not keep.
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let text = vault.files().read(path)?.ok_or_else(gone);
        let text = text.context("read", &vault.path().join(path))?;
        let checkpoint = match Checkpoint::parse(&text) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                findings.push(Finding::new(code_of(&error), path, error.to_string()));
                continue;
            }
        };
        if let Some(finding) = check_signature(path, &checkpoint, registry, log) {
            findings.push(finding);
            continue;
        }
        let expected = layout::checkpoint_path(checkpoint.event_count);
        if expected != path {
            let message = "the name is not that of the number of events it covers";
            findings.push(Finding::new(Code::E302, path, message).compare(&expected, path));
        }
        let sha256 = Digest::of(&text);
        let same = |known: &&Confirmed| known.path == path && known.sha256 == sha256;
        if sound && let Some(known) = confirmed.iter().find(same) {
            found.confirmed.push(known.clone());
            continue;
        }
        claims
            .entry(checkpoint.event_count)
            .or_default()
            .push(Claim {
                path,
                sha256,
                key_id: checkpoint.key_id,
                last_event: checkpoint.last_event_id,
                state: checkpoint.claim(),
            });
    }
    if !sound && !claims.is_empty() {
        notes.push(
            "the states of the checkpoints were not compared, as the log does not verify"
                .to_owned(),
        );
    } else if !claims.is_empty() {
        compare(&claims, snapshot, log, notes, &mut found)?;
    }
    found.confirmed.sort_by_key(|checkpoint| checkpoint.events);
    Ok(found)
}

/// Replays the log once and compares each state on the way.
fn compare(
    claims: &BTreeMap<u64, Vec<Claim<'_>>>,
    snapshot: &VaultSnapshot,
    verdict: &LogVerdict,
    notes: &mut Vec<String>,
    found: &mut Checkpoints,
) -> Result<(), VaultError> {
    let lines: &[u8] = snapshot.log.as_ref().map_or(b"", |log| &log.lines);
    let tail = snapshot.log.as_ref().map_or(&[][..], |log| &log.tail);
    // Where the last event lacks its line end, the log is small or damaged.
    let with_tail = (!tail.is_empty()).then(|| [lines, tail].concat());
    let mut replay = Replay {
        claims,
        first_redacted: verdict.redacted_lines.first().copied().unwrap_or(u64::MAX),
        log: with_tail.as_deref().unwrap_or(lines),
        reducer: LogReducer::new(),
        revoked: BTreeMap::new(),
        count: 0,
        found,
        notes,
    };
    // A checkpoint may be of no events.
    replay.compare_at(0, 0, None)?;
    // The log is sound, so the tail is a whole event.
    each_event(replay.log, |number, range, event| {
        replay.apply(number, range, event)
    })?;
    replay.finish();
    Ok(())
}

/// A log on the way through its reducer, beside what the checkpoints claim of it.
struct Replay<'c, 't> {
    claims: &'c BTreeMap<u64, Vec<Claim<'t>>>,
    /// The first line whose payload is gone.
    first_redacted: u64,
    /// The log as it is read.
    log: &'c [u8],
    reducer: LogReducer,
    /// By key, the line that revoked it.
    revoked: BTreeMap<KeyId, u64>,
    /// How many events were applied.
    count: u64,
    found: &'c mut Checkpoints,
    notes: &'c mut Vec<String>,
}

impl Replay<'_, '_> {
    /// Takes the event of line `number`, which stands at these bytes of the log.
    fn apply(
        &mut self,
        number: u64,
        range: Range<u64>,
        event: &Value<'_>,
    ) -> Result<(), VaultError> {
        self.reducer.apply(event, range.start);
        self.count = number;
        if let Some(key) = revoked_key(event) {
            self.revoked.entry(key).or_insert(number);
        }
        self.compare_at(number, range.end, Some(event))
    }

    /// Compares what is claimed of the first `number` events, which end with `event`, with the state here.
    fn compare_at(
        &mut self,
        number: u64,
        length: u64,
        event: Option<&Value<'_>>,
    ) -> Result<(), VaultError> {
        let Some(here) = self.claims.get(&number) else {
            return Ok(());
        };
        let state = self.reducer.state(self.log, available_threads());
        let state = state.map_err(|error| unprinted(self.log, error))?;
        let here_ends = event
            .and_then(|event| event.get("event_id")?.as_str())
            .and_then(|id| id.parse::<EventId>().ok());
        for claim in here {
            let revoked_at = self.revoked.get(&claim.key_id);
            if let Some(at) = revoked_at {
                let key = claim.key_id;
                let message =
                    format!("signed by key {key}, which line {at} of the log had revoked");
                let finding = Finding::new(Code::E202, claim.path, message);
                self.found.findings.push(finding);
            }
            if !claim.state.agrees_with(&state) {
                self.tell_difference(claim, number, here_ends, state.state_hash);
            // One in the strict form does not tell 1 from 1.0, so that nothing goes on from it.
            } else if claim.state.hash == state.state_hash && revoked_at.is_none() {
                self.found.confirmed.push(Confirmed {
                    path: claim.path.to_owned(),
                    sha256: claim.sha256,
                    events: number,
                    length,
                });
            }
        }
        Ok(())
    }

    /// Says why a claim is not of the first `number` events, which end with the event `here_ends` and come to
    /// the state `here`.
    fn tell_difference(
        &mut self,
        claim: &Claim<'_>,
        number: u64,
        here_ends: Option<EventId>,
        here: Digest,
    ) {
        let path = claim.path;
        if claim.last_event != here_ends {
            let message = format!("it ends with another event than line {number} of the log");
            let none = |id: Option<EventId>| id.map_or("none".to_owned(), |id| id.to_string());
            let finding = Finding::new(Code::E009, path, message);
            let finding = finding.compare(none(here_ends), none(claim.last_event));
            self.found.findings.push(finding);
        } else if self.first_redacted <= number {
            // The payload may have been there still when the state was taken.
            self.notes.push(format!(
                "{path}: the state was not compared, as payloads that it includes were redacted"
            ));
        } else {
            let message = format!("the state is not that of the log's first {number} events");
            let finding = Finding::new(Code::E009, path, message);
            self.found
                .findings
                .push(finding.compare(here, claim.state.hash));
        }
    }

    /// Says which claims are of more events than there are, and keeps the reducer.
    fn finish(self) {
        let count = self.count;
        for (covered, claims) in self.claims.range(count + 1..) {
            for claim in claims {
                let message = format!("it covers {covered} events, and the log has only {count}");
                let finding = Finding::new(Code::E009, claim.path, message);
                self.found.findings.push(finding.compare(covered, count));
            }
        }
        self.found.replayed = Some(self.reducer);
    }
}

fn revoked_key(event: &Value<'_>) -> Option<KeyId> {
    if event.get("type")?.as_str()? != "KEY_REVOCATION" {
        return None;
    }
    let key = event.get("payload")?.get("revoked_key_id")?;
    key.as_str()?.parse().ok()
}

fn check_signature(
    path: &str,
    checkpoint: &Checkpoint<'_>,
    registry: &KeyRegistry,
    log: &LogVerdict,
) -> Option<Finding> {
    let id = checkpoint.key_id;
    let promoted = || log.promoted_keys.iter().find(|key| key.key_id() == id);
    let key: Option<&PublicKey> = registry
        .get(&id)
        .map(|entry| &entry.public_key)
        .or_else(promoted);
    let Some(key) = key else {
        let message = format!("the signer's key {id} is not in keys.json");
        return Some(Finding::new(Code::E204, path, message));
    };
    let message = format!("the signature does not verify under key {id}");
    checkpoint
        .verify(key)
        .is_err()
        .then(|| Finding::new(Code::E003, path, message))
}

fn code_of(error: &CheckpointError) -> Code {
    match error {
        CheckpointError::Json(_) | CheckpointError::NotCanonical => Code::E104,
        CheckpointError::Time(_) => Code::E105,
        CheckpointError::Missing(_) | CheckpointError::Field { .. } => Code::E300,
        CheckpointError::Id {
            field: "key_id", ..
        } => Code::E102,
        CheckpointError::Id {
            field: "last_event_id",
            ..
        } => Code::E101,
        CheckpointError::Id { .. } => Code::E100,
        CheckpointError::Signature => Code::E103,
        CheckpointError::SpecVersion { .. } => Code::E303,
        CheckpointError::Inconsistent(_) => Code::E009,
    }
}
