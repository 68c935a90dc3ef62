//! One test per bad input: one clear error with a `Fix:` line, the right exit code, and a vault
//! that is byte for byte what it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::world::{Answer, World, append};

/// Runs a request that must be refused, and checks that nothing changed.
#[track_caller]
fn refused(world: &World, arguments: &[&str], code: i32, saying: &str) -> Answer {
    let before = world.tree("vault");
    let answer = world.run(arguments);
    answer.refused(code, saying);
    assert!(world.tree("vault") == before, "the vault changed");
    assert!(!world.python_was_started());
    answer
}

#[track_caller]
fn bad_data(data: &str, saying: &str) {
    let world = World::with_vault();
    refused(&world, &append(&["--data", data]), 2, saying);
    // The same bytes from a file.
    fs::write(world.path("data.json"), data).unwrap();
    refused(&world, &append(&["--data", "@data.json"]), 2, saying);
}

#[test]
fn data_that_is_not_json() {
    bad_data("{subject: door}", "not valid JSON");
    bad_data("", "not valid JSON");
    bad_data("{} {}", "not valid JSON");
    bad_data("\u{feff}{}", "byte order mark");
}

#[test]
fn data_that_is_not_an_object() {
    bad_data("[1,2]", "an array, not a JSON object");
    bad_data("\"text\"", "a string, not a JSON object");
    bad_data("null", "null, not a JSON object");
}

