//! The source of the AVX-512 back end over plain Rust, for tests: whatever is wrong in it shows on any machine. That the
//! instructions are what the functions below say is tested where the processor has them.

macro_rules! lanes {
    ($($item:item)*) => {$($item)*};
}

#[path = "avx512/addition.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod addition;
#[path = "avx512/engine.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod engine;
#[path = "avx512/field.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod field;
#[path = "avx512/sha256.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod sha256;
#[path = "avx512/sha512.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod sha512;
#[path = "avx512/tests.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod tests;
#[path = "avx512/transpose.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over other lanes")]
mod transpose;

use crate::engine::{Engine, HASHES, ManyHashes, Task};
use crate::padding::Padded;
use crate::table::Table;

/// The back end over plain Rust.
pub(crate) struct Emulated;

impl Engine for Emulated {
    fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        engine::decide(base, tasks)
    }
}

impl ManyHashes for Emulated {
    fn sha256(&self, messages: &[Padded<'_>]) -> [[u8; 32]; HASHES] {
        sha256::hash_lanes(messages)
    }
}

/// The instructions, in words.
pub(crate) mod lanes {
    pub(crate) type Lanes = [u64; 8];
    pub(crate) type Mask = u8;
    pub(crate) const LANES: usize = 8;

    fn each(a: Lanes, b: Lanes, f: impl Fn(u64, u64) -> u64) -> Lanes {
        std::array::from_fn(|i| f(a[i], b[i]))
    }

    fn product(a: u64, b: u64) -> u128 {
        let low = |x: u64| u128::from(x & ((1 << 52) - 1));
        low(a) * low(b)
    }

    pub(crate) fn splat(word: u64) -> Lanes {
        [word; 8]
    }

    pub(crate) fn add(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, u64::wrapping_add)
    }

    pub(crate) fn sub(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, u64::wrapping_sub)
    }

    pub(crate) fn and(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a & b)
    }

    pub(crate) fn shift_right<const BITS: u32>(a: Lanes) -> Lanes {
        a.map(|a| a >> BITS)
    }

    pub(crate) fn shift_left<const BITS: u32>(a: Lanes) -> Lanes {
        a.map(|a| a << BITS)
    }

    pub(crate) fn add_product_low(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        let low = each(a, b, |a, b| product(a, b) as u64 & ((1 << 52) - 1));
        add(sum, low)
    }

    pub(crate) fn add_product_high(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        add(sum, each(a, b, |a, b| (product(a, b) >> 52) as u64))
    }

    pub(crate) fn select(mask: Mask, a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|i| if mask >> i & 1 == 1 { b[i] } else { a[i] })
    }

    pub(crate) fn mask(bits: u8) -> Mask {
        bits
    }

    pub(crate) fn rotate_right<const BITS: i32>(a: Lanes) -> Lanes {
        a.map(|a| a.rotate_right(BITS.unsigned_abs()))
    }

    pub(crate) fn xor3(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        each(each(a, b, |a, b| a ^ b), c, |a, b| a ^ b)
    }

    pub(crate) fn choose(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        std::array::from_fn(|i| (a[i] & b[i]) | (!a[i] & c[i]))
    }

    pub(crate) fn majority(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        std::array::from_fn(|i| (a[i] & b[i]) | (a[i] & c[i]) | (b[i] & c[i]))
    }

    pub(crate) fn swap_bytes(a: Lanes) -> Lanes {
        a.map(u64::swap_bytes)
    }

    pub(crate) fn unpack_low(a: Lanes, b: Lanes) -> Lanes {
        [a[0], b[0], a[2], b[2], a[4], b[4], a[6], b[6]]
    }

    pub(crate) fn unpack_high(a: Lanes, b: Lanes) -> Lanes {
        [a[1], b[1], a[3], b[3], a[5], b[5], a[7], b[7]]
    }

    pub(crate) fn even_pairs(a: Lanes, b: Lanes) -> Lanes {
        [a[0], a[1], a[4], a[5], b[0], b[1], b[4], b[5]]
    }

    pub(crate) fn odd_pairs(a: Lanes, b: Lanes) -> Lanes {
        [a[2], a[3], a[6], a[7], b[2], b[3], b[6], b[7]]
    }

    pub(crate) fn load(words: &[u64; 8]) -> Lanes {
        *words
    }

    pub(crate) fn load_bytes(bytes: &[u8; 64]) -> Lanes {
        let word = |i: usize| bytes[8 * i..8 * i + 8].try_into().expect("eight bytes");
        std::array::from_fn(|i| u64::from_le_bytes(word(i)))
    }

    pub(crate) fn store(lanes: Lanes) -> [u64; 8] {
        lanes
    }
}

