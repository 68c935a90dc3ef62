//! Which states of a log a root is of: Sealed(N) of spec/VAULT_FORMAT, section 5, and the search for N.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::thread;

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

use super::is_evidence_beside_log;
use crate::id::Digest;
use crate::layout::{KEYS, LOG, anchor_kind, checkpoint_events};
use crate::manifest::FileEntry;
use crate::scan::{Field, scan_line};
use crate::time::Timestamp;
use crate::verify::files::DiskEntry;

/// How many line ends one thread gives another at a time.
const PIECE: usize = 4096;

/// What a seal covers after each number of events: the files that are the same throughout, and those that
/// change with the log.
#[derive(Debug)]
pub(super) struct SealedFiles {
    /// All but the log, `keys.json`, the checkpoints and the anchors.
    rest: Vec<FileEntry>,
    /// The anchors: listed ones, as a seal and its anchors change as one.
    anchors: Vec<FileEntry>,
    /// By the number of events that each is of.
    checkpoints: BTreeMap<u64, FileEntry>,
    /// `keys.json`, and from how many events on it says so; the first from the start.
    keys: Vec<(u64, FileEntry)>,
}

impl SealedFiles {
    /// `listed` are the manifest's entries, `disk` what stands in the vault: of checkpoints it is the disk
    /// that counts.
    pub(super) fn new(
        listed: impl Iterator<Item = FileEntry>,
        disk: &BTreeMap<String, DiskEntry>,
        keys: impl Iterator<Item = (u64, Vec<u8>)>,
    ) -> Self {
        let entry = |path: &str, text: &[u8]| FileEntry {
            path: path.to_owned(),
            sha256: Digest::of(text),
            size: text.len() as u64,
        };
        let checkpoints = disk.iter().filter_map(|(path, entry)| match entry {
            DiskEntry::File { size, sha256 } => Some((
                checkpoint_events(path)?,
                FileEntry {
                    path: path.clone(),
                    sha256: *sha256,
                    size: *size,
                },
            )),
            DiskEntry::Other(_) => None,
        });
        let listed = listed.filter(|entry| {
            is_evidence_beside_log(&entry.path) || anchor_kind(&entry.path).is_some()
        });
        let (anchors, rest) = listed.partition(|entry| anchor_kind(&entry.path).is_some());
        Self {
            rest,
            anchors,
            checkpoints: checkpoints.collect(),
            keys: keys
                .map(|(from, text)| (from, entry(KEYS, &text)))
                .collect(),
        }
    }

    /// The digests that `keys.json` has over the log.
    pub(super) fn keys_digests(&self) -> impl Iterator<Item = Digest> {
        self.keys.iter().map(|(_, entry)| entry.sha256)
    }

    /// The Merkle root over the files beside the log, `keys.json`, the checkpoints and the anchors, and their
    /// number.
    pub(super) fn rest(&self) -> (u64, Digest) {
        let mut rest: Vec<&FileEntry> = self.rest.iter().collect();
        rest.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let root = crate::manifest::merkle_root(rest.iter().map(|entry| entry.leaf()));
        (rest.len() as u64, root)
    }

    /// The roots that a seal may have after `events` events: with every checkpoint up to there, and
    /// without the one of exactly there, which may be younger.
    fn stages(&self, events: u64) -> Vec<Stage> {
        let keys = self.keys.iter().rev().find(|(from, _)| *from <= events);
        let keys = keys.map(|(_, entry)| entry);
        let until = |end: u64| {
            let checkpoints = self.checkpoints.range(..=end).map(|(_, entry)| entry);
            let same = self.rest.iter().chain(&self.anchors);
            Stage::of(same.chain(keys).chain(checkpoints))
        };
        let mut stages = vec![until(events)];
        if self.checkpoints.contains_key(&events) && events > 0 {
            stages.push(until(events - 1));
        }
        stages
    }

    /// Where the stages change, after `events`.
    fn next_change(&self, events: u64) -> u64 {
        let keys = self.keys.iter().map(|(from, _)| *from);
        // One with a checkpoint of exactly so many events differs from its neighbours on either side.
        let checkpoints = self.checkpoints.keys().flat_map(|at| [*at, *at + 1]);
        let changes = keys.chain(checkpoints).filter(|at| *at > events);
        changes.min().unwrap_or(u64::MAX)
    }

    /// Whether a seal after `events` events, over a log of these bytes, has this root.
    pub(super) fn is_root(&self, target: Digest, events: u64, log: Digest, length: u64) -> bool {
        let mut stages = self.stages(events).into_iter();
        stages.any(|stage| stage.root(log, length) == target)
    }

