//! Rows to columns.

use super::lanes::{Lanes, first_pairs, second_pairs, unpack_high, unpack_low};

lanes! {
    /// Word i of row j becomes word j of row i.
    pub(super) fn transpose(rows: &[Lanes; 4]) -> [Lanes; 4] {
        let (a, b) = (unpack_low(rows[0], rows[1]), unpack_high(rows[0], rows[1]));
        let (c, d) = (unpack_low(rows[2], rows[3]), unpack_high(rows[2], rows[3]));
        [first_pairs(a, c), first_pairs(b, d), second_pairs(a, c), second_pairs(b, d)]
    }
}
