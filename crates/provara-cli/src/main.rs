//! The `provara` executable.
fn main() {}
