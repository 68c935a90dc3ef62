//! Backups and restorations: what is in an archive, and which archives are refused.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Fixture, note, picture, verifies};
use provara_vault::{
    ArchiveError, BackupOptions, ErrorClass, RestoreOptions, Vault, VaultError, restore,
};

fn vault_with_events() -> Fixture {
    let fixture = Fixture::new();
    for number in 0..3 {
        fixture
            .vault
            .append(&note("a", &format!("{number}")), &fixture.keyfile)
            .unwrap();
    }
    fixture.vault.checkpoint(&fixture.keyfile, None).unwrap();
    fixture
}

/// The same vault, and a backup of it beside it.
fn backed_up(name: &str) -> (Fixture, PathBuf) {
    let fixture = vault_with_events();
    let archive = fixture.outside().join(name);
    fixture
        .vault
        .backup(&archive, BackupOptions::default())
        .unwrap();
    (fixture, archive)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, VaultError>) -> ArchiveError {
    match result.unwrap_err() {
        VaultError::Archive(error) => *error,
        other => panic!("{other}"),
    }
}

/// The entries of a tar file: name and content.
fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    let read = |entry: Result<tar::Entry<'_, File>, std::io::Error>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn a_backup_verifies_after_any_tar_and_after_restore() {
    let fixture = vault_with_events();
    for name in ["b.tar", "b.tar.gz", "b.tgz"] {
        let target = fixture.outside().join(name);
        let receipt = fixture
            .vault
            .backup(&target, BackupOptions::default())
            .unwrap();
        assert_eq!(receipt.event_count, 5);
        assert!(!receipt.private_keys);

        let plain = fixture.outside().join(format!("{name}-by-tar"));
        fs::create_dir(&plain).unwrap();
        let status = Command::new("tar")
            .arg("-xf")
            .arg(&target)
            .arg("-C")
            .arg(&plain)
            .status()
            .unwrap();
        assert!(status.success());
        verifies(&Vault::open(&plain.join("vault")).unwrap());

        let back = fixture.outside().join(format!("{name}-restored"));
        let restored = restore(&target, &back, RestoreOptions::default()).unwrap();
        assert_eq!(restored.merkle_root, receipt.merkle_root);
        let back = Vault::open(&back).unwrap();
        verifies(&back);
        assert_eq!(fs::read(back.log_path()).unwrap(), fixture.log());
        assert!(!back.default_keyfile().exists());
        // It is a vault like any other: it takes events.
        back.append(&note("a", "after"), &fixture.keyfile).unwrap();
    }
    // Nothing is left beside.
    let names: Vec<_> = fs::read_dir(fixture.outside())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn the_same_state_gives_the_same_archive() {
    let fixture = vault_with_events();
    let [a, b] = ["a.tar", "b.tar"].map(|name| {
        let target = fixture.outside().join(name);
        fixture
            .vault
            .backup(&target, BackupOptions::default())
            .unwrap();
        fs::read(target).unwrap()
    });
    assert_eq!(a, b);
}

#[test]
fn private_keys_come_along_only_when_asked_for() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = vault_with_events();
    let secret = fs::read(fixture.vault.default_keyfile()).unwrap();
    let holds = |path: &Path| entries(path).iter().any(|(_, bytes)| *bytes == secret);
    let [without, with] = ["without.tar", "with.tar"].map(|name| fixture.outside().join(name));
    fixture
        .vault
        .backup(&without, BackupOptions::default())
        .unwrap();
    assert!(!holds(&without));
    let asked = BackupOptions {
        private_keys: true,
        ..BackupOptions::default()
    };
    assert!(fixture.vault.backup(&with, asked).unwrap().private_keys);
    assert!(holds(&with));
    let back = fixture.outside().join("back");
    assert!(
        restore(&with, &back, RestoreOptions::default())
            .unwrap()
            .private_keys
    );
    let keyfile = back.join("identity/private_keys.json");
    assert_eq!(
        fs::metadata(keyfile).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // A keyfile elsewhere in the vault is part of the seal: neither with nor without it in silence.
    fs::write(fixture.file("artifacts/spare.json"), &secret).unwrap();
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    let target = fixture.outside().join("spare.tar");
    let error = refused(fixture.vault.backup(&target, BackupOptions::default()));
    assert!(matches!(error, ArchiveError::KeysInside { .. }), "{error}");
    assert!(!target.exists());
}

