//! What can go wrong with a vault on disk, sorted by who has to act.
//!
//! Every operation answers with one type, [`VaultError`], so that one place in a program can turn errors
//! into words. What stands against one operation alone has a type of its own, and lies here as well: the
//! errors know nothing of how an operation goes about its work.

mod adoption;
mod anchor;
mod archive;
mod class;
mod extent;
mod head;
mod loss;
mod merge;
mod proof;
mod redaction;
mod seal;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provara_core::canonical::CanonicalError;
use provara_core::finding::Finding;
use provara_core::id::{EventId, KeyId};
use provara_core::keys::KeyfileError;
use provara_core::payload::{MAX_PAYLOAD, PayloadError};
use provara_core::tree_head::HeadError;
use provara_core::witness::WitnessRefusal;
use provara_signatures::Disagreement;

use crate::foreign::Foreign;

pub use adoption::AdoptRefusal;
pub use anchor::AnchorRefusal;
pub use archive::ArchiveError;
pub use class::ErrorClass;
pub use head::HeadRefusal;
pub use loss::Loss;
pub use merge::{ForkedEvent, LateEvent, MergeRefusal, ShownFork};
pub use proof::ProofRefusal;
pub use redaction::RedactRefusal;
pub use seal::OtherSeal;

use extent::{seen_last, standing};
use loss::lost;

/// What data has that means something else in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// A member where the random bytes would stand.
    #[error("the data has a member 'blind' of its own, where the random bytes would stand")]
    Blind,
    /// The form of what stands for a payload that was erased. Older tools then ask for the redaction.
    #[error("the payload has the form of a tombstone, which stands for a payload that was erased")]
    Tombstone,
}

