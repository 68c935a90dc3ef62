#![forbid(unsafe_code)]
//! The rules of a Provara vault: canonical JSON, ids, events, keys over time, chains, the
//! manifest and its Merkle root, beliefs, and the findings of a verification.
//!
//! Everything here is pure: no files, no clock, no randomness. The caller brings bytes and times,
//! and gets bytes, values and findings.

pub mod beliefs;
pub mod canonical;
pub mod checkpoint;
pub mod content;
pub mod event;
pub mod event_type;
pub mod finding;
pub mod history;
pub mod id;
pub mod json;
pub mod keys;
pub mod manifest;
pub mod mark;
pub mod merge;
pub mod number;
pub mod query;
pub mod scan;
pub mod summary;
pub mod time;
pub mod tree;
pub mod verify;
