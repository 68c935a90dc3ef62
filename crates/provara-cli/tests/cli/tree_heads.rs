//! Tree heads and proofs at the command line: what holds, and one error for each thing that does not.

use std::fs;

use serde_json::Value;

use crate::world::{Answer, World};

/// A vault of which heads were kept: `head` over five events, `later` over six; another one with `other`.
fn kept() -> World {
    let world = World::with_vault();
    (0..3).for_each(|number| drop(world.observe("door", &number.to_string())));
    done(&world.run(&["tree-head", "vault", "--output", "head"]));
    world.observe("door", "\"shut\"");
    done(&world.run(&["tree-head", "vault", "--output", "later"]));
    done(&world.run(&["init", "another", "--uid", "another-vault"]));
    done(&world.run(&["tree-head", "another", "--output", "other"]));
    world
}

#[track_caller]
fn done(answer: &Answer) {
    assert_eq!(answer.code, 0, "{}", answer.transcript());
}

/// Runs a request that must be refused, and checks that nothing in the vault changed.
#[track_caller]
fn refused(world: &World, arguments: &[&str], code: i32, saying: &str) -> Answer {
    refused_with_heads(world, arguments, None, code, saying)
}

#[track_caller]
fn refused_with_heads(
    world: &World,
    arguments: &[&str],
    folder: Option<&str>,
    code: i32,
    saying: &str,
) -> Answer {
    let before = world.tree("vault");
    let answer = world.run_with(arguments, |command| match folder {
        Some(folder) => command.env("PROVARA_HEADS", folder),
        None => command,
    });
    answer.refused(code, saying);
    assert!(world.tree("vault") == before, "the vault changed");
    answer
}

fn text(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap()
}

/// The report of a verification, and its exit code.
fn report(world: &World, arguments: &[&str]) -> (i32, Value) {
    let before = world.tree("vault");
    let answer = world.run(&[&["verify", "vault", "--json"], arguments].concat());
    assert!(world.tree("vault") == before, "the vault changed");
    let report = serde_json::from_str(&answer.stdout);
    (
        answer.code,
        report.unwrap_or_else(|_| panic!("{}", answer.transcript())),
    )
}

/// The one finding of a vault that does not pass, with what two sides say.
#[track_caller]
fn contradicted(world: &World, head: &str, code: &str, expected: &str, found: &str) {
    let (exit, report) = report(world, &["--head", head]);
    assert_eq!((exit, &report["valid"]), (1, &Value::Bool(false)));
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = &findings[0];
    assert_eq!(finding["code"], code, "{finding}");
    assert_eq!(finding["file"], head, "{finding}");
    let fact = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let facts = (fact("expected"), fact("found"));
    assert_eq!(facts, (expected.to_owned(), found.to_owned()), "{finding}");
}

/// The lines of `head` with the signature of somebody whose algorithm nobody here knows.
fn witnessed(head: &str) -> String {
    format!("{head}\u{2014} witness.example/w1 AQIDBAcHBwcHBwcHBwcHBwcHBwc=\n")
}

