//! The file layer: every change that a writer makes to a vault goes through this trait, so that a
//! recording or failing layer can be put beneath it.
//!
//! The order in which a writer calls it is the durability argument; see [`crate::writer`].
//!
//! A temporary file holds the directory that it lies in, and is named, renamed and removed relative to that:
//! whatever is put in the directory's place meanwhile, the file does not land in it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

use provara_staging::is_hex;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

use crate::file_system::{self, keep_mode};

/// What the names of this crate's temporary files begin with.
///
/// Where the system has files without a name (Linux, `O_TMPFILE`), a temporary file has this name
/// only between being whole and durable and being renamed; elsewhere for as long as it is written.
/// A verification takes no notice of the name: such a file is a phantom file like any other, but a
/// reader that meets one while a writer is at work looks again when the writer is done. What a
/// crash left behind is removed by the next writer, under the lock.
pub const TEMPORARY_PREFIX: &str = ".provara-tmp-";

/// A file being prepared. It has no name that a reader could know until it is published, and
/// vanishes when it is dropped before.
#[derive(Debug)]
pub struct Temporary {
    file: File,
    /// What it lies in, held open.
    within: File,
    /// The path that this was opened by.
    directory: PathBuf,
    /// Its name in the directory; none where the system has files without one.
    name: Option<OsString>,
}

impl Temporary {
    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The directory that it lies in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same directory, as it was opened.
    pub(crate) fn within(&self) -> &File {
        &self.within
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // Best effort: what stays is removed by the next writer.
            let _ = unlinkat(&self.within, name, AtFlags::empty());
        }
    }
}

/// The changes that a writer makes to the files of a vault.
pub trait FileLayer: fmt::Debug + Send + Sync {
    /// Writes `bytes` at the end of `log`, which is open for appending.
    ///
    /// # Errors
    /// The system's error; a part of `bytes` may then be written.
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Cuts `log` to `len` bytes.
    ///
    /// # Errors
    /// The system's error; the length is then unchanged.
    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()>;

    /// Makes the data and length of `log` durable (`fdatasync`).
    ///
    /// # Errors
    /// The system's error; nothing is then known about what is durable, and it must not be tried
    /// again: a second call can succeed without the data being on the disk.
    fn sync_data(&self, log: &File, path: &Path) -> io::Result<()>;

    /// Makes a file with permissions `mode` in `directory`, to be published there.
    ///
    /// # Errors
    /// The system's error; nothing is then left behind.
    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary>;

    /// Writes the whole content of a temporary file.
    ///
    /// # Errors
    /// The system's error.
    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()>;

    /// Makes a temporary file's data and length durable (`fsync`).
    ///
    /// # Errors
    /// The system's error; the file must then not be published.
    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()>;

    /// As [`FileLayer::sync_temporary`], for several files, which may share a commit of the file system's
    /// journal.
    ///
    /// # Errors
    /// The system's error, and the index of the file; none of them must then be published.
    fn sync_temporaries(&self, temporaries: &[&Temporary]) -> Result<(), (usize, io::Error)> {
        let mut each = temporaries.iter().enumerate();
        each.try_for_each(|(index, file)| self.sync_temporary(file).map_err(|error| (index, error)))
    }

    /// Makes the data and lengths of several new files durable, which may share a commit of the file system's
    /// journal.
    ///
    /// # Errors
    /// The system's error, and the index of the file.
    fn sync_files(&self, files: &[(File, PathBuf)]) -> Result<(), (usize, io::Error)> {
        let mut each = files.iter().enumerate();
        each.try_for_each(|(index, (file, _))| file.sync_all().map_err(|error| (index, error)))
    }

    /// Whether [`FileLayer::sync_file_system`] makes what lies on the file system of `directory` durable, and
    /// tells of every failure.
    fn syncs_as_one(&self, directory: &File) -> bool {
        let _ = directory;
        false
    }

