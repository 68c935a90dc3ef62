//! Ctrl-C in long commands that write a new file or directory: what they began is removed, and they say so.

use std::path::PathBuf;
use std::process::{Command as Tool, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// What lies beside the vault.
fn beside(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path(".")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Sends a signal once the command has begun something; gives what it said on stderr.
fn interrupted(world: &World, arguments: &[&str]) -> String {
    let before = beside(world);
    let child = world
        .tool(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(30);
    while beside(world) == before {
        assert!(Instant::now() < limit, "nothing was begun");
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    let sent = Tool::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert_eq!(beside(world), before, "{stderr}");
    stderr
}

#[test]
fn what_a_backup_and_a_restoration_began_is_removed() {
    // Enough that neither is done before the signal comes.
    let world = World::with_large_vault();
    let told = interrupted(&world, &["backup", "vault", "vault.tar.gz"]);
    assert!(
        told.contains("Interrupted; no archive was written"),
        "{told}"
    );
    // Nothing is drawn where there is no terminal.
    let answer = world.run(&["backup", "vault", "vault.tar"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let of_key = "note: the private key in vault/identity/private_keys.json is not in the archive.";
    assert!(answer.stderr.starts_with(of_key), "{}", answer.stderr);
    assert_eq!(answer.stderr.lines().count(), 1, "{}", answer.stderr);
    let told = interrupted(&world, &["restore", "vault.tar", "restored"]);
    assert!(
        told.contains("Interrupted; no vault was restored"),
        "{told}"
    );
    assert_eq!(world.run(&["restore", "vault.tar", "restored"]).code, 0);
    assert_eq!(world.run(&["verify", "restored"]).code, 0);
}
