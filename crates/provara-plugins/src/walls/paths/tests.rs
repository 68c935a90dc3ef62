use super::*;
use crate::interpreter::FoundBy;
use crate::testing::TempDir;
use std::os::unix::fs::symlink;

const KEYFILE: &str = r#"{"keys":[{"key_id":"bp1_0123456789abcdef","private_key_b64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","algorithm":"Ed25519"}]}"#;

struct World {
    dir: TempDir,
    interpreter: Interpreter,
}

impl World {
    fn new() -> World {
        let dir = TempDir::new();
        let root = dir.path();
        for path in [
            "venv/lib/python3.11/site-packages/pkg",
            "code/pkg",
            "code/vault/identity",
            "code/vault/events",
            "code/vault/artifacts/cas",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for (path, text) in [
            ("code/module.py", ""),
            ("code/vault/identity/private_keys.json", KEYFILE),
            (
                "code/vault/identity/keys.json",
                r#"{"keys":[],"revocations":[]}"#,
            ),
            ("code/vault/events/events.ndjson", "{}\n"),
            ("code/vault/artifacts/cas/blob", "data"),
            ("code/vault/artifacts/backup.json", KEYFILE),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        symlink("/etc", root.join("code/link")).unwrap();
        let interpreter = Interpreter {
            program: root.join("venv/bin/python3"),
            binary: root.join("usr/bin/python3"),
            prefix: root.join("venv"),
            base_prefix: root.join("usr"),
            found_by: FoundBy::Path,
        };
        World { dir, interpreter }
    }

    fn rules(&self, purpose: &Purpose, protect: &[&str]) -> Result<Rules, PathsError> {
        let protect: Vec<PathBuf> = protect
            .iter()
            .map(|path| self.dir.path().join(path))
            .collect();
        rules(&Subject {
            interpreter: &self.interpreter,
            environment: &Environment {
                python_path: vec![self.dir.path().join("code")],
                ..Environment::default()
            },
            purpose,
            state: Some(self.dir.path()),
            protect: &protect,
            network: false,
            timeout: None,
        })
    }

    /// The paths within the temporary directory.
    fn inside(&self, paths: &[Raw]) -> Vec<String> {
        let below = |path: &Raw| {
            let below = path.as_path().strip_prefix(self.dir.path()).ok()?;
            Some(below.to_str().unwrap().to_owned())
        };
        paths.iter().filter_map(below).collect()
    }
}

#[test]
fn what_is_not_protected_is_open_as_a_whole() {
    let world = World::new();
    let rules = world.rules(&Purpose::Validate, &[]).unwrap();
    assert_eq!(world.inside(&rules.read), ["code", "venv/lib"]);
    assert_eq!(world.inside(&rules.list), [""; 0]);
    assert_eq!(world.inside(&rules.write), [""]);
    assert_eq!(world.inside(&rules.execute), ["usr/bin/python3"]);
    assert!(!rules.network);
}

#[test]
fn a_vault_beneath_an_open_directory_stays_closed() {
    let world = World::new();
    let rules = world.rules(&Purpose::Discover, &["code/vault"]).unwrap();
    assert_eq!(
        world.inside(&rules.read),
        ["code/module.py", "code/pkg", "venv/lib"]
    );
    assert_eq!(world.inside(&rules.list), ["code"]);
    // One that contains the open directory closes it.
    let rules = world.rules(&Purpose::Discover, &["code"]).unwrap();
    assert_eq!(world.inside(&rules.read), ["venv/lib"]);
}

#[test]
fn an_export_reads_the_vault_but_no_keyfile() {
    let world = World::new();
    let purpose = Purpose::Export {
        vault: world.dir.path().join("code/vault"),
        staging: world.dir.path().join("venv"),
    };
    for protect in [
        &[][..],
        &["code/vault"],
        &["code/vault", "code/vault/events"],
    ] {
        let rules = world.rules(&purpose, protect).unwrap();
        let read = world.inside(&rules.read);
        for open in ["artifacts/cas", "identity/keys.json"] {
            assert!(
                read.contains(&format!("code/vault/{open}")),
                "{open} {read:?}"
            );
        }
        for closed in ["", "/identity", "/artifacts", "/artifacts/backup.json"] {
            assert!(
                !read.contains(&format!("code/vault{closed}")),
                "{closed} {read:?}"
            );
        }
        assert!(
            !read.iter().any(|path| path.ends_with("private_keys.json")),
            "{read:?}"
        );
        assert!(!read.contains(&"code".to_owned()));
        assert!(
            world
                .inside(&rules.list)
                .contains(&"code/vault/identity".to_owned())
        );
        assert_eq!(world.inside(&rules.write), ["venv", ""]);
    }
}

#[test]
fn a_reducer_writes_nothing() {
    let world = World::new();
    let log = fs::File::open("/dev/null").unwrap();
    let rules = world
        .rules(&Purpose::Reduce { log, len: 0 }, &["code/vault"])
        .unwrap();
    assert!(rules.write.is_empty());
    assert_eq!(rules.limits.file_size, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn the_loader_is_read_from_the_binary() {
    // The test itself is linked like any program of this system.
    if let Some(loader) = dynamic_loader(&std::env::current_exe().unwrap()) {
        assert!(
            loader.is_absolute() && loader.exists(),
            "{}",
            loader.display()
        );
        assert!(
            loader.to_string_lossy().contains("ld"),
            "{}",
            loader.display()
        );
    }
    let world = World::new();
    let broken = world.dir.path().join("broken");
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", &[0xff; 200]] {
        fs::write(&broken, bytes).unwrap();
        assert_eq!(dynamic_loader(&broken), None);
    }
    let mut endless = b"\x7fELF\x02\x01".to_vec();
    endless.resize(256, 0xff);
    fs::write(&broken, endless).unwrap();
    assert_eq!(dynamic_loader(&broken), None);
}

#[test]
fn a_keyfile_with_two_names_is_refused() {
    let world = World::new();
    let key = world
        .dir
        .path()
        .join("code/vault/identity/private_keys.json");
    fs::hard_link(&key, world.dir.path().join("code/pkg/data.json")).unwrap();
    let purpose = Purpose::Export {
        vault: world.dir.path().join("code/vault"),
        staging: world.dir.path().join("venv"),
    };
    for (purpose, protect) in [
        (&purpose, &[][..]),
        (
            &Purpose::Validate,
            &["code/vault/identity/private_keys.json"],
        ),
    ] {
        assert!(matches!(
            world.rules(purpose, protect),
            Err(PathsError::LinkedKeyfile { links: 2, .. })
        ));
    }
}
