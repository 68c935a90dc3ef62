//! What went wrong, in words: a headline, details, and what helps. The frame of the text is written here
//! and nowhere else.

use std::fmt;

use crate::text::inline;

/// What a text of what went wrong begins with.
pub const ERROR_LABEL: &str = "ERROR:";

/// What the line begins with that says what helps.
pub const FIX_LABEL: &str = "Fix:";

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The evidence is bad: a vault does not verify.
    Evidence,
    /// The request is wrong: an option, a name, the data.
    Usage,
    /// The request is fine and could not be done: a missing file, a lock, a disk.
    Unavailable,
    /// A plugin failed, or is invalid.
    Plugin,
    /// A signal ended the command, after it had cleaned up.
    Interrupted(u8),
}

/// The report of something that could not be done. As text (`Display`) it is `ERROR: headline`, the details
/// indented, and `Fix: …`.
#[derive(Debug)]
pub struct Diagnostic {
    class: Class,
    words: Words,
}

#[derive(Debug)]
enum Words {
    /// `ERROR: headline`, indented details, `Fix: fix`.
    Parts {
        headline: String,
        details: Vec<String>,
        fix: Option<String>,
    },
    /// Complete texts in that form already, which stand in a specification to the letter.
    Verbatim(Vec<String>),
}

impl Diagnostic {
    /// A failure with a headline: one sentence that says what happened, and to what.
    #[must_use]
    pub fn new(class: Class, headline: impl Into<String>) -> Self {
        let words = Words::Parts {
            headline: headline.into(),
            details: Vec::new(),
            fix: None,
        };
        Self { class, words }
    }

    /// A failure whose texts are complete, from `ERROR:` to `Fix:`.
    #[must_use]
    pub fn verbatim(class: Class, texts: Vec<String>) -> Self {
        Self {
            class,
            words: Words::Verbatim(texts),
        }
    }

    /// Adds a line of detail below the headline. It stays one line, whatever stands in it: a name with a line end
    /// in it says nothing on a line of its own.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        if let Words::Parts { details, .. } = &mut self.words {
            details.push(line.into());
        }
        self
    }

    /// Adds every line of a text as a line of detail.
    #[must_use]
    pub fn details(self, text: &str) -> Self {
        text.lines().fold(self, |it, line| it.detail(line))
    }

    /// Says what the user can do; best something that can be pasted.
    #[must_use]
    pub fn fix(mut self, text: impl Into<String>) -> Self {
        if let Words::Parts { fix, .. } = &mut self.words {
            *fix = Some(text.into());
        }
        self
    }

    /// Says what the user can do, unless something says it already.
    #[must_use]
    pub fn fix_if_none(self, text: impl Into<String>) -> Self {
        match &self.words {
            Words::Parts { fix: None, .. } => self.fix(text),
            _ => self,
        }
    }

    /// Who must act.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Says what can be done in other words, for somebody who has other means.
    #[must_use]
    pub fn reword_fix(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        if let Words::Parts { fix: Some(fix), .. } = &mut self.words {
            *fix = reword(fix);
        }
        self
    }

    /// The same failure, as the reason for a larger one: `context: headline`.
    #[must_use]
    pub fn within(&self, context: &str) -> Self {
        let words = match &self.words {
            Words::Parts {
                headline,
                details,
                fix,
            } => Words::Parts {
                headline: format!("{context}: {headline}"),
                details: details.clone(),
                fix: fix.clone(),
            },
            Words::Verbatim(texts) => {
                let context = format!("{ERROR_LABEL} {context}.");
                Words::Verbatim([vec![context], texts.clone()].concat())
            }
        };
        Self {
            class: self.class,
            words,
        }
    }

    /// The failure in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        match &self.words {
            Words::Parts { headline, .. } => headline.clone(),
            Words::Verbatim(texts) => {
                let first = texts
                    .first()
                    .and_then(|text| text.lines().next())
                    .unwrap_or_default();
                first
                    .trim_start_matches(ERROR_LABEL)
                    .trim_start()
                    .to_owned()
            }
        }
    }
}

/// What a diagnostic says, in parts, for who reads them as data. Nothing is escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// What happened, in one line.
    pub headline: String,
    /// Lines of detail.
    pub details: Vec<String>,
    /// What helps.
    pub fix: Option<String>,
}

impl Parts {
    /// The parts of a text whose first line begins with `label`; the last line that begins with `fix` says
    /// what helps.
    #[must_use]
    pub fn of_text(text: &str, label: &str, fix: &str) -> Self {
        let mut parts = Self::default();
        for (number, line) in text.lines().enumerate() {
            let rest = |label| line.strip_prefix(label).map(|rest| rest.trim().to_owned());
            if number == 0 {
                parts.headline = rest(label).unwrap_or_else(|| line.to_owned());
            } else if let Some(text) = rest(fix) {
                parts.details.extend(parts.fix.replace(text));
            } else {
                parts.details.push(line.trim().to_owned());
            }
        }
        parts
    }
}

impl Diagnostic {
    /// What it says, in parts.
    #[must_use]
    pub fn parts(&self) -> Parts {
        match &self.words {
            Words::Parts {
                headline,
                details,
                fix,
            } => Parts {
                headline: headline.clone(),
                details: details.clone(),
                fix: fix.clone(),
            },
            Words::Verbatim(texts) => Parts::of_text(&texts.join("\n"), ERROR_LABEL, FIX_LABEL),
        }
    }
}

impl Diagnostic {
    /// The text of an exception, whose type says that it is an error: the headline, and `Fix: …`. Nothing is
    /// escaped, because an exception is not a terminal.
    #[must_use]
    pub fn exception_text(&self) -> String {
        match &self.words {
            Words::Parts {
                headline,
                fix: Some(fix),
                ..
            } => format!("{headline}\n{FIX_LABEL} {fix}"),
            _ => self.headline(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Words::Parts {
                headline,
                details,
                fix,
            } => {
                write!(f, "{ERROR_LABEL} {}", inline(headline))?;
                for line in details {
                    write!(f, "\n  {}", inline(line))?;
                }
                match fix {
                    Some(fix) => write!(f, "\n{FIX_LABEL} {}", inline(fix)),
                    None => Ok(()),
                }
            }
            Words::Verbatim(texts) => f.write_str(&texts.join("\n")),
        }
    }
}
