//! A directory to work in, the frozen environment, and readable transcripts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as Tool;

use assert_cmd::Command;
use tempfile::TempDir;

/// The trap in the place of Python: it leaves a mark and fails.
const TRAP: &str = "#!/bin/sh\n: > \"$(dirname \"$0\")/python-was-started\"\nexit 99\n";

pub(crate) struct World {
    dir: TempDir,
}

/// What a command answered.
pub(crate) struct Answer {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The arguments that append an observation to `vault`, followed by `more`.
pub(crate) fn append<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["append", "vault", "--type", "OBSERVATION"], more].concat()
}

/// Copies a file, or a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .args(["-R", "-T"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(done.success());
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let trap = dir.path().join("trap/python3");
        fs::create_dir(dir.path().join("trap")).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::write(&trap, TRAP).unwrap();
        fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// A world with a vault in `vault`.
    pub(crate) fn with_vault() -> Self {
        let world = Self::new();
        let answer = world.run(&["init", "vault", "--uid", "test-vault"]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        world
    }

    /// As [`World::with_vault`]; the vault takes a moment to copy.
    pub(crate) fn with_large_vault() -> Self {
        let world = Self::with_vault();
        let text: String = (0..400_u64)
            .map(|n| {
                let noise: String = (0..5_000_u64)
                    .map(|k| format!("{:016x}", (n << 32 | k).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                    .collect();
                format!("{{\"type\":\"OBSERVATION\",\"data\":{{\"noise\":\"{noise}\"}}}}\n")
            })
            .collect();
        let answer = world.run_with(&["append", "vault", "--batch", "-"], |command| {
            command.write_stdin(text)
        });
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        world
    }

    /// The executable in this world, to be started and not waited for.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Tool {
        let mut tool = Tool::new(assert_cmd::cargo::cargo_bin("provara"));
        tool.args(arguments)
            .current_dir(self.path("."))
            .env("HOME", self.path("home"));
        tool
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::cargo_bin("provara").unwrap();
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("PROVARA_PYTHON", self.path("trap/python3"))
            .current_dir(self.dir.path())
            .timeout(std::time::Duration::from_secs(60));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, |command| command)
    }

    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Answer {
        let mut command = self.command();
        change(command.args(arguments));
        let output = command.output().unwrap();
        Answer {
            command: arguments.join(" "),
            code: output.status.code().expect("the command ended by itself"),
            stdout: self.tamed(&String::from_utf8(output.stdout).unwrap()),
            stderr: self.tamed(&String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Appends an observation and gives the receipt.
    pub(crate) fn observe(&self, subject: &str, value: &str) -> Answer {
        let data = format!(r#"{{"subject":"{subject}","predicate":"state","value":{value}}}"#);
        let answer = self.run(&append(&["--data", &data]));
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        answer
    }

    pub(crate) fn python_was_started(&self) -> bool {
        self.path("trap/python-was-started").exists()
    }

    /// Every file below `name` with its bytes and mode.
    pub(crate) fn tree(&self, name: &str) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
        let mut tree = BTreeMap::new();
        walk(&self.path(name), &mut tree);
        tree
    }

    /// Replaces what differs from run to run.
    fn tamed(&self, text: &str) -> String {
        let here = self.dir.path().to_string_lossy().into_owned();
        let mut text = text.replace(&here, "<here>");
        for (prefix, digits, name) in [
            ("evt_", 24, "evt_<id>"),
            ("bp1_", 16, "bp1_<id>"),
            ("\"seal\":\"", 32, "\"seal\":\"<seal>"),
            ("", 64, "<hash>"),
        ] {
            text = replace_hex(&text, prefix, digits, name);
        }
        replace_signatures(&replace_times(&text))
    }
}

fn walk(directory: &Path, tree: &mut BTreeMap<PathBuf, (Vec<u8>, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        if entry.file_type().unwrap().is_dir() {
            tree.insert(entry.path(), (Vec::new(), mode));
            walk(&entry.path(), tree);
        } else {
            tree.insert(entry.path(), (fs::read(entry.path()).unwrap(), mode));
        }
    }
}

fn replace_hex(text: &str, prefix: &str, digits: usize, name: &str) -> String {
    let bytes = text.as_bytes();
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        let start = at + prefix.len();
        let run = bytes
            .get(start..)
            .map_or(0, |rest| rest.iter().take_while(|b| is_hex(**b)).count());
        if text[at..].starts_with(prefix) && run == digits {
            out.push_str(name);
            at = start + run;
        } else {
            let skip = if prefix.is_empty() { run } else { 0 };
            let next = text[at + skip..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&text[at..at + skip + next]);
            at += skip + next;
        }
    }
    out
}

/// The Base64 of 64 bytes becomes `<sig>`.
fn replace_signatures(text: &str) -> String {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let mut text = text.to_owned();
    let mut from = 0;
    while let Some(end) = text[from..].find("==").map(|at| from + at) {
        let run = text[..end]
            .bytes()
            .rev()
            .take_while(|byte| is_base64(*byte))
            .count();
        if run == 86 {
            text.replace_range(end - run..end + 2, "<sig>");
            from = end - run;
        } else {
            from = end + 2;
        }
    }
    text
}

/// `2026-11-22T10:00:00.000000Z` and the like become `<time>`.
fn replace_times(text: &str) -> String {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let fits = |at: usize| {
        bytes.len() >= at + shape.len()
            && shape.iter().zip(&bytes[at..]).all(|(s, b)| match s {
                b'd' => b.is_ascii_digit(),
                s => s == b,
            })
    };
    let mut out = String::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if fits(at) {
            let end = text[at..].find('Z').map_or(text.len(), |z| at + z + 1);
            out.push_str("<time>");
            at = end;
        } else {
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Standard error with an error that is JSON written as it is for people.
pub(crate) fn readable(stderr: &str) -> String {
    let line = |line: &str| {
        let error: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let Some(error) = error.filter(|it| it["schema"] == "provara.error.v1") else {
            return format!("{line}\n");
        };
        let details = error["details"].as_array().unwrap().iter();
        let details: String = details
            .map(|it| format!("  {}\n", it.as_str().unwrap()))
            .collect();
        let text = |name: &str| error[name].as_str().unwrap();
        format!(
            "ERROR: {}\n{details}Fix: {}\n",
            text("message"),
            text("fix")
        )
    };
    stderr.lines().map(line).collect()
}

impl Answer {
    /// The whole answer, as a snapshot shows it.
    pub(crate) fn transcript(&self) -> String {
        let mut text = format!("$ provara {}\n", self.command);
        text.push_str(&self.stdout);
        if !self.stderr.is_empty() {
            text.push_str("--- stderr\n");
            text.push_str(&self.stderr);
        }
        text.push_str(&format!("--- exit {}\n", self.code));
        text
    }

    /// One clear error: the exit code, an `ERROR:` first, one `Fix:` line, nothing on stdout.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, saying: &str) {
        assert_eq!(self.code, code, "{}", self.transcript());
        assert_eq!(self.stdout, "", "{}", self.transcript());
        let stderr = readable(&self.stderr);
        assert!(stderr.starts_with("ERROR: "), "{}", self.transcript());
        assert!(
            stderr.contains(saying),
            "no {saying:?} in: {}",
            self.transcript()
        );
        let fixes = stderr
            .lines()
            .filter(|line| line.starts_with("Fix: "))
            .count();
        assert_eq!(fixes, 1, "{}", self.transcript());
    }
}
