//! Numbers on the command line: one rule whatever the spelling and the option, and what `--numbers` makes of
//! those that an event cannot hold.

use std::fs;

use crate::world::{Answer, World, append};

/// One that nobody judges and nothing is wrapped for: what is in the event is what was given.
const TYPE: [&str; 2] = ["--type", "RECEIPT"];

fn reading(world: &World, more: &[&str]) -> Answer {
    world.run(&[&["append", "vault"], &TYPE[..], more].concat())
}

fn log(world: &World) -> String {
    fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap()
}

/// The payload of the last event.
fn payload(world: &World) -> String {
    let log = log(world);
    let line = log.lines().last().unwrap();
    let start = line.find("\"payload\":").unwrap() + 10;
    let end = line.find(",\"prev_event_hash\"").unwrap();
    line[start..end].to_owned()
}

fn verifies(world: &World) {
    let answer = world.run(&["verify", "vault", "--strict"]);
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
}

#[test]
fn one_rule_whatever_the_spelling_and_the_option() {
    let world = World::with_vault();
    let mut batch = String::new();
    let mut expected = Vec::new();
    for (given, kept, note) in [
        ("1.0", "1", None),
        ("-0.0", "0", None),
        (
            "9007199254740992",
            "9007199254740992",
            Some("1 integer beyond"),
        ),
        (
            "18014398509481984",
            "18014398509481984",
            Some("1 integer beyond"),
        ),
        (
            "100000000000000000000",
            "100000000000000000000",
            Some("1 integer beyond"),
        ),
        ("1e20", "100000000000000000000", None),
        ("1.152921504606847e+18", "1152921504606847000", None),
        ("1e300", "1e+300", None),
        (
            "0.10000000000000001",
            "0.1",
            Some("1 number has more digits"),
        ),
        ("0e-99999999999", "0", None),
    ] {
        let data = format!("{{\"n\":[{given}]}}");
        for more in [
            ["--data", &data],
            ["--set", &format!("n={given}")],
            ["--set", &format!("n[0]={given}")],
        ] {
            let answer = reading(&world, &more);
            assert_eq!(answer.code, 0, "{given}: {}", answer.stderr);
            assert!(
                payload(&world).contains(kept),
                "{given}: {}",
                payload(&world)
            );
            match note {
                Some(note) => assert!(answer.stderr.contains(note), "{}", answer.stderr),
                None => assert_eq!(answer.stderr, "", "{given}"),
            }
        }
        batch += &format!("{{\"type\":\"RECEIPT\",\"data\":{data}}}\n");
        expected.push(format!("\"payload\":{{\"n\":[{kept}]}}"));
    }
    fs::write(world.path("batch"), &batch).unwrap();
    let before = log(&world).lines().count();
    let answer = world.run(&["append", "vault", "--batch", "batch"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("3 integers beyond ±(2^53-1)"),
        "{}",
        answer.stderr
    );
    assert!(
        answer.stderr.contains("1 number has more digits"),
        "{}",
        answer.stderr
    );
    let log = log(&world);
    for (line, expected) in log.lines().skip(before).zip(&expected) {
        assert!(line.contains(expected), "{line}");
    }
    verifies(&world);

    // What was logged is taken again and gives the same payloads.
    let again: String = expected
        .iter()
        .map(|it| {
            format!(
                "{{\"type\":\"RECEIPT\",{}}}\n",
                it.replace("payload", "data")
            )
        })
        .collect();
    fs::write(world.path("again"), again).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "again"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let log = self::log(&world);
    for (line, expected) in log.lines().skip(before + expected.len()).zip(&expected) {
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn a_refusal_names_the_place_the_value_and_the_ways_out() {
    let world = World::with_vault();
    let before = world.tree("vault");
    for (given, nearest) in [
        ("9007199254740993", "9007199254740992"),
        ("9007199254740993.0", "9007199254740992"),
        ("12345678901234567.89", "12345678901234568"),
        ("1234567890123456789.0", "1234567890123456800"),
        ("100000000000000000000.5", "100000000000000000000"),
        ("-9223372036854775808", "-9223372036854776000"),
        ("1e-400", "0"),
        ("1e-999999999", "0"),
    ] {
        let data = format!("{{\"a.b\":{{\"c\":[0,{given}]}}}}");
        let line = format!("{{\"type\":\"RECEIPT\",\"data\":{data}}}\n");
        fs::write(world.path("batch"), line).unwrap();
        let wrapped = format!("{{\"type\":\"OBSERVATION\",\"data\":{data}}}\n");
        fs::write(world.path("wrapped"), wrapped).unwrap();
        let set = format!("a\\.b.c[1]={given}");
        for answer in [
            reading(&world, &["--data", &data]),
            reading(&world, &["--data", "{\"a.b\":{\"c\":[0]}}", "--set", &set]),
            world.run(&append(&["--data", &data])),
            world.run(&["append", "vault", "--batch", "batch"]),
            world.run(&["append", "vault", "--batch", "wrapped"]),
        ] {
            let words = format!(
                "a\\.b.c[1]: the number {given} cannot be kept: the nearest that a log can hold (a binary64) \
                 is {nearest}"
            );
            answer.refused(2, &words);
            let fix = format!(
                "\nFix: Write the number as a string, \"{given}\"; or add --numbers string, which does that \
                 to every such number, or --numbers round, which takes {nearest}."
            );
            assert!(answer.stderr.contains(&fix), "{}", answer.stderr);
        }
    }
    reading(&world, &["--data", "{\"n\":1e400}"]).refused(2, "beyond the range");
    assert!(world.tree("vault") == before, "the vault changed");
}

#[test]
fn numbers_that_an_event_cannot_hold_go_in_if_that_is_asked_for() {
    // A Windows event, and a message with ids as Twitter and Discord have them.
    let windows = r#"{"Keywords":-9223372036854775808,"EventID":4624,"Level":0}"#;
    let message = r#"{"id":1212092628029698048,"user":{"id":6253282,"ids":[81384788765712384,7]},"score":0.25,"big":9007199254740992}"#;
    let lines: String = [windows, message]
        .iter()
        .map(|data| format!("{{\"type\":\"RECEIPT\",\"data\":{data}}}\n"))
        .collect();
    for (options, payloads, notes) in [
        (
            &["--numbers", "string"][..],
            [
                r#"{"EventID":4624,"Keywords":"-9223372036854775808","Level":0}"#,
                r#"{"big":"9007199254740992","id":"1212092628029698048","score":0.25,"user":{"id":6253282,"ids":["81384788765712384",7]}}"#,
            ],
            &["4 numbers became strings (--numbers string)"][..],
        ),
        (
            &["--numbers=round"],
            [
                r#"{"EventID":4624,"Keywords":-9223372036854776000,"Level":0}"#,
                r#"{"big":9007199254740992,"id":1212092628029698000,"score":0.25,"user":{"id":6253282,"ids":[81384788765712380,7]}}"#,
            ],
            // One of the four was given as it is.
            &[
                "3 numbers became the nearest binary64 (--numbers round)",
                "note: 1 integer beyond",
            ],
        ),
        (
            &[
                "--numbers=string",
                "--numbers-at=Keywords",
                "--numbers-at=id",
                "--numbers-at=user.id",
                "--numbers-at=user.ids[*]",
                "--numbers-at=gone.id",
            ],
            [
                r#"{"EventID":4624,"Keywords":"-9223372036854775808","Level":0}"#,
                r#"{"big":9007199254740992,"id":"1212092628029698048","score":0.25,"user":{"id":"6253282","ids":["81384788765712384","7"]}}"#,
            ],
            &[
                "5 numbers became strings (--numbers string)",
                "no data has a value at 'gone.id' (--numbers-at)",
                "1 integer beyond",
            ],
        ),
    ] {
        let world = World::with_vault();
        fs::write(world.path("batch"), &lines).unwrap();
        let fixed = ["append", "vault", "--batch", "batch"];
        let answer = world.run(&[&fixed, options].concat());
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let log = log(&world);
        for (line, payload) in log.lines().rev().zip(payloads.iter().rev()) {
            assert!(line.contains(&format!("\"payload\":{payload},")), "{line}");
        }
        for note in notes {
            assert!(answer.stderr.contains(note), "{note}: {}", answer.stderr);
        }
        verifies(&world);

        // The same for one event.
        let answer = reading(&world, &[&["--data", windows], options].concat());
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert_eq!(payload(&world), payloads[0]);
    }
}

#[test]
fn what_is_wrong_with_the_options_is_told() {
    let world = World::with_vault();
    let before = world.tree("vault");
    let data = ["--data", "{\"n\":1}"];
    reading(&world, &[&data[..], &["--numbers-at", "n"]].concat())
        .refused(2, "does not say 'string'");
    reading(&world, &[&data[..], &["--numbers", "lax"]].concat()).refused(2, "lax");
    let place = ["--numbers", "string", "--numbers-at", "n..m"];
    reading(&world, &[&data[..], &place].concat()).refused(2, "a name is empty");
    assert!(world.tree("vault") == before, "the vault changed");
}

#[test]
fn only_what_is_appended_is_counted() {
    let world = World::with_vault();
    let good = r#"{"type":"OBSERVATION","data":{"n":9007199254740993}}"#;
    fs::write(
        world.path("batch"),
        format!("{good}\n{good}\nnonsense\n{good}\n"),
    )
    .unwrap();
    let answer = world.run(&["append", "vault", "--batch", "batch", "--numbers", "string"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.stderr.contains("2 numbers became strings"),
        "{}",
        answer.stderr
    );
}
