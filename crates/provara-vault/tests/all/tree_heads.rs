//! Tree heads: published, kept by others, and what a vault is held to by them.

mod origins;

use std::fs;
use std::path::Path;

use crate::common::{Fixture, codes, copy, note, remove_seal, reseal, rotation};
use provara_core::finding::Report;
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::{
    AdoptOptions, AppendRequest, HeadFolder, HeadRefusal, Held, InitOptions, KeptHead, KeyId,
    MergeOptions, MergeOrder, RedactOptions, SignedHead, TreeHeadOptions, Vault, VaultError,
    VerifyOptions, Which, forget, read_head, remembered,
};

/// The same vault, with what this machine remembers below `state`.
fn with_memory(vault: &Vault, state: &Path) -> Vault {
    let vault = Vault::open(vault.path()).unwrap();
    vault
        .with_state_directory(state.to_owned())
        .with_memory(true)
}

/// A vault with some events.
fn home() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let vault = with_memory(&fixture.vault, &fixture.state());
    for number in 0..3 {
        append(&fixture, &vault, &format!("{number}"));
    }
    (fixture, vault)
}

fn append(fixture: &Fixture, vault: &Vault, text: &str) {
    vault.append(&note("a", text), &fixture.keyfile).unwrap();
}

fn options() -> TreeHeadOptions {
    TreeHeadOptions::default()
}

#[track_caller]
fn publish(vault: &Vault, keyfile: &Keyfile, options: &TreeHeadOptions) -> KeptHead {
    kept(&vault.tree_head(keyfile, options).unwrap().note)
}

fn kept(note: &str) -> KeptHead {
    KeptHead {
        source: "kept".to_owned(),
        head: SignedHead::parse(note.as_bytes()).unwrap(),
    }
}

fn hold(vault: &Vault, heads: &[&KeptHead]) -> Report {
    let mut held = Held::default();
    held.heads = heads.iter().map(|head| (*head).clone()).collect();
    verify(vault, held)
}

fn hold_to_key(vault: &Vault, keys: &[KeyId]) -> Report {
    let mut held = Held::default();
    held.root_keys = keys.to_vec();
    verify(vault, held)
}

fn verify(vault: &Vault, held: Held) -> Report {
    let options = VerifyOptions {
        held,
        ..VerifyOptions::default()
    };
    vault.verify(&options).unwrap()
}

/// Without memory, as on another machine.
fn elsewhere(vault: &Vault) -> Vault {
    Vault::open(vault.path()).unwrap()
}

