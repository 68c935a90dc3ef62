//! SHA-256 of many short messages.

use sha2::{Digest as _, Sha256};

use crate::backend::Chosen;
use crate::engine::{HASHES, ManyHashes};
use crate::padding::{Padded, blocks_of};

/// A step of all lanes takes about as long as so many blocks one after another: 7.6 on a Zen 5, with its SHA extensions.
const STEP: usize = 8;

/// Messages of as many blocks, or more, are not told apart: these are few, and long.
const MOST_BLOCKS: usize = 63;

/// SHA-256 of every message, in their order: of those of about the same length together, where `chosen` has lanes for them
/// and they fill these.
#[must_use]
pub fn sha256_of_each(chosen: Chosen, messages: &[&[u8]]) -> Vec<[u8; 32]> {
    match chosen.many_hashes() {
        Some(many) if messages.len() >= STEP => together(many, messages),
        _ => messages.iter().map(|message| single(message)).collect(),
    }
}

fn single(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

fn together(many: &dyn ManyHashes, messages: &[&[u8]]) -> Vec<[u8; 32]> {
    let mut hashes = vec![[0; 32]; messages.len()];
    for group in by_length(messages).chunks(HASHES) {
        let blocks = |at: &u32| blocks_of(messages[*at as usize].len());
        let longest = group.iter().map(blocks).max().unwrap_or_default();
        if longest * STEP > group.iter().map(blocks).sum() {
            for at in group {
                hashes[*at as usize] = single(messages[*at as usize]);
            }
            continue;
        }
        let mut padded = [const { Padded::EMPTY }; HASHES];
        for (to, at) in padded.iter_mut().zip(group) {
            *to = Padded::new(messages[*at as usize]);
        }
        let made = many.sha256(&padded[..group.len()]);
        for (hash, at) in made.iter().zip(group) {
            hashes[*at as usize] = *hash;
        }
    }
    hashes
}

/// The indexes of the messages, those of fewer blocks first.
fn by_length(messages: &[&[u8]]) -> Vec<u32> {
    let bucket = |message: &[u8]| blocks_of(message.len()).min(MOST_BLOCKS);
    let mut starts = [0; MOST_BLOCKS + 2];
    for message in messages {
        starts[bucket(message) + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut order = vec![0; messages.len()];
    for (index, message) in messages.iter().enumerate() {
        let place = &mut starts[bucket(message)];
        order[*place] = u32::try_from(index).expect("fewer messages than 2^32");
        *place += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::differential::Random;
    use crate::emulated::Emulated;

    /// Messages of random bytes, most of a length around the end of a block, some long.
    fn drawn(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
        let mut message = || {
            let length = match random.below(16) {
                0 => random.below(9_000),
                blocks => 64 * blocks - 15 + random.below(12),
            };
            (0..length).map(|_| random.word() as u8).collect()
        };
        (0..count).map(|_| message()).collect()
    }

    #[test]
    fn each_has_the_hash_that_it_has_alone() {
        let mut random = Random::new(41);
        for count in (0..60).chain([300, 1_000]) {
            let messages = drawn(&mut random, count);
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let expected: Vec<[u8; 32]> = messages.iter().map(|it| single(it)).collect();
            let hashes = together(&Emulated, &messages);
            assert!(hashes == expected, "{count} messages in lanes");
            for backend in Backend::ALL {
                let Ok(chosen) = Chosen::forced(backend) else {
                    continue;
                };
                let hashes = sha256_of_each(chosen, &messages);
                assert!(hashes == expected, "{count} messages, {backend}");
            }
        }
    }

    /// Counts what is hashed together.
    struct Counting(std::sync::atomic::AtomicUsize);

    impl ManyHashes for Counting {
        fn sha256(&self, messages: &[Padded<'_>]) -> [[u8; 32]; HASHES] {
            let order = std::sync::atomic::Ordering::Relaxed;
            self.0.fetch_add(messages.len(), order);
            Emulated.sha256(messages)
        }
    }

    #[test]
    fn lanes_that_would_be_idle_are_not_used() {
        let (short, long) = (vec![1; 300], vec![2; 100_000]);
        for (shorts, longs, together_are) in [(16, 0, 16), (7, 0, 0), (40, 1, 40 - 8), (15, 1, 0)] {
            let mut messages = vec![short.as_slice(); shorts];
            messages.extend(vec![long.as_slice(); longs]);
            let counting = Counting(0.into());
            let hashes = together(&counting, &messages);
            assert_eq!(hashes.len(), shorts + longs);
            assert_eq!(
                counting.0.into_inner(),
                together_are,
                "{shorts} and {longs}"
            );
        }
    }
}
