use std::collections::BTreeSet;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use provara_core::keys::Keyfile;
use provara_core::layout;
use provara_core::manifest::RootSignature;

use super::judge::{Verdict, judge};
use super::record::{Record, place_of};
use super::store::Store;
use super::*;
use crate::append::AppendRequest;
use crate::testing::fresh_vault;
use crate::{InitOptions, init};

/// A vault in a directory of its own, with memory beside it.
struct Home {
    directory: tempfile::TempDir,
    vault: Vault,
    keyfile: Keyfile,
}

impl Home {
    fn new() -> Self {
        let (directory, vault, keyfile) = fresh_vault();
        let mut home = Self {
            directory,
            vault,
            keyfile,
        };
        home.vault = home.open("vault");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.directory.path()).unwrap().join(name)
    }

    fn open(&self, name: &str) -> Vault {
        Vault::open(&self.path(name))
            .unwrap()
            .with_state_directory(self.path("state"))
            .with_memory(true)
    }

    fn append(&self, text: &str) {
        let request = AppendRequest {
            event_type: "com.example.note".parse().unwrap(),
            data: provara_core::json::parse(format!("{{\"text\":{text:?}}}").as_bytes())
                .unwrap()
                .into_owned(),
            actor: text.to_owned(),
            namespace: None,
            confidence: None,
            blind: false,
            idempotency_key: None,
            rounded: 0,
            with_head: false,
            key_id: None,
        };
        let silent = self.vault.clone().with_memory(false);
        silent.append(&request, &self.keyfile).unwrap();
    }

    fn store(&self) -> Store {
        Store::make(&self.path("state"), self.vault.path()).unwrap()
    }

    fn recall(&self) -> Option<Record> {
        self.store().recall(self.vault.path()).unwrap()
    }
}

/// Where a vault stands, as its files say.
struct Found {
    log: Vec<u8>,
    seal: SealSeen,
    leaves: Vec<Digest>,
    short: Vec<Leaf>,
}

impl Found {
    fn of(vault: &Vault) -> Self {
        let log = fs::read(vault.log_path()).unwrap();
        let sig = fs::read(vault.path().join(layout::MANIFEST_SIG)).unwrap();
        let sig = RootSignature::parse(&sig).unwrap();
        let leaves = leaves_of(&log).unwrap();
        Self {
            seal: SealSeen {
                root: sig.merkle_root,
                signed_at: sig.signed_at_utc.parse().unwrap(),
            },
            short: leaves.iter().map(leaf).collect(),
            leaves,
            log,
        }
    }

    /// As a writer says it that knows the leaves of the last `known` events.
    fn head(&self, known: usize) -> Reached<'_> {
        let id = |line: &[u8]| {
            let line = scan_line(line).unwrap();
            line.text(Field::EventId).unwrap().parse().unwrap()
        };
        Reached {
            identity: id(lines_of(&self.log).next().unwrap()),
            size: self.leaves.len() as u64,
            length: self.log.len() as u64,
            tree_root: root_over(&self.leaves),
            last_event: id(lines_of(&self.log).last().unwrap()),
            seal: Some(self.seal),
            leaves: &self.short[self.short.len() - known..],
        }
    }
}

fn remember(vault: &Vault, known: usize) {
    assert_eq!(remember_writer(vault, &Found::of(vault).head(known)), None);
}

fn check(vault: &Vault) -> Result<Vec<String>, VaultError> {
    check_writer(vault, &Found::of(vault).head(0)).map(|judged| judged.notes)
}

fn code(result: Result<Vec<String>, VaultError>) -> &'static str {
    match result {
        Ok(_) => "",
        Err(VaultError::NotAsRemembered { finding }) => finding.code.as_str(),
        Err(error) => panic!("{error}"),
    }
}

