use super::*;
use crate::testing::TempDir;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::slice;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_whole() {
    let dir = TempDir::new();
    let target = dir.path().join("out.csv");
    let staging = Staging::prepare(&target, false, &[]).unwrap();
    let mode = fs::metadata(staging.directory())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(staging.output().file_name(), target.file_name());
    fs::write(staging.output(), "data").unwrap();
    assert!(!target.exists());
    staging.commit().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "data");
    assert_eq!(names(dir.path()), ["out.csv"]);
}

#[test]
fn dropping_leaves_nothing_and_the_target_as_it_was() {
    let dir = TempDir::new();
    let target = dir.path().join("out");
    fs::write(&target, "old").unwrap();
    let staging = Staging::prepare(&target, true, &[]).unwrap();
    fs::create_dir_all(staging.output().join("a/b")).unwrap();
    fs::write(staging.output().join("a/b/c"), "new").unwrap();
    fs::set_permissions(staging.output().join("a"), Permissions::from_mode(0o000)).unwrap();
    drop(staging);
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    assert_eq!(names(dir.path()), ["out"]);
    let empty = Staging::prepare(&target, true, &[]).unwrap();
    assert!(matches!(empty.commit(), Err(StagingError::Nothing)));
    assert_eq!(names(dir.path()), ["out"]);
}

#[test]
fn an_existing_target_needs_force() {
    let dir = TempDir::new();
    let target = dir.path().join("out");
    fs::write(&target, "old").unwrap();
    assert!(matches!(
        Staging::prepare(&target, false, &[]),
        Err(StagingError::Exists(path)) if path == target
    ));
    // One that comes into being meanwhile is not overwritten either.
    let other = dir.path().join("other");
    let staging = Staging::prepare(&other, false, &[]).unwrap();
    fs::write(staging.output(), "new").unwrap();
    fs::write(&other, "theirs").unwrap();
    assert!(matches!(staging.commit(), Err(StagingError::Exists(_))));
    assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
    assert_eq!(names(dir.path()), ["other", "out"]);
}

#[test]
fn force_replaces_what_is_no_loss() {
    let make = |path: &Path, directory: bool, text: &str| {
        if directory {
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), text).unwrap();
        } else {
            fs::write(path, text).unwrap();
        }
    };
    for (old, new) in [(false, false), (false, true), (true, true)] {
        let dir = TempDir::new();
        let target = dir.path().join("out");
        make(&target, old, "old");
        let staging = Staging::prepare(&target, true, &[]).unwrap();
        make(staging.output(), new, "new");
        staging.commit().unwrap();
        let file = if new {
            target.join("inside")
        } else {
            target.clone()
        };
        assert_eq!(fs::read_to_string(file).unwrap(), "new");
        assert_eq!(names(dir.path()), ["out"]);
    }
    let dir = TempDir::new();
    let target = dir.path().join("absent");
    let staging = Staging::prepare(&target, true, &[]).unwrap();
    make(staging.output(), true, "new");
    staging.commit().unwrap();
    assert_eq!(names(dir.path()), ["absent"]);
}

#[test]
fn force_spares_vaults_keys_and_full_directories() {
    let dir = TempDir::new();
    let refused = |target: &Path| {
        matches!(
            Staging::prepare(target, true, &[]),
            Err(StagingError::NotReplaceable { .. })
        )
    };
    let vault = dir.path().join("home/vault");
    fs::create_dir_all(vault.join("events")).unwrap();
    fs::write(vault.join("events/events.ndjson"), "").unwrap();
    assert!(refused(&vault) && refused(&dir.path().join("home")));
    let deep = dir.path().join("deep");
    fs::create_dir_all(deep.join("a/b")).unwrap();
    fs::rename(dir.path().join("home"), deep.join("a/b/home")).unwrap();
    assert!(refused(&deep), "a vault at any depth");
    let keyfile = dir.path().join("keys.json");
    let key = provara_core::keys::SigningKey::from_seed(&[1; 32]);
    let text = provara_core::keys::Keyfile::new(vec![key]).to_json();
    let padded = [b"\xEF\xBB\xBF// mine\n", text.as_slice(), &[b' '; 3 << 20]].concat();
    for shape in [padded.as_slice(), text.as_slice()] {
        fs::write(&keyfile, shape).unwrap();
        assert!(refused(&keyfile));
    }
    let full = dir.path().join("full");
    fs::create_dir_all(full.join("a/b")).unwrap();
    fs::write(full.join("a/b/report.json"), "{}").unwrap();
    let spared = |limit| tree::precious(&full, &fs::metadata(&full).unwrap(), limit).is_some();
    assert!(!spared(3) && spared(2), "more than is looked through");
    fs::rename(&keyfile, full.join("a/b/keys.json")).unwrap();
    assert!(refused(&full), "a keyfile at any depth");

    let target = dir.path().join("out");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("inside"), "old").unwrap();
    let staging = Staging::prepare(&target, true, &[]).unwrap();
    fs::write(staging.output(), "new").unwrap();
    assert!(matches!(
        staging.commit(),
        Err(StagingError::NotReplaceable { .. })
    ));
    assert_eq!(fs::read_to_string(target.join("inside")).unwrap(), "old");
}

