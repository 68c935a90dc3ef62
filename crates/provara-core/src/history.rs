//! Which keys a log introduces, from where on each counts, and what `keys.json` must therefore say after
//! each event (spec/VAULT_FORMAT, section 4).
//!
//! Only of a marked vault: there the keys follow from signed events alone and never from the file that lists
//! them, which whoever can write the vault's files can change.

use std::collections::BTreeMap;

use crate::id::{EventId, KeyId};
use crate::json::Value;
use crate::keys::{KeyEntry, KeyRegistry, KeyStatus, PublicKey, SIGNATURE_LENGTH};
use crate::mark::{ADOPTION_TYPE, KEY_ADDED_TYPE, SEAL_POLICY, SealPolicy, may_sign};

/// What an event does to the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEventKind {
    /// Founds the vault and, if it carries a seal policy, marks it.
    Genesis,
    /// Gives an older vault its mark.
    Adoption,
    /// Puts a key in the place of a revoked one.
    Promotion,
    /// Adds a key.
    Addition,
    /// Takes a key out of use.
    Revocation,
}

impl KeyEventKind {
    /// What an event of this type does to the keys; `None` for a type that does nothing to them.
    #[must_use]
    pub fn of(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "GENESIS" => Self::Genesis,
            "KEY_PROMOTION" => Self::Promotion,
            "KEY_REVOCATION" => Self::Revocation,
            ADOPTION_TYPE => Self::Adoption,
            KEY_ADDED_TYPE => Self::Addition,
            _ => return None,
        })
    }
}

/// A signature that is still to be checked, and what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The line without `sig`.
    pub signed: Vec<u8>,
    /// `sig`
    pub signature: [u8; SIGNATURE_LENGTH],
}

/// An event that speaks of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvent {
    /// Its place among the events of the log, from 1.
    pub number: u64,
    /// Its id.
    pub id: EventId,
    /// The key that signed it.
    pub signer: KeyId,
    /// What it does.
    pub kind: KeyEventKind,
    /// What it says.
    pub payload: Value<'static>,
    /// The signature, where nobody has checked it yet.
    pub proof: Option<Proof>,
}

impl KeyEvent {
    fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }

    /// The key that it takes out of use or brings.
    #[must_use]
    pub fn subject(&self) -> Option<KeyId> {
        let names: &[&str] = match self.kind {
            KeyEventKind::Revocation => &["revoked_key_id"],
            KeyEventKind::Promotion => &["new_key_id", "promoted_key_id"],
            KeyEventKind::Addition => &["key_id"],
            KeyEventKind::Genesis | KeyEventKind::Adoption => &[],
        };
        names.iter().find_map(|name| self.text(name)?.parse().ok())
    }

    fn policy(&self) -> Option<SealPolicy> {
        SealPolicy::parse(self.payload.get(SEAL_POLICY)?).ok()
    }

    /// The entry of `keys.json` for the key that a promotion or an addition brings; `None` for other
    /// events, and for a payload that no reader would let take effect.
    #[must_use]
    pub fn brings(&self) -> Option<KeyEntry> {
        let (key, at) = match self.kind {
            KeyEventKind::Promotion => ("new_public_key_b64", "promoted_at_utc"),
            KeyEventKind::Addition => ("public_key_b64", "added_at_utc"),
            _ => return None,
        };
        let public_key = PublicKey::from_base64(self.text(key)?).ok()?;
        let key_id = public_key.key_id();
        (self.subject() == Some(key_id)).then_some(())?;
        let roles = self.payload.get("roles").and_then(Value::as_array);
        let roles = roles.unwrap_or_default().iter();
        let promotes = self.kind == KeyEventKind::Promotion;
        Some(KeyEntry {
            key_id,
            public_key,
            roles: roles
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect(),
            scopes: vec!["all".to_owned()],
            status: KeyStatus::Active,
            created_at_utc: self.text(at).unwrap_or_default().to_owned(),
            revoked_at_utc: None,
            revocation_event_id: None,
            promotion_event_id: promotes.then_some(self.id),
            addition_event_id: (!promotes).then_some(self.id),
        })
    }

    /// Makes the change that the event makes to `keys.json`; gives whether it was one. Of two promotions
    /// of one key the first counts.
    pub fn apply(&self, registry: &mut KeyRegistry) -> bool {
        if let Some(entry) = self.brings() {
            let mut listed = registry.keys.iter_mut();
            return match listed.find(|known| known.key_id == entry.key_id) {
                None => {
                    registry.keys.push(entry);
                    true
                }
                Some(known) => {
                    let (known, new) = match self.kind {
                        KeyEventKind::Promotion => {
                            (&mut known.promotion_event_id, entry.promotion_event_id)
                        }
                        _ => (&mut known.addition_event_id, entry.addition_event_id),
                    };
                    let fresh = known.is_none();
                    *known = known.or(new);
                    fresh
                }
            };
        }
        if self.kind != KeyEventKind::Revocation {
            return false;
        }
        let subject = self.subject();
        let mut entries = registry.keys.iter_mut();
        let Some(entry) = entries.find(|entry| Some(entry.key_id) == subject) else {
            return false;
        };
        let before = entry.clone();
        entry.status = KeyStatus::Revoked;
        entry.revocation_event_id = Some(self.id);
        if entry.revoked_at_utc.is_none() {
            entry.revoked_at_utc = self.text("revoked_at_utc").map(str::to_owned);
        }
        *entry != before
    }

    /// Whether the signature is that of `key`, or was checked before.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.proof
            .as_ref()
            .is_none_or(|proof| key.verify(&proof.signed, &proof.signature).is_ok())
    }
}

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
pub enum Standing {
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

