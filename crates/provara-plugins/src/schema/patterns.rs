//! Patterns as ECMA-262 has them (JSON Schema, core, section 6.4), with the flag `u`.
//!
//! The validator translates a pattern to that of its engine, but not one that looks around or refers back: of
//! those its engine's reading is taken, in which `.` is any character but a line feed, and `\d`, `\w` and `\s`
//! are Unicode's. A pattern such as `^(?!x).*$` would let a carriage return or a line separator into a signed
//! event. Here such a pattern is written out, so that both readings are the same.

use serde_json::{Map, Value as Tree};

use super::structure::each_schema;

/// What `.` stands for: no line terminator (ECMA-262, section 22.2.2.7 with 12.3).
const DOT: &str = r"[^\n\r\u2028\u2029]";

/// What `\s` stands for: white space and line terminators (ECMA-262, sections 12.2 and 12.3).
const SPACE: &str = r"\t\n\u000B\f\r \u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\uFEFF";

/// Writes the patterns of a schema out where that is needed.
pub(super) fn write_out(schema: &mut Tree) {
    each_schema(schema, &mut write_out_here);
}

/// The same for one schema, without those in it.
pub(super) fn write_out_here(schema: &mut Map<String, Tree>) {
    if let Some(Tree::String(pattern)) = schema.get_mut("pattern")
        && let Some(written) = written_out(pattern)
    {
        *pattern = written;
    }
    if let Some(Tree::Object(patterns)) = schema.get_mut("patternProperties")
        && patterns
            .keys()
            .any(|pattern| written_out(pattern).is_some())
    {
        let all = std::mem::take(patterns).into_iter();
        *patterns = all
            .map(|(pattern, schema)| (written_out(&pattern).unwrap_or(pattern), schema))
            .collect();
    }
}

/// A pattern that looks around, refers back or has an empty class, with nothing in it that is read otherwise
/// elsewhere. None where it is good as it is.
fn written_out(pattern: &str) -> Option<String> {
    let mut special = false;
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => {
                let escaped = rest[1..].chars().next();
                taken += escaped.map_or(0, char::len_utf8);
                special |= !in_class && matches!(escaped, Some('1'..='9' | 'k'));
                match (escaped, in_class) {
                    (Some('d'), false) => out.push_str("[0-9]"),
                    (Some('D'), false) => out.push_str("[^0-9]"),
                    (Some('w'), false) => out.push_str("[A-Za-z0-9_]"),
                    (Some('W'), false) => out.push_str("[^A-Za-z0-9_]"),
                    (Some('s'), false) => out.push_str(&format!("[{SPACE}]")),
                    (Some('S'), false) => out.push_str(&format!("[^{SPACE}]")),
                    (Some('d'), true) => out.push_str("0-9"),
                    (Some('w'), true) => out.push_str("A-Za-z0-9_"),
                    (Some('s'), true) => out.push_str(SPACE),
                    _ => out.push_str(&rest[..taken]),
                }
            }
            '[' if !in_class && rest.starts_with("[^]") => {
                (special, taken) = (true, 3);
                out.push_str(r"[\s\S]");
            }
            '[' if !in_class && rest.starts_with("[]") => {
                (special, taken) = (true, 2);
                out.push_str(r"[^\s\S]");
            }
            '.' if !in_class => out.push_str(DOT),
            _ => {
                let around = ["(?=", "(?!", "(?<=", "(?<!"];
                special |= !in_class && around.iter().any(|start| rest.starts_with(start));
                match c {
                    '[' => in_class = true,
                    ']' => in_class = false,
                    _ => {}
                }
                out.push(c);
            }
        }
        rest = &rest[taken..];
    }
    special.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::written_out;

    #[test]
    fn what_is_read_alike_stays_as_it_is() {
        for pattern in [r"^a.b\d[.]$", r"\.\\", r"[(?=]", "", "(?:a)", r"[\1]"] {
            assert_eq!(written_out(pattern), None, "{pattern}");
        }
        let written = |pattern: &str| written_out(pattern).unwrap();
        assert_eq!(written(r"^(?!\.)[.\d]\w"), r"^(?!\.)[.0-9][A-Za-z0-9_]");
        assert_eq!(written(r"(a)\1."), r"(a)\1[^\n\r\u2028\u2029]");
        assert_eq!(written(r"[^]\]"), r"[\s\S]\]");
    }
}
