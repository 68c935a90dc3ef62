//! Every bit of a log of 200 events counts: whichever one is flipped, a line stops being sound.
//!
//! The test takes a sample of 20,000 positions, all of them with `PROVARA_EVERY_BIT=1`. A flip
//! touches one line, or two where it hits their line end, so those are checked anew; for some
//! positions the whole log is verified to show that an unsound line is always a finding.

use provara_core::finding::Severity;
use provara_core::verify::{KeyDirectory, check_lines, verify_log};

use crate::support::log_forge::Log;

const SAMPLE: usize = 20_000;

fn log() -> Log {
    let mut log = Log::with_keys(&[1, 2, 3]);
    for n in 1..200 {
        let (actor, seed) = [("alice", 2), ("bob", 3), ("çelik \u{1f600}", 2)][n % 3];
        let payload = format!(
            r#"{{"half":{},"n":{n},"note":"tab\t quote\" \u0001 é","predicate":"p","subject":"s{}","tiny":1e-7,"list":[true,null,{{}}]}}"#,
            n as f64 / 2.0,
            n % 7
        );
        let kind = ["OBSERVATION", "com.acme.audit.login"][n % 2];
        log.add(actor, seed, kind, &payload);
    }
    log
}

#[test]
fn every_flipped_bit_is_detected() {
    let forge = log();
    let honest = forge.lines.concat();
    let keys = KeyDirectory::new(&forge.registry);
    assert_eq!(forge.verdict().findings, []);
    assert!(
        check_lines(&honest, 0, &keys)
            .iter()
            .all(|line| line.is_sound())
    );

    let bits = honest.len() * 8;
    let every = std::env::var_os("PROVARA_EVERY_BIT").is_some();
    // An odd stride meets each of a byte's bits alike.
    let step = if every { 1 } else { (bits / SAMPLE - 1) | 1 };
    let positions: Vec<usize> = (0..bits).step_by(step).collect();
    assert!(every || positions.len() >= SAMPLE);

    let starts: Vec<usize> = std::iter::once(0)
        .chain(
            honest
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'\n')
                .map(|(at, _)| at + 1),
        )
        .collect();
    let mut log = honest.clone();
    for (count, bit) in positions.iter().enumerate() {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        log[at] ^= mask;
        let line = starts.partition_point(|start| *start <= at) - 1;
        let end = starts.get(line + 2).copied().unwrap_or(log.len());
        let sound = check_lines(&log[starts[line]..end], 0, &keys)
            .iter()
            .all(|line| line.is_sound());
        let last = at + 1 == log.len();
        assert!(
            !sound || last,
            "bit {} of byte {at} (line {})",
            bit % 8,
            line + 1
        );
        if count % 500 == 0 || last {
            let verdict = verify_log(&log, &forge.registry);
            let error = |severity| severity == Severity::Error;
            assert!(
                verdict
                    .findings
                    .iter()
                    .any(|finding| error(finding.severity)),
                "byte {at}: the whole log verifies"
            );
        }
        log[at] ^= mask;
    }
    assert_eq!(log, honest);
    println!("{} of {bits} bits flipped, each detected", positions.len());
}
