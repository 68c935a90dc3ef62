//! `--numbers`: what becomes of numbers that an event cannot hold.

use clap::{Args, ValueEnum};
use provara_core::number_policy::{Conversions, NumberPolicy, Place, PlaceError};
use provara_report::{Class, Diagnostic};

use crate::text::counted;

/// What becomes of numbers that an event cannot hold.
#[derive(Args, Debug)]
pub(crate) struct NumberArgs {
    /// What becomes of numbers that an event cannot hold: exact, round or string
    ///
    /// An event holds a number if a reader of doubles (binary64) writes it again with the same value. 'exact'
    /// refuses any other, such as 9007199254740993. 'round' takes the nearest one. 'string' makes a string
    /// of it, and of every integer beyond ±(2^53-1). What is changed is counted in a note.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "exact",
        hide_possible_values = true
    )]
    numbers: Numbers,

    /// With --numbers string: all numbers at this place of the data, and no others; may be repeated
    // Given here, as brackets are links in a comment.
    #[arg(
        long,
        value_name = "PLACE",
        value_parser = place,
        long_help = "With --numbers string: all numbers at this place of the data, and no others; may be repeated\n\n\
                     So that a column has one type. Names after dots, items in brackets, [*] for every item: \
                     user.id, ids[*], rows[*].id. A backslash stands before a dot or a bracket of a name itself: \
                     'id\\.orig_h'. Numbers elsewhere are exact."
    )]
    numbers_at: Vec<Place>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Exact,
    Round,
    String,
}

fn place(text: &str) -> Result<Place, PlaceError> {
    text.parse()
}

impl NumberArgs {
    /// The policy that the options ask for.
    pub(crate) fn policy(&self) -> Result<NumberPolicy, Diagnostic> {
        match (self.numbers, self.numbers_at.is_empty()) {
            (Numbers::Exact, true) => Ok(NumberPolicy::Exact),
            (Numbers::Round, true) => Ok(NumberPolicy::Round),
            (Numbers::String, true) => Ok(NumberPolicy::Strings),
            (Numbers::String, false) => Ok(NumberPolicy::StringsAt(self.numbers_at.clone())),
            (Numbers::Exact | Numbers::Round, false) => Err(Diagnostic::new(
                Class::Usage,
                "--numbers-at says which numbers become strings, and --numbers does not say 'string'.",
            )
            .fix("Add --numbers string, or leave --numbers-at out.")),
        }
    }
}

/// What the policy did, for the user.
pub(crate) fn notes(policy: &NumberPolicy, done: Conversions) -> impl Iterator<Item = String> {
    let numbers = |count: u64| counted(count, "number");
    let rounded = (done.rounded > 0).then(|| {
        format!(
            "{} became the nearest binary64 (--numbers round)",
            numbers(done.rounded)
        )
    });
    let strings = (done.strings > 0).then(|| {
        let what = if done.strings == 1 {
            "a string"
        } else {
            "strings"
        };
        format!("{} became {what} (--numbers string)", numbers(done.strings))
    });
    let unmet = policy
        .never_met()
        .map(|place| format!("no data has a value at '{place}' (--numbers-at)"));
    rounded.into_iter().chain(strings).chain(unmet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(numbers: Numbers, at: &[&str]) -> NumberArgs {
        NumberArgs {
            numbers,
            numbers_at: at.iter().map(|text| place(text).unwrap()).collect(),
        }
    }

    #[test]
    fn places_are_those_of_strings() {
        let policy = |numbers, at| args(numbers, at).policy();
        assert!(matches!(
            policy(Numbers::Exact, &[]),
            Ok(NumberPolicy::Exact)
        ));
        assert!(matches!(
            policy(Numbers::String, &[]),
            Ok(NumberPolicy::Strings)
        ));
        assert!(matches!(
            policy(Numbers::String, &["a"]),
            Ok(NumberPolicy::StringsAt(_))
        ));
        for numbers in [Numbers::Exact, Numbers::Round] {
            assert!(policy(numbers, &["a"]).is_err());
        }
    }

    #[test]
    fn what_was_changed_is_told() {
        let policy = args(Numbers::String, &["a.b"]).policy().unwrap();
        let done = Conversions {
            strings: 1,
            ..Conversions::default()
        };
        assert_eq!(
            notes(&policy, done).collect::<Vec<_>>(),
            [
                "1 number became a string (--numbers string)",
                "no data has a value at 'a.b' (--numbers-at)"
            ]
        );
    }
}
