//! Whose keys count: what stands in `keys.json`, and what an interrupted writer or merge left, lets no
//! stranger's key in.

use std::fs;

use crate::common::disk::{EIO, Failing};
use crate::common::{
    Fixture, add_key, codes, copy, edit_keys, list_key, note, picture, rotation, verifies,
};
use provara_core::canonical::jcs;
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, KeyStatus, Keyfile, SigningKey};
use provara_vault::{AdoptOptions, MergeOptions, MergeRefusal, Vault, VaultError, VerifyOptions};

const KEYS: &str = "identity/keys.json";
const SEAL: [&str; 3] = ["manifest.json", "merkle_root.txt", "manifest.sig"];

/// Files of a vault and their content.
type Contents = Vec<(String, Vec<u8>)>;

fn read(vault: &Vault, files: &[&str]) -> Contents {
    let content = |file: &&str| fs::read(vault.path().join(file)).unwrap();
    files
        .iter()
        .map(|file| ((*file).to_owned(), content(file)))
        .collect()
}

fn write(vault: &Vault, files: &[(String, Vec<u8>)]) {
    for (file, content) in files {
        fs::write(vault.path().join(file), content).unwrap();
    }
}

#[track_caller]
fn every_writer_refuses(vault: &Vault, keyfile: &Keyfile, file: &str) {
    let before = picture(vault.path());
    let other = tempfile::tempdir().unwrap();
    let other = copy(vault, &other.path().join("other"));
    let options = MergeOptions::default();
    for error in [
        vault.append(&note("a", "x"), keyfile).unwrap_err(),
        vault.repair(Some(keyfile), false).unwrap_err(),
        vault.checkpoint(keyfile, None).unwrap_err(),
        other.append(&note("a", "x"), keyfile).unwrap_err(),
        vault.merge(&other, keyfile, &options).unwrap_err(),
    ] {
        let refused = match &error {
            VaultError::SealContradiction { file: found, .. } => found == file,
            VaultError::Merge(refusal) => matches!(**refusal, MergeRefusal::OtherInvalid { .. }),
            _ => false,
        };
        assert!(refused, "{error}");
    }
    assert_eq!(picture(vault.path()), before);
}

#[test]
fn the_seal_from_before_a_rotation_lets_no_key_in() {
    let stranger = SigningKey::from_seed(&[77; 32]);
    let new = SigningKey::from_seed(&[5; 32]);
    type Edit = fn(&mut KeyRegistry, &SigningKey);
    let edits: [Edit; 4] = [
        add_key,
        |registry, _| registry.keys[1].roles = vec!["root".to_owned()],
        |registry, _| registry.keys.swap(0, 1),
        |registry, _| drop(registry.keys.remove(1)),
    ];
    // With `keys.json` from before the rotation too, or as the rotation left it.
    for old_keys in [true, false] {
        for edit in edits {
            let fixture = Fixture::with_quorum();
            let before = match old_keys {
                true => read(&fixture.vault, &[&SEAL[..], &[KEYS]].concat()),
                false => read(&fixture.vault, &SEAL),
            };
            let (root, quorum) = fixture.root_and_quorum();
            for event in rotation(root, &new, quorum) {
                fixture.vault.append(&event, &fixture.keyfile).unwrap();
            }
            write(&fixture.vault, &before);
            edit_keys(&fixture.vault, |registry| edit(registry, &stranger));
            every_writer_refuses(&fixture.vault, &fixture.keyfile, KEYS);
        }
    }
}

/// A vault after a rotation: with the seals and the lists of keys before it and after each of its events.
fn rotated(fixture: &Fixture, new: &SigningKey) -> [Vec<Contents>; 2] {
    let files = [&SEAL[..], &[KEYS]];
    let mut states = files.map(|files| vec![read(&fixture.vault, files)]);
    let (root, quorum) = fixture.root_and_quorum();
    for event in rotation(root, new, quorum) {
        fixture.vault.append(&event, &fixture.keyfile).unwrap();
        for (states, files) in states.iter_mut().zip(files) {
            states.push(read(&fixture.vault, files));
        }
    }
    states
}

#[test]
fn a_writer_goes_on_from_every_state_that_a_rotation_leaves() {
    let new = SigningKey::from_seed(&[5; 32]);
    let renewed = Keyfile::new(vec![new.clone()]);
    for taken_in in 0..=2 {
        let fixture = Fixture::with_quorum();
        let [seals, keys] = rotated(&fixture, &new);
        write(&fixture.vault, &seals[1]);
        write(&fixture.vault, &keys[taken_in]);
        let receipt = fixture.vault.append(&note("a", "x"), &renewed).unwrap();
        assert_eq!(receipt.key_id, new.key_id());
        assert_eq!(verifies(&fixture.vault), 5);
        assert_eq!(read(&fixture.vault, &[KEYS]), keys[2]);

        // The promotion names the seal over the revocation, so that no older one is under it.
        let fixture = Fixture::with_quorum();
        let [seals, keys] = rotated(&fixture, &new);
        write(&fixture.vault, &seals[0]);
        write(&fixture.vault, &keys[taken_in]);
        let before = picture(fixture.vault.path());
        let error = fixture.vault.append(&note("a", "x"), &renewed).unwrap_err();
        assert!(matches!(error, VaultError::SealOfOther(_)), "{error}");
        assert_eq!(picture(fixture.vault.path()), before);
    }
}

