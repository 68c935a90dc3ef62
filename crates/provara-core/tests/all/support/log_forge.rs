//! Writes logs as several actors with several keys would, and lets tests break them.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "the tests of provara-vault use a part of it, too"
)]

use provara_core::content::SignedEvent;
use provara_core::event::Draft;
use provara_core::finding::{Code, Finding};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value, object};
use provara_core::keys::{KeyEntry, KeyRegistry, KeyStatus, SigningKey};
use provara_core::mark::SealPolicy;
use provara_core::time::Timestamp;
use provara_core::verify::{LogVerdict, verify_log};

/// Writes a log as several actors with several keys would.
pub struct Log {
    pub lines: Vec<Vec<u8>>,
    pub ids: Vec<EventId>,
    pub heads: Vec<(String, EventId, u64)>,
    pub registry: KeyRegistry,
    pub clock: i64,
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// An event without a namespace that names neither a seal nor a line: its actor's `place` in the chain, and
/// its time in microseconds.
pub fn signed(
    actor: &str,
    seed: u8,
    event_type: &str,
    payload: &Value<'_>,
    (prev, ts_logical): (Option<EventId>, u64),
    micros: i64,
) -> SignedEvent {
    Draft {
        event_type: &event_type.parse().unwrap(),
        actor,
        namespace: None,
        payload,
        prev,
        ts_logical,
        timestamp: Timestamp::from_unix_micros(micros).unwrap(),
        seal: None,
        after: None,
    }
    .sign(&key(seed))
    .unwrap()
}

pub fn id(seed: u8) -> KeyId {
    key(seed).key_id()
}

pub fn entry(seed: u8) -> KeyEntry {
    KeyEntry {
        key_id: id(seed),
        public_key: key(seed).public(),
        roles: vec!["root".into(), "attestation".into()],
        scopes: vec!["all".into()],
        status: KeyStatus::Active,
        created_at_utc: "2026-01-01T00:00:00.000000Z".into(),
        revoked_at_utc: None,
        revocation_event_id: None,
        promotion_event_id: None,
        addition_event_id: None,
    }
}

/// A seal policy with these keys.
pub fn policy(seeds: &[u8]) -> Value<'static> {
    let keys = seeds.iter().map(|seed| (&entry(*seed)).into());
    SealPolicy {
        keys: keys.collect(),
    }
    .to_value()
}

