//! The one form in which a writer has a manifest, read and written in one pass over its text.

use super::{FileEntry, ListedFile, Manifest, merkle_root};
use crate::id::Digest;
use crate::json;
use crate::time::Timestamp;

/// The manifest of sorted `files`, each of which is written once for the text and for its leaf.
pub(super) fn write(files: &[FileEntry], created_at: Timestamp) -> (Vec<u8>, Digest) {
    let mut text = Vec::with_capacity(files.len() * 160 + 256);
    text.extend_from_slice(BEFORE_TIME);
    text.extend_from_slice(created_at.to_string().as_bytes());
    text.extend_from_slice(BEFORE_COUNT);
    text.extend_from_slice(files.len().to_string().as_bytes());
    text.extend_from_slice(BEFORE_FILES);
    let mut leaves = Vec::with_capacity(files.len());
    for file in files {
        if !leaves.is_empty() {
            text.push(b',');
        }
        let start = text.len();
        file.write(&mut text);
        leaves.push(Digest::of(&text[start..]));
    }
    text.extend_from_slice(AFTER_FILES);
    (text, merkle_root(leaves))
}

/// What stands around the parts of a canonical manifest without other members.
const BEFORE_TIME: &[u8] = br#"{"backpack_spec_version":"1.0","created_at_utc":""#;
const BEFORE_COUNT: &[u8] = br#"","file_count":"#;
const BEFORE_FILES: &[u8] = br#","files":["#;
const AFTER_FILES: &[u8] = br#"],"manifest_version":"manifest.v0"}"#;

/// Reads a manifest that is byte for byte in the form in which a writer has it and whose texts have no escape:
/// a manifest of many files is read for each append. Of any other this says nothing.
pub(super) fn read(text: &[u8]) -> Option<Manifest> {
    let mut from = Reader(std::str::from_utf8(text).ok()?);
    from.skip(BEFORE_TIME)?;
    let created_at_utc = from.plain()?.to_owned();
    from.skip(BEFORE_COUNT)?;
    let file_count = from.number()?;
    from.skip(BEFORE_FILES)?;
    let mut files = Vec::with_capacity(from.0.len() / 128);
    while !from.0.starts_with(']') {
        if !files.is_empty() {
            from.skip(b",")?;
        }
        files.push(from.file()?);
    }
    from.skip(AFTER_FILES)?;
    from.0.is_empty().then_some(Manifest {
        created_at_utc,
        files,
        file_count,
        unsigned: Vec::new(),
        canonical: true,
    })
}

/// What is still to be read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn file(&mut self) -> Option<ListedFile> {
        let before = self.0;
        self.skip(br#"{"path":""#)?;
        let path = self.plain()?;
        self.skip(br#"","sha256":""#)?;
        let sha256 = self.plain()?;
        self.skip(br#"","size":"#)?;
        let size = self.number()?;
        self.skip(b"}")?;
        Some(ListedFile {
            path: path.to_owned(),
            sha256: sha256.to_owned(),
            size,
            leaf: Digest::of(&before.as_bytes()[..before.len() - self.0.len()]),
        })
    }

    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        let expected = std::str::from_utf8(expected).ok()?;
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// A text up to whatever is not plain, which has to be its end.
    fn plain(&mut self) -> Option<&'a str> {
        let (text, rest) = self
            .0
            .split_at_checked(json::plain_run(self.0.as_bytes()))?;
        self.0 = rest;
        Some(text)
    }

    /// A number of at most 15 digits, which has one form.
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        let is_canonical = digits <= 15 && (digits == 1 || !number.starts_with('0'));
        number.parse().ok().filter(|_| is_canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::write_manifest;

    #[test]
    fn a_plain_manifest_is_read_and_written_as_any() {
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        let paths = ["a", "b/\u{e9}\u{1f600}", "c \u{7f}\u{2028}"];
        let files: Vec<_> = paths
            .iter()
            .map(|path| FileEntry {
                path: (*path).to_owned(),
                sha256: Digest::of(path.as_bytes()),
                size: path.len() as u64,
            })
            .collect();
        let (text, root) = write_manifest(files, time);
        let plain = read(&text).unwrap();
        assert_eq!(plain, Manifest::parse_any(&text).unwrap());
        assert_eq!(plain.merkle_root(), root);
        // Whatever is another text is read as ever, or read to the same.
        for at in 0..text.len() {
            for with in [
                &b""[..],
                b"0",
                b"\"",
                b"\\",
                b"\n",
                b" ",
                b",",
                b"}",
                b"]",
                b"\xff",
                b"00",
            ] {
                for kept in [0, 1] {
                    let changed = [&text[..at], with, &text[at + kept..]].concat();
                    if let Some(read) = read(&changed) {
                        assert_eq!(Ok(read), Manifest::parse_any(&changed));
                    }
                }
            }
        }
        let long = text.len() - 1;
        assert_eq!(read(&text[..long]), None);
    }
}
