//! Keyfiles and vaults, told by what they are and not by what they are called.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use memchr::memmem;
use provara_core::id::KeyId;
use provara_core::keys::{PublicKey, looks_like_keyfile};
use provara_core::layout;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::paths_error::PathsError;

/// How much of every file is looked at for a key, in bytes.
const HEAD: usize = 64 << 10;

/// The largest keyfile that is parsed as one, in bytes; it is what commands read.
const MAX_KEYFILE: usize = 1 << 20;

/// How much of an archive is unpacked to see what it holds, in bytes.
const MAX_UNPACKED: u64 = 1 << 20;

/// Whether a directory is a vault: it has a log, and somebody's identity.
pub(crate) fn is_vault(path: &Path) -> bool {
    path.join(layout::LOG).is_file() && path.join(layout::IDENTITY).is_dir()
}

/// Every file of a vault that holds keys: the default keyfile by its name, the others by content.
pub(super) fn keyfiles(vault: &Path) -> Result<Vec<PathBuf>, PathsError> {
    let mut found = vec![vault.join(layout::PRIVATE_KEYS)];
    let mut look = Look::default();
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
            } else if kind.is_file()
                && path != vault.join(layout::LOG)
                && File::open(&path).is_ok_and(|file| look.holds_keys(file))
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a regular file holds keys; see [`Look::holds_keys`].
pub(crate) fn holds_keys(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| Look::default().holds_keys(file))
}

/// Looks for keys in files, one after the other.
#[derive(Default)]
pub(super) struct Look {
    /// The beginning of the file, and after it what others left: it is not cleared for each.
    buffer: Vec<u8>,
    /// How much of it is the file's.
    length: usize,
    /// How many bytes were read.
    pub(super) read: u64,
}

impl Look {
    /// Whether a file is a keyfile or a vault's archive, names a key among its first [`HEAD`] bytes, or
    /// is too large to tell. One that cannot be read is closed to us and stays closed.
    pub(super) fn holds_keys(&mut self, file: File) -> bool {
        self.examine(file).is_ok_and(|found| found)
    }

