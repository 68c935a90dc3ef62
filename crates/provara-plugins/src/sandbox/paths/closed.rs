//! The places that stay closed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use provara_core::layout;

use crate::sandbox::mounts::Mounts;
use crate::sandbox::paths_error::PathsError;

/// Vaults and keyfiles, by all paths that lead to them.
#[derive(Debug, Default)]
pub(super) struct Closed {
    places: BTreeSet<PathBuf>,
    mounts: Mounts,
}

impl Closed {
    pub(super) fn new() -> Closed {
        Closed {
            places: BTreeSet::new(),
            mounts: Mounts::now(),
        }
    }

    /// Adds a place. One that is not there needs no care.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), PathsError> {
        let Ok(path) = fs::canonicalize(path) else {
            return Ok(());
        };
        let data = fs::metadata(&path).map_err(|source| PathsError::Io {
            path: path.clone(),
            source,
        })?;
        if data.is_file() && data.nlink() > 1 {
            return Err(PathsError::LinkedKeyfile {
                links: data.nlink(),
                path,
            });
        }
        if data.is_dir() {
            // Closed with its vault, unless it has another name elsewhere.
            self.add(&path.join(layout::PRIVATE_KEYS))?;
        }
        self.places.extend(self.mounts.aliases(&path));
        self.places.insert(path);
        Ok(())
    }

    /// Takes a place out, by this path alone.
    pub(super) fn take(&mut self, path: &Path) {
        self.places.remove(path);
    }

    /// Puts back what was taken out.
    pub(super) fn put(&mut self, path: PathBuf) {
        self.places.insert(path);
    }

    /// Whether it is one of the places.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.places.contains(path)
    }

    /// Whether it is one of the places, or lies in one.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.places.iter().any(|closed| path.starts_with(closed))
    }

    /// A place that is this one, or lies in it.
    pub(super) fn beneath(&self, path: &Path) -> Option<&PathBuf> {
        self.places.iter().find(|closed| closed.starts_with(path))
    }

    /// A place that holds this one.
    pub(super) fn around(&self, path: &Path) -> Option<&PathBuf> {
        self.places.iter().find(|closed| path.starts_with(closed))
    }
}
