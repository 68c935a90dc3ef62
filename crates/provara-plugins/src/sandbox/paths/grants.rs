//! What is opened, around what stays closed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use provara_core::layout;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::closed::Closed;
use crate::readable::Tree;
use crate::sandbox::paths_error::{MAX_ENTRIES, PathsError};
use crate::sandbox::secrets::{Look, is_vault};
use crate::sources::{ClosedReason, ClosedSource, Source};

/// What lies in source trees, may be huge, and is nothing that Python imports: other environments,
/// and what Cargo builds, each by a file that it has.
const BULK: [&str; 2] = ["pyvenv.cfg", ".rustc_info.json"];

/// How deep a search goes.
const MAX_DEPTH: usize = 256;

/// What is open and what stays closed, while it is worked out.
#[derive(Default)]
pub(super) struct Grants {
    pub(super) closed: Closed,
    pub(super) read: BTreeSet<PathBuf>,
    pub(super) list: BTreeSet<PathBuf>,
    /// How many entries were opened one by one.
    entries: usize,
    /// How many entries were searched.
    pub(super) searched: usize,
    /// The last vault or keyfile that a search came upon.
    secret: Option<PathBuf>,
    /// The source trees that were not opened, and why.
    pub(super) closed_sources: Vec<ClosedSource>,
    look: Look,
    /// How many bytes a search may read, if that is bounded.
    most_read: Option<u64>,
}

/// A search: where it began, and of what.
#[derive(Clone, Copy)]
struct Search<'a> {
    root: &'a Path,
    tree: Tree,
}

impl Grants {
    pub(super) fn around(closed: Closed) -> Grants {
        Grants {
            closed,
            ..Grants::default()
        }
    }

    /// Finds the first vault or keyfile in a directory, without reading more than `most` bytes.
    pub(super) fn find_secret(directory: &Path, most: u64) -> Result<Option<PathBuf>, PathsError> {
        let mut within = Grants {
            most_read: Some(most),
            ..Grants::default()
        };
        within.open_searched(directory, Tree::Path)?;
        Ok(within.closed.beneath(directory).cloned())
    }

    /// Whether something lies beneath what was opened before it was known that it stays closed.
    pub(super) fn leaks(&self) -> bool {
        self.read
            .iter()
            .any(|open| self.closed.beneath(open).is_some())
    }

    /// Opens a file, or a directory with all that is beneath, except the closed places.
    pub(super) fn open(&mut self, path: &Path) -> Result<(), PathsError> {
        match fs::canonicalize(path) {
            Ok(path) => self.open_real(path.clone(), &path),
            Err(_) => Ok(()),
        }
    }

