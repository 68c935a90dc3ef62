//! The event tree: a Merkle tree over the events of a log, whose root does not change when a payload
//! is redacted (RFC 9162, section 2.1; spec/VAULT_FORMAT, section 5).
//!
//! A leaf is SHA-256(0x00 ‖ d), where d is the line in which the value of the top-level member
//! `payload` is replaced by the SHA-256 of its bytes, as a string of 64 hexadecimal digits. A node is
//! SHA-256(0x01 ‖ left ‖ right).

pub mod proof;

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::id::{Digest, EventId};
use crate::json;
use crate::scan::{Field, Line};

/// What a leaf's hash input begins with.
const LEAF: [u8; 1] = [0];

/// The string of a payload's hash before the hash is known.
const DIGITS_TO_COME: [u8; 66] = {
    let mut text = [b'0'; 66];
    text[0] = b'"';
    text[65] = b'"';
    text
};

/// What a node's hash input begins with.
const NODE: [u8; 1] = [1];

/// The tree over the leaves so far, as the roots of its complete subtrees: at most 64 digests, the
/// largest subtree first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTree {
    size: u64,
    subtrees: Vec<Digest>,
}

impl EventTree {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut subtree = leaf;
        // A complete subtree joins its left neighbour for each one at the end of the size in binary.
        for _ in 0..self.size.trailing_ones() {
            let left = self.subtrees.pop().expect("one for each bit that is set");
            subtree = node(left, subtree);
        }
        self.subtrees.push(subtree);
        self.size += 1;
    }

    /// Adds the next leaves. `hash` gives SHA-256 of each message that it is given: the nodes of one height together.
    pub fn extend(&mut self, leaves: &[Digest], hash: impl Fn(&[&[u8]]) -> Vec<Digest>) {
        let mut level = leaves.to_vec();
        // The complete subtrees that are left on the right, the smallest first.
        let mut right = Vec::new();
        let mut inputs = Vec::new();
        for height in 0.. {
            if level.is_empty() {
                break;
            }
            if self.size >> height & 1 == 1 {
                let left = self.subtrees.pop();
                level.insert(0, left.expect("one for each bit that is set"));
            }
            let (pairs, alone) = level.as_chunks();
            right.extend_from_slice(alone);
            inputs.clear();
            inputs.extend(pairs.iter().map(|[left, right]| node_input(*left, *right)));
            let inputs: Vec<&[u8]> = inputs.iter().map(<[u8; 65]>::as_slice).collect();
            level = hash(&inputs);
        }
        self.subtrees.extend(right.iter().rev());
        self.size += leaves.len() as u64;
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; of no leaves it is SHA-256 of nothing (RFC 9162, section 2.1.1).
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut subtrees = self.subtrees.iter().rev().copied();
        let Some(last) = subtrees.next() else {
            return Digest::of(b"");
        };
        subtrees.fold(last, |right, left| node(left, right))
    }

    /// The tree as bytes: its size, little-endian, and its subtrees.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_le_bytes().to_vec();
        for subtree in &self.subtrees {
            bytes.extend_from_slice(&subtree.0);
        }
        bytes
    }

    /// The tree that [`EventTree::to_bytes`] wrote; `None` for other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_at_checked(8)?;
        let size = u64::from_le_bytes(size.try_into().ok()?);
        let whole = rest.len() == size.count_ones() as usize * 32;
        let digest = |bytes: &[u8]| Digest(bytes.try_into().expect("32 bytes"));
        whole.then(|| Self {
            size,
            subtrees: rest.chunks_exact(32).map(digest).collect(),
        })
    }
}

/// The node above two others.
#[must_use]
pub fn node(left: Digest, right: Digest) -> Digest {
    Digest::of(&node_input(left, right))
}

/// What the node above two others is the hash of.
fn node_input(left: Digest, right: Digest) -> [u8; 65] {
    let mut input = [0; 65];
    input[..1].copy_from_slice(&NODE);
    input[1..33].copy_from_slice(&left.0);
    input[33..].copy_from_slice(&right.0);
    input
}

