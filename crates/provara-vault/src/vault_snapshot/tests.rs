//! What a snapshot makes of a log that is replaced, cut or longer while it is taken.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use provara_core::keys::Keyfile;
use provara_core::manifest::write_manifest;

use super::*;
use crate::error::Context;
use crate::lock::lock_log;
use crate::seal::{Staged, read_entries, text_entry};
use crate::testing::fresh_vault;
use crate::vault_files::{OpenLog, Standing, VaultFiles};
use crate::verify::VerifyOptions;

/// A vault in a directory of its own.
struct Home {
    directory: tempfile::TempDir,
    vault: Vault,
    keyfile: Keyfile,
}

impl Home {
    fn new() -> Self {
        let (directory, vault, keyfile) = fresh_vault();
        Self {
            directory,
            vault,
            keyfile,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.vault.path().join(name)
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.vault.log_path()).unwrap()
    }

    fn log_file(&self) -> File {
        let mut options = File::options();
        let log = options.read(true).append(true).open(self.vault.log_path());
        log.unwrap()
    }

    fn append(&self, bytes: &[u8]) {
        self.log_file().write_all(bytes).unwrap();
    }

    /// Puts a file with the same bytes in the log's place, as a merge puts another one there.
    fn replace_log(&self) {
        let beside = self.directory.path().join("beside");
        fs::write(&beside, self.log()).unwrap();
        fs::rename(beside, self.vault.log_path()).unwrap();
    }

    fn look(&self, cut: bool) -> VaultSnapshot {
        VaultSnapshot::look(&self.vault, cut).unwrap()
    }
}

#[test]
fn a_vault_at_rest_is_consistent_and_no_part_of_another_state_is() {
    let home = Home::new();
    for cut in [false, true] {
        let seen = home.look(cut);
        assert!(seen.is_consistent());
        assert_eq!(seen.log_bytes(), home.log());
        assert!(seen.log.unwrap().unsealed.is_none());
    }
    // An intent, with which a merge begins.
    fs::write(home.file(layout::MERGE_INTENT), b"{}").unwrap();
    assert!(home.look(false).replaced);
    fs::remove_file(home.file(layout::MERGE_INTENT)).unwrap();
    // A file of another state than the manifest.
    let keys = fs::read(home.file(layout::KEYS)).unwrap();
    fs::write(home.file(layout::KEYS), [&keys[..], b"\n"].concat()).unwrap();
    assert!(!home.look(false).is_consistent());
    fs::write(home.file(layout::KEYS), keys).unwrap();
    assert!(home.look(false).is_consistent());
    // The manifest of another state than the files.
    let manifest = fs::read(home.file(layout::MANIFEST)).unwrap();
    let (other, _) = write_manifest(Vec::new(), "2026-11-28T12:00:00Z".parse().unwrap());
    for text in [&other[..], b"{", b""] {
        fs::write(home.file(layout::MANIFEST), text).unwrap();
        assert!(!home.look(false).is_consistent());
    }
    fs::write(home.file(layout::MANIFEST), manifest).unwrap();
    fs::remove_file(home.vault.log_path()).unwrap();
    assert!(!home.look(false).is_consistent());
}

#[test]
fn a_log_that_is_replaced_under_a_look_is_of_no_state_with_its_seal() {
    let home = Home::new();
    let seen = VaultSnapshot::look_with(&home.vault, false, || home.replace_log()).unwrap();
    assert!(!seen.is_consistent());
    // The new file alone is of the same state: that it was another one is all that speaks against it.
    assert!(home.look(false).is_consistent());
    // With the intent there as well, and with nothing there any more.
    fs::write(home.file(layout::MERGE_INTENT), b"{}").unwrap();
    let seen = VaultSnapshot::look_with(&home.vault, false, || home.replace_log()).unwrap();
    assert!(seen.replaced);
    fs::remove_file(home.file(layout::MERGE_INTENT)).unwrap();
    let gone = || fs::remove_file(home.vault.log_path()).unwrap();
    let seen = VaultSnapshot::look_with(&home.vault, false, gone).unwrap();
    assert!(seen.replaced);
}