#[test]
fn a_tree_head_is_printed_or_written_and_the_vault_stays_as_it_is() {
    let world = World::with_vault();
    let before = world.tree("vault");
    let printed = world.run(&["tree-head", "vault", "--copy", "ward-3"]);
    done(&printed);
    let lines: Vec<_> = printed.stdout.lines().collect();
    assert_eq!(lines[..2], ["provara/test-vault/ward-3", "2"]);
    assert!(
        lines[4].starts_with("\u{2014} provara/test-vault/ward-3 "),
        "{lines:?}"
    );
    let written = world.run(&["tree-head", "vault", "--output", "head"]);
    done(&written);
    assert!(
        written
            .stdout
            .starts_with("Wrote head\n  origin  provara/test-vault/ward-3\n")
    );
    assert_eq!(text(&world, "head"), printed.stdout);
    let told = world.run(&["tree-head", "vault", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["schema"], "provara.tree-head.v1");
    assert_eq!(told["note"], printed.stdout);
    assert_eq!(told["size"], 2);
    assert!(world.tree("vault") == before, "the vault changed");
    done(&world.run(&["verify", "vault", "--strict", "--head", "head"]));
}

#[test]
fn a_command_is_given_the_tree_head_and_its_failure_is_told() {
    let world = World::with_vault();
    let printed = world.run(&["tree-head", "vault"]).stdout;
    let given = world.run(&["tree-head", "vault", "--exec", "cat > given"]);
    done(&given);
    assert_eq!((given.stdout.as_str(), given.stderr.as_str()), ("", ""));
    assert_eq!(text(&world, "given"), printed);
    // A command that has no use for what it is given.
    done(&world.run(&["tree-head", "vault", "--exec", "exec <&-; true"]));
    let failing = &["tree-head", "vault", "--exec", "cat > again; exit 7"];
    let failed = refused(
        &world,
        failing,
        3,
        "The command of --exec failed (exit status: 7)",
    );
    assert!(failed.stderr.contains("the next one goes on from it"));
    assert_eq!(text(&world, "again"), printed);
    let killed = &["tree-head", "vault", "--exec", "kill -9 $$"];
    refused(&world, killed, 3, "The command of --exec failed (signal: 9");
    let both = &["tree-head", "vault", "--exec", "true", "--json"];
    refused(&world, both, 2, "cannot be used with");
}

#[test]
fn outputs_lie_outside_of_the_vault_and_replace_nothing_unasked() {
    let world = kept();
    for command in [
        &["tree-head", "vault"][..],
        &["prove", "vault", "--lines", "2", "--head", "head"],
    ] {
        let to = |output: &'static str| [command, &["--output", output]].concat();
        refused(&world, &to("vault/head"), 2, "nothing may be written");
        fs::write(world.path("mine"), "mine").unwrap();
        refused(&world, &to("mine"), 3, "exists already");
        assert_eq!(text(&world, "mine"), "mine");
        done(&world.run(&[&to("mine")[..], &["--force"]].concat()));
        assert_ne!(text(&world, "mine"), "mine");
        let forced = [command, &["--force"]].concat();
        refused(&world, &forced, 2, "--output");
    }
}

#[test]
fn a_tree_head_that_is_not_signed() {
    let world = kept();
    let tree_head = |more: &[&'static str]| [&["tree-head", "vault"], more].concat();
    refused(&world, &tree_head(&["--copy", "Ward 3"]), 2, "lower-case");
    refused(
        &world,
        &tree_head(&["--copy", "ward-3"]),
        2,
        "and so not as 'ward-3'",
    );
    let nowhere = tree_head(&["--keyfile", "nowhere"]);
    refused(&world, &nowhere, 3, "no keyfile at 'nowhere'");
    let continued = tree_head(&["--continue", "head", "--break-heads"]);
    refused(&world, &continued, 2, "cannot be used with");
    // A vault that does not verify: its log was cut.
    let log = world.path("vault/events/events.ndjson");
    let events = fs::read_to_string(&log).unwrap();
    let cut = events.trim_end().rsplit_once('\n').unwrap().0;
    fs::write(&log, format!("{cut}\n")).unwrap();
    let answer = world.run(&["tree-head", "vault"]);
    answer.refused(1, "the seal is neither of the vault as it is");
}

#[test]
fn a_vault_goes_on_from_what_was_kept_of_it() {
    let world = kept();
    let (code, told) = report(&world, &["--head", "head", "--head", "later"]);
    assert_eq!((code, &told["valid"]), (0, &Value::Bool(true)));
    assert_eq!(
        told["options"]["heads"],
        serde_json::json!(["head", "later"])
    );
    let notes = told["notes"].to_string();
    assert!(
        notes.contains("over 6 of its 6 events ('later')"),
        "{notes}"
    );
    // Whoever has only a copy, and no memory of it.
    done(&world.run(&["backup", "vault", "vault.tar"]));
    done(&world.run(&["restore", "vault.tar", "restored"]));
    let elsewhere = world.run_with(&["verify", "restored", "--head", "head"], |command| {
        command.env("HOME", world.path("trap"))
    });
    done(&elsewhere);
}

#[test]
fn a_vault_that_is_not_what_was_kept_does_not_pass() {
    let world = kept();
    contradicted(
        &world,
        "other",
        "PROVARA_E017",
        "another-vault",
        "test-vault",
    );
    // Of a longer log: the vault is put back.
    crate::world::copy(&world.path("vault"), &world.path("now"));
    world.observe("door", "\"open\"");
    done(&world.run(&["tree-head", "vault", "--output", "longer"]));
    fs::remove_dir_all(world.path("vault")).unwrap();
    fs::rename(world.path("now"), world.path("vault")).unwrap();
    done(&world.run(&["accept", "vault"]));
    contradicted(&world, "longer", "PROVARA_E017", "7 events or more", "6");
    // Changed, and so never signed.
    let changed = text(&world, "head").replacen("\n5\n", "\n4\n", 1);
    fs::write(world.path("changed"), changed).unwrap();
    contradicted(&world, "changed", "PROVARA_E018", "", "");
    // A stranger's signature counts for nothing, beside ours or instead of it.
    let head = text(&world, "head");
    fs::write(world.path("witnessed"), witnessed(&head)).unwrap();
    assert_eq!(report(&world, &["--head", "witnessed"]).0, 0);
    let (note, _) = head.split_once("\n\n").unwrap();
    fs::write(world.path("stranger"), witnessed(&format!("{note}\n\n"))).unwrap();
    contradicted(&world, "stranger", "PROVARA_E018", "", "");
    let root_key = &["verify", "vault", "--root-key", "bp1_0123456789abcdef"];
    let answer = world.run(root_key);
    assert_eq!(answer.code, 1, "{}", answer.transcript());
    assert!(answer.stdout.contains("PROVARA_E207 ROOT_KEY_MISMATCH"));
}

#[test]
fn what_is_no_tree_head() {
    let world = kept();
    let head = text(&world, "head");
    let signature = head.lines().last().unwrap();
    let (note, _) = head.split_once("\n\n").unwrap();
    for (name, text, saying) in [
        (
            "cut",
            head[..head.len() - 9].to_owned(),
            "its end is missing",
        ),
        ("unsigned", format!("{note}\n"), "its end is missing"),
        ("twice", format!("{head}{signature}\n"), "of one key"),
        (
            "more",
            head.replacen("\n\n", "\nmore\n\n", 1),
            "no tree head",
        ),
        ("empty", String::new(), "its end is missing"),
        (
            "foreign",
            head.replacen("provara/", "example.com/", 1),
            "its origin is none of a vault",
        ),
    ] {
        fs::write(world.path(name), text).unwrap();
        let words = format!("'{name}' is no tree head: ");
        for arguments in [
            &["verify", "vault", "--head", name][..],
            &["verify", "vault", "--json", "--head", name],
            &["prove", "vault", "--lines", "2", "--head", name],
            &["prove", "vault", "--from", name, "--head", "head"],
            &["tree-head", "another", "--continue", name],
        ] {
            refused(&world, arguments, 2, saying);
            refused(&world, arguments, 2, &words);
        }
    }
    refused(
        &world,
        &["verify", "vault", "--head", "nowhere"],
        3,
        "'nowhere'",
    );
    refused(
        &world,
        &["verify", "vault", "--head", "vault"],
        3,
        "no regular file",
    );
}

#[test]
fn a_folder_of_tree_heads() {
    let world = kept();
    let verify = &["verify", "vault"][..];
    for folder in ["nowhere", "head"] {
        let words = format!("Could not read the folder of tree heads '{folder}'");
        let answer = refused_with_heads(&world, verify, Some(folder), 3, &words);
        assert!(answer.stderr.contains("PROVARA_HEADS names the folder."));
    }
    let run = |arguments: &[&str]| {
        world.run_with(arguments, |command| command.env("PROVARA_HEADS", "heads"))
    };
    fs::create_dir(world.path("heads")).unwrap();
    // Of another vault, and no head at all: nothing of this one.
    fs::copy(world.path("other"), world.path("heads/other")).unwrap();
    fs::write(world.path("heads/README"), "About these.\n").unwrap();
    let answer = run(verify);
    done(&answer);
    assert!(answer.stdout.contains("PROVARA_W016 NO_TREE_HEAD  heads"));
    assert!(answer.stdout.contains("'heads/README' is no tree head"));
    assert_eq!(run(&["verify", "vault", "--strict"]).code, 1);
    done(&run(&["verify", "vault", "--strict", "--allow", "W016"]));
    fs::copy(world.path("head"), world.path("heads/head")).unwrap();
    done(&run(&["verify", "vault", "--strict"]));
    // One that the vault does not go on from.
    let changed = text(&world, "later").replacen("\n6\n", "\n5\n", 1);
    fs::write(world.path("heads/later"), changed).unwrap();
    let answer = run(verify);
    assert_eq!(answer.code, 1, "{}", answer.transcript());
    assert!(
        answer
            .stdout
            .contains("PROVARA_E018 TREE_HEAD_NOT_SIGNED  heads/later")
    );
}

/// The id of the event in a line of the log.
fn event_id(world: &World, line: usize) -> String {
    let log = text(world, "vault/events/events.ndjson");
    let event: Value = serde_json::from_str(log.lines().nth(line - 1).unwrap()).unwrap();
    event["event_id"].as_str().unwrap().to_owned()
}

#[test]
fn events_are_proven_without_the_vault() {
    let world = kept();
    let before = world.tree("vault");
    let id = event_id(&world, 4);
    done(&world.run(&["prove", "vault", &id, "--head", "head", "--output", "event"]));
    done(&world.run(&[
        "prove", "vault", "--lines", "2-4", "--head", "later", "-o", "range",
    ]));
    done(&world.run(&[
        "prove", "vault", "--from", "head", "--head", "later", "-o", "onward",
    ]));
    assert!(world.tree("vault") == before, "the vault changed");
    let printed = world.run_with(
        &["prove", "vault", "--lines", "2-4", "--head", "later"],
        |it| it,
    );
    done(&printed);
    fs::rename(world.path("vault"), world.path("gone")).unwrap();
    let event = world.run(&["verify-proof", "event", "--head", "head", "--json"]);
    let event: Value = serde_json::from_str(&event.stdout).unwrap();
    let lines = event["events"].as_array().unwrap().iter();
    let lines: Vec<_> = lines.map(|event| event["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 4]);
    let range = world.run(&["verify-proof", "range", "--head", "later"]);
    done(&range);
    assert!(
        range.stdout.starts_with("PROVEN  range\n"),
        "{}",
        range.stdout
    );
    assert!(
        range
            .stdout
            .contains("In lines 1 to 4 there are no other events")
    );
    let onward = world.run(&["verify-proof", "onward", "--head", "head"]);
    done(&onward);
    assert!(
        onward
            .stdout
            .contains("goes on from the older one, over 5 events")
    );
    assert!(onward.stdout.contains("provara/test-vault/"));
}

#[test]
fn a_proof_of_something_else_does_not_pass() {
    let world = kept();
    let id = event_id(&world, 4);
    let verify_proof =
        |proof: &'static str, head: &'static str| vec!["verify-proof", proof, "--head", head];
    done(&world.run(&["prove", "vault", &id, "--head", "head", "--output", "event"]));
    done(&world.run(&[
        "prove", "vault", "--from", "head", "--head", "later", "-o", "onward",
    ]));
    for (proof, head) in [("event", "later"), ("event", "other"), ("onward", "other")] {
        let words = format!("'{proof}' is a proof for another tree head.");
        let answer = refused(&world, &verify_proof(proof, head), 1, &words);
        assert!(answer.stderr.contains("\n  yours ") && answer.stderr.contains("\n  its own "));
    }
    let other_key = &[
        "verify-proof",
        "event",
        "--root-key",
        "bp1_0123456789abcdef",
    ];
    let answer = refused(&world, other_key, 1, "not of a vault that the key made");
    assert!(
        answer
            .stderr
            .contains("\n  named     bp1_<id>\n  found     bp1_<id>\n")
    );
    // Another event in its place, or at another place.
    let proof = text(&world, "event");
    let log = text(&world, "vault/events/events.ndjson");
    let escaped = |line: usize| {
        let line = log.lines().nth(line - 1).unwrap();
        serde_json::to_string(line).unwrap()
    };
    for (name, from, to) in [
        ("exchanged", escaped(4), escaped(3)),
        ("moved", "\"at\":3".to_owned(), "\"at\":2".to_owned()),
    ] {
        assert!(proof.contains(&from), "{proof}");
        fs::write(world.path(name), proof.replacen(&from, &to, 1)).unwrap();
        let arguments = &["verify-proof", name, "--head", "head"];
        refused(
            &world,
            arguments,
            1,
            "the events are not those of the tree head",
        );
    }
    fs::write(world.path("cut"), &proof[..proof.len() / 2]).unwrap();
    refused(
        &world,
        &verify_proof("cut", "head"),
        1,
        "'cut' proves nothing: it is no proof",
    );
    refused(
        &world,
        &verify_proof("head", "head"),
        1,
        "'head' proves nothing: it is no proof",
    );
}

#[test]
fn a_proof_that_is_held_to_nothing_or_cannot_be_read() {
    let world = kept();
    done(&world.run(&[
        "prove", "vault", "--lines", "2", "--head", "head", "-o", "proof",
    ]));
    refused(&world, &["verify-proof", "proof"], 2, "--head");
    refused(
        &world,
        &["verify-proof", "nowhere", "--head", "head"],
        3,
        "'nowhere'",
    );
    refused(
        &world,
        &["verify-proof", "proof", "--head", "nowhere"],
        3,
        "'nowhere'",
    );
    refused(
        &world,
        &["verify-proof", "proof", "--root-key", "me"],
        2,
        "key id",
    );
    fs::write(world.path("cut"), "provara/").unwrap();
    let no_head = &["verify-proof", "proof", "--head", "cut"];
    let answer = refused(&world, no_head, 2, "'cut' is no tree head");
    // There is no vault here whose name could be told.
    assert!(
        answer.stderr.contains("provara tree-head VAULT\n"),
        "{}",
        answer.stderr
    );
}

#[test]
fn what_cannot_be_proven() {
    let world = kept();
    let prove = |more: &[&'static str]| [&["prove", "vault"], more].concat();
    refused(&world, &prove(&[]), 2, "not said what is to be proven");
    for lines in ["0-1", "3-2", "x", "1-"] {
        let arguments = prove(&["--head", "head", "--lines"]);
        refused(
            &world,
            &[&arguments[..], &[lines]].concat(),
            2,
            "two numbers",
        );
    }
    let beyond = prove(&["--lines", "4-6", "--head", "head"]);
    refused(&world, &beyond, 2, "over the lines 1 to 5");
    let absent = prove(&["evt_0123456789abcdef01234567", "--head", "head"]);
    refused(
        &world,
        &absent,
        2,
        "is among the 5 that the tree head is over",
    );
    let id = event_id(&world, 6);
    let later = &["prove", "vault", &id, "--head", "head"];
    refused(
        &world,
        later,
        2,
        "is among the 5 that the tree head is over",
    );
    refused(
        &world,
        &prove(&["event", "--head", "head"]),
        2,
        "an event id is",
    );
    let backward = prove(&["--from", "later", "--head", "head"]);
    refused(
        &world,
        &backward,
        2,
        "over 5 events goes on from none over 6",
    );
    for more in [
        &["--lines", "1", "--head", "other"][..],
        &["--from", "other", "--head", "later"],
    ] {
        refused(&world, &prove(more), 1, "provara/another-vault/");
    }
    let both = prove(&["--lines", "1", "--from", "head"]);
    refused(&world, &both, 2, "cannot be used with");
}

#[test]
fn a_proof_that_is_held_to_nothing_is_refused_with_all_that_it_may_be_held_to() {
    let world = kept();
    done(&world.run(&[
        "prove", "vault", "--lines", "3-3", "--head", "head", "--output", "proof",
    ]));
    let answer = refused(&world, &["verify-proof", "proof"], 2, "nothing is named");
    for option in ["--head", "--root-key", "--witness"] {
        assert!(answer.stderr.contains(option), "{}", answer.stderr);
    }
}

#[test]
fn what_shows_a_vault_to_others_does_not_go_on_with_one_that_does_not_verify() {
    let world = kept();
    let log = world.path("vault/events/events.ndjson");
    let changed = fs::read_to_string(&log)
        .unwrap()
        .replace("\"shut\"", "\"open\"");
    fs::write(&log, changed).unwrap();
    for command in [
        &["prove", "vault", "--lines", "3-3", "--head", "head"][..],
        &[
            "disclose",
            "vault",
            "--lines",
            "3-3",
            "--head",
            "head",
            "--output",
            "page.html",
        ],
    ] {
        let answer = world.run(command);
        assert_eq!(answer.code, 1, "{}", answer.transcript());
        let said = &answer.stderr;
        assert!(said.contains("to see every finding."), "{said}");
        assert!(!said.contains("--unverified"), "{said}");
    }
}
