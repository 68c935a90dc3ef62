//! Restorations from zip archives, the only form in which the older tool wrote backups: nothing is ever at the
//! target but a vault that verifies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use provara_vault::{ArchiveError, RestoreOptions, Vault, VaultError, restore};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::common::{Fixture, note, verifies};

/// A vault with some events, and its files by their names below `vault/`.
fn vault_and_files() -> (Fixture, BTreeMap<String, Vec<u8>>) {
    let fixture = Fixture::new();
    for number in 0..3 {
        let request = note("a", &number.to_string());
        fixture.vault.append(&request, &fixture.keyfile).unwrap();
    }
    let mut files = BTreeMap::new();
    collect(fixture.vault.path(), Path::new("vault"), &mut files);
    (fixture, files)
}

fn collect(directory: &Path, name: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = name.join(entry.file_name());
        match entry.path().is_dir() {
            true => collect(&entry.path(), &name, files),
            false => {
                let bytes = fs::read(entry.path()).unwrap();
                files.insert(name.to_str().unwrap().to_owned(), bytes);
            }
        }
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

/// Writes the files into a zip archive, and whatever `more` adds.
fn zip(
    path: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    more: impl FnOnce(&mut ZipWriter<File>),
) -> PathBuf {
    let mut writer = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        writer.start_file(name, options()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    more(&mut writer);
    writer.finish().unwrap();
    path.to_owned()
}

/// Restores to a fresh place, and sees that only a vault that verifies is ever there.
fn tried(archive: &Path, options: RestoreOptions) -> Result<u64, VaultError> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("back");
    let result = restore(archive, &target, options);
    match result {
        Ok(receipt) => {
            verifies(&Vault::open(&target).unwrap());
            Ok(receipt.event_count)
        }
        Err(error) => {
            let left = fs::read_dir(directory.path()).unwrap().count();
            assert_eq!(left, 0, "something was left of a refused archive");
            Err(error)
        }
    }
}

#[track_caller]
fn refused(archive: &Path, options: RestoreOptions) -> String {
    match tried(archive, options).unwrap_err() {
        VaultError::Archive(error) => error.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_vault_comes_out_of_a_zip_as_it_went_in() {
    let (fixture, files) = vault_and_files();
    let archive = zip(&fixture.outside().join("b.zip"), &files, |_| {});
    assert_eq!(tried(&archive, RestoreOptions::default()).unwrap(), 5);
    let target = fixture.outside().join("back");
    let receipt = restore(&archive, &target, RestoreOptions::default()).unwrap();
    assert_eq!(
        receipt.private_keys,
        files.contains_key("vault/identity/private_keys.json")
    );
    let mut back = BTreeMap::new();
    collect(&target, Path::new("vault"), &mut back);
    assert_eq!(back, files);

    // The same without a directory around it, with entries for directories, and not compressed.
    let flat = fixture.outside().join("flat.zip");
    let mut writer = ZipWriter::new(File::create(&flat).unwrap());
    let stored = options().compression_method(CompressionMethod::Stored);
    writer.add_directory("events/", stored).unwrap();
    for (name, bytes) in &files {
        writer
            .start_file(name.strip_prefix("vault/").unwrap(), stored)
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(tried(&flat, RestoreOptions::default()).unwrap(), 5);
}

#[test]
fn what_no_backup_holds_is_refused() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    let none = RestoreOptions::default();
    let file = |name: &'static str| {
        move |writer: &mut ZipWriter<File>| {
            writer.start_file(name, options()).unwrap();
            writer.write_all(b"x").unwrap();
        }
    };
    let archive = zip(&path, &files, |writer| {
        writer
            .add_symlink("vault/link", "/etc/passwd", options())
            .unwrap();
    });
    assert!(refused(&archive, none).contains("is a link"));
    for name in [
        "../escaped",
        "/escaped",
        "vault/../../escaped",
        "vault\\..\\escaped",
        "C:/escaped",
    ] {
        let archive = zip(&path, &files, file(name));
        let text = refused(&archive, none);
        assert!(text.contains("outside the vault"), "{name}: {text}");
    }
    let archive = zip(&path, &files, file("vault/not-listed"));
    assert!(refused(&archive, none).contains("is not listed"));
    let archive = zip(&path, &files, file("elsewhere"));
    assert!(refused(&archive, none).contains("outside the vault's directory"));
    let mut fewer = files.clone();
    fewer.remove("vault/events/events.ndjson");
    assert!(refused(&zip(&path, &fewer, |_| {}), none).contains("is missing"));
    let mut changed = files.clone();
    changed.get_mut("vault/events/events.ndjson").unwrap()[40] ^= 1;
    assert!(refused(&zip(&path, &changed, |_| {}), none).contains("not what its manifest says"));
    let none_at_all = zip(&path, &BTreeMap::new(), |_| {});
    assert!(refused(&none_at_all, none).contains("holds no vault"));
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    let limit = RestoreOptions {
        max_size: Some(1 << 20),
    };
    let archive = zip(&path, &files, |writer| {
        writer.start_file("vault/large", options()).unwrap();
        writer.write_all(&vec![0; 2 << 20]).unwrap();
    });
    let text = refused(&archive, limit);
    assert!(text.contains("unpacks to more than"), "{text}");
    // One that announces less than it holds: the size in the central directory is what is believed.
    let mut bytes = fs::read(&archive).unwrap();
    let size = u32::to_le_bytes(2 << 20);
    for at in memchr::memmem::find_iter(&bytes.clone(), &size) {
        bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(16));
    }
    fs::write(&archive, &bytes).unwrap();
    refused(&archive, limit);
}

#[test]
fn a_name_twice_never_brings_other_bytes_than_the_seal_says() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    zip(&path, &files, |writer| {
        writer
            .start_file("vault/events/events.ndjsom", options())
            .unwrap();
        writer.write_all(b"{}\n").unwrap();
    });
    let bytes = fs::read(&path).unwrap();
    let mut twice = bytes.clone();
    for at in memchr::memmem::find_iter(&bytes, b"events.ndjsom") {
        twice[at..at + 13].copy_from_slice(b"events.ndjson");
    }
    assert_ne!(twice, bytes);
    fs::write(&path, twice).unwrap();
    assert!(tried(&path, RestoreOptions::default()).is_err());
}

