//! What becomes of a state: the next writer, a repair, and a verification of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use provara_core::id::Digest;
use provara_core::keys::Keyfile;
use provara_vault::{Vault, VerifyOptions};

use super::disk::{Disk, Files};
use super::recording::Recording;
use crate::common::{codes, note};

/// A vault in a directory of its own, in memory where there is such a place, with its state directory.
pub struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    pub fn new(files: &Files) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let stage = Self {
            directory: directory.unwrap(),
        };
        for empty in ["artifacts/cas", "state"] {
            fs::create_dir_all(stage.path().join(empty)).unwrap();
        }
        for (path, bytes) in files {
            let path = stage.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        stage
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("vault")
    }

    pub fn outside(&self) -> &Path {
        self.directory.path()
    }

    /// The vault, with nothing beneath it that syncs.
    pub fn vault(&self) -> Vault {
        self.recorded(&Recording::new(&self.path()))
    }

    pub fn recorded(&self, layer: &std::sync::Arc<Recording>) -> Vault {
        Vault::open(&self.path())
            .unwrap()
            .with_layer(layer.clone())
            .with_state_directory(self.directory.path().join("state"))
    }
}

pub fn files_of(vault: &Path) -> Files {
    crate::common::picture(vault)
        .into_iter()
        .filter(|(path, _, _)| path.is_file())
        .map(|(path, _, bytes)| (path.strip_prefix(vault).unwrap().to_owned(), bytes))
        .collect()
}

/// The ids of every whole event of a log.
pub fn ids(log: &[u8]) -> BTreeSet<String> {
    let id = |line: &str| {
        let at = line.find("\"event_id\":\"")? + 12;
        line.get(at..at + 28).map(str::to_owned)
    };
    let whole = log.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    String::from_utf8_lossy(&log[..whole])
        .lines()
        .filter_map(id)
        .collect()
}

/// The command that carries on what the owner had begun, where an append cannot know of it.
pub type Resume = fn(&Vault, &Keyfile) -> Result<(), String>;

pub fn nothing(_: &Vault, _: &Keyfile) -> Result<(), String> {
    Ok(())
}

/// What was found of the states of one operation.
#[derive(Debug, Default)]
pub struct Tally {
    pub states: usize,
    /// How many of them do not verify until the next command or a repair.
    pub rejected: usize,
    pub failures: Vec<String>,
}

/// Everything that was judged, and once only.
pub struct Judge<'a> {
    pub keyfile: &'a Keyfile,
    /// What is always found, as the vault is one of the older tool's.
    usual: &'static str,
    seen: Mutex<BTreeSet<Digest>>,
    out: Option<Mutex<fs::File>>,
    blobs: PathBuf,
}

impl<'a> Judge<'a> {
    /// Writes every state to the directory that `CRASH_STATES_OUT` names, so that another verifier can
    /// judge it too.
    pub fn new(keyfile: &'a Keyfile, usual: &'static str, operation: &str) -> Self {
        let directory = std::env::var_os("CRASH_STATES_OUT").map(PathBuf::from);
        let blobs = directory.clone().unwrap_or_default().join("blobs");
        let out = directory.map(|directory| {
            fs::create_dir_all(&blobs).unwrap();
            let name = operation.replace(", ", " ").replace(' ', "-") + ".ndjson";
            Mutex::new(fs::File::create(directory.join(name)).unwrap())
        });
        Self {
            keyfile,
            usual,
            seen: Mutex::default(),
            out,
            blobs,
        }
    }

    /// Whether nobody asked for this state, with these promises, before.
    fn is_new(&self, files: &Files, promised: &BTreeSet<String>) -> bool {
        let mut text = String::new();
        for (path, bytes) in files {
            write!(text, "{}={};", path.display(), Digest::of(bytes)).unwrap();
        }
        write!(text, "{promised:?}").unwrap();
        self.seen
            .lock()
            .unwrap()
            .insert(Digest::of(text.as_bytes()))
    }

    /// Judges every state that the disk may be in.
    pub fn all(&self, states: &BTreeSet<Files>, disk: &Disk, resume: Resume, tally: &Mutex<Tally>) {
        for files in states {
            if !self.is_new(files, &disk.promised) {
                continue;
            }
            let (rejected, result) = self.one(files, &disk.promised, resume);
            let mut tally = tally.lock().unwrap();
            tally.states += 1;
            tally.rejected += usize::from(rejected);
            tally.failures.extend(result.err());
        }
    }

    /// Whether the state is rejected as it is, and why it is lost, if it is.
    fn one(
        &self,
        files: &Files,
        promised: &BTreeSet<String>,
        resume: Resume,
    ) -> (bool, Result<(), String>) {
        let stage = Stage::new(files);
        let report = stage.vault().verify(&quiet()).unwrap();
        let (valid, found) = (report.is_valid(), codes(&report));
        self.write(files, valid, &found);
        let went = self
            .next(&stage.vault(), promised, resume)
            .and_then(|()| {
                let stage = Stage::new(files);
                let vault = stage.vault();
                vault
                    .repair(Some(self.keyfile), false)
                    .map_err(|error| format!("it is not repaired: {error}"))?;
                self.next(&vault, promised, resume)
                    .map_err(|problem| format!("after a repair {problem}"))
            })
            .map_err(|problem| format!("{problem}; before: {found:?}\n{}", shown(files)));
        (!valid, went)
    }

    fn next(
        &self,
        vault: &Vault,
        promised: &BTreeSet<String>,
        resume: Resume,
    ) -> Result<(), String> {
        resume(vault, self.keyfile)?;
        let receipt = vault
            .append(&note("next", "writer"), self.keyfile)
            .map_err(|error| format!("the next append is refused: {error}"))?;
        let report = vault.verify(&quiet()).unwrap();
        if codes(&report).iter().any(|code| code != self.usual) {
            return Err(format!("it does not verify: {:?}", report.findings()));
        }
        let there = ids(&fs::read(vault.log_path()).unwrap());
        let new = receipt.event_id.to_string();
        match promised
            .iter()
            .chain([&new])
            .find(|id| !there.contains(*id))
        {
            Some(id) => Err(format!("{id} was acknowledged and is gone")),
            None => Ok(()),
        }
    }

    fn write(&self, files: &Files, valid: bool, found: &[String]) {
        let Some(out) = &self.out else { return };
        let mut entries = BTreeMap::new();
        for (path, bytes) in files {
            let digest = Digest::of(bytes).to_string();
            let blob = self.blobs.join(&digest);
            if !blob.exists() {
                fs::write(blob, bytes).unwrap();
            }
            entries.insert(path.to_string_lossy().into_owned(), digest);
        }
        // Paths, digests and codes need no escapes.
        let entries: Vec<_> = entries
            .iter()
            .map(|(path, digest)| format!("{path:?}:{digest:?}"))
            .collect();
        let line = format!(
            "{{\"codes\":{found:?},\"files\":{{{}}},\"valid\":{valid}}}\n",
            entries.join(",")
        );
        out.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// The names that are there, and how the log ends: what a failure is to be told by.
fn shown(files: &Files) -> String {
    let mut text = String::new();
    for (path, bytes) in files {
        let digest = Digest::of(bytes).to_string();
        writeln!(
            text,
            "    {} {} {}",
            path.display(),
            bytes.len(),
            &digest[..8]
        )
        .unwrap();
    }
    text
}

fn quiet() -> VerifyOptions {
    VerifyOptions {
        threads: Some(1),
        ..VerifyOptions::default()
    }
}
