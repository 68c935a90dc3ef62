//! What an event does beyond standing in its chain: it founds the vault, rotates a key, permits a
//! redaction, or closes the log.

use crate::event_type::CoreType;
use crate::finding::Code;
use crate::history::{KeyEvent, KeyEventKind};
use crate::id::{Digest, EventId, KeyId};
use crate::json::Value;
use crate::mark::{PolicyError, SEAL_POLICY, SealPolicy};
use crate::verify::Predecessor;
use crate::verify::line::{Event, Kind, Problem};
use crate::verify::timeline::{Position, RotationEvent};

use super::redaction::Redaction;
use super::{FilesStatement, Genesis, LinePlace, Sequencer};

fn policy_problem(error: &PolicyError) -> Problem {
    let code = match error {
        PolicyError::Version { .. } => Code::E303,
        PolicyError::Field { .. } => Code::E300,
        PolicyError::Id { .. } => Code::E102,
        PolicyError::Shape { .. } => Code::E302,
    };
    Problem::new(code, error.to_string())
}

impl Sequencer {
    /// Lets the event take effect. `proven` says whether its signature is that of the key it names,
    /// `sound` whether nothing at all is wrong with it.
    pub(super) fn apply_effects(
        &mut self,
        place: LinePlace,
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
        if !event.kind.is_redactable() {
            self.unredactable.insert(id);
        }
        let Some(payload) = &event.payload else {
            if event.kind == Kind::Seal && sound {
                self.sealed_by = Some((id, u64::from(at) + 1));
            }
            return;
        };
        let said = RotationEvent {
            id,
            at,
            signer,
            payload,
        };
        match event.kind {
            Kind::Core(CoreType::Genesis) if at == 0 => {
                self.apply_genesis(place, &said, proven.then_some(signer));
            }
            Kind::Core(CoreType::KeyRevocation) => {
                self.rotate(place, KeyEventKind::Revocation, &said, sound);
            }
            Kind::Core(CoreType::KeyPromotion) => {
                self.rotate(place, KeyEventKind::Promotion, &said, sound);
            }
            Kind::KeyAdded => self.rotate(place, KeyEventKind::Addition, &said, sound),
            Kind::Adoption => self.adopt(place, &said, sound),
            Kind::Files => self.state_files(place, payload, sound),
            Kind::Redaction => self.redact(place, id, payload, sound),
            Kind::Core(_) | Kind::Seal | Kind::Other => {}
        }
    }

    /// Keeps an event that speaks of keys, and that nothing is wrong with.
    fn keep(&mut self, kind: KeyEventKind, event: &RotationEvent<'_>) {
        self.key_events.push(KeyEvent {
            number: u64::from(event.at) + 1,
            id: event.id,
            signer: event.signer,
            kind,
            payload: event.payload.clone().into_owned(),
            proof: None,
        });
    }

    /// An adoption: the keys that it introduces.
    fn adopt(&mut self, place: LinePlace, event: &RotationEvent<'_>, sound: bool) {
        match event.payload.get(SEAL_POLICY).map(SealPolicy::parse) {
            Some(Ok(policy)) => {
                if sound {
                    let keys = policy.keys.iter().map(|key| &key.public_key);
                    self.timeline.introduce(keys);
                    self.keep(KeyEventKind::Adoption, event);
                }
            }
            Some(Err(error)) => self.report(place, policy_problem(&error)),
            None => {
                let message = "the payload needs 'seal_policy' (an object)";
                self.report(place, Problem::new(Code::E300, message));
            }
        }
    }

    /// A statement of the files beside the log.
    fn state_files(&mut self, place: LinePlace, payload: &Value<'_>, sound: bool) {
        let count = payload.get("file_count").and_then(Value::as_i64);
        let count = count.and_then(|count| u64::try_from(count).ok());
        let root = payload.get("files_root").and_then(Value::as_str);
        let root = root.and_then(|text| text.parse::<Digest>().ok());
        match (count, root) {
            (Some(count), Some(root)) if sound => self.files.push(FilesStatement {
                line: place.line,
                count,
                root,
            }),
            (Some(_), Some(_)) => {}
            (None, _) => {
                let message = "the payload needs 'file_count' (an integer)";
                self.report(place, Problem::new(Code::E300, message));
            }
            (_, None) => {
                let message = "the payload needs 'files_root' (64 hex digits)";
                self.report(place, Problem::new(Code::E100, message));
            }
        }
    }