#[test]
fn without_a_mark_too_a_writer_goes_on_from_every_state_that_a_rotation_leaves() {
    let new = SigningKey::from_seed(&[5; 32]);
    // Whether the promoted key was listed before, by hand.
    for listed in [false, true] {
        for taken_in in 0..=2 {
            let fixture = Fixture::unmarked(true);
            if listed {
                list_key(&fixture.vault, &new);
                crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
            }
            let [seals, keys] = rotated(&fixture, &new);
            write(&fixture.vault, &seals[0]);
            write(&fixture.vault, &keys[taken_in]);
            let renewed = Keyfile::new(vec![new.clone()]);
            let receipt = fixture.vault.append(&note("a", "x"), &renewed).unwrap();
            assert_eq!(receipt.key_id, new.key_id());
            assert_eq!(verifies(&fixture.vault), 5);
            assert_eq!(read(&fixture.vault, &[KEYS]), keys[2]);
        }
    }
}

#[test]
fn a_list_of_keys_in_another_form_is_kept_unless_a_rotation_was_torn_in_two() {
    let fixture = Fixture::unmarked(true);
    let new = SigningKey::from_seed(&[5; 32]);
    let mut compact = read(&fixture.vault, &[KEYS]);
    compact[0].1 = jcs(&json::parse(&compact[0].1).unwrap()).unwrap();
    write(&fixture.vault, &compact);
    crate::common::reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    let seal = read(&fixture.vault, &SEAL);
    let (root, quorum) = fixture.root_and_quorum();
    let [revocation, _] = rotation(root, &new, quorum);
    fixture.vault.append(&revocation, &fixture.keyfile).unwrap();
    let rotated = read(&fixture.vault, &[KEYS]);
    // Before the first rename.
    let twin = copy(&fixture.vault, &fixture.outside().join("twin"));
    write(&twin, &seal);
    write(&twin, &compact);
    twin.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert_eq!(verifies(&twin), 4);
    // Between the renames: nothing shows that this is all that changed, and a person has to look.
    write(&fixture.vault, &seal);
    every_writer_refuses(&fixture.vault, &fixture.keyfile, KEYS);
    let found = fixture.vault.look().unwrap();
    let changed = found.differences.join("\n");
    assert!(
        changed.contains("identity/keys.json has changed"),
        "{changed}"
    );
    let quorum = Keyfile::new(vec![fixture.keyfile.get(&quorum).unwrap().clone()]);
    fixture
        .vault
        .adopt(&quorum, &AdoptOptions::default())
        .unwrap();
    assert_eq!(read(&fixture.vault, &[KEYS]), rotated);
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn a_seal_is_not_signed_with_a_key_that_the_log_revokes() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let [revocation, _] = rotation(root, &SigningKey::from_seed(&[5; 32]), quorum);
    fixture.vault.append(&revocation, &fixture.keyfile).unwrap();
    edit_keys(&fixture.vault, |registry| {
        registry.keys[0].status = KeyStatus::Active;
    });
    let only_root = Keyfile::new(vec![fixture.keyfile.get(&root).unwrap().clone()]);
    let error = fixture.vault.manifest(Some(&only_root)).unwrap_err();
    assert!(
        matches!(&error, VaultError::SealContradiction { file, .. } if file == KEYS),
        "{error}"
    );
    let error = fixture.vault.new_seal(Some(&only_root)).unwrap_err();
    assert!(matches!(error, VaultError::KeyRevoked { .. }), "{error}");
    let receipt = fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert_eq!(receipt.signed_by, Some(quorum));
    verifies(&fixture.vault);
}

/// What a merge that makes `vault` what `merged` is would leave when it is interrupted after it
/// replaced the log.
fn interrupt(vault: &Vault, merged: &Vault) {
    let files = read(merged, &[&[KEYS], &SEAL[..]].concat());
    let files = files.into_iter().map(|(path, content)| {
        let text = String::from_utf8(content).unwrap();
        json::object([("path", path.into()), ("text", text.into())])
    });
    let intent = json::object([
        ("type", "provara_merge_intent_v1".into()),
        ("files", Value::Array(files.collect())),
        ("removed", Value::Array(Vec::new())),
    ]);
    fs::write(
        vault.path().join(".provara-merge.json"),
        jcs(&intent).unwrap(),
    )
    .unwrap();
    fs::copy(merged.log_path(), vault.log_path()).unwrap();
}

