//! What a client is told where there is no result.

use provara_report::{Class, Diagnostic};

/// The longest text of a refusal, in bytes: names that a client gave may be of any length, and an answer is not.
const LONGEST: usize = 32 << 10;

/// How much of its end is kept, which says what helps.
const END: usize = 4 << 10;

/// A refusal in words, ready for the client.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// A refusal of our own, in the form of every other.
    pub(crate) fn new(headline: &str, fix: &str) -> Self {
        Self(Diagnostic::new(Class::Usage, headline).fix(fix).to_string())
    }
}

impl Refusal {
    /// The text for the client; a very long one without its middle.
    pub(crate) fn text(self) -> String {
        let text = self.0;
        if text.len() <= LONGEST {
            return text;
        }
        let between = |at: usize| (at..).find(|at| text.is_char_boundary(*at));
        let begin = between(LONGEST - END - 64).unwrap_or_default();
        let end = between(text.len() - END).unwrap_or(text.len());
        let left_out = end - begin;
        format!(
            "{} ({left_out} bytes left out) {}",
            &text[..begin],
            &text[end..]
        )
    }
}

impl From<&Diagnostic> for Refusal {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self(diagnostic.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_any_length_says_what_happened_and_what_helps() {
        let short = Refusal::new("No.", "Do so.").text();
        assert!(short.contains("No.") && short.contains("Do so."));
        let long = format!("No '{}'.", "é".repeat(100_000));
        let text = Refusal::new(&long, "Do so.").text();
        assert!(text.len() <= LONGEST, "{}", text.len());
        assert!(
            text.contains("No 'é") && text.contains("Do so.") && text.contains("bytes left out")
        );
    }
}
