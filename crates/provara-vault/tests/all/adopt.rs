//! Adopting: an older vault gets its mark, and an owner who has looked takes what no seal vouches for.

use std::fs;

use crate::common::{
    Fixture, codes, copy, note, picture, remove_seal, request, rotation, verifies,
};
use provara_core::id::KeyId;
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::{
    AdoptOptions, AdoptRefusal, FoundSeal, KeyOrigin, MergeOptions, MergeRefusal, Vault,
    VaultError, VerifyOptions,
};

const KEYS: &str = "identity/keys.json";

fn adopt(fixture: &Fixture) -> Result<provara_vault::AdoptReceipt, VaultError> {
    let options = AdoptOptions::default();
    fixture.vault.adopt(&fixture.keyfile, &options)
}

/// Lists a key as whoever can write files can, and makes everything else fit.
fn list_key(vault: &Vault, key: &SigningKey, seal: &SigningKey) {
    crate::common::list_key(vault, key);
    crate::common::reseal(vault, seal);
}

fn untrusted(error: &VaultError) -> &[KeyId] {
    match error {
        VaultError::Adoption(AdoptRefusal::Untrusted { key_ids, .. }) => key_ids,
        error => panic!("{error}"),
    }
}

#[test]
fn an_older_vault_gets_its_mark_and_keeps_its_events() {
    let fixture = Fixture::unmarked(true);
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    for event in rotation(root, &new, quorum) {
        fixture.vault.append(&event, &fixture.keyfile).unwrap();
    }
    let before = fixture.log();
    let look = fixture.vault.look().unwrap();
    assert!(!look.marked && look.seal == FoundSeal::Current && look.refusal.is_none());
    assert_eq!(look.event_count, 4);
    let origins: Vec<_> = look
        .keys
        .iter()
        .map(|key| (key.key_id, key.origin))
        .collect();
    assert_eq!(
        origins,
        [
            (root, KeyOrigin::Introduced),
            (quorum, KeyOrigin::Introduced),
            (new.key_id(), KeyOrigin::Event)
        ]
    );
    assert_eq!(before, fixture.log());

    let quorum_alone = Keyfile::new(vec![fixture.keyfile.get(&quorum).unwrap().clone()]);
    let options = AdoptOptions::default();
    let receipt = fixture.vault.adopt(&quorum_alone, &options).unwrap();
    assert_eq!(receipt.adopted_keys, [root, quorum], "the root key first");
    assert!(fixture.log().starts_with(&before));
    assert_eq!(verifies(&fixture.vault), 5);
    assert!(fixture.vault.look().unwrap().marked);
    // From now on a key that is listed by hand is evidence.
    list_key(&fixture.vault, &SigningKey::from_seed(&[77; 32]), &new);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(!report.is_valid());
    for error in fixture.refusals() {
        assert!(
            matches!(&error, VaultError::SealContradiction { file, .. } if file == KEYS),
            "{error}"
        );
    }
    // And an adoption takes it out again.
    let receipt = fixture.vault.adopt(&quorum_alone, &options).unwrap();
    let told = |note: &String| note.contains("it no longer does");
    assert!(receipt.notes.iter().any(told), "{:?}", receipt.notes);
    assert_eq!(receipt.event_count, 6);
    verifies(&fixture.vault);
}

#[test]
fn a_key_that_keys_json_alone_lists_is_not_adopted_unasked() {
    let stranger = SigningKey::from_seed(&[77; 32]);
    let fixture = Fixture::unmarked(false);
    let root = fixture.keyfile.keys()[0].clone();
    list_key(&fixture.vault, &stranger, &root);
    let before = picture(fixture.vault.path());
    let error = adopt(&fixture).unwrap_err();
    assert_eq!(untrusted(&error), [stranger.key_id()]);
    assert!(matches!(
        error,
        VaultError::Adoption(AdoptRefusal::Untrusted { unused: true, .. })
    ));
    // It does not adopt itself either.
    let own = Keyfile::new(vec![stranger.clone()]);
    let options = AdoptOptions::default();
    let error = fixture.vault.adopt(&own, &options).unwrap_err();
    assert_eq!(untrusted(&error), [stranger.key_id()]);
    let options = AdoptOptions {
        trust: vec![SigningKey::from_seed(&[78; 32]).key_id()],
        ..AdoptOptions::default()
    };
    let error = fixture.vault.adopt(&fixture.keyfile, &options).unwrap_err();
    assert!(matches!(
        error,
        VaultError::Adoption(AdoptRefusal::NoSuchKey { .. })
    ));
    assert_eq!(picture(fixture.vault.path()), before);

    // Whoever holds it need not be told that it is theirs, as long as another key signs.
    let both = Keyfile::new(vec![root.clone(), stranger.clone()]);
    let twin = copy(&fixture.vault, &fixture.outside().join("twin"));
    let receipt = twin.adopt(&both, &AdoptOptions::default()).unwrap();
    assert_eq!(receipt.adopted_keys, [root.key_id(), stranger.key_id()]);
    verifies(&twin);

    let options = AdoptOptions {
        trust: vec![stranger.key_id()],
        ..AdoptOptions::default()
    };
    let twin = copy(&fixture.vault, &fixture.outside().join("second"));
    twin.adopt(&own, &options).unwrap();
    let report = twin.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid());
    assert_eq!(codes(&report), ["PROVARA_W009"], "for good");
    let receipt = fixture.vault.adopt(&fixture.keyfile, &options).unwrap();
    assert_eq!(receipt.key_id, root.key_id());
    verifies(&fixture.vault);
}

