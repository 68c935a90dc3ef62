//! What `query` chooses and how it prints it, `--follow`, and `show`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::world::{Answer, World, copy};

fn world() -> World {
    let world = World::with_vault();
    for (subject, value) in [
        ("a", "300"),
        ("b", "900"),
        ("c", "9007199254740991"),
        ("d", "\"900\""),
    ] {
        world.observe(subject, value);
    }
    world
}

fn query(world: &World, arguments: &[&str]) -> Answer {
    world.run(&[&["query", "vault"], arguments].concat())
}

/// What is printed, with ids and times as they are.
fn raw(world: &World, arguments: &[&str]) -> String {
    let output = world.command().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ids(world: &World) -> Vec<String> {
    let text = raw(
        world,
        &["query", "vault", "--fields", "event_id", "--format", "csv"],
    );
    text.lines().skip(1).map(str::to_owned).collect()
}

/// The subjects of the events that are chosen, in the order in which they are printed.
fn subjects(world: &World, arguments: &[&str]) -> String {
    let fields = [
        "--fields",
        "payload.subject",
        "--format",
        "csv",
        "--actor",
        "provara_user",
    ];
    let answer = query(world, &[&fields, arguments].concat());
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stdout.lines().skip(1).collect()
}

#[test]
fn numbers_are_compared_and_not_taken_for_paths() {
    let world = world();
    for (condition, chosen) in [
        ("payload.value>=900", "bc"),
        ("payload.value >= 900", "bc"),
        ("payload.value > 9007199254740990.5", "c"),
        ("payload.value < 900 || payload.value == \"900\"", "ad"),
        ("double(payload.value) == 900", "bd"),
        ("payload.subject in [\"a\", \"d\"]", "ad"),
        ("payload.subject.matches(\"[ab]\")", "ab"),
        ("payload.value=900", "bd"),
    ] {
        assert_eq!(
            subjects(&world, &["--where", condition]),
            chosen,
            "{condition}"
        );
    }
    assert_eq!(
        subjects(
            &world,
            &[
                "--where",
                "payload.value>=900",
                "--where",
                "payload.subject!=\"c\""
            ]
        ),
        "b"
    );
}

#[test]
fn what_is_not_understood_shows_where() {
    let world = world();
    let answer = query(&world, &["--where", "payload.value = 900"]);
    answer.refused(2, "at character 15");
    assert!(
        answer
            .stderr
            .contains("\n  payload.value = 900\n                ^\n"),
        "{}",
        answer.stderr
    );
    for (arguments, words) in [
        (["--where", "payload"], "an object"),
        (["--where", "payload.value >"], "the end"),
        (["--where", "actor.startswith(\"a\")"], "startsWith"),
        (["--after", "yesterday"], "2026-01-31"),
        (["--before", "7x"], "7d"),
        (["--after-event", "evt_xyz"], "no event id"),
        (
            ["--after-event", "evt_000000000000000000000000"],
            "No event",
        ),
        (["--fields", "payload..a"], "no path"),
        (["--format", "xml"], "csv"),
    ] {
        query(&world, &arguments).refused(2, words);
    }
    query(&world, &["--follow", "--json"]).refused(2, "ndjson");
    // Nothing was read for it: the request is wrong whatever the vault is.
    world
        .run(&["query", "nowhere", "--where", "a = b"])
        .refused(2, "at character 3");
}

#[test]
fn a_part_is_chosen_by_its_place() {
    let world = world();
    for (arguments, chosen) in [
        (&["--last", "2"][..], "cd"),
        (&["--last", "0"], ""),
        (&["--last", "9"], "abcd"),
        (&["--reverse"], "dcba"),
        (&["--reverse", "--limit", "2"], "dc"),
        (&["--reverse", "--limit", "2", "--offset", "1"], "cb"),
        (&["--last", "3", "--limit", "2"], "bc"),
        (&["--last", "3", "--reverse", "--offset", "2"], "b"),
        (&["--offset", "1", "--limit", "2"], "bc"),
        (&["--offset", "9"], ""),
        (&["--after", "1d"], "abcd"),
        (&["--before", "1d"], ""),
        (&["--after", "2020-01-01", "--before", "2020-01-02"], ""),
    ] {
        assert_eq!(subjects(&world, arguments), chosen, "{arguments:?}");
        let count = query(
            &world,
            &[&["--actor", "provara_user", "--count"], arguments].concat(),
        );
        assert_eq!(count.stdout, format!("{}\n", chosen.len()), "{arguments:?}");
    }
    let both = [
        "--actor",
        "provara_user",
        "--actor",
        "sovereign_genesis",
        "--count",
    ];
    assert_eq!(query(&world, &both).stdout, "6\n");
    let types = [
        "--type",
        "GENESIS",
        "--type",
        "OBSERVATION",
        "--count",
        "--json",
    ];
    let counted = "{\"schema\":\"provara.count.v1\",\"count\":6}\n";
    assert_eq!(query(&world, &types).stdout, counted);
    let third = &ids(&world)[2];
    assert_eq!(subjects(&world, &["--after-event", third]), "bcd");
    assert_eq!(subjects(&world, &["--after-event", &third[..20]]), "bcd");
}

#[test]
fn members_are_printed_in_every_format() {
    let world = World::with_vault();
    world.observe("=1+1", "-5");
    world.run(&[
        "append",
        "vault",
        "--type",
        "OBSERVATION",
        "--data",
        r#"{"subject":"s","predicate":"p","value":{"k":1.5},"id.h":"x, \"y\""}"#,
    ]);
    let fields = [
        "--actor",
        "provara_user",
        "--fields",
        "payload.subject,payload.value",
        "--fields",
        "payload[\"id.h\"]",
    ];
    let of = |format| query(&world, &[&fields[..], &["--format", format]].concat()).stdout;
    assert_eq!(
        of("csv"),
        "payload.subject,payload.value,\"payload[\"\"id.h\"\"]\"\r\n'=1+1,-5,\r\ns,\"{\"\"k\"\":1.5}\",\"x, \"\"y\"\"\"\r\n"
    );
    assert_eq!(
        of("ndjson"),
        "{\"payload.subject\":\"=1+1\",\"payload.value\":-5}\n{\"payload.subject\":\"s\",\"payload.value\":{\"k\":1.5},\"payload[\\\"id.h\\\"]\":\"x, \\\"y\\\"\"}\n"
    );
    let rows: serde_json::Value = serde_json::from_str(&of("json")).unwrap();
    assert_eq!(rows[1]["payload.value"]["k"], 1.5);
    assert!(of("table").ends_with("2 events\n") && of("table").contains("=1+1"));
    let table = raw(&world, &["query", "vault"]);
    let log = fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap();
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            table.contains(event["event_id"].as_str().unwrap()),
            "{table}"
        );
    }
}

