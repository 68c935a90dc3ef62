//! Eight signatures at a time with AVX-512 IFMA: one in each 64-bit lane.
//!
//! The files below are written in terms of [`lanes`] alone. They are compiled against the processor's instructions here,
//! against plain Rust in `emulated` for tests on any machine, and, as far as they are arithmetic, against intervals in
//! `proof::ifma`. `lanes!` says what a function of them is: here one for which the processor has to have [`FEATURES`].
#![allow(unsafe_code, reason = "vectors: see the SAFETY comments")]

macro_rules! lanes {
    ($(
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident $(<const $parameter:ident: $kind:ty>)? ($($arguments:tt)*)
        $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
        $visibility fn $name $(<const $parameter: $kind>)? ($($arguments)*) $(-> $result)? $body
    )*};
}

mod addition;
mod engine;
mod field;
mod sha256;
mod sha512;
#[cfg(test)]
mod tests;
mod transpose;

use crate::engine::{Engine, HASHES, ManyHashes, Task};
use crate::padding::Padded;
use crate::table::Table;

/// The AVX-512 back end: there is only one where the processor has what it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// `None` where the processor, or the system, lacks a part of it.
    pub(crate) fn detect() -> Option<Self> {
        let has_all = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512ifma");
        has_all.then_some(Self(()))
    }
}

impl Engine for Avx512 {
    fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        // SAFETY: `detect`, which alone makes this type, found every feature that the function is compiled for.
        unsafe { engine::decide(base, tasks) }
    }
}

impl ManyHashes for Avx512 {
    fn sha256(&self, messages: &[Padded<'_>]) -> [[u8; 32]; HASHES] {
        // SAFETY: as above.
        unsafe { sha256::hash_lanes(messages) }
    }
}

/// The instructions.
mod lanes {
    use std::arch::x86_64::*;

    /// Eight words.
    pub(super) type Lanes = __m512i;

    /// How many there are.
    pub(super) const LANES: usize = 8;

    /// One bit for each lane.
    pub(super) type Mask = __mmask8;

    lanes! {
        pub(super) fn splat(word: u64) -> Lanes {
            _mm512_set1_epi64(word.cast_signed())
        }

        pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
            _mm512_add_epi64(a, b)
        }

        pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
            _mm512_sub_epi64(a, b)
        }

        pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
            _mm512_and_si512(a, b)
        }

        pub(super) fn shift_right<const BITS: u32>(a: Lanes) -> Lanes {
            _mm512_srli_epi64::<BITS>(a)
        }

        pub(super) fn shift_left<const BITS: u32>(a: Lanes) -> Lanes {
            _mm512_slli_epi64::<BITS>(a)
        }

        /// `sum` and the lower 52 bits of the product of the lower 52 bits of `a` and `b`.
        pub(super) fn add_product_low(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
            _mm512_madd52lo_epu64(sum, a, b)
        }

        /// `sum` and the upper 52 bits of that product.
        pub(super) fn add_product_high(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
            _mm512_madd52hi_epu64(sum, a, b)
        }

        /// The lane of `b` where the mask's bit is set, that of `a` where it is not.
        pub(super) fn select(mask: Mask, a: Lanes, b: Lanes) -> Lanes {
            _mm512_mask_blend_epi64(mask, a, b)
        }

        /// The lanes whose bits are set.
        pub(super) fn mask(bits: u8) -> Mask {
            bits
        }

        pub(super) fn rotate_right<const BITS: i32>(a: Lanes) -> Lanes {
            _mm512_ror_epi64::<BITS>(a)
        }

        pub(super) fn xor3(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            _mm512_ternarylogic_epi64::<0x96>(a, b, c)
        }

        /// The bits of `b` where `a` has ones, those of `c` where it has zeros.
        pub(super) fn choose(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            _mm512_ternarylogic_epi64::<0xca>(a, b, c)
        }

        /// The bits that two of the three have.
        pub(super) fn majority(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            _mm512_ternarylogic_epi64::<0xe8>(a, b, c)
        }

        /// The bytes of every word, the last one first.
        pub(super) fn swap_bytes(a: Lanes) -> Lanes {
            let (high, low) = (0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607);
            _mm512_shuffle_epi8(a, _mm512_set_epi64(high, low, high, low, high, low, high, low))
        }

        /// Words 0, 2, 4 and 6 of `a` and `b` by turns.
        pub(super) fn unpack_low(a: Lanes, b: Lanes) -> Lanes {
            _mm512_unpacklo_epi64(a, b)
        }

        /// Words 1, 3, 5 and 7 of `a` and `b` by turns.
        pub(super) fn unpack_high(a: Lanes, b: Lanes) -> Lanes {
            _mm512_unpackhi_epi64(a, b)
        }

        /// Pairs 0 and 2 of `a`, then of `b`; a pair is two words.
        pub(super) fn even_pairs(a: Lanes, b: Lanes) -> Lanes {
            _mm512_shuffle_i64x2::<0x88>(a, b)
        }

        /// Pairs 1 and 3 of `a`, then of `b`.
        pub(super) fn odd_pairs(a: Lanes, b: Lanes) -> Lanes {
            _mm512_shuffle_i64x2::<0xdd>(a, b)
        }

        pub(super) fn load(words: &[u64; 8]) -> Lanes {
            // SAFETY: eight words are 512 bits, and every pattern of them is a value.
            unsafe { std::mem::transmute::<[u64; 8], Lanes>(*words) }
        }

        pub(super) fn load_bytes(bytes: &[u8; 64]) -> Lanes {
            // SAFETY: 64 bytes are 512 bits, and every pattern of them is a value.
            unsafe { std::mem::transmute::<[u8; 64], Lanes>(*bytes) }
        }

        pub(super) fn store(lanes: Lanes) -> [u64; 8] {
            // SAFETY: 512 bits are eight words, and every pattern of them is a value.
            unsafe { std::mem::transmute::<Lanes, [u64; 8]>(lanes) }
        }
    }
}

