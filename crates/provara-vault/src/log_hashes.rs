//! The hashes of a log: its SHA-256, which the format asks for, and those of its parts, by which it is found to be
//! what it was on all cores.
//!
//! A SHA-256 is made by one core, byte after byte. That a log begins with bytes that were hashed before is found
//! faster by BLAKE3, over each part of [`PART`] bytes: where all are what they were, the SHA-256 is, too.

use provara_core::bytes::{Decoder, Encoder};
use provara_core::id::Digest;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use provara_core::parallel;

/// The length of a part in bytes; the last has what is left.
const PART: usize = 1 << 20;

/// A digest of BLAKE3.
type PartHash = [u8; 32];

/// The hashes of the first bytes of a log, which can go on with those that follow.
#[derive(Debug, Clone)]
pub(crate) struct LogHashes {
    length: u64,
    whole: Sha256,
    /// Empty where they are not wanted.
    parts: Vec<PartHash>,
    with_parts: bool,
}

impl LogHashes {
    /// Of no bytes. `with_parts`, whether a later reader is to compare parts.
    pub(crate) fn new(with_parts: bool) -> Self {
        Self {
            length: 0,
            whole: Sha256::new(),
            parts: Vec::new(),
            with_parts,
        }
    }

    /// How many bytes they are of.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of those bytes and `more`.
    pub(crate) fn digest_with(&self, more: &[u8]) -> Digest {
        Digest(self.whole.clone().chain_update(more).finalize().into())
    }

    /// Whether `log` begins with the bytes that these are of; compares parts on `threads` threads.
    pub(crate) fn begin(&self, log: &[u8], threads: usize) -> bool {
        self.begin_from(0, log, threads)
    }

    /// As [`LogHashes::begin`], but leaves out the parts that end before byte `from`.
    pub(crate) fn begin_from(&self, from: usize, log: &[u8], threads: usize) -> bool {
        let bytes = usize::try_from(self.length)
            .ok()
            .and_then(|length| log.get(..length));
        let Some(bytes) = bytes else {
            return false;
        };
        if bytes.len().div_ceil(PART) != self.parts.len() {
            return false;
        }
        // A few ranges, of which each goes on only as long as all is the same.
        let pairs = bytes.chunks(PART).zip(&self.parts).skip(from / PART);
        let pairs: Vec<_> = pairs.collect();
        let share = pairs.len().div_ceil(threads.max(1)).max(1);
        let ranges: Vec<_> = pairs.chunks(share).collect();
        let same = |range: &[(&[u8], &PartHash)]| {
            let mut range = range.iter();
            range.all(|(part, hash)| blake3::hash(part).as_bytes() == *hash)
        };
        parallel::each(ranges, threads, same)
            .into_iter()
            .all(|same| same)
    }

    /// As [`LogHashes::begin`], of a log with the hashes `all`, which need not be read for it but for a part.
    pub(crate) fn begin_hashed(&self, all: &Self, log: &[u8]) -> bool {
        if self.length > all.length || all.parts.len() != log.len().div_ceil(PART) {
            return false;
        }
        let whole = self.length as usize / PART;
        // The last part was not full and may have grown since.
        self.parts.get(..whole) == all.parts.get(..whole) && self.begin_from(whole * PART, log, 1)
    }

    /// Takes the rest of `log`, which begins with the bytes that these are of.
    pub(crate) fn go_on(mut self, log: &[u8]) -> Self {
        let mut at = self.length as usize;
        if self.with_parts {
            // The last part was not full, and is another one now.
            self.parts.truncate(at / PART);
        }
        while at < log.len() {
            let part = at / PART * PART;
            let end = (part + PART).min(log.len());
            self.whole.update(&log[at..end]);
            if self.with_parts {
                // Both while the part is in the processor's cache.
                self.parts.push(*blake3::hash(&log[part..end]).as_bytes());
            }
            at = end;
        }
        if self.with_parts && self.parts.len() < log.len().div_ceil(PART) {
            let part = self.parts.len() * PART;
            self.parts.push(*blake3::hash(&log[part..]).as_bytes());
        }
        self.length = log.len() as u64;
        self
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u64(self.length);
        out.sized(self.whole.serialize().as_slice());
        out.sized(self.parts.as_flattened());
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let length = from.u64()?;
        let state: SerializedState<Sha256> = from.sized()?.try_into().ok()?;
        let parts = from.sized()?.as_chunks::<32>();
        parts.1.is_empty().then_some(())?;
        Some(Self {
            length,
            whole: Sha256::deserialize(&state).ok()?,
            parts: parts.0.to_vec(),
            with_parts: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 % 253) as u8).collect()
    }

