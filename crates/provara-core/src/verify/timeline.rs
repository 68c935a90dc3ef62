//! Keys over time: which key counts at which position of the log (spec/VAULT_FORMAT, section 4).

use std::collections::{HashMap, HashSet};

use crate::event_type::CoreType;
use crate::finding::Code;
use crate::id::{EventId, KeyId};
use crate::json::Value;
use crate::keys::{ALGORITHM, KeyEntry, KeyRegistry, KeyStatus, PublicKey};
use crate::payload::{TIMESTAMP, required_fields};
use crate::time::Timestamp;
use crate::verify::line::Problem;

/// Position of an event among the events of the log, from 0.
pub(super) type Position = u32;

/// What is known of one key.
#[derive(Debug, Clone)]
pub(super) struct KeyState {
    pub(super) public_key: PublicKey,
    /// The promotion or addition that `keys.json` names; until one takes effect the key does not count.
    pub(super) awaits: Option<EventId>,
    /// The first promotion that took effect.
    pub(super) promoted: Option<EventId>,
    /// The addition that took effect.
    pub(super) added: Option<EventId>,
    /// Whether a seal policy introduces it.
    pub(super) founding: bool,
    /// The key that a promotion put this one in the place of.
    pub(super) replaces: Option<KeyId>,
    pub(super) revoked: Option<Revocation>,
}

/// A revocation that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revocation {
    /// Where it stands.
    pub(super) at: Position,
    pub(super) event: EventId,
    /// The first position whose signature by the key does not count; at most `at`.
    pub(super) distrusted_from: Position,
}

/// The keys as the log unfolds.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    keys: HashMap<KeyId, KeyState>,
}

impl Timeline {
    pub(super) fn new(registry: &KeyRegistry) -> Self {
        let state = |entry: &KeyEntry| KeyState {
            awaits: entry.promotion_event_id.or(entry.addition_event_id),
            ..KeyState::of(entry.public_key.clone())
        };
        Self {
            keys: registry
                .keys
                .iter()
                .map(|entry| (entry.key_id, state(entry)))
                .collect(),
        }
    }

    /// The keys as an earlier timeline left them.
    pub(super) fn of(keys: HashMap<KeyId, KeyState>) -> Self {
        Self { keys }
    }

    pub(super) fn states(&self) -> impl Iterator<Item = (&KeyId, &KeyState)> {
        self.keys.iter()
    }

