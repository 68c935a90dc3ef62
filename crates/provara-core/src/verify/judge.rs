//! Who decides the signatures of a log's lines, and hashes them: one alone, or many together.

use std::convert::Infallible;

use super::KeyDirectory;
use crate::id::Digest;
use crate::keys::Signature;

/// A signature of a line, by a key of `keys.json`.
#[derive(Debug, Clone, Copy)]
pub struct SignedLine<'a> {
    /// The index of the key among those of the [`KeyDirectory`].
    pub key: usize,
    /// The signature as the line has it.
    pub signature: Signature,
    /// What was signed, in two parts.
    pub message: [&'a [u8]; 2],
}

/// Decides signatures, and hashes what they and the ids are of.
pub trait Judge: Sync {
    /// Why there is no verdict.
    type Error;

    /// Whether each signature is good, in their order: exactly what [`PublicKey::verify`](crate::keys::PublicKey::verify)
    /// says of it by itself.
    ///
    /// # Errors
    /// As the judge says; then none of them counts.
    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, Self::Error>;

    /// SHA-256 of each message, in their order.
    fn hash(&self, messages: &[&[u8]]) -> Vec<Digest> {
        Digest::of_each(messages)
    }
}

/// Decides each by itself.
#[derive(Debug, Clone, Copy)]
pub struct OneByOne<'k>(pub &'k KeyDirectory);

impl Judge for OneByOne<'_> {
    type Error = Infallible;

    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, Infallible> {
        let mut message = Vec::new();
        let mut decide = |signed: &SignedLine<'_>| {
            message.clear();
            signed
                .message
                .iter()
                .for_each(|part| message.extend_from_slice(part));
            let key = &self.0.keys()[signed.key];
            key.verify(&message, &signed.signature).is_ok()
        };
        Ok(signed.iter().map(&mut decide).collect())
    }
}
