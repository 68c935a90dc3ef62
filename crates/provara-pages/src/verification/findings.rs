//! What was found, as the page has it.

use provara_core::finding::Code;

use crate::text::grouped;

/// The findings of one rule.
#[derive(Debug, Clone)]
pub struct Group {
    /// The rule.
    pub code: Code,
    /// Whether they make the vault invalid.
    pub is_error: bool,
    /// The first of them.
    pub first: Vec<Shown>,
    /// How many more there are.
    pub more: u64,
}

/// A finding.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// What happened.
    pub message: String,
    /// The file, relative to the vault.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The byte of the file, from 0.
    pub byte: Option<u64>,
    /// The event, as far as it names itself.
    pub event: Option<String>,
    /// Its actor.
    pub actor: Option<String>,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// The line, or a part of it.
    pub excerpt: Option<Excerpt>,
    /// The finding that this one follows from, in words.
    pub follows: Option<String>,
    /// What helps.
    pub fix: Option<String>,
}

/// A part of a line around the place of a finding. Bytes that are no UTF-8 are written as `\xNN`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Bytes of the line that stand before it and are not shown.
    pub left_out_before: u64,
    /// What stands before the place.
    pub before: String,
    /// The place; empty where it is the line as a whole.
    pub marked: String,
    /// What stands behind it.
    pub after: String,
    /// Bytes of the line that stand behind it and are not shown.
    pub left_out_after: u64,
}

/// How many bytes of a line are shown before the place of a finding, and behind it.
const BEFORE: usize = 70;
const AFTER: usize = 130;

/// How long the marked place may be.
const MARKED: usize = 90;

impl Excerpt {
    /// Of `line`, around its byte `at`: the value that begins there is marked. 0 is the line as a whole.
    #[must_use]
    pub fn around(line: &[u8], at: usize) -> Self {
        let at = at.min(line.len());
        let from = boundary(line, at.saturating_sub(BEFORE));
        let end = match at {
            0 => 0,
            _ => boundary(line, at + value_length(&line[at..]).min(MARKED)),
        };
        let to = boundary(line, (end + AFTER).min(line.len()));
        let marked = match at {
            0 => String::new(),
            _ if at == line.len() => "(end of the line)".to_owned(),
            _ => text(&line[at..end.max(at)]),
        };
        Self {
            left_out_before: from as u64,
            before: text(&line[from..at]),
            marked,
            after: text(&line[end.max(at)..to.max(at)]),
            left_out_after: (line.len() - to.max(at)) as u64,
        }
    }
}

/// The next place from `at` on where a character begins.
fn boundary(line: &[u8], at: usize) -> usize {
    let continues = |byte: &&u8| **byte & 0xc0 == 0x80;
    let rest = line.get(at..).unwrap_or_default();
    at + rest.iter().take(3).take_while(continues).count()
}

/// How many bytes the value has that begins here: a string, a word or number, or one byte.
fn value_length(bytes: &[u8]) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    match bytes.first() {
        None => 0,
        Some(b'"') => {
            let mut escaped = false;
            let end = bytes[1..].iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            end.map_or(bytes.len(), |end| end + 2)
        }
        Some(byte) if is_word(byte) => bytes.iter().take_while(|it| is_word(it)).count(),
        Some(_) => 1,
    }
}

fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

impl Group {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.is_error {
            true => "Fault",
            false => "Warning",
        }
    }

    pub(super) fn class(&self) -> &'static str {
        match self.is_error {
            true => "error",
            false => "warning",
        }
    }

    /// What the rule is about, for a reader who is no engineer.
    pub(super) fn meaning(&self) -> &'static str {
        meaning(self.code)
    }
}

impl Shown {
    /// Whether there is something to tell in a list.
    pub(super) fn has_facts(&self) -> bool {
        [&self.event, &self.actor, &self.expected, &self.found]
            .iter()
            .any(|it| it.is_some())
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        let line = self.line.map(|line| format!(", line {}", grouped(line)));
        let byte = self.byte.map(|byte| format!(", byte {}", grouped(byte)));
        let parts = [Some(self.file.clone()), line, byte];
        parts.into_iter().flatten().collect()
    }
}

/// What is said of a rule that is newer than this page.
const UNKNOWN: &str = "A rule of the format does not hold.";