#[test]
fn what_a_writer_adds_or_takes_back_under_a_look_is_no_part_of_what_is_sealed() {
    let home = Home::new();
    let sealed = home.log();
    // Grown by a line: all of it is taken, or what is sealed and the rest apart.
    let grow = || home.append(b"{}\n");
    let seen = VaultSnapshot::look_with(&home.vault, false, grow).unwrap();
    assert!(!seen.is_consistent());
    assert_eq!(seen.log_bytes(), home.log());
    assert!(seen.log.unwrap().unsealed.is_none());
    let grow = || home.append(b"{}");
    let seen = VaultSnapshot::look_with(&home.vault, true, grow).unwrap();
    assert!(seen.is_consistent());
    assert_eq!(seen.log_bytes(), sealed);
    assert_eq!(seen.log.unwrap().unsealed.unwrap().len(), 5);
    let seen = home.look(false);
    assert!(!seen.is_consistent());
    assert_eq!(seen.log_bytes(), home.log());
    let disk = seen.disk(&home.vault, Digest::of(b"")).unwrap();
    let there = home.log().len() as u64;
    assert!(matches!(&disk[layout::LOG], DiskEntry::File { size, .. } if *size == there));
    assert_eq!(seen.log.unwrap().tail, b"{}");
    // Back to the sealed length, and below it.
    let shrink = || home.log_file().set_len(sealed.len() as u64).unwrap();
    let seen = VaultSnapshot::look_with(&home.vault, true, shrink).unwrap();
    assert!(seen.is_consistent());
    assert!(seen.log.unwrap().unsealed.is_none());
    let shrink = || home.log_file().set_len(sealed.len() as u64 - 1).unwrap();
    let seen = VaultSnapshot::look_with(&home.vault, true, shrink).unwrap();
    assert!(!seen.is_consistent());
    assert_eq!(*seen.log_bytes(), sealed[..sealed.len() - 1]);
    assert!(seen.log.unwrap().unsealed.is_none());
}

/// The seal covers a last event that lacks its line end: only the tail then tells a view with a cut from one
/// without.
#[test]
fn a_log_without_its_last_line_end_is_consistent_as_far_as_it_is_sealed() {
    let home = Home::new();
    let log = home.log_file();
    let length = home.log().len() as u64 - 1;
    log.set_len(length).unwrap();
    let entries = read_entries(home.vault.path()).unwrap();
    let entries = entries.into_iter().map(|entry| match &*entry.path {
        layout::LOG => text_entry(layout::LOG, &home.log()),
        _ => entry,
    });
    let mut seal = Staged::new(home.vault.layer());
    seal.add_signed_seal(
        home.vault.path(),
        entries.collect(),
        &home.keyfile.keys()[0],
    )
    .unwrap();
    let (lock, _) = lock_log(
        &home.vault.log_path(),
        Duration::ZERO,
        crate::lock::WithoutLocks::Refuse,
    )
    .unwrap();
    seal.sync().unwrap().publish(&lock, length).unwrap();
    drop(lock);
    assert!(!home.look(false).is_consistent());
    assert!(home.look(true).is_consistent());
}

#[test]
fn files_that_are_read_whole_have_a_largest_size_and_others_do_not() {
    let home = Home::new();
    fs::create_dir(home.file(layout::CHECKPOINTS)).unwrap();
    let checkpoint = format!("{}/0000000001.chk", layout::CHECKPOINTS);
    let kind = |name: &str, size: u64| {
        let file = File::create(home.file(name)).unwrap();
        file.set_len(size).unwrap();
        let seen = home.look(false);
        let is_unsafe = seen.unsafe_entry().map(|(path, _)| path.to_owned());
        fs::remove_file(home.file(name)).unwrap();
        is_unsafe
    };
    assert_eq!(kind(&checkpoint, MAX_TEXT), None);
    assert_eq!(kind(&checkpoint, MAX_TEXT + 1), Some(checkpoint.clone()));
    assert_eq!(kind("artifact", MAX_TEXT + 1), None);
    let others = [
        "checkpoints/a.txt",
        "checkpoints.chk",
        "artifacts/0000000001.chk",
    ];
    assert!(is_read(&checkpoint) && is_read(layout::MANIFEST) && is_read(layout::KEYS));
    assert!(others.iter().all(|path| !is_read(path)));
}

