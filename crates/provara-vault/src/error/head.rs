//! Why no tree head is signed.

use provara_core::finding::Finding;
use provara_core::tree_head::CopyName;

use super::ErrorClass;

/// Why no tree head is signed. Nothing was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadRefusal {
    /// What stands there is not all sealed: a writer was interrupted.
    #[error("no tree head is signed: the seal does not cover all of the log, as after a crash")]
    NotSealed,
    /// The log does not go on from the last head that was published of it, here or as named.
    #[error("no tree head is signed: the vault does not go on from the last one that was published of it: {}", .0.message)]
    Broken(Box<Finding>),
    /// None was published of this copy yet, so that there is no origin to go on under.
    #[error("no tree head was published of this copy yet, as far as this machine remembers")]
    NoneYet,
    /// Heads were published under this name before, as far as this machine remembers: a new origin has another.
    #[error("tree heads were published as '{0}' before, and a new origin has a new name")]
    NameTaken(CopyName),
    /// Heads of this copy are published under another name.
    #[error("tree heads of this copy are published as '{published}', and so not as '{asked}'")]
    OtherName {
        /// The name so far.
        published: CopyName,
        /// The name that was asked for.
        asked: CopyName,
    },
    /// Other processes published heads all the time.
    #[error("no tree head is signed: other processes publish them at the same time")]
    Overtaken,
}

impl HeadRefusal {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Broken(_) => ErrorClass::Evidence,
            Self::OtherName { .. } | Self::NameTaken(_) | Self::NoneYet => ErrorClass::Usage,
            Self::NotSealed | Self::Overtaken => ErrorClass::CouldNot,
        }
    }
}
