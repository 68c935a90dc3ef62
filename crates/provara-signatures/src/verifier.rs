//! Many signatures decided, each as if it were alone.

use std::sync::Arc;

use ed25519_dalek::ed25519::signature::MultipartVerifier as _;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::backend::{Backend, Chosen};
use crate::engine::{Engine, Task};
use crate::keys::{Keys, Limits};
use crate::message::Message;
use crate::sample::{Sampler, Secret};
use crate::scalar::Window;
use crate::table::Table;

/// A signature to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The index of the key among those of the [`Verifier`].
    pub key: usize,
    /// R and S, of which nothing is known.
    pub signature: &'a [u8; 64],
    /// What was signed.
    pub message: Message<'a>,
}

/// How many signatures were decided in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// By the back end, with tables.
    pub by_tables: usize,
    /// By dalek, as their keys have no tables.
    pub by_dalek: usize,
    /// Of those of the back end, the rejections and the sample of the acceptances that dalek confirmed.
    pub confirmed: usize,
}

/// The back end and a single verification disagree: one of them, or the machine, is wrong, and there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the back end {backend} {} a signature, and a single verification does the opposite",
    if *.accepted { "accepts" } else { "rejects" }
)]
pub struct Disagreement {
    /// The back end.
    pub backend: Backend,
    /// Whether it accepted.
    pub accepted: bool,
    /// Which of the signatures it was.
    pub item: usize,
}

/// Decides signatures by the keys that it was made with, on any number of threads.
pub struct Verifier {
    backend: Backend,
    engine: Option<Box<dyn Engine>>,
    keys: Keys,
    sampler: Sampler,
}

