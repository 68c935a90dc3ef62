//! The index that proofs are made from: the same proofs as from the log, and otherwise as good as none.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use crate::common::{Fixture, note, publish_head, remembering, request, rotation, verified_log};
use provara_core::id::EventId;
use provara_core::keys::{Keyfile, SigningKey};
use provara_vault::{
    AppendRequest, Chosen, EventProof, ProofRefusal, RedactOptions, SignedHead, SourceLog, Vault,
    VaultError, VerifyOptions,
};

struct Indexed {
    fixture: Fixture,
    vault: Vault,
    ids: Vec<EventId>,
}

impl Indexed {
    fn new() -> Self {
        Self::of(Fixture::new())
    }

    fn of(fixture: Fixture) -> Self {
        let cache = fixture.outside().join("cache");
        let vault = remembering(&fixture).with_cache_directory(Some(cache));
        Self {
            fixture,
            vault,
            ids: Vec::new(),
        }
    }

    fn append(&mut self, count: usize) {
        for _ in 0..count {
            let text = format!("number {}", self.ids.len());
            let receipt = self.vault.append(&note("a", &text), &self.fixture.keyfile);
            self.ids.push(receipt.unwrap().event_id);
        }
    }

    fn head(&self) -> SignedHead {
        self.head_by(&self.fixture.keyfile)
    }

    fn head_by(&self, keys: &Keyfile) -> SignedHead {
        publish_head(&self.vault, keys)
    }

    fn log(&self) -> SourceLog {
        verified_log(&self.vault)
    }

    /// As whoever has no index does it; leaves one.
    fn slowly(&self, head: &SignedHead, chosen: &Chosen) -> Result<EventProof, VaultError> {
        let proving = self.vault.proving();
        proving.by_log(&self.log(), head, chosen)
    }

    fn by_index(&self, head: &SignedHead, chosen: &Chosen) -> Option<EventProof> {
        self.vault.proving().by_index(head, chosen)
    }

    fn file(&self) -> PathBuf {
        let directory = self.fixture.outside().join("cache");
        let files = fs::read_dir(directory).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|kind| kind == "proofs"));
        file.expect("an index")
    }

    /// Every event by its id, and every line.
    fn all(&self, size: u64) -> Vec<Chosen> {
        let ids = self.ids.iter().map(|id| Chosen::Events(vec![*id]));
        ids.chain((1..=size).map(|line| Chosen::Lines(line, line)))
            .collect()
    }
}

#[test]
fn the_index_proves_what_the_log_proves_in_vaults_of_2_to_130_events() {
    let mut indexed = Indexed::new();
    let mut older: Vec<SignedHead> = Vec::new();
    // A vault begins with two; subtrees of 64 are kept. Each event of all these sizes takes a minute.
    for size in 2_u64..=130 {
        let is_near = size <= 20 || size % 64 <= 1 || size % 64 == 63 || size == 130;
        if !is_near {
            indexed.append(1);
            continue;
        }
        let head = indexed.head();
        assert_eq!(head.head().size, size);
        let founding = Chosen::Lines(1, 1);
        assert_eq!(indexed.by_index(&head, &founding), None, "none yet");
        indexed.slowly(&head, &founding).unwrap();
        let log = indexed.log();
        let mut all = indexed.all(size);
        let ranges = [
            (1, size),
            (size / 2 + 1, size),
            (1, size.div_ceil(3)),
            (2, size),
        ];
        all.extend(ranges.map(|(from, to)| Chosen::Lines(from, to)));
        all.push(Chosen::Events(
            indexed.ids.iter().rev().step_by(7).copied().collect(),
        ));
        for chosen in &all {
            let proof = indexed.by_index(&head, chosen).expect("from the index");
            let same = indexed.vault.prove(&log, &head, chosen).unwrap();
            assert_eq!(proof.to_json(), same.to_json(), "{size}: {chosen:?}");
            proof.check().unwrap();
        }
        // For a head over fewer events.
        for head in older.iter().step_by(9) {
            let lines = Chosen::Lines(1, head.head().size);
            let same = indexed.vault.prove(&log, head, &lines).unwrap();
            assert_eq!(indexed.by_index(head, &lines), Some(same));
            let beyond = indexed.ids.last().map(|id| Chosen::Events(vec![*id]));
            assert_eq!(indexed.by_index(head, &beyond.unwrap()), None);
        }
        older.push(head);
        indexed.append(1);
    }
}

