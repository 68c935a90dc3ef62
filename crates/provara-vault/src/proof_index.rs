//! The index of a log that proofs are made from, kept in the user's cache directory: where lines start, the roots of
//! complete subtrees of the event tree, which line has which event, which events speak of keys.
//!
//! It is of one state of one vault: the path, the log's inode, length and times of change with its last 16 KiB, the files
//! of the seal and of the keys byte for byte, the other files of the manifest by their inodes, sizes and times of change,
//! and what this machine remembers of other copies. Anything else there, and there is no index: the log is
//! verified, and its leaves are hashed anew. It is written only of a log that verified, was not changed meanwhile,
//! and of which nothing was to be warned of.
//!
//! The tables are read in places, so no checksum covers them. What they say is checked by the proof itself: an event's
//! line has the id that was asked for, and the lines and the roots lead to the root of a signed tree head. A table that is
//! wrong can only fail that. The list of the key events cannot be checked so, as it could lack one: it
//! is in the head of the file, under a checksum. That is against accidents; against whoever writes the user's own
//! files there is no defence, as for the cache of verifications ([`crate::verification_cache`]).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use provara_core::bytes::{Decoder, Encoder};
use provara_core::history::KeyEvent;
use provara_core::id::{Digest, EventId};
use provara_core::layout::{GENESIS, KEYS, LOG, MANIFEST, MANIFEST_SIG, MERKLE_ROOT};
use provara_core::scan::{Field, scan_line};
use provara_core::tree::proof::{Subtrees, root_over};
use provara_core::tree::{self, node};

use crate::cache::{open_own, place, write};
use crate::files::read_text;
use crate::key_events::key_lines;
use crate::log_snapshot::lines_of;
use crate::memory::{Store, place_of};
use crate::seal::entries_of;
use crate::vault::Vault;

/// What the file begins with. The number changes with the content.
const DOMAIN: &[u8] = b"provara proof index 1\0";

/// How much of the log's end is compared, in bytes.
const COMPARED: u64 = 16 << 10;

/// Of how many lines the first one's start is known, and how many leaves the smallest subtree has whose root is.
const BLOCK: u64 = 64;

/// An entry of the table of ids: the first eight bytes of an id, and the place of its event, both big-endian.
const ENTRY: u64 = 12;

/// The most events in every proof with which an index is kept.
const MOST_ALWAYS: usize = 1 << 16;

/// The largest part of the log that is read for one line or for one block, in bytes.
const MOST_READ: u64 = 64 << 20;

/// One state of a vault, as far as it can be told without a verification.
#[derive(Debug)]
pub(crate) struct VaultState {
    log: File,
    /// In bytes.
    length: u64,
    /// What tells its files from any others.
    files: Vec<u8>,
    /// What is remembered of it. A verification may add to that.
    memory: Vec<u8>,
}

impl VaultState {
    /// The state now; `None` where no index can be kept of it.
    pub(crate) fn of(vault: &Vault) -> Option<Self> {
        if vault.is_archive() {
            return None;
        }
        let log = vault.open_log_file().ok()?;
        let there = log.metadata().ok()?;
        let compared = there.len().min(COMPARED);
        let mut end = vec![0; compared as usize];
        log.read_exact_at(&mut end, there.len() - compared).ok()?;
        let mut identity = Encoder::default();
        identity.sized(env!("CARGO_PKG_VERSION").as_bytes());
        identity.sized(vault.path().as_os_str().as_bytes());
        stand(&mut identity, &there);
        identity.raw(&Digest::of(&end).0);
        let manifest = read_text(vault.path(), MANIFEST).ok()??;
        for name in [GENESIS, KEYS, MANIFEST_SIG, MERKLE_ROOT] {
            let text = read_text(vault.path(), name).ok()?;
            identity.sized(&text.unwrap_or_default());
        }
        for entry in entries_of(&manifest).ok()? {
            if entry.path != LOG {
                let path = vault.inner_file(&entry.path).ok()?;
                stand(&mut identity, &fs::symlink_metadata(path).ok()?);
            }
        }
        identity.sized(&manifest);
        Some(Self {
            log,
            length: there.len(),
            files: identity.0,
            memory: remembered(vault)?,
        })
    }

