//! Outputs that appear whole or not at all.
//!
//! An output is written into a private directory beside its target, on the same file system, and
//! moved into place in one step once it is complete and on disk. Until then the target is as it
//! was; afterwards nothing else remains. An output may be a file or a directory.
//!
//! What a crash leaves behind: before the move, a hidden directory `.NAME.provara-…` beside an
//! untouched target; after the move, the new target, and at worst that directory with the old one. The next
//! output to the same place removes such directories, where nobody can be at work on them.

mod left;
mod tree;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::interrupt::Guard;
use crate::removal;

/// Why an output cannot be staged or moved into place.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The path has no last component, as `/` or `..`.
    #[error("'{}' names no file or directory", .0.display())]
    NoName(PathBuf),
    /// The directory of the target is not there or cannot be used.
    #[error("the directory '{}' cannot be used: {source}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The target exists and may not be replaced.
    #[error("'{}' exists already", .0.display())]
    Exists(PathBuf),
    /// The target is nothing that an output may take the place of.
    #[error("'{}' is {what}, and is not replaced", .path.display())]
    NotReplaceable {
        /// The target.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The target is a place where nothing may be written, or lies in one.
    #[error("'{}' lies in '{}', where nothing may be written", .target.display(), .forbidden.display())]
    Forbidden {
        /// The target.
        target: PathBuf,
        /// The place, a vault.
        forbidden: PathBuf,
    },
    /// Nothing was written.
    #[error("nothing was written")]
    Nothing,
    /// The output holds something that is neither a file nor a directory of its own.
    #[error("the output holds {what} at '{}'", .path.display())]
    Foreign {
        /// The path within the output.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The system failed.
    #[error("'{}' could not be written: {source}", .path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A place for an output that is not there yet.
///
/// Dropping it without [`Staging::commit`] removes everything that was written.
#[derive(Debug)]
#[must_use = "it is removed at once"]
pub struct Staging {
    /// The private directory.
    directory: PathBuf,
    /// The output within it.
    output: PathBuf,
    target: PathBuf,
    force: bool,
    /// What was done with private directories that others left, and what could not be.
    notes: Vec<String>,
    /// Holds the lock on the private directory, where there are locks; closed after that was removed.
    _held: Option<File>,
    /// Told when the private directory cannot be removed.
    remains: fn(&Path, &io::Error),
    /// Holds signals back so that a destructor runs; the last field, so that it goes last.
    _guard: Option<Guard>,
}

/// Checks that an output may be written to `target`, without writing anything: its directory is
/// there, it does not lie in (or contain) one of the `forbidden` directories, and it does not exist
/// unless it may be replaced. Returns its absolute path.
///
/// # Errors
/// [`StagingError`].
pub fn check(target: &Path, force: bool, forbidden: &[PathBuf]) -> Result<PathBuf, StagingError> {
    let name = target
        .file_name()
        .ok_or_else(|| StagingError::NoName(target.to_path_buf()))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = fs::canonicalize(parent).map_err(|source| StagingError::Directory {
        directory: parent.to_path_buf(),
        source,
    })?;
    let absolute = parent.join(name);
    for place in forbidden {
        let place = fs::canonicalize(place).unwrap_or_else(|_| place.clone());
        if absolute.starts_with(&place) {
            return Err(StagingError::Forbidden {
                target: target.to_path_buf(),
                forbidden: place,
            });
        }
        if place.starts_with(&absolute) {
            return Err(StagingError::NotReplaceable {
                path: target.to_path_buf(),
                what: "a directory that holds the vault",
            });
        }
    }
    match fs::symlink_metadata(&absolute) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(absolute),
        Err(source) => Err(StagingError::Io {
            path: absolute,
            source,
        }),
        Ok(_) if !force => Err(StagingError::Exists(target.to_path_buf())),
        Ok(data) => match tree::precious(&absolute, &data, tree::MAX_LOOKED_AT) {
            None => Ok(absolute),
            Some(what) => Err(StagingError::NotReplaceable {
                path: target.to_path_buf(),
                what,
            }),
        },
    }
}

impl Staging {
    /// Checks the target as [`check`] does and makes the private directory, mode 0700. While the
    /// value lives a signal does not end the process at once (see [`Guard`]).
    ///
    /// # Errors
    /// [`StagingError`].
    pub fn prepare(
        target: &Path,
        force: bool,
        forbidden: &[PathBuf],
    ) -> Result<Staging, StagingError> {
        let guard = Guard::new().map_err(|source| StagingError::Io {
            path: target.to_path_buf(),
            source,
        })?;
        Staging::prepare_with(target, force, forbidden, Some(guard))
    }

    /// The same for a program whose signals are its own business.
    ///
    /// # Errors
    /// [`StagingError`].
    pub fn prepare_unguarded(
        target: &Path,
        force: bool,
        forbidden: &[PathBuf],
    ) -> Result<Staging, StagingError> {
        Staging::prepare_with(target, force, forbidden, None)
    }

    fn prepare_with(
        target: &Path,
        force: bool,
        forbidden: &[PathBuf],
        guard: Option<Guard>,
    ) -> Result<Staging, StagingError> {
        let target = check(target, force, forbidden)?;
        // `check` gives a path with a directory and a name.
        let parent = target.parent().unwrap_or(Path::new("/"));
        let name = target.file_name().unwrap_or_default();
        let run = provara_staging::run_of_the_system(parent);
        let notes = left::sweep(parent, run.as_deref());
        let private =
            left::make(parent, name, run.as_deref()).map_err(|source| StagingError::Directory {
                directory: parent.to_path_buf(),
                source,
            })?;
        let output = private.path.join(name);
        Ok(Staging {
            directory: private.path,
            output,
            target,
            force,
            notes,
            _held: private.held,
            remains: |_, _| (),
            _guard: guard,
        })
    }

    /// Says whom to tell if the private directory cannot be removed in the end, and why.
    pub fn on_remains(mut self, tell: fn(&Path, &io::Error)) -> Staging {
        self.remains = tell;
        self
    }

    /// What was done with private directories that killed processes had left beside the target, and which may be
    /// such.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The private directory, which an export may write.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the output is to be written: a path that does not exist yet.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Where the output will be.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Checks the output, writes it through to the disk, and moves it into place.
    ///
    /// Without `force` a target that has come into being meanwhile is an error; with it, the old
    /// target is replaced in one step and then removed.
    ///
    /// # Errors
    /// [`StagingError`]; the target is as it was.
    pub fn commit(self) -> Result<(), StagingError> {
        match fs::symlink_metadata(&self.output) {
            Ok(_) => tree::settle(&self.output, &self.target)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StagingError::Nothing);
            }
            Err(source) => return Err(self.failed(source)),
        }
        // The output's own name must be on disk before another name points at it.
        sync(&self.directory).map_err(|source| self.failed(source))?;
        // Opened before the move: what fails after it would be told of an output that is there.
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        let parent = match File::open(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            opened => Some(opened.map_err(|source| self.failed(source))?),
        };
        self.place()?;
        // The new name: until this returns, a crash may bring the old state back, whole.
        let done = match parent {
            Some(parent) => durable(parent.sync_all()),
            // A directory that may be written but not read cannot be opened.
            None => sync_everything(&self.directory),
        };
        done.map_err(|source| self.failed(source))
        // Dropping removes the directory, with the old target if that was swapped into it.
    }

    fn place(&self) -> Result<(), StagingError> {
        if !self.force {
            return match renameat_with(CWD, &self.output, CWD, &self.target, RenameFlags::NOREPLACE)
            {
                Ok(()) => Ok(()),
                Err(rustix::io::Errno::EXIST) => Err(StagingError::Exists(self.target.clone())),
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => self.place_by_link(),
                Err(errno) => Err(self.failed(errno.into())),
            };
        }
        let both_files = fs::symlink_metadata(&self.target).map_or(true, |data| data.is_file())
            && fs::symlink_metadata(&self.output).is_ok_and(|data| data.is_file());
        if both_files {
            return fs::rename(&self.output, &self.target).map_err(|source| self.failed(source));
        }
        // A directory of other things is not what a file was asked to replace.
        let file = fs::symlink_metadata(&self.output).is_ok_and(|data| data.is_file());
        let full = fs::read_dir(&self.target).is_ok_and(|mut entries| entries.next().is_some());
        if file && full {
            return Err(StagingError::NotReplaceable {
                path: self.target.clone(),
                what: "a directory that is not empty",
            });
        }
        match renameat_with(CWD, &self.output, CWD, &self.target, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::NOENT) => {
                fs::rename(&self.output, &self.target).map_err(|source| self.failed(source))
            }
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => self.replace_in_two_steps(),
            Err(errno) => Err(self.failed(errno.into())),
        }
    }

    /// Moves without replacing on a file system that cannot do it in one call. A file gets a
    /// second name, which fails where one exists; for a directory, `rename` itself replaces
    /// nothing but an empty directory.
    fn place_by_link(&self) -> Result<(), StagingError> {
        let is_file = fs::symlink_metadata(&self.output).is_ok_and(|data| data.is_file());
        let done = if is_file {
            fs::hard_link(&self.output, &self.target)
        } else if self.target.symlink_metadata().is_ok() {
            Err(io::ErrorKind::AlreadyExists.into())
        } else {
            fs::rename(&self.output, &self.target)
        };
        done.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StagingError::Exists(self.target.clone()),
            _ => self.failed(source),
        })
    }

    /// Replaces a directory on a file system that cannot swap two names: the old one steps aside
    /// and comes back if the new one cannot take its place.
    fn replace_in_two_steps(&self) -> Result<(), StagingError> {
        // Outside the private directory, which an interruption removes.
        let mut aside = self.directory.clone().into_os_string();
        aside.push("-old");
        let aside = PathBuf::from(aside);
        fs::rename(&self.target, &aside).map_err(|source| self.failed(source))?;
        if let Err(source) = fs::rename(&self.output, &self.target) {
            fs::rename(&aside, &self.target).map_err(|source| self.failed(source))?;
            return Err(self.failed(source));
        }
        if let Err(error) = removal::remove(&aside) {
            (self.remains)(&aside, &error);
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> StagingError {
        StagingError::Io {
            path: self.target.clone(),
            source,
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = removal::remove(&self.directory) {
            (self.remains)(&self.directory, &error);
        }
    }
}

/// Writes a file's data, or a directory's names, through to the disk.
fn sync(path: &Path) -> io::Result<()> {
    durable(File::open(path)?.sync_all())
}

fn durable(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        // Some file systems have no fsync for directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Writes the whole file system of a directory through to the disk.
fn sync_everything(directory: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(directory)?)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        rustix::fs::sync();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
