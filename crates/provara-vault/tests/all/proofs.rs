//! Proofs of events and of tree heads, checked without the vault.

use crate::common::{Fixture, note, publish_head, remembering, rotation, verified_log};
use provara_core::event_proof::ShownEvent;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::scan::{Field, scan_line};
use provara_core::tree::leaf;
use provara_core::tree::proof::{consistency, root_over, subset};
use provara_vault::{
    AnyProof, Chosen, ConsistencyProof, EventProof, ProofError, ProofRefusal, RedactOptions,
    SignedHead, SourceLog, TreeHeadOptions, Vault, VaultError,
};

struct Proving {
    fixture: Fixture,
    vault: Vault,
    /// The events, in order.
    ids: Vec<EventId>,
}

impl Proving {
    fn of(fixture: Fixture) -> Self {
        let vault = remembering(&fixture);
        Self {
            fixture,
            vault,
            ids: Vec::new(),
        }
    }

    fn new() -> Self {
        let mut proving = Self::of(Fixture::new());
        (0..8).for_each(|number| proving.append(&format!("{number}")));
        proving
    }

    fn append(&mut self, text: &str) {
        let receipt = self.vault.append(&note("a", text), &self.fixture.keyfile);
        self.ids.push(receipt.unwrap().event_id);
    }

    fn head(&self) -> SignedHead {
        self.head_by(&self.fixture.keyfile)
    }

    fn head_by(&self, keys: &Keyfile) -> SignedHead {
        publish_head(&self.vault, keys)
    }

    fn log(&self) -> SourceLog {
        verified_log(&self.vault)
    }

    fn prove(&self, head: &SignedHead, chosen: &Chosen) -> AnyProof {
        let proof = self.vault.prove(&self.log(), head, chosen).unwrap();
        read(&proof.to_json())
    }

    fn root(&self) -> KeyId {
        self.fixture.receipt.root_key_id
    }
}

fn read(text: &[u8]) -> AnyProof {
    AnyProof::parse(text).unwrap()
}

#[test]
fn every_event_and_every_range_of_growing_vaults_is_proven() {
    let mut proving = Proving::of(Fixture::new());
    for size in 2_u64..=20 {
        let head = proving.head();
        assert_eq!(head.head().size, size);
        let log = proving.log();
        for from in 1..=size {
            for to in from..=size {
                let proof = proving
                    .vault
                    .prove(&log, &head, &Chosen::Lines(from, to))
                    .unwrap();
                let proof = read(&proof.to_json());
                let proven = proof.check(Some(&head), &[proving.root()]).unwrap();
                let lines: Vec<_> = proven.events.iter().map(|event| event.line).collect();
                assert!(
                    (from..=to).all(|line| lines.contains(&line)),
                    "{from}, {to}: {lines:?}"
                );
                assert_eq!(lines[0], 1, "the event that founds the vault");
            }
        }
        for id in &proving.ids {
            let proof = proving
                .vault
                .prove(&log, &head, &Chosen::Events(vec![*id]))
                .unwrap();
            let proven = read(&proof.to_json()).check(Some(&head), &[]).unwrap();
            assert!(proven.events.iter().any(|event| event.event_id == *id));
            assert_eq!(proven.events.len(), 2);
        }
        proving.append(&format!("{size}"));
    }
}