/// The table of the model: what was remembered, what is there, and what is said of it.
#[test]
fn honest_changes_continue_and_losses_do_not() {
    let digest = |name: &str| Digest::of(name.as_bytes());
    let seal = |day: u32| SealSeen {
        root: Digest::of(&day.to_le_bytes()),
        signed_at: format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(),
    };
    let judged = |was: &str, is: &str, seals: [u32; 2]| {
        let (was, is): (Vec<_>, Vec<_>) = (was.split(' ').collect(), is.split(' ').collect());
        let leaves = |names: &[&str]| names.iter().map(|it| digest(it)).collect::<Vec<_>>();
        let (was_leaves, is_leaves) = (leaves(&was), leaves(&is));
        let record = Record {
            path: "/v".into(),
            place: place_of(Path::new("/v")),
            identity: EventId([if was[0] == "G" { 9 } else { 1 }; 12]),
            size: was.len() as u64,
            tree_root: root_over(&was_leaves),
            last_event: EventId([2; 12]),
            seal_root: seal(seals[0]).root,
            signed_at: seal(seals[0]).signed_at,
            seen_at: seal(seals[0]).signed_at,
            leaves: true,
            number: 0,
        };
        let present = Present {
            identity: EventId([1; 12]),
            size: is.len() as u64,
            root_at: &|size| Some(root_over(is_leaves.get(..size as usize)?)),
            seal: Some(seal(seals[1])),
            leaves: &|| Some(is_leaves.iter().map(leaf).collect()),
        };
        let kept = || Some(was_leaves.iter().map(leaf).collect());
        let verdict = judge(&record, &present, &kept);
        // Without the leaves, a re-ordering cannot be told from a loss.
        let bare = judge(&record, &present, &|| None);
        match verdict {
            Verdict::Reordered | Verdict::Gone(_) => assert_eq!(bare, Verdict::Gone(None)),
            verdict => assert_eq!(bare, verdict),
        }
        verdict
    };
    for (was, is, verdict) in [
        ("g i a1 b1", "g i a1 b1", Verdict::Continues),
        ("g i a1 b1", "g i a1 b1 d1", Verdict::Continues),
        ("g i a1 b1", "g i a1 b1 red", Verdict::Continues),
        // Append-only merges, copied over one side and over the other.
        ("g i a1 b1", "g i a1 b1 c1 c2", Verdict::Continues),
        ("g i a1 c1 c2", "g i a1 b1 c1 c2", Verdict::Reordered),
        ("g i a1 c1", "g i c1 a1", Verdict::Reordered),
        // An older state: a stale stick, a golden copy, an older commit, or a roll-back.
        ("g i a1 b1 d1", "g i a1 b1", Verdict::Gone(Some(1))),
        ("g i a1 b1 d1 e1", "g i a1 b1 e1", Verdict::Gone(Some(1))),
        ("g i a1 b1 d1", "g i a1 b1 x1 x2", Verdict::Gone(Some(1))),
        ("g i a1 b1", "g x y z w", Verdict::Gone(Some(3))),
        ("G i", "g i", Verdict::Other),
    ] {
        assert_eq!(judged(was, is, [1, 1]), verdict, "{was} -> {is}");
    }
    // The same events under another seal.
    assert_eq!(judged("g i", "g i", [2, 3]), Verdict::Continues);
    assert_eq!(judged("g i", "g i", [3, 2]), Verdict::EarlierSeal);
    assert_eq!(judged("g i", "g i a", [3, 2]), Verdict::Continues);
}

#[test]
fn writers_remember_and_are_held_to_it() {
    let home = Home::new();
    assert_eq!(check(&home.vault).unwrap(), Vec::<String>::new());
    assert!(!home.path("state").exists(), "nothing is made to read");
    remember(&home.vault, 2);
    let first = home.recall().unwrap();
    assert_eq!((first.size, first.leaves), (2, true));
    let old = fs::read(home.vault.log_path()).unwrap();

    // One leaf an append is enough.
    for text in ["a", "b", "c"] {
        home.append(text);
        assert!(check(&home.vault).unwrap().is_empty());
        remember(&home.vault, 1);
    }
    let record = home.recall().unwrap();
    assert_eq!((record.size, record.leaves), (5, true));
    let (store, found) = (home.store(), Found::of(&home.vault));
    assert_eq!(
        store.leaves(&record, &store.lock().unwrap()),
        Some(found.short)
    );
    // Of two appends by others one leaf is not, and a later one completes nothing by itself.
    home.append("d");
    home.append("e");
    remember(&home.vault, 1);
    assert!(!home.recall().unwrap().leaves);
    home.append("f");
    remember(&home.vault, 1);
    assert!(!home.recall().unwrap().leaves);
    remember(&home.vault, 8);
    assert!(home.recall().unwrap().leaves);

    // Never smaller: the record stays what it was.
    let before = home.recall().unwrap();
    let log = fs::read(home.vault.log_path()).unwrap();
    fs::write(home.vault.log_path(), &old).unwrap();
    assert_eq!(code(check(&home.vault)), "PROVARA_W010");
    remember(&home.vault, 2);
    assert_eq!(home.recall().unwrap(), before);
    // Nor by another vault, whatever its size.
    let other = Home::new();
    (0..9).for_each(|n| other.append(&n.to_string()));
    fs::copy(other.vault.log_path(), home.vault.log_path()).unwrap();
    assert_eq!(code(check(&home.vault)), "PROVARA_W011");
    remember(&home.vault, 11);
    assert_eq!(home.recall().unwrap(), before);
    fs::write(home.vault.log_path(), &log).unwrap();
    assert_eq!(code(check(&home.vault)), "");
}