/// The same registers as sixteen words of 32 bits.
mod words {
    use std::arch::x86_64::*;

    /// Sixteen words.
    pub(super) type Words = __m512i;

    /// One bit for each word.
    pub(super) type WordMask = __mmask16;

    lanes! {
        pub(super) fn splat(word: u32) -> Words {
            _mm512_set1_epi32(word.cast_signed())
        }

        pub(super) fn add(a: Words, b: Words) -> Words {
            _mm512_add_epi32(a, b)
        }

        pub(super) fn shift_right<const BITS: u32>(a: Words) -> Words {
            _mm512_srli_epi32::<BITS>(a)
        }

        pub(super) fn rotate_right<const BITS: i32>(a: Words) -> Words {
            _mm512_ror_epi32::<BITS>(a)
        }

        pub(super) fn xor3(a: Words, b: Words, c: Words) -> Words {
            _mm512_ternarylogic_epi32::<0x96>(a, b, c)
        }

        /// The bits of `b` where `a` has ones, those of `c` where it has zeros.
        pub(super) fn choose(a: Words, b: Words, c: Words) -> Words {
            _mm512_ternarylogic_epi32::<0xca>(a, b, c)
        }

        /// The bits that two of the three have.
        pub(super) fn majority(a: Words, b: Words, c: Words) -> Words {
            _mm512_ternarylogic_epi32::<0xe8>(a, b, c)
        }

        /// `a` and `b` added where the mask's bit is set, `a` where it is not.
        pub(super) fn add_where(mask: WordMask, a: Words, b: Words) -> Words {
            _mm512_mask_add_epi32(a, mask, a, b)
        }

        /// The words whose bits are set.
        pub(super) fn mask(bits: u16) -> WordMask {
            bits
        }

        /// The bytes of every word, the last one first.
        pub(super) fn swap_bytes(a: Words) -> Words {
            let quarter = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
            _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(quarter))
        }

        /// Of every four words, the first two of `a` and `b` by turns.
        pub(super) fn unpack_low(a: Words, b: Words) -> Words {
            _mm512_unpacklo_epi32(a, b)
        }

        /// Of every four words, the last two of `a` and `b` by turns.
        pub(super) fn unpack_high(a: Words, b: Words) -> Words {
            _mm512_unpackhi_epi32(a, b)
        }

        /// Of every four words, the first two of `a` and then those of `b`.
        pub(super) fn low_pairs(a: Words, b: Words) -> Words {
            _mm512_unpacklo_epi64(a, b)
        }

        /// Of every four words, the last two of `a` and then those of `b`.
        pub(super) fn high_pairs(a: Words, b: Words) -> Words {
            _mm512_unpackhi_epi64(a, b)
        }

        /// Fours 0 and 2 of `a`, then of `b`; a four is four words.
        pub(super) fn even_fours(a: Words, b: Words) -> Words {
            _mm512_shuffle_i32x4::<0x88>(a, b)
        }

        /// Fours 1 and 3 of `a`, then of `b`.
        pub(super) fn odd_fours(a: Words, b: Words) -> Words {
            _mm512_shuffle_i32x4::<0xdd>(a, b)
        }

        pub(super) fn load_bytes(bytes: &[u8; 64]) -> Words {
            // SAFETY: 64 bytes are 512 bits, and every pattern of them is a value.
            unsafe { std::mem::transmute::<[u8; 64], Words>(*bytes) }
        }

        pub(super) fn store(words: Words) -> [u32; 16] {
            // SAFETY: 512 bits are sixteen words, and every pattern of them is a value.
            unsafe { std::mem::transmute::<Words, [u32; 16]>(words) }
        }
    }
}