impl Log {
    /// A vault with the keys 1 (root), 2 and 3, its GENESIS and one event each of two actors.
    pub fn new() -> Self {
        let mut log = Self::with_keys(&[1, 2, 3]);
        log.add("alice", 2, "com.acme.audit.login", r#"{"n":1}"#);
        log.add("bob", 3, "com.acme.audit.login", r#"{"n":2}"#);
        log
    }

    pub fn with_keys(seeds: &[u8]) -> Self {
        let mut log = Self {
            lines: Vec::new(),
            ids: Vec::new(),
            heads: Vec::new(),
            registry: KeyRegistry {
                keys: seeds.iter().map(|seed| entry(*seed)).collect(),
                ..KeyRegistry::default()
            },
            clock: 1_800_000_000_000_000,
        };
        log.add("genesis", 1, "GENESIS", r#"{"uid":"u"}"#);
        log
    }

    /// A log whose GENESIS carries these keys, the first of which is the root key and signs it.
    pub fn marked(seeds: &[u8]) -> Self {
        let mut log = Self::with_keys(seeds);
        log.edit_signed(0, seeds[0], |members| {
            let payload = object([
                ("root_key_id", id(seeds[0]).to_string().into()),
                ("seal_policy", policy(seeds)),
                ("uid", "u".into()),
            ]);
            set(members, "actor_key_id", id(seeds[0]).to_string().into());
            set(members, "payload", payload);
        });
        log
    }

    pub fn add(&mut self, actor: &str, seed: u8, event_type: &str, payload: &str) -> EventId {
        let payload = json::parse(payload.as_bytes()).unwrap().into_owned();
        self.add_value(actor, seed, event_type, &payload)
    }

    pub fn add_value(
        &mut self,
        actor: &str,
        seed: u8,
        event_type: &str,
        payload: &Value<'_>,
    ) -> EventId {
        let head = self.heads.iter().position(|(name, ..)| name == actor);
        let (prev, logical) =
            head.map_or((None, 0), |at| (Some(self.heads[at].1), self.heads[at].2));
        self.clock += 1_000;
        let event = signed(
            actor,
            seed,
            event_type,
            payload,
            (prev, logical + 1),
            self.clock,
        );
        match head {
            Some(at) => self.heads[at] = (actor.into(), event.id, logical + 1),
            None => self.heads.push((actor.into(), event.id, 1)),
        }
        self.lines.push(event.line);
        self.ids.push(event.id);
        event.id
    }

    pub fn revoke(
        &mut self,
        actor: &str,
        signer: u8,
        revoked: u8,
        boundary: Option<EventId>,
    ) -> EventId {
        let boundary = boundary.map_or("null".into(), |id| format!("\"{id}\""));
        let event = self.add(
            actor,
            signer,
            "KEY_REVOCATION",
            &format!(
                r#"{{"reason":"lost","revoked_at_utc":"2026-01-02T00:00:00Z","revoked_key_id":"{}","trust_boundary_event_id":{boundary}}}"#,
                id(revoked)
            ),
        );
        if let Some(entry) = self
            .registry
            .keys
            .iter_mut()
            .find(|entry| entry.key_id == id(revoked))
        {
            entry.status = KeyStatus::Revoked;
            entry.revocation_event_id = Some(event);
        }
        event
    }

    pub fn promote(&mut self, actor: &str, signer: u8, new: u8, replaces: u8) -> EventId {
        let event = self.add(
            actor,
            signer,
            "KEY_PROMOTION",
            &format!(
                r#"{{"algorithm":"Ed25519","new_key_id":"{}","new_public_key_b64":"{}","promoted_at_utc":"2026-01-02T00:00:00Z","promoted_by":"{}","replaces_key_id":"{}","roles":["root"]}}"#,
                id(new),
                key(new).public().to_base64(),
                id(signer),
                id(replaces)
            ),
        );
        let mut entry = entry(new);
        entry.promotion_event_id = Some(event);
        self.registry.keys.push(entry);
        event
    }

    /// Rewrites line `at` (from 0) with `edit` and derives id and signature anew.
    pub fn edit_signed(
        &mut self,
        at: usize,
        seed: u8,
        edit: impl FnOnce(&mut Vec<(String, Value<'static>)>),
    ) {
        let line = self.lines[at].clone();
        let Value::Object(members) = json::parse(&line).unwrap().into_owned() else {
            panic!()
        };
        let mut members: Vec<_> = members
            .into_iter()
            .map(|(key, value)| (key.into_owned(), value))
            .filter(|(key, _)| key != "event_id" && key != "sig")
            .collect();
        edit(&mut members);
        let canonical = |members: &[(String, Value<'static>)]| {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone().into(), value.clone()));
            provara_core::canonical::jcs(&Value::Object(members.collect())).unwrap()
        };
        let event_id = EventId::from_digest(Digest::of(&canonical(&members)));
        members.push(("event_id".into(), event_id.to_string().into()));
        let sig = key(seed).sign(&canonical(&members)).to_base64();
        members.push(("sig".into(), sig.into()));
        self.lines[at] = canonical(&members);
        self.lines[at].push(b'\n');
        for head in self.heads.iter_mut().filter(|head| head.1 == self.ids[at]) {
            head.1 = event_id;
        }
        self.ids[at] = event_id;
    }

    /// Edits the text of line `at` and derives id and signature anew in the token-preserving form.
    pub fn edit_tokens(&mut self, at: usize, seed: u8, from: &str, to: &str) {
        self.edit_text(at, from, to);
        let Value::Object(mut members) = json::parse(&self.lines[at]).unwrap().into_owned() else {
            panic!("an event is an object")
        };
        members.retain(|(name, _)| name != "event_id" && name != "sig");
        let bytes = |members: &json::Object<'static>| {
            provara_core::canonical::token_preserving(&Value::Object(members.clone()))
        };
        let event_id = EventId::from_digest(Digest::of(&bytes(&members)));
        members.push(("event_id".into(), event_id.to_string().into()));
        let sig = key(seed).sign(&bytes(&members)).to_base64();
        members.push(("sig".into(), sig.into()));
        self.lines[at] = [bytes(&members), b"\n".to_vec()].concat();
    }

    /// Edits the text of line `at` and nothing else.
    pub fn edit_text(&mut self, at: usize, from: &str, to: &str) {
        let text = String::from_utf8(self.lines[at].clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        self.lines[at] = text.replacen(from, to, 1).into_bytes();
    }

    /// The verdict but for what every log of this forge gets, as it has no mark and names no root key:
    /// that keys.json alone vouches for its keys, and that its redactions are as older tools make them.
    pub fn verdict(&self) -> LogVerdict {
        let mut verdict = self.whole_verdict();
        verdict
            .findings
            .retain(|finding| !matches!(finding.code, Code::W009 | Code::W012));
        verdict
    }

    pub fn whole_verdict(&self) -> LogVerdict {
        verify_log(&self.lines.concat(), &self.registry)
    }

    /// The codes and lines of what is found.
    pub fn found(&self) -> Vec<(Code, u64)> {
        let place = |finding: &Finding| (finding.code, finding.line.unwrap_or(0));
        self.verdict().findings.iter().map(place).collect()
    }
}

pub fn set(members: &mut Vec<(String, Value<'static>)>, key: &str, value: Value<'static>) {
    members.retain(|(name, _)| name != key);
    members.push((key.into(), value));
}
