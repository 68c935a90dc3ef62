//! Additions on the curve, four at a time: the formula is that of `portable::addition`, which has its source.
//!
//! Compiled twice, as `field` is.

use super::field::{Field, add, carry, choice, mul, sub};
use super::lanes::Mask;

/// Four points, every coordinate tight.
pub(crate) type Points = crate::points::Points<Field>;

/// Four affine points; limbs below 2^26, 2^25.
pub(crate) type Affine = crate::points::Affine<Field>;

lanes! {
    /// Adds to every point the affine one, or takes it away in the lanes for which `negative` is set.
    pub(crate) fn add_affine(point: &mut Points, other: &Affine, negative: Mask) {
        let sum = choice(negative, &other.sum, &other.difference);
        let difference = choice(negative, &other.difference, &other.sum);
        let b = mul(&add(&point.y, &point.x), &sum);
        let a = mul(&sub(&point.y, &point.x), &difference);
        let c = mul(&point.t, &other.product);
        let d = add(&point.z, &point.z);
        let (e, h) = (sub(&b, &a), add(&b, &a));
        let (plus, minus) = (add(&d, &c), sub(&d, &c));
        let g = choice(negative, &plus, &minus);
        let f = carry(&choice(negative, &minus, &plus));
        point.x = mul(&e, &f);
        point.y = mul(&g, &h);
        point.z = mul(&g, &f);
        point.t = mul(&e, &h);
    }
}