    /// As [`SealedFiles::find`], near where the events' times pass the time at which the seal was `signed`:
    /// all that an honest seal needs, unless a merge has put its events in another order.
    pub(super) fn find_near(
        &self,
        target: Digest,
        log: &[u8],
        low: usize,
        signed: Timestamp,
    ) -> Option<(u64, u64)> {
        // A batch gives events their times and seals them some 16 MiB of the log later, at most.
        const BEFORE: usize = 32 << 20;
        const AFTER: usize = 1 << 20;
        let passes = passing(log, signed);
        let from = line_end(log, passes.saturating_sub(BEFORE)).max(low);
        let to = line_end(log, passes.saturating_add(AFTER).min(log.len()));
        let first = memchr::memchr_iter(b'\n', log.get(..from)?).count() as u64;
        self.find(target, &log[..to.max(from)], (first, from), 1)
    }

    /// The number of events, and the bytes of the log, after which a seal has the root `target`; looked
    /// for from the line end at `from` on, which is after `first` events, up to the end of the log.
    pub(super) fn find(
        &self,
        target: Digest,
        log: &[u8],
        (first, from): (u64, usize),
        threads: usize,
    ) -> Option<(u64, u64)> {
        let whole = &log[..memchr::memrchr(b'\n', log).map_or(0, |end| end + 1)];
        if from > whole.len() {
            return None;
        }
        let mut hasher = Sha256::new_with_prefix(&whole[..from]);
        if self.is_root(target, first, digest(&hasher), from as u64) {
            return Some((first, from as u64));
        }
        let mut at = from;
        let mut number = first;
        let mut next_piece = || {
            let mut piece = Vec::with_capacity(PIECE);
            while piece.len() < PIECE
                && let Some(length) = memchr::memchr(b'\n', &whole[at..])
            {
                let end = at + length + 1;
                hasher.update(&whole[at..end]);
                (at, number) = (end, number + 1);
                piece.push((number, end as u64, hasher.clone()));
            }
            (!piece.is_empty()).then_some(piece)
        };
        if threads < 2 || whole.len() - from < 1 << 20 {
            while let Some(piece) = next_piece() {
                if let Some(found) = self.find_in(target, piece) {
                    return Some(found);
                }
            }
            return None;
        }
        // The hash goes on in one thread; what follows from it at each line end is up to another, and
        // to the first where that falls behind.
        thread::scope(|scope| {
            let (pieces, taken) = sync_channel(8);
            let (found, answers) = sync_channel(1);
            scope.spawn(move || {
                while let Ok(piece) = taken.recv() {
                    if let Some(at) = self.find_in(target, piece) {
                        let _ = found.send(at);
                        return;
                    }
                }
            });
            while let Some(piece) = next_piece() {
                if let Err(refused) = pieces.try_send(piece) {
                    use std::sync::mpsc::TrySendError::{Disconnected, Full};
                    match refused {
                        Full(piece) => {
                            if let Some(at) = self.find_in(target, piece) {
                                return Some(at);
                            }
                        }
                        Disconnected(_) => break,
                    }
                }
            }
            drop(pieces);
            answers.recv().ok()
        })
    }

    fn find_in(&self, target: Digest, piece: Vec<(u64, u64, Sha256)>) -> Option<(u64, u64)> {
        let (mut stages, mut until) = (Vec::new(), 0);
        for (number, length, hasher) in piece {
            if number >= until {
                stages = self.stages(number);
                until = self.next_change(number);
            }
            let log = digest(&hasher);
            if stages.iter().any(|stage| stage.root(log, length) == target) {
                return Some((number, length));
            }
        }
        None
    }
}

/// The end of the line that byte `at` of the log stands in; 0 for the start of the log.
fn line_end(log: &[u8], at: usize) -> usize {
    match at.checked_sub(1) {
        None => 0,
        Some(before) => {
            memchr::memchr(b'\n', &log[before..]).map_or(log.len(), |length| before + length + 1)
        }
    }
}

/// Where the times of the log's events pass `time`, if they are in order.
fn passing(log: &[u8], time: Timestamp) -> usize {
    let (mut low, mut high) = (0, log.len());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let start = line_end(log, middle);
        let line = &log[start..];
        let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
        let stated = scan_line(line)
            .ok()
            .and_then(|line| line.text(Field::TimestampUtc)?.parse::<Timestamp>().ok());
        match stated {
            Some(stated) if stated <= time => low = middle,
            _ => high = middle,
        }
    }
    high
}

fn digest(hasher: &Sha256) -> Digest {
    Digest(hasher.clone().finalize().into())
}

/// The entries of a seal with a gap for that of the log: what stands beside its path to the root.
#[derive(Debug)]
struct Stage(Vec<Beside>);

/// What a node on the path is hashed with.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Left(Digest),
    Right(Digest),
    /// An odd last node is paired with itself.
    Itself,
}

