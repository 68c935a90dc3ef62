//! Merging vaults and bundles on disk: what is taken, what is refused, and what it leaves.

mod bundles;
mod signers;
mod twice;

use std::fs;

use crate::common::{Fixture, codes, copy, note, picture, reseal, rotation, verifies};
use provara_core::canonical::token_preserving;
use provara_core::json::{self, Value};
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::merge::delta;
use provara_vault::{
    AppendRequest, MergeOptions, MergeOrder, MergeReceipt, MergeRefusal, Vault, VaultError,
    VerifyOptions,
};

/// A vault with two events, and a copy of it; each then has events of its own.
fn diverged() -> (Fixture, Vault) {
    diverged_from(Fixture::new())
}

fn diverged_from(fixture: Fixture) -> (Fixture, Vault) {
    let other = fixture.outside().join("copy");
    fixture
        .vault
        .append(&note("shared", "1"), &fixture.keyfile)
        .unwrap();
    let other = copy(&fixture.vault, &other);
    for number in 0..3 {
        fixture
            .vault
            .append(&note("here", &format!("{number}")), &fixture.keyfile)
            .unwrap();
        other
            .append(&note("there", &format!("{number}")), &fixture.keyfile)
            .unwrap();
    }
    (fixture, other)
}

fn append_only() -> MergeOptions {
    MergeOptions {
        append_only: true,
        ..MergeOptions::default()
    }
}

