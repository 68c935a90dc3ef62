//! The end of the log: what can only be decided with all of it, and the notes.

use std::collections::{BTreeSet, HashMap};

use crate::finding::{Code, Finding};
use crate::id::KeyId;
use crate::keys::KeyRegistry;
use crate::verify::LOG;
use crate::verify::line::Problem;

use super::{LogVerdict, Place, Sequencer};

impl Sequencer {
    /// Ends the log: what could only be decided with all of it, and the counts.
    #[must_use]
    pub fn finish(mut self, registry: &KeyRegistry) -> LogVerdict {
        let gaps = self.finish_links();
        self.finish_boundaries();
        let accepted = self.finish_tombstones();
        let (redacted_lines, redactions): (Vec<_>, Vec<_>) = accepted.into_iter().unzip();
        // A stable sort: findings of one line stay in the order in which they were made.
        self.findings.sort_by_key(|finding| finding.line);
        self.finish_end();
        for problem in self.timeline.contradictions(registry) {
            let mut finding = Finding::new(problem.code, "identity/keys.json", problem.message);
            finding.expected = problem.expected;
            finding.found = problem.found;
            self.findings.push(finding);
        }
        let mut revoked_keys: Vec<_> = self.timeline.revocations().map(|(id, _)| id).collect();
        revoked_keys.sort_unstable();
        LogVerdict {
            notes: self.notes(redactions.len()),
            introduced: self.introduced,
            event_count: self.events.len() as u64,
            promoted_keys: self.timeline.promoted(registry),
            revoked_keys,
            sealed_by: self.sealed_by,
            gaps,
            sealed_prefix: None,
            findings: self.findings,
            redactions,
            redacted_lines,
            genesis: self.genesis,
        }
    }

    /// Decides the references whose event could still have followed; gives the actors whose chains have
    /// a gap.
    fn finish_links(&mut self) -> BTreeSet<String> {
        let mut gaps = BTreeSet::new();
        for (place, prev, first) in std::mem::take(&mut self.dangling) {
            let later = self.index.get(&prev).map(|at| self.events[*at as usize]);
            if later.is_none() {
                let actor = place.actor.map(|actor| self.actors[actor as usize].clone());
                gaps.extend(actor);
            }
            let problem = match later {
                Some(later) if Some(later.actor) == place.actor => Problem::new(
                    Code::E002,
                    format!(
                        "'prev_event_hash' is an event that follows, in line {}",
                        later.line
                    ),
                ),
                Some(later) => Problem::new(
                    Code::E005,
                    format!(
                        "'prev_event_hash' is an event of another actor (line {})",
                        later.line
                    ),
                ),
                None if first => Problem::new(
                    Code::E013,
                    "the actor's first event follows an event that is not in the log",
                ),
                None if self.unreadable > 0 => Problem::new(
                    Code::E006,
                    "'prev_event_hash' names no event that could be read",
                ),
                None => Problem::new(Code::E006, "'prev_event_hash' names no event of the log"),
            };
            let mut problem = problem;
            problem.expected = first.then(|| "null".to_owned());
            problem.found = Some(prev.to_string());
            self.report(place, problem);
        }
        gaps
    }

    /// What a revoked key signed between its trust boundary and its revocation does not count.
    fn finish_boundaries(&mut self) {
        let gaps = self.timeline.revocations().filter_map(|(id, revocation)| {
            let gap = revocation.distrusted_from..revocation.at;
            let key = self.key_index.get(&id).filter(|_| !gap.is_empty())?;
            Some((*key, (id, gap, revocation.event)))
        });
        let gaps: HashMap<u32, _> = gaps.collect();
        let Some(first) = gaps.values().map(|(_, gap, _)| gap.start).min() else {
            return;
        };
        let mut late = Vec::new();
        for (seen, position) in self.events[first as usize..].iter().zip(first..) {
            if let Some((key, gap, event)) = gaps.get(&seen.key)
                && gap.contains(&position)
            {
                let place = Place {
                    line: u64::from(seen.line),
                    offset: seen.offset,
                    actor: (seen.actor != u32::MAX).then_some(seen.actor),
                    id: Some(seen.id),
                };
                late.push((place, *key, *event));
            }
        }
        for (place, key, event) in late {
            let message =
                format!("key {key} was revoked by {event} with a trust boundary before this event");
            self.report(place, Problem::new(Code::E202, message));
        }
    }

