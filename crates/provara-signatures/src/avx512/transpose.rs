//! Rows to columns.
//!
//! Compiled twice, as `engine` is.

use super::lanes::{Lanes, even_pairs, odd_pairs, unpack_high, unpack_low};

lanes! {
    /// Word i of row j becomes word j of row i.
    pub(crate) fn transpose(rows: &[Lanes; 8]) -> [Lanes; 8] {
        // Columns 0, 2, 4, 6 and 1, 3, 5, 7 of two rows at a time; then 0, 4 and 2, 6 and so on of four.
        let (a, e) = (unpack_low(rows[0], rows[1]), unpack_high(rows[0], rows[1]));
        let (b, f) = (unpack_low(rows[2], rows[3]), unpack_high(rows[2], rows[3]));
        let (c, g) = (unpack_low(rows[4], rows[5]), unpack_high(rows[4], rows[5]));
        let (d, h) = (unpack_low(rows[6], rows[7]), unpack_high(rows[6], rows[7]));
        let (a04, b04) = (even_pairs(a, b), even_pairs(c, d));
        let (a26, b26) = (odd_pairs(a, b), odd_pairs(c, d));
        let (a15, b15) = (even_pairs(e, f), even_pairs(g, h));
        let (a37, b37) = (odd_pairs(e, f), odd_pairs(g, h));
        [
            even_pairs(a04, b04), even_pairs(a15, b15), even_pairs(a26, b26), even_pairs(a37, b37),
            odd_pairs(a04, b04), odd_pairs(a15, b15), odd_pairs(a26, b26), odd_pairs(a37, b37),
        ]
    }
}
