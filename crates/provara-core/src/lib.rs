#![forbid(unsafe_code)]
//! Placeholder until the room is furnished.