impl Verifier {
    /// With the back end's own limits.
    #[must_use]
    pub fn new(chosen: Chosen, secret: Secret, keys: &[VerifyingKey]) -> Self {
        Self::with_limits(chosen, secret, keys, Limits::of(chosen.backend()))
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(
        chosen: Chosen,
        secret: Secret,
        keys: &[VerifyingKey],
        limits: Limits,
    ) -> Self {
        Self {
            backend: chosen.backend(),
            engine: chosen.engine(),
            keys: Keys::new(keys, limits),
            sampler: Sampler::new(secret),
        }
    }

    /// One at a time by dalek, whatever else there is.
    #[must_use]
    pub fn one_by_one(keys: &[VerifyingKey]) -> Self {
        // Nothing is ever drawn from it.
        Self::new(Chosen::dalek(), Secret::known([0; 32]), keys)
    }

    /// What decides.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The bytes that the tables of keys take.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Decides every item as [`VerifyingKey::verify`](ed25519_dalek::Verifier::verify) does: puts into `verdicts`, which
    /// is cleared first, whether each signature is good, in their order. Some hundreds at a time, or some thousands
    /// where there are many keys, are what the back ends are made for; fewer are decided at a higher cost.
    ///
    /// # Errors
    /// [`Disagreement`]; then `verdicts` is empty.
    ///
    /// # Panics
    /// Where there is no key of an item's index.
    pub fn verify(
        &self,
        items: &[Item<'_>],
        verdicts: &mut Vec<bool>,
    ) -> Result<Decided, Disagreement> {
        verdicts.clear();
        let Some(engine) = &self.engine else {
            verdicts.extend(items.iter().map(|item| self.by_dalek(item)));
            return Ok(Decided {
                by_dalek: items.len(),
                ..Decided::default()
            });
        };
        let found = self.by_tables(&**engine, items);
        let mut decided = Decided::default();
        let mut draw = self.sampler.draw();
        for (index, (item, found)) in items.iter().zip(found).enumerate() {
            let Some(accepted) = found else {
                decided.by_dalek += 1;
                verdicts.push(self.by_dalek(item));
                continue;
            };
            decided.by_tables += 1;
            if !accepted || draw.next() {
                decided.confirmed += 1;
                if self.by_dalek(item) != accepted {
                    verdicts.clear();
                    return Err(Disagreement {
                        backend: self.backend,
                        accepted,
                        item: index,
                    });
                }
            }
            verdicts.push(accepted);
        }
        Ok(decided)
    }

    /// What the back end says of the items whose keys have tables.
    fn by_tables(&self, engine: &dyn Engine, items: &[Item<'_>]) -> Vec<Option<bool>> {
        let order = grouped(items);
        let runs: Vec<(&[usize], Arc<Table>)> = order
            .chunk_by(|a, b| items[*a].key == items[*b].key)
            .filter_map(|run| {
                let table = self.keys.table(items[run[0]].key, run.len() as u64)?;
                Some((run, table))
            })
            .collect();
        let mut found = vec![None; items.len()];
        for window in [Window::Narrow, Window::Wide] {
            let mut indexes = Vec::new();
            let mut tasks = Vec::new();
            for (run, table) in runs.iter().filter(|(_, table)| table.window() == window) {
                for index in *run {
                    let item = &items[*index];
                    indexes.push(*index);
                    tasks.push(Task {
                        table,
                        public: self.keys.key(item.key).as_bytes(),
                        signature: item.signature,
                        message: item.message,
                    });
                }
            }
            if !tasks.is_empty() {
                let verdicts = engine.decide(self.keys.base(), &tasks);
                for (index, verdict) in indexes.into_iter().zip(verdicts) {
                    found[index] = Some(verdict);
                }
            }
        }
        found
    }

    /// The single verification.
    fn by_dalek(&self, item: &Item<'_>) -> bool {
        let key = self.keys.key(item.key);
        let signature = Signature::from_bytes(item.signature);
        key.multipart_verify(&item.message.parts(), &signature)
            .is_ok()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("backend", &self.backend)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// The indexes of the items, those of one key beside each other, so that one part of its table serves all of them, and
/// those of them together whose messages have as many blocks, so that no lane waits for another one's.
fn grouped(items: &[Item<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_cached_key(|index| {
        let item = &items[*index];
        (item.key, item.message.blocks())
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    /// Says the opposite of what is right for the signatures whose messages begin with this byte.
    struct Wrong(u8);

    impl Engine for Wrong {
        fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
            let mut verdicts = crate::portable::Portable.decide(base, tasks);
            for (verdict, task) in verdicts.iter_mut().zip(tasks) {
                *verdict ^= task.message.parts()[0].first() == Some(&self.0);
            }
            verdicts
        }
    }

    /// What a verifier whose back end is wrong says of 2,000 signatures, of which one in ten is bad.
    fn said_by(engine: Wrong) -> Result<Decided, Disagreement> {
        let signing = SigningKey::from_bytes(&[5; 32]);
        let keys = [signing.verifying_key()];
        let secret = Secret::known([9; 32]);
        let mut verifier = Verifier::new(Chosen::forced(Backend::Portable).unwrap(), secret, &keys);
        verifier.engine = Some(Box::new(engine));
        let signed: Vec<([u8; 2], [u8; 64])> = (0..2000u16)
            .map(|number| {
                let message = [u8::from(number % 10 == 0), (number % 251) as u8];
                let mut signature = signing.sign(&message).to_bytes();
                signature[40] ^= message[0];
                (message, signature)
            })
            .collect();
        let items: Vec<Item<'_>> = signed
            .iter()
            .map(|(message, signature)| Item {
                key: 0,
                signature,
                message: Message::from(&message[..]),
            })
            .collect();
        let mut verdicts = vec![true];
        let said = verifier.verify(&items, &mut verdicts);
        match &said {
            Ok(_) => {
                let right = |(index, verdict): (usize, &bool)| *verdict == (index % 10 != 0);
                assert!(verdicts.len() == 2000 && verdicts.iter().enumerate().all(right));
            }
            Err(_) => assert!(verdicts.is_empty(), "a disagreement leaves no verdict"),
        }
        said
    }

    #[test]
    fn a_back_end_that_is_right_is_confirmed() {
        let decided = said_by(Wrong(2)).unwrap();
        assert_eq!((decided.by_tables, decided.by_dalek), (2000, 0));
        // The 200 bad ones, and some 7 of the good.
        assert!((201..230).contains(&decided.confirmed), "{decided:?}");
    }

    #[test]
    fn a_false_rejection_is_no_verdict() {
        let disagreement = said_by(Wrong(0)).unwrap_err();
        assert!(!disagreement.accepted);
        assert_eq!(disagreement.item, 1, "the first good one");
        assert!(disagreement.to_string().contains("portable rejects"));
    }

    #[test]
    fn a_false_acceptance_in_the_sample_is_no_verdict() {
        // 200 false acceptances: the chance that none is drawn is 0.46, so the secret is one that draws some.
        let disagreement = said_by(Wrong(1)).unwrap_err();
        assert!(disagreement.accepted && disagreement.item.is_multiple_of(10));
        assert!(disagreement.to_string().contains("portable accepts"));
    }
}
