//! Making a vault: its layout, and that a failure leaves nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Fixture, picture, strict};
use provara_core::json;
use provara_core::keys::KeyRegistry;
use provara_vault::{InitOptions, Vault, VaultError, VerifyOptions, init};

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<_> = picture(root)
        .into_iter()
        .map(|(path, _, _)| path.strip_prefix(root).unwrap().display().to_string())
        .collect();
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn the_layout_is_that_of_the_format() {
    let fixture = Fixture::new();
    let expected = [
        "artifacts",
        "artifacts/cas",
        "events",
        "events/events.ndjson",
        "identity",
        "identity/genesis.json",
        "identity/keys.json",
        "identity/private_keys.json",
        "manifest.json",
        "manifest.sig",
        "merkle_root.txt",
        "policies",
        "policies/ontology",
        "policies/ontology/perception_ontology_v1.json",
        "policies/retention_policy.json",
        "policies/safety_policy.json",
        "policies/sync_contract.json",
        "state",
    ];
    assert_eq!(names(fixture.vault.path()), expected);
    let mode = fs::metadata(fixture.file("identity/private_keys.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let report = fixture.vault.verify(&strict()).unwrap();
    assert!(
        report.is_valid() && report.findings().is_empty(),
        "{:?}",
        report.findings()
    );
    assert_eq!(report.event_count(), 2);

    let log = String::from_utf8(fixture.log()).unwrap();
    let events: Vec<_> = log
        .lines()
        .map(|line| json::parse(line.as_bytes()).unwrap())
        .collect();
    let text =
        |index: usize, key: &str| events[index].get(key).unwrap().as_str().map(str::to_owned);
    assert_eq!(text(0, "type").unwrap(), "GENESIS");
    assert_eq!(text(0, "namespace").unwrap(), "canonical");
    assert_eq!(text(0, "actor").unwrap(), "sovereign_genesis");
    assert_eq!(text(1, "type").unwrap(), "OBSERVATION");
    assert_eq!(text(1, "prev_event_hash"), text(0, "event_id"));
    assert!(text(0, "timestamp_utc").unwrap().ends_with('Z'));
    assert!(log.contains(
        r#""payload":{"confidence":1,"predicate":"status","subject":"system","value":"initialized"}"#
    ));
    let genesis = fs::read(fixture.file("identity/genesis.json")).unwrap();
    let genesis = json::parse(&genesis).unwrap();
    assert_eq!(
        genesis.get("uid").unwrap().as_str().unwrap(),
        fixture.receipt.uid
    );
    assert_eq!(fixture.receipt.uid.len(), 36);
}

#[test]
fn the_policies_are_those_of_existing_vaults() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/vaults.tar.xz");
    let directory = tempfile::tempdir().unwrap();
    let mut archive = Vec::new();
    lzma_rs::xz_decompress(&mut fs::read(corpus).unwrap().as_slice(), &mut archive).unwrap();
    tar::Archive::new(archive.as_slice())
        .unpack(directory.path())
        .unwrap();
    for (name, quorum) in [("v_init", false), ("v_init_quorum", true)] {
        let fixture = Fixture::with(&InitOptions {
            quorum,
            ..InitOptions::default()
        });
        let model = directory.path().join(name);
        for path in [
            "policies/safety_policy.json",
            "policies/retention_policy.json",
            "policies/ontology/perception_ontology_v1.json",
        ] {
            assert_eq!(
                fs::read(fixture.file(path)).unwrap(),
                fs::read(model.join(path)).unwrap(),
                "{path}"
            );
        }
        // Files that name keys agree once the keys are the same.
        let keys = fs::read(model.join("identity/keys.json")).unwrap();
        let ours = fs::read(fixture.file("identity/keys.json")).unwrap();
        let (keys, ours) = (
            KeyRegistry::parse(&keys).unwrap(),
            KeyRegistry::parse(&ours).unwrap(),
        );
        assert_eq!(keys.keys.len(), ours.keys.len());
        let mut contract = fs::read_to_string(fixture.file("policies/sync_contract.json")).unwrap();
        for (theirs, ours) in keys.keys.iter().zip(&ours.keys) {
            assert_eq!((&theirs.roles, &theirs.scopes), (&ours.roles, &ours.scopes));
            contract = contract.replace(&ours.key_id.to_string(), &theirs.key_id.to_string());
        }
        let model = fs::read_to_string(model.join("policies/sync_contract.json")).unwrap();
        assert_eq!(contract, model);
    }
}

#[test]
fn only_an_empty_or_a_new_directory_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let full = directory.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), b"x").unwrap();
    fs::write(directory.path().join("file"), b"x").unwrap();
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    let before = picture(directory.path());
    for path in ["full", "full/file", "file", "dangling"] {
        let error = init(&directory.path().join(path), &InitOptions::default()).unwrap_err();
        assert!(
            matches!(error, VaultError::NotEmpty { .. }),
            "{path}: {error}"
        );
    }
    assert!(
        init(
            &directory.path().join("file/below"),
            &InitOptions::default()
        )
        .is_err()
    );
    assert_eq!(picture(directory.path()), before);

    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o750)).unwrap();
    symlink("empty", directory.path().join("link")).unwrap();
    init(&directory.path().join("link"), &InitOptions::default()).unwrap();
    assert_eq!(
        fs::metadata(&empty).unwrap().permissions().mode() & 0o777,
        0o750
    );
    let vault = Vault::open(&empty).unwrap();
    assert!(vault.verify(&VerifyOptions::default()).unwrap().is_valid());
    init(
        &directory.path().join("new/in/new"),
        &InitOptions::default(),
    )
    .unwrap();
    let error = init(
        &directory.path().join("new/in/new"),
        &InitOptions::default(),
    )
    .unwrap_err();
    assert!(matches!(error, VaultError::NotEmpty { .. }));
}

