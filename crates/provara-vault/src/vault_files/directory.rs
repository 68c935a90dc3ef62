//! A vault in a directory, which writers may be at work on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use provara_core::id::Digest;

use super::{Entry, OpenLog, Standing, TakenLog, VaultFiles};
use crate::error::{Context, VaultError};
use crate::files::{hash_file, is_absence, open_regular, read_text};
use crate::lock::is_at;
use crate::log_snapshot::LogSnapshot;
use crate::unsealed_tail::UnsealedTail;
use crate::walk::{Kind, walk};

/// A directory, absolute and without symbolic links.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }
}

impl VaultFiles for Directory {
    fn is_live(&self) -> bool {
        true
    }

    fn list(&self) -> Result<BTreeMap<String, Entry>, VaultError> {
        let mut entries = BTreeMap::new();
        for found in walk(&self.0)? {
            let entry = match found.kind {
                Kind::Unsafe(reason) => Entry::Other(reason),
                Kind::File | Kind::Link => {
                    let path = self.0.join(&found.path);
                    match unless_absent(fs::metadata(&path)).context("read", &path)? {
                        Some(there) => Entry::File(there.len()),
                        None => continue,
                    }
                }
            };
            entries.insert(found.path, entry);
        }
        Ok(entries)
    }

    fn stands(&self, path: &str) -> Result<Option<Standing>, VaultError> {
        let path = self.0.join(path);
        let there = unless_absent(fs::symlink_metadata(&path)).context("read", &path)?;
        Ok(there.map(|there| match there.is_file() {
            true => Standing::File,
            false => Standing::Other,
        }))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, VaultError> {
        read_text(&self.0, path)
    }

    fn hash(&self, path: &str) -> Result<(u64, Digest), VaultError> {
        let path = self.0.join(path);
        hash_file(&path).context("read", &path)
    }

    fn open_log(&self, path: &str) -> Result<Option<Box<dyn OpenLog>>, VaultError> {
        let path = self.0.join(path);
        let file = unless_absent(open_regular(&path)).context("read", &path)?;
        let log = file.flatten().map(|file| LogFile { file, path });
        Ok(log.map(|log| Box::new(log) as Box<dyn OpenLog>))
    }
}

/// A log that is a file.
struct LogFile {
    file: File,
    path: PathBuf,
}

impl LogFile {
    fn length(&self) -> Result<u64, VaultError> {
        let there = self.file.metadata().context("read", &self.path)?;
        Ok(there.len())
    }
}

impl OpenLog for LogFile {
    fn take(&self, sealed: Option<u64>) -> Result<TakenLog, VaultError> {
        let Self { file, path } = self;
        let length = self.length()?;
        if let Some(sealed) = sealed.filter(|sealed| *sealed <= length) {
            let lines = LogSnapshot::of_prefix(file, sealed, path)?;
            let unsealed = (length > sealed)
                .then(|| UnsealedTail::of(file, sealed, lines.ends_with(b"\n"), length))
                .transpose()
                .context("read", path)?;
            return Ok(TakenLog {
                lines,
                tail: Vec::new(),
                unsealed,
            });
        }
        let lines = LogSnapshot::of_lines(file, path)?;
        let tail = read_tail(file, &lines).context("read", path)?;
        Ok(TakenLog {
            lines,
            tail,
            unsealed: None,
        })
    }

    fn whole(&self) -> Result<LogSnapshot, VaultError> {
        LogSnapshot::of_prefix(&self.file, self.length()?, &self.path)
    }

    fn is_current(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }
}

/// What followed the whole lines of a log; nothing if a writer took it back meanwhile.
fn read_tail(file: &File, lines: &LogSnapshot) -> io::Result<Vec<u8>> {
    // Read, not mapped: the next writer may cut it off.
    let mut tail = vec![0; usize::try_from(lines.torn()).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut tail, lines.len()) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        read => read.map(|()| tail),
    }
}

fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if is_absence(&error) => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_a_writer_takes_back_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"one\ntwo").unwrap();
        let file = File::options().write(true).read(true).open(&path).unwrap();
        let lines = LogSnapshot::of_lines(&file, &path).unwrap();
        assert_eq!(read_tail(&file, &lines).unwrap(), b"two");
        file.set_len(6).unwrap();
        assert_eq!(read_tail(&file, &lines).unwrap(), b"");
        let closed = File::options().write(true).open(&path).unwrap();
        assert!(read_tail(&closed, &lines).is_err());
    }

    #[test]
    fn only_what_is_absent_is_left_out() {
        let error = |kind| Err::<(), _>(io::Error::from(kind));
        assert_eq!(unless_absent(Ok(7)).unwrap(), Some(7));
        assert_eq!(unless_absent(error(io::ErrorKind::NotFound)).unwrap(), None);
        assert!(unless_absent(error(io::ErrorKind::PermissionDenied)).is_err());
    }

    #[test]
    fn what_stands_at_a_path_is_told_from_what_a_link_there_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let files = Directory::new(&fs::canonicalize(directory.path()).unwrap());
        fs::write(directory.path().join("file"), b"four").unwrap();
        fs::create_dir(directory.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        assert_eq!(files.stands("file").unwrap(), Some(Standing::File));
        assert_eq!(files.stands("link").unwrap(), Some(Standing::Other));
        assert_eq!(files.stands("directory").unwrap(), Some(Standing::Other));
        assert_eq!(files.stands("nothing").unwrap(), None);
        assert_eq!(files.stands("file/below").unwrap(), None);
        let listed = [("file", Entry::File(4)), ("link", Entry::File(4))];
        let listed = listed.map(|(path, entry)| (path.to_owned(), entry));
        assert_eq!(files.list().unwrap(), BTreeMap::from(listed));
        assert_eq!(files.hash("link").unwrap(), (4, Digest::of(b"four")));
        // In place of a log there may be anything.
        assert!(files.open_log("directory").unwrap().is_none());
        assert!(files.open_log("nothing").unwrap().is_none());
        let log = files.open_log("link").unwrap().unwrap();
        assert_eq!(log.whole().unwrap().bytes(), b"four");
        let taken = log.take(None).unwrap();
        assert_eq!(
            (taken.lines.bytes(), taken.tail.as_slice()),
            (&b""[..], &b"four"[..])
        );
    }
}
