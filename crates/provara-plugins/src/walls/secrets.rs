//! Keyfiles and vaults, told by what they are and not by what they are called.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use provara_core::keys::looks_like_keyfile;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::PathsError;

/// The largest keyfile that is parsed as one, in bytes; it is what commands read.
const MAX_KEYFILE: u64 = 1 << 20;

/// Where every vault keeps its keys unless it was made otherwise.
pub(super) const DEFAULT_KEYFILE: &str = "identity/private_keys.json";

/// Whether a directory is a vault: it has a log, and somebody's identity.
pub(super) fn is_vault(path: &Path) -> bool {
    path.join("events/events.ndjson").is_file() && path.join("identity").is_dir()
}

/// Every file of a vault that is a keyfile: the default one by its name, the others by content.
pub(super) fn keyfiles(vault: &Path) -> Result<Vec<PathBuf>, PathsError> {
    let mut found = vec![vault.join(DEFAULT_KEYFILE)];
    let mut open = vec![vault.to_path_buf()];
    while let Some(directory) = open.pop() {
        let failed = |source| PathsError::Io {
            path: directory.clone(),
            source,
        };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && is_keyfile(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a file is a keyfile, or too large to tell. One that cannot be read is closed to us and
/// stays closed.
pub(super) fn is_keyfile(path: &Path) -> bool {
    File::open(path)
        .and_then(holds_keys)
        .is_ok_and(|found| found)
}

/// As [`is_keyfile`]. Nearly every file is told by its first bytes.
fn holds_keys(mut file: File) -> io::Result<bool> {
    let mut head = [0; 64];
    let mut blanks = 0;
    loop {
        let count = file.read(&mut head)?;
        match head[..count].iter().find(|byte| !is_blank(**byte)) {
            Some(b'{') => break,
            None if count > 0 && blanks < MAX_KEYFILE => blanks += count as u64,
            _ => return Ok(false),
        }
    }
    file.rewind()?;
    if file.metadata()?.len() > MAX_KEYFILE {
        return Ok(has_keys(&file));
    }
    let mut text = Vec::new();
    file.take(MAX_KEYFILE).read_to_end(&mut text)?;
    Ok(looks_like_keyfile(&text))
}

/// The blanks of JSON.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether the JSON object at the start of a large file has a member that keyfiles have. It is read
/// as it comes, and not kept: an event log is such a file, and so is the manifest of a large vault.
/// Of what is no JSON nobody can be sure.
fn has_keys(file: &File) -> bool {
    let mut text = serde_json::Deserializer::from_reader(BufReader::new(file));
    Members::deserialize(&mut text).map_or(true, |found| found.keys)
}

/// What the names of an object's members say. A keyfile lists its keys under `keys`, or has a member
/// for each (`spec/VAULT_FORMAT.md`, section 1).
struct Members {
    keys: bool,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(Members { keys: false })
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Members, A::Error> {
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            self.keys |= name == "keys" || name.starts_with("bp1_");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use crate::walls::paths::tests::KEYFILE;

    fn told(text: impl AsRef<[u8]>) -> bool {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        fs::write(&path, text).unwrap();
        is_keyfile(&path)
    }

    #[test]
    fn a_keyfile_is_told_by_its_content() {
        assert!(told(KEYFILE));
        for blanks in [1, 63, 64, 65, 100_000] {
            assert!(told(" \t\r\n".repeat(blanks) + KEYFILE), "{blanks}");
        }
        for other in ["", " ", "{}", "{", "x = {}", "[1]", r#"{"keys":[]}"#] {
            assert!(!told(other), "{other}");
        }
        assert!(!is_keyfile(Path::new("/absent")));
    }

    #[test]
    fn a_large_file_is_told_by_its_members() {
        let filler = "x".repeat(2 << 20);
        let with = |member: &str| format!(r#"{{"filler":"{filler}",{member}}}"#);
        assert!(told(KEYFILE.to_owned() + &" ".repeat(2 << 20)));
        assert!(told(with(r#""keys":[]"#)));
        assert!(told(with(r#""\u006beys":[]"#)));
        assert!(told(with(r#""bp1_0123456789abcdef":"AAAA""#)));
        assert!(told(format!("{{{filler}")));
        assert!(!told(with(r#""files":[]"#)));
        // A log: its first line decides.
        assert!(!told(with(r#""type":"GENESIS""#) + "\n" + KEYFILE));
        assert!(!told(" ".repeat(2 << 20)));
    }
}
