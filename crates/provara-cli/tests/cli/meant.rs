//! What was asked for and hardly meant: a document taken as one record, a place that no event has, advice that
//! was followed already.

use std::fs;
use std::process::{Command as Tool, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Answer, World};

const TRAIL: &str = "{\"Records\":[{\"eventID\":\"e-1\",\"n\":1},{\"eventID\":\"e-2\",\"n\":2}]}\n";

/// Appends a batch of bare records.
fn batch(world: &World, input: &str, more: &[&str]) -> Answer {
    let kind = ["--type", "com.example.trail", "--allow-unregistered"];
    let arguments = [&["append", "vault", "--batch", "-"], &kind[..], more].concat();
    world.run_with(&arguments, |command| {
        command
            .write_stdin(input.to_owned())
            .env("PROVARA_PYTHON", "/nonexistent")
    })
}

fn lines(world: &World) -> usize {
    let log = fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap();
    log.lines().count()
}

#[test]
fn a_document_taken_as_one_record_is_told() {
    let world = World::with_vault();
    let before = lines(&world);
    let told = "note: the batch is one record, a document with 2 objects in .Records: --records '.Records' makes \
                a record of each of them instead.\n";
    for more in [&["--dry-run"][..], &["--atomic"], &[]] {
        let answer = batch(&world, TRAIL, more);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(answer.stderr.contains(told), "{}", answer.stderr);
    }
    assert_eq!(lines(&world), before + 2);
    // Files that were put together.
    let answer = batch(&world, &TRAIL.repeat(3), &[]);
    assert!(
        answer
            .stderr
            .contains("3 records, documents with 6 objects in .Records"),
        "{}",
        answer.stderr
    );
    for (input, more) in [
        (TRAIL, &["--records", ".Records"][..]),
        (&format!("[{TRAIL}]"), &[]),
        (&format!("{TRAIL}{{\"n\":1}}\n"), &[]),
        ("{\"n\":1,\"tags\":[\"a\",\"b\"]}\n", &[]),
    ] {
        let answer = batch(&world, input, more);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(!answer.stderr.contains("--records"), "{}", answer.stderr);
    }
}

#[test]
fn a_key_that_stands_in_the_records_of_a_document_names_the_option() {
    let world = World::with_vault();
    let key = ["--idempotency-key-from", "eventID"];
    let before = world.tree("vault");
    let answer = batch(&world, TRAIL, &key);
    answer.refused(2, "'eventID', which holds the idempotency key, is missing");
    let fix = "Fix: Add --records '.Records': each of the 2 objects in .Records is a record then.";
    assert!(answer.stderr.contains(fix), "{}", answer.stderr);
    assert!(
        !answer.stderr.contains("note: the batch"),
        "{}",
        answer.stderr
    );
    for input in [format!("[{TRAIL}]"), "{\"n\":1}\n".to_owned()] {
        let answer = batch(&world, &input, &key);
        answer.refused(2, "is missing");
        answer.refused(
            2,
            "Fix: Name a member that is a text or a number in every record",
        );
    }
    assert!(world.tree("vault") == before, "the vault changed");
    let more = [&key[..], &["--records", ".Records"]].concat();
    assert_eq!(batch(&world, TRAIL, &more).code, 0);
}

#[test]
fn a_document_that_is_wrong_is_no_record_that_was_refused() {
    let world = World::with_vault();
    for (input, more, words) in [
        (
            TRAIL,
            ["--records", ".nope"],
            "The batch could not be read on at line 1; nothing was appended: The document has no array at \
             '.nope'.",
        ),
        (
            TRAIL,
            ["--records", "."],
            "The batch could not be read on at line 1; nothing was appended: The document is an object",
        ),
        (
            "[{\"n\":1},\n{\"n\":2} 3]",
            ["--records", "."],
            "The batch could not be read on at line 2, after record 2; 2 events of the batch are in and sealed",
        ),
        (
            "{\"Records\":[{\"n\":3}",
            ["--records", ".Records"],
            "The JSON document ends before it is whole, after 1 record.",
        ),
    ] {
        let answer = batch(&world, input, &more);
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        let text = answer.stderr.replace("\n", " ");
        assert!(text.contains(words), "{text}");
        assert!(!text.contains("was refused"), "{text}");
    }
}