    /// Whether it is the state of `vault` still.
    pub(crate) fn is_that_of(&self, vault: &Vault) -> bool {
        Self::of(vault).is_some_and(|now| now.files == self.files && now.memory == self.memory)
    }
}

/// What changes of a file whenever its bytes do.
fn stand(identity: &mut Encoder, there: &fs::Metadata) {
    for number in [there.dev(), there.ino(), there.len()] {
        identity.u64(number);
    }
    for time in [
        there.mtime(),
        there.mtime_nsec(),
        there.ctime(),
        there.ctime_nsec(),
    ] {
        identity.i64(time);
    }
}

/// What this machine remembers of the vault at its path and at others; `None` where that cannot be read.
fn remembered(vault: &Vault) -> Option<Vec<u8>> {
    let mut memory = Encoder::default();
    if !vault.has_memory() {
        return Some(memory.0);
    }
    let store = Store::open(vault.state_directory(), Some(vault.path())).ok()?;
    let own = store.as_ref().map(|store| store.recall(vault.path()));
    let Some(own) = own.transpose().ok()?.flatten() else {
        return Some(memory.0);
    };
    let store = store.expect("it recalled");
    let mut records = store.of_vault_but(own.identity, &[place_of(vault.path())]);
    records.sort_by_key(|record| record.place);
    for record in [own].iter().chain(&records) {
        memory.raw(&record.place.0);
        memory.raw(&record.identity.0);
        memory.u64(record.size);
        memory.raw(&record.tree_root.0);
    }
    Some(memory.0)
}

/// An index, open.
#[derive(Debug)]
pub(crate) struct ProofIndex {
    log: File,
    length: u64,
    file: File,
    /// Where the tables begin.
    tables: u64,
    /// How many events there are.
    pub(crate) events: u64,
    /// The places of the events that are in every proof, ascending: those that speak of keys, and the trust boundaries.
    pub(crate) always: Vec<u64>,
    /// Whether something could not be read.
    failed: Cell<bool>,
}

impl ProofIndex {
    /// The index of the vault as it is in `state`, if there is one.
    pub(crate) fn open(vault: &Vault, state: &VaultState) -> Option<Self> {
        let path = place(vault.cache_directory()?, vault.path(), "proofs")?;
        let (file, there) = open_own(&path, OpenOptions::new().read(true))?;
        let mut start = vec![0; DOMAIN.len() + 8];
        file.read_exact_at(&mut start, 0).ok()?;
        let length = start.strip_prefix(DOMAIN)?;
        let length = u64::from_le_bytes(length.try_into().ok()?);
        if length > there.len() || length > MOST_READ {
            return None;
        }
        let mut head = vec![0; length as usize];
        file.read_exact_at(&mut head, start.len() as u64).ok()?;
        let (content, checksum) = head.split_at_checked(head.len().checked_sub(32)?)?;
        if Digest::of(content).0 != checksum {
            return None;
        }
        let mut from = Decoder(content);
        (from.sized()? == state.files && from.sized()? == state.memory).then_some(())?;
        let events = from.u64()?;
        let mut always = Vec::new();
        while !from.ended() {
            always.push(from.u64()?);
        }
        let index = Self {
            log: state.log.try_clone().ok()?,
            length: state.length,
            file,
            tables: start.len() as u64 + length,
            events,
            always,
            failed: Cell::new(false),
        };
        (there.len() == index.ids_at() + events * ENTRY).then_some(index)
    }