/// An operation on a vault failed. Unless the variant says otherwise, the vault is as it was.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is nothing at the path.
    #[error("there is no vault at '{}': no such directory", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// A symbolic link is at the path, or on the way, and leads to nothing.
    #[error("there is no vault at '{}': the link '{}' leads to '{}', which is not there", path.display(), link.display(), target.display())]
    DanglingLink {
        /// The path as given.
        path: PathBuf,
        /// The link: the path, or a directory on the way to it.
        link: PathBuf,
        /// Where it leads to, as it stands in the link.
        target: PathBuf,
    },
    /// The path is there and holds no vault.
    #[error("'{}' is not a vault: {reason}", path.display())]
    NotAVault {
        /// The path as given.
        path: PathBuf,
        /// What it lacks, or what it is instead.
        reason: String,
        /// What it is instead, where that is known.
        kind: Option<Foreign>,
    },
    /// `init` found something where the vault was to be.
    #[error("'{}' {reason}; a vault is only made in a new or an empty directory", path.display())]
    NotEmpty {
        /// The path as given.
        path: PathBuf,
        /// What stands there.
        reason: &'static str,
    },
    /// A file that must not be replaced is there already.
    #[error("'{}' exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A keyfile may not stand there: it would be a file that the vault's seal does not know.
    #[error("the keyfile '{}' would lie inside the vault, where only {} may hold private keys", path.display(), provara_core::layout::PRIVATE_KEYS)]
    KeyfilePlace {
        /// The place asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {action} '{}': {source}", path.display())]
    Io {
        /// What was tried, as a verb phrase ("read", "write to", …).
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system could give no random bytes for a new key.
    #[error("the system gave no random bytes for a new key: {reason}")]
    Randomness {
        /// The system's answer.
        reason: String,
    },
    /// A back end for signatures and a single verification disagree, so that there is no verdict.
    #[error("two ways to verify signatures disagree: {0}")]
    SignaturesDisagree(Disagreement),
    /// The system clock stands outside the years 1 to 9999.
    #[error("the system clock stands outside the years that a timestamp can hold")]
    Clock,
    /// Another writer held the vault's lock until the time was up.
    #[error("'{}' is locked by {holder}; waited {} s", path.display(), waited.as_secs_f32())]
    Locked {
        /// The log, which carries the lock.
        path: PathBuf,
        /// How long this writer waited.
        waited: Duration,
        /// The holder as far as the system tells it: process id and name, or "another writer".
        holder: String,
    },
    /// The file system has no locks, and nobody said that this is the only writer.
    #[error("the file system of '{}' has no locks, so nothing would keep two writers apart", path.display())]
    NoLocks {
        /// The log, which would carry the lock.
        path: PathBuf,
    },
    /// The log holds something that is no event, or a chain that does not join; nothing is
    /// appended to it, and nothing in it is repaired.
    #[error("the log is broken at line {line} (byte {offset}): {reason}")]
    BrokenLog {
        /// The line, counted from 1.
        line: u64,
        /// The offset of its first byte.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// What is to be made would lie inside a vault, and be a phantom file there.
    #[error("'{}' lies inside the vault '{}'", .path.display(), .vault.display())]
    InsideVault {
        /// What is to be made.
        path: PathBuf,
        /// The vault.
        vault: PathBuf,
    },
    /// A file of the vault contradicts what its seal says.
    #[error("{file} is not what the vault's seal says: {reason}")]
    SealContradiction {
        /// The file, relative to the vault.
        file: String,
        /// How they differ.
        reason: String,
    },
    /// Nothing of a seal is left that could be compared with the vault: how far its log was sealed is
    /// unknown.
    #[error(
        "the vault has no seal ({reason}): nothing tells whether its log is whole and unchanged"
    )]
    NoSeal {
        /// What is missing or unreadable.
        reason: String,
    },
    /// There is no `manifest.sig`, as there always is in a vault that a writer left.
    #[error(
        "the vault has no manifest.sig: its log holds {events} events, and no signature vouches for any of them"
    )]
    SealAbsent {
        /// The events of the log.
        events: u64,
    },
    /// A key signed the seal that does not count where the seal stands.
    #[error("the vault's seal does not count: {reason}")]
    SealNotCounting {
        /// Which key, and why.
        reason: String,
    },
    /// The seal is neither of the vault as it is nor of an earlier state that its log goes on from.
    #[error(transparent)]
    SealOfOther(Box<OtherSeal>),
    /// The vault contradicts what this machine remembers of it: an earlier state, other events, or another
    /// vault.
    #[error("{} ({})", .finding.message, .finding.code)]
    NotAsRemembered {
        /// What a verification says of it: `W010` or `W011`.
        finding: Box<Finding>,
    },
    /// No tree head is signed.
    #[error(transparent)]
    TreeHead(#[from] HeadRefusal),
    /// There is no proof of what was asked for.
    #[error(transparent)]
    Proof(#[from] ProofRefusal),
    /// An anchor is not taken.
    #[error(transparent)]
    Anchor(#[from] AnchorRefusal),
    /// A witness does not cosign.
    #[error(transparent)]
    Witness(#[from] WitnessRefusal),
    /// A file that was named as a tree head holds none.
    #[error("'{}' is no tree head: {source}", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: HeadError,
    },
    /// What this machine remembers of vaults cannot be used.
    #[error("what this machine remembers of vaults cannot be used: {reason}")]
    Memory {
        /// Why.
        reason: String,
    },
    /// The log does not begin with what was verified: a merge put another one in its place.
    #[error("the log was replaced by another one while it was verified")]
    LogReplaced,
    /// Another program cut the log or changed bytes within it while it was read.
    #[error("another program changed the log '{}' while it was read", path.display())]
    LogChanged {
        /// The log.
        path: PathBuf,
    },
    /// Another program changed the log, or the vault's directory, under a writer's lock. Nothing was
    /// acknowledged that is not in the log, and the writer has stopped; what it acknowledged before was in the
    /// log as it then stood.
    #[error("{}", lost(path, loss, *acknowledged))]
    LogLost {
        /// The log.
        path: PathBuf,
        /// What became of it.
        loss: Loss,
        /// How many events the writer had acknowledged before, of a batch.
        acknowledged: u64,
    },
    /// A file of the vault is missing, malformed, or leads out of the vault.
    #[error("{file}: {reason}")]
    Structure {
        /// The file, relative to the vault.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The vault was closed by a `com.provara.vault.seal` event.
    #[error("the vault was closed by {event_id} (com.provara.vault.seal): no event may follow it")]
    Closed {
        /// The closing event.
        event_id: EventId,
    },
    /// An earlier event of the same batch closes the vault, and may never be written.
    #[error(
        "an earlier event of this batch closes the vault (com.provara.vault.seal): no event may follow it"
    )]
    ClosedByBatch,
    /// A `GENESIS` event is written by `init` alone.
    #[error("a vault has one GENESIS event, written when it is made; it cannot be appended")]
    GenesisByHand,
    /// An event that only the command for it writes, which knows what it must say.
    #[error("a {event_type} event is written by '{command}' alone; it cannot be appended")]
    ByCommand {
        /// The type.
        event_type: &'static str,
        /// The command.
        command: &'static str,
    },
    /// A redaction event does not fit the log.
    #[error("the redaction cannot be appended: {reason}")]
    RedactionTarget {
        /// What is wrong with its target.
        reason: String,
    },
    /// The actor's name is empty.
    #[error("the actor's name is empty")]
    EmptyActor,
    /// The idempotency key is empty or too long.
    #[error("the idempotency key {reason}")]
    IdempotencyKey {
        /// What is wrong with it.
        reason: String,
    },
    /// The log has an event of the actor with this idempotency key, and it says something else.
    #[error("the idempotency key '{key}' of '{actor}' is that of {}, {difference}", there(*event))]
    KeyReused {
        /// The key.
        key: String,
        /// The actor.
        actor: String,
        /// The event that has it and its line in the log, counted from 1; none for one that the same batch
        /// asks for and that may never be written.
        event: Option<(EventId, u64)>,
        /// How the two differ.
        difference: &'static str,
    },
    /// The vault's name for itself is empty.
    #[error("the vault's uid is empty")]
    EmptyUid,
    /// The payload is not one that the event's type may carry.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The data cannot be carried by canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The payload is longer than that of one event may be.
    #[error(
        "the event's data is too large: in canonical form its payload has {length} bytes, and {} MiB are the most",
        MAX_PAYLOAD >> 20
    )]
    TooLarge {
        /// The length of the payload.
        length: usize,
    },
    /// The event would not be readable once it is written.
    #[error("the event cannot be written: {reason}")]
    Unwritable {
        /// What the reader of lines would refuse.
        reason: String,
    },
    /// The data has what means something else in a payload.
    #[error("the event cannot be written: {0}")]
    Ambiguous(Ambiguity),
    /// The actor's logical clock cannot be counted further.
    #[error("the logical clock (ts_logical) of '{actor}' is at its end")]
    LogicalClock {
        /// The actor.
        actor: String,
    },
    /// The key event or redaction would make the vault invalid (spec/VAULT_FORMAT, sections 4 and
    /// 8).
    #[error("{code}: {reason}")]
    WouldNotVerify {
        /// The code of the finding that a verification would make, as `PROVARA_E200`.
        code: &'static str,
        /// Why the event is refused.
        reason: String,
    },
    /// A key event or a redaction in an atomic batch: it is judged against a log that holds all before
    /// it, and an atomic batch writes nothing before its end.
    #[error("a {event_type} event cannot be part of an atomic batch: append it by itself")]
    NotInAtomicBatch {
        /// The type.
        event_type: String,
    },
    /// There is no keyfile at the path.
    #[error("there is no keyfile at '{}'", path.display())]
    KeyfileMissing {
        /// The path.
        path: PathBuf,
    },
    /// The file is no keyfile.
    #[error("'{}' is not a keyfile: {source}", path.display())]
    KeyfileInvalid {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyfileError,
    },
    /// None of the keyfile's keys is known to the vault.
    #[error(
        "none of the keyfile's keys belongs to this vault (it holds {})",
        list(key_ids)
    )]
    KeyfileForeign {
        /// The keys that it holds.
        key_ids: Vec<KeyId>,
    },
    /// Keys of the keyfile are known to the vault, but none may sign: each is revoked or lacks the role.
    #[error("none of the keyfile's keys may sign: {}", reasons.join("; "))]
    NoSigningKey {
        /// Why not, one text a key.
        reasons: Vec<String>,
    },
    /// The vault does not know the key that was asked for.
    #[error("the vault does not know the key {key_id}")]
    KeyUnknown {
        /// The key.
        key_id: KeyId,
    },
    /// The keyfile does not hold the key that was asked for.
    #[error("the keyfile does not hold the key {key_id} (it holds {})", list(held))]
    KeyNotInKeyfile {
        /// The key.
        key_id: KeyId,
        /// The keys that it holds.
        held: Vec<KeyId>,
    },
    /// The key that was asked for is revoked.
    #[error("the key {key_id} is revoked")]
    KeyRevoked {
        /// The key.
        key_id: KeyId,
    },
    /// Data could not be made durable. The event is *not* acknowledged; the line was taken back
    /// where the system allowed it, and is otherwise found by the next append.
    #[error("could not make '{}' durable: {source}; nothing was acknowledged, and this writer has stopped", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The event is in the log and durable, but the seal could not be renewed: it lags behind by
    /// this event, which the next append or re-made manifest puts right.
    #[error(
        "{event_id} (line {line}) is in the log and durable, but the seal could not be renewed: {source}"
    )]
    SealLags {
        /// The event.
        event_id: EventId,
        /// Its line, counted from 1.
        line: u64,
        /// Why.
        source: Box<VaultError>,
    },
    /// The disk ended a batch before its end. The next append, or a re-made manifest, seals what is in the
    /// log and durable; nothing else of the batch was acknowledged.
    #[error("the batch ended early; {}: {source}", standing(*durable, *sealed))]
    BatchEnded {
        /// How many events of the batch are in the log and durable; they are its first.
        durable: u64,
        /// How many of those are sealed.
        sealed: u64,
        /// What the disk refused.
        source: Box<VaultError>,
    },
    /// A batch let other writers in, and could not go on from what stood there when it came back.
    #[error("the batch ended early, when its turn came again: {source}; {}", seen_last(*acknowledged))]
    NotResumed {
        /// How many events of the batch were acknowledged before; they are its first.
        acknowledged: u64,
        /// What stood against going on.
        source: Box<VaultError>,
    },
    /// An earlier failure stopped this writer for good.
    #[error(
        "this writer stopped after an earlier failure to make data durable; open the vault anew"
    )]
    Stopped,
    /// Who was told of the progress did not want it to go on.
    #[error("it was cancelled before it was done")]
    Cancelled,
    /// A checkpoint for this many events is there and says something else.
    #[error("'{}' exists already and holds another state or is not by a key of this vault", path.display())]
    CheckpointExists {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A checkpoint would be larger than a reader takes, and so make the vault one that does not verify.
    #[error("the checkpoint would have more than {most} bytes, the most that readers take")]
    CheckpointTooLarge {
        /// The limit, in bytes.
        most: u64,
    },
    /// A command that changes several files was interrupted between its steps: the next command that writes,
    /// or a repair, completes it.
    #[error(
        "{operation} was interrupted between its steps, and is completed by the next command that writes: {source}"
    )]
    Interrupted {
        /// What, with its article.
        operation: &'static str,
        /// Why.
        source: Box<VaultError>,
    },
    /// A seal that nobody signs was asked for, in a marked vault, where it would be none.
    #[error("a seal that nobody signs vouches for nothing, and a marked vault needs one that does")]
    Unsigned,
    /// A backup or a restoration was refused.
    #[error(transparent)]
    Archive(Box<ArchiveError>),
    /// A command that was interrupted has to be completed first.
    #[error("{operation} was interrupted and has to be completed first")]
    Pending {
        /// What, with its article.
        operation: &'static str,
    },
    /// An adoption was refused.
    #[error(transparent)]
    Adoption(#[from] AdoptRefusal),
    /// A redaction was refused.
    #[error(transparent)]
    Redaction(#[from] RedactRefusal),
    /// A merge or an import was refused.
    #[error(transparent)]
    Merge(Box<MergeRefusal>),
}

impl From<ArchiveError> for VaultError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

impl From<MergeRefusal> for VaultError {
    fn from(refusal: MergeRefusal) -> Self {
        Self::Merge(Box::new(refusal))
    }
}

fn list(ids: &[KeyId]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(KeyId::to_string).collect();
    ids.join(", ")
}

/// Which event has an idempotency key.
fn there(event: Option<(EventId, u64)>) -> String {
    match event {
        Some((event_id, line)) => format!("{event_id} (line {line})"),
        None => "an earlier event of this batch".to_owned(),
    }
}

/// Gives an `io::Result` the words of what was tried and where.
pub(crate) trait Context<T> {
    /// Names the action (a verb phrase) and the path.
    fn context(self, action: &'static str, path: &Path) -> Result<T, VaultError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, VaultError> {
        self.map_err(|source| VaultError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, VaultError> {
        self.map_err(io::Error::from).context(action, path)
    }
}
