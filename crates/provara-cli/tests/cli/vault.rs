//! Making, appending, sealing, verifying.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::world::{World, append};

#[test]
fn a_life_of_a_vault() {
    let world = World::new();
    let steps: [&[&str]; 9] = [
        &[
            "init",
            "vault",
            "--uid",
            "test-vault",
            "--quorum",
            "--private-keys",
            "keys.json",
        ],
        &append(&[
            "--keyfile",
            "keys.json",
            "--actor",
            "alice",
            "--data",
            r#"{"subject":"door","predicate":"state","value":"open"}"#,
        ]),
        &[
            "append",
            "vault",
            "--type",
            "ASSERTION",
            "--keyfile",
            "keys.json",
            "--actor",
            "alice",
            "--set",
            "mood=calm",
            "--set",
            "level=3",
            "--confidence",
            "0.5",
            "--namespace",
            "local",
        ],
        &["verify", "vault", "--strict"],
        &["reduce", "vault"],
        &["replay", "vault"],
        &["checkpoint", "vault", "--keyfile", "keys.json"],
        &["manifest", "vault", "--keyfile", "keys.json"],
        &["verify", "vault"],
    ];
    let transcript: Vec<String> = steps
        .iter()
        .map(|step| world.run(step).transcript())
        .collect();
    insta::assert_snapshot!(transcript.join("\n"));
    assert!(!world.python_was_started());
}

#[test]
fn receipts_for_programs() {
    let world = World::new();
    let steps: [&[&str]; 6] = [
        &["init", "vault", "--uid", "test-vault", "--json"],
        &append(&["--data", r#"{"x":1.50}"#, "--json"]),
        &["manifest", "vault", "--json"],
        &["checkpoint", "vault", "--json"],
        &["verify", "vault", "--json"],
        &["reduce", "vault", "--json"],
    ];
    let transcript: Vec<String> = steps
        .iter()
        .map(|step| world.run(step).transcript())
        .collect();
    insta::assert_snapshot!(transcript.join("\n"));
}

#[test]
fn the_private_keys_are_for_the_owner_alone() {
    let world = World::with_vault();
    let mode = fs::metadata(world.path("vault/identity/private_keys.json"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn data_from_a_file_from_a_pipe_and_from_options() {
    let world = World::with_vault();
    let payload = |event: &str| {
        let receipt: serde_json::Value = serde_json::from_str(event).unwrap();
        receipt["event"]["payload"].clone()
    };
    let subject = r#"{"subject":"s","predicate":"p","value":1}"#;
    let file = world.path("reading.json");
    fs::write(&file, subject).unwrap();
    let from_file = world.run(&append(&["--json", "--data", "@reading.json"]));
    let from_pipe = world.run_with(&append(&["--json", "--data", "-"]), |command| {
        command.write_stdin(subject)
    });
    assert_eq!(
        payload(&from_file.stdout),
        payload(&from_pipe.stdout),
        "{}",
        from_file.stderr
    );
    // An option goes over the data.
    let changed = world.run(&append(&[
        "--json",
        "--data",
        "@reading.json",
        "--set",
        "value=2",
    ]));
    assert_eq!(payload(&changed.stdout)["value"], 2, "{}", changed.stderr);
    assert_eq!(payload(&changed.stdout)["subject"], "s");
}

#[test]
fn actor_and_keyfile_from_the_environment() {
    let world = World::with_vault();
    let keyfile = world.path("moved.json");
    fs::rename(world.path("vault/identity/private_keys.json"), &keyfile).unwrap();
    let answer = world.run_with(&append(&["--data", "{}", "--json"]), |command| {
        command
            .env("PROVARA_KEYFILE", &keyfile)
            .env("PROVARA_ACTOR", "from_environment")
    });
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let receipt: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(receipt["actor"], "from_environment");
    // An empty variable is none; an option goes over it.
    let with = ["--data", "{}", "--json", "--keyfile", "moved.json"];
    let answer = world.run_with(&append(&with), |command| {
        command
            .env("PROVARA_KEYFILE", "absent")
            .env("PROVARA_ACTOR", "")
    });
    let receipt: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(receipt["actor"], "provara_user", "{}", answer.stderr);
}

#[test]
fn a_changed_event_is_found_where_it_stands() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    world.observe("lamp", "\"on\"");
    let log = world.path("vault/events/events.ndjson");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"open\"", "\"shut\"")).unwrap();
    let answer = world.run(&["verify", "vault"]);
    assert_eq!(answer.code, 1);
    // The form for programs: the same findings, every member of each.
    let json = world.run(&["verify", "vault", "--json"]);
    insta::assert_snapshot!(format!("{}\n{}", answer.transcript(), json.transcript()));
}

#[test]
fn warnings_fail_only_a_strict_verification() {
    let world = World::with_vault();
    let seal = ["manifest.json", "manifest.sig", "merkle_root.txt"];
    let seal = seal.map(|file| world.path("vault").join(file));
    let before = seal.each_ref().map(|file| fs::read(file).unwrap());
    world.observe("door", "\"open\"");
    for (file, bytes) in seal.iter().zip(before) {
        fs::write(file, bytes).unwrap();
    }
    assert_eq!(world.run(&["memory", "forget", "vault"]).code, 0);
    let lenient = world.run(&["verify", "vault"]);
    let strict = world.run(&["verify", "vault", "--strict"]);
    assert_eq!((lenient.code, strict.code), (0, 1));
    insta::assert_snapshot!(format!("{}\n{}", lenient.transcript(), strict.transcript()));
}

#[test]
fn verify_writes_nothing() {
    let world = World::with_vault();
    let before = world.tree(".");
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    assert!(world.tree(".") == before);
}

/// `provara … | head`: the reader goes away, and the verdict stands.
#[test]
fn a_broken_pipe_is_quiet() {
    let world = World::with_vault();
    for (arguments, code) in [
        (&["verify", "vault", "--json"][..], 0),
        (&["replay", "vault"][..], 0),
        (&["--help"][..], 0),
        (&["completions", "bash"][..], 0),
    ] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("provara"))
            .args(arguments)
            .env("HOME", world.path("home"))
            .env_remove("XDG_STATE_HOME")
            .current_dir(world.path("."))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(code), ""),
            "{arguments:?}"
        );
    }
}

/// Nothing that was signed by somebody else moves the reader's cursor.
#[test]
fn control_characters_of_events_are_shown_not_obeyed() {
    let world = World::with_vault();
    let answer = world.run(&append(&[
        "--data",
        "{}",
        "--actor",
        "\u{1b}[2Jeve\u{202e}",
    ]));
    assert!(
        answer.stdout.contains(r"\u{1b}[2Jeve\u{202e}"),
        "{}",
        answer.stdout
    );
    let summary = world.run(&["reduce", "vault"]).stdout;
    assert!(summary.contains(r"\u{1b}[2Jeve"), "{summary}");
    assert!(!summary.contains('\u{1b}') && !summary.contains('\u{202e}'));
}
