//! What an interrupted writer leaves, and how the next one goes on from it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::common::{Fixture, codes, note, picture, request, reseal, verifies};
use provara_core::keys::SigningKey;
use provara_vault::{
    AppendRequest, BackupOptions, RestoreOptions, VaultError, VerifyOptions, layout, restore,
};

fn extend(fixture: &Fixture, bytes: &[u8]) {
    let mut log = OpenOptions::new()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    log.write_all(bytes).unwrap();
}

/// The line of an event that a twin of the vault would write next.
fn next_line(fixture: &Fixture, request: &AppendRequest) -> Vec<u8> {
    let twin = tempfile::tempdir().unwrap();
    for (path, _, bytes) in picture(fixture.vault.path()) {
        let target = twin
            .path()
            .join(path.strip_prefix(fixture.vault.path()).unwrap());
        match path.is_dir() {
            true => fs::create_dir_all(target).unwrap(),
            false => fs::write(target, bytes).unwrap(),
        }
    }
    let vault = provara_vault::Vault::open(twin.path()).unwrap();
    let receipt = vault.append(request, &fixture.keyfile).unwrap();
    [receipt.event_json.as_bytes(), b"\n"].concat()
}

/// What becomes of a line when the disk stops at a byte.
type Tear = fn(Vec<u8>, usize) -> Vec<u8>;

