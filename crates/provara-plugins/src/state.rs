//! The user's state directory, and the part of it that plugins may write.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What commands keep for themselves lies where plugins may write.
#[derive(Debug, thiserror::Error)]
#[error("'{}', where commands keep what they believe, lies in '{}', where plugins may write", .kept.display(), .plugins.display())]
pub struct Exposed {
    /// The directory of the commands.
    pub kept: PathBuf,
    /// The directory of the plugins.
    pub plugins: PathBuf,
}

/// `provara` below `$XDG_STATE_HOME`, else below `~/.local/state`, if either is an absolute path.
pub(crate) fn home() -> Option<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("provara"))
}

/// The directory that plugins may keep state in, made if it is not there. A plugin that keeps none does
/// not miss it where it cannot be made.
///
/// # Errors
/// [`Exposed`], if it holds one of the directories in which commands keep what they believe, such as the
/// cache of verifications: a plugin could write there what passes for a verification.
pub fn for_plugins(kept: &[PathBuf]) -> Result<Option<PathBuf>, Exposed> {
    let Some(directory) = home().map(|home| home.join("plugins")) else {
        return Ok(None);
    };
    if make(&directory).is_err() {
        return Ok(None);
    }
    apart(directory, kept).map(Some)
}

/// The directory, if none of the others lies in it.
fn apart(directory: PathBuf, kept: &[PathBuf]) -> Result<PathBuf, Exposed> {
    let plugins = real(&directory);
    match kept.iter().find(|kept| real(kept).starts_with(&plugins)) {
        None => Ok(directory),
        Some(kept) => Err(Exposed {
            kept: kept.clone(),
            plugins: directory,
        }),
    }
}

/// A path without links. What is not there yet will lie in what is.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|there| {
        let real = fs::canonicalize(there).ok()?;
        let missing = path.strip_prefix(there).ok()?;
        Some(real.join(missing))
    });
    there.unwrap_or_else(|| path.to_path_buf())
}

/// Makes a directory of the user's own, with those above it.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// What a file is to outlast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A crash of the system.
    Durably,
    /// No crash: it can be made again.
    AsLongAsItLasts,
}

/// Replaces a file of the user's own in one step, so that a reader finds the old one or the new one.
pub(crate) fn replace(file: &Path, text: &[u8], kept: Kept) -> io::Result<()> {
    let mut new = file.to_path_buf().into_os_string();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text)?;
            match kept {
                Kept::Durably => file.sync_all(),
                Kept::AsLongAsItLasts => Ok(()),
            }
        })
        .and_then(|()| fs::rename(&new, file));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_commands_keep_does_not_lie_where_plugins_write() {
        let dir = TempDir::new();
        let plugins = dir.path().join("state/plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::create_dir(dir.path().join("cache")).unwrap();
        symlink(&plugins, dir.path().join("link")).unwrap();
        let exposed = |kept: &str| {
            let kept = dir.path().join(kept);
            apart(plugins.clone(), &[dir.path().join("cache"), kept]).is_err()
        };
        for kept in [
            "state/plugins",
            "state/plugins/absent/cache",
            "link/cache",
            "link",
        ] {
            assert!(exposed(kept), "{kept}");
        }
        for kept in ["state", "state/plugins2", "cache/absent", "absent", ""] {
            assert!(!exposed(kept), "{kept}");
        }
        let error = apart(plugins.clone(), &[plugins.join("c")]).unwrap_err();
        assert!(
            error.to_string().contains("plugins/c', where commands"),
            "{error}"
        );
    }
}
