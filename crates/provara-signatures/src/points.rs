//! Points of the curve, as many at once as a vector has lanes: `F` is the field elements of all of them.

/// Points in extended coordinates.
#[derive(Clone, Copy)]
pub(crate) struct Points<F> {
    pub(crate) x: F,
    pub(crate) y: F,
    pub(crate) z: F,
    pub(crate) t: F,
}

/// Affine points: y + x, y − x and 2dxy of each.
#[derive(Clone, Copy)]
pub(crate) struct Affine<F> {
    pub(crate) sum: F,
    pub(crate) difference: F,
    pub(crate) product: F,
}
