//! The judged vaults: each gives the result that its index names, with the code that its fault has
//! and nothing that does not follow from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::common::{codes, picture};
use provara_core::finding::Finding;
use provara_vault::{Vault, VerifyOptions};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus");

/// What most vaults have: older forms, and a signature that no longer covers the seal. It counts only
/// where it is listed.
const COMMON: [&str; 3] = ["PROVARA_W007", "PROVARA_W001", "PROVARA_W009"];

/// A finding as the table of codes has it: the code, the line or nothing, the file.
type Row = [String; 3];

fn corpus() -> (tempfile::TempDir, BTreeMap<String, String>) {
    let directory = tempfile::tempdir().unwrap();
    let mut archive = Vec::new();
    let packed = File::open(Path::new(CORPUS).join("vaults.tar.xz")).unwrap();
    lzma_rs::xz_decompress(&mut BufReader::new(packed), &mut archive).unwrap();
    tar::Archive::new(archive.as_slice())
        .unpack(directory.path())
        .unwrap();
    let verdicts = table("INDEX.tsv")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()));
    (directory, verdicts.collect())
}

/// The rows of a table beside the vaults, without its head.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(CORPUS).join(name)).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|row| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// What the table of codes says of each vault that has a fault, in the order of a report.
fn faults() -> BTreeMap<String, Vec<Row>> {
    let mut faults = BTreeMap::<_, Vec<Row>>::new();
    for row in table("CODES.tsv") {
        let [name, code, line, file, _role] = row.try_into().unwrap();
        faults.entry(name).or_default().push([code, line, file]);
    }
    faults
}

fn row(finding: &Finding) -> Row {
    [
        finding.code.to_string(),
        finding
            .line
            .map_or_else(String::new, |line| line.to_string()),
        finding.file.clone(),
    ]
}

#[test]
fn every_vault_gets_its_verdict_and_nothing_is_written() {
    let (directory, verdicts) = corpus();
    assert_eq!(verdicts.len(), 34);
    let mut faults = faults();
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
        let expected = faults.remove(&name).unwrap_or_default();
        let mut found: Vec<_> = report.findings().iter().map(row).collect();
        found.retain(|row| !COMMON.contains(&row[0].as_str()) || expected.contains(row));
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
    assert!(faults.is_empty(), "of no vault: {faults:?}");
}
