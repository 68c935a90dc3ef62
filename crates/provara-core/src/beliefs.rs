//! The built-in reducer: what a vault's events say is so (spec/VAULT_FORMAT, section 6).
//!
//! The state has four maps from `subject:predicate`: `canonical` holds what was attested, `local`
//! what was only seen, `contested` what conflicts, `archived` what was superseded. It is the same,
//! byte for byte, for the same events in the same order, and agrees with that of the older Python
//! tools; numbers are therefore printed, compared and read as Python does it.
//!
//! A contested entry lists *all* evidence of its key, and a local entry counts it, but a state
//! does not carry evidence that is neither: a retraction may leave no trace of a key at all.
//! [`BeliefReducer::resume`] hence goes on only as long as no event needs earlier evidence.

mod fold;
mod kept;
mod log;
mod memory;
mod print;
mod resume;
mod said;
mod state;
mod step;
mod value;
mod view;

pub use log::LogReducer;
pub use memory::BeliefReducer;
pub use print::Unprinted;
pub use resume::{NeedsReplay, ResumeError, ResumedReducer};
pub use state::BeliefState;
pub use step::Steps;
pub use view::view;
