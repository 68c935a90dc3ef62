//! The seal made anew, checkpoints, and what is derived from the events.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::disk::Beside;
use crate::common::{Fixture, codes, copy, note, picture, remove_seal, request, reseal, strict};
use provara_core::layout::{REQUIRED, SEAL};
use provara_vault::{InitOptions, VaultError, VerifyOptions};

fn strict_codes(fixture: &Fixture) -> Vec<String> {
    let report = fixture.vault.verify(&strict()).unwrap();
    assert_eq!(report.is_valid(), report.findings().is_empty());
    codes(&report)
}

#[test]
fn a_re_made_seal_covers_what_is_there_and_says_what_changed() {
    let fixture = Fixture::new();
    let blob = fixture.file("artifacts/cas/blob");
    let gone = fixture.file("artifacts/cas/gone");
    fs::write(&gone, b"gone").unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    fs::write(blob, b"blob").unwrap();
    fs::remove_file(gone).unwrap();
    fs::write(
        fixture.file("policies/retention_policy.json"),
        b"{\"events\":\"permanent\"}\n",
    )
    .unwrap();
    let receipt = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    // Both times the log states the files beside it.
    assert_eq!((receipt.file_count, receipt.event_count), (8, 4));
    assert_eq!(receipt.signed_by, Some(fixture.receipt.root_key_id));
    let notes = receipt.notes.join("\n");
    for expected in [
        "artifacts/cas/blob is new",
        "artifacts/cas/gone is gone",
        "changed from 309 to 23",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    let again = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    assert_eq!(
        (again.merkle_root, again.notes),
        (receipt.merkle_root, Vec::new())
    );
}

#[test]
fn what_no_seal_could_make_valid_is_not_sealed() {
    let fixture = Fixture::new();
    for file in REQUIRED {
        let text = fs::read(fixture.file(file)).unwrap();
        fs::remove_file(fixture.file(file)).unwrap();
        let before = picture(fixture.vault.path());
        let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
        assert!(
            matches!(&error, VaultError::Structure { file: named, .. } if named == file),
            "{error}"
        );
        assert_eq!(picture(fixture.vault.path()), before);
        fs::write(fixture.file(file), text).unwrap();
    }
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn without_a_key_the_signature_goes_stale_and_writers_refuse_it() {
    let fixture = Fixture::unmarked(false);
    let signature = fs::read(fixture.file("manifest.sig")).unwrap();
    fs::write(fixture.file("artifacts/cas/blob"), b"blob").unwrap();
    let receipt = fixture.vault.manifest(None).unwrap();
    assert_eq!(receipt.signed_by, None);
    assert_eq!(fs::read(fixture.file("manifest.sig")).unwrap(), signature);
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid());
    assert_eq!(codes(&report), ["PROVARA_W001"]);
    let before = picture(fixture.vault.path());
    let error = fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::SealOfOther(_)), "{error}");
    // What nobody vouches for is not sealed unasked either.
    let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    assert!(matches!(error, VaultError::SealOfOther(_)), "{error}");
    assert_eq!(picture(fixture.vault.path()), before);
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_signature_that_vouches_for_nothing_is_kept_before_it_is_replaced() {
    let fixture = Fixture::new();
    let signature = fixture.file("manifest.sig");
    let earlier = fs::read(&signature).unwrap();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    // That of an earlier state is gone on from, and says nothing that the next one does not.
    fs::write(&signature, &earlier).unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    assert!(!fixture.state().join("recovered").exists());
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    let other = Fixture::new();
    let other = fs::read(other.file("manifest.sig")).unwrap();
    for text in [other, b"{}".to_vec()] {
        fs::write(&signature, &text).unwrap();
        let before = picture(fixture.vault.path());
        fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
        assert_eq!(picture(fixture.vault.path()), before);
        let receipt = fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
        let told = |note: &String| note.contains("it was kept as '");
        assert!(receipt.notes.iter().any(told), "{:?}", receipt.notes);
        assert!(fixture.kept().contains(&text));
        assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    }
    fs::remove_file(&signature).unwrap();
    let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    assert!(matches!(error, VaultError::SealAbsent { .. }), "{error}");
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_seal_is_not_made_over_what_leaves_the_vault() {
    let fixture = Fixture::new();
    fs::write(fixture.outside().join("outside"), b"x").unwrap();
    symlink(
        fixture.outside().join("outside"),
        fixture.file("artifacts/link"),
    )
    .unwrap();
    let before = picture(fixture.vault.path());
    let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    assert!(matches!(error, VaultError::Structure { file, .. } if file == "artifacts/link"));
    assert_eq!(picture(fixture.vault.path()), before);
    assert_eq!(strict_codes(&fixture), ["PROVARA_E302"]);
}

#[test]
fn a_vault_without_a_seal_gets_one_on_request_alone() {
    let fixture = Fixture::new();
    remove_seal(&fixture.vault);
    let torn = [fixture.log(), b"{\"torn".to_vec()].concat();
    fs::write(fixture.vault.log_path(), torn).unwrap();
    let before = picture(fixture.vault.path());
    let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    assert!(matches!(error, VaultError::SealAbsent { .. }), "{error}");
    let error = fixture.vault.manifest(None).unwrap_err();
    assert!(matches!(error, VaultError::Unsigned), "{error}");
    // What is no manifest says no more than none.
    fs::write(fixture.file("manifest.json"), b"{}").unwrap();
    let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    assert!(matches!(error, VaultError::SealAbsent { .. }), "{error}");
    fs::remove_file(fixture.file("manifest.json")).unwrap();
    for error in fixture.refusals() {
        let refused = matches!(
            error,
            VaultError::Structure { .. } | VaultError::SealAbsent { .. }
        );
        assert!(refused, "{error}");
    }
    assert_eq!(picture(fixture.vault.path()), before);
    let receipt = fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert!(
        receipt
            .notes
            .iter()
            .any(|note| note.contains("interrupted append"))
    );
    // One event says who asked for it, one which files there were.
    assert_eq!(receipt.event_count, 4);
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_changed_log_is_neither_sealed_anew_nor_cut() {
    let refused = |fixture: &Fixture, expected: fn(&VaultError) -> bool| {
        let before = picture(fixture.vault.path());
        let sealed = [
            fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err(),
            fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap_err(),
        ];
        for error in sealed.into_iter().chain(fixture.refusals()) {
            assert!(expected(&error), "{error}");
        }
        assert_eq!(picture(fixture.vault.path()), before);
        assert!(!fixture.state().exists(), "something was moved out");
    };
    let vault = || {
        let fixture = Fixture::new();
        for text in ["one", "two"] {
            let noted = fixture.vault.append(&note("a", text), &fixture.keyfile);
            noted.unwrap();
        }
        fs::write(
            fixture.file(".provara-tmp-0123456789abcdef01234567"),
            b"half",
        )
        .unwrap();
        fixture
    };
    let contradicts = |error: &VaultError| {
        matches!(
            error,
            VaultError::SealContradiction { .. } | VaultError::BrokenLog { .. }
        )
    };
    // As a torn tail has it, but within what was sealed; and a byte that leaves the line well-formed.
    for (from, to) in [("one", "o\0e"), ("initialized", "initialised")] {
        let fixture = vault();
        let log = String::from_utf8(fixture.log()).unwrap();
        fs::write(fixture.vault.log_path(), log.replace(from, to)).unwrap();
        refused(&fixture, contradicts);
    }
    // A break beyond what was sealed.
    let fixture = vault();
    let log = [fixture.log(), b"no event\n".to_vec()].concat();
    fs::write(fixture.vault.log_path(), log).unwrap();
    refused(&fixture, |error| {
        matches!(error, VaultError::BrokenLog { line: 5, .. })
    });
}

#[test]
fn without_a_seal_only_the_last_line_is_torn() {
    let fixture = Fixture::new();
    let noted = fixture.vault.append(&note("a", "one"), &fixture.keyfile);
    noted.unwrap();
    let sealed = fixture.log();
    remove_seal(&fixture.vault);
    let hole = String::from_utf8(sealed.clone())
        .unwrap()
        .replace("initialized", "init\0alized");
    fs::write(fixture.vault.log_path(), &hole).unwrap();
    let unreadable = fixture.vault.new_seal(Some(&fixture.keyfile));
    assert!(
        matches!(unreadable, Err(VaultError::BrokenLog { line: 2, .. })),
        "{unreadable:?}"
    );
    assert_eq!(fixture.log(), hole.as_bytes());
    fs::write(fixture.vault.log_path(), hole.replace('\0', "y")).unwrap();
    let forged = fixture.vault.new_seal(Some(&fixture.keyfile));
    assert!(matches!(forged, Err(VaultError::BrokenLog { line: 2, .. })));
    assert!(!fixture.state().exists());
    // Room that the system had made for a line, and its end.
    fs::write(
        fixture.vault.log_path(),
        [&*sealed, &[0; 40], b"\n"].concat(),
    )
    .unwrap();
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert!(fixture.log().starts_with(&sealed));
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_seal_that_lacks_its_manifest_is_not_made_anew() {
    let fixture = Fixture::new();
    let short = fixture.log();
    let noted = fixture.vault.append(&note("a", "x"), &fixture.keyfile);
    noted.unwrap();
    let manifest = fs::read(fixture.file("manifest.json")).unwrap();
    fs::write(fixture.vault.log_path(), short).unwrap();
    let refused = || {
        let before = picture(fixture.vault.path());
        let error = fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
        assert!(
            matches!(
                error,
                VaultError::SealOfOther(_) | VaultError::SealAbsent { .. }
            ),
            "{error}"
        );
        assert_eq!(picture(fixture.vault.path()), before);
    };
    fs::write(fixture.file("manifest.json"), &manifest[1..]).unwrap();
    refused();
    fs::remove_file(fixture.file("manifest.json")).unwrap();
    refused();
    fs::remove_file(fixture.file("manifest.sig")).unwrap();
    refused();
    fs::remove_file(fixture.file("merkle_root.txt")).unwrap();
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

/// Makes a file of `size` bytes that takes no room, and gives what it was.
fn blow_up(path: &std::path::Path, size: u64) -> Vec<u8> {
    let before = fs::read(path).unwrap_or_default();
    let file = fs::File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path);
    file.unwrap().set_len(size).unwrap();
    before
}

#[test]
fn files_of_any_size_are_found_and_not_read() {
    let fixture = Fixture::new();
    // As a whole, neither would fit into memory, nor end in time.
    let huge = 1 << 43;
    for file in ["manifest.json", "identity/keys.json", "manifest.sig"] {
        let path = fixture.file(file);
        let before = blow_up(&path, huge);
        let error = fixture
            .vault
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap_err();
        let refused = matches!(&error, VaultError::Structure { file: found, .. } if found == file);
        assert!(refused, "{error}");
        let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        let found = |finding: &provara_core::finding::Finding| {
            finding.file == file && finding.code.to_string() == "PROVARA_E302"
        };
        assert!(
            report.findings().iter().any(found),
            "{:?}",
            report.findings()
        );
        fs::write(&path, before).unwrap();
    }
    let checkpoint = fixture.file("checkpoints/0000000001.chk");
    fs::create_dir_all(checkpoint.parent().unwrap()).unwrap();
    blow_up(&checkpoint, huge);
    assert_eq!(strict_codes(&fixture), ["PROVARA_E302"]);
    // A seal that does not list it would be of another state than the one with it.
    let error = fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    let named = |file: &str| file == "checkpoints/0000000001.chk";
    assert!(
        matches!(&error, VaultError::SealContradiction { file, .. } if named(file)),
        "{error}"
    );
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let fixture = Fixture::new();
    let files = ["manifest.json", "manifest.sig", ".provara-merge.json"];
    for file in files.into_iter().chain(["identity/keys.json"]) {
        let path = fixture.file(file);
        let before = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let refused = |error: VaultError| {
            let refused =
                matches!(&error, VaultError::Structure { file: found, .. } if found == file);
            assert!(refused, "{file}: {error}");
        };
        let key = &fixture.keyfile;
        refused(fixture.vault.append(&note("a", "x"), key).unwrap_err());
        refused(fixture.vault.repair(Some(key), false).unwrap_err());
        match fixture.vault.manifest(Some(key)) {
            Err(VaultError::SealContradiction { .. }) => assert_eq!(file, "manifest.json"),
            Err(error) => refused(error),
            // The new signature goes into the pipe's place.
            Ok(_) => assert_eq!(file, "manifest.sig"),
        }
        fs::remove_file(&path).unwrap();
        if let Some(text) = before {
            fs::write(&path, text).unwrap();
        }
    }
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_log_reached_through_a_link_is_not_written() {
    let fixture = Fixture::new();
    let outside = fixture.outside().join("log");
    fs::rename(fixture.vault.log_path(), &outside).unwrap();
    symlink(&outside, fixture.vault.log_path()).unwrap();
    for error in [
        fixture
            .vault
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap_err(),
        fixture.vault.manifest(None).unwrap_err(),
        fixture.vault.snapshot().unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::Structure { .. }), "{error}");
    }
    assert!(
        !fixture
            .vault
            .verify(&VerifyOptions::default())
            .unwrap()
            .is_valid()
    );
}

#[test]
fn checkpoints_are_sealed_verified_and_made_once() {
    let fixture = Fixture::new();
    let said = request(
        "OBSERVATION",
        "a",
        r#"{"subject":"door","predicate":"is","value":"open"}"#,
    );
    fixture.vault.append(&said, &fixture.keyfile).unwrap();
    let receipt = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(receipt.event_count, 3);
    assert!(receipt.path.ends_with("checkpoints/0000000003.chk"));
    assert_eq!(
        receipt.state_hash,
        fixture.source().beliefs().unwrap().state_hash
    );
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    let before = picture(fixture.vault.path());
    let again = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(again.state_hash, receipt.state_hash);
    assert_eq!(picture(fixture.vault.path()), before);

    fixture.vault.append(&said, &fixture.keyfile).unwrap();
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    // One that says something else is neither replaced nor believed.
    let text = fs::read_to_string(&receipt.path).unwrap();
    fs::write(&receipt.path, text.replace("open", "shut")).unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert_eq!(strict_codes(&fixture), ["PROVARA_E003"]);
}

#[test]
fn a_checkpoint_that_no_seal_lists_is_made_again_and_sealed() {
    let fixture = Fixture::new();
    let seal = SEAL.map(|name| (fixture.file(name), fs::read(fixture.file(name)).unwrap()));
    let receipt = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    // As a crash leaves it, before the seal is in its place.
    for (path, text) in seal {
        fs::write(path, text).unwrap();
    }
    assert_ne!(strict_codes(&fixture), Vec::<String>::new());
    let again = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(again.state_hash, receipt.state_hash);
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
    let manifest = fs::read_to_string(fixture.file("manifest.json")).unwrap();
    assert!(
        manifest.contains("checkpoints/0000000002.chk"),
        "{manifest}"
    );
}

#[test]
fn a_checkpoint_whose_file_is_another_one_of_the_same_state_is_made_again() {
    let fixture = Fixture::new();
    let twin = copy(&fixture.vault, &fixture.outside().join("twin"));
    let receipt = fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    let other = twin.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(other.state_hash, receipt.state_hash);
    fs::copy(&other.path, &receipt.path).unwrap();
    assert_ne!(strict_codes(&fixture), Vec::<String>::new());
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    assert_eq!(strict_codes(&fixture), Vec::<String>::new());
}

#[test]
fn a_checkpoint_of_a_longer_log_shows_that_events_are_gone() {
    let fixture = Fixture::new();
    let short = fixture.log();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    fs::write(fixture.vault.log_path(), short).unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    remove_seal(&fixture.vault);
    fixture.vault.new_seal(Some(&fixture.keyfile)).unwrap();
    assert_eq!(strict_codes(&fixture), ["PROVARA_E009"]);
}

#[test]
fn a_checkpoint_is_not_made_of_a_log_that_does_not_verify() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let other = String::from_utf8(log.clone())
        .unwrap()
        .replace("initialized", "initialised");
    fs::write(fixture.vault.log_path(), &other).unwrap();
    // No command seals such a log; whoever can write the vault's files can.
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap_err();
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    fixture.stops_at(2, |vault, keyfile| vault.checkpoint(keyfile, None));
}

#[test]
fn a_summary_counts_and_names_the_heads() {
    let fixture = Fixture::new();
    let last = fixture
        .vault
        .append(&note("alice", "x"), &fixture.keyfile)
        .unwrap();
    let summary = fixture.source().summary().unwrap();
    assert_eq!(summary.event_count, 3);
    assert_eq!(summary.last_event, Some(last.event_id));
    assert_eq!(summary.actors["alice"].head, last.event_id);
    assert_eq!(summary.types["com.example.test.note"], 1);
    fs::write(
        fixture.vault.log_path(),
        [fixture.log(), b"no event\n".to_vec()].concat(),
    )
    .unwrap();
    let length = fixture.log().len() as u64 - 9;
    for error in [
        fixture.source().summary().unwrap_err(),
        fixture.source().beliefs().unwrap_err(),
    ] {
        assert!(
            matches!(error, VaultError::BrokenLog { line: 4, offset, .. } if offset == length),
            "{error}"
        );
    }
}

#[test]
fn private_keys_below_the_vault_are_found() {
    let elsewhere = tempfile::tempdir().unwrap();
    let options = InitOptions {
        private_keys: Some(elsewhere.path().join("keys")),
        ..InitOptions::default()
    };
    let fixture = Fixture::with(&options);
    assert_eq!(
        fixture.vault.protected_files().unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    let hidden = fixture.file("artifacts/notes.txt");
    fs::copy(elsewhere.path().join("keys"), &hidden).unwrap();
    fs::write(fixture.file("identity/private_keys.json"), b"broken").unwrap();
    let expected = [hidden, fixture.file("identity/private_keys.json")];
    assert_eq!(fixture.vault.protected_files().unwrap(), expected);
}

#[test]
fn a_new_version_of_a_file_is_at_no_time_wider_than_the_one_before() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::new();
    for file in SEAL {
        fs::set_permissions(fixture.file(file), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let counting = Beside::new(u32::MAX, || {});
    let vault = fixture.vault.clone().with_layer(counting.clone());
    vault.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert_eq!(counting.modes(), [0o640; 3]);
    for file in SEAL {
        let mode = fs::metadata(fixture.file(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640, "{file}");
    }
}
