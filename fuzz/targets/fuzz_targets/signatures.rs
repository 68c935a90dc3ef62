//! Feeds `provara_fuzz_checks::signatures` by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provara_fuzz_checks::signatures(data));
