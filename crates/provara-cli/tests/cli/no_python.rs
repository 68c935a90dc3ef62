//! Commands that may need a plugin, where no Python can be used.

use std::fs;

use crate::world::{Answer, World};

const LOGIN: [&str; 6] = [
    "append",
    "vault",
    "--type",
    "com.acme.audit.login",
    "--data",
    r#"{"user":"alice"}"#,
];

/// Runs a command where `PROVARA_PYTHON` names nothing.
fn without_python(world: &World, arguments: &[&str]) -> Answer {
    world.run_with(arguments, |command| {
        command.env("PROVARA_PYTHON", "/nonexistent/python3")
    })
}

#[test]
fn a_custom_type_cannot_be_checked() {
    let world = World::with_vault();
    let before = world.tree("vault");
    let answer = without_python(&world, &LOGIN);
    answer.refused(3, "com.acme.audit.login");
    assert!(
        answer.stderr.contains("PROVARA_PYTHON"),
        "{}",
        answer.stderr
    );
    let alias = without_python(
        &world,
        &["append", "vault", "--type", "login", "--data", "{}"],
    );
    alias.refused(3, "login");
    assert!(
        alias.stderr.contains("'login' is no core type"),
        "{}",
        alias.stderr
    );
    // Not even with --allow-unregistered: the name is no type, so it could only be an alias.
    let arguments = [
        "append",
        "vault",
        "--type",
        "login",
        "--data",
        "{}",
        "--allow-unregistered",
    ];
    without_python(&world, &arguments).refused(3, "login");
    assert!(world.tree("vault") == before);
}

#[test]
fn an_unregistered_type_is_appended_on_request_with_a_note() {
    let world = World::with_vault();
    let answer = without_python(
        &world,
        &[&LOGIN[..], &["--allow-unregistered", "--json"]].concat(),
    );
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(
        answer.stderr.starts_with("note: no plugin was asked"),
        "{}",
        answer.stderr
    );
    let receipt: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let event = &receipt["event"];
    assert_eq!(event["type"], "com.acme.audit.login");
    assert_eq!(event["payload"], serde_json::json!({"user": "alice"}));
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn built_in_exports_and_reducers_need_no_python() {
    let world = World::with_vault();
    world.observe("door", "\"a, \\\"b\\\"\"");
    for format in ["csv", "ndjson", "json"] {
        let output = format!("out.{format}");
        let before = world.tree("vault");
        let answer = without_python(
            &world,
            &["export", "vault", "--format", format, "--output", &output],
        );
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(
            answer.stderr.starts_with("note: the built-in"),
            "{}",
            answer.stderr
        );
        assert!(world.tree("vault") == before);
    }
    assert_eq!(
        fs::read(world.path("out.ndjson")).unwrap(),
        fs::read(world.path("vault/events/events.ndjson")).unwrap()
    );
    assert_eq!(
        fs::read_to_string(world.path("out.csv"))
            .unwrap()
            .lines()
            .count(),
        4
    );
    let events: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("out.json")).unwrap()).unwrap();
    assert_eq!(events.as_array().map(Vec::len), Some(3), "{events}");
    let beliefs = without_python(&world, &["reduce", "vault", "--plugin", "beliefs"]);
    assert_eq!(
        beliefs.stdout,
        world.run(&["replay", "vault", "--json"]).stdout
    );
    let summary = without_python(&world, &["reduce", "vault", "--plugin", "summary"]);
    assert_eq!(
        summary.stdout,
        world.run(&["reduce", "vault", "--json"]).stdout
    );
}

#[test]
fn other_formats_and_reducers_cannot_be_had() {
    let world = World::with_vault();
    let export = [
        "export",
        "vault",
        "--format",
        "siem-splunk",
        "--output",
        "out",
    ];
    without_python(&world, &export).refused(3, "siem-splunk");
    assert!(!world.path("out").exists());
    without_python(&world, &["reduce", "vault", "--plugin", "com.acme.x"]).refused(3, "com.acme.x");
    without_python(&world, &["plugins", "list"]).refused(3, "Python");
}

#[test]
fn the_doctor_says_why() {
    let world = World::new();
    let answer = without_python(&world, &["doctor"]);
    assert_eq!(answer.code, 3);
    assert!(
        answer.stderr.contains("/nonexistent/python3"),
        "{}",
        answer.stderr
    );
    let json = without_python(&world, &["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["ok"], false);
}

#[test]
fn the_sandbox_is_one_of_three() {
    let world = World::with_vault();
    let answer = world.run_with(&["plugins", "list"], |command| {
        command.env("PROVARA_SANDBOX", "maybe")
    });
    answer.refused(2, "PROVARA_SANDBOX");
    world
        .run(&["plugins", "list", "--sandbox", "none"])
        .refused(2, "--sandbox");
    assert!(!world.python_was_started());
}

#[test]
fn options_that_need_another() {
    let world = World::with_vault();
    world
        .run(&["reduce", "vault", "--check"])
        .refused(2, "--plugin");
    world
        .run(&["reduce", "vault", "--force"])
        .refused(2, "--output");
}

#[test]
fn a_slip_for_what_needs_no_python_is_told() {
    let world = World::with_vault();
    for (arguments, near) in [
        (&["reduce", "vault", "--plugin", "sumary"][..], "summary"),
        (
            &["export", "vault", "--format", "cvs", "--output", "out"],
            "csv",
        ),
        (
            &[
                "append",
                "vault",
                "--type",
                "OBSERVATON",
                "--set",
                "value=1",
            ],
            "OBSERVATION",
        ),
    ] {
        let answer = without_python(&world, arguments);
        answer.refused(3, &format!("Did you mean '{near}'? That needs no Python."));
    }
    let answer = without_python(&world, &["reduce", "vault", "--plugin", "acme_levels"]);
    assert!(!answer.stderr.contains("Did you mean"), "{}", answer.stderr);
}
