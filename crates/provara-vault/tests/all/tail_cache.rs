//! The tail cache: used when all of it agrees, and otherwise as good as none. Whatever is done to it,
//! an append is the one that a writer without a cache makes.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::common::{Fixture, note, request, strict};
use provara_core::keys::SigningKey;
use provara_vault::{AppendReceipt, LogWriter, Vault, VaultError};

/// A vault with a cache directory and a few events of two actors.
fn cached() -> (Fixture, Vault) {
    let fixture = Fixture::new();
    let vault = with_cache(&fixture, fixture.outside());
    for text in ["one", "two", "three"] {
        vault
            .append(&note("alice", text), &fixture.keyfile)
            .unwrap();
        vault
            .append(&note("b\"ö\n", text), &fixture.keyfile)
            .unwrap();
    }
    (fixture, vault)
}

fn with_cache(fixture: &Fixture, outside: &Path) -> Vault {
    fixture
        .vault
        .clone()
        .with_cache_directory(Some(outside.join("cache")))
}

fn cache_file(vault_cache: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(vault_cache.join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "tail"))
        .collect();
    assert_eq!(files.len(), 1);
    files.pop().unwrap()
}

fn recalls(fixture: &Fixture, vault: &Vault) -> bool {
    LogWriter::open_with(vault, &fixture.keyfile)
        .unwrap()
        .recalled()
}

/// Appends through the cache and checks the event against the log itself.
fn append_is_right(fixture: &Fixture, vault: &Vault) -> AppendReceipt {
    let log = fixture.log();
    let mut before: Vec<serde_json::Value> = Vec::new();
    for line in log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        before.push(serde_json::from_slice(line).unwrap());
    }
    let last = before
        .iter()
        .rfind(|event| event["actor"] == "alice")
        .unwrap();
    let receipt = vault
        .append(&note("alice", "next"), &fixture.keyfile)
        .unwrap();
    assert_eq!(
        receipt.prev_event_hash.unwrap().to_string(),
        last["event_id"]
    );
    assert_eq!(receipt.ts_logical, last["ts_logical"].as_u64().unwrap() + 1);
    assert_eq!(receipt.line, before.len() as u64 + 1);
    let report = vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    receipt
}

