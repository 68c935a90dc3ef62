//! The files of the memory: below the user's state directory, private.
//!
//! `memory/paths/P` names the vault that was last seen at a path, `memory/vaults/ID/P.record` is the record
//! of it there, and `memory/vaults/ID/P.leaves` the first halves of its leaves: P is 16 hexadecimal
//! digits of the SHA-256 of the path, ID the id of the vault's `GENESIS` event.
//!
//! Nothing is synced: a record that a power cut takes back is one of an earlier state, which the vault
//! continues. A reader needs no lock: a record is replaced by writing another one beside it. Who writes
//! holds `memory/lock`, so that none replaces what it has not looked at.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use provara_core::id::{Digest, EventId};
use provara_core::signed_note::MAX_NOTE;
use provara_core::tree_head::SignedHead;
use rustix::fs::OFlags;

use super::record::{HALF, Record, name_of, place_of};
use super::{LEAF, Leaf};
use crate::files::is_absence;

/// The largest file of a record, in bytes.
const LARGEST: u64 = 2 * HALF as u64;

/// How often a record is read that others write meanwhile.
const ATTEMPTS: u32 = 4;

/// How long a process waits for another one that writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many records of one vault are looked at.
const MOST: usize = 1000;

/// Why the memory, or a part of it, cannot be used; a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

impl Unusable {
    fn new(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self(format!("'{}': {reason}", path.display()))
    }
}

/// The directory `memory` of a state directory.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

/// The last tree head of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastHead {
    pub(crate) head: SignedHead,
    /// The name of the place of the copy that it was published of.
    by: String,
}

impl LastHead {
    /// Whether it was published of the copy at this place.
    pub(crate) fn is_by(&self, place: Digest) -> bool {
        self.by == name_of(place)
    }
}

/// Held while something is written.
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its drop")] File);

impl Store {
    /// The memory below `state`; `None` where nothing was ever kept. `vault` is the one that it is asked
    /// about: within it, memory would be a phantom file, and whoever can write to the vault could write it.
    pub(crate) fn open(state: &Path, vault: Option<&Path>) -> Result<Option<Self>, Unusable> {
        let root = state.join("memory");
        let there = match fs::symlink_metadata(&root) {
            Err(error) if is_absence(&error) => return Ok(None),
            there => there.map_err(|error| Unusable::new(&root, error))?,
        };
        outside(state, vault)?;
        if !there.is_dir() {
            return Err(Unusable::new(&root, "it is no directory"));
        }
        own(&there).map_err(|reason| Unusable::new(&root, reason))?;
        Ok(Some(Self(root)))
    }

    /// As [`Store::open`]; makes what is not there.
    pub(crate) fn make(state: &Path, vault: &Path) -> Result<Self, Unusable> {
        if let Some(store) = Self::open(state, Some(vault))? {
            return Ok(store);
        }
        outside(state, Some(vault))?;
        let root = state.join("memory");
        make_directory(&root).map_err(|error| Unusable::new(&root, error))?;
        Self::open(state, Some(vault))?.ok_or_else(|| Unusable::new(&root, "it is gone again"))
    }

    pub(crate) fn lock(&self) -> Result<Lock, Unusable> {
        let path = self.0.join("lock");
        let failed = |error: io::Error| Unusable::new(&path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let (file, _) = open_own(&path, &mut options).map_err(failed)?;
        let start = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Unusable::new(&path, "another process holds it"));
                }
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// What is remembered at this path.
    pub(crate) fn recall(&self, path: &Path) -> Result<Option<Record>, Unusable> {
        let place = place_of(path);
        let pointer = self.pointer(place);
        let Some(text) = read(&pointer, 64).map_err(|error| Unusable::new(&pointer, error))? else {
            return Ok(None);
        };
        let identity = std::str::from_utf8(&text).ok();
        let identity = identity.and_then(|text| text.trim_end().parse::<EventId>().ok());
        let Some(identity) = identity else {
            return Err(Unusable::new(&pointer, "it is damaged"));
        };
        let record = self.file(identity, place, "record");
        match self.read_record(&record)? {
            Some(found) if found.place == place && found.identity == identity => Ok(Some(found)),
            // Two paths of which the hashes begin alike.
            Some(found) if found.place != place => Ok(None),
            Some(_) => Err(Unusable::new(&record, "it is damaged")),
            None => Err(Unusable::new(&record, "it is missing")),
        }
    }

