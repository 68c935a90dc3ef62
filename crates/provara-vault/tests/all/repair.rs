//! Repairing: what an interruption leaves is put right, and evidence stays.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::common::{Fixture, note, picture, reseal, verifies};
use provara_vault::{Damage, VaultError};

fn append_raw(fixture: &Fixture, bytes: &[u8]) {
    let mut log = OpenOptions::new()
        .append(true)
        .open(fixture.vault.log_path())
        .unwrap();
    log.write_all(bytes).unwrap();
}

/// Says what a dry run finds, that it wrote nothing, and that the repair does the same and no more.
#[track_caller]
fn repairs(fixture: &Fixture, expected: &[Damage]) {
    let before = picture(fixture.vault.path());
    let planned = fixture.vault.repair(None, true).unwrap();
    assert!(planned.dry_run);
    assert_eq!(before, picture(fixture.vault.path()), "a dry run wrote");
    let mut kinds: Vec<_> = planned.steps.iter().map(|step| step.damage).collect();
    assert_eq!(kinds, expected, "{:?}", planned.steps);
    let done = fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
    let mut found: Vec<_> = done.steps.iter().map(|step| step.damage).collect();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    found.sort_by_key(|kind| format!("{kind:?}"));
    assert_eq!(found, kinds);
    verifies(&fixture.vault);
    let again = fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
    assert!(again.steps.is_empty(), "{:?}", again.steps);
}

/// A vault whose log has one event more than its seal.
fn lagging() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .vault
        .append(&note("a", "1"), &fixture.keyfile)
        .unwrap();
    let seal: Vec<_> = ["manifest.json", "manifest.sig", "merkle_root.txt"]
        .iter()
        .map(|name| (fixture.file(name), fs::read(fixture.file(name)).unwrap()))
        .collect();
    fixture
        .vault
        .append(&note("a", "2"), &fixture.keyfile)
        .unwrap();
    for (path, bytes) in seal {
        fs::write(path, bytes).unwrap();
    }
    fixture
}

#[test]
fn a_vault_at_rest_needs_nothing_and_is_left_alone() {
    let fixture = Fixture::new();
    let before = picture(fixture.vault.path());
    repairs(&fixture, &[]);
    assert_eq!(before, picture(fixture.vault.path()));
}

#[test]
fn a_torn_tail_is_moved_out_and_kept() {
    let fixture = Fixture::new();
    let whole = fixture.log();
    append_raw(&fixture, b"{\"actor\":\"half an ev");
    repairs(&fixture, &[Damage::TornTail]);
    assert_eq!(fixture.log(), whole);
    assert_eq!(fixture.kept(), [b"{\"actor\":\"half an ev"]);
}

#[test]
fn a_lagging_seal_is_brought_up_to_date() {
    let fixture = lagging();
    let steps = fixture.vault.repair(None, true).unwrap().steps;
    let log = fixture.log();
    let last = log.split_inclusive(|byte| *byte == b'\n').next_back();
    let behind = format!("by {} bytes", last.unwrap().len());
    assert!(steps[0].text.contains(&behind), "{behind}: {steps:?}");
    repairs(&fixture, &[Damage::LaggingSeal]);
    let torn = lagging();
    append_raw(&torn, b"{");
    repairs(&torn, &[Damage::TornTail, Damage::LaggingSeal]);
    let open = lagging();
    let log = open.log();
    fs::write(open.vault.log_path(), &log[..log.len() - 1]).unwrap();
    repairs(&open, &[Damage::LineEnd, Damage::LaggingSeal]);
    assert_eq!(open.log(), log);
}

#[test]
fn a_last_line_that_was_sealed_without_its_end_stays_as_it_is() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let open = log.strip_suffix(b"\n").unwrap();
    fs::write(fixture.vault.log_path(), open).unwrap();
    reseal(&fixture.vault, &fixture.keyfile.keys()[0]);
    let before = picture(fixture.vault.path());
    let repaired = fixture.vault.repair(Some(&fixture.keyfile), false).unwrap();
    assert!(repaired.steps.is_empty(), "{:?}", repaired.steps);
    assert_eq!(picture(fixture.vault.path()), before);
}

