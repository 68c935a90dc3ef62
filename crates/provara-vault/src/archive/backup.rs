//! `backup`: a consistent copy, verified, then packed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use provara_core::id::Digest;
use provara_core::keys::looks_like_keyfile;
use provara_core::layout;
use provara_core::manifest::Manifest;
use provara_core::time::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::gzip::GzipWriter;
use super::staging::StagingDir;
use super::{parent, restore, sync};
use crate::enclosing::outside_vaults;
use crate::error::{ArchiveError, Context, VaultError};
use crate::packed::Watch;
use crate::vault::Vault;
use crate::vault_snapshot::VaultSnapshot;
use crate::verify::VerifyOptions;
use provara_core::parallel::available_threads;

/// How often a copy is taken anew because a writer changed files while they were copied.
const ATTEMPTS: usize = 8;

/// A keyfile of this size would hold some 10,000 keys.
const LARGEST_KEYFILE: u64 = 2 << 20;

/// How a backup is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupOptions {
    /// Put the private keys into the archive as well.
    pub private_keys: bool,
    /// Replace an archive that is there.
    pub force: bool,
}

/// A backup that is durable.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupReceipt {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The files in it.
    pub file_count: u64,
    /// The events in it.
    pub event_count: u64,
    /// The root of the seal in it.
    pub merkle_root: Digest,
    /// Whether private keys are in it.
    pub private_keys: bool,
    /// What the verification of the copy noted, and what is to be told of the place of the archive.
    pub notes: Vec<String>,
    /// Those notes that are about the place: what others left there, and what its file system cannot do.
    #[serde(skip)]
    pub of_place: Vec<String>,
}

/// How much is copied at a time, in bytes.
const PIECE: usize = 1 << 20;

impl Vault {
    /// Writes a backup to `target`, a `.tar`, `.tar.gz` or `.tgz` file: one consistent state, taken
    /// while writers may be at work, verified before it is packed and read back before it gets its name.
    ///
    /// # Errors
    /// [`VaultError::Archive`], [`VaultError::Exists`], [`VaultError::Io`], [`VaultError::Cancelled`]. Nothing
    /// is then at `target` that was not there before.
    pub fn backup(
        &self,
        target: &Path,
        options: BackupOptions,
    ) -> Result<BackupReceipt, VaultError> {
        let told = |done, total| self.tell_progress(done, total);
        let watch = Watch::of(&told);
        watch.settle(self.write_backup(target, options, &watch))
    }

    fn write_backup(
        &self,
        target: &Path,
        options: BackupOptions,
        watch: &Watch<'_>,
    ) -> Result<BackupReceipt, VaultError> {
        let compressed = compression(target)?;
        outside_vaults(target)?;
        if !options.force && fs::symlink_metadata(target).is_ok() {
            return Err(VaultError::Exists {
                path: target.to_owned(),
            });
        }
        let staging = StagingDir::beside(target)?;
        let name = self.path().file_name().unwrap_or("vault".as_ref());
        let (copy, report) = self.verified_copy(staging.path(), options.private_keys, watch)?;

        let packed = staging.path().join("archive");
        let file = File::create_new(&packed).context("write to", &packed)?;
        let count =
            pack(&copy, Path::new(name), file, compressed, watch).context("write to", target)?;
        let manifest = fs::read(copy.join(layout::MANIFEST)).context("read", &copy)?;
        restore::inspect(&packed, u64::MAX, watch)?;
        let size = fs::metadata(&packed).context("read", &packed)?.len();
        fs::rename(&packed, target).context("put in place", target)?;
        let names = sync(&parent(target)).map_err(|source| ArchiveError::Unsure {
            path: target.to_owned(),
            source,
        })?;
        let keys = copy.join(layout::PRIVATE_KEYS).exists();
        let of_place = [&staging.notes[..], names.note(target).as_slice()].concat();
        Ok(BackupReceipt {
            path: target.to_owned(),
            size,
            file_count: count,
            event_count: report.event_count(),
            merkle_root: Manifest::parse(&manifest)
                .map(|manifest| manifest.merkle_root())
                .unwrap_or(Digest::of(b"")),
            private_keys: keys,
            notes: [report.notes(), &of_place].concat(),
            of_place,
        })
    }

