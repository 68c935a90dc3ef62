//! What a client is told where there is no result.

use provara_report::{Class, Diagnostic};

/// A refusal in words, ready for the client.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// A refusal of our own, in the form of every other.
    pub(crate) fn new(headline: &str, fix: &str) -> Self {
        Self(Diagnostic::new(Class::Usage, headline).fix(fix).to_string())
    }
}

impl From<&Diagnostic> for Refusal {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self(diagnostic.to_string())
    }
}
