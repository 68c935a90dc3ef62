//! The source trees that a user has opened to plugins although a record alone would not, remembered for
//! each environment.
//!
//! The list lies in the user's state directory, beside and not within the one that plugins may write
//! ([`crate::state`]), and in no vault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;
use crate::state::{self, Kept};

/// The most bytes of the list that are read.
const MAX_LIST: u64 = 1 << 20;

/// The version of its form.
const VERSION: u32 = 1;

/// The list of the running user.
#[derive(Debug, Clone)]
pub struct Allowed {
    file: PathBuf,
}

/// The list as it is written: for each environment, by its directory, the trees.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: u32,
    environments: BTreeMap<String, BTreeSet<String>>,
}

/// Why the list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AllowedError {
    /// The directory to be opened is not there or is none.
    #[error("'{}' is not a directory that can be opened: {source}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The path of a tree or an environment is not UTF-8.
    #[error("'{}' is not UTF-8, and the list of opened source trees is text", .0.display())]
    NotText(PathBuf),
    /// There is no home to keep the list in.
    #[error(
        "there is no directory to remember it in: neither XDG_STATE_HOME nor HOME is an absolute path"
    )]
    NoHome,
    /// The list is not one.
    #[error("the list of opened source trees, '{}', is damaged: {reason}", .file.display())]
    Damaged {
        /// The list.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system failed.
    #[error("the list of opened source trees, '{}', cannot be used: {source}", .file.display())]
    Io {
        /// The list.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Allowed {
    /// The running user's list.
    ///
    /// # Errors
    /// [`AllowedError::NoHome`].
    pub fn of_user() -> Result<Allowed, AllowedError> {
        let home = state::home().ok_or(AllowedError::NoHome)?;
        Ok(Allowed::at(home.join("editable.json")))
    }

    /// The list in a file, which need not be there.
    #[must_use]
    pub fn at(file: PathBuf) -> Allowed {
        Allowed { file }
    }

    /// The trees that are opened for an environment.
    ///
    /// # Errors
    /// [`AllowedError`], if the list is there and cannot be read.
    pub fn of(&self, runtime: &Runtime) -> Result<Vec<PathBuf>, AllowedError> {
        let list = self.read()?;
        let key = environment(runtime)?;
        let trees = list.environments.get(&key).into_iter().flatten();
        Ok(trees.map(PathBuf::from).collect())
    }

    /// Opens a tree for an environment; gives its real path.
    ///
    /// # Errors
    /// [`AllowedError`]; nothing is changed then.
    pub fn add(&self, runtime: &Runtime, directory: &Path) -> Result<PathBuf, AllowedError> {
        let real = fs::canonicalize(directory).and_then(|real| {
            let is_directory = fs::metadata(&real)?.is_dir();
            is_directory
                .then_some(real)
                .ok_or(io::ErrorKind::NotADirectory.into())
        });
        let real = real.map_err(|source| AllowedError::Directory {
            directory: directory.to_path_buf(),
            source,
        })?;
        let (key, tree) = (environment(runtime)?, text(&real)?);
        let mut list = self.read()?;
        list.environments.entry(key).or_default().insert(tree);
        self.write(&list)?;
        Ok(real)
    }

    /// Closes a tree for an environment again; says whether it was open. It need not be there any more.
    ///
    /// # Errors
    /// [`AllowedError`]; nothing is changed then.
    pub fn remove(&self, runtime: &Runtime, directory: &Path) -> Result<bool, AllowedError> {
        let absolute = fs::canonicalize(directory).or_else(|_| std::path::absolute(directory));
        let absolute = absolute.map_err(|source| AllowedError::Directory {
            directory: directory.to_path_buf(),
            source,
        })?;
        let (key, tree) = (environment(runtime)?, text(&absolute)?);
        let mut list = self.read()?;
        let Some(trees) = list.environments.get_mut(&key) else {
            return Ok(false);
        };
        let was_there = trees.remove(&tree);
        if trees.is_empty() {
            list.environments.remove(&key);
        }
        if was_there {
            self.write(&list)?;
        }
        Ok(was_there)
    }

    fn failed(&self, source: io::Error) -> AllowedError {
        AllowedError::Io {
            file: self.file.clone(),
            source,
        }
    }

    fn read(&self) -> Result<List, AllowedError> {
        let damaged = |reason: String| AllowedError::Damaged {
            file: self.file.clone(),
            reason,
        };
        let length = match fs::metadata(&self.file) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(List {
                    version: VERSION,
                    ..List::default()
                });
            }
            Err(error) => return Err(self.failed(error)),
        };
        if length > MAX_LIST {
            return Err(damaged("it is too long".to_owned()));
        }
        let text = fs::read(&self.file).map_err(|error| self.failed(error))?;
        let list: List =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if list.version != VERSION {
            return Err(damaged(format!("its version is {}", list.version)));
        }
        Ok(list)
    }

    /// Replaces the list in one step, so that a reader finds the old one or the new one.
    fn write(&self, list: &List) -> Result<(), AllowedError> {
        let failed = |error| self.failed(error);
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        state::make(directory).map_err(failed)?;
        let mut text = serde_json::to_vec_pretty(list)
            .map_err(io::Error::other)
            .map_err(failed)?;
        text.push(b'\n');
        state::replace(&self.file, &text, Kept::Durably).map_err(failed)
    }
}

