//! Why an operation on a vault failed, in words.

use std::fs;
use std::path::{Path, PathBuf};

use provara_core::finding::{Code, Report, Severity};
use provara_core::number_policy::NumberPolicy;
use provara_report::{Class, Diagnostic, shell};
use provara_vault::{Ambiguity, ErrorClass, Foreign, HeadRefusal, Vault, VaultError, layout};

use crate::causes::{causes_first, is_only_torn};

use super::{adoption, anchor, archive, canonical_fix, head, io_fix, merge, sentence};

/// What helps somebody who would append a genesis event.
pub const NO_SECOND_GENESIS: &str =
    "Use OBSERVATION or a custom type; 'provara init' writes the genesis event of a new vault.";

/// What helps somebody whose data is more than one event takes.
pub const TOO_LARGE_FIX: &str =
    "Keep the bytes in a file, and put the file's name and SHA-256 into the event.";

/// An error of a vault operation on the vault at `vault`.
pub fn vault_failure(error: VaultError, vault: &Path) -> Diagnostic {
    let exit = match (&error, error.class()) {
        // What stands in the way is on the disk, not in the request.
        (VaultError::NotEmpty { .. } | VaultError::Exists { .. }, _) => Class::Unavailable,
        (_, ErrorClass::Evidence) => Class::Evidence,
        (_, ErrorClass::Usage) => Class::Usage,
        (_, ErrorClass::CouldNot) => Class::Unavailable,
    };
    let fix = vault_fix(&error, &shell(vault));
    let failure = Diagnostic::new(exit, sentence(&error.to_string())).fix(fix);
    match &error {
        VaultError::NotAsRemembered { finding } => [
            ("remembered", &finding.expected),
            ("there now", &finding.found),
        ]
        .into_iter()
        .filter_map(|(label, fact)| Some(format!("{label:10}  {}", fact.as_ref()?)))
        .fold(failure, Diagnostic::detail),
        VaultError::Merge(refusal) => merge::with_details(failure, refusal),
        VaultError::TreeHead(HeadRefusal::Broken(finding)) => [
            ("published", &finding.expected),
            ("there now", &finding.found),
        ]
        .into_iter()
        .filter_map(|(label, fact)| Some(format!("{label:9}  {}", fact.as_ref()?)))
        .fold(failure, Diagnostic::detail),
        VaultError::Archive(refusal) => archive::with_details(failure, refusal),
        _ => failure,
    }
}

/// What helps. Each error is given to the part that it is about; one that is new has to be placed here.
fn vault_fix(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::NotFound { .. }
        | VaultError::DanglingLink { .. }
        | VaultError::NotAVault { .. }
        | VaultError::NotEmpty { .. }
        | VaultError::Exists { .. }
        | VaultError::KeyfilePlace { .. }
        | VaultError::InsideVault { .. }
        | VaultError::Io { .. }
        | VaultError::Sync { .. }
        | VaultError::CheckpointTooLarge { .. }
        | VaultError::CheckpointExists { .. } => place_advice(error, vault),
        VaultError::SealContradiction { .. }
        | VaultError::NoSeal { .. }
        | VaultError::SealAbsent { .. }
        | VaultError::SealNotCounting { .. }
        | VaultError::SealOfOther(_)
        | VaultError::NotAsRemembered { .. }
        | VaultError::Memory { .. }
        | VaultError::Structure { .. }
        | VaultError::BrokenLog { .. }
        | VaultError::Unsigned => seal_advice(error, vault),
        VaultError::Closed { .. }
        | VaultError::ClosedByBatch
        | VaultError::GenesisByHand
        | VaultError::ByCommand { .. }
        | VaultError::RedactionTarget { .. }
        | VaultError::EmptyActor
        | VaultError::IdempotencyKey { .. }
        | VaultError::KeyReused { .. }
        | VaultError::EmptyUid
        | VaultError::Unwritable { .. }
        | VaultError::TooLarge { .. }
        | VaultError::Ambiguous(_)
        | VaultError::Payload(_)
        | VaultError::Canonical(_)
        | VaultError::LogicalClock { .. }
        | VaultError::WouldNotVerify { .. }
        | VaultError::NotInAtomicBatch { .. } => event_advice(error, vault),
        VaultError::KeyfileMissing { .. }
        | VaultError::KeyfileInvalid { .. }
        | VaultError::KeyfileForeign { .. }
        | VaultError::NoSigningKey { .. }
        | VaultError::KeyUnknown { .. }
        | VaultError::KeyNotInKeyfile { .. }
        | VaultError::KeyRevoked { .. } => key_advice(error, vault),
        VaultError::SealLags { .. }
        | VaultError::BatchEnded { .. }
        | VaultError::NotResumed { .. }
        | VaultError::Stopped
        | VaultError::Cancelled
        | VaultError::Interrupted { .. }
        | VaultError::Pending { .. }
        | VaultError::Locked { .. }
        | VaultError::NoLocks { .. }
        | VaultError::LogReplaced
        | VaultError::LogChanged { .. }
        | VaultError::LogLost { .. }
        | VaultError::Clock
        | VaultError::Randomness { .. }
        | VaultError::SignaturesDisagree(_) => interruption_advice(error, vault),
        VaultError::Head { .. } | VaultError::TreeHead(_) | VaultError::Proof(_) => {
            head::advice(error, vault)
        }
        VaultError::Anchor(_) | VaultError::Witness(_) => anchor::advice(error, vault),
        VaultError::Adoption(refusal) => adoption::adopt_fix(refusal, vault),
        VaultError::Redaction(refusal) => adoption::redact_fix(refusal, vault),
        VaultError::Merge(refusal) => merge::fix(refusal, vault, vault_fix),
        VaultError::Archive(refusal) => archive::fix(refusal, vault),
    }
}