#[test]
fn what_is_not_there_is_left_to_the_log() {
    let mut indexed = Indexed::new();
    indexed.append(5);
    let head = indexed.head();
    indexed.slowly(&head, &Chosen::Lines(1, 1)).unwrap();
    assert!(indexed.by_index(&head, &Chosen::Lines(7, 7)).is_some());
    for chosen in [
        Chosen::Lines(0, 1),
        Chosen::Lines(3, 2),
        Chosen::Lines(7, 8),
        Chosen::Events(vec![EventId([7; 12])]),
    ] {
        assert_eq!(indexed.by_index(&head, &chosen), None);
        let refused = indexed.slowly(&head, &chosen).unwrap_err();
        assert!(matches!(
            refused,
            VaultError::Proof(ProofRefusal::Lines { .. } | ProofRefusal::NoSuchEvent { .. })
        ));
    }
    let another = Indexed::new();
    let stranger = another.head();
    assert_eq!(indexed.by_index(&stranger, &Chosen::Lines(1, 1)), None);
}

#[test]
fn the_key_events_and_the_trust_boundary_are_in_every_proof() {
    let mut indexed = Indexed::of(Fixture::with_quorum());
    indexed.append(70);
    let before = indexed.head();
    let (root, quorum) = indexed.fixture.root_and_quorum();
    let new = SigningKey::from_seed(&[7; 32]);
    let boundary = indexed.ids[69];
    let revocation = format!(
        r#"{{"revoked_key_id":"{root}","reason":"lost","trust_boundary_event_id":"{boundary}","revoked_at_utc":"2026-01-01T00:00:00Z"}}"#
    );
    let [_, promotion] = rotation(root, &new, quorum);
    let revocation = AppendRequest {
        key_id: Some(quorum),
        ..request("KEY_REVOCATION", "authority", &revocation)
    };
    for request in [revocation, promotion] {
        let appended = indexed.vault.append(&request, &indexed.fixture.keyfile);
        appended.unwrap();
    }
    let keys = Keyfile::new(vec![new]);
    for text in ["after", "later"] {
        indexed.vault.append(&note("c", text), &keys).unwrap();
    }
    let after = indexed.head_by(&keys);
    indexed.slowly(&after, &Chosen::Lines(2, 2)).unwrap();
    let log = indexed.log();
    let last = before.head().size - 1;
    for (head, always) in [
        (&before, vec![last]),
        (&after, vec![last, last + 1, last + 2]),
    ] {
        for line in 1..=head.head().size {
            let lines = Chosen::Lines(line, line);
            let same = indexed.vault.prove(&log, head, &lines).unwrap();
            let shown: Vec<_> = same.events.iter().map(|event| event.at).collect();
            assert!(always.iter().all(|at| shown.contains(at)), "{shown:?}");
            assert_eq!(indexed.by_index(head, &lines), Some(same));
        }
    }
}

#[test]
fn a_damaged_index_makes_the_same_proof_or_none() {
    let mut indexed = Indexed::new();
    indexed.append(140);
    let head = indexed.head();
    indexed.slowly(&head, &Chosen::Lines(1, 1)).unwrap();
    let log = indexed.log();
    let chosen = [3, 70, 139].map(|at: usize| Chosen::Events(vec![indexed.ids[at]]));
    let right = chosen
        .each_ref()
        .map(|it| indexed.vault.prove(&log, &head, it).unwrap());
    let file = indexed.file();
    let whole = fs::read(&file).unwrap();
    let missed = Cell::new(0);
    let check = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        for (chosen, right) in chosen.iter().zip(&right) {
            match indexed.by_index(&head, chosen) {
                Some(proof) => assert_eq!(proof, *right),
                None => missed.set(missed.get() + 1),
            }
        }
    };
    for length in 0..whole.len() {
        check(&whole[..length]);
    }
    check(&[&whole[..], b"more"].concat());
    let cut = missed.get();
    assert_eq!(cut, 3 * (whole.len() + 1), "nothing of a cut one counts");
    for at in (0..400).chain((400..whole.len()).step_by(3)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        check(&flipped);
    }
    assert!(missed.get() > cut);
    // The slow way puts it right.
    indexed.slowly(&head, &chosen[0]).unwrap();
    assert_eq!(fs::read(&file).unwrap(), whole);
    assert_eq!(
        indexed.by_index(&head, &chosen[0]).as_ref(),
        Some(&right[0])
    );
}

