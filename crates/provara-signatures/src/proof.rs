//! That no limb overflows: shown by the compiler, not by a test.
//!
//! The sources of the field operations and of the addition of points are compiled here a second time, over intervals in
//! the place of machine words, as `const fn`. Each step says what range its result has, given the ranges of what it gets,
//! and does not compile where a result does not fit into the word, a subtraction could go below 0, or a factor is larger
//! than what the instruction reads. The constants below put in the ranges that the doc comments state as "In", and
//! hold what comes out against what they state as "Out"; for an addition of points, the coordinates that come out
//! against those that went in. Every multiplication and addition that a verification makes is one of these, so that any
//! number of them stays within the bounds.
//!
//! Not shown here: that the numbers are right modulo 2^255 − 19, which the tests against dalek are for, and that an
//! instruction does what is said of it.
#![allow(dead_code, reason = "what is not arithmetic is compiled too")]

mod avx2;
mod ifma;
mod interval;
mod portable;
