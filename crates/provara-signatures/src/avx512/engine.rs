//! Verdicts for a batch, eight signatures at a time.
//!
//! Compiled twice: against the processor's instructions, and for tests against plain Rust.

use super::addition::{Affine, Points, add_affine};
use super::field::{Field, constant, mul};
use super::lanes::{LANES, Mask, load, splat, store};
use super::sha512::challenges;
use super::transpose::transpose;
use crate::engine::{Batch, Task};
use crate::portable::field::encodes_to;
use crate::portable::limbs::Limbs;
use crate::table::{Entry, Table};

/// How many signatures share an inversion in each lane.
const BATCH: usize = 512;

#[path = "../avx2/engine/double_scalar.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "the same source for each kind of vector"
)]
mod double_scalar;

use double_scalar::sums;

lanes! {
    /// As `Engine::decide`.
    pub(crate) fn decide(base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(BATCH) {
            let batch = Batch::new(base.window(), tasks, &challenges(tasks));
            let mut points = sums(base, &batch);
            make_affine(&mut points);
            for (group, (tasks, points)) in tasks.chunks(LANES).zip(&points).enumerate() {
                let (x, y) = (words(&points.x), words(&points.y));
                for (lane, task) in tasks.iter().enumerate() {
                    let is_equal = encodes_to(&limbs(&x, lane), &limbs(&y, lane), task.r());
                    verdicts.push(batch.is_below[group * LANES + lane] && is_equal);
                }
            }
        }
        verdicts
    }

    /// The neutral point in every lane.
    fn neutral() -> Points {
        let (zero, one) = (constant([0; 5]), constant([1, 0, 0, 0, 0]));
        Points { x: zero, y: one, z: one, t: zero }
    }

    /// The lanes whose digits are negative.
    fn negative(digits: &[i8; LANES]) -> Mask {
        let mut mask = 0;
        for (lane, digit) in digits.iter().enumerate() {
            mask |= Mask::from(*digit < 0) << lane;
        }
        mask
    }

    /// One entry to a lane.
    fn gather(entries: &[&Entry; LANES]) -> Affine {
        let mut rows = [[splat(0); LANES]; 2];
        for (lane, entry) in entries.iter().enumerate() {
            rows[0][lane] = load(entry.0.first_chunk().expect("sixteen words"));
            rows[1][lane] = load(entry.0.last_chunk().expect("sixteen words"));
        }
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, _]) =
            (transpose(&rows[0]), transpose(&rows[1]));
        Affine {
            sum: Field([a, b, c, d, e]),
            difference: Field([f, g, h, i, j]),
            product: Field([k, l, m, n, o]),
        }
    }

    /// Divides x and y of every point by its z, which is never 0: with one inversion in each lane.
    fn make_affine(points: &mut [Points]) {
        let mut product = constant([1, 0, 0, 0, 0]);
        let mut before = Vec::with_capacity(points.len());
        for point in points.iter() {
            before.push(product);
            product = mul(&product, &point.z);
        }
        let mut inverse = invert(&product);
        for (point, before) in points.iter_mut().zip(&before).rev() {
            let of_z = mul(&inverse, before);
            inverse = mul(&inverse, &point.z);
            point.x = mul(&point.x, &of_z);
            point.y = mul(&point.y, &of_z);
        }
    }

    /// x^(2^255 − 21), as `portable::field` computes it.
    fn invert(x: &Field) -> Field {
        let x2 = mul(x, x);
        let x9 = mul(&squared(&x2, 2), x);
        let x11 = mul(&x9, &x2);
        let x5 = mul(&squared(&x11, 1), &x9);
        let x10 = mul(&squared(&x5, 5), &x5);
        let x20 = mul(&squared(&x10, 10), &x10);
        let x40 = mul(&squared(&x20, 20), &x20);
        let x50 = mul(&squared(&x40, 10), &x10);
        let x100 = mul(&squared(&x50, 50), &x50);
        let x200 = mul(&squared(&x100, 100), &x100);
        let x250 = mul(&squared(&x200, 50), &x50);
        mul(&squared(&x250, 5), &x11)
    }

    /// Squared `times` times over.
    fn squared(x: &Field, times: u32) -> Field {
        let mut x = *x;
        for _ in 0..times {
            x = mul(&x, &x);
        }
        x
    }

    /// The words of each limb.
    fn words(field: &Field) -> [[u64; 8]; 5] {
        let mut words = [[0; 8]; 5];
        for (to, limb) in words.iter_mut().zip(&field.0) {
            *to = store(*limb);
        }
        words
    }
}

/// The limbs of one lane.
fn limbs(words: &[[u64; 8]; 5], lane: usize) -> Limbs {
    Limbs(words.map(|limb| limb[lane]))
}
