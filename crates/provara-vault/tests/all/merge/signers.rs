//! Who may sign what a merge writes, what its own events are by, and what `keys.json` comes to.

use super::*;
use crate::common::list_key;
use provara_core::event::Draft;
use provara_vault::AdoptOptions;

#[test]
fn keys_that_both_sides_promoted_stand_in_the_same_order_on_both() {
    for number in 0..4 {
        let fixture = Fixture::unmarked(true);
        let (_, quorum) = fixture.root_and_quorum();
        let old = [200, 201].map(|seed| SigningKey::from_seed(&[seed; 32]));
        for key in &old {
            list_key(&fixture.vault, key);
        }
        reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
        let other = copy(&fixture.vault, &fixture.outside().join("copy"));
        let sides = [(&fixture.vault, 5 + number), (&other, 105 + number)];
        for ((vault, seed), old) in sides.into_iter().zip(&old) {
            let new = SigningKey::from_seed(&[seed; 32]);
            for event in rotation(old.key_id(), &new, quorum) {
                let event = AppendRequest {
                    actor: format!("of {seed}"),
                    ..event
                };
                vault.append(&event, &fixture.keyfile).unwrap();
            }
        }
        let third = copy(&fixture.vault, &fixture.outside().join("third"));
        let options = MergeOptions::default();
        fixture
            .vault
            .merge(&other, &fixture.keyfile, &options)
            .unwrap();
        other.merge(&third, &fixture.keyfile, &options).unwrap();
        for file in ["identity/keys.json", "events/events.ndjson"] {
            let [a, b] = [&fixture.vault, &other].map(|it| fs::read(it.path().join(file)).unwrap());
            assert!(a == b, "{file}");
        }
    }
}

/// Signs an event of the vault by the key alone.
fn is_one_of_its_own(vault: &Vault, key: SigningKey) {
    verifies(vault);
    let own = Keyfile::new(vec![key]);
    vault.append(&note("a", "by it"), &own).unwrap();
    verifies(vault);
}

#[test]
fn a_key_that_the_merge_only_begins_to_trust_does_not_sign_its_seal() {
    let fixture = Fixture::new();
    let key = SigningKey::from_seed(&[77; 32]);
    let other = copy(&fixture.vault, &fixture.outside().join("copy"));
    list_key(&other, &key);
    let root = &fixture.keyfile.keys()[0];
    reseal(&other, root);
    let bundle = bundles::bundle(&other, 2);
    let both = Keyfile::new(vec![key.clone(), root.clone()]);
    let options = |key_id| MergeOptions {
        trust_keys: vec![key.key_id()],
        key_id,
        ..MergeOptions::default()
    };
    let before = picture(fixture.vault.path());
    for keyfile in [&both, &Keyfile::new(vec![key.clone()])] {
        let import = |options| fixture.vault.import_delta(&bundle, keyfile, options);
        import(&options(Some(key.key_id()))).unwrap_err();
        assert_eq!(before, picture(fixture.vault.path()));
    }
    let receipt = fixture
        .vault
        .import_delta(&bundle, &both, &options(None))
        .unwrap();
    assert_eq!(receipt.signed_by, Some(root.key_id()));
    is_one_of_its_own(&fixture.vault, key);
}

#[test]
fn what_merges_write_is_in_nobodys_chain() {
    let mut actors = Vec::new();
    let fixture = Fixture::new();
    for (seed, name) in [(77, "one"), (78, "two")] {
        let key = SigningKey::from_seed(&[seed; 32]);
        let other = copy(&fixture.vault, &fixture.outside().join(name));
        list_key(&other, &key);
        reseal(&other, &fixture.keyfile.keys()[0]);
        let options = MergeOptions {
            trust_keys: vec![key.key_id()],
            ..MergeOptions::default()
        };
        let bundle = bundles::bundle(&other, 2);
        fixture
            .vault
            .import_delta(&bundle, &fixture.keyfile, &options)
            .unwrap();
        let log = String::from_utf8(fixture.log()).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        actors.push(last["actor"].as_str().unwrap().to_owned());
    }
    assert!(actors.iter().all(|it| it.starts_with("provara_merge_")));
    assert_ne!(actors[0], actors[1]);
}

#[test]
fn a_vault_without_a_mark_takes_it_over_from_a_copy_that_was_adopted() {
    let fixture = Fixture::unmarked(false);
    let other = copy(&fixture.vault, &fixture.outside().join("copy"));
    let adopted = other.adopt(&fixture.keyfile, &AdoptOptions::default());
    adopted.unwrap();
    verifies(&other);
    let key = SigningKey::from_seed(&[77; 32]);
    let third = copy(&other, &fixture.outside().join("third"));
    list_key(&third, &key);
    let bundle = bundles::bundle(&third, 2);
    let options = MergeOptions {
        trust_keys: vec![key.key_id()],
        ..MergeOptions::default()
    };
    let receipt = fixture
        .vault
        .import_delta(&bundle, &fixture.keyfile, &options)
        .unwrap();
    assert!(receipt.imported > 0);
    is_one_of_its_own(&fixture.vault, key);
}

