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
    /// The one script that may run in it.
    pub(crate) script: Option<&'static str>,
}

impl Frame<'_> {
    /// The style sheet.
    pub(crate) fn style(&self) -> &'static str {
        STYLE
    }

    /// What a browser may do with the page: apply this style sheet, run the script of these bytes, and nothing else.
    pub(crate) fn policy(&self) -> String {
        let source = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let style = source(STYLE);
        let script = self.script.map(source);
        let script = script.map_or_else(String::new, |it| format!(" script-src {it};"));
        format!(
            "default-src 'none';{script} style-src {style}; base-uri 'none'; form-action 'none'"
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
