//! Tree heads and proofs, read and checked by libraries that others wrote: `signed_note` and `tlog_tiles` for the
//! formats of C2SP, `tlog_tiles` and `ct-merkle` for the proofs of RFC 9162.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use provara_core::id::Digest;
use provara_core::json;
use provara_core::keys::PublicKey;
use provara_core::scan::scan_line;
use provara_core::signed_note::{ED25519, key_hash};
use provara_core::tree::leaf;
use provara_core::tree::proof::{consistency, inclusion, root_over};
use provara_vault::{InitOptions, SignedHead, SourceLog, Vault};
use sha2::Sha256;
use signed_note::{Note, NoteError, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_record, check_tree, record_hash};

use crate::common::{Fixture, note, publish_head, remembering, verified_log};

/// The largest tree whose every leaf and every beginning is proven: beyond 64, so with seven subtrees.
const LARGEST: u64 = 70;

/// What a key of a note is called in a list of verifiers: name, hash and key, between plus signs.
fn verifier_key(name: &str, key: &PublicKey) -> String {
    let hash = key_hash(name, ED25519, key.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = STANDARD.encode([&[ED25519], &key.as_bytes()[..]].concat());
    format!("{name}+{hash}+{key}")
}

fn verifiers(name: &str, key: &PublicKey) -> VerifierList {
    let verifier = StandardVerifier::new(&verifier_key(name, key)).unwrap();
    VerifierList::new(vec![Box::new(verifier)])
}

struct Publishing {
    fixture: Fixture,
    vault: Vault,
}

impl Publishing {
    fn with(options: &InitOptions) -> Self {
        let fixture = Fixture::with(options);
        let vault = remembering(&fixture);
        Self { fixture, vault }
    }

    fn append(&self, text: &str) {
        let event = note("a", text);
        self.vault.append(&event, &self.fixture.keyfile).unwrap();
    }

    fn head(&self) -> SignedHead {
        publish_head(&self.vault, &self.fixture.keyfile)
    }

    fn key(&self) -> PublicKey {
        self.fixture.keyfile.keys()[0].public()
    }

    fn log(&self) -> SourceLog {
        verified_log(&self.vault)
    }
}

#[test]
fn signed_note_and_tlog_tiles_read_a_tree_head() {
    for uid in ["lab-7", "a b+c", "Прова%2F/ра"] {
        let publishing = Publishing::with(&InitOptions {
            uid: Some(uid.to_owned()),
            ..InitOptions::default()
        });
        publishing.append("one");
        let head = publishing.head();
        let (text, name) = (head.to_string(), head.head().origin.to_string());
        let read = Note::from_bytes(text.as_bytes()).unwrap();
        let (verified, unknown) = read.verify(&verifiers(&name, &publishing.key())).unwrap();
        assert_eq!((verified.len(), unknown.len()), (1, 0));
        assert_eq!(verified[0].name(), name);
        assert_eq!(read.to_bytes(), text.as_bytes());
        let checkpoint = Checkpoint::from_bytes(read.text()).unwrap();
        assert_eq!(checkpoint.origin(), name);
        assert_eq!(checkpoint.size(), head.head().size);
        assert_eq!(checkpoint.hash().0, head.head().root.0);
        assert_eq!(checkpoint.extension(), "");
    }
}

#[test]
fn signed_note_refuses_what_was_changed_and_keeps_what_it_does_not_know() {
    let publishing = Publishing::with(&InitOptions::default());
    publishing.append("one");
    let head = publishing.head();
    let (text, name) = (head.to_string(), head.head().origin.to_string());
    let ours = verifiers(&name, &publishing.key());
    let size = format!("\n{}\n", head.head().size);
    let changed = text.replacen(&size, "\n9\n", 1);
    assert_ne!(changed, text);
    let read = Note::from_bytes(changed.as_bytes()).unwrap();
    assert!(matches!(
        read.verify(&ours),
        Err(NoteError::InvalidSignature { .. })
    ));
    let other = Fixture::new().keyfile.keys()[0].public();
    let read = Note::from_bytes(text.as_bytes()).unwrap();
    assert!(matches!(
        read.verify(&verifiers(&name, &other)),
        Err(NoteError::UnverifiedNote)
    ));
    // A witness whose algorithm neither knows: both keep the signature, for neither it counts.
    let unknown = STANDARD.encode([&[1, 2, 3, 4][..], &[7; 2420]].concat());
    let witnessed = format!("{text}\u{2014} witness.example/w1 {unknown}\n");
    let read = Note::from_bytes(witnessed.as_bytes()).unwrap();
    let (verified, unverified) = read.verify(&ours).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1));
    let own = SignedHead::parse(witnessed.as_bytes()).unwrap();
    assert_eq!(own.note().signatures().len(), 2);
    assert_eq!(read.to_bytes(), own.to_string().as_bytes());
}

