//! The limits of an expression, which may come from anybody.

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// The deepest nesting of an expression.
pub const MAX_DEPTH: usize = 48;

/// How many steps an expression may take for one event: a value that is looked at is one, and so are 16
/// bytes of a text that is searched.
pub const MAX_STEPS: u64 = 20_000_000;