/// What an environment is known by.
fn environment(runtime: &Runtime) -> Result<String, AllowedError> {
    let place = runtime.environment_directory();
    text(&fs::canonicalize(place).unwrap_or_else(|_| place.to_path_buf()))
}

fn text(path: &Path) -> Result<String, AllowedError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| AllowedError::NotText(path.to_path_buf()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::{FoundBy, Interpreter};
    use crate::testing::TempDir;

    fn runtime(prefix: &Path) -> Runtime {
        Runtime::Python(Interpreter {
            program: prefix.join("bin/python3"),
            binary: prefix.join("bin/python3"),
            prefix: prefix.to_path_buf(),
            base_prefixes: vec![prefix.to_path_buf()],
            system_site_packages: false,
            found_by: FoundBy::Path,
        })
    }

    #[test]
    fn trees_are_remembered_for_each_environment() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        for name in ["one", "two", "tree"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let (one, two) = (runtime(&root.join("one")), runtime(&root.join("two")));
        let allowed = Allowed::at(root.join("state/editable.json"));
        assert_eq!(allowed.of(&one).unwrap(), Vec::<PathBuf>::new());
        let tree = root.join("tree");
        // By whatever path it is given.
        assert_eq!(allowed.add(&one, &root.join("one/../tree")).unwrap(), tree);
        assert_eq!(allowed.add(&one, &tree).unwrap(), tree);
        assert_eq!(allowed.of(&one).unwrap(), std::slice::from_ref(&tree));
        assert_eq!(allowed.of(&two).unwrap(), Vec::<PathBuf>::new());
        assert!(!allowed.remove(&two, &tree).unwrap());
        fs::remove_dir(&tree).unwrap();
        assert!(allowed.remove(&one, &tree).unwrap());
        assert_eq!(allowed.of(&one).unwrap(), Vec::<PathBuf>::new());
        let names = fs::read_dir(root.join("state")).unwrap().count();
        assert_eq!(names, 1, "no other file is left");
    }

    #[test]
    fn what_cannot_be_remembered_changes_nothing() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        let runtime = runtime(&root);
        let file = root.join("editable.json");
        let allowed = Allowed::at(file.clone());
        for absent in [root.join("absent"), file.clone()] {
            let error = allowed.add(&runtime, &absent).unwrap_err();
            assert!(matches!(error, AllowedError::Directory { .. }), "{error}");
        }
        assert!(!file.exists());
        for text in [
            "{",
            "[]",
            r#"{"version":2,"environments":{}}"#,
            r#"{"version":1}"#,
        ] {
            fs::write(&file, text).unwrap();
            let error = allowed.add(&runtime, &root).unwrap_err();
            assert!(matches!(error, AllowedError::Damaged { .. }), "{error}");
            assert!(allowed.of(&runtime).is_err());
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}
