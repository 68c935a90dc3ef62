//! Who must act on an error, and whether it stands against one request alone.

use provara_core::witness::WitnessRefusal;

use super::VaultError;

/// Who has to act on a [`VaultError`]; a command line maps it to its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The vault's content is not what its format demands: look at it with a verification.
    Evidence,
    /// What was asked for cannot be done with this input.
    Usage,
    /// The machine could not do it: a missing file, a lock, a disk.
    CouldNot,
}

impl VaultError {
    /// Whether it is about what was asked for, so that another request may well be taken.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::GenesisByHand
                | Self::ByCommand { .. }
                | Self::RedactionTarget { .. }
                | Self::EmptyActor
                | Self::IdempotencyKey { .. }
                | Self::KeyReused { .. }
                | Self::Payload(_)
                | Self::Canonical(_)
                | Self::Unwritable { .. }
                | Self::TooLarge { .. }
                | Self::Ambiguous(_)
                | Self::LogicalClock { .. }
                | Self::WouldNotVerify { .. }
        )
    }

    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Merge(refusal) => refusal.class(),
            Self::Archive(error) => error.class(),
            // It ended because of what it met.
            Self::NotResumed { source, .. } | Self::BatchEnded { source, .. }
                if source.class() == ErrorClass::Evidence =>
            {
                ErrorClass::Evidence
            }
            Self::Redaction(refusal) => refusal.class(),
            Self::TreeHead(refusal) => refusal.class(),
            Self::Proof(refusal) => refusal.class(),
            Self::Anchor(refusal) => refusal.class(),
            Self::Witness(refusal) => of_witness(refusal),
            Self::BrokenLog { .. }
            | Self::SealContradiction { .. }
            | Self::NoSeal { .. }
            | Self::SealAbsent { .. }
            | Self::SealNotCounting { .. }
            | Self::SealOfOther(_)
            | Self::NotAsRemembered { .. }
            | Self::Structure { .. } => ErrorClass::Evidence,
            Self::NotEmpty { .. }
            | Self::InsideVault { .. }
            | Self::Exists { .. }
            | Self::KeyfilePlace { .. }
            | Self::Closed { .. }
            | Self::ClosedByBatch
            | Self::GenesisByHand
            | Self::ByCommand { .. }
            | Self::RedactionTarget { .. }
            | Self::EmptyActor
            | Self::IdempotencyKey { .. }
            | Self::KeyReused { .. }
            | Self::EmptyUid
            | Self::Payload(_)
            | Self::Canonical(_)
            | Self::Unwritable { .. }
            | Self::TooLarge { .. }
            | Self::Ambiguous(_)
            | Self::WouldNotVerify { .. }
            | Self::NotInAtomicBatch { .. }
            | Self::Head { .. }
            | Self::KeyfileInvalid { .. }
            | Self::KeyfileForeign { .. }
            | Self::NoSigningKey { .. }
            | Self::KeyUnknown { .. }
            | Self::KeyNotInKeyfile { .. }
            | Self::KeyRevoked { .. }
            | Self::CheckpointExists { .. }
            | Self::Unsigned
            | Self::Adoption(_)
            | Self::CheckpointTooLarge { .. } => ErrorClass::Usage,
            Self::NotFound { .. }
            | Self::DanglingLink { .. }
            | Self::NotAVault { .. }
            | Self::Io { .. }
            | Self::Randomness { .. }
            | Self::SignaturesDisagree(_)
            | Self::Clock
            | Self::Locked { .. }
            | Self::NoLocks { .. }
            | Self::LogReplaced
            | Self::LogChanged { .. }
            | Self::LogLost { .. }
            | Self::Memory { .. }
            | Self::LogicalClock { .. }
            | Self::KeyfileMissing { .. }
            | Self::Sync { .. }
            | Self::SealLags { .. }
            | Self::Interrupted { .. }
            | Self::Pending { .. }
            | Self::BatchEnded { .. }
            | Self::NotResumed { .. }
            | Self::Stopped
            | Self::Cancelled => ErrorClass::CouldNot,
        }
    }
}

/// Who has to act where a witness does not cosign.
fn of_witness(refusal: &WitnessRefusal) -> ErrorClass {
    match refusal {
        WitnessRefusal::Contradiction { .. }
        | WitnessRefusal::Earlier { .. }
        | WitnessRefusal::Proof(_) => ErrorClass::Evidence,
        WitnessRefusal::Malformed(_)
        | WitnessRefusal::Head(_)
        | WitnessRefusal::Unknown { .. }
        | WitnessRefusal::FirstUnproven { .. }
        | WitnessRefusal::NotShown { .. }
        | WitnessRefusal::Unsigned { .. } => ErrorClass::Usage,
    }
}
