//! The page about a verification of a vault, for a reader who is no engineer: what came of it, what that proves and what
//! it cannot, and then everything it rests on.

mod claims;
mod facts;
mod findings;
mod picture;

use askama::Template;

pub use self::facts::{
    Anchor, Counted, Counts, Head, Identity, Key, Keys, Named, Seal, SealStanding, Verdict,
    Verification,
};
pub use self::findings::{Excerpt, Group, Shown};
pub use self::picture::{Lane, Mark, MarkKind, Timeline};
pub use crate::text::{grouped, moment};

use self::claims::Claim;
use self::picture::Picture;
use crate::frame::Frame;
use crate::text::{self, filters};

impl Verification {
    /// The page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let title = format!("{}: {}", self.headline(), self.vault);
        Page {
            frame: Frame {
                title: &title,
                version: &self.version,
                script: None,
            },
            it: self,
            picture: Picture::of(&self.timeline),
            proven: claims::proven(self),
            unproven: claims::unproven(self),
        }
        .render()
        .expect("a String takes whatever is written to it")
    }

    /// The verdict in a word or two.
    fn headline(&self) -> &'static str {
        match self.verdict {
            Verdict::Valid => "Valid",
            Verdict::Warned => "Valid, with warnings",
            Verdict::Invalid => "Not valid",
        }
    }

    /// The verdict as a sentence.
    fn sentence(&self) -> String {
        let events = text::counted(self.counts.events, "event");
        let redacted = match self.counts.redacted {
            0 => String::new(),
            count => format!(
                ", but for {} that signed events took away",
                text::counted(count, "payload")
            ),
        };
        match self.verdict {
            Verdict::Valid => format!(
                "All {events} of this vault and all of its files are as they were signed{redacted}. Nothing was found \
                 that speaks against it."
            ),
            Verdict::Warned => format!(
                "All {events} of this vault are as they were signed{redacted}. There {} that a reader should know before relying on \
                 it.",
                text::there_are(self.warnings, "warning")
            ),
            Verdict::Invalid => format!(
                "This vault does not hold: {} found. Whatever is derived from it proves nothing until each of them is \
                 explained.",
                text::were(self.errors, "fault")
            ),
        }
    }

    fn verdict_class(&self) -> &'static str {
        match self.verdict {
            Verdict::Valid => "good",
            Verdict::Warned => "warned",
            Verdict::Invalid => "bad",
        }
    }

    /// How much of all events so many are, in percent.
    fn share(&self, events: &u64) -> String {
        let all = self.counts.events.max(1) as f64;
        format!("{:.1}", (*events as f64 * 100.0 / all).clamp(0.5, 100.0))
    }

    /// What the counts of findings rest on, where whoever verified chose something.
    fn choices(&self) -> Option<String> {
        let strict = self.strict.then_some("Warnings were counted as faults.");
        let allowed = (self.allowed > 0).then(|| {
            format!(
                "{} allowed by whoever verified, and not counted.",
                text::were(self.allowed, "warning")
            )
        });
        let said: Vec<_> = strict
            .map(str::to_owned)
            .into_iter()
            .chain(allowed)
            .collect();
        (!said.is_empty()).then(|| said.join(" "))
    }
}

/// The template, with what it does not work out itself.
#[derive(Template)]
#[template(path = "verification.html")]
struct Page<'a> {
    frame: Frame<'a>,
    it: &'a Verification,
    picture: Picture<'a>,
    proven: Vec<Claim>,
    unproven: Vec<Claim>,
}

#[cfg(test)]
mod tests;