#[test]
fn every_changed_byte_of_a_proof_shows() {
    let mut proving = Proving::new();
    let older = proving.head();
    proving.append("more");
    let head = proving.head();
    let log = proving.log();
    let events = proving
        .vault
        .prove(&log, &head, &Chosen::Events(vec![proving.ids[3]]));
    let consistency = proving.vault.prove_consistency(&log, &older, &head);
    let texts = [
        (events.unwrap().to_json(), &head),
        (consistency.unwrap().to_json(), &older),
    ];
    for (text, held_to) in texts {
        let proof = read(&text);
        assert!(proof.check(Some(held_to), &[proving.root()]).is_ok());
        for at in 0..text.len() {
            for bit in [0, 3, 6] {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                let checked =
                    AnyProof::parse(&changed).and_then(|proof| proof.check(Some(held_to), &[]));
                assert!(checked.is_err(), "byte {at}, bit {bit}");
            }
        }
        for length in (0..text.len()).step_by(7) {
            assert!(AnyProof::parse(&text[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn a_proof_is_for_one_head_and_one_vault() {
    let mut proving = Proving::new();
    let older = proving.head();
    proving.append("more");
    let head = proving.head();
    let proof = proving.prove(&head, &Chosen::Events(vec![proving.ids[0]]));
    let error = proof.check(Some(&older), &[]).unwrap_err();
    assert!(matches!(error, ProofError::OtherHead { .. }), "{error}");
    let stranger = SigningKey::from_seed(&[9; 32]).key_id();
    let error = proof.check(None, &[stranger]).unwrap_err();
    assert!(matches!(error, ProofError::OtherRootKey { .. }), "{error}");
    assert!(proof.check(None, &[stranger, proving.root()]).is_ok());

    // The events of one proof under the head of another vault.
    let other = Proving::new();
    let AnyProof::Events(mut forged) = proof.clone() else {
        panic!("it is of events");
    };
    forged.head = other.head();
    let error = AnyProof::Events(forged).check(None, &[]).unwrap_err();
    assert!(matches!(error, ProofError::OtherRoot { .. }), "{error}");
    // A tree that anybody can make, signed by a key that is not the vault's.
    let AnyProof::Events(mut forged) = proof else {
        panic!("it is of events");
    };
    let thief = SigningKey::from_seed(&[9; 32]);
    forged.head = forged.head.head().clone().sign(&thief);
    assert_eq!(
        AnyProof::Events(forged.clone()).check(None, &[]),
        Err(ProofError::Unsigned)
    );
    forged.keys.push(thief.public());
    let error = AnyProof::Events(forged).check(None, &[]).unwrap_err();
    assert!(
        matches!(error, ProofError::Key { key, .. } if key == stranger),
        "{error}"
    );
}

#[test]
fn what_cannot_be_proven_is_refused() {
    let mut proving = Proving::new();
    let older = proving.head();
    proving.append("more");
    let head = proving.head();
    let log = proving.log();
    let refused = |head: &SignedHead, chosen: Chosen| match proving
        .vault
        .prove(&log, head, &chosen)
        .unwrap_err()
    {
        VaultError::Proof(refusal) => refusal,
        other => panic!("{other}"),
    };
    let later = Chosen::Events(vec![*proving.ids.last().unwrap()]);
    assert!(matches!(
        refused(&older, later),
        ProofRefusal::NoSuchEvent { size: 10, .. }
    ));
    for (from, to) in [(0, 1), (1, 12), (3, 2), (12, 12)] {
        let refusal = refused(&head, Chosen::Lines(from, to));
        assert!(
            matches!(refusal, ProofRefusal::Lines { events: 11, .. }),
            "{refusal}"
        );
    }
    let key = &proving.fixture.keyfile.keys()[0];
    let mut longer = head.head().clone();
    longer.size += 1;
    let refusal = refused(&longer.sign(key), Chosen::Lines(1, 1));
    assert!(
        matches!(
            refusal,
            ProofRefusal::Longer {
                size: 12,
                events: 11
            }
        ),
        "{refusal}"
    );
    let mut another = head.head().clone();
    another.root.0[5] ^= 1;
    let refusal = refused(&another.sign(key), Chosen::Lines(1, 1));
    assert!(
        matches!(refusal, ProofRefusal::OtherTree { .. }),
        "{refusal}"
    );
    match proving
        .vault
        .prove_consistency(&log, &head, &older)
        .unwrap_err()
    {
        VaultError::Proof(ProofRefusal::Older { from: 11, to: 10 }) => {}
        other => panic!("{other}"),
    }
}

#[test]
fn heads_before_and_after_a_rotation_go_on_from_each_other() {
    let mut proving = Proving::of(Fixture::with_quorum());
    proving.append("before");
    let (root, quorum) = proving.fixture.root_and_quorum();
    let before = proving.head();
    let new = SigningKey::from_seed(&[7; 32]);
    for request in rotation(root, &new, quorum) {
        proving
            .vault
            .append(&request, &proving.fixture.keyfile)
            .unwrap();
    }
    let keys = Keyfile::new(vec![new.clone()]);
    let receipt = proving.vault.append(&note("c", "after"), &keys).unwrap();
    let after = proving.head_by(&keys);
    let log = proving.log();
    let proof = proving
        .vault
        .prove_consistency(&log, &before, &after)
        .unwrap();
    let proof = read(&proof.to_json());
    let proven = proof.check(Some(&before), &[root]).unwrap();
    assert_eq!((proven.signer, proven.root_key), (new.key_id(), Some(root)));
    let proof = proving.prove(&after, &Chosen::Events(vec![receipt.event_id]));
    let proven = proof.check(Some(&after), &[root]).unwrap();
    assert_eq!(
        proven.events.len(),
        4,
        "the vault's first, the two of the rotation, and that"
    );
    // Without the rotation nothing leads to the key.
    let AnyProof::Events(mut cut) = proof else {
        panic!("it is of events");
    };
    cut.events
        .retain(|event| event.at == 0 || event.line.windows(5).any(|part| part == b"after"));
    assert!(AnyProof::Events(cut).check(None, &[]).is_err());
}

#[test]
fn a_redacted_event_is_proven_as_far_as_it_is_there() {
    let mut proving = Proving::new();
    let before = proving.head();
    let redact = RedactOptions {
        reason: "asked for".to_owned(),
        ..RedactOptions::default()
    };
    let id = proving.ids[2];
    proving
        .vault
        .redact(id, &proving.fixture.keyfile, &redact)
        .unwrap();
    proving.append("after");
    for head in [before, proving.head()] {
        let proof = proving.prove(&head, &Chosen::Events(vec![id]));
        let proven = proof.check(Some(&head), &[proving.root()]).unwrap();
        let event = proven
            .events
            .iter()
            .find(|event| event.event_id == id)
            .unwrap();
        assert!(event.withheld);
    }
}

#[test]
fn an_older_vault_proves_without_a_history_of_keys() {
    let mut proving = Proving::of(Fixture::unmarked(false));
    proving.append("old");
    let head = proving.head();
    let proof = proving.prove(&head, &Chosen::Events(proving.ids.clone()));
    let proven = proof.check(Some(&head), &[]).unwrap();
    assert_eq!(proven.signer, proven.root_key.unwrap());
}

#[test]
fn a_proof_has_one_text() {
    let proving = Proving::new();
    let head = proving.head();
    let proof = proving
        .vault
        .prove(&proving.log(), &head, &Chosen::Lines(2, 3))
        .unwrap();
    let text = String::from_utf8(proof.to_json()).unwrap();
    for (from, to) in [
        ("\n", ""),
        ("{\"events\"", "{ \"events\""),
        (
            "\"type\":\"provara_proof_v1\"",
            "\"type\":\"provara_proof_v2\"",
        ),
        (
            "\"type\":\"provara_proof_v1\"",
            "\"type\":\"provara_proof_v1\",\"zz\":1",
        ),
        (
            "\"type\":\"provara_proof_v1\"",
            "\"type\":\"provara_proof_v1\",\"type\":\"provara_proof_v1\"",
        ),
    ] {
        assert!(text.contains(from));
        let changed = text.replacen(from, to, 1);
        let error = AnyProof::parse(changed.as_bytes()).unwrap_err();
        assert!(matches!(error, ProofError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_stranger_does_not_go_on_from_a_head() {
    let proving = Proving::new();
    let head = proving.head();
    let thief = SigningKey::from_seed(&[9; 32]);
    let log = proving.log();
    let lines: Vec<&[u8]> = log.lines().collect();
    let leaves: Vec<_> = lines
        .iter()
        .map(|line| leaf(&scan_line(line).unwrap()))
        .collect();
    let mut all = leaves.clone();
    all.push(Digest::of(b"forged"));
    let size = all.len() as u64;
    for places in [&[0][..], &[1][..], &[0, 1]] {
        let mut bigger = head.head().clone();
        bigger.size = size;
        bigger.root = root_over(&all);
        let shown = |at: &u64| ShownEvent {
            at: *at,
            line: lines[*at as usize].to_vec(),
        };
        let own = proving
            .fixture
            .keyfile
            .keys()
            .iter()
            .map(SigningKey::public);
        let new = EventProof {
            head: bigger.sign(&thief),
            events: places.iter().map(shown).collect(),
            keys: own.chain([thief.public()]).collect(),
            digests: subset(&all[..], places, size),
        };
        let proof = AnyProof::Consistency(ConsistencyProof {
            old: head.head().clone().sign(&thief),
            new,
            digests: consistency(&all[..], leaves.len() as u64, size),
        });
        assert!(proof.check(Some(&head), &[]).is_err(), "{places:?}");
        assert!(proof.check(None, &[]).is_err(), "{places:?}");
    }
}

#[test]
fn another_key_goes_on_from_a_head_only_if_it_came_after_it() {
    let proving = Proving::of(Fixture::with_quorum());
    let (root, quorum) = proving.fixture.root_and_quorum();
    let sign = |key_id| {
        let options = TreeHeadOptions {
            key_id: Some(key_id),
            ..TreeHeadOptions::default()
        };
        let signed = proving.vault.tree_head(&proving.fixture.keyfile, &options);
        SignedHead::parse(signed.unwrap().note.as_bytes()).unwrap()
    };
    let older = sign(root);
    let more = proving
        .vault
        .append(&note("a", "more"), &proving.fixture.keyfile);
    more.unwrap();
    let prove = |newer: &SignedHead| {
        let proof = proving
            .vault
            .prove_consistency(&proving.log(), &older, newer);
        proof.unwrap().check()
    };
    let error = prove(&sign(quorum)).unwrap_err();
    assert!(matches!(error, ProofError::OtherSigner { .. }), "{error}");
    assert!(prove(&sign(root)).is_ok());
}

#[test]
fn what_the_rules_read_is_never_withheld() {
    let proving = Proving::new();
    let head = proving.head();
    let AnyProof::Events(whole) = proving.prove(&head, &Chosen::Lines(1, 4)) else {
        panic!("it is of events");
    };
    let withhold = |line: &[u8]| {
        let payload = scan_line(line).unwrap().raw(Field::Payload).unwrap();
        let tombstone = format!(
            r#"{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"evt_{}","redaction_reason":"none"}}"#,
            Digest::of(payload),
            "0".repeat(24)
        );
        let (line, payload) = (
            String::from_utf8_lossy(line),
            String::from_utf8_lossy(payload),
        );
        line.replacen(&*payload, &tombstone, 1).into_bytes()
    };
    // Of an observation: nothing vouches for the reason, and nobody says that it was redacted.
    let mut proof = whole.clone();
    proof.events[2].line = withhold(&whole.events[2].line);
    let proven = proof.check().unwrap();
    assert!(proven.events[2].withheld && !proven.events[1].withheld);
    let mut proof = whole.clone();
    proof.events[0].line = withhold(&whole.events[0].line);
    let error = proof.check().unwrap_err();
    assert!(
        matches!(&error, ProofError::Forged { at: 0, .. }),
        "{error}"
    );
}

#[test]
fn what_no_prover_makes_is_refused() {
    let proving = Proving::new();
    let head = proving.head();
    let proof = proving
        .vault
        .prove(&proving.log(), &head, &Chosen::Lines(2, 3));
    let whole = proof.unwrap();
    let text = String::from_utf8(whole.to_json()).unwrap();
    for at in [
        "9007199254740992",
        "18446744073709551615",
        "-1",
        "1.5",
        "1e0",
        "\"1\"",
    ] {
        let changed = text.replacen("\"at\":1,", &format!("\"at\":{at},"), 1);
        assert_ne!(changed, text);
        let error = AnyProof::parse(changed.as_bytes()).unwrap_err();
        assert!(matches!(error, ProofError::Malformed(_)), "{error}");
    }
    let mut proof = whole.clone();
    proof.events.remove(0);
    assert!(
        proof.check().is_err(),
        "the event that founds the vault is missing"
    );
    let mut proof = whole.clone();
    proof.keys.push(proof.keys[0].clone());
    assert!(
        matches!(proof.check(), Err(ProofError::Malformed(_))),
        "a key twice"
    );
    let stranger = head.head().clone().sign(&SigningKey::from_seed(&[9; 32]));
    let refused = proving
        .vault
        .prove(&proving.log(), &stranger, &Chosen::Lines(1, 1));
    match refused.unwrap_err() {
        VaultError::Proof(ProofRefusal::Unsigned { .. }) => {}
        other => panic!("{other}"),
    }
}
