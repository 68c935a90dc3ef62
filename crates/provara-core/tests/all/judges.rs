//! The signatures of a range decided together: what a judge is given, and what becomes of what it says.

use std::sync::Mutex;

use provara_core::id::Digest;
use provara_core::scan::scan_line;
use provara_core::tree::{EventTree, leaf};
use provara_core::verify::{
    CheckedLine, Judge, KeyDirectory, OneByOne, Sequencer, SignedLine, check_lines,
    check_lines_with,
};

use crate::support::log_forge::Log;

/// Lines of three listed keys and of one that is not; line 10 has another one's signature, line 20 a needless space.
fn log() -> Log {
    let mut log = Log::with_keys(&[1, 2, 3]);
    for n in 1..30 {
        let (actor, seed) = [("alice", 2), ("bob", 3), ("eve", 4)][n % 3];
        log.add(actor, seed, "OBSERVATION", &format!(r#"{{"n":{n}}}"#));
    }
    let signature = |line: &[u8]| {
        let at = line.windows(7).position(|it| it == b"\"sig\":\"").unwrap() + 7;
        at..at + 88
    };
    let other = log.lines[9][signature(&log.lines[9])].to_vec();
    let place = signature(&log.lines[10]);
    log.lines[10][place].copy_from_slice(&other);
    log.lines[20].insert(1, b' ');
    log
}

/// Says what each signature is by itself, and remembers what it was asked.
struct Recording<'k> {
    keys: &'k KeyDirectory,
    asked: Mutex<Vec<(usize, Vec<u8>)>>,
}

impl Judge for Recording<'_> {
    type Error = std::convert::Infallible;

    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, Self::Error> {
        let asked = signed.iter().map(|it| (it.key, it.message.concat()));
        self.asked.lock().unwrap().extend(asked);
        OneByOne(self.keys).judge(signed)
    }
}

/// Says the same of every signature, or that there is no verdict.
struct Says(Option<bool>);

impl Judge for Says {
    type Error = &'static str;

    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, &'static str> {
        let verdict = self.0.ok_or("no verdict")?;
        Ok(vec![verdict; signed.len()])
    }
}

#[test]
fn a_judge_is_given_every_canonical_line_of_a_listed_key() {
    let forge = log();
    let bytes = forge.lines.concat();
    let keys = KeyDirectory::new(&forge.registry);
    let recording = Recording {
        keys: &keys,
        asked: Mutex::default(),
    };
    let together = check_lines_with(&bytes, 7, &keys, &recording).unwrap();
    let alone = check_lines(&bytes, 7, &keys);
    assert_eq!(format!("{together:?}"), format!("{alone:?}"));

    let asked = recording.asked.into_inner().unwrap();
    let expected: Vec<(usize, Vec<u8>)> = (0..30)
        .filter(|n| (*n == 0 || n % 3 != 2) && *n != 20)
        .map(|n| {
            let key = if n == 0 { 0 } else { 1 + n % 3 };
            let line = &forge.lines[n];
            let mut message = Vec::new();
            let line = scan_line(line.strip_suffix(b"\n").unwrap_or(line)).unwrap();
            line.signed_bytes(&mut message);
            (key, message)
        })
        .collect();
    assert_eq!(asked, expected);
    for (key, _) in asked {
        assert_eq!(keys.keys()[key], forge.registry.keys[key].public_key);
    }
}

#[test]
fn what_a_judge_says_is_what_a_line_is() {
    let forge = log();
    let bytes = forge.lines.concat();
    let keys = KeyDirectory::new(&forge.registry);
    let sound = |verdict| {
        let lines = check_lines_with(&bytes, 0, &keys, &Says(Some(verdict))).unwrap();
        let sound = lines.iter().map(|line| line.is_sound());
        sound.collect::<Vec<bool>>()
    };
    let by_a_listed_key = |n: usize| n == 0 || n % 3 != 2;
    assert_eq!(sound(false), [false; 30]);
    let accepted: Vec<bool> = (0..30).map(|n| by_a_listed_key(n) && n != 20).collect();
    assert_eq!(sound(true), accepted);
    let undecided = check_lines_with(&bytes, 0, &keys, &Says(None));
    assert_eq!(undecided.unwrap_err(), "no verdict");
}

/// More lines than are hashed together, of many lengths, some of them long, and one longer than all that is waited for.
fn long_log() -> Log {
    let mut log = Log::with_keys(&[1, 2]);
    for n in 0..700 {
        let length = match n {
            600 => 300_000,
            _ if n % 50 == 49 => 3_500 + n,
            _ => n % 300,
        };
        let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(length));
        log.add("alice", 2, "OBSERVATION", &payload);
    }
    log
}

#[test]
fn lines_hashed_together_have_the_leaves_that_they_have_alone() {
    let log = long_log();
    let keys = KeyDirectory::new(&log.registry);
    let bytes = log.lines.concat();
    let lines = check_lines(&bytes, 0, &keys);
    assert!(lines.iter().all(CheckedLine::is_sound));

    let mut sequencer = Sequencer::new(&log.registry);
    let watched = [1, 255, 256, 300, log.lines.len() as u64];
    assert!(watched.iter().all(|size| sequencer.watch(*size)));
    sequencer.keep_leaves(100);
    sequencer.expect_length(bytes.len() as u64);
    sequencer.feed(lines);

    let (mut tree, mut roots, mut kept) = (EventTree::new(), Vec::new(), Vec::new());
    for line in &log.lines {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let leaf = leaf(&scan_line(line).unwrap());
        tree.push(leaf);
        if watched.contains(&tree.size()) {
            roots.push((tree.size(), tree.root()));
        }
        if tree.size() > 100 {
            kept.push(*leaf.0.first_chunk::<16>().unwrap());
        }
    }
    let verdict = sequencer.finish(&log.registry);
    assert_eq!(verdict.event_count, tree.size());
    assert_eq!((verdict.tree, verdict.roots), (tree, roots));
    assert_eq!(verdict.leaves.unwrap().leaves, kept);
}

/// Decides by itself, and gives every message the same hash.
struct Garbling<'k>(OneByOne<'k>);

impl Judge for Garbling<'_> {
    type Error = std::convert::Infallible;

    fn judge(&self, signed: &[SignedLine<'_>]) -> Result<Vec<bool>, Self::Error> {
        self.0.judge(signed)
    }

    fn hash(&self, messages: &[&[u8]]) -> Vec<Digest> {
        vec![Digest([7; 32]); messages.len()]
    }
}

#[test]
fn no_id_is_rejected_by_what_a_judge_hashes() {
    let log = long_log();
    let keys = KeyDirectory::new(&log.registry);
    let bytes = log.lines.concat();
    let lines = check_lines_with(&bytes, 0, &keys, &Garbling(OneByOne(&keys))).unwrap();
    assert_eq!(lines.len(), log.lines.len());
    assert!(lines.iter().all(CheckedLine::is_sound));
}