#[test]
fn a_torn_tail_is_moved_out_whole_and_named() {
    let whole = {
        let fixture = Fixture::new();
        next_line(&fixture, &note("a", "x")).len()
    };
    // Cut anywhere, filled with zeros anywhere (also with the line end written), or both.
    let tears: [Tear; 4] = [
        |line, at| line[..at].to_vec(),
        |line, at| [vec![0; at], line[at..].to_vec()].concat(),
        |line, at| [line[..at].to_vec(), vec![0; line.len() - at]].concat(),
        |line, at| vec![0; line.len() - at],
    ];
    for (kind, tear) in tears.into_iter().enumerate() {
        for at in [1, 17, whole / 2, whole - 2] {
            let fixture = Fixture::new();
            let tail = tear(next_line(&fixture, &note("a", "x")), at);
            extend(&fixture, &tail);
            let sealed = fixture.log().len() - tail.len();

            // Readers leave it alone and do not count it.
            let before = picture(fixture.vault.path());
            let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
            assert!(!report.is_valid());
            if tail.last() != Some(&b'\n') {
                assert_eq!(fixture.vault.snapshot().unwrap().len(), sealed as u64);
                assert_eq!(fixture.source().beliefs().unwrap().event_count(), 2);
            }
            assert_eq!(picture(fixture.vault.path()), before);

            let receipt = fixture
                .vault
                .append(&note("b", "next"), &fixture.keyfile)
                .unwrap();
            assert_eq!(
                (receipt.line, receipt.notes.len()),
                (3, 1),
                "kind {kind} at {at}"
            );
            let kept: Vec<_> = fs::read_dir(fixture.state().join("recovered"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            assert_eq!(kept.len(), 1);
            assert!(
                receipt.notes[0].contains(kept[0].to_str().unwrap()),
                "{:?}",
                receipt.notes
            );
            assert_eq!(fs::read(&kept[0]).unwrap(), tail);
            assert_eq!(verifies(&fixture.vault), 3);
        }
    }
}

#[test]
fn a_refused_append_recovers_nothing() {
    let fixture = Fixture::new();
    extend(&fixture, b"{\"actor\":");
    let before = picture(fixture.vault.path());
    let error = fixture
        .vault
        .append(&note("", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::EmptyActor));
    assert_eq!(picture(fixture.vault.path()), before);
    assert!(!fixture.state().exists());
}

#[test]
fn whole_events_beyond_the_seal_are_kept() {
    let fixture = Fixture::new();
    let line = next_line(&fixture, &note("a", "unsealed"));
    extend(&fixture, &line);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_W001"], "a seal that lags at rest");
    let receipt = fixture
        .vault
        .append(&note("a", "next"), &fixture.keyfile)
        .unwrap();
    assert_eq!((receipt.line, receipt.ts_logical), (4, 2));
    assert!(receipt.notes[0].contains("lagged"), "{:?}", receipt.notes);
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn a_log_that_lost_its_end_is_told_as_shorter() {
    let fixture = Fixture::new();
    let sealed = fixture.log();
    fixture
        .vault
        .append(&note("a", "lost"), &fixture.keyfile)
        .unwrap();
    fs::write(fixture.vault.log_path(), sealed).unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_E015", "PROVARA_E011"]);
    let message = &report.findings()[1].message;
    assert!(message.contains("shorter than when"), "{message}");
    assert!(message.contains("no chain has a gap"), "{message}");
    assert!(message.contains("at the end of chains"), "{message}");
}

#[test]
fn what_is_said_of_a_log_of_another_size_is_what_is_known() {
    // In a marked vault a log that goes on from its seal has no such finding.
    let fixture = Fixture::unmarked(false);
    for (actor, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("b", "5")] {
        fixture
            .vault
            .append(&note(actor, text), &fixture.keyfile)
            .unwrap();
    }
    let sealed = fixture.log();
    let lines: Vec<_> = sealed.split_inclusive(|byte| *byte == b'\n').collect();
    let message = |log: &[u8]| {
        fs::write(fixture.vault.log_path(), log).unwrap();
        let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        let mut findings = report.findings().iter();
        let size = findings.find(|finding| finding.code.to_string() == "PROVARA_E011");
        size.unwrap().message.clone()
    };
    let without = |at: usize| {
        let mut rest = lines.clone();
        rest.remove(at);
        rest.concat()
    };
    let told = message(&without(4));
    assert!(told.ends_with("the chain of 'a' has a gap"), "{told}");
    assert!(
        told.contains("no prefix of it is what was sealed"),
        "{told}"
    );
    let told = message(&without(5));
    assert!(told.contains("no chain has a gap, so"), "its end: {told}");
    let both = [&lines[..2], &lines[4..]].concat();
    let told = message(&both.concat());
    assert!(told.ends_with("the chains of 'a', 'b' have gaps"), "{told}");
    let edited = String::from_utf8(without(5)).unwrap();
    let told = message(
        edited
            .replace("\"text\":\"3\"", "\"text\":\"x\"")
            .as_bytes(),
    );
    assert!(told.ends_with("no chain has a gap"), "{told}");

    let told = message(&[&sealed[..], &sealed[..40]].concat());
    assert!(told.contains("are what was sealed"), "{told}");
    let told = message(&[&without(4)[..], lines[4], lines[4]].concat());
    assert!(told.contains("are not what was sealed"), "{told}");
}

#[test]
fn a_line_end_that_is_missing_is_added() {
    let fixture = Fixture::new();
    let line = next_line(&fixture, &note("a", "unsealed"));
    extend(&fixture, &line[..line.len() - 1]);
    let receipt = fixture
        .vault
        .append(&note("a", "next"), &fixture.keyfile)
        .unwrap();
    assert_eq!((receipt.line, receipt.ts_logical), (4, 2));
    assert!(
        receipt.notes.iter().any(|note| note.contains("line end")),
        "{:?}",
        receipt.notes
    );
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn unsealed_events_that_do_not_verify_are_refused() {
    let forged = |line: &[u8]| {
        String::from_utf8(line.to_vec())
            .unwrap()
            .replace("true me", "forged")
    };
    let fixture = Fixture::new();
    let line = next_line(&fixture, &note("a", "true me"));
    extend(&fixture, forged(&line).as_bytes());
    fixture.stops_at(3, |vault, keyfile| vault.append(&note("b", "x"), keyfile));
}

#[test]
fn what_a_crash_between_the_renames_leaves_is_sealed_again() {
    // Every mixture of the old seal and the new one, with the new log.
    for new in 0..8 {
        let fixture = Fixture::new();
        let files = ["manifest.json", "merkle_root.txt", "manifest.sig"];
        let old = files.map(|file| fs::read(fixture.file(file)).unwrap());
        fixture
            .vault
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap();
        for (index, file) in files.iter().enumerate() {
            if new & (1 << index) == 0 {
                fs::write(fixture.file(file), &old[index]).unwrap();
            }
        }
        let receipt = fixture
            .vault
            .append(&note("a", "y"), &fixture.keyfile)
            .unwrap();
        assert_eq!(receipt.line, 4);
        assert_eq!(verifies(&fixture.vault), 4);
    }
}

#[test]
fn temporary_files_of_an_interrupted_writer_are_cleared() {
    let fixture = Fixture::new();
    let ours = ".provara-tmp-0123456789abcdef01234567";
    let other = ".provara-tmp-somebody-elses";
    for name in [ours, other] {
        fs::write(fixture.file(name), b"x").unwrap();
    }
    assert!(
        !fixture
            .vault
            .verify(&VerifyOptions::default())
            .unwrap()
            .is_valid()
    );
    let receipt = fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    assert!(receipt.notes[0].contains(ours), "{:?}", receipt.notes);
    assert!(!fixture.file(ours).exists() && fixture.file(other).exists());
    fs::remove_file(fixture.file(other)).unwrap();
    assert_eq!(verifies(&fixture.vault), 3);
}

#[test]
fn temporary_files_of_an_interrupted_writer_are_no_bad_evidence() {
    let hex = "0123456789abcdef01234567";
    let name = format!(".provara-tmp-{hex}");
    for directory in ["", "identity/", "policies/", "events/"] {
        let fixture = Fixture::new();
        let path = format!("{directory}{name}");
        fs::write(fixture.file(&path), b"half").unwrap();
        let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        assert!(report.is_valid(), "{path}: {report:?}");
        let [finding] = report.findings() else {
            panic!("{:?}", report.findings());
        };
        assert_eq!(
            (finding.code.as_str(), &*finding.file),
            ("PROVARA_W001", &*path)
        );
        // A copy has nothing of it.
        let archive = fixture.outside().join("backup.tar.gz");
        fixture
            .vault
            .backup(&archive, BackupOptions::default())
            .unwrap();
        let restored = fixture.outside().join("restored");
        let receipt = restore(&archive, &restored, RestoreOptions::default()).unwrap();
        assert_eq!(receipt.event_count, report.event_count());
        assert!(!restored.join(&path).exists());
    }
    // What only looks like one is a phantom file, as ever.
    for path in [
        format!("artifacts/{name}"),
        format!("state/{name}"),
        format!(".provara-tmp-{}", hex.to_uppercase()),
        format!("{name}0"),
    ] {
        let fixture = Fixture::new();
        fs::write(fixture.file(&path), b"x").unwrap();
        let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        assert!(!report.is_valid(), "{path}");
    }
    // Nor is a directory one.
    let fixture = Fixture::new();
    fs::create_dir(fixture.file(&name)).unwrap();
    fs::write(fixture.file(&name).join("inside"), b"x").unwrap();
    assert!(
        !fixture
            .vault
            .verify(&VerifyOptions::default())
            .unwrap()
            .is_valid()
    );
}

#[test]
fn keys_are_brought_in_line_after_a_crash_in_a_rotation() {
    // The log has the revocation; of keys.json and the seal any part may be old.
    for new in 0..16 {
        let fixture = Fixture::with_quorum();
        let files = [
            "identity/keys.json",
            "manifest.json",
            "merkle_root.txt",
            "manifest.sig",
        ];
        let old = files.map(|file| fs::read(fixture.file(file)).unwrap());
        let (root, quorum) = fixture.root_and_quorum();
        let data = format!(
            r#"{{"revoked_key_id":"{root}","reason":"lost","trust_boundary_event_id":null,"revoked_at_utc":"2026-01-01T00:00:00Z"}}"#
        );
        let revocation = AppendRequest {
            key_id: Some(quorum),
            ..request("KEY_REVOCATION", "authority", &data)
        };
        fixture.vault.append(&revocation, &fixture.keyfile).unwrap();
        if new & 0b11 == 0b10 {
            // A manifest that lists keys that are not there yet: the order of syncs excludes it.
            continue;
        }
        for (index, file) in files.iter().enumerate() {
            if new & (1 << index) == 0 {
                fs::write(fixture.file(file), &old[index]).unwrap();
            }
        }
        let error = fixture
            .vault
            .append(
                &AppendRequest {
                    key_id: Some(root),
                    ..note("a", "x")
                },
                &fixture.keyfile,
            )
            .unwrap_err();
        assert!(
            matches!(error, VaultError::KeyRevoked { .. }),
            "{new}: {error}"
        );
        let receipt = fixture
            .vault
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap();
        assert_eq!(receipt.key_id, quorum, "{new}");
        assert_eq!(verifies(&fixture.vault), 4);
        let keys = fs::read_to_string(fixture.file("identity/keys.json")).unwrap();
        assert!(keys.contains("\"revoked\""), "{new}: {keys}");
    }
}

#[test]
fn rotations_by_hand_keep_the_rules() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    let revoke = |revoked: &str, boundary: &str| {
        format!(
            r#"{{"revoked_key_id":"{revoked}","reason":"lost","trust_boundary_event_id":{boundary},"revoked_at_utc":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let promote = |replaced: &str| {
        format!(
            r#"{{"new_key_id":"{}","new_public_key_b64":"{}","algorithm":"Ed25519","roles":["root","attestation"],"promoted_by":"{quorum}","replaces_key_id":"{replaced}","promoted_at_utc":"2026-01-01T00:00:00Z"}}"#,
            new.key_id(),
            new.public().to_base64()
        )
    };
    let append = |event_type: &str, data: &str, key| {
        let request = AppendRequest {
            key_id: Some(key),
            ..request(event_type, "authority", data)
        };
        fixture.vault.append(&request, &fixture.keyfile)
    };
    let refused = |event_type: &str, data: &str, key| {
        let before = picture(fixture.vault.path());
        let error = append(event_type, data, key).unwrap_err();
        assert_eq!(picture(fixture.vault.path()), before);
        match error {
            VaultError::WouldNotVerify { code, reason } => {
                let of_another = reason.starts_with("line 2 of the log would not verify");
                assert_eq!(
                    of_another,
                    data.contains(&fixture.receipt.genesis_event_id.to_string())
                );
                code
            }
            other => panic!("{other}"),
        }
    };
    let (root_text, genesis) = (
        root.to_string(),
        format!("\"{}\"", fixture.receipt.genesis_event_id),
    );
    assert_eq!(
        refused("KEY_REVOCATION", &revoke(&root_text, "null"), root),
        "PROVARA_E200"
    );
    assert_eq!(
        refused("KEY_PROMOTION", &promote(&root_text), quorum),
        "PROVARA_E201"
    );
    let stranger = new.key_id().to_string();
    assert_eq!(
        refused("KEY_REVOCATION", &revoke(&stranger, "null"), quorum),
        "PROVARA_E204"
    );
    let nowhere = "\"evt_000000000000000000000000\"";
    assert_eq!(
        refused("KEY_REVOCATION", &revoke(&root_text, nowhere), quorum),
        "PROVARA_E203"
    );
    // A boundary in the past would leave the seed observation without force.
    assert_eq!(
        refused("KEY_REVOCATION", &revoke(&root_text, &genesis), quorum),
        "PROVARA_E202"
    );

    append("KEY_REVOCATION", &revoke(&root_text, "null"), quorum).unwrap();
    let bad_key = promote(&root_text).replace(&new.public().to_base64(), "AAAA");
    assert_eq!(refused("KEY_PROMOTION", &bad_key, quorum), "PROVARA_E300");
    append("KEY_PROMOTION", &promote(&root_text), quorum).unwrap();
    assert_eq!(verifies(&fixture.vault), 4);
    let keyfile = provara_core::keys::Keyfile::new(vec![new]);
    let receipt = fixture
        .vault
        .append(&note("a", "by the new key"), &keyfile)
        .unwrap();
    assert_eq!(receipt.key_id, keyfile.key_ids().next().unwrap());
    assert_eq!(verifies(&fixture.vault), 5);
}

#[test]
fn a_revocation_names_a_seal_that_covers_all_before_it() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let seal = layout::SEAL.map(|file| fs::read(fixture.file(file)).unwrap());
    fixture
        .vault
        .append(&note("a", "beyond the seal"), &fixture.keyfile)
        .unwrap();
    for (file, bytes) in layout::SEAL.iter().zip(seal) {
        fs::write(fixture.file(file), bytes).unwrap();
    }
    let named = |request: &AppendRequest<'_>| {
        let receipt = fixture.vault.append(request, &fixture.keyfile).unwrap();
        let event: serde_json::Value = serde_json::from_str(&receipt.event_json).unwrap();
        event.get("seal").is_some()
    };
    let data = format!(
        r#"{{"revoked_key_id":"{root}","reason":"lost","trust_boundary_event_id":null,"revoked_at_utc":"2026-01-01T00:00:00Z"}}"#
    );
    assert!(named(&AppendRequest {
        key_id: Some(quorum),
        ..request("KEY_REVOCATION", "authority", &data)
    }));
    verifies(&fixture.vault);
}

#[test]
fn beside_a_torn_tail_a_checkpoint_is_made() {
    let fixture = Fixture::new();
    extend(&fixture, b"{\"actor\":\"torn");
    let done = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert!(
        done.notes
            .iter()
            .any(|it| it.contains("interrupted append")),
        "{:?}",
        done.notes
    );
    assert_eq!(verifies(&fixture.vault), 2);
}

#[test]
fn a_temporary_name_that_the_manifest_lists_is_somebodys_file() {
    let fixture = Fixture::new();
    let name = ".provara-tmp-0123456789abcdef01234567";
    fs::write(fixture.file(name), b"x").unwrap();
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    verifies(&fixture.vault);
    // A reader that looks between two writers, as it does where something is not as it should be.
    fs::write(fixture.file("merkle_root.txt"), b"x").unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(
        report
            .findings()
            .iter()
            .all(|it| it.file == "merkle_root.txt"),
        "{:?}",
        report.findings()
    );
}
