//! Whether an integer beyond ±(2^53-1) in a log is an `int` or a `float`.
//!
//! What this program writes are binary64s, some of which RFC 8785 prints as integers: `float(2**60)` stands
//! in the log as `1152921504606847000`, and only as a float is that equal to what was appended. Older tools
//! wrote integers of any length, and such a log has lines in their form (spec/VAULT_FORMAT, section 2).

use provara_core::scan::{Form, scan_line};

/// What becomes of an integer token beyond ±(2^53-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LargeIntegers {
    /// Nobody has looked at the log yet.
    Undecided,
    /// Python's own integer.
    Int,
    /// The binary64 that it is.
    Float,
}

/// Looks for a line in the form of older tools, in a log that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct FormSearch {
    /// The start of a line that goes on in the next piece.
    rest: Vec<u8>,
    found: bool,
}

impl FormSearch {
    /// Looks at the next piece. Tells whether to go on.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> bool {
        let Some(end) = memchr::memrchr(b'\n', piece) else {
            self.rest.extend_from_slice(piece);
            return !self.found;
        };
        let start = memchr::memchr(b'\n', piece).map_or(end, |first| first.min(end));
        self.rest.extend_from_slice(&piece[..start]);
        self.found |= is_older(&std::mem::take(&mut self.rest));
        let whole = piece.get(start + 1..end).unwrap_or_default();
        self.found = self.found || whole.split(|byte| *byte == b'\n').any(is_older);
        self.rest.extend_from_slice(&piece[end + 1..]);
        !self.found
    }

    /// What was decided.
    pub(crate) fn decision(self) -> LargeIntegers {
        match self.found || is_older(&self.rest) {
            true => LargeIntegers::Int,
            false => LargeIntegers::Float,
        }
    }
}

/// What a whole log says.
pub(crate) fn of_log(log: &[u8]) -> LargeIntegers {
    let mut search = FormSearch::default();
    search.feed(log);
    search.decision()
}

fn is_older(line: &[u8]) -> bool {
    scan_line(line).is_ok_and(|line| line.form() == Form::TokenPreserving)
}