    /// A copy of one state of the vault below `staging`, and the report that says that it verifies.
    fn verified_copy(
        &self,
        staging: &Path,
        private_keys: bool,
        watch: &Watch<'_>,
    ) -> Result<(PathBuf, provara_core::finding::Report), VaultError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let copy = staging.join(format!("copy-{attempt}"));
            let copied = self.copy_to(&copy, private_keys, watch);
            match copied {
                // A file went while it was copied: a writer retired it.
                Err(VaultError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    continue;
                }
                copied => copied?,
            }
            let report = Self::open(&copy)?
                .told_like(self)
                .verify(&VerifyOptions::default())?;
            if report.is_valid() {
                return Ok((copy, report));
            }
            if attempt == ATTEMPTS {
                return Err(ArchiveError::Unverified {
                    report: Box::new(report),
                }
                .into());
            }
            // A vault that is at rest and wrong stays wrong: no need to try again and again.
            if !self.verify(&VerifyOptions::default())?.is_valid() {
                attempt = ATTEMPTS - 1;
            }
            fs::remove_dir_all(&copy).context("remove", &copy)?;
        }
    }

    fn copy_to(
        &self,
        copy: &Path,
        private_keys: bool,
        watch: &Watch<'_>,
    ) -> Result<(), VaultError> {
        let snapshot = VaultSnapshot::take(self)?;
        // Left out, it would be a fault of the vault that its backup hides.
        if let Some((file, reason)) = snapshot.unsafe_entry() {
            return Err(VaultError::Structure {
                file: file.to_owned(),
                reason: reason.to_owned(),
            });
        }
        let mut directories = vec![String::new()];
        while let Some(relative) = directories.pop() {
            let (from, to) = (self.path().join(&relative), copy.join(&relative));
            fs::create_dir(&to).context("make the directory", &to)?;
            for entry in fs::read_dir(&from).context("read the directory", &from)? {
                let entry = entry.context("read the directory", &from)?;
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if let (true, Ok(name)) = (is_directory, entry.file_name().into_string()) {
                    directories.push(match relative.as_str() {
                        "" => name,
                        relative => format!("{relative}/{name}"),
                    });
                }
            }
        }
        for relative in snapshot.files() {
            let (from, to) = (self.path().join(relative), copy.join(relative));
            if relative == layout::PRIVATE_KEYS {
                if private_keys {
                    let text = Zeroizing::new(fs::read(&from).context("read", &from)?);
                    write(&to, &text, 0o600)?;
                }
                continue;
            }
            if relative == layout::LOG {
                let log = snapshot.log.as_ref().expect("a file that stands there");
                let mut file = File::create_new(&to).context("write to", &to)?;
                let lines = watch.reading(&log.lines[..], log.lines.len());
                io::copy(&mut BufReader::with_capacity(PIECE, lines), &mut file)
                    .and_then(|_| file.write_all(&log.tail))
                    .context("write to", &to)?;
                continue;
            }
            if let Some(text) = snapshot.text(relative) {
                write(&to, text, 0o666)?;
                continue;
            }
            let size = fs::metadata(&from).context("read", &from)?.len();
            if !private_keys && size <= LARGEST_KEYFILE {
                let text = Zeroizing::new(fs::read(&from).context("read", &from)?);
                if looks_like_keyfile(&text) {
                    let file = relative.to_owned();
                    return Err(ArchiveError::KeysInside { file }.into());
                }
                write(&to, &text, 0o666)?;
                continue;
            }
            let source = File::open(&from).context("read", &from)?;
            let mut file = File::create_new(&to).context("write to", &to)?;
            let source = BufReader::with_capacity(PIECE, watch.reading(source, size));
            io::copy(&mut { source }, &mut file).context("write to", &to)?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), VaultError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .context("write to", path)
}

fn compression(target: &Path) -> Result<bool, ArchiveError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let ends = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
    if ends(".tar.gz") || ends(".tgz") {
        Ok(true)
    } else if ends(".tar") {
        Ok(false)
    } else {
        Err(ArchiveError::Extension {
            path: target.to_owned(),
        })
    }
}

/// Packs the copy into `file`, durably; gives the number of files.
fn pack(
    copy: &Path,
    name: &Path,
    file: File,
    compressed: bool,
    watch: &Watch<'_>,
) -> io::Result<u64> {
    let file = BufWriter::with_capacity(1 << 20, file);
    let (count, file) = if compressed {
        let encoder = GzipWriter::new(file, available_threads())?;
        let (count, encoder) = pack_into(copy, name, encoder, watch)?;
        (count, encoder.finish()?)
    } else {
        pack_into(copy, name, file, watch)?
    };
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(count)
}

fn pack_into<W: Write>(
    copy: &Path,
    name: &Path,
    out: W,
    watch: &Watch<'_>,
) -> io::Result<(u64, W)> {
    let mut directories = BTreeSet::new();
    let mut files = BTreeSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        for entry in fs::read_dir(copy.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                pending.push(path.clone());
                directories.insert(path);
            } else {
                files.insert(path);
            }
        }
    }
    // The same state gives the same archive: times are that of the seal, owners nobody's.
    let manifest = fs::read(copy.join(layout::MANIFEST))?;
    let time = Manifest::parse(&manifest)
        .ok()
        .and_then(|manifest| manifest.created_at_utc.parse::<Timestamp>().ok())
        .map_or(0, |time| {
            u64::try_from(time.unix_micros() / 1_000_000).unwrap_or(0)
        });
    let header = |kind, mode, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    let mut archive = tar::Builder::new(out);
    let root = std::iter::once(PathBuf::new());
    for path in root.chain(directories) {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        archive.append_data(&mut header, name.join(path).join(""), io::empty())?;
    }
    // The seal first: a reader knows from it what may follow.
    let seal: Vec<PathBuf> = layout::SEAL.iter().map(PathBuf::from).collect();
    let (first, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| seal.contains(path));
    let mut count = 0;
    for path in first.into_iter().chain(rest) {
        let file = File::open(copy.join(&path))?;
        let private = path == Path::new(layout::PRIVATE_KEYS);
        let mode = if private { 0o600 } else { 0o644 };
        let size = file.metadata()?.len();
        let mut header = header(tar::EntryType::Regular, mode, size);
        let file = BufReader::with_capacity(PIECE, watch.reading(file, size));
        archive.append_data(&mut header, name.join(&path), file)?;
        count += 1;
    }
    archive.finish()?;
    Ok((count, archive.into_inner()?))
}
