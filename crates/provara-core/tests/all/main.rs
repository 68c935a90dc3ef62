//! The tests of this crate that use it from outside: one program, so that it is linked once.
//!
//! `cargo test -p provara-core --test all bit_flips::` runs those of one file.

mod beliefs;
mod bit_flips;
mod judges;
mod key_rules;
mod log_rules;
mod marks;
mod merge;
mod merge_algebra;
mod numbers;
mod odd_lines;
mod properties;
mod reference;
mod saved;
mod seals;
mod support;
mod vectors;
