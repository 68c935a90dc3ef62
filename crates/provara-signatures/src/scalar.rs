//! Scalars: which are taken, and their digits.

use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use crate::message::Message;

/// l, the order of the base point, in words.
const ORDER: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 1 << 60];

/// How many bits of a scalar one digit stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Window {
    /// 6 bits: a table of 177 KiB, 43 additions for a point.
    Narrow,
    /// 8 bits: a table of 516 KiB, 32 additions for a point.
    Wide,
}

impl Window {
    pub(crate) const fn bits(self) -> usize {
        match self {
            Self::Narrow => 6,
            Self::Wide => 8,
        }
    }

    /// How many digits a scalar has: enough for 253 bits and the carry out of the last digit but one.
    pub(crate) const fn digits(self) -> usize {
        254usize.div_ceil(self.bits())
    }

    /// The largest magnitude of a digit.
    pub(crate) const fn half(self) -> usize {
        1 << (self.bits() - 1)
    }
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}

/// Whether a scalar, little-endian, is below l, as the S of a signature has to be.
pub(crate) fn is_below_order(scalar: &[u8; 32]) -> bool {
    words(scalar).iter().rev().lt(ORDER.iter().rev())
}

/// Calls `digit` with the index and the value of every digit of a scalar below l: from −half to half, with
/// `Σ digit · 2^(bits · index)` the scalar itself, as an integer, and not only modulo l: a public key may have a part of
/// small order, for which that is not the same.
#[inline(always)]
pub(crate) fn digits(scalar: &[u8; 32], window: Window, mut digit: impl FnMut(usize, i8)) {
    let words = words(scalar);
    let bits = window.bits();
    let (mask, half) = ((1 << bits) - 1, 1 << (bits - 1));
    let last = window.digits() - 1;
    let mut carry = 0;
    for index in 0..=last {
        let (at, shift) = (index * bits / 64, index * bits % 64);
        let mut value = words[at] >> shift;
        if shift + bits > 64 && at < 3 {
            value |= words[at + 1] << (64 - shift);
        }
        let value = (value & mask) as i64 + carry;
        carry = i64::from(value >= half && index != last);
        digit(index, (value - (carry << bits)) as i8);
    }
}

/// k of RFC 8032, section 5.1.7: SHA-512 of R, the public key and the message, modulo l.
pub(crate) fn challenge(r: &[u8], public: &[u8; 32], message: Message<'_>) -> [u8; 32] {
    let [first, second] = message.parts();
    let hash = Sha512::new_with_prefix(r)
        .chain_update(public)
        .chain_update(first)
        .chain_update(second);
    reduce(&hash.finalize().into())
}

/// A hash of 512 bits modulo l.
pub(crate) fn reduce(hash: &[u8; 64]) -> [u8; 32] {
    Scalar::from_bytes_mod_order_wide(hash).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Vec<[u8; 32]> {
        let mut edges = Vec::new();
        let order = ORDER.map(u64::to_le_bytes).concat();
        for delta in -3..=3i16 {
            let mut bytes: [u8; 32] = order.clone().try_into().unwrap();
            bytes[0] = (i16::from(bytes[0]) + delta) as u8;
            edges.push(bytes);
        }
        for bit in 0..256 {
            let mut bytes = [0; 32];
            bytes[bit / 8] = 1 << (bit % 8);
            edges.push(bytes);
            // All bits up to this one: a carry through every digit.
            let below: [u8; 32] = std::array::from_fn(|i| match bit / 8 {
                last if i < last => 0xff,
                last if i == last => bytes[last] | (bytes[last] - 1),
                _ => 0,
            });
            edges.push(below);
        }
        edges
    }

    #[test]
    fn what_is_below_the_order_is_what_dalek_takes() {
        let mut below = 0;
        for scalar in edges() {
            let taken = bool::from(Scalar::from_canonical_bytes(scalar).is_some());
            assert_eq!(is_below_order(&scalar), taken, "{scalar:x?}");
            below += usize::from(taken);
        }
        assert!(below > 500);
    }

    #[test]
    fn digits_are_in_range_and_add_up() {
        for scalar in edges().into_iter().filter(is_below_order) {
            for window in [Window::Narrow, Window::Wide] {
                let mut sum = Scalar::ZERO;
                let mut count = 0;
                let mut weight = Scalar::ONE;
                digits(&scalar, window, |index, digit| {
                    assert_eq!(index, count);
                    assert!(usize::from(digit.unsigned_abs()) <= window.half());
                    let magnitude = weight * Scalar::from(digit.unsigned_abs());
                    sum += if digit < 0 { -magnitude } else { magnitude };
                    weight *= Scalar::from(1u64 << window.bits());
                    count += 1;
                });
                assert_eq!(count, window.digits());
                // Modulo l only; that the integers are equal follows from their size, which the last digit shows.
                assert_eq!(sum.to_bytes(), scalar);
                digits(&scalar, window, |index, digit| {
                    assert!(index + 1 < window.digits() || (0..=17).contains(&digit));
                });
            }
        }
    }
}