#[test]
fn a_seal_that_lags_is_renewed_where_nothing_is_new() {
    let (fixture, other) = diverged();
    let merge = || {
        let options = MergeOptions::default();
        fixture.vault.merge(&other, &fixture.keyfile, &options)
    };
    merge().unwrap();
    let seal = provara_vault::layout::SEAL.map(|file| fs::read(fixture.file(file)).unwrap());
    fixture
        .vault
        .append(&note("here", "x"), &fixture.keyfile)
        .unwrap();
    for (file, bytes) in provara_vault::layout::SEAL.iter().zip(seal) {
        fs::write(fixture.file(file), bytes).unwrap();
    }
    let again = merge().unwrap();
    assert_eq!((again.order, again.imported), (MergeOrder::Unchanged, 0));
    assert!(again.signed_by.is_some());
    verifies(&fixture.vault);
}

#[test]
fn beside_a_fork_that_is_kept_nothing_else_of_its_actor_may_be_wrong() {
    let (fixture, other) = diverged();
    fixture
        .vault
        .append(&note("shared", "here"), &fixture.keyfile)
        .unwrap();
    for text in ["there", "and on"] {
        other
            .append(&note("shared", text), &fixture.keyfile)
            .unwrap();
    }
    let good = String::from_utf8(bundles::bundle(&other, 3)).unwrap();
    let at = good.rfind("\"sig\":\"").unwrap() + 7;
    let letter = match &good[at..=at] {
        "A" => "B",
        _ => "A",
    };
    let forged = [&good[..at], letter, &good[at + 1..]].concat();
    let keep = MergeOptions {
        keep_forks: true,
        ..MergeOptions::default()
    };
    let before = picture(fixture.vault.path());
    let import = |text: &str| {
        fixture
            .vault
            .import_delta(text.as_bytes(), &fixture.keyfile, &keep)
    };
    let refusal = refused(import(&forged));
    assert!(
        matches!(refusal, MergeRefusal::ResultInvalid { .. }),
        "{refusal}"
    );
    assert_eq!(before, picture(fixture.vault.path()));
    assert_eq!(import(&good).unwrap().forks.len(), 1);
}

#[test]
fn nothing_comes_from_a_copy_whose_seal_vouches_for_nothing() {
    // Without a mark a seal that is not signed is a warning; and no writer goes on from it.
    let (fixture, other) = diverged_from(Fixture::unmarked(false));
    fs::remove_file(other.path().join("manifest.sig")).unwrap();
    assert!(other.verify(&VerifyOptions::default()).unwrap().is_valid());
    let before = picture(fixture.vault.path());
    let options = MergeOptions::default();
    let refusal = refused(fixture.vault.merge(&other, &fixture.keyfile, &options));
    assert!(
        matches!(refusal, MergeRefusal::OtherUnsealed { .. }),
        "{refusal}"
    );
    assert_eq!(before, picture(fixture.vault.path()));
}

#[test]
fn an_event_of_a_key_that_may_not_sign_it_is_no_late_one() {
    let fixture = Fixture::unmarked(true);
    let (root, quorum) = fixture.root_and_quorum();
    let other = copy(&fixture.vault, &fixture.outside().join("copy"));
    let new = SigningKey::from_seed(&[7; 32]);
    // In the name of a key that did not sign it.
    let [_, promotion] = rotation(root, &new, quorum);
    let event = Draft {
        event_type: &promotion.event_type,
        actor: "authority",
        namespace: None,
        payload: &promotion.data,
        prev: None,
        ts_logical: 0,
        timestamp: "2026-11-28T12:00:00Z".parse().unwrap(),
        seal: None,
        after: None,
    }
    .sign(fixture.keyfile.get(&root).unwrap())
    .unwrap();
    let log = [fs::read(other.log_path()).unwrap(), event.line].concat();
    fs::write(other.log_path(), log).unwrap();
    let bundle = bundles::bundle(&other, 2);
    let options = MergeOptions::default();
    let refusal = refused(
        fixture
            .vault
            .import_delta(&bundle, &fixture.keyfile, &options),
    );
    let MergeRefusal::ResultInvalid { code, .. } = &refusal else {
        panic!("{refusal}");
    };
    assert_eq!(*code, "PROVARA_E202", "{refusal}");
}
