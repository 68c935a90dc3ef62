//! Seals that events name: which ones, that every state which a crash leaves holds together, and where names
//! cannot be made durable.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::common::disk::{Step, Watched};
use crate::common::{Fixture, codes, note, picture, strict, verifies};
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::mark::SealPolicy;
use provara_vault::{AppendRequest, BatchOptions, Vault, VaultError, VerifyOptions};

/// The events of a log.
fn events(log: &[u8]) -> Vec<Value<'static>> {
    log.split_inclusive(|byte| *byte == b'\n')
        .map(|line| json::parse(line.trim_ascii_end()).unwrap().into_owned())
        .collect()
}

fn text<'e>(event: &'e Value<'_>, name: &str) -> Option<&'e str> {
    event.get(name)?.as_str()
}

/// The name of the seal that stands in a vault.
fn seal_of(vault: &Path) -> String {
    let seal = fs::read(vault.join("manifest.sig")).unwrap();
    let seal = json::parse(&seal).unwrap();
    text(&seal, "merkle_root").unwrap()[..32].to_owned()
}

#[test]
fn a_new_vault_says_which_keys_are_its_own() {
    let fixture = Fixture::with_quorum();
    let events = events(&fixture.log());
    let payload = events[0].get("payload").unwrap();
    let policy = SealPolicy::parse(payload.get("seal_policy").unwrap()).unwrap();
    let ids: Vec<_> = policy
        .keys
        .iter()
        .map(|key| key.public_key.key_id())
        .collect();
    let (root, quorum) = fixture.root_and_quorum();
    assert_eq!(ids, [root, quorum]);
    let registry = KeyRegistry {
        keys: policy.keys.iter().map(|key| key.entry()).collect(),
        ..KeyRegistry::default()
    };
    let keys = fs::read(fixture.file("identity/keys.json")).unwrap();
    assert_eq!(registry.to_json(), keys);
    assert!(events.iter().all(|event| event.get("seal").is_none()));
}

#[test]
fn an_append_names_the_seal_that_it_found() {
    let fixture = Fixture::new();
    for number in 0..3 {
        let found = seal_of(fixture.vault.path());
        let noted = note(["a", "b"][number % 2], "x");
        fixture.vault.append(&noted, &fixture.keyfile).unwrap();
        let events = events(&fixture.log());
        assert_eq!(text(&events[number + 2], "seal"), Some(&*found));
    }
    let unmarked = Fixture::unmarked(false);
    let noted = note("a", "x");
    unmarked.vault.append(&noted, &unmarked.keyfile).unwrap();
    assert!(events(&unmarked.log())[2].get("seal").is_none());
    verifies(&unmarked.vault);
}

fn many(count: usize) -> Vec<AppendRequest<'static>> {
    (0..count)
        .map(|number| note(["a", "b", "c"][number * number % 3], &number.to_string()))
        .collect()
}

