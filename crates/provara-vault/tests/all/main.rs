//! The tests of this crate that use it from outside: one program, so that it is linked once.
//!
//! `cargo test -p provara-vault --test all crashes::` runs those of one file.

mod adopt;
mod anchors;
mod append;
mod archived;
mod archives;
mod batch;
mod cancelled;
mod clock;
mod common;
mod concurrency;
mod corpus;
mod crash_enumeration;
mod crashes;
mod edited;
mod faults;
mod foreign;
mod golden;
mod idempotency;
mod init;
mod intents;
mod late;
mod lost;
mod memory;
mod merge;
mod mutations;
mod naming;
mod other_readers;
mod predecessors;
mod proofs;
mod recovery;
mod redact;
mod refusals;
mod repair;
mod replay_record;
mod restored_tree;
mod resume;
mod seal;
mod starved;
mod tail_cache;
mod tree_heads;
mod trust;
mod turns;
mod verify_record;
mod zips;