#[test]
fn what_can_choose_nothing_is_said() {
    let world = world();
    for (arguments, note) in [
        (["--where", "payload.valeu >= 900"], "has 'payload.valeu'"),
        (
            ["--where", "payload.subject > 900"],
            "compared with a number",
        ),
        (
            ["--where", "payload.value == true"],
            "compared with a boolean",
        ),
        (
            ["--where", "payload.subject"],
            "'payload.subject' stands as a condition, which is a boolean",
        ),
        (
            ["--where", "payload.value > 1 && !payload.subject"],
            "'payload.subject' stands as a condition",
        ),
        (
            [
                "--where",
                "timestamp(payload.subject) > timestamp(timestamp_utc)",
            ],
            "'payload.subject' is read as a time",
        ),
        (
            ["--where", "double(payload.subject) > 1"],
            "'payload.subject' is read as a number",
        ),
        (["--actor", "provara_usr"], "did you mean 'provara_user'?"),
        (["--type", "observation"], "did you mean 'OBSERVATION'?"),
    ] {
        let answer = query(&world, &arguments);
        assert_eq!(answer.code, 0);
        assert!(answer.stdout.ends_with("\n0 events\n"), "{}", answer.stdout);
        assert!(
            answer.stderr.contains(note),
            "{arguments:?}: {}",
            answer.stderr
        );
        let count = query(&world, &[&arguments[..], &["--count"]].concat());
        assert_eq!(count.stdout, "0\n");
        assert!(count.stderr.contains(note), "{}", count.stderr);
    }
    // One of several names.
    let answer = query(
        &world,
        &["--type", "OBSERVATION", "--type", "observatoin", "--json"],
    );
    assert!(
        answer.stderr.contains("no event of type 'observatoin'"),
        "{}",
        answer.stderr
    );
    for quiet in [
        ["--where", "payload.value > 9007199254740991"],
        ["--where", "!has(payload.subject)"],
        ["--where", "payload.value == 900"],
    ] {
        assert_eq!(query(&world, &quiet).stderr, "", "{quiet:?}");
    }
}

