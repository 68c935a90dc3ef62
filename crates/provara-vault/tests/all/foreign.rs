//! What is no vault is told by its name; a damaged vault is never excused as something else.

use std::fs;
use std::path::Path;

use provara_vault::{Foreign, Vault, VaultError, VerifyOptions, layout};

use crate::common::{Fixture, copy};

/// What `path` is said to be.
fn kind(path: &Path) -> Option<Foreign> {
    match Vault::open(path) {
        Err(VaultError::NotAVault { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

const CUSTODY: (&str, &str) = (
    "chain_of_custody.json",
    r#"{"events":[],"chain_intact":true}"#,
);
const PSMC: (&str, &str) = ("psmc.json", r#"{"version":"1"}"#);
const PSMC_EVENT: &str = "{\"id\":\"x\",\"seq\":0,\"hash\":\"a3\",\"prev_hash\":\"00\"}\n";

/// A directory's name, what it is, and its files.
type Case<'a> = (&'a str, Foreign, &'a [(&'a str, &'a str)]);

#[test]
fn what_other_tools_make_has_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let event = r#"{"actor":"a","event_id":"evt_1","sig":"x","type":"GENESIS"}"#;
    let cases: [Case<'_>; 7] = [
        (
            "forensic",
            Foreign::ForensicBundle,
            &[
                CUSTODY,
                ("manifest/manifest.json", "{}"),
                (layout::LOG, event),
                (layout::GENESIS, "{}"),
                (layout::KEYS, "{}"),
            ],
        ),
        (
            "psmc",
            Foreign::PsmcVault,
            &[
                PSMC,
                ("chain/chain.ndjson", "{}\n"),
                (layout::LOG, PSMC_EVENT),
            ],
        ),
        (
            "scitt",
            Foreign::ScittBundle,
            &[
                (
                    "index.json",
                    r#"{"export_format":"scitt-compat","statements":[]}"#,
                ),
                ("keys.json", "{}"),
            ],
        ),
        (
            "playground",
            Foreign::EventsAlone,
            &[("vault.provara", event)],
        ),
        (
            "unpacked",
            Foreign::EventsAlone,
            &[("events.ndjson", event), ("manifest.json", "{}")],
        ),
        (
            "list",
            Foreign::EventsAlone,
            &[("events.json", &format!("[{event}]"))],
        ),
        (
            "web-app",
            Foreign::OtherManifest,
            &[("manifest.json", r#"{"name":"app"}"#)],
        ),
    ];
    for (name, expected, files) in cases {
        let root = directory.path().join(name);
        write(&root, files);
        assert_eq!(kind(&root), Some(expected), "{name}");
    }
    for (name, expected, bytes) in [
        (
            "a.sqlite",
            Foreign::SqliteVault,
            &b"SQLite format 3\0 CREATE TABLE vault_meta"[..],
        ),
        (
            "b.sqlite",
            Foreign::SqliteDatabase,
            b"SQLite format 3\0 CREATE TABLE x",
        ),
        ("c.zip", Foreign::Archive, b"PK\x03\x04"),
        ("d.tgz", Foreign::Archive, b"\x1f\x8b\x08"),
        ("e.provara", Foreign::EventsAlone, event.as_bytes()),
        ("f.delta", Foreign::Delta, br#"{"type":"provara_delta_v1"}"#),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(kind(&path), Some(expected), "{name}");
    }
    let path = directory.path().join("empty");
    fs::write(&path, b"").unwrap();
    assert_eq!(kind(&path), None);
}

/// Whoever damages a vault may leave beside it what other tools' bundles have.
#[test]
fn a_damaged_vault_is_never_excused() {
    let fixture = Fixture::new();
    let rest = [
        layout::MANIFEST,
        layout::MANIFEST_SIG,
        layout::MERKLE_ROOT,
        layout::GENESIS,
        layout::KEYS,
    ];
    for (number, lost) in rest.iter().enumerate() {
        let path = fixture.outside().join(format!("damaged-{number}"));
        let vault = copy(&fixture.vault, &path);
        // One file is lost, or all but this one.
        for name in rest.iter().filter(|name| (*name == lost) == (number < 3)) {
            fs::remove_file(vault.path().join(name)).unwrap();
        }
        write(
            &path,
            &[
                CUSTODY,
                PSMC,
                ("manifest/manifest.json", "{}"),
                ("chain/chain.ndjson", "{}\n"),
                ("index.json", r#"{"export_format":"scitt-compat"}"#),
                (
                    "events.ndjson",
                    r#"{"actor":"a","event_id":"evt_1","sig":"x"}"#,
                ),
            ],
        );
        let vault = Vault::open(&path).unwrap_or_else(|error| panic!("without {lost}: {error}"));
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        assert!(!report.is_valid(), "without {lost}");
    }
}

#[test]
fn a_manifest_that_lists_files_is_a_vaults() {
    let fixture = Fixture::new();
    let path = fixture.outside().join("left");
    let manifest = fs::read_to_string(fixture.file(layout::MANIFEST)).unwrap();
    write(&path, &[(layout::MANIFEST, &manifest)]);
    let report = Vault::open(&path)
        .unwrap()
        .verify(&VerifyOptions::default())
        .unwrap();
    assert!(!report.is_valid());
}
