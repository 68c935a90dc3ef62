//! Appending: what becomes of an event, and what is refused with nothing changed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::common::{Fixture, codes, note, picture, request, verifies};
use provara_core::canonical::jcs;
use provara_core::finding::Code;
use provara_core::id::Digest;
use provara_core::json;
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::namespace::Namespace;
use provara_core::payload::{MAX_PAYLOAD, PayloadError};
use provara_vault::{
    AppendRequest, BatchOptions, ErrorClass, LogWriter, VaultError, VerifyOptions,
};

/// The append is refused, and not a byte of the vault is another.
fn refused(fixture: &Fixture, request: &AppendRequest) -> VaultError {
    let before = picture(fixture.vault.path());
    let error = fixture.vault.append(request, &fixture.keyfile).unwrap_err();
    assert_eq!(picture(fixture.vault.path()), before, "{error}");
    error
}

#[test]
fn events_follow_each_other() {
    let fixture = Fixture::new();
    let first = fixture
        .vault
        .append(&note("alice", "one"), &fixture.keyfile)
        .unwrap();
    let other = fixture
        .vault
        .append(&note("bob", "two"), &fixture.keyfile)
        .unwrap();
    let second = fixture
        .vault
        .append(&note("alice", "three"), &fixture.keyfile)
        .unwrap();
    assert_eq!((first.line, other.line, second.line), (3, 4, 5));
    assert_eq!(
        (first.ts_logical, other.ts_logical, second.ts_logical),
        (1, 1, 2)
    );
    assert_eq!(first.prev_event_hash, None);
    assert_eq!(second.prev_event_hash, Some(first.event_id));
    assert_eq!(second.notes, Vec::<String>::new());
    let log = fixture.log();
    let last = log
        .strip_suffix(b"\n")
        .unwrap()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap();
    assert_eq!(last, second.event_json.as_bytes());
    let root = fs::read_to_string(fixture.file("merkle_root.txt")).unwrap();
    assert_eq!(root.trim_end(), second.merkle_root.to_string());
    assert_eq!(verifies(&fixture.vault), 5);
}

