//! A disk that fails at every step of an append or a merge: each failure is an error, leaves the vault as it
//! was or with something that the next append puts right, and loses nothing acknowledged.

use crate::common::disk::{EIO, ENOSPC, Failing};
use crate::common::{Fixture, note, picture, strict};
use provara_vault::writer::LogWriter;
use provara_vault::{ErrorClass, MergeOptions, Vault, VaultError};

#[test]
fn every_step_may_fail() {
    for (errno, forever) in [(ENOSPC, false), (EIO, false), (EIO, true)] {
        let mut unchanged = 0;
        let mut lagging = 0;
        for at in 0.. {
            let fixture = Fixture::new();
            let acknowledged = fixture
                .vault
                .append(&note("a", "before"), &fixture.keyfile)
                .unwrap();
            let before = picture(fixture.vault.path());
            let layer = Failing::new(at, errno, forever);
            let failing = fixture.vault.clone().with_layer(layer);
            let mut writer = match LogWriter::open(&failing) {
                Ok(writer) => writer,
                // The directories are synced before a seal is named.
                Err(error) => {
                    assert!(matches!(error, VaultError::Sync { .. }), "{error}");
                    assert_eq!(picture(fixture.vault.path()), before);
                    continue;
                }
            };
            let written = match writer.append(&note("a", "x"), &fixture.keyfile) {
                Ok(_) => {
                    assert!(
                        at >= 17,
                        "an append has seventeen steps, and each failed once"
                    );
                    break;
                }
                Err(VaultError::SealLags { event_id, line, .. }) => {
                    lagging += 1;
                    assert_eq!(line, 4);
                    Some(event_id)
                }
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::CouldNot, "{error}");
                    None
                }
            };
            // A sync that failed, and what cannot be taken back, stop the writer for good.
            let again = writer.append(&note("a", "y"), &fixture.keyfile);
            drop(writer);
            if written.is_some() {
                assert!(
                    matches!(again, Err(VaultError::Stopped)),
                    "step {at}: {again:?}"
                );
            } else if picture(fixture.vault.path()) == before {
                unchanged += 1;
            }
            let receipt = fixture
                .vault
                .append(&note("a", "after"), &fixture.keyfile)
                .unwrap();
            let report = fixture.vault.verify(&strict()).unwrap();
            assert!(report.is_valid(), "step {at}: {:?}", report.findings());
            let log = String::from_utf8(fixture.log()).unwrap();
            for id in [acknowledged.event_id, receipt.event_id]
                .into_iter()
                .chain(written)
            {
                assert!(
                    log.contains(&format!("\"event_id\":\"{id}\"")),
                    "step {at}: {id} is gone"
                );
            }
        }
        // Only what fails after the log is durable leaves a mark, or what cannot be taken back.
        assert_eq!(lagging, 4, "three renames and a sync");
        let expected = if forever { 9 } else { 0 };
        assert!(unchanged >= expected, "{unchanged}");
    }
}

#[test]
fn a_failed_sync_is_not_tried_again_and_takes_the_line_back() {
    let fixture = Fixture::new();
    let before = picture(fixture.vault.path());
    // Three directories, three temporary files of three steps each, the write, and then the sync.
    let layer = Failing::once(13, EIO);
    let failing = fixture.vault.clone().with_layer(layer);
    let mut writer = LogWriter::open(&failing).unwrap();
    let error = writer
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::Sync { .. }), "{error}");
    assert_eq!(picture(fixture.vault.path()), before);
    for _ in 0..2 {
        let error = writer
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap_err();
        assert!(matches!(error, VaultError::Stopped), "{error}");
    }
}

#[test]
fn every_step_of_a_merge_may_fail() {
    for (errno, forever) in [(ENOSPC, false), (EIO, false), (EIO, true)] {
        for append_only in [false, true] {
            let options = MergeOptions {
                append_only,
                ..MergeOptions::default()
            };
            let (mut before_switch, mut after_switch) = (0, 0);
            for at in 0.. {
                let fixture = Fixture::new();
                let path = fixture.outside().join("other");
                let copied = std::process::Command::new("cp")
                    .arg("-r")
                    .args([fixture.vault.path(), &path])
                    .status()
                    .unwrap();
                assert!(copied.success());
                let other = Vault::open(&path).unwrap();
                let append = |vault: &Vault, actor| {
                    let receipt = vault.append(&note(actor, "x"), &fixture.keyfile).unwrap();
                    receipt.event_id.to_string()
                };
                let theirs = append(&other, "there");
                let ours = append(&fixture.vault, "here");
                // A checkpoint that the merge has to retire, so that this is among the steps.
                fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
                let before = fixture.log();
                let layer = Failing::new(at, errno, forever);
                let failing = fixture.vault.clone().with_layer(layer);
                let merged = match failing.merge(&other, &fixture.keyfile, &options) {
                    Ok(_) => break,
                    Err(VaultError::Interrupted { .. }) => {
                        after_switch += 1;
                        true
                    }
                    Err(error) => {
                        assert_eq!(error.class(), ErrorClass::CouldNot, "{error}");
                        assert_eq!(fixture.log(), before, "step {at}");
                        before_switch += 1;
                        false
                    }
                };
                // Either of the two commands that write puts it right.
                if at % 2 == 0 {
                    fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
                }
                let next = append(&fixture.vault, "next");
                let report = fixture.vault.verify(&strict()).unwrap();
                assert!(report.is_valid(), "step {at}: {:?}", report.findings());
                let log = String::from_utf8(fixture.log()).unwrap();
                let expected = [&ours, &next].into_iter().chain(merged.then_some(&theirs));
                for id in expected {
                    assert!(
                        log.contains(id.as_str()),
                        "step {at} {errno} {forever} {append_only}: {id} is gone"
                    );
                }
                assert_eq!(log.contains(&theirs), merged, "step {at}: half a merge");
            }
            assert!(
                before_switch >= 15 && after_switch >= 6,
                "{before_switch} {after_switch}"
            );
        }
    }
}