#[test]
fn the_content_of_what_no_manifest_lists_is_not_read() {
    let home = Home::new();
    fs::create_dir_all(home.file(layout::PRIVATE_KEYS).parent().unwrap()).unwrap();
    fs::write(home.file(layout::PRIVATE_KEYS), b"secret").unwrap();
    fs::write(home.file("artifact"), b"open").unwrap();
    let log = Digest::of(b"the digest that the caller has");
    let disk = home.look(false).disk(&home.vault, log).unwrap();
    let of = |path: &str| match disk.get(path) {
        Some(DiskEntry::File { size, sha256 }) => (*size, *sha256),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(layout::PRIVATE_KEYS), (6, Digest::of(b"")));
    assert_eq!(of("artifact"), (4, Digest::of(b"open")));
    assert_eq!(of(layout::LOG), (home.log().len() as u64, log));
    let manifest = fs::read(home.file(layout::MANIFEST)).unwrap();
    assert_eq!(of(layout::MANIFEST).1, Digest::of(&manifest));
}

/// What a reader does beside a writer that does not let go.
#[test]
fn a_reader_waits_its_time_for_a_moment_between_two_writers_and_no_longer() {
    const PATIENCE: Duration = Duration::from_millis(40);
    const ENOUGH: Duration = Duration::from_secs(10);
    let home = Home::new();
    let writer = home.log_file();
    writer.lock().unwrap();
    home.append(b"{}\n");
    // The log is ahead of its seal: what is sealed is consistent, and is taken at once.
    let start = Instant::now();
    let seen = VaultSnapshot::take_within(&home.vault, ENOUGH).unwrap();
    assert!(seen.log.unwrap().unsealed.is_some());
    assert!(start.elapsed() < ENOUGH);
    // A moment between two writers does not come; what is sealed is taken then.
    let start = Instant::now();
    let mut called = 0;
    let seen =
        VaultSnapshot::take_between_writers_within(&home.vault, PATIENCE, || called += 1).unwrap();
    assert!(start.elapsed() >= PATIENCE);
    assert_eq!(called, 1);
    assert!(seen.log.unwrap().unsealed.is_some());
    // Small files of two states: nothing is consistent until the writer is done.
    let keys = fs::read(home.file(layout::KEYS)).unwrap();
    fs::write(home.file(layout::KEYS), [&keys[..], b"\n"].concat()).unwrap();
    let start = Instant::now();
    let error = VaultSnapshot::take_within(&home.vault, PATIENCE).unwrap_err();
    assert!(start.elapsed() >= PATIENCE);
    assert!(matches!(error, VaultError::Locked { waited, .. } if waited > PATIENCE));
    // With nobody at work, what is found stands, and the lock is let go.
    writer.unlock().unwrap();
    let seen = VaultSnapshot::take_within(&home.vault, ENOUGH).unwrap();
    assert!(!seen.is_consistent());
    let mut called = 0;
    VaultSnapshot::take_between_writers(&home.vault, || called += 1).unwrap();
    assert_eq!(called, 1);
    writer.try_lock().unwrap();
}

/// The files of a vault in memory, as an archive has them: nobody writes to them.
#[derive(Debug)]
struct Held(BTreeMap<String, Vec<u8>>);

impl Held {
    fn of(vault: &Vault) -> Self {
        let paths = vault.files().list().unwrap().into_keys();
        let read = |path: String| (path.clone(), fs::read(vault.path().join(path)).unwrap());
        Self(paths.map(read).collect())
    }
}

struct HeldLog(Vec<u8>);

impl VaultFiles for Held {
    fn is_live(&self) -> bool {
        false
    }

    fn list(&self) -> Result<BTreeMap<String, Entry>, VaultError> {
        let files = self.0.iter();
        Ok(files
            .map(|(path, bytes)| (path.clone(), Entry::File(bytes.len() as u64)))
            .collect())
    }

    fn stands(&self, path: &str) -> Result<Option<Standing>, VaultError> {
        Ok(self.0.get(path).map(|_| Standing::File))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.0.get(path).cloned())
    }

    fn hash(&self, path: &str) -> Result<(u64, Digest), VaultError> {
        let bytes = &self.0[path];
        Ok((bytes.len() as u64, Digest::of(bytes)))
    }

    fn open_log(&self, path: &str) -> Result<Option<Box<dyn OpenLog>>, VaultError> {
        let log = self.0.get(path).cloned();
        Ok(log.map(|log| Box::new(HeldLog(log)) as Box<dyn OpenLog>))
    }
}

impl OpenLog for HeldLog {
    fn take(&self, _: Option<u64>) -> Result<TakenLog, VaultError> {
        self.whole().map(TakenLog::of)
    }

    fn whole(&self) -> Result<LogSnapshot, VaultError> {
        Ok(LogSnapshot::of_bytes(self.0.clone()))
    }

