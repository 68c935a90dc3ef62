//! Which keys a log introduces, from where on each counts, and what `keys.json` must therefore say after
//! each event (spec/VAULT_FORMAT, section 4).
//!
//! Only of a marked vault: there the keys follow from signed events alone and never from the file that lists
//! them, which whoever can write the vault's files can change.

mod event;

use std::collections::BTreeMap;

pub use self::event::{KeyEvent, KeyEventKind, Proof, is_redactable};
use crate::id::KeyId;
use crate::keys::{KeyEntry, KeyRegistry, PublicKey};
use crate::mark::{SEAL_POLICY, SealPolicy, may_sign};

/// From where to where a key counts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    public_key: PublicKey,
    roles: Vec<String>,
    /// The event that brought it; 0 for a key that a seal policy introduces, which is known throughout.
    from: u64,
    /// The event that revoked it.
    revoked: Option<u64>,
}

/// Whether a key counts after so many events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// It may sign.
    Counts,
    /// No signed event leads to it.
    NotIntroduced,
    /// The event that brings it comes later.
    NotYet,
    /// It was revoked.
    Revoked,
    /// Its roles hold neither `root` nor `attestation`.
    NoRole,
}

/// The keys of a marked vault over its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory {
    /// The keys of the seal policies: known throughout.
    base: KeyRegistry,
    /// The events that took effect, in order.
    changes: Vec<KeyEvent>,
    spans: BTreeMap<KeyId, Span>,
    unvouched: Option<KeyId>,
}

impl KeyHistory {
    /// The keys over a log whose key events are these, in its order; `None` for a vault without a mark.
    ///
    /// An event counts only if a key signed it that is introduced and counts at its place. An adoption
    /// introduces its keys for the whole log, wherever it stands.
    #[must_use]
    pub fn build(events: &[KeyEvent]) -> Option<Self> {
        let genesis = events.first().filter(|it| it.kind == KeyEventKind::Genesis);
        let mark = genesis.filter(|it| it.payload.get(SEAL_POLICY).is_some());
        let mut accepted: Vec<usize> = Vec::new();
        let mut unvouched = None;
        let founding = match mark {
            Some(genesis) => {
                let policy = genesis.policy()?;
                let signer = |key: &&crate::mark::PolicyKey| {
                    key.public_key.key_id() == genesis.signer
                        && genesis.is_signed_by(&key.public_key)
                };
                policy.keys.iter().find(signer)?;
                policy
            }
            None => {
                let (first, vouched) = first_adoption(events, genesis)?;
                accepted.push(first);
                unvouched = (!vouched).then(|| events[first].signer);
                SealPolicy::default()
            }
        };
        loop {
            let base = base_of(&founding, events, &accepted);
            let walk = Walk::over(&base, events);
            let next = walk.adoptions.iter().find(|at| !accepted.contains(at));
            let Some(next) = next.copied() else {
                return Some(Self {
                    base,
                    changes: walk.changes,
                    spans: walk.spans,
                    unvouched,
                });
            };
            accepted.push(next);
            accepted.sort_unstable();
        }
    }

    /// What `keys.json` says after the first `events` events, entries in the order in which they came.
    #[must_use]
    pub fn registry_after(&self, events: u64) -> KeyRegistry {
        let mut registry = self.base.clone();
        for change in self.changes.iter().take_while(|it| it.number <= events) {
            change.apply(&mut registry);
        }
        registry
    }

    /// The bytes of `keys.json` after the first `events` events.
    #[must_use]
    pub fn text_after(&self, events: u64) -> Vec<u8> {
        self.registry_after(events).to_json()
    }

    /// Every text that `keys.json` has over the log: the number of events from which on it stands, and the
    /// text. The first stands from the start.
    pub fn texts(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let mut registry = self.base.clone();
        let first = std::iter::once((0, registry.to_json()));
        first.chain(self.changes.iter().map(move |change| {
            change.apply(&mut registry);
            (change.number, registry.to_json())
        }))
    }

