//! Why an anchor is not taken, or a witness does not cosign, in words.

use provara_timestamps::TokenError;
use provara_vault::{AnchorError, AnchorRefusal, VaultError, WitnessRefusal};

/// What helps with an anchor that is not taken, and with what a witness does not cosign.
pub(super) fn advice(error: &VaultError, vault: &str) -> String {
    match error {
        VaultError::Anchor(refusal) => of_anchor(refusal, vault),
        VaultError::Witness(refusal) => of_witness(refusal),
        _ => format!("See 'provara verify {vault}'."),
    }
}

fn of_anchor(refusal: &AnchorRefusal, vault: &str) -> String {
    match refusal {
        AnchorRefusal::NotOfVault(_) => format!(
            "Compare with the copy that the tree head was signed for: 'provara verify {vault} --head FILE' tells where \
             they differ."
        ),
        AnchorRefusal::NoHead { .. } => {
            "Name the tree head that was stamped, byte for byte as it was: --head FILE.".to_owned()
        }
        AnchorRefusal::TooMany(_) => format!(
            "Take old ones out of the folder 'anchors' of a vault that you have backed up, and seal it again: provara \
             manifest {vault}"
        ),
        AnchorRefusal::Token(TokenError::NotGranted(_) | TokenError::Purpose { .. }) => {
            "Ask the authority why; a certificate for time-stamps has that as its only purpose, and an Ed25519 key is \
             taken by few."
                .to_owned()
        }
        AnchorRefusal::Token(TokenError::NoCertificate) => {
            "Ask the authority again with 'openssl ts -query … -cert', so that its answer holds its certificate."
                .to_owned()
        }
        AnchorRefusal::Invalid(AnchorError::Alone) => {
            "Have a witness cosign the tree head first: 'provara witness sign', or 'provara witness request'.".to_owned()
        }
        AnchorRefusal::Invalid(AnchorError::NamesNone { .. }) => {
            "Record the whole text of a tree head of this vault, line ends included, as a string of the event's data, \
             and prove that event."
                .to_owned()
        }
        AnchorRefusal::Invalid(_) | AnchorRefusal::Token(_) => {
            "Name one of these: a tree head that witnesses cosigned, the answer of a time-stamp authority (RFC 3161), \
             or the proof of an event of another vault that has the tree head in its data."
                .to_owned()
        }
    }
}

fn of_witness(refusal: &WitnessRefusal) -> String {
    match refusal {
        WitnessRefusal::Unknown { .. } => {
            "If this witness is to begin with it, name the key that made the vault, as its owner published it \
             (--root-key ID), or take whatever comes first (--first)."
                .to_owned()
        }
        WitnessRefusal::FirstUnproven { .. } => {
            "Ask for a proof of the vault's first event: provara prove VAULT --lines 1-1 --head HEAD --output FIRST"
                .to_owned()
        }
        WitnessRefusal::NotShown { .. } => {
            "Ask for a proof that goes on from what this witness has seen ('provara witness last' prints it): provara \
             prove VAULT --from LAST --head HEAD --output NEXT"
                .to_owned()
        }
        WitnessRefusal::Earlier { .. } => {
            "Ask for the vault's later tree head. If the vault has no later one, an earlier state was put in its place: \
             what this witness has cosigned shows it."
                .to_owned()
        }
        WitnessRefusal::Contradiction { kept, .. } => match kept {
            Some(kept) => format!(
                "Keep both tree heads, they are the evidence: 'provara witness last' prints the one that was cosigned, \
                 and the other is in '{}'.",
                kept.display()
            ),
            None => "Keep both tree heads: they are the evidence.".to_owned(),
        },
        WitnessRefusal::Unsigned { .. } => {
            "Ask for a proof with the vault's key history: provara prove VAULT --from LAST --head HEAD --output NEXT"
                .to_owned()
        }
        WitnessRefusal::Malformed(_) | WitnessRefusal::Head(_) | WitnessRefusal::Proof(_) => {
            "Ask whoever has the vault for a proof that 'provara prove' makes anew.".to_owned()
        }
    }
}
