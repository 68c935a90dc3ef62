//! The executable from outside: whole outputs, exit codes, and that a refused request changes
//! nothing. Home, locale, time zone, width and every `PROVARA_` variable are frozen; ids, hashes and
//! times, which no two runs share, are replaced by names.
//!
//! Nothing here needs Python: `PROVARA_PYTHON` names a trap that records being started.

mod again;
mod bad_input;
mod batch;
mod batch_input;
mod derive;
#[cfg(target_os = "linux")]
mod file_systems;
mod help;
mod interrupted;
mod keep;
#[cfg(target_os = "linux")]
mod left;
mod mcp_log;
mod meant;
mod no_python;
mod numbers;
mod odd_names;
mod pages;
mod query;
mod remembered;
mod reports;
mod seal_words;
mod signatures;
mod tree_heads;
mod unheard;
mod vault;
mod world;
