//! The entries of a zip archive: the older tool writes its backups as such. They are only read, and with the
//! same care as those of a tar archive: names, kinds and sizes are judged before anything is written.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{MOST_ENTRIES, Watch, plain_name};
use crate::error::{ArchiveError, Context, VaultError};

/// What a zip archive begins with: an entry, or its end where it has none.
pub(super) const MAGIC: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];

/// Goes through the entries of a zip archive; name, whether it is a directory, size, content.
pub(super) fn each_entry(
    path: &Path,
    limit: u64,
    watch: &Watch<'_>,
    mut take: impl FnMut(String, bool, u64, &mut dyn Read) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let file = File::open(path).context("read", path)?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| failed(error, path, false))?;
    // The library keeps the last of entries of one name.
    let listed = listed(path, archive.central_directory_start())?;
    if listed != archive.len() as u64 {
        return Err(ArchiveError::Damaged {
            path: path.to_owned(),
            reason: "it has two entries of one name, or a directory that does not fit",
        }
        .into());
    }
    if archive.len() > MOST_ENTRIES {
        return Err(ArchiveError::Entry {
            entry: format!("{} entries", archive.len()),
            reason: "are too many",
        }
        .into());
    }
    let whole = archive
        .decompressed_size()
        .and_then(|size| u64::try_from(size).ok());
    let whole = whole.unwrap_or(limit);
    let mut total = 0u64;
    for number in 0..archive.len() {
        let stated = archive.by_index_data(number);
        let stated = stated.map_err(|error| failed(error, path, true))?;
        let read = [CompressionMethod::STORE, CompressionMethod::DEFLATE];
        if !stated.encrypted() && !read.contains(&stated.compression()) {
            return Err(ArchiveError::Method {
                path: path.to_owned(),
                entry: String::from_utf8_lossy(stated.name_raw()).into_owned(),
                method: stated.compression().to_string(),
            }
            .into());
        }
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
        let before = total - size;
        let mut content = Exact {
            inner: &mut entry,
            left: size,
            told: |left: u64| watch.tell((before + size - left).min(whole), whole),
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

/// How many entries the central directory has, which begins at `start` (APPNOTE.TXT 6.3.10, section 4.3.12).
fn listed(path: &Path, start: u64) -> Result<u64, VaultError> {
    const ENTRY: [u8; 4] = *b"PK\x01\x02";
    /// The fixed part of an entry, and where it says how long its name, extra field and comment are.
    const FIXED: usize = 46;
    const LENGTHS: [usize; 3] = [28, 30, 32];
    let mut file = BufReader::new(File::open(path).context("read", path)?);
    file.seek(SeekFrom::Start(start)).context("read", path)?;
    let mut count = 0;
    loop {
        let mut fixed = [0; FIXED];
        match file.read_exact(&mut fixed) {
            Ok(()) if fixed.starts_with(&ENTRY) => count += 1,
            // What follows the directory may be shorter than an entry.
            Ok(()) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(count),
            Err(error) => return Err(error).context("read", path),
        }
        let length = |at: usize| i64::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
        let rest = LENGTHS.into_iter().map(length).sum();
        file.seek_relative(rest).context("read", path)?;
    }
}

/// Reads as many bytes as were announced, and refuses more and fewer.
struct Exact<R, T> {
    inner: R,
    left: u64,
    /// Hears how many are left, and may end the work.
    told: T,
}

impl<R: Read, T: Fn(u64) -> io::Result<()>> Read for Exact<R, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        (self.told)(self.left)?;
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
            reason: "an entry is encrypted, or of a kind that is not read here".to_owned(),
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