/// Where something lies, or is to lie.
fn place_advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::DanglingLink { link, .. } => format!(
            "Bring back what the link leads to, as a disk that is not mounted, or name the vault itself: ls -l {}",
            shell(link)
        ),
        VaultError::NotFound { .. } => {
            format!("Check the path, or create a vault there: provara init {vault}")
        }
        VaultError::NotAVault { path, kind, .. } => not_a_vault_advice(path, *kind),
        // Nobody is to empty a vault: it may be the only copy.
        VaultError::NotEmpty { path, .. } if Vault::open(path).is_ok() => format!(
            "A vault stands there. Name a directory that does not exist yet, or move that vault aside first, and \
             keep it until you know that nothing of it is missed: mv {} {}",
            shell(path),
            shell(&aside(path))
        ),
        VaultError::NotEmpty { .. } => {
            "Name a directory that does not exist yet, or empty it first.".to_owned()
        }
        VaultError::Exists { path } => {
            format!("Name another file, or move {} away.", shell(path))
        }
        VaultError::KeyfilePlace { .. } => {
            "Name a file outside the vault, or leave --private-keys out.".to_owned()
        }
        VaultError::Io { source, path, .. } => io_fix(source, path),
        VaultError::Sync { path, source } => io_fix(source, path),
        VaultError::InsideVault { .. } => {
            "Name a place outside: every file inside a vault is evidence or a fault.".to_owned()
        }
        VaultError::CheckpointTooLarge { .. } => {
            "Do without: a replay reads the log itself, and a checkpoint only spares it that."
                .to_owned()
        }
        VaultError::CheckpointExists { path } => format!(
            "Move {} away if it is not wanted, then run 'provara manifest {vault}'.",
            shell(path)
        ),
        _ => format!("Check the path: ls -ld {vault}"),
    }
}

/// What helps where something stands that is no vault: it may be in one, or around one.
fn not_a_vault_advice(path: &Path, kind: Option<Foreign>) -> String {
    let named = |place, found: &Path| {
        format!(
            "Name the vault itself; there is one {place}: {}",
            shell(found)
        )
    };
    match (kind, vault_above(path)) {
        (Some(kind @ Foreign::Archive), _) | (Some(kind), None) => foreign_advice(kind, path),
        (_, Some(found)) => named("above", &found),
        (None, None) => match vault_below(path) {
            Some(found) => named("below", &found),
            None => {
                "Name the directory of a vault: the one that holds events/events.ndjson.".to_owned()
            }
        },
    }
}

/// The vault that a path leads into, as it was typed.
fn vault_above(path: &Path) -> Option<PathBuf> {
    let above = path.ancestors().skip(1).map(|it| match it.as_os_str() {
        empty if empty.is_empty() => Path::new("."),
        _ => it,
    });
    let mut vaults = above.filter(|it| Vault::open(it).is_ok());
    vaults.next().map(Path::to_owned)
}

