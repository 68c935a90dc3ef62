#![forbid(unsafe_code)]
//! Pages for people, in HTML: one self-contained file each, without anything from elsewhere. The page of a disclosure has one
//! script, which checks it; no other has any.
//!
//! The crate is given facts and gives text. It knows no vault on a disk, no terminal and no clock. All texts are taken to
//! be hostile: what a template prints is escaped, and characters that could change how the text around them is displayed
//! are written out. The style sheet is one for all pages (`style.css`).

pub mod disclosure;
mod escape;
mod frame;
mod text;
pub mod verification;
