use super::*;
use crate::interpreter::{FoundBy, Interpreter};
use crate::readable::Tree;
use crate::sandbox::paths_error::MAX_ENTRIES;
use crate::sources::{ClosedReason, ClosedSource, Doubt, Source};
use crate::testing::TempDir;
use std::os::unix::fs::symlink;

pub(in crate::sandbox) const KEYFILE: &str = r#"{"keys":[{"key_id":"bp1_0123456789abcdef","private_key_b64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","algorithm":"Ed25519"}]}"#;

struct World {
    dir: TempDir,
    runtime: Runtime,
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
            "state",
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
        let runtime = Runtime::Python(Interpreter {
            program: root.join("venv/bin/python3"),
            binary: root.join("usr/bin/python3"),
            prefix: root.join("venv"),
            base_prefixes: vec![root.join("usr")],
            system_site_packages: false,
            found_by: FoundBy::Path,
        });
        World { dir, runtime }
    }

    fn rules(&self, access: Access<'_>, protect: &[&str]) -> Result<Rules, PathsError> {
        self.rules_with(access, protect, "code", "state")
    }

    /// The rules with these directories on `PYTHONPATH` and for the state.
    fn rules_with(
        &self,
        access: Access<'_>,
        protect: &[&str],
        python_path: &str,
        state: &str,
    ) -> Result<Rules, PathsError> {
        let computed = self.rules_for(access, protect, python_path, state);
        computed.map(|computed| computed.rules)
    }

    fn rules_for(
        &self,
        access: Access<'_>,
        protect: &[&str],
        python_path: &str,
        state: &str,
    ) -> Result<HostRules, PathsError> {
        let protect: Vec<PathBuf> = protect
            .iter()
            .map(|path| self.dir.path().join(path))
            .collect();
        rules_for(&Subject {
            runtime: &self.runtime,
            environment: &Environment {
                python_path: vec![self.dir.path().join(python_path)],
                ..Environment::default()
            },
            access,
            state: Some(&self.dir.path().join(state)),
            protect: &protect,
            allowed: &[],
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
fn what_holds_no_secret_is_open_as_a_whole() {
    let world = World::new();
    let rules = world
        .rules_with(Access::Validating, &[], "code/pkg", "state")
        .unwrap();
    assert_eq!(world.inside(&rules.read), ["code/pkg", "venv/lib"]);
    assert_eq!(world.inside(&rules.list), [""; 0]);
    assert_eq!(world.inside(&rules.write), ["state"]);
    assert_eq!(world.inside(&rules.execute), ["usr/bin/python3"]);
    assert!(!rules.network);
}

#[test]
fn a_vault_beneath_an_open_directory_stays_closed() {
    let world = World::new();
    let rules = world.rules(Access::Listing, &["code/vault"]).unwrap();
    assert_eq!(
        world.inside(&rules.read),
        ["code/module.py", "code/pkg", "venv/lib"]
    );
    assert_eq!(world.inside(&rules.list), ["code"]);
    // One that contains the open directory closes it.
    let rules = world.rules(Access::Listing, &["code"]).unwrap();
    assert_eq!(world.inside(&rules.read), ["venv/lib"]);
}

#[test]
fn secrets_that_nobody_named_are_found() {
    let world = World::new();
    let path = |path: &str| world.dir.path().join(path);
    fs::create_dir_all(path("code/deep/er")).unwrap();
    fs::write(path("code/deep/er/open.py"), "").unwrap();
    fs::write(path("code/deep/er/k"), format!("{:100}{KEYFILE}", "")).unwrap();
    let open = |rules: Rules| world.inside(&rules.read);
    // The vault as a whole: its log is no secret of a kind that a search would find.
    fs::remove_file(path("code/vault/identity/private_keys.json")).unwrap();
    let rules = world.rules(Access::Listing, &[]).unwrap();
    assert_eq!(
        world.inside(&rules.list),
        ["code", "code/deep", "code/deep/er"]
    );
    assert_eq!(
        open(rules),
        [
            "code/deep/er/open.py",
            "code/module.py",
            "code/pkg",
            "venv/lib"
        ]
    );
    // The directory itself, or the file.
    for python_path in ["code/vault", "code/vault/identity", "code/deep/er/k"] {
        let rules = world.rules_with(Access::Listing, &["code/vault"], python_path, "state");
        assert_eq!(open(rules.unwrap()), ["venv/lib"], "{python_path}");
    }
    let rules = world.rules_with(Access::Listing, &[], "code/vault", "state");
    assert_eq!(open(rules.unwrap()), ["venv/lib"]);
}

#[test]
fn a_home_that_is_a_prefix_is_searched() {
    let world = World::new();
    let home = world.dir.path().join("venv");
    fs::write(home.join("lib/k"), KEYFILE).unwrap();
    let open = |home: &Path| {
        let computed = rules_for(&Subject {
            runtime: &world.runtime,
            environment: &Environment {
                home: Some(home.to_owned()),
                ..Environment::default()
            },
            access: Access::Listing,
            state: None,
            protect: &[],
            allowed: &[],
            network: false,
            timeout: None,
        });
        world.inside(&computed.unwrap().rules.read)
    };
    assert_eq!(open(&home), ["venv/lib/python3.11"]);
    assert_eq!(open(&home.join("u")), ["venv/lib/python3.11"]);
    assert_eq!(open(&world.dir.path().join("home")), ["venv/lib"]);
}

#[test]
fn a_directory_that_cannot_be_searched_is_refused() {
    let world = World::new();
    let code = world.dir.path().join("code");
    let search = |searched| {
        let mut grants = Grants::default();
        grants.searched = searched;
        grants
            .open_searched(&code, Tree::Path)
            .map(|()| grants.searched)
    };
    // A module, a directory, a link and a vault, of which only the topmost names are seen.
    let count = search(0).unwrap();
    assert_eq!(count, 7);
    assert!(search(MAX_ENTRIES - count).is_ok());
    assert!(matches!(
        search(MAX_ENTRIES - count + 1),
        Err(PathsError::Unsearchable(path)) if path == code
    ));
}

#[test]
fn a_projects_bulk_and_hidden_files_are_left_out() {
    let world = World::new();
    let project = world.dir.path().join("project");
    for (directory, file) in [
        ("src", "module.py"),
        ("src/.secret", "env"),
        ("src/pkg", ".env"),
        (".git", "config"),
        ("venv", "pyvenv.cfg"),
        ("target", ".rustc_info.json"),
        ("node_modules", "index.js"),
    ] {
        fs::create_dir_all(project.join(directory)).unwrap();
        fs::write(project.join(directory).join(file), "").unwrap();
    }
    let mut grants = Grants::default();
    grants.open_searched(&project, Tree::Project).unwrap();
    let read: Vec<&Path> = grants.read.iter().map(PathBuf::as_path).collect();
    assert_eq!(read, [project.join("src/module.py")]);
    assert!(grants.list.contains(&project.join("src/pkg")));
}

#[test]
fn what_plugins_write_is_apart_from_what_is_closed() {
    let world = World::new();
    let path = |path: &str| world.dir.path().join(path);
    let withheld = |access: Access<'_>, protect: &[&str], state: &str| {
        let computed = world.rules_for(access, protect, "code", state).unwrap();
        let written = world
            .inside(&computed.rules.write)
            .contains(&state.to_owned());
        assert_eq!(written, computed.withheld.is_none(), "{state}");
        computed.withheld
    };
    let holds = |protect: &[&str], state: &str| {
        let found = withheld(Access::Listing, protect, state);
        matches!(found, Some(Withheld::Holds(_)))
    };
    let within = |protect: &[&str], state: &str| {
        let found = withheld(Access::Listing, protect, state);
        matches!(found, Some(Withheld::Within { .. }))
    };
    // It holds what was named, or lies in it; it holds what was not named.
    assert!(holds(&["code/vault"], ""));
    assert!(within(&["code/vault"], "code/vault/artifacts"));
    assert!(holds(&[], "code"));
    assert!(holds(&[], "code/vault"));
    assert!(within(&[], "code/vault/artifacts"));
    assert!(withheld(Access::Listing, &["code/vault"], "state").is_none());
    let export = Access::Exporting {
        vault: &path("code/vault"),
        staging: &path("venv"),
    };
    assert!(withheld(export, &[], "code/vault/artifacts/cas").is_some());
    // What a plugin can leave there.
    let left = |name: &str, bytes: u64| {
        let file = fs::File::create(path("state").join(name)).unwrap();
        io::Write::write_all(&mut &file, b"{").unwrap();
        file.set_len(bytes).unwrap();
        withheld(Access::Listing, &[], "state")
    };
    assert!(left("small", 1000).is_none());
    assert!(matches!(left("large", 2 << 20), Some(Withheld::Holds(_))));
    fs::write(path("state/large"), "[").unwrap();
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(16 << 20));
    for name in ["1", "2", "3"] {
        fs::write(path("state").join(name), &text).unwrap();
    }
    assert!(withheld(Access::Listing, &[], "state").is_none());
    for name in ["4", "5"] {
        fs::write(path("state").join(name), &text).unwrap();
    }
    assert!(matches!(
        withheld(Access::Listing, &[], "state"),
        Some(Withheld::TooMuch(_))
    ));
}

#[test]
fn a_search_has_an_end() {
    let world = World::new();
    let mut deep = world.dir.path().join("code/deep");
    deep.extend(vec!["d"; 300]);
    fs::create_dir_all(&deep).unwrap();
    assert!(matches!(
        world.rules(Access::Listing, &[]),
        Err(PathsError::Unsearchable(_))
    ));
}

#[test]
fn an_export_reads_the_vault_but_no_keyfile() {
    let world = World::new();
    let access = Access::Exporting {
        vault: &world.dir.path().join("code/vault"),
        staging: &world.dir.path().join("venv"),
    };
    for protect in [
        &[][..],
        &["code/vault"],
        &["code/vault", "code/vault/events"],
    ] {
        let rules = world.rules(access, protect).unwrap();
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
        assert_eq!(world.inside(&rules.write), ["venv", "state"]);
    }
}

#[test]
fn a_reducer_writes_nothing() {
    let world = World::new();
    let rules = world
        .rules(Access::Reducing { log: b"" }, &["code/vault"])
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
    let access = Access::Exporting {
        vault: &world.dir.path().join("code/vault"),
        staging: &world.dir.path().join("venv"),
    };
    for (access, protect) in [
        (access, &[][..]),
        (
            Access::Validating,
            &["code/vault/identity/private_keys.json"],
        ),
        // A vault is named by its directory; a search finds one that is not named.
        (Access::Validating, &["code/vault"]),
        (Access::Validating, &[]),
    ] {
        assert!(matches!(
            world.rules(access, protect),
            Err(PathsError::LinkedKeyfile { links: 2, .. })
        ));
    }
}

/// The source trees that a host is not to read, of records that lead to `project`, with what is opened.
fn with_source(
    world: &World,
    protect: &[PathBuf],
    doubt: Option<Doubt>,
    allowed: bool,
) -> (Vec<PathBuf>, Vec<ClosedSource>) {
    let mut closed = Closed::new();
    for path in protect {
        closed.add(path).unwrap();
    }
    let mut grants = Grants::around(closed);
    let source = Source {
        directory: world.dir.path().join("project"),
        package: Some("lab".to_owned()),
        doubt,
        allowed,
    };
    for _ in 0..2 {
        grants.open_source(&source, Tree::Project);
    }
    assert!(grants.closed_sources.len() < 2, "told once");
    (grants.read.into_iter().collect(), grants.closed_sources)
}

#[test]
fn a_source_tree_is_open_as_a_whole_or_not_at_all() {
    let world = World::new();
    let project = world.dir.path().join("project");
    fs::create_dir_all(project.join("src/.hidden")).unwrap();
    fs::write(project.join("src/lab.py"), "").unwrap();
    let module = project.join("src/lab.py");
    let (read, closed) = with_source(&world, &[], None, false);
    assert_eq!((read, closed.len()), (vec![module.clone()], 0));

    let (read, closed) = with_source(&world, &[], Some(Doubt::NoName), false);
    assert_eq!(read, Vec::<PathBuf>::new());
    assert!(matches!(
        &closed[0].reason,
        ClosedReason::Doubt(Doubt::NoName)
    ));
    let text = closed[0].to_string();
    assert!(
        text.contains("'lab'") && text.contains(project.to_str().unwrap()),
        "{text}"
    );
    assert!(closed[0].can_be_allowed());
    let (read, closed) = with_source(&world, &[], Some(Doubt::NoName), true);
    assert_eq!((read, closed.len()), (vec![module.clone()], 0));

    // What is not opened need not be free of keys.
    fs::write(project.join("src/.hidden/k"), KEYFILE).unwrap();
    assert!(with_source(&world, &[], None, false).1.is_empty());
    let key = project.join("src/k");
    fs::write(&key, KEYFILE).unwrap();
    let holds = |closed: &[ClosedSource], path: &Path| match &closed[0].reason {
        ClosedReason::Holds(found) => assert_eq!(found, path),
        other => panic!("{other:?}"),
    };
    let (read, closed) = with_source(&world, &[], None, false);
    assert_eq!(read, Vec::<PathBuf>::new());
    holds(&closed, &key);
    // The user's word opens what is around the key.
    let (read, closed) = with_source(&world, &[], None, true);
    assert_eq!((read, closed.len()), (vec![module.clone()], 0));
    // One that was named, and that no search would tell for what it is.
    fs::write(&key, "").unwrap();
    holds(
        &with_source(&world, std::slice::from_ref(&key), None, false).1,
        &key,
    );
    // A vault around it.
    let vault = world.dir.path().to_path_buf();
    holds(
        &with_source(&world, std::slice::from_ref(&vault), None, false).1,
        &vault,
    );
}

#[test]
fn a_source_tree_that_cannot_be_searched_costs_itself() {
    let world = World::new();
    let mut deep = world.dir.path().join("project/deep");
    deep.extend(vec!["d"; 300]);
    fs::create_dir_all(&deep).unwrap();
    for allowed in [false, true] {
        let (read, closed) = with_source(&world, &[], None, allowed);
        assert_eq!(read, Vec::<PathBuf>::new());
        assert!(matches!(closed[0].reason, ClosedReason::TooLarge));
        assert!(!closed[0].can_be_allowed());
    }
    // A keyfile with two names.
    let project = world.dir.path().join("project");
    fs::remove_dir_all(project.join("deep")).unwrap();
    fs::write(project.join("k"), KEYFILE).unwrap();
    fs::hard_link(project.join("k"), world.dir.path().join("elsewhere")).unwrap();
    let (read, closed) = with_source(&world, &[], None, true);
    assert_eq!(read, Vec::<PathBuf>::new());
    assert!(matches!(&closed[0].reason, ClosedReason::Holds(path) if *path == project.join("k")));
}

#[test]
fn the_own_control_group_is_found_in_both_versions() {
    let paths = limits_of_group("9:name=systemd:/\n4:memory:/a/b\n0::/user.slice/c:d\nodd\n");
    let expected = [
        "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
        "/sys/fs/cgroup/user.slice/c:d/memory.max",
        "/sys/fs/cgroup/user.slice/c:d/cpu.max",
    ];
    assert_eq!(paths, expected.map(PathBuf::from));
}
