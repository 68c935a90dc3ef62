//! A small honest vault in memory, for tests to break before or after it is sealed.
//!
//! Every key, time and choice of line follows from the seed below, so a failure repeats.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test program uses its part"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use provara_core::beliefs::BeliefReducer;
use provara_core::checkpoint;
use provara_core::finding::Report;
use provara_core::id::Digest;
use provara_core::json;
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::time::Timestamp;
use provara_vault::{Vault, VerifyOptions};

#[path = "../../../provara-core/tests/all/support/log_forge.rs"]
pub mod log_forge;

use log_forge::{Log, id, key, set};

const SEED: u64 = 0x5eed_2026;

/// A vault in memory: its files by path, and the log apart so that it can be forged.
pub struct Golden {
    pub log: Log,
    pub files: BTreeMap<String, Vec<u8>>,
    pub links: Vec<(&'static str, &'static str)>,
    random: u64,
}

pub fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

impl Golden {
    pub fn new() -> Self {
        let mut log = Log::with_keys(&[1, 2, 3]);
        let genesis = format!(r#"{{"root_key_id":"{}","uid":"golden"}}"#, id(1));
        log.edit_signed(0, 1, |members| {
            set(
                members,
                "payload",
                json::parse(genesis.as_bytes()).unwrap().into_owned(),
            );
        });
        let mut golden = Self {
            log,
            files: BTreeMap::new(),
            links: Vec::new(),
            random: SEED,
        };
        for n in 0..24 {
            let (actor, seed) = [("alice", 2), ("bob", 3), ("carol", 2)][golden.pick(3)];
            golden.log.add(
                actor,
                seed,
                "com.acme.audit.login",
                &format!(r#"{{"n":{n}}}"#),
            );
            let belief = format!(r#"{{"predicate":"at","subject":"s{}","value":{n}}}"#, n % 5);
            golden.log.add(actor, seed, "OBSERVATION", &belief);
        }
        let text = |text: &str| text.as_bytes().to_vec();
        let genesis = format!(
            r#"{{"uid":"golden","birth_timestamp":"2026-01-01T00:00:00Z","root_key_id":"{}","governance_model":"policies/sync_contract.json","initial_ontology_versions":{{}}}}"#,
            id(1)
        );
        let contract = format!(
            r#"{{"authorities":[{{"key_id":"{}"}}],"merge_policies":{{}},"replication_factor":2,"degradation_ladder":["a","b"]}}"#,
            id(1)
        );
        let classes = r#""L0":{},"L1":{},"L2":{},"L3":{}"#;
        let safety = format!(
            r#"{{"action_classes":{{{classes}}},"merge_ratchet":"most_restrictive_wins"}}"#
        );
        for (path, bytes) in [
            ("identity/genesis.json", text(&genesis)),
            ("policies/sync_contract.json", text(&contract)),
            ("policies/safety_policy.json", text(&safety)),
            (
                "policies/retention_policy.json",
                text(r#"{"events":"permanent"}"#),
            ),
            ("policies/ontology/perception_ontology_v1.json", text("{}")),
            ("artifacts/cas/blob.bin", text("blob")),
        ] {
            golden.files.insert(path.into(), bytes);
        }
        golden.checkpoint();
        golden
    }

    /// A number below `below`, from the seed (splitmix64).
    pub fn pick(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    /// A line that is neither the first nor the last of its actor.
    pub fn middle(&mut self) -> usize {
        12 + self.pick(20)
    }

    pub fn checkpoint(&mut self) {
        let mut reducer = BeliefReducer::new();
        for line in &self.log.lines {
            reducer.apply(&json::parse(line).unwrap());
        }
        let text = checkpoint::build(&reducer.finish(), None, &key(1), now());
        let path = format!("checkpoints/{:010}.chk", self.log.lines.len());
        self.files.insert(path, text);
    }

    /// Edits a file's text, and sees to it that there was something to edit.
    pub fn edit(&mut self, path: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.files[path].clone()).unwrap();
        assert!(text.contains(from), "{path} lacks {from}: {text}");
        self.files
            .insert(path.into(), text.replacen(from, to, 1).into_bytes());
    }

    pub fn edit_checkpoint(&mut self, from: &str, to: &str) {
        let path = self
            .files
            .keys()
            .find(|path| path.ends_with(".chk"))
            .unwrap()
            .clone();
        self.edit(&path, from, to);
    }

    /// Changes the text of one middle line.
    pub fn edit_line(&mut self, from: &str, to: &str) {
        let at = self.middle();
        self.log.edit_text(at, from, to);
    }

    /// Puts bytes into one middle line: at its start, or before its LF.
    pub fn insert(&mut self, at_start: bool, bytes: &[u8]) {
        let at = self.middle();
        let line = &mut self.log.lines[at];
        let place = if at_start { 0 } else { line.len() - 1 };
        line.splice(place..place, bytes.iter().copied());
    }

    pub fn insert_line(&mut self, bytes: &[u8]) {
        let at = self.middle();
        self.log.lines.insert(at, bytes.to_vec());
    }

    /// Brings the log, the keys and the seal in line with each other, as a forger with the keys
    /// would.
    pub fn seal(&mut self) {
        self.files
            .insert("events/events.ndjson".into(), self.log.lines.concat());
        self.files
            .entry("identity/keys.json".into())
            .or_insert_with(|| self.log.registry.to_json());
        self.seal_files();
    }

    pub fn seal_files(&mut self) {
        let seal = ["manifest.json", "manifest.sig", "merkle_root.txt"];
        let entries = self
            .files
            .iter()
            .filter(|(path, _)| !seal.contains(&path.as_str()));
        let entries = entries.map(|(path, bytes)| FileEntry {
            path: path.clone(),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
        });
        let (manifest, root) = write_manifest(entries.collect(), now());
        self.files.insert("manifest.json".into(), manifest);
        self.files
            .insert("merkle_root.txt".into(), write_merkle_root(root));
        self.files
            .insert("manifest.sig".into(), sign_root(root, &key(1), now()));
    }

    /// Makes `manifest.json` say something else, with a root and a signature that fit.
    pub fn forge_manifest(&mut self, from: &str, to: &str) {
        self.edit("manifest.json", from, to);
        let manifest = &self.files["manifest.json"];
        if let Ok(manifest) = provara_core::manifest::Manifest::parse(manifest) {
            let root = manifest.merkle_root();
            self.files
                .insert("merkle_root.txt".into(), write_merkle_root(root));
            self.files
                .insert("manifest.sig".into(), sign_root(root, &key(1), now()));
        }
    }

    pub fn verify(&self, strict: bool) -> Report {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("vault");
        self.write_to(&root);
        let options = VerifyOptions {
            strict,
            ..VerifyOptions::default()
        };
        Vault::open(&root).unwrap().verify(&options).unwrap()
    }

    pub fn write_to(&self, root: &Path) {
        for (path, bytes) in &self.files {
            write(&root.join(path), bytes);
        }
        fs::create_dir_all(root.join("state")).unwrap();
        #[cfg(unix)]
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
