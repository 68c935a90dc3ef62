#![deny(unsafe_code)]
//! The plugin contract of Provara on the trusted side.

pub mod catalog;
mod channel;
pub mod host;
pub mod interpreter;
pub mod launch;
pub mod output;
pub mod protocol;
pub mod schema;
pub mod text;
pub mod walls;

#[cfg(test)]
mod testing;