/// Makes directories in directories, deeper than a path can name them.
fn nest(root: &Path, depth: usize) {
    fs::create_dir(root).unwrap();
    let mut inner = File::open(root).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&inner, "d", 0o700.into()).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        inner = rustix::fs::openat(&inner, "d", flags, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
}

#[test]
fn a_deep_tree_is_refused_and_removed() {
    let dir = TempDir::new();
    let target = dir.path().join("out");
    let staging = Staging::prepare(&target, false, &[]).unwrap();
    nest(staging.output(), 3000);
    let error = staging.commit().unwrap_err();
    assert!(matches!(error, StagingError::Foreign { .. }), "{error:?}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_cannot_be_removed_is_told() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static TOLD: AtomicBool = AtomicBool::new(false);
    let dir = TempDir::new();
    let staging = Staging::prepare(&dir.path().join("out"), false, &[]).unwrap();
    let staging = staging.on_remains(|path, error| {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path:?}");
        TOLD.store(true, Ordering::SeqCst);
    });
    fs::remove_dir(staging.directory()).unwrap();
    drop(staging);
    assert!(TOLD.load(Ordering::SeqCst));
}

#[test]
fn an_output_that_nobody_may_read_is_the_writers_fault() {
    let dir = TempDir::new();
    for (directory, mode) in [(false, 0o200), (true, 0o300), (true, 0o600)] {
        let staging = Staging::prepare(&dir.path().join("out"), false, &[]).unwrap();
        if directory {
            fs::create_dir(staging.output()).unwrap();
        } else {
            fs::write(staging.output(), "x").unwrap();
        }
        fs::set_permissions(staging.output(), Permissions::from_mode(mode)).unwrap();
        let error = staging.commit().unwrap_err();
        assert!(matches!(error, StagingError::Foreign { .. }), "{error:?}");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

/// In a thread of its own, which gives up the rights that root has on any file.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_may_not_be_read_takes_an_output() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let dir = TempDir::new();
    let drawer = dir.path().join("drawer");
    fs::create_dir(&drawer).unwrap();
    fs::set_permissions(&drawer, Permissions::from_mode(0o300)).unwrap();
    let target = drawer.join("out");
    let written = std::thread::spawn(move || {
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(None, sets).unwrap();
        assert!(File::open(&drawer).is_err(), "the rights are gone");
        let staging = Staging::prepare(&target, false, &[]).unwrap();
        fs::write(staging.output(), "x").unwrap();
        staging.commit().map(|()| target)
    });
    let target = written.join().unwrap().unwrap();
    assert_eq!(fs::read_to_string(target).unwrap(), "x");
}

#[test]
fn an_output_runs_as_nobody_else() {
    let dir = TempDir::new();
    let target = dir.path().join("out");
    let staging = Staging::prepare(&target, false, &[]).unwrap();
    fs::write(staging.output(), "#!/bin/sh").unwrap();
    fs::set_permissions(staging.output(), Permissions::from_mode(0o6755)).unwrap();
    staging.commit().unwrap();
    let mode = fs::metadata(&target).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o755 & !tree::umask());
}

