//! The published vectors of `tests/vectors`, run from one harness; each test prints how many
//! cases it decided (`cargo test -p provara-core --test all vectors:: -- --nocapture`).

mod beliefs;
mod canonical;
mod checkpoint;
mod data;
mod parsing;
mod provara;
mod signatures;