#[test]
fn duplicate_keys() {
    bad_data(r#"{"subject":"a","subject":"b"}"#, "duplicate key");
    bad_data(r#"{"x":{"k":1,"\u006b":2}}"#, "duplicate key");
}

#[test]
fn not_a_number() {
    bad_data(r#"{"value":NaN}"#, "NaN");
    bad_data(r#"{"value":-Infinity}"#, "NaN and Infinity");
    bad_data(r#"{"value":1e999}"#, "binary64");
}

#[test]
fn huge_integers() {
    bad_data(
        r#"{"value":9007199254740993}"#,
        "nearest that a log can hold (a binary64) is 9007199254740992",
    );
    bad_data(
        r#"{"value":[{"deep":-12345678901234567890}]}"#,
        "alue[0].deep: the number -12345678901234567890 cannot be kept",
    );
}

#[test]
fn lone_surrogates() {
    bad_data(r#"{"value":"\ud800"}"#, "lone surrogate");
    bad_data(r#"{"\udc00":1}"#, "lone surrogate");
}

#[test]
fn nesting_without_end() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    bad_data(&deep, "nesting");
}

#[test]
fn data_that_is_too_large() {
    let world = World::with_vault();
    let data = format!("{{\"value\":\"{}\"}}", "x".repeat(9 << 20));
    fs::write(world.path("data.json"), data).unwrap();
    refused(
        &world,
        &append(&["--data", "@data.json"]),
        2,
        "larger than 8 MiB",
    );
}

/// The limit is that of the vault, whichever way the data comes.
#[test]
fn data_that_is_one_byte_too_large() {
    let world = World::with_vault();
    let most = 8 << 20;
    for (length, code) in [(most, 0), (most + 1, 2)] {
        let around = r#"{"subject":"s","predicate":"p","value":""}"#.len();
        let value = "x".repeat(length - around);
        let data = format!(r#"{{"subject":"s","predicate":"p","value":"{value}"}}"#);
        fs::write(world.path("data"), &data).unwrap();
        let record = format!("{{\"type\":\"OBSERVATION\",\"data\":{data}}}");
        fs::write(world.path("record"), record).unwrap();
        for arguments in [
            append(&["--data", "@data"]),
            vec!["append", "vault", "--batch", "record"],
            vec![
                "append",
                "vault",
                "--type",
                "OBSERVATION",
                "--batch",
                "data",
            ],
        ] {
            let answer = world.run(&arguments);
            assert_eq!(answer.code, code, "{}", answer.stderr);
            let told = answer
                .stderr
                .contains("8388609 bytes, and 8 MiB are the most")
                && answer.stderr.contains("\nFix: Keep the bytes in a file");
            assert_eq!(told, code == 2, "{}", answer.stderr);
        }
        let answer = world.run(&[
            "append",
            "vault",
            "--batch",
            "record",
            "--rejects",
            "refused",
        ]);
        assert_eq!(answer.code, code, "{}", answer.stderr);
        let refused = fs::read_to_string(world.path("refused")).unwrap();
        assert_eq!(refused.contains("\"code\":\"too-long\""), code == 2);
    }
}

#[test]
fn data_from_a_file_that_is_not_there() {
    let world = World::with_vault();
    refused(
        &world,
        &append(&["--data", "@absent.json"]),
        3,
        "absent.json",
    );
}

#[test]
fn no_data_at_all() {
    let world = World::with_vault();
    refused(&world, &append(&[]), 2, "--data");
}

#[test]
fn a_core_type_in_other_letters() {
    let world = World::with_vault();
    let arguments = ["append", "vault", "--type", "Observation", "--data", "{}"];
    let answer = refused(&world, &arguments, 2, "reserved for core types");
    assert!(answer.stderr.contains("OBSERVATION"), "{}", answer.stderr);
}

#[test]
fn a_second_genesis() {
    let world = World::with_vault();
    refused(
        &world,
        &["append", "vault", "--type", "GENESIS", "--data", "{}"],
        2,
        "GENESIS",
    );
}

#[test]
fn an_empty_actor() {
    let world = World::with_vault();
    refused(
        &world,
        &append(&["--data", "{}", "--actor", ""]),
        2,
        "--actor",
    );
}

#[test]
fn options_outside_their_range() {
    let world = World::with_vault();
    for (option, value) in [
        ("--confidence", "2"),
        ("--namespace", "secret"),
        ("--key-id", "bp1_x"),
    ] {
        refused(&world, &append(&["--data", "{}", option, value]), 2, option);
    }
}

#[test]
fn a_missing_keyfile() {
    let world = World::with_vault();
    refused(
        &world,
        &append(&["--data", "{}", "--keyfile", "absent.json"]),
        3,
        "absent.json",
    );
    let before = world.tree("vault");
    let answer = world.run_with(&append(&["--data", "{}"]), |command| {
        command.env("PROVARA_KEYFILE", "gone.json")
    });
    answer.refused(3, "gone.json");
    assert!(
        answer.stderr.contains("PROVARA_KEYFILE names it"),
        "{}",
        answer.stderr
    );
    assert!(world.tree("vault") == before);
}

#[test]
fn a_keyfile_that_is_none() {
    let world = World::with_vault();
    fs::write(world.path("notes.txt"), "my keys are elsewhere").unwrap();
    let arguments = append(&["--data", "{}", "--keyfile", "notes.txt"]);
    refused(&world, &arguments, 2, "not a keyfile");
}

#[test]
fn a_foreign_keyfile() {
    let world = World::with_vault();
    assert_eq!(
        world
            .run(&["init", "other", "--private-keys", "other.json"])
            .code,
        0
    );
    let arguments = append(&["--data", "{}", "--keyfile", "other.json"]);
    refused(&world, &arguments, 2, "belongs to this vault");
}

#[test]
fn a_key_id_that_the_vault_does_not_know() {
    let world = World::with_vault();
    let arguments = append(&["--data", "{}", "--key-id", "bp1_0123456789abcdef"]);
    refused(&world, &arguments, 2, "does not know the key");
}

#[test]
fn a_path_that_is_no_vault() {
    let world = World::with_vault();
    fs::create_dir(world.path("empty")).unwrap();
    let commands: [&[&str]; 9] = [
        &["query"],
        &["verify"],
        &["replay"],
        &["reduce"],
        &["manifest"],
        &["checkpoint"],
        &["append", "--type", "OBSERVATION", "--data", "{}"],
        &["export", "--format", "csv", "--output", "out.csv"],
        &["reduce", "--plugin", "beliefs"],
    ];
    for command in commands {
        for place in ["empty", "absent"] {
            let mut arguments = command.to_vec();
            arguments.insert(1, place);
            refused(&world, &arguments, 3, place);
        }
    }
    assert!(!world.path("out.csv").exists());
    let answer = world.run(&["verify", "empty"]);
    assert!(!answer.stderr.contains("provara init"), "{}", answer.stderr);
    let answer = world.run(&["verify", "."]);
    answer.refused(3, "is not a vault");
    assert!(
        answer
            .stderr
            .contains("Fix: Name the vault itself; there is one below: ./vault"),
        "{}",
        answer.stderr
    );
}

/// The log, or another file of a vault, stands for the vault around it.
#[test]
fn a_path_into_a_vault_names_the_vault() {
    let world = World::with_vault();
    for inside in [
        "events/events.ndjson",
        "events",
        "manifest.json",
        "identity/keys.json",
    ] {
        let path = format!("vault/{inside}");
        for command in ["verify", "query"] {
            world
                .run(&[command, &path])
                .refused(3, "Fix: Name the vault itself; there is one above: vault\n");
        }
        let answer = world.run_with(&["verify", inside], |command| {
            command.current_dir(world.path("vault"))
        });
        answer.refused(3, "Fix: Name the vault itself; there is one above: .\n");
    }
}

#[test]
fn places_that_cannot_be_meant() {
    let world = World::with_vault();
    fs::create_dir(world.path("folder")).unwrap();
    refused(
        &world,
        &["append", "vault", "--batch", "folder"],
        2,
        "'folder' is a directory, not a batch",
    );
    for folder in ["absent", "vault/genesis.json"] {
        refused(
            &world,
            &["verify", "vault", "--follow-predecessors", folder],
            2,
            folder,
        );
    }
    refused(
        &world,
        &["init", "new", "--private-keys", "-"],
        2,
        "Private keys are not written to standard output",
    );
    assert!(!world.path("new").exists() && !world.path("-").exists());
    refused(
        &world,
        &["restore", "a.tar", "new", "--max-size", "0"],
        2,
        "0",
    );
}

#[test]
fn init_where_something_is() {
    let world = World::with_vault();
    refused(&world, &["init", "vault"], 3, "vault");
    fs::create_dir(world.path("full")).unwrap();
    fs::write(world.path("full/file"), "x").unwrap();
    refused(&world, &["init", "full"], 3, "full");
    assert_eq!(fs::read_dir(world.path("full")).unwrap().count(), 1);
    fs::write(world.path("keys.json"), "precious").unwrap();
    refused(
        &world,
        &["init", "new", "--private-keys", "keys.json"],
        3,
        "keys.json",
    );
    assert_eq!(
        fs::read_to_string(world.path("keys.json")).unwrap(),
        "precious"
    );
    assert!(!world.path("new").exists());
}

/// A vault that is in the way is not to be emptied: it may be the only copy.
#[test]
fn a_vault_in_the_way_is_moved_aside() {
    let world = World::with_vault();
    let made = world.run(&["backup", "vault", "backup.tar"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    for (place, aside) in [
        ("vault", "mv vault vault.before"),
        ("./vault/", "mv ./vault/ ./vault.before-2"),
    ] {
        for arguments in [&["restore", "backup.tar", place][..], &["init", place]] {
            let answer = refused(&world, arguments, 3, aside);
            assert!(!answer.stderr.contains("empty it"), "{}", answer.stderr);
        }
        fs::create_dir(world.path("vault.before")).ok();
    }
    fs::remove_dir(world.path("vault.before")).unwrap();
    fs::rename(world.path("vault"), world.path("vault.before")).unwrap();
    let restored = world.run(&["restore", "backup.tar", "vault"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

/// A place where nothing may be written. For root, whom modes do not stop, the command runs as
/// somebody else, to whom the vault belongs as little as the key does.
#[test]
fn a_vault_that_cannot_be_written() {
    let world = World::with_vault();
    let before = world.tree("vault");
    let keyfile = world.path("keyfile.json");
    fs::rename(world.path("vault/identity/private_keys.json"), &keyfile).unwrap();
    let set = |mode| {
        for directory in ["vault", "vault/events", "."] {
            let mode = if directory == "." { 0o755 } else { mode };
            fs::set_permissions(world.path(directory), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(
            world.path("vault/events/events.ndjson"),
            fs::Permissions::from_mode(mode & 0o644),
        )
        .unwrap();
    };
    fs::set_permissions(&keyfile, fs::Permissions::from_mode(0o644)).unwrap();
    set(0o555);
    let arguments = append(&["--data", "{}", "--keyfile", "keyfile.json"]);
    let root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    // A copy, because somebody else may not reach the place that it was built in. By a process of its own:
    // another test may start one while this process has the copy open for writing, and hand that on.
    let program = world.path("provara");
    let mut copy = std::process::Command::new("cp");
    copy.arg(assert_cmd::cargo::cargo_bin("provara"))
        .arg(&program);
    assert!(copy.status().unwrap().success());
    let mut command = std::process::Command::new(&program);
    command
        .args(arguments)
        .env_clear()
        .env("HOME", world.path("home"))
        .env_remove("XDG_STATE_HOME")
        .current_dir(world.path("."));
    if root {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    set(0o755);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.starts_with("ERROR: Could not "), "{stderr}");
    assert!(stderr.contains("\nFix: "), "{stderr}");
    fs::rename(&keyfile, world.path("vault/identity/private_keys.json")).unwrap();
    let log = std::path::Path::new("vault/events/events.ndjson");
    assert_eq!(
        before[&world.path(log.to_str().unwrap())].0,
        fs::read(world.path("vault/events/events.ndjson")).unwrap()
    );
}

#[test]
fn an_output_that_exists() {
    let world = World::with_vault();
    fs::write(world.path("report.json"), "precious").unwrap();
    refused(
        &world,
        &["reduce", "vault", "--output", "report.json"],
        3,
        "exists already",
    );
    refused(
        &world,
        &[
            "export",
            "vault",
            "--format",
            "csv",
            "--output",
            "report.json",
        ],
        3,
        "exists already",
    );
    std::os::unix::fs::symlink("nowhere", world.path("dangling")).unwrap();
    refused(
        &world,
        &["export", "vault", "--format", "csv", "--output", "dangling"],
        3,
        "exists",
    );
    assert_eq!(
        fs::read_to_string(world.path("report.json")).unwrap(),
        "precious"
    );
}

#[test]
fn an_output_inside_the_vault_or_over_it() {
    let world = World::with_vault();
    for output in ["vault/export.csv", "vault/artifacts/../export.csv", "vault"] {
        for force in [false, true] {
            let mut arguments = vec!["export", "vault", "--format", "csv", "--output", output];
            arguments.extend(force.then_some("--force"));
            refused(&world, &arguments, 2, "outside the vault");
        }
    }
    std::os::unix::fs::symlink("vault", world.path("alias")).unwrap();
    refused(
        &world,
        &["reduce", "vault", "--output", "alias/x.json"],
        2,
        "outside the vault",
    );
    refused(
        &world,
        &["reduce", "vault", "--output", "absent/x.json"],
        3,
        "absent",
    );
}

#[test]
fn what_the_command_line_does_not_know() {
    let world = World::with_vault();
    refused(&world, &[], 2, "command");
    refused(&world, &["verfy", "vault"], 2, "verify");
    refused(&world, &["verify", "vault", "--stict"], 2, "--strict");
    refused(&world, &["verify"], 2, "VAULT");
    refused(&world, &["completions", "tcsh"], 2, "bash");
}

#[test]
fn a_closed_standard_input_is_no_empty_one() {
    let world = World::with_vault();
    let before = world.tree("vault");
    let run = |words: &str, stdin: &str| {
        let command = format!("exec \"$0\" {words} {stdin}");
        let output = Command::new("sh")
            .args(["-c", &command])
            .arg(assert_cmd::cargo::cargo_bin("provara"))
            .env("HOME", world.path("home"))
            .env_remove("XDG_STATE_HOME")
            .current_dir(world.path("."))
            .output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    for words in [
        "append vault --batch -",
        "append vault --batch - --json",
        "append vault --type OBSERVATION --data -",
        "delta import vault -",
    ] {
        let (code, stderr) = run(words, "<&-");
        assert_eq!(code, Some(3), "{words}: {stderr}");
        assert!(stderr.contains("Bad file descriptor"), "{words}: {stderr}");
    }
    assert_eq!(before, world.tree("vault"));
    let (code, stderr) = run("append vault --batch -", "</dev/null");
    assert_eq!(code, Some(0), "an empty batch: {stderr}");
}
