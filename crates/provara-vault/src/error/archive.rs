//! Why an archive is not made or not unpacked.

use std::io;
use std::path::PathBuf;

use provara_core::finding::Report;

use super::ErrorClass;

/// What stands against making or unpacking an archive; nothing was written, but with [`ArchiveError::Unsure`].
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The name does not say which kind of archive is wanted.
    #[error("'{}' does not end with .tar, .tar.gz or .tgz", path.display())]
    Extension {
        /// The target.
        path: PathBuf,
    },
    /// A file that the seal lists holds private keys: a backup without it would not verify.
    #[error("{file} holds private keys and is part of the vault's seal")]
    KeysInside {
        /// The file, relative to the vault.
        file: String,
    },
    /// The vault does not verify: a backup of it would be none.
    #[error("the vault does not verify; no backup was made of it")]
    Unverified {
        /// What was found.
        report: Box<Report>,
    },
    /// The file is no tar archive that could be read.
    #[error("'{}' is no archive that could be read: {reason}", path.display())]
    Unreadable {
        /// The archive.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file begins as an archive and does not go on as one: it was cut short, or changed.
    #[error("the archive '{}' is damaged: {reason}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry of a zip archive is compressed in a way that is not read here.
    #[error("the archive '{}' holds {entry:?}, whose compression method ({method}) is not read here", path.display())]
    Method {
        /// The archive.
        path: PathBuf,
        /// The entry's name.
        entry: String,
        /// Its compression method.
        method: String,
    },
    /// An entry that no backup has.
    #[error("the archive holds {entry:?}, which {reason}")]
    Entry {
        /// The entry's name.
        entry: String,
        /// What is wrong with it, as a verb phrase.
        reason: &'static str,
    },
    /// It unpacks to more than it may.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The most that is unpacked, in bytes.
        limit: u64,
    },
    /// The archive holds no vault.
    #[error("the archive holds no vault: no manifest.json at its top or in its one directory")]
    NoVault,
    /// A file is not what the archive's own manifest says.
    #[error("{file} in the archive is not what its manifest says: {reason}")]
    Contradiction {
        /// The file.
        file: String,
        /// How they differ.
        reason: String,
    },
    /// The vault in the archive does not verify.
    #[error("the vault in the archive does not verify; it was not restored")]
    Invalid {
        /// What was found.
        report: Box<Report>,
    },
    /// Everything was done, and the last sync failed: a loss of power may take the name away.
    #[error("'{}' is in its place and whole, but the disk failed to make its name durable: {source}", path.display())]
    Unsure {
        /// The archive or the vault.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl ArchiveError {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Extension { .. } | Self::KeysInside { .. } => ErrorClass::Usage,
            Self::Unreadable { .. } | Self::Method { .. } | Self::Unsure { .. } => {
                ErrorClass::CouldNot
            }
            Self::Unverified { .. }
            | Self::Damaged { .. }
            | Self::Entry { .. }
            | Self::TooLarge { .. }
            | Self::NoVault
            | Self::Contradiction { .. }
            | Self::Invalid { .. } => ErrorClass::Evidence,
        }
    }
}
