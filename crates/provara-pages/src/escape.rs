//! What every text on a page goes through.

use std::fmt::{self, Write};

use askama::filters::Escaper;
use provara_report::text::inline;

/// Escapes markup, and writes out what would change how the text around it is displayed: control characters,
/// bidirectional controls, what has no width. Safe in an element's text and in an attribute in double quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown;

impl Escaper for Shown {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        let text = inline(string);
        let mut rest = &*text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (before, from) = rest.split_at(at);
            dest.write_str(before)?;
            dest.write_str(match from.as_bytes()[0] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &from[1..];
        }
        dest.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_hides_are_shown() {
        let mut out = String::new();
        let hostile = "<script>\"a\" & 'b'</script>\u{202e}gnp\u{0}\n\u{1f}é";
        Shown.write_escaped_str(&mut out, hostile).unwrap();
        assert_eq!(
            out,
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;\\u{202e}gnp\\u{0}\\n\\u{1f}é"
        );
    }
}