    /// What is remembered of this vault, wherever it was.
    pub(crate) fn of_vault(&self, identity: EventId) -> Vec<Record> {
        self.of_vault_but(identity, &[])
    }

    /// As [`Store::of_vault`], but for these places.
    pub(crate) fn of_vault_but(&self, identity: EventId, places: &[Digest]) -> Vec<Record> {
        let names: Vec<_> = places.iter().map(|place| name_of(*place)).collect();
        let mut files = record_files(&self.directory(identity));
        // These were read already.
        files.retain(|path| !names.iter().any(|name| is_named(path, name)));
        let mut found = self.records_of(files).0;
        found.retain(|record| record.identity == identity && !places.contains(&record.place));
        found
    }

    /// Everything, by path; and what cannot be read.
    pub(crate) fn all(&self) -> (Vec<Record>, Vec<Unusable>) {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for vault in directory(&self.0.join("vaults")) {
            let (found, wrong) = self.records_of(record_files(&vault));
            records.extend(found);
            damaged.extend(wrong);
        }
        records.sort_by(|a, b| a.path.cmp(&b.path).then(a.identity.cmp(&b.identity)));
        (records, damaged)
    }

    fn records_of(&self, files: Vec<PathBuf>) -> (Vec<Record>, Vec<Unusable>) {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for file in files.into_iter().take(MOST) {
            match self.read_record(&file) {
                Ok(record) => records.extend(record),
                Err(wrong) => damaged.push(wrong),
            }
        }
        (records, damaged)
    }

    fn read_record(&self, path: &Path) -> Result<Option<Record>, Unusable> {
        for _ in 0..ATTEMPTS {
            let file = read(path, LARGEST).map_err(|error| Unusable::new(path, error))?;
            let Some(file) = file else {
                return Ok(None);
            };
            if let Some(record) = Record::parse(&file) {
                return Ok(Some(record));
            }
        }
        Err(Unusable::new(path, "it is damaged"))
    }

    /// The leaves of every event of the record, if they are kept.
    pub(crate) fn leaves(&self, record: &Record, _lock: &Lock) -> Option<Vec<Leaf>> {
        let path = self.file(record.identity, record.place, "leaves");
        // Since it was read, somebody may have put another record in its place.
        let now = self.read_record(&self.file(record.identity, record.place, "record"));
        if !record.leaves || now != Ok(Some(record.clone())) {
            return None;
        }
        let length = record.size.checked_mul(LEAF as u64)?;
        let (file, there) = open_own(&path, OpenOptions::new().read(true)).ok()?;
        if there.len() < length {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).ok()?;
        let (leaves, rest) = bytes.as_chunks::<LEAF>();
        (rest.is_empty() && leaves.len() as u64 == record.size).then(|| leaves.to_vec())
    }

