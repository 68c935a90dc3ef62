//! Conditions, times and paths that are not understood, in words.

use provara_query::{ExpressionError, FUNCTIONS, MAX_STEPS, Problem, WhenError};
use provara_report::text::inline;
use provara_report::{Class, Diagnostic};

use provara_report::nearest;

/// What helps where a text is no time.
pub const NOT_A_TIME_FIX: &str = "Write a date (2026-01-31), a time in UTC (2026-01-31T12:00:00Z) or an age (90s, 30m, 36h, 7d, 2w).";

/// How much of an expression is shown on either side of the place where the trouble is, in characters.
const SHOWN: usize = 50;

/// A condition that is not understood: what is wrong, and the text with a mark below the place.
#[must_use]
pub fn condition_failure(error: &ExpressionError) -> Diagnostic {
    let (text, mark) = marked(&error.text, error.offset);
    Diagnostic::new(
        Class::Usage,
        format!(
            "The condition is not understood at character {}: {}.",
            error.character(),
            error.problem
        ),
    )
    .detail(text)
    .detail(mark)
    .fix(fix(error))
}

/// The part of the text around the place, and the line below it that points there.
fn marked(text: &str, offset: usize) -> (String, String) {
    let (before, after) = text.split_at(offset);
    let count = before.chars().count();
    let skipped = count.saturating_sub(SHOWN);
    let before: String = before.chars().skip(skipped).collect();
    let rest: String = after.chars().take(SHOWN).collect();
    let begin = if skipped > 0 { "…" } else { "" };
    let end = if after.chars().count() > SHOWN {
        "…"
    } else {
        ""
    };
    let before = inline(&before);
    let width = begin.chars().count() + before.chars().count();
    (
        format!("{begin}{before}{}{end}", inline(&rest)),
        format!("{}^", " ".repeat(width)),
    )
}

fn fix(error: &ExpressionError) -> String {
    match &error.problem {
        Problem::SingleEqual => {
            "Write payload.a == 1, or PATH=VALUE without spaces: payload.a=1.".to_owned()
        }
        Problem::Arithmetic(sign) if *sign != '-' || is_spaced(error) => {
            "Do the sum beforehand, and compare with its result: payload.value == 900. A text stands in quotes, \
             \"a+b\"."
                .to_owned()
        }
        Problem::Arithmetic(_) | Problem::Character(_) => {
            "Write a text in quotes, \"a-b\", and a name that is not letters, digits and _ alone in brackets as \
             well: payload[\"a-b\"]."
                .to_owned()
        }
        Problem::Function { name, .. } => match nearest(name, FUNCTIONS.iter().copied()) {
            Some(near) => format!("Did you mean '{near}'?"),
            None => format!("There are {}.", FUNCTIONS.join(", ")),
        },
        Problem::Expected { found, .. } if found == "'and'" || found == "'or'" => {
            "Write && for and, || for or.".to_owned()
        }
        Problem::Regex(why) if why.contains("look-ahead") => {
            "Say in a condition of its own what must follow or must not: payload.text.startsWith(\"id-\") && \
             !payload.text.matches(r\"^id-0\")."
                .to_owned()
        }
        Problem::Regex(why) if why.contains("backreference") => {
            "Write out the alternatives: payload.text.matches(r\"^(aa|bb)$\").".to_owned()
        }
        Problem::Regex(_) | Problem::Escape => {
            "Write a regular expression as in payload.text.matches(r\"^id-\\d+$\").".to_owned()
        }
        Problem::NoCondition(_) => "Compare it, as in payload.value >= 900.".to_owned(),
        Problem::NoTime(_) | Problem::TimeAlone => {
            "Write timestamp(timestamp_utc) >= timestamp(\"2026-01-31T00:00:00Z\"); --after and --before \
             also take dates and ages."
                .to_owned()
        }
        Problem::TooDeep | Problem::TooLong => {
            "Give parts of it as conditions of their own: all of them must hold.".to_owned()
        }
        _ => "Write a condition such as payload.success=false, payload.value >= 900 or \
              payload[\"id.orig_h\"] == \"10.0.0.1\"."
            .to_owned(),
    }
}

/// Whether white space follows the sign in question: a name such as `a-b` has none.
fn is_spaced(error: &ExpressionError) -> bool {
    let mut rest = error.text[error.offset..].chars().skip(1);
    rest.next().is_some_and(char::is_whitespace)
}

/// A condition that an event would have kept busy for too long.
#[must_use]
pub fn exhausted() -> Diagnostic {
    Diagnostic::new(
        Class::Usage,
        format!(
            "A condition takes more than {} million steps for one event and was given up: what was chosen may \
             not be all.",
            MAX_STEPS / 1_000_000
        ),
    )
    .fix("Nest exists and all less deeply, or choose fewer events first, with a type or a time.")
}

/// A text that is no time, for the option or argument of this name.
#[must_use]
pub fn when_failure(name: &str, error: &WhenError) -> Diagnostic {
    Diagnostic::new(
        Class::Usage,
        format!("'{}' is no time for {name}.", error.0),
    )
    .fix(NOT_A_TIME_FIX)
}

#[cfg(test)]
mod tests {
    use provara_query::Filter;

    use super::*;

    fn told(text: &str) -> String {
        condition_failure(&text.parse::<Filter>().unwrap_err()).to_string()
    }

    #[test]
    fn the_mark_stands_below_the_place() {
        assert_eq!(
            told("payload.\u{e9} >= 900 and payload.b"),
            "ERROR: The condition is not understood at character 18: an operator such as '&&', or the end, is \
             expected, not 'and'.\n  payload.\u{e9} >= 900 and payload.b\n                   ^\nFix: Write && for \
             and, || for or."
        );
        let long = format!("{} $", "a == 1 && ".repeat(30));
        let text = told(&long);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[2].chars().count();
        assert_eq!(lines[1].chars().nth(at - 1), Some('$'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 160));
    }

    #[test]
    fn control_characters_are_escaped_and_the_mark_follows() {
        let text = told("payload.a == 1 \u{1b} 2");
        assert!(
            text.contains("\\u{1b}") && !text.contains('\u{1b}'),
            "{text}"
        );
    }

    #[test]
    fn what_the_language_does_not_have_is_said_otherwise() {
        for (text, fix) in [
            ("payload.value + 1 == 901", "Fix: Do the sum beforehand"),
            ("payload.value - 1 == 899", "Fix: Do the sum beforehand"),
            ("payload.a-b == 1", "Fix: Write a text in quotes"),
            (
                "payload.a.matches(r\"^a(?!b)\")",
                "Fix: Say in a condition of its own",
            ),
            (
                "payload.a.matches(r\"(?<=a)b\")",
                "Fix: Say in a condition of its own",
            ),
            (
                "payload.a.matches(r\"(a)\\1\")",
                "Fix: Write out the alternatives",
            ),
            (
                "payload.a.matches(r\"(a\")",
                "Fix: Write a regular expression as in",
            ),
        ] {
            let told = told(text);
            assert!(told.contains(fix), "{told}");
        }
    }

    #[test]
    fn a_function_may_have_been_mistyped() {
        assert!(told("payload.a.startswith(\"x\")").ends_with("Fix: Did you mean 'startsWith'?"));
    }
}
