#![forbid(unsafe_code)]
//! Every error of the libraries in words: the one place.
//!
//! The libraries keep typed errors. Here each becomes a [`Diagnostic`](provara_report::Diagnostic); what
//! helps depends on the [`Audience`].
//!
//! The crate knows vaults and plugins; it knows no terminal, no exit code and no protocol.

mod audience;
mod causes;
pub mod disclosure;
mod empty_query;
mod errors;
pub mod event;
mod expression;
mod finding_fix;
mod verification_page;
pub use audience::{Audience, ErrorContext};
pub use causes::{
    Cause, cause_fix, causes, causes_first, counted_under, interruption_fix, is_only_torn, parents,
    stray_fix,
};
pub use empty_query::{absent_fields, absent_names, nothing_chosen};
pub use errors::{
    NO_SECOND_GENESIS, TOO_LARGE_FIX, accept_fix, allowed_failure, append_failure, because,
    canonical_failure, closed_source, discovery_failure, export_failure, export_staging_failure,
    exposed_cache, head_fix, hindrance, host_failure, interpreter_failure, interrupted,
    interrupted_after, io_failure, is_no_python, missing_signatures, refused_by_plugin,
    sandbox_variable, seal_fix, sentence, set_failure, signals_failure, staging_failure, unfit,
    unknown_own_type, unknown_signatures, unusable_type, unverified, vault_failure,
};
pub use expression::{NOT_A_TIME_FIX, condition_failure, exhausted, when_failure};
pub use finding_fix::finding_fix;
pub use provara_report::nearest;
pub use verification_page::verification_page;
