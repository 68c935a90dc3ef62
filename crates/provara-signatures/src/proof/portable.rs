//! The portable back end.

#[path = "../portable/addition.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod addition;
#[path = "../portable/limbs.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source over intervals")]
mod limbs;

use super::interval::Interval;
use addition::Point;
use limbs::Limbs;

/// As `portable::word`.
mod word {
    use super::Interval;

    pub(crate) type Word = Interval;
    pub(crate) type Wide = Interval;

    pub(crate) const fn constant(value: u64) -> Word {
        Interval::exactly(value as u128)
    }

    pub(crate) const fn add(a: Word, b: Word) -> Word {
        a.add(b).in_bits(64)
    }

    pub(crate) const fn sub(a: Word, b: Word) -> Word {
        a.sub(b)
    }

    pub(crate) const fn times(a: Word, factor: u64) -> Word {
        a.mul(constant(factor)).in_bits(64)
    }

    pub(crate) const fn low(a: Word) -> Word {
        a.lower_bits(51)
    }

    pub(crate) const fn high(a: Word) -> Word {
        a.shift_right(51)
    }

    pub(crate) const fn product(a: Word, b: Word) -> Wide {
        a.mul(b).in_bits(128)
    }

    pub(crate) const fn wide_add(a: Wide, b: Wide) -> Wide {
        a.add(b).in_bits(128)
    }

    pub(crate) const fn wide_low(a: Wide) -> Word {
        a.lower_bits(51)
    }

    pub(crate) const fn wide_high(a: Wide) -> Word {
        a.shift_right(51).in_bits(64)
    }

    pub(crate) const fn widen(a: Word) -> Wide {
        a
    }
}

/// Limbs below a bound.
const fn below(bound: u128) -> Limbs {
    Limbs([Interval::below(bound); 5])
}

const fn are_below(limbs: &Limbs, bound: u128) -> bool {
    let l = &limbs.0;
    l[0].is_below(bound)
        && l[1].is_below(bound)
        && l[2].is_below(bound)
        && l[3].is_below(bound)
        && l[4].is_below(bound)
}

const TIGHT: Limbs = {
    let mut limbs = below(1 << 51);
    limbs.0[1] = Interval::below((1 << 51) + (1 << 13));
    limbs
};

const fn is_tight(limbs: &Limbs) -> bool {
    let mut rest = *limbs;
    rest.0[1] = Interval::exactly(0);
    are_below(&rest, 1 << 51) && limbs.0[1].is_below((1 << 51) + (1 << 13))
}

const LOOSE: Limbs = below(1 << 54);

const ANY: Point = Point {
    x: TIGHT,
    y: TIGHT,
    z: TIGHT,
    t: TIGHT,
};

const fn is_any(point: &Point) -> bool {
    is_tight(&point.x) && is_tight(&point.y) && is_tight(&point.z) && is_tight(&point.t)
}

const _: () = {
    assert!(are_below(&TIGHT.add(&TIGHT), (1 << 52) + (1 << 14)));
    assert!(are_below(&below(1 << 53).sub(&TIGHT), 1 << 54));
    // The coordinates of a key, before they are made canonical.
    assert!(are_below(&TIGHT.sub(&TIGHT), 1 << 54));
    assert!(is_tight(&LOOSE.mul(&LOOSE)));
    assert!(is_tight(&LOOSE.square()));
    assert!(is_any(&ANY.add(&ANY, &TIGHT)));
    let entry = below(1 << 51);
    assert!(is_any(&ANY.add_affine(&entry, &entry, &entry, false)));
    assert!(is_any(&ANY.add_affine(&entry, &entry, &entry, true)));
    // What the vectors leave in a lane is multiplied as it is: limbs of 52 bits.
    assert!(is_tight(&below(1 << 52).mul(&LOOSE)));
};