/// The instructions on sixteen words of 32 bits.
pub(crate) mod words {
    pub(crate) type Words = [u32; 16];
    pub(crate) type WordMask = u16;

    /// The words of both at `places` of every four, by turns: those from 4 on are of `b`.
    fn of_fours(a: Words, b: Words, places: [usize; 4]) -> Words {
        std::array::from_fn(|i| match places[i % 4] {
            place @ 0..4 => a[i / 4 * 4 + place],
            place => b[i / 4 * 4 + place - 4],
        })
    }

    /// The fours of both at `places`: those from 4 on are of `b`.
    fn fours(a: Words, b: Words, places: [usize; 4]) -> Words {
        std::array::from_fn(|i| match places[i / 4] {
            place @ 0..4 => a[4 * place + i % 4],
            place => b[4 * (place - 4) + i % 4],
        })
    }

    pub(crate) fn splat(word: u32) -> Words {
        [word; 16]
    }

    pub(crate) fn add(a: Words, b: Words) -> Words {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }

    pub(crate) fn shift_right<const BITS: u32>(a: Words) -> Words {
        a.map(|a| a >> BITS)
    }

    pub(crate) fn rotate_right<const BITS: i32>(a: Words) -> Words {
        a.map(|a| a.rotate_right(BITS.unsigned_abs()))
    }

    pub(crate) fn xor3(a: Words, b: Words, c: Words) -> Words {
        std::array::from_fn(|i| a[i] ^ b[i] ^ c[i])
    }

    pub(crate) fn choose(a: Words, b: Words, c: Words) -> Words {
        std::array::from_fn(|i| (a[i] & b[i]) | (!a[i] & c[i]))
    }

    pub(crate) fn majority(a: Words, b: Words, c: Words) -> Words {
        std::array::from_fn(|i| (a[i] & b[i]) | (a[i] & c[i]) | (b[i] & c[i]))
    }

    pub(crate) fn add_where(mask: WordMask, a: Words, b: Words) -> Words {
        let sum = add(a, b);
        std::array::from_fn(|i| if mask >> i & 1 == 1 { sum[i] } else { a[i] })
    }

    pub(crate) fn mask(bits: u16) -> WordMask {
        bits
    }

    pub(crate) fn swap_bytes(a: Words) -> Words {
        a.map(u32::swap_bytes)
    }

    pub(crate) fn unpack_low(a: Words, b: Words) -> Words {
        of_fours(a, b, [0, 4, 1, 5])
    }

    pub(crate) fn unpack_high(a: Words, b: Words) -> Words {
        of_fours(a, b, [2, 6, 3, 7])
    }

    pub(crate) fn low_pairs(a: Words, b: Words) -> Words {
        of_fours(a, b, [0, 1, 4, 5])
    }

    pub(crate) fn high_pairs(a: Words, b: Words) -> Words {
        of_fours(a, b, [2, 3, 6, 7])
    }

    pub(crate) fn even_fours(a: Words, b: Words) -> Words {
        fours(a, b, [0, 2, 4, 6])
    }

    pub(crate) fn odd_fours(a: Words, b: Words) -> Words {
        fours(a, b, [1, 3, 5, 7])
    }

    pub(crate) fn load_bytes(bytes: &[u8; 64]) -> Words {
        let word = |i: usize| bytes[4 * i..4 * i + 4].try_into().expect("four bytes");
        std::array::from_fn(|i| u32::from_le_bytes(word(i)))
    }

    pub(crate) fn store(words: Words) -> [u32; 16] {
        words
    }
}

#[test]
fn products_at_the_ends_of_their_bounds() {
    tests::products_at_the_ends_of_their_bounds();
}

#[test]
fn sums_at_the_ends_of_their_bounds() {
    tests::sums_at_the_ends_of_their_bounds();
}

#[test]
fn hashes_are_those_of_the_library() {
    tests::hashes_are_those_of_the_library();
}

#[test]
fn short_hashes_are_those_of_the_library() {
    tests::short_hashes_are_those_of_the_library();
}

#[test]
fn verdicts_are_those_of_dalek() {
    crate::differential::assert_verdicts(&Emulated, 1, 8_000);
}
