//! What a source tree says of itself: the names of the distributions that are made from it.
//!
//! Only the lines that give a name are read. The tree is the user's: what it says is held against a
//! package's claim, and a name that is not found here keeps the tree closed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes of a tree's metadata that are read.
const MAX_METADATA: u64 = 1 << 20;

/// How many entries of a tree are looked at for metadata that a build left there.
const MAX_ENTRIES: usize = 1000;

/// A name as PEP 503 compares it: lower case, each run of `-`, `_` and `.` one hyphen.
#[must_use]
pub fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// A file as a whole, if it is not longer than `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let small = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= most);
    small.then(|| fs::read(path).ok()).flatten()
}

/// The normalised names of the distributions that a tree says it is the source of.
pub(super) fn names(tree: &Path) -> Vec<String> {
    let text = |name: &str| read(&tree.join(name), MAX_METADATA);
    let mut found = Vec::new();
    if let Some(text) = text("pyproject.toml") {
        let text = String::from_utf8_lossy(&text).into_owned();
        found.extend(
            ["project", "tool.poetry"]
                .iter()
                .filter_map(|table| named_in(&text, table)),
        );
        found.extend(dotted(&text));
    }
    if let Some(text) = text("setup.cfg") {
        found.extend(named_in(&String::from_utf8_lossy(&text), "metadata"));
    }
    if found.is_empty() {
        found.extend(egg_infos(tree).iter().filter_map(|info| of_egg_info(info)));
    }
    let mut found: Vec<_> = found.iter().map(|name| normalized(name)).collect();
    found.sort();
    found.dedup();
    found
}

/// The value of `name` in a table of a TOML or an INI file.
fn named_in(text: &str, table: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            inside = header.split('.').map(unquoted).eq(table.split('.'));
        } else if inside && let Some(value) = value_of(line, "name") {
            return Some(value);
        }
    }
    None
}

/// The value of `project.name` before the first table of a TOML file.
fn dotted(text: &str) -> Option<String> {
    let top = text.lines().map(str::trim);
    top.take_while(|line| !line.starts_with('['))
        .find_map(|line| value_of(line, "project.name"))
}

/// The value of a line that gives it for `key`, without quotes and comment.
fn value_of(line: &str, key: &str) -> Option<String> {
    let (name, value) = line.split_once('=')?;
    if !name.split('.').map(unquoted).eq(key.split('.')) {
        return None;
    }
    let value = value.trim();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split(['#', ';']).next()?,
    };
    Some(value.trim().to_owned())
}

fn unquoted(part: &str) -> &str {
    part.trim().trim_matches(['"', '\''])
}

/// The metadata that `setup.py` leaves in a tree: beside itself, or in the directory of the packages.
fn egg_infos(tree: &Path) -> Vec<PathBuf> {
    let is_egg_info = |path: &PathBuf| path.extension() == Some(OsStr::new("egg-info"));
    let entries = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .take(MAX_ENTRIES)
            .map(|entry| entry.path())
            .collect()
    };
    let root = entries(tree);
    let beneath = root.iter().filter(|path| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"."));
        !hidden && fs::symlink_metadata(path).is_ok_and(|data| data.is_dir())
    });
    let below: Vec<_> = beneath.flat_map(|path| entries(path)).collect();
    root.into_iter().chain(below).filter(is_egg_info).collect()
}

/// The name in the headers of a `PKG-INFO`.
fn of_egg_info(info: &Path) -> Option<String> {
    let text = read(&info.join("PKG-INFO"), MAX_METADATA)?;
    let text = String::from_utf8_lossy(&text);
    let mut headers = text.lines().take_while(|line| !line.is_empty());
    let name = headers.find_map(|line| line.strip_prefix("Name:"))?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn names_are_compared_as_pep_503_has_it() {
        assert_eq!(normalized("Foo__Bar.-baz"), "foo-bar-baz");
        assert_eq!(normalized("lab-plugins"), "lab-plugins");
    }

    #[test]
    fn a_tree_says_its_name_in_each_form() {
        for (file, text, name) in [
            (
                "pyproject.toml",
                "[project]\nname = \"Lab_Plugins\" # x\n",
                Some("lab-plugins"),
            ),
            (
                "pyproject.toml",
                "[build-system]\nname='a'\n[ project ]\n\"name\"='lab'\n",
                Some("lab"),
            ),
            (
                "pyproject.toml",
                "project.name = \"lab\"\n[tool.x]\nname='y'\n",
                Some("lab"),
            ),
            (
                "pyproject.toml",
                "[tool.poetry]\nname = \"lab\"\n",
                Some("lab"),
            ),
            ("pyproject.toml", "[project.urls]\nname = \"lab\"\n", None),
            ("pyproject.toml", "[project]\nnames = \"lab\"\n", None),
            (
                "setup.cfg",
                "[metadata]\nname = lab\nversion = 1\n",
                Some("lab"),
            ),
            ("setup.cfg", "[options]\nname = lab\n", None),
            (
                "lab.egg-info/PKG-INFO",
                "Metadata-Version: 2.1\nName: lab\n\nName: x\n",
                Some("lab"),
            ),
            ("src/lab.egg-info/PKG-INFO", "Name: lab\n", Some("lab")),
            ("src/lab.egg-info/PKG-INFO", "\nName: lab\n", None),
            (".venv/lab.egg-info/PKG-INFO", "Name: lab\n", None),
        ] {
            let dir = TempDir::new();
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let found = names(dir.path());
            assert_eq!(found.first().map(String::as_str), name, "{file}: {text}");
        }
        // What a build left says nothing against what the project says.
        let dir = TempDir::new();
        fs::write(dir.path().join("pyproject.toml"), "[project]\nname='new'").unwrap();
        fs::create_dir(dir.path().join("old.egg-info")).unwrap();
        fs::write(dir.path().join("old.egg-info/PKG-INFO"), "Name: old\n").unwrap();
        assert_eq!(names(dir.path()), ["new"]);
    }
}
