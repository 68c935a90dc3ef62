//! The signatures of a range decided together: what a judge is given, and what becomes of what it says.

use std::sync::Mutex;

use provara_core::scan::scan_line;
use provara_core::verify::{
    Judge, KeyDirectory, OneByOne, SignedLine, check_lines, check_lines_with,
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
