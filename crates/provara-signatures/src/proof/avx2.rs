//! The AVX2 back end.

macro_rules! lanes {
    ($(
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident $(<const $parameter:ident: $kind:ty>)? ($($arguments:tt)*)
        $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $visibility const fn $name $(<const $parameter: $kind>)? ($($arguments)*) $(-> $result)? $body
    )*};
}

#[path = "../avx2/addition.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod addition;
#[path = "../avx2/field.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod field;

use super::interval::Interval;
use addition::{Affine, Points, add_affine};
use field::{Field, add, carry, choice, join, mul, small, split, sub};

/// As `avx2::lanes`.
mod lanes {
    pub(crate) use super::super::interval::lanes::{Lanes, Mask, add, and, select, splat, sub};
    use super::Interval;

    pub(crate) const fn shift_right<const BITS: i32>(a: Lanes) -> Lanes {
        a.shift_right(BITS as u32)
    }

    pub(crate) const fn shift_left<const BITS: i32>(a: Lanes) -> Lanes {
        a.mul(Interval::exactly(1 << BITS)).in_bits(64)
    }

    pub(crate) const fn product(a: Lanes, b: Lanes) -> Lanes {
        a.in_bits(32).mul(b.in_bits(32))
    }
}

/// Even and odd limbs below these.
const fn below(even: u128, odd: u128) -> Field {
    let (even, odd) = (Interval::below(even), Interval::below(odd));
    Field([even, odd, even, odd, even, odd, even, odd, even, odd])
}

const fn are_below(field: &Field, even: u128, odd: u128) -> bool {
    let mut i = 0;
    while i < 10 {
        if !field.0[i].is_below(if i % 2 == 0 { even } else { odd }) {
            return false;
        }
        i += 1;
    }
    true
}

const EVEN: u128 = (1 << 26) + (1 << 10);
const ODD: u128 = (1 << 25) + (1 << 14);
const SUM_EVEN: u128 = (1 << 28) + (1 << 12);
const SUM_ODD: u128 = (1 << 27) + (1 << 16);
const TIGHT: Field = below(EVEN, ODD);

const fn is_tight(field: &Field) -> bool {
    are_below(field, EVEN, ODD)
}

const fn is_sum(field: &Field) -> bool {
    are_below(field, SUM_EVEN, SUM_ODD)
}

const _: () = {
    assert!(is_tight(&small((1 << 26) - 1)));
    let entry = split(&[Interval::below(1 << 51); 5]);
    assert!(are_below(&entry, 1 << 26, 1 << 25));
    let joined = join(&TIGHT);
    let mut i = 0;
    while i < 5 {
        assert!(joined[i].is_below(1 << 52));
        i += 1;
    }
    let twice = add(&TIGHT, &TIGHT);
    assert!(is_sum(&twice) && is_sum(&add(&twice, &TIGHT)));
    assert!(is_sum(&sub(&TIGHT, &TIGHT)) && is_sum(&sub(&twice, &TIGHT)));
    assert!(is_sum(&choice(0, &TIGHT, &below(1 << 28, 1 << 27))));
    let mut columns = below((1 << 64) - (1 << 39), (1 << 64) - (1 << 39));
    columns.0[9] = Interval::below(1 << 60);
    assert!(is_tight(&carry(&columns)));
    assert!(is_tight(&mul(
        &below(SUM_EVEN, SUM_ODD),
        &below(218_000_000, 109_000_000)
    )));
    let any = Points {
        x: TIGHT,
        y: TIGHT,
        z: TIGHT,
        t: TIGHT,
    };
    let entry = Affine {
        sum: entry,
        difference: entry,
        product: entry,
    };
    let mut sum = any;
    add_affine(&mut sum, &entry, 0);
    assert!(is_tight(&sum.x) && is_tight(&sum.y) && is_tight(&sum.z) && is_tight(&sum.t));
};
