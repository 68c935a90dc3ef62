//! The executable under duress: killed at random moments, on full disks, used by many at once. Each test keeps its own list of what was acknowledged to it, and looks for each of it.
//!
//! `cargo test` runs a bounded part, `make endure` the whole: `KILLS=500`, `CROWD=1000`.

#![cfg(target_os = "linux")]

mod crowd;
mod disks;
mod kills;
mod yard;
