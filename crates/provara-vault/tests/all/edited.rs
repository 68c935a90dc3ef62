//! A log that is mapped into memory, and that another program changes under its readers.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use provara_core::query::Query;
use provara_vault::{BatchOptions, LogWriter, SourceLog, VaultError, VerifyOptions};

use crate::common::{Fixture, note};

/// A vault whose log is larger than what is read as a whole.
fn large() -> Fixture {
    let fixture = Fixture::new();
    let text = "x".repeat(1 << 20);
    let writer = LogWriter::open(&fixture.vault).unwrap();
    let mut batch = writer.batch(&fixture.keyfile, BatchOptions::default());
    for _ in 0..18 {
        batch.append(vec![note("a", &text)]).unwrap();
    }
    batch.finish().unwrap();
    assert!(fs::metadata(fixture.vault.log_path()).unwrap().len() > 17 << 20);
    fixture
}

fn verified(fixture: &Fixture) -> SourceLog {
    let examination = fixture.vault.examine(&VerifyOptions::default()).unwrap();
    examination.verified().expect("valid").into_source()
}

fn log(fixture: &Fixture) -> File {
    let mut options = File::options();
    let options = options.read(true).write(true);
    options.open(fixture.vault.log_path()).unwrap()
}

/// Another letter in the middle of the text of an event, at the same length.
fn edit(fixture: &Fixture) {
    let log = log(fixture);
    let mut byte = [0];
    log.read_exact_at(&mut byte, 9 << 20).unwrap();
    assert_eq!(byte, *b"x");
    log.write_all_at(b"y", 9 << 20).unwrap();
}

fn cut(fixture: &Fixture) {
    log(fixture).set_len(9 << 20).unwrap();
}

/// How many events a query chooses.
fn chosen(source: &SourceLog) -> usize {
    let mut count = 0;
    source.query(&Query::default(), |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

#[test]
fn nothing_is_derived_from_a_mapped_log_that_was_edited_or_cut_since_it_verified() {
    for (change, refused) in [(edit as fn(&Fixture), true), (cut, true), (|_| (), false)] {
        let fixture = large();
        let source = verified(&fixture);
        change(&fixture);
        // Whatever stands there now, reading it ends nobody.
        assert!(chosen(&source) > 0);
        let results = [
            source.beliefs().map(drop),
            source.summary().map(drop),
            source.check_unchanged(),
        ];
        for result in results {
            match result {
                Ok(()) => assert!(!refused),
                Err(VaultError::LogChanged { path }) => {
                    assert!(refused);
                    assert_eq!(path, fixture.vault.log_path());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn what_others_append_or_do_to_a_name_changes_no_log_that_verified() {
    let fixture = large();
    let source = verified(&fixture);
    let state = source.beliefs().unwrap().to_json();
    fs::hard_link(fixture.vault.log_path(), fixture.outside().join("link")).unwrap();
    assert_eq!(source.beliefs().unwrap().to_json(), state);
    let request = note("a", "more");
    fixture.vault.append(&request, &fixture.keyfile).unwrap();
    assert_eq!(source.beliefs().unwrap().to_json(), state);
    assert_eq!(source.summary().unwrap().event_count, 20);
    // A snapshot keeps no writer out while it is held.
    let snapshot = fixture.vault.snapshot().unwrap();
    let request = note("a", "more still");
    fixture.vault.append(&request, &fixture.keyfile).unwrap();
    assert_eq!(snapshot.lines().count(), 21);
    assert_eq!(source.beliefs().unwrap().to_json(), state);
    // It is the log that verified until somebody edits it, and then it is not.
    edit(&fixture);
    assert!(matches!(
        source.beliefs(),
        Err(VaultError::LogChanged { .. })
    ));
}

#[test]
fn a_verification_of_a_log_that_is_changed_under_it_is_of_what_then_stands_there() {
    for change in [edit as fn(&Fixture), cut] {
        let fixture = Arc::new(large());
        let changed = AtomicBool::new(false);
        let under = Arc::clone(&fixture);
        let vault = fixture
            .vault
            .clone()
            .with_progress(Arc::new(move |done, total| {
                if done == total && !changed.swap(true, Ordering::Relaxed) {
                    change(&under);
                }
                ControlFlow::Continue(())
            }));
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        assert!(!report.is_valid(), "{report:?}");
        let again = fixture.vault.verify(&VerifyOptions::default()).unwrap();
        assert_eq!(report.findings(), again.findings());
    }
}

#[test]
fn a_log_that_is_changed_at_every_look_is_not_verified() {
    let fixture = Arc::new(large());
    let under = Arc::clone(&fixture);
    let vault = fixture
        .vault
        .clone()
        .with_progress(Arc::new(move |done, total| {
            if done == total {
                let log = log(&under);
                let mut byte = [0];
                log.read_exact_at(&mut byte, 9 << 20).unwrap();
                log.write_all_at(&[byte[0] ^ 1], 9 << 20).unwrap();
            }
            ControlFlow::Continue(())
        }));
    let error = vault.verify(&VerifyOptions::default()).unwrap_err();
    assert!(matches!(error, VaultError::LogChanged { .. }), "{error}");
}