/// The leaves of trees, as what is hashed to them and as digests.
fn leaves(count: u64) -> (Vec<Vec<u8>>, Vec<Digest>) {
    let entries: Vec<_> = (0..count)
        .map(|at| format!("entry {at}").into_bytes())
        .collect();
    let digest = |entry: &Vec<u8>| Digest::of(&[&[0], &entry[..]].concat());
    let digests = entries.iter().map(digest).collect();
    (entries, digests)
}

fn hashes(digests: &[Digest]) -> Vec<Hash> {
    digests.iter().map(|digest| Hash(digest.0)).collect()
}

fn bytes(digests: &[Digest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}

fn root_hash(leaves: &[Digest]) -> RootHash<Sha256> {
    RootHash::new(root_over(leaves).0.into(), leaves.len() as u64)
}

#[test]
fn tlog_tiles_and_ct_merkle_check_every_inclusion() {
    let (entries, all) = leaves(LARGEST);
    for size in 1..=LARGEST {
        let leaves = &all[..size as usize];
        let root = root_over(leaves);
        for at in 0..size {
            let entry = &entries[at as usize];
            let proof = inclusion(leaves, at, size);
            let (tree, record) = (Hash(root.0), record_hash(entry));
            check_record(&hashes(&proof), size, tree, at, record)
                .unwrap_or_else(|error| panic!("{at} of {size}: {error}"));
            let theirs = InclusionProof::try_from_bytes(bytes(&proof)).unwrap();
            root_hash(leaves)
                .verify_inclusion(entry, at, &theirs)
                .unwrap_or_else(|error| panic!("{at} of {size}: {error}"));
            // Neither takes it for another entry.
            let other = b"another entry".to_vec();
            let record = record_hash(&other);
            assert!(check_record(&hashes(&proof), size, tree, at, record).is_err());
            let verified = root_hash(leaves).verify_inclusion(&other, at, &theirs);
            assert!(verified.is_err(), "{at} of {size}");
        }
    }
}

#[test]
fn tlog_tiles_and_ct_merkle_check_every_consistency() {
    let (_, all) = leaves(LARGEST);
    for size in 1..=LARGEST {
        let leaves = &all[..size as usize];
        let root = root_over(leaves);
        for old in 1..=size {
            let older = &all[..old as usize];
            let proof = consistency(leaves, old, size);
            let (tree, first) = (Hash(root.0), Hash(root_over(older).0));
            check_tree(&hashes(&proof), size, tree, old, first)
                .unwrap_or_else(|error| panic!("{old} of {size}: {error}"));
            let theirs = ConsistencyProof::try_from_bytes(bytes(&proof)).unwrap();
            root_hash(leaves)
                .verify_consistency(&root_hash(older), &theirs)
                .unwrap_or_else(|error| panic!("{old} of {size}: {error}"));
            // Neither takes it for another beginning.
            let mut other = older.to_vec();
            other[0] = Digest::of(b"another entry");
            let first = Hash(root_over(&other).0);
            assert!(check_tree(&hashes(&proof), size, tree, old, first).is_err());
            let verified = root_hash(leaves).verify_consistency(&root_hash(&other), &theirs);
            assert!(verified.is_err(), "{old} of {size}");
        }
    }
}

/// What `provara prove --from` writes leads a stranger's checker from one signed head to the next.
#[test]
fn tlog_tiles_follows_a_vault_from_head_to_head() {
    let publishing = Publishing::with(&InitOptions::default());
    let mut heads = vec![publishing.head()];
    for number in 0..12 {
        publishing.append(&format!("{number}"));
        heads.push(publishing.head());
    }
    let log = publishing.log();
    // The events as they stand in the log give the same tree.
    let digests: Vec<_> = publishing
        .fixture
        .log()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| leaf(&scan_line(line).unwrap()))
        .collect();
    for head in &heads {
        let size = head.head().size as usize;
        assert_eq!(root_over(&digests[..size]), head.head().root);
    }
    let pairs = heads.iter().enumerate();
    let pairs = pairs.flat_map(|(at, old)| heads[at..].iter().map(move |new| (old, new)));
    for (old, new) in pairs {
        let proof = publishing.vault.prove_consistency(&log, old, new).unwrap();
        let document = proof.to_json();
        let document = json::parse(&document).unwrap();
        let texts = document.get("proof").unwrap().as_array().unwrap();
        let proof: Vec<_> = texts
            .iter()
            .map(|text| Hash::parse_hash(text.as_str().unwrap()).unwrap())
            .collect();
        let checkpoint = |head: &SignedHead| {
            let note = Note::from_bytes(head.to_string().as_bytes()).unwrap();
            Checkpoint::from_bytes(note.text()).unwrap()
        };
        let (old, new) = (checkpoint(old), checkpoint(new));
        check_tree(&proof, new.size(), *new.hash(), old.size(), *old.hash()).unwrap();
    }
}
