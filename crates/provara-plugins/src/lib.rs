#![deny(unsafe_code)]
//! The plugin contract of Provara on the trusted side.

pub mod catalog;
pub mod interpreter;
pub mod protocol;
pub mod schema;
pub mod text;

#[cfg(test)]
mod testing;