/// The leaf of a line. A payload that is a tombstone, in an event whose id is not that of its content,
/// stands for the payload that it replaced; any other is hashed as it stands.
#[must_use]
pub fn leaf(line: &Line<'_>) -> Digest {
    let replaced = tombstone(line).filter(|_| !id_is_of_content(line));
    leaf_over(line, replaced.map(|tombstone| tombstone.original))
}

/// The leaf of a line whose payload hashes to `payload`; to what it hashes as it stands, where that is
/// `None`.
fn leaf_over(line: &Line<'_>, payload: Option<Digest>) -> Digest {
    let at = line.place(Field::Payload);
    let bytes = at.clone().map_or(&b""[..], |at| &line.bytes()[at]);
    leaf_at(
        line.bytes(),
        at,
        payload.unwrap_or_else(|| Digest::of(bytes)),
    )
}

/// The leaf of a line whose payload, which hashes to `payload`, stands at `at`; a line without one is hashed as it stands.
pub(crate) fn leaf_at(line: &[u8], at: Option<Range<usize>>, payload: Digest) -> Digest {
    let mut hasher = Sha256::new_with_prefix(LEAF);
    let mut rest = line;
    if let Some(at) = at {
        hasher.update(&line[..at.start]);
        hasher.update(b"\"");
        hasher.update(payload.hex());
        hasher.update(b"\"");
        rest = &line[at.end..];
    }
    Digest(hasher.chain_update(rest).finalize().into())
}

/// Appends to `out` what the leaf of a line is the hash of, whose payload stands at `at`, with zeros in the place of the 64
/// digits of the payload's hash, and gives where in `out` these stand.
pub(crate) fn leaf_input(line: &[u8], at: Option<Range<usize>>, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&LEAF);
    let Some(at) = at else {
        out.extend_from_slice(line);
        return out.len();
    };
    out.extend_from_slice(&line[..at.start]);
    let digits = out.len() + 1;
    out.extend_from_slice(&DIGITS_TO_COME);
    out.extend_from_slice(&line[at.end..]);
    digits
}

/// Whether the event id is derived from the line's content, in either way (section 3).
pub(crate) fn id_is_of_content(line: &Line<'_>) -> bool {
    let stated = line.text(Field::EventId);
    let Some(stated) = stated.and_then(|id| id.parse::<EventId>().ok()) else {
        return false;
    };
    let mut preimage = Vec::new();
    line.id_preimage(&mut preimage);
    if EventId::from_digest(Digest::of(&preimage)) == stated {
        return true;
    }
    line.legacy_id_preimage(&mut preimage);
    EventId::from_digest(Digest::of(&preimage)) == stated
}

/// What a tombstone says, which stands in the place of a payload (section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The SHA-256 of the payload that it replaced.
    pub original: Digest,
    /// The redaction event that it names, if that is an event id.
    pub redaction: Option<EventId>,
}

/// The members of a tombstone, in their canonical order.
const TOMBSTONE: [&str; 4] = [
    "original_payload_hash",
    "redacted",
    "redaction_event_id",
    "redaction_reason",
];

/// The tombstone in the place of a line's payload, if there is one.
#[must_use]
pub fn tombstone(line: &Line<'_>) -> Option<Tombstone> {
    let raw = line.raw(Field::Payload)?;
    // Nearly every line ends here: the members of a canonical tombstone stand in this order.
    if !raw.starts_with(b"{\"original_payload_hash\":") {
        return None;
    }
    let payload = json::parse(raw).ok()?;
    tombstone_in(&payload)
}

