//! A vault that continues another one: the other one is found, verified, and held against what the
//! signed GENESIS event says of it.

use std::path::Path;

use provara_core::finding::{Code, Finding, Report};
use provara_core::id::Digest;
use provara_core::json;
use provara_core::manifest::Manifest;
use provara_vault::{Vault, VerifyOptions};

use crate::golden::Golden;
use crate::golden::log_forge::{id, set};

/// A vault that its own seal event closes.
fn closed() -> Golden {
    let mut golden = Golden::new();
    golden.files.retain(|path, _| !path.ends_with(".chk"));
    golden.log.add("genesis", 1, "com.provara.vault.seal", "{}");
    golden.seal();
    golden
}

/// A vault that names `before` as its predecessor, in its GENESIS event and in genesis.json.
fn successor(before: &Golden, count: usize) -> Golden {
    successor_that_says(&named(before, &count.to_string()))
}

/// What a vault says of its predecessor `before`.
fn named(before: &Golden, count: &str) -> String {
    let manifest = Manifest::parse(&before.files["manifest.json"]).unwrap();
    format!(
        r#"{{"final_event_count":{count},"merkle_root":"{}","seal_event_id":"{}"}}"#,
        manifest.merkle_root(),
        before.log.ids.last().unwrap()
    )
}

fn successor_that_says(named: &str) -> Golden {
    let mut golden = Golden::new();
    golden.files.retain(|path, _| !path.ends_with(".chk"));
    let mut log = crate::golden::log_forge::Log::with_keys(&[1, 2, 3]);
    let payload = format!(
        r#"{{"predecessor_vault":{named},"root_key_id":"{}","uid":"golden"}}"#,
        id(1)
    );
    log.edit_signed(0, 1, |members| {
        set(
            members,
            "payload",
            json::parse(payload.as_bytes()).unwrap().into_owned(),
        );
    });
    golden.log = log;
    golden.edit(
        "identity/genesis.json",
        "{",
        &format!(r#"{{"predecessor_vault":{named},"#),
    );
    golden.seal();
    golden
}

fn verify(vault: &Path, folder: Option<&Path>) -> Report {
    let options = VerifyOptions {
        predecessors: folder.map(Path::to_owned),
        ..VerifyOptions::default()
    };
    Vault::open(vault).unwrap().verify(&options).unwrap()
}

fn codes(report: &Report) -> Vec<Code> {
    findings(report).map(|finding| finding.code).collect()
}

/// What is found but for what every vault of this kind gets: it has no mark, and its GENESIS does not lead
/// to the keys of its actors.
fn findings(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings().iter().filter(|it| it.code != Code::W009)
}

#[test]
fn a_chain_of_predecessors_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let first = closed();
    let count = first.log.lines.len();
    first.write_to(&path("first"));
    let mut second = successor(&first, count);
    second
        .log
        .add("genesis", 1, "com.provara.vault.seal", r#"{"n":2}"#);
    second.seal();
    second.write_to(&path("second"));
    successor(&second, 2).write_to(&path("third"));

    assert_eq!(codes(&verify(&path("third"), None)), [Code::W008]);
    let report = verify(&path("third"), Some(home.path()));
    assert_eq!(codes(&report), []);
    let told: Vec<_> = report
        .notes()
        .iter()
        .filter(|note| note.starts_with("the predecessor"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");

    std::fs::remove_dir_all(path("first")).unwrap();
    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), [Code::W008], "looked for and not found");
}

#[test]
fn a_chain_may_be_long() {
    const LENGTH: usize = 200;
    let home = tempfile::tempdir().unwrap();
    let mut latest = closed();
    let mut count = latest.log.lines.len();
    for number in 0..LENGTH {
        latest.write_to(&home.path().join(format!("{number:03}")));
        let mut next = successor(&latest, count);
        let data = format!(r#"{{"n":{number}}}"#);
        next.log.add("genesis", 1, "com.provara.vault.seal", &data);
        next.seal();
        (latest, count) = (next, 2);
    }
    let last = home.path().join("last");
    latest.write_to(&last);
    let home = home.path().to_owned();
    // A stack that holds some of them, not all.
    let verified = std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || verify(&last, Some(&home)));
    let report = verified.unwrap().join().unwrap();
    assert_eq!(codes(&report), []);
    let told = |note: &&String| note.starts_with("the predecessor");
    assert_eq!(report.notes().iter().filter(told).count(), LENGTH);
}

#[test]
fn what_is_said_of_a_predecessor_must_be_so() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let first = closed();
    let count = first.log.lines.len();
    first.write_to(&path("first"));
    successor(&first, count + 1).write_to(&path("miscounted"));
    assert_eq!(
        codes(&verify(&path("miscounted"), Some(home.path()))),
        [Code::E302]
    );

    let mut other = closed();
    other
        .files
        .insert("artifacts/cas/blob.bin".into(), b"another".to_vec());
    other.seal();
    successor(&other, count).write_to(&path("other-root"));
    assert_eq!(
        codes(&verify(&path("other-root"), Some(home.path()))),
        [Code::E008]
    );

    let mut silent = successor(&first, count);
    silent.edit("identity/genesis.json", &format!(":{count},"), ":7,");
    silent.seal_files();
    silent.write_to(&path("contradicts"));
    let found = codes(&verify(&path("contradicts"), Some(home.path())));
    assert_eq!(
        found,
        [Code::E302, Code::E302],
        "the signed event says otherwise"
    );

    let mut broken = closed();
    broken.log.edit_text(5, "\"n\":", "\"m\":");
    broken.seal();
    broken.write_to(&path("first"));
    successor(&first, count).write_to(&path("of-a-broken-one"));
    assert_eq!(
        codes(&verify(&path("of-a-broken-one"), Some(home.path()))),
        [Code::E302]
    );
}

