//! The field at the ends of its bounds.

use super::field::invert_all;
use super::limbs::Limbs;
use crate::differential::{Number, Random, assert_verdicts};

const TIGHT: [u64; 5] = [1 << 51, (1 << 51) + (1 << 13), 1 << 51, 1 << 51, 1 << 51];

/// Limbs below the bounds, most of them at their ends.
fn edge(random: &mut Random, bounds: [u64; 5]) -> Limbs {
    Limbs(bounds.map(|bound| random.edge(bound - 1)))
}

fn number(limbs: &Limbs) -> Number {
    Number::of_51(&limbs.0)
}

fn assert_below(limbs: &Limbs, bounds: [u64; 5]) {
    let below = |(limb, bound): (&u64, u64)| *limb < bound;
    assert!(limbs.0.iter().zip(bounds).all(below), "{:x?}", limbs.0);
}

#[test]
fn operations_at_the_ends_of_their_bounds() {
    let mut random = Random::new(11);
    for _ in 0..20_000 {
        let (a, b) = (
            edge(&mut random, [1 << 54; 5]),
            edge(&mut random, [1 << 54; 5]),
        );
        let product = a.mul(&b);
        assert_eq!(number(&product), number(&a).times(number(&b)));
        assert_below(&product, TIGHT);
        let square = a.square();
        assert_eq!(number(&square), number(&a).times(number(&a)));
        assert_below(&square, TIGHT);

        let (a, b) = (edge(&mut random, [1 << 53; 5]), edge(&mut random, TIGHT));
        let difference = a.sub(&b);
        assert_eq!(number(&difference), number(&a).minus(number(&b)));
        assert_below(&difference, [1 << 54; 5]);
        let (a, b) = (edge(&mut random, TIGHT), edge(&mut random, TIGHT));
        let sum = a.add(&b);
        assert_eq!(number(&sum), number(&a).plus(number(&b)));
        assert_below(&sum, [(1 << 52) + (1 << 14); 5]);
        assert_eq!(number(&a.negated()).plus(number(&a)), Number::of_word(0));
    }
}

#[test]
fn numbers_have_one_canonical_form() {
    let mut random = Random::new(12);
    let full = (1 << 51) - 1;
    let mut limbs = vec![
        [full - 18, full, full, full, full],
        [full - 19, full, full, full, full],
        [full; 5],
        [u64::MAX; 5],
        [0, u64::MAX, 0, 0, 0],
    ];
    limbs.extend((0..20_000).map(|_| std::array::from_fn(|_| random.edge(u64::MAX))));
    for limbs in limbs.into_iter().map(Limbs) {
        let canonical = limbs.canonical();
        assert_eq!(number(&canonical), number(&limbs));
        assert_below(&canonical, [1 << 51; 5]);
        let bytes = limbs.to_bytes();
        let words: [u64; 4] = std::array::from_fn(|i| {
            u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap())
        });
        let read = Number::of_limbs(words.into_iter().zip([0, 64, 128, 192]));
        assert_eq!(read, number(&limbs));
        assert_eq!(Limbs::from_bytes(&bytes).0, canonical.0);
        assert_eq!(limbs.is_odd(), bytes[0] & 1 == 1);
        // Below 2^255 − 19: 2^255 − 20 is the largest.
        let is_largest_or_less =
            bytes[31] < 0x7f || bytes[1..31].iter().any(|byte| *byte != 0xff) || bytes[0] < 0xed;
        assert!(is_largest_or_less, "{bytes:x?}");
    }
}

#[test]
fn inverses_and_roots() {
    let mut random = Random::new(13);
    let mut elements: Vec<Limbs> = (0..300).map(|_| edge(&mut random, [1 << 54; 5])).collect();
    elements.retain(|element| !element.equals(&Limbs::ZERO));
    let mut inverses = elements.clone();
    invert_all(&mut inverses);
    let mut roots = 0;
    for (element, inverse) in elements.iter().zip(&inverses) {
        assert!(element.mul(inverse).equals(&Limbs::ONE));
        assert!(element.inverse().equals(inverse));
        let square = element.square();
        let root = square.root().expect("a square has one");
        assert!(root.equals(element) || root.negated().equals(element));
        // 2 is no square modulo 2^255 − 19.
        assert!(square.add(&square).root().is_none());
        roots += usize::from(element.root().is_some());
    }
    assert!(
        (100..200).contains(&roots),
        "half of all numbers are squares"
    );
    assert!(Limbs::ZERO.inverse().equals(&Limbs::ZERO));
    assert!(Limbs::ZERO.root().unwrap().equals(&Limbs::ZERO));
    invert_all(&mut []);
}

#[test]
fn verdicts_are_those_of_dalek() {
    assert_verdicts(&super::Portable, 5, 20_000);
}