#[track_caller]
fn refused(result: Result<MergeReceipt, VaultError>) -> MergeRefusal {
    match result.unwrap_err() {
        VaultError::Merge(refusal) => *refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn two_copies_come_to_the_same_bytes_whichever_merges_first() {
    let (fixture, other) = diverged();
    let third = copy(&fixture.vault, &fixture.outside().join("third"));
    let receipt = fixture
        .vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!((receipt.imported, receipt.event_count), (3, 9));
    assert_eq!(receipt.order, MergeOrder::Rewritten);
    verifies(&fixture.vault);
    other
        .merge(&third, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(fixture.log(), fs::read(other.log_path()).unwrap());
    verifies(&other);

    let before = picture(fixture.vault.path());
    let again = fixture
        .vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!((again.order, again.imported), (MergeOrder::Unchanged, 0));
    assert_eq!(before, picture(fixture.vault.path()), "nothing was written");
    // It goes on from there.
    fixture
        .vault
        .append(&note("here", "after"), &fixture.keyfile)
        .unwrap();
    verifies(&fixture.vault);
}

#[test]
fn an_append_only_merge_keeps_every_earlier_byte() {
    let (fixture, other) = diverged();
    let before = fixture.log();
    let receipt = fixture
        .vault
        .merge(&other, &fixture.keyfile, &append_only())
        .unwrap();
    assert_eq!(receipt.order, MergeOrder::Appended);
    assert_eq!(receipt.kept_prefix, before.len() as u64);
    assert!(fixture.log().starts_with(&before));
    verifies(&fixture.vault);
    let after = fixture.log();
    let again = fixture
        .vault
        .merge(&other, &fixture.keyfile, &append_only())
        .unwrap();
    assert_eq!(again.order, MergeOrder::Unchanged);
    assert_eq!(fixture.log(), after);
}

#[test]
fn a_fork_is_refused_with_both_events_and_kept_only_on_purpose() {
    let (fixture, other) = diverged();
    let ours = fixture
        .vault
        .append(&note("shared", "here"), &fixture.keyfile)
        .unwrap();
    let theirs = other
        .append(&note("shared", "there"), &fixture.keyfile)
        .unwrap();
    let before = picture(fixture.vault.path());
    let refusal = refused(
        fixture
            .vault
            .merge(&other, &fixture.keyfile, &MergeOptions::default()),
    );
    let MergeRefusal::Forks { forks } = &refusal else {
        panic!("{refusal}");
    };
    let shown = forks[0]
        .events
        .each_ref()
        .map(|event| event.event_json.as_str());
    assert!(shown.contains(&ours.event_json.as_str()));
    assert!(shown.contains(&theirs.event_json.as_str()));
    assert_eq!(before, picture(fixture.vault.path()));

    let keep = MergeOptions {
        keep_forks: true,
        ..MergeOptions::default()
    };
    let receipt = fixture
        .vault
        .merge(&other, &fixture.keyfile, &keep)
        .unwrap();
    assert_eq!(receipt.forks.len(), 1);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(!report.is_valid());
    assert!(
        codes(&report).iter().all(|code| code == "PROVARA_E002"),
        "{:?}",
        codes(&report)
    );
    let again = fixture
        .vault
        .merge(&other, &fixture.keyfile, &keep)
        .unwrap();
    assert_eq!(again.order, MergeOrder::Unchanged);
    let back = other
        .merge(&fixture.vault, &fixture.keyfile, &keep)
        .unwrap();
    assert_eq!(back.event_count, receipt.event_count);
    assert_eq!(fixture.log(), fs::read(other.log_path()).unwrap());
}

#[test]
fn a_log_that_does_not_verify_is_merged_with_nothing() {
    let (fixture, other) = diverged();
    let log = String::from_utf8(fixture.log()).unwrap();
    let changed = log.replace("initialized", "initialised");
    assert_ne!(changed, log);
    fs::write(fixture.vault.log_path(), changed).unwrap();
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    for keep_forks in [false, true] {
        let options = MergeOptions {
            keep_forks,
            ..MergeOptions::default()
        };
        fixture.stops_at(2, |vault, keyfile| vault.merge(&other, keyfile, &options));
        let before = picture(other.path());
        let refusal = refused(other.merge(&fixture.vault, &fixture.keyfile, &options));
        assert!(
            matches!(refusal, MergeRefusal::OtherInvalid { .. }),
            "{refusal}"
        );
        assert_eq!(before, picture(other.path()));
    }
}

#[test]
fn a_wrong_signature_is_refused_and_an_earlier_one_gone_on_from() {
    let (fixture, other) = diverged();
    let signature = fixture.file("manifest.sig");
    let merge = || {
        fixture
            .vault
            .merge(&other, &fixture.keyfile, &MergeOptions::default())
    };
    let stale = fs::read(&signature).unwrap();
    fixture
        .vault
        .append(&note("here", "x"), &fixture.keyfile)
        .unwrap();
    fs::write(&signature, b"{}").unwrap();
    let before = picture(fixture.vault.path());
    let error = merge().unwrap_err();
    assert!(
        matches!(&error, VaultError::SealContradiction { file, .. } if file == "manifest.sig"),
        "{error}"
    );
    assert_eq!(before, picture(fixture.vault.path()));

    fs::write(&signature, &stale).unwrap();
    let notes = merge().unwrap().notes;
    let told = |note: &String| note.starts_with("the seal lagged behind the log");
    assert!(notes.iter().any(told), "{notes:?}");
    verifies(&fixture.vault);
    verifies(&fixture.vault);
}

#[test]
fn a_redaction_that_is_taken_over_leaves_the_order() {
    let fixture = Fixture::new();
    let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
    let text = "longer than a tombstone: 0123456789012345678901234567890123456789";
    let erased = vault.append(&note("a", text), keyfile).unwrap();
    vault.append(&note("b", "kept"), keyfile).unwrap();
    let other = copy(vault, &fixture.outside().join("other"));
    let redact = provara_vault::RedactOptions {
        reason: "asked for".to_owned(),
        ..Default::default()
    };
    other.redact(erased.event_id, keyfile, &redact).unwrap();
    let ids = || {
        let log = String::from_utf8(fixture.log()).unwrap();
        let id = |line: &str| line.split("\"event_id\":\"").nth(1).unwrap()[..28].to_owned();
        log.lines().map(id).collect::<Vec<_>>()
    };
    let before = ids();
    for append_only in [true, false] {
        let here = copy(vault, &fixture.outside().join(append_only.to_string()));
        let options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        let receipt = here.merge(&other, keyfile, &options).unwrap();
        assert_eq!(receipt.order, MergeOrder::Redacted);
        let told = "1 payload was redacted in the other log, and now is in this one";
        assert!(
            receipt.notes.iter().any(|note| note == told),
            "{:?}",
            receipt.notes
        );
        assert!(receipt.kept_prefix > 0 && receipt.imported > 0);
        let log = fs::read_to_string(here.log_path()).unwrap();
        for (line, id) in log.lines().zip(&before) {
            assert!(line.contains(id.as_str()), "{line}");
        }
        assert!(!log.contains(text));
        verifies(&here);
    }
}

#[test]
fn a_log_that_a_merge_replaced_stays_the_one_that_was_verified() {
    let (fixture, other) = diverged();
    let verified = fixture.source();
    let bytes = fixture.log();
    fixture
        .vault
        .append(&note("here", "x"), &fixture.keyfile)
        .unwrap();
    let options = MergeOptions::default();
    let before = fixture.log();
    let merged = fixture.vault.merge(&other, &fixture.keyfile, &options);
    let merged = merged.unwrap();
    assert_eq!(merged.order, MergeOrder::Rewritten);
    let after = fixture.log();
    let lines = |log| <[u8]>::split_inclusive(log, |byte: &u8| *byte == b'\n');
    let kept = lines(&before)
        .zip(lines(&after))
        .take_while(|(a, b)| a == b);
    let kept: usize = kept.map(|(line, _)| line.len()).sum();
    assert_eq!(merged.kept_prefix, kept as u64);
    verified.check_unchanged().unwrap();
    assert!(verified.bytes() == bytes && !fixture.log().starts_with(&bytes));
}

#[test]
fn checkpoints_of_a_prefix_that_is_no_more_go_and_a_copy_stays() {
    let (fixture, other) = diverged();
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    let kept = copy(&fixture.vault, &fixture.outside().join("kept"));
    let receipt = fixture
        .vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(receipt.retired_checkpoints, ["checkpoints/0000000006.chk"]);
    assert!(!fixture.file("checkpoints/0000000006.chk").exists());
    let copies = fs::read_dir(fixture.state().join("recovered"))
        .unwrap()
        .count();
    assert_eq!(copies, 1);
    verifies(&fixture.vault);

    let receipt = kept
        .merge(&other, &fixture.keyfile, &append_only())
        .unwrap();
    assert!(receipt.retired_checkpoints.is_empty());
    assert!(kept.path().join("checkpoints/0000000006.chk").exists());
    verifies(&kept);
}

#[test]
fn nothing_comes_from_a_vault_that_does_not_verify_or_is_another() {
    let (fixture, other) = diverged();
    let stranger = Fixture::new();
    let before = picture(fixture.vault.path());
    let refusal = refused(fixture.vault.merge(
        &stranger.vault,
        &fixture.keyfile,
        &MergeOptions::default(),
    ));
    assert!(matches!(refusal, MergeRefusal::Logs(_)), "{refusal}");

    let log = fs::read_to_string(other.log_path()).unwrap();
    fs::write(
        other.log_path(),
        log.replacen("\"text\":\"2\"", "\"text\":\"3\"", 1),
    )
    .unwrap();
    let refusal = refused(
        fixture
            .vault
            .merge(&other, &fixture.keyfile, &MergeOptions::default()),
    );
    assert!(
        matches!(refusal, MergeRefusal::OtherInvalid { .. }),
        "{refusal}"
    );
    assert_eq!(before, picture(fixture.vault.path()));
}

/// Adds a key to the `keys.json` of `vault` by hand, as its owner can, and signs with it.
fn with_own_key(vault: &Vault, keyfile: &Keyfile) -> (SigningKey, Keyfile) {
    let key = SigningKey::from_seed(&[77; 32]);
    crate::common::list_key(vault, &key);
    crate::common::reseal(vault, &keyfile.keys()[0]);
    (key.clone(), Keyfile::new(vec![key]))
}

#[test]
fn a_key_that_the_other_side_wrote_into_its_list_is_not_trusted() {
    let (fixture, other) = diverged_from(Fixture::unmarked(false));
    let (key, own) = with_own_key(&other, &fixture.keyfile);
    other.append(&note("intruder", "hello"), &own).unwrap();
    let report = other.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid(), "the format lets it sign there");
    let before = picture(fixture.vault.path());
    for options in [MergeOptions::default(), append_only()] {
        let refusal = refused(fixture.vault.merge(&other, &fixture.keyfile, &options));
        let MergeRefusal::UntrustedKeys { key_ids } = &refusal else {
            panic!("{refusal}");
        };
        assert_eq!(key_ids, &[key.key_id()]);
    }
    assert_eq!(before, picture(fixture.vault.path()));
    let options = MergeOptions {
        trust_keys: vec![key.key_id()],
        ..MergeOptions::default()
    };
    fixture
        .vault
        .merge(&other, &fixture.keyfile, &options)
        .unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid());
    let keys = fs::read_to_string(fixture.file("identity/keys.json")).unwrap();
    assert!(keys.contains(&key.key_id().to_string()));
}

#[test]
fn a_rotation_comes_with_its_keys_and_its_revoked_key_seals_no_more() {
    let fixture = Fixture::with_quorum();
    let other = copy(&fixture.vault, &fixture.outside().join("copy"));
    fixture
        .vault
        .append(&note("here", "1"), &fixture.keyfile)
        .unwrap();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    for event in rotation(root, &new, quorum) {
        other.append(&event, &fixture.keyfile).unwrap();
    }
    let renewed = Keyfile::new(vec![new.clone()]);
    other
        .append(&note("there", "by the new key"), &renewed)
        .unwrap();

    let only_root = Keyfile::new(vec![fixture.keyfile.get(&root).unwrap().clone()]);
    let error = fixture
        .vault
        .merge(&other, &only_root, &MergeOptions::default())
        .unwrap_err();
    assert!(matches!(error, VaultError::KeyRevoked { .. }), "{error}");
    let receipt = fixture
        .vault
        .merge(&other, &renewed, &MergeOptions::default())
        .unwrap();
    assert_eq!(receipt.signed_by, Some(new.key_id()));
    verifies(&fixture.vault);
    other
        .merge(&fixture.vault, &renewed, &MergeOptions::default())
        .unwrap();
    for file in ["identity/keys.json", "events/events.ndjson"] {
        let [a, b] =
            [&fixture.vault, &other].map(|vault| fs::read(vault.path().join(file)).unwrap());
        assert_eq!(a, b, "{file}");
    }
    fixture.vault.append(&note("here", "2"), &renewed).unwrap();
    verifies(&fixture.vault);
}

/// Changes a rule of the safety policy and seals the vault.
fn set_policy(vault: &Vault, keyfile: &Keyfile, from: &str, to: &str) {
    let path = vault.path().join("policies/safety_policy.json");
    let text = token_preserving(&json::parse(&fs::read(&path).unwrap()).unwrap());
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    vault.manifest(Some(keyfile)).unwrap();
}

#[test]
fn a_looser_safety_tier_is_refused_and_a_stricter_one_taken_over() {
    let (fixture, other) = diverged();
    let (strict, loose) = (
        "\"offline_allowed\":\"within_lease\"",
        "\"offline_allowed\":true",
    );
    set_policy(&other, &fixture.keyfile, strict, loose);
    let before = picture(fixture.vault.path());
    let refusal = refused(
        fixture
            .vault
            .merge(&other, &fixture.keyfile, &MergeOptions::default()),
    );
    assert!(refusal.to_string().contains("PROVARA_E400"), "{refusal}");
    let MergeRefusal::SafetyLoosened { rules } = &refusal else {
        panic!("{refusal}");
    };
    assert_eq!(
        (rules[0].tier, rules[0].rule.as_str()),
        ("L2", "offline_allowed")
    );
    assert_eq!(before, picture(fixture.vault.path()));

    other
        .merge(&fixture.vault, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    let path = other.path().join("policies/safety_policy.json");
    let policy = json::parse(&fs::read(path).unwrap()).unwrap().into_owned();
    let tier = policy.get("action_classes").unwrap().get("L2").unwrap();
    assert_eq!(
        tier.get("offline_allowed"),
        Some(&Value::from("within_lease"))
    );
    verifies(&other);
    fixture
        .vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
}

/// What a merge into a vault that then verifies tells.
#[track_caller]
fn merge_notes(fixture: &Fixture, other: &Vault) -> Vec<String> {
    let receipt = fixture
        .vault
        .merge(other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    verifies(&fixture.vault);
    receipt.notes
}

#[test]
fn artifacts_that_are_not_merged_are_counted() {
    let (fixture, other) = diverged();
    fs::write(other.path().join("artifacts/cas/blob"), b"content").unwrap();
    other.manifest(Some(&fixture.keyfile)).unwrap();
    let notes = merge_notes(&fixture, &other);
    let counts = |note: &String| note.starts_with("1 files below artifacts/");
    assert!(notes.iter().any(counts), "{notes:?}");
}

#[test]
fn a_torn_tail_and_leftovers_do_not_stand_in_the_way() {
    use std::io::Write;

    let (fixture, other) = diverged();
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    log.write_all(b"{\"actor\":\"torn").unwrap();
    let leftover = fixture.file("events/.provara-tmp-000000000000000000000000");
    fs::write(&leftover, b"half").unwrap();
    let notes = merge_notes(&fixture, &other);
    let told = |note: &String| note.contains("interrupted append");
    assert!(notes.iter().any(told), "{notes:?}");
    assert!(!leftover.exists());
}

#[test]
fn writers_and_readers_at_work_see_the_vault_before_or_after() {
    let (fixture, other) = diverged();
    let vault = &fixture.vault;
    let rounds = 12;
    // Each side ends by itself, so that a failure of one cannot leave the others running for ever.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..rounds * 2)
                .map(|_| {
                    vault
                        .append(&note("busy", "x"), &fixture.keyfile)
                        .unwrap()
                        .event_id
                })
                .collect::<Vec<_>>()
        });
        let reader = scope.spawn(|| {
            for _ in 0..rounds * 2 {
                let report = vault.verify(&VerifyOptions::default()).unwrap();
                assert!(report.is_valid(), "{:?}", report.findings());
            }
        });
        for number in 0..rounds {
            let text = format!("more {number}");
            other
                .append(&note("there", &text), &fixture.keyfile)
                .unwrap();
            vault
                .merge(&other, &fixture.keyfile, &MergeOptions::default())
                .unwrap();
        }
        reader.join().unwrap();
        let receipts = writer.join().unwrap();
        let log = String::from_utf8(fixture.log()).unwrap();
        for id in receipts {
            assert!(
                log.contains(&format!("\"event_id\":\"{id}\"")),
                "{id} is gone"
            );
        }
    });
    verifies(vault);
}
