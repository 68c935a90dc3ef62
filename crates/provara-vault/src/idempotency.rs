//! Which events of a log have an idempotency key, and where: what a writer looks a repeated request up in.
//!
//! It is found in the log, and kept outside the vault so that the next writer need not look through all of it
//! again. The log decides: what is kept is taken only if the event tree over the lines that it was made of,
//! and over those that followed them, is that of the log as the writer found it, so that no key of the log can
//! be missing in it; and whoever is told of an event reads it in the log. What is kept is not synced, and is
//! made anew where it is lost, torn or of another log.
//!
//! The file is a header, which is rewritten in place, and behind it a record for each key, to which more are
//! added. A crash between the two leaves a header that says less than is there, and the rest is found in the
//! log again. Only who holds the vault's lock reads or writes it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use memchr::memmem;
use provara_core::bytes::{Decoder, Encoder};
use provara_core::id::Digest;
use provara_core::scan::{Field, Line, scan_line};
use provara_core::tree::{EventTree, leaf};
use sha2::{Digest as _, Sha256};

use crate::cache::{open_own, place, read, write};
use crate::error::{Context, VaultError};
use crate::log_snapshot::{LogSnapshot, lines_of};

/// What the file begins with. The number changes with the content.
const DOMAIN: &[u8] = b"provara idempotency keys 1 ";

/// The kind of the file in the cache directory.
const KIND: &str = "keyed";

/// Where the records begin, in bytes: a page, which a kill does not leave in part.
const HEADER: u64 = 4096;

/// One record: what the event is known by, where its line begins, and its number.
const RECORD: u64 = 32 + 8 + 8;

/// The largest file that is read, in bytes: some 40 million keys.
const LIMIT: u64 = 2 << 30;

/// How far the log may have grown, in bytes, before the header alone is renewed.
const BEHIND: u64 = 1 << 20;

/// The most that is read of the log without a map of it, in bytes.
const UNMAPPED: u64 = 4 << 20;

/// A log up to the end of one of its events.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// In bytes.
    pub(crate) length: u64,
    /// Over its events.
    pub(crate) tree: EventTree,
}

/// Where an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPlace {
    /// Its first byte.
    pub(crate) offset: u64,
    /// Its line, counted from 1.
    pub(crate) line: u64,
}

/// The events with an idempotency key: of each key the first.
#[derive(Debug, Default)]
pub(crate) struct KeyedEvents {
    places: HashMap<Digest, EventPlace>,
    /// Over the records that are kept, and those that are to be.
    digest: Sha256,
    kept: Kept,
    /// Records that are to be kept.
    fresh: Vec<u8>,
}

/// What the file holds.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    records: u64,
    /// The length of the log that it is about; 0 if there is no such file.
    length: u64,
}

/// What the event is known by that `actor` (the JSON text of the name) appends under `key`.
///
/// Hash input: the actor's JSON text, which holds no NUL; a NUL; the key.
pub(crate) fn known_as(actor: &[u8], key: &str) -> Digest {
    let hash = Sha256::new_with_prefix(actor)
        .chain_update([0])
        .chain_update(key);
    Digest(hash.finalize().into())
}

/// What the event of a line is known by, if it has a key.
pub(crate) fn known_as_of(line: &Line<'_>) -> Option<Digest> {
    let key = line.text(Field::IdempotencyKey)?;
    Some(known_as(line.raw(Field::Actor)?, &key))
}

impl KeyedEvents {
    /// Those of a log as a writer found it. Takes what is kept below `directory`, if that is of this log.
    pub(crate) fn of(
        log: &File,
        path: &Path,
        found: &Extent,
        directory: Option<&Path>,
        vault: &Path,
    ) -> Result<Self, VaultError> {
        let kept = directory.and_then(|directory| Self::load(directory, vault));
        if let Some((mut keyed, mut extent)) = kept
            && extent.length <= found.length
            && let Some(more) = range(log, path, extent.length, found.length)?
            && keyed.follow(&more, &mut extent).is_some()
            && extent.tree.size() == found.tree.size()
            && extent.tree.root() == found.tree.root()
        {
            return Ok(keyed);
        }
        let bytes = LogSnapshot::of_prefix(log, found.length, path)?;
        Ok(Self::read(&bytes))
    }

    /// Those of the lines of a log.
    fn read(log: &[u8]) -> Self {
        const MEMBER: &[u8] = b"\"idempotency_key\":";
        let mut keyed = Self::default();
        let (mut from, mut line) = (0, 1);
        let finder = memmem::Finder::new(MEMBER);
        while let Some(at) = finder.find(&log[from..]) {
            let at = from + at;
            let begin = memchr::memrchr(b'\n', &log[from..at]).map_or(from, |end| from + end + 1);
            line += memchr::memchr_iter(b'\n', &log[from..begin]).count() as u64;
            let end = memchr::memchr(b'\n', &log[at..]).map_or(log.len(), |end| at + end);
            if let Ok(scanned) = scan_line(&log[begin..end])
                && let Some(known_as) = known_as_of(&scanned)
            {
                let offset = begin as u64;
                keyed.add(known_as, EventPlace { offset, line });
            }
            // What follows in the same line is the same member, or none of the event's.
            from = (end + 1).min(log.len());
            line += 1;
        }
        keyed
    }

    /// Takes the lines of a log behind `extent`, which grows by them; nothing if one of them is none.
    fn follow(&mut self, lines: &[u8], extent: &mut Extent) -> Option<()> {
        for line in lines_of(lines) {
            let scanned = scan_line(line).ok()?;
            let place = EventPlace {
                offset: extent.length,
                line: extent.tree.size() + 1,
            };
            if let Some(known_as) = known_as_of(&scanned) {
                self.add(known_as, place);
            }
            extent.tree.push(leaf(&scanned));
            extent.length += line.len() as u64 + 1;
        }
        Some(())
    }

