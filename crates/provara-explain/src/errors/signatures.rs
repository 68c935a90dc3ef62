//! Which back end decides signatures.

use provara_report::text::inline;
use provara_report::{Class, Diagnostic};
use provara_vault::provara_signatures::{Backend, MissingBackend, UnknownBackend, VARIABLE};

/// The names that can be given.
fn names() -> String {
    Backend::ALL.map(Backend::name).join(", ")
}

/// What a name may be meant as.
fn meant(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// No back end has the name that was given.
pub fn unknown_signatures(error: &UnknownBackend) -> Diagnostic {
    let headline = format!(
        "{VARIABLE} is '{}', which is none of {}.",
        inline(&error.0),
        names()
    );
    // Most likely it is one of them in other letters.
    let fix = match Backend::ALL
        .into_iter()
        .find(|it| it.name() == meant(&error.0))
    {
        Some(backend) => format!("Set it to {backend}, in small letters and without spaces"),
        None => "Set it to one of these, in small letters".to_owned(),
    };
    Diagnostic::new(Class::Usage, headline).fix(format!(
        "{fix}, or unset it: then the fastest one that this processor can run is used."
    ))
}

/// This processor cannot run the back end that was given.
pub fn missing_signatures(error: MissingBackend) -> Diagnostic {
    let headline = format!(
        "{VARIABLE} is '{}', and this processor lacks what that needs.",
        error.0
    );
    Diagnostic::new(Class::Unavailable, headline).fix(
        "Unset it: the fastest one that this processor can run is used, and the verdicts are the same.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_choice_is_told_to_whom_it_concerns() {
        let unknown = unknown_signatures(&UnknownBackend("AVX\u{7}2".to_owned()));
        assert_eq!(unknown.class(), Class::Usage);
        let text = unknown.to_string();
        assert!(
            text.contains("PROVARA_SIGNATURES is 'AVX\\u{7}2'"),
            "{text}"
        );
        assert!(text.contains("dalek, portable, avx2, avx512"), "{text}");
        let letters = unknown_signatures(&UnknownBackend(" AVX2".to_owned())).to_string();
        assert!(
            letters.contains("Fix: Set it to avx2, in small"),
            "{letters}"
        );

        let missing = missing_signatures(MissingBackend(Backend::Avx512));
        assert_eq!(missing.class(), Class::Unavailable);
        let text = missing.to_string();
        assert!(
            text.contains("is 'avx512', and this processor lacks"),
            "{text}"
        );
    }
}