    /// The accepted tombstones: the line, and a sentence.
    fn finish_tombstones(&mut self) -> Vec<(u64, String)> {
        let mut accepted = Vec::new();
        for tombstone in std::mem::take(&mut self.tombstones) {
            let target = tombstone.place.id;
            let named = tombstone
                .redaction
                .and_then(|id| Some((id, self.redactions.get(&id)?)));
            match named {
                Some((redaction, (Some(named), by)))
                    if tombstone.permitted
                        && Some(*named) == target
                        && by.line > tombstone.place.line =>
                {
                    let line = tombstone.place.line;
                    let told = format!(
                        "line {line}: the payload of {named} was redacted by {redaction} (line {})",
                        by.line
                    );
                    accepted.push((line, told));
                }
                _ => {
                    let message = if tombstone.permitted {
                        "the payload was replaced, and no valid redaction event permits it"
                    } else {
                        "the payload was replaced; an event of this type cannot be redacted"
                    };
                    self.report(tombstone.place, Problem::new(Code::E003, message));
                }
            }
        }
        let mut orphans: Vec<_> = self
            .redactions
            .values()
            .filter(|(target, _)| target.is_some_and(|id| !self.index.contains_key(&id)))
            .map(|(_, place)| *place)
            .collect();
        orphans.sort_unstable_by_key(|place| place.line);
        for place in orphans {
            let message = "the redaction's target is no event of the log";
            self.report(place, Problem::new(Code::E006, message));
        }
        accepted
    }

    /// What concerns the log as a whole.
    fn finish_end(&mut self) {
        if self.events.is_empty() {
            let message = "the log holds no event; a vault starts with a GENESIS event";
            self.findings.push(Finding::new(Code::E302, LOG, message));
        }
        if self.open_end {
            let mut finding = Finding::new(Code::W006, LOG, "the last line has no line end");
            finding.line = Some(self.lines);
            self.findings.push(finding);
        }
        let older: Vec<String> = [
            ("events in token-preserving JSON", self.token_form),
            ("ids derived without actor_key_id", self.without_key_id),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(form, count)| format!("{form}: {count}"))
        .collect();
        if !older.is_empty() {
            let message = format!(
                "older forms that are read and no longer written ({})",
                older.join(", ")
            );
            self.findings.push(Finding::new(Code::W007, LOG, message));
        }
    }

    fn notes(&self, redactions: usize) -> Vec<String> {
        let mut notes = vec![format!(
            "signatures verified: {}; keys known: {}; actors: {}",
            self.signatures,
            self.timeline.len(),
            self.actors.len()
        )];
        let mut count = |number: u64, what: &str| {
            if number > 0 {
                notes.push(format!("{what}: {number}"));
            }
        };
        count(
            self.token_form,
            "events verified in the token-preserving canonical form (spec/VAULT_FORMAT, section 2)",
        );
        count(
            self.without_key_id,
            "event ids derived without actor_key_id (spec/VAULT_FORMAT, section 3)",
        );
        count(
            redactions as u64,
            "payloads redacted by valid redaction events, so that no signature proves anything of \
             those lines",
        );
        let signed = self.heads.values().flat_map(|head| &head.keys);
        let unvouched: BTreeSet<KeyId> = signed
            .map(|key| self.keys[*key as usize])
            .filter(|id| !self.introduced.contains(id))
            .collect();
        if !unvouched.is_empty() {
            notes.push(format!(
                "keys that signed and that keys.json alone vouches for, as no signed events lead to \
                 them from the GENESIS event: {}",
                list(unvouched)
            ));
        }
        if !self.unvouched_rotations.is_empty() {
            notes.push(format!(
                "key rotations that such keys signed, by line: {}",
                list(&self.unvouched_rotations)
            ));
        }
        if let Some(seal) = self.sealed_by {
            notes.push(format!("the vault is closed by {seal}"));
        }
        notes
    }
}

fn list(items: impl IntoIterator<Item: ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}
