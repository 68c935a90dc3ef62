//! Every state that a crash of the real writer may leave, enumerated and not sampled.
//!
//! A recording layer notes what an operation does to the files. At each point between two changes the
//! power may go: any subset of the renames that were not synced is then on the disk, with any cut of the
//! log's unsynced end (`disk.rs`). Each such state goes to the next writer and to a repair, after which
//! it must verify strictly and hold every acknowledged event. That is done
//!
//! 1. for each operation: append, batch, rotation, checkpoint, `manifest`, an anchor, adoption, merge in both
//!    orders, redaction;
//! 2. for the crash of a second writer on each state that the first one's left;
//! 3. for a process that was killed, whose renames nobody has synced, a second writer on what it left,
//!    and then the power.
//!
//! Every state can be written out for another verifier: see `tests/seal/crash.py` and
//! `make seal-crashes`. The default run cuts the log at lines for parts 2 and 3 and tries a few
//! operations there; `CRASH_ENUMERATION=all` tries all.

#![allow(unreachable_pub)]

mod disk;
mod judging;
mod recording;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Fixture, note, rotation};
use disk::{Cuts, Disk, Files, LOG};
use judging::{Judge, Resume, Stage, Tally, files_of, ids, nothing};
use provara_core::id::{EventId, KeyId};
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::tree_head::{Origin, TreeHead};
use provara_vault::{
    AdoptOptions, BatchOptions, Cosigner, MergeOptions, RedactOptions, Vault, VerifyOptions,
    read_keyfile,
};
use recording::Recording;

/// What the operations need: made once, copied for each run.
struct Base {
    files: Files,
    keyfile: Keyfile,
    root: KeyId,
    quorum: KeyId,
    /// An event whose payload can be redacted.
    target: EventId,
    /// Another copy of the vault, with events of its own.
    other: Files,
    /// A tree head of the vault that a witness cosigned.
    cosigned: Vec<u8>,
    /// The code of what is always found.
    usual: &'static str,
}

impl Base {
    fn new() -> Self {
        let fixture = Fixture::with_quorum();
        let (root, quorum) = fixture.root_and_quorum();
        let mut keys = fixture.keyfile.keys().to_vec();
        keys.push(SigningKey::from_seed(&[5; 32]));
        let (vault, keyfile) = (&fixture.vault, Keyfile::new(keys));
        vault.append(&note("alice", "1"), &keyfile).unwrap();
        let other = crate::common::copy(vault, &fixture.outside().join("other"));
        for text in ["1", "2"] {
            other.append(&note("elsewhere", text), &keyfile).unwrap();
        }
        vault.checkpoint(&keyfile, None).unwrap();
        let target = vault.append(&note("bob", "secret"), &keyfile).unwrap();
        Self {
            files: files_of(vault.path()),
            cosigned: cosigned(vault, &keyfile),
            keyfile,
            root,
            quorum,
            target: target.event_id,
            other: files_of(other.path()),
            usual: "",
        }
    }

    /// A vault that the older tool made, with no mark; it is adopted, and nothing else.
    fn older() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/vaults.tar.xz");
        let mut archive = Vec::new();
        let packed = File::open(packed).unwrap();
        lzma_rs::xz_decompress(&mut BufReader::new(packed), &mut archive).unwrap();
        tar::Archive::new(archive.as_slice())
            .unpack(directory.path())
            .unwrap();
        let vault = directory.path().join("v_init_quorum");
        let keyfile = vault.join("identity/private_keys.json");
        let keys = read_keyfile(&keyfile).unwrap();
        fs::remove_file(keyfile).unwrap();
        let files = files_of(&vault);
        let ids = ids(&files[Path::new(LOG)]);
        Self {
            other: files.clone(),
            cosigned: Vec::new(),
            usual: "PROVARA_W007",
            files,
            root: keys.keys()[0].key_id(),
            quorum: keys.keys()[1].key_id(),
            keyfile: keys,
            target: ids.first().unwrap().parse().unwrap(),
        }
    }
}

/// A tree head of a vault, cosigned by a witness.
fn cosigned(vault: &Vault, keyfile: &Keyfile) -> Vec<u8> {
    let options = VerifyOptions {
        describe: true,
        ..VerifyOptions::default()
    };
    let examination = vault.examine(&options).unwrap();
    let subject = examination.subject().unwrap();
    let head = TreeHead {
        origin: Origin {
            uid: subject.vault_uid.clone().unwrap(),
            copy: "copy".parse().unwrap(),
        },
        size: subject.event_count,
        root: subject.tree_root,
    };
    let head = head.sign(&keyfile.keys()[0]);
    let cosigner = Cosigner::new("example.org/witness", &[7; 32]).unwrap();
    let signature = cosigner.cosign(head.note(), 1_700_000_000);
    head.signed_also(signature)
        .unwrap()
        .to_string()
        .into_bytes()
}