/// Where a directory is moved to that is in the way: beside it, under a name that is not taken.
fn aside(path: &Path) -> PathBuf {
    let named = |number: u64| {
        let mut name = path.components().as_path().to_owned().into_os_string();
        name.push(".before");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let mut names = (1..).map(named);
    let free = names.find(|it| fs::symlink_metadata(it).is_err());
    free.expect("some number is free")
}

/// What helps where something else stands than a vault.
fn foreign_advice(kind: Foreign, path: &Path) -> String {
    let (shown, original) = (
        shell(path),
        "take the vault that it was made from: its directory, or the .zip of the older tool's 'backup', which \
         'provara restore' reads.",
    );
    match kind {
        Foreign::Archive => format!(
            "Unpack it, which verifies what is in it: provara restore {shown} DIRECTORY"
        ),
        Foreign::ForensicBundle => {
            format!("Its own verify.py checks it. To verify with provara, {original}")
        }
        Foreign::PsmcVault => "Verify it with the tool that made it: psmc.py verify.".to_owned(),
        Foreign::SqliteVault | Foreign::SqliteDatabase => {
            "Verify it with the tool that made it. A vault is a directory with events/events.ndjson."
                .to_owned()
        }
        Foreign::ScittBundle | Foreign::EventsAlone => {
            format!("It holds copies of events alone. To verify with provara, {original}")
        }
        Foreign::Delta => format!("Import it into its vault: provara delta import VAULT {shown}"),
        _ => "Name the directory of a vault: the one that holds events/events.ndjson.".to_owned(),
    }
}

/// What stands in the vault, or is remembered of it, is not what its seal vouches for.
fn seal_advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::SealContradiction { file, .. }
            if [layout::KEYS, layout::LOG, layout::MANIFEST_SIG].contains(&file.as_str()) =>
        {
            format!(
                "Look at {file}, and restore the vault from a copy that verifies. If every line of the log \
                 verifies ('provara verify {vault}' tells), an owner who has looked, and knows that what the log says \
                 is right, says so with 'provara adopt {vault}'."
            )
        }
        VaultError::NoSeal { .. } => format!(
            "Restore the vault, or its seal, from a copy. If you know why the seal is gone, 'provara adopt \
             {vault}' takes what stands there as yours, if it verifies: a log that was cut before is then not \
             told from an honest one."
        ),
        VaultError::SealAbsent { .. }
        | VaultError::SealNotCounting { .. }
        | VaultError::SealOfOther(_) => format!(
            "Run 'provara verify {vault}' to see every finding, and restore the vault from a copy that \
             verifies. If every line of the log verifies, an {}",
            owner_adopts(vault)
        ),
        VaultError::NotAsRemembered { finding } => accept_fix(finding.code, vault),
        VaultError::Memory { .. } => {
            "Look at provara/memory in your state directory, $XDG_STATE_HOME or ~/.local/state: it has to be \
             yours alone, and outside the vault."
                .to_owned()
        }
        VaultError::Structure { file, .. } if file == layout::MERGE_INTENT => format!(
            "Look at {file}: a command that was interrupted left one that can be completed, and this is not \
             such a one. If nobody knows of it, remove it, and run 'provara verify {vault}'."
        ),
        VaultError::Structure { file, .. } if file == layout::KEYS => format!(
            "Put {file} back from a backup of this vault, one that was made since a key was changed last; nothing else \
             of it is needed. Then run 'provara verify {vault}'."
        ),
        VaultError::BrokenLog { .. }
        | VaultError::SealContradiction { .. }
        | VaultError::Structure { .. } => format!(
            "Run 'provara verify {vault}' to see every finding; restore the vault from a copy that \
             verifies."
        ),
        VaultError::Unsigned => {
            "Give the keyfile with --keyfile FILE, and leave --unsigned out.".to_owned()
        }
        _ => format!("Run 'provara verify {vault}' to see every finding."),
    }
}