    /// How a `keys.json` that lists `listed` differs from what signed events say after the first `events`
    /// events, as a sentence that names the keys; `None` where it says the same.
    #[must_use]
    pub fn difference(&self, listed: &KeyRegistry, events: u64) -> Option<String> {
        let said = self.registry_after(events);
        let lacking = |these: &KeyRegistry, those: &KeyRegistry| -> Vec<KeyId> {
            let ids = these.keys.iter().map(|entry| entry.key_id);
            ids.filter(|id| those.get(id).is_none()).collect()
        };
        let foreign = lacking(listed, &said);
        let missing = lacking(&said, listed);
        let changed = said.keys.iter().filter(|entry| {
            let there = listed.get(&entry.key_id);
            there.is_some_and(|there| there != *entry)
        });
        let changed: Vec<_> = changed.map(|entry| entry.key_id).collect();
        let mut parts = Vec::new();
        if !foreign.is_empty() {
            let keys = named(&foreign);
            parts.push(format!(
                "lists {keys}, to which no signed event of the log leads"
            ));
        }
        if !missing.is_empty() {
            let keys = named(&missing);
            parts.push(format!(
                "lacks {keys}, to which signed events of the log lead"
            ));
        }
        if !changed.is_empty() {
            let keys = named(&changed);
            parts.push(format!(
                "says something else of {keys} than the signed events of the log"
            ));
        }
        let of_revoked = KeyRegistry::parse(&said.to_json()).map(|said| said.revocations);
        if parts.is_empty() && of_revoked.is_ok_and(|said| said != listed.revocations) {
            parts.push("has another list 'revocations' than the log's events give".to_owned());
        }
        (!parts.is_empty()).then(|| format!("it {}", parts.join("; it ")))
    }

    /// Whether the key may sign what stands after the first `events` events: the next event, or their seal.
    #[must_use]
    pub fn standing(&self, key: &KeyId, events: u64) -> KeyStanding {
        match self.spans.get(key) {
            None => KeyStanding::NotIntroduced,
            Some(span) if span.from > events => KeyStanding::NotYet,
            Some(span) if span.revoked.is_some_and(|at| at <= events) => KeyStanding::Revoked,
            Some(span) if !may_sign(&span.roles) => KeyStanding::NoRole,
            Some(_) => KeyStanding::Counts,
        }
    }

    /// The number of the event that introduced the key; 0 for a key that counts from the start of the log.
    #[must_use]
    pub fn introduced_at(&self, key: &KeyId) -> Option<u64> {
        self.spans.get(key).map(|span| span.from)
    }

    /// The number of the event that revoked the key.
    #[must_use]
    pub fn revoked_at(&self, key: &KeyId) -> Option<u64> {
        self.spans.get(key)?.revoked
    }

    /// The public half of a key that the log introduces.
    #[must_use]
    pub fn public_key(&self, key: &KeyId) -> Option<&PublicKey> {
        self.spans.get(key).map(|span| &span.public_key)
    }

    /// The key that signed the adoption on which all others rest, where no signed event leads to it: its
    /// owner was trusted by whoever adopted the vault.
    #[must_use]
    pub fn unvouched(&self) -> Option<KeyId> {
        self.unvouched
    }
}

/// What is said of a `keys.json` that says what signed events say, in other bytes.
pub const KEYS_WRITTEN_DIFFERENTLY: &str =
    "it says of the keys what the signed events of the log say, and is written differently";

/// Keys in a sentence.
fn named(ids: &[KeyId]) -> String {
    let names: Vec<_> = ids.iter().map(KeyId::to_string).collect();
    match names.len() {
        1 => format!("the key {}", names[0]),
        _ => format!("the keys {}", names.join(", ")),
    }
}

fn base_of(founding: &SealPolicy, events: &[KeyEvent], accepted: &[usize]) -> KeyRegistry {
    let adopted = accepted.iter().filter_map(|at| events[*at].policy());
    let mut base = KeyRegistry::default();
    for policy in std::iter::once(founding.clone()).chain(adopted) {
        for key in policy.keys {
            let entry = key.entry();
            if base.get(&entry.key_id).is_none() {
                base.keys.push(entry);
            }
        }
    }
    base
}

/// The adoption that marks a vault whose `GENESIS` does not: the first by a key to which signed events lead,
/// or else the first that its own keys sign. The flag tells which.
fn first_adoption(events: &[KeyEvent], genesis: Option<&KeyEvent>) -> Option<(usize, bool)> {
    let named = |name| genesis?.text(name)?.parse::<KeyId>().ok();
    let named = [named("root_key_id"), named("quorum_key_id")];
    let founder = genesis.map(|it| it.signer);
    let mut fallback = None;
    for (at, event) in events.iter().enumerate() {
        if event.kind != KeyEventKind::Adoption {
            continue;
        }
        let base = base_of(&SealPolicy::default(), events, &[at]);
        let walk = Walk::over(&base, events);
        if !walk.adoptions.contains(&at) {
            continue;
        }
        // A GENESIS that another key signed than the one that it names founds nothing.
        let founded = founder.is_some() && founder == named[0];
        let genesis_holds = genesis.is_some_and(|genesis| {
            let founder = walk.spans.get(&genesis.signer);
            founded && founder.is_some_and(|span| genesis.is_signed_by(&span.public_key))
        });
        if genesis_holds && walk.leads(named.iter().flatten().copied(), event.signer) {
            return Some((at, true));
        }
        fallback = fallback.or(Some((at, false)));
    }
    fallback
}

