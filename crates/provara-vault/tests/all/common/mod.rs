//! A vault in a directory of its own, for the tests of this crate.

// Each test file uses a part.
#![allow(dead_code, unreachable_pub)]

pub mod crash;
pub mod disk;

use std::fs;
use std::path::{Path, PathBuf};

use provara_core::event::Draft;
use provara_core::finding::Report;
use provara_core::id::{Digest, KeyId};
use provara_core::json;
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_vault::{
    AppendRequest, InitOptions, InitReceipt, SignedHead, SourceLog, TreeHeadOptions, Vault,
    VaultError, VerifyOptions, init, layout, read_keyfile,
};

/// A fresh vault; removed when dropped.
pub struct Fixture {
    directory: tempfile::TempDir,
    pub vault: Vault,
    pub keyfile: Keyfile,
    pub receipt: InitReceipt,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(&InitOptions::default())
    }

    pub fn with(options: &InitOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receipt = init(&directory.path().join("vault"), options).unwrap();
        let vault = Vault::open(&directory.path().join("vault"))
            .unwrap()
            .with_state_directory(directory.path().join("state"));
        let keyfile = read_keyfile(&receipt.keyfile).unwrap();
        Self {
            directory,
            vault,
            keyfile,
            receipt,
        }
    }

    /// With a quorum key.
    pub fn with_quorum() -> Self {
        Self::with(&InitOptions {
            quorum: true,
            ..InitOptions::default()
        })
    }

    /// A vault as version 1.1.0 made it: no event says which keys are the vault's own, and no event names
    /// a seal.
    pub fn unmarked(quorum: bool) -> Self {
        let fixture = Self::with(&InitOptions {
            quorum,
            ..InitOptions::default()
        });
        let key = fixture.keyfile.keys()[0].clone();
        let mut prev = None;
        let mut log = Vec::new();
        for line in fixture.log().split_inclusive(|byte| *byte == b'\n') {
            let mut event = json::parse(line.trim_ascii_end()).unwrap().into_owned();
            let json::Value::Object(members) = &mut event else {
                panic!("an event is an object")
            };
            for (name, value) in members {
                if let ("payload", json::Value::Object(said)) = (&**name, value) {
                    said.retain(|(name, _)| name != "seal_policy");
                }
            }
            let text = |name| event.get(name).and_then(json::Value::as_str);
            let signed = Draft {
                event_type: &text("type").unwrap().parse().unwrap(),
                actor: text("actor").unwrap(),
                namespace: text("namespace").map(|it| it.parse().unwrap()),
                payload: event.get("payload").unwrap(),
                prev,
                ts_logical: event.get("ts_logical").unwrap().as_i64().unwrap() as u64,
                timestamp: text("timestamp_utc").unwrap().parse().unwrap(),
                seal: None,
                after: None,
            }
            .sign(&key)
            .unwrap();
            prev = Some(signed.id);
            log.extend(signed.line);
        }
        fs::write(fixture.vault.log_path(), log).unwrap();
        reseal(&fixture.vault, &key);
        fixture
    }

    /// The ids of the root key and of the quorum key.
    pub fn root_and_quorum(&self) -> (KeyId, KeyId) {
        let quorum = self.receipt.quorum_key_id;
        (self.receipt.root_key_id, quorum.unwrap())
    }

    /// Why nothing writes to the vault: neither an append nor a repair.
    pub fn refusals(&self) -> [VaultError; 2] {
        let appended = self.vault.append(&note("a", "x"), &self.keyfile);
        let repaired = self.vault.repair(Some(&self.keyfile), false);
        [appended.unwrap_err(), repaired.unwrap_err()]
    }

    /// The directory around the vault.
    pub fn outside(&self) -> &Path {
        self.directory.path()
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// What writers kept outside the vault.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(self.state().join("recovered")).unwrap();
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    }

    pub fn log(&self) -> Vec<u8> {
        fs::read(self.vault.log_path()).unwrap()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.vault.path().join(path)
    }

    /// The log as it stands, whether it verifies or not.
    pub fn source(&self) -> SourceLog {
        self.vault.snapshot().unwrap().unverified()
    }

    /// An attempt that stops at this line of a log that does not verify, and leaves everything as it was.
    #[track_caller]
    pub fn stops_at<T: std::fmt::Debug>(
        &self,
        line: u64,
        attempt: impl FnOnce(&Vault, &Keyfile) -> Result<T, VaultError>,
    ) {
        let before = picture(self.vault.path());
        let error = attempt(&self.vault, &self.keyfile).unwrap_err();
        assert!(
            matches!(error, VaultError::BrokenLog { line: at, .. } if at == line),
            "{error}"
        );
        assert_eq!(picture(self.vault.path()), before);
    }
}

/// The vault of a fixture, opened by somebody whose machine remembers what it publishes.
pub fn remembering(fixture: &Fixture) -> Vault {
    let vault = Vault::open(fixture.vault.path()).unwrap();
    vault
        .with_state_directory(fixture.state())
        .with_memory(true)
}

/// A tree head of a vault as it is.
pub fn publish_head(vault: &Vault, keys: &Keyfile) -> SignedHead {
    let signed = vault.tree_head(keys, &TreeHeadOptions::default());
    SignedHead::parse(signed.unwrap().note.as_bytes()).unwrap()
}

