//! The entries of a tar archive, compressed with gzip or Zstandard or not: names, kinds and sizes are judged before
//! anything of them is used.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::zstd::Frames;
use super::{ALLOWANCE, MOST_ENTRIES, Watch, plain_name};
use crate::error::{ArchiveError, Context, VaultError};

/// The archive's bytes, unpacked.
fn open<'w>(path: &Path, watch: &'w Watch<'w>) -> Result<Box<dyn Read + 'w>, VaultError> {
    let unreadable = |reason: &str| ArchiveError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut file = File::open(path).context("read", path)?;
    let mut magic = Vec::new();
    Read::by_ref(&mut file)
        .take(4)
        .read_to_end(&mut magic)
        .context("read", path)?;
    file.rewind().context("read", path)?;
    let size = file.metadata().context("read", path)?.len();
    let file = BufReader::with_capacity(1 << 20, watch.reading(file, size));
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Ok(Box::new(Frames::new(file))),
        [] => Err(unreadable("it is empty").into()),
        _ => Ok(Box::new(file)),
    }
}

/// Goes through the entries of a tar archive; name, whether it is a directory, size, content.
pub(super) fn each_entry(
    path: &Path,
    limit: u64,
    watch: &Watch<'_>,
    mut take: impl FnMut(String, bool, u64, &mut dyn Read) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    // Names and padding count as well: no part of the archive is read without end.
    let bounded = Bounded {
        inner: open(path, watch)?,
        left: limit.saturating_add(ALLOWANCE),
    };
    let mut archive = tar::Archive::new(bounded);
    let mut total = 0u64;
    // What the unpacking says is told in our words: it quotes bytes, which may be anything. What the
    // system says, a disk that fails, is the system's own.
    let failed = |source: io::Error, begun: bool| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::FileTooLarge => ArchiveError::TooLarge { limit }.into(),
            io::ErrorKind::UnexpectedEof => ArchiveError::Damaged {
                path,
                reason: "it ends before its contents do",
            }
            .into(),
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                match begun {
                    true => ArchiveError::Damaged {
                        path,
                        reason: "its contents were changed or cut short",
                    },
                    false => ArchiveError::Unreadable {
                        path,
                        reason: "its contents are damaged, or of another format".to_owned(),
                    },
                }
                .into()
            }
            _ => VaultError::Io {
                action: "read",
                path,
                source,
            },
        }
    };
    let entries = archive.entries().map_err(|error| failed(error, false))?;
    for (number, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| failed(error, number > 0))?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |reason| ArchiveError::Entry {
            entry: shown.clone(),
            reason,
        };
        if number >= MOST_ENTRIES {
            return Err(refuse("is one entry too many").into());
        }
        let kind = entry.header().entry_type();
        let is_directory = match kind {
            tar::EntryType::Directory => true,
            tar::EntryType::Regular => false,
            tar::EntryType::XGlobalHeader => continue,
            tar::EntryType::Symlink | tar::EntryType::Link => {
                return Err(refuse("is a link").into());
            }
            _ => return Err(refuse("is neither a file nor a directory").into()),
        };
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| refuse("has a name that is not UTF-8"))?;
        let Some(name) = plain_name(&name, is_directory).map_err(refuse)? else {
            continue;
        };
        let size = entry.size();
        total = total.saturating_add(size);
        if total > limit {
            return Err(ArchiveError::TooLarge { limit }.into());
        }
        take(name, is_directory, size, &mut entry).map_err(|error| match error {
            VaultError::Io {
                source, path: of, ..
            } if of == path => failed(source, true),
            error => error,
        })?;
    }
    Ok(())
}

/// Reads at most so many bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(length)
    }
}