#[test]
fn the_first_event_after_a_seal_names_it_and_the_others_the_line_before() {
    let fixture = Fixture::new();
    let options = BatchOptions {
        group: 5,
        seal_interval: Duration::ZERO,
        ..BatchOptions::default()
    };
    let layer = Arc::new(Watched::default());
    let vault = fixture.vault.clone().with_layer(layer.clone());
    let receipts = vault
        .append_many(many(23), &fixture.keyfile, options)
        .unwrap();
    let mut seals = vec![fixture.receipt.merkle_root];
    seals.extend(receipts.iter().map(|receipt| receipt.merkle_root));
    seals.dedup();
    assert_eq!(seals.len(), 6);
    let events = events(&fixture.log());
    let mut last = 0;
    for (at, receipt) in receipts.iter().enumerate() {
        let event = &events[at + 2];
        let covered = seals.iter().position(|root| *root == receipt.merkle_root);
        let covered = covered.expect("one of the seals");
        let is_first = covered != std::mem::replace(&mut last, covered);
        let name = seals[covered - 1].to_string()[..32].to_owned();
        assert_eq!(text(event, "seal"), is_first.then_some(&*name), "{at}");
        let before = text(&events[at + 1], "event_id");
        let bound = is_first || text(event, "prev_event_hash") == before;
        assert_eq!(text(event, "after"), before.filter(|_| !bound), "{at}");
    }
    assert_eq!(verifies(&fixture.vault), 25);
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every state that a loss of power may leave: the surely durable files and log, with every subset of the
/// names that are on their way, and the unsynced log cut at each line end and within a line.
fn states(start: Files, steps: &[Step]) -> Vec<Files> {
    let log = PathBuf::from("events/events.ndjson");
    let mut disk = start;
    let mut written = disk[&log].clone();
    let mut renames: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut states = Vec::new();
    for step in steps {
        match step.clone() {
            Step::Append(bytes) => written.extend(bytes),
            Step::SyncLog => drop(disk.insert(log.clone(), written.clone())),
            Step::Rename(path, bytes) => renames.push((path, bytes)),
            Step::SyncDirectory(directory) => {
                let (durable, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut renames)
                    .into_iter()
                    .partition(|(path, _)| path.parent() == Some(&directory));
                renames = pending;
                disk.extend(durable);
            }
        }
        let synced = disk[&log].len();
        let mut cuts = vec![synced];
        for at in memchr::memchr_iter(b'\n', &written[synced..]) {
            cuts.extend([synced + at - 9, synced + at + 1]);
        }
        for cut in cuts {
            for subset in 0..1u32 << renames.len() {
                let mut state = disk.clone();
                state.insert(log.clone(), written[..cut].to_vec());
                let taken = renames.iter().enumerate();
                let taken = taken.filter(|(at, _)| subset >> at & 1 == 1);
                state.extend(taken.map(|(_, rename)| rename.clone()));
                states.push(state);
            }
        }
    }
    states.dedup();
    states
}

fn files_of(vault: &Path) -> Files {
    picture(vault)
        .into_iter()
        .filter(|(path, _, _)| path.is_file())
        .map(|(path, _, bytes)| (path.strip_prefix(vault).unwrap().to_owned(), bytes))
        .collect()
}

fn put(directory: &Path, files: &Files) -> Vault {
    let root = directory.join("vault");
    let _ = fs::remove_dir_all(&root);
    for (path, bytes) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    Vault::open(&root)
        .unwrap()
        .with_layer(Arc::new(Watched::default()))
        .with_state_directory(directory.join("state"))
}

/// The steps of a writer's work, with paths relative to the vault.
fn steps_of(vault: &Vault, work: impl FnOnce(&Vault)) -> Vec<Step> {
    let layer = Arc::new(Watched::default());
    work(&vault.clone().with_layer(layer.clone()));
    let strip = |path: PathBuf| path.strip_prefix(vault.path()).unwrap().to_owned();
    let steps = std::mem::take(&mut *layer.steps.lock().unwrap());
    let relative = |step| match step {
        Step::Rename(path, bytes) => Step::Rename(strip(path), bytes),
        Step::SyncDirectory(path) => Step::SyncDirectory(strip(path)),
        other => other,
    };
    steps.into_iter().map(relative).collect()
}

/// What a loss of power leaves verifies at once, unless a line was cut in two, and the next writer goes on
/// from it; and so it is again where the power goes while that writer is at work.
fn holds(directory: &Path, keyfile: &Keyfile, state: &Files, again: bool) -> usize {
    let vault = put(directory, state);
    let whole = state[Path::new("events/events.ndjson")].ends_with(b"\n");
    if whole {
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        let only_lags = codes(&report).iter().all(|code| code == "PROVARA_W001");
        assert!(report.is_valid() && only_lags, "{:?}", report.findings());
    }
    let start = files_of(vault.path());
    let steps = steps_of(&vault, |vault| {
        vault.append(&note("next", "writer"), keyfile).unwrap();
    });
    let report = vault.verify(&strict()).unwrap();
    assert!(report.is_valid(), "{:?}", report.findings());
    let mut tried = 1;
    if again && whole {
        for state in states(start, &steps) {
            tried += holds(directory, keyfile, &state, false);
        }
    }
    tried
}

#[test]
fn whatever_a_crash_leaves_of_a_batch_holds_together() {
    let fixture = Fixture::new();
    let start = files_of(fixture.vault.path());
    let options = BatchOptions {
        group: 3,
        seal_interval: Duration::ZERO,
        ..BatchOptions::default()
    };
    let steps = steps_of(&fixture.vault, |vault| {
        vault
            .append_many(many(11), &fixture.keyfile, options)
            .unwrap();
    });
    // In memory where there is such a directory: nothing here needs to be durable.
    let memory = Path::new("/dev/shm");
    let place = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    let place = tempfile::tempdir_in(place).unwrap();
    let mut tried = 0;
    for (number, state) in states(start, &steps).iter().enumerate() {
        // A second crash after some of them: each takes thirty times as long.
        tried += holds(place.path(), &fixture.keyfile, state, number % 3 == 0);
    }
    println!("{tried} states");
    assert!(tried > 400, "{tried}");
}

/// Before a line names a seal, every directory is synced in which a writer renames; and the names in one
/// directory before those in the next.
#[test]
fn directories_are_synced_in_the_order_in_which_their_names_count() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let new = provara_core::keys::SigningKey::from_seed(&[5; 32]);
    let told = |vault: &Vault, request: &AppendRequest<'_>| {
        let steps = steps_of(vault, |vault| {
            vault.append(request, &fixture.keyfile).unwrap();
        });
        let told = steps.into_iter().map(|step| match step {
            Step::Append(_) => "append".to_owned(),
            Step::SyncLog => "sync the log".to_owned(),
            Step::Rename(path, _) => path.display().to_string(),
            Step::SyncDirectory(path) => format!("sync {}/", path.display()),
        });
        told.collect::<Vec<_>>()
    };
    let directories = ["sync /", "sync identity/", "sync events/"];
    let line = ["append", "sync the log"];
    let seal = ["manifest.json", "merkle_root.txt", "manifest.sig", "sync /"];
    let plain = told(&fixture.vault, &note("a", "x"));
    assert_eq!(plain, [&directories[..], &line, &seal].concat());
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    let [revocation, _] = crate::common::rotation(root, &new, quorum);
    let rotated = told(&fixture.vault, &revocation);
    let keys = ["identity/keys.json", "sync identity/"];
    let all = [
        &directories[..],
        &["sync checkpoints/"],
        &line,
        &keys,
        &seal,
    ];
    assert_eq!(rotated, all.concat());
}

