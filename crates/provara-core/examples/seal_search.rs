//! How long it takes to find which state of a large log an old seal is of, or that it is of none.
//!
//! `cargo run --release -p provara-core --example seal_search -- [LINES]` makes a log of a batch in memory
//! (ten million lines of some 420 bytes by default, unsigned, as only their bytes matter here), and judges a
//! seal of its middle and a seal of nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use provara_core::history::{KeyEvent, KeyEventKind, KeyHistory};
use provara_core::id::{Digest, EventId};
use provara_core::json::object;
use provara_core::keys::SigningKey;
use provara_core::layout::{KEYS, LOG};
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::mark::{PolicyKey, SealPolicy};
use provara_core::time::Timestamp;
use provara_core::verify::files::{DiskEntry, SealFiles};
use provara_core::verify::seal::{KeysOf, SealCase, judge};

/// The time of a line: ten microseconds after the one before.
fn time_of(number: usize) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000 + number as i64 * 10).expect("a time")
}

fn main() {
    let lines: usize = std::env::args()
        .nth(1)
        .map_or(10_000_000, |text| text.parse().expect("a number of lines"));
    let key = SigningKey::from_seed(&[1; 32]);
    let policy = SealPolicy {
        keys: vec![PolicyKey {
            public_key: key.public(),
            roles: vec!["root".into()],
            scopes: vec!["all".into()],
            created_at_utc: "2026-01-01T00:00:00Z".into(),
        }],
    };
    let genesis = KeyEvent {
        number: 1,
        id: EventId([1; 12]),
        signer: key.key_id(),
        kind: KeyEventKind::Genesis,
        payload: object([("seal_policy", policy.to_value())]),
        proof: None,
    };
    let history = KeyHistory::build(&[genesis]).expect("a marked vault");
    let mut log = Vec::with_capacity(lines * 425);
    for number in 0..lines {
        let line = format!(
            "{{\"actor\":\"sensor\",\"n\":1{number:012},\"payload\":{{\"text\":\"{}\"}},\"timestamp_utc\":\"{}\",\"type\":\"com.acme.a.b\"}}\n",
            "x".repeat(293),
            time_of(number)
        );
        log.extend_from_slice(line.as_bytes());
    }
    println!("{lines} lines, {:.1} GB", log.len() as f64 / 1e9);
    let length = log.len() / lines;
    let time = "2026-11-28T00:00:00Z".parse().expect("a time");
    let entry = |path: &str, text: &[u8]| FileEntry {
        path: path.into(),
        sha256: Digest::of(text),
        size: text.len() as u64,
    };
    let others = || -> Vec<FileEntry> {
        let mut others: Vec<_> = (0..8)
            .map(|n| entry(&format!("policies/{n}"), b"x"))
            .collect();
        others.push(entry(KEYS, &history.text_after(0)));
        others
    };
    let sealed = |covered: usize| {
        let mut entries = others();
        entries.push(entry(LOG, &log[..covered * length]));
        write_manifest(entries, time)
    };
    let (manifest, whole) = sealed(lines);
    let disk: BTreeMap<String, DiskEntry> = others()
        .into_iter()
        .chain([entry(LOG, &log)])
        .map(|entry| {
            let file = DiskEntry::File {
                size: entry.size,
                sha256: entry.sha256,
            };
            (entry.path, file)
        })
        .collect();
    for (what, root, time) in [
        ("of the log as it is", whole, time),
        ("of its first half", sealed(lines / 2).1, time_of(lines / 2)),
        (
            "of its first half, with another time",
            sealed(lines / 2).1,
            time,
        ),
        (
            "of all but the last line",
            sealed(lines - 1).1,
            time_of(lines),
        ),
        ("of none of its states", Digest([7; 32]), time),
    ] {
        for threads in [1, 2] {
            let start = Instant::now();
            let judgement = judge(&SealCase {
                log: &log,
                events: lines as u64,
                seal: SealFiles {
                    manifest: Some(&manifest),
                    signature: Some(&sign_root(root, &key, time)),
                    merkle_root: Some(&write_merkle_root(whole)),
                },
                disk: &disk,
                keys: KeysOf::History(&history),
                listed: None,
                files: &[],
                verdict: None,
                threads,
            });
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "a seal {what}, {threads} thread(s): {seconds:.2} s, {:?}",
                judgement.standing
            );
        }
    }
}
