//! GF(2^255 − 19), four elements at a time, in ten limbs of 26 and 25 bits by turns, as a multiplication of AVX2 reads 32.
//!
//! The bounds of limbs are given as "even, odd". "Tight" is below 2^26 + 2^10, 2^25 + 2^14; "sum" below 2^28 + 2^12, 2^27 + 2^16.
//!
//! This is compiled twice (see `avx2`), once as `const fn`: it only has what these may have.

use super::lanes::{
    Lanes, Mask, add as plus, and, product, select, shift_left, shift_right, splat, sub as minus,
};

/// Four elements of the field.
#[derive(Clone, Copy)]
pub(crate) struct Field(pub(crate) [Lanes; 10]);

lanes! {
    /// A small number in every lane. In: below 2^26.
    pub(crate) fn small(number: u64) -> Field {
        let mut limbs = [splat(0); 10];
        limbs[0] = splat(number);
        Field(limbs)
    }

    /// From five limbs of 51 bits. In: below 2^51. Out: below 2^26, 2^25.
    pub(crate) fn split(limbs: &[Lanes; 5]) -> Field {
        let mut out = [splat(0); 10];
        let mut i = 0;
        while i < 5 {
            out[2 * i] = and(limbs[i], splat((1 << 26) - 1));
            out[2 * i + 1] = shift_right::<26>(limbs[i]);
            i += 1;
        }
        Field(out)
    }

    /// Five limbs of 51 bits. In: tight. Out: below 2^52.
    pub(crate) fn join(a: &Field) -> [Lanes; 5] {
        let a = &a.0;
        [
            plus(a[0], shift_left::<26>(a[1])), plus(a[2], shift_left::<26>(a[3])),
            plus(a[4], shift_left::<26>(a[5])), plus(a[6], shift_left::<26>(a[7])),
            plus(a[8], shift_left::<26>(a[9])),
        ]
    }

    /// In: tight and tight, or a sum of two tight ones and tight. Out: a sum.
    pub(crate) fn add(a: &Field, b: &Field) -> Field {
        let mut out = [splat(0); 10];
        let mut i = 0;
        while i < 10 {
            out[i] = plus(a.0[i], b.0[i]);
            i += 1;
        }
        Field(out)
    }

    /// The difference, with 2 (2^255 − 19) added. In: tight or a sum of two tight ones, less tight. Out: a sum.
    pub(crate) fn sub(a: &Field, b: &Field) -> Field {
        let (even, odd) = (splat(2 * ((1 << 26) - 1)), splat(2 * ((1 << 25) - 1)));
        let mut out = [splat(0); 10];
        out[0] = plus(a.0[0], minus(splat(2 * ((1 << 26) - 19)), b.0[0]));
        let mut i = 1;
        while i < 10 {
            let twice = if i % 2 == 0 { even } else { odd };
            out[i] = plus(a.0[i], minus(twice, b.0[i]));
            i += 1;
        }
        Field(out)
    }

    /// Lane by lane, `b` where the mask is set, and otherwise `a`. In: any. Out: as the larger one.
    pub(crate) fn choice(mask: Mask, a: &Field, b: &Field) -> Field {
        let mut out = [splat(0); 10];
        let mut i = 0;
        while i < 10 {
            out[i] = select(mask, a.0[i], b.0[i]);
            i += 1;
        }
        Field(out)
    }

    /// In: limb 9 below 2^60, every other one below 2^64 − 2^39. Out: tight.
    pub(crate) fn carry(a: &Field) -> Field {
        let [mut a0, mut a1, mut a2, mut a3, mut a4, mut a5, mut a6, mut a7, mut a8, mut a9] = a.0;
        let (even, odd) = (splat((1 << 26) - 1), splat((1 << 25) - 1));
        // Two chains beside each other; limb 4 starts the second one and ends the first.
        (a1, a0) = (plus(a1, shift_right::<26>(a0)), and(a0, even));
        (a5, a4) = (plus(a5, shift_right::<26>(a4)), and(a4, even));
        (a2, a1) = (plus(a2, shift_right::<25>(a1)), and(a1, odd));
        (a6, a5) = (plus(a6, shift_right::<25>(a5)), and(a5, odd));
        (a3, a2) = (plus(a3, shift_right::<26>(a2)), and(a2, even));
        (a7, a6) = (plus(a7, shift_right::<26>(a6)), and(a6, even));
        (a4, a3) = (plus(a4, shift_right::<25>(a3)), and(a3, odd));
        (a8, a7) = (plus(a8, shift_right::<25>(a7)), and(a7, odd));
        (a5, a4) = (plus(a5, shift_right::<26>(a4)), and(a4, even));
        (a9, a8) = (plus(a9, shift_right::<26>(a8)), and(a8, even));
        let beyond = shift_right::<25>(a9);
        // 2^255 is 19.
        let times_19 = plus(plus(beyond, plus(beyond, beyond)), shift_left::<4>(beyond));
        (a0, a9) = (plus(a0, times_19), and(a9, odd));
        (a1, a0) = (plus(a1, shift_right::<26>(a0)), and(a0, even));
        Field([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9])
    }

    /// In: a sum; below 218,000,000, 109,000,000 (2^27.7, 2^26.7). Out: tight.
    pub(crate) fn mul(a: &Field, b: &Field) -> Field {
        let (a, b) = (&a.0, &b.0);
        // Two odd limbs weigh twice what the even limb at the sum of their places does.
        let doubled = [
            a[0], plus(a[1], a[1]), a[2], plus(a[3], a[3]), a[4], plus(a[5], a[5]), a[6],
            plus(a[7], a[7]), a[8], plus(a[9], a[9]),
        ];
        let n = splat(19);
        let row = [
            b[9], b[8], b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0],
            product(b[9], n), product(b[8], n), product(b[7], n), product(b[6], n),
            product(b[5], n), product(b[4], n), product(b[3], n), product(b[2], n),
            product(b[1], n),
        ];
        carry(&Field([
            column::<9>(&doubled, &row), column::<8>(a, &row), column::<7>(&doubled, &row),
            column::<6>(a, &row), column::<5>(&doubled, &row), column::<4>(a, &row),
            column::<3>(&doubled, &row), column::<2>(a, &row), column::<1>(&doubled, &row),
            column::<0>(a, &row),
        ]))
    }

    /// One column of a product: `row` has the factors of `a`'s limbs from `AT` on.
    fn column<const AT: usize>(a: &[Lanes; 10], row: &[Lanes; 19]) -> Lanes {
        let first = plus(
            plus(
                plus(product(a[0], row[AT]), product(a[1], row[AT + 1])),
                product(a[2], row[AT + 2]),
            ),
            plus(product(a[3], row[AT + 3]), product(a[4], row[AT + 4])),
        );
        let second = plus(
            plus(
                plus(product(a[5], row[AT + 5]), product(a[6], row[AT + 6])),
                product(a[7], row[AT + 7]),
            ),
            plus(product(a[8], row[AT + 8]), product(a[9], row[AT + 9])),
        );
        plus(first, second)
    }
}