/// The tombstone that a payload is, if it is one.
#[must_use]
pub fn tombstone_in(payload: &json::Value<'_>) -> Option<Tombstone> {
    let members = payload.as_object()?;
    let mut names: Vec<_> = members.iter().map(|(key, _)| &**key).collect();
    names.sort_unstable();
    if names != TOMBSTONE || payload.get("redacted")?.as_bool() != Some(true) {
        return None;
    }
    Some(Tombstone {
        original: payload
            .get("original_payload_hash")?
            .as_str()?
            .parse()
            .ok()?,
        redaction: payload.get("redaction_event_id")?.as_str()?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;
    use crate::scan::scan_line;

    const VECTORS: &[u8] = include_bytes!("../../../tests/vectors/event_tree.json");

    fn texts<'a>(vectors: &'a Value<'_>, name: &str) -> Vec<&'a str> {
        let list = vectors.get(name).unwrap().as_array().unwrap();
        list.iter().map(|it| it.as_str().unwrap()).collect()
    }

    #[test]
    fn the_published_lines_have_their_leaves_and_roots() {
        let vectors = json::parse(VECTORS).unwrap();
        let lines = texts(&vectors, "lines");
        let mut tree = EventTree::new();
        for (index, line) in lines.iter().enumerate() {
            let leaf = leaf(&scan_line(line.as_bytes()).unwrap());
            assert_eq!(leaf.to_string(), texts(&vectors, "leaves")[index]);
            let preimage = texts(&vectors, "preimages")[index];
            assert_eq!(leaf, Digest::of(&[&LEAF, preimage.as_bytes()].concat()));
            tree.push(leaf);
            assert_eq!(tree.root().to_string(), texts(&vectors, "roots")[index]);
            assert_eq!(EventTree::from_bytes(&tree.to_bytes()), Some(tree.clone()));
        }
        assert_eq!(tree.size(), lines.len() as u64);
        // A redaction leaves the leaf as it was.
        let before = vectors.get("line_2_before").unwrap().as_str().unwrap();
        let before = leaf(&scan_line(before.as_bytes()).unwrap());
        assert_eq!(before.to_string(), texts(&vectors, "leaves")[2]);
        let bare = vectors.get("bare").unwrap();
        let line = bare.get("line").unwrap().as_str().unwrap();
        let stated = bare.get("leaf").unwrap().as_str().unwrap();
        assert_eq!(leaf_of(line), stated);
    }

    fn leaf_of(line: &str) -> String {
        leaf(&scan_line(line.as_bytes()).unwrap()).to_string()
    }

    /// The eight entries and the roots of the certificate transparency reference implementation
    /// (`merkle_tree_test.cc`), which RFC 6962 and RFC 9162 describe.
    #[test]
    fn the_trees_of_certificate_transparency() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = EventTree::new();
        assert_eq!(tree.root(), Digest::of(b""));
        for (entry, root) in entries.iter().zip(roots) {
            tree.push(Digest::of(&[&LEAF, *entry].concat()));
            assert_eq!(tree.root().to_string(), root);
        }
    }

    #[test]
    fn leaves_added_together_or_one_by_one_make_one_tree() {
        let leaves: Vec<Digest> = (0..70u8).map(|n| Digest([n; 32])).collect();
        let mut grown = vec![EventTree::new()];
        for leaf in &leaves {
            let mut next = grown[grown.len() - 1].clone();
            next.push(*leaf);
            grown.push(next);
        }
        for from in 0..=leaves.len() {
            for to in from..=leaves.len() {
                let mut tree = grown[from].clone();
                tree.extend(&leaves[from..to], Digest::of_each);
                assert_eq!(tree, grown[to], "{from} and then up to {to}");
            }
        }
    }

    #[test]
    fn what_a_leaf_is_the_hash_of() {
        let line = br#"{"payload":{"n":1},"type":"OBSERVATION"}"#;
        let payload = Digest([0xab; 32]);
        for at in [Some(11..18), None] {
            let mut input = b"before".to_vec();
            let digits = leaf_input(line, at.clone(), &mut input);
            if at.is_some() {
                input[digits..digits + 64].copy_from_slice(&payload.hex());
            }
            assert_eq!(Digest::of(&input[6..]), leaf_at(line, at, payload));
        }
    }

    #[test]
    fn bytes_that_are_no_tree() {
        let mut tree = EventTree::new();
        (0..5u8).for_each(|n| tree.push(Digest([n; 32])));
        let bytes = tree.to_bytes();
        assert_eq!(EventTree::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(EventTree::from_bytes(&bytes[1..]), None);
        assert_eq!(EventTree::from_bytes(b""), None);
    }
}
