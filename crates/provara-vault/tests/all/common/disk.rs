//! Disks that fail, that cannot do everything, and that tell what was done to them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provara_vault::file_layer::{FileLayer, SystemFiles, Temporary};

pub const EINVAL: i32 = 22;
pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;

/// The system's files, with one call that fails, and from then on perhaps all that follow.
#[derive(Debug)]
pub struct Failing {
    calls: AtomicU32,
    at: u32,
    errno: i32,
    forever: bool,
    /// Until when the call waits before it fails.
    held: Option<Mutex<Receiver<()>>>,
}

impl Failing {
    /// Fails at the call `at`, counted from 0.
    pub fn once(at: u32, errno: i32) -> Arc<Self> {
        Self::new(at, errno, false)
    }

    /// As [`Failing::once`]; the call fails when what comes with this is dropped.
    pub fn held(at: u32, errno: i32) -> (Arc<Self>, Sender<()>) {
        let (sender, held) = channel();
        let failing = Self {
            held: Some(Mutex::new(held)),
            ..Self::fails(at, errno, false)
        };
        (Arc::new(failing), sender)
    }

    /// Fails at the call `at`, counted from 0, and, if the disk is gone `forever`, at all after it.
    pub fn new(at: u32, errno: i32, forever: bool) -> Arc<Self> {
        Arc::new(Self::fails(at, errno, forever))
    }

    fn fails(at: u32, errno: i32, forever: bool) -> Self {
        Self {
            calls: AtomicU32::new(0),
            at,
            errno,
            forever,
            held: None,
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn step(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call == self.at
            && let Some(held) = &self.held
        {
            // A test that fails meanwhile is not waited for.
            let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
        }
        if call == self.at || (self.forever && call > self.at) {
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        Ok(())
    }
}

impl FileLayer for Failing {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step().or_else(|error| {
            // A full disk takes what fits.
            SystemFiles.append(log, path, &bytes[..bytes.len() / 2])?;
            Err(error)
        })?;
        SystemFiles.append(log, path, bytes)
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        self.step()?;
        SystemFiles.truncate(log, path, len)
    }

    fn sync_data(&self, log: &File, path: &Path) -> io::Result<()> {
        self.step()?;
        SystemFiles.sync_data(log, path)
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        self.step()?;
        SystemFiles.create_temporary(directory, mode)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()> {
        self.step()?;
        SystemFiles.sync_temporary(temporary)
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        self.step()?;
        SystemFiles.rename(temporary, target)
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        SystemFiles.rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step()?;
        SystemFiles.sync_directory(directory)
    }
}

/// The system's files, without syncs, beside which another program does something before the call `at`,
/// counted from 0.
pub struct Beside {
    calls: AtomicU32,
    at: u32,
    at_append: AtomicBool,
    modes: Mutex<Vec<u32>>,
    act: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beside")
    }
}

impl Beside {
    pub fn new(at: u32, act: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU32::new(0),
            at,
            at_append: AtomicBool::new(false),
            modes: Mutex::default(),
            act: Box::new(act),
        })
    }

    /// Whether it was done between a writer's last look at the log and its own write.
    pub fn before_a_write(&self) -> bool {
        self.at_append.load(Ordering::Relaxed)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The modes that temporary files were made with.
    pub fn modes(&self) -> Vec<u32> {
        self.modes.lock().unwrap().clone()
    }

    fn step(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            (self.act)();
        }
    }
}

impl FileLayer for Beside {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.calls() == self.at {
            self.at_append.store(true, Ordering::Relaxed);
        }
        self.step();
        SystemFiles.append(log, path, bytes)
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        self.step();
        SystemFiles.truncate(log, path, len)
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        self.step();
        Ok(())
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        self.step();
        self.modes.lock().unwrap().push(mode);
        SystemFiles.create_temporary(directory, mode)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        self.step();
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, _: &Temporary) -> io::Result<()> {
        self.step();
        Ok(())
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        self.step();
        SystemFiles.rename(temporary, target)
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step();
        SystemFiles.rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step();
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step();
        File::open(directory).map(drop)
    }
}

/// A change that reached the files, or the order to make changes durable.
#[derive(Debug, Clone)]
pub enum Step {
    Append(Vec<u8>),
    SyncLog,
    Rename(PathBuf, Vec<u8>),
    SyncDirectory(PathBuf),
}

/// The system's files, with a record of what a writer does that takes nothing back; perhaps without
/// directories that can be synced.
#[derive(Debug, Default)]
pub struct Watched {
    pub steps: Mutex<Vec<Step>>,
    pub no_directories: bool,
}

impl Watched {
    fn note(&self, step: Step) {
        self.steps.lock().unwrap().push(step);
    }
}

impl FileLayer for Watched {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.note(Step::Append(bytes.to_vec()));
        SystemFiles.append(log, path, bytes)
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        SystemFiles.truncate(log, path, len)
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        self.note(Step::SyncLog);
        Ok(())
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        SystemFiles.create_temporary(directory, mode)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, _: &Temporary) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        let file = temporary.file();
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        self.note(Step::Rename(target.to_owned(), bytes));
        SystemFiles.rename(temporary, target)
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Step::Rename(to.to_owned(), std::fs::read(from)?));
        SystemFiles.rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if self.no_directories {
            return Err(io::Error::from_raw_os_error(EINVAL));
        }
        self.note(Step::SyncDirectory(directory.to_owned()));
        Ok(())
    }
}