#[test]
fn private_keys_go_where_they_are_wanted_and_overwrite_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.json");
    let options = InitOptions {
        private_keys: Some(keys.clone()),
        uid: Some("a \"name\"\n".to_owned()),
        actor: Some("me".to_owned()),
        quorum: true,
    };
    let vault = directory.path().join("vault");
    let receipt = init(&vault, &options).unwrap();
    assert_eq!(receipt.keyfile, fs::canonicalize(&keys).unwrap());
    assert_eq!(
        fs::metadata(&keys).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!vault.join("identity/private_keys.json").exists());
    let opened = Vault::open(&vault).unwrap();
    let report = opened.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    let keyfile = provara_vault::read_keyfile(&keys).unwrap();
    assert!(
        keyfile
            .key_ids()
            .eq([receipt.root_key_id, receipt.quorum_key_id.unwrap()])
    );

    // The keyfile is there: no second vault is made, and its parents are not left behind.
    let before = picture(directory.path());
    let error = init(&directory.path().join("a/b"), &options).unwrap_err();
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    let lost = InitOptions {
        private_keys: Some(directory.path().join("no/such")),
        ..options.clone()
    };
    let error = init(&directory.path().join("a/b"), &lost).unwrap_err();
    assert!(matches!(error, VaultError::Io { .. }), "{error}");
    let inside = directory.path().join("other");
    let within = InitOptions {
        private_keys: Some(inside.join("keys.json")),
        ..options.clone()
    };
    assert!(matches!(
        init(&inside, &within),
        Err(VaultError::KeyfilePlace { .. })
    ));
    for (uid, actor) in [(Some(" "), None), (None, Some(""))] {
        let empty = InitOptions {
            uid: uid.map(str::to_owned),
            actor: actor.map(str::to_owned),
            ..InitOptions::default()
        };
        assert!(init(&inside, &empty).is_err());
    }
    assert_eq!(picture(directory.path()), before);
}

#[test]
fn what_is_no_vault_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), b"x").unwrap();
    let open = |path: &str| Vault::open(&directory.path().join(path)).unwrap_err();
    assert!(matches!(open("nothing"), VaultError::NotFound { .. }));
    std::os::unix::fs::symlink("nowhere", directory.path().join("dang")).unwrap();
    for path in ["dang", "dang/vault"] {
        let error = open(path);
        let VaultError::DanglingLink { link, target, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*link, directory.path().join("dang"));
        assert_eq!(target.to_str(), Some("nowhere"));
    }
    assert!(matches!(open("file"), VaultError::NotAVault { .. }));
    assert!(matches!(open("."), VaultError::NotAVault { .. }));
}
