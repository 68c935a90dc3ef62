//! Machine words, as the limbs of [`super::limbs`] are made of them. `proof::portable` has the same functions over
//! intervals, so that the same source is both run and analysed.

/// A limb.
pub(crate) type Word = u64;

/// A product of two limbs, and sums of such.
pub(crate) type Wide = u128;

const MASK: u64 = (1 << 51) - 1;

#[inline(always)]
pub(crate) const fn constant(value: u64) -> Word {
    value
}

#[inline(always)]
pub(crate) const fn add(a: Word, b: Word) -> Word {
    a + b
}

#[inline(always)]
pub(crate) const fn sub(a: Word, b: Word) -> Word {
    a - b
}

#[inline(always)]
pub(crate) const fn times(a: Word, factor: u64) -> Word {
    a * factor
}

/// The lower 51 bits.
#[inline(always)]
pub(crate) const fn low(a: Word) -> Word {
    a & MASK
}

/// All but the lower 51 bits.
#[inline(always)]
pub(crate) const fn high(a: Word) -> Word {
    a >> 51
}

#[inline(always)]
pub(crate) const fn product(a: Word, b: Word) -> Wide {
    a as u128 * b as u128
}

#[inline(always)]
pub(crate) const fn wide_add(a: Wide, b: Wide) -> Wide {
    a + b
}

/// The lower 51 bits.
#[inline(always)]
pub(crate) const fn wide_low(a: Wide) -> Word {
    a as u64 & MASK
}

/// All but the lower 51 bits, which have to fit into a word.
#[inline(always)]
pub(crate) const fn wide_high(a: Wide) -> Word {
    (a >> 51) as u64
}

#[inline(always)]
pub(crate) const fn widen(a: Word) -> Wide {
    a as u128
}
