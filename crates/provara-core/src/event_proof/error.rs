//! Why something is no proof, or proves nothing.

use crate::id::{Digest, KeyId};
use crate::tree_head::HeadError;

/// Why something is no proof, or proves nothing; a sentence without its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the document that it should be.
    #[error("it is no proof: {0}")]
    Malformed(String),
    /// The head in it is none.
    #[error("its tree head is none: {0}")]
    Head(#[from] HeadError),
    /// A line that is no event in canonical form.
    #[error("the event at place {at} is no event in canonical form")]
    Line {
        /// Its place, from 0.
        at: u64,
    },
    /// The digests do not lead from the lines to the root.
    #[error(
        "the events are not those of the tree head: its root is {expected}, and that of the proof {found}"
    )]
    OtherRoot {
        /// The head's.
        expected: Digest,
        /// What the proof leads to; a clause where it leads nowhere.
        found: String,
    },
    /// No key of the proof signed the head.
    #[error("no key in the proof signed its tree head")]
    Unsigned,
    /// The content of an event does not fit its id or its signature.
    #[error("the event at place {at} is not what was signed: {reason}")]
    Forged {
        /// Its place, from 0.
        at: u64,
        /// What does not fit.
        reason: String,
    },
    /// A key signed that did not count there.
    #[error("key {key} signed {what}, where no signed event of the proof lets it")]
    Key {
        /// The key.
        key: KeyId,
        /// What it signed.
        what: String,
    },
    /// Another key signed the newer head than the older one, and was known before: whether it was revoked meanwhile
    /// is not shown.
    #[error(
        "key {new} signed the newer tree head, and {old} the older one: that it was not revoked meanwhile is not shown"
    )]
    OtherSigner {
        /// The key of the older head.
        old: KeyId,
        /// The key of the newer one.
        new: KeyId,
    },
    /// The newer tree does not begin with the older one.
    #[error(
        "the newer tree head does not go on from the older one: the digests do not lead to both roots"
    )]
    Inconsistent,
    /// It is for another head than the one that it is held to.
    #[error("it is for another tree head: {found}, and not {expected}")]
    OtherHead {
        /// The head that it is held to, in words.
        expected: String,
        /// Its own, in words.
        found: String,
    },
    /// Another key made the vault, or none that signed events lead from.
    #[error("the vault was not made by {expected}, but by {found}")]
    OtherRootKey {
        /// The keys of which one must have made it.
        expected: String,
        /// The key that made it, in words.
        found: String,
    },
    /// Two heads of which nothing can be said.
    #[error("the two tree heads are of different vaults: '{0}' and '{1}'")]
    OtherVault(String, String),
}
