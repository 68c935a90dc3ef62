//! `kill -9` at random moments of everything that writes: appends, batches, seals, checkpoints, repairs,
//! merges, bundles, exports, backups and restorations.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::yard::{Random, Yard, extent};

const JOBS: [(&str, &[&str]); 12] = [
    (
        "append",
        &[
            "append",
            "vault",
            "--type",
            "OBSERVATION",
            "--set",
            "value=1",
            "--json",
        ],
    ),
    (
        "batch",
        &["append", "vault", "--batch", "batch.ndjson", "--json"],
    ),
    ("seal", &["manifest", "vault"]),
    ("checkpoint", &["checkpoint", "vault"]),
    ("repair", &["repair", "vault"]),
    ("merge", &["merge", "vault", "other"]),
    (
        "merge at the end",
        &["merge", "vault", "other", "--append-only"],
    ),
    ("bundle", &["delta", "import", "vault", "delta.ndjson"]),
    (
        "export",
        &["export", "vault", "--format", "ndjson", "--output", "out"],
    ),
    (
        "delta export",
        &["delta", "export", "vault", "--output", "out"],
    ),
    ("backup", &["backup", "vault", "out.tar"]),
    ("restore", &["restore", "archive.tar", "restored"]),
];

/// A vault is used for so many kills: a long log makes no new moments, only slow ones.
const PER_VAULT: u64 = 60;

fn new_yard() -> Yard {
    let mut yard = Yard::new();
    let lines: String = (0..30)
        .map(|number| {
            format!(
                "{{\"type\":\"OBSERVATION\",\"data\":{{\"value\":{number}}},\"actor\":\"batch\"}}\n"
            )
        })
        .collect();
    fs::write(yard.path("batch.ndjson"), lines).unwrap();
    copy(&yard, "vault", "other");
    let first = yard.succeed(JOBS[0].1);
    yard.acknowledge(&first.stdout);
    yard
}

fn copy(yard: &Yard, from: &str, to: &str) {
    let status = std::process::Command::new("cp")
        .args(["-r", from, to])
        .current_dir(yard.path("."))
        .status()
        .unwrap();
    assert!(status.success());
}

/// What a job needs that was not there before: something to write, and a free place for its output.
fn prepare(yard: &mut Yard, job: &str) {
    for output in ["out", "out.tar", "archive.tar"] {
        let _ = fs::remove_file(yard.path(output));
    }
    let _ = fs::remove_dir_all(yard.path("restored"));
    match job {
        "merge" | "merge at the end" | "bundle" => {
            yard.succeed(&[
                "append",
                "other",
                "--type",
                "OBSERVATION",
                "--actor",
                "other",
                "--set",
                "value=1",
            ]);
            let _ = fs::remove_file(yard.path("delta.ndjson"));
            yard.succeed(&["delta", "export", "other", "--output", "delta.ndjson"]);
        }
        // Of a state that has one already no other is written.
        "checkpoint" => {
            let output = yard.succeed(JOBS[0].1);
            yard.acknowledge(&output.stdout);
        }
        "repair" => interrupt(yard),
        "restore" => {
            yard.succeed(&["backup", "vault", "archive.tar"]);
        }
        _ => {}
    }
}

/// Leaves what a killed writer may leave: a whole event that is not sealed, a torn one, and a temporary
/// file.
fn interrupt(yard: &mut Yard) {
    let seal = ["manifest.json", "merkle_root.txt", "manifest.sig"];
    let seal = seal.map(|file| yard.path("vault").join(file));
    let before = seal.each_ref().map(|file| fs::read(file).unwrap());
    let output = yard.succeed(JOBS[0].1);
    yard.acknowledge(&output.stdout);
    for (file, bytes) in seal.iter().zip(before) {
        fs::write(file, bytes).unwrap();
    }
    let log = yard.path("vault/events/events.ndjson");
    let mut log = fs::File::options().append(true).open(log).unwrap();
    log.write_all(b"{\"actor\":\"torn").unwrap();
    // What a killed writer has not sealed it has not remembered.
    yard.succeed(&["memory", "forget", "vault"]);
    let left = yard.path("vault/.provara-tmp-0123456789abcdef01234567");
    fs::write(left, b"{\"back").unwrap();
}

