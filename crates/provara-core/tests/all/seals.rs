//! Seals of marked vaults: which of them vouch for the vault, and what may lag
//! (spec/VAULT_FORMAT, sections 5 and 8).

use std::collections::BTreeMap;

use crate::support::log_forge::{Log, id, key, set};
use provara_core::finding::Code;
use provara_core::id::Digest;
use provara_core::keys::{KeyRegistry, PublicKey};
use provara_core::layout::{KEYS, LOG};
use provara_core::manifest::{FileEntry, sign_root, write_manifest, write_merkle_root};
use provara_core::mark::{FILES_TYPE, KEY_ADDED_TYPE, SealName};
use provara_core::time::Timestamp;
use provara_core::verify::LogVerdict;
use provara_core::verify::files::{DiskEntry, SealFiles};
use provara_core::verify::seal::{
    KeysOf, SealCase, SealJudgement, SealStanding, files_beside_log, judge,
};

const LOGIN: &str = "com.acme.audit.login";

/// A marked vault in memory: its log, the other files, and its seal.
struct Vault {
    log: Log,
    files: BTreeMap<String, Vec<u8>>,
    seal: [Vec<u8>; 3],
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000 + second * 1_000_000).unwrap()
}

impl Vault {
    fn new() -> Self {
        let mut log = Log::marked(&[1, 2]);
        log.add("alice", 2, LOGIN, r#"{"n":1}"#);
        let files = [("artifacts/a", "a"), ("identity/genesis.json", "{}")];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let mut vault = Self {
            log,
            files: files.into(),
            seal: Default::default(),
        };
        vault.seal(1);
        vault
    }

    fn verdict(&self) -> LogVerdict {
        self.log.whole_verdict()
    }

    fn entries(&self) -> Vec<FileEntry> {
        let entry = |(path, text): (&String, &Vec<u8>)| FileEntry {
            path: path.clone(),
            sha256: Digest::of(text),
            size: text.len() as u64,
        };
        self.files.iter().map(entry).collect()
    }

    /// Brings `keys.json` up to date and seals everything with a key.
    fn seal(&mut self, seed: u8) {
        let history = self.verdict().history.unwrap();
        self.files.insert(KEYS.into(), history.text_after(u64::MAX));
        self.files.insert(LOG.into(), self.log.lines.concat());
        let now = time(self.log.lines.len() as i64);
        let (manifest, root) = write_manifest(self.entries(), now);
        self.seal = [
            manifest,
            sign_root(root, &key(seed), now),
            write_merkle_root(root),
        ];
    }

    /// Appends an event that names the seal of now, without a new seal.
    fn append(&mut self, actor: &str, seed: u8, event_type: &str, payload: &str) {
        let name = SealName::of(self.root()).to_string();
        self.log.add(actor, seed, event_type, payload);
        let at = self.log.lines.len() - 1;
        self.log
            .edit_signed(at, seed, |members| set(members, "seal", name.into()));
    }

    /// Adds an event as a batch does: bound to the line before it.
    fn follow(&mut self, actor: &str, seed: u8) {
        let before = *self.log.ids.last().unwrap();
        let heads = &self.log.heads;
        let follows = heads
            .iter()
            .any(|(name, head, _)| name == actor && *head == before);
        self.log.add(actor, seed, LOGIN, "{}");
        if !follows {
            let at = self.log.lines.len() - 1;
            let before = before.to_string();
            self.log
                .edit_signed(at, seed, |members| set(members, "after", before.into()));
        }
    }

    fn root(&self) -> Digest {
        let text = std::str::from_utf8(&self.seal[2]).unwrap();
        text.trim_end().parse().unwrap()
    }

    fn judged(&self) -> (SealStanding, Vec<Code>) {
        let judgement = self.judgement(None);
        let codes = judgement.findings.iter().map(|finding| finding.code);
        (judgement.standing, codes.collect())
    }

    /// What is said with this code, where `keys.json` lists what it says.
    #[track_caller]
    fn said(&self, code: Code) -> String {
        let listed = KeyRegistry::parse(&self.files[KEYS]).unwrap();
        let findings = self.judgement(Some(&listed)).findings;
        let found = findings.into_iter().find(|finding| finding.code == code);
        found.unwrap().message
    }

    fn judgement(&self, listed: Option<&KeyRegistry>) -> SealJudgement {
        let log = self.log.lines.concat();
        let verdict = self.verdict();
        let mut disk: BTreeMap<String, DiskEntry> = self
            .files
            .iter()
            .map(|(path, text)| {
                let file = DiskEntry::File {
                    size: text.len() as u64,
                    sha256: Digest::of(text),
                };
                (path.clone(), file)
            })
            .collect();
        let standing = DiskEntry::File {
            size: log.len() as u64,
            sha256: Digest::of(&log),
        };
        disk.insert(LOG.into(), standing);
        let present = |at: usize| Some(self.seal[at].as_slice()).filter(|text| !text.is_empty());
        judge(&SealCase {
            log: &log,
            events: self.log.lines.len() as u64,
            seal: SealFiles {
                manifest: present(0),
                signature: present(1),
                merkle_root: present(2),
            },
            disk: &disk,
            keys: KeysOf::History(verdict.history.as_ref().unwrap()),
            listed,
            files: &verdict.files,
            verdict: Some(&verdict),
            threads: 1,
        })
    }
}

fn continued(vault: &Vault, events: u64) -> SealStanding {
    let length = vault.log.lines[..events as usize].concat().len() as u64;
    SealStanding::Continued { events, length }
}

#[test]
fn a_seal_is_current_continued_or_neither() {
    let mut vault = Vault::new();
    assert_eq!(vault.judged(), (SealStanding::Current, vec![]));
    vault.append("alice", 2, LOGIN, "{}");
    vault.follow("bob", 1);
    assert_eq!(vault.judged(), (continued(&vault, 2), vec![Code::W001]));
    let old = vault.seal.clone();
    vault.seal(1);
    assert_eq!(vault.judged(), (SealStanding::Current, vec![]));

    // A line of the middle is gone: whatever is listed, no seal is of that.
    let whole = vault.log.lines.clone();
    vault.log.lines.remove(2);
    let sealed = vault.seal.clone();
    let mallory = |vault: &mut Vault| {
        vault.seal(1);
        vault.seal[1] = sealed[1].clone();
    };
    mallory(&mut vault);
    assert_eq!(vault.judged(), (SealStanding::Other, vec![Code::E015]));
    vault.seal[1].clear();
    assert_eq!(vault.judged(), (SealStanding::Absent, vec![Code::E014]));

    // An earlier seal does not vouch for what follows a later one.
    vault.log.lines = whole;
    vault.append("carol", 2, LOGIN, "{}");
    vault.seal(1);
    vault.seal[1] = old[1].clone();
    let (standing, codes) = vault.judged();
    assert_eq!((standing, codes[0]), (SealStanding::Other, Code::E015));
}

#[test]
fn nothing_is_cut_out_of_what_one_batch_put_beyond_a_seal() {
    let mut vault = Vault::new();
    vault.append("carol", 2, LOGIN, "{}");
    for actor in ["dora", "dora", "alice"] {
        vault.follow(actor, 2);
    }
    assert_eq!(vault.judged(), (continued(&vault, 2), vec![Code::W001]));
    let whole = vault.log.lines.clone();
    // From the end lines may be missing, as a crash leaves it.
    for end in 3..=whole.len() {
        vault.log.lines = whole[..end].to_vec();
        assert_eq!(vault.judged().0, continued(&vault, 2), "{end}");
    }
    // Dora's second event, all that is dora's, carol's, or the order.
    for kept in [
        &[0, 1, 2, 3, 5][..],
        &[0, 1, 2, 5],
        &[0, 1, 3, 4, 5],
        &[0, 1, 2, 5, 3, 4],
    ] {
        vault.log.lines = kept.iter().map(|at| whole[*at].clone()).collect();
        assert!(
            vault
                .verdict()
                .findings
                .iter()
                .all(|it| it.code.is_warning())
        );
        let (standing, codes) = vault.judged();
        assert_eq!(
            (standing, codes[0]),
            (SealStanding::Other, Code::E015),
            "{kept:?}"
        );
    }
    // Two copies that grew from this seal: each has an event that follows it, and one of them cannot.
    vault.log.lines = whole.clone();
    vault.append("erin", 2, LOGIN, "{}");
    let (standing, codes) = vault.judged();
    assert_eq!((standing, codes[0]), (SealStanding::Other, Code::E015));
    // Where nothing binds a line to the one before it, that is told.
    vault.log = Log::marked(&[1, 2]);
    vault.log.add("alice", 2, LOGIN, r#"{"n":1}"#);
    vault.follow("carol", 2);
    assert_eq!(vault.log.lines.len(), 3);
    vault.seal(1);
    vault.log.add("erin", 2, LOGIN, "{}");
    assert_eq!(vault.judged().1, [Code::W014, Code::W001]);
}

#[test]
fn a_seal_is_signed_by_a_key_that_counts_where_it_stands() {
    let mut vault = Vault::new();
    vault.seal(7);
    let (standing, codes) = vault.judged();
    assert_eq!(
        (standing, codes[0]),
        (SealStanding::NotCounting, Code::E205)
    );

    vault.seal(2);
    let boundary = vault.log.ids[1].to_string();
    let revocation = format!(
        r#"{{"reason":"lost","revoked_at_utc":"2026-01-02T00:00:00Z","revoked_key_id":"{}","trust_boundary_event_id":"{boundary}"}}"#,
        id(2)
    );
    vault.append("genesis", 1, "KEY_REVOCATION", &revocation);
    let history = vault.verdict().history.unwrap();
    vault.log.registry = history.registry_after(3);
    assert_eq!(
        vault.judged(),
        (continued(&vault, 2), vec![Code::W001]),
        "it counted then"
    );
    // A thief of the key seals other files for the line before its revocation.
    let honest = (
        vault.seal.clone(),
        vault.log.lines.clone(),
        vault.files.clone(),
    );
    let revocation = vault.log.lines.pop().unwrap();
    vault.files.insert("artifacts/a".into(), b"b".to_vec());
    vault.seal(2);
    vault.log.lines.push(revocation);
    let (standing, codes) = vault.judged();
    assert_eq!((standing, codes[0]), (SealStanding::Other, Code::E015));
    vault
        .log
        .edit_signed(2, 1, |members| members.retain(|(name, _)| name != "seal"));
    let history = vault.verdict().history.unwrap();
    vault.log.registry = history.registry_after(3);
    let (standing, codes) = vault.judged();
    assert_eq!(
        (standing, codes[0]),
        (SealStanding::NotCounting, Code::W014)
    );
    assert!(codes.contains(&Code::E202));
    (vault.seal, vault.log.lines, vault.files) = honest;
    let history = vault.verdict().history.unwrap();
    vault.log.registry = history.registry_after(3);
    vault.seal(2);
    let (standing, codes) = vault.judged();
    assert_eq!(
        (standing, codes),
        (SealStanding::NotCounting, vec![Code::E202])
    );
    vault.seal(1);
    assert_eq!(vault.judged(), (SealStanding::Current, vec![]));
    vault.files.insert(KEYS.into(), history.text_after(2));
    let (_, codes) = vault.judged();
    assert_eq!(codes, [Code::W001], "keys.json of before the revocation");
    let mut text = history.text_after(3);
    text.push(b'\n');
    vault.files.insert(KEYS.into(), text);
    assert!(vault.judged().1.contains(&Code::E302), "another keys.json");
}

#[test]
fn what_lags_is_of_a_state_that_there_was() {
    let mut vault = Vault::new();
    let before = vault.seal.clone();
    vault.append("alice", 2, LOGIN, "{}");
    vault.seal(1);
    let after = vault.seal.clone();
    for subset in 0..8 {
        let pick = |at: usize| match subset >> at & 1 {
            0 => before[at].clone(),
            _ => after[at].clone(),
        };
        vault.seal = [pick(0), pick(1), pick(2)];
        let (standing, codes) = vault.judged();
        let expected = match subset >> 1 & 1 {
            0 => continued(&vault, 2),
            _ => SealStanding::Current,
        };
        assert_eq!(standing, expected, "{subset}");
        let clean = if subset == 7 {
            vec![]
        } else {
            vec![Code::W001]
        };
        assert_eq!(codes, clean, "{subset}");
    }
    vault.seal = after.clone();
    vault.seal[2] = write_merkle_root(Digest([5; 32]));
    assert_eq!(
        vault.judged().1,
        [Code::E008],
        "a root that was never sealed"
    );
    vault.seal = after.clone();
    let text = String::from_utf8(after[0].clone()).unwrap();
    let stated = time(3).to_string();
    assert!(text.contains(&stated));
    vault.seal[0] = text.replace(&stated, &time(4).to_string()).into_bytes();
    assert_eq!(vault.judged().1, [Code::E012], "another time");
    let older = stated.replace('Z', "+00:00");
    vault.seal[0] = text.replace(&stated, &older).into_bytes();
    assert_eq!(
        vault.judged().1,
        [Code::W001],
        "as the older tool's 'manifest' leaves it"
    );
    vault.seal = after.clone();
    vault.seal[1].push(b'\n');
    assert_eq!(vault.judged().1, [Code::E104], "another form");
    vault.seal = after;
    vault.files.insert("artifacts/a".into(), b"b".to_vec());
    assert_eq!(vault.judged().1, [Code::E012], "a file beside the log");
}

#[test]
fn a_lag_is_told_with_what_becomes_of_it() {
    let mut vault = Vault::new();
    vault.log = Log::marked(&[1, 2]);
    vault.seal(1);
    let first = vault.seal.clone();
    vault.append("alice", 2, LOGIN, "{}");
    assert_eq!(
        vault.said(Code::W001),
        "the seal covers the first event; 1 more follows, which verifies and which the next writer seals \
         (files of another state: manifest.json)"
    );
    vault.log.lines.push(b"{\"actor\":".to_vec());
    assert_eq!(
        vault.said(Code::W001),
        "the seal covers the first event; 1 more follows, which verifies and which the next writer seals; \
         the last line is torn, and the next writer moves it out of the log (files of another state: \
         manifest.json)"
    );
    // Nobody goes on from a log with a fault before its torn end.
    vault.log.edit_text(1, LOGIN, "com.acme.audit.logout");
    assert_eq!(
        vault.said(Code::W001),
        "the seal covers the first event; 1 more follows, which no seal covers; the last line is torn \
         (files of another state: manifest.json)"
    );
    vault.log = Log::marked(&[1, 2]);
    vault.append("alice", 2, LOGIN, "{}");
    vault.seal(1);
    vault.seal[2] = first[2].clone();
    assert_eq!(
        vault.said(Code::W001),
        "the seal is of the vault as it is, and files of another state stand beside it, which the next \
         writer renews: merkle_root.txt"
    );
    // Nor from a seal of which a file is missing; of those that are there, none is of another state.
    vault.seal[1] = first[1].clone();
    vault.seal[2].clear();
    assert_eq!(
        vault.said(Code::W001),
        "the seal covers the first event; 1 more follows, which no seal covers"
    );
}

#[test]
fn keys_json_is_told_apart_from_what_signed_events_say() {
    let mut vault = Vault::new();
    let public = key(4).public().to_base64();
    let payload = format!(
        r#"{{"added_at_utc":"2026-01-02T00:00:00Z","algorithm":"Ed25519","key_id":"{}","public_key_b64":"{public}","roles":["attestation"]}}"#,
        id(4)
    );
    vault.append("genesis", 1, KEY_ADDED_TYPE, &payload);
    let before = vault.files[KEYS].clone();
    vault.seal(1);
    assert_eq!(vault.judged(), (SealStanding::Current, vec![]));
    let after = vault.files.insert(KEYS.into(), before).unwrap();
    assert_eq!(vault.judged().1, [Code::W001], "the seal vouches for it");
    let signature = std::mem::take(&mut vault.seal[1]);
    assert_eq!(
        vault.said(Code::E302),
        format!(
            "it is as it was before the log's latest key events: it lacks the key {}, to which signed events \
             of the log lead",
            id(4)
        )
    );
    vault.seal[1] = signature;
    let foreign = String::from_utf8(after).unwrap();
    let foreign = foreign.replace(&public, &key(5).public().to_base64());
    let foreign = foreign.replace(&id(4).to_string(), &id(5).to_string());
    vault.files.insert(KEYS.into(), foreign.into_bytes());
    assert_eq!(
        vault.said(Code::E302),
        format!(
            "it lists the key {}, to which no signed event of the log leads; it lacks the key {}, to which signed \
             events of the log lead",
            id(5),
            id(4)
        )
    );
}

#[test]
fn files_that_the_log_states_are_those_that_are_sealed() {
    let mut vault = Vault::new();
    vault.files.insert("artifacts/b".into(), b"b".to_vec());
    let (count, root) = files_beside_log(vault.entries().iter());
    assert_eq!(count, 3);
    let stated = format!(r#"{{"file_count":{count},"files_root":"{root}"}}"#);
    vault.append("genesis", 1, FILES_TYPE, &stated);
    vault.seal(1);
    assert_eq!(vault.judged(), (SealStanding::Current, vec![]));
    vault.files.insert("artifacts/b".into(), b"c".to_vec());
    vault.seal(1);
    assert_eq!(vault.judged(), (SealStanding::Current, vec![Code::W015]));
}

#[test]
fn what_a_manifest_lists_of_no_earlier_state_is_no_lag() {
    let mut vault = Vault::new();
    vault.append("alice", 2, LOGIN, "{}");
    vault.seal(1);
    let seal = vault.seal.clone();
    let wrong = Digest([5; 32]);
    let first = vault.log.lines[0].len() as u64;
    let cases = [
        // The digest of other bytes, to a line end and to none.
        (LOG, Some(first), Code::E011),
        (LOG, Some(first + 1), Code::E011),
        (LOG, None, Code::E012),
        (KEYS, None, Code::E012),
    ];
    for (path, size, code) in cases {
        let mut entries = vault.entries();
        let entry = entries.iter_mut().find(|entry| entry.path == path).unwrap();
        entry.sha256 = wrong;
        entry.size = size.unwrap_or(entry.size);
        let now = time(vault.log.lines.len() as i64);
        vault.seal[0] = write_manifest(entries, now).0;
        let codes = vault.judged().1;
        assert!(codes.contains(&code), "{path} {size:?}: {codes:?}");
        vault.seal = seal.clone();
    }
    // A line end is not enough, nor are the bytes of what is no line.
    let mut entries = vault.entries();
    let entry = entries.iter_mut().find(|entry| entry.path == LOG).unwrap();
    let log = vault.log.lines.concat();
    (entry.size, entry.sha256) = (first + 1, Digest::of(&log[..first as usize + 1]));
    let now = time(vault.log.lines.len() as i64);
    vault.seal[0] = write_manifest(entries, now).0;
    assert!(vault.judged().1.contains(&Code::E011));
}

#[test]
fn without_a_mark_a_key_that_was_promoted_signs_a_seal_before_it_is_listed() {
    let vault = Vault::new();
    let log = vault.log.lines.concat();
    let listed = vault.files[KEYS].clone();
    let mut registry = KeyRegistry::parse(&listed).unwrap();
    registry.keys.retain(|entry| entry.key_id != id(1));
    let disk: BTreeMap<String, DiskEntry> = vault
        .files
        .iter()
        .map(|(path, text)| {
            let (size, sha256) = (text.len() as u64, Digest::of(text));
            (path.clone(), DiskEntry::File { size, sha256 })
        })
        .collect();
    let standing = |promoted: &[PublicKey]| {
        let judged = judge(&SealCase {
            log: &log,
            events: vault.log.lines.len() as u64,
            seal: SealFiles {
                manifest: Some(&vault.seal[0]),
                signature: Some(&vault.seal[1]),
                merkle_root: Some(&vault.seal[2]),
            },
            disk: &disk,
            keys: KeysOf::File {
                text: &listed,
                registry: &registry,
                promoted,
                revoked: &[],
                introduced: None,
            },
            listed: None,
            files: &[],
            verdict: None,
            threads: 1,
        });
        judged.standing
    };
    let [root, other] = [1, 9].map(|seed| key(seed).public());
    assert_eq!(standing(&[other.clone(), root]), SealStanding::Current);
    assert_eq!(standing(&[other]), SealStanding::NotCounting);
    assert_eq!(standing(&[]), SealStanding::NotCounting);
}