#[test]
fn small_files_of_the_seal_and_leftovers() {
    let fixture = Fixture::new();
    fs::write(fixture.file("merkle_root.txt"), "0".repeat(64) + "\n").unwrap();
    repairs(&fixture, &[Damage::LaggingSeal]);
    for directory in ["", "identity", "events", "policies"] {
        let name = ".provara-tmp-0123456789abcdef01234567";
        fs::write(fixture.file(directory).join(name), b"half").unwrap();
    }
    repairs(&fixture, &[Damage::Leftover; 4]);
}

#[test]
fn without_a_key_a_marked_vault_is_not_sealed() {
    let fixture = lagging();
    let before = picture(fixture.vault.path());
    let error = fixture.vault.repair(None, false).unwrap_err();
    assert!(matches!(error, VaultError::Unsigned), "{error}");
    assert_eq!(before, picture(fixture.vault.path()));
    // What needs no seal needs no key.
    let fixture = Fixture::new();
    let name = ".provara-tmp-0123456789abcdef01234567";
    fs::write(fixture.file(name), b"half").unwrap();
    let receipt = fixture.vault.repair(None, false).unwrap();
    assert_eq!(receipt.signed_by, None);
    assert_eq!(receipt.steps.len(), 1);
    verifies(&fixture.vault);
}

#[test]
fn evidence_is_never_repaired() {
    let refuses = |fixture: &Fixture, expected: fn(&VaultError) -> bool| {
        let before = picture(fixture.vault.path());
        for dry_run in [true, false] {
            let error = fixture
                .vault
                .repair(Some(&fixture.keyfile), dry_run)
                .unwrap_err();
            assert!(expected(&error), "{error}");
        }
        assert_eq!(before, picture(fixture.vault.path()));
        assert!(!fixture.state().exists());
    };
    // Half an event at the end is told from a torn tail by the seal, which covers more.
    let differs = |error: &VaultError| {
        matches!(
            error,
            VaultError::SealOfOther(_) | VaultError::BrokenLog { .. }
        )
    };
    let broken = |error: &VaultError| matches!(error, VaultError::BrokenLog { .. });

    // A seal that is ahead: the last event is gone, whole or in part.
    for cut in [1, 40] {
        let fixture = Fixture::new();
        fixture
            .vault
            .append(&note("a", "1"), &fixture.keyfile)
            .unwrap();
        let log = fixture.log();
        let end = match cut {
            1 => {
                log[..log.len() - 1]
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .unwrap()
                    + 1
            }
            cut => log.len() - cut,
        };
        fs::write(fixture.vault.log_path(), &log[..end]).unwrap();
        refuses(&fixture, differs);
    }
    // A changed byte under the seal.
    let fixture = lagging();
    let log = String::from_utf8(fixture.log()).unwrap();
    let changed = log.replacen("\"text\":\"1\"", "\"text\":\"9\"", 1);
    fs::write(fixture.vault.log_path(), changed).unwrap();
    refuses(&fixture, differs);
    // A changed event beyond the seal: whole, canonical, and not what was signed.
    let fixture = lagging();
    let log = String::from_utf8(fixture.log()).unwrap();
    let changed = log.replacen("\"text\":\"2\"", "\"text\":\"9\"", 1);
    fs::write(fixture.vault.log_path(), changed).unwrap();
    refuses(&fixture, broken);
    // Something that is no event, with a whole line after it.
    let fixture = lagging();
    let log = fixture.log();
    let last = log[..log.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    let with_break = [&log[..last], b"{\"torn\n", &log[last..]].concat();
    fs::write(fixture.vault.log_path(), with_break).unwrap();
    refuses(&fixture, broken);
}