/// The event that was to be written.
fn event_advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::ClosedByBatch => {
            "Put the closing event last, or leave it out of the batch.".to_owned()
        }
        VaultError::Closed { .. } => {
            "Append to another vault: a closed one is final. A successor names this one as its \
             predecessor."
                .to_owned()
        }
        VaultError::GenesisByHand => NO_SECOND_GENESIS.to_owned(),
        VaultError::ByCommand { command, .. } => format!("Run '{command} {vault}'."),
        VaultError::RedactionTarget { .. } => {
            format!("Name an event of the log, or let 'provara redact {vault}' do all of it.")
        }
        VaultError::EmptyActor => "Give a name: --actor NAME.".to_owned(),
        VaultError::IdempotencyKey { .. } => {
            "Give each request a key of its own, such as a UUID, and the same one when it is repeated."
                .to_owned()
        }
        VaultError::KeyReused { .. } => {
            "Give what is new a new key; under this one only the very same request is repeated.".to_owned()
        }
        VaultError::EmptyUid => "Give a name: --uid U, or leave it out.".to_owned(),
        VaultError::Ambiguous(Ambiguity::Blind) => {
            "Rename that member of the data, or append it without --blind.".to_owned()
        }
        VaultError::Ambiguous(Ambiguity::Tombstone) => {
            "Put the data below a member of another name, or append it with random bytes (--blind).".to_owned()
        }
        VaultError::Unwritable { .. } => {
            "Make the data smaller or flatter; large bytes belong in a file whose SHA-256 stands in \
             the event."
                .to_owned()
        }
        VaultError::TooLarge { .. } => TOO_LARGE_FIX.to_owned(),
        VaultError::Payload(_) => {
            "Correct the data. Where a field is missing, give it; if another one is, the next message names \
             that."
                .to_owned()
        }
        VaultError::Canonical(error) => canonical_fix(error, &NumberPolicy::Exact),
        VaultError::LogicalClock { .. } => "Append as another actor: --actor NAME.".to_owned(),
        VaultError::WouldNotVerify { code, .. } if !wants_another_key(code) => {
            "Correct the data: the keys and events that it names have to stand in the log before it, and a \
             promotion comes after the revocation of the key that it replaces."
                .to_owned()
        }
        VaultError::WouldNotVerify { .. } => {
            "Sign with a surviving key that is neither revoked nor promoted: --keyfile FILE --key-id ID."
                .to_owned()
        }
        VaultError::NotInAtomicBatch { .. } => {
            "Take the event out of the batch, and append it before or after.".to_owned()
        }
        _ => format!("Look at what the vault holds: provara query {vault}"),
    }
}

/// The key that was to sign.
fn key_advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::KeyfileMissing { .. } => {
            "Give the keyfile of this vault: --keyfile FILE, or set PROVARA_KEYFILE.".to_owned()
        }
        VaultError::KeyfileInvalid { .. } => {
            "Give a keyfile as 'provara init' writes it: {\"keys\":[{\"key_id\":…,\
             \"private_key_b64\":…,\"algorithm\":\"Ed25519\"}]}."
                .to_owned()
        }
        VaultError::KeyfileForeign { .. } => format!(
            "Give the keyfile that was made with this vault: --keyfile FILE; its public keys are in \
             {vault}/identity/keys.json."
        ),
        VaultError::NoSigningKey { .. } => {
            "Give a keyfile with an active key that has the role root or attestation: --keyfile FILE."
                .to_owned()
        }
        VaultError::KeyUnknown { .. } => format!(
            "Use a key id that stands in {vault}/identity/keys.json, or leave --key-id out."
        ),
        VaultError::KeyNotInKeyfile { .. } => {
            "Use one of the keyfile's keys, or give another with --keyfile FILE.".to_owned()
        }
        VaultError::KeyRevoked { .. } => {
            "Sign with an active key: name another with --key-id ID, or a keyfile that holds one with \
             --keyfile FILE."
                .to_owned()
        }
        _ => "Give another keyfile: --keyfile FILE.".to_owned(),
    }
}

