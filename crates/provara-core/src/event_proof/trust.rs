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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan_line;

    const KEY: &str = "bp1_00000000000000aa";
    const EVENT: &str = "evt_0000000000000000000000bb";

    fn line(event_type: &str, id: &str, payload: &str) -> String {
        let sig = "A".repeat(86) + "==";
        format!(
            r#"{{"actor":"a","actor_key_id":"bp1_00000000000000cc","event_id":"{id}","payload":{payload},"prev_event_hash":null,"sig":"{sig}","timestamp_utc":"2026-01-01T00:00:00Z","ts_logical":1,"type":"{event_type}"}}"#
        )
    }

    /// The trust after a revocation in line 6, with this boundary, where the event in line 3 is shown.
    fn after(boundary: &str) -> impl Fn(u64) -> bool + use<> {
        let shown = line("OBSERVATION", EVENT, "{}");
        let payload =
            format!(r#"{{"revoked_key_id":"{KEY}","trust_boundary_event_id":{boundary}}}"#);
        let revocation = line("KEY_REVOCATION", "evt_0000000000000000000000dd", &payload);
        let lines = [(2, shown), (5, revocation)];
        let lines: Vec<_> = lines
            .iter()
            .map(|(at, line)| (*at, scan_line(line.as_bytes()).unwrap()))
            .collect();
        let trust = Trust::of(&lines, None);
        let key: KeyId = KEY.parse().unwrap();
        let other: KeyId = "bp1_00000000000000cc".parse().unwrap();
        assert!(trust.counts(&other, 100, 100), "another key");
        move |last| trust.counts(&key, last, last)
    }

    #[test]
    fn what_a_revoked_key_signs_counts_up_to_its_boundary() {
        let counts = after(&format!("\"{EVENT}\""));
        assert!(counts(1) && counts(3) && !counts(4) && !counts(7));
        // Without one, up to the revocation.
        let counts = after("null");
        assert!(counts(1) && counts(5) && !counts(6) && !counts(7));
    }

    #[test]
    fn a_boundary_that_is_not_shown_could_stand_anywhere() {
        let counts = after("\"evt_0000000000000000000000ee\"");
        assert!(!counts(1) && !counts(7));
    }
}