/// The key events of a log in order, as far as they take effect.
struct Walk {
    spans: BTreeMap<KeyId, Span>,
    changes: Vec<KeyEvent>,
    /// The adoptions by a key that counted at their place.
    adoptions: Vec<usize>,
}

impl Walk {
    fn over(base: &KeyRegistry, events: &[KeyEvent]) -> Self {
        let span = |entry: &KeyEntry, from| Span {
            public_key: entry.public_key.clone(),
            roles: entry.roles.clone(),
            from,
            revoked: None,
        };
        let mut walk = Self {
            spans: base
                .keys
                .iter()
                .map(|entry| (entry.key_id, span(entry, 0)))
                .collect(),
            changes: Vec::new(),
            adoptions: Vec::new(),
        };
        for (at, event) in events.iter().enumerate() {
            let signs = |span: &&Span| {
                span.revoked.is_none()
                    && may_sign(&span.roles)
                    && event.is_signed_by(&span.public_key)
            };
            if walk.spans.get(&event.signer).filter(signs).is_none() {
                continue;
            }
            let subject = event.subject().filter(|key| *key != event.signer);
            match event.kind {
                KeyEventKind::Genesis => {}
                KeyEventKind::Adoption => {
                    if event.policy().is_some() {
                        walk.adoptions.push(at);
                    }
                }
                KeyEventKind::Revocation => {
                    let known = subject.and_then(|key| walk.spans.get_mut(&key));
                    if let Some(known) = known.filter(|span| span.revoked.is_none()) {
                        known.revoked = Some(event.number);
                        walk.changes.push(event.clone());
                    }
                }
                KeyEventKind::Promotion | KeyEventKind::Addition => {
                    if let Some(entry) = event.brings().filter(|it| Some(it.key_id) == subject) {
                        let brought = span(&entry, event.number);
                        let known = walk.spans.entry(entry.key_id).or_insert(brought);
                        if known.revoked.is_none() {
                            walk.changes.push(event.clone());
                        }
                    }
                }
            }
        }
        walk
    }

