//! A log, or a vault, that another program changes under the lock of a writer: the writer stops with one
//! error, acknowledges nothing that is not in the log, and changes nothing of what stands there then.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::common::disk::Beside;
use crate::common::{Fixture, copy, note, picture};
use provara_core::keys::Keyfile;
use provara_vault::{
    AppendReceipt, BatchOptions, LogWriter, Loss, MergeOptions, Vault, VaultError, VerifyOptions,
    layout, read_keyfile,
};

/// What another program does to a vault at a path; `older` is an earlier state of it.
type Act = fn(vault: &Path, older: &Path);

/// Whether an error says what was done.
type Says = fn(&Loss) -> bool;

/// What is done, what the error says of it, and whether another vault then stands there.
const ACTS: [(&str, Act, Says, bool); 9] = [
    (
        "the log is replaced, as by mv, an editor, or git checkout",
        |vault, older| {
            let new = vault.with_file_name("new-log");
            fs::copy(older.join(layout::LOG), &new).unwrap();
            fs::rename(new, vault.join(layout::LOG)).unwrap();
        },
        |loss| *loss == Loss::Replaced,
        false,
    ),
    (
        "the log is replaced by a copy of itself",
        |vault, _| {
            let new = vault.with_file_name("new-log");
            fs::copy(vault.join(layout::LOG), &new).unwrap();
            fs::rename(new, vault.join(layout::LOG)).unwrap();
        },
        |loss| *loss == Loss::Replaced,
        false,
    ),
    (
        "the log is removed",
        |vault, _| fs::remove_file(vault.join(layout::LOG)).unwrap(),
        |loss| *loss == Loss::Removed,
        false,
    ),
    (
        "the log is cut",
        |vault, _| {
            let log = File::options().write(true).open(vault.join(layout::LOG));
            log.unwrap().set_len(7).unwrap();
        },
        // What was to be appended may stand there then.
        |loss| matches!(loss, Loss::Length { known, found } if found < known),
        false,
    ),
    (
        "another program writes to the log",
        |vault, _| {
            let log = File::options().append(true).open(vault.join(layout::LOG));
            log.unwrap().write_all(b"{\"a\":1}\n").unwrap();
        },
        |loss| matches!(loss, Loss::Length { known, found } if known + 8 == *found),
        false,
    ),
    (
        "another program edits the log in place",
        |vault, _| {
            // Later than the writer's own last change, as the clock of the file system tells it.
            thread::sleep(Duration::from_millis(20));
            let log = File::options().write(true).open(vault.join(layout::LOG));
            log.unwrap().write_all_at(b"!", 40).unwrap();
        },
        |loss| *loss == Loss::Edited,
        false,
    ),
    (
        "the directory is moved away",
        |vault, _| fs::rename(vault, vault.with_file_name("away")).unwrap(),
        |loss| *loss == Loss::DirectoryRemoved,
        false,
    ),
    (
        "the directory is removed",
        |vault, _| fs::remove_dir_all(vault).unwrap(),
        |loss| *loss == Loss::DirectoryRemoved,
        false,
    ),
    (
        "an earlier state is restored in its place",
        |vault, older| {
            fs::rename(vault, vault.with_file_name("away")).unwrap();
            fs::rename(older, vault).unwrap();
        },
        |loss| *loss == Loss::DirectoryReplaced,
        true,
    ),
];

/// A vault with a few events, an earlier state of it, and a copy with events of its own.
struct Home {
    _directory: tempfile::TempDir,
    vault: Vault,
    keyfile: Keyfile,
    older: PathBuf,
    other: Vault,
}

impl Home {
    /// A copy of the first one.
    fn new() -> Self {
        static FIRST: OnceLock<Fixture> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let first = Fixture::new();
            let append = |vault: &Vault, actor: &str| {
                vault.append(&note(actor, "1"), &first.keyfile).unwrap();
            };
            copy(&first.vault, &first.outside().join("older"));
            append(&first.vault, "here");
            let other = copy(&first.vault, &first.outside().join("other"));
            append(&first.vault, "here");
            append(&other, "there");
            first
        });
        // Hundreds of them: in memory, where the system has that.
        let memory = tempfile::tempdir_in("/dev/shm");
        let directory = memory.or_else(|_| tempfile::tempdir()).unwrap();
        let copied = |name| {
            let from = Vault::open(&first.outside().join(name)).unwrap();
            copy(&from, &directory.path().join(name))
        };
        Self {
            vault: copied("vault").with_state_directory(directory.path().join("state")),
            keyfile: read_keyfile(&first.receipt.keyfile).unwrap(),
            older: copied("older").path().to_owned(),
            other: copied("other"),
            _directory: directory,
        }
    }
}

