//! What an event does beyond standing in its chain: it founds the vault, rotates a key, permits a
//! redaction, or closes the log.

use crate::event_type::CoreType;
use crate::finding::Code;
use crate::id::{EventId, KeyId};
use crate::json::Value;
use crate::verify::files::Predecessor;
use crate::verify::line::{Event, Kind, Problem};
use crate::verify::timeline::{Position, RotationEvent};

use super::{Genesis, Place, Sequencer};

impl Sequencer {
    /// Lets the event take effect. `proven` says whether its signature is that of the key it names,
    /// `sound` whether nothing at all is wrong with it.
    pub(super) fn meaning(
        &mut self,
        place: Place,
        event: &Event<'_>,
        at: Position,
        proven: bool,
        mut sound: bool,
    ) {
        let genesis = event.kind == Kind::Core(CoreType::Genesis);
        if genesis != (at == 0) {
            sound = false;
            let message = if genesis {
                "a vault has one GENESIS event, at its start"
            } else {
                "the log does not start with a GENESIS event"
            };
            self.report(place, Problem::new(Code::E302, message));
        }
        let (Some(id), Some(signer)) = (event.id, event.key_id) else {
            return;
        };
        match (event.kind, &event.payload) {
            (Kind::Core(CoreType::Genesis), Some(payload)) if at == 0 => {
                self.found(place, payload, proven.then_some(signer));
            }
            (
                Kind::Core(core @ (CoreType::KeyRevocation | CoreType::KeyPromotion)),
                Some(payload),
            ) => {
                let rotation = RotationEvent {
                    id,
                    at,
                    signer,
                    payload,
                };
                self.rotate(place, core, &rotation, sound);
            }
            (Kind::Redaction, Some(payload)) => self.redact(place, id, payload, sound),
            (Kind::Seal, _) if sound => self.sealed_by = Some(id),
            _ => {}
        }
    }

    /// The `GENESIS` event: the identity that it states, and the keys that it brings. A key that signs
    /// for a root of another id would found a vault in somebody else's name.
    fn found(&mut self, place: Place, payload: &Value<'_>, proven: Option<KeyId>) {
        let text = |name| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        // What is stated and cannot be read would be held against nothing.
        for name in ["uid", "root_key_id", "quorum_key_id"] {
            let stated = payload.get(name).filter(|value| **value != Value::Null);
            if stated.is_some_and(|value| value.as_str().is_none()) {
                let message = format!("the payload's '{name}' is not a string");
                self.report(place, Problem::new(Code::E300, message));
            }
        }
        let (predecessor, faults) = Predecessor::read(payload);
        for (code, message) in faults {
            self.report(place, Problem::new(code, message));
        }
        let genesis = Genesis {
            uid: text("uid"),
            root_key_id: text("root_key_id"),
            quorum_key_id: text("quorum_key_id"),
            predecessor,
        };
        let key = |text: &Option<String>| text.as_ref()?.parse::<KeyId>().ok();
        if let (Some(signer), Some(root)) = (proven, key(&genesis.root_key_id)) {
            if signer == root {
                self.introduced.insert(root);
                self.introduced.extend(key(&genesis.quorum_key_id));
            } else {
                let message = "the GENESIS event is not signed by the root key that it names";
                let problem = Problem::new(Code::E302, message);
                self.report(place, problem.compare(root, signer));
            }
        }
        self.genesis = Some(genesis);
    }

    fn rotate(&mut self, place: Place, core: CoreType, event: &RotationEvent<'_>, sound: bool) {
        let ruling = if core == CoreType::KeyRevocation {
            let index = &self.index;
            let locate = |id: &EventId| index.get(id).copied();
            self.timeline.revoke(event, sound, locate)
        } else {
            self.timeline.promote(event, sound)
        };
        for problem in ruling.problems {
            self.report(place, problem);
        }
        if let Some(key) = ruling.affected {
            if !self.introduced.contains(&event.signer) {
                self.unvouched_rotations.push(place.line);
            } else if core == CoreType::KeyPromotion {
                self.introduced.insert(key);
            }
        }
    }

    fn redact(&mut self, place: Place, id: EventId, payload: &Value<'_>, sound: bool) {
        let target = payload.get("target_event_id").and_then(Value::as_str);
        let target = target.and_then(|text| text.parse().ok());
        if target.is_none() {
            let message = "the redaction names no 'target_event_id'";
            self.report(place, Problem::new(Code::E300, message));
        } else if sound {
            self.redactions.insert(id, (target, place));
        }
    }
}
