//! Anchors: taken into a vault, and what a reader who names witnesses is told. Time-stamps are tried in `tests/e2e`,
//! where an authority makes them.

mod disclosures;
mod witnesses;

use std::fs;

use provara_core::tree_head::SignedHead;
use provara_vault::{
    AnchorError, AnchorRefusal, AppendRequest, Chosen, Cosigner, Finding, Held, MergeOptions,
    MergeOrder, Vault, VaultError, VerifyOptions, WitnessKey,
};

use crate::common::{
    Fixture, codes, copy, note, publish_head, remembering, request, reseal, verifies,
};

const SECONDS: u64 = 1_700_000_000;

fn cosigner(number: u8) -> Cosigner {
    Cosigner::new(&format!("example.org/w{number}"), &[number; 32]).unwrap()
}

fn witness(number: u8) -> WitnessKey {
    WitnessKey::Cosigner(Box::new(cosigner(number).witness().clone()))
}

struct Home {
    fixture: Fixture,
    vault: Vault,
}

impl Home {
    fn new() -> Self {
        let fixture = Fixture::new();
        let vault = remembering(&fixture);
        let home = Self { fixture, vault };
        home.append("first");
        home
    }

    fn append(&self, text: &str) {
        self.add(&note("a", text));
    }

    fn add(&self, event: &AppendRequest<'_>) {
        self.vault.append(event, &self.fixture.keyfile).unwrap();
    }

    fn head(&self) -> SignedHead {
        publish_head(&self.vault, &self.fixture.keyfile)
    }

    fn cosigned(&self, number: u8, seconds: u64) -> SignedHead {
        cosign(self.head(), number, seconds)
    }

    fn anchor(&self, given: &SignedHead) -> Result<provara_vault::AnchorReceipt, VaultError> {
        self.give(given.to_string().as_bytes())
    }

    fn give(&self, given: &[u8]) -> Result<provara_vault::AnchorReceipt, VaultError> {
        self.vault
            .add_anchor(&self.fixture.keyfile, None, given, &[])
    }

