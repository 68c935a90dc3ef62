//! What the back ends have in common: what they are given, and the digits of a batch.

use crate::message::Message;
use crate::padding::Padded;
use crate::scalar::{Window, digits, is_below_order};
use crate::table::Table;

/// A signature whose key has a table.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// Multiples of the negative of the key.
    pub(crate) table: &'a Table,
    /// The public key as it is encoded where it was read: what is hashed.
    pub(crate) public: &'a [u8; 32],
    pub(crate) signature: &'a [u8; 64],
    pub(crate) message: Message<'a>,
}

impl<'a> Task<'a> {
    /// The encoded R.
    pub(crate) fn r(&self) -> &'a [u8] {
        &self.signature[..32]
    }

    /// The encoded S.
    pub(crate) fn s(&self) -> &'a [u8; 32] {
        self.signature.last_chunk().expect("32 of 64 bytes")
    }
}

/// A way to decide signatures.
pub(crate) trait Engine: Send + Sync {
    /// Whether each signature is good: S is below l, and `[S]B − [k]A` is encoded as R, byte for byte. `base` has multiples
    /// of the base point, and the tables of all `tasks` have the same window.
    fn decide(&self, base: &Table, tasks: &[Task<'_>]) -> Vec<bool>;
}

/// How many messages [`ManyHashes`] hashes at a time.
pub(crate) const HASHES: usize = 16;

/// A way to hash many messages at a time.
pub(crate) trait ManyHashes: Send + Sync {
    /// SHA-256 of each of up to [`HASHES`] messages, in their order. It takes as long as if all were as long as the longest.
    fn sha256(&self, messages: &[Padded<'_>]) -> [[u8; 32]; HASHES];
}

/// The digits of a batch, `LANES` signatures in a group. A lane beyond the last signature has zeros.
pub(crate) struct Batch<'t, const LANES: usize> {
    /// For every signature, whether its S is below l. Where it is not, its digits are zeros.
    pub(crate) is_below: Vec<bool>,
    /// For every group one row for each digit of S, and then one for each digit of k.
    digits: Vec<[i8; LANES]>,
    /// For every group the tables of the keys.
    tables: Vec<[&'t Table; LANES]>,
    base_digits: usize,
    key_digits: usize,
}

impl<'t, const LANES: usize> Batch<'t, LANES> {
    /// `challenges` has the k of every task. There is at least one.
    pub(crate) fn new(base: Window, tasks: &[Task<'t>], challenges: &[[u8; 32]]) -> Self {
        let key = tasks[0].table.window();
        let (base_digits, key_digits) = (base.digits(), key.digits());
        let rows = base_digits + key_digits;
        let groups = tasks.len().div_ceil(LANES);
        let mut batch = Self {
            is_below: Vec::with_capacity(tasks.len()),
            digits: vec![[0; LANES]; groups * rows],
            tables: vec![[tasks[0].table; LANES]; groups],
            base_digits,
            key_digits,
        };
        for (index, (task, challenge)) in tasks.iter().zip(challenges).enumerate() {
            debug_assert_eq!(task.table.window(), key);
            let (group, lane) = (index / LANES, index % LANES);
            batch.tables[group][lane] = task.table;
            let is_below = is_below_order(task.s());
            batch.is_below.push(is_below);
            if is_below {
                let rows = &mut batch.digits[group * rows..(group + 1) * rows];
                digits(task.s(), base, |at, digit| rows[at][lane] = digit);
                let rows = &mut rows[base_digits..];
                digits(challenge, key, |at, digit| rows[at][lane] = digit);
            }
        }
        batch
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.tables.len()
    }

    pub(crate) fn base_digits(&self) -> usize {
        self.base_digits
    }

    pub(crate) fn key_digits(&self) -> usize {
        self.key_digits
    }

    /// The digits of S at `index` of a group.
    #[inline(always)]
    pub(crate) fn base_row(&self, group: usize, index: usize) -> &[i8; LANES] {
        &self.digits[group * (self.base_digits + self.key_digits) + index]
    }

    /// The tables of a group, and its digits of k at `index`.
    #[inline(always)]
    pub(crate) fn key_row(
        &self,
        group: usize,
        index: usize,
    ) -> (&[&'t Table; LANES], &[i8; LANES]) {
        let row = group * (self.base_digits + self.key_digits) + self.base_digits + index;
        (&self.tables[group], &self.digits[row])
    }
}