#[test]
fn an_intent_lets_no_key_in() {
    let fixture = Fixture::unmarked(false);
    let stranger = SigningKey::from_seed(&[77; 32]);
    let forged = copy(&fixture.vault, &fixture.outside().join("forged"));
    list_key(&forged, &stranger);
    let own = Keyfile::new(vec![stranger]);
    crate::common::reseal(&forged, &own.keys()[0]);
    forged.append(&note("intruder", "hello"), &own).unwrap();
    let report = forged.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    let before = read(&fixture.vault, &[&SEAL[..], &[KEYS]].concat());
    interrupt(&fixture.vault, &forged);
    let log = fixture.log();
    for error in fixture.refusals() {
        assert!(
            matches!(error, VaultError::BrokenLog { line: 3, .. }),
            "{error}"
        );
    }
    assert_eq!(read(&fixture.vault, &[&SEAL[..], &[KEYS]].concat()), before);
    assert_eq!(fixture.log(), log);

    // A seal of the vault's own key over the same is one that it let in itself.
    let fixture = Fixture::unmarked(false);
    let trusting = copy(&fixture.vault, &fixture.outside().join("trusting"));
    list_key(&trusting, &own.keys()[0]);
    crate::common::reseal(&trusting, &fixture.keyfile.keys()[0]);
    interrupt(&fixture.vault, &trusting);
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    verifies(&fixture.vault);
}

#[test]
fn a_merge_that_a_promoted_key_signs_is_completed_wherever_it_is_interrupted() {
    let new = SigningKey::from_seed(&[5; 32]);
    let renewed = Keyfile::new(vec![new.clone()]);
    let mut completed = 0;
    for at in 0.. {
        let fixture = Fixture::with_quorum();
        let other = copy(&fixture.vault, &fixture.outside().join("other"));
        let (root, quorum) = fixture.root_and_quorum();
        for event in rotation(root, &new, quorum) {
            other.append(&event, &fixture.keyfile).unwrap();
        }
        let failing = fixture
            .vault
            .clone()
            .with_layer(Failing::new(at, EIO, true));
        let options = MergeOptions::default();
        match failing.merge(&other, &renewed, &options) {
            Ok(receipt) => {
                assert_eq!(receipt.signed_by, Some(new.key_id()));
                break;
            }
            Err(VaultError::Interrupted { .. }) => {
                fixture.vault.append(&note("a", "x"), &renewed).unwrap();
                assert_eq!(verifies(&fixture.vault), 5);
                completed += 1;
            }
            Err(_) => {
                fixture
                    .vault
                    .append(&note("a", "x"), &fixture.keyfile)
                    .unwrap();
                assert_eq!(verifies(&fixture.vault), 3);
            }
        }
    }
    assert!(completed >= 6, "{completed}");
}

#[test]
fn a_merge_does_not_sign_with_a_key_that_it_only_begins_to_trust() {
    let fixture = Fixture::unmarked(false);
    let other = copy(&fixture.vault, &fixture.outside().join("other"));
    let stranger = SigningKey::from_seed(&[77; 32]);
    list_key(&other, &stranger);
    crate::common::reseal(&other, &fixture.keyfile.keys()[0]);
    let own = Keyfile::new(vec![stranger.clone()]);
    other.append(&note("there", "1"), &own).unwrap();
    let options = MergeOptions {
        trust_keys: vec![stranger.key_id()],
        ..MergeOptions::default()
    };
    let before = picture(fixture.vault.path());
    let error = fixture.vault.merge(&other, &own, &options).unwrap_err();
    assert!(
        matches!(error, VaultError::KeyfileForeign { .. }),
        "{error}"
    );
    assert_eq!(picture(fixture.vault.path()), before);
    let both = Keyfile::new(vec![stranger, fixture.keyfile.keys()[0].clone()]);
    let receipt = fixture.vault.merge(&other, &both, &options).unwrap();
    assert_eq!(receipt.signed_by, Some(fixture.receipt.root_key_id));
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_W009"], "for good");
}

#[test]
fn a_seal_whose_manifest_has_another_time_is_gone_on_from_by_no_writer() {
    let fixture = Fixture::new();
    let manifest = fixture.file("manifest.json");
    let mut listed: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    listed["created_at_utc"] = "2026-01-01T00:00:00.000000Z".into();
    fs::write(manifest, format!("{listed}\n")).unwrap();
    let before = picture(fixture.vault.path());
    let (vault, keyfile) = (&fixture.vault, &fixture.keyfile);
    for error in [
        vault.append(&note("a", "x"), keyfile).unwrap_err(),
        vault.checkpoint(keyfile, None).unwrap_err(),
    ] {
        assert!(
            matches!(&error, VaultError::SealContradiction { file, .. } if file == "manifest.json"),
            "{error}"
        );
    }
    assert_eq!(picture(fixture.vault.path()), before);
}
