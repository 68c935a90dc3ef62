//! Verdicts of a verifier beside those of dalek.

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use provara_signatures::{Backend, Chosen, Decided, Item, Limits, Secret, Verifier};

use crate::cases::Case;

/// A table of 8 bits for every key, one of 6, and what a verifier does by itself.
pub(crate) fn limits(backend: Backend) -> [Limits; 3] {
    let wide = Limits {
        narrow_from: 1,
        wide_from: 1,
        most_bytes: usize::MAX,
    };
    let narrow = Limits {
        wide_from: u64::MAX,
        ..wide
    };
    [wide, narrow, Limits::of(backend)]
}

/// The back ends with tables. One that the processor lacks is told of, and is an error where `PROVARA_EVERY_BACKEND` is
/// set.
pub(crate) fn backends() -> Vec<Chosen> {
    let chosen = |backend| match Chosen::forced(backend) {
        Ok(chosen) => Some(chosen),
        Err(missing) => {
            eprintln!("NOT TESTED: {missing}");
            let all = std::env::var_os("PROVARA_EVERY_BACKEND");
            assert!(all.is_none(), "PROVARA_EVERY_BACKEND is set");
            None
        }
    };
    [Backend::Portable, Backend::Avx2, Backend::Avx512]
        .into_iter()
        .filter_map(chosen)
        .collect()
}

/// What dalek says, given whole messages.
pub(crate) fn by_dalek(keys: &[VerifyingKey], cases: &[Case]) -> Vec<bool> {
    let verdict = |case: &Case| {
        let signature = Signature::from_bytes(&case.signature);
        keys[case.key].verify(&case.message, &signature).is_ok()
    };
    cases.iter().map(verdict).collect()
}

/// Holds what a verifier says, given messages in parts and so many signatures at a time, against what dalek said.
pub(crate) fn compare(
    chosen: Chosen,
    limits: Limits,
    keys: &[VerifyingKey],
    cases: &[Case],
    expected: &[bool],
    at_a_time: usize,
) -> Decided {
    let secret = Secret::known([1; 32]);
    let verifier = Verifier::with_limits(chosen, secret, keys, limits);
    let mut verdicts = Vec::new();
    let mut sum = Decided::default();
    for (cases, expected) in cases.chunks(at_a_time).zip(expected.chunks(at_a_time)) {
        let items: Vec<Item<'_>> = cases.iter().map(Case::item).collect();
        let decided = verifier
            .verify(&items, &mut verdicts)
            .unwrap_or_else(|it| panic!("{it}: {:?}", cases[it.item]));
        for ((verdict, expected), case) in verdicts.iter().zip(expected).zip(cases) {
            assert_eq!(verdict, expected, "{}: {case:?}", chosen.backend());
        }
        assert_eq!(verdicts.len(), cases.len());
        sum.by_tables += decided.by_tables;
        sum.by_dalek += decided.by_dalek;
        sum.confirmed += decided.confirmed;
    }
    assert_eq!(sum.by_tables + sum.by_dalek, cases.len());
    sum
}