#[cfg(test)]
mod on_this_processor {
    use super::{Avx512, lanes, tests, words};
    use crate::differential::{on_this_processor, skip};
    use crate::emulated::{lanes as emulated, words as emulated_words};

    on_this_processor!(
        Avx512,
        "AVX-512",
        2,
        products_at_the_ends_of_their_bounds,
        sums_at_the_ends_of_their_bounds,
        hashes_are_those_of_the_library,
        short_hashes_are_those_of_the_library
    );

    #[test]
    fn instructions_do_what_is_emulated() {
        if Avx512::detect().is_none() {
            return skip("AVX-512");
        }
        // SAFETY: the processor has what the functions need.
        unsafe {
            compare();
            compare_words();
        }
    }

    lanes! {
        fn compare() {
            let mut random = crate::differential::Random::new(3);
            for _ in 0..20_000 {
                let mut words = || std::array::from_fn(|_| random.edge(u64::MAX));
                let (x, y, z): ([u64; 8], [u64; 8], [u64; 8]) = (words(), words(), words());
                let (a, b, c) = (lanes::load(&x), lanes::load(&y), lanes::load(&z));
                macro_rules! same {
                    ($($name:ident $(::<$bits:literal>)? ($($wide:expr),*) ($($plain:expr),*);)*) => {$(
                        assert_eq!(
                            lanes::store(lanes::$name $(::<$bits>)? ($($wide),*)),
                            emulated::$name $(::<$bits>)? ($($plain),*),
                            stringify!($name),
                        );
                    )*};
                }
                let mask = x[0] as u8;
                same! {
                    splat(x[0])(x[0]);
                    add(a, b)(x, y);
                    sub(a, b)(x, y);
                    and(a, b)(x, y);
                    shift_right::<51>(a)(x);
                    shift_right::<7>(a)(x);
                    shift_right::<6>(a)(x);
                    shift_left::<4>(a)(x);
                    add_product_low(a, b, c)(x, y, z);
                    add_product_high(a, b, c)(x, y, z);
                    select(mask, a, b)(mask, x, y);
                    rotate_right::<1>(a)(x);
                    rotate_right::<8>(a)(x);
                    rotate_right::<61>(a)(x);
                    xor3(a, b, c)(x, y, z);
                    choose(a, b, c)(x, y, z);
                    majority(a, b, c)(x, y, z);
                    swap_bytes(a)(x);
                    unpack_low(a, b)(x, y);
                    unpack_high(a, b)(x, y);
                    even_pairs(a, b)(x, y);
                    odd_pairs(a, b)(x, y);
                }
                let bytes: [u8; 64] = std::array::from_fn(|i| x[i / 8].to_le_bytes()[i % 8]);
                assert_eq!(lanes::store(lanes::load_bytes(&bytes)), emulated::load_bytes(&bytes));
            }
        }

        fn compare_words() {
            let mut random = crate::differential::Random::new(4);
            for _ in 0..20_000 {
                let mut bytes = || {
                    let words: [u64; 8] = std::array::from_fn(|_| random.edge(u64::MAX));
                    std::array::from_fn(|i| words[i / 8].to_le_bytes()[i % 8])
                };
                let (x, y, z): ([u8; 64], [u8; 64], [u8; 64]) = (bytes(), bytes(), bytes());
                let [a, b, c] = [&x, &y, &z].map(|bytes| words::load_bytes(bytes));
                let [x, y, z] = [&x, &y, &z].map(emulated_words::load_bytes);
                macro_rules! same {
                    ($($name:ident $(::<$bits:literal>)? ($($wide:expr),*) ($($plain:expr),*);)*) => {$(
                        assert_eq!(
                            words::store(words::$name $(::<$bits>)? ($($wide),*)),
                            emulated_words::$name $(::<$bits>)? ($($plain),*),
                            stringify!($name),
                        );
                    )*};
                }
                let mask = x[0] as u16;
                assert_eq!(words::store(a), x);
                same! {
                    splat(x[0])(x[0]);
                    add(a, b)(x, y);
                    add_where(mask, a, b)(mask, x, y);
                    shift_right::<3>(a)(x);
                    shift_right::<10>(a)(x);
                    rotate_right::<2>(a)(x);
                    rotate_right::<7>(a)(x);
                    rotate_right::<25>(a)(x);
                    xor3(a, b, c)(x, y, z);
                    choose(a, b, c)(x, y, z);
                    majority(a, b, c)(x, y, z);
                    swap_bytes(a)(x);
                    unpack_low(a, b)(x, y);
                    unpack_high(a, b)(x, y);
                    low_pairs(a, b)(x, y);
                    high_pairs(a, b)(x, y);
                    even_fours(a, b)(x, y);
                    odd_fours(a, b)(x, y);
                }
            }
        }
    }
}
