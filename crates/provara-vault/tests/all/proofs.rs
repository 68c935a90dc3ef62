//! Proofs of events and of tree heads, checked without the vault.

use crate::common::{Fixture, note, rotation};
use provara_core::id::{EventId, KeyId};
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::{
    AnyProof, Chosen, ProofError, ProofRefusal, RedactOptions, SignedHead, SourceLog,
    TreeHeadOptions, Vault, VaultError, VerifyOptions,
};

struct Proving {
    fixture: Fixture,
    vault: Vault,
    /// The events, in order.
    ids: Vec<EventId>,
}

impl Proving {
    fn of(fixture: Fixture) -> Self {
        let vault = Vault::open(fixture.vault.path()).unwrap();
        let vault = vault
            .with_state_directory(fixture.state())
            .with_memory(true);
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
        let signed = self.vault.tree_head(keys, &TreeHeadOptions::default());
        SignedHead::parse(signed.unwrap().note.as_bytes()).unwrap()
    }

    fn log(&self) -> SourceLog {
        let examination = self.vault.examine(&VerifyOptions::default()).unwrap();
        examination.verified().unwrap().into_source()
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
                let proven = proof.check(Some(head.head()), &[proving.root()]).unwrap();
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
            let proven = read(&proof.to_json())
                .check(Some(head.head()), &[])
                .unwrap();
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
        assert!(proof.check(Some(held_to.head()), &[proving.root()]).is_ok());
        for at in 0..text.len() {
            for bit in [0, 3, 6] {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                let checked = AnyProof::parse(&changed)
                    .and_then(|proof| proof.check(Some(held_to.head()), &[]));
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
    let error = proof.check(Some(older.head()), &[]).unwrap_err();
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
    let proven = proof.check(Some(before.head()), &[root]).unwrap();
    assert_eq!((proven.signer, proven.root_key), (new.key_id(), Some(root)));
    let proof = proving.prove(&after, &Chosen::Events(vec![receipt.event_id]));
    let proven = proof.check(Some(after.head()), &[root]).unwrap();
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
        let proven = proof.check(Some(head.head()), &[proving.root()]).unwrap();
        let event = proven
            .events
            .iter()
            .find(|event| event.event_id == id)
            .unwrap();
        assert!(event.redacted);
    }
}

#[test]
fn an_older_vault_proves_without_a_history_of_keys() {
    let mut proving = Proving::of(Fixture::unmarked(false));
    proving.append("old");
    let head = proving.head();
    let proof = proving.prove(&head, &Chosen::Events(proving.ids.clone()));
    let proven = proof.check(Some(head.head()), &[]).unwrap();
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