#[test]
fn what_is_said_of_a_predecessor_by_itself_is_said_after_it_too() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let mut first = closed();
    let count = first.log.lines.len();
    let next = successor(&first, count);
    first.files.remove("manifest.sig");
    first.write_to(&path("first"));
    next.write_to(&path("second"));

    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), [Code::W002]);
    assert!(report.is_valid());
    let message = &findings(&report).next().unwrap().message;
    assert!(message.contains("'first', manifest.sig"), "{message}");
    let mut unvouched = report.findings().iter().filter(|it| it.code == Code::W009);
    let told =
        "in the predecessor 'first', events/events.ndjson:2: keys.json alone vouches for key";
    assert!(unvouched.any(|it| it.message.starts_with(told)));

    let options = VerifyOptions {
        strict: true,
        predecessors: Some(home.path().to_owned()),
        ..VerifyOptions::default()
    };
    let report = Vault::open(&path("second")).unwrap().verify(&options);
    let report = report.unwrap();
    assert!(!report.is_valid());
    assert_eq!(codes(&report), [Code::W002]);
}

#[test]
fn what_is_said_of_a_predecessor_is_of_its_kind() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let first = closed();
    first.write_to(&path("first"));
    let honest = named(&first, &first.log.lines.len().to_string());
    let id = first.log.ids.last().unwrap().to_string();
    let member = |added: &str| honest.replacen('{', &format!("{{{added},"), 1);
    for (number, (said, code)) in [
        (named(&first, "\"5\""), Code::E300),
        (
            format!(r#"{{"merkle_root":5,"seal_event_id":"{id}"}}"#),
            Code::E300,
        ),
        (
            format!(r#"{{"merkle_root":"5","seal_event_id":"{id}"}}"#),
            Code::E100,
        ),
        (member(r#""seal_event_hash":["x"]"#), Code::E300),
        (member(r#""seal_event_hash":"x""#), Code::E100),
        (format!(r#"{{"seal_event_id":["{id}"]}}"#), Code::E300),
        ("{}".to_owned(), Code::E300),
        ("\"x\"".to_owned(), Code::E300),
        ("[]".to_owned(), Code::E300),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("successor-{number}");
        successor_that_says(&said).write_to(&path(&name));
        let report = verify(&path(&name), Some(home.path()));
        assert_eq!(codes(&report), [code, code], "{said}");
        let files: Vec<_> = findings(&report).map(|it| &*it.file).collect();
        assert_eq!(files, ["events/events.ndjson", "identity/genesis.json"]);
    }
    successor_that_says(&honest).write_to(&path("honest"));
    assert_eq!(codes(&verify(&path("honest"), Some(home.path()))), []);
}

#[test]
fn a_broken_copy_beside_the_predecessor_does_not_count() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let first = closed();
    let count = first.log.lines.len();
    // The names of the copies come before and after the name of the real one.
    let mut broken = closed();
    broken.log.edit_text(5, "\"n\":", "\"m\":");
    broken.seal();
    let mut unsigned = closed();
    unsigned.files.remove("manifest.sig");
    let mut other = closed();
    let blob = "artifacts/cas/blob.bin";
    other.files.insert(blob.into(), b"another".to_vec());
    other.seal();
    broken.write_to(&path("a"));
    unsigned.write_to(&path("b"));
    other.write_to(&path("c"));
    first.write_to(&path("d"));
    broken.write_to(&path("e"));
    let mut second = successor(&first, count);
    let data = r#"{"n":2}"#;
    second.log.add("genesis", 1, "com.provara.vault.seal", data);
    second.seal();
    second.write_to(&path("second"));

    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), []);
    let passed = |note: &&String| note.contains("passed over");
    // No copy is without any finding, so that all are tried.
    assert_eq!(report.notes().iter().filter(passed).count(), 4);

    std::fs::remove_dir_all(path("d")).unwrap();
    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(
        codes(&report),
        [Code::W002],
        "the best of those that are left"
    );
    std::fs::remove_dir_all(path("b")).unwrap();
    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), [Code::E302], "none is it");
    std::fs::remove_dir_all(path("a")).unwrap();
    std::fs::remove_dir_all(path("e")).unwrap();
    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), [Code::E008], "it verifies and is another");
}

