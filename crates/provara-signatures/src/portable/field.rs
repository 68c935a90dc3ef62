//! What the field has beside sums and products: encodings, inverses, square roots.

use super::limbs::Limbs;

const MASK: u64 = (1 << 51) - 1;

impl Limbs {
    pub(crate) const ZERO: Self = Self([0; 5]);
    pub(crate) const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// d = −121665/121666, of the curve's equation.
    pub(crate) const D: Self = Self::from_bytes(&[
        0xa3, 0x78, 0x59, 0x13, 0xca, 0x4d, 0xeb, 0x75, 0xab, 0xd8, 0x41, 0x41, 0x4d, 0x0a, 0x70,
        0x00, 0x98, 0xe8, 0x79, 0x77, 0x79, 0x40, 0xc7, 0x8c, 0x73, 0xfe, 0x6f, 0x2b, 0xee, 0x6c,
        0x03, 0x52,
    ]);

    /// 2d.
    pub(crate) const DOUBLE_D: Self = Self::D.add(&Self::D).mul(&Self::ONE);

    /// A square root of −1.
    const ROOT_OF_MINUS_ONE: Self = Self::from_bytes(&[
        0xb0, 0xa0, 0x0e, 0x4a, 0x27, 0x1b, 0xee, 0xc4, 0x78, 0xe4, 0x2f, 0xad, 0x06, 0x18, 0x43,
        0x2f, 0xa7, 0xd7, 0xfb, 0x3d, 0x99, 0x00, 0x4d, 0x2b, 0x0b, 0xdf, 0xc1, 0x4f, 0x80, 0x24,
        0x83, 0x2b,
    ]);

    /// From 32 bytes, little-endian; bit 255 is ignored. Out: limbs below 2^51.
    pub(crate) const fn from_bytes(bytes: &[u8; 32]) -> Self {
        const fn word(bytes: &[u8; 32], at: usize) -> u64 {
            let mut word = 0;
            let mut i = 0;
            while i < 8 {
                word |= (bytes[at + i] as u64) << (8 * i);
                i += 1;
            }
            word
        }
        Self([
            word(bytes, 0) & MASK,
            (word(bytes, 6) >> 3) & MASK,
            (word(bytes, 12) >> 6) & MASK,
            (word(bytes, 19) >> 1) & MASK,
            (word(bytes, 24) >> 12) & MASK,
        ])
    }

    /// The canonical limbs: below 2^51 each, and of a number below 2^255 − 19. In: any.
    pub(crate) fn canonical(&self) -> Self {
        let mut l = self.0;
        // After the second time limb 0 is 2^51 + 18 at most, and every other one 2^51.
        for _ in 0..2 {
            let c = l.map(|limb| limb >> 51);
            l = [
                (l[0] & MASK) + 19 * c[4],
                (l[1] & MASK) + c[0],
                (l[2] & MASK) + c[1],
                (l[3] & MASK) + c[2],
                (l[4] & MASK) + c[3],
            ];
        }
        // Whether the number is 2^255 − 19 or more: whether 19 more carry out of the last limb.
        let mut carry = (l[0] + 19) >> 51;
        for limb in &l[1..] {
            carry = (limb + carry) >> 51;
        }
        l[0] += 19 * carry;
        for i in 0..4 {
            l[i + 1] += l[i] >> 51;
            l[i] &= MASK;
        }
        l[4] &= MASK;
        Self(l)
    }

    /// The canonical encoding. In: any.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let l = self.canonical().0;
        let words = [
            l[0] | l[1] << 51,
            l[1] >> 13 | l[2] << 38,
            l[2] >> 26 | l[3] << 25,
            l[3] >> 39 | l[4] << 12,
        ];
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The parity of the canonical number: the sign of an x.
    pub(crate) fn is_odd(&self) -> bool {
        self.canonical().0[0] & 1 == 1
    }

    /// Whether both are the same number.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.canonical().0 == other.canonical().0
    }

    /// −x. In: tight. Out: canonical.
    pub(crate) fn negated(&self) -> Self {
        Self::ZERO.sub(self).canonical()
    }

    /// Squared `times` times over. In: loose, where `times` is not 0.
    fn squared(&self, times: u32) -> Self {
        (0..times).fold(*self, |x, _| x.square())
    }

    /// x^(2^250 − 1) and x^11, of which inverses and roots are made. In: loose. Out: tight.
    fn powers(&self) -> (Self, Self) {
        let x2 = self.square();
        let x9 = x2.squared(2).mul(self);
        let x11 = x9.mul(&x2);
        let x5 = x11.square().mul(&x9);
        let x10 = x5.squared(5).mul(&x5);
        let x20 = x10.squared(10).mul(&x10);
        let x40 = x20.squared(20).mul(&x20);
        let x50 = x40.squared(10).mul(&x10);
        let x100 = x50.squared(50).mul(&x50);
        let x200 = x100.squared(100).mul(&x100);
        (x200.squared(50).mul(&x50), x11)
    }

    /// 1/x, and 0 for 0: x^(2^255 − 21). In: loose. Out: tight.
    pub(crate) fn inverse(&self) -> Self {
        let (x250, x11) = self.powers();
        x250.squared(5).mul(&x11)
    }

    /// A square root, where there is one. In: loose. Out: tight.
    pub(crate) fn root(&self) -> Option<Self> {
        // x^(2^252 − 2), where the exponent is (2^255 − 19 + 3) / 8, is a root or one times a root of −1.
        let (x250, _) = self.powers();
        let root = x250.square().mul(self).square();
        [root, root.mul(&Self::ROOT_OF_MINUS_ONE)]
            .into_iter()
            .find(|root| root.square().equals(self))
    }
}

/// Inverts every element in place, none of which may be 0, with one inversion. In: loose. Out: tight.
pub(crate) fn invert_all(elements: &mut [Limbs]) {
    let mut product = Limbs::ONE;
    let mut before = Vec::with_capacity(elements.len());
    for element in elements.iter() {
        before.push(product);
        product = product.mul(element);
    }
    let mut inverse = product.inverse();
    for (element, before) in elements.iter_mut().zip(before).rev() {
        let next = inverse.mul(element);
        *element = inverse.mul(&before);
        inverse = next;
    }
}

/// Whether the affine point (x, y) is encoded as `bytes`, byte for byte. In: any.
pub(crate) fn encodes_to(x: &Limbs, y: &Limbs, bytes: &[u8]) -> bool {
    let mut encoded = y.to_bytes();
    encoded[31] |= u8::from(x.is_odd()) << 7;
    encoded == *bytes
}
