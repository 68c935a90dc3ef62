//! What no writer goes on from, and what no writer writes: refused with an error that says what there is, and
//! with nothing changed.

use std::fs;

use crate::common::{
    Fixture, codes, edit_keys, list_key, note, picture, request, reseal, rotation, verifies,
};
use provara_core::event_type::{KEY_ADDED_TYPE, REDACTION_TYPE};
use provara_core::id::Digest;
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::manifest::{FileEntry, Manifest, sign_root, write_manifest, write_merkle_root};
use provara_core::scan::scan_line;
use provara_core::tree::leaf;
use provara_vault::writer::LogWriter;
use provara_vault::{
    Ambiguity, AppendRequest, BatchOptions, ErrorClass, Vault, VaultError, VerifyOptions, layout,
};

/// The error with which every writer refuses the vault.
#[track_caller]
fn refused(vault: &Vault, keyfile: &Keyfile) -> VaultError {
    let before = picture(vault.path());
    let many = vault.append_many(vec![note("a", "x")], keyfile, BatchOptions::default());
    let others = [
        vault.checkpoint(keyfile, None).unwrap_err(),
        many.unwrap_err().error,
        LogWriter::open(vault).unwrap_err(),
    ];
    let error = vault.append(&note("a", "x"), keyfile).unwrap_err();
    for other in others {
        assert_eq!(other.to_string(), error.to_string());
    }
    assert_eq!(error.class(), ErrorClass::Evidence, "{error}");
    assert_eq!(picture(vault.path()), before);
    error
}

fn both() -> [Fixture; 2] {
    [Fixture::with_quorum(), Fixture::unmarked(true)]
}

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[77; 32])
}