    pub(super) fn get(&self, id: &KeyId) -> Option<&KeyState> {
        self.keys.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The revocations that took effect.
    pub(super) fn revocations(&self) -> impl Iterator<Item = (KeyId, Revocation)> {
        self.keys
            .iter()
            .filter_map(|(id, key)| Some((*id, key.revoked?)))
    }

    /// The keys in whose place `key` stands, through one rotation or several, the latest first.
    pub(super) fn predecessors(&self, key: KeyId) -> impl Iterator<Item = KeyId> {
        let replaced = |key: &KeyId| self.keys.get(key).and_then(|state| state.replaces);
        // A key replaces an earlier one, so the walk ends; the bound is for a forged circle.
        std::iter::successors(replaced(&key), replaced).take(self.keys.len())
    }

    /// What is wrong with a signature by `key` at this position: it was revoked, or it is not in
    /// effect yet.
    pub(super) fn signature_problem(&self, key: &KeyId) -> Option<Problem> {
        let state = self.keys.get(key)?;
        if let Some(revocation) = state.revoked {
            return Some(Problem::new(
                Code::E202,
                format!(
                    "key {key} was revoked by {} before this event",
                    revocation.event
                ),
            ));
        }
        state.awaits.map(|promotion| {
            Problem::new(
                Code::E202,
                format!("key {key} is not in effect before its promotion {promotion}"),
            )
        })
    }

    /// Holds a `KEY_REVOCATION` against the rules and lets it take effect if `sound` and nothing
    /// is wrong. `locate` tells where an event stands.
    pub(super) fn revoke(
        &mut self,
        event: &RotationEvent<'_>,
        sound: bool,
        locate: impl Fn(&EventId) -> Option<Position>,
    ) -> RotationOutcome {
        let mut problems = Vec::new();
        let mut affected = None;
        let field = |name| event.payload.get(name).and_then(Value::as_str);
        let distrusted_from = match event.payload.get("trust_boundary_event_id") {
            None => {
                problems.push(Problem::new(
                    Code::E203,
                    "the revocation does not state its trust boundary",
                ));
                None
            }
            Some(Value::Null) => Some(event.at),
            Some(value) => {
                let id = value.as_str().and_then(|text| text.parse::<EventId>().ok());
                let position = id.and_then(|id| locate(&id)).filter(|at| *at < event.at);
                if position.is_none() {
                    problems.push(Problem::new(
                        Code::E203,
                        "the trust boundary is no event that stands before the revocation",
                    ));
                }
                position.map(|position| position + 1)
            }
        };
        check_fields(CoreType::KeyRevocation, event, &mut problems);
        let revoked = field("revoked_key_id").and_then(|text| text.parse::<KeyId>().ok());
        if let Some(revoked) = revoked {
            if revoked == event.signer {
                problems.push(Problem::new(
                    Code::E200,
                    format!("key {revoked} signs its own revocation"),
                ));
            }
            match self.keys.get_mut(&revoked) {
                None => problems.push(Problem::new(
                    Code::E204,
                    format!("the revoked key {revoked} is not known"),
                )),
                Some(state) if state.revoked.is_some() => problems.push(Problem::new(
                    Code::E201,
                    format!("key {revoked} was revoked before"),
                )),
                Some(state) => {
                    if let (Some(distrusted_from), true, []) =
                        (distrusted_from, sound, &problems[..])
                    {
                        let (at, event) = (event.at, event.id);
                        state.revoked = Some(Revocation {
                            at,
                            event,
                            distrusted_from,
                        });
                        affected = Some(revoked);
                    }
                }
            }
        }
        RotationOutcome { problems, affected }
    }

    /// Holds a `KEY_PROMOTION` against the rules and lets it take effect if `sound` and nothing
    /// is wrong.
    pub(super) fn promote(&mut self, event: &RotationEvent<'_>, sound: bool) -> RotationOutcome {
        let mut problems = Vec::new();
        let mut affected = None;
        check_fields(CoreType::KeyPromotion, event, &mut problems);
        let key_id = |name| {
            let text = event.payload.get(name).and_then(Value::as_str);
            text.and_then(|text| text.parse::<KeyId>().ok())
        };
        let promoted = key_id("new_key_id").or_else(|| key_id("promoted_key_id"));
        let public_key = event
            .payload
            .get("new_public_key_b64")
            .and_then(Value::as_str);
        let public_key = public_key.map(PublicKey::from_base64);
        // Older writers use the second name; where both stand, both must be right.
        for name in ["new_key_id", "promoted_key_id"] {
            if let (Some(stated), Some(Ok(public_key))) = (event.payload.get(name), &public_key) {
                let stated = stated.as_str().unwrap_or("no text");
                let derived = public_key.key_id().to_string();
                if stated != derived {
                    let message = format!("'{name}' is not the id of the promoted key");
                    problems.push(Problem::new(Code::E102, message).compare(derived, stated));
                }
            }
        }
        if let Some(Err(error)) = &public_key {
            problems.push(Problem::new(
                Code::E300,
                format!("'new_public_key_b64' is {error}"),
            ));
        }
        if promoted == Some(event.signer) {
            let message = format!("key {} signs its own promotion", event.signer);
            problems.push(Problem::new(Code::E200, message));
        }
        if let Some(promoter) = key_id("promoted_by").filter(|key| *key != event.signer) {
            let message = "'promoted_by' is not the key that signed the promotion";
            problems.push(Problem::new(Code::E202, message).compare(event.signer, promoter));
        }
        if let Some(promoted) = promoted
            && self
                .keys
                .get(&promoted)
                .is_some_and(|state| state.revoked.is_some())
        {
            problems.push(Problem::new(
                Code::E202,
                format!("the promoted key {promoted} was revoked before"),
            ));
        }
        let replaced = key_id("replaces_key_id");
        if let Some(replaced) = replaced {
            let revoked = self
                .keys
                .get(&replaced)
                .is_some_and(|state| state.revoked.is_some());
            if !revoked {
                problems.push(Problem::new(
                    Code::E201,
                    format!("the promotion follows no revocation of {replaced}, which it replaces"),
                ));
            }
        }
        if let (Some(promoted), Some(Ok(public_key)), true, []) =
            (promoted, public_key, sound, &problems[..])
        {
            let state = self.keys.entry(promoted);
            let state = state.or_insert_with(|| KeyState::of(public_key));
            state.awaits = None;
            state.promoted.get_or_insert(event.id);
            state.replaces = replaced;
            affected = Some(promoted);
        }
        RotationOutcome { problems, affected }
    }

    /// Takes in the keys of a seal policy, which count throughout.
    pub(super) fn introduce<'k>(&mut self, keys: impl Iterator<Item = &'k PublicKey>) {
        for key in keys {
            let state = self.keys.entry(key.key_id());
            let state = state.or_insert_with(|| KeyState::of(key.clone()));
            state.founding = true;
            state.awaits = None;
        }
    }

