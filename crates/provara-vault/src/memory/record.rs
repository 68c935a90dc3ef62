//! What is remembered of one vault at one path, and its file.
//!
//! A file has two halves, each with a record that says its number and has a checksum. A new one goes into
//! the half of the older: whatever becomes of it, the other is whole, and is of an earlier state. That
//! takes a tenth of the time of a new file with its name.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use provara_core::id::{Digest, EventId};
use provara_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The bytes of a half: a path has at most 4096.
pub(super) const HALF: usize = 8 << 10;

/// How much of a path is kept where it would not fit: what is shown of it.
const SHOWN: usize = 500;

/// What the checksum stands after, at the end of the object.
const CHECK: &[u8] = b",\"check\":\"";

/// The only version of a record.
const VERSION: u32 = 1;

/// What stood in the place of a vault when this machine saw it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where: absolute, as it was typed or as it was resolved.
    pub(crate) path: PathBuf,
    /// The SHA-256 of the path's bytes: what is shown of a path need not be all of it.
    pub(crate) place: Digest,
    pub(crate) identity: EventId,
    /// How many events the seal covered.
    pub(crate) size: u64,
    /// The root of the event tree over them.
    pub(crate) tree_root: Digest,
    pub(crate) last_event: EventId,
    /// The root that the seal signed.
    pub(crate) seal_root: Digest,
    pub(crate) signed_at: Timestamp,
    /// When this machine saw it, by its own clock.
    pub(crate) seen_at: Timestamp,
    /// Whether the leaves of all the events are kept beside it.
    pub(crate) leaves: bool,
    /// How many records of this vault at this path there were before.
    pub(crate) number: u64,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File<'a> {
    version: u32,
    path: Cow<'a, str>,
    path_sha256: String,
    identity: String,
    size: u64,
    tree_root: String,
    last_event: String,
    seal_root: String,
    signed_at_utc: String,
    seen_at_utc: String,
    leaves: bool,
    number: u64,
}

impl Record {
    /// The latest record in a file of the memory; `None` for anything else.
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let halves = file.chunks(HALF).take(2).filter_map(Self::parse_half);
        halves.max_by_key(|record| record.number)
    }

    fn parse_half(half: &[u8]) -> Option<Self> {
        // Without memchr: what it asks of the processor at its first use takes longer than a record.
        let text = &half[..half.iter().position(|byte| *byte == b'\n')?];
        let mut ends = (0..=text.len().checked_sub(CHECK.len())?).rev();
        let at = ends.find(|at| text[*at..].starts_with(CHECK))?;
        (text[at..] == checksum(&text[..at])).then_some(())?;
        let file: File<'_> = serde_json::from_slice(text).ok()?;
        (file.version == VERSION).then_some(())?;
        Some(Self {
            path: PathBuf::from(file.path.as_ref()),
            place: file.path_sha256.parse().ok()?,
            identity: file.identity.parse().ok()?,
            size: file.size,
            tree_root: file.tree_root.parse().ok()?,
            last_event: file.last_event.parse().ok()?,
            seal_root: file.seal_root.parse().ok()?,
            signed_at: file.signed_at_utc.parse().ok()?,
            seen_at: file.seen_at_utc.parse().ok()?,
            leaves: file.leaves,
            number: file.number,
        })
    }

    /// Where in the file it goes.
    pub(super) fn offset(&self) -> u64 {
        self.number % 2 * HALF as u64
    }

    /// Its bytes there.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let text = self.written(self.path.to_string_lossy());
        if text.len() <= HALF {
            return text;
        }
        let shown: String = self.path.to_string_lossy().chars().take(SHOWN).collect();
        self.written(shown.into())
    }

    fn written(&self, path: Cow<'_, str>) -> Vec<u8> {
        let file = File {
            version: VERSION,
            path,
            path_sha256: self.place.to_string(),
            identity: self.identity.to_string(),
            size: self.size,
            tree_root: self.tree_root.to_string(),
            last_event: self.last_event.to_string(),
            seal_root: self.seal_root.to_string(),
            signed_at_utc: self.signed_at.to_string(),
            seen_at_utc: self.seen_at.to_string(),
            leaves: self.leaves,
            number: self.number,
        };
        let mut text = serde_json::to_vec(&file).expect("texts and numbers");
        text.pop();
        let check = checksum(&text);
        text.extend_from_slice(&check);
        text.push(b'\n');
        text
    }
}

/// The end of an object that begins with `text`: against accidents, a write that was cut short.
fn checksum(text: &[u8]) -> Vec<u8> {
    let digest = Digest::of(text).to_string();
    [CHECK, &digest.as_bytes()[..16], b"\"}"].concat()
}

/// What a path is known by.
pub(crate) fn place_of(path: &Path) -> Digest {
    Digest::of(path.as_os_str().as_bytes())
}

/// What the files for a path are named after.
pub(super) fn name_of(place: Digest) -> String {
    place.to_string()[..16].to_owned()
}
