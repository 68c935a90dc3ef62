//! For the tests of the back ends: cases, numbers at the ends of bounds, and arithmetic modulo 2^255 − 19 that has
//! nothing in common with theirs.

#[path = "../tests/support/cases.rs"]
mod cases;

use ed25519_dalek::{Signature, Verifier as _};

use crate::engine::{Engine, Task};
use crate::message::Message;
use crate::scalar::Window;
use crate::table::Table;
use crate::verifier::Item;

pub(crate) use cases::Random;
use cases::{Case, Cases};

/// Says that something was not tested here; an error where `PROVARA_EVERY_BACKEND` is set.
pub(crate) fn skip(needed: &str) {
    eprintln!("NOT TESTED: this processor has no {needed}");
    let all = std::env::var_os("PROVARA_EVERY_BACKEND");
    assert!(all.is_none(), "PROVARA_EVERY_BACKEND is set");
}

/// Runs the tests of a back end that are compiled for its instructions, and holds its verdicts against dalek's, where the
/// processor has them.
#[cfg(target_arch = "x86_64")]
macro_rules! on_this_processor {
    ($engine:ident, $name:literal, $seed:literal, $($test:ident),*) => {
        $(
            #[test]
            fn $test() {
                if $engine::detect().is_none() {
                    return crate::differential::skip($name);
                }
                // SAFETY: the processor has what the function needs.
                unsafe { tests::$test() }
            }
        )*

        #[test]
        fn verdicts_are_those_of_dalek() {
            match $engine::detect() {
                Some(engine) => crate::differential::assert_verdicts(&engine, $seed, 20_000),
                None => crate::differential::skip($name),
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use on_this_processor;

/// Holds the verdicts of a back end itself against those of dalek, with tables of every window.
pub(crate) fn assert_verdicts(engine: &dyn Engine, seed: u64, count: usize) {
    let mut cases = Cases::new(seed);
    let keys = cases.keys().to_vec();
    let drawn: Vec<Case> = (0..count).map(|_| cases.draw()).collect();
    let expected: Vec<bool> = drawn
        .iter()
        .map(|case| {
            let signature = Signature::from_bytes(&case.signature);
            keys[case.key].verify(&case.message, &signature).is_ok()
        })
        .collect();
    for (base, window) in [
        (Window::Narrow, Window::Narrow),
        (Window::Wide, Window::Wide),
        (Window::Wide, Window::Narrow),
    ] {
        let base = Table::of_base(base);
        let tables: Vec<Table> = keys
            .iter()
            .map(|key| Table::of_negative(key, window).expect("a point has an x"))
            .collect();
        let tasks: Vec<Task<'_>> = drawn
            .iter()
            .map(|case| Task {
                table: &tables[case.key],
                public: keys[case.key].as_bytes(),
                signature: &case.signature,
                message: case.parts(),
            })
            .collect();
        // Batches of every remainder, and large ones.
        let (first, rest) = tasks.split_at(count / 10);
        let mut found = Vec::new();
        let (mut at, mut size) = (0, 1);
        while at < first.len() {
            let end = (at + size).min(first.len());
            found.extend(engine.decide(&base, &first[at..end]));
            (at, size) = (end, size % 41 + 1);
        }
        found.extend(engine.decide(&base, rest));
        assert_eq!(found.len(), expected.len());
        for ((found, expected), case) in found.iter().zip(&expected).zip(&drawn) {
            assert_eq!(found, expected, "{window:?}: {case:?}");
        }
    }
    assert!(expected.iter().filter(|good| **good).count() > count / 10);
}

/// 2^255 − 19 in words, least first.
const P: [u64; 4] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

/// A number modulo 2^255 − 19, computed with by doubling and adding, bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number([u64; 4]);

impl Number {
    /// The sum of limbs that begin at these bits.
    pub(crate) fn of_limbs(limbs: impl IntoIterator<Item = (u64, u32)>) -> Self {
        limbs.into_iter().fold(Self([0; 4]), |sum, (limb, at)| {
            let shifted = (0..at).fold(Self::of_word(limb), |number, _| number.plus(number));
            sum.plus(shifted)
        })
    }

    /// Of limbs of 51 bits.
    pub(crate) fn of_51(limbs: &[u64; 5]) -> Self {
        Self::of_limbs(limbs.iter().copied().zip((0..5).map(|i| 51 * i)))
    }

    pub(crate) fn of_word(word: u64) -> Self {
        Self([word, 0, 0, 0])
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let mut carry = false;
        let sum = std::array::from_fn(|i| {
            let (part, first) = self.0[i].overflowing_add(other.0[i]);
            let (part, second) = part.overflowing_add(u64::from(carry));
            carry = first || second;
            part
        });
        assert!(!carry, "both are below 2^255");
        Self::reduced(sum)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(Self(difference(P, other.0)))
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let mut product = Self([0; 4]);
        for bit in (0..255).rev() {
            product = product.plus(product);
            if other.0[bit / 64] >> (bit % 64) & 1 == 1 {
                product = product.plus(self);
            }
        }
        product
    }

    fn reduced(number: [u64; 4]) -> Self {
        if number.iter().rev().lt(P.iter().rev()) {
            Self(number)
        } else {
            Self(difference(number, P))
        }
    }
}

/// a − b, where b is not larger.
fn difference(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let mut borrow = false;
    let result = std::array::from_fn(|i| {
        let (part, first) = a[i].overflowing_sub(b[i]);
        let (part, second) = part.overflowing_sub(u64::from(borrow));
        borrow = first || second;
        part
    });
    assert!(!borrow);
    result
}

#[test]
fn the_other_arithmetic_is_right() {
    let number = |word| Number::of_word(word);
    let minus_one = number(0).minus(number(1));
    assert_eq!(minus_one.0, difference(P, [1, 0, 0, 0]));
    assert_eq!(minus_one.times(minus_one), number(1));
    assert_eq!(minus_one.plus(number(2)), number(1));
    assert_eq!(Number::of_limbs([(1, 255)]), number(19));
    assert_eq!(
        number(u64::MAX).times(number(u64::MAX)),
        Number([1, u64::MAX - 1, 0, 0])
    );
}
