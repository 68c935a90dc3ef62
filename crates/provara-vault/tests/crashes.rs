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
//! `CRASH_STATES=100000 cargo test -p provara-vault --test crashes` (`make crash-states`) tries more
//! states than the default.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Fixture, note, request};
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::layer::{FileLayer, SystemFiles, Temporary};
use provara_vault::{AppendRequest, BatchOptions, MergeOptions, MergeOrder, Vault, VerifyOptions};

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Append(Vec<u8>),
    Truncate(u64),
    SyncLog,
    /// A durable temporary file took this name.
    Rename(PathBuf, Vec<u8>),
    /// A durable file with a name took another one's place, in one step.
    Move(PathBuf, PathBuf, Vec<u8>),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
    /// From here on these events are promised.
    Acknowledge(Vec<String>),
}

#[derive(Debug, Default)]
struct Record {
    changes: Vec<Change>,
    /// The content of open temporary files, and whether it is synced.
    temporary: HashMap<i32, (Vec<u8>, bool)>,
}

/// Records; syncs nothing, as the model decides what is durable.
#[derive(Debug, Default)]
struct Recording(Mutex<Record>);

impl Recording {
    fn push(&self, change: Change) {
        self.0.lock().unwrap().changes.push(change);
    }
}

impl FileLayer for Recording {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.push(Change::Append(bytes.to_vec()));
        SystemFiles.append(log, path, bytes)
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        self.push(Change::Truncate(len));
        SystemFiles.truncate(log, path, len)
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        self.push(Change::SyncLog);
        Ok(())
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        let temporary = SystemFiles.create_temporary(directory, mode)?;
        let descriptor = temporary.file().as_raw_fd();
        self.0
            .lock()
            .unwrap()
            .temporary
            .insert(descriptor, (Vec::new(), false));
        Ok(temporary)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        let descriptor = temporary.file().as_raw_fd();
        self.0
            .lock()
            .unwrap()
            .temporary
            .insert(descriptor, (bytes.to_vec(), false));
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()> {
        let mut record = self.0.lock().unwrap();
        record
            .temporary
            .get_mut(&temporary.file().as_raw_fd())
            .unwrap()
            .1 = true;
        Ok(())
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        let descriptor = temporary.file().as_raw_fd();
        let (bytes, synced) = self
            .0
            .lock()
            .unwrap()
            .temporary
            .remove(&descriptor)
            .unwrap();
        assert!(
            synced,
            "{} is replaced by what is not durable",
            target.display()
        );
        self.push(Change::Rename(target.to_owned(), bytes));
        SystemFiles.rename(temporary, target)
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = fs::read(from)?;
        self.push(Change::Move(from.to_owned(), to.to_owned(), bytes));
        SystemFiles.rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.push(Change::Remove(path.to_owned()));
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.push(Change::SyncDirectory(directory.to_owned()));
        Ok(())
    }
}

