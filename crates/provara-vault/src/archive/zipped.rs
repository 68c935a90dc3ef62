//! The entries of a zip archive: the older tool writes its backups as such. They are only read, and with the
//! same care as those of a tar archive: names, kinds and sizes are judged before anything is written.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{MOST_ENTRIES, plain_name};
use crate::error::{ArchiveError, Context, VaultError};

/// What a zip archive begins with: an entry, or its end where it has none.
pub(super) const MAGIC: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];

/// Goes through the entries of a zip archive; name, whether it is a directory, size, content.
pub(super) fn each_entry(
    path: &Path,
    limit: u64,
    mut take: impl FnMut(String, bool, u64, &mut dyn Read) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let file = File::open(path).context("read", path)?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| failed(error, path, false))?;
    if archive.len() > MOST_ENTRIES {
        return Err(ArchiveError::Entry {
            entry: format!("{} entries", archive.len()),
            reason: "are too many",
        }
        .into());
    }
    let mut total = 0u64;
    for number in 0..archive.len() {
        let entry = archive.by_index(number);
        let mut entry = entry.map_err(|error| failed(error, path, true))?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let refuse = |reason| ArchiveError::Entry {
            entry: shown.clone(),
            reason,
        };
        if entry.encrypted() {
            return Err(refuse("is encrypted").into());
        }
        if entry.is_symlink() {
            return Err(refuse("is a link").into());
        }
        let name = str::from_utf8(entry.name_raw())
            .map_err(|_| refuse("has a name that is not UTF-8"))?
            .to_owned();
        let is_directory = entry.is_dir();
        // The kind of a file, where a Unix wrote it: a device or a pipe is none of a vault's.
        const KIND: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        let kind = entry.unix_mode().unwrap_or(REGULAR) & KIND;
        if !is_directory && kind != REGULAR && kind != 0 {
            return Err(refuse("is neither a file nor a directory").into());
        }
        let Some(name) = plain_name(&name, is_directory).map_err(refuse)? else {
            continue;
        };
        let size = entry.size();
        total = total.saturating_add(size);
        if total > limit {
            return Err(ArchiveError::TooLarge { limit }.into());
        }
        // An entry that unpacks to more than it says is no entry of this size.
        let mut content = Exact {
            inner: &mut entry,
            left: size,
        };
        take(name, is_directory, size, &mut content).map_err(|error| match error {
            VaultError::Io {
                source, path: of, ..
            } if of == path => failed(ZipError::Io(source), path, true),
            error => error,
        })?;
    }
    Ok(())
}

/// Reads as many bytes as were announced, and refuses more and fewer.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(length)
    }
}

/// What the unpacking says, in our words: it quotes bytes, which may be anything. What the system says, a disk
/// that fails, is the system's own.
fn failed(error: ZipError, path: &Path, begun: bool) -> VaultError {
    let owned = path.to_owned();
    match error {
        ZipError::Io(source)
            if !matches!(
                source.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::Other
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ) =>
        {
            VaultError::Io {
                action: "read",
                path: owned,
                source,
            }
        }
        ZipError::UnsupportedArchive(_) => ArchiveError::Unreadable {
            path: owned,
            reason: "an entry is encrypted, or compressed in a way that is not read here"
                .to_owned(),
        }
        .into(),
        _ if begun => ArchiveError::Damaged {
            path: owned,
            reason: "its contents were changed or cut short",
        }
        .into(),
        _ => ArchiveError::Unreadable {
            path: owned,
            reason:
                "it begins as a zip archive and does not go on as one: it was cut short, or changed"
                    .to_owned(),
        }
        .into(),
    }
}