#[test]
fn an_output_has_the_modes_of_new_files() {
    let dir = TempDir::new();
    let allowed = 0o777 & !tree::umask();
    for (parent, inherited) in [(0o700, 0), (0o2700, 0o2000)] {
        let parent_mode = Permissions::from_mode(parent);
        fs::set_permissions(dir.path(), parent_mode).unwrap();
        let target = dir.path().join(format!("out-{parent:o}"));
        let staging = Staging::prepare(&target, false, &[]).unwrap();
        let output = staging.output().to_path_buf();
        fs::create_dir_all(output.join("open")).unwrap();
        let made = [
            ("open/all", 0o666),
            ("open/private", 0o600),
            ("open/read-only", 0o400),
        ];
        for (name, mode) in made {
            fs::write(output.join(name), "x").unwrap();
            fs::set_permissions(output.join(name), Permissions::from_mode(mode)).unwrap();
        }
        for directory in [output.join("open"), output.clone()] {
            let sticky = Permissions::from_mode(0o1777 | inherited);
            fs::set_permissions(directory, sticky).unwrap();
        }
        staging.commit().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        for (name, made) in made {
            assert_eq!(mode(&target.join(name)), made & allowed, "{name}");
        }
        for directory in [target.join("open"), target] {
            assert_eq!(mode(&directory), allowed | inherited, "{parent:o}");
        }
    }
}

#[test]
fn the_ways_round_are_as_good() {
    let dir = TempDir::new();
    let target = dir.path().join("out");
    let staging = Staging::prepare(&target, false, &[]).unwrap();
    fs::write(staging.output(), "new").unwrap();
    staging.place_by_link().unwrap();
    assert!(matches!(
        staging.place_by_link(),
        Err(StagingError::Exists(_))
    ));
    drop(staging);
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    let staging = Staging::prepare(&target, true, &[]).unwrap();
    fs::create_dir(staging.output()).unwrap();
    staging.replace_in_two_steps().unwrap();
    drop(staging);
    assert!(target.is_dir());
    let staging = Staging::prepare(&target, true, &[]).unwrap();
    assert!(staging.replace_in_two_steps().is_err());
    drop(staging);
    assert!(target.is_dir());
    assert_eq!(names(dir.path()), ["out"]);
}

#[test]
fn nothing_is_written_into_a_vault_or_over_one() {
    let dir = TempDir::new();
    let vault = dir.path().join("a/vault");
    fs::create_dir_all(vault.join("state")).unwrap();
    symlink(vault.join("state"), dir.path().join("way-in")).unwrap();
    for target in ["a/vault/out", "a/vault/state/out", "way-in/out", "a/vault"] {
        let checked = check(&dir.path().join(target), true, slice::from_ref(&vault));
        assert!(
            matches!(checked, Err(StagingError::Forbidden { .. })),
            "{target}: {checked:?}"
        );
    }
    let around = check(&dir.path().join("a"), true, slice::from_ref(&vault));
    assert!(
        matches!(around, Err(StagingError::NotReplaceable { .. })),
        "{around:?}"
    );
    assert!(check(&dir.path().join("a/vault2"), false, slice::from_ref(&vault)).is_ok());
    assert!(matches!(
        check(Path::new("/"), true, &[]),
        Err(StagingError::NoName(_))
    ));
    assert!(matches!(
        check(&dir.path().join("absent/out"), true, &[]),
        Err(StagingError::Directory { .. })
    ));
    assert!(matches!(
        check(&dir.path().join("way-in"), true, &[]),
        Err(StagingError::NotReplaceable { .. })
    ));
}

#[test]
fn an_output_is_files_and_directories_of_its_own() {
    let dir = TempDir::new();
    fs::write(dir.path().join("secret"), "key").unwrap();
    let refused = |make: &dyn Fn(&Path)| {
        let staging = Staging::prepare(&dir.path().join("out"), false, &[]).unwrap();
        make(staging.output());
        let error = staging.commit().unwrap_err();
        assert!(!dir.path().join("out").exists());
        match error {
            StagingError::Foreign { path, what } => (path, what),
            other => panic!("{other:?}"),
        }
    };
    let (path, what) = refused(&|out| symlink("../secret", out).unwrap());
    assert_eq!((path, what), (PathBuf::from("."), "a symbolic link"));
    let (path, what) = refused(&|out| {
        fs::create_dir(out).unwrap();
        fs::hard_link(dir.path().join("secret"), out.join("copy")).unwrap();
    });
    assert_eq!(
        (path, what),
        (PathBuf::from("copy"), "a second name of an existing file")
    );
}
