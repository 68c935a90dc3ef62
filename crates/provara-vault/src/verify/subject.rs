//! What a verification was of: enough to tell one vault, and one state of it, from every other.
//!
//! Nothing here is computed for its own sake from the log: its SHA-256, the tree and the ids are what the
//! verification needs anyway. Only the first and the last line are looked at again, for their times.

use std::collections::BTreeMap;

use provara_core::id::{Digest, EventId};
use provara_core::layout::{GENESIS, MANIFEST, MANIFEST_SIG};
use provara_core::manifest::{FileEntry, Manifest, merkle_root};
use provara_core::scan::{Field, scan_line};
use provara_core::verify::files::DiskEntry;
use provara_core::verify::{LogCounts, LogVerdict};
use provara_core::{json, layout};
use serde::Serialize;

use crate::vault_snapshot::VaultSnapshot;

/// The vault that was verified, in the state in which it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Subject {
    /// `uid`, as the signed `GENESIS` event states it; `genesis.json` where there is none.
    pub vault_uid: Option<String>,
    /// The root key, as stated in the same place.
    pub root_key_id: Option<String>,
    /// Lines of the log that are events, sound or not.
    pub event_count: u64,
    /// Lines of the log, events or not.
    pub line_count: u64,
    /// What was counted in the log.
    pub counts: LogCounts,
    /// Length of the log in bytes, a last line without its end included.
    pub log_bytes: u64,
    /// SHA-256 of these bytes.
    pub log_sha256: Digest,
    /// Root of the event tree over all of the log.
    pub tree_root: Digest,
    /// Merkle root over the files that `manifest.json` lists, as it lists them; `None` without one.
    pub merkle_root: Option<Digest>,
    /// The same root over the files as they are. Both are equal where the seal is that of the vault as it is.
    pub files_merkle_root: Digest,
    /// SHA-256 of `manifest.json`.
    pub manifest_sha256: Option<Digest>,
    /// SHA-256 of `manifest.sig`.
    pub seal_sha256: Option<Digest>,
    /// The first event of the log.
    pub first_event: Option<EventPlace>,
    /// The last event of the log.
    pub last_event: Option<EventPlace>,
}

/// An event, and when it says that it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventPlace {
    /// Its id.
    pub event_id: EventId,
    /// `timestamp_utc` as written, if the line can be read.
    pub timestamp_utc: Option<String>,
}

impl Subject {
    /// What `snapshot` is of, whose log came to `verdict`. `lines` are all its bytes, and `sha256` their
    /// SHA-256; `disk` is every file.
    pub(super) fn of(
        snapshot: &VaultSnapshot,
        verdict: &LogVerdict,
        lines: &[u8],
        sha256: Digest,
        disk: &BTreeMap<String, DiskEntry>,
    ) -> Self {
        let stated = snapshot.text(GENESIS).and_then(|it| json::parse(it).ok());
        let stated = |name| {
            let value = stated.as_ref()?.get(name)?;
            value.as_str().map(str::to_owned)
        };
        let signed = verdict.genesis.as_ref();
        let digest = |file| snapshot.text(file).map(Digest::of);
        let manifest = snapshot.text(MANIFEST);
        let manifest = manifest.and_then(|it| Manifest::parse(it).ok());
        let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
        let end = memchr::memchr(b'\n', whole).unwrap_or(whole.len());
        let start = memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1);
        let place = |id: Option<EventId>, line: &[u8]| {
            id.map(|event_id| EventPlace {
                event_id,
                timestamp_utc: timestamp(event_id, line),
            })
        };
        Self {
            vault_uid: signed
                .and_then(|it| it.uid.clone())
                .or_else(|| stated("uid")),
            root_key_id: signed
                .and_then(|it| it.root_key_id.clone())
                .or_else(|| stated("root_key_id")),
            event_count: verdict.event_count,
            line_count: verdict.lines,
            counts: verdict.counts,
            log_bytes: lines.len() as u64,
            log_sha256: sha256,
            tree_root: verdict.tree.root(),
            merkle_root: manifest.map(|it| it.merkle_root()),
            files_merkle_root: files_root(disk),
            manifest_sha256: digest(MANIFEST),
            seal_sha256: digest(MANIFEST_SIG),
            first_event: place(verdict.first_event, &whole[..end]),
            last_event: place(verdict.last_event, &whole[start..]),
        }
    }
}

/// The Merkle root over the files that a manifest made now would list.
fn files_root(disk: &BTreeMap<String, DiskEntry>) -> Digest {
    let leaves = disk.iter().filter_map(|(path, entry)| match entry {
        DiskEntry::File { size, sha256 } if !layout::is_unlisted(path) => Some(FileEntry {
            path: path.clone(),
            sha256: *sha256,
            size: *size,
        }),
        _ => None,
    });
    merkle_root(leaves.map(|entry| entry.leaf()))
}

/// When the event `id` was made, if `line` is that event.
fn timestamp(id: EventId, line: &[u8]) -> Option<String> {
    let line = scan_line(line).ok()?;
    let named = line.text(Field::EventId)?;
    (named == id.to_string()).then_some(())?;
    line.text(Field::TimestampUtc).map(|it| it.into_owned())
}