    /// Makes everything that was written to the file system of `directory` durable, data and names. Failures
    /// since `directory` was opened are told.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where there is no such thing; the system's error otherwise.
    fn sync_file_system(&self, directory: &File, path: &Path) -> io::Result<()> {
        let _ = (directory, path);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Renames a temporary file to `target` in its own directory, in place of what is there.
    ///
    /// # Errors
    /// The system's error; the target is then unchanged.
    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()>;

    /// Renames a file, or a tree, that is whole and durable, with its name, to `to` in the same directory, in place of
    /// what is there: at every moment the one or the other stands there, and the new bytes under one of
    /// the two names.
    ///
    /// # Errors
    /// The system's error; nothing is then changed.
    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in `directory` durable (`fsync` of the directory).
    ///
    /// # Errors
    /// The system's error; `EINVAL`, `EOPNOTSUPP`, `ENOTSUP`, `ENOSYS`, `EBADF` and
    /// [`io::ErrorKind::Unsupported`] say that the file system has no such thing, any other that the disk
    /// failed.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

impl FileLayer for SystemFiles {
    fn append(&self, mut log: &File, _path: &Path, bytes: &[u8]) -> io::Result<()> {
        log.write_all(bytes)
    }

    fn truncate(&self, log: &File, _path: &Path, len: u64) -> io::Result<()> {
        log.set_len(len)
    }

    fn sync_data(&self, log: &File, _path: &Path) -> io::Result<()> {
        log.sync_data()
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        let within = open_directory(directory)?;
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless(&within, mode)? {
            return Ok(Temporary {
                file,
                within,
                directory: directory.to_owned(),
                name: None,
            });
        }
        let name = fresh_name()?;
        let file = create_new(&within, &name, mode)?;
        Ok(Temporary {
            file,
            within,
            directory: directory.to_owned(),
            name: Some(name),
        })
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        (&temporary.file).write_all(bytes)
    }

    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()> {
        temporary.file.sync_all()
    }

    fn sync_temporaries(&self, temporaries: &[&Temporary]) -> Result<(), (usize, io::Error)> {
        // All are on their way to the disk before the first is waited for.
        for temporary in temporaries {
            begin_writeback(&temporary.file);
        }
        let mut each = temporaries.iter().enumerate();
        each.try_for_each(|(index, file)| self.sync_temporary(file).map_err(|error| (index, error)))
    }

    fn sync_files(&self, files: &[(File, PathBuf)]) -> Result<(), (usize, io::Error)> {
        for (file, _) in files {
            begin_writeback(file);
        }
        let mut each = files.iter().enumerate();
        each.try_for_each(|(index, (file, _))| file.sync_all().map_err(|error| (index, error)))
    }

    fn syncs_as_one(&self, directory: &File) -> bool {
        file_system::syncs_as_one(directory)
    }

    fn sync_file_system(&self, directory: &File, _path: &Path) -> io::Result<()> {
        file_system::sync_file_system(directory)
    }

    fn rename(&self, mut temporary: Temporary, target: &Path) -> io::Result<()> {
        if temporary.name.is_none() {
            let name = fresh_name()?;
            let within = &temporary.within;
            #[cfg(target_os = "linux")]
            let named = link(&temporary.file, within, &name);
            #[cfg(not(target_os = "linux"))]
            let named = Err(io::Error::from(io::ErrorKind::Unsupported));
            // The name counts from the first moment on, so that whatever happens it is cleared.
            temporary.name = Some(name.clone());
            // Some file systems make nameless files and then cannot name them.
            named.or_else(|_| copy_durably(&temporary.file, &temporary.within, &name))?;
        }
        let name = temporary.name.as_ref().expect("a named temporary file");
        let target = target.file_name().expect("a file in a directory");
        renameat(&temporary.within, name, &temporary.within, target)?;
        temporary.name = None;
        Ok(())
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        file_system::sync_directory(directory)
    }
}

/// Lets the system write a file's pages to the disk without waiting for it; only a sync makes them durable.
/// A hint: where it is not taken, the sync does all of the work.
fn begin_writeback(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Advice, fadvise};

        // Linux begins to write what it is told not to keep (mm/fadvise.c).
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// A name that no other file has.
pub(crate) fn fresh_name() -> io::Result<OsString> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = TEMPORARY_PREFIX.to_owned();
    for byte in bytes {
        name.push_str(&format!("{byte:02x}"));
    }
    Ok(name.into())
}

/// Whether `name` is one that [`fresh_name`] makes.
pub(crate) fn is_fresh_name(name: &str) -> bool {
    let rest = name.strip_prefix(TEMPORARY_PREFIX);
    rest.is_some_and(|rest| is_hex(rest, 24))
}

/// A file without a name, or `None` where the file system has none.
#[cfg(target_os = "linux")]
fn nameless(directory: &File, mode: u32) -> io::Result<Option<File>> {
    use rustix::io::Errno;

    // Publishing it needs /proc, which does not come and go; without it, use named files.
    static NAMEABLE: OnceLock<bool> = OnceLock::new();
    if !NAMEABLE.get_or_init(|| Path::new("/proc/self/fd").exists()) {
        return Ok(None);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(directory, ".", flags, Mode::from_raw_mode(mode)) {
        Ok(descriptor) => Ok(Some(File::from(descriptor))),
        // Kernels and file systems without O_TMPFILE answer with one of these.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Holds a directory. It can be named in, and need not be readable.
fn open_directory(path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let access = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let access = OFlags::RDONLY;
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn create_new(directory: &File, name: &OsStr, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode as rustix::fs::RawMode);
    Ok(openat(directory, name, flags, mode)?.into())
}

/// Writes the content of `file`, which has no name, to a new file with its permissions, and syncs it.
fn copy_durably(file: &File, directory: &File, name: &OsStr) -> io::Result<()> {
    let metadata = file.metadata()?;
    let mut bytes = vec![0; usize::try_from(metadata.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    let mut copy = create_new(directory, name, metadata.mode() & 0o777)?;
    keep_mode(&copy, &metadata.permissions())?;
    copy.write_all(&bytes)?;
    copy.sync_all()
}

/// Gives a nameless file a name.
#[cfg(target_os = "linux")]
fn link(file: &File, directory: &File, name: &OsStr) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{CWD, linkat};

    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, source, directory, name, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_is_published_or_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let layer = SystemFiles;
        let names = || fs::read_dir(directory.path()).unwrap().count();

        let dropped = layer.create_temporary(directory.path(), 0o644).unwrap();
        layer.write_temporary(&dropped, b"lost").unwrap();
        drop(dropped);
        assert_eq!(names(), 0);

        let target = directory.path().join("target");
        fs::write(&target, b"old").unwrap();
        let kept = layer.create_temporary(directory.path(), 0o600).unwrap();
        layer.write_temporary(&kept, b"new").unwrap();
        layer.sync_temporary(&kept).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        layer.rename(kept, &target).unwrap();
        layer.sync_directory(directory.path()).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(), 1);
    }

    #[test]
    fn what_cannot_be_named_is_copied() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let [original, path] = ["original", "copy"].map(|name| directory.path().join(name));
        fs::write(&original, b"content").unwrap();
        fs::set_permissions(&original, fs::Permissions::from_mode(0o640)).unwrap();
        let file = File::open(&original).unwrap();
        let within = open_directory(directory.path()).unwrap();
        copy_durably(&file, &within, OsStr::new("copy")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let again = copy_durably(&file, &within, OsStr::new("copy"));
        assert!(again.is_err(), "it is there");
    }

    #[test]
    fn a_temporary_file_does_not_land_in_what_was_put_in_the_place_of_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let [here, away] = ["here", "away"].map(|name| directory.path().join(name));
        let names = |of: &Path| fs::read_dir(of).unwrap().count();
        for named in [false, true] {
            fs::create_dir(&here).unwrap();
            let mut temporary = SystemFiles.create_temporary(&here, 0o644).unwrap();
            if named {
                // As on a system without nameless files.
                let name = fresh_name().unwrap();
                temporary.file = create_new(&temporary.within, &name, 0o644).unwrap();
                temporary.name = Some(name);
            }
            fs::rename(&here, &away).unwrap();
            fs::create_dir(&here).unwrap();
            fs::write(here.join("target"), b"another's").unwrap();
            SystemFiles.rename(temporary, &here.join("target")).unwrap();
            assert_eq!(fs::read(here.join("target")).unwrap(), b"another's");
            assert_eq!((names(&here), names(&away)), (1, 1));
            assert!(away.join("target").exists());
            fs::remove_dir_all(&here).unwrap();
            fs::remove_dir_all(&away).unwrap();
        }
    }

    #[test]
    fn only_own_names_are_recognised() {
        let name = fresh_name().unwrap().into_string().unwrap();
        assert!(is_fresh_name(&name));
        for other in [
            ".provara-tmp-",
            ".provara-tmp-x",
            "manifest.json",
            &name[1..],
            &name[..30],
        ] {
            assert!(!is_fresh_name(other), "{other}");
        }
    }
}