    /// Keeps the index of a log that verified, is the one in `state`, and has these leaves. Failing to costs the next
    /// proof its time, and nothing else.
    pub(crate) fn keep(vault: &Vault, state: &VaultState, log: &[u8], leaves: &[Digest]) {
        let kept = || {
            if log.len() as u64 != state.length || u32::try_from(leaves.len()).is_err() {
                return None;
            }
            let path = place(vault.cache_directory()?, vault.path(), "proofs")?;
            let Tables {
                starts,
                ids,
                always,
            } = Tables::of(log)?;
            if ids.len() != leaves.len() || always.len() > MOST_ALWAYS {
                return None;
            }
            // What verified is what is in `state` only if that still stands there.
            let now = VaultState::of(vault)?;
            (now.files == state.files).then_some(())?;
            let mut content = Encoder::default();
            content.sized(&now.files);
            content.sized(&now.memory);
            content.u64(leaves.len() as u64);
            always.iter().for_each(|at| content.u64(*at));
            let checksum = Digest::of(&content.0);
            let length = (content.0.len() as u64 + 32).to_le_bytes();
            let ids: Vec<u8> = ids
                .iter()
                .flat_map(|(id, at)| {
                    let mut entry = [0; ENTRY as usize];
                    entry[..8].copy_from_slice(&id.to_be_bytes());
                    entry[8..].copy_from_slice(&at.to_be_bytes());
                    entry
                })
                .collect();
            let starts: Vec<u8> = starts.iter().flat_map(|at| at.to_le_bytes()).collect();
            let parts: [&[u8]; 7] = [
                DOMAIN,
                &length,
                &content.0,
                &checksum.0,
                &starts,
                &roots(leaves),
                &ids,
            ];
            write(&path, &parts).ok()
        };
        let _ = kept();
    }

    /// Whether something that was asked for could not be read.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    fn roots_at(&self) -> u64 {
        self.tables + self.events.div_ceil(BLOCK) * 8
    }

    fn ids_at(&self) -> u64 {
        let levels = (0..64).map(|level| (self.events / BLOCK) >> level);
        self.roots_at() + levels.sum::<u64>() * 32
    }

    /// The line at this place.
    pub(crate) fn line(&self, at: u64) -> Option<Vec<u8>> {
        self.lines(at..at + 1)?.pop()
    }

    /// These lines.
    pub(crate) fn lines(&self, places: Range<u64>) -> Option<Vec<Vec<u8>>> {
        let count = places.end.checked_sub(places.start)?;
        if count == 0 || places.end > self.events {
            return None;
        }
        let first = places.start / BLOCK;
        let bytes = self.bytes(first..places.end.div_ceil(BLOCK))?;
        let lines = lines_of(&bytes).skip((places.start - first * BLOCK) as usize);
        let lines: Vec<_> = lines.take(count as usize).map(<[u8]>::to_vec).collect();
        (lines.len() as u64 == count).then_some(lines)
    }

    /// The bytes of these blocks of the log.
    fn bytes(&self, blocks: Range<u64>) -> Option<Vec<u8>> {
        let from = self.start(blocks.start)?;
        let to = match blocks.end < self.events.div_ceil(BLOCK) {
            true => self.start(blocks.end)?,
            false => self.length,
        };
        let length = to.checked_sub(from).filter(|it| *it <= MOST_READ)?;
        let mut bytes = vec![0; length as usize];
        self.log.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes)
    }

    fn start(&self, block: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let at = self.tables + block * 8;
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// The place and the line of the event with this id, the first one that has it.
    pub(crate) fn find(&self, id: EventId) -> Option<(u64, Vec<u8>)> {
        let wanted = prefix(id);
        let (mut low, mut high) = (0, self.events);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)?.0 < wanted {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        while low < self.events {
            let (found, at) = self.entry(low)?;
            if found != wanted {
                break;
            }
            let line = self.line(u64::from(at))?;
            if id_of(&line) == Some(id) {
                return Some((u64::from(at), line));
            }
            low += 1;
        }
        None
    }

    fn entry(&self, number: u64) -> Option<(u64, u32)> {
        let mut bytes = [0; ENTRY as usize];
        let at = self.ids_at() + number * ENTRY;
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let (id, at) = bytes.split_at(8);
        let id = u64::from_be_bytes(id.try_into().ok()?);
        Some((id, u32::from_be_bytes(at.try_into().ok()?)))
    }

    /// The root over the complete subtree of 64 · 2^`level` leaves with this number.
    fn kept_root(&self, level: u32, number: u64) -> Option<Digest> {
        let before = (0..level).map(|level| (self.events / BLOCK) >> level);
        let at = self.roots_at() + (before.sum::<u64>() + number) * 32;
        let mut root = [0; 32];
        self.file.read_exact_at(&mut root, at).ok()?;
        Some(Digest(root))
    }

    fn root_of(&self, leaves: &Range<u64>) -> Option<Digest> {
        let size = leaves.end - leaves.start;
        if size < BLOCK {
            let hashed = self.lines(leaves.clone())?;
            let hashed = hashed.iter().map(|line| leaf(line));
            return Some(root_over(&hashed.collect::<Option<Vec<_>>>()?));
        }
        if size.is_power_of_two() && leaves.start.is_multiple_of(size) {
            let level = (size / BLOCK).ilog2();
            return self.kept_root(level, leaves.start / size);
        }
        let middle = leaves.start + (1 << (size - 1).ilog2());
        let left = self.root_of(&(leaves.start..middle))?;
        let right = self.root_of(&(middle..leaves.end))?;
        Some(node(left, right))
    }
}