/// The log of a vault that verifies.
pub fn verified_log(vault: &Vault) -> SourceLog {
    let examination = vault.examine(&VerifyOptions::default()).unwrap();
    examination.verified().unwrap().into_source()
}

/// Changes `keys.json` by hand, as whoever can write files can; the seal is not made anew.
pub fn edit_keys(vault: &Vault, edit: impl FnOnce(&mut KeyRegistry)) {
    let path = vault.path().join(layout::KEYS);
    let mut registry = KeyRegistry::parse(&fs::read(&path).unwrap()).unwrap();
    edit(&mut registry);
    fs::write(&path, registry.to_json()).unwrap();
}

/// Adds a key with the roles of the first.
pub fn add_key(registry: &mut KeyRegistry, key: &SigningKey) {
    let mut entry = registry.keys[0].clone();
    entry.key_id = key.key_id();
    entry.public_key = key.public();
    registry.keys.push(entry);
}

/// Adds a key to `keys.json` by hand, as [`edit_keys`] does.
pub fn list_key(vault: &Vault, key: &SigningKey) {
    edit_keys(vault, |registry| add_key(registry, key));
}

/// Makes the seal anew over whatever stands there, by any key: what nobody but an attacker, or another tool,
/// does by hand.
pub fn reseal(vault: &Vault, key: &SigningKey) {
    let files = picture(vault.path()).into_iter();
    let files = files.filter(|(path, _, _)| path.is_file());
    let entries = files.filter_map(|(path, _, bytes)| {
        let path = path.strip_prefix(vault.path()).unwrap().to_str().unwrap();
        (!layout::is_unlisted(path)).then(|| FileEntry {
            path: path.to_owned(),
            sha256: Digest::of(&bytes),
            size: bytes.len() as u64,
        })
    });
    let now = "2026-11-28T12:00:00Z".parse().unwrap();
    let (manifest, root) = write_manifest(entries.collect(), now);
    let write = |file: &str, text: &[u8]| fs::write(vault.path().join(file), text).unwrap();
    write(layout::MANIFEST, &manifest);
    write(layout::MERKLE_ROOT, &write_merkle_root(root));
    write(layout::MANIFEST_SIG, &sign_root(root, key, now));
}

/// Removes the seal as a whole, as an owner does who knows why the log is another one.
pub fn remove_seal(vault: &Vault) {
    for file in layout::SEAL {
        fs::remove_file(vault.path().join(file)).unwrap();
    }
}

/// An event of a custom type by `actor`.
pub fn note(actor: &str, text: &str) -> AppendRequest<'static> {
    request(
        "com.example.test.note",
        actor,
        &format!(r#"{{"text":{text:?}}}"#),
    )
}

pub fn request(event_type: &str, actor: &str, data: &str) -> AppendRequest<'static> {
    AppendRequest {
        event_type: event_type.parse().unwrap(),
        data: json::parse(data.as_bytes()).unwrap().into_owned(),
        actor: actor.to_owned(),
        namespace: None,
        confidence: None,
        key_id: None,
        blind: false,
        idempotency_key: None,
        rounded: 0,
        with_head: false,
    }
}

/// Every file and directory below `root`, with its bytes and its mode: what must not change.
pub fn picture(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;

    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let bytes = if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.push((path, metadata.permissions().mode(), bytes));
    }
    found.sort();
    found
}

/// Copies a vault as `cp -r` does.
pub fn copy(vault: &Vault, to: &Path) -> Vault {
    for (path, _, bytes) in picture(vault.path()) {
        let target = to.join(path.strip_prefix(vault.path()).unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(&target, bytes).unwrap();
        }
    }
    Vault::open(to)
        .unwrap()
        .with_state_directory(to.parent().unwrap().join("state"))
}

/// The revocation of `old` and the promotion of `new` in its place, signed by the key `by`.
pub fn rotation(old: KeyId, new: &SigningKey, by: KeyId) -> [AppendRequest<'static>; 2] {
    let at = "2026-01-01T00:00:00Z";
    let revocation = format!(
        r#"{{"revoked_key_id":"{old}","reason":"lost","trust_boundary_event_id":null,"revoked_at_utc":"{at}"}}"#
    );
    let promotion = format!(
        r#"{{"new_key_id":"{}","new_public_key_b64":"{}","algorithm":"Ed25519","roles":["root","attestation"],"promoted_by":"{by}","replaces_key_id":"{old}","promoted_at_utc":"{at}"}}"#,
        new.key_id(),
        new.public().to_base64()
    );
    [("KEY_REVOCATION", revocation), ("KEY_PROMOTION", promotion)].map(|(event_type, data)| {
        AppendRequest {
            key_id: Some(by),
            ..request(event_type, "authority", &data)
        }
    })
}

/// A verification for which warnings are errors.
pub fn strict() -> VerifyOptions {
    VerifyOptions {
        strict: true,
        ..VerifyOptions::default()
    }
}

/// Asserts that the vault verifies without a warning; gives the number of its events.
#[track_caller]
pub fn verifies(vault: &Vault) -> u64 {
    let report = vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    report.event_count()
}

/// The codes of a report's errors and warnings.
pub fn codes(report: &Report) -> Vec<String> {
    report
        .findings()
        .iter()
        .map(|finding| finding.code.to_string())
        .collect()
}