/// An operation, with the receipts that it had given when it ended.
type Operation = fn(&Home, &Vault) -> (Vec<AppendReceipt>, Result<(), VaultError>);

const OPERATIONS: [(&str, Operation); 8] = [
    ("append", |home, vault| {
        match vault.append(&note("a", "x"), &home.keyfile) {
            Ok(receipt) => (vec![receipt], Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        }
    }),
    ("batch", |home, vault| {
        let options = BatchOptions {
            group: 2,
            seal_interval: Duration::ZERO,
            ..BatchOptions::default()
        };
        let writer = match LogWriter::open_with(vault, &home.keyfile) {
            Ok(writer) => writer,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut batch = writer.batch(&home.keyfile, options);
        let mut receipts = Vec::new();
        for number in 0..6 {
            let taken = batch.append(vec![note("a", &number.to_string())]);
            receipts.extend(batch.take_receipts());
            if let Err(rejected) = taken {
                let error = batch.finish().unwrap_err();
                assert!(matches!(error, VaultError::Stopped), "{error}");
                assert!(batch.take_receipts().is_empty());
                return (receipts, Err(rejected.error));
            }
        }
        let finished = batch.finish();
        receipts.extend(batch.take_receipts());
        (receipts, finished.map(drop))
    }),
    ("an atomic batch", |home, vault| {
        let options = BatchOptions {
            atomic: true,
            ..BatchOptions::default()
        };
        let requests = (0..4).map(|number| note("a", &number.to_string()));
        match vault.append_many(requests.collect(), &home.keyfile, options) {
            Ok(receipts) => (receipts, Ok(())),
            Err(rejected) => (Vec::new(), Err(rejected.error)),
        }
    }),
    ("checkpoint", |home, vault| {
        let made = vault.checkpoint(&home.keyfile, None);
        (Vec::new(), made.map(drop))
    }),
    ("manifest", |home, vault| {
        fs::create_dir_all(vault.path().join("artifacts")).unwrap();
        fs::write(vault.path().join("artifacts/new"), b"new").unwrap();
        let made = vault.manifest(Some(&home.keyfile));
        (Vec::new(), made.map(drop))
    }),
    ("merge", |home, vault| {
        let merged = vault.merge(&home.other, &home.keyfile, &MergeOptions::default());
        (Vec::new(), merged.map(drop))
    }),
    ("an appending merge", |home, vault| {
        let options = MergeOptions {
            append_only: true,
            ..MergeOptions::default()
        };
        let merged = vault.merge(&home.other, &home.keyfile, &options);
        (Vec::new(), merged.map(drop))
    }),
    ("the import of a delta", |home, vault| {
        let log = home.other.snapshot().unwrap().unverified();
        let (header, events) = home.other.delta(&log, None).unwrap().unwrap();
        let bundle = [&header[..], events].concat();
        let options = MergeOptions::default();
        let imported = vault.import_delta(&bundle, &home.keyfile, &options);
        (Vec::new(), imported.map(drop))
    }),
];

#[test]
fn whatever_another_program_does_a_writer_stops_and_acknowledges_nothing_that_is_not_there() {
    for (operation_name, operation) in OPERATIONS {
        let home = Home::new();
        let counting = Beside::new(u32::MAX, || {});
        let vault = home.vault.clone().with_layer(counting.clone());
        let (_, done) = operation(&home, &vault);
        done.unwrap();
        // All of the calls of an append, and of the others a third with each act: it takes long.
        let step = match operation_name {
            "append" => 1,
            _ => 3,
        };
        for (number, (act_name, act, is_it, replaces)) in ACTS.into_iter().enumerate() {
            for at in (0..counting.calls()).skip(number % step).step_by(step) {
                let case = format!("{operation_name}, {act_name}, before call {at}");
                let home = Home::new();
                let path = home.vault.path().to_owned();
                let older = picture(&home.older);
                let declared = Arc::new(AtomicBool::new(false));
                let beside = Beside::new(at, {
                    let (path, older) = (path.clone(), home.older.clone());
                    let declared = Arc::clone(&declared);
                    move || {
                        let intent = path.join(layout::MERGE_INTENT);
                        let is_declared = intent.exists();
                        declared.store(is_declared, Relaxed);
                        act(&path, &older);
                        if replaces && !is_declared {
                            // The other's own, and nobody else's to take away.
                            fs::write(intent, b"another's").unwrap();
                        }
                    }
                });
                let vault = home.vault.clone().with_layer(Arc::clone(&beside) as _);
                let (receipts, done) = operation(&home, &vault);
                // The calls of a batch are not the same each time.
                if beside.calls() <= at {
                    done.unwrap();
                    continue;
                }
                // Nobody can tell the one write from the other by the log's times; a verification reads.
                if act_name.contains("in place") && beside.before_a_write() && done.is_ok() {
                    let report = home.vault.verify(&VerifyOptions::default()).unwrap();
                    assert!(!report.is_valid(), "{case}");
                    continue;
                }
                match done.expect_err(&case) {
                    VaultError::LogLost {
                        loss, acknowledged, ..
                    } => {
                        assert!(is_it(&loss), "{case}: {loss:?}");
                        assert_eq!(acknowledged, receipts.len() as u64, "{case}");
                    }
                    other => panic!("{case}: {other}"),
                }
                if !declared.load(Relaxed) {
                    let intent = path.join(layout::MERGE_INTENT);
                    assert_eq!(intent.exists(), replaces, "{case}");
                    let _ = fs::remove_file(intent);
                }
                if replaces {
                    let there: Vec<_> = picture(&path)
                        .into_iter()
                        .map(|(file, mode, bytes)| {
                            let file = home.older.join(file.strip_prefix(&path).unwrap());
                            (file, mode, bytes)
                        })
                        .collect();
                    assert_eq!(there.len(), older.len(), "{case}");
                    for (there, older) in there.iter().zip(&older) {
                        assert_eq!(there.0.file_name(), older.0.file_name(), "{case}");
                        assert!(there == older, "{case}: {:?} has changed", older.0);
                    }
                }
            }
        }
    }
}

#[test]
fn a_directory_that_was_replaced_under_a_writer_is_noticed() {
    let mut lost = 0;
    for at in 0.. {
        let fixture = Fixture::new();
        fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
        fixture
            .vault
            .append(&note("a", "x"), &fixture.keyfile)
            .unwrap();
        let checkpoints = fixture.file("checkpoints");
        let away = fixture.outside().join("away");
        let beside = Beside::new(at, {
            let (checkpoints, away) = (checkpoints.clone(), away.clone());
            move || {
                fs::rename(&checkpoints, &away).unwrap();
                fs::create_dir(&checkpoints).unwrap();
                let first = "0000000002.chk";
                fs::copy(away.join(first), checkpoints.join(first)).unwrap();
            }
        });
        let vault = fixture.vault.clone().with_layer(Arc::clone(&beside) as _);
        let done = vault.checkpoint(&fixture.keyfile, None);
        if beside.calls() <= at {
            done.unwrap();
            break;
        }
        let made = |directory: &Path| directory.join("0000000003.chk").exists();
        match done {
            Ok(_) => assert!(made(&checkpoints) != made(&away), "before call {at}"),
            Err(VaultError::LogLost { loss, .. }) => {
                lost += 1;
                assert_eq!(loss, Loss::DirectoryReplaced);
                assert!(!made(&checkpoints) && !made(&away), "before call {at}");
            }
            Err(other) => panic!("before call {at}: {other}"),
        }
    }
    assert!(lost > 0);
}

#[test]
fn what_changes_the_times_of_a_log_alone_stops_no_writer() {
    let fixture = Fixture::new();
    let mut writer = LogWriter::open(&fixture.vault).unwrap();
    let log = File::options().write(true).open(fixture.vault.log_path());
    let log = log.unwrap();
    for number in 0..3 {
        writer
            .append(&note("a", &number.to_string()), &fixture.keyfile)
            .unwrap();
        thread::sleep(Duration::from_millis(20));
        log.set_modified(std::time::SystemTime::now()).unwrap();
    }
}