    fn is_current(&self) -> bool {
        true
    }
}

/// What is found of a vault does not depend on where its files lie: nothing is read around `VaultFiles`.
#[test]
fn a_vault_that_lies_elsewhere_verifies_as_one_in_a_directory() {
    let home = Home::new();
    let report = |vault: &Vault| vault.verify(&VerifyOptions::default()).unwrap();
    let empty = home.directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::create_dir(empty.join("identity")).unwrap();
    fs::write(empty.join(layout::GENESIS), b"").unwrap();
    let elsewhere = |held: Held| Vault::open(&empty).unwrap().with_files(Arc::new(held));
    let same = |valid: bool| {
        let (here, there) = (
            report(&home.vault),
            report(&elsewhere(Held::of(&home.vault))),
        );
        assert_eq!(here.is_valid(), valid);
        assert_eq!(here.findings(), there.findings());
        assert_eq!(here.notes(), there.notes());
        assert_eq!(here.event_count(), there.event_count());
    };
    same(true);
    // What no seal lists, and whether it is read at all.
    fs::write(home.file("artifacts/unlisted"), b"x").unwrap();
    same(false);
    fs::remove_file(home.file("artifacts/unlisted")).unwrap();
    // What a command leaves that was interrupted, and what is none.
    fs::write(home.file(layout::MERGE_INTENT), b"{}").unwrap();
    same(false);
    // Nor does anybody go forward where there is no log.
    let log = home.log();
    fs::remove_file(home.vault.log_path()).unwrap();
    same(false);
    fs::write(home.vault.log_path(), log).unwrap();
    fs::remove_file(home.file(layout::MERGE_INTENT)).unwrap();
    // An event without its line end, and one that is none.
    for end in [&b""[..], b"\n"] {
        let log = home.log();
        home.append(&[b"{}", end].concat());
        same(false);
        fs::write(home.vault.log_path(), log).unwrap();
    }
    same(true);
    // A byte of any file counts, wherever it lies.
    let whole = Held::of(&home.vault);
    for path in whole.0.keys().filter(|path| !layout::is_unlisted(path)) {
        let mut files = whole.0.clone();
        let bytes = files.get_mut(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let vault = elsewhere(Held(files));
        assert!(!report(&vault).is_valid(), "{path}");
    }
    let vault = elsewhere(whole);
    assert_eq!(vault.snapshot().unwrap().bytes(), home.log());
    // Nobody writes there.
    let locked = vault.lock_for_reading().unwrap_err();
    assert!(matches!(locked, VaultError::Structure { .. }));
    let gone = elsewhere(Held(BTreeMap::new())).snapshot().unwrap_err();
    assert!(matches!(gone, VaultError::Structure { file, .. } if file == layout::LOG));
}

/// Files that cannot be listed, and how often that was tried.
#[derive(Debug)]
struct Refusing(io::ErrorKind, AtomicU32);

impl VaultFiles for Refusing {
    fn is_live(&self) -> bool {
        false
    }

    fn list(&self) -> Result<BTreeMap<String, Entry>, VaultError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(io::Error::from(self.0)).context("read", Path::new("there"))
    }

    fn stands(&self, _: &str) -> Result<Option<Standing>, VaultError> {
        Ok(None)
    }

    fn read(&self, _: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(None)
    }

    fn hash(&self, _: &str) -> Result<(u64, Digest), VaultError> {
        Ok((0, Digest::of(b"")))
    }

    fn open_log(&self, _: &str) -> Result<Option<Box<dyn OpenLog>>, VaultError> {
        Ok(None)
    }
}

/// What a writer took away meanwhile is looked for again; what the system refuses is told at once.
#[test]
fn a_verification_looks_again_for_what_has_gone_and_for_nothing_else() {
    let home = Home::new();
    for (kind, again) in [
        (io::ErrorKind::NotFound, true),
        (io::ErrorKind::UnexpectedEof, true),
        (io::ErrorKind::PermissionDenied, false),
    ] {
        let files = Arc::new(Refusing(kind, AtomicU32::new(0)));
        let vault = home.vault.clone().with_files(files.clone());
        let error = vault.verify(&VerifyOptions::default()).unwrap_err();
        assert!(
            matches!(&error, VaultError::Io { source, .. } if source.kind() == kind),
            "{error}"
        );
        assert_eq!(files.1.load(Ordering::Relaxed) > 1, again, "{kind:?}");
    }
}
