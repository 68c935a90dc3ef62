//! What is no vault, though somebody may take it for one: archives, and what other tools make of a vault or
//! beside it. Such a thing is told by its name: to hold it against the rules of a vault would accuse it of
//! what it never was.
//!
//! A damaged vault must never be excused as something else. So a directory is only looked at here where it has
//! no manifest, no root and no seal of a vault, and it counts as something else only by its content, not by the
//! names of its files alone.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use provara_core::json::{self, Value};
use provara_core::layout;
use provara_core::manifest::Manifest;
use provara_core::merge::delta::DELTA_TYPE;

/// How much of a file is looked at, in bytes.
const LOOKED_AT: u64 = 1 << 20;

/// What stands where a vault was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A tar or zip archive, or a compressed file: perhaps the backup of a vault.
    Archive,
    /// An export with a report, and a copy of the log without its seal.
    ForensicBundle,
    /// A personal memory container, whose chain and signatures stand in files of their own.
    PsmcVault,
    /// An SQLite database in which the older tool keeps events.
    SqliteVault,
    /// Another SQLite database.
    SqliteDatabase,
    /// An export of SCITT statements.
    ScittBundle,
    /// Events as one file, as the playground exports them: no keys and no seal beside them.
    EventsAlone,
    /// A bundle of `provara delta export`.
    Delta,
    /// A `manifest.json` that lists no files of a vault, and nothing else of one.
    OtherManifest,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "it is an archive",
            Self::ForensicBundle => {
                "it is a forensic bundle: a report, and a copy of a log without its seal"
            }
            Self::PsmcVault => {
                "it is a PSMC vault: its events have ids, a chain and signatures of another format"
            }
            Self::SqliteVault => "it is an SQLite vault of the older tool: a database, and no log",
            Self::SqliteDatabase => "it is an SQLite database",
            Self::ScittBundle => "it is a SCITT bundle: statements that were exported from a vault",
            Self::EventsAlone => {
                "it is a file of events, as the playground exports them: without the keys and the seal of a vault"
            }
            Self::Delta => "it is a delta bundle: events to be imported into a vault",
            Self::OtherManifest => {
                "its manifest.json lists no files of a vault, and nothing else of a vault is there"
            }
        })
    }
}

/// What `path` is, if it is something that is known and no vault.
pub(crate) fn foreign(path: &Path) -> Option<Foreign> {
    match path.is_dir() {
        true => directory(path),
        false => file(path),
    }
}

/// What a directory is that has none of what only a vault has.
fn directory(root: &Path) -> Option<Foreign> {
    let is_there = |name: &str| fs::symlink_metadata(root.join(name)).is_ok();
    if is_there(layout::MERKLE_ROOT) || is_there(layout::MANIFEST_SIG) {
        return None;
    }
    let of_a_vault = [layout::LOG, layout::GENESIS, layout::KEYS, layout::POLICIES];
    if is_there(layout::MANIFEST) {
        if of_a_vault.iter().any(|name| is_there(name)) {
            return None;
        }
        // What lists files as a vault does lists those that are missing.
        let text = beginning(&root.join(layout::MANIFEST))?;
        return match Manifest::parse(&text) {
            Ok(_) => None,
            Err(_) => Some(root_events(root).unwrap_or(Foreign::OtherManifest)),
        };
    }
    if is_there(layout::POLICIES) {
        return None;
    }
    let document = |name: &str| document(&root.join(name));
    if let Some(custody) = document("chain_of_custody.json")
        && custody
            .get("events")
            .is_some_and(|it| it.as_array().is_some())
        && custody.get("chain_intact").is_some()
        && is_there("manifest/manifest.json")
    {
        return Some(Foreign::ForensicBundle);
    }
    if document("psmc.json").is_some_and(|it| it.as_object().is_some())
        && is_there("chain/chain.ndjson")
        && !is_there(layout::GENESIS)
        && !begins_with_an_event(&root.join(layout::LOG))
    {
        return Some(Foreign::PsmcVault);
    }
    if of_a_vault.iter().any(|name| is_there(name)) {
        return None;
    }
    if let Some(index) = document("index.json")
        && index.get("export_format").and_then(Value::as_str) == Some("scitt-compat")
    {
        return Some(Foreign::ScittBundle);
    }
    root_events(root)
}

/// Events in a file at the top of a directory.
fn root_events(root: &Path) -> Option<Foreign> {
    let names = ["events.ndjson", "vault.provara", "events.json"];
    let found = names.iter().find_map(|name| file(&root.join(name)));
    found.filter(|it| *it == Foreign::EventsAlone)
}

/// What a file is.
fn file(path: &Path) -> Option<Foreign> {
    /// Where a tar archive says that it is one.
    const TAR: usize = 257;
    if !path.is_file() {
        return None;
    }
    let text = beginning(path)?;
    let starts = |magic: &[u8]| text.starts_with(magic);
    if starts(b"SQLite format 3\0") {
        // The statements that made its tables stand in its first page.
        let of_a_vault = memchr::memmem::find(&text, b"vault_meta").is_some();
        return Some(match of_a_vault {
            true => Foreign::SqliteVault,
            false => Foreign::SqliteDatabase,
        });
    }
    let compressed = [
        &b"\x1f\x8b"[..],
        b"PK\x03\x04",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"BZh",
    ];
    let is_tar = text.get(TAR..TAR + 5) == Some(b"ustar");
    if is_tar || compressed.iter().any(|magic| starts(magic)) {
        return Some(Foreign::Archive);
    }
    let header = json::parse(first_line(&text)).ok();
    let kind = header.as_ref().and_then(|it| it.get("type")?.as_str());
    if kind == Some(DELTA_TYPE) {
        return Some(Foreign::Delta);
    }
    let whole = json::parse(&text).ok();
    let listed = whole
        .as_ref()
        .and_then(|it| it.as_array().or_else(|| it.get("events")?.as_array()));
    let first = listed.and_then(|events| events.first());
    (first.is_some_and(is_event) || is_event_line(first_line(&text)))
        .then_some(Foreign::EventsAlone)
}

fn begins_with_an_event(path: &Path) -> bool {
    beginning(path).is_some_and(|text| is_event_line(first_line(&text)))
}

fn first_line(text: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    &text[..end]
}

fn is_event_line(line: &[u8]) -> bool {
    json::parse(line).is_ok_and(|value| is_event(&value))
}

/// Whether a value has what every event has, whoever wrote it.
fn is_event(value: &Value<'_>) -> bool {
    let has = |name| value.get(name).is_some();
    has("event_id") && has("actor") && (has("sig") || has("signature") || has("prev_event_hash"))
}

fn document(path: &Path) -> Option<Value<'static>> {
    let text = beginning(path)?;
    json::parse(&text).ok().map(Value::into_owned)
}

/// The first bytes of a file that is a regular one.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = path.is_file().then(|| File::open(path).ok()).flatten()?;
    file.take(LOOKED_AT).read_to_end(&mut text).ok()?;
    Some(text)
}
