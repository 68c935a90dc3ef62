//! The tail cache: what a writer would read the whole log for, kept outside the vault.
//!
//! It holds the state of the log after its last event: the actors' heads, what it says of keys, its event
//! tree, the number of lines, and the SHA-256 state to resume; and the digest of the `manifest.sig` over
//! it, with whether the directories were synced after that was put in its place. It is taken only if all of
//! this agrees, and the log is read from its start otherwise:
//!
//! * its message authentication code is one of a key of the keyfile that the append was given. Whoever can
//!   forge it can sign events; nobody else can. It covers every byte, so it is the checksum too. A signature
//!   would say the same, to readers that there are none of, and takes two multiplications on the curve;
//! * it names this vault: the directory, the digest of `identity/genesis.json` in the manifest, and
//!   the log's device and inode;
//! * the log has the length, the times of change and the last 16 KiB that it had when the cache was
//!   written, and the resumed SHA-256 is the one that the manifest states for exactly this length;
//! * `manifest.sig` is the one that the writer made over it, and of the manifest that stands there.
//!
//! What it cannot show is a log that was changed before its last 16 KiB, in place, with its inode's
//! time of change put back. An append then adds its line, and the seal covers the log as it was before
//! that change: the seal never vouches for bytes that the writer did not see, and a verification finds
//! the change (`PROVARA_E012`) as it did before.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use provara_core::bytes::{Decoder, Encoder};
use provara_core::canonical::token_preserving;
use provara_core::history::{KeyEvent, KeyEventKind, Proof};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json;
use provara_core::keys::{Keyfile, Mac, Signature, SigningKey};
use provara_core::layout;
use provara_core::manifest::FileEntry;
use provara_core::time::Timestamp;
use provara_core::tree::EventTree;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::cache::{overwrite, place, read};
use crate::index::{Actor, LogIndex};
use crate::seal::Names;

/// What the code is made for. The kinds before this one were signed; the first left out a logical clock that it
/// could not hold.
const DOMAIN: &[u8] = b"provara tail cache 4\0";

/// How much of the log's end is compared, in bytes.
const COMPARED: usize = 16 << 10;

/// The largest cache that is written or read, in bytes: some 200,000 actors.
const LIMIT: u64 = 16 << 20;

/// Where a vault's tail cache is, and what it must be about.
#[derive(Debug)]
pub(crate) struct TailCache<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) vault: &'a Path,
    pub(crate) log: &'a File,
    /// The manifest's files.
    pub(crate) entries: &'a [FileEntry],
}

/// What is to be kept.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) index: &'a LogIndex,
    /// Over the log.
    pub(crate) hasher: &'a Sha256,
    /// The SHA-256 of the `manifest.sig` over it.
    pub(crate) signature: Digest,
    /// Whether that file's name is known to be on the disk.
    pub(crate) names: Names,
}

/// What the cache holds.
#[derive(Debug, Clone)]
pub(crate) struct Recalled {
    pub(crate) index: LogIndex,
    /// Over the log.
    pub(crate) hasher: Sha256,
    /// The SHA-256 of the `manifest.sig` over it.
    pub(crate) signature: Digest,
    /// Whether that file's name is known to be on the disk.
    pub(crate) names: Names,
}

impl TailCache<'_> {
    /// The state of the log after its last event, if the cache can be trusted for it.
    pub(crate) fn recall(&self, keyfile: &Keyfile) -> Option<Recalled> {
        let bytes = read(&place(self.directory, self.vault, "tail")?, LIMIT)?;
        let (content, seal) = bytes.split_at_checked(bytes.len().checked_sub(8 + Mac::LENGTH)?)?;
        let (key_id, mac) = seal.split_at(8);
        let key = keyfile.get(&KeyId(key_id.try_into().ok()?))?;
        (key.mac(DOMAIN, content) == Mac(mac.try_into().ok()?)).then_some(())?;
        let identity = self.identity()?;
        let rest = content.strip_prefix(identity.as_slice())?;
        let recalled = decode(rest)?;
        let sealed = self.entry(layout::LOG)?;
        let length = recalled.index.len;
        let agrees = length == sealed.size
            && length == self.log.metadata().ok()?.len()
            && Digest(recalled.hasher.clone().finalize().into()) == sealed.sha256;
        agrees.then_some(recalled)
    }

    /// Keeps the state of the log after its last event. The log must be as long as the state says and
    /// durable. Failing to keep it costs the next append its time, and nothing else.
    pub(crate) fn keep(&self, state: &Kept<'_>, key: &SigningKey) {
        let kept = self.identity().and_then(|identity| {
            let path = place(self.directory, self.vault, "tail")?;
            let mut content = Encoder(identity);
            encode(&mut content, state);
            let mac = key.mac(DOMAIN, &content.0);
            (content.0.len() as u64 + 100 < LIMIT).then_some(())?;
            overwrite(&path, &[&content.0, &key.key_id().0, &mac.0]).ok()
        });
        let _ = kept;
    }

    fn entry(&self, path: &str) -> Option<&FileEntry> {
        self.entries.iter().find(|entry| entry.path == path)
    }

    /// What tells this vault and this state of its log from any other.
    fn identity(&self) -> Option<Vec<u8>> {
        let log = self.log.metadata().ok()?;
        let compared = log.len().min(COMPARED as u64);
        let mut end = [0; COMPARED];
        let end = &mut end[..compared as usize];
        self.log.read_exact_at(end, log.len() - compared).ok()?;
        let mut identity = Encoder::default();
        identity.sized(self.vault.as_os_str().as_bytes());
        identity.raw(&self.entry(layout::GENESIS)?.sha256.0);
        for number in [log.dev(), log.ino(), log.len()] {
            identity.u64(number);
        }
        for time in [log.mtime(), log.mtime_nsec(), log.ctime(), log.ctime_nsec()] {
            identity.i64(time);
        }
        identity.raw(&Digest::of(end).0);
        Some(identity.0)
    }
}