    fn refused(&self, given: &[u8]) -> AnchorRefusal {
        let before = crate::common::picture(self.vault.path());
        let refusal = match self.give(given) {
            Err(VaultError::Anchor(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!(crate::common::picture(self.vault.path()), before);
        refusal
    }
}

fn cosign(head: SignedHead, number: u8, seconds: u64) -> SignedHead {
    let signature = cosigner(number).cosign(head.note(), seconds);
    head.signed_also(signature).unwrap()
}

fn asked(vault: &Vault, witnesses: &[u8], needed: Option<usize>) -> (Vec<Finding>, Vec<String>) {
    let mut held = Held::default();
    held.witnesses = witnesses.iter().map(|it| witness(*it)).collect();
    held.witnesses_needed = needed;
    verified(vault, held)
}

fn verified(vault: &Vault, held: Held) -> (Vec<Finding>, Vec<String>) {
    let options = VerifyOptions {
        held,
        ..VerifyOptions::default()
    };
    let report = vault.verify(&options).unwrap();
    (report.findings().to_vec(), report.notes().to_vec())
}

#[test]
fn a_cosigned_head_is_kept_and_says_until_where_the_vault_was_seen() {
    let home = Home::new();
    let three = home.cosigned(1, SECONDS);
    let size = three.head().size;
    let receipt = home.anchor(&three).unwrap();
    assert_eq!(
        (receipt.kind, receipt.events, receipt.was_there),
        ("cosigned_head", size, false)
    );
    assert_eq!(receipt.claimed_by, ["example.org/w1"]);
    let text = fs::read(home.vault.path().join(&receipt.file)).unwrap();
    assert_eq!(text, three.to_string().into_bytes());

    home.append("second");
    home.append("third");
    // Nothing of it is stated in the log, and nothing of it is lost.
    verifies(&home.vault);
    let (findings, notes) = asked(&home.vault, &[1], None);
    assert_eq!(findings, []);
    let expected = format!(
        "the first {size} of its {} events existed before 2023-11-14T22:13:21.000000Z",
        size + 2
    );
    assert!(
        notes.iter().any(|it| it.starts_with(&expected)),
        "{notes:?}"
    );

    let (findings, _) = asked(&home.vault, &[1, 2], None);
    let codes: Vec<_> = findings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["PROVARA_E020"]);
    assert_eq!(findings[0].found.as_deref(), Some("example.org/w1"));
    assert_eq!(asked(&home.vault, &[1, 2], Some(1)).0, []);
    // The same once more changes nothing.
    let before = crate::common::picture(home.vault.path());
    assert!(home.anchor(&three).unwrap().was_there);
    assert_eq!(crate::common::picture(home.vault.path()), before);
}

#[test]
fn a_witness_that_is_named_twice_is_one() {
    let home = Home::new();
    home.anchor(&home.cosigned(1, SECONDS)).unwrap();
    let renamed = Cosigner::new("example.org/other", &[1; 32]).unwrap();
    let renamed = WitnessKey::Cosigner(Box::new(renamed.witness().clone()));
    // The same key signed under both names, too.
    let signature = Cosigner::new("example.org/other", &[1; 32]).unwrap();
    let head = home.head();
    let signature = signature.cosign(head.note(), SECONDS);
    home.anchor(&head.signed_also(signature).unwrap()).unwrap();
    for twice in [witness(1), renamed] {
        assert!(WitnessKey::named_twice(&[witness(1), twice.clone()]).is_some());
        let mut held = Held::default();
        held.witnesses = vec![witness(1), twice];
        held.witnesses_needed = Some(2);
        let (findings, _) = verified(&home.vault, held);
        assert_eq!(findings[0].code.as_str(), "PROVARA_E020");
    }
    assert!(WitnessKey::named_twice(&[witness(1), witness(2)]).is_none());
}

#[test]
fn copies_have_them_and_a_lost_or_changed_one_is_found() {
    let home = Home::new();
    let receipt = home.anchor(&home.cosigned(1, SECONDS)).unwrap();
    let other = copy(&home.vault, &home.fixture.outside().join("copy"));
    assert_eq!(asked(&other, &[1], None).0, []);

    let file = other.path().join(&receipt.file);
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let (findings, _) = asked(&other, &[1], None);
    let found: Vec<_> = findings.iter().map(|it| it.code.as_str()).collect();
    assert!(
        found.contains(&"PROVARA_E010") && found.contains(&"PROVARA_E020"),
        "{found:?}"
    );

    // Sealed by whoever holds the key, a changed one is still none.
    let changed = text.replacen("example.org/w1", "example.org/w2", 1);
    fs::write(&file, changed).unwrap();
    reseal(&other, &home.fixture.keyfile.keys()[0]);
    let (findings, _) = asked(&other, &[1], None);
    let found: Vec<_> = findings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(found, ["PROVARA_E019", "PROVARA_E020"]);
    // Under its right name, it is by a witness that nobody named.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "no note at all\n").unwrap();
    reseal(&other, &home.fixture.keyfile.keys()[0]);
    let report = other.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_E019"]);
}

#[test]
fn a_signature_in_the_name_of_a_witness_that_is_not_its_own_is_told() {
    let home = Home::new();
    let head = home.head();
    let mut signature = cosigner(1).cosign(head.note(), SECONDS);
    signature.signature[40] ^= 1;
    let forged = head.signed_also(signature).unwrap();
    // Who cannot tell takes it: it claims to be by somebody.
    home.anchor(&forged).unwrap();
    let (findings, _) = asked(&home.vault, &[2], Some(1));
    assert_eq!(findings[0].code.as_str(), "PROVARA_E020");
    let (findings, _) = asked(&home.vault, &[1], None);
    let found: Vec<_> = findings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(found, ["PROVARA_E019", "PROVARA_E020"]);
    assert!(
        findings[0]
            .message
            .contains("'example.org/w1' does not verify")
    );
}

#[test]
fn what_is_no_anchor_of_the_vault_is_refused_and_changes_nothing() {
    let home = Home::new();
    let alone = home.head();
    let refusal = home.refused(alone.to_string().as_bytes());
    assert_eq!(refusal, AnchorRefusal::Invalid(AnchorError::Alone));

    let strange = Home::new();
    let of_other = strange.cosigned(1, SECONDS);
    let refusal = home.refused(of_other.to_string().as_bytes());
    let AnchorRefusal::NotOfVault(finding) = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(finding.code.as_str(), "PROVARA_E017");

    // Of a longer log than is there.
    let before = copy(&home.vault, &home.fixture.outside().join("before"));
    home.append("later");
    let later = home.cosigned(1, SECONDS);
    let refused = before.add_anchor(
        &home.fixture.keyfile,
        None,
        later.to_string().as_bytes(),
        &[],
    );
    let Err(VaultError::Anchor(AnchorRefusal::NotOfVault(finding))) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        finding.message.contains("fewer events"),
        "{}",
        finding.message
    );

    for text in [
        &b""[..],
        b"{}",
        b"{\"type\":\"provara_timestamp_v1\"}",
        b"0\x03\x02\x01\x00",
        b"text\n",
    ] {
        home.refused(text);
    }
    let long = vec![b' '; 5 << 20];
    let refusal = home.refused(&long);
    assert_eq!(refusal, AnchorRefusal::Invalid(AnchorError::TooLong));
}

#[test]
fn an_event_of_another_vault_is_a_witness_whom_its_root_key_names() {
    let (ours, theirs) = (Home::new(), Home::new());
    let head = ours.head();
    let data = serde_json::json!({
        "subject": "ward-3", "predicate": "tree_head", "value": {"seen": [head.to_string()]},
    });
    theirs.add(&request("OBSERVATION", "clerk", &data.to_string()));
    theirs.append("unrelated");
    let (log, by) = (theirs.vault.snapshot().unwrap().unverified(), theirs.head());
    let last = by.head().size;
    let prove = |line| {
        let proof = theirs.vault.prove(&log, &by, &Chosen::Lines(line, line));
        proof.unwrap().to_json()
    };
    let refusal = ours.refused(&prove(last));
    assert!(matches!(
        refusal,
        AnchorRefusal::Invalid(AnchorError::NamesNone { .. })
    ));
    let receipt = ours.give(&prove(last - 1)).unwrap();
    assert_eq!((receipt.kind, receipt.events), ("event", head.head().size));

    ours.append("later");
    let by_key = |key| {
        let mut held = Held::default();
        held.witnesses = vec![WitnessKey::Vault(key)];
        verified(&ours.vault, held)
    };
    let key = theirs.fixture.keyfile.keys()[0].key_id();
    let (findings, notes) = by_key(key);
    assert_eq!(findings, []);
    assert!(
        notes.iter().any(|it| it.contains(&key.to_string())),
        "{notes:?}"
    );
    let (findings, _) = by_key(ours.fixture.keyfile.keys()[0].key_id());
    assert_eq!(findings[0].code.as_str(), "PROVARA_E020");

    // As it stands in the vault, a copy takes it too.
    let text = fs::read(ours.vault.path().join(&receipt.file)).unwrap();
    assert!(ours.give(&text).unwrap().was_there);
    for at in (0..text.len()).step_by(7) {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let taken = provara_vault::Anchor::parse(&changed);
        let taken = taken.and_then(|it| it.seen_by(&WitnessKey::Vault(key)));
        assert!(!matches!(taken, Ok(Some(_))), "byte {at}");
    }
}

#[test]
fn a_merge_keeps_the_order_that_anchors_hold_and_moves_those_away_that_it_breaks() {
    let home = Home::new();
    let theirs = copy(&home.vault, &home.fixture.outside().join("theirs"));
    theirs
        .append(&note("b", "theirs"), &home.fixture.keyfile)
        .unwrap();
    home.append("ours");
    let receipt = home.anchor(&home.cosigned(1, SECONDS)).unwrap();

    // On a machine that remembers nothing, the anchor itself says that heads were published.
    let elsewhere = copy(&home.vault, &home.fixture.outside().join("elsewhere"));
    let keyfile = &home.fixture.keyfile;
    let merged = elsewhere.merge(&theirs, keyfile, &MergeOptions::default());
    assert_eq!(merged.unwrap().order, MergeOrder::Appended);
    assert_eq!(asked(&elsewhere, &[1], None).0, []);

    let broken = copy(&home.vault, &home.fixture.outside().join("broken"));
    let broken = broken.with_state_directory(home.fixture.outside().join("state-2"));
    let breaking = MergeOptions {
        break_heads: true,
        ..MergeOptions::default()
    };
    let merged = broken.merge(&theirs, keyfile, &breaking).unwrap();
    assert_eq!(merged.order, MergeOrder::Rewritten);
    assert_eq!(merged.retired_anchors, std::slice::from_ref(&receipt.file));
    assert!(merged.retired_checkpoints.is_empty());
    assert!(!broken.path().join(&receipt.file).exists());
    verifies(&broken);
    assert_eq!(
        asked(&broken, &[1], None).0[0].code.as_str(),
        "PROVARA_E020"
    );
    let kept = merged
        .notes
        .iter()
        .find(|it| it.contains(&receipt.file))
        .unwrap();
    let kept = kept.split('\'').nth(1).unwrap();
    let text = home.cosigned(1, SECONDS).to_string();
    assert_eq!(fs::read_to_string(kept).unwrap(), text);
}

#[test]
fn whoever_rewrites_the_vault_cannot_leave_its_anchors_in_it() {
    let home = Home::new();
    home.append("what somebody regrets");
    home.anchor(&home.cosigned(1, SECONDS)).unwrap();
    // The tail is cut and everything sealed anew, with the right key.
    let log = home.fixture.log();
    let end = log[..log.len() - 1]
        .iter()
        .rposition(|it| *it == b'\n')
        .unwrap();
    fs::write(home.vault.log_path(), &log[..=end]).unwrap();
    reseal(&home.vault, &home.fixture.keyfile.keys()[0]);
    let other = Vault::open(home.vault.path()).unwrap();
    let report = other.verify(&VerifyOptions::default()).unwrap();
    assert!(
        codes(&report).contains(&"PROVARA_E017".to_owned()),
        "{:?}",
        codes(&report)
    );
}
