//! What a command leaves beside its output when it is killed: the next one there removes it, and never what another
//! one is at work on.

use std::path::PathBuf;
use std::process::{Child, Command as Tool, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Answer, World};

/// The hidden directories in `out`.
fn hidden(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("out")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_hidden = |path: &PathBuf| {
        let name = path.file_name().unwrap();
        name.to_string_lossy().starts_with('.')
    };
    paths.filter(is_hidden).collect()
}

fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    let sent = Tool::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success());
}

/// Whether something was begun in a hidden directory: its maker has locked it by then.
fn is_begun(world: &World) -> bool {
    let filled = |path: &PathBuf| {
        let mut entries = std::fs::read_dir(path).into_iter().flatten();
        entries.next().is_some()
    };
    hidden(world).iter().any(filled)
}

/// Starts a command, and stops it in the middle of its work.
fn stopped(world: &World, arguments: &[&str]) -> (Child, PathBuf) {
    let child = world
        .tool(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while !is_begun(world) {
        assert!(Instant::now() < limit, "nothing was begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    send("-STOP", &child);
    let [path] = &hidden(world)[..] else {
        panic!("{arguments:?} was done before it was stopped")
    };
    (child, path.clone())
}

#[test]
fn what_a_killed_command_left_is_removed_by_the_next_one_there() {
    let world = World::with_large_vault();
    std::fs::create_dir(world.path("out")).unwrap();
    assert_eq!(world.run(&["backup", "vault", "vault.tar"]).code, 0);
    // What is killed, and what comes to the same place while it is at work and afterwards.
    for [killed, beside, next] in [
        [
            "backup vault out/a.tar",
            "backup vault out/b.tar",
            "restore vault.tar out/c",
        ],
        [
            "restore vault.tar out/d",
            "restore vault.tar out/e",
            "backup vault out/f.tar",
        ],
        [
            "export vault --format csv --output out/g",
            "export vault --format ndjson --output out/h",
            "export vault --format ndjson --output out/i",
        ],
    ] {
        let [killed, beside, next] =
            [killed, beside, next].map(|it| it.split(' ').collect::<Vec<_>>());
        let (mut child, path) = stopped(&world, &killed);
        let answer = world.run(&beside);
        assert_eq!(answer.code, 0, "{}", answer.transcript());
        assert!(path.is_dir(), "{killed:?} was at work there");
        assert!(!answer.stderr.contains("removed"), "{}", answer.stderr);

        send("-KILL", &child);
        assert!(!child.wait().unwrap().success());
        assert!(path.is_dir());
        let answer = world.run(&next);
        assert_eq!(answer.code, 0, "{}", answer.transcript());
        assert_eq!(hidden(&world), [""; 0].map(PathBuf::from));
        assert_eq!(
            answer.stderr.matches("that was killed, is removed").count(),
            1
        );
        assert!(!world.path("out").join(path.file_name().unwrap()).exists());
    }
    for vault in ["out/c", "out/e"] {
        assert_eq!(world.run(&["verify", vault]).code, 0);
    }
}

/// Where another machine may be at work there, or an earlier version, nothing is removed: it is told.
#[test]
fn what_may_be_at_work_is_told_and_stays() {
    let world = World::with_vault();
    let names = [
        ".provara-tmp-0123456789abcdef01234567".to_owned(),
        format!(".provara-tmp-0123456789abcdef01234567-{}", "0".repeat(16)),
    ];
    for name in &names {
        std::fs::create_dir_all(world.path(&format!("out/{name}"))).unwrap();
    }
    let answer = world.run(&["backup", "vault", "out/a.tar"]);
    assert_eq!(answer.code, 0, "{}", answer.transcript());
    for name in &names {
        assert!(world.path(&format!("out/{name}")).is_dir());
        let note = format!(
            "note: 'out/{name}' is what a backup or a restoration works in, of another run"
        );
        assert!(answer.stderr.contains(&note), "{}", answer.stderr);
    }
}

/// A file that came into a vault by accident: each command says at once what to do, and none sends to another that
/// knows nothing.
#[test]
fn a_stray_file_is_moved_away_or_sealed() {
    let world = World::with_vault();
    std::fs::write(world.path("vault/.DS_Store"), "x").unwrap();
    let fix = "Fix: If it came there by accident, move it away: mv vault/.DS_Store ELSEWHERE. If it belongs to the \
               vault, seal it: provara manifest vault";
    let verified = world.run(&["verify", "vault"]);
    assert_eq!(verified.code, 1);
    assert!(verified.stdout.contains(fix), "{}", verified.stdout);
    for arguments in [&["backup", "vault", "backup.tar"][..], &["repair", "vault"]] {
        let answer = world.run(arguments);
        assert_eq!(answer.code, 1);
        assert!(answer.stderr.contains(fix), "{}", answer.stderr);
    }
    // Either helps.
    let sealed = world.run(&["manifest", "vault"]);
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    std::fs::write(world.path("vault/again"), "x").unwrap();
    assert_eq!(world.run(&["verify", "vault"]).code, 1);
    std::fs::rename(world.path("vault/again"), world.path("again")).unwrap();
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn a_backup_says_where_the_key_is_that_it_leaves_out() {
    let world = World::with_vault();
    let told = |answer: &Answer, words: &str| {
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    };
    let answer = world.run(&["backup", "vault", "a.tar"]);
    told(
        &answer,
        "note: the private key in vault/identity/private_keys.json is not in the archive.",
    );
    let answer = world.run(&["backup", "vault", "b.tar", "--with-private-keys"]);
    told(&answer, "WARNING: the archive holds private keys");
    assert!(!answer.stderr.contains("not in"), "{}", answer.stderr);
    std::fs::rename(
        world.path("vault/identity/private_keys.json"),
        world.path("key.json"),
    )
    .unwrap();
    let answer = world.run_with(&["backup", "vault", "c.tar"], |command| {
        command.env("PROVARA_KEYFILE", "key.json")
    });
    told(&answer, "note: the private key in key.json is not in");
    let answer = world.run(&["backup", "vault", "d.tar"]);
    told(&answer, "note: the vault's private key is not in");
}
