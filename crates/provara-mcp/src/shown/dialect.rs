//! The dialects of JSON Schema.

/// The dialects, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    Draft4,
    Draft6,
    Draft7,
    Draft201909,
    Draft202012,
}

impl Dialect {
    /// The dialect that `$schema` names.
    pub(super) fn of(name: &str) -> Option<Self> {
        [
            ("draft-04", Self::Draft4),
            ("draft-06", Self::Draft6),
            ("draft-07", Self::Draft7),
            ("2019-09", Self::Draft201909),
            ("2020-12", Self::Draft202012),
        ]
        .into_iter()
        .find(|(part, _)| name.contains(part))
        .map(|(_, dialect)| dialect)
    }
}
