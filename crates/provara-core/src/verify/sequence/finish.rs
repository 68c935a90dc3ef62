//! The end of the log: what can only be decided with all of it, and the notes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::finding::{Code, Finding};
use crate::history::{KeyHistory, KeyStanding};
use crate::id::KeyId;
use crate::keys::KeyRegistry;
use crate::layout::{KEYS, LOG};
use crate::mark::may_sign;
use crate::verify::line::Problem;
use crate::verify::timeline::Position;

use super::events::Seen;
use super::redaction::Accepted;
use super::{LinePlace, LogCounts, LogVerdict, Sequencer};

impl Seen {
    /// Where it stands.
    fn place(&self) -> LinePlace {
        LinePlace {
            line: self.line,
            offset: self.offset,
            actor: self.author.actor,
            id: Some(self.id),
        }
    }
}

impl Sequencer {
    /// Ends the log: what could only be decided with all of it, and the counts.
    #[must_use]
    pub fn finish(mut self, registry: &KeyRegistry) -> LogVerdict {
        let gaps = self.finish_links();
        self.finish_boundaries();
        let accepted = self.finish_tombstones();
        let history = KeyHistory::build(&self.key_events);
        self.finish_keys(history.as_ref(), registry);
        let notes = self.notes(&accepted);
        let counts = self.counts(&accepted);
        let (redacted_lines, redactions): (Vec<_>, Vec<_>) = accepted
            .into_iter()
            .map(|it| (it.line, it.sentence))
            .unzip();
        // A stable sort: findings of one line stay in the order in which they were made.
        self.findings.sort_by_key(|finding| finding.line);
        self.finish_end();
        // In a marked vault the whole file is held against what signed events say of it.
        let contradictions = match history {
            Some(_) => Vec::new(),
            None => self.timeline.contradictions(registry),
        };
        for problem in contradictions {
            let mut finding = Finding::new(problem.code, KEYS, problem.message);
            finding.expected = problem.expected;
            finding.found = problem.found;
            self.findings.push(finding);
        }
        let mut revoked_keys: Vec<_> = self.timeline.revocations().map(|(id, _)| id).collect();
        revoked_keys.sort_unstable();
        let revocations = self.timeline.revocations();
        let trusted_until = revocations.map(|(id, it)| (id, u64::from(it.distrusted_from)));
        let trusted_until = trusted_until.collect();
        LogVerdict {
            notes,
            counts,
            introduced: self.introduced,
            event_count: self.events.len() as u64,
            lines: self.lines,
            promoted_keys: self.timeline.promoted(registry),
            revoked_keys,
            trusted_until,
            sealed_by: self.sealed_by.map(|(id, _)| id),
            closed_at: self.sealed_by.map(|(_, number)| number),
            history,
            first_event: self.events.first(),
            last_event: self.events.last(),
            tree: self.tree,
            roots: self.roots,
            leaves: self.leaves,
            files: self.files,
            gaps,
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
            let later = self.events.find(&prev);
            if later.is_none() {
                let actor = place.actor.map(|actor| self.actors[actor as usize].clone());
                gaps.extend(actor);
            }
            let problem = match later {
                Some(later) if later.author.actor == place.actor => Problem::new(
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
        for (position, seen) in self.events.from(first) {
            if let Some(key) = seen.author.key
                && let Some((key, gap, event)) = gaps.get(&key)
                && gap.contains(&position)
            {
                let place = seen.place();
                late.push((place, *key, *event));
            }
        }
        for (place, key, event) in late {
            let message =
                format!("key {key} was revoked by {event} with a trust boundary before this event");
            self.report(place, Problem::new(Code::E202, message));
        }
    }

    /// Keys that signed and may not have, once for each: at its first event, with how many there are.
    fn finish_keys(&mut self, history: Option<&KeyHistory>, registry: &KeyRegistry) {
        if let (None, Some((place, count))) = (history, self.naming)
            && !self.is_marked
        {
            let message = format!(
                "the event names a seal or the line before it, as only events of a marked vault do, and no \
                 mark is in the log (events that do: {count})"
            );
            self.report(place, Problem::new(Code::E206, message));
        }
        if let Some(key) = history.and_then(KeyHistory::unvouched)
            && let Some(adoption) = self.key_events.iter().find(|it| it.signer == key)
        {
            let message = format!(
                "the vault was adopted by key {key}, to which no signed events lead from the GENESIS event"
            );
            let at = Position::try_from(adoption.number - 1).expect("it is one of the events");
            let place = self.events.get(at).place();
            self.report(place, Problem::new(Code::W009, message));
        }
        let mut signed: BTreeMap<u32, (LinePlace, u64)> = BTreeMap::new();
        let objects = |key: &KeyId| match history {
            Some(history) => history.standing(key, u64::MAX),
            None if !self.is_marked && !self.introduced.contains(key) => KeyStanding::NotIntroduced,
            None => KeyStanding::Counts,
        };
        let has_role = |key: &KeyId| match registry.get(key) {
            Some(entry) if history.is_none() => may_sign(&entry.roles),
            _ => true,
        };
        // A redacted event names a key and proves nothing of it; yet in a marked vault it may name no
        // other than one of the vault.
        let heads = self.heads.values();
        let proven: HashSet<u32> = heads.flat_map(|head| &head.keys).copied().collect();
        let suspects: Vec<bool> = (0u32..)
            .zip(&self.keys)
            .map(|(number, key)| {
                let may_not = matches!(
                    objects(key),
                    KeyStanding::NotIntroduced | KeyStanding::NoRole
                );
                (may_not || !has_role(key)) && (history.is_some() || proven.contains(&number))
            })
            .collect();
        if !suspects.contains(&true) {
            return;
        }
        for (_, seen) in self.events.from(0) {
            if let Some(key) = seen.author.key
                && suspects[key as usize]
            {
                signed.entry(key).or_insert((seen.place(), 0)).1 += 1;
            }
        }
        let problems: Vec<_> = signed
            .into_iter()
            .flat_map(|(key, (place, count))| {
                let id = self.keys[key as usize];
                let many = format!("(events by it: {count})");
                let introduced = match objects(&id) {
                    KeyStanding::NotIntroduced if history.is_some() => Some(Problem::new(
                        Code::E205,
                        format!("no signed event of the vault leads to key {id}, which signed {many}"),
                    )),
                    KeyStanding::NotIntroduced => Some(Problem::new(
                        Code::W009,
                        format!(
                            "keys.json alone vouches for key {id}, as no signed events lead to it from \
                             the GENESIS event {many}"
                        ),
                    )),
                    _ => None,
                };
                let role = (objects(&id) == KeyStanding::NoRole || !has_role(&id)).then(|| {
                    Problem::new(
                        Code::E202,
                        format!(
                            "key {id} has neither the role 'root' nor 'attestation', and so signs \
                             nothing {many}"
                        ),
                    )
                });
                introduced.into_iter().chain(role).map(move |it| (place, it))
            })
            .collect();
        for (place, problem) in problems {
            self.report(place, problem);
        }
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

    fn counts(&self, redacted: &[Accepted]) -> LogCounts {
        let unbound = redacted.iter().filter(|it| !it.is_bound).count();
        LogCounts {
            signatures_verified: self.signatures,
            keys_known: self.timeline.len() as u64,
            actors: self.actors.len() as u64,
            token_preserving_events: self.token_form,
            ids_without_actor_key_id: self.without_key_id,
            redacted_payloads: redacted.len() as u64,
            unbound_redactions: unbound as u64,
        }
    }

    fn notes(&self, redacted: &[Accepted]) -> Vec<String> {
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
            "events verified in the token-preserving canonical form (as older tools wrote them)",
        );
        count(
            self.without_key_id,
            "event ids derived without actor_key_id (as older tools did)",
        );
        let bound = redacted.iter().filter(|it| it.is_bound).count();
        count(
            bound as u64,
            "payloads redacted by valid redaction events, whose signatures vouch for what is left of \
             those lines",
        );
        count(
            (redacted.len() - bound) as u64,
            "payloads redacted by valid redaction events that bind nothing, so that no signature proves \
             anything of those lines",
        );
        if !self.unvouched_rotations.is_empty() && !self.is_marked {
            notes.push(format!(
                "key rotations by keys to which no signed events lead, by line: {}",
                list(&self.unvouched_rotations)
            ));
        }
        if let Some((seal, _)) = self.sealed_by {
            notes.push(format!("the vault is closed by {seal}"));
        }
        notes
    }
}

fn list(items: impl IntoIterator<Item: ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}