/// A small generator of our own (SplitMix64), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What the disk surely holds, and what was done to it since.
#[derive(Clone)]
struct Disk {
    files: Files,
    log: PathBuf,
    /// The log as it was when it was last synced, and since.
    synced: Vec<u8>,
    written: Vec<u8>,
    /// New contents of names, or that they go; each happens as a whole.
    renames: Vec<Vec<(PathBuf, Option<Vec<u8>>)>>,
    promised: Vec<String>,
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(bytes) => self.written.extend_from_slice(bytes),
            Change::Truncate(len) => self.written.truncate(*len as usize),
            Change::SyncLog => self.synced = self.written.clone(),
            Change::Rename(path, bytes) => {
                assert!(
                    *path == self.log || self.synced == self.written,
                    "a name changes before the log is durable"
                );
                self.renames.push(vec![(path.clone(), Some(bytes.clone()))]);
            }
            Change::Move(from, to, bytes) => {
                let there = (to.clone(), Some(bytes.clone()));
                self.renames.push(vec![(from.clone(), None), there]);
            }
            Change::Remove(path) => self.renames.push(vec![(path.clone(), None)]),
            Change::SyncDirectory(directory) => {
                let (durable, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.renames)
                    .into_iter()
                    .partition(|step| step[0].0.parent() == Some(directory));
                self.renames = pending;
                for (path, bytes) in durable.into_iter().flatten() {
                    match bytes {
                        Some(bytes) if path == self.log => {
                            self.synced.clone_from(&bytes);
                            self.written = bytes;
                        }
                        bytes => put(&mut self.files, &path, bytes.as_deref()),
                    }
                }
            }
            Change::Acknowledge(ids) => {
                assert!(self.renames.is_empty() && self.synced == self.written);
                self.promised.extend(ids.iter().cloned());
            }
        }
    }

    /// One state that the disk may be in now.
    fn crash(&self, random: &mut Random) -> Files {
        let mut files = self.files.clone();
        files.insert(self.log.clone(), self.log_after(random));
        for step in &self.renames {
            if random.below(2) == 0 {
                for (path, bytes) in step {
                    put(&mut files, path, bytes.as_deref());
                }
            }
        }
        if random.below(4) == 0 {
            let name = format!(".provara-tmp-{:024x}", random.below(1 << 40));
            let part = b"{\"backpack"[..random.below(10)].to_vec();
            let directory = ["", "identity", "events", "checkpoints"][random.below(4)];
            files.insert(Path::new(directory).join(name), part);
        }
        files
    }

    fn log_after(&self, random: &mut Random) -> Vec<u8> {
        let common = self
            .synced
            .iter()
            .zip(&self.written)
            .take_while(|(a, b)| a == b)
            .count();
        let (old, new) = (&self.synced[common..], &self.written[common..]);
        let zeros = |part: &[u8]| vec![0; part.len()];
        let cut = random.below(new.len() + 1);
        let tail = match random.below(8) {
            0 => old.to_vec(),
            1 => new.to_vec(),
            2 => new[..cut].to_vec(),
            3 => zeros(new),
            4 => zeros(&new[..cut]),
            5 => [new[..cut].to_vec(), zeros(&new[cut..])].concat(),
            // The new bytes stand over the old ones, whose length is not yet cut.
            6 => [&new[..cut], old.get(cut..).unwrap_or_default()].concat(),
            _ => {
                // Sectors reach the disk in any order; the length is there first.
                let start = common % SECTOR;
                let mut out = new.to_vec();
                let mut lost = false;
                for (at, byte) in out.iter_mut().enumerate() {
                    if at == 0 || (at + start).is_multiple_of(SECTOR) {
                        lost = random.below(2) == 0;
                    }
                    if lost {
                        *byte = 0;
                    }
                }
                out
            }
        };
        [&self.synced[..common], &tail].concat()
    }
}

fn put(files: &mut Files, path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => files.insert(path.to_owned(), bytes.to_vec()),
        None => files.remove(path),
    };
}

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

fn files_of(vault: &Path) -> Files {
    common::picture(vault)
        .into_iter()
        .filter(|(path, _, _)| path.is_file())
        .map(|(path, _, bytes)| (path.strip_prefix(vault).unwrap().to_owned(), bytes))
        .collect()
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
    let strip = |path: &Path| path.strip_prefix(vault.path()).unwrap().to_owned();
    let changes = std::mem::take(&mut layer.0.lock().unwrap().changes);
    let changes = changes
        .into_iter()
        .map(|change| match change {
            Change::Rename(path, bytes) => Change::Rename(strip(&path), bytes),
            Change::Move(from, to, bytes) => Change::Move(strip(&from), strip(&to), bytes),
            Change::Remove(path) => Change::Remove(strip(&path)),
            Change::SyncDirectory(path) => Change::SyncDirectory(strip(&path)),
            other => other,
        })
        .collect();
    (start, keyfile, changes)
}

/// Puts a state on the disk, lets the next writer at it, and looks at what comes out.
fn recover(
    files: &Files,
    promised: &[String],
    keyfile: &Keyfile,
    repair: bool,
) -> Result<(), String> {
    // In memory where there is such a directory: nothing here needs to be durable.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let directory = tempfile::tempdir_in(place).unwrap();
    let root = directory.path().join("vault");
    for empty in ["artifacts/cas", "state"] {
        fs::create_dir_all(root.join(empty)).unwrap();
    }
    for (path, bytes) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    let vault = Vault::open(&root)
        .unwrap()
        .with_layer(Arc::new(Recording::default()))
        .with_state_directory(directory.path().join("state"));
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
    let log = PathBuf::from("events/events.ndjson");
    let bytes = start[&log].clone();
    let mut disk = Disk {
        files: start,
        log,
        synced: bytes.clone(),
        written: bytes,
        renames: Vec::new(),
        promised: Vec::new(),
    };
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
