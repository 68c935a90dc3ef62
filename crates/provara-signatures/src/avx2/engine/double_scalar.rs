//! The sum that decides a signature. Compiled for each kind of vector, with its lanes.

use super::{LANES, Points, add_affine, gather, negative, neutral};
use crate::engine::Batch;
use crate::table::Table;

lanes! {
    /// `[S]B − [k]A` of every signature: window by window over the batch, so that the part of a table that is in use stays
    /// in the cache.
    pub(super) fn sums(base: &Table, batch: &Batch<'_, LANES>) -> Vec<Points> {
        let mut points = vec![neutral(); batch.groups()];
        for index in 0..batch.base_digits() {
            for (group, point) in points.iter_mut().enumerate() {
                let digits = batch.base_row(group, index);
                let mut entries = [base.entry(index, 0); LANES];
                for (entry, digit) in entries.iter_mut().zip(digits) {
                    *entry = base.entry(index, *digit);
                }
                add_affine(point, &gather(&entries), negative(digits));
            }
        }
        for index in 0..batch.key_digits() {
            for (group, point) in points.iter_mut().enumerate() {
                let (tables, digits) = batch.key_row(group, index);
                let mut entries = [base.entry(0, 0); LANES];
                for ((entry, table), digit) in entries.iter_mut().zip(tables).zip(digits) {
                    *entry = table.entry(index, *digit);
                }
                add_affine(point, &gather(&entries), negative(digits));
            }
        }
        points
    }
}