/// An output is whole, or not there.
#[track_caller]
fn outputs(yard: &Yard, job: &str) {
    if matches!(job, "backup" | "restore") {
        if job == "backup" && yard.path("out.tar").exists() {
            yard.succeed(&["restore", "out.tar", "restored"]);
        }
        if yard.path("restored").exists() {
            yard.succeed(&["verify", "restored", "--strict"]);
            let of = |vault: &str| fs::read(yard.path(vault).join("events/events.ndjson"));
            assert!(of("restored").unwrap() == of("vault").unwrap(), "{job}");
        }
        return;
    }
    let path = yard.path("out");
    let Ok(found) = fs::read(&path) else {
        return;
    };
    fs::remove_file(&path).unwrap();
    let (_, arguments) = JOBS.iter().find(|(name, _)| *name == job).unwrap();
    yard.succeed(arguments);
    let whole = fs::read(&path).unwrap();
    // The header of a bundle tells the time of its making.
    let skipped = usize::from(job == "delta export");
    let events = |bytes: &[u8]| {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.skip(skipped).flatten().copied().collect::<Vec<u8>>()
    };
    assert!(events(&found) == events(&whole), "half an output of {job}");
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let wanted = extent("KILLS", 40);
    let mut random = Random(extent("SEED", 0x005e_ed00));
    let mut yard = new_yard();
    let mut usual: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut damaged = 0;
    let (mut hits, mut tries) = (0, 0);
    while hits < wanted {
        tries += 1;
        assert!(
            tries < wanted * 20 + 200,
            "the kills come too late: {hits} of {tries}"
        );
        let (name, arguments) = JOBS[usize::try_from(tries).unwrap() % JOBS.len()];
        prepare(&mut yard, name);
        let before = fs::read(yard.path("vault/manifest.json")).unwrap();
        let pause = usual.get(name).map(|usual| {
            let most = usual.as_micros() as u64;
            Duration::from_micros(random.below(most + most / 20))
        });
        let start = Instant::now();
        let mut child = yard
            .command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(pause) = pause {
            thread::sleep(pause);
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        if output.status.signal() == Some(9) {
            hits += 1;
            *killed.entry(name).or_default() += 1;
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{name}: {stderr}");
            let time = start.elapsed();
            usual.insert(
                name,
                usual.get(name).map_or(time, |usual| (*usual + time) / 2),
            );
        }
        if matches!(name, "append" | "batch") {
            yard.acknowledge(&output.stdout);
        }
        if matches!(name, "export" | "delta export" | "backup" | "restore") {
            let after = fs::read(yard.path("vault/manifest.json")).unwrap();
            assert_eq!(before, after, "{name} wrote to the vault");
            outputs(&yard, name);
        }
        let verified = yard.run(&["verify", "vault"]);
        damaged += match verified.status.code() {
            Some(0) => 0,
            Some(1) => 1,
            code => panic!("{name}: verify ended with {code:?}: {verified:?}"),
        };
        // Whichever command comes next puts right what there is.
        match random.below(2) {
            0 => {
                yard.succeed(&["repair", "vault"]);
            }
            _ => {
                let output = yard.succeed(JOBS[0].1);
                yard.acknowledge(&output.stdout);
            }
        }
        yard.check("vault");
        if hits % PER_VAULT == PER_VAULT - 1 && output.status.signal() == Some(9) {
            yard = new_yard();
        }
    }
    println!("{hits} kills in {tries} runs: {killed:?}; {damaged} left something to repair");
    assert!(
        killed.len() >= JOBS.len().min(wanted as usize / 10),
        "{killed:?}"
    );
}
