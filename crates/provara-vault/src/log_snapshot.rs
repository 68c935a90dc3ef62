//! The bytes of a log as they stood at one moment: its whole lines, or a part of it.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, VaultError};
use crate::log_hashes::LogHashes;
use crate::mapped_log::MappedLog;
use provara_core::parallel::available_threads;

/// Logs up to this size are read, larger ones mapped: a copy of a small file cannot be cut under
/// its reader, a copy of a large one costs memory.
const READ_LIMIT: u64 = 16 << 20;

enum Bytes {
    Read(Vec<u8>),
    Shared(Arc<Vec<u8>>),
    Mapped(Box<MappedLog>),
}

/// The log's bytes up to its last line end, as they stood when the snapshot was taken. Appending
/// goes on beside it and does not change it.
pub struct LogSnapshot {
    bytes: Bytes,
    torn: u64,
}

impl LogSnapshot {
    /// The bytes of every whole line, line ends included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
            Bytes::Mapped(log) => log.bytes(),
        }
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// Whether the log has no whole line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// How many bytes stood beyond the last line end: an append in flight, or a torn tail.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The lines in order, each without its line end.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines_of(self.bytes())
    }

    /// Whether other programs' changes of the file show in these bytes.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Mapped(_))
    }

    /// Takes note of the hashes of these bytes as they verified, and refuses bytes that are seen to be others by now.
    ///
    /// # Errors
    /// [`VaultError::LogChanged`], or [`VaultError::Io`].
    pub(crate) fn check_verified(&self, hashes: LogHashes) -> Result<(), VaultError> {
        match &self.bytes {
            Bytes::Read(_) | Bytes::Shared(_) => Ok(()),
            Bytes::Mapped(log) => {
                log.note_hashes(hashes);
                log.check_verified()
            }
        }
    }

    /// The hashes of these bytes, with those of their parts; of a mapped log, as they verified.
    pub(crate) fn hashes(&self) -> Option<LogHashes> {
        match &self.bytes {
            Bytes::Read(_) | Bytes::Shared(_) => Some(LogHashes::new(true).go_on(self.bytes())),
            Bytes::Mapped(log) => log.hashes().cloned(),
        }
    }

    /// Whether the log begins with the bytes that `hashes` are of; a mapped log, as it verified.
    pub(crate) fn begins_with(&self, hashes: &LogHashes) -> bool {
        match &self.bytes {
            Bytes::Read(_) | Bytes::Shared(_) => hashes.begin(self.bytes(), available_threads()),
            Bytes::Mapped(log) => {
                let all = log.hashes();
                all.is_some_and(|all| hashes.begin_hashed(all, log.bytes()))
            }
        }
    }

    /// The error of whoever met what cannot be: the same bytes read twice may have been two, where another program
    /// changes them.
    pub(crate) fn blame(&self, error: VaultError) -> VaultError {
        match &self.bytes {
            Bytes::Mapped(log) if log.may_be_changed() => log.changed(),
            _ => error,
        }
    }

    /// Refuses bytes that are not those that were taken any more, as a mapped log's are not after another
    /// program cut it or edited it in place. To be asked after what was derived from them, before it is
    /// told. What was edited is known only of a log that verified.
    ///
    /// # Errors
    /// [`VaultError::LogChanged`], or [`VaultError::Io`].
    pub(crate) fn check_unchanged(&self) -> Result<(), VaultError> {
        self.check_unchanged_from(0)
    }

    /// As [`LogSnapshot::check_unchanged`], after nothing before byte `from` was read.
    pub(crate) fn check_unchanged_from(&self, from: usize) -> Result<(), VaultError> {
        match &self.bytes {
            Bytes::Read(_) | Bytes::Shared(_) => Ok(()),
            Bytes::Mapped(log) => log.check_from(from),
        }
    }

    /// Takes the whole lines of `file`.
    pub(crate) fn of_lines(file: &File, path: &Path) -> Result<Self, VaultError> {
        let length = file.metadata().context("read", path)?.len();
        let whole = whole_lines(file, length).context("read", path)?;
        Ok(Self {
            bytes: load(file, whole, path)?,
            torn: length - whole,
        })
    }

    /// The same log with a last event that no line end follows. Copies the log: such a log is small or
    /// damaged.
    pub(crate) fn with_open_end(self, tail: &[u8]) -> Self {
        if tail.is_empty() {
            return self;
        }
        Self::of_bytes([self.bytes(), tail].concat())
    }

    /// A log of these bytes, whatever they end with.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Bytes::Read(bytes),
            torn: 0,
        }
    }

    /// A log of bytes that lie in memory, whatever they end with.
    pub(crate) fn of_shared(bytes: Arc<Vec<u8>>) -> Self {
        Self {
            bytes: Bytes::Shared(bytes),
            torn: 0,
        }
    }

    /// Takes the first `len` bytes of `file`, whatever they end with.
    pub(crate) fn of_prefix(file: &File, len: u64, path: &Path) -> Result<Self, VaultError> {
        Ok(Self {
            bytes: load(file, len, path)?,
            torn: 0,
        })
    }

    /// The first `len` bytes of this log. Copies them where that is not all of it: such a log was
    /// interrupted while it was changed.
    pub(crate) fn cut(self, len: usize) -> Self {
        if len == self.bytes().len() {
            return self;
        }
        Self::of_bytes(self.bytes()[..len].to_vec())
    }
}

impl Deref for LogSnapshot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl std::fmt::Debug for LogSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSnapshot")
            .field("len", &self.len())
            .field("torn", &self.torn)
            .finish_non_exhaustive()
    }
}

/// The lines of `bytes` in order, each without its line end.
pub(crate) fn lines_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

