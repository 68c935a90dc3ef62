//! Whether any installed package declares a plugin, seen without a process: where none does, no host need start.
//!
//! What is read is what discovery reads (`python/provara/plugins/_scan.py`): the `entry_points.txt` of every
//! distribution. In doubt the answer is that there may be one, and a host finds out.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::runtime::Runtime;

/// The header of the section that names plugins.
const SECTION: &[u8] = b"provara.plugins";

/// The most bytes of one file that are read.
const MOST: u64 = 1 << 20;

/// Whether there may be a plugin.
#[must_use]
pub fn may_be_plugins(runtime: &Runtime, environment: &Environment) -> bool {
    if environment.plugins.is_some() {
        return true;
    }
    let Some(mut places) = runtime.package_directories(environment) else {
        return true;
    };
    let mut at = 0;
    while let Some(place) = places.get(at).cloned() {
        at += 1;
        match look(&place) {
            Ok(Found::Nothing(further)) => {
                let new = |path: &PathBuf| !places.contains(path);
                let further: Vec<_> = further.into_iter().filter(new).collect();
                places.extend(further);
            }
            // What is not there has no packages.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return true,
        }
    }
    false
}

/// The metadata of every distribution that declares plugins, each once, as discovery finds it. What cannot be
/// read is left out.
pub(crate) fn distributions(runtime: &Runtime, environment: &Environment) -> Vec<PathBuf> {
    let mut places = runtime.install_places(environment);
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut at = 0;
    while let Some(place) = places.get(at).cloned() {
        at += 1;
        let mut entries: Vec<PathBuf> = fs::read_dir(place)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for path in entries {
            match path.extension().map(OsStr::as_bytes) {
                Some(b"dist-info" | b"egg-info") => {
                    let points = read(&path.join("entry_points.txt")).unwrap_or_default();
                    let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                    if declares(&points) && seen.insert(real) {
                        found.push(path);
                    }
                }
                Some(b"pth") => {
                    let further = path_lines(&path).unwrap_or_default();
                    let new = |path: &PathBuf| !places.contains(path);
                    let further: Vec<_> = further.into_iter().filter(new).collect();
                    places.extend(further);
                }
                _ => {}
            }
        }
    }
    found
}

/// What a directory of packages holds.
enum Found {
    /// No declaration, but perhaps further directories to look into.
    Nothing(Vec<PathBuf>),
    /// A declaration, or something of which that cannot be known.
    Something,
}

fn look(place: &Path) -> io::Result<Found> {
    let mut further = Vec::new();
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        match path.extension().map(OsStr::as_bytes) {
            Some(b"dist-info" | b"egg-info") => match read(&path.join("entry_points.txt")) {
                Ok(text) if declares(&text) => return Ok(Found::Something),
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            },
            // An archive, and a link to a project beside which its metadata lies.
            Some(b"egg" | b"egg-link") => return Ok(Found::Something),
            Some(b"pth") => further.extend(path_lines(&path)?),
            _ => {}
        }
    }
    Ok(Found::Nothing(further))
}

/// The directories that a path file leads to.
fn path_lines(file: &Path) -> io::Result<Vec<PathBuf>> {
    let place = file.parent().unwrap_or(Path::new("/"));
    let text = read(file)?;
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let is_code = |line: &[u8]| line.starts_with(b"import ") || line.starts_with(b"import\t");
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#") && !is_code(line));
    Ok(names
        .map(|name| place.join(OsStr::from_bytes(name)))
        .collect())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(MOST + 1)
        .read_to_end(&mut text)?;
    match text.len() as u64 > MOST {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

fn declares(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let name = line.trim_ascii().strip_prefix(b"[");
        let name = name.and_then(|name| name.strip_suffix(b"]"));
        name.is_some_and(|name| name.trim_ascii() == SECTION)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn is_nothing(place: &Path) -> bool {
        matches!(look(place), Ok(Found::Nothing(_)))
    }

    #[test]
    fn declarations_are_seen() {
        let dir = TempDir::new();
        let place = dir.path();
        let info = place.join("a-1.dist-info");
        fs::create_dir(&info).unwrap();
        assert!(is_nothing(place));
        let points = info.join("entry_points.txt");
        fs::write(&points, "[console_scripts]\nprovara.plugins = a:b\n").unwrap();
        assert!(is_nothing(place));
        fs::write(&points, "[x]\na = b\n\n[ provara.plugins ]\nc = d:E\n").unwrap();
        assert!(!is_nothing(place));
        fs::remove_dir_all(&info).unwrap();
        // The metadata of an old installer may be one file.
        fs::write(place.join("b.egg-info"), "Name: b").unwrap();
        assert!(is_nothing(place));
        fs::write(place.join("c.egg-link"), "/somewhere").unwrap();
        assert!(!is_nothing(place));
    }

    #[test]
    fn path_files_lead_on() {
        let dir = TempDir::new();
        let text = "# no line\nimport os; os.x()\n\n../other\n/elsewhere\n";
        fs::write(dir.path().join("x.pth"), text).unwrap();
        let Ok(Found::Nothing(further)) = look(dir.path()) else {
            panic!("something");
        };
        assert_eq!(further, [dir.path().join("../other"), "/elsewhere".into()]);
        fs::write(dir.path().join("y.pth"), "x".repeat(2 << 20)).unwrap();
        assert!(look(dir.path()).is_err());
        assert!(look(&dir.path().join("gone")).is_err_and(|error| is_absent(&error)));
    }
}