#[test]
fn what_helps_against_a_number_is_not_chosen_already() {
    let world = World::with_vault();
    let data = r#"{"Event":{"System":{"Keywords":9223372036854775809,"a.b":[1,[9223372036854775809]]}},"n":1}"#;
    let changed = "Write the number as a string, \"9223372036854775809\"; or";
    let at = |place: &'static str| ["--numbers", "string", "--numbers-at", place];
    let keywords = "add --numbers-at Event.System.Keywords, which does that to every number there.";
    let items =
        "add --numbers-at 'Event.System.a\\.b[*][*]', which does that to every number there.";
    for (more, fix) in [
        (&at("n")[..], format!("{changed} {keywords}")),
        (&at("Event.System.Keywords"), format!("{changed} {items}")),
    ] {
        let single = [
            &[
                "append",
                "vault",
                "--type",
                "com.example.trail",
                "--allow-unregistered",
                "--data",
                data,
            ],
            more,
        ]
        .concat();
        for answer in [
            batch(&world, &format!("{data}\n"), more),
            world.run_with(&single, |command| {
                command.env("PROVARA_PYTHON", "/nonexistent")
            }),
        ] {
            assert_eq!(answer.code, 2);
            assert!(
                answer.stderr.contains(&format!("Fix: {fix}")),
                "{}",
                answer.stderr
            );
        }
    }
    // What is said is what helps.
    let more = [
        &at("Event.System.Keywords")[..],
        &["--numbers-at", "Event.System.a\\.b[*][*]"],
    ]
    .concat();
    let answer = batch(&world, &format!("{data}\n"), &more);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    // A name that no place can have.
    let answer = batch(&world, "{\"\":9223372036854775809}\n", &at("n"));
    assert!(
        answer
            .stderr
            .contains("Fix: Write the number as a string, \"9223372036854775809\".\n"),
        "{}",
        answer.stderr
    );
    let answer = batch(&world, "{\"n\":1e999}\n", &["--numbers", "round"]);
    let fix = "or give --numbers string in place of --numbers round, which does that to every such number.";
    assert!(answer.stderr.contains(fix), "{}", answer.stderr);
}

/// A vault with a connection.
fn connection() -> World {
    let world = World::with_vault();
    let record = "{\"proto\":\"tcp\",\"id.orig_h\":\"10.0.0.1\",\"id\":{\"n\":1}}\n";
    assert_eq!(batch(&world, record, &[]).code, 0);
    world
}

fn query(world: &World, more: &[&str]) -> Answer {
    world.run(&[&["query", "vault"], more].concat())
}

#[test]
fn a_text_without_quotes_and_a_name_with_a_dot_are_told() {
    let world = connection();
    let quotes = |name: &str, text: &str| {
        format!(
            "note: no event has '{name}' at its top level; if it is meant as a text, put it in quotes: \
             \"{text}\".\n"
        )
    };
    let dotted = |asked: &str| {
        format!(
            "note: no event that is looked at has '{asked}'; did you mean 'payload[\"id.orig_h\"]'?\n"
        )
    };
    for (condition, note) in [
        ("payload.proto == tcp", quotes("tcp", "tcp")),
        ("payload.proto.startsWith(tc)", quotes("tc", "tc")),
        ("payload.proto in [\"udp\", tcp]", quotes("tcp", "tcp")),
        (
            "payload.proto == tcp.example",
            quotes("tcp", "tcp.example"),
        ),
        (
            "payload.id.orig_h == \"10.0.0.1\"",
            dotted("payload.id.orig_h"),
        ),
        ("payload.id.orig_h=10.0.0.1", dotted("payload.id.orig_h")),
        ("id.orig_h == \"10.0.0.1\"", dotted("id.orig_h")),
        (
            "payload.nope == payload.gone || payload.gone == 1",
            "note: no event that is looked at has 'payload.nope'.\nnote: no event that is looked at has \
             'payload.gone'.\n"
                .to_owned(),
        ),
        (
            "tcp == \"tcp\"",
            "note: no event has 'tcp' at its top level; what was recorded stands in the payload, as in \
             payload.tcp=VALUE.\n"
                .to_owned(),
        ),
    ] {
        let answer = query(&world, &["--where", condition]);
        assert_eq!((answer.code, &*answer.stderr), (0, &*note), "{condition}");
    }
    for condition in [
        "payload.proto == \"tcp\"",
        "payload[\"id.orig_h\"] == \"10.0.0.1\"",
    ] {
        let answer = query(&world, &["--where", condition, "--count"]);
        assert_eq!((&*answer.stdout, &*answer.stderr), ("1\n", ""));
    }
    query(&world, &["--where", "payload.a + 1 > 2"])
        .refused(2, "'+' cannot stand here: conditions have no arithmetic.");
}

