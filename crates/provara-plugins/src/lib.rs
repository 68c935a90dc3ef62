#![deny(unsafe_code)]
//! The plugin contract of Provara, seen from the trusted side.
//!
//! Plugins are third parties' Python code. They run in a process of their own, the *plugin host*,
//! and this crate is everything that stands between it and the process that holds the keys:
//!
//! * [`runtime`] is what the host runs in; [`interpreter`] finds the Python for it.
//! * [`sources`] are the source trees of editable installs, [`editable`] those that the user opened.
//! * [`launch`] is the one place where plugin processes are started, and [`sandbox`] what confines
//!   them before Python starts; [`violation`] says what it refused.
//! * [`protocol`] is what the two processes say to each other; [`host`] asks and checks.
//! * [`catalog`] is what discovery found, parsed into types that can hold only what the contract
//!   allows, [`resolve`] what a name means among them; [`schema`] checks the data of custom events
//!   and explains what does not fit.
//! * [`output`] copies what plugins print, [`text`] makes untrusted text safe for a terminal.
//! * [`set_option`] types `--set KEY=VALUE`, [`staging`] makes outputs that appear whole or not at
//!   all, [`builtin`] has what needs no plugin, [`interrupt`] ends it all in good order.
//!
//! The only unsafe code is in the launcher: some system calls have no safe form (`launch/child.rs`), nor have signals
//! and what happens between a fork and an exec (`launch/forked.rs`).

pub mod builtin;
pub mod catalog;
mod channel;
mod claims;
pub mod declared;
pub mod editable;
mod elf;
pub mod environment;
pub mod host;
pub mod interpreter;
pub mod interrupt;
pub mod launch;
mod log_copy;
mod memory;
pub mod output;
mod process;
pub mod protocol;
mod purpose;
mod raw;
mod readable;
mod removal;
pub mod resolve;
pub mod runtime;
pub mod sandbox;
pub mod schema;
mod scratch;
pub mod set_option;
mod site;
pub mod sources;
mod space;
pub mod staging;
pub mod state;
pub mod surroundings;
pub use provara_report::text;
pub mod violation;

#[cfg(test)]
mod testing;
