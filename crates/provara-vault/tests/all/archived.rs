//! A vault in an archive, verified without being unpacked to a disk.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::common::{Fixture, codes, copy, note, picture};
use provara_core::finding::Report;
use provara_vault::{
    ArchiveError, BackupOptions, Held, TreeHeadOptions, Vault, VaultError, VerifyOptions, read_head,
};

fn verify(vault: &Vault) -> Report {
    vault.verify(&VerifyOptions::default()).unwrap()
}

fn open(archive: &Path) -> Vault {
    let vault = Vault::open_to_verify(archive).unwrap();
    assert!(vault.is_archive());
    vault
}

fn refused(archive: &Path) -> VaultError {
    Vault::open_to_verify(archive).unwrap_err()
}

/// Files of a vault as a tar archive, below `prefix`.
fn tar(files: &[(String, Vec<u8>)], prefix: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder
            .append_data(&mut header, format!("{prefix}{path}"), &content[..])
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn files_of(vault: &Vault) -> Vec<(String, Vec<u8>)> {
    let files = picture(vault.path()).into_iter();
    let files = files.filter(|(path, _, _)| path.is_file());
    let relative = |path: PathBuf| {
        let path = path.strip_prefix(vault.path()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    files
        .map(|(path, _, bytes)| (relative(path), bytes))
        .collect()
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (path, content) in files {
        writer.start_file(format!("vault/{path}"), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn home() -> Fixture {
    let fixture = Fixture::new();
    for number in 0..5 {
        fixture
            .vault
            .append(&note("a", &format!("{number}")), &fixture.keyfile)
            .unwrap();
    }
    fixture
}

/// An archive with these bytes.
fn put(fixture: &Fixture, name: &str, bytes: &[u8]) -> PathBuf {
    let path = fixture.outside().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_vault_in_an_archive_verifies_as_one_in_a_directory() {
    let fixture = home();
    let backup = fixture.outside().join("backup.tar.gz");
    fixture
        .vault
        .backup(&backup, BackupOptions::default())
        .unwrap();
    let files = files_of(&fixture.vault);
    let (bare, within) = (tar(&files, ""), tar(&files, "./some/"));
    let archives = [
        backup,
        put(&fixture, "a.tar", &bare),
        put(&fixture, "b.tar", &tar(&files, "vault/")),
        put(&fixture, "c.tar.gz", &gzip(&within)),
        put(&fixture, "d.tar.zst", &zstd(&within)),
        put(&fixture, "e.zip", &zip(&files)),
    ];
    let here = verify(&fixture.vault);
    assert!(here.is_valid());
    let before: Vec<_> = fs::read_dir(fixture.outside())
        .unwrap()
        .flatten()
        .map(|it| it.path())
        .collect();
    for archive in &archives {
        let there = verify(&open(archive));
        assert_eq!(there.findings(), here.findings(), "{}", archive.display());
        assert_eq!(there.notes(), here.notes());
        assert_eq!(there.event_count(), here.event_count());
        // Other commands know directories alone.
        let error = Vault::open(archive).unwrap_err();
        assert!(matches!(error, VaultError::NotAVault { .. }), "{error}");
    }
    let after: Vec<_> = fs::read_dir(fixture.outside())
        .unwrap()
        .flatten()
        .map(|it| it.path())
        .collect();
    assert_eq!(before, after, "nothing was unpacked");
}

#[test]
fn what_was_changed_in_an_archive_is_found_as_in_a_directory() {
    let fixture = home();
    let files = files_of(&fixture.vault);
    for at in 0..files.len() {
        if files[at].0 == provara_vault::layout::PRIVATE_KEYS {
            continue;
        }
        let mut changed = files.clone();
        let middle = changed[at].1.len() / 2;
        changed[at].1[middle] ^= 1;
        let report = verify(&open(&put(&fixture, "changed.tar", &tar(&changed, "v/"))));
        let there = copy(
            &fixture.vault,
            &fixture.outside().join(format!("changed {at}")),
        );
        fs::write(there.path().join(&changed[at].0), &changed[at].1).unwrap();
        assert_eq!(
            report.findings(),
            verify(&there).findings(),
            "{}",
            changed[at].0
        );
        assert!(!report.is_valid());
        let mut fewer = files.clone();
        fewer.remove(at);
        let report = verify(&open(&put(&fixture, "fewer.tar", &tar(&fewer, "v/"))));
        assert!(!report.is_valid(), "without {}", files[at].0);
    }
}

#[test]
fn an_archive_is_held_to_tree_heads() {
    let fixture = home();
    let vault = Vault::open(fixture.vault.path()).unwrap();
    let vault = vault
        .with_state_directory(fixture.state())
        .with_memory(true);
    let old = put(&fixture, "old.tar", &tar(&files_of(&vault), "v/"));
    vault.append(&note("a", "newer"), &fixture.keyfile).unwrap();
    let head = vault
        .tree_head(&fixture.keyfile, &TreeHeadOptions::default())
        .unwrap();
    let head = read_head(&put(&fixture, "head", head.note.as_bytes())).unwrap();
    let new = put(&fixture, "new.tar", &tar(&files_of(&vault), "v/"));
    let hold = |archive: &Path| {
        let mut held = Held::default();
        held.heads.push(head.clone());
        let options = VerifyOptions {
            held,
            ..VerifyOptions::default()
        };
        open(archive).verify(&options).unwrap()
    };
    assert!(hold(&new).is_valid());
    assert_eq!(codes(&hold(&old)), ["PROVARA_E017"]);
}

#[test]
fn what_is_no_archive_of_one_vault_is_refused() {
    let fixture = home();
    let files = files_of(&fixture.vault);
    let entry = |result: VaultError| match result {
        VaultError::Archive(error) => match *error {
            ArchiveError::Entry { reason, .. } => reason,
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    };
    let twice = [&files[..], &files[..1]].concat();
    let reason = entry(refused(&put(&fixture, "twice.tar", &tar(&twice, "v/"))));
    assert_eq!(reason, "is there twice");
    let mut beside = tar::Builder::new(Vec::new());
    for (prefix, list) in [("v/", &files[..]), ("w/", &files[..1])] {
        for (path, content) in list {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            let name = format!("{prefix}{path}");
            beside.append_data(&mut header, name, &content[..]).unwrap();
        }
    }
    let reason = entry(refused(&put(
        &fixture,
        "beside.tar",
        &beside.into_inner().unwrap(),
    )));
    assert_eq!(reason, "stands outside the vault's directory");
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "v/events", "/etc").unwrap();
    let reason = entry(refused(&put(
        &fixture,
        "link.tar",
        &link.into_inner().unwrap(),
    )));
    assert_eq!(reason, "is a link");
    // A name that leads out, which the library does not write by itself.
    let mut out = tar(&files[..1], "v/");
    out[..7].copy_from_slice(b"../../x");
    let mut header = tar::Header::from_byte_slice(&out[..512]).clone();
    header.set_cksum();
    out[..512].copy_from_slice(header.as_bytes());
    let reason = entry(refused(&put(&fixture, "out.tar", &out)));
    assert!(reason.contains("outside the vault"), "{reason}");
    let none = refused(&put(
        &fixture,
        "none.tar",
        &tar(&[("x".to_owned(), vec![1])], ""),
    ));
    assert!(matches!(none, VaultError::Archive(error) if matches!(*error, ArchiveError::NoVault)));
    // More than an archive of its size honestly holds.
    let zeros = [("v/events/events.ndjson".to_owned(), vec![0; 400 << 20])];
    let bomb = put(&fixture, "zeros.tar.gz", &gzip(&tar(&zeros, "")));
    let error = refused(&bomb);
    assert!(
        matches!(&error, VaultError::Archive(error) if matches!(**error, ArchiveError::TooLarge { .. })),
        "{error}"
    );
    // Cut short, at every eighth of it.
    let whole = gzip(&tar(&files, "v/"));
    for part in 1..8 {
        let cut = put(&fixture, "cut.tar.gz", &whole[..whole.len() * part / 8]);
        assert!(Vault::open_to_verify(&cut).is_err(), "{part}");
    }
}
