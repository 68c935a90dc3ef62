//! Where an interpreter's packages lie, found without running any of their code.
//!
//! An editable install leaves its project where it is, and Python's start-up adds the project's
//! directory: a `.pth` file names it, or starts a finder module. Neither is believed, since any package
//! may have any `.pth` file. What counts is the installer's own record: `direct_url.json` (PEP 610), or
//! a `.egg-link` file of installers that came before it. It belongs to an installed package, too, so
//! its word is not enough: a directory is taken only if it looks like a Python project, and never if
//! it is a place that other things live in (the root, a home, a hidden directory of a home).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// The most bytes of a record that are read.
const MAX_FILE: u64 = 64 * 1024;

/// Directories that no package owns, so that no package can have them opened.
const SHARED: [&str; 16] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc",
    "/root", "/run", "/sys", "/tmp", "/var",
];

/// The files of which a Python project has at least one.
const PROJECT_FILES: [&str; 3] = ["pyproject.toml", "setup.py", "setup.cfg"];

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

/// The projects that are installed into a site directory without being there, by their real paths.
pub(crate) fn linked_projects(site: &Path, home: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(site).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let project = if name.as_bytes().ends_with(b".dist-info") {
            read(&path.join("direct_url.json")).and_then(|text| editable_project(&text))
        } else if name.as_bytes().ends_with(b".egg-link") {
            read(&path).and_then(|text| linked_egg(&text))
        } else {
            None
        };
        let project = project.and_then(|path| fs::canonicalize(path).ok());
        found.extend(project.filter(|path| is_project(path, home)));
    }
    found
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let small = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= MAX_FILE);
    small.then(|| fs::read(path).ok()).flatten()
}

/// The project of an editable install, from its `direct_url.json`.
fn editable_project(text: &[u8]) -> Option<PathBuf> {
    let record: serde_json::Value = serde_json::from_slice(text).ok()?;
    let editable = record.get("dir_info")?.get("editable")?.as_bool()?;
    let path = record.get("url")?.as_str()?.strip_prefix("file://")?;
    let decoded = percent_decode_str(path).collect();
    let path = PathBuf::from(std::ffi::OsString::from_vec(decoded));
    (editable && path.is_absolute()).then_some(path)
}

/// The project of a `.egg-link` file: the directory in its first line, from which the second leads to
/// the project's root.
fn linked_egg(text: &[u8]) -> Option<PathBuf> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let directory = Path::new(OsStr::from_bytes(lines.next()?));
    let root = directory.join(OsStr::from_bytes(lines.next().unwrap_or_default()));
    directory.is_absolute().then_some(root)
}

/// Whether a directory looks like a project of the user's.
fn is_project(path: &Path, home: Option<&Path>) -> bool {
    if !path.is_dir() || SHARED.iter().any(|shared| path == Path::new(shared)) {
        return false;
    }
    if let Some(home) = home {
        let hidden = path.strip_prefix(home).is_ok_and(|below| {
            below
                .components()
                .any(|part| part.as_os_str().as_bytes().starts_with(b"."))
        });
        if hidden || home.starts_with(path) {
            return false;
        }
    }
    PROJECT_FILES.iter().any(|name| path.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn project(root: &Path, name: &str) -> PathBuf {
        let path = root.join(name);
        fs::create_dir_all(path.join("src")).unwrap();
        fs::write(path.join("pyproject.toml"), "").unwrap();
        path
    }

    #[test]
    fn editable_installs_are_found_and_traps_are_not() {
        let dir = TempDir::new();
        let (root, home) = (dir.path(), dir.path().join("home"));
        let site = root.join("venv/lib/python3.11/site-packages");
        fs::create_dir_all(&site).unwrap();
        assert_eq!(
            site_directories(&root.join("venv")),
            std::slice::from_ref(&site)
        );
        let record = |name: &str, editable: bool, path: &Path| {
            let info = site.join(format!("{name}-1.dist-info"));
            fs::create_dir(&info).unwrap();
            let url = path.to_str().unwrap().replace(' ', "%20");
            let text =
                format!("{{\"url\":\"file://{url}\",\"dir_info\":{{\"editable\":{editable}}}}}");
            fs::write(info.join("direct_url.json"), text).unwrap();
        };
        let by_url = project(root, "two words");
        let by_link = project(root, "older");
        let others = project(root, "others");
        record("a", true, &by_url);
        record("b", false, &others);
        record("c", true, &others.join("src"));
        record("d", true, &project(&home, ".secret"));
        record("e", true, &home);
        record("f", true, Path::new("/etc"));
        record("g", true, &root.join("absent"));
        let egg = format!("{}\n../", by_link.join("src").display());
        fs::write(site.join("older.egg-link"), egg).unwrap();
        fs::write(site.join("trap.egg-link"), format!("{}\n", home.display())).unwrap();
        // The word of a `.pth` file is nobody's in particular.
        fs::write(site.join("h.pth"), others.to_str().unwrap()).unwrap();
        let found = linked_projects(&site, Some(&home));
        assert_eq!(found, BTreeSet::from([by_link, by_url]));
    }

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        let record = br#"{"url":"file:///a%20b%zz%+f%4","dir_info":{"editable":true}}"#;
        let path = editable_project(record);
        assert_eq!(path.as_deref(), Some(Path::new("/a b%zz%+f%4")));
    }
}