#[test]
fn where_no_directory_can_be_synced_no_seal_is_named() {
    let fixture = Fixture::new();
    let layer = Arc::new(Watched {
        no_directories: true,
        ..Watched::default()
    });
    let cache = fixture.outside().join("cache");
    let vault = fixture
        .vault
        .clone()
        .with_layer(layer)
        .with_cache_directory(Some(cache.clone()));
    for number in 0..2 {
        let receipt = vault.append(&note("a", "x"), &fixture.keyfile).unwrap();
        let told = receipt.notes.join("\n");
        let is_told = told.contains("events name no seal");
        assert_eq!(is_told, number == 0, "once in a process: {told}");
        assert!(!receipt.event_json.contains("\"seal\""));
        assert_eq!(verifies(&fixture.vault), 3 + number);
    }
    // The next writer that can does, though the cache is whole.
    let able = fixture.vault.clone().with_cache_directory(Some(cache));
    let found = seal_of(fixture.vault.path());
    let layer = Arc::new(Watched::default());
    let watched = able.clone().with_layer(layer.clone());
    let receipt = watched.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert!(
        receipt
            .event_json
            .contains(&format!("\"seal\":\"{found}\""))
    );
    assert_eq!(receipt.notes, Vec::<String>::new());
    let synced = |layer: &Watched| {
        let mut steps = std::mem::take(&mut *layer.steps.lock().unwrap());
        let end = steps
            .iter()
            .position(|step| matches!(step, Step::Append(_)));
        steps.truncate(end.unwrap());
        steps.len()
    };
    assert_eq!(synced(&layer), 3, "three directories before the line");
    watched.append(&note("a", "x"), &fixture.keyfile).unwrap();
    assert_eq!(synced(&layer), 0, "they were synced after the last seal");
}

#[test]
fn a_failing_disk_is_none_that_syncs_no_directories() {
    let fixture = Fixture::new();
    let layer = crate::common::disk::Failing::once(0, crate::common::disk::EIO);
    let failing = fixture.vault.clone().with_layer(layer);
    let before = picture(fixture.vault.path());
    let error = failing
        .append(&note("a", "x"), &fixture.keyfile)
        .unwrap_err();
    assert!(matches!(error, VaultError::Sync { .. }), "{error}");
    assert_eq!(picture(fixture.vault.path()), before);
}
