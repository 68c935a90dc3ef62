//! What keeps a part of an installation from plugins, or slows them, without being anybody's error.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::runtime::Runtime;
use crate::text::inline;

/// The most bytes of a `.pth` file that are read.
const MAX_PTH: u64 = 64 << 10;

/// One such thing. Its text is safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// A directory that a `.pth` file adds to Python's path is closed to plugins.
    ClosedPath {
        /// The directory.
        directory: PathBuf,
        /// The file.
        named_by: PathBuf,
    },
    /// An entry of `PYTHONPATH` is relative and reaches no plugin.
    RelativePath(PathBuf),
    /// Packages have no compiled modules, and the host, which writes none, compiles them at every start.
    Uncompiled {
        /// The site directory.
        site: PathBuf,
        /// How many packages have none.
        packages: usize,
        /// How many there are.
        of: usize,
        /// The program that can compile them.
        program: PathBuf,
    },
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| inline(&path.to_string_lossy()).into_owned();
        match self {
            Hindrance::ClosedPath {
                directory,
                named_by,
            } => write!(
                f,
                "the directory '{}', which '{}' adds to Python's path, is closed to plugins",
                shown(directory),
                shown(named_by)
            ),
            Hindrance::RelativePath(path) => write!(
                f,
                "the entry '{}' of PYTHONPATH is relative and does not reach plugins",
                shown(path)
            ),
            Hindrance::Uncompiled {
                site, packages, of, ..
            } => write!(
                f,
                "packages in '{}' have no compiled modules ({packages} of {of}), so every command that \
                 uses plugins compiles what it imports of them",
                shown(site)
            ),
        }
    }
}

/// What hinders plugins in an environment. `open` is what a host may read or list; without a sandbox that
/// is everything, and there is none.
pub(crate) fn hindrances(
    runtime: &Runtime,
    environment: &Environment,
    open: Option<&[PathBuf]>,
) -> Vec<Hindrance> {
    let relative = environment.relative_path.iter().cloned();
    let mut found: Vec<_> = relative.map(Hindrance::RelativePath).collect();
    let Runtime::Python(python) = runtime;
    for site in python.sites(environment) {
        if let Some(open) = open {
            found.extend(closed_paths(&site, open));
        }
        found.extend(uncompiled(&site, &python.program));
    }
    found
}

/// The directories that `.pth` files of a site directory name and that are not open.
fn closed_paths(site: &Path, open: &[PathBuf]) -> Vec<Hindrance> {
    let mut files: Vec<PathBuf> = fs::read_dir(site)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "pth"))
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let small = fs::metadata(&file).is_ok_and(|data| data.is_file() && data.len() <= MAX_PTH);
        let text = small.then(|| fs::read_to_string(&file).ok()).flatten();
        for line in text.as_deref().unwrap_or_default().lines() {
            let line = line.trim();
            // What Python executes, or passes over.
            if line.is_empty() || line.starts_with(['#']) || line.starts_with("import") {
                continue;
            }
            let Ok(directory) = fs::canonicalize(site.join(line)) else {
                continue;
            };
            if directory.is_dir() && !open.iter().any(|open| directory.starts_with(open)) {
                found.push(Hindrance::ClosedPath {
                    directory,
                    named_by: file.clone(),
                });
            }
        }
    }
    found
}

/// Whether packages in a site directory have no compiled modules.
fn uncompiled(site: &Path, program: &Path) -> Option<Hindrance> {
    let entries = fs::read_dir(site).into_iter().flatten().flatten();
    let packages = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("__init__.py").exists());
    let (mut count, mut of) = (0, 0);
    for package in packages {
        of += 1;
        count += usize::from(!package.join("__pycache__").exists());
    }
    (count > 0).then(|| Hindrance::Uncompiled {
        site: site.to_path_buf(),
        packages: count,
        of,
        program: program.to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn closed_directories_of_pth_files_are_named() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        for name in ["site/inner", "open/deep", "partly", "closed"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let site = root.join("site");
        let text = format!(
            "# {0}/closed\nimport os; {0}/closed\n\ninner\n{0}/open/deep\n{0}/partly\n{0}/closed \n../absent\n",
            root.display()
        );
        fs::write(site.join("x.pth"), text).unwrap();
        let open = [site.clone(), root.join("open"), root.join("partly")];
        let found = closed_paths(&site, &open);
        assert_eq!(
            found,
            [Hindrance::ClosedPath {
                directory: root.join("closed"),
                named_by: site.join("x.pth"),
            }]
        );
    }

    #[test]
    fn packages_without_compiled_modules_are_counted() {
        let dir = TempDir::new();
        let site = dir.path();
        for name in ["a", "b", "c", "a-1.dist-info"] {
            fs::create_dir(site.join(name)).unwrap();
        }
        fs::write(site.join("a/__init__.py"), "").unwrap();
        fs::write(site.join("b/__init__.py"), "").unwrap();
        fs::create_dir(site.join("a/__pycache__")).unwrap();
        let count = || match uncompiled(site, Path::new("/bin/python3")) {
            Some(Hindrance::Uncompiled { packages, of, .. }) => Some((packages, of)),
            _ => None,
        };
        assert_eq!(count(), Some((1, 2)));
        fs::create_dir(site.join("b/__pycache__")).unwrap();
        assert_eq!(count(), None);
    }
}