fn load(file: &File, len: u64, path: &Path) -> Result<Bytes, VaultError> {
    let size = usize::try_from(len)
        .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
        .context("map", path)?;
    if len <= READ_LIMIT {
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).context("read", path)?;
        return Ok(Bytes::Read(bytes));
    }
    MappedLog::of(file, size, path).map(|log| Bytes::Mapped(Box::new(log)))
}

/// The length of the prefix of `file`'s first `length` bytes that ends with a line end, found from
/// behind: what lies beyond it may be cut off at any moment and must not be mapped.
pub(crate) fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = length;
    let mut block = vec![0; BLOCK.min(length) as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - start) as usize];
        match file.read_exact_at(part, start) {
            Ok(()) => {}
            // A writer took back a torn tail since the length was asked for.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let now = file.metadata()?.len();
                return if now < length {
                    whole_lines(file, now)
                } else {
                    Err(error)
                };
            }
            Err(error) => return Err(error),
        }
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file_of(directory: &tempfile::TempDir, bytes: &[u8]) -> File {
        let path = directory.path().join("log");
        fs::write(&path, bytes).unwrap();
        File::options().read(true).write(true).open(path).unwrap()
    }

    #[test]
    fn whole_lines_end_with_the_last_line_end_wherever_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let block = 64 << 10;
        for (whole, rest) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (7, 5),
            (0, 3 * block),
            (block, 0),
            (block - 1, 1),
            (block + 1, block - 1),
            (5, block),
            (5, block + 3),
            (block, 2 * block + 1),
        ] {
            let mut bytes = vec![b'x'; whole + rest];
            if whole > 0 {
                bytes[whole - 1] = b'\n';
            }
            let file = file_of(&directory, &bytes);
            let found = whole_lines(&file, bytes.len() as u64).unwrap();
            assert_eq!(found, whole as u64, "{whole} and {rest}");
            let lines = LogSnapshot::of_lines(&file, directory.path()).unwrap();
            assert_eq!((lines.len(), lines.torn()), (whole as u64, rest as u64));
            // No word of the log itself: it may be long, and secret.
            let told = format!("LogSnapshot {{ len: {whole}, torn: {rest}, .. }}");
            assert_eq!(format!("{lines:?}"), told);
        }
    }

    #[test]
    fn a_log_that_is_shorter_than_it_was_ends_where_it_ends_now() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_of(&directory, b"one\ntwo\nthr");
        assert_eq!(whole_lines(&file, 4096).unwrap(), 8);
        file.set_len(6).unwrap();
        assert_eq!(whole_lines(&file, 11).unwrap(), 4);
        // Whoever was promised bytes that are gone is told.
        assert!(LogSnapshot::of_prefix(&file, 8, directory.path()).is_err());
        let closed = File::options()
            .write(true)
            .open(directory.path().join("log"));
        let closed = closed.unwrap();
        assert!(whole_lines(&closed, 6).is_err());
        // What cannot be read is not taken for what was cut.
        file.set_len(0).unwrap();
        assert!(whole_lines(&closed, 6).is_err());
    }

    #[test]
    fn a_small_log_is_copied_and_may_be_cut_under_its_reader() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_of(&directory, b"one\ntwo\n");
        let lines = LogSnapshot::of_lines(&file, directory.path()).unwrap();
        assert!(matches!(lines.bytes, Bytes::Read(_)));
        file.set_len(0).unwrap();
        assert_eq!(lines.bytes(), b"one\ntwo\n");
        file.set_len(READ_LIMIT).unwrap();
        let limit = LogSnapshot::of_prefix(&file, 16 << 20, directory.path()).unwrap();
        assert!(matches!(limit.bytes, Bytes::Read(_)));
        file.set_len((16 << 20) + 1).unwrap();
        let large = LogSnapshot::of_prefix(&file, (16 << 20) + 1, directory.path()).unwrap();
        assert!(matches!(large.bytes, Bytes::Mapped(_)));
        assert_eq!(large.len(), (16 << 20) + 1);
    }

    #[test]
    fn a_cut_and_an_open_end_make_other_bytes_only_where_they_must() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_of(&directory, b"one\ntwo");
        let lines = || LogSnapshot::of_lines(&file, directory.path()).unwrap();
        assert_eq!(lines().cut(2).bytes(), b"on");
        assert_eq!(lines().cut(2).torn(), 0);
        assert_eq!(lines().cut(4).torn(), 3);
        assert_eq!(lines().with_open_end(b"two").bytes(), b"one\ntwo");
        assert_eq!(lines().with_open_end(b"two").torn(), 0);
        assert_eq!(lines().with_open_end(b"").torn(), 3);
        assert!(!lines().is_empty());
        assert!(lines().cut(0).is_empty());
        assert_eq!(
            lines_of(b"\na\n\nb").collect::<Vec<_>>(),
            [&b""[..], b"a", b"", b"b"]
        );
    }

    #[test]
    fn what_cannot_be_is_blamed_on_whoever_may_have_changed_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_of(&directory, b"one\n");
        let path = directory.path().join("log");
        let blamed = |snapshot: &LogSnapshot| {
            let error = VaultError::Unwritable {
                reason: "it cannot be".to_owned(),
            };
            matches!(snapshot.blame(error), VaultError::LogChanged { .. })
        };
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mapped = MappedLog::of(&file, 4, &path).unwrap();
        let mapped = LogSnapshot {
            bytes: Bytes::Mapped(Box::new(mapped)),
            torn: 0,
        };
        let read = LogSnapshot::of_lines(&file, &path).unwrap();
        assert!(!blamed(&mapped) && !blamed(&read));
        file.write_all_at(b"two\n", 0).unwrap();
        assert!(blamed(&mapped) && !blamed(&read));
    }
}
