//! Which acceptances are decided a second time: a choice that nobody could foresee who made the signatures.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha512};

/// One in so many acceptances is decided again.
pub const SAMPLE: u64 = 256;

/// What the choice is drawn from.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// One of this run, from the operating system.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn of_run() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// One that is known, so that a test draws the same twice.
    #[must_use]
    pub fn known(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// Draws from a secret, on any number of threads.
#[derive(Debug)]
pub(crate) struct Sampler {
    secret: Secret,
    draws: AtomicU64,
}

impl Sampler {
    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            secret,
            draws: AtomicU64::new(0),
        }
    }

    /// A sequence of its own: for each acceptance, whether it is decided again.
    pub(crate) fn draw(&self) -> Draw<'_> {
        Draw {
            secret: &self.secret,
            number: self.draws.fetch_add(1, Ordering::Relaxed),
            position: 0,
            bytes: [0; 64],
        }
    }
}

/// See [`Sampler::draw`].
pub(crate) struct Draw<'s> {
    secret: &'s Secret,
    number: u64,
    position: u64,
    bytes: [u8; 64],
}

impl Draw<'_> {
    /// Whether the next acceptance is decided again: where a byte of a hash under the secret is 0.
    pub(crate) fn next(&mut self) -> bool {
        let at = (self.position % 64) as usize;
        if at == 0 {
            let hash = Sha512::new_with_prefix(b"provara: which signatures are verified twice")
                .chain_update(self.secret.0)
                .chain_update(self.number.to_le_bytes())
                .chain_update(self.position.to_le_bytes());
            self.bytes = hash.finalize().into();
        }
        self.position += 1;
        self.bytes[at] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sampler: &Sampler, count: usize) -> Vec<bool> {
        let mut draw = sampler.draw();
        (0..count).map(|_| draw.next()).collect()
    }

    #[test]
    fn one_in_256_is_drawn_as_the_secret_says() {
        let count = 1 << 18;
        let sampler = Sampler::new(Secret::known([7; 32]));
        let first = drawn(&sampler, count);
        let chosen = first.iter().filter(|chosen| **chosen).count();
        // 1024 are expected, and the standard deviation is 32.
        assert!((900..1150).contains(&chosen), "{chosen}");
        assert_ne!(first, drawn(&sampler, count), "every draw is another one");
        assert_eq!(first, drawn(&Sampler::new(Secret::known([7; 32])), count));
        assert_ne!(first, drawn(&Sampler::new(Secret::known([8; 32])), count));
        assert_ne!(
            drawn(&Sampler::new(Secret::of_run().unwrap()), count),
            drawn(&Sampler::new(Secret::of_run().unwrap()), count)
        );
    }
}
