//! Links the executable at a fixed address where that is known to work, unless PROVARA_BUILD_PIE is set:
//! docs/decisions/0018-fixed-address.md says what that gains and what it costs.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PROVARA_BUILD_PIE");
    let target = |part: &str| env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    let gnu = target("OS") == "linux" && target("ENV") == "gnu";
    if gnu && env::var_os("PROVARA_BUILD_PIE").is_none() {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
