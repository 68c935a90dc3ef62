//! The judged vaults: each gives the result that its index names, with the code that its fault has
//! and nothing that does not follow from it.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use common::{codes, picture};
use provara_vault::{Vault, VerifyOptions};

/// What each invalid vault, and each with a warning of its own, must be found guilty of, beside the
/// warnings that all of them share with the vault they were made from.
const FAULTS: &[(&str, &[&str])] = &[
    ("v_successor", &["E004", "E204", "E006", "W008"]),
    ("x_blank_line", &["E104"]),
    ("x_checkpoint_no_manifest", &["E302"]),
    ("x_duplicate_event", &["E007"]),
    ("x_duplicate_json_key", &["E104"]),
    ("x_forked_chain", &["E002"]),
    ("x_last_event_deleted", &["E011"]),
    // What follows from a line that cannot be read: its successor has no predecessor.
    ("x_malformed_json_middle", &["E104", "E006"]),
    ("x_manifest_path_traversal", &["E302"]),
    ("x_manifest_stale", &["E011"]),
    ("x_no_final_newline", &["W006"]),
    ("x_non_utf8_byte", &["E104", "E006"]),
    ("x_noncanonical_whitespace", &["E104"]),
    ("x_other_actors_key", &["W003"]),
    ("x_payload_edited", &["E004", "E003"]),
    ("x_payload_edited_resigned", &["E004"]),
    ("x_phantom_file", &["E302"]),
    ("x_prev_missing", &["E006"]),
    ("x_sig_removed", &["E300"]),
    ("x_trailing_garbage", &["E104"]),
    ("x_truncated_last_line", &["E104", "W006"]),
    ("x_unknown_key", &["E204"]),
];

/// Older forms, and a signature that no longer covers the seal: what existing tools leave.
const SHARED: [&str; 2] = ["PROVARA_W007", "PROVARA_W001"];

fn corpus() -> (tempfile::TempDir, BTreeMap<String, String>) {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let directory = tempfile::tempdir().unwrap();
    let mut archive = Vec::new();
    let packed = File::open(source.join("vaults.tar.xz")).unwrap();
    lzma_rs::xz_decompress(&mut BufReader::new(packed), &mut archive).unwrap();
    tar::Archive::new(archive.as_slice())
        .unpack(directory.path())
        .unwrap();
    let index = std::fs::read_to_string(source.join("INDEX.tsv")).unwrap();
    let verdicts = index.lines().skip(1).map(|line| {
        let mut fields = line.split('\t');
        let (name, verdict) = (fields.next().unwrap(), fields.next().unwrap());
        (name.to_owned(), verdict.to_owned())
    });
    (directory, verdicts.collect())
}

#[test]
fn every_vault_gets_its_verdict_and_nothing_is_written() {
    let (directory, verdicts) = corpus();
    assert_eq!(verdicts.len(), 34);
    for (name, verdict) in verdicts {
        let path = directory.path().join(&name);
        let before = picture(&path);
        let vault = Vault::open(&path).unwrap();
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        assert_eq!(
            report.is_valid(),
            verdict != "invalid",
            "{name}: {:?}",
            codes(&report)
        );
        let found: Vec<_> = codes(&report)
            .into_iter()
            .filter(|code| !SHARED.contains(&code.as_str()))
            .collect();
        let fault = FAULTS
            .iter()
            .find(|(vault, _)| *vault == name)
            .map_or(&[][..], |fault| fault.1);
        let expected: Vec<_> = fault.iter().map(|code| format!("PROVARA_{code}")).collect();
        assert_eq!(found, expected, "{name}");

        for threads in [1, 3] {
            let options = VerifyOptions {
                threads: Some(threads),
                ..VerifyOptions::default()
            };
            assert_eq!(
                vault.verify(&options).unwrap(),
                report,
                "{name} on {threads} threads"
            );
        }
        let strict = VerifyOptions {
            strict: true,
            ..VerifyOptions::default()
        };
        assert_eq!(
            vault.verify(&strict).unwrap().is_valid(),
            report.findings().is_empty(),
            "{name}, strictly"
        );
        assert_eq!(picture(&path), before, "{name}");
    }
}
