//! Called by tests where the lanes can be computed with.

use super::field::{Field, Sum, add, carry, choice, mul, sub, sum};
use super::lanes::{load, store};
pub(super) use super::sha256::short_hashes_are_those_of_the_library;
pub(super) use super::sha512::hashes_are_those_of_the_library;
use crate::differential::{Number, Random};

const TIGHT: u64 = (1 << 51) + (1 << 14);

/// Words of eight numbers, limb by limb, below the bound, most of them at the ends.
fn edge(random: &mut Random, bound: u64) -> [[u64; 8]; 5] {
    std::array::from_fn(|_| std::array::from_fn(|_| random.edge(bound - 1)))
}

fn number(words: &[[u64; 8]; 5], lane: usize) -> Number {
    Number::of_51(&words.map(|limb| limb[lane]))
}

fn assert_below(words: &[[u64; 8]; 5], bound: u64) {
    assert!(
        words.iter().flatten().all(|word| *word < bound),
        "{words:x?}"
    );
}

lanes! {
    fn field(words: &[[u64; 8]; 5]) -> Field {
        let [a, b, c, d, e] = words;
        Field([load(a), load(b), load(c), load(d), load(e)])
    }

    fn words(a: &Field) -> [[u64; 8]; 5] {
        let [a, b, c, d, e] = a.0;
        [store(a), store(b), store(c), store(d), store(e)]
    }

    pub(super) fn products_at_the_ends_of_their_bounds() {
        let mut random = Random::new(21);
        for bound in [TIGHT, 1 << 52] {
            for _ in 0..2_000 {
                let (a, b) = (edge(&mut random, bound), edge(&mut random, bound));
                let product = words(&mul(&field(&a), &field(&b)));
                assert_below(&product, TIGHT);
                for lane in 0..8 {
                    let expected = number(&a, lane).times(number(&b, lane));
                    assert_eq!(number(&product, lane), expected);
                }
            }
        }
    }

    pub(super) fn sums_at_the_ends_of_their_bounds() {
        let mut random = Random::new(22);
        for _ in 0..2_000 {
            let (a, b) = (edge(&mut random, 1 << 53), edge(&mut random, TIGHT));
            let loose = Sum(field(&a).0);
            let (plus, minus) = (add(&loose, &field(&b)), sub(&loose, &field(&b)));
            let carried = words(&carry(&plus));
            let mixed = words(&Field(choice(0b1010_0110, &plus, &minus).0));
            let (plus, minus) = (words(&Field(plus.0)), words(&Field(minus.0)));
            assert_below(&plus, 1 << 54);
            assert_below(&minus, 1 << 54);
            assert_below(&carried, TIGHT);
            for lane in 0..8 {
                let (a, b) = (number(&a, lane), number(&b, lane));
                assert_eq!(number(&plus, lane), a.plus(b));
                assert_eq!(number(&minus, lane), a.minus(b));
                assert_eq!(number(&carried, lane), a.plus(b));
                let chosen = if 0b1010_0110 >> lane & 1 == 1 { &minus } else { &plus };
                assert_eq!(number(&mixed, lane), number(chosen, lane));
            }
            let a = edge(&mut random, 1 << 60);
            let carried = words(&carry(&Sum(field(&a).0)));
            assert_below(&carried, TIGHT);
            let unchanged = words(&Field(sum(&field(&a)).0));
            for lane in 0..8 {
                assert_eq!(number(&carried, lane), number(&a, lane));
                assert_eq!(number(&unchanged, lane), number(&a, lane));
            }
        }
    }
}
