//! What is derived from a vault, and that nothing is derived from one that does not verify.

use std::fs;

use crate::world::World;

fn tampered() -> World {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let log = world.path("vault/events/events.ndjson");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"open\"", "\"shut\"")).unwrap();
    // That this machine saw it otherwise is told beside it, and is another test's.
    assert_eq!(world.run(&["memory", "forget", "vault"]).code, 0);
    world
}

const DERIVING: [&[&str]; 6] = [
    &["query", "vault"],
    &["replay", "vault"],
    &["reduce", "vault"],
    &["reduce", "vault", "--plugin", "beliefs"],
    &["checkpoint", "vault"],
    &["export", "vault", "--format", "csv", "--output", "out.csv"],
];

#[test]
fn an_invalid_vault_is_refused() {
    let world = tampered();
    let before = world.tree("vault");
    for arguments in DERIVING {
        let answer = world.run(arguments);
        answer.refused(1, "does not verify");
        assert!(answer.stderr.contains("PROVARA_E"), "{}", answer.stderr);
        assert!(
            answer.stderr.contains("provara verify vault"),
            "{}",
            answer.stderr
        );
    }
    assert!(world.tree("vault") == before);
    assert!(!world.path("out.csv").exists());
    assert!(!world.python_was_started());
}

#[test]
fn unverified_goes_on_and_says_so() {
    let world = tampered();
    let answer = world.run(&["replay", "vault", "--unverified"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(answer.stdout.contains("shut"));
    assert!(
        answer
            .stderr
            .starts_with("WARNING: the vault was not verified"),
        "{}",
        answer.stderr
    );
    let answer = world.run(&["reduce", "vault", "--unverified"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
}

#[test]
fn replay_is_json_in_both_forms() {
    let world = World::with_vault();
    world.observe("door", "1.50");
    let people = world.run(&["replay", "vault"]).stdout;
    let programs = world.run(&["replay", "vault", "--json"]).stdout;
    assert_eq!(programs.lines().count(), 1);
    assert!(people.lines().count() > 10);
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&people), parse(&programs));
    // Twice the same bytes.
    assert_eq!(world.run(&["replay", "vault", "--json"]).stdout, programs);
}

#[test]
fn a_summary_in_a_file() {
    let world = World::with_vault();
    world.observe("door", "1");
    let answer = world.run(&["reduce", "vault", "--output", "summary.json"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let text = fs::read_to_string(world.path("summary.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["event_count"],
        3
    );
    let again = world.run(&["reduce", "vault", "--output", "summary.json", "--force"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let printed = world.run(&["reduce", "vault", "--output", "-"]);
    let json = world.run(&["reduce", "vault", "--json"]);
    assert_eq!((printed.code, printed.stdout), (0, json.stdout));
    world
        .run(&["export", "vault", "--format", "csv", "--output", "-"])
        .refused(2, "standard output");
    // No debris beside it, and no file '-'.
    let names: Vec<_> = fs::read_dir(world.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["vault", "home", "trap", "summary.json"].contains(&name.as_str()))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn a_query_finds_events_by_every_filter() {
    let world = World::with_vault();
    for value in ["1", "2", "3"] {
        world.observe("door", value);
    }
    let lines = |arguments: &[&str]| {
        let answer = world.run(&[&["query", "vault", "--format", "ndjson"], arguments].concat());
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        answer.stdout.lines().count()
    };
    assert_eq!(lines(&[]), 5);
    assert_eq!(lines(&["--type", "GENESIS"]), 1);
    assert_eq!(lines(&["--actor", "provara_user"]), 3);
    assert_eq!(lines(&["--where", "payload.value=2"]), 1);
    assert_eq!(
        lines(&["--where", "payload.subject=door", "--limit", "2"]),
        2
    );
    assert_eq!(lines(&["--limit", "0"]), 0);
    assert_eq!(lines(&["--before", "2020-01-01T00:00:00Z"]), 0);
    assert_eq!(lines(&["--after", "2020-01-01T00:00:00Z"]), 5);

    let answer = world.run(&["query", "vault", "--format", "json", "--type", "GENESIS"]);
    let events: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(events[0]["payload"]["uid"], "test-vault");
    let same = world.run(&["query", "vault", "--json", "--type", "GENESIS"]);
    assert_eq!(same.stdout, answer.stdout, "{}", same.stderr);
    world
        .run(&["query", "vault", "--json", "--format", "table"])
        .refused(2, "--format");
    let answer = world.run(&["query", "vault", "--where", "payload.value=3"]);
    assert!(answer.stdout.contains("provara_user") && answer.stdout.ends_with("1 event\n"));
    world
        .run(&["query", "vault", "--where", "payload"])
        .refused(2, "neither true nor false");
    world
        .run(&["query", "vault", "--after", "yesterday"])
        .refused(2, "a time in UTC");
}

#[test]
fn a_query_for_what_the_log_never_held_says_so() {
    let world = World::with_vault();
    world.observe("door", "1");
    world.run(&[
        "append",
        "vault",
        "--type",
        "com.acme.audit.login",
        "--data",
        "{}",
        "--allow-unregistered",
    ]);
    // The append asked for plugins; a query does not.
    fs::remove_file(world.path("trap/python-was-started")).unwrap();
    let notes = |arguments: &[&str]| {
        let answer = world.run(&[&["query", "vault", "--json"], arguments].concat());
        assert_eq!((answer.code, answer.stdout.as_str()), (0, "[]\n"));
        answer.stderr
    };
    for (name, meant) in [
        ("observation", "did you mean 'OBSERVATION'?"),
        ("OBSERVATON", "did you mean 'OBSERVATION'?"),
        ("Login", "did you mean 'com.acme.audit.login'?"),
        (
            "hive",
            "it holds GENESIS, OBSERVATION, com.acme.audit.login.",
        ),
    ] {
        assert_eq!(
            notes(&["--type", name]),
            format!(
                "note: no event of type '{name}' stands in this log (an alias of a plugin's type is not \
                 known here: give the full type, which the list of plugins shows); {meant}\n"
            )
        );
    }
    let stderr = notes(&["--where", "subject=door"]);
    assert!(stderr.contains("payload.subject=VALUE"), "{stderr}");
    // The names are right; there is nothing of the kind.
    assert_eq!(
        notes(&["--type", "OBSERVATION", "--actor", "nobody"]),
        "note: no event by 'nobody' stands in this log; it holds provara_user, sovereign_genesis.\n"
    );
    assert_eq!(notes(&["--where", "payload.subject=window"]), "");
    assert_eq!(notes(&["--type", "observation", "--limit", "0"]), "");
    assert!(!world.python_was_started());
}