#[test]
fn what_a_backup_refuses() {
    let fixture = vault_with_events();
    let backup = |name: &str| {
        fixture
            .vault
            .backup(&fixture.outside().join(name), BackupOptions::default())
    };
    assert!(matches!(
        refused(backup("b.zip")),
        ArchiveError::Extension { .. }
    ));
    assert!(matches!(
        backup("vault/b.tar"),
        Err(VaultError::InsideVault { .. })
    ));
    std::os::unix::fs::symlink("/etc/passwd", fixture.file("state/link")).unwrap();
    assert!(matches!(backup("b.tar"), Err(VaultError::Structure { .. })));
    fs::remove_file(fixture.file("state/link")).unwrap();
    backup("b.tar").unwrap();
    assert!(matches!(backup("b.tar"), Err(VaultError::Exists { .. })));
    let before = fs::read(fixture.outside().join("b.tar")).unwrap();
    let mut log = fixture.log();
    let at = log.len() - 60;
    log[at] ^= 1;
    fs::write(fixture.vault.log_path(), log).unwrap();
    let force = BackupOptions {
        force: true,
        ..BackupOptions::default()
    };
    let error = refused(
        fixture
            .vault
            .backup(&fixture.outside().join("b.tar"), force),
    );
    assert!(matches!(error, ArchiveError::Unverified { .. }), "{error}");
    assert_eq!(fs::read(fixture.outside().join("b.tar")).unwrap(), before);
}

#[test]
fn a_backup_beside_writers_is_one_state() {
    let fixture = vault_with_events();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..60 {
                fixture
                    .vault
                    .append(&note("busy", &format!("{number}")), &fixture.keyfile)
                    .unwrap();
            }
        });
        for number in 0..6 {
            let target = fixture.outside().join(format!("{number}.tar"));
            fixture
                .vault
                .backup(&target, BackupOptions::default())
                .unwrap();
            let back = fixture.outside().join(format!("back-{number}"));
            restore(&target, &back, RestoreOptions::default()).unwrap();
        }
        writer.join().unwrap();
    });
}

/// Writes a tar file of raw entries: name, kind, content. The names are not checked.
fn forge(path: &Path, entries: &[(&str, tar::EntryType, &[u8])]) {
    let mut out = tar::Builder::new(File::create(path).unwrap());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if kind.is_symlink() || kind.is_hard_link() {
            header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
            header.set_size(0);
        }
        header.set_cksum();
        out.append(&header, *bytes).unwrap();
    }
    out.finish().unwrap();
}

/// What becomes of a file of a good archive; `None` where it is left out.
type Change = dyn Fn(&str, &[u8]) -> Option<Vec<u8>>;

