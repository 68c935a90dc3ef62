//! A command that could not be done: words, a `Fix:` line and an exit code.

use std::process::ExitCode;

use crate::terminal;

/// Who must act, as an exit code. `0` (done) is not a failure and has no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The evidence is bad: a vault does not verify.
    Evidence,
    /// The request is wrong: an option, a name, the data.
    Usage,
    /// The request is fine and could not be done: a missing file, a lock, a disk.
    CouldNot,
    /// A plugin failed, or is invalid.
    Plugin,
    /// A signal ended the command, after it had cleaned up.
    Interrupted(u8),
}

impl Exit {
    /// The exit code of the process.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Evidence => 1,
            Self::Usage => 2,
            Self::CouldNot => 3,
            Self::Plugin => 4,
            // As a shell reports a process that a signal ended.
            Self::Interrupted(signal) => 128 + signal,
        })
    }
}

/// The report of a command that could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
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

impl Failure {
    /// A failure with a headline: one sentence that says what happened, and to what.
    pub(crate) fn new(exit: Exit, headline: impl Into<String>) -> Self {
        let words = Words::Parts {
            headline: headline.into(),
            details: Vec::new(),
            fix: None,
        };
        Self { exit, words }
    }

    /// A failure whose texts are complete, from `ERROR:` to `Fix:`.
    pub(crate) fn verbatim(exit: Exit, texts: Vec<String>) -> Self {
        Self {
            exit,
            words: Words::Verbatim(texts),
        }
    }

    /// Adds a line of detail below the headline.
    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        if let Words::Parts { details, .. } = &mut self.words {
            details.push(line.into());
        }
        self
    }

    /// Says what the user can do; best something that can be pasted.
    pub(crate) fn fix(mut self, text: impl Into<String>) -> Self {
        if let Words::Parts { fix, .. } = &mut self.words {
            *fix = Some(text.into());
        }
        self
    }

    /// Who must act.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says what can be done in other words, for somebody who has other means.
    pub(crate) fn reword_fix(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        if let Words::Parts { fix: Some(fix), .. } = &mut self.words {
            *fix = reword(fix);
        }
        self
    }

    /// The same failure, as the reason for a larger one: `context: headline`.
    pub(crate) fn within(&self, context: &str) -> Self {
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
                let context = format!("ERROR: {context}.");
                Words::Verbatim([vec![context], texts.clone()].concat())
            }
        };
        Self {
            exit: self.exit,
            words,
        }
    }

    /// The failure in one line.
    pub(crate) fn headline(&self) -> String {
        match &self.words {
            Words::Parts { headline, .. } => headline.clone(),
            Words::Verbatim(texts) => {
                let first = texts
                    .first()
                    .and_then(|text| text.lines().next())
                    .unwrap_or_default();
                first.trim_start_matches("ERROR: ").to_owned()
            }
        }
    }

    /// The whole text: `ERROR: …`, details, `Fix: …`. Of several texts each has its own.
    pub(crate) fn text(&self) -> String {
        match &self.words {
            Words::Parts {
                headline,
                details,
                fix,
            } => {
                let mut text = format!("ERROR: {}", terminal::clean(headline));
                for line in details.iter().flat_map(|detail| detail.lines()) {
                    text.push_str("\n  ");
                    text.push_str(line);
                }
                if let Some(fix) = fix {
                    text.push_str("\nFix: ");
                    text.push_str(&terminal::clean(fix));
                }
                text
            }
            Words::Verbatim(texts) => texts.join("\n"),
        }
    }

    /// Prints the failure to stderr.
    pub(crate) fn print(&self) {
        terminal::diagnostic(&self.text());
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.exit.code()
    }
}
