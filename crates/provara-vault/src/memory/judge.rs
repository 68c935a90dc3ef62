//! What is there, held against what was remembered.

use std::collections::HashSet;

use provara_core::finding::{Code, Finding};
use provara_core::layout;

use super::record::Record;
use super::{Leaf, Present};

/// What came of a comparison with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What is there begins with what was remembered.
    Continues,
    /// Every event that was remembered is there, in another order: a merge, on this machine or another.
    Reordered,
    /// Another vault.
    Other,
    /// Events are gone; how many, if the leaves were kept.
    Gone(Option<u64>),
    /// The same events under a seal that is older than the one that was remembered.
    EarlierSeal,
}

/// Judges a record; `kept` gives its leaves.
pub(super) fn judge(
    record: &Record,
    present: &Present<'_>,
    kept: &dyn Fn() -> Option<Vec<Leaf>>,
) -> Verdict {
    if record.identity != present.identity {
        return Verdict::Other;
    }
    let within = record.size <= present.size;
    if within && (present.root_at)(record.size) == Some(record.tree_root) {
        let earlier = |seal: &super::SealSeen| {
            seal.root != record.seal_root && seal.signed_at < record.signed_at
        };
        return match record.size == present.size && present.seal.as_ref().is_some_and(earlier) {
            true => Verdict::EarlierSeal,
            false => Verdict::Continues,
        };
    }
    let missing = kept().and_then(|kept| {
        let there: HashSet<Leaf> = (present.leaves)()?.into_iter().collect();
        Some(kept.iter().filter(|leaf| !there.contains(*leaf)).count() as u64)
    });
    match missing {
        Some(0) if within => Verdict::Reordered,
        missing => Verdict::Gone(missing),
    }
}

impl Verdict {
    pub(super) fn code(self) -> Option<Code> {
        match self {
            Self::Continues | Self::Reordered => None,
            Self::Other => Some(Code::W011),
            Self::Gone(_) | Self::EarlierSeal => Some(Code::W010),
        }
    }

    /// The warning, if this is one.
    pub(super) fn finding(self, record: &Record, present: &Present<'_>) -> Option<Finding> {
        let code = self.code()?;
        let seen = format!(
            "(at '{}', {}; the last one was {})",
            record.path.display(),
            record.seen_at,
            record.last_event
        );
        let (size, events) = (record.size, events(record.size));
        let message = match self {
            Self::Other => format!(
                "this machine knows another vault at this place: {}, with {events} {seen}",
                record.identity
            ),
            Self::Gone(Some(missing)) if missing > 0 => format!(
                "of the {size} events that this machine saw here {seen}, {missing} {} not there any more",
                if missing == 1 { "is" } else { "are" }
            ),
            Self::Gone(_) if size > present.size => format!(
                "this machine saw {events} here {seen}, and there {} now",
                match present.size {
                    1 => "is 1".to_owned(),
                    size => format!("are {size}"),
                }
            ),
            Self::Gone(_) => {
                format!(
                    "the log does not begin with the {events} that this machine saw here {seen}"
                )
            }
            _ => format!(
                "the {events} that this machine saw here {seen} are there, under an earlier seal than \
                 the one that it saw: files beside the log may be those of an earlier state"
            ),
        };
        let finding = match self {
            Self::Other => {
                let finding = Finding::new(code, layout::GENESIS, message);
                finding.compare(record.identity, present.identity)
            }
            Self::EarlierSeal => {
                let finding = Finding::new(code, layout::MANIFEST_SIG, message);
                let found = present.seal.map_or_else(String::new, |seal| {
                    format!("{}, signed {}", seal.root, seal.signed_at)
                });
                finding.compare(
                    format!("{}, signed {}", record.seal_root, record.signed_at),
                    found,
                )
            }
            _ => {
                let root = match size > present.size {
                    true => (present.root_at)(present.size),
                    false => (present.root_at)(size),
                };
                let there = size.min(present.size);
                let found = match root {
                    Some(root) => format!("{}, tree root {root}", self::events(there)),
                    None => self::events(there),
                };
                let finding = Finding::new(code, layout::LOG, message);
                finding.compare(format!("{events}, tree root {}", record.tree_root), found)
            }
        };
        Some(finding)
    }

    /// What is worth a note.
    pub(super) fn note(self, record: &Record) -> Option<String> {
        (self == Self::Reordered).then(|| {
            format!(
                "the {} that this machine saw here ('{}', {}) are all there, re-ordered as a merge does: nothing \
                 is missing, and what was published of the earlier order (a tree head) no longer fits",
                events(record.size),
                record.path.display(),
                record.seen_at
            )
        })
    }
}

/// The note that another copy was longer.
pub(super) fn longer(record: &Record, present: &Present<'_>) -> String {
    format!(
        "the copy of this vault at '{}' had {} when this machine saw it ({}), and this one has {}: right for an earlier \
         copy or a restored backup; if this one is meant to be the newest, look at that one, and merge it into this \
         one",
        record.path.display(),
        events(record.size),
        record.seen_at,
        present.size
    )
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}
