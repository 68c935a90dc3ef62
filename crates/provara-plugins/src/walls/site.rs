//! Where an interpreter's packages lie, found without running any of their code.
//!
//! Python's start-up adds directories that `.pth` files name; an editable install puts its project
//! there, either by name or through a finder module whose project `direct_url.json` records
//! (PEP 610). Both files belong to installed packages, so their word is not enough: a directory is
//! taken only if it looks like a Python project, and never if it is a place that other things live
//! in (the root, a home, a hidden directory of a home).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The most bytes of a `.pth` or `direct_url.json` file that are read.
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
    for lib in ["lib", "lib64"] {
        for entry in fs::read_dir(prefix.join(lib))
            .into_iter()
            .flatten()
            .flatten()
        {
            if !entry.file_name().as_bytes().starts_with(b"python3") {
                continue;
            }
            let packages = ["site-packages", "dist-packages"].map(|name| entry.path().join(name));
            found.extend(packages.into_iter().filter(|path| path.is_dir()));
        }
    }
    found
}

/// The projects that a site directory refers to, by their real paths.
pub(super) fn linked_projects(site: &Path, home: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(site).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let named = if name.as_bytes().ends_with(b".pth") {
            read(&entry.path())
                .map(|text| pth_directories(site, &text))
                .unwrap_or_default()
        } else if name.as_bytes().ends_with(b".dist-info") {
            let text = read(&entry.path().join("direct_url.json"));
            text.and_then(|text| editable_project(&text))
                .into_iter()
                .collect()
        } else {
            Vec::new()
        };
        let real = named.iter().filter_map(|path| fs::canonicalize(path).ok());
        found.extend(real.filter(|path| is_project(path, home)));
    }
    found
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let small = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= MAX_FILE);
    small.then(|| fs::read(path).ok()).flatten()
}

/// The lines of a `.pth` file that are paths (not comments, not code).
fn pth_directories(site: &Path, text: &[u8]) -> Vec<PathBuf> {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .filter(|line| !line.starts_with(b"import ") && !line.starts_with(b"import\t"))
        .map(|line| site.join(OsStr::from_bytes(line)))
        .collect()
}

/// The project of an editable install, from its `direct_url.json`.
fn editable_project(text: &[u8]) -> Option<PathBuf> {
    let record: serde_json::Value = serde_json::from_slice(text).ok()?;
    let editable = record.get("dir_info")?.get("editable")?.as_bool()?;
    let path = record.get("url")?.as_str()?.strip_prefix("file://")?;
    let decoded = percent_decoded(path);
    let path = PathBuf::from(std::ffi::OsString::from_vec(decoded));
    (editable && path.is_absolute()).then_some(path)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(value) => {
                out.push(value);
                rest = &tail[2..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// Whether a directory looks like a project, or like the `src` or package directory of one.
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
    let has_file = |path: &Path| PROJECT_FILES.iter().any(|name| path.join(name).is_file());
    has_file(path) || path.parent().is_some_and(has_file)
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
        let by_name = project(root, "one");
        let by_url = project(root, "two words");
        let hidden = project(&home, ".secret");
        fs::create_dir_all(home.join("documents")).unwrap();
        let pth = format!(
            "# comment\nimport os; os.system('x')\n{}\n{}\n{}\n/\n/etc\n{}\n{}\n",
            by_name.join("src").display(),
            hidden.display(),
            home.display(),
            home.join("documents").display(),
            root.join("absent").display(),
        );
        fs::write(site.join("a.pth"), pth).unwrap();
        for (name, editable, path) in [("b", true, &by_url), ("c", false, &by_name)] {
            let info = site.join(format!("{name}-1.dist-info"));
            fs::create_dir(&info).unwrap();
            let url = path.to_str().unwrap().replace(' ', "%20");
            let text =
                format!("{{\"url\":\"file://{url}\",\"dir_info\":{{\"editable\":{editable}}}}}");
            fs::write(info.join("direct_url.json"), text).unwrap();
        }
        let found = linked_projects(&site, Some(&home));
        assert_eq!(found, BTreeSet::from([by_name.join("src"), by_url]));
    }

    #[test]
    fn percent_signs() {
        assert_eq!(percent_decoded("a%20b%zz%4"), b"a b%zz%4");
    }
}