#[track_caller]
fn refusal(result: Result<provara_vault::TreeHeadReceipt, VaultError>) -> HeadRefusal {
    match result.unwrap_err() {
        VaultError::TreeHead(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn a_vault_goes_on_from_every_head_that_was_published_of_it() {
    let (fixture, vault) = home();
    let mut heads = Vec::new();
    for number in 0..6 {
        heads.push(publish(&vault, &fixture.keyfile, &options()));
        append(&fixture, &vault, &format!("more {number}"));
    }
    let origins: Vec<_> = heads
        .iter()
        .map(|it| it.head.head().origin.clone())
        .collect();
    assert!(origins.iter().all(|it| *it == origins[0]));
    let sizes: Vec<_> = heads.iter().map(|it| it.head.head().size).collect();
    assert_eq!(sizes, [5, 6, 7, 8, 9, 10]);
    let all: Vec<_> = heads.iter().collect();
    let report = hold(&elsewhere(&vault), &all);
    assert_eq!(codes(&report), [""; 0]);
    let told = report
        .notes()
        .iter()
        .find(|note| note.contains("tree heads"));
    assert!(
        told.unwrap().contains("over 10 of its 11 events"),
        "{told:?}"
    );
    let (listed, _) = remembered(&fixture.state()).unwrap();
    let published = listed[0].published.as_ref().unwrap();
    assert_eq!(
        (published.origin.clone(), published.size),
        (origins[0].to_string(), 10)
    );
    // The same log gives the same head.
    let again = publish(&vault, &fixture.keyfile, &options());
    assert_eq!(publish(&vault, &fixture.keyfile, &options()), again);
}

#[test]
fn a_tail_that_was_cut_and_sealed_again_does_not_pass() {
    let (fixture, vault) = home();
    append(&fixture, &vault, "inconvenient");
    let head = publish(&vault, &fixture.keyfile, &options());
    let log = fixture.log();
    let end = log[..log.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    fs::write(vault.log_path(), &log[..=end]).unwrap();
    reseal(&vault, &fixture.keyfile.keys()[0]);
    let elsewhere = elsewhere(&vault);
    assert!(
        hold(&elsewhere, &[]).is_valid(),
        "without a head nothing shows"
    );
    let report = hold(&elsewhere, &[&head]);
    assert_eq!(codes(&report), ["PROVARA_E017"]);
    assert_eq!(report.findings()[0].found.as_deref(), Some("5"));
    assert!(!report.is_valid());
    // Something else in its place.
    elsewhere
        .append(&note("a", "convenient"), &fixture.keyfile)
        .unwrap();
    let report = hold(&elsewhere, &[&head]);
    assert_eq!(codes(&report), ["PROVARA_E017"]);
    assert!(
        report.findings()[0]
            .message
            .contains("does not begin with the 6 events")
    );
}

#[test]
fn an_old_copy_in_its_place_does_not_pass() {
    let (fixture, vault) = home();
    let old = copy(&vault, &fixture.outside().join("old"));
    append(&fixture, &vault, "newer");
    let head = publish(&vault, &fixture.keyfile, &options());
    let empty = fixture.outside().join("empty");
    let old = with_memory(&old, &empty);
    assert!(hold(&old, &[]).is_valid(), "without a head nothing shows");
    assert_eq!(codes(&hold(&old, &[&head])), ["PROVARA_E017"]);
}

#[test]
fn a_vault_that_somebody_else_made_does_not_pass() {
    let (fixture, vault) = home();
    let head = publish(&vault, &fixture.keyfile, &options());
    let uid = fixture.receipt.uid.clone();
    let forged = Fixture::with(&InitOptions {
        uid: Some(uid),
        ..InitOptions::default()
    });
    for number in 0..3 {
        forged
            .vault
            .append(&note("a", &format!("{number}")), &forged.keyfile)
            .unwrap();
    }
    assert!(hold(&forged.vault, &[]).is_valid());
    assert_eq!(codes(&hold(&forged.vault, &[&head])), ["PROVARA_E018"]);
    let root = fixture.receipt.root_key_id;
    let report = hold_to_key(&forged.vault, &[root]);
    assert_eq!(codes(&report), ["PROVARA_E207"]);
    assert_eq!(report.findings()[0].expected, Some(root.to_string()));
    assert!(hold_to_key(&vault, &[root]).is_valid());
    assert!(hold_to_key(&vault, &[forged.receipt.root_key_id, root]).is_valid());
    // Of another vault altogether.
    let other = Fixture::new();
    assert_eq!(codes(&hold(&other.vault, &[&head])), ["PROVARA_E017"]);
}

#[test]
fn a_head_that_was_changed_or_never_signed_does_not_pass() {
    let (fixture, vault) = home();
    let note = vault.tree_head(&fixture.keyfile, &options()).unwrap().note;
    let vault = elsewhere(&vault);
    let report = hold(&vault, &[&kept(&note)]);
    assert!(report.is_valid());
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1 << bit;
            if let Ok(head) = SignedHead::parse(&changed) {
                let kept = KeptHead {
                    source: "changed".to_owned(),
                    head,
                };
                assert!(!hold(&vault, &[&kept]).is_valid(), "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_a_revoked_key_signed_counts_up_to_its_boundary() {
    let fixture = Fixture::with_quorum();
    let vault = with_memory(&fixture.vault, &fixture.state());
    append(&fixture, &vault, "before");
    let (root, quorum) = fixture.root_and_quorum();
    let with = |key_id| TreeHeadOptions {
        key_id: Some(key_id),
        ..options()
    };
    let before = publish(&vault, &fixture.keyfile, &with(root));
    let events = before.head.head().size;
    let new = SigningKey::from_seed(&[7; 32]);
    for request in rotation(root, &new, quorum) {
        vault.append(&request, &fixture.keyfile).unwrap();
    }
    assert!(hold(&vault, &[&before]).is_valid());
    let refused = vault.tree_head(&fixture.keyfile, &with(root)).unwrap_err();
    assert!(
        matches!(refused, VaultError::KeyRevoked { .. }),
        "{refused}"
    );
    let keys = Keyfile::new(vec![new]);
    let after = publish(&vault, &keys, &options());
    assert_eq!(after.head.head().origin, before.head.head().origin);
    assert!(hold(&vault, &[&before, &after]).is_valid());
    // Whoever has the key that was revoked signs a head of what came later, or of the same again.
    let old = fixture.keyfile.get(&root).unwrap();
    let stolen = |head: &KeptHead| KeptHead {
        source: "stolen".to_owned(),
        head: head.head.head().clone().sign(old),
    };
    assert!(hold(&vault, &[&stolen(&before)]).is_valid());
    let report = hold(&vault, &[&stolen(&after)]);
    assert_eq!(codes(&report), ["PROVARA_E018"]);
    let message = &report.findings()[0].message;
    assert!(
        message.contains(&format!("over {events} and fewer")),
        "{message}"
    );
    // The new key, of what was before it.
    let early = KeptHead {
        source: "early".to_owned(),
        head: before.head.head().clone().sign(&keys.keys()[0]),
    };
    assert_eq!(codes(&hold(&vault, &[&early])), ["PROVARA_E018"]);
}

#[test]
fn redactions_keep_every_head() {
    let (fixture, vault) = home();
    let receipt = vault
        .append(&note("a", "erase me"), &fixture.keyfile)
        .unwrap();
    let before = publish(&vault, &fixture.keyfile, &options());
    let redact = RedactOptions {
        reason: "asked for".to_owned(),
        ..RedactOptions::default()
    };
    vault
        .redact(receipt.event_id, &fixture.keyfile, &redact)
        .unwrap();
    let after = publish(&vault, &fixture.keyfile, &options());
    assert!(hold(&elsewhere(&vault), &[&before, &after]).is_valid());
}

/// Another copy, with an event that stands before the last of `vault` in time.
fn with_an_earlier_event(fixture: &Fixture, vault: &Vault) -> Vault {
    let other = copy(vault, &fixture.outside().join("other"));
    let other = elsewhere(&other);
    other
        .append(&note("b", "meanwhile"), &fixture.keyfile)
        .unwrap();
    append(fixture, vault, "later");
    other
}

#[test]
fn a_copy_that_publishes_heads_is_merged_without_breaking_them() {
    let (fixture, vault) = home();
    let other = with_an_earlier_event(&fixture, &vault);
    let head = publish(&vault, &fixture.keyfile, &options());
    let merged = vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(merged.order, MergeOrder::Appended);
    let told = merged
        .notes
        .iter()
        .find(|note| note.contains("--break-heads"));
    assert!(told.is_some(), "{:?}", merged.notes);
    assert!(hold(&vault, &[&head]).is_valid());
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_eq!(next.head.head().origin, head.head.head().origin);
    assert!(hold(&vault, &[&head, &next]).is_valid());
}

#[test]
fn a_merge_that_breaks_heads_says_so_everywhere() {
    let (fixture, vault) = home();
    let other = with_an_earlier_event(&fixture, &vault);
    let head = publish(&vault, &fixture.keyfile, &options());
    let breaking = MergeOptions {
        break_heads: true,
        ..MergeOptions::default()
    };
    let merged = vault.merge(&other, &fixture.keyfile, &breaking).unwrap();
    assert_eq!(merged.order, MergeOrder::Rewritten);
    let told = merged
        .notes
        .iter()
        .find(|note| note.contains("do not hold"));
    let origin = head.head.head().origin.to_string();
    assert!(told.unwrap().contains(&origin), "{:?}", merged.notes);
    assert_eq!(codes(&hold(&elsewhere(&vault), &[&head])), ["PROVARA_E017"]);
    let next = publish(&vault, &fixture.keyfile, &options());
    assert_ne!(next.head.head().origin, head.head.head().origin);
    assert!(hold(&vault, &[&next]).is_valid());
}

#[test]
fn a_copy_that_publishes_none_is_merged_as_ever() {
    let (fixture, vault) = home();
    let other = with_an_earlier_event(&fixture, &vault);
    let merged = vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(merged.order, MergeOrder::Rewritten);
    assert!(!merged.notes.iter().any(|note| note.contains("tree heads")));
}

#[test]
fn nothing_is_signed_of_what_does_not_verify_or_is_not_sealed() {
    let (fixture, vault) = home();
    let log = fixture.log();
    let broken = String::from_utf8(log.clone())
        .unwrap()
        .replacen("\"a\"", "\"b\"", 1);
    fs::write(vault.log_path(), broken).unwrap();
    let silent = elsewhere(&vault)
        .with_state_directory(fixture.outside().join("fresh"))
        .with_memory(true);
    let error = silent.tree_head(&fixture.keyfile, &options()).unwrap_err();
    assert!(matches!(error, VaultError::BrokenLog { .. }), "{error}");
    fs::write(vault.log_path(), &log).unwrap();
    // As after a crash: a line beyond the seal.
    let seals: Vec<_> = provara_vault::layout::SEAL
        .iter()
        .map(|file| (file, fs::read(vault.path().join(file)).unwrap()))
        .collect();
    append(&fixture, &vault, "beyond");
    for (file, text) in seals {
        fs::write(vault.path().join(file), text).unwrap();
    }
    assert_eq!(
        refusal(silent.tree_head(&fixture.keyfile, &options())),
        HeadRefusal::NotSealed
    );
    let error = elsewhere(&vault)
        .tree_head(&fixture.keyfile, &options())
        .unwrap_err();
    assert!(matches!(error, VaultError::Memory { .. }), "{error}");
    // Somebody else's keys.
    let stranger = Keyfile::new(vec![SigningKey::from_seed(&[9; 32])]);
    fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
    let error = silent.tree_head(&stranger, &options()).unwrap_err();
    assert!(
        matches!(error, VaultError::KeyfileForeign { .. }),
        "{error}"
    );
}

#[test]
fn an_older_vault_has_heads_as_well() {
    let fixture = Fixture::unmarked(false);
    let vault = with_memory(&fixture.vault, &fixture.state());
    let head = publish(&vault, &fixture.keyfile, &options());
    assert!(hold(&vault, &[&head]).is_valid());
    remove_seal(&vault);
    vault
        .adopt(&fixture.keyfile, &AdoptOptions::default())
        .unwrap();
    let report = hold(&elsewhere(&vault), &[&head]);
    assert!(report.is_valid(), "{:?}", report.findings());
}

#[test]
fn a_folder_of_heads_is_of_many_vaults() {
    let (fixture, vault) = home();
    let folder = fixture.outside().join("heads");
    fs::create_dir(&folder).unwrap();
    let held = |folder: &Path| {
        let mut held = Held::default();
        held.folder = Some(HeadFolder::read(folder).unwrap());
        held
    };
    assert_eq!(codes(&verify(&vault, held(&folder))), ["PROVARA_W016"]);
    let (other, other_vault) = home();
    let note = other_vault
        .tree_head(&other.keyfile, &options())
        .unwrap()
        .note;
    fs::write(folder.join("other"), note).unwrap();
    fs::write(folder.join("readme.txt"), "what these are").unwrap();
    fs::write(folder.join(".hidden"), "").unwrap();
    let report = verify(&vault, held(&folder));
    assert_eq!(codes(&report), ["PROVARA_W016"]);
    assert!(
        report
            .notes()
            .iter()
            .any(|note| note.contains("readme.txt' is no tree head"))
    );
    assert!(!report.notes().iter().any(|note| note.contains(".hidden")));
    for number in 0..3 {
        let note = vault.tree_head(&fixture.keyfile, &options()).unwrap().note;
        fs::write(folder.join(format!("own {number}")), note).unwrap();
        append(&fixture, &vault, "more");
    }
    let report = verify(&elsewhere(&vault), held(&folder));
    assert_eq!(codes(&report), [""; 0]);
    assert!(
        report.notes().iter().any(|note| note.contains("(3)")),
        "{:?}",
        report.notes()
    );
    let error = read_head(&folder.join("readme.txt")).unwrap_err();
    assert!(matches!(error, VaultError::Head { .. }), "{error}");
    assert!(matches!(
        read_head(&folder.join("none")).unwrap_err(),
        VaultError::Io { .. }
    ));
    assert!(matches!(
        read_head(&folder).unwrap_err(),
        VaultError::Io { .. }
    ));
}

#[test]
fn heads_of_fewer_events_are_known_to_the_cache() {
    let (fixture, vault) = home();
    let cache = fixture.outside().join("cache");
    let vault = vault.with_cache_directory(Some(cache)).with_record_from(0);
    let heads: Vec<_> = (0..4)
        .map(|number| {
            append(&fixture, &vault, &format!("{number}"));
            publish(&vault, &fixture.keyfile, &options())
        })
        .collect();
    let all: Vec<_> = heads.iter().collect();
    let is_warm = |report: &Report| {
        report
            .notes()
            .iter()
            .any(|note| note.contains("verified earlier"))
    };
    assert!(hold(&vault, &all).is_valid());
    append(&fixture, &vault, "one more");
    let report = hold(&vault, &all);
    assert!(
        report.is_valid() && is_warm(&report),
        "{:?}",
        report.notes()
    );
    let mut wrong = heads[0].clone();
    let mut head = wrong.head.head().clone();
    head.root.0[0] ^= 1;
    wrong.head = head.sign(&fixture.keyfile.keys()[0]);
    let report = hold(&vault, &[&wrong]);
    assert_eq!(codes(&report), ["PROVARA_E017"]);
}