    fn examine(&mut self, mut file: File) -> io::Result<bool> {
        self.length = 0;
        let whole = self.read_on(&mut file, HEAD)? < HEAD;
        if names_a_key(self.text()) {
            return Ok(true);
        }
        if may_be_archive(self.text()) {
            return self.is_packed_vault(file);
        }
        while self.text().iter().copied().all(is_blank) {
            if self.length > MAX_KEYFILE || self.read_on(&mut file, HEAD)? == 0 {
                return Ok(false);
            }
        }
        let text = after_mark(self.text());
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Ok(false);
        }
        if whole {
            return Ok(looks_like_keyfile(text));
        }
        let size = file.metadata()?.len();
        if size > MAX_KEYFILE as u64 {
            file.seek(SeekFrom::Start((self.length - text.len()) as u64))?;
            self.read += size;
            return Ok(has_keys(&file));
        }
        self.read_on(&mut file, MAX_KEYFILE)?;
        Ok(looks_like_keyfile(after_mark(self.text())))
    }

    fn text(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Reads what comes next in a file, up to `most` bytes; gives their number.
    fn read_on(&mut self, file: &mut File, most: usize) -> io::Result<usize> {
        let start = self.length;
        if self.buffer.len() < start + most {
            self.buffer.resize(start + most, 0);
        }
        while self.length < start + most {
            match file.read(&mut self.buffer[self.length..start + most]) {
                Ok(0) => break,
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let count = self.length - start;
        self.read += count as u64;
        Ok(count)
    }

    /// Whether an archive, compressed or not, holds a vault.
    fn is_packed_vault(&mut self, mut file: File) -> io::Result<bool> {
        file.rewind()?;
        let mut reader: Box<dyn Read> = if self.text().starts_with(GZIP) {
            Box::new(GzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut unpacked = Vec::new();
        // What is damaged may begin well.
        let mut unpack = |most| {
            let _ = reader.by_ref().take(most).read_to_end(&mut unpacked);
            is_tar(&unpacked)
        };
        let found = unpack(BLOCK as u64) && unpack(MAX_UNPACKED);
        self.read += unpacked.len() as u64;
        Ok(found && (names_a_key(&unpacked) || packs_a_vault(&unpacked)))
    }
}

/// What is left of a text without the mark of its encoding, which some editors put before it.
fn after_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The blanks of JSON.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a text, of whatever form, has the member of a keyfile and then 32 bytes in Base64, or a key's
/// id and then 32 bytes that are not its public half.
fn names_a_key(text: &[u8]) -> bool {
    let member = b"private_key_b64";
    let by_member = memmem::find_iter(text, member)
        .any(|at| base64_after(&text[at + member.len()..], may_follow_member).is_some());
    by_member
        || memmem::find_iter(text, b"bp1_").any(|at| {
            let id = text.get(at..at + ID).and_then(|id| str::from_utf8(id).ok());
            let Some(id) = id.and_then(|id| id.parse::<KeyId>().ok()) else {
                return false;
            };
            base64_after(&text[at + ID..], may_follow_id).is_some_and(|half| {
                !PublicKey::from_base64(half).is_ok_and(|public| public.key_id() == id)
            })
        })
}

/// The length of a key's id.
const ID: usize = "bp1_0123456789abcdef".len();

/// How far behind a name its value begins at most, in bytes.
const BETWEEN: usize = 128;

/// The length of 32 bytes in padded Base64.
const HALF: usize = 44;

/// The Base64 of 32 bytes that comes next but for blanks, the signs that a language puts between a name
/// and its value, and words that may stand there, too.
fn base64_after(text: &[u8], may_stand_between: fn(&str) -> bool) -> Option<&str> {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut at = 0;
    while at < BETWEEN {
        let rest = text.get(at..)?;
        let first = rest.first()?;
        let digits = rest.iter().take_while(|byte| digit(byte)).count();
        let ends = rest.get(HALF).is_none_or(|next| *next != b'=');
        if digits == HALF - 1 && rest.get(digits) == Some(&b'=') && ends {
            return str::from_utf8(&rest[..HALF]).ok();
        }
        let length = rest.iter().take_while(|byte| word(byte)).count();
        if length > 0 {
            str::from_utf8(&rest[..length])
                .ok()
                .filter(|word| length < HALF - 1 && may_stand_between(word))?;
        } else if !is_blank(*first) && !b"\"'\\:=>([{,&|.<)]#?!;".contains(first) {
            return None;
        }
        at += length.max(1);
    }
    None
}

/// Whether the value of a keyfile's member may follow a word: a type, a call, the name of a variable. Not
/// where a part of the word says that what follows is something else.
fn may_follow_member(word: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "pub",
        "public",
        "sig",
        "signature",
        "hash",
        "sha256",
        "digest",
        "b64",
    ];
    let other = |part: &str| OTHERS.iter().any(|other| other.eq_ignore_ascii_case(part));
    !word.starts_with("bp1_") && !word.split('_').any(other)
}

/// Whether the private half of a key may follow a word behind the key's id, near which other things of
/// 32 bytes stand in every event: a prefix of a string, a type, or a call that gives a default.
fn may_follow_id(word: &str) -> bool {
    const WORDS: [&str; 22] = [
        "b",
        "r",
        "f",
        "u",
        "br",
        "rb",
        "fr",
        "rf",
        "str",
        "bytes",
        "bytearray",
        "Final",
        "String",
        "Vec",
        "u8",
        "static",
        "from",
        "os",
        "environ",
        "get",
        "getenv",
        "default",
    ];
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// How a compressed file begins.
const GZIP: &[u8] = b"\x1f\x8b\x08";

/// The size of a header in an archive, and what its contents are padded to.
const BLOCK: usize = 512;

fn may_be_archive(head: &[u8]) -> bool {
    head.starts_with(GZIP) || is_tar(head)
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Whether the beginning of an archive shows that a vault is in it: a directory of events beside one of
/// identity, or a file that every vault has.
fn packs_a_vault(mut archive: &[u8]) -> bool {
    let (mut events, mut identity) = (false, false);
    while let Some(header) = archive.get(..BLOCK).filter(|header| is_tar(header)) {
        let name = header[..100].split(|byte| *byte == 0).next();
        let name = Path::new(OsStr::from_bytes(name.unwrap_or_default()));
        events |= name.ends_with(layout::EVENTS) || name.ends_with(layout::LOG);
        identity |= name
            .parent()
            .is_some_and(|parent| parent.ends_with(layout::IDENTITY))
            || name.ends_with(layout::IDENTITY);
        let size = str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_matches([' ', '\0']), 8).unwrap_or_default();
        let next = size.div_ceil(BLOCK).saturating_add(1).saturating_mul(BLOCK);
        archive = archive.get(next..).unwrap_or_default();
    }
    events && identity
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
mod tests;