#[test]
fn a_merge_elsewhere_is_a_note_and_a_loss_is_not() {
    let home = Home::new();
    home.append("a");
    home.append("b");
    remember(&home.vault, 4);
    let log = fs::read_to_string(home.vault.log_path()).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let write = |order: &[usize]| {
        let text: String = order.iter().map(|at| format!("{}\n", lines[*at])).collect();
        fs::write(home.vault.log_path(), text).unwrap();
    };
    write(&[0, 1, 3, 2]);
    let notes = check(&home.vault).unwrap();
    assert!(notes[0].contains("re-ordered"), "{notes:?}");
    write(&[0, 1, 3]);
    let Err(VaultError::NotAsRemembered { finding }) = check(&home.vault) else {
        panic!("a loss");
    };
    assert!(
        finding.message.contains("1 is not there any more"),
        "{finding}"
    );
    // Without the leaves a merge looks like a loss.
    write(&[0, 1, 3, 2]);
    let record = home.recall().unwrap();
    let leaves = home
        .path("state/memory/vaults")
        .join(record.identity.to_string());
    let leaves = fs::read_dir(leaves).unwrap().map(|it| it.unwrap().path());
    let leaves: Vec<_> = leaves
        .filter(|it| it.extension().unwrap() == "leaves")
        .collect();
    fs::write(&leaves[0], b"short").unwrap();
    assert_eq!(code(check(&home.vault)), "PROVARA_W010");
}

#[test]
fn a_path_as_typed_and_as_resolved() {
    let home = Home::new();
    symlink(home.path("vault"), home.path("link")).unwrap();
    let link = home.open("link");
    assert_eq!(link.known_paths().len(), 2);
    remember(&link, 2);
    let store = home.store();
    assert!(store.recall(&home.path("link")).unwrap().is_some());
    assert!(store.recall(&home.path("vault")).unwrap().is_some());
    // The name is what counts: another directory behind it is another vault at a known place.
    let made = init(&home.path("other"), &InitOptions::default()).unwrap();
    fs::remove_file(home.path("link")).unwrap();
    symlink(home.path("other"), home.path("link")).unwrap();
    assert_eq!(code(check(&home.open("link"))), "PROVARA_W011");
    assert_eq!(code(check(&home.open("other"))), "");

    // The command that puts it there says so, and tells what is given up.
    let set = set(&home.open("link"));
    assert_eq!(set.given_up.len(), 1);
    assert_eq!(set.given_up[0].event_count, 2);
    assert!(set.notes()[0].contains("link"), "{:?}", set.notes());
    assert_eq!(code(check(&home.open("link"))), "");
    let now = home.store().recall(&home.path("link")).unwrap().unwrap();
    assert_eq!(now.identity, made.genesis_event_id);
    assert_eq!(
        code(check(&home.vault)),
        "",
        "the first one is where it was"
    );
}

#[test]
fn what_is_set_through_one_name_counts_for_all() {
    let home = Home::new();
    symlink(home.path("vault"), home.path("link")).unwrap();
    home.append("a");
    remember(&home.open("link"), 3);
    // The state before, put back by hand.
    let seal = Found::of(&home.vault);
    let first = lines_of(&seal.log)
        .take(2)
        .flat_map(|it| [it, b"\n"].concat());
    let first: Vec<u8> = first.collect();
    assert_eq!(
        set_to_first(&home.vault, &first, seal.seal).given_up.len(),
        2
    );
    fs::write(home.vault.log_path(), &first).unwrap();
    assert_eq!(code(check(&home.open("link"))), "");
}

