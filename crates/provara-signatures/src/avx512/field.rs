//! GF(2^255 − 19), eight elements at a time, in five limbs of 51 bits.
//!
//! "Tight" is below 2^51 + 2^14; so a limb fits into the 52 bits that a multiplication reads.
//!
//! This is compiled three times (see `avx512`), once as `const fn`: it only has what these may have.

use super::lanes::{
    Lanes, Mask, add as plus, add_product_high, add_product_low, and, select, shift_left,
    shift_right, splat, sub as minus,
};

/// Eight elements of the field; tight.
#[derive(Clone, Copy)]
pub(crate) struct Field(pub(crate) [Lanes; 5]);

/// Eight sums that were not carried: limbs below 2^54.
#[derive(Clone, Copy)]
pub(crate) struct Sum(pub(crate) [Lanes; 5]);

lanes! {
    /// A constant in every lane. In: limbs below 2^51.
    pub(crate) fn constant(limbs: [u64; 5]) -> Field {
        Field([
            splat(limbs[0]), splat(limbs[1]), splat(limbs[2]), splat(limbs[3]), splat(limbs[4]),
        ])
    }

    /// The element as a sum.
    pub(crate) fn sum(a: &Field) -> Sum {
        Sum(a.0)
    }

    /// In: below 2^53, tight. Out: below 2^54.
    pub(crate) fn add(a: &Sum, b: &Field) -> Sum {
        let (a, b) = (&a.0, &b.0);
        Sum([
            plus(a[0], b[0]), plus(a[1], b[1]), plus(a[2], b[2]), plus(a[3], b[3]), plus(a[4], b[4]),
        ])
    }

    /// The difference, with 2 (2^255 − 19) added. In: below 2^53, tight. Out: below 2^54.
    pub(crate) fn sub(a: &Sum, b: &Field) -> Sum {
        let (a, b) = (&a.0, &b.0);
        let (first, rest) = (splat(2 * ((1 << 51) - 19)), splat(2 * ((1 << 51) - 1)));
        Sum([
            plus(a[0], minus(first, b[0])), plus(a[1], minus(rest, b[1])),
            plus(a[2], minus(rest, b[2])), plus(a[3], minus(rest, b[3])),
            plus(a[4], minus(rest, b[4])),
        ])
    }

    /// Lane by lane, `b` where the mask's bit is set, and otherwise `a`. In: any. Out: as the larger one.
    pub(crate) fn choice(mask: Mask, a: &Sum, b: &Sum) -> Sum {
        let (a, b) = (&a.0, &b.0);
        Sum([
            select(mask, a[0], b[0]), select(mask, a[1], b[1]), select(mask, a[2], b[2]),
            select(mask, a[3], b[3]), select(mask, a[4], b[4]),
        ])
    }

    /// In: below 2^60. Out: tight.
    pub(crate) fn carry(a: &Sum) -> Field {
        let a = &a.0;
        let mask = splat((1 << 51) - 1);
        Field([
            add_product_low(and(a[0], mask), shift_right::<51>(a[4]), splat(19)),
            plus(and(a[1], mask), shift_right::<51>(a[0])),
            plus(and(a[2], mask), shift_right::<51>(a[1])),
            plus(and(a[3], mask), shift_right::<51>(a[2])),
            plus(and(a[4], mask), shift_right::<51>(a[3])),
        ])
    }

    /// In: tight. Out: tight.
    pub(crate) fn mul(a: &Field, b: &Field) -> Field {
        let (a, b) = (&a.0, &b.0);
        let zero = splat(0);
        // The upper halves of the products: `high[k]` weighs 2^(51 k + 52), twice what `columns[k + 1]` does.
        let mut high = [zero; 9];
        let mut i = 0;
        while i < 5 {
            let mut j = 0;
            while j < 5 {
                high[i + j] = add_product_high(high[i + j], a[i], b[j]);
                j += 1;
            }
            i += 1;
        }
        let mut columns = [zero; 10];
        let mut k = 0;
        while k < 9 {
            columns[k + 1] = plus(high[k], high[k]);
            k += 1;
        }
        let mut i = 0;
        while i < 5 {
            let mut j = 0;
            while j < 5 {
                columns[i + j] = add_product_low(columns[i + j], a[i], b[j]);
                j += 1;
            }
            i += 1;
        }
        carry(&Sum([
            plus_19_times(columns[0], columns[5]),
            plus_19_times(columns[1], columns[6]),
            plus_19_times(columns[2], columns[7]),
            plus_19_times(columns[3], columns[8]),
            plus_19_times(columns[4], columns[9]),
        ]))
    }

    /// a + 19 b: 2^255 is 19. In: below 2^55. Out: below 2^60.
    fn plus_19_times(a: Lanes, b: Lanes) -> Lanes {
        plus(a, plus(plus(b, plus(b, b)), shift_left::<4>(b)))
    }
}
