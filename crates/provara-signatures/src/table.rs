//! Multiples of one point.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use ed25519_dalek::VerifyingKey;

use crate::portable::addition::Point;
use crate::portable::field::invert_all;
use crate::portable::limbs::Limbs;
use crate::scalar::Window;

/// A multiple in affine coordinates: y + x, y − x and 2dxy in canonical limbs of 51 bits, and a word that is not used:
/// two lines of a cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Entry(pub(crate) [u64; 16]);

impl Entry {
    /// The neutral point.
    const NEUTRAL: Self = Self([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Of an affine point; in: tight.
    fn new(x: &Limbs, y: &Limbs) -> Self {
        let mut words = [0; 16];
        let parts = [y.add(x), y.sub(x), x.mul(y).mul(&Limbs::DOUBLE_D)];
        for (to, part) in words.chunks_exact_mut(5).zip(parts) {
            to.copy_from_slice(&part.canonical().0);
        }
        Self(words)
    }
}

/// For every digit of a scalar the multiples of a point by its magnitudes, the neutral one first: the product of scalar
/// and point is a sum of one entry for each digit.
#[derive(Debug)]
pub(crate) struct Table {
    window: Window,
    entries: Box<[Entry]>,
}

impl Table {
    /// How many bytes a table takes.
    pub(crate) const fn bytes(window: Window) -> usize {
        window.digits() * (window.half() + 1) * size_of::<Entry>()
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// The entry for a digit's magnitude.
    #[inline(always)]
    pub(crate) fn entry(&self, index: usize, digit: i8) -> &Entry {
        &self.entries[index * (self.window.half() + 1) + usize::from(digit.unsigned_abs())]
    }

    /// Of the base point.
    pub(crate) fn of_base(window: Window) -> Self {
        let (x, y) = affine(&ED25519_BASEPOINT_POINT.compress()).expect("the base point has an x");
        Self::new(x, y, window)
    }

    /// Of the negative of a public key, as dalek read it. `None` where no x is found for it, which its having been read
    /// excludes.
    pub(crate) fn of_negative(key: &VerifyingKey, window: Window) -> Option<Self> {
        let point: EdwardsPoint = key.to_edwards();
        let (x, y) = affine(&point.compress())?;
        Some(Self::new(x.negated(), y, window))
    }

    /// Of an affine point of the curve, of any order.
    fn new(x: Limbs, y: Limbs, window: Window) -> Self {
        let half = window.half();
        let mut entries = Vec::with_capacity(window.digits() * (half + 1));
        let mut base = Point {
            x,
            y,
            z: Limbs::ONE,
            t: x.mul(&y),
        };
        let mut multiples = Vec::with_capacity(half);
        for _ in 0..window.digits() {
            multiples.clear();
            let mut multiple = base;
            multiples.push(multiple);
            for _ in 1..half {
                multiple = multiple.add(&base, &Limbs::DOUBLE_D);
                multiples.push(multiple);
            }
            base = multiple.add(&multiple, &Limbs::DOUBLE_D);
            // No z is 0: the addition is complete.
            let mut inverses: Vec<Limbs> = multiples.iter().map(|point| point.z).collect();
            invert_all(&mut inverses);
            entries.push(Entry::NEUTRAL);
            entries.extend(
                multiples.iter().zip(&inverses).map(|(point, inverse)| {
                    Entry::new(&point.x.mul(inverse), &point.y.mul(inverse))
                }),
            );
        }
        Self {
            window,
            entries: entries.into(),
        }
    }
}

/// The affine coordinates of a point that dalek encoded: dalek gives none, so x is found again from y and its sign.
fn affine(encoded: &CompressedEdwardsY) -> Option<(Limbs, Limbs)> {
    let bytes = encoded.as_bytes();
    let y = Limbs::from_bytes(bytes);
    let square = y.square();
    let above = square.sub(&Limbs::ONE);
    let below = Limbs::D.mul(&square).add(&Limbs::ONE);
    let x = above.mul(&below.inverse()).root()?;
    let is_negative = bytes[31] >> 7 == 1;
    Some((
        if x.is_odd() == is_negative {
            x
        } else {
            x.negated()
        },
        y,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::Scalar;
    use curve25519_dalek::constants::EIGHT_TORSION;

    /// The point of an entry, encoded: y is half the sum of y + x and y − x, x half their difference.
    fn encoded(entry: &Entry) -> [u8; 32] {
        let part = |at: usize| Limbs(entry.0[at..at + 5].try_into().unwrap());
        let half = Limbs([2, 0, 0, 0, 0]).inverse();
        let (sum, difference) = (part(0), part(5));
        let y = sum.add(&difference).mul(&half);
        let x = sum.sub(&difference).mul(&half);
        let product = x.mul(&y).mul(&Limbs::DOUBLE_D);
        assert!(product.equals(&part(10)));
        let mut bytes = y.to_bytes();
        bytes[31] |= u8::from(x.is_odd()) << 7;
        bytes
    }

    /// Every entry is the multiple that dalek computes.
    fn assert_multiples(table: &Table, point: EdwardsPoint) {
        let window = table.window();
        let mut base = point;
        for index in 0..window.digits() {
            let mut multiple = EdwardsPoint::default();
            for magnitude in 0..=window.half() {
                let digit = (magnitude as u8).wrapping_neg() as i8;
                assert_eq!(encoded(table.entry(index, digit)), multiple.compress().0);
                multiple += base;
            }
            base *= Scalar::from(1u64 << window.bits());
        }
    }

    #[test]
    fn entries_are_the_multiples_of_their_point() {
        assert_multiples(&Table::of_base(Window::Wide), ED25519_BASEPOINT_POINT);
        assert_multiples(&Table::of_base(Window::Narrow), ED25519_BASEPOINT_POINT);
        let large = EdwardsPoint::mul_base(&Scalar::from(0x1234_5678_9abc_def0_u64));
        for torsion in EIGHT_TORSION {
            for point in [torsion, large + torsion] {
                let key = VerifyingKey::from(point);
                let table = Table::of_negative(&key, Window::Narrow).unwrap();
                assert_multiples(&table, -point);
            }
        }
    }
}
