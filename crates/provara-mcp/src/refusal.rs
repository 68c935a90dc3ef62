//! What a client is told where there is no result.

/// A refusal in words, ready for the client.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// A refusal of our own, in the form of every other.
    pub(crate) fn new(headline: &str, fix: &str) -> Self {
        let headline = provara_plugins::text::inline(headline);
        let fix = provara_plugins::text::inline(fix);
        Self(format!("ERROR: {headline}\nFix: {fix}"))
    }
}
