//! Which keys count where, as the events of a proof have it.

use std::collections::BTreeMap;

use crate::history::{KeyEvent, KeyEventKind, KeyHistory, KeyStanding};
use crate::id::{EventId, KeyId};
use crate::scan::{Field, Line};

/// Which keys count where, as the events of a proof have it.
pub(super) struct Trust {
    /// In a marked vault, the keys to which they lead.
    pub(super) history: Option<KeyHistory>,
    /// Of keys that they revoke, over how many events what they sign counts.
    until: BTreeMap<KeyId, u64>,
}

impl Trust {
    pub(super) fn of(lines: &[(u64, Line<'_>)], history: Option<KeyHistory>) -> Self {
        let mut until = BTreeMap::new();
        for (at, line) in lines {
            let Some(event) = KeyEvent::read(line, at + 1) else {
                continue;
            };
            let (KeyEventKind::Revocation, Some(key)) = (event.kind, event.subject()) else {
                continue;
            };
            let boundary = event.payload.get("trust_boundary_event_id");
            let boundary = boundary.and_then(|id| id.as_str()?.parse::<EventId>().ok());
            let trusted = match boundary {
                // All that is before the revocation.
                None => *at,
                // An event that is not shown could stand anywhere: then nothing of the key counts.
                Some(id) => place_of(lines, id).map_or(0, |place| place + 1).min(*at),
            };
            until.entry(key).or_insert(trusted);
        }
        Self { history, until }
    }

    /// Whether `key` may sign after `after` events what is the `last`th event, or over so many.
    pub(super) fn counts(&self, key: &KeyId, after: u64, last: u64) -> bool {
        let known = match &self.history {
            Some(history) => history.standing(key, after) == KeyStanding::Counts,
            None => true,
        };
        known && self.until.get(key).is_none_or(|until| last <= *until)
    }
}

/// Where the event with this id stands.
fn place_of(lines: &[(u64, Line<'_>)], id: EventId) -> Option<u64> {
    let is_it = |line: &Line<'_>| {
        let stated = line.text(Field::EventId);
        stated.and_then(|it| it.parse::<EventId>().ok()) == Some(id)
    };
    let found = lines.iter().find(|(_, line)| is_it(line));
    found.map(|(at, _)| *at)
}
