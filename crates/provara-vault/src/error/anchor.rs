//! Why an anchor is not taken into a vault.

use provara_core::anchor::AnchorError;
use provara_core::finding::Finding;
use provara_timestamps::TokenError;

use super::ErrorClass;

/// Why an anchor is not taken into a vault. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorRefusal {
    /// It is none, or proves nothing.
    #[error("it is no anchor of the vault: {0}")]
    Invalid(#[from] AnchorError),
    /// The token is none, or its signature does not verify.
    #[error("the time-stamp is not taken: {0}")]
    Token(#[from] TokenError),
    /// No head is known that the token is over.
    #[error(
        "the time-stamp is over none of the tree heads that are known here: the hash in it is {hash}"
    )]
    NoHead {
        /// In hexadecimal digits.
        hash: String,
    },
    /// The vault does not go on from the head.
    #[error("the anchor is not taken: {}", .0.message)]
    NotOfVault(Box<Finding>),
    /// There are too many.
    #[error("the vault has {0} anchors, and more are not read")]
    TooMany(usize),
}

impl AnchorRefusal {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            // The log is not what somebody else saw of it.
            Self::NotOfVault(_) => ErrorClass::Evidence,
            Self::Invalid(_) | Self::Token(_) | Self::NoHead { .. } | Self::TooMany(_) => {
                ErrorClass::Usage
            }
        }
    }
}