    fn open_real(&mut self, path: PathBuf, root: &Path) -> Result<(), PathsError> {
        if self.closed.covers(&path) {
            return Ok(());
        }
        let Some(beneath) = self.closed.beneath(&path).cloned() else {
            self.read.insert(path);
            return Ok(());
        };
        for entry in fs::read_dir(&path)
            .map_err(|source| PathsError::Io {
                path: path.clone(),
                source,
            })?
            .flatten()
        {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(PathsError::TooMany {
                    closed: beneath,
                    open: root.to_path_buf(),
                });
            }
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                self.open_real(entry.path(), root)?;
            }
        }
        self.list.insert(path);
        Ok(())
    }

    /// Opens what the user chose, except the closed places and every vault and keyfile in it.
    pub(super) fn open_searched(&mut self, path: &Path, tree: Tree) -> Result<(), PathsError> {
        let Ok(path) = fs::canonicalize(path) else {
            return Ok(());
        };
        let opened = self.read.iter().any(|open| path.starts_with(open));
        if opened || self.closed.covers(&path) {
            return Ok(());
        }
        let Ok(data) = fs::metadata(&path) else {
            return Ok(());
        };
        let open = if data.is_dir() {
            let search = Search { root: &path, tree };
            self.search(&path, search, 0)?
        } else if File::open(&path).is_ok_and(|file| self.look.holds_keys(file)) {
            self.close(&path)?;
            false
        } else {
            true
        };
        if open {
            self.read.insert(path);
        }
        Ok(())
    }

    /// Opens a source tree, if it may be open. If not, nothing of it is, and that is noted: the package that
    /// leads there goes without it, and the others are none the worse for it.
    pub(super) fn open_source(&mut self, source: &Source, tree: Tree) {
        let opened = self
            .read
            .iter()
            .any(|open| source.directory.starts_with(open));
        let known = |closed: &ClosedSource| closed.directory == source.directory;
        if opened || self.closed_sources.iter().any(known) {
            return;
        }
        let doubt = source.doubt.as_ref().filter(|_| !source.allowed);
        let reason = match doubt {
            Some(doubt) => Some(ClosedReason::Doubt(doubt.clone())),
            None => self.try_source(source, tree),
        };
        self.closed_sources
            .extend(reason.map(|reason| ClosedSource {
                directory: source.directory.clone(),
                package: source.package.clone(),
                reason,
            }));
    }

    /// Opens a source tree after a search, or nothing of it and says why.
    fn try_source(&mut self, source: &Source, tree: Tree) -> Option<ClosedReason> {
        let before = (self.read.clone(), self.list.clone(), self.searched);
        // Each tree may have as many entries as all that the user chose together.
        self.searched = 0;
        self.secret = self.closed.around(&source.directory).cloned();
        let done = self.open_searched(&source.directory, tree);
        self.searched = before.2;
        let reason = match (done, self.secret.take()) {
            (Ok(()), secret) => secret.filter(|_| !source.allowed).map(ClosedReason::Holds),
            (Err(PathsError::LinkedKeyfile { path, .. }), _) => Some(ClosedReason::Holds(path)),
            (Err(PathsError::Io { source, .. }), _) => Some(ClosedReason::Unreadable(source)),
            (Err(PathsError::Unsearchable(_) | PathsError::TooMany { .. }), _) => {
                Some(ClosedReason::TooLarge)
            }
        };
        if reason.is_some() {
            (self.read, self.list) = (before.0, before.1);
        }
        reason
    }

    /// Closes what a search came upon.
    fn close(&mut self, path: &Path) -> Result<(), PathsError> {
        self.secret = Some(path.to_path_buf());
        self.closed.add(path)
    }

    /// Opens what may be open in a directory. If that is all of it, says so instead, and the caller
    /// opens it as a whole. What proves to be a vault or a keyfile is closed from now on.
    fn search(&mut self, path: &Path, of: Search<'_>, depth: usize) -> Result<bool, PathsError> {
        let failed = |error: Errno| PathsError::Io {
            path: path.to_path_buf(),
            source: error.into(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => Dir::new(directory).map_err(failed)?,
            // Closed to us, and so to a plugin, or gone.
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => return Ok(true),
            Err(error) => return Err(failed(error)),
        };
        let unsearchable = || PathsError::Unsearchable(of.root.to_path_buf());
        let mut entries = Vec::new();
        while let Some(entry) = directory.read() {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if depth == MAX_DEPTH || self.searched + entries.len() == MAX_ENTRIES {
                return Err(unsearchable());
            }
            entries.push((name.to_os_string(), entry.file_type()));
        }
        self.searched += entries.len();
        let has = |wanted: &str| entries.iter().any(|(name, _)| name == wanted);
        if has(layout::EVENTS) && has(layout::IDENTITY) && is_vault(path) {
            self.close(path)?;
            return Ok(false);
        }
        // Most directories have nothing to do with what is known already.
        let known = self.closed.beneath(path).is_some()
            || self.read.iter().any(|open| open.starts_with(path));
        let here = directory.fd().map_err(failed)?;
        let mut whole = true;
        let mut directories = Vec::new();
        entries.retain_mut(|(name, kind)| {
            if *kind == FileType::Unknown {
                *kind = kind_of(here, name);
            }
            // Opens nothing: what it leads to decides.
            if *kind == FileType::Symlink {
                return false;
            }
            let hidden = of.tree == Tree::Project && name.as_bytes().starts_with(b".");
            let closed = !hidden && known && self.closed.contains(&path.join(&*name));
            if closed {
                self.secret = Some(path.join(&*name));
            }
            let left_out = hidden || closed;
            whole &= !left_out;
            if *kind == FileType::Directory && !left_out {
                directories.push(path.join(&*name));
            }
            *kind != FileType::Directory && !left_out
        });
        let mut open = Vec::new();
        for (name, kind) in entries {
            if kind == FileType::RegularFile && self.holds_keys(here, &name) {
                self.close(&path.join(name))?;
                whole = false;
            } else {
                open.push(name);
            }
            if self.most_read.is_some_and(|most| self.look.read > most) {
                return Err(unsearchable());
            }
        }
        // A search keeps one directory open, however deep it goes.
        drop(directory);
        let mut open: Vec<_> = open.into_iter().map(|name| path.join(name)).collect();
        for directory in directories {
            let bulk = of.tree == Tree::Project && is_bulk(&directory);
            let opened = known && self.read.contains(&directory);
            if !bulk && (opened || self.search(&directory, of, depth + 1)?) {
                open.push(directory);
            } else {
                whole = false;
            }
        }
        if !whole {
            self.read.extend(open);
            self.list.insert(path.to_path_buf());
        }
        Ok(whole)
    }

    fn holds_keys(&mut self, directory: BorrowedFd<'_>, name: &OsStr) -> bool {
        // In the place of a file a pipe may stand by now, which would never open.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::empty())
            .is_ok_and(|file| self.look.holds_keys(file.into()))
    }
}

/// What an entry is, where its directory does not say.
fn kind_of(directory: BorrowedFd<'_>, name: &OsStr) -> FileType {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(FileType::Unknown, |data| {
            FileType::from_raw_mode(data.st_mode)
        })
}

/// Whether a directory in a project is none of Python's business.
fn is_bulk(path: &Path) -> bool {
    path.ends_with("node_modules") || BULK.iter().any(|file| path.join(file).is_file())
}
