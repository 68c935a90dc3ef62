//! GF(2^255 − 19) in five limbs of 51 bits: sums, differences and products without an overflow.
//!
//! A limb may be larger than 51 bits: how large, each function says. "Tight" is what a product is: limb 1 is below
//! 2^51 + 2^13, every other one below 2^51. "Loose" is below 2^54.
//!
//! This file is compiled twice: over machine words, and over intervals in `proof::portable`, which proves these bounds
//! for the very same source. So it only has what a `const fn` may have.

use super::word::{
    Wide, Word, add as plus, constant, high, low, product, sub as minus, times, wide_add,
    wide_high, wide_low, widen,
};

/// An element of the field: the sum of `limb i · 2^(51 i)`, modulo 2^255 − 19.
#[derive(Clone, Copy)]
pub(crate) struct Limbs(pub(crate) [Word; 5]);

impl Limbs {
    /// The sum. In: any; a limb is the sum of the two, so that tight ones give less than 2^52 + 2^14, which is loose.
    #[inline(always)]
    pub(crate) const fn add(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        Self([
            plus(a[0], b[0]),
            plus(a[1], b[1]),
            plus(a[2], b[2]),
            plus(a[3], b[3]),
            plus(a[4], b[4]),
        ])
    }

    /// The difference, with 2 (2^255 − 19) added. In: `self` below 2^53, `other` tight (at most 2^52 − 38).
    /// Out: at most the limb of `self` and 2^52, and so loose.
    #[inline(always)]
    pub(crate) const fn sub(&self, other: &Self) -> Self {
        let first = constant(2 * ((1 << 51) - 19));
        let rest = constant(2 * ((1 << 51) - 1));
        let (a, b) = (&self.0, &other.0);
        Self([
            plus(a[0], minus(first, b[0])),
            plus(a[1], minus(rest, b[1])),
            plus(a[2], minus(rest, b[2])),
            plus(a[3], minus(rest, b[3])),
            plus(a[4], minus(rest, b[4])),
        ])
    }

    /// The product. In: loose. Out: tight.
    #[inline(always)]
    pub(crate) const fn mul(&self, other: &Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        // 2^255 is 19: what is beyond the fifth limb comes back 19 times.
        let row = [
            b[4],
            b[3],
            b[2],
            b[1],
            b[0],
            times(b[4], 19),
            times(b[3], 19),
            times(b[2], 19),
            times(b[1], 19),
        ];
        reduce([
            column(a, &row, 4),
            column(a, &row, 3),
            column(a, &row, 2),
            column(a, &row, 1),
            column(a, &row, 0),
        ])
    }

    /// The square. In: loose. Out: tight.
    #[inline(always)]
    pub(crate) const fn square(&self) -> Self {
        let a = &self.0;
        let (a0_2, a1_2) = (times(a[0], 2), times(a[1], 2));
        let (a3_19, a4_19) = (times(a[3], 19), times(a[4], 19));
        let (a2_2, a3_2) = (times(a[2], 2), times(a[3], 2));
        reduce([
            sum3(
                product(a[0], a[0]),
                product(a1_2, a4_19),
                product(a2_2, a3_19),
            ),
            sum3(
                product(a[3], a3_19),
                product(a0_2, a[1]),
                product(a2_2, a4_19),
            ),
            sum3(
                product(a[1], a[1]),
                product(a0_2, a[2]),
                product(a3_2, a4_19),
            ),
            sum3(
                product(a[4], a4_19),
                product(a0_2, a[3]),
                product(a1_2, a[2]),
            ),
            sum3(
                product(a[2], a[2]),
                product(a0_2, a[4]),
                product(a1_2, a[3]),
            ),
        ])
    }
}

#[inline(always)]
const fn sum3(a: Wide, b: Wide, c: Wide) -> Wide {
    wide_add(wide_add(a, b), c)
}

/// One column of a product: `row` has the factors of `a`'s limbs from `at` on.
#[inline(always)]
const fn column(a: &[Word; 5], row: &[Word; 9], at: usize) -> Wide {
    let first = sum3(
        product(a[0], row[at]),
        product(a[1], row[at + 1]),
        product(a[2], row[at + 2]),
    );
    sum3(
        first,
        product(a[3], row[at + 3]),
        product(a[4], row[at + 4]),
    )
}

/// Carries. In: columns whose carries fit into words, which those of loose limbs do. Out: tight.
#[inline(always)]
const fn reduce(c: [Wide; 5]) -> Limbs {
    let c1 = wide_add(c[1], widen(wide_high(c[0])));
    let c2 = wide_add(c[2], widen(wide_high(c1)));
    let c3 = wide_add(c[3], widen(wide_high(c2)));
    let c4 = wide_add(c[4], widen(wide_high(c3)));
    let first = plus(wide_low(c[0]), times(wide_high(c4), 19));
    Limbs([
        low(first),
        plus(wide_low(c1), high(first)),
        wide_low(c2),
        wide_low(c3),
        wide_low(c4),
    ])
}