/// One command of an owner.
struct Operation {
    name: &'static str,
    /// Files that the owner puts in place before.
    prepared: &'static [(&'static str, &'static [u8])],
    run: fn(&Vault, &Base, &Stage) -> Result<(), String>,
    /// What the owner does after a crash before anything else, where the next writer cannot know of it.
    resume: Resume,
}

fn told<T>(result: Result<T, impl std::fmt::Display>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

fn merge(vault: &Vault, base: &Base, stage: &Stage, append_only: bool) -> Result<(), String> {
    let path = stage.outside().join("other");
    for empty in ["artifacts/cas", "state"] {
        fs::create_dir_all(path.join(empty)).unwrap();
    }
    for (name, bytes) in &base.other {
        fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
        fs::write(path.join(name), bytes).unwrap();
    }
    let options = MergeOptions {
        append_only,
        ..MergeOptions::default()
    };
    told(vault.merge(&Vault::open(&path).unwrap(), &base.keyfile, &options))
}

const ARTIFACT: &[(&str, &[u8])] = &[("artifacts/a.bin", b"artifact")];

const OPERATIONS: [Operation; 10] = [
    Operation {
        name: "append",
        prepared: &[],
        run: |vault, base, _| told(vault.append(&note("alice", "2"), &base.keyfile)),
        resume: nothing,
    },
    Operation {
        name: "batch",
        prepared: &[],
        run: |vault, base, _| {
            let names = ["alice", "carol", "alice", "bob", "dora", "carol"];
            let batch = names.map(|name| note(name, "batch")).to_vec();
            let options = BatchOptions {
                group: 2,
                seal_interval: std::time::Duration::ZERO,
                ..BatchOptions::default()
            };
            told(vault.append_many(batch, &base.keyfile, options))
        },
        resume: nothing,
    },
    Operation {
        name: "rotation",
        prepared: &[],
        run: |vault, base, _| {
            let new = SigningKey::from_seed(&[5; 32]);
            for request in rotation(base.root, &new, base.quorum) {
                told(vault.append(&request, &base.keyfile))?;
            }
            Ok(())
        },
        resume: nothing,
    },
    Operation {
        name: "checkpoint",
        prepared: &[],
        run: |vault, base, _| told(vault.checkpoint(&base.keyfile, None)),
        resume: nothing,
    },
    Operation {
        name: "manifest",
        prepared: ARTIFACT,
        run: |vault, base, _| told(vault.manifest(Some(&base.keyfile))),
        // Until the command has left its intent, the vault holds a file that nobody has listed.
        resume: |vault, keyfile| told(vault.manifest(Some(keyfile))),
    },
    Operation {
        name: "anchor",
        prepared: &[],
        run: |vault, base, _| told(vault.add_anchor(&base.keyfile, None, &base.cosigned, &[])),
        resume: nothing,
    },
    Operation {
        name: "adoption",
        prepared: &[],
        run: |vault, base, _| told(vault.adopt(&base.keyfile, &AdoptOptions::default())),
        resume: nothing,
    },
    Operation {
        name: "merge, append-only",
        prepared: &[],
        run: |vault, base, stage| merge(vault, base, stage, true),
        resume: nothing,
    },
    Operation {
        name: "merge, rewritten",
        prepared: &[],
        run: |vault, base, stage| merge(vault, base, stage, false),
        resume: nothing,
    },
    Operation {
        name: "redaction",
        prepared: &[],
        run: |vault, base, _| {
            let options = RedactOptions {
                reason: "OTHER".to_owned(),
                ..RedactOptions::default()
            };
            told(vault.redact(base.target, &base.keyfile, &options))
        },
        resume: nothing,
    },
];

/// A disk with the vault before an operation, and a stage with the same, on which one append was made so
/// that what writers keep outside the vault is there.
fn begin(base: &Base, operation: &Operation) -> (Stage, Disk) {
    let stage = Stage::new(&base.files);
    stage
        .vault()
        .append(&note("warm", "up"), &base.keyfile)
        .unwrap();
    for (path, bytes) in operation.prepared {
        fs::write(stage.path().join(path), bytes).unwrap();
    }
    let files = files_of(&stage.path());
    let promised = ids(&files[Path::new(LOG)]);
    (stage, Disk::new(&files, promised))
}

/// Runs an operation to its end; gives the disk at its start and after each change.
fn points(base: &Base, operation: &Operation) -> Vec<Disk> {
    let (stage, mut disk) = begin(base, operation);
    let layer = Recording::new(&stage.path());
    (operation.run)(&stage.recorded(&layer), base, &stage).unwrap();
    let log = fs::read(stage.path().join(LOG)).unwrap();
    layer.acknowledge(ids(&log).into_iter().collect());
    let mut points = vec![disk.clone()];
    for change in layer.changes() {
        disk.apply(&change);
        points.push(disk.clone());
    }
    points
}

/// The second writer on a stage; gives the disk after each of its changes.
fn second(stage: &Stage, base: &Base, mut disk: Disk, resume: Resume) -> Vec<Disk> {
    let layer = Recording::new(&stage.path());
    let vault = stage.recorded(&layer);
    let went = resume(&vault, &base.keyfile).and_then(|()| {
        let request = note("second", "writer");
        vault
            .append(&request, &base.keyfile)
            .map_err(|error| error.to_string())
    });
    if let Ok(receipt) = went {
        layer.acknowledge(vec![receipt.event_id.to_string()]);
    }
    // A refusal is found where the state itself is judged.
    let mut points = vec![disk.clone()];
    for change in layer.changes() {
        disk.apply(&change);
        points.push(disk.clone());
    }
    points
}

/// Does the work of each item, on all cores.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

fn show(name: &str, part: &str, tally: Mutex<Tally>) -> (usize, Vec<String>) {
    let tally = tally.into_inner().unwrap();
    println!(
        "{name}: {part}: {} states, {} rejected until the next command, {} lost",
        tally.states,
        tally.rejected,
        tally.failures.len()
    );
    let failures = tally.failures.into_iter().take(3);
    let failures = failures.map(|problem| format!("{name}: {part}: {problem}"));
    (tally.states, failures.collect())
}

fn enumerate(base: &Base, operation: &Operation, twice: bool) -> (usize, Vec<String>) {
    let title = match base.usual {
        "" => operation.name.to_owned(),
        _ => format!("{} of an older vault", operation.name),
    };
    let judge = Judge::new(&base.keyfile, base.usual, &title);
    let points = points(base, operation);
    let most = points.iter().map(Disk::pending).max();
    println!(
        "{}: {} changes, at most {} renames pending",
        operation.name,
        points.len() - 1,
        most.unwrap_or_default()
    );
    let tally = Mutex::default();
    each(&points, |disk| {
        judge.all(&disk.states(Cuts::Every), disk, operation.resume, &tally);
    });
    let (mut states, mut failures) = show(operation.name, "one crash", tally);
    if twice {
        let tally = Mutex::default();
        let left: Vec<(Files, BTreeSet<String>)> = points
            .iter()
            .flat_map(|disk| {
                let states = disk.states(Cuts::Lines);
                states
                    .into_iter()
                    .map(|files| (files, disk.promised.clone()))
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        each(&left, |(files, promised)| {
            let stage = Stage::new(files);
            let disk = Disk::new(files, promised.clone());
            for disk in second(&stage, base, disk, operation.resume) {
                judge.all(&disk.states(Cuts::Lines), &disk, operation.resume, &tally);
            }
        });
        let (more, failed) = show(operation.name, "a second writer's crash", tally);
        states += more;
        failures.extend(failed);
        let tally = Mutex::default();
        let kills: Vec<usize> = (0..points.len() - 1).collect();
        each(&kills, |kill| {
            let (stage, mut disk) = begin(base, operation);
            let layer = Recording::killed_after(&stage.path(), *kill);
            // It fails, or had nothing more to do.
            let _ = (operation.run)(&stage.recorded(&layer), base, &stage);
            for change in layer.changes() {
                disk.apply(&change);
            }
            for disk in second(&stage, base, disk, operation.resume) {
                judge.all(&disk.states(Cuts::Lines), &disk, operation.resume, &tally);
            }
        });
        let (more, failed) = show(operation.name, "killed, a second writer, the power", tally);
        states += more;
        failures.extend(failed);
    }
    (states, failures)
}

#[test]
fn no_crash_state_is_lost() {
    let all = std::env::var("CRASH_ENUMERATION").is_ok_and(|which| which == "all");
    let base = Base::new();
    let (mut states, mut failures) = (0, Vec::new());
    for operation in &OPERATIONS {
        let twice = all || matches!(operation.name, "append" | "checkpoint");
        let (more, failed) = enumerate(&base, operation, twice);
        states += more;
        failures.extend(failed);
    }
    println!("{states} states");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(states > 3000);
}

/// Adoption of a vault that the older tool made, which has no mark.
#[test]
fn no_crash_state_of_an_older_vault_is_lost() {
    let base = Base::older();
    let operation = OPERATIONS
        .iter()
        .find(|operation| operation.name == "adoption")
        .unwrap();
    let (states, failures) = enumerate(&base, operation, true);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(states > 50);
}