#[test]
fn what_no_vault_takes_is_refused_without_one() {
    note("a", "x").check().unwrap();
    let nobody = note("", "x").check();
    assert!(matches!(nobody, Err(VaultError::EmptyActor)));
    let genesis = request("GENESIS", "a", "{}").check();
    assert!(matches!(genesis, Err(VaultError::GenesisByHand)));
    let number = request("com.example.test.note", "a", r#"{"n":9007199254740993}"#).check();
    assert!(number.is_err_and(|error| error.is_of_request()));
}

#[test]
fn what_the_log_decides_is_known_before_it_is_read() {
    for named in [
        "KEY_REVOCATION",
        "KEY_PROMOTION",
        REDACTION_TYPE,
        KEY_ADDED_TYPE,
    ] {
        assert!(request(named, "a", "{}").needs_log(), "{named}");
    }
    for named in ["OBSERVATION", "com.example.test.note"] {
        assert!(!request(named, "a", "{}").needs_log(), "{named}");
    }
}

#[test]
fn an_absent_seal() {
    for fixture in both() {
        fs::remove_file(fixture.file("manifest.sig")).unwrap();
        let error = refused(&fixture.vault, &fixture.keyfile);
        assert!(
            matches!(error, VaultError::SealAbsent { events: 2 }),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_seal() {
    for fixture in both() {
        let path = fixture.file("manifest.sig");
        let text = fs::read_to_string(&path).unwrap();
        let at = text.find("\"sig\":\"").unwrap() + 12;
        let flipped = if &text[at..=at] == "A" { "B" } else { "A" };
        let wrong = format!("{}{flipped}{}", &text[..at], &text[at + 1..]);
        for wrong in [&*wrong, "", "{}"] {
            fs::write(&path, wrong).unwrap();
            let error = refused(&fixture.vault, &fixture.keyfile);
            assert!(
                matches!(&error, VaultError::SealContradiction { file, .. } if file == "manifest.sig"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_seal_by_a_key_that_is_none_of_the_vault() {
    for fixture in both() {
        let root = fixture.receipt.merkle_root;
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        reseal(&fixture.vault, &stranger());
        let error = refused(&fixture.vault, &fixture.keyfile);
        assert!(
            matches!(error, VaultError::SealNotCounting { .. }),
            "{error}"
        );
        fs::write(
            fixture.file("manifest.sig"),
            sign_root(root, &stranger(), now),
        )
        .unwrap();
        let error = refused(&fixture.vault, &fixture.keyfile);
        assert!(
            matches!(error, VaultError::SealNotCounting { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_key_that_somebody_listed_in_a_marked_vault() {
    let fixture = Fixture::with_quorum();
    list_key(&fixture.vault, &stranger());
    for key in [&stranger(), &fixture.keyfile.keys()[0]] {
        reseal(&fixture.vault, key);
        let error = refused(&fixture.vault, &fixture.keyfile).to_string();
        assert!(error.contains(&stranger().key_id().to_string()), "{error}");
    }
}

#[test]
fn a_key_list_that_changed_under_a_cache_is_judged_as_without_one() {
    for fixture in both() {
        let cache = fixture.outside().join("cache");
        let cached = fixture.vault.clone().with_cache_directory(Some(cache));
        cached.append(&note("a", "x"), &fixture.keyfile).unwrap();
        let sealed = fs::read(fixture.file(layout::KEYS)).unwrap();
        list_key(&fixture.vault, &stranger());
        let without = refused(&fixture.vault, &fixture.keyfile);
        let with = refused(&cached, &fixture.keyfile);
        assert_eq!(with.to_string(), without.to_string());
        fs::write(fixture.file(layout::KEYS), sealed).unwrap();
        cached.append(&note("a", "y"), &fixture.keyfile).unwrap();
        verifies(&fixture.vault);
    }
}

#[test]
fn a_seal_by_a_key_that_was_revoked_before_it() {
    let new = SigningKey::from_seed(&[5; 32]);
    for fixture in both() {
        let (root, quorum) = fixture.root_and_quorum();
        for event in rotation(root, &new, quorum) {
            fixture.vault.append(&event, &fixture.keyfile).unwrap();
        }
        let revoked = fixture.keyfile.get(&root).unwrap();
        reseal(&fixture.vault, revoked);
        let only_quorum = Keyfile::new(vec![fixture.keyfile.get(&quorum).unwrap().clone()]);
        let error = refused(&fixture.vault, &only_quorum);
        assert!(
            matches!(error, VaultError::SealNotCounting { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(&root.to_string()), "{error}");
    }
}

#[test]
fn events_that_are_gone() {
    for fixture in both() {
        for actor in ["a", "b", "c"] {
            let noted = note(actor, "x");
            fixture.vault.append(&noted, &fixture.keyfile).unwrap();
        }
        let seal = fs::read(fixture.file("manifest.sig")).unwrap();
        let log = String::from_utf8(fixture.log()).unwrap();
        let kept: String = log
            .split_inclusive('\n')
            .filter(|line| !line.contains("\"actor\":\"b\""))
            .collect();
        fs::write(fixture.vault.log_path(), kept).unwrap();
        // Whoever can write the files makes the list anew, and can sign nothing.
        reseal(&fixture.vault, &stranger());
        fs::write(fixture.file("manifest.sig"), &seal).unwrap();
        let error = refused(&fixture.vault, &fixture.keyfile);
        let VaultError::SealOfOther(other) = &error else {
            panic!("{error}")
        };
        assert_eq!(other.events, 4);
        assert_eq!(other.key_id, Some(fixture.receipt.root_key_id));
        let text = error.to_string();
        for told in ["4 events", "evt_", "root ", "made at", "by key bp1_"] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}

#[test]
fn an_old_seal_under_events_that_name_a_younger_one() {
    let fixture = Fixture::new();
    let old = fs::read(fixture.file("manifest.sig")).unwrap();
    for actor in ["a", "b"] {
        let noted = note(actor, "x");
        fixture.vault.append(&noted, &fixture.keyfile).unwrap();
    }
    fs::write(fixture.file("manifest.sig"), old).unwrap();
    let error = refused(&fixture.vault, &fixture.keyfile);
    assert!(matches!(error, VaultError::SealOfOther(_)), "{error}");
}

#[test]
fn a_mark_that_is_gone() {
    let fixture = Fixture::unmarked(false);
    let marked = Fixture::new();
    let noted = note("lone", "x");
    let receipt = marked.vault.append(&noted, &marked.keyfile).unwrap();
    // An event of a marked vault behind a GENESIS without a mark: the first was put in the place of another.
    let log = [fixture.log(), format!("{}\n", receipt.event_json).into()].concat();
    fs::write(fixture.vault.log_path(), log).unwrap();
    let key = marked.keyfile.keys()[0].clone();
    list_key(&fixture.vault, &key);
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(codes(&report).contains(&"PROVARA_E206".to_owned()));
    let error = refused(&fixture.vault, &fixture.keyfile);
    assert!(error.to_string().contains("the mark is gone"), "{error}");
}

#[test]
fn a_key_without_a_role_signs_nothing() {
    let fixture = Fixture::unmarked(true);
    let (root, quorum) = fixture.root_and_quorum();
    edit_keys(&fixture.vault, |registry| {
        registry.keys[1].roles = vec!["quorum".to_owned()];
    });
    reseal(&fixture.vault, fixture.keyfile.get(&root).unwrap());
    let before = picture(fixture.vault.path());
    let by_quorum = AppendRequest {
        key_id: Some(quorum),
        ..note("a", "x")
    };
    let error = fixture
        .vault
        .append(&by_quorum, &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::NoSigningKey { .. }), "{error}");
    let only_quorum = Keyfile::new(vec![fixture.keyfile.get(&quorum).unwrap().clone()]);
    for error in [
        fixture
            .vault
            .append(&note("a", "x"), &only_quorum)
            .unwrap_err(),
        fixture.vault.checkpoint(&only_quorum, None).unwrap_err(),
        fixture
            .vault
            .checkpoint(&fixture.keyfile, Some(quorum))
            .unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::NoSigningKey { .. }), "{error}");
    }
    assert_eq!(picture(fixture.vault.path()), before);
    reseal(&fixture.vault, fixture.keyfile.get(&quorum).unwrap());
    let error = refused(&fixture.vault, &fixture.keyfile);
    assert!(
        matches!(error, VaultError::SealNotCounting { .. }),
        "{error}"
    );
}

/// The error with which an append and a batch refuse an event.
#[track_caller]
fn unwritable(fixture: &Fixture, request: &AppendRequest<'_>) -> VaultError {
    let before = picture(fixture.vault.path());
    let options = BatchOptions::default();
    let many = fixture
        .vault
        .append_many(vec![request.clone()], &fixture.keyfile, options);
    let error = fixture.vault.append(request, &fixture.keyfile).unwrap_err();
    assert_eq!(many.unwrap_err().error.to_string(), error.to_string());
    assert_eq!(error.class(), ErrorClass::Usage);
    assert_eq!(picture(fixture.vault.path()), before);
    error
}

#[test]
fn a_payload_that_looks_like_a_tombstone() {
    let fixture = Fixture::new();
    let tombstone = format!(
        r#"{{"redacted":true,"redaction_event_id":"evt_{}","redaction_reason":"x","original_payload_hash":"{}"}}"#,
        "0".repeat(24),
        "0".repeat(64)
    );
    let looks = request("com.example.test.note", "a", &tombstone);
    let error = unwritable(&fixture, &looks);
    assert!(
        matches!(error, VaultError::Ambiguous(Ambiguity::Tombstone)),
        "{error}"
    );
    // With random bytes beside them it looks like none, and wrapped it is a value.
    let blind = AppendRequest {
        blind: true,
        ..looks
    };
    fixture.vault.append(&blind, &fixture.keyfile).unwrap();
    let wrapped = request("OBSERVATION", "a", &tombstone);
    fixture.vault.append(&wrapped, &fixture.keyfile).unwrap();
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn events_that_only_their_commands_write() {
    let fixture = Fixture::new();
    for event_type in ["com.provara.vault.adopted", "com.provara.vault.files"] {
        let error = unwritable(&fixture, &request(event_type, "a", "{}"));
        assert!(matches!(error, VaultError::ByCommand { .. }), "{error}");
    }
}

#[test]
fn random_bytes_where_the_data_has_such_a_member() {
    let fixture = Fixture::new();
    let blind = |event_type, data| AppendRequest {
        blind: true,
        ..request(event_type, "a", data)
    };
    for event_type in ["com.example.test.note", "OBSERVATION"] {
        let error = unwritable(&fixture, &blind(event_type, r#"{"blind":"mine"}"#));
        assert!(
            matches!(error, VaultError::Ambiguous(Ambiguity::Blind)),
            "{error}"
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    for event_type in ["com.example.test.note", "OBSERVATION"] {
        let many = vec![blind(event_type, r#"{"n":1}"#); 2];
        let options = BatchOptions::default();
        let mut receipts = fixture
            .vault
            .append_many(many.clone(), &fixture.keyfile, options)
            .unwrap();
        receipts.push(fixture.vault.append(&many[0], &fixture.keyfile).unwrap());
        for receipt in receipts {
            let event = json::parse(receipt.event_json.as_bytes())
                .unwrap()
                .into_owned();
            let bytes = event.get("payload").and_then(|said| said.get("blind"));
            let bytes = bytes.and_then(Value::as_str).unwrap().to_owned();
            assert!(bytes.len() == 32 && bytes.bytes().all(|it| it.is_ascii_hexdigit()));
            assert!(seen.insert(bytes), "not twice the same");
        }
    }
    verifies(&fixture.vault);
}

#[test]
fn a_redaction_is_bound_to_its_target() {
    let fixture = Fixture::new();
    let said = fixture
        .vault
        .append(&note("a", "secret"), &fixture.keyfile)
        .unwrap();
    let bound = leaf(&scan_line(said.event_json.as_bytes()).unwrap()).to_string();
    let redaction = |target: &str, more: &str| {
        let data = format!(r#"{{"target_event_id":"{target}","reason":"x"{more}}}"#);
        request("com.provara.redaction", "a", &data)
    };
    let target = said.event_id.to_string();
    let wrong = format!(r#","target_leaf_hash":"{}""#, "0".repeat(64));
    for refused in [
        redaction(&target, &wrong),
        redaction(&target, r#","target_leaf_hash":5"#),
        redaction("evt_000000000000000000000000", ""),
        redaction("it", ""),
    ] {
        let error = unwritable(&fixture, &refused);
        assert!(
            matches!(error, VaultError::RedactionTarget { .. }),
            "{error}"
        );
    }
    let stated = format!(r#","target_leaf_hash":"{bound}""#);
    for more in ["", &stated] {
        let receipt = fixture
            .vault
            .append(&redaction(&target, more), &fixture.keyfile)
            .unwrap();
        assert!(receipt.event_json.contains(&bound));
    }
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    assert!(codes(&report).iter().all(|code| code == "PROVARA_W013"));
}

#[test]
fn after_the_end_redactions_alone_follow() {
    let fixture = Fixture::new();
    let said = fixture
        .vault
        .append(&note("a", "secret"), &fixture.keyfile)
        .unwrap();
    let closing = request("com.provara.vault.seal", "a", "{}");
    let closing = fixture.vault.append(&closing, &fixture.keyfile).unwrap();
    let error = unwritable(&fixture, &note("a", "more"));
    assert!(matches!(error, VaultError::Closed { event_id } if event_id == closing.event_id));
    let data = format!(r#"{{"target_event_id":"{}","reason":"x"}}"#, said.event_id);
    let redaction = request("com.provara.redaction", "a", &data);
    fixture.vault.append(&redaction, &fixture.keyfile).unwrap();
    // The next writer carries it out, whatever it is asked for.
    drop(LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap());
    let error = unwritable(&fixture, &note("a", "more"));
    assert!(matches!(error, VaultError::Closed { .. }));
    // Read from its start, the log is the same.
    let index = LogWriter::open(&fixture.vault).unwrap();
    assert_eq!(index.event_count(), 5);
}

#[test]
fn a_key_that_is_added_counts_from_there_on() {
    let new = SigningKey::from_seed(&[5; 32]);
    let data = format!(
        r#"{{"key_id":"{}","public_key_b64":"{}","algorithm":"Ed25519","roles":["attestation"],"added_at_utc":"2026-01-01T00:00:00Z"}}"#,
        new.key_id(),
        new.public().to_base64()
    );
    for fixture in both() {
        let added = request("com.provara.key.added", "a", &data);
        let receipt = fixture.vault.append(&added, &fixture.keyfile).unwrap();
        let keys = fs::read(fixture.file("identity/keys.json")).unwrap();
        let registry = KeyRegistry::parse(&keys).unwrap();
        let entry = registry.get(&new.key_id()).unwrap();
        assert_eq!(entry.addition_event_id, Some(receipt.event_id));
        let own = Keyfile::new(vec![new.clone()]);
        let receipt = fixture.vault.append(&note("b", "x"), &own).unwrap();
        assert_eq!(receipt.key_id, new.key_id());
        assert_eq!(verifies(&fixture.vault), 4);
        // One whose id is another's brings nothing.
        let forged = data.replace(&new.key_id().to_string(), &stranger().key_id().to_string());
        let forged = request("com.provara.key.added", "a", &forged);
        let error = unwritable(&fixture, &forged);
        assert!(
            matches!(error, VaultError::WouldNotVerify { .. }),
            "{error}"
        );
    }
}

#[test]
fn an_earlier_state_than_the_one_that_this_machine_wrote() {
    for at_once in [false, true] {
        let fixture = Fixture::new();
        let vault = fixture.vault.clone().with_memory(true);
        let append = |vault: &Vault| match at_once {
            false => vault.append(&note("a", "x"), &fixture.keyfile).map(drop),
            true => vault
                .append_many(
                    vec![note("a", "x"); 3],
                    &fixture.keyfile,
                    BatchOptions::default(),
                )
                .map(drop)
                .map_err(|rejected| rejected.error),
        };
        append(&vault).unwrap();
        let earlier = picture(vault.path());
        append(&vault).unwrap();
        let newest = picture(vault.path());
        let put = |files: &[(std::path::PathBuf, u32, Vec<u8>)]| {
            let files = files.iter().filter(|(path, _, _)| path.is_file());
            files.for_each(|(path, _, bytes)| fs::write(path, bytes).unwrap());
        };
        put(&earlier);
        let error = refused(&vault, &fixture.keyfile);
        assert!(
            matches!(error, VaultError::NotAsRemembered { .. }),
            "{error}"
        );
        put(&newest);
        append(&vault).unwrap();
        verifies(&vault);
        // Nothing in a vault shows that it is a whole earlier state of itself.
        put(&earlier);
        let elsewhere = vault.with_state_directory(fixture.outside().join("another"));
        append(&elsewhere).unwrap();
    }
}

#[test]
fn what_cannot_be_remembered_is_told_once_and_stops_nobody() {
    let fixture = Fixture::new();
    fs::write(fixture.outside().join("file"), "").unwrap();
    let vault = fixture
        .vault
        .clone()
        .with_memory(true)
        .with_state_directory(fixture.outside().join("file"));
    let mut writer = LogWriter::open(&vault).unwrap();
    let first = writer.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert!(first.notes.iter().any(|it| it.contains("remembers")));
    let second = writer.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert_eq!(second.notes, Vec::<String>::new());
}

#[test]
fn a_checkpoint_of_events_that_are_gone_is_not_sealed() {
    let fixture = Fixture::new();
    let append = |actor| fixture.vault.append(&note(actor, "x"), &fixture.keyfile);
    append("a").unwrap();
    let earlier = picture(fixture.vault.path());
    append("b").unwrap();
    let made = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    let text = fs::read(&made.path).unwrap();
    // The state of before comes back, and beside it, listed, the checkpoint of what came after.
    for (path, _, content) in &earlier {
        let path = fixture.vault.path().join(path);
        if path.is_file() {
            fs::write(path, content).unwrap();
        }
    }
    let manifest = Manifest::parse(&fs::read(fixture.file("manifest.json")).unwrap()).unwrap();
    let mut entries: Vec<FileEntry> = manifest
        .files
        .iter()
        .map(|file| FileEntry {
            path: file.path.clone(),
            sha256: file.sha256.parse().unwrap(),
            size: file.size,
        })
        .collect();
    entries.push(FileEntry {
        path: "checkpoints/0000000004.chk".into(),
        sha256: Digest::of(&text),
        size: text.len() as u64,
    });
    let time = manifest.created_at_utc.parse().unwrap();
    let (manifest, root) = write_manifest(entries, time);
    fs::write(fixture.file("manifest.json"), manifest).unwrap();
    fs::write(fixture.file("merkle_root.txt"), write_merkle_root(root)).unwrap();
    let error = refused(&fixture.vault, &fixture.keyfile);
    assert!(
        matches!(&error, VaultError::SealContradiction { file, .. } if file.ends_with(".chk")),
        "{error}"
    );
}
