//! A directory to work in, and the executable.

// Each test program uses its part.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) struct Yard {
    directory: tempfile::TempDir,
    /// The ids of every event that was acknowledged, by vault.
    pub(crate) acknowledged: BTreeSet<String>,
}

impl Yard {
    /// A yard with a vault in `vault`.
    pub(crate) fn new() -> Self {
        let yard = Self {
            directory: tempfile::tempdir().unwrap(),
            acknowledged: BTreeSet::new(),
        };
        fs::create_dir(yard.path("home")).unwrap();
        yard.succeed(&["init", "vault", "--uid", "endure"]);
        yard
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn executable() -> PathBuf {
        assert_cmd::cargo::cargo_bin!("provara").to_owned()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(Self::executable());
        self.frozen(&mut command);
        command
    }

    /// Nothing of the machine's own settings reaches the command.
    pub(crate) fn frozen(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("PROVARA_PYTHON", "/nonexistent/python3")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "provara {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Takes the receipts of an append: whole lines of JSON.
    pub(crate) fn acknowledge(&mut self, stdout: &[u8]) {
        self.acknowledged.extend(receipts(stdout));
    }

    /// Verifies strictly, and looks for every event that was acknowledged.
    #[track_caller]
    pub(crate) fn check(&self, vault: &str) {
        self.succeed(&["verify", vault, "--strict"]);
        let present: BTreeSet<String> = ids(&self.path(vault)).collect();
        let lost: Vec<_> = self.acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    }
}

/// The event ids of whole lines of receipts.
pub(crate) fn receipts(stdout: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(stdout).into_owned();
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    let lines: Vec<String> = text[..end].lines().map(str::to_owned).collect();
    lines.into_iter().map(|line| {
        let receipt: serde_json::Value = serde_json::from_str(&line).unwrap();
        receipt["event_id"].as_str().unwrap().to_owned()
    })
}

/// The event ids of a vault's log.
pub(crate) fn ids(vault: &Path) -> impl Iterator<Item = String> {
    let log = fs::read_to_string(vault.join("events/events.ndjson")).unwrap();
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    lines.into_iter().map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        event["event_id"].as_str().unwrap().to_owned()
    })
}

/// How much of a test is run: the value of the variable, or the bounded default.
pub(crate) fn extent(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

/// A small generator of our own (SplitMix64), so that a run can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