    /// Puts a record in the place of what is remembered at its path. `leaves` are those of its events
    /// after the first `from`, which are kept already; `None`: they are not known. `before` is the record
    /// that was recalled for its path, under the lock.
    ///
    /// The leaves come first: more of them than a record says are as good as none.
    pub(crate) fn keep(
        &self,
        record: &mut Record,
        leaves: Option<(u64, &[Leaf])>,
        before: Option<Record>,
        _lock: &Lock,
    ) -> Result<(), Unusable> {
        let directory = self.directory(record.identity);
        let path = self.file(record.identity, record.place, "leaves");
        let kept = leaves.is_some_and(|(from, leaves)| {
            let write = || write_leaves(&path, from, leaves);
            let written = write().or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => make_directory(&directory).and_then(|()| write()),
                _ => Err(error),
            });
            written.is_ok() && from + leaves.len() as u64 == record.size
        });
        record.leaves = kept;
        let file = self.file(record.identity, record.place, "record");
        // What was recalled may be another vault's, of which the record lies elsewhere.
        let before = before.filter(|before| before.identity == record.identity);
        // What is damaged, or was another path's, gives its place up.
        let before = before.or_else(|| self.read_record(&file).ok().flatten());
        let before = before.filter(|before| before.place == record.place);
        record.number = before.as_ref().map_or(0, |before| before.number + 1);
        let fresh = before.is_none();
        write_record(&file, record, fresh).map_err(|error| Unusable::new(&file, error))?;
        if !kept && before.is_none_or(|before| before.leaves) {
            let _ = fs::remove_file(&path);
        }
        let pointer = self.pointer(record.place);
        let identity = format!("{}\n", record.identity);
        match read(&pointer, 64) {
            Ok(Some(there)) if there == identity.as_bytes() => Ok(()),
            there => {
                let before = there.ok().flatten().and_then(|text| {
                    let text = String::from_utf8(text).ok()?;
                    text.trim_end().parse::<EventId>().ok()
                });
                replace(&pointer, identity.as_bytes())
                    .map_err(|error| Unusable::new(&pointer, error))?;
                // What stood here is another vault now.
                if let Some(before) = before {
                    self.remove(before, record.place);
                }
                Ok(())
            }
        }
    }

    /// The last tree head that was published under the origin of the copy at a place.
    pub(crate) fn published(&self, place: Digest) -> Result<Option<SignedHead>, Unusable> {
        Ok(self.last_published(place)?.map(|last| last.head))
    }

    /// As [`Store::published`], with who published it.
    pub(crate) fn last_published(&self, place: Digest) -> Result<Option<LastHead>, Unusable> {
        let path = self.publisher(place);
        let Some(origin) = read(&path, 1 << 16).map_err(|error| Unusable::new(&path, error))?
        else {
            return Ok(None);
        };
        let head = self.last_of(&String::from_utf8_lossy(&origin))?;
        head.map(Some)
            .ok_or_else(|| Unusable::new(&path, "the tree head that it names is missing"))
    }

    /// The last tree head that was published under an origin, of whichever copy. It is never forgotten: under an origin
    /// nothing may ever be published that contradicts it.
    pub(crate) fn last_of(&self, origin: &str) -> Result<Option<LastHead>, Unusable> {
        let path = self.origin(origin);
        let text = read(&path, MAX_NOTE as u64).map_err(|error| Unusable::new(&path, error))?;
        let Some(text) = text else {
            return Ok(None);
        };
        let end =
            memchr::memchr(b'\n', &text).ok_or_else(|| Unusable::new(&path, "it is damaged"))?;
        let head = SignedHead::parse(&text[end + 1..]);
        Ok(Some(LastHead {
            by: String::from_utf8_lossy(&text[..end]).into_owned(),
            head: head.map_err(|error| Unusable::new(&path, error))?,
        }))
    }

    /// Keeps a tree head that is to be published of the copy at a place. Another process sees it, or the one before, as
    /// a whole.
    pub(crate) fn publish(
        &self,
        place: Digest,
        head: &SignedHead,
        _lock: &Lock,
    ) -> Result<(), Unusable> {
        let origin = head.head().origin.to_string();
        let (path, publisher) = (self.origin(&origin), self.publisher(place));
        let text = format!("{}\n{head}", name_of(place));
        replace(&path, text.as_bytes()).map_err(|error| Unusable::new(&path, error))?;
        match read(&publisher, 1 << 16) {
            Ok(Some(there)) if there == origin.as_bytes() => Ok(()),
            _ => replace(&publisher, origin.as_bytes())
                .map_err(|error| Unusable::new(&publisher, error)),
        }
    }

    /// Forgets under which origin the copy at a place publishes.
    pub(crate) fn unpublish(&self, place: Digest, _lock: &Lock) -> Result<(), Unusable> {
        let path = self.publisher(place);
        match fs::remove_file(&path) {
            Err(error) if !is_absence(&error) => Err(Unusable::new(&path, error)),
            _ => Ok(()),
        }
    }

    fn publisher(&self, place: Digest) -> PathBuf {
        self.0.join("publishers").join(name_of(place))
    }

    fn origin(&self, origin: &str) -> PathBuf {
        let name = name_of(Digest::of(origin.as_bytes()));
        self.0.join("origins").join(name)
    }

    /// Forgets a record.
    pub(crate) fn forget(&self, record: &Record, lock: &Lock) -> Result<(), Unusable> {
        let file = self.file(record.identity, record.place, "record");
        match fs::remove_file(&file) {
            Err(error) if !is_absence(&error) => return Err(Unusable::new(&file, error)),
            _ => self.remove(record.identity, record.place),
        }
        self.unpublish(record.place, lock)?;
        let pointer = self.pointer(record.place);
        let identity = format!("{}\n", record.identity);
        if read(&pointer, 64).is_ok_and(|text| text.as_deref() == Some(identity.as_bytes())) {
            let _ = fs::remove_file(&pointer);
        }
        Ok(())
    }

    fn remove(&self, identity: EventId, place: Digest) {
        for end in ["record", "leaves"] {
            let _ = fs::remove_file(self.file(identity, place, end));
        }
        // Stays while it holds records of other paths.
        let _ = fs::remove_dir(self.directory(identity));
    }

    fn pointer(&self, place: Digest) -> PathBuf {
        self.0.join("paths").join(name_of(place))
    }

    fn directory(&self, identity: EventId) -> PathBuf {
        self.0.join("vaults").join(identity.to_string())
    }

    fn file(&self, identity: EventId, place: Digest, end: &str) -> PathBuf {
        let name = format!("{}.{end}", name_of(place));
        self.directory(identity).join(name)
    }
}

