//! What several of the tests make their cases with.

pub(crate) mod copies;
pub(crate) mod documents;
pub(crate) mod log_forge;
