//! What all pages share: the head of the document, its style and its policy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("style.css");

/// The head of a page: `templates/page.html`, which the template of a page extends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// What the window is called.
    pub(crate) title: &'a str,
    /// The version of what wrote the page.
    pub(crate) version: &'a str,
}

impl Frame<'_> {
    /// The style sheet.
    pub(crate) fn style(&self) -> &'static str {
        STYLE
    }

    /// What a browser may do with the page: apply this style sheet and nothing else.
    pub(crate) fn policy(&self) -> String {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_asks_for_nothing_and_ends_nothing() {
        let style = STYLE.to_ascii_lowercase();
        for word in [
            "url(",
            "@import",
            "@font-face",
            "http",
            "</",
            "<!--",
            "expression(",
        ] {
            assert!(!style.contains(word), "{word}");
        }
    }
}
