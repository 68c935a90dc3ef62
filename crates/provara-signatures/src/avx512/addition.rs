//! Additions on the curve, eight at a time: the formula is that of `portable::addition`, which has its source.
//!
//! Compiled three times, as `field` is.

use super::field::{Field, add, carry, choice, mul, sub, sum};
use super::lanes::Mask;

/// Eight points.
pub(crate) type Points = crate::points::Points<Field>;

/// Eight affine points.
pub(crate) type Affine = crate::points::Affine<Field>;

lanes! {
    /// Adds to every point the affine one, or takes it away in the lanes whose bits are set in `negative`.
    pub(crate) fn add_affine(point: &mut Points, other: &Affine, negative: Mask) {
        let (y_and_x, y_less_x) = (sum(&other.sum), sum(&other.difference));
        let y_and_x_signed = Field(choice(negative, &y_and_x, &y_less_x).0);
        let y_less_x_signed = Field(choice(negative, &y_less_x, &y_and_x).0);
        let y = sum(&point.y);
        let b = mul(&carry(&add(&y, &point.x)), &y_and_x_signed);
        let a = mul(&carry(&sub(&y, &point.x)), &y_less_x_signed);
        let c = mul(&point.t, &other.product);
        let d = add(&sum(&point.z), &point.z);
        let b = sum(&b);
        let (e, h) = (carry(&sub(&b, &a)), carry(&add(&b, &a)));
        let (plus, minus) = (add(&d, &c), sub(&d, &c));
        let g = carry(&choice(negative, &plus, &minus));
        let f = carry(&choice(negative, &minus, &plus));
        point.x = mul(&e, &f);
        point.y = mul(&g, &h);
        point.z = mul(&f, &g);
        point.t = mul(&e, &h);
    }
}