    #[test]
    fn however_it_grew_a_log_has_the_hashes_of_its_bytes() {
        let all = log(3 * PART + 5);
        let whole = LogHashes::new(true).go_on(&all);
        assert_eq!(whole.digest_with(b""), Digest::of(&all));
        assert_eq!(whole.parts.len(), 4);
        for first in [
            0,
            1,
            PART - 1,
            PART,
            PART + 1,
            2 * PART + 9,
            3 * PART,
            all.len(),
        ] {
            let grown = LogHashes::new(true).go_on(&all[..first]);
            assert_eq!(grown.digest_with(b""), Digest::of(&all[..first]));
            assert!(grown.begin(&all, 2));
            assert!(grown.begin_hashed(&whole, &all));
            assert!(
                !LogHashes::new(true)
                    .go_on(&all)
                    .begin_hashed(&grown, &all[..first])
                    || first == all.len()
            );
            let grown = grown.go_on(&all);
            assert_eq!(
                (grown.digest_with(b""), &grown.parts),
                (whole.digest_with(b""), &whole.parts)
            );
            let plain = LogHashes::new(false).go_on(&all[..first]).go_on(&all);
            assert_eq!(plain.digest_with(b""), whole.digest_with(b""));
            assert!(plain.parts.is_empty());
        }
        assert_eq!(
            whole.digest_with(b"tail"),
            Digest::of(&[&all[..], b"tail"].concat())
        );
    }

    #[test]
    fn another_byte_anywhere_is_another_beginning() {
        let mut all = log(2 * PART + 77);
        let hashes = LogHashes::new(true).go_on(&all);
        for threads in [1, 2, 5] {
            assert!(hashes.begin(&all, threads));
            assert!(!hashes.begin(&all[..all.len() - 1], threads));
            assert!(hashes.begin_from(all.len(), &all, threads));
        }
        for at in [0, 1, PART - 1, PART, 2 * PART, all.len() - 1] {
            all[at] ^= 1;
            let others = LogHashes::new(true).go_on(&all);
            assert!(!hashes.begin_hashed(&others, &all), "{at}");
            for threads in [1, 2, 5] {
                assert!(!hashes.begin(&all, threads), "{at}");
                assert!(!hashes.begin_from(at, &all, threads), "{at}");
                let later = (at / PART + 1) * PART;
                assert!(hashes.begin_from(later, &all, threads), "{at}");
            }
            all[at] ^= 1;
        }
        all.extend_from_slice(b"more");
        assert!(hashes.begin(&all, 2));
        assert!(
            LogHashes::new(true).begin(&all, 2),
            "no bytes begin every log"
        );
    }

    #[test]
    fn hashes_are_kept_as_bytes_and_nothing_else_is_taken_for_them() {
        let all = log(PART + 9);
        let hashes = LogHashes::new(true).go_on(&all[..PART - 3]);
        let mut kept = Encoder::default();
        hashes.encode(&mut kept);
        let read = LogHashes::decode(&mut Decoder(&kept.0)).unwrap();
        assert_eq!(read.length(), hashes.length());
        assert_eq!(read.go_on(&all).digest_with(b""), Digest::of(&all));
        for cut in 0..kept.0.len() {
            assert!(LogHashes::decode(&mut Decoder(&kept.0[..cut])).is_none());
        }
    }
}
