//! Where the next page of a tool's answer begins, as a client passes it on.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use provara_core::id::Digest;
use serde_json::Value;

use crate::args::{self, Arguments};
use crate::refusal::Refusal;

/// What says nothing of which answer the pages are of.
const BESIDE: [&str; 3] = ["cursor", "limit", "vault"];

/// The cursors of one answer. A position means another event in another vault, or under other conditions, so each
/// cursor names the answer that it is of.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// The beginning of a digest of the vault's path and of the arguments.
    answer: String,
}

impl Cursors {
    /// Those of what `arguments` ask of the vault at `path`.
    pub(crate) fn of(arguments: &Arguments, path: &Path) -> Self {
        let mut asked = arguments.clone();
        asked.retain(|name, _| !BESIDE.contains(&name.as_str()));
        asked.sort_keys();
        let asked = Value::Object(asked).to_string();
        let answer = [path.as_os_str().as_bytes(), b"\0", asked.as_bytes()].concat();
        let mut answer = Digest::of(&answer).to_string();
        answer.truncate(8);
        Self { answer }
    }

    /// The cursor of the page that begins after `position`.
    pub(crate) fn after(&self, position: u64) -> String {
        format!("{position}-{}", self.answer)
    }

    /// What the cursor of a call says; 0 without one.
    ///
    /// # Errors
    /// A text that is no cursor of this answer.
    pub(crate) fn given(&self, arguments: &Arguments) -> Result<usize, Refusal> {
        let Some(text) = args::text(arguments, "cursor") else {
            return Ok(0);
        };
        let position = text
            .split_once('-')
            .and_then(|(position, answer)| Some((position_of(position)?, answer)));
        match position {
            Some((position, answer)) if answer == self.answer => Ok(position),
            Some(_) => Err(Refusal::new(
                "'cursor' is of another vault, or of a call with other conditions.",
                "Pass next_cursor with the arguments of the call that gave it, or leave it out to begin anew.",
            )),
            None => Err(Refusal::new(
                "'cursor' is not one that this server gave.",
                "Pass next_cursor as it came, or leave it out to begin anew.",
            )),
        }
    }
}

/// The position that a text of digits stands for.
pub(crate) fn position_of(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Arguments {
        let Value::Object(arguments) = value else {
            panic!("an object")
        };
        arguments
    }

    #[test]
    fn a_cursor_is_of_one_vault_and_one_set_of_conditions() {
        let (here, there) = (Path::new("/a"), Path::new("/b"));
        let asked = arguments(json!({"type": "x", "actor": "y", "limit": 5, "vault": "v"}));
        let cursor = Cursors::of(&asked, here).after(70);
        let with = |mut value: Value| {
            value["cursor"] = json!(cursor);
            arguments(value)
        };
        // In another order, with another limit, by its only vault.
        let same = with(json!({"actor": "y", "limit": 9, "type": "x"}));
        assert_eq!(Cursors::of(&same, here).given(&same).unwrap(), 70);
        assert_eq!(Cursors::of(&asked, here).given(&asked).unwrap(), 0);
        let refused = |arguments: &Arguments, path| {
            Cursors::of(arguments, path).given(arguments).unwrap_err().0
        };
        assert!(refused(&same, there).contains("another vault"));
        let other = with(json!({"type": "x"}));
        assert!(refused(&other, here).contains("other conditions"));
        for text in [
            "",
            "70",
            "-",
            "x-12345678",
            "1-",
            "9999999999999999-12345678",
        ] {
            let arguments = arguments(json!({ "cursor": text }));
            assert!(refused(&arguments, here).contains("cursor"), "{text}");
        }
    }
}
