//! Redactions: which tombstones are accepted, and which redactions are not carried out
//! (spec/VAULT_FORMAT, section 8).

use std::collections::HashSet;

use crate::finding::Code;
use crate::id::{Digest, EventId};
use crate::verify::line::Problem;

use super::{LinePlace, Sequencer};

/// An event whose payload was replaced.
#[derive(Debug, Clone)]
pub(super) struct Redacted {
    pub(super) place: LinePlace,
    pub(super) redaction: Option<EventId>,
    /// The rules read the payload of some types, which therefore cannot be redacted.
    pub(super) permitted: bool,
    /// The leaf that it has if the payload was the one that the tombstone says.
    pub(super) leaf: Digest,
}

/// A sound redaction event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redaction {
    pub(super) target: EventId,
    pub(super) place: LinePlace,
    /// The leaf of its target; older tools do not state it.
    pub(super) leaf: Option<Digest>,
}

/// A tombstone that a redaction permits.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) line: u64,
    /// Whether the redaction states the leaf, so that its signature vouches for what is left.
    pub(super) is_bound: bool,
    /// Who redacted it, for people.
    pub(super) sentence: String,
}

impl Sequencer {
    /// The accepted tombstones, in order.
    pub(super) fn finish_tombstones(&mut self) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        let mut carried_out = HashSet::new();
        for tombstone in std::mem::take(&mut self.tombstones) {
            let line = tombstone.place.line;
            let named = tombstone
                .redaction
                .and_then(|id| Some((id, *self.redactions.get(&id)?)));
            let fits = |by: &Redaction| {
                tombstone.permitted && Some(by.target) == tombstone.place.id && by.place.line > line
            };
            let Some((id, by)) = named.filter(|(_, by)| fits(by)) else {
                let message = if tombstone.permitted {
                    "the payload was replaced, and no valid redaction event permits it"
                } else {
                    "the payload was replaced; an event of this type cannot be redacted"
                };
                self.report(tombstone.place, Problem::new(Code::E003, message));
                continue;
            };
            carried_out.insert(by.target);
            match by.leaf {
                Some(leaf) if leaf != tombstone.leaf => {
                    let message = "the redacted event is not the one that the redaction names: its \
                                   tombstone or another member was changed";
                    let problem = Problem::new(Code::E016, message);
                    self.report(tombstone.place, problem.compare(leaf, tombstone.leaf));
                    continue;
                }
                Some(_) => {}
                None => {
                    let message = "the redaction does not state the leaf hash of its target: nothing \
                                   shows that the rest of that event is as it was";
                    self.report(by.place, Problem::new(Code::W012, message));
                }
            }
            accepted.push(Accepted {
                line,
                is_bound: by.leaf.is_some(),
                sentence: format!(
                    "line {line}: the payload of {} was redacted by {id} (line {})",
                    by.target, by.place.line
                ),
            });
        }
        let mut open: Vec<_> = self
            .redactions
            .values()
            .filter(|by| !carried_out.contains(&by.target))
            .copied()
            .collect();
        open.sort_unstable_by_key(|by| by.place.line);
        for by in open {
            if self.events.position(&by.target).is_none() {
                let message = "the redaction's target is no event of the log";
                self.report(by.place, Problem::new(Code::E006, message));
            } else if !self.unredactable.contains(&by.target) {
                let message = "the redaction's target still has its payload";
                let problem = Problem::new(Code::W013, message);
                self.report(by.place, problem);
            }
        }
        accepted
    }
}
