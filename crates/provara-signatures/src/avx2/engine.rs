//! Verdicts for a batch, four signatures at a time.

use super::addition::{Affine, Points, add_affine};
use super::field::{Field, join, small, split};
use super::lanes::{LANES, load, negative, splat, store};
use super::sha512::challenges;
use super::transpose::transpose;
use crate::engine::{Batch, Task};
use crate::portable::field::{encodes_to, invert_all};
use crate::portable::limbs::Limbs;
use crate::table::{Entry, Table};

/// How many signatures share an inversion.
const BATCH: usize = 512;

mod double_scalar;

use double_scalar::sums;

lanes! {
    /// As `Engine::decide`.
    pub(crate) fn decide(base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(BATCH) {
            let batch = Batch::new(base.window(), tasks, &challenges(tasks));
            let points = sums(base, &batch);
            let mut inverses = Vec::with_capacity(points.len() * LANES);
            for point in &points {
                inverses.extend(limbs(&point.z));
            }
            invert_all(&mut inverses);
            let mut verdict = |index: usize, x: &Limbs, y: &Limbs| {
                let Some(task) = tasks.get(index) else { return };
                let (x, y) = (x.mul(&inverses[index]), y.mul(&inverses[index]));
                verdicts.push(batch.is_below[index] && encodes_to(&x, &y, task.r()));
            };
            for (group, point) in points.iter().enumerate() {
                let (x, y) = (limbs(&point.x), limbs(&point.y));
                for lane in 0..LANES {
                    verdict(group * LANES + lane, &x[lane], &y[lane]);
                }
            }
        }
        verdicts
    }

    /// The neutral point in every lane.
    fn neutral() -> Points {
        let (zero, one) = (small(0), small(1));
        Points { x: zero, y: one, z: one, t: zero }
    }

    /// One entry to a lane.
    fn gather(entries: &[&Entry; LANES]) -> Affine {
        let mut columns = [splat(0); 16];
        for quarter in 0..4 {
            let mut rows = [splat(0); LANES];
            for (row, entry) in rows.iter_mut().zip(entries) {
                let words = entry.0[4 * quarter..4 * quarter + 4].try_into();
                *row = load(words.expect("four words"));
            }
            columns[4 * quarter..4 * quarter + 4].copy_from_slice(&transpose(&rows));
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, _] = columns;
        Affine {
            sum: split(&[a, b, c, d, e]),
            difference: split(&[f, g, h, i, j]),
            product: split(&[k, l, m, n, o]),
        }
    }

    /// The elements of the lanes. In: tight. Out: limbs below 2^52.
    fn limbs(field: &Field) -> [Limbs; LANES] {
        let mut limbs = [Limbs::ZERO; LANES];
        for (index, joined) in join(field).iter().enumerate() {
            for (to, word) in limbs.iter_mut().zip(store(*joined)) {
                to.0[index] = word;
            }
        }
        limbs
    }
}
