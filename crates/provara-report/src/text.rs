//! Text from outside, made safe for a terminal.
//!
//! Plugins, their packages and the data of events are untrusted: an escape sequence in a plugin's
//! name could rewrite what the user reads. Whatever goes to a person passes through here first.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character could change how the text around it is displayed, or make two different
/// texts look the same: C0 and C1 controls, DEL, line and paragraph separators, the bidirectional
/// controls of Unicode, and what has no width of its own (joiners, soft hyphen, tags).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Escapes every character that a terminal might act on, for text that stands within one line.
///
/// Line feeds become `\n`, tabs `\t`, carriage returns `\r`, the rest `\u{…}`.
pub fn inline(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

/// Escapes like [`inline`] but keeps line feeds, for text of several lines.
pub fn block(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

/// Escapes within JSON, as `\uXXXX`, so that the value stays the same. Line feeds, which canonical
/// JSON has only between values, stay.
pub fn json(text: &str) -> Cow<'_, str> {
    let bad = |c: char| is_unsafe(c) && c != '\n';
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn escape(text: &str, keep_lines: bool) -> Cow<'_, str> {
    let bad = |c: char| is_unsafe(c) && !(keep_lines && c == '\n');
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !bad(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(out)
}

/// Cuts a text after `limit` characters and marks the cut with `…`.
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_acts_on() {
        assert_eq!(inline("a\x1b[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\r\\n\\tc");
        assert_eq!(inline("\u{202e}abc\u{9b}"), "\\u{202e}abc\\u{9b}");
        assert_eq!(block("a\nb\x07"), "a\nb\\u{7}");
        assert_eq!(inline("ali\u{200b}ce\u{ad}"), "ali\\u{200b}ce\\u{ad}");
        assert!(matches!(inline("plain – ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_says_the_same() {
        let text = "{\"a\":\"\u{9b}31m\u{7f}\u{202e}\u{e0041}é\"}\n";
        let escaped = json(text);
        assert_eq!(
            escaped,
            "{\"a\":\"\\u009b31m\\u007f\\u202e\\udb40\\udc41é\"}\n"
        );
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escaped), value(text));
        assert!(matches!(json("{\"a\":\"é\"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn shortens_at_characters() {
        assert_eq!(shorten("äöü", 2), "äö…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