    /// Whether signed events lead from the keys `named` to `key`.
    fn leads(&self, named: impl Iterator<Item = KeyId>, key: KeyId) -> bool {
        let mut led: Vec<KeyId> = named.filter(|id| self.spans.contains_key(id)).collect();
        for change in &self.changes {
            if led.contains(&change.signer) {
                led.extend(change.brings().map(|entry| entry.key_id));
            }
        }
        led.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EventId;
    use crate::json::{Value, object, parse};
    use crate::keys::SigningKey;
    use crate::mark::PolicyKey;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; 32])
    }

    fn id(byte: u8) -> KeyId {
        key(byte).key_id()
    }

    fn policy(keys: &[u8]) -> Value<'static> {
        let keys = keys.iter().map(|byte| PolicyKey {
            public_key: key(*byte).public(),
            roles: vec!["attestation".into()],
            scopes: vec!["all".into()],
            created_at_utc: "2026-01-01T00:00:00.000000Z".into(),
        });
        SealPolicy {
            keys: keys.collect(),
        }
        .to_value()
    }

    fn event(number: u64, signer: u8, kind: KeyEventKind, payload: Value<'static>) -> KeyEvent {
        let signed = format!("event {number}").into_bytes();
        KeyEvent {
            number,
            id: EventId([number as u8; 12]),
            signer: id(signer),
            kind,
            payload,
            proof: Some(Proof {
                signature: key(signer).sign(&signed),
                signed,
            }),
        }
    }

    fn genesis(keys: Option<&[u8]>, root: u8) -> KeyEvent {
        let mut members = vec![("root_key_id", Value::from(id(root).to_string()))];
        members.extend(keys.map(|keys| (SEAL_POLICY, policy(keys))));
        event(1, root, KeyEventKind::Genesis, object(members))
    }

    fn adoption(number: u64, signer: u8, keys: &[u8]) -> KeyEvent {
        let payload = object([(SEAL_POLICY, policy(keys))]);
        event(number, signer, KeyEventKind::Adoption, payload)
    }

    fn addition(number: u64, signer: u8, added: u8) -> KeyEvent {
        let payload = format!(
            r#"{{"key_id":"{}","public_key_b64":"{}","roles":["attestation"]}}"#,
            id(added),
            key(added).public().to_base64()
        );
        let payload = parse(payload.as_bytes()).unwrap().into_owned();
        event(number, signer, KeyEventKind::Addition, payload)
    }

    fn revocation(number: u64, signer: u8, revoked: u8) -> KeyEvent {
        let payload = object([("revoked_key_id", id(revoked).to_string().into())]);
        event(number, signer, KeyEventKind::Revocation, payload)
    }

    #[test]
    fn keys_count_from_where_signed_events_bring_them() {
        let events = [
            genesis(Some(&[1, 2]), 1),
            addition(4, 1, 3),
            revocation(6, 2, 1),
            addition(8, 1, 4),
            addition(9, 9, 5),
        ];
        let history = KeyHistory::build(&events).unwrap();
        assert_eq!(history.standing(&id(1), 5), KeyStanding::Counts);
        assert_eq!(history.standing(&id(1), 6), KeyStanding::Revoked);
        assert_eq!(history.standing(&id(3), 3), KeyStanding::NotYet);
        assert_eq!(history.standing(&id(3), 4), KeyStanding::Counts);
        assert_eq!(
            history.standing(&id(4), 9),
            KeyStanding::NotIntroduced,
            "by a revoked key"
        );
        assert_eq!(
            history.standing(&id(5), 9),
            KeyStanding::NotIntroduced,
            "by a stranger"
        );
        let texts: Vec<_> = history.texts().collect();
        assert_eq!(
            texts.iter().map(|(from, _)| *from).collect::<Vec<_>>(),
            [0, 4, 6]
        );
        assert_eq!(texts[2].1, history.text_after(100));
        assert_eq!(history.registry_after(3).keys.len(), 2);
        assert_eq!(
            history.registry_after(4).keys[2].addition_event_id,
            Some(events[1].id)
        );
    }

    #[test]
    fn a_vault_without_a_mark_has_no_history() {
        assert_eq!(
            KeyHistory::build(&[genesis(None, 1), addition(3, 1, 2)]),
            None
        );
        assert_eq!(KeyHistory::build(&[]), None);
        // A mark that the root key did not sign, or that does not list it, is none.
        let mut forged = genesis(Some(&[1]), 1);
        forged.proof.as_mut().unwrap().signature.0[0] ^= 1;
        assert_eq!(KeyHistory::build(&[forged]), None);
        assert_eq!(KeyHistory::build(&[genesis(Some(&[2]), 1)]), None);
    }

    #[test]
    fn an_adoption_marks_the_whole_log_if_signed_events_lead_to_its_signer() {
        let events = [genesis(None, 1), adoption(5, 1, &[1, 2])];
        let history = KeyHistory::build(&events).unwrap();
        assert_eq!(history.standing(&id(2), 1), KeyStanding::Counts);
        assert_eq!(history.unvouched(), None);

        // A stranger's own adoption, though it stands first, does not count beside one that does.
        let forged = [
            genesis(None, 1),
            adoption(2, 9, &[1, 9]),
            adoption(5, 1, &[1, 2]),
        ];
        let history = KeyHistory::build(&forged).unwrap();
        assert_eq!(history.standing(&id(9), 9), KeyStanding::NotIntroduced);
        assert_eq!(history.unvouched(), None);

        // Alone it counts, and is told.
        let trusted = [genesis(None, 1), adoption(2, 9, &[1, 9])];
        let history = KeyHistory::build(&trusted).unwrap();
        assert_eq!(history.unvouched(), Some(id(9)));

        // In a marked vault only a key of the vault adopts.
        let marked = [
            genesis(Some(&[1]), 1),
            adoption(2, 9, &[9]),
            adoption(3, 1, &[1, 4]),
        ];
        let history = KeyHistory::build(&marked).unwrap();
        assert_eq!(history.standing(&id(9), 9), KeyStanding::NotIntroduced);
        assert_eq!(history.standing(&id(4), 0), KeyStanding::Counts);
    }
}