    /// Holds a `com.provara.key.added` against the rules and lets it take effect if `sound` and nothing
    /// is wrong.
    pub(super) fn add(&mut self, event: &RotationEvent<'_>, sound: bool) -> RotationOutcome {
        let mut problems = Vec::new();
        let text = |name| event.payload.get(name).and_then(Value::as_str);
        let mut check = |name: &str, expected: &str, holds: bool| {
            if !holds {
                let message = format!("the payload needs '{name}' ({expected})");
                problems.push(Problem::new(Code::E300, message));
            }
        };
        let roles = event.payload.get("roles").and_then(Value::as_array);
        let are_texts = |list: &[Value<'_>]| list.iter().all(|role| role.as_str().is_some());
        check("roles", "a list of strings", roles.is_some_and(are_texts));
        check(
            "algorithm",
            "\"Ed25519\"",
            text("algorithm") == Some(ALGORITHM),
        );
        let at = text("added_at_utc").unwrap_or_default();
        check("added_at_utc", TIMESTAMP, at.parse::<Timestamp>().is_ok());
        let public_key = text("public_key_b64").map(PublicKey::from_base64);
        let public_key = match public_key {
            Some(Ok(key)) => Some(key),
            Some(Err(error)) => {
                let message = format!("'public_key_b64' is {error}");
                problems.push(Problem::new(Code::E300, message));
                None
            }
            None => {
                check("public_key_b64", "the Base64 of 32 bytes", false);
                None
            }
        };
        let Some(public_key) = public_key else {
            return RotationOutcome {
                problems,
                affected: None,
            };
        };
        let id = public_key.key_id();
        let stated = text("key_id").unwrap_or("no text");
        if stated != id.to_string() {
            let message = "'key_id' is not the id of the added key";
            problems.push(Problem::new(Code::E102, message).compare(id, stated));
        }
        if id == event.signer {
            let message = format!("key {id} signs its own addition");
            problems.push(Problem::new(Code::E200, message));
        }
        match self.keys.get(&id) {
            Some(known) if known.revoked.is_some() => problems.push(Problem::new(
                Code::E202,
                format!("the added key {id} was revoked before"),
            )),
            Some(known) if known.founding || known.promoted.is_some() => {
                let message = format!("key {id} is a key of the vault already");
                problems.push(Problem::new(Code::E201, message));
            }
            _ => {}
        }
        let takes_effect = sound && problems.is_empty();
        if takes_effect {
            let state = self.keys.entry(id);
            let state = state.or_insert_with(|| KeyState::of(public_key));
            state.awaits = None;
            // Two copies of a vault may have added it before they were merged: the first one counts.
            state.added.get_or_insert(event.id);
        }
        RotationOutcome {
            problems,
            affected: takes_effect.then_some(id),
        }
    }

    /// The public keys that the log promoted and `registry` does not list, by id.
    pub(super) fn promoted(&self, registry: &KeyRegistry) -> Vec<PublicKey> {
        let listed = listed(registry);
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .filter(|(id, _)| !listed.contains(*id))
            .collect();
        keys.sort_unstable_by_key(|(id, _)| **id);
        keys.into_iter()
            .map(|(_, state)| state.public_key.clone())
            .collect()
    }

    /// Where `keys.json` contradicts the log, in the order of its entries.
    pub(super) fn contradictions(&self, registry: &KeyRegistry) -> Vec<Problem> {
        let mut problems = Vec::new();
        for entry in &registry.keys {
            if let Some(state) = self.keys.get(&entry.key_id) {
                problems.extend(state.contradicted_revocation(entry));
                let (promoted, added) = (entry.promotion_event_id, entry.addition_event_id);
                problems.extend(contradicted(
                    entry.key_id,
                    "promotion",
                    state.promoted,
                    promoted,
                ));
                problems.extend(contradicted(entry.key_id, "addition", state.added, added));
            }
        }
        for stated in &registry.revocations {
            let state = self.keys.get(&stated.key_id);
            let id = stated.key_id;
            let message = match state.and_then(|state| state.revoked) {
                None => format!("'revocations' names key {id}, which the log does not revoke"),
                Some(revocation) if stated.event.is_some_and(|it| it != revocation.event) => {
                    format!("'revocations' names another revocation of key {id}")
                }
                Some(_) => continue,
            };
            problems.push(Problem::new(Code::E302, message));
        }
        let listed = listed(registry);
        let mut absent: Vec<_> = self
            .keys
            .keys()
            .filter(|id| !listed.contains(*id))
            .collect();
        absent.sort_unstable();
        problems.extend(absent.into_iter().map(|id| {
            Problem::new(
                Code::E204,
                format!("key {id}, which the log brings, is not listed"),
            )
        }));
        problems
    }
}

impl KeyState {
    /// A key of which the log has said nothing yet.
    pub(super) fn of(public_key: PublicKey) -> Self {
        Self {
            public_key,
            awaits: None,
            promoted: None,
            added: None,
            founding: false,
            replaces: None,
            revoked: None,
        }
    }

