//! One vault as the server holds it: opened for each call, verified before anything is derived from
//! it, appended to by one session at a time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use provara_core::finding::{Code, Finding, Report};
use provara_core::keys::Keyfile;
use provara_core::layout;
use provara_core::summary::Summary;
use provara_vault::{SourceLog, Vault, VaultError, VerifiedLog, VerifyOptions};

use crate::config::VaultName;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::{ErrorContext, Renderer};

/// A file that changed less than this before a verification began may change again within the same
/// tick of the file system's clock: such a verdict is not kept.
const SETTLED: Duration = Duration::from_millis(100);

/// The most files of a vault whose state is remembered; a larger vault is verified at every call.
const MAX_FILES: usize = 4096;

/// What tells that a file has changed: inode, length and times.
pub(crate) type Mark = [i64; 6];

/// The state of every file of a vault: what a verdict holds for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    files: Vec<(PathBuf, Mark)>,
    newest: SystemTime,
}

/// A verdict, and the log that it is about if the vault is valid.
pub(crate) struct Examined {
    pub(crate) report: Report,
    pub(crate) log: Option<Arc<VerifiedLog>>,
    /// What the log sums up to, once somebody has asked.
    pub(crate) summary: OnceLock<Summary>,
}

/// A verdict that holds as long as no file changes.
type Kept = (State, Arc<Examined>);

/// A vault that clients may use.
pub(crate) struct VaultHandle {
    pub(crate) name: VaultName,
    pub(crate) path: PathBuf,
    /// One append at a time; the vault's own lock then never has to wait for this process.
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
    /// The keyfile, where it is not the vault's own.
    keyfile: Option<PathBuf>,
    /// Whether it is written to where its file system has no locks.
    no_lock: bool,
    /// Whether this machine remembers the vault.
    memory: bool,
    kept: Mutex<Option<Kept>>,
}

impl VaultHandle {
    pub(crate) fn new(name: VaultName, path: PathBuf, keyfile: Option<PathBuf>) -> Self {
        Self {
            name,
            path,
            keyfile,
            no_lock: false,
            memory: true,
            writing: Arc::default(),
            kept: Mutex::default(),
        }
    }

    /// The same vault, which is written to, if `alone`, where its file system has no locks.
    pub(crate) fn with_no_lock(self, alone: bool) -> Self {
        Self {
            no_lock: alone,
            ..self
        }
    }

    /// The same vault, of which nothing is remembered in the user's own directory.
    #[cfg(test)]
    pub(crate) fn without_memory(self) -> Self {
        Self {
            memory: false,
            ..self
        }
    }

    pub(crate) fn refusal(&self, renderer: &dyn Renderer, error: VaultError) -> Refusal {
        let vault = &self.path;
        Refusal(renderer.render(ErrorContext::Vault { error, vault }))
    }

    /// Opens the vault for a piece of work, which hears how far a verification has come and can be
    /// cancelled in the middle of it. As for a command, what a writer would read the whole log for, and
    /// what verified before, is kept in the user's cache, and how far the vault had come is remembered.
    pub(crate) fn open(&self, renderer: &dyn Renderer, job: &JobHandle) -> Result<Vault, Refusal> {
        let vault = Vault::open(&self.path).map_err(|error| self.refusal(renderer, error))?;
        let job = job.clone();
        Ok(vault
            .with_cache_directory(provara_vault::default_cache_directory())
            .with_memory(self.memory)
            .with_no_lock(self.no_lock)
            .with_progress(Arc::new(move |done, total| {
                job.report_progress(done, total)
            })))
    }

    /// The turn to verify. A verification takes all cores and holds the log, so that several at a time
    /// would only take more memory.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict on the vault as it is, and its log if it verifies.
    pub(crate) fn examined(
        &self,
        vault: &Vault,
        renderer: &dyn Renderer,
    ) -> Result<Arc<Examined>, Refusal> {
        // Of several callers one verifies.
        let mut kept = self.turn();
        let began = SystemTime::now();
        let state = State::of(vault.path());
        if let (Some((known, examined)), Some(state)) = (&*kept, &state)
            && known == state
        {
            return Ok(Arc::clone(examined));
        }
        *kept = None;
        let examination = vault
            .examine(&VerifyOptions::default())
            .map_err(|error| self.refusal(renderer, error))?;
        let report = examination.report().clone();
        let log = examination.verified().ok();
        let examined = Arc::new(Examined {
            report,
            log: log.map(Arc::new),
            summary: OnceLock::new(),
        });
        // Of what this machine remembers, the state of the files says nothing.
        let mut findings = examined.report.findings().iter();
        let remembered = |finding: &Finding| matches!(finding.code, Code::W010 | Code::W011);
        let settled = !findings.any(remembered);
        *kept = state
            .filter(|state| settled && state.had_settled(began))
            .map(|state| (state, Arc::clone(&examined)));
        Ok(examined)
    }

    /// The log, if the vault verifies.
    pub(crate) fn verified(
        &self,
        vault: &Vault,
        renderer: &dyn Renderer,
    ) -> Result<Arc<VerifiedLog>, Refusal> {
        let examined = self.examined(vault, renderer)?;
        let log = examined.log.clone();
        log.ok_or_else(|| self.unverified(renderer, &examined.report))
    }

