//! Words and paths as they can be pasted into a shell.

use std::path::Path;

/// A path as it can be pasted into a POSIX shell.
#[must_use]
pub fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.starts_with('-') {
        // No command takes it for an option then.
        true => quote(&format!("./{text}")),
        false => quote(&text),
    }
}

/// A word as it can be pasted into a POSIX shell.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
    if !word.is_empty() && !word.starts_with(['~', '=']) && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quote("my-vault/events"), "my-vault/events");
        assert_eq!(quote("my vault"), "'my vault'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("~root"), "'~root'");
        assert_eq!(quote(""), "''");
        assert_eq!(shell("-dash/a b".as_ref()), "'./-dash/a b'");
        assert_eq!(shell("-".as_ref()), "./-");
        assert_eq!(shell("a/-b".as_ref()), "a/-b");
    }
}