    /// The `GENESIS` event: the identity that it states, and the keys that it brings. A key that signs
    /// for a root of another id would found a vault in somebody else's name.
    fn apply_genesis(
        &mut self,
        place: LinePlace,
        event: &RotationEvent<'_>,
        proven: Option<KeyId>,
    ) {
        let payload = event.payload;
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
        if let Some(policy) = payload.get(SEAL_POLICY) {
            self.mark(place, policy, &genesis, proven);
        }
        if proven.is_some() {
            self.keep(KeyEventKind::Genesis, event);
        }
        self.genesis = Some(genesis);
    }

    /// The mark: the keys of the vault, the root key first, which signs them.
    fn mark(
        &mut self,
        place: LinePlace,
        policy: &Value<'_>,
        genesis: &Genesis,
        proven: Option<KeyId>,
    ) {
        self.is_marked = true;
        let policy = match SealPolicy::parse(policy) {
            Ok(policy) => policy,
            Err(error) => return self.report(place, policy_problem(&error)),
        };
        let root = policy.keys.first().map(|key| &key.public_key);
        let id = root.map(|root| root.key_id());
        // The id is 64 bits of a hash; the signature was checked under the key that keys.json lists.
        let is_signer = id.is_some()
            && id == proven
            && id
                .and_then(|id| self.timeline.get(&id))
                .is_some_and(|known| Some(&known.public_key) == root);
        // A GENESIS event whose signature or id is wrong has findings of its own.
        if proven.is_none() {
            return;
        }
        let named = genesis.root_key_id.as_ref();
        if !is_signer
            || named
                .is_none_or(|named| Some(named.as_str()) != id.map(|id| id.to_string()).as_deref())
        {
            let message =
                "'seal_policy' does not begin with the root key, which signs the GENESIS event";
            self.report(place, Problem::new(Code::E302, message));
            return;
        }
        self.introduced
            .extend(policy.keys.iter().map(|key| key.public_key.key_id()));
        self.timeline
            .introduce(policy.keys.iter().map(|key| &key.public_key));
    }

    fn rotate(
        &mut self,
        place: LinePlace,
        kind: KeyEventKind,
        event: &RotationEvent<'_>,
        sound: bool,
    ) {
        let ruling = match kind {
            KeyEventKind::Revocation => {
                let locate = |id: &EventId| self.events.position(id);
                self.timeline.revoke(event, sound, locate)
            }
            KeyEventKind::Promotion => self.timeline.promote(event, sound),
            _ => self.timeline.add(event, sound),
        };
        for problem in ruling.problems {
            self.report(place, problem);
        }
        if let Some(key) = ruling.affected {
            self.keep(kind, event);
            if !self.introduced.contains(&event.signer) {
                self.unvouched_rotations.push(place.line);
            } else if kind != KeyEventKind::Revocation {
                self.introduced.insert(key);
            }
        }
    }

    fn redact(&mut self, place: LinePlace, id: EventId, payload: &Value<'_>, sound: bool) {
        let target = payload.get("target_event_id").and_then(Value::as_str);
        let target = target.and_then(|text| text.parse().ok());
        let leaf = payload.get("target_leaf_hash");
        let bound = leaf
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        let Some(target) = target else {
            let message = "the redaction names no 'target_event_id'";
            self.report(place, Problem::new(Code::E300, message));
            return;
        };
        if leaf.is_some() && bound.is_none() {
            let message = "'target_leaf_hash' is not 64 lower-case hex digits";
            self.report(place, Problem::new(Code::E100, message));
        } else if sound {
            let redaction = Redaction {
                target,
                place,
                leaf: bound,
            };
            self.redactions.insert(id, redaction);
        }
    }
}