    /// Refuses what was derived from a log that another program changed meanwhile.
    pub(crate) fn check_unchanged(
        &self,
        log: &SourceLog,
        renderer: &dyn Renderer,
    ) -> Result<(), Refusal> {
        log.check_unchanged()
            .map_err(|error| self.refusal(renderer, error))
    }

    fn unverified(&self, renderer: &dyn Renderer, report: &Report) -> Refusal {
        let vault = &self.path;
        Refusal(renderer.render(ErrorContext::Unverified { vault, report }))
    }

    /// Where the key is that signs in this vault.
    pub(crate) fn keyfile_path(&self) -> PathBuf {
        let own = || self.path.join(layout::PRIVATE_KEYS);
        self.keyfile.clone().unwrap_or_else(own)
    }

    /// Reads the key that signs in this vault.
    pub(crate) fn keyfile(&self, renderer: &dyn Renderer) -> Result<Keyfile, Refusal> {
        provara_vault::read_keyfile(&self.keyfile_path())
            .map_err(|error| self.refusal(renderer, error))
    }

    /// What tells that the log has changed.
    pub(crate) fn log_mark(&self) -> Option<Mark> {
        fs::metadata(self.path.join(layout::LOG))
            .ok()
            .map(|data| mark(&data))
    }
}

fn mark(data: &fs::Metadata) -> Mark {
    let number = |value: u64| i64::from_ne_bytes(value.to_ne_bytes());
    [
        number(data.ino()),
        number(data.len()),
        data.mtime(),
        data.mtime_nsec(),
        // The system alone sets the time of the last change.
        data.ctime(),
        data.ctime_nsec(),
    ]
}

impl State {
    /// The state of all files and directories below `root`; none where it cannot be known.
    fn of(root: &Path) -> Option<Self> {
        let mut files = Vec::new();
        let mut newest = SystemTime::UNIX_EPOCH;
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let data = fs::symlink_metadata(&path).ok()?;
            let seconds = u64::try_from(data.ctime()).ok()?;
            let nanos = u32::try_from(data.ctime_nsec()).ok()?;
            newest = newest.max(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
            if data.is_dir() {
                for entry in fs::read_dir(&path).ok()? {
                    open.push(entry.ok()?.path());
                }
            }
            files.push((path, mark(&data)));
            if files.len() > MAX_FILES {
                return None;
            }
        }
        files.sort();
        Some(Self { files, newest })
    }

    /// Whether no file had changed for a while.
    fn had_settled(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.newest);
        age.is_ok_and(|age| age >= SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_query::Asked;
    use provara_vault::InitOptions;

    struct Plain;

    impl Renderer for Plain {
        fn render(&self, context: ErrorContext<'_>) -> String {
            format!("{context:?}")
        }

        fn nothing_chosen(&self, _: &Asked, _: &SourceLog) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn a_verdict_is_kept_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        provara_vault::init(&path, &InitOptions::default()).unwrap();
        let handle = VaultHandle::new("v".parse().unwrap(), path.clone(), None).without_memory();
        let vault = handle.open(&Plain, &JobHandle::unheard()).unwrap();
        std::thread::sleep(2 * SETTLED);
        let first = handle.verified(&vault, &Plain).unwrap();
        let second = handle.verified(&vault, &Plain).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        // One byte of the log, its length as before.
        let log = vault.log_path();
        let mut bytes = fs::read(&log).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&log, &bytes).unwrap();
        let refusal = handle.verified(&vault, &Plain).unwrap_err();
        assert!(refusal.0.starts_with("Unverified"), "{}", refusal.0);
        bytes[at] ^= 1;
        fs::write(&log, &bytes).unwrap();
        assert!(handle.verified(&vault, &Plain).is_ok());
        fs::write(path.join("phantom"), "x").unwrap();
        assert!(handle.verified(&vault, &Plain).is_err());
    }

    #[test]
    fn a_verification_that_is_not_wanted_gives_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        provara_vault::init(&path, &InitOptions::default()).unwrap();
        let handle = VaultHandle::new("v".parse().unwrap(), path, None).without_memory();
        let job = JobHandle::unheard();
        let vault = handle.open(&Plain, &job).unwrap();
        assert!(handle.verified(&vault, &Plain).is_ok());
        // Whatever was kept does not hold for other bytes.
        fs::write(handle.path.join("phantom"), "x").unwrap();
        job.cancel();
        let refusal = handle.verified(&vault, &Plain).unwrap_err();
        assert!(refusal.0.contains("Cancelled"), "{}", refusal.0);
    }

    #[test]
    fn a_verdict_on_what_changed_just_before_is_not_kept() {
        let state = State {
            files: Vec::new(),
            newest: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        };
        for (later, holds) in [
            (Duration::ZERO, false),
            (SETTLED / 2, false),
            (SETTLED, true),
        ] {
            assert_eq!(state.had_settled(state.newest + later), holds);
        }
        // A clock that was set back tells nothing.
        assert!(!state.had_settled(SystemTime::UNIX_EPOCH));
    }
}
