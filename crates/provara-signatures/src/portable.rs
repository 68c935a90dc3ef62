//! One signature after another, on any processor, without `unsafe`.
//!
//! Window by window over a batch, so that the part of a table that is in use stays in the cache.

pub(crate) mod addition;
pub(crate) mod field;
pub(crate) mod limbs;
#[cfg(test)]
mod tests;
mod word;

use crate::engine::{Batch, Engine, Task};
use crate::scalar::challenge;
use crate::table::{Entry, Table};

use addition::Point;
use field::{encodes_to, invert_all};
use limbs::Limbs;

/// How many signatures share an inversion.
const BATCH: usize = 512;

/// The portable back end.
pub(crate) struct Portable;

impl Engine for Portable {
    fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(BATCH) {
            decide_batch(base, tasks, &mut verdicts);
        }
        verdicts
    }
}

fn decide_batch(base: &Table, tasks: &[Task<'_>], verdicts: &mut Vec<bool>) {
    let challenges: Vec<[u8; 32]> = tasks
        .iter()
        .map(|task| challenge(task.r(), task.public, task.message))
        .collect();
    let batch = Batch::<1>::new(base.window(), tasks, &challenges);
    let points = sums(base, &batch);
    let mut inverses: Vec<Limbs> = points.iter().map(|point| point.z).collect();
    invert_all(&mut inverses);
    for (((task, point), inverse), is_below) in tasks
        .iter()
        .zip(&points)
        .zip(&inverses)
        .zip(&batch.is_below)
    {
        let (x, y) = (point.x.mul(inverse), point.y.mul(inverse));
        verdicts.push(*is_below && encodes_to(&x, &y, task.r()));
    }
}

/// `[S]B − [k]A` of every signature.
fn sums(base: &Table, batch: &Batch<'_, 1>) -> Vec<Point> {
    let neutral = Point {
        x: Limbs::ZERO,
        y: Limbs::ONE,
        z: Limbs::ONE,
        t: Limbs::ZERO,
    };
    let mut points = vec![neutral; batch.groups()];
    for index in 0..batch.base_digits() {
        for (group, point) in points.iter_mut().enumerate() {
            let [digit] = *batch.base_row(group, index);
            add_entry(point, base.entry(index, digit), digit);
        }
    }
    for index in 0..batch.key_digits() {
        for (group, point) in points.iter_mut().enumerate() {
            let ([table], [digit]) = batch.key_row(group, index);
            add_entry(point, table.entry(index, *digit), *digit);
        }
    }
    points
}

/// Adds the entry of a digit's magnitude, or takes it away, as the digit's sign says.
#[inline(always)]
fn add_entry(point: &mut Point, entry: &Entry, digit: i8) {
    if digit == 0 {
        return;
    }
    let negative = digit < 0;
    let part = |at: usize| Limbs(entry.0[at..at + 5].try_into().expect("five limbs"));
    let at = 5 * usize::from(negative);
    *point = point.add_affine(&part(at), &part(5 - at), &part(10), negative);
}