#[test]
fn a_member_that_no_event_has_is_told() {
    let world = connection();
    let trail = ["--type", "com.example.trail", "--fields"];
    let fields = |list: &'static str| [&trail[..], &[list]].concat();
    let nope = "note: no event of this type has 'nope' at its top level; what was recorded stands in the payload, \
                as in payload.nope.\n";
    let dotted = "note: no event of this type that is looked at has 'payload.id.orig_h'; did you mean \
                  'payload[\"id.orig_h\"]'?\n";
    for format in ["table", "csv", "json", "ndjson"] {
        let ask = |list| query(&world, &[&fields(list)[..], &["--format", format]].concat());
        assert_eq!(ask("nope").stderr, nope);
        assert_eq!(ask("actor,payload.id.orig_h").stderr, dotted);
        assert_eq!(ask("actor,payload.proto,payload.id.n").stderr, "");
    }
    // Others have it.
    let answer = query(&world, &["--last", "1", "--fields", "payload.uid"]);
    assert_eq!(answer.code, 0);
    assert!(
        query(&world, &["--limit", "1", "--fields", "payload.proto"])
            .stderr
            .is_empty()
    );
    let cursor = [&fields("nope")[..], &["--cursor", "a.cursor"]].concat();
    assert_eq!(query(&world, &cursor).stderr, nope);
    // Nothing is new, and nothing is wrong with that.
    assert_eq!(query(&world, &cursor).stderr, "");
}

#[test]
fn what_cannot_match_is_told_where_new_events_are_waited_for() {
    let world = connection();
    let nope = "note: no event of type 'nope' stands in this log";
    for more in [
        &["--type", "nope"][..],
        &["--type", "nope", "--type", "com.example.trail"],
    ] {
        let cursor = query(&world, &[more, &["--cursor", "b.cursor"]].concat());
        assert_eq!(cursor.code, 0);
        assert!(cursor.stderr.starts_with(nope), "{}", cursor.stderr);
        fs::remove_file(world.path("b.cursor")).unwrap();
    }
    let quiet = ["--type", "com.example.trail", "--cursor", "b.cursor"];
    for _ in 0..2 {
        assert_eq!(query(&world, &quiet).stderr, "");
    }
    let member = query(&world, &["--where", "payload.x=1", "--cursor", "c.cursor"]);
    assert_eq!(
        member.stderr,
        "note: no event that is looked at has 'payload.x'.\n"
    );

    // It is said before anything is waited for.
    let noted = world.path("noted");
    let mut child = Tool::new(env!("CARGO_BIN_EXE_provara"))
        .args(["query", "vault", "--follow", "--type", "nope"])
        .env_clear()
        .env("HOME", world.path("home"))
        .current_dir(world.path("."))
        .stdout(Stdio::null())
        .stderr(fs::File::create(&noted).unwrap())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let said = || fs::read_to_string(&noted).unwrap();
    while !said().contains('\n') && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said().starts_with(nope), "{}", said());
}
