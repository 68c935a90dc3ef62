//! Bytes of the operating system, as JSON carries them between the core and the launcher.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes of the operating system (a path, an argument, a variable), carried in JSON as a string
/// with one character for each byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raw(OsString);

impl Raw {
    /// As a path.
    #[must_use]
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// As text of the operating system.
    #[must_use]
    pub(crate) fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl<T: Into<OsString>> From<T> for Raw {
    fn from(text: T) -> Raw {
        Raw(text.into())
    }
}

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Latin1(self.0.as_bytes()))
    }
}

struct Latin1<'a>(&'a [u8]);

impl fmt::Display for Latin1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0
            .iter()
            .try_for_each(|byte| f.write_char(char::from(*byte)))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        let bytes = bytes.map_err(|_| serde::de::Error::custom("a character beyond one byte"))?;
        Ok(Raw(OsString::from_vec(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_the_system_survive_json() {
        let all: Vec<u8> = (1..=255).collect();
        let raw = Raw(OsString::from_vec(all));
        let json = serde_json::to_string(&raw).unwrap();
        assert_eq!(serde_json::from_str::<Raw>(&json).unwrap(), raw);
        assert!(serde_json::from_str::<Raw>("\"\u{100}\"").is_err());
    }
}