impl Stage {
    fn of<'a>(others: impl Iterator<Item = &'a FileEntry>) -> Self {
        let mut others: Vec<_> = others.collect();
        others.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut at = others.partition_point(|entry| entry.path.as_str() < LOG);
        let mut level: Vec<Digest> = others.iter().map(|entry| entry.leaf()).collect();
        level.insert(at, Digest([0; 32]));
        let mut path = Vec::new();
        while level.len() > 1 {
            path.push(match (at % 2, level.get(at + 1)) {
                (1, _) => Beside::Left(level[at - 1]),
                (_, Some(right)) => Beside::Right(*right),
                (_, None) => Beside::Itself,
            });
            let node = |pair: &[Digest]| pair_hash(pair[0], *pair.last().expect("one or two"));
            level = level.chunks(2).map(node).collect();
            at /= 2;
        }
        Self(path)
    }

    fn root(&self, log: Digest, length: u64) -> Digest {
        let leaf = log_leaf(log, length);
        self.0.iter().fold(leaf, |node, beside| match *beside {
            Beside::Left(left) => pair_hash(left, node),
            Beside::Right(right) => pair_hash(node, right),
            Beside::Itself => pair_hash(node, node),
        })
    }
}

/// The leaf of the log's entry, as [`FileEntry::leaf`] has it, without a tree: it is asked for at every line
/// end of a search.
fn log_leaf(log: Digest, length: u64) -> Digest {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const BEFORE: &[u8] = b"{\"path\":\"events/events.ndjson\",\"sha256\":\"";
    const BETWEEN: &[u8] = b"\",\"size\":";
    // Of all this, of a length of 20 digits and of what closes it, there are 135.
    let mut text = [0; 136];
    text[..BEFORE.len()].copy_from_slice(BEFORE);
    let mut at = BEFORE.len();
    for byte in log.0 {
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text[at..at + BETWEEN.len()].copy_from_slice(BETWEEN);
    at += BETWEEN.len();
    let digits = length.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = length;
    for digit in text[at..at + digits].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at += digits;
    text[at] = b'}';
    short_digest(&text[..=at])
}

/// SHA-256 of at most four blocks with their padding, without the buffering of a stream: a search comes here
/// five times at every line end (FIPS 180-4, sections 5.1.1 and 6.2).
fn short_digest(bytes: &[u8]) -> Digest {
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    let mut padded = [[0u8; 64]; 4];
    let flat = padded.as_flattened_mut();
    flat[..bytes.len()].copy_from_slice(bytes);
    flat[bytes.len()] = 0x80;
    let blocks = (bytes.len() + 9).div_ceil(64);
    let bits = (bytes.len() as u64 * 8).to_be_bytes();
    flat[blocks * 64 - 8..blocks * 64].copy_from_slice(&bits);
    let mut state = INITIAL;
    compress256(&mut state, &padded[..blocks]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Digest(digest)
}

/// The node of the manifest's Merkle tree (section 5): SHA-256 of the two, without a prefix.
fn pair_hash(left: Digest, right: Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    short_digest(&both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{KEYS, LOG};
    use crate::manifest::merkle_root;

    fn entry(path: &str, text: &[u8]) -> FileEntry {
        FileEntry {
            path: path.into(),
            sha256: Digest::of(text),
            size: text.len() as u64,
        }
    }

    fn files() -> SealedFiles {
        let checkpoint = |n: u64| {
            let path = format!("checkpoints/{n:010}.chk");
            let file = DiskEntry::File {
                size: n,
                sha256: Digest([n as u8; 32]),
            };
            (path, file)
        };
        let disk = [checkpoint(2), checkpoint(5)].into();
        let rest = ["a", "identity/genesis.json", "z/1", "z/2"].map(|path| entry(path, b"x"));
        let keys = [(0, b"first".to_vec()), (4, b"second".to_vec())];
        SealedFiles::new(rest.into_iter(), &disk, keys.into_iter())
    }

    fn expected(log: &[u8], keys: &[u8], checkpoints: &[u64]) -> Digest {
        let mut all = ["a", "identity/genesis.json", "z/1", "z/2"]
            .map(|path| entry(path, b"x"))
            .to_vec();
        all.push(entry(LOG, log));
        all.push(entry(KEYS, keys));
        all.extend(checkpoints.iter().map(|n| FileEntry {
            path: format!("checkpoints/{n:010}.chk"),
            sha256: Digest([*n as u8; 32]),
            size: *n,
        }));
        all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        merkle_root(all.iter().map(FileEntry::leaf))
    }

    #[test]
    fn every_prefix_is_found_with_the_files_of_its_time() {
        let files = files();
        let lines: Vec<String> = (1..=7).map(|n| format!("line {n}\n")).collect();
        let log = lines.concat();
        for n in 1..=7u64 {
            let prefix = lines[..n as usize].concat();
            let keys: &[u8] = if n < 4 { b"first" } else { b"second" };
            let until =
                |end: u64| -> Vec<u64> { [2, 5].into_iter().filter(|at| *at <= end).collect() };
            for checkpoints in [until(n), until(n - 1)] {
                let target = expected(prefix.as_bytes(), keys, &checkpoints);
                let found = files.find(target, log.as_bytes(), (0, 0), 1);
                assert_eq!(found, Some((n, prefix.len() as u64)), "{n}");
                // Not below the bound.
                let bound = lines[..6].concat().len();
                let found = files.find(target, log.as_bytes(), (6, bound), 1);
                assert_eq!(found.is_some(), n >= 6, "{n}");
            }
        }
        assert_eq!(files.find(Digest([1; 32]), log.as_bytes(), (0, 0), 1), None);
        assert_eq!(files.rest().0, 4);
        // A checkpoint that stands for longer than one event is in every later seal.
        let without = expected(lines[..3].concat().as_bytes(), b"first", &[]);
        assert_eq!(files.find(without, log.as_bytes(), (0, 0), 1), None);
    }

    #[test]
    fn a_checkpoint_of_no_events_is_older_than_every_seal() {
        let path = "checkpoints/0000000000.chk";
        let sha256 = Digest([0; 32]);
        let disk = [(path.to_owned(), DiskEntry::File { size: 0, sha256 })].into();
        let files = SealedFiles::new([].into_iter(), &disk, [].into_iter());
        assert_eq!(files.stages(0).len(), 1);
    }

    #[test]
    fn a_search_may_begin_at_the_end_and_not_beyond_it() {
        let files = files();
        let (whole, torn) = ("1\n2\n", "1\n2\n3");
        let target = expected(whole.as_bytes(), b"first", &[2]);
        for log in [whole, torn] {
            assert_eq!(files.find(target, log.as_bytes(), (2, 4), 1), Some((2, 4)));
        }
        assert_eq!(files.find(target, torn.as_bytes(), (3, 5), 1), None);
    }

    #[test]
    fn short_digests_are_sha256() {
        let bytes = [0x5a; 247];
        for length in 0..=bytes.len() {
            assert_eq!(short_digest(&bytes[..length]), Digest::of(&bytes[..length]));
        }
    }

    #[test]
    fn the_leaf_of_the_log_is_that_of_its_entry() {
        for size in [
            0,
            9,
            10,
            4_199_999_580,
            u64::from(u32::MAX),
            (1 << 53) - 1,
            u64::MAX,
        ] {
            let entry = FileEntry {
                path: LOG.into(),
                sha256: Digest([0xa9; 32]),
                size,
            };
            assert_eq!(log_leaf(entry.sha256, size), entry.leaf(), "{size}");
        }
    }

    #[test]
    fn a_seal_is_looked_for_where_its_time_is() {
        let files = files();
        let line = |n: u64| {
            let time = Timestamp::from_unix_micros(1_800_000_000_000_000 + n as i64 * 1_000_000);
            format!("{{\"n\":{n},\"timestamp_utc\":\"{}\"}}\n", time.unwrap())
        };
        let lines: Vec<String> = (1..=100).map(line).collect();
        let log = lines.concat();
        for n in [6u64, 50, 100] {
            let prefix = lines[..n as usize].concat();
            let signed = Timestamp::from_unix_micros(1_800_000_000_500_000 + n as i64 * 1_000_000);
            let passed = line_end(log.as_bytes(), passing(log.as_bytes(), signed.unwrap()));
            assert!(passed.abs_diff(prefix.len()) <= lines[0].len() * 2, "{n}");
            let target = expected(prefix.as_bytes(), b"second", &[2, 5]);
            let found = files.find_near(target, log.as_bytes(), 0, signed.unwrap());
            assert_eq!(found, Some((n, prefix.len() as u64)), "{n}");
        }
    }

    #[test]
    fn threads_find_what_one_finds() {
        let files = files();
        let line = format!("{}\n", "x".repeat(100));
        let log = line.repeat(30_000);
        for n in [1u64, 9_999, 29_999, 30_000] {
            let target = expected(
                &log.as_bytes()[..line.len() * n as usize],
                b"second",
                &[2, 5],
            );
            let found = files.find(target, log.as_bytes(), (0, 0), 2);
            assert_eq!(found.is_some(), n > 4);
            assert!(found.is_none_or(|(number, _)| number == n));
        }
        assert_eq!(files.find(Digest([1; 32]), log.as_bytes(), (0, 0), 2), None);
    }
}