#[test]
fn an_append_after_an_append_reads_no_log() {
    let (fixture, vault) = cached();
    assert!(recalls(&fixture, &vault));
    assert!(!LogWriter::open(&vault).unwrap().recalled());
    assert!(
        !recalls(&fixture, &fixture.vault),
        "it has no cache directory"
    );
    for _ in 0..3 {
        assert!(recalls(&fixture, &vault));
        let receipt = append_is_right(&fixture, &vault);
        assert_eq!(receipt.notes, Vec::<String>::new());
    }
    let mode = fs::metadata(cache_file(fixture.outside()))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn the_state_that_is_recalled_is_the_one_that_is_read() {
    let (fixture, vault) = cached();
    let closing = request("com.provara.vault.seal", "alice", "{}");
    vault.append(&closing, &fixture.keyfile).unwrap();
    assert!(recalls(&fixture, &vault));
    let refused = vault.append(&note("alice", "late"), &fixture.keyfile);
    assert!(
        matches!(refused, Err(VaultError::Closed { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_damaged_cache_is_as_good_as_none() {
    let (fixture, vault) = cached();
    let path = cache_file(fixture.outside());
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(!recalls(&fixture, &vault), "cut to {length} bytes");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        assert!(!recalls(&fixture, &vault), "bit {} of byte {at}", at % 8);
    }
    fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
    assert!(!recalls(&fixture, &vault), "longer");
    append_is_right(&fixture, &vault);
    assert!(recalls(&fixture, &vault), "it was made anew");
}

#[test]
fn a_forged_cache_needs_the_signing_key() {
    let (fixture, vault) = cached();
    let path = cache_file(fixture.outside());
    let whole = fs::read(&path).unwrap();
    let content = &whole[..whole.len() - 40];
    let seal = |content: &[u8], key: &SigningKey, id: &SigningKey| {
        let mac = key.mac(b"provara tail cache 4\0", content);
        [content, &id.key_id().0, &mac.0].concat()
    };
    let own = fixture.keyfile.keys().first().unwrap();
    fs::write(&path, seal(content, own, own)).unwrap();
    assert!(
        recalls(&fixture, &vault),
        "the test forges as the writer authenticates"
    );

    // The head of an actor, turned to another event: a fork, if it were believed.
    let log = String::from_utf8(fixture.log()).unwrap();
    let events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<Vec<u8>> = events
        .iter()
        .filter(|event| event["actor"] == "alice")
        .map(|event| event["event_id"].as_str().unwrap()[4..].to_owned())
        .map(|hex| {
            (0..12)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                .collect()
        })
        .collect();
    let at = content
        .windows(12)
        .position(|window| window == ids[2])
        .unwrap();
    let mut forged = content.to_vec();
    forged[at..at + 12].copy_from_slice(&ids[0]);
    let stranger = SigningKey::from_seed(&[1; 32]);
    for (key, id) in [(&stranger, own), (&stranger, &stranger)] {
        fs::write(&path, seal(&forged, key, id)).unwrap();
        assert!(!recalls(&fixture, &vault));
    }
    append_is_right(&fixture, &vault);
}

#[test]
fn a_cache_of_another_state_or_another_vault_is_not_taken() {
    let (fixture, vault) = cached();
    let path = cache_file(fixture.outside());
    let old = fs::read(&path).unwrap();
    append_is_right(&fixture, &vault);
    fs::write(&path, &old).unwrap();
    assert!(!recalls(&fixture, &vault), "of an earlier state");
    append_is_right(&fixture, &vault);

    // An append that knows of no cache.
    fixture
        .vault
        .append(&note("alice", "beside"), &fixture.keyfile)
        .unwrap();
    assert!(!recalls(&fixture, &vault), "the log has grown");
    append_is_right(&fixture, &vault);

    let (other, other_vault) = cached();
    fs::copy(cache_file(other.outside()), &path).unwrap();
    assert!(!recalls(&fixture, &vault), "another vault's");
    fs::copy(&path, cache_file(other.outside())).unwrap();
    assert!(recalls(&other, &other_vault));
    append_is_right(&fixture, &vault);
}

#[test]
fn a_log_that_was_changed_under_the_cache_is_read_again() {
    let (fixture, vault) = cached();
    // The same bytes in another file.
    let copy = fixture.file("events/copy");
    fs::copy(vault.log_path(), &copy).unwrap();
    fs::rename(&copy, vault.log_path()).unwrap();
    assert!(!recalls(&fixture, &vault), "another inode");
    append_is_right(&fixture, &vault);
    assert!(recalls(&fixture, &vault));

    // One byte of the second line, in place, with the time of modification put back.
    let log = fs::File::options()
        .read(true)
        .write(true)
        .open(vault.log_path())
        .unwrap();
    let modified = log.metadata().unwrap().modified().unwrap();
    let at = fixture
        .log()
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap() as u64
        + 20;
    let mut byte = [0];
    log.read_exact_at(&mut byte, at).unwrap();
    log.write_all_at(&[byte[0] ^ 1], at).unwrap();
    log.set_modified(modified).unwrap();
    let refused = vault.append(&note("alice", "x"), &fixture.keyfile);
    assert!(
        matches!(refused, Err(VaultError::SealContradiction { .. })),
        "{refused:?}"
    );
    log.write_all_at(&byte, at).unwrap();
    append_is_right(&fixture, &vault);

    // Events taken away, and the seal of that time put back with them.
    let shorter = fixture.log();
    let end = shorter[..shorter.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    log.set_len(end as u64).unwrap();
    let refused = vault.append(&note("alice", "x"), &fixture.keyfile);
    assert!(
        matches!(refused, Err(VaultError::SealContradiction { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_seal_that_another_tool_made_is_held_against_the_cache() {
    let (fixture, vault) = cached();
    vault.manifest(Some(&fixture.keyfile)).unwrap();
    assert!(
        !recalls(&fixture, &vault),
        "it is another seal, made elsewhere"
    );
    append_is_right(&fixture, &vault);
    let genesis = fixture.file("identity/genesis.json");
    let text = fs::read_to_string(&genesis).unwrap();
    fs::write(&genesis, text.replacen('{', "{ ", 1)).unwrap();
    vault.manifest(Some(&fixture.keyfile)).unwrap();
    assert!(!recalls(&fixture, &vault), "another genesis");
}

#[test]
fn no_cache_is_kept_inside_the_vault() {
    let fixture = Fixture::new();
    let inside = fixture.vault.path().join("cache");
    let vault = fixture
        .vault
        .clone()
        .with_cache_directory(Some(inside.clone()));
    vault.append(&note("alice", "x"), &fixture.keyfile).unwrap();
    assert!(!inside.exists());
    append_is_right(&fixture, &vault);
}

#[test]
fn other_files_than_those_of_the_cache_are_looked_at() {
    type Change = fn(&Fixture);
    let changes: [Change; 4] = [
        |fixture| fs::remove_file(fixture.file("checkpoints/0000000008.chk")).unwrap(),
        |fixture| fs::write(fixture.file("checkpoints/0000000001.chk"), b"{}").unwrap(),
        // Of the same size.
        |fixture| {
            let manifest = fixture.file("manifest.json");
            let text = fs::read_to_string(&manifest).unwrap();
            let at = text.find("\"sha256\":\"").unwrap() + 10;
            let digit = if &text[at..=at] == "0" { "1" } else { "0" };
            fs::write(manifest, [&text[..at], digit, &text[at + 1..]].concat()).unwrap();
        },
        |fixture| {
            let keys = fixture.file("identity/keys.json");
            let text = fs::read_to_string(&keys).unwrap();
            fs::write(keys, format!("{text} ")).unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (fixture, vault) = cached();
        vault.checkpoint(&fixture.keyfile, None).unwrap();
        vault
            .append(&note("alice", "on"), &fixture.keyfile)
            .unwrap();
        assert!(recalls(&fixture, &vault));
        change(&fixture);
        let writer = LogWriter::open_with(&vault, &fixture.keyfile);
        assert!(writer.is_err() || !writer.unwrap().recalled(), "{number}");
    }
}

#[test]
fn a_redaction_that_is_to_be_carried_out_is_not_hidden_by_the_cache() {
    let (fixture, vault) = cached();
    let secret = "what nobody may read again, and what is longer than a tombstone";
    let target = vault.append(&note("alice", secret), &fixture.keyfile);
    let data = format!(
        r#"{{"reason":"asked","target_event_id":"{}"}}"#,
        target.unwrap().event_id
    );
    let redaction = request("com.provara.redaction", "dpo", &data);
    vault.append(&redaction, &fixture.keyfile).unwrap();
    append_is_right(&fixture, &vault);
    assert!(!String::from_utf8(fixture.log()).unwrap().contains(secret));
}

#[test]
fn keys_that_nobody_sealed_are_not_taken_with_the_cache() {
    let fixture = Fixture::unmarked(false);
    let vault = with_cache(&fixture, fixture.outside());
    vault.append(&note("alice", "x"), &fixture.keyfile).unwrap();
    assert!(recalls(&fixture, &vault));
    let keys = fixture.file("identity/keys.json");
    let text = fs::read_to_string(&keys).unwrap();
    fs::write(keys, format!("{text} ")).unwrap();
    let writer = LogWriter::open_with(&vault, &fixture.keyfile);
    assert!(writer.is_err() || !writer.unwrap().recalled());
}