impl Subtrees for ProofIndex {
    /// What cannot be read is no root, and leads to none.
    fn root(&self, leaves: Range<u64>) -> Digest {
        self.root_of(&leaves).unwrap_or_else(|| {
            self.failed.set(true);
            Digest([0; 32])
        })
    }
}

/// The leaf of a line.
pub(crate) fn leaf(line: &[u8]) -> Option<Digest> {
    scan_line(line).ok().map(|line| tree::leaf(&line))
}

fn id_of(line: &[u8]) -> Option<EventId> {
    let line = scan_line(line).ok()?;
    line.text(Field::EventId)?.parse().ok()
}

fn prefix(id: EventId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().expect("eight bytes"))
}

/// What is kept of the lines of a log.
struct Tables {
    /// Where each block of lines starts.
    starts: Vec<u64>,
    /// The beginnings of all ids with their places, sorted.
    ids: Vec<(u64, u32)>,
    /// The places of the events that are in every proof, ascending.
    always: BTreeSet<u64>,
}

impl Tables {
    fn of(log: &[u8]) -> Option<Self> {
        let mut boundaries = BTreeSet::new();
        let mut tables = Self {
            starts: Vec::new(),
            ids: Vec::new(),
            always: BTreeSet::new(),
        };
        for (event, _) in key_lines(log) {
            tables.always.insert(event.number - 1);
            boundaries.extend(boundary(&event));
        }
        let mut offset = 0;
        for (at, line) in (0_u32..).zip(lines_of(log)) {
            if u64::from(at).is_multiple_of(BLOCK) {
                tables.starts.push(offset);
            }
            offset += line.len() as u64 + 1;
            let id = id_of(line)?;
            tables.ids.push((prefix(id), at));
            if boundaries.remove(&id) {
                tables.always.insert(u64::from(at));
            }
        }
        tables.ids.sort_unstable();
        Some(tables)
    }
}

/// Up to which event a key was trusted that this one revokes.
pub(crate) fn boundary(event: &KeyEvent) -> Option<EventId> {
    let id = event.payload.get("trust_boundary_event_id")?.as_str()?;
    id.parse().ok()
}

/// The roots of the complete subtrees of 64 leaves, then of 128, and so on.
fn roots(leaves: &[Digest]) -> Vec<u8> {
    let (blocks, _) = leaves.as_chunks::<{ BLOCK as usize }>();
    let mut level: Vec<_> = blocks.iter().map(|block| root_over(block)).collect();
    let mut all = Vec::new();
    while !level.is_empty() {
        all.extend(level.iter().flat_map(|root| root.0));
        let (pairs, _) = level.as_chunks();
        level = pairs
            .iter()
            .map(|[left, right]| node(*left, *right))
            .collect();
    }
    all
}