#[test]
fn payloads_and_types_are_as_given() {
    let fixture = Fixture::new();
    let append = |request: AppendRequest| {
        fixture
            .vault
            .append(&request, &fixture.keyfile)
            .unwrap()
            .event_json
    };
    let custom = append(request(
        "com.Acme.Audit.Login",
        "a\"\n\u{1F600}",
        r#"{"z":1.0,"a":[1e21]}"#,
    ));
    assert!(
        custom.contains(r#""payload":{"a":[1e+21],"z":1}"#),
        "{custom}"
    );
    assert!(
        custom.contains(r#""type":"com.Acme.Audit.Login""#),
        "{custom}"
    );
    assert!(
        custom.contains("\"actor\":\"a\\\"\\n\u{1F600}\""),
        "{custom}"
    );
    let observation = append(AppendRequest {
        namespace: Some(Namespace::Local),
        confidence: Some(0.25),
        ..request("OBSERVATION", "a", r#"{"note":"x"}"#)
    });
    assert!(
        observation.contains(r#""namespace":"local""#),
        "{observation}"
    );
    let observed = json::parse(observation.as_bytes()).unwrap();
    let payload = observed.get("payload").unwrap();
    let name = Digest::of(br#"{"value":{"note":"x"}}"#);
    let time = observed.get("timestamp_utc").unwrap().as_str().unwrap();
    let wrapped = format!(
        r#"{{"confidence":0.25,"predicate":"OBSERVATION","subject":"sha256:{name}","timestamp":"{time}","value":{{"note":"x"}}}}"#
    );
    assert_eq!(String::from_utf8(jcs(payload).unwrap()).unwrap(), wrapped);
    assert_eq!(verifies(&fixture.vault), 4);
}

#[test]
fn what_is_wrong_with_a_request_is_said_and_changes_nothing() {
    let fixture = Fixture::new();
    let refused = |request: &AppendRequest| refused(&fixture, request);

    assert!(matches!(
        refused(&request("GENESIS", "a", "{}")),
        VaultError::GenesisByHand
    ));
    assert!(matches!(refused(&note("", "x")), VaultError::EmptyActor));
    assert!(matches!(
        refused(&request("com.example.test.note", "a", "[1]")),
        VaultError::Payload(PayloadError::NotAnObject("an array"))
    ));
    assert!(matches!(
        refused(&request(
            "com.example.test.note",
            "a",
            r#"{"n":9007199254740993}"#
        )),
        VaultError::Canonical(_)
    ));
    assert!(matches!(
        refused(&request("com.example.test.note", "a", r#"{"n":1e999}"#)),
        VaultError::Canonical(_)
    ));
    // As deep as a document may be, and too deep once an event is around it.
    let deep = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
    assert!(matches!(
        refused(&request("com.example.test.note", "a", &deep)),
        VaultError::Unwritable { .. }
    ));
    let stranger = SigningKey::from_seed(&[9; 32]).key_id();
    let unknown = AppendRequest {
        key_id: Some(stranger),
        ..note("a", "x")
    };
    assert!(matches!(refused(&unknown), VaultError::KeyUnknown { key_id } if key_id == stranger));
    assert_eq!(refused(&unknown).class(), ErrorClass::Usage);
    // A redaction of what is not there would not verify.
    let redaction = request(
        "com.provara.redaction",
        "a",
        r#"{"target_event_id":"evt_000000000000000000000000","reason":"x"}"#,
    );
    assert!(matches!(
        refused(&redaction),
        VaultError::RedactionTarget { .. }
    ));

    let foreign = Keyfile::new(vec![SigningKey::from_seed(&[9; 32])]);
    let before = picture(fixture.vault.path());
    let error = fixture.vault.append(&note("a", "x"), &foreign).unwrap_err();
    assert!(matches!(error, VaultError::KeyfileForeign { .. }));
    assert_eq!(picture(fixture.vault.path()), before);
}

#[test]
fn a_closed_vault_takes_nothing_more() {
    let fixture = Fixture::new();
    let closing = request("com.provara.vault.seal", "a", r#"{"reason":"done"}"#);
    let closed = fixture.vault.append(&closing, &fixture.keyfile).unwrap();
    let error = refused(&fixture, &note("a", "late"));
    assert!(matches!(error, VaultError::Closed { event_id } if event_id == closed.event_id));
    assert_eq!(verifies(&fixture.vault), 3);
}

#[test]
fn a_redaction_that_is_not_carried_out_yet_is_told() {
    let fixture = Fixture::new();
    let target = fixture
        .vault
        .append(&note("a", "secret"), &fixture.keyfile)
        .unwrap()
        .event_id;
    let data = format!(r#"{{"target_event_id":"{target}","reason":"privacy"}}"#);
    let redaction = request("com.provara.redaction", "a", &data);
    fixture.vault.append(&redaction, &fixture.keyfile).unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_valid());
    let codes: Vec<_> = report.findings().iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::W013]);
}

#[test]
fn a_key_in_another_role_signs_when_it_is_asked_for() {
    let fixture = Fixture::with_quorum();
    let quorum = fixture.receipt.quorum_key_id.unwrap();
    let by_quorum = AppendRequest {
        key_id: Some(quorum),
        ..note("q", "x")
    };
    let receipt = fixture.vault.append(&by_quorum, &fixture.keyfile).unwrap();
    assert_eq!(receipt.key_id, quorum);
    let receipt = fixture
        .vault
        .append(&note("r", "x"), &fixture.keyfile)
        .unwrap();
    assert_eq!(receipt.key_id, fixture.receipt.root_key_id);
    assert_eq!(verifies(&fixture.vault), 4);
}

/// A change to the log's bytes.
type Break = fn(&mut Vec<u8>);

#[test]
fn a_broken_log_is_refused_and_left_as_it_is() {
    let breaks: [(&str, Break); 4] = [
        ("not an event", |log| log.extend(b"garbage\n")),
        ("blank", |log| log.push(b'\n')),
        ("white space", |log| log.insert(1, b' ')),
        ("a line cut inside", |log| {
            let end = log.iter().position(|byte| *byte == b'\n').unwrap();
            log.drain(end - 20..end);
        }),
    ];
    for (what, change) in breaks {
        let fixture = Fixture::new();
        let mut log = fixture.log();
        change(&mut log);
        fs::write(fixture.vault.log_path(), &log).unwrap();
        let error = refused(&fixture, &note("a", "x"));
        assert_eq!(error.class(), ErrorClass::Evidence, "{what}: {error}");
        assert!(!fixture.state().exists(), "{what}: nothing was moved out");
    }
}

#[test]
fn what_was_sealed_and_is_gone_is_not_sealed_over() {
    let fixture = Fixture::new();
    let whole = fixture.log();
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(fixture.vault.log_path(), &whole[..first_line]).unwrap();
    let error = refused(&fixture, &note("a", "x"));
    assert!(
        matches!(&error, VaultError::SealContradiction { file, .. } if file == "events/events.ndjson")
    );
    assert!(error.to_string().contains("missing"), "{error}");

    // Keys and a wrong signature neither.
    fs::write(fixture.vault.log_path(), &whole).unwrap();
    let keys = fs::read(fixture.file("identity/keys.json")).unwrap();
    fs::write(
        fixture.file("identity/keys.json"),
        [&keys[..], b" "].concat(),
    )
    .unwrap();
    let error = refused(&fixture, &note("a", "x"));
    assert!(
        matches!(error, VaultError::SealContradiction { file, .. } if file.ends_with("keys.json"))
    );
    fs::write(fixture.file("identity/keys.json"), &keys).unwrap();
    let seal = fs::read_to_string(fixture.file("manifest.sig")).unwrap();
    fs::write(
        fixture.file("manifest.sig"),
        seal.replace("signed_at_utc\":\"2", "signed_at_utc\":\"3"),
    )
    .unwrap();
    let error = refused(&fixture, &note("a", "x"));
    assert!(matches!(error, VaultError::SealContradiction { file, .. } if file == "manifest.sig"));
    fs::remove_file(fixture.file("manifest.json")).unwrap();
    assert!(matches!(
        refused(&fixture, &note("a", "x")),
        VaultError::Structure { .. }
    ));
}

#[test]
fn a_changed_file_stays_a_finding_after_an_append() {
    let fixture = Fixture::new();
    fs::write(
        fixture.file("policies/retention_policy.json"),
        br#"{"events":"permanent"}"#,
    )
    .unwrap();
    fs::write(fixture.file("artifacts/cas/phantom"), b"x").unwrap();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    let report = fixture.vault.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(codes(&report), ["PROVARA_E011", "PROVARA_E302"]);
}

#[test]
fn the_lock_is_waited_for_and_its_holder_named() {
    let fixture = Fixture::new();
    let log = File::options()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    log.lock().unwrap();
    let before = picture(fixture.vault.path());
    let impatient = fixture
        .vault
        .clone()
        .with_lock_timeout(Duration::from_millis(50));
    let error = impatient
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::CouldNot);
    assert_eq!(picture(fixture.vault.path()), before);

    let patient = fixture
        .vault
        .clone()
        .with_lock_timeout(Duration::from_secs(30));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| patient.append(&note("a", "x"), &fixture.keyfile));
        std::thread::sleep(Duration::from_millis(50));
        log.unlock().unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(verifies(&fixture.vault), 3);
}

#[test]
fn a_vault_that_may_not_be_written_is_said_to_be_so() {
    const CHILD: &str = "PROVARA_TEST_ORDINARY_USER";
    if rustix::process::geteuid().is_root() && std::env::var_os(CHILD).is_none() {
        // Root may write everywhere: the same test runs once more as an ordinary user, from a copy
        // of this program that such a user may start.
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("tests");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        for path in [place.path(), &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let run = Command::new(&program)
            .args([
                "--exact",
                "append::a_vault_that_may_not_be_written_is_said_to_be_so",
            ])
            .env(CHILD, "1")
            .env("TMPDIR", "/tmp")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let fixture = Fixture::new();
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&fixture.vault.log_path(), 0o444);
    let error = refused(&fixture, &note("a", "x"));
    assert!(
        matches!(
            error,
            VaultError::Io {
                action: "open for writing",
                ..
            }
        ),
        "{error}"
    );
    mode(&fixture.vault.log_path(), 0o644);
    mode(fixture.vault.path(), 0o555);
    let error = refused(&fixture, &note("a", "x"));
    assert!(matches!(error, VaultError::Io { .. }), "{error}");
    // Reading and verifying need no right to write.
    mode(&fixture.vault.log_path(), 0o444);
    assert_eq!(verifies(&fixture.vault), 2);
    mode(fixture.vault.path(), 0o755);
}

#[test]
fn modes_of_replaced_files_are_kept() {
    let fixture = Fixture::new();
    let manifest = fixture.file("manifest.json");
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o640)).unwrap();
    fixture
        .vault
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap();
    assert_eq!(
        fs::metadata(&manifest).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

/// One limit, whichever way an event comes: of its payload, in canonical form.
#[test]
fn a_payload_has_a_greatest_length_that_no_way_goes_beyond() {
    let fixture = Fixture::new();
    // `{"text":"…"}` around it.
    let of = |length: usize| note("a", &"x".repeat(length - 11));
    let most = of(MAX_PAYLOAD);
    most.check().unwrap();
    fixture.vault.append(&most, &fixture.keyfile).unwrap();

    // As it is written, it is longer: the canonical form counts.
    let spaced = format!(
        "{{\"text\":{}\"{}\"}}",
        " ".repeat(99),
        "x".repeat(MAX_PAYLOAD - 11)
    );
    let spaced = request("com.example.test.note", "a", &spaced);
    fixture.vault.append(&spaced, &fixture.keyfile).unwrap();

    let more = of(MAX_PAYLOAD + 1);
    let is_it = |error: &VaultError| {
        matches!(error, VaultError::TooLarge { length } if *length == MAX_PAYLOAD + 1)
            && error.is_of_request()
            && error.class() == ErrorClass::Usage
    };
    assert!(is_it(&more.check().unwrap_err()));
    let error = refused(&fixture, &more);
    assert!(is_it(&error), "{error}");
    assert!(
        error
            .to_string()
            .contains("8388609 bytes, and 8 MiB are the most"),
        "{error}"
    );
    // The data of a wrapped payload counts with what is put around it.
    let wrapped = format!("{{\"note\":\"{}\"}}", "x".repeat(MAX_PAYLOAD - 11));
    let error = refused(&fixture, &request("OBSERVATION", "a", &wrapped));
    assert!(matches!(error, VaultError::TooLarge { .. }), "{error}");

    let writer = LogWriter::open_with(&fixture.vault, &fixture.keyfile).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
    let rejected = batch.append(vec![note("a", "x"), more]).unwrap_err();
    assert_eq!(rejected.index, 1);
    assert!(is_it(&rejected.error), "{}", rejected.error);
    batch.finish().unwrap();
    assert_eq!(verifies(&fixture.vault), 5);
}
