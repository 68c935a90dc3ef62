//! The signatures of a log's lines, decided together by `provara-signatures`.

use std::sync::OnceLock;

use ed25519_dalek::VerifyingKey;
use provara_core::id::Digest;
use provara_core::verify::{Judge, KeyDirectory, SignedLine};
use provara_signatures::{
    Backend, Chosen, Disagreement, Item, Message, Secret, Verifier, sha256_of_each,
};

/// What decides signatures in this process: every back end has the same verdicts, so that it is no vault's affair.
static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Makes all verifications of this process use one back end. Whoever calls first decides: `false` where another one is in
/// use already.
pub fn choose_signatures(chosen: Chosen) -> bool {
    CHOSEN.get_or_init(|| chosen).backend() == chosen.backend()
}

/// The back end of this process: the fastest one, unless another one was chosen.
#[must_use]
pub fn signatures_backend() -> Backend {
    chosen().backend()
}

fn chosen() -> Chosen {
    *CHOSEN.get_or_init(Chosen::fastest)
}

/// Decides the signatures of ranges.
#[derive(Debug)]
pub(crate) struct Together(Verifier);

impl Together {
    /// By the keys of a directory.
    pub(crate) fn new(keys: &KeyDirectory) -> Self {
        let keys: Vec<VerifyingKey> = keys
            .keys()
            .iter()
            .map(|key| VerifyingKey::from_bytes(key.as_bytes()).expect("it was read as a key"))
            .collect();
        // Without randomness nothing could be looked at twice, so that everything is decided once, by what is trusted.
        Self(match Secret::of_run() {
            Ok(secret) => Verifier::new(chosen(), secret, &keys),
            Err(_) => Verifier::one_by_one(&keys),
        })
    }
}

impl Judge for Together {
    type Error = Disagreement;

    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, Disagreement> {
        let items: Vec<Item<'_>> = signed
            .iter()
            .map(|signed| Item {
                key: signed.key,
                signature: &signed.signature.0,
                message: Message::joined(signed.message[0], signed.message[1]),
            })
            .collect();
        let mut verdicts = Vec::with_capacity(items.len());
        self.0.verify(&items, &mut verdicts)?;
        Ok(verdicts)
    }

    fn hash(&self, messages: &[&[u8]]) -> Vec<Digest> {
        let hashes = sha256_of_each(chosen(), messages);
        hashes.into_iter().map(Digest).collect()
    }
}