    /// Whether the key may sign what stands after the first `events` events: the next event, or their seal.
    #[must_use]
    pub fn standing(&self, key: &KeyId, events: u64) -> Standing {
        match self.spans.get(key) {
            None => Standing::NotIntroduced,
            Some(span) if span.from > events => Standing::NotYet,
            Some(span) if span.revoked.is_some_and(|at| at <= events) => Standing::Revoked,
            Some(span) if !may_sign(&span.roles) => Standing::NoRole,
            Some(_) => Standing::Counts,
        }
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
    use crate::json::{object, parse};
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
        assert_eq!(history.standing(&id(1), 5), Standing::Counts);
        assert_eq!(history.standing(&id(1), 6), Standing::Revoked);
        assert_eq!(history.standing(&id(3), 3), Standing::NotYet);
        assert_eq!(history.standing(&id(3), 4), Standing::Counts);
        assert_eq!(
            history.standing(&id(4), 9),
            Standing::NotIntroduced,
            "by a revoked key"
        );
        assert_eq!(
            history.standing(&id(5), 9),
            Standing::NotIntroduced,
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
        forged.proof.as_mut().unwrap().signature[0] ^= 1;
        assert_eq!(KeyHistory::build(&[forged]), None);
        assert_eq!(KeyHistory::build(&[genesis(Some(&[2]), 1)]), None);
    }

    #[test]
    fn an_adoption_marks_the_whole_log_if_signed_events_lead_to_its_signer() {
        let events = [genesis(None, 1), adoption(5, 1, &[1, 2])];
        let history = KeyHistory::build(&events).unwrap();
        assert_eq!(history.standing(&id(2), 1), Standing::Counts);
        assert_eq!(history.unvouched(), None);

        // A stranger's own adoption, though it stands first, does not count beside one that does.
        let forged = [
            genesis(None, 1),
            adoption(2, 9, &[1, 9]),
            adoption(5, 1, &[1, 2]),
        ];
        let history = KeyHistory::build(&forged).unwrap();
        assert_eq!(history.standing(&id(9), 9), Standing::NotIntroduced);
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
        assert_eq!(history.standing(&id(9), 9), Standing::NotIntroduced);
        assert_eq!(history.standing(&id(4), 0), Standing::Counts);
    }
}