fn set_to_first(vault: &Vault, log: &[u8], seal: SealSeen) -> super::set::Set {
    super::set::set_to(vault, log, seal).unwrap()
}

#[test]
fn a_longer_copy_elsewhere_is_a_note() {
    let home = Home::new();
    fs::create_dir(home.path("copy")).unwrap();
    for directory in ["events", "identity", "policies"] {
        fs::create_dir(home.path("copy").join(directory)).unwrap();
    }
    for file in [
        layout::LOG,
        layout::MANIFEST,
        layout::MANIFEST_SIG,
        layout::GENESIS,
    ] {
        fs::copy(home.vault.path().join(file), home.path("copy").join(file)).unwrap();
    }
    home.append("a");
    remember(&home.vault, 3);
    let notes = check(&home.open("copy")).unwrap();
    assert!(
        notes[0].contains("had 3 events when this machine saw it"),
        "{notes:?}"
    );
    assert!(check(&home.vault).unwrap().is_empty());
}

#[test]
fn a_state_directory_that_cannot_be_used_costs_a_note() {
    let home = Home::new();
    let said = |vault: &Vault| {
        let notes = check(vault).unwrap();
        let kept = remember_writer(vault, &Found::of(vault).head(2));
        (notes.join(""), kept.unwrap_or_default())
    };
    // Within the vault it would be a phantom file, and anybody's who can write there.
    let inside = home
        .vault
        .clone()
        .with_state_directory(home.vault.path().join("state/x"));
    let (_, kept) = said(&inside);
    assert!(kept.contains("inside the vault"), "{kept}");
    assert!(!home.vault.path().join("state/x").exists());

    remember(&home.vault, 2);
    let memory = home.path("state/memory");
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    assert_eq!(
        fs::metadata(&memory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    mode(&memory, 0o770);
    let (checked, kept) = said(&home.vault);
    assert!(checked.contains("others may write"), "{checked}");
    assert!(kept.contains("others may write"), "{kept}");
    mode(&memory, 0o700);
    assert_eq!(said(&home.vault), (String::new(), String::new()));

    // A link, a file in its place.
    fs::rename(&memory, home.path("away")).unwrap();
    symlink(home.path("away"), &memory).unwrap();
    assert!(said(&home.vault).0.contains("no directory"));
    fs::remove_file(&memory).unwrap();
    fs::write(&memory, b"").unwrap();
    assert!(said(&home.vault).1.contains("no directory"));
    let file = home.vault.clone().with_state_directory(memory);
    assert!(said(&file).1.contains("cannot be used"));
}

#[test]
fn a_damaged_record_is_told_and_replaced() {
    let home = Home::new();
    remember(&home.vault, 2);
    let kept = home.recall().unwrap();
    let name = super::record::name_of(kept.place);
    let identity = kept.identity.to_string();
    let record = home
        .path("state/memory/vaults")
        .join(&identity)
        .join(format!("{name}.record"));
    let pointer = home.path("state/memory/paths").join(&name);
    let good = fs::read(&record).unwrap();
    assert_eq!(
        fs::metadata(&record).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let huge = vec![b'x'; 1 << 20];
    for (path, bytes) in [
        (&record, b"".as_slice()),
        (&record, b"{}"),
        (&record, &good[..good.len() / 2]),
        (&record, b"\xff\x00"),
        (&record, &huge),
        (&pointer, b"evt_"),
        (&pointer, &huge),
    ] {
        fs::write(path, bytes).unwrap();
        let notes = check(&home.vault).unwrap();
        assert!(notes[0].contains("cannot be read"), "{notes:?}");
        remember(&home.vault, 2);
        assert_eq!(check(&home.vault).unwrap(), Vec::<String>::new());
    }
    // A write that was cut short leaves the record before it.
    fs::remove_file(&record).unwrap();
    remember(&home.vault, 2);
    home.append("a");
    remember(&home.vault, 1);
    let whole = fs::read(&record).unwrap();
    for cut in [1, 100, 500] {
        let half = super::record::HALF;
        let torn = [&whole[..half + cut], &vec![b'x'; 300][..]].concat();
        fs::write(&record, torn).unwrap();
        assert_eq!(home.recall().unwrap().size, 2);
        assert!(check(&home.vault).unwrap().is_empty());
    }
    remember(&home.vault, 1);
    assert_eq!(home.recall().unwrap().size, 3);
    let copy = home.path("copy");
    fs::hard_link(&record, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    home.append("b");
    remember(&home.vault, 1);
    assert_eq!(fs::read(&copy).unwrap(), before, "a copy stays as it is");
    assert_eq!(home.recall().unwrap().size, 4);
    // Somebody else's is not taken.
    fs::set_permissions(&record, Permissions::from_mode(0o666)).unwrap();
    assert!(check(&home.vault).unwrap()[0].contains("others may write"));
    fs::remove_file(&record).unwrap();
    symlink(home.path("state/memory/lock"), &record).unwrap();
    assert_eq!(check(&home.vault).unwrap().len(), 1);
    remember(&home.vault, 2);
    assert!(check(&home.vault).unwrap().is_empty());
    assert!(fs::symlink_metadata(&record).unwrap().is_file());
}

#[test]
fn a_lock_that_is_held_costs_a_note() {
    let home = Home::new();
    let store = home.store();
    let lock = store.lock().unwrap();
    let note = remember_writer(&home.vault, &Found::of(&home.vault).head(2));
    assert!(note.unwrap().contains("another process"));
    drop(lock);
    remember(&home.vault, 2);
}

#[test]
fn many_vaults_at_once_keep_all_that_they_remember() {
    let directory = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    let head = |n: u64, size: u64| Reached {
        identity: EventId([n as u8; 12]),
        size,
        length: 0,
        tree_root: Digest::of(&size.to_le_bytes()),
        last_event: EventId([0; 12]),
        seal: Some(SealSeen {
            root: Digest::of(&size.to_le_bytes()),
            signed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }),
        leaves: &[[7; LEAF]],
    };
    let vaults: Vec<Vault> = (0..3)
        .map(|n| {
            let path = root.join(format!("v{n}"));
            init(&path, &InitOptions::default()).unwrap();
            let vault = Vault::open(&path).unwrap().with_memory(true);
            vault.with_state_directory(root.join("state"))
        })
        .collect();
    std::thread::scope(|scope| {
        for start in 0..2u64 {
            for (vault, n) in vaults.iter().zip(0..) {
                let head = &head;
                scope.spawn(move || {
                    for size in 1..100 {
                        let sealed = head(n, 2 * size + start);
                        assert_eq!(remember_writer(vault, &sealed), None);
                    }
                });
            }
        }
    });
    let store = Store::open(&root.join("state"), None).unwrap().unwrap();
    let (records, damaged) = store.all();
    assert_eq!(damaged, []);
    let sizes: BTreeSet<_> = records
        .iter()
        .map(|it| (it.identity.0[0], it.size))
        .collect();
    assert_eq!(sizes, BTreeSet::from([(0, 199), (1, 199), (2, 199)]));
}

#[test]
fn records_are_listed_and_forgotten() {
    let home = Home::new();
    let state = home.path("state");
    assert_eq!(remembered(&state).unwrap(), (Vec::new(), Vec::new()));
    assert!(
        forget(&state, &Which::At(home.path("vault")))
            .unwrap()
            .is_empty()
    );
    symlink(home.path("vault"), home.path("link")).unwrap();
    remember(&home.open("link"), 2);
    let (list, _) = remembered(&state).unwrap();
    let paths: Vec<_> = list.iter().map(|it| it.path.clone()).collect();
    assert_eq!(paths, [home.path("link"), home.path("vault")]);
    assert_eq!(list[0].event_count, 2);

    // A path that leads nowhere any more.
    fs::remove_file(home.path("link")).unwrap();
    assert_eq!(
        forget(&state, &Which::At(home.path("link"))).unwrap().len(),
        1
    );
    assert_eq!(remembered(&state).unwrap().0.len(), 1);
    let gone = forget(&state, &Which::Vault(list[0].identity)).unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(remembered(&state).unwrap().0, []);
    let left = fs::read_dir(home.path("state/memory/vaults"))
        .unwrap()
        .count();
    assert_eq!(
        left + fs::read_dir(home.path("state/memory/paths"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_vault_without_memory_leaves_no_trace() {
    let home = Home::new();
    let vault = home.vault.clone().with_memory(false);
    assert!(
        vault
            .verify(&crate::VerifyOptions::default())
            .unwrap()
            .is_valid()
    );
    remember(&vault, 2);
    assert!(set(&vault).notes().is_empty());
    assert!(!home.path("state").exists());
}