/// The last entry of a name is the one that the library gives; the earlier one must not go unseen.
#[test]
fn a_name_twice_is_told_whichever_of_them_is_the_vaults() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    let (name, other) = ("vault/events/events.ndjson", "vault/events/events.ndjsom");
    let mut both = files;
    both.insert(other.to_owned(), b"{}\n".to_vec());
    zip(&path, &both, |_| {});
    let bytes = fs::read(&path).unwrap();
    let mut twice = bytes.clone();
    let mut changed = 0;
    for at in memchr::memmem::find_iter(&bytes, other) {
        twice[at..at + other.len()].copy_from_slice(name.as_bytes());
        changed += 1;
    }
    // In the local header and in the directory.
    assert_eq!(changed, 2);
    fs::write(&path, twice).unwrap();
    let told = refused(&path, RestoreOptions::default());
    assert!(told.contains("two entries of one name"), "{told}");
}

#[test]
fn a_cut_or_changed_archive_leaves_nothing_or_the_whole_vault() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    zip(&path, &files, |_| {});
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 60;
    let mut refusals = 0;
    for at in (0..whole.len()).step_by(step) {
        fs::write(&path, &whole[..at]).unwrap();
        assert!(
            tried(&path, RestoreOptions::default()).is_err(),
            "cut at {at}"
        );
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        // A time or an attribute may be changed without harm; `tried` sees that the vault then verifies.
        refusals += u32::from(tried(&path, RestoreOptions::default()).is_err());
    }
    assert!(refusals > 30, "{refusals}");
}

#[test]
fn a_file_that_only_begins_as_a_zip_is_told() {
    let fixture = Fixture::new();
    let path = fixture.outside().join("b.zip");
    fs::write(&path, b"PK\x03\x04 and then nothing of the kind").unwrap();
    let error = restore(
        &path,
        &fixture.outside().join("back"),
        RestoreOptions::default(),
    );
    let Err(VaultError::Archive(error)) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(*error, ArchiveError::Unreadable { .. }), "{error}");
}

#[test]
fn a_compression_method_that_is_not_read_is_named() {
    let (fixture, files) = vault_and_files();
    let path = fixture.outside().join("b.zip");
    zip(&path, &files, |_| {});
    let mut bytes = fs::read(&path).unwrap();
    // The method of every entry, at its head and in the directory: 12 is bzip2.
    for (begin, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        for start in 0..bytes.len() - 4 {
            if bytes[start..].starts_with(begin) {
                bytes[start + at..start + at + 2].copy_from_slice(&[12, 0]);
            }
        }
    }
    fs::write(&path, bytes).unwrap();
    let error = restore(
        &path,
        &fixture.outside().join("back"),
        RestoreOptions::default(),
    )
    .unwrap_err();
    let first = files.keys().next().unwrap();
    let VaultError::Archive(error) = error else {
        panic!("{error}");
    };
    let ArchiveError::Method { entry, method, .. } = *error else {
        panic!("{error}");
    };
    assert_eq!((&*entry, &*method.to_lowercase()), (&**first, "bzip2"));
}
