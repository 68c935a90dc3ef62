//! What an event waits for in a merge beside its chain (spec/VAULT_FORMAT, section 7): a redaction for its
//! target, a revocation for its trust boundary and its key, a promotion for the revocation of the key that
//! it replaces, and every event for the one that brought its key. A log in which it stands before that does
//! not verify, and clocks alone would put it there.

use std::collections::{HashMap, HashSet};

use super::Entry;
use crate::history::KeyEventKind;
use crate::id::{EventId, KeyId};
use crate::json::{self, Value};
use crate::mark::SEAL_POLICY;
use crate::scan::{Field, Line};
use crate::verify::REDACTION_TYPE;

/// What an event needs before it, and what it is needed for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// The target of a redaction, the trust boundary of a revocation.
    event: Option<EventId>,
    /// The key that a revocation takes out of use, which has to be there.
    known: Option<KeyId>,
    /// The key that a promotion replaces, which has to be revoked.
    revoked: Option<KeyId>,
    /// The key that it brings, which is not there before it.
    brings: Option<KeyId>,
    /// The key that it revokes.
    revokes: Option<KeyId>,
    /// The keys that it introduces for the whole log.
    introduces: Vec<KeyId>,
}

impl Need {
    /// What an event of this type says.
    pub(super) fn of(kind: &str, line: &Line<'_>) -> Self {
        let kind = match KeyEventKind::of(kind) {
            None if kind != REDACTION_TYPE => return Self::default(),
            kind => kind,
        };
        let payload = line
            .raw(Field::Payload)
            .and_then(|raw| json::parse(raw).ok());
        let Some(payload) = payload else {
            return Self::default();
        };
        let text = |name| payload.get(name).and_then(Value::as_str);
        let event = |name| text(name)?.parse().ok();
        let key = |names: &[&'static str]| names.iter().find_map(|name| text(name)?.parse().ok());
        match kind {
            None => Self {
                event: event("target_event_id"),
                ..Self::default()
            },
            Some(KeyEventKind::Revocation) => Self {
                event: event("trust_boundary_event_id"),
                known: key(&["revoked_key_id"]),
                revokes: key(&["revoked_key_id"]),
                ..Self::default()
            },
            Some(KeyEventKind::Promotion) => Self {
                revoked: key(&["replaces_key_id"]),
                brings: key(&["new_key_id", "promoted_key_id"]),
                ..Self::default()
            },
            Some(KeyEventKind::Addition) => Self {
                brings: key(&["key_id"]),
                ..Self::default()
            },
            Some(KeyEventKind::Genesis | KeyEventKind::Adoption) => {
                let named = ["root_key_id", "quorum_key_id"].map(text);
                let policy = payload.get(SEAL_POLICY);
                let policy = policy.and_then(|it| it.get("keys")?.as_array());
                let listed = policy.unwrap_or_default().iter();
                let listed = listed.map(|key| key.get("key_id").and_then(Value::as_str));
                let keys = named.into_iter().chain(listed).flatten();
                Self {
                    introduces: keys.filter_map(|key| key.parse().ok()).collect(),
                    ..Self::default()
                }
            }
        }
    }
}

/// Something that an event waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cause {
    Event(EventId),
    /// That the key is there.
    Key(KeyId),
    /// That the key is revoked.
    Revocation(KeyId),
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// For how many things each event waits.
    count: Vec<u8>,
    waiting: HashMap<Cause, Vec<u32>>,
}

impl Waiting {
    pub(super) fn of(entries: &[Entry<'_>], index: &HashMap<EventId, u32>) -> Self {
        let mut waiting = Self {
            count: vec![0; entries.len()],
            ..Self::default()
        };
        let mut introduced = HashSet::new();
        let (mut brought, mut revoked) = (HashSet::new(), HashSet::new());
        for entry in entries {
            brought.extend(entry.need.brings);
            revoked.extend(entry.need.revokes);
            introduced.extend(entry.need.introduces.iter().copied());
        }
        brought.retain(|key| !introduced.contains(key));
        for (at, entry) in (0u32..).zip(entries) {
            let need = &entry.need;
            let late = |key: &KeyId| brought.contains(key);
            let keys = [entry.signer, need.known].into_iter().flatten();
            let keys = keys.filter(late).map(Cause::Key);
            let event = need.event.filter(|id| index.contains_key(id));
            let replaced = need.revoked.filter(|key| revoked.contains(key));
            let causes = keys
                .chain(event.map(Cause::Event))
                .chain(replaced.map(Cause::Revocation));
            for cause in causes {
                waiting.waiting.entry(cause).or_default().push(at);
                waiting.count[at as usize] += 1;
            }
        }
        waiting
    }

    pub(super) fn is_waiting(&self, at: u32) -> bool {
        self.count[at as usize] > 0
    }

    /// Takes the event at `at`; gives those that wait for nothing more.
    pub(super) fn take(&mut self, at: u32, entry: &Entry<'_>) -> Vec<u32> {
        self.count[at as usize] = 0;
        let causes = [
            Some(Cause::Event(entry.id)),
            entry.need.brings.map(Cause::Key),
            entry.need.revokes.map(Cause::Revocation),
        ];
        let freed = causes.into_iter().flatten();
        let mut freed: Vec<u32> = freed
            .filter_map(|cause| self.waiting.remove(&cause))
            .flatten()
            .collect();
        freed.retain(|waits| {
            let count = &mut self.count[*waits as usize];
            let before = *count;
            *count = before.saturating_sub(1);
            before == 1
        });
        freed
    }
}
