//! Commands whose output nobody takes: what they did is told all the same, on stderr and by the exit
//! code.

use std::fs;
use std::process::{Command, Stdio};

use crate::world::{World, append, readable};

/// Why nobody takes the output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deaf {
    Full,
    Closed,
    Gone,
}

const ALL: [Deaf; 3] = [Deaf::Full, Deaf::Closed, Deaf::Gone];

/// Runs a command without a listener, with `input`; gives its exit code and what it said on stderr.
fn run(world: &World, deaf: Deaf, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let program = assert_cmd::cargo::cargo_bin("provara");
    let mut command = match deaf {
        Deaf::Closed => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(program);
            shell
        }
        Deaf::Full | Deaf::Gone => Command::new(program),
    };
    match deaf {
        Deaf::Full => {
            let full = fs::OpenOptions::new().write(true).open("/dev/full");
            command.stdout(full.unwrap());
        }
        Deaf::Gone => {
            let (_, writer) = std::io::pipe().unwrap();
            command.stdout(writer);
        }
        Deaf::Closed => {}
    }
    fs::write(world.path("input"), input).unwrap();
    let output = command
        .args(arguments)
        .env("HOME", world.path("home"))
        .env_remove("XDG_STATE_HOME")
        .current_dir(world.path("."))
        .stdin(fs::File::open(world.path("input")).unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), readable(&stderr))
}

/// Runs a command that writes; it must say what it did, and that nobody took its result.
#[track_caller]
fn done(world: &World, deaf: Deaf, arguments: &[&str], words: &str) -> String {
    let (code, stderr) = run(world, deaf, arguments, "");
    assert_eq!(code, Some(3), "{deaf:?} {arguments:?}: {stderr}");
    let told = stderr.lines().find(|line| line.starts_with("ERROR: "));
    let told = told.unwrap_or_default();
    assert!(
        told.contains(words) && told.contains("could not be written to standard output"),
        "{deaf:?} {arguments:?}: {stderr}"
    );
    assert!(stderr.contains("\nFix: Do not do it again"), "{stderr}");
    stderr
}

/// The ids of the vault's events.
fn ids(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap();
    log.lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_result_that_cannot_be_printed_is_told() {
    let world = World::with_vault();
    for deaf in [Deaf::Full, Deaf::Closed] {
        for arguments in [
            &["verify", "vault"][..],
            &["query", "vault"],
            &["replay", "vault", "--json"],
            &["repair", "vault", "--dry-run"],
            &["repair", "vault", "--dry-run", "--json"],
            &["--help"],
        ] {
            let (code, stderr) = run(&world, deaf, arguments, "");
            assert_eq!(code, Some(3), "{deaf:?} {arguments:?}: {stderr}");
            assert!(
                stderr.starts_with("ERROR: The result could not be written"),
                "{deaf:?} {arguments:?}: {stderr}"
            );
        }
    }
}

#[test]
fn an_event_that_is_in_is_named() {
    let world = World::with_vault();
    for deaf in ALL {
        for more in [&["--set", "a=1"][..], &["--set", "a=1", "--json"]] {
            let stderr = done(&world, deaf, &append(more), "ERROR: The event evt_");
            let last = ids(&world).pop().unwrap();
            assert!(
                stderr.contains(&format!("{last} is in the vault, on line ")),
                "{last}: {stderr}"
            );
        }
    }
    assert_eq!(ids(&world).len(), 2 + 2 * ALL.len());
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn a_batch_that_is_in_is_told_with_its_last_event() {
    let line = "{\"type\":\"OBSERVATION\",\"data\":{\"a\":1}}\n";
    let words = "3 events of the batch are in and sealed, the last of them ";
    for deaf in ALL {
        for more in [&[][..], &["--json"], &["--atomic"], &["--atomic", "--json"]] {
            let world = World::with_vault();
            let arguments = [&["append", "vault", "--batch", "-"], more].concat();
            let (code, stderr) = run(&world, deaf, &arguments, &line.repeat(3));
            assert_eq!(code, Some(3), "{deaf:?} {more:?}: {stderr}");
            let last = ids(&world).pop().unwrap();
            assert!(
                stderr.to_lowercase().contains(&format!("{words}{last}")),
                "{deaf:?} {more:?}: {stderr}"
            );
            assert_eq!(ids(&world).len(), 5);
            assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
        }
    }
}

#[test]
fn whatever_else_was_done_is_told() {
    for deaf in ALL {
        let world = World::new();
        done(
            &world,
            deaf,
            &["init", "vault"],
            "The vault 'vault' was made",
        );
        done(&world, deaf, &["init", "second", "--json"], "was made");
        fs::write(world.path("vault/artifacts/cas/a"), "a").unwrap();
        done(&world, deaf, &["manifest", "vault"], "was made anew");
        let torn = world.path("vault/events/events.ndjson");
        let log = fs::read_to_string(&torn).unwrap() + "{\"torn";
        fs::write(&torn, log).unwrap();
        done(&world, deaf, &["repair", "vault"], "The vault was repaired");
        done(
            &world,
            deaf,
            &["checkpoint", "vault"],
            "is in the vault and sealed",
        );
        done(
            &world,
            deaf,
            &["backup", "vault", "a.tar"],
            "'a.tar' was written",
        );
        done(
            &world,
            deaf,
            &["restore", "a.tar", "other"],
            "'other' was restored",
        );
        let keyfile = "vault/identity/private_keys.json";
        let at_other = append(&["--set", "a=1", "--keyfile", keyfile, "--actor", "x"]);
        let at_other: Vec<_> = at_other
            .iter()
            .map(|word| if *word == "vault" { "other" } else { word })
            .collect();
        assert_eq!(world.run(&at_other).code, 0);
        done(
            &world,
            deaf,
            &["delta", "export", "other", "--output", "bundle"],
            "'bundle' was written",
        );
        done(
            &world,
            deaf,
            &["merge", "vault", "other"],
            "The merge is in the vault, with 1 new event",
        );
        done(
            &world,
            deaf,
            &["delta", "import", "vault", "bundle"],
            "There was nothing to merge",
        );
        done(
            &world,
            deaf,
            &["reduce", "vault", "--output", "summary.json"],
            "'summary.json' was written",
        );
        let install = [
            "mcp", "install", "--client", "cursor", "--vault", "vault", "--write",
        ];
        done(&world, deaf, &install, "was written");
        assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    }
}
