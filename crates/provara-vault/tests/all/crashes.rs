//! A model of what a disk may hold after a crash, tried at every step of a workload.
//!
//! A recording layer beneath the writer notes every change. From the record, each moment is turned
//! into the states that a real disk may be in if the power goes there: what was synced is there;
//! what was not is there, lost, cut, zero-filled or, in pieces of a sector, any mixture; renames
//! that were not synced happened in any combination. After each state the next append, or a repair,
//! must succeed, the vault must verify strictly, and every acknowledged event must be in it. The
//! workload appends, batches, rotates keys, writes a checkpoint, recovers a torn tail and merges in
//! both orders.
//!
//! `CRASH_STATES=100000 cargo test -p provara-vault --test all crashes::` (`make crash-states`) tries more
//! states than the default.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::crash::{Change, Disk, Files, Random, Recording, below, files_of, place};
use crate::common::{Fixture, note, request};
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::file_layer::FileLayer;
use provara_vault::{AppendRequest, BatchOptions, MergeOptions, MergeOrder, Vault, VerifyOptions};

/// Copies a vault, and appends there.
fn copy_with(vault: &Vault, to: &Path, requests: &[AppendRequest], keyfile: &Keyfile) -> Vault {
    for (path, bytes) in files_of(vault.path()) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::write(to.join(&path), bytes).unwrap();
    }
    for empty in ["artifacts/cas", "state"] {
        fs::create_dir_all(to.join(empty)).unwrap();
    }
    let copy = Vault::open(to).unwrap();
    for request in requests {
        copy.append(request, keyfile).unwrap();
    }
    copy
}

/// The ids of every event of a vault.
fn ids(vault: &Vault) -> Vec<String> {
    let log = fs::read_to_string(vault.log_path()).unwrap();
    let id = |line: &str| {
        let at = line.find("\"event_id\":\"").unwrap() + 12;
        line[at..at + 28].to_owned()
    };
    log.lines().map(id).collect()
}

/// Runs the workload; gives the files at its start and every change.
fn record() -> (Files, Keyfile, Vec<Change>) {
    let fixture = Fixture::with_quorum();
    let start = files_of(fixture.vault.path());
    let layer = Arc::new(Recording::default());
    let vault = fixture.vault.clone().with_layer(layer.clone());
    let (root, quorum) = fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[5; 32]);
    let mut keys = fixture.keyfile.keys().to_vec();
    keys.push(new.clone());
    let keyfile = Keyfile::new(keys);
    let revocation = format!(
        r#"{{"revoked_key_id":"{root}","reason":"lost","trust_boundary_event_id":null,"revoked_at_utc":"2026-01-01T00:00:00Z"}}"#
    );
    let promotion = format!(
        r#"{{"new_key_id":"{}","new_public_key_b64":"{}","algorithm":"Ed25519","roles":["root","attestation"],"promoted_by":"{quorum}","replaces_key_id":"{root}","promoted_at_utc":"2026-01-01T00:00:00Z"}}"#,
        new.key_id(),
        new.public().to_base64()
    );
    let by_quorum = |event_type, data: &str| AppendRequest {
        key_id: Some(quorum),
        ..request(event_type, "authority", data)
    };
    let requests = [
        note("a", "small"),
        note("b", &"large ".repeat(500)),
        by_quorum("KEY_REVOCATION", &revocation),
        by_quorum("KEY_PROMOTION", &promotion),
        AppendRequest {
            key_id: Some(new.key_id()),
            ..note("a", "by the new key")
        },
    ];
    // Earlier in time than what follows here: the merge has to rewrite.
    let earlier = copy_with(
        &vault,
        &fixture.outside().join("earlier"),
        &[note("elsewhere", "1"), note("elsewhere", "2")],
        &keyfile,
    );
    for (number, request) in requests.iter().enumerate() {
        let receipt = vault.append(request, &keyfile).unwrap();
        layer.push(Change::Acknowledge(vec![receipt.event_id.to_string()]));
        if number == 1 {
            vault.checkpoint(&keyfile, None).unwrap();
            let options = MergeOptions::default();
            let merged = vault.merge(&earlier, &keyfile, &options).unwrap();
            assert_eq!(merged.order, MergeOrder::Rewritten);
            assert_eq!(merged.retired_checkpoints.len(), 1);
            layer.push(Change::Acknowledge(ids(&earlier)));
        }
        if number == 3 {
            // A torn tail, so that a recovery is part of the workload.
            let torn = br#"{"actor":"a","torn":"#.to_vec();
            let log = File::options().append(true).open(vault.log_path()).unwrap();
            layer.append(&log, &vault.log_path(), &torn).unwrap();
            layer.push(Change::SyncLog);
        }
    }
    let later = AppendRequest {
        key_id: Some(quorum),
        ..note("later", "1")
    };
    let later = copy_with(&vault, &fixture.outside().join("later"), &[later], &keyfile);
    let options = MergeOptions {
        append_only: true,
        ..MergeOptions::default()
    };
    let merged = vault.merge(&later, &keyfile, &options).unwrap();
    assert_eq!(merged.order, MergeOrder::Appended);
    layer.push(Change::Acknowledge(ids(&later)));
    let batch = (0..6).map(|number| AppendRequest {
        key_id: Some(new.key_id()),
        ..note("batch", &format!("{number}"))
    });
    let options = BatchOptions {
        group: 2,
        ..BatchOptions::default()
    };
    let only_new = Keyfile::new(vec![new.clone()]);
    vault
        .append_many(batch.collect(), &only_new, options)
        .unwrap();
    layer.push(Change::Acknowledge(ids(&vault)));
    let changes = std::mem::take(&mut layer.0.lock().unwrap().changes);
    let changes = below(changes, vault.path());
    (start, keyfile, changes)
}

