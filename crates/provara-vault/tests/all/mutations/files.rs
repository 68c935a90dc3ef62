//! Changes of the files beside the log, of the seal, of checkpoints and of what closes or redacts
//! (spec/VAULT_FORMAT, sections 1, 5, 6 and 8).

use provara_core::beliefs::BeliefReducer;
use provara_core::canonical::token_preserving;
use provara_core::checkpoint;
use provara_core::finding::Code::{
    E003, E006, E008, E009, E010, E011, E012, E100, E103, E104, E105, E202, E204, E300, E302, E303,
    W001, W002,
};
use provara_core::id::Digest;
use provara_core::json::{self, Value};
use provara_core::manifest::{sign_root, write_merkle_root};

use super::lines::bury;
use super::{LAST, Mutation, NOTHING, no_checkpoint};
use crate::golden::log_forge::key;
use crate::golden::{Golden, now};

pub(crate) const FILES: &[Mutation] = &[
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
        "link that leaves and comes back",
        NOTHING,
        |g| {
            g.links
                .push(("state/link", "../../vault/artifacts/cas/blob.bin"));
        },
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
        "manifest with a line end",
        NOTHING,
        |g| g.files.get_mut("manifest.json").unwrap().push(b'\n'),
        &[E104],
    ),
    Mutation(
        "manifest with more after it",
        NOTHING,
        |g| g.files.get_mut("manifest.json").unwrap().extend(b"\n\n{}"),
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
        "root without LF",
        NOTHING,
        |g| {
            g.files.get_mut("merkle_root.txt").unwrap().pop();
        },
        &[E100],
    ),
    Mutation(
        "manifest at no time",
        NOTHING,
        |g| g.forge_manifest("2026-11-22T10:00:00.000000Z", "today"),
        &[E105],
    ),
    Mutation(
        "manifest with a member that nothing signs",
        NOTHING,
        |g| g.forge_manifest("{\"backpack", "{\"approved_by\":\"eve\",\"backpack"),
        &[E302],
    ),
    Mutation(
        "seal signature at no time",
        NOTHING,
        |g| g.edit("manifest.sig", "2026-11-22T10:00:00.000000Z", "today"),
        &[E105, E003],
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
            );
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
        "checkpoint at no time",
        |g| g.edit_checkpoint("2026-11-22T10:00:00.000000Z", "today"),
        NOTHING,
        &[E105],
    ),
    Mutation(
        "checkpoint with white space",
        |g| g.edit_checkpoint(",\"key_id\":", ", \"key_id\":"),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "checkpoint of no events with a state",
        |g| {
            let none = BeliefReducer::new().finish();
            let text = checkpoint::build(&none, None, &key(1), now());
            let text = String::from_utf8(text).unwrap();
            let forged = text.replace("\"local\":{}", "\"local\":{\"a:b\":{}}");
            assert_ne!(forged, text);
            g.files.insert(
                "checkpoints/0000000000.chk".into(),
                resign_checkpoint(forged.as_bytes()),
            );
        },
        NOTHING,
        &[E009],
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
            bury(g, LAST, "evt_000000000000000000000000");
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

/// Signs a checkpoint anew, whatever it says.
fn resign_checkpoint(text: &[u8]) -> Vec<u8> {
    let Value::Object(mut members) = json::parse(text).unwrap() else {
        panic!("a checkpoint is an object")
    };
    members.retain(|(name, _)| name != "sig");
    let signature = key(1).sign(&token_preserving(&Value::Object(members.clone())));
    members.push(("sig".into(), signature.to_base64().into()));
    token_preserving(&Value::Object(members))
}
