//! Four signatures at a time with AVX2: one in each 64-bit lane.
//!
//! The files below are written in terms of [`lanes`] alone. They are compiled against the processor's instructions here
//! and, as far as they are arithmetic, against intervals in `proof::avx2`. `lanes!` says what a function of them is: here
//! one for which the processor has to have AVX2.
#![allow(unsafe_code, reason = "vectors: see the SAFETY comments")]

macro_rules! lanes {
    ($(
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident $(<const $parameter:ident: $kind:ty>)? ($($arguments:tt)*)
        $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        #[inline]
        #[target_feature(enable = "avx2")]
        $visibility fn $name $(<const $parameter: $kind>)? ($($arguments)*) $(-> $result)? $body
    )*};
}

mod addition;
mod engine;
mod field;
#[path = "avx512/sha512.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "the same source for each kind of vector"
)]
mod sha512;
#[cfg(test)]
mod tests;
mod transpose;

use crate::engine::{Engine, Task};
use crate::table::Table;

/// The AVX2 back end: there is only one where the processor has what it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` where the processor, or the system, lacks it.
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Engine for Avx2 {
    fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        // SAFETY: `detect`, which alone makes this type, found the feature that the function is compiled for.
        unsafe { engine::decide(base, tasks) }
    }
}

/// The instructions.
mod lanes {
    use std::arch::x86_64::*;

    /// How many there are.
    pub(super) const LANES: usize = 4;

    /// Four words.
    pub(super) type Lanes = __m256i;

    /// All bits of a lane, or none.
    pub(super) type Mask = __m256i;

    lanes! {
        pub(super) fn splat(word: u64) -> Lanes {
            _mm256_set1_epi64x(word.cast_signed())
        }

        pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
            _mm256_add_epi64(a, b)
        }

        pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
            _mm256_sub_epi64(a, b)
        }

        pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
            _mm256_and_si256(a, b)
        }

        pub(super) fn shift_right<const BITS: i32>(a: Lanes) -> Lanes {
            _mm256_srli_epi64::<BITS>(a)
        }

        pub(super) fn shift_left<const BITS: i32>(a: Lanes) -> Lanes {
            _mm256_slli_epi64::<BITS>(a)
        }

        /// The product of the lower 32 bits of `a` and `b`.
        pub(super) fn product(a: Lanes, b: Lanes) -> Lanes {
            _mm256_mul_epu32(a, b)
        }

        /// The lane of `b` where the mask is set, that of `a` where it is not.
        pub(super) fn select(mask: Mask, a: Lanes, b: Lanes) -> Lanes {
            _mm256_blendv_epi8(a, b, mask)
        }

        /// The lanes whose bits are set.
        pub(super) fn mask(bits: u8) -> Mask {
            let bit_of = _mm256_set_epi64x(8, 4, 2, 1);
            let bits = _mm256_and_si256(_mm256_set1_epi64x(i64::from(bits)), bit_of);
            _mm256_cmpeq_epi64(bits, bit_of)
        }

        pub(super) fn rotate_right<const BITS: i32>(a: Lanes) -> Lanes {
            let left = _mm256_sll_epi64(a, _mm_cvtsi32_si128(64 - BITS));
            _mm256_or_si256(_mm256_srli_epi64::<BITS>(a), left)
        }

        pub(super) fn xor3(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            _mm256_xor_si256(_mm256_xor_si256(a, b), c)
        }

        /// The bits of `b` where `a` has ones, those of `c` where it has zeros.
        pub(super) fn choose(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            _mm256_xor_si256(c, _mm256_and_si256(a, _mm256_xor_si256(b, c)))
        }

        /// The bits that two of the three have.
        pub(super) fn majority(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            let either = _mm256_or_si256(a, b);
            _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(either, c))
        }

        /// The bytes of every word, the last one first.
        pub(super) fn swap_bytes(a: Lanes) -> Lanes {
            let (high, low) = (0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607);
            _mm256_shuffle_epi8(a, _mm256_set_epi64x(high, low, high, low))
        }

        /// The lanes whose digits are negative.
        pub(super) fn negative(digits: &[i8; 4]) -> Mask {
            let signs = i32::from_le_bytes(digits.map(i8::cast_unsigned));
            let words = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(signs));
            _mm256_cmpgt_epi64(_mm256_setzero_si256(), words)
        }

        /// Words 0 and 2 of `a` and `b` by turns.
        pub(super) fn unpack_low(a: Lanes, b: Lanes) -> Lanes {
            _mm256_unpacklo_epi64(a, b)
        }

        /// Words 1 and 3 of `a` and `b` by turns.
        pub(super) fn unpack_high(a: Lanes, b: Lanes) -> Lanes {
            _mm256_unpackhi_epi64(a, b)
        }

        /// The first pair of `a`, then of `b`; a pair is two words.
        pub(super) fn first_pairs(a: Lanes, b: Lanes) -> Lanes {
            _mm256_permute2x128_si256::<0x20>(a, b)
        }

        /// The second pair of `a`, then of `b`.
        pub(super) fn second_pairs(a: Lanes, b: Lanes) -> Lanes {
            _mm256_permute2x128_si256::<0x31>(a, b)
        }

        pub(super) fn load(words: &[u64; 4]) -> Lanes {
            // SAFETY: four words are 256 bits, and every pattern of them is a value.
            unsafe { std::mem::transmute::<[u64; 4], Lanes>(*words) }
        }

        pub(super) fn load_bytes(bytes: &[u8; 32]) -> Lanes {
            // SAFETY: 32 bytes are 256 bits, and every pattern of them is a value.
            unsafe { std::mem::transmute::<[u8; 32], Lanes>(*bytes) }
        }

        pub(super) fn store(lanes: Lanes) -> [u64; 4] {
            // SAFETY: 256 bits are four words, and every pattern of them is a value.
            unsafe { std::mem::transmute::<Lanes, [u64; 4]>(lanes) }
        }
    }
}

#[cfg(test)]
mod on_this_processor {
    use super::{Avx2, tests};
    use crate::differential::on_this_processor;

    on_this_processor!(
        Avx2,
        "AVX2",
        4,
        products_at_the_ends_of_their_bounds,
        sums_at_the_ends_of_their_bounds,
        hashes_are_those_of_the_library
    );
}