#[test]
fn what_no_seal_vouches_for_is_taken_by_an_owner_alone_and_only_if_it_verifies() {
    let fixture = Fixture::new();
    for text in ["one", "two"] {
        let noted = fixture.vault.append(&note("a", text), &fixture.keyfile);
        noted.unwrap();
    }
    // The last event is gone: the seal is of more.
    let log = fixture.log();
    let end = log[..log.len() - 1].iter().rposition(|byte| *byte == b'\n');
    let short = log[..=end.unwrap()].to_vec();
    fs::write(fixture.vault.log_path(), &short).unwrap();
    for error in fixture.refusals() {
        let refused = matches!(
            error,
            VaultError::SealOfOther(_) | VaultError::SealContradiction { .. }
        );
        assert!(refused, "{error}");
    }
    let look = fixture.vault.look().unwrap();
    assert_eq!(look.seal, FoundSeal::Stale);
    assert!(look.refusal.is_some());
    let receipt = adopt(&fixture).unwrap();
    assert_eq!(receipt.found.seal, FoundSeal::Stale);
    assert_eq!(fixture.kept().len(), 1, "the seal that proves more");
    assert!(fixture.log().starts_with(&short));
    assert_eq!(verifies(&fixture.vault), 4);

    // No seal at all, and no line end.
    remove_seal(&fixture.vault);
    let open = fixture.log()[..fixture.log().len() - 1].to_vec();
    fs::write(fixture.vault.log_path(), &open).unwrap();
    let receipt = adopt(&fixture).unwrap();
    assert_eq!(receipt.found.seal, FoundSeal::Absent);
    assert!(fixture.log().starts_with(&[&open[..], b"\n"].concat()));
    verifies(&fixture.vault);

    let log = String::from_utf8(fixture.log()).unwrap();
    fs::write(fixture.vault.log_path(), log.replace("one", "0ne")).unwrap();
    let before = picture(fixture.vault.path());
    for error in [
        fixture.vault.look().unwrap_err(),
        adopt(&fixture).unwrap_err(),
    ] {
        assert!(
            matches!(error, VaultError::BrokenLog { line: 3, .. }),
            "{error}"
        );
    }
    assert_eq!(picture(fixture.vault.path()), before);
}

#[test]
fn a_closed_vault_is_not_adopted() {
    let fixture = Fixture::unmarked(false);
    let closing = request("com.provara.vault.seal", "a", "{}");
    fixture.vault.append(&closing, &fixture.keyfile).unwrap();
    let error = adopt(&fixture).unwrap_err();
    assert!(matches!(error, VaultError::Closed { .. }), "{error}");
}

#[test]
fn of_two_copies_of_which_one_was_adopted_the_union_is_marked() {
    let fixture = Fixture::unmarked(true);
    let other = copy(&fixture.vault, &fixture.outside().join("other"));
    adopt(&fixture).unwrap();
    let noted = fixture.vault.append(&note("here", "1"), &fixture.keyfile);
    noted.unwrap();
    other.append(&note("there", "1"), &fixture.keyfile).unwrap();
    let options = MergeOptions::default();
    let mut logs = Vec::new();
    for (to, from) in [(&other, &fixture.vault), (&fixture.vault, &other)] {
        to.merge(from, &fixture.keyfile, &options).unwrap();
        verifies(to);
        assert!(to.look().unwrap().marked);
        logs.push(fs::read(to.log_path()).unwrap());
    }
    assert_eq!(logs[0], logs[1]);
    assert_eq!(
        fs::read(other.path().join(KEYS)).unwrap(),
        fs::read(fixture.file(KEYS)).unwrap()
    );
}

#[test]
fn a_key_of_another_copy_comes_into_a_marked_vault_by_an_event() {
    let stranger = SigningKey::from_seed(&[77; 32]);
    let own = Keyfile::new(vec![stranger.clone()]);
    for append_only in [false, true] {
        // The copy is from before the adoption, and its owner listed a key of a colleague by hand.
        let fixture = Fixture::unmarked(true);
        let other = copy(&fixture.vault, &fixture.outside().join("other"));
        list_key(&other, &stranger, &fixture.keyfile.keys()[0]);
        other.append(&note("there", "1"), &own).unwrap();
        crate::common::reseal(&other, &fixture.keyfile.keys()[0]);
        adopt(&fixture).unwrap();
        let before = picture(fixture.vault.path());
        let mut options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        let error = fixture.vault.merge(&other, &fixture.keyfile, &options);
        let VaultError::Merge(refusal) = error.unwrap_err() else {
            panic!()
        };
        let MergeRefusal::UntrustedKeys { key_ids } = *refusal else {
            panic!("{refusal}")
        };
        assert_eq!(key_ids, [stranger.key_id()]);
        assert_eq!(picture(fixture.vault.path()), before);

        options.trust_keys = vec![stranger.key_id()];
        let receipt = fixture.vault.merge(&other, &fixture.keyfile, &options);
        let receipt = receipt.unwrap();
        assert_eq!(receipt.signed_by, Some(fixture.receipt.root_key_id));
        assert_eq!(receipt.imported, 1);
        let log = String::from_utf8(fixture.log()).unwrap();
        let line = |text: &str| log.lines().position(|line| line.contains(text)).unwrap();
        assert!(line("com.provara.key.added") < line("\"actor\":\"there\""));
        verifies(&fixture.vault);
        let keys = fs::read_to_string(fixture.file(KEYS)).unwrap();
        assert!(keys.contains("addition_event_id"));
        // Once is enough.
        let again = fixture.vault.merge(&other, &fixture.keyfile, &options);
        assert_eq!(again.unwrap().order, provara_vault::MergeOrder::Unchanged);
        fixture.vault.append(&note("there", "2"), &own).unwrap();
        verifies(&fixture.vault);
    }
}