    fn contradicted_revocation(&self, entry: &KeyEntry) -> Option<Problem> {
        let id = entry.key_id;
        let (status, event) = match self.revoked {
            None => (KeyStatus::Active, None),
            Some(revocation) => (KeyStatus::Revoked, Some(revocation.event)),
        };
        let says = |status| match status {
            KeyStatus::Active => "active",
            KeyStatus::Revoked => "revoked",
        };
        if entry.status != status {
            let message = format!("keys.json contradicts the log on key {id}");
            let problem = Problem::new(Code::E302, message);
            return Some(problem.compare(says(status), says(entry.status)));
        }
        let message = match (event, entry.revocation_event_id) {
            (event, stated) if event == stated => return None,
            (None, _) => format!("keys.json names a revocation of key {id}, which is active"),
            (Some(_), None) => format!("keys.json does not name the revocation of key {id}"),
            (Some(_), Some(_)) => format!("keys.json names another revocation of key {id}"),
        };
        let problem = Problem::new(Code::E302, message);
        Some(problem.compare(or_none(event), or_none(entry.revocation_event_id)))
    }
}

/// Where `keys.json` names another event than the log has that brought a key.
fn contradicted(
    id: KeyId,
    what: &str,
    event: Option<EventId>,
    stated: Option<EventId>,
) -> Option<Problem> {
    let message = match (event, stated) {
        (event, stated) if event == stated => return None,
        (None, Some(stated)) => {
            format!("keys.json names {stated} as the {what} of key {id}; the log has none such")
        }
        (_, None) => format!("keys.json does not name the {what} of key {id}"),
        (Some(_), Some(_)) => format!("keys.json names another {what} of key {id}"),
    };
    let problem = Problem::new(Code::E302, message);
    Some(problem.compare(or_none(event), or_none(stated)))
}

fn or_none(event: Option<EventId>) -> String {
    event.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

fn listed(registry: &KeyRegistry) -> HashSet<KeyId> {
    registry.keys.iter().map(|entry| entry.key_id).collect()
}

/// What a rotation event came to.
pub(super) struct RotationOutcome {
    pub(super) problems: Vec<Problem>,
    /// The key that it revoked or promoted, if it took effect.
    pub(super) affected: Option<KeyId>,
}

/// A rotation event whose signature has been decided.
pub(super) struct RotationEvent<'a> {
    pub(super) id: EventId,
    pub(super) at: Position,
    pub(super) signer: KeyId,
    pub(super) payload: &'a Value<'a>,
}

fn check_fields(core: CoreType, event: &RotationEvent<'_>, problems: &mut Vec<Problem>) {
    for (field, expected, check) in required_fields(core) {
        // The boundary has a code of its own, and older writers name the new key otherwise.
        let value = match field {
            "trust_boundary_event_id" => continue,
            "new_key_id" => event
                .payload
                .get(field)
                .or(event.payload.get("promoted_key_id")),
            _ => event.payload.get(field),
        };
        if !value.is_some_and(check) {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            let code = if expected == TIMESTAMP && !text.is_empty() {
                Code::E105
            } else {
                Code::E300
            };
            let message = format!("the payload needs '{field}' ({expected})");
            problems.push(Problem::new(code, message));
        }
    }
}