/// Puts a state on the disk, lets the next writer at it, and looks at what comes out.
fn recover(
    files: &Files,
    promised: &[String],
    keyfile: &Keyfile,
    repair: bool,
) -> Result<(), String> {
    let (_directory, vault) = place(files);
    let verify = || {
        let options = VerifyOptions {
            strict: true,
            threads: Some(1),
            ..VerifyOptions::default()
        };
        let report = vault.verify(&options).unwrap();
        match report.is_valid() {
            true => Ok(()),
            false => Err(format!("it does not verify: {:?}", report.findings())),
        }
    };
    if repair {
        vault
            .repair(Some(keyfile), false)
            .map_err(|error| format!("it is not repaired: {error}"))?;
        verify()?;
    }
    let receipt = vault
        .append(&note("next", "writer"), keyfile)
        .map_err(|error| format!("the next append is refused: {error}"))?;
    verify()?;
    let log = fs::read_to_string(vault.log_path()).unwrap();
    for id in promised.iter().chain([&receipt.event_id.to_string()]) {
        if !log.contains(&format!("\"event_id\":\"{id}\"")) {
            return Err(format!("{id} was acknowledged and is gone"));
        }
    }
    Ok(())
}

#[test]
fn after_any_crash_the_next_append_finds_a_whole_vault() {
    let states: usize = std::env::var("CRASH_STATES")
        .ok()
        .map_or(1200, |count| count.parse().unwrap());
    let (start, keyfile, changes) = record();
    let mut disk = Disk::of(start);
    let each = states.div_ceil(changes.len() + 1);
    let name = |change: Option<&Change>| match change {
        Some(Change::Rename(path, _) | Change::Move(_, path, _)) => {
            format!("the rename of {}", path.display())
        }
        other => format!("{other:?}").chars().take(80).collect(),
    };
    // What the disk surely holds at each point, and then every point by itself, on all cores.
    let mut points = vec![disk.clone()];
    for change in &changes {
        disk.apply(change);
        points.push(disk.clone());
    }
    let (next, tried) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        loop {
            let point = next.fetch_add(1, Ordering::Relaxed);
            let Some(disk) = points.get(point) else {
                return;
            };
            let mut random = Random(0x00c0_ffee ^ (point as u64) << 32);
            for _ in 0..each {
                let files = disk.crash(&mut random);
                let repair = random.below(3) == 0;
                if let Err(problem) = recover(&files, &disk.promised, &keyfile, repair) {
                    panic!(
                        "after change {point} ({}): {problem}\nthe log ends:\n{}",
                        name(changes.get(point.wrapping_sub(1))),
                        String::from_utf8_lossy(
                            &files[&disk.log][disk.synced.len().min(files[&disk.log].len())..]
                        )
                    );
                }
                tried.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let tried = tried.into_inner();
    println!("{tried} states after {} changes", changes.len());
    assert!(tried >= states && changes.len() > 80);
}