#[test]
fn an_index_of_another_state_or_another_vault_is_none() {
    let mut indexed = Indexed::new();
    indexed.append(3);
    let head = indexed.head();
    let line = Chosen::Lines(2, 2);
    let fits = |indexed: &Indexed| indexed.by_index(&head, &line).is_some();
    let renew = |indexed: &Indexed| {
        indexed.slowly(&head, &line).unwrap();
        assert!(fits(indexed));
    };
    renew(&indexed);
    let old = fs::read(indexed.file()).unwrap();

    // The log went on.
    indexed.append(1);
    assert!(!fits(&indexed));
    renew(&indexed);
    fs::write(indexed.file(), &old).unwrap();
    assert!(!fits(&indexed));

    // It was redacted: another line, the same leaf.
    renew(&indexed);
    let redacted = indexed.vault.redact(
        indexed.ids[1],
        &indexed.fixture.keyfile,
        &RedactOptions {
            reason: "a test".to_owned(),
            ..RedactOptions::default()
        },
    );
    redacted.unwrap();
    assert!(!fits(&indexed));
    renew(&indexed);

    // The same bytes in another file; one byte changed in place.
    let path = indexed.fixture.vault.log_path();
    let log = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &log).unwrap();
    assert!(!fits(&indexed));
    renew(&indexed);
    let mut changed = log.clone();
    let at = changed.windows(8).position(|it| it == b"number 0").unwrap();
    changed[at + 7] = b'9';
    fs::write(&path, &changed).unwrap();
    assert!(!fits(&indexed));
    let examined = indexed.vault.examine(&VerifyOptions::default()).unwrap();
    assert!(!examined.report().is_valid());
    fs::write(&path, &log).unwrap();
    renew(&indexed);

    // Another file of the vault.
    let keys = indexed.fixture.file("identity/keys.json");
    let text = fs::read(&keys).unwrap();
    fs::write(&keys, [&text[..], b" "].concat()).unwrap();
    assert!(!fits(&indexed));
    fs::write(&keys, text).unwrap();

    // Another vault's, at this one's place in the cache.
    renew(&indexed);
    let mut another = Indexed::new();
    another.append(4);
    another.slowly(&another.head(), &line).unwrap();
    fs::copy(another.file(), indexed.file()).unwrap();
    assert!(!fits(&indexed));
}

#[test]
fn no_index_is_left_of_a_log_that_was_not_verified_or_was_changed_meanwhile() {
    let mut indexed = Indexed::new();
    indexed.append(3);
    let head = indexed.head();
    let line = Chosen::Lines(2, 2);
    let proving = indexed.vault.proving();
    let unverified = indexed.vault.snapshot().unwrap().unverified();
    proving.by_log(&unverified, &head, &line).unwrap();
    assert_eq!(indexed.by_index(&head, &line), None);

    let vault = indexed.vault.clone();
    let proving = vault.proving();
    let log = indexed.log();
    indexed.append(1);
    proving.by_log(&log, &head, &line).unwrap();
    assert_eq!(indexed.by_index(&head, &line), None);
}

#[test]
fn without_a_cache_directory_that_is_the_users_own_there_is_no_index() {
    let mut indexed = Indexed::new();
    indexed.append(3);
    let head = indexed.head();
    let line = Chosen::Lines(2, 2);
    indexed.slowly(&head, &line).unwrap();
    let file = indexed.file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(indexed.by_index(&head, &line), None);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(indexed.by_index(&head, &line).is_some());

    let directory = indexed.fixture.outside().join("file");
    fs::write(&directory, "no directory").unwrap();
    for nowhere in [None, Some(directory.join("cache"))] {
        indexed.vault = indexed.vault.clone().with_cache_directory(nowhere);
        indexed.slowly(&head, &line).unwrap();
        assert_eq!(indexed.by_index(&head, &line), None);
    }
}

#[test]
fn many_make_it_at_once() {
    let mut indexed = Indexed::new();
    indexed.append(70);
    let head = indexed.head();
    let right = indexed.slowly(&head, &Chosen::Lines(9, 11)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    indexed.slowly(&head, &Chosen::Lines(9, 11)).unwrap();
                    let proof = indexed.by_index(&head, &Chosen::Lines(9, 11));
                    assert_eq!(proof.as_ref(), Some(&right));
                }
            });
        }
    });
}
