//! Where an interpreter's packages lie, found without running any of their code.
//!
//! Some installers put links in a site directory instead of files: `uv` with `--link-mode symlink` to its
//! store, file by file; others to a directory. No wheel can do that, since installers write the files of a
//! wheel as files; so a link is the word of the user or of the installer.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::readable::{Readable, Tree};
use crate::sources::{self, Doubt, Source};

/// The `site-packages` and `dist-packages` directories below a prefix.
pub(crate) fn site_directories(prefix: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Debian's installers leave `/usr` to the system.
    let local = (prefix == Path::new("/usr")).then_some(Path::new("/usr/local"));
    for prefix in [Some(prefix), local].into_iter().flatten() {
        for lib in ["lib", "lib64"] {
            found.extend(package_directories(&prefix.join(lib)));
        }
    }
    found
}

/// Those below the `lib` directory of a prefix.
fn package_directories(lib: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(lib).into_iter().flatten().flatten();
    versions
        .filter(|entry| entry.file_name().as_bytes().starts_with(b"python3"))
        .flat_map(|entry| ["site-packages", "dist-packages"].map(|name| entry.path().join(name)))
        .filter(|path| path.is_dir())
        .collect()
}

/// What the links in a site directory lead to. Where the metadata of a package is a link, its target lies
/// in a store, where the package is as a whole. Another link leads to what may be anybody's, and is
/// searched for keys.
pub(crate) fn links(site: &Path, home: Option<&Path>, allowed: &[PathBuf]) -> Vec<Readable> {
    let mut stores = BTreeSet::new();
    let mut found = Vec::new();
    for entry in fs::read_dir(site).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let Ok(directory) = fs::canonicalize(&path) else {
                continue;
            };
            let package = name.to_string_lossy();
            let package = package.split('-').next().unwrap_or(&package);
            let shared = sources::is_shared(&directory, home);
            let source = Source {
                package: Some(package.strip_suffix(".py").unwrap_or(package).to_owned()),
                doubt: shared.then_some(Doubt::NoProject),
                allowed: allowed.contains(&directory),
                directory,
            };
            found.push(Readable::Source(source, Tree::Path));
        } else if name.as_bytes().ends_with(b".dist-info") {
            stores.extend(store(&path.join("METADATA"), home));
        }
    }
    found.extend(stores.into_iter().map(Readable::Installed));
    found
}

/// The directory of a store that a package's metadata is linked from: the one beside whose metadata the
/// package's files lie.
fn store(metadata: &Path, home: Option<&Path>) -> Option<PathBuf> {
    if !fs::symlink_metadata(metadata).ok()?.is_symlink() {
        return None;
    }
    let target = fs::canonicalize(metadata).ok()?;
    let info = target.parent()?;
    let is_info = info.file_name()?.as_bytes().ends_with(b".dist-info");
    let root = info.parent()?;
    (is_info && !sources::is_shared(root, home)).then(|| root.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::symlink;

    #[test]
    fn site_directories_are_found_by_their_names() {
        let dir = TempDir::new();
        let site = dir.path().join("lib/python3.11/site-packages");
        fs::create_dir_all(&site).unwrap();
        fs::create_dir_all(dir.path().join("lib/perl5/site-packages")).unwrap();
        assert_eq!(site_directories(dir.path()), [site]);
    }

    #[test]
    fn links_lead_to_stores_and_to_directories() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (site, home) = (root.join("site-packages"), root.join("home"));
        let store = home.join(".cache/store/1");
        for path in ["a-1.dist-info", "b-1.dist-info", "c-1.dist-info", "a"] {
            fs::create_dir_all(site.join(path)).unwrap();
        }
        fs::create_dir_all(store.join("a-1.dist-info")).unwrap();
        fs::create_dir_all(home.join("b-1.dist-info")).unwrap();
        fs::create_dir_all(root.join("pool/linked")).unwrap();
        fs::write(store.join("a-1.dist-info/METADATA"), "").unwrap();
        fs::write(home.join("b-1.dist-info/METADATA"), "").unwrap();
        fs::write(site.join("c-1.dist-info/METADATA"), "").unwrap();
        let metadata = |name: &str| site.join(name).join("METADATA");
        symlink(
            store.join("a-1.dist-info/METADATA"),
            metadata("a-1.dist-info"),
        )
        .unwrap();
        // A store that is a home is none.
        symlink(
            home.join("b-1.dist-info/METADATA"),
            metadata("b-1.dist-info"),
        )
        .unwrap();
        symlink("../pool/linked", site.join("linked")).unwrap();
        symlink(&home, site.join("greedy")).unwrap();
        symlink("nowhere", site.join("dangling")).unwrap();
        let mut found = links(&site, Some(&home), &[]);
        found.sort_by_key(|readable| format!("{readable:?}"));
        let source = |name: &str, directory: PathBuf, doubt| {
            let source = Source {
                package: Some(name.to_owned()),
                directory,
                doubt,
                allowed: false,
            };
            Readable::Source(source, Tree::Path)
        };
        let mut expected = vec![
            Readable::Installed(store),
            source("greedy", home.clone(), Some(Doubt::NoProject)),
            source("linked", root.join("pool/linked"), None),
        ];
        expected.sort_by_key(|readable| format!("{readable:?}"));
        assert_eq!(found, expected);
    }
}