#[test]
fn hostile_archives_are_refused_and_write_nothing() {
    let (fixture, good) = backed_up("good.tar");
    let whole = entries(&good);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    let archive = fixture.outside().join("forged.tar");
    let file = tar::EntryType::Regular;
    let attempt = |extra: &[(&str, tar::EntryType, &[u8])], change: &Change| {
        let kept: Vec<(String, Vec<u8>)> = whole
            .iter()
            .filter(|(name, _)| !name.ends_with('/'))
            .filter_map(|(name, bytes)| Some((name.clone(), change(name, bytes)?)))
            .collect();
        let mut all: Vec<_> = kept
            .iter()
            .map(|(name, bytes)| (name.as_str(), file, bytes.as_slice()))
            .collect();
        all.extend_from_slice(extra);
        forge(&archive, &all);
        let error = refused(restore(&archive, &target, RestoreOptions::default()));
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
        assert!(left.is_empty(), "{error} left {left:?}");
        error
    };
    assert!(matches!(
        restore(
            &good,
            &fixture.file("state/inside"),
            RestoreOptions::default()
        ),
        Err(VaultError::InsideVault { .. })
    ));
    let same = |_: &str, bytes: &[u8]| Some(bytes.to_vec());
    for name in [
        "../outside",
        "/etc/cron.d/x",
        "vault/../../x",
        "vault/a\\b",
        "C:/x",
        "vault//x",
    ] {
        let error = attempt(&[(name, file, b"x")], &same);
        assert!(
            matches!(error, ArchiveError::Entry { .. }),
            "{name}: {error}"
        );
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
    ] {
        let error = attempt(&[("vault/state/link", kind, b"")], &same);
        assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
    }
    let error = attempt(&[("vault/manifest.json", file, b"{}")], &same);
    assert!(
        matches!(
            error,
            ArchiveError::Entry {
                reason: "is there twice",
                ..
            }
        ),
        "{error}"
    );
    let error = attempt(&[("elsewhere/x", file, b"x")], &same);
    assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
    let error = attempt(&[("vault/state/phantom", file, b"x")], &same);
    assert!(
        matches!(error, ArchiveError::Contradiction { .. }),
        "{error}"
    );
    let error = attempt(&[], &|name, bytes| {
        (!name.ends_with("keys.json")).then(|| bytes.to_vec())
    });
    assert!(
        matches!(error, ArchiveError::Contradiction { .. }),
        "{error}"
    );
    let error = attempt(&[], &|name, bytes| {
        let mut bytes = bytes.to_vec();
        if name.ends_with("events.ndjson") {
            bytes[100] ^= 1;
        }
        Some(bytes)
    });
    assert!(
        matches!(error, ArchiveError::Contradiction { .. }),
        "{error}"
    );
    // A wrong signature contradicts no digest: the verification finds it.
    let error = attempt(&[], &|name, bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let forged = text.replacen("\"sig\":\"", "\"sig\":\"AAAA", 1);
        Some(if name.ends_with("manifest.sig") {
            forged.into_bytes()
        } else {
            bytes.to_vec()
        })
    });
    assert!(matches!(error, ArchiveError::Invalid { .. }), "{error}");
    let error = attempt(&[], &|name, bytes| {
        (!name.ends_with("manifest.json")).then(|| bytes.to_vec())
    });
    assert!(matches!(error, ArchiveError::NoVault), "{error}");

    fs::write(
        &archive,
        b"not a tar file at all, but long enough to be looked at",
    )
    .unwrap();
    let error = refused(restore(&archive, &target, RestoreOptions::default()));
    assert!(
        matches!(
            error,
            ArchiveError::Unreadable { .. } | ArchiveError::NoVault
        ),
        "{error}"
    );
    // Cut short, it is a bad archive, and no fault of the disk.
    let packed = fixture.outside().join("good.tar.gz");
    fixture
        .vault
        .backup(&packed, BackupOptions::default())
        .unwrap();
    for good in [&good, &packed] {
        let whole = fs::read(good).unwrap();
        for length in (600..whole.len() * 2 / 3).step_by(173) {
            fs::write(&archive, &whole[..length]).unwrap();
            let error = refused(restore(&archive, &target, RestoreOptions::default()));
            assert_eq!(error.class(), ErrorClass::Evidence, "{length}: {error}");
        }
    }
    assert!(!target.exists());
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("bomb.tar.gz");
    let mut out =
        flate2::write::GzEncoder::new(File::create(&archive).unwrap(), flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("vault/manifest.json").unwrap();
    header.set_size(400 << 20);
    header.set_cksum();
    out.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..400 {
        out.write_all(&zeros).unwrap();
    }
    out.finish().unwrap();
    let target = directory.path().join("target");
    let error = refused(restore(&archive, &target, RestoreOptions::default()));
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let (_fixture, good) = backed_up("good.tar");
    let small = RestoreOptions {
        max_size: Some(1000),
    };
    assert!(matches!(
        refused(restore(&good, &target, small)),
        ArchiveError::TooLarge { .. }
    ));
}

#[test]
fn a_vault_is_never_restored_over_something() {
    let (fixture, good) = backed_up("good.tar");
    let before = picture(fixture.vault.path());
    let error = restore(&good, fixture.vault.path(), RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, VaultError::NotEmpty { .. }), "{error}");
    assert_eq!(before, picture(fixture.vault.path()));
    let empty = fixture.outside().join("empty");
    fs::create_dir(&empty).unwrap();
    restore(&good, &empty, RestoreOptions::default()).unwrap();
    verifies(&Vault::open(&empty).unwrap());
}