    /// Where the event stands that is known as that.
    pub(crate) fn get(&self, known_as: &Digest) -> Option<EventPlace> {
        self.places.get(known_as).copied()
    }

    /// Takes note of an event that is put behind all others.
    pub(crate) fn add(&mut self, known_as: Digest, place: EventPlace) {
        if let Entry::Vacant(vacant) = self.places.entry(known_as) {
            vacant.insert(place);
            let record = record(&known_as, place);
            self.digest.update(record);
            self.fresh.extend_from_slice(&record);
        }
    }

    fn load(directory: &Path, vault: &Path) -> Option<(Self, Extent)> {
        let bytes = read(&place(directory, vault, KIND)?, LIMIT)?;
        let (header, records) = bytes.split_at_checked(HEADER as usize)?;
        let mut from = Decoder(header.strip_prefix(identity(vault).as_slice())?);
        let extent = Extent {
            length: from.u64()?,
            tree: EventTree::from_bytes(from.sized()?)?,
        };
        let count = from.u64()?;
        let digest: [u8; 32] = from.array()?;
        let content = &header[..header.len() - from.0.len()];
        if from.raw(32)? != Digest::of(content).0 {
            return None;
        }
        // Behind them may be more, of a writer that was ended before it changed the header.
        let records = records.get(..usize::try_from(count.checked_mul(RECORD)?).ok()?)?;
        let mut keyed = Self {
            digest: Sha256::new_with_prefix(records),
            kept: Kept {
                records: count,
                length: extent.length,
            },
            ..Self::default()
        };
        if keyed.digest.clone().finalize()[..] != digest {
            return None;
        }
        keyed.places.reserve(records.len() / RECORD as usize);
        let mut from = Decoder(records);
        while !from.ended() {
            let known_as = Digest(from.array()?);
            let (offset, line) = (from.u64()?, from.u64()?);
            keyed.places.insert(known_as, EventPlace { offset, line });
        }
        Some((keyed, extent))
    }

    /// Keeps what is known of a log that is durable up to `extent`. Failing to costs the next writer its
    /// time, and nothing else.
    pub(crate) fn store(&mut self, directory: &Path, vault: &Path, extent: &Extent) {
        let grown = extent.length.saturating_sub(self.kept.length);
        if self.fresh.is_empty() && self.kept.length > 0 && grown < BEHIND {
            return;
        }
        let Some(path) = place(directory, vault, KIND) else {
            return;
        };
        let records = self.places.len() as u64;
        if self.kept.length == 0 || self.extend(&path, vault, extent).is_err() {
            let mut all: Vec<_> = self.places.iter().collect();
            all.sort_unstable_by_key(|(_, place)| place.offset);
            let all: Vec<u8> = all
                .into_iter()
                .flat_map(|(it, at)| record(it, *at))
                .collect();
            self.digest = Sha256::new_with_prefix(&all);
            if write(&path, &[&self.header(vault, extent), &all]).is_err() {
                return;
            }
        }
        self.fresh.clear();
        self.kept = Kept {
            records,
            length: extent.length,
        };
    }

    /// Adds to the file what it lacks, and then says so in its header.
    fn extend(&self, path: &Path, vault: &Path, extent: &Extent) -> io::Result<()> {
        let file = open_own(path, OpenOptions::new().write(true));
        let end = HEADER + self.kept.records * RECORD;
        match file {
            // A second name may be that of a copy.
            Some((file, there)) if there.nlink() == 1 && there.len() >= end => {
                file.write_all_at(&self.fresh, end)?;
                file.write_all_at(&self.header(vault, extent), 0)
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn header(&self, vault: &Path, extent: &Extent) -> Vec<u8> {
        let mut header = Encoder(identity(vault));
        header.u64(extent.length);
        header.sized(&extent.tree.to_bytes());
        header.u64(self.places.len() as u64);
        header.raw(&self.digest.clone().finalize());
        let checksum = Digest::of(&header.0);
        header.raw(&checksum.0);
        header.0.resize(HEADER as usize, 0);
        header.0
    }
}

fn record(known_as: &Digest, place: EventPlace) -> [u8; RECORD as usize] {
    let mut record = [0; RECORD as usize];
    record[..32].copy_from_slice(&known_as.0);
    record[32..40].copy_from_slice(&place.offset.to_le_bytes());
    record[40..].copy_from_slice(&place.line.to_le_bytes());
    record
}

/// What the file is about.
fn identity(vault: &Path) -> Vec<u8> {
    [DOMAIN, &Digest::of(vault.as_os_str().as_bytes()).0].concat()
}

/// The bytes of the log from `from` up to `to`, where they begin a line.
fn range(log: &File, path: &Path, from: u64, to: u64) -> Result<Option<Vec<u8>>, VaultError> {
    let begin = from.saturating_sub(1);
    let mut bytes = match to - begin {
        length if length <= UNMAPPED => {
            let mut bytes = vec![0; length as usize];
            log.read_exact_at(&mut bytes, begin).context("read", path)?;
            bytes
        }
        _ => LogSnapshot::of_prefix(log, to, path)?[begin as usize..].to_vec(),
    };
    if from > 0 && bytes.first() != Some(&b'\n') {
        return Ok(None);
    }
    bytes.drain(..(from - begin) as usize);
    Ok(Some(bytes))
}