#[test]
fn a_condition_without_end_is_given_up() {
    let world = World::with_vault();
    let items = vec!["1"; 6000].join(",");
    world.observe("s", &format!("[{items}]"));
    let condition = "payload.value.all(x, payload.value.all(y, x == y))";
    for more in [&["--json"][..], &[], &["--count"]] {
        let answer = query(&world, &[&["--where", condition][..], more].concat());
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        assert!(
            answer.stderr.contains("20 million steps"),
            "{}",
            answer.stderr
        );
        // Nothing says that this was all.
        assert!(!answer.stdout.contains("events") && !answer.stdout.contains(']'));
    }
}

#[test]
fn a_cursor_goes_on_where_it_was() {
    let world = World::with_vault();
    world.observe("a", "1");
    let next = || {
        let fields = [
            "--fields",
            "payload.subject",
            "--format",
            "csv",
            "--type",
            "OBSERVATION",
            "--actor",
            "provara_user",
        ];
        query(&world, &[&fields[..], &["--cursor", "c"]].concat())
    };
    let rows = |answer: &Answer| {
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        answer.stdout.lines().skip(1).collect::<String>()
    };
    assert_eq!(rows(&next()), "a");
    assert_eq!(rows(&next()), "");
    world.observe("b", "1");
    world.observe("c", "1");
    let limited = query(
        &world,
        &["--cursor", "c", "--limit", "1", "--format", "ndjson"],
    );
    assert!(
        limited.stdout.contains("\"subject\":\"b\""),
        "{}",
        limited.stdout
    );
    copy(&world.path("vault"), &world.path("older"));
    assert_eq!(rows(&next()), "c");
    // Another log, of the same length or longer.
    world.observe("d", "1");
    let kept = fs::read(world.path("c")).unwrap();
    fs::remove_dir_all(world.path("vault")).unwrap();
    copy(&world.path("older"), &world.path("vault"));
    assert_eq!(world.run(&["memory", "forget", "vault"]).code, 0);
    assert_eq!(rows(&next()), "", "as far as the cursor it is the same log");
    world.run(&["init", "other", "--uid", "other"]);
    for subject in ["a", "b", "c", "d"] {
        let data = format!("{{\"subject\":\"{subject}\",\"predicate\":\"p\",\"value\":1}}");
        world.run(&["append", "other", "--type", "OBSERVATION", "--data", &data]);
    }
    let other = world.run(&["query", "other", "--cursor", "c", "--format", "ndjson"]);
    other.refused(3, "is not the one that was followed");
    assert_eq!(fs::read(world.path("c")).unwrap(), kept);
    // A file that is something else is left as it is.
    fs::write(world.path("mine"), "text").unwrap();
    query(&world, &["--cursor", "mine"]).refused(2, "no cursor");
    assert_eq!(fs::read(world.path("mine")).unwrap(), b"text");
    query(&world, &["--cursor", "vault/c"]).refused(2, "in a vault");
    assert!(!world.path("vault/c").exists());
}

/// Kills the process when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(world: &World, more: &[&str]) -> (Running, impl FnMut() -> Option<String> + use<>) {
    let made = world.command();
    let mut command = Command::new(made.get_program());
    command.current_dir(made.get_current_dir().unwrap());
    for (name, value) in made.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let arguments = [
        "query",
        "vault",
        "--follow",
        "--format",
        "ndjson",
        "--fields",
        "payload.subject",
    ];
    let mut child = command
        .args(arguments)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Running(child), move || lines.next().map(Result::unwrap))
}

fn ended(running: &mut Running) -> (Option<i32>, String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            let stderr = running.0.stderr.take().unwrap();
            return (status.code(), std::io::read_to_string(stderr).unwrap());
        }
        assert!(Instant::now() < deadline, "it goes on");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn new_events_are_followed_until_the_log_is_another() {
    let world = World::with_vault();
    world.observe("a", "1");
    copy(&world.path("vault"), &world.path("older"));
    let (mut running, mut next) = follow(&world, &["--last", "1"]);
    assert_eq!(next().unwrap(), "{\"payload.subject\":\"a\"}");
    for subject in ["b", "c"] {
        world.observe(subject, "1");
        assert_eq!(
            next().unwrap(),
            format!("{{\"payload.subject\":\"{subject}\"}}")
        );
    }
    // The log as it was before: what was followed does not stand there any more.
    fs::rename(world.path("vault"), world.path("gone")).unwrap();
    fs::rename(world.path("older"), world.path("vault")).unwrap();
    let (code, stderr) = ended(&mut running);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("is not the one that was followed"),
        "{stderr}"
    );
}

