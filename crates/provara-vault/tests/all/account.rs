//! What a verification tells of a vault beside its findings: for reports.

use std::fs;

use provara_core::keys::{Keyfile, SigningKey};
use provara_core::verify::seal::SealStanding;
use provara_vault::{
    Account, Examination, Held, KeptHead, SignedHead, TreeHeadOptions, Vault, VerifyOptions,
};

use crate::common::{Fixture, note, rotation};

fn examine(vault: &Vault, held: Held) -> Examination {
    let options = VerifyOptions {
        describe: true,
        held,
        ..VerifyOptions::default()
    };
    vault.examine(&options).unwrap()
}

fn account(vault: &Vault) -> Account {
    let examination = examine(vault, Held::default());
    examination.account().unwrap().clone()
}

#[test]
fn who_does_not_ask_is_not_told() {
    let fixture = Fixture::new();
    let examination = fixture.vault.examine(&VerifyOptions::default()).unwrap();
    assert!(examination.account().is_none());
}

#[test]
fn keys_are_told_over_the_log() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    fixture
        .vault
        .append(&note("ann", "x"), &fixture.keyfile)
        .unwrap();
    let before = account(&fixture.vault);
    let ids: Vec<_> = before.keys.iter().map(|key| key.key_id).collect();
    assert_eq!(ids, [root, quorum]);
    assert!(before.marked && before.unvouched.is_none());
    assert!(
        before
            .keys
            .iter()
            .all(|key| key.from == Some(0) && !key.is_revoked)
    );
    for event in rotation(root, &new, quorum) {
        fixture.vault.append(&event, &fixture.keyfile).unwrap();
    }
    let after = account(&fixture.vault);
    let lines = examine(&fixture.vault, Held::default())
        .report()
        .event_count();
    let [revoked, _, brought] = &after.keys[..] else {
        panic!("{:?}", after.keys)
    };
    assert_eq!((revoked.key_id, revoked.is_revoked), (root, true));
    assert_eq!(revoked.revoked_at, Some(lines - 1));
    assert!(revoked.trusted_until.is_some() && revoked.revoked_by.is_some());
    assert_eq!((brought.key_id, brought.from), (new.key_id(), Some(lines)));
    assert!(brought.brought_by.is_some() && brought.is_introduced);
    assert_eq!(after.seal.key_id, Some(quorum));
    assert!(matches!(after.seal.standing, SealStanding::Current));
}

#[test]
fn without_a_mark_the_file_of_keys_speaks() {
    let fixture = Fixture::unmarked(true);
    let told = account(&fixture.vault);
    let (root, quorum) = fixture.root_and_quorum();
    assert!(!told.marked);
    let keys: Vec<_> = told.keys.iter().map(|key| (key.key_id, key.from)).collect();
    assert_eq!(keys, [(root, None), (quorum, None)]);
    assert!(told.keys.iter().all(|key| key.is_introduced));
    assert!(told.genesis_sha256.is_some() && told.closed_at.is_none());
}

#[test]
fn each_head_has_its_verdict() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let head = |vault: &Vault, keyfile: &Keyfile, source: &str| {
        let vault = Vault::open(vault.path()).unwrap();
        let vault = vault
            .with_state_directory(fixture.state())
            .with_memory(true);
        let signed = vault.tree_head(keyfile, &TreeHeadOptions::default());
        KeptHead {
            source: source.to_owned(),
            head: SignedHead::parse(signed.unwrap().note.as_bytes()).unwrap(),
        }
    };
    let mut held = Held::default();
    held.heads = vec![
        head(&fixture.vault, &fixture.keyfile, "ours"),
        head(&other.vault, &other.keyfile, "another's"),
    ];
    fixture
        .vault
        .append(&note("ann", "x"), &fixture.keyfile)
        .unwrap();
    let examination = examine(&fixture.vault, held);
    let heads = &examination.account().unwrap().heads;
    let told: Vec<_> = heads
        .iter()
        .map(|head| (&*head.source, head.size, head.holds))
        .collect();
    assert_eq!(told, [("ours", 2, true), ("another's", 2, false)]);
}

#[test]
fn the_log_is_seen_from_afar_and_line_by_line() {
    let fixture = Fixture::new();
    for text in ["one", "two", "three"] {
        fixture
            .vault
            .append(&note("ann", text), &fixture.keyfile)
            .unwrap();
    }
    // A line that is no event, and one that lacks its end.
    let mut log = fixture.log();
    log.extend_from_slice(b"no event\n{\"open\":1}");
    fs::write(fixture.vault.log_path(), &log).unwrap();
    let examination = examine(&fixture.vault, Held::default());
    assert!(!examination.report().is_valid());
    let overview = examination.overview();
    assert_eq!(overview.unreadable(), 2);
    assert_eq!(overview.types(9).first[0].1, 3);
    let timeline = overview.timeline();
    let lanes: Vec<_> = timeline
        .lanes
        .iter()
        .map(|lane| lane.actor.as_deref())
        .collect();
    assert_eq!(lanes.len(), 2);
    assert_eq!(lanes[1], Some("ann"));
    let mut at = 0;
    for line in log.split(|byte| *byte == b'\n') {
        for within in [0, 1, line.len() / 2] {
            let found = examination.line_at(at + within as u64);
            assert_eq!(found, Some((at, line)));
        }
        at += line.len() as u64 + 1;
        if at <= log.len() as u64 {
            assert_eq!(
                examination.line_at(at - 1).map(|(_, found)| found),
                Some(line)
            );
        }
    }
    assert_eq!(examination.line_at(log.len() as u64), None);
    assert_eq!(examination.line_at(u64::MAX), None);
    examination.check_unchanged().unwrap();
}
