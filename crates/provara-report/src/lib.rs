#![forbid(unsafe_code)]
//! The form of a message about what went wrong.
//!
//! A [`Diagnostic`] says who must act, what happened, and what helps. Its text, with `ERROR:` and `Fix:`, is
//! written here and nowhere else, whoever reads it: a person at a shell, an agent, a plugin's author. Texts
//! from outside are made safe for a terminal by [`text`].
//!
//! The crate knows no error of any library; `provara-explain` turns those into diagnostics.

mod diagnostic;
mod nearest;
mod shell;
pub mod text;

pub use diagnostic::{Class, Diagnostic, ERROR_LABEL, FIX_LABEL, Parts};
pub use nearest::nearest;
pub use shell::{quote, shell};