fn meaning(code: Code) -> &'static str {
    match code {
        Code::E001 => "The older vault that this one continues is not the one that it names.",
        Code::E002 | Code::E005 | Code::E006 | Code::E013 => {
            "The events of an actor do not follow each other: one was removed, moved, or written twice at the same place."
        }
        Code::E003 => {
            "A signature does not fit what it stands under: it was changed after it was signed, or somebody else signed."
        }
        Code::E004 => {
            "The name of an event is computed from its content; the content was changed afterwards."
        }
        Code::E007 => "The same event stands in the log twice.",
        Code::E008 | Code::E010 | Code::E011 | Code::E012 => {
            "A file is not the one that was sealed: it is missing, was changed, or was put there later."
        }
        Code::E009 => "A stored summary does not follow from the events.",
        Code::E014 => "The seal over the whole vault was taken away.",
        Code::E015 => "The seal is genuine and belongs to another content than what is here.",
        Code::E016 => "What is left of a redacted event is not what was redacted.",
        Code::E017 => {
            "The vault is not a later state of what was once signed and kept by somebody else."
        }
        Code::E018 => "No key of the vault signed the tree head that it was held to.",
        Code::E019 => {
            "What is kept here of a third party's word about the vault does not hold, or is of another vault."
        }
        Code::E020 => {
            "Those whom whoever verified had named did not see the vault, or too few of them did."
        }
        Code::E100 | Code::E101 | Code::E102 | Code::E103 | Code::E105 => {
            "Something is not written as the format demands."
        }
        Code::E104 => {
            "A line is not in the one form in which events are signed: it was edited, or damaged on its way."
        }
        Code::E200 | Code::E201 | Code::E203 => {
            "A change of keys was not made as the rules demand, so that it cannot be relied on."
        }
        Code::E202 => "A key signed where it did not count.",
        Code::E204 => "Somebody signed with a key that the vault does not know.",
        Code::E205 => {
            "A key is listed to which no signed event leads: somebody added it to the file."
        }
        Code::E206 => "The event that said which keys count was removed.",
        Code::E207 => "It is not the vault that whoever verified asked for: another key made it.",
        Code::E300 | Code::E301 => {
            "An event lacks something that every event must have, or has it in another form."
        }
        Code::E302 => "The parts of the vault do not fit together.",
        Code::E303 => "The vault is of a version that this program does not know.",
        Code::E400 => "Two copies disagree on how careful a vault must be.",
        Code::W001 => "The seal is of an earlier state; what came after it is signed by itself.",
        Code::W002 => "Nobody signed the list of the files.",
        Code::W003 => "An actor went over to another key, and no event says why.",
        Code::W004 | Code::W005 => {
            "A clock went backwards: do not rely on the times around this place."
        }
        Code::W006 => "The last line is whole and lacks its end, as after an interrupted write.",
        Code::W007 => "Some events are in an older form. They were checked in full.",
        Code::W008 => "This vault continues an older one, which was not looked at.",
        Code::W009 => "Nothing but a file vouches for a key that signed: ask the owner about it.",
        Code::W010 => {
            "This machine saw another state of the vault, of which this one is no continuation."
        }
        Code::W011 => "This machine saw another vault at this place.",
        Code::W012 => {
            "Of a redacted event the rest is not vouched for: its type, its actor and its time."
        }
        Code::W013 => "A payload that was to be erased is still there.",
        Code::W014 => "An event after the sealed part is bound to nothing before it.",
        Code::W015 => "The files beside the log are sealed, and no event states them as they are.",
        Code::W016 => "Nobody had kept a tree head of this vault: it was held to none.",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_told_in_words_of_its_own() {
        let untold = Code::ALL.iter().filter(|code| meaning(**code) == UNKNOWN);
        assert_eq!(untold.collect::<Vec<_>>(), Vec::<&Code>::new());
    }

    #[test]
    fn the_value_at_the_place_is_marked() {
        let line = br#"{"actor":"al\"ice","n":12.5,"x":[true]}"#;
        let marked = |at| Excerpt::around(line, at).marked;
        assert_eq!(marked(9), r#""al\"ice""#);
        assert_eq!(marked(23), "12.5");
        assert_eq!(marked(32), "[");
        assert_eq!(marked(33), "true");
        assert_eq!(marked(line.len()), "(end of the line)");
        assert_eq!(marked(line.len() + 5), "(end of the line)");
        let whole = Excerpt::around(line, 0);
        assert_eq!((&*whole.before, &*whole.marked), ("", ""));
        assert_eq!(whole.after.as_bytes(), line);
        let excerpt = Excerpt::around(line, 9);
        let joined = [&*excerpt.before, &excerpt.marked, &excerpt.after].concat();
        assert_eq!(joined.as_bytes(), line);
    }

    #[test]
    fn long_and_broken_lines_are_cut_at_characters() {
        let line = "é".repeat(1_000);
        for at in [0, 1, 2, 999, 1_000, 1_001, 1_999, 2_000] {
            let excerpt = Excerpt::around(line.as_bytes(), at);
            let shown = [&*excerpt.before, &excerpt.after].concat();
            assert!(
                shown.len() < 400 && shown.starts_with(['é', '\\']),
                "{at}: {shown}"
            );
        }
        let excerpt = Excerpt::around(b"ab\xff\xfec", 3);
        assert_eq!(excerpt.before, "ab\\xff");
        assert_eq!((&*excerpt.marked, &*excerpt.after), ("\\xfe", "c"));
        assert_eq!(Excerpt::around(b"", 0), Excerpt::default());
        let long = format!("\"{}\"", "x".repeat(5_000));
        let excerpt = Excerpt::around(format!("[{long}]").as_bytes(), 1);
        assert_eq!(excerpt.marked.len(), MARKED);
        assert_eq!(excerpt.left_out_after, 5_004 - 1 - (MARKED + AFTER) as u64);
    }
}