#[test]
fn a_broken_copy_in_the_middle_of_a_chain_does_not_count() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let first = closed();
    first.write_to(&path("first"));
    let mut second = successor(&first, first.log.lines.len());
    let data = r#"{"n":2}"#;
    second.log.add("genesis", 1, "com.provara.vault.seal", data);
    second.seal();
    second.write_to(&path("second"));
    successor(&second, 2).write_to(&path("third"));
    second.edit("identity/genesis.json", "golden", "g0lden");
    second.seal_files();
    second.write_to(&path("a-second"));
    let report = verify(&path("third"), Some(home.path()));
    assert_eq!(codes(&report), []);
    let verifies = |note: &&String| note.starts_with("the predecessor '");
    assert_eq!(report.notes().iter().filter(verifies).count(), 2);
}

#[test]
fn a_redaction_after_the_closing_event_keeps_what_a_successor_names() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let mut first = closed();
    let (events, closing) = (first.log.lines.len() as u64, *first.log.ids.last().unwrap());
    let before = first.log.whole_verdict();
    let target = first.log.ids[4];
    let named = |tree_root: String| {
        let said = format!(
            r#"{{"final_event_count":{events},"merkle_root":"{}","seal_event_id":"{closing}","tree_root":"{tree_root}","tree_size":{events}}}"#,
            Digest::of(b"the root before the redaction")
        );
        successor_that_says(&said)
    };
    let payload = format!(
        r#"{{"authority":"a","reason":"r","reason_detail":"","redaction_method":"tombstone","target_event_id":"{target}"}}"#
    );
    first.log.add("alice", 2, "com.provara.redaction", &payload);
    first.seal();
    first.write_to(&path("first"));
    named(before.tree.root().to_string()).write_to(&path("second"));
    let report = verify(&path("second"), Some(home.path()));
    assert_eq!(codes(&report), [Code::W013], "{:?}", report.findings());
    named(Digest::of(b"another").to_string()).write_to(&path("third"));
    let report = verify(&path("third"), Some(home.path()));
    assert!(codes(&report).contains(&Code::E008));
}