/// Something else is, or was, at work.
fn interruption_advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::Randomness { .. } => {
            "Check that the system's random source is available to this process.".to_owned()
        }
        VaultError::Clock => "Set the system clock.".to_owned(),
        VaultError::Locked { .. } => {
            "Wait until the other writer is done, then try again. One that hangs, or that somebody stopped, has to be \
             ended: its lock goes with its process."
                .to_owned()
        }
        VaultError::NoLocks { .. } => {
            "Keep the vault on a file system with locks; or, if nothing else ever writes to it at the same \
             time, say so: give --no-lock."
                .to_owned()
        }
        VaultError::LogReplaced => {
            "Run the command again: a merge, or another program, put the log there. If it happens each time, find \
             out which program does it."
                .to_owned()
        }
        VaultError::LogChanged { .. } => format!(
            "Take nothing from what was printed. Find out which program did it, and look at what stands \
             there: provara verify {vault}."
        ),
        VaultError::LogLost { .. } => format!(
            "Find out which program did it, and look at what stands there: provara verify {vault}. If events \
             that were acknowledged are missing, put the log back that held them; if not, run the command \
             again with what was not acknowledged (with idempotency keys, with all of it)."
        ),
        VaultError::SealLags { .. } => format!(
            "Do not append the event again. Run 'provara repair {vault}' once the cause is gone."
        ),
        VaultError::BatchEnded {
            durable: 0, source, ..
        } => vault_fix(source, vault),
        VaultError::BatchEnded {
            durable,
            sealed,
            source,
        } => {
            let seals = match sealed == durable {
                true => String::new(),
                false => {
                    format!(": that seals what is in the log, and so does 'provara repair {vault}'")
                }
            };
            format!(
                "Append the rest, from event {} of the batch on, or all of it again if its records have idempotency \
                 keys, when the cause is gone{seals}. {}",
                durable + 1,
                vault_fix(source, vault)
            )
        }
        VaultError::NotResumed {
            acknowledged,
            source,
        } => format!(
            "{} Then see whether those events still are in the log (provara query {vault} --last 10), and \
             append the rest, from event {} of the batch on, or all of it again if its records have idempotency \
             keys.",
            vault_fix(source, vault),
            acknowledged + 1
        ),
        VaultError::Stopped => format!(
            "Check the disk, which failed before (the system's log says more), then see what is in the log: \
             provara verify {vault}"
        ),
        VaultError::Cancelled => "Run the command again.".to_owned(),
        VaultError::Interrupted { source, .. } => {
            format!(
                "{} Then run: provara repair {vault}",
                vault_fix(source, vault)
            )
        }
        VaultError::Pending { .. } => format!("Run 'provara repair {vault}' first."),
        VaultError::SignaturesDisagree(_) => {
            format!(
                "Verify with single verifications alone, PROVARA_SIGNATURES=dalek provara verify {vault}, on another \
                 machine if you can: this one, or this program, computes wrongly. Please report it."
            )
        }
        _ => format!("Run the command again, or 'provara repair {vault}'."),
    }
}

/// How many entries of a directory are looked at in search of a vault.
const SEARCHED: usize = 1000;

/// A vault directly below a directory; the first by name.
fn vault_below(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.take(SEARCHED).flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| Vault::open(path).is_ok())
        .collect();
    found.sort_unstable();
    found.into_iter().next()
}

/// What helps where a vault is not what this machine remembers (`W010`, `W011`).
pub fn accept_fix(code: Code, vault: &str) -> String {
    let put_back = match code {
        Code::W011 => "Look for the vault that was there before and put it back.",
        _ => "Look for the later copy and put it back.",
    };
    format!("{put_back} If you put this one there yourself: provara accept {vault}")
}

/// What helps where the seal is absent or of other content (`E014`, `E015`); an adoption takes only a log
/// that verifies.
pub fn seal_fix(code: Code, vault: &str, log_verifies: bool) -> String {
    let restore = match code {
        Code::E014 => "Put manifest.sig back, or restore the vault, from a copy that verifies.",
        _ => "Restore the vault from a copy that verifies.",
    };
    match log_verifies {
        true => format!("{restore} An {}", owner_adopts(vault)),
        false => format!("{restore} 'provara adopt' refuses this one: its log does not verify."),
    }
}

/// What an owner can do, without the article before it.
fn owner_adopts(vault: &str) -> String {
    format!(
        "owner who has looked at the vault, and knows that what stands there is right, says so with 'provara \
         adopt {vault}'."
    )
}

/// How many findings a refusal shows before it points to `provara verify`.
const SHOWN: usize = 5;

/// The refusal of a vault that does not verify; `optional` where the command goes on if it is told to.
pub fn unverified(vault: &Path, report: &Report, optional: bool) -> Diagnostic {
    let errors: Vec<_> = causes_first(report)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let path = shell(vault);
    let mut failure = Diagnostic::new(
        Class::Evidence,
        format!(
            "The vault '{}' does not verify; nothing was derived from it.",
            vault.display()
        ),
    );
    for finding in errors.iter().take(SHOWN) {
        failure = failure.detail(finding.to_string());
    }
    if errors.len() > SHOWN {
        failure = failure.detail(format!("and {} more", errors.len() - SHOWN));
    }
    let fix = match is_only_torn(report) {
        true => format!(
            "Where a writer is at work, run the command again when it is done. After a crash, 'provara repair \
             {path}' moves the line out of the log, as the next append does"
        ),
        false => format!("Run 'provara verify {path}' to see every finding"),
    };
    failure.fix(match optional {
        true => format!("{fix}; --unverified goes on all the same."),
        false => format!("{fix}."),
    })
}

/// Whether an event of which a verification would find this is right but for the key that signs it.
pub(crate) fn wants_another_key(code: &str) -> bool {
    matches!(code, "PROVARA_E200" | "PROVARA_E202")
}
