//! The AVX-512 back end.

macro_rules! lanes {
    ($(
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident ($($arguments:tt)*) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $visibility const fn $name ($($arguments)*) $(-> $result)? $body
    )*};
}

#[path = "../avx512/addition.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod addition;
#[path = "../avx512/field.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod field;

use super::interval::Interval;
use addition::{Affine, Points, add_affine};
use field::{Field, Sum, add, carry, choice, constant, mul, sub};

/// As `avx512::lanes`.
mod lanes {
    pub(crate) use super::super::interval::lanes::{Lanes, Mask, add, and, select, splat, sub};
    use super::Interval;

    pub(crate) const fn shift_right<const BITS: u32>(a: Lanes) -> Lanes {
        a.shift_right(BITS)
    }

    pub(crate) const fn shift_left<const BITS: u32>(a: Lanes) -> Lanes {
        a.mul(Interval::exactly(1 << BITS)).in_bits(64)
    }

    pub(crate) const fn add_product_low(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        add(sum, a.in_bits(52).mul(b.in_bits(52)).lower_bits(52))
    }

    pub(crate) const fn add_product_high(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        add(sum, a.in_bits(52).mul(b.in_bits(52)).shift_right(52))
    }
}

const TIGHT_BOUND: u128 = (1 << 51) + (1 << 14);

const TIGHT: Field = Field([Interval::below(TIGHT_BOUND); 5]);

const fn sums(bound: u128) -> Sum {
    Sum([Interval::below(bound); 5])
}

const fn are_below(limbs: &[Interval; 5], bound: u128) -> bool {
    limbs[0].is_below(bound)
        && limbs[1].is_below(bound)
        && limbs[2].is_below(bound)
        && limbs[3].is_below(bound)
        && limbs[4].is_below(bound)
}

const fn is_tight(field: &Field) -> bool {
    are_below(&field.0, TIGHT_BOUND)
}

const _: () = {
    assert!(is_tight(&constant([(1 << 51) - 1; 5])));
    assert!(are_below(&add(&sums(1 << 53), &TIGHT).0, 1 << 54));
    assert!(are_below(&sub(&sums(1 << 53), &TIGHT).0, 1 << 54));
    assert!(are_below(&choice(0, &sums(1), &sums(1 << 54)).0, 1 << 54));
    assert!(is_tight(&carry(&sums(1 << 60))));
    assert!(is_tight(&mul(&TIGHT, &TIGHT)));
    // Whatever fits into 52 bits may be multiplied.
    let full = Field([Interval::below(1 << 52); 5]);
    assert!(is_tight(&mul(&full, &full)));
    let any = Points {
        x: TIGHT,
        y: TIGHT,
        z: TIGHT,
        t: TIGHT,
    };
    let entry = Field([Interval::below(1 << 51); 5]);
    let entry = Affine {
        sum: entry,
        difference: entry,
        product: entry,
    };
    let mut sum = any;
    add_affine(&mut sum, &entry, 0);
    assert!(is_tight(&sum.x) && is_tight(&sum.y) && is_tight(&sum.z) && is_tight(&sum.t));
};
