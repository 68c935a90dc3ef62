//! Additions on the curve −x² + y² = 1 + d x² y², in extended coordinates (x = X/Z, y = Y/Z, T = XY/Z).
//!
//! The formulas are those of Hisil, Wong, Carter and Dawson (2008) for a = −1. They are complete: −1 is a square and d is
//! none, so that they hold for every two points of the curve, those of small order, equal ones and the neutral one too.
//!
//! Compiled twice, as `limbs` is.

use super::limbs::Limbs;

/// A point. Every coordinate is tight.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    pub(crate) x: Limbs,
    pub(crate) y: Limbs,
    pub(crate) z: Limbs,
    pub(crate) t: Limbs,
}

impl Point {
    /// The sum of two points; `double_d` is 2d. In and out: tight.
    pub(crate) const fn add(&self, other: &Self, double_d: &Limbs) -> Self {
        let a = self.y.sub(&self.x).mul(&other.y.sub(&other.x));
        let b = self.y.add(&self.x).mul(&other.y.add(&other.x));
        let c = self.t.mul(double_d).mul(&other.t);
        let zz = self.z.mul(&other.z);
        let d = zz.add(&zz);
        let (e, f, g, h) = (b.sub(&a), d.sub(&c), d.add(&c), b.add(&a));
        Self {
            x: e.mul(&f),
            y: g.mul(&h),
            z: f.mul(&g),
            t: e.mul(&h),
        }
    }

    /// The sum with an affine point, of which `sum` is y + x, `difference` is y − x and `product` is 2dxy, or the
    /// difference where `negative` is set and `sum` and `difference` have changed places. No branch: the sign is random.
    /// In and out: tight.
    #[inline(always)]
    pub(crate) const fn add_affine(
        &self,
        sum: &Limbs,
        difference: &Limbs,
        product: &Limbs,
        negative: bool,
    ) -> Self {
        let b = self.y.add(&self.x).mul(sum);
        let a = self.y.sub(&self.x).mul(difference);
        let c = self.t.mul(product);
        let d = self.z.add(&self.z);
        let (e, h) = (b.sub(&a), b.add(&a));
        let either = [d.add(&c), d.sub(&c)];
        let (g, f) = (either[negative as usize], either[!negative as usize]);
        Self {
            x: e.mul(&f),
            y: g.mul(&h),
            z: f.mul(&g),
            t: e.mul(&h),
        }
    }
}