#[test]
fn a_follower_ends_with_its_limit_and_with_a_vault_that_does_not_verify() {
    let world = World::with_vault();
    world.observe("a", "1");
    let (mut running, mut next) = follow(
        &world,
        &["--actor", "provara_user", "--limit", "2", "--cursor", "c"],
    );
    assert!(next().unwrap().contains("\"a\""));
    world.observe("b", "1");
    assert!(next().unwrap().contains("\"b\""));
    assert_eq!(ended(&mut running).0, Some(0));
    let (mut running, mut next) = follow(&world, &["--cursor", "c"]);
    world.observe("d", "1");
    assert!(next().unwrap().contains("\"d\""));
    let log = world.path("vault/events/events.ndjson");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"subject\":\"b\"", "\"subject\":\"x\"")).unwrap();
    let (code, stderr) = ended(&mut running);
    assert_eq!(code, Some(1), "{stderr}");
}

#[test]
fn a_cursor_that_cannot_be_kept_is_told_first_and_what_was_left_goes() {
    let world = world();
    let answer = query(&world, &["--cursor", "nodir/x", "--format", "ndjson"]);
    answer.refused(3, "there is no directory 'nodir'");
    assert_eq!(answer.stdout, "");
    // What a killed program left, what another one is writing, and what is somebody else's.
    let [left, written, other] =
        [".provara-cursor-left", ".provara-cursor-held", ".cursor-x"].map(|name| world.path(name));
    for path in [&left, &written, &other] {
        fs::write(path, "{").unwrap();
    }
    let held = fs::File::open(&written).unwrap();
    held.lock().unwrap();
    let answer = query(&world, &["--cursor", "c"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(
        [&left, &written, &other].map(|it| it.exists()),
        [false, true, true]
    );
    drop(held);
    assert_eq!(query(&world, &["--cursor", "c"]).code, 0);
    assert!(!written.exists() && world.path("c").exists());
}

/// A check that `show` advises prints what it says that it prints.
#[track_caller]
fn holds(world: &World, check: &serde_json::Value) {
    let command = check["command"].as_str().unwrap();
    let run = Command::new("sh")
        .args(["-c", command])
        .current_dir(world.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(
        said.trim_end(),
        check["prints"].as_str().unwrap(),
        "{command}"
    );
}

#[test]
fn what_is_shown_of_a_path_with_a_dash_can_be_pasted() {
    let world = world();
    let id = &ids(&world)[3];
    fs::rename(world.path("vault"), world.path("-dash")).unwrap();
    let shown = raw(&world, &["show", "--json", "--", "-dash", id]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for check in shown["check"].as_array().unwrap() {
        holds(&world, check);
    }
    world
        .run(&["show", "--", "-dash", "-x"])
        .refused(2, "'-x' is no event id");
    let answer = world.run(&["verify", "-dash"]);
    answer.refused(2, "write ./-dash");
    assert_eq!(world.run(&["verify", "./-dash"]).code, 0);
}

#[test]
fn an_event_is_shown_and_can_be_checked_by_hand() {
    let world = world();
    let ids = ids(&world);
    let shown = raw(&world, &["show", "vault", &ids[3][..20]]);
    for part in [
        "line 4 of 6".to_owned(),
        format!("Before    {} (line 3)", ids[2]),
        format!("Next      {} (line 5)", ids[4]),
        "it was good: the policy in the first event names it".to_owned(),
        format!("{} (line 5) in prev_event_hash", ids[4]),
    ] {
        assert!(shown.contains(&part), "{part}: {shown}");
    }
    for id in &ids {
        let text = raw(&world, &["show", "vault", id, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["event"]["event_id"], *id.as_str());
        assert_eq!(json["verified"], true);
        let checks = json["check"].as_array().unwrap();
        assert_eq!(checks.len(), 2);
        for check in checks {
            holds(&world, check);
        }
    }
    world
        .run(&["show", "vault", "evt_"])
        .refused(2, "no event id");
    world
        .run(&["show", "vault", "evt_0000000000000000"])
        .refused(2, "No event");
    assert_eq!(world.run(&["show", "nowhere", "evt_00"]).code, 3);
}

/// What a redaction left cannot be checked by hand, and is not shown as if it could.
#[test]
fn a_redacted_event_is_shown_as_one() {
    let world = world();
    let id = ids(&world)[3].clone();
    raw(
        &world,
        &["redact", "vault", &id, "--reason", "asked for", "--yes"],
    );
    let text = raw(&world, &["show", "vault", &id]);
    assert!(text.contains("erased by a redaction"), "{text}");
    assert!(!text.contains("must print"), "{text}");
    let json = raw(&world, &["show", "vault", &id, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["redacted"], true);
    assert_eq!(json["check"], serde_json::json!([]));
}
