//! One golden vault, and one change at a time: each gives the code of the rule that it breaks, and
//! nothing that does not follow from it. The unchanged twin verifies, strictly.
//!
//! Every key, time and choice of line follows from the seed below, so a failure repeats.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use provara_core::beliefs::BeliefReducer;
use provara_core::checkpoint;
use provara_core::finding::{Code, Report};
use provara_core::id::Digest;
use provara_core::json;
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::time::Timestamp;
use provara_vault::{Vault, VerifyOptions};

#[path = "../../provara-core/tests/support/log_forge.rs"]
mod log_forge;

use log_forge::{Log, id, key, set};

const SEED: u64 = 0x5eed_2026;

/// A vault in memory: its files by path, and the log apart so that it can be forged.
struct Golden {
    log: Log,
    files: BTreeMap<String, Vec<u8>>,
    links: Vec<(&'static str, &'static str)>,
    random: u64,
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

impl Golden {
    fn new() -> Self {
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
    fn pick(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    /// A line that is neither the first nor the last of its actor.
    fn middle(&mut self) -> usize {
        12 + self.pick(20)
    }

    fn checkpoint(&mut self) {
        let mut reducer = BeliefReducer::new();
        for line in &self.log.lines {
            reducer.apply(&json::parse(line).unwrap());
        }
        let text = checkpoint::build(&reducer.finish(), None, &key(1), now());
        let path = format!("checkpoints/{:010}.chk", self.log.lines.len());
        self.files.insert(path, text);
    }

    /// Edits a file's text, and sees to it that there was something to edit.
    fn edit(&mut self, path: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.files[path].clone()).unwrap();
        assert!(text.contains(from), "{path} lacks {from}: {text}");
        self.files
            .insert(path.into(), text.replacen(from, to, 1).into_bytes());
    }

    fn edit_checkpoint(&mut self, from: &str, to: &str) {
        let path = self
            .files
            .keys()
            .find(|path| path.ends_with(".chk"))
            .unwrap()
            .clone();
        self.edit(&path, from, to);
    }

    /// Changes the text of one middle line.
    fn edit_line(&mut self, from: &str, to: &str) {
        let at = self.middle();
        self.log.edit_text(at, from, to);
    }

    /// Puts bytes into one middle line: at its start, or before its LF.
    fn insert(&mut self, at_start: bool, bytes: &[u8]) {
        let at = self.middle();
        let line = &mut self.log.lines[at];
        let place = if at_start { 0 } else { line.len() - 1 };
        line.splice(place..place, bytes.iter().copied());
    }

    fn insert_line(&mut self, bytes: &[u8]) {
        let at = self.middle();
        self.log.lines.insert(at, bytes.to_vec());
    }

    /// Brings the log, the keys and the seal in line with each other, as a forger with the keys
    /// would.
    fn seal(&mut self) {
        self.files
            .insert("events/events.ndjson".into(), self.log.lines.concat());
        self.files
            .entry("identity/keys.json".into())
            .or_insert_with(|| self.log.registry.to_json());
        self.seal_files();
    }

    fn seal_files(&mut self) {
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
    fn forge_manifest(&mut self, from: &str, to: &str) {
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

    fn verify(&self, strict: bool) -> Report {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("vault");
        for (path, bytes) in &self.files {
            write(&root.join(path), bytes);
        }
        fs::create_dir_all(root.join("state")).unwrap();
        #[cfg(unix)]
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        }
        let options = VerifyOptions {
            strict,
            ..VerifyOptions::default()
        };
        Vault::open(&root).unwrap().verify(&options).unwrap()
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

type Change = fn(&mut Golden);

/// A change before the vault is sealed, one after it, and the codes that must be found.
struct Mutation(&'static str, Change, Change, &'static [Code]);

const NOTHING: Change = |_| {};
const LAST: usize = 48;

use Code::{
    E002, E003, E004, E005, E006, E007, E008, E009, E010, E011, E012, E013, E100, E101, E102, E103,
    E104, E105, E200, E201, E202, E203, E204, E300, E301, E302, E303, W001, W002, W003, W004, W005,
    W006, W007,
};

/// Re-signs the last line after an edit, with the key that signed it.
fn resign(golden: &mut Golden, field: &str, value: Option<json::Value<'static>>) {
    let line = golden.log.lines[LAST].clone();
    let event = json::parse(&line).unwrap();
    let signer = event.get("actor_key_id").unwrap().as_str().unwrap();
    let seed = (1..=3)
        .find(|seed| id(*seed).to_string() == signer)
        .unwrap();
    golden.log.edit_signed(LAST, seed, |members| {
        members.retain(|(name, _)| name != field);
        members.extend(value.map(|value| (field.to_owned(), value)));
    });
}

/// The id of an event of the last line's actor, two before its head, and one of another actor.
fn relatives(golden: &Golden) -> (String, String) {
    let actor = |line: &Vec<u8>| {
        json::parse(line)
            .unwrap()
            .get("actor")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let last = actor(&golden.log.lines[LAST]);
    let own: Vec<_> = (1..LAST)
        .filter(|at| actor(&golden.log.lines[*at]) == last)
        .collect();
    let other = (1..LAST)
        .find(|at| actor(&golden.log.lines[*at]) != last)
        .unwrap();
    (
        golden.log.ids[own[own.len() - 2]].to_string(),
        golden.log.ids[other].to_string(),
    )
}

/// Without the checkpoint, whose state would rightly diverge beside the rule in question.
fn no_checkpoint(golden: &mut Golden) {
    golden.files.retain(|path, _| !path.ends_with(".chk"));
}

const MUTATIONS: &[Mutation] = &[
    // Section 2: lines.
    Mutation("blank line", |g| g.insert_line(b"\n"), NOTHING, &[E104]),
    Mutation(
        "blank line with CR",
        |g| g.insert_line(b"\r\n"),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "garbage line",
        |g| g.insert_line(b"garbage\n"),
        NOTHING,
        &[E104],
    ),
    Mutation("array line", |g| g.insert_line(b"[]\n"), NOTHING, &[E104]),
    Mutation(
        "NUL line",
        |g| g.insert_line(b"\0\0\0\0\n"),
        NOTHING,
        &[E104],
    ),
    Mutation("CR LF", |g| g.insert(false, b"\r"), NOTHING, &[E104]),
    Mutation(
        "trailing space",
        |g| g.insert(false, b" "),
        NOTHING,
        &[E104],
    ),
    Mutation("leading space", |g| g.insert(true, b" "), NOTHING, &[E104]),
    Mutation("inner space", |g| g.edit_line(":", ": "), NOTHING, &[E104]),
    Mutation(
        "duplicate key",
        |g| g.edit_line("{", "{\"actor\":\"eve\","),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "unsorted keys",
        |g| {
            let at = g.middle();
            let line = String::from_utf8(g.log.lines[at].clone()).unwrap();
            let (head, kind) = line
                .trim_end()
                .trim_end_matches('}')
                .rsplit_once(",\"type\":")
                .unwrap();
            g.log.lines[at] = format!("{{\"type\":{kind},{}}}\n", &head[1..]).into_bytes();
        },
        NOTHING,
        &[E104],
    ),
    Mutation(
        "needless escape",
        |g| g.edit_line("\"actor\":\"", "\"actor\":\"\\u0061"),
        NOTHING,
        &[E104, E004, E003, E006, E006],
    ),
    Mutation(
        "byte order mark",
        |g| g.log.lines[0].splice(0..0, *b"\xEF\xBB\xBF").for_each(drop),
        NOTHING,
        &[E104, E302],
    ),
    Mutation(
        "torn last line",
        |g| {
            no_checkpoint(g);
            let length = g.log.lines[LAST].len() / 2;
            g.log.lines[LAST].truncate(length);
        },
        NOTHING,
        &[E104, W006],
    ),
    Mutation(
        "no final line end",
        |g| g.log.lines[LAST].truncate(g.log.lines[LAST].len() - 1),
        NOTHING,
        &[W006],
    ),
    Mutation(
        "token-preserving line",
        |g| {
            no_checkpoint(g);
            let line = String::from_utf8(g.log.lines[LAST].clone()).unwrap();
            let event = json::parse(line.as_bytes()).unwrap();
            let seed = if event.get("actor_key_id").unwrap().as_str() == Some(&id(2).to_string()) {
                2
            } else {
                3
            };
            let text = line.replace("\"value\":23", "\"value\":23.0");
            g.log.lines[LAST] = resign_tokens(&text, seed);
        },
        NOTHING,
        &[W007],
    ),
    // Section 3: events.
    Mutation("no actor", |g| resign(g, "actor", None), NOTHING, &[E300]),
    Mutation(
        "empty actor",
        |g| resign(g, "actor", Some("".into())),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "no type",
        |g| resign(g, "type", None),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "type of two labels",
        |g| resign(g, "type", Some("com.acme".into())),
        NOTHING,
        &[E301, E009],
    ),
    Mutation(
        "lower-case core type",
        |g| resign(g, "type", Some("genesis".into())),
        NOTHING,
        &[E301, E009],
    ),
    Mutation(
        "no payload",
        |g| resign(g, "payload", None),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "payload a text",
        |g| resign(g, "payload", Some("x".into())),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "no timestamp",
        |g| resign(g, "timestamp_utc", None),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "timestamp with offset",
        |g| resign(g, "timestamp_utc", Some("2027-02-01T00:00:00+02:00".into())),
        NOTHING,
        &[E105, E009],
    ),
    Mutation(
        "timestamp before the last",
        |g| resign(g, "timestamp_utc", Some("2020-01-01T00:00:00Z".into())),
        NOTHING,
        &[W005, E009],
    ),
    Mutation(
        "ts_logical a text",
        |g| resign(g, "ts_logical", Some("9".into())),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "ts_logical backwards",
        |g| resign(g, "ts_logical", Some(1_u64.into())),
        NOTHING,
        &[W004, E009],
    ),
    Mutation(
        "no prev_event_hash",
        |g| resign(g, "prev_event_hash", None),
        NOTHING,
        &[E300, E009],
    ),
    Mutation(
        "prev_event_hash malformed",
        |g| resign(g, "prev_event_hash", Some("x".into())),
        NOTHING,
        &[E101, E009],
    ),
    Mutation(
        "chain starts again",
        |g| resign(g, "prev_event_hash", Some(json::Value::Null)),
        NOTHING,
        &[E002, E009],
    ),
    Mutation(
        "fork",
        |g| {
            let (own, _) = relatives(g);
            resign(g, "prev_event_hash", Some(own.into()));
        },
        NOTHING,
        &[E002, E009],
    ),
    Mutation(
        "another actor's event",
        |g| {
            let (_, other) = relatives(g);
            resign(g, "prev_event_hash", Some(other.into()));
        },
        NOTHING,
        &[E005, E009],
    ),
    Mutation(
        "no such event",
        |g| {
            resign(
                g,
                "prev_event_hash",
                Some("evt_000000000000000000000000".into()),
            )
        },
        NOTHING,
        &[E006, E009],
    ),
    Mutation(
        "first event points back",
        |g| {
            no_checkpoint(g);
            g.log.add("dave", 3, "RECEIPT", "{}");
            let at = g.log.lines.len() - 1;
            g.log.edit_signed(at, 3, |members| {
                set(
                    members,
                    "prev_event_hash",
                    "evt_000000000000000000000000".into(),
                );
            });
        },
        NOTHING,
        &[E013],
    ),
    Mutation(
        "event twice",
        |g| {
            let at = g.middle();
            g.log.lines.insert(at, g.log.lines[at].clone());
        },
        NOTHING,
        &[E007, E009],
    ),
    Mutation(
        "last event cut off, seal kept",
        NOTHING,
        |g| {
            let log = g.log.lines[..LAST].concat();
            g.files.insert("events/events.ndjson".into(), log);
        },
        &[E009, E011],
    ),
    Mutation(
        "payload edited",
        |g| g.edit_line("\"payload\":{", "\"payload\":{\"a\":0,"),
        NOTHING,
        &[E004, E003],
    ),
    Mutation(
        "event_id malformed",
        |g| {
            no_checkpoint(g);
            g.log
                .edit_text(LAST, "\"event_id\":\"evt_", "\"event_id\":\"EVT_");
        },
        NOTHING,
        &[E101, E003],
    ),
    Mutation(
        "actor_key_id malformed",
        |g| {
            g.log
                .edit_text(LAST, "\"actor_key_id\":\"bp1", "\"actor_key_id\":\"bp2")
        },
        NOTHING,
        &[E102, E004],
    ),
    Mutation("signature removed", |g| edit_sig(g, ""), NOTHING, &[E300]),
    Mutation(
        "signature empty",
        |g| edit_sig(g, "\"sig\":\"\","),
        NOTHING,
        &[E103],
    ),
    Mutation(
        "signature null",
        |g| edit_sig(g, "\"sig\":null,"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "signature short",
        |g| edit_sig(g, "\"sig\":\"AAAA\","),
        NOTHING,
        &[E103],
    ),
    Mutation(
        "signature of zeros",
        |g| {
            let zeros = format!(
                "\"sig\":\"{}\",",
                provara_core::keys::signature_to_base64(&[0; 64])
            );
            edit_sig(g, &zeros);
        },
        NOTHING,
        &[E003],
    ),
    Mutation(
        "signed by an unknown key",
        |g| {
            no_checkpoint(g);
            g.log.add("carol", 9, "RECEIPT", "{}");
        },
        NOTHING,
        &[E204],
    ),
    Mutation(
        "signed by another actor's key",
        |g| {
            no_checkpoint(g);
            g.log.add("carol", 3, "RECEIPT", "{}");
        },
        NOTHING,
        &[W003],
    ),
    // Section 4: keys over time.
    Mutation(
        "a key revokes itself",
        |g| {
            no_checkpoint(g);
            g.log.revoke("r", 2, 2, None);
        },
        NOTHING,
        &[E200, E302],
    ),
    Mutation(
        "a revoked key signs",
        |g| {
            no_checkpoint(g);
            g.log.revoke("r", 1, 2, None);
            g.log.add("carol", 2, "RECEIPT", "{}");
        },
        NOTHING,
        &[E202],
    ),
    Mutation(
        "promotion without revocation",
        |g| {
            no_checkpoint(g);
            g.log.promote("r", 1, 4, 2);
        },
        NOTHING,
        &[E201, E302],
    ),
    Mutation(
        "revocation without boundary",
        |g| {
            no_checkpoint(g);
            let payload = format!(
                r#"{{"reason":"x","revoked_at_utc":"2026-01-02T00:00:00Z","revoked_key_id":"{}"}}"#,
                id(2)
            );
            g.log.add("r", 1, "KEY_REVOCATION", &payload);
        },
        NOTHING,
        &[E203],
    ),
    Mutation(
        "key entry of another id",
        |g| {
            g.seal();
            let (one, other) = (id(3).to_string(), id(9).to_string());
            g.edit("identity/keys.json", &one, &other);
        },
        NOTHING,
        &[E204, E102],
    ),
    Mutation(
        "key entry says revoked",
        |g| {
            g.seal();
            g.edit("identity/keys.json", "\"active\"", "\"revoked\"");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "key entry without roles",
        |g| {
            g.log.registry.keys.push(log_forge::entry(7));
            g.seal();
            let text = String::from_utf8(g.files["identity/keys.json"].clone()).unwrap();
            let at = text.rfind("\"roles\"").unwrap();
            let text = format!("{}\"rolls\"{}", &text[..at], &text[at + 7..]);
            g.files
                .insert("identity/keys.json".into(), text.into_bytes());
        },
        NOTHING,
        &[E300],
    ),
    Mutation(
        "keys.json is no JSON",
        |g| {
            g.files.insert("identity/keys.json".into(), b"{".to_vec());
        },
        NOTHING,
        &[E104, E204],
    ),
    // Section 1: the other files.
    Mutation(
        "genesis.json of another vault",
        |g| g.edit("identity/genesis.json", "golden", "other"),
        NOTHING,
        &[E302],
    ),
    Mutation(
        "genesis.json without uid",
        |g| g.edit("identity/genesis.json", "uid", "u_id"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "genesis.json missing",
        |g| {
            g.files.remove("identity/genesis.json");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "no GENESIS event",
        |g| {
            no_checkpoint(g);
            g.log.lines.remove(0);
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "second GENESIS event",
        |g| {
            no_checkpoint(g);
            g.log.add("eve", 3, "GENESIS", "{}");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "safety policy without L3",
        |g| g.edit("policies/safety_policy.json", "L3", "L4"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "safety policy without ratchet",
        |g| g.edit("policies/safety_policy.json", "most_", "least_"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "contract without authorities",
        |g| g.edit("policies/sync_contract.json", "authorities", "authors"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "contract with one rung",
        |g| g.edit("policies/sync_contract.json", "[\"a\",\"b\"]", "[\"a\"]"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "retention not permanent",
        |g| g.edit("policies/retention_policy.json", "permanent", "a year"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "policy missing",
        |g| {
            g.files.remove("policies/retention_policy.json");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "policy no JSON",
        |g| g.edit("policies/retention_policy.json", "{", "["),
        NOTHING,
        &[E104],
    ),
    // Section 5: the seal.
    Mutation(
        "phantom file",
        NOTHING,
        |g| {
            g.files.insert("state/x".into(), vec![1]);
        },
        &[E302],
    ),
    Mutation(
        "listed file missing",
        NOTHING,
        |g| {
            g.files.remove("artifacts/cas/blob.bin");
        },
        &[E010],
    ),
    Mutation(
        "listed file longer",
        NOTHING,
        |g| g.edit("artifacts/cas/blob.bin", "blob", "blobs"),
        &[E011],
    ),
    Mutation(
        "listed file other",
        NOTHING,
        |g| g.edit("artifacts/cas/blob.bin", "blob", "bulb"),
        &[E012],
    ),
    Mutation(
        "keyfile listed",
        |g| {
            g.files
                .insert("identity/private_keys.json".into(), b"{}".to_vec());
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "link",
        NOTHING,
        |g| g.links.push(("state/link", "/etc/hostname")),
        &[E302],
    ),
    Mutation(
        "path that leaves",
        NOTHING,
        |g| g.forge_manifest("artifacts/cas/blob.bin", "../cas/blob.bin"),
        &[E302, E302],
    ),
    Mutation(
        "absolute path",
        NOTHING,
        |g| g.forge_manifest("artifacts/cas/blob.bin", "/artifacts/blob.bin"),
        &[E302, E302],
    ),
    Mutation(
        "file count",
        NOTHING,
        |g| g.forge_manifest("\"file_count\":9", "\"file_count\":8"),
        &[E302],
    ),
    Mutation(
        "hash in upper case",
        NOTHING,
        |g| {
            let hash = Digest::of(b"blob").to_string();
            g.forge_manifest(&hash, &hash.to_uppercase());
        },
        &[E100],
    ),
    Mutation(
        "manifest of another version",
        NOTHING,
        |g| g.forge_manifest("manifest.v0", "manifest.v9"),
        &[E303],
    ),
    Mutation(
        "manifest with white space",
        NOTHING,
        |g| g.forge_manifest(":", ": "),
        &[E104],
    ),
    Mutation(
        "manifest no JSON",
        NOTHING,
        |g| g.edit("manifest.json", "{", "["),
        &[E104],
    ),
    Mutation(
        "manifest missing",
        NOTHING,
        |g| {
            g.files.remove("manifest.json");
        },
        &[E302],
    ),
    Mutation(
        "root other",
        NOTHING,
        |g| {
            g.files
                .insert("merkle_root.txt".into(), write_merkle_root(Digest([1; 32])));
        },
        &[E008],
    ),
    Mutation(
        "root malformed",
        NOTHING,
        |g| {
            g.files.insert("merkle_root.txt".into(), b"root\n".to_vec());
        },
        &[E100],
    ),
    Mutation(
        "root missing",
        NOTHING,
        |g| {
            g.files.remove("merkle_root.txt");
        },
        &[E302],
    ),
    Mutation(
        "seal signature absent",
        NOTHING,
        |g| {
            g.files.remove("manifest.sig");
        },
        &[W002],
    ),
    Mutation(
        "seal signature stale",
        NOTHING,
        |g| {
            g.files.insert(
                "manifest.sig".into(),
                sign_root(Digest([1; 32]), &key(1), now()),
            );
        },
        &[W001],
    ),
    Mutation(
        "seal signature wrong",
        NOTHING,
        |g| g.edit("manifest.sig", "2026", "2025"),
        &[E003],
    ),
    Mutation(
        "seal signature by an unknown key",
        NOTHING,
        |g| {
            let root = std::str::from_utf8(&g.files["merkle_root.txt"])
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            g.files
                .insert("manifest.sig".into(), sign_root(root, &key(9), now()));
        },
        &[E204],
    ),
    Mutation(
        "seal signature malformed",
        NOTHING,
        |g| g.edit("manifest.sig", "\"sig\":\"", "\"sig\":\"A"),
        &[E103],
    ),
    Mutation(
        "seal signature of another version",
        NOTHING,
        |g| {
            g.edit(
                "manifest.sig",
                "\"spec_version\":\"1.0\"",
                "\"spec_version\":\"2.0\"",
            )
        },
        &[E303],
    ),
    Mutation(
        "seal by a revoked key",
        |g| {
            no_checkpoint(g);
            g.log.revoke("carol", 2, 1, None);
        },
        NOTHING,
        &[E202],
    ),
    // Sections 6 and 8.
    Mutation(
        "checkpoint signature",
        |g| g.edit_checkpoint("\"sig\":\"", "\"sig\":\"AAAA"),
        NOTHING,
        &[E103],
    ),
    Mutation(
        "checkpoint edited",
        |g| g.edit_checkpoint("2026-11-22", "2026-11-23"),
        NOTHING,
        &[E003],
    ),
    Mutation(
        "checkpoint of another log",
        |g| {
            let at = g.log.lines.len() - 1;
            let other = g.log.lines[at].clone();
            g.log.lines[at] = g.log.lines[at - 1].clone();
            g.files.clear();
            let fresh = Golden::new();
            g.files = fresh.files;
            no_checkpoint(g);
            g.checkpoint();
            g.log.lines[at] = other;
        },
        NOTHING,
        &[E009],
    ),
    Mutation(
        "event after the seal event",
        |g| {
            no_checkpoint(g);
            g.log.add("alice", 2, "com.provara.vault.seal", "{}");
            g.log.add("bob", 3, "RECEIPT", "{}");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "tombstone without redaction",
        |g| {
            no_checkpoint(g);
            let text = String::from_utf8(g.log.lines[LAST].clone()).unwrap();
            let start = text.find("\"payload\":{").unwrap() + 10;
            let end = start + text[start..].find('}').unwrap() + 1;
            let tombstone = format!(
                r#"{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"evt_000000000000000000000000","redaction_reason":"x"}}"#,
                Digest::of(b"x")
            );
            g.log.lines[LAST] =
                format!("{}{tombstone}{}", &text[..start], &text[end..]).into_bytes();
        },
        NOTHING,
        &[E003],
    ),
    Mutation(
        "redaction of nothing",
        |g| {
            no_checkpoint(g);
            g.log.add("alice", 2, "com.provara.redaction",
            r#"{"authority":"a","reason":"r","reason_detail":"","redaction_method":"tombstone","target_event_id":"evt_000000000000000000000000"}"#);
        },
        NOTHING,
        &[E006],
    ),
];

/// Replaces the signature member of a middle line.
fn edit_sig(golden: &mut Golden, with: &str) {
    let at = golden.middle();
    let text = String::from_utf8(golden.log.lines[at].clone()).unwrap();
    let start = text.find("\"sig\":\"").unwrap();
    let end = start + "\"sig\":\"\",".len() + 88;
    golden.log.lines[at] = format!("{}{with}{}", &text[..start], &text[end..]).into_bytes();
}

/// Derives id and signature of a line in the token-preserving form anew.
fn resign_tokens(line: &str, seed: u8) -> Vec<u8> {
    let json::Value::Object(members) = json::parse(line.as_bytes()).unwrap().into_owned() else {
        panic!("an event is an object")
    };
    let mut members: json::Object<'static> = members
        .into_iter()
        .filter(|(name, _)| name != "event_id" && name != "sig")
        .collect();
    let bytes = |members: &json::Object<'static>| {
        provara_core::canonical::token_preserving(&json::Value::Object(members.clone()))
    };
    let event_id = provara_core::id::EventId::from_digest(Digest::of(&bytes(&members)));
    members.push(("event_id".into(), event_id.to_string().into()));
    let signature = key(seed).sign(&bytes(&members));
    let signature = provara_core::keys::signature_to_base64(&signature);
    members.push(("sig".into(), signature.into()));
    [bytes(&members), b"\n".to_vec()].concat()
}

#[test]
fn the_unchanged_twin_is_valid() {
    let mut golden = Golden::new();
    golden.seal();
    let report = golden.verify(true);
    assert!(report.is_valid(), "{:#?}", report.findings());
    assert_eq!(report.findings(), []);
    assert_eq!(report.event_count(), LAST as u64 + 1);
}

#[test]
fn every_mutation_is_caught_with_its_code() {
    assert!(MUTATIONS.len() >= 60);
    let mut wrong = Vec::new();
    for Mutation(name, before, after, codes) in MUTATIONS {
        let mut golden = Golden::new();
        before(&mut golden);
        golden.seal();
        after(&mut golden);
        let report = golden.verify(false);
        let mut found: Vec<_> = report
            .findings()
            .iter()
            .map(|finding| finding.code)
            .collect();
        let mut expected = codes.to_vec();
        // What one broken event drags behind it may come more than once: codes are compared as a
        // set, and the first finding must be of the rule in question.
        let first = found.first().copied();
        for list in [&mut found, &mut expected] {
            list.sort_unstable();
            list.dedup();
        }
        let only_warnings = codes.iter().all(|code| code.is_warning());
        let result = report.is_valid() == only_warnings && !golden.verify(true).is_valid();
        if found != expected || !result || first.is_none() {
            let findings: Vec<_> = report.findings().iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{name}: expected {expected:?}, found {findings:#?}"
            ));
        }
    }
    println!("{} mutations", MUTATIONS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
