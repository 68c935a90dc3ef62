//! Called by tests where the processor has AVX2.

use super::field::{Field, add, carry, choice, join, mul, split, sub};
use super::lanes::{load, negative, store};
pub(super) use super::sha512::hashes_are_those_of_the_library;
use crate::differential::{Number, Random};

const TIGHT: [u64; 2] = [(1 << 26) + (1 << 10), (1 << 25) + (1 << 14)];
const SUM: [u64; 2] = [(1 << 28) + (1 << 12), (1 << 27) + (1 << 16)];
const SECOND: [u64; 2] = [218_000_000, 109_000_000];

/// Words of four numbers, limb by limb, below the bounds of even and odd limbs, most of them at the ends.
fn edge(random: &mut Random, bounds: [u64; 2]) -> [[u64; 4]; 10] {
    std::array::from_fn(|limb| std::array::from_fn(|_| random.edge(bounds[limb % 2] - 1)))
}

fn number(words: &[[u64; 4]; 10], lane: usize) -> Number {
    let bits = [0, 26, 51, 77, 102, 128, 153, 179, 204, 230];
    Number::of_limbs(words.iter().map(|limb| limb[lane]).zip(bits))
}

fn assert_below(words: &[[u64; 4]; 10], bounds: [u64; 2]) {
    for (limb, word) in words.iter().enumerate() {
        assert!(
            word.iter().all(|word| *word < bounds[limb % 2]),
            "{words:x?}"
        );
    }
}

lanes! {
    fn field(words: &[[u64; 4]; 10]) -> Field {
        let mut field = Field([load(&words[0]); 10]);
        for (limb, words) in field.0.iter_mut().zip(words) {
            *limb = load(words);
        }
        field
    }

    fn words(field: &Field) -> [[u64; 4]; 10] {
        let mut words = [[0; 4]; 10];
        for (words, limb) in words.iter_mut().zip(field.0) {
            *words = store(limb);
        }
        words
    }

    pub(super) fn products_at_the_ends_of_their_bounds() {
        let mut random = Random::new(31);
        for _ in 0..4_000 {
            let (a, b) = (edge(&mut random, SUM), edge(&mut random, SECOND));
            let product = words(&mul(&field(&a), &field(&b)));
            assert_below(&product, TIGHT);
            for lane in 0..4 {
                let expected = number(&a, lane).times(number(&b, lane));
                assert_eq!(number(&product, lane), expected);
            }
        }
    }

    pub(super) fn sums_at_the_ends_of_their_bounds() {
        let mut random = Random::new(32);
        let twice = TIGHT.map(|bound| 2 * bound - 1);
        let digits = [-128, 0, 127, -1];
        for _ in 0..4_000 {
            let (a, b) = (edge(&mut random, twice), edge(&mut random, TIGHT));
            let (plus, minus) = (add(&field(&a), &field(&b)), sub(&field(&a), &field(&b)));
            let mixed = words(&choice(negative(&digits), &plus, &minus));
            let (carried, plus, minus) = (words(&carry(&plus)), words(&plus), words(&minus));
            assert_below(&plus, SUM);
            assert_below(&minus, SUM);
            assert_below(&carried, TIGHT);
            for (lane, digit) in digits.iter().enumerate() {
                let (a, b) = (number(&a, lane), number(&b, lane));
                assert_eq!(number(&plus, lane), a.plus(b));
                assert_eq!(number(&minus, lane), a.minus(b));
                assert_eq!(number(&carried, lane), a.plus(b));
                let chosen = if *digit < 0 { &minus } else { &plus };
                assert_eq!(number(&mixed, lane), number(chosen, lane));
            }

            let mut columns = edge(&mut random, [u64::MAX - (1 << 39); 2]);
            columns[9] = columns[9].map(|word| word >> 4);
            let carried = words(&carry(&field(&columns)));
            assert_below(&carried, TIGHT);
            let tight = edge(&mut random, TIGHT);
            let joined = join(&field(&tight));
            let full: [[u64; 4]; 5] =
                std::array::from_fn(|_| std::array::from_fn(|_| random.edge((1 << 51) - 1)));
            let [p, q, r, s, t] = &full;
            let halves = words(&split(&[load(p), load(q), load(r), load(s), load(t)]));
            assert_below(&halves, [1 << 26, 1 << 25]);
            let mut limbs = [[0; 4]; 5];
            for (words, limb) in limbs.iter_mut().zip(joined) {
                *words = store(limb);
            }
            assert!(limbs.iter().flatten().all(|limb| *limb < 1 << 52));
            for lane in 0..4 {
                assert_eq!(number(&carried, lane), number(&columns, lane));
                assert_eq!(Number::of_51(&limbs.map(|limb| limb[lane])), number(&tight, lane));
                assert_eq!(number(&halves, lane), Number::of_51(&full.map(|limb| limb[lane])));
            }
        }
    }
}
