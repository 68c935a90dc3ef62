//! Files of a vault, read with care: what stands in their place may be anything.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use provara_core::id::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::{Context, VaultError};

/// The largest file of the vault that is read as a whole, in bytes: some 400,000 files in a manifest.
/// The log is not among them.
pub(crate) const MAX_TEXT: u64 = 64 << 20;

/// Why a larger one is not.
pub(crate) const TOO_LARGE: &str = "a file larger than 64 MiB";

/// Opens a file for reading, if it is a regular one: on a pipe in its place one would wait for ever.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The bytes of a file of the vault, if it is there.
///
/// # Errors
/// [`VaultError::Structure`] for one that is larger than [`MAX_TEXT`] or no regular file, or
/// [`VaultError::Io`].
pub(crate) fn read_text(root: &Path, relative: &str) -> Result<Option<Vec<u8>>, VaultError> {
    let path = root.join(relative);
    let structure = |reason: String| VaultError::Structure {
        file: relative.to_owned(),
        reason,
    };
    let file = match open_regular(&path) {
        Err(error) if is_absence(&error) => return Ok(None),
        file => file.context("read", &path)?,
    };
    let file = file.ok_or_else(|| structure("it is not a regular file".to_owned()))?;
    let mut text = Vec::with_capacity(4096);
    // A hole costs no disk, and would cost memory.
    let length = file.take(MAX_TEXT + 1).read_to_end(&mut text);
    if length.context("read", &path)? as u64 > MAX_TEXT {
        return Err(structure(format!("it is {TOO_LARGE}")));
    }
    Ok(Some(text))
}

/// The size and SHA-256 of a file, read in pieces.
pub(crate) fn hash_file(path: &Path) -> io::Result<(u64, Digest)> {
    hash_open(&mut File::open(path)?)
}

/// The size and SHA-256 of an open file from its place on.
pub(crate) fn hash_open(file: &mut File) -> io::Result<(u64, Digest)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((size, Digest(hasher.finalize().into()))),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 over the first `length` bytes of a file; nothing where it has fewer.
pub(crate) fn hash_prefix(file: &File, length: u64) -> io::Result<Option<Sha256>> {
    const PIECE: usize = 1 << 20;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).map_or(PIECE, |rest| rest.min(PIECE));
        match file.read_at(&mut piece[..wanted], at) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                hasher.update(&piece[..read]);
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(hasher))
}

/// Whether a path is not there, whether it or a directory on its way is missing.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