/// Refuses a state directory within the vault.
fn outside(state: &Path, vault: Option<&Path>) -> Result<(), Unusable> {
    let there = state.ancestors().find_map(|at| fs::canonicalize(at).ok());
    match vault {
        Some(vault) if there.is_some_and(|there| there.starts_with(vault)) => {
            Err(Unusable::new(state, "it lies inside the vault"))
        }
        _ => Ok(()),
    }
}

/// Refuses what is not the user's own, or what others may write.
fn own(there: &fs::Metadata) -> Result<(), &'static str> {
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to another user");
    }
    match there.mode() & 0o022 {
        0 => Ok(()),
        _ => Err("others may write to it"),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What a directory of the memory holds, by name.
fn directory(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    found.sort_unstable();
    found
}

/// The files of records in a directory of one vault.
fn record_files(vault: &Path) -> Vec<PathBuf> {
    let mut files = directory(vault);
    files.retain(|path| path.extension().is_some_and(|end| end == "record"));
    files
}

/// Whether a file is called so but for what follows the last dot.
fn is_named(path: &Path, name: &str) -> bool {
    path.file_stem().is_some_and(|stem| stem == name)
}

fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<(File, fs::Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits() as i32).open(path)?;
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    own(&there).map_err(io::Error::other)?;
    Ok((file, there))
}

/// A file of at most `limit` bytes; `None` where there is none.
fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let (file, there) = match open_own(path, OpenOptions::new().read(true)) {
        Err(error) if is_absence(&error) => return Ok(None),
        opened => opened?,
    };
    if there.len() > limit {
        return Err(io::Error::other("it is too large"));
    }
    let mut bytes = Vec::with_capacity(there.len() as usize + 1);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a record beside the one before it, or, as the first one, into a new file.
fn write_record(path: &Path, record: &mut Record, fresh: bool) -> io::Result<()> {
    if !fresh {
        let (file, there) = open_own(path, OpenOptions::new().write(true))?;
        // A second name may be that of a copy.
        if there.nlink() == 1 {
            return file.write_all_at(&record.to_bytes(), record.offset());
        }
    }
    record.number = 0;
    replace(path, &record.to_bytes())
}

/// Puts a file in the place of what is there, as a whole. Under the lock, so that the name of the
/// unfinished one needs not be a new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        open_own(&unfinished, &mut options)?.0.write_all(bytes)?;
        fs::rename(&unfinished, path)
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(path.parent().expect("a file of the memory"))?;
            write()
        }
        written => written,
    }
    .inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

/// Writes the leaves after the first `from`, which must be there.
fn write_leaves(path: &Path, from: u64, leaves: &[Leaf]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(from == 0);
    let (file, there) = open_own(path, options.mode(0o600))?;
    let at = from * LEAF as u64;
    if there.len() < at {
        return Err(io::Error::other("the leaves before are not there"));
    }
    if there.len() > at {
        file.set_len(at)?;
    }
    file.write_all_at(leaves.as_flattened(), at)
}