fn encode(out: &mut Encoder, state: &Kept<'_>) {
    let index = state.index;
    out.raw(&state.signature.0);
    out.u8(u8::from(state.names == Names::Durable));
    out.u64(index.len);
    out.u64(index.lines);
    out.sized(state.hasher.serialize().as_slice());
    out.sized(&index.tree.to_bytes());
    for id in [index.closed, index.first_event, index.last_event] {
        out.u8(u8::from(id.is_some()));
        out.raw(&id.map_or([0; 12], |id| id.0));
    }
    out.u8(u8::from(index.names_seals));
    out.u64(index.key_events.len() as u64);
    for (event, offset) in index.key_events.iter().zip(&index.key_offsets) {
        encode_key_event(out, event, *offset);
    }
    let actors = index.actors();
    out.u64(actors.len() as u64);
    for (name, actor) in actors {
        out.sized(name);
        out.raw(&actor.head.0);
        // 2^53 - 1 is the largest that is written; a reader may have met more, or less than none.
        out.u8(u8::from(actor.ts_logical.is_some()));
        out.i64(actor.ts_logical.unwrap_or_default());
        out.u8(u8::from(actor.timestamp.is_some()));
        out.i64(actor.timestamp.map_or(0, Timestamp::unix_micros));
    }
}

fn encode_key_event(out: &mut Encoder, event: &KeyEvent, offset: u64) {
    out.u64(offset);
    out.u64(event.number);
    out.raw(&event.id.0);
    out.raw(&event.signer.0);
    out.u8(event.kind.number());
    out.sized(&token_preserving(&event.payload));
    // What nobody checked stays so.
    let proof = event.proof.as_ref();
    out.u8(u8::from(proof.is_some()));
    out.sized(proof.map_or(&[], |proof| &proof.signed));
    out.raw(&proof.map_or([0; Signature::LENGTH], |proof| proof.signature.0));
}

fn decode_key_event(from: &mut Decoder<'_>) -> Option<(KeyEvent, u64)> {
    let offset = from.u64()?;
    let number = from.u64()?;
    let id = EventId(from.array()?);
    let signer = KeyId(from.array()?);
    let kind = KeyEventKind::of_number(from.u8()?)?;
    let payload = json::parse(from.sized()?).ok()?.into_owned();
    let proven = from.u8()? != 0;
    let signed = from.sized()?.to_vec();
    let signature = Signature(from.array()?);
    let event = KeyEvent {
        number,
        id,
        signer,
        kind,
        payload,
        proof: proven.then_some(Proof { signed, signature }),
    };
    Some((event, offset))
}

fn decode(bytes: &[u8]) -> Option<Recalled> {
    let mut from = Decoder(bytes);
    let signature = Digest(from.array()?);
    let names = match from.u8()? {
        0 => Names::Unknown,
        _ => Names::Durable,
    };
    let mut index = LogIndex::default();
    index.len = from.u64()?;
    index.lines = from.u64()?;
    let state: SerializedState<Sha256> = from.sized()?.try_into().ok()?;
    let hasher = Sha256::deserialize(&state).ok()?;
    index.tree = EventTree::from_bytes(from.sized()?)?;
    for id in [
        &mut index.closed,
        &mut index.first_event,
        &mut index.last_event,
    ] {
        let there = from.u8()? != 0;
        *id = Some(EventId(from.array()?)).filter(|_| there);
    }
    index.names_seals = from.u8()? != 0;
    for _ in 0..from.u64()? {
        let (event, offset) = decode_key_event(&mut from)?;
        index.key_events.push(event);
        index.key_offsets.push(offset);
    }
    for _ in 0..from.u64()? {
        let name = from.sized()?;
        let head = EventId(from.array()?);
        let ts_logical = (from.u8()? != 0, from.i64()?);
        let timestamp = (from.u8()? != 0, from.i64()?);
        let actor = Actor {
            head,
            ts_logical: ts_logical.0.then_some(ts_logical.1),
            timestamp: match timestamp {
                (false, _) => None,
                (true, micros) => Some(Timestamp::from_unix_micros(micros)?),
            },
        };
        index.set_actor(name, actor);
    }
    from.ended().then_some(Recalled {
        index,
        hasher,
        signature,
        names,
    })
}
