//! Intervals of unsigned integers.

/// Every number from `low` to `high`.
#[derive(Clone, Copy)]
pub(crate) struct Interval {
    low: u128,
    high: u128,
}

impl Interval {
    /// A number.
    pub(crate) const fn exactly(number: u128) -> Self {
        Self {
            low: number,
            high: number,
        }
    }

    /// Every number below `bound`.
    pub(crate) const fn below(bound: u128) -> Self {
        Self {
            low: 0,
            high: bound - 1,
        }
    }

    /// Whether every number of it is below `bound`.
    pub(crate) const fn is_below(&self, bound: u128) -> bool {
        self.high < bound
    }

    /// The numbers of it, all of which have to fit into so many bits.
    pub(crate) const fn in_bits(self, bits: u32) -> Self {
        assert!(bits == 128 || self.high >> bits == 0, "an overflow");
        self
    }

    pub(crate) const fn add(self, other: Self) -> Self {
        let (Some(low), Some(high)) = (
            self.low.checked_add(other.low),
            self.high.checked_add(other.high),
        ) else {
            panic!("an overflow");
        };
        Self { low, high }
    }

    pub(crate) const fn sub(self, other: Self) -> Self {
        assert!(self.low >= other.high, "a difference below 0");
        Self {
            low: self.low - other.high,
            high: self.high - other.low,
        }
    }

    pub(crate) const fn mul(self, other: Self) -> Self {
        let (Some(low), Some(high)) = (
            self.low.checked_mul(other.low),
            self.high.checked_mul(other.high),
        ) else {
            panic!("an overflow");
        };
        Self { low, high }
    }

    pub(crate) const fn shift_right(self, bits: u32) -> Self {
        Self {
            low: self.low >> bits,
            high: self.high >> bits,
        }
    }

    /// The lower bits of each number.
    pub(crate) const fn lower_bits(self, bits: u32) -> Self {
        if self.high >> bits == 0 {
            self
        } else {
            Self::below(1 << bits)
        }
    }

    /// Bit by bit with a number that is one less than a power of two.
    pub(crate) const fn and(self, mask: Self) -> Self {
        let bits = mask.high.trailing_ones();
        assert!(mask.low == mask.high && mask.high >> bits == 0, "no mask");
        self.lower_bits(bits)
    }

    /// Every number of both.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self {
            low: if self.low < other.low {
                self.low
            } else {
                other.low
            },
            high: if self.high > other.high {
                self.high
            } else {
                other.high
            },
        }
    }
}

/// The instructions of both vectors, over intervals.
pub(crate) mod lanes {
    use super::Interval;

    pub(crate) type Lanes = Interval;
    pub(crate) type Mask = u8;

    pub(crate) const fn splat(word: u64) -> Lanes {
        Interval::exactly(word as u128)
    }

    pub(crate) const fn add(a: Lanes, b: Lanes) -> Lanes {
        a.add(b).in_bits(64)
    }

    pub(crate) const fn sub(a: Lanes, b: Lanes) -> Lanes {
        a.sub(b)
    }

    pub(crate) const fn and(a: Lanes, b: Lanes) -> Lanes {
        a.and(b)
    }

    pub(crate) const fn select(_: Mask, a: Lanes, b: Lanes) -> Lanes {
        a.or(b)
    }
}
