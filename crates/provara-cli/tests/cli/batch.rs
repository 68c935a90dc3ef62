//! `append --batch`: many events, the first bad line, all or nothing, receipts.

use provara_core::event::Draft;
use provara_core::json;
use provara_vault::{Vault, read_keyfile};

use crate::world::{World, append};

fn line(subject: &str, value: u32) -> String {
    format!(
        "{{\"type\":\"OBSERVATION\",\"data\":{{\"subject\":\"{subject}\",\"predicate\":\"p\",\"value\":{value}}}}}\n"
    )
}

fn events(world: &World) -> usize {
    std::fs::read_to_string(world.path("vault/events/events.ndjson"))
        .unwrap()
        .lines()
        .count()
}

fn verifies(world: &World) {
    let answer = world.run(&["verify", "vault", "--strict"]);
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
}

#[test]
fn a_file_of_lines_becomes_a_run_of_events() {
    let world = World::with_vault();
    let mut text: String = (0..20).map(|n| line("a", n)).collect();
    text.push_str(
        "{\"namespace\":\"local\",\"actor\":\"bob\",\"type\":\"com.example.a.b\",\"data\":{}}",
    );
    std::fs::write(world.path("batch"), &text).unwrap();
    let arguments = [
        "append",
        "vault",
        "--batch",
        "batch",
        "--actor",
        "alice",
        "--allow-unregistered",
        "--json",
    ];
    let answer = world.run_with(&arguments, |command| {
        command.env("PROVARA_PYTHON", "/nonexistent")
    });
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let receipts: Vec<serde_json::Value> = answer
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(receipts.len(), 21);
    assert_eq!(receipts[19]["line"], 22);
    assert_eq!(receipts[19]["ts_logical"], 20);
    assert_eq!(receipts[19]["actor"], "alice");
    assert_eq!(receipts[20]["actor"], "bob");
    assert_eq!(receipts[20]["ts_logical"], 1);
    assert_eq!(receipts[20]["event"]["namespace"], "local");
    verifies(&world);

    let answer = world.run_with(&["append", "vault", "--batch", "-"], |command| {
        command.write_stdin(line("b", 1) + &line("b", 2))
    });
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(
        answer
            .stdout
            .starts_with("Appended 2 events\n  lines        24 to 25\n  Merkle root  "),
        "{}",
        answer.stdout
    );
    let answer = world.run_with(&["append", "vault", "--batch", "-"], |command| {
        command.write_stdin("")
    });
    assert_eq!((answer.code, events(&world)), (0, 25));
    verifies(&world);
}

#[test]
fn the_first_bad_line_is_named_and_those_before_are_in() {
    for (bad, words) in [
        ("{\"type\":\"OBSERVATION\"", "not JSON"),
        ("[]", "an array"),
        ("{\"type\":\"GENESIS\",\"data\":{}}", "GENESIS"),
        (
            "{\"type\":\"observation\",\"data\":{}}",
            "reserved for core types",
        ),
        (
            "{\"type\":\"OBSERVATION\",\"data\":{\"n\":9007199254740993}}",
            "9007199254740993",
        ),
        (
            "{\"type\":\"OBSERVATION\",\"data\":{},\"actor\":\"\"}",
            "actor",
        ),
    ] {
        let world = World::with_vault();
        let text = format!("{}{}{bad}\n{}", line("a", 1), line("a", 2), line("a", 3));
        let batch = |more: &[&str]| {
            let arguments = [&["append", "vault", "--batch", "-"], more].concat();
            world.run_with(&arguments, |command| command.write_stdin(text.clone()))
        };
        let before = world.tree("vault");
        let answer = batch(&["--atomic"]);
        assert_eq!(answer.code, 2, "{bad}: {}", answer.stderr);
        assert!(
            answer
                .stderr
                .contains("Line 3 of the batch was refused; nothing was appended"),
            "{}",
            answer.stderr
        );
        assert_eq!(world.tree("vault"), before);
        let answer = batch(&["--json"]);
        assert_eq!(answer.code, 2, "{bad}: {}", answer.stderr);
        let stderr = crate::world::readable(&answer.stderr);
        assert!(
            stderr.contains(
                "Line 3 of the batch was refused; 2 events of the batch are in and sealed, the last of them evt_"
            ),
            "{}",
            stderr
        );
        assert!(stderr.contains(words), "{bad}: {}", stderr);
        assert!(stderr.contains("\nFix: "), "{}", stderr);
        assert_eq!(answer.stdout.lines().count(), 2);
        assert_eq!(events(&world), 4);
        verifies(&world);
    }
}

#[test]
fn atomic_and_good_is_all() {
    let world = World::with_vault();
    let text: String = (0..50).map(|n| line("a", n)).collect();
    let answer = world.run_with(
        &["append", "vault", "--batch", "-", "--atomic"],
        |command| command.write_stdin(text),
    );
    assert_eq!((answer.code, events(&world)), (0, 52), "{}", answer.stderr);
    verifies(&world);
}

#[test]
fn a_batch_is_no_single_append() {
    let world = World::with_vault();
    for more in [
        &["--data", "{}"][..],
        &["--set", "a=1"],
        &["--confidence", "1"],
    ] {
        let answer = world.run(&[&["append", "vault", "--batch", "-"], more].concat());
        assert_eq!(answer.code, 2, "{more:?}");
    }
    assert_eq!(
        world.run(&["append", "vault", "--data", "{}"]).code,
        2,
        "no type"
    );
    let answer = world.run(&append(&["--data", "{}", "--atomic"]));
    assert_eq!(answer.code, 2);
    assert_eq!(world.run(&["append", "vault", "--batch", "absent"]).code, 3);
    assert_eq!(events(&world), 2);
}

/// A source that pauses: what it wrote is sealed, half a line waits, and a signal ends it well.
#[test]
fn events_are_sealed_while_the_next_line_is_awaited() {
    use std::io::Write as _;
    let world = World::with_vault();
    let before = events(&world);
    let mut command = batch(&world, "-");
    let mut child = command.spawn().unwrap();
    let mut source = child.stdin.take().unwrap();
    let second = line("a", 2);
    let (half, rest) = second.split_at(20);
    let seal = || std::fs::read_to_string(world.path("vault/merkle_root.txt")).unwrap();
    let sealed = |count: usize, old: &str| {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while events(&world) < count || seal() == old {
            assert!(
                std::time::Instant::now() < limit,
                "{} events",
                events(&world)
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        verifies(&world);
    };
    let old = seal();
    source
        .write_all(format!("{}{half}", line("a", 1)).as_bytes())
        .unwrap();
    sealed(before + 1, &old);
    let old = seal();
    source.write_all(rest.as_bytes()).unwrap();
    sealed(before + 2, &old);
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert!(stderr.contains("2 events of the batch are in"), "{stderr}");
    verifies(&world);
    drop(source);
}

/// A source that is slow and never silent for long: what it wrote is sealed all the same.
#[test]
fn events_are_sealed_while_lines_keep_coming() {
    use std::io::Write as _;
    let world = World::with_vault();
    let before = events(&world);
    let mut child = batch(&world, "-").spawn().unwrap();
    let mut source = child.stdin.take().unwrap();
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    for value in 0.. {
        assert!(std::time::Instant::now() < limit, "nothing is sealed");
        source.write_all(line("a", value).as_bytes()).unwrap();
        if events(&world) > before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    drop(source);
    assert!(child.wait().unwrap().success());
    verifies(&world);
}

/// Nobody reads the receipts: a signal ends the batch, and what is in is sealed.
#[test]
fn a_signal_ends_a_batch_whose_receipts_nobody_reads() {
    let world = World::with_vault();
    let before = events(&world);
    let text: String = (0..3000).map(|n| line("a", n)).collect();
    std::fs::write(world.path("lines"), text).unwrap();
    let mut command = batch(&world, "lines");
    let mut child = command
        .arg("--json")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The receipts are printed once their events are in.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while events(&world) < before + 3000 {
        assert!(
            std::time::Instant::now() < limit,
            "{} events",
            events(&world)
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "-TERM");
    while child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < limit, "it goes on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert!(
        stderr.contains("3000 events of the batch are in"),
        "{stderr}"
    );
    verifies(&world);
}

/// The command that appends a batch, its input and stderr piped.
fn batch(world: &World, source: &str) -> std::process::Command {
    let mut command = std::process::Command::new(world.command().get_program());
    command
        .args(["append", "vault", "--batch", source])
        .env("HOME", world.path("home"))
        .env_remove("XDG_STATE_HOME")
        .current_dir(world.path("."))
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

fn signal(child: &std::process::Child, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Events of `actors` from a time to come, as a machine writes whose clock is ahead.
fn append_from_the_future(world: &World, actors: &[&str]) {
    let vault = Vault::open(&world.path("vault")).unwrap();
    let keyfile = read_keyfile(&vault.default_keyfile()).unwrap();
    let mut log = std::fs::read(vault.log_path()).unwrap();
    for actor in actors {
        let draft = Draft {
            event_type: &"OBSERVATION".parse().unwrap(),
            actor,
            namespace: None,
            payload: &json::parse(br#"{"subject":"s","predicate":"p","value":1}"#).unwrap(),
            prev: None,
            ts_logical: 1,
            timestamp: "2126-01-01T00:00:00Z".parse().unwrap(),
            seal: None,
            after: None,
        };
        let event = draft.sign(&keyfile.keys()[0]).unwrap();
        log.extend_from_slice(&event.line);
    }
    std::fs::write(vault.log_path(), log).unwrap();
    vault.repair(Some(&keyfile), false).unwrap();
}

#[test]
fn a_note_that_many_events_give_is_told_once_with_their_number() {
    let world = World::with_vault();
    append_from_the_future(&world, &["a", "b", "c"]);
    let text: String = ["a", "b", "c", "a"]
        .map(|actor| line("s", 1).replacen('{', &format!("{{\"actor\":\"{actor}\","), 1))
        .concat();
    std::fs::write(world.path("batch"), text).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "batch", "--json"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(answer.stderr.matches("system clock").count(), 1);
    let told = "the time of 3 events goes backwards\n";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
    assert_eq!(answer.stdout.lines().count(), 4);
    // Of one event, as it is.
    let world = World::with_vault();
    append_from_the_future(&world, &["a"]);
    std::fs::write(world.path("batch"), line("s", 1)).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "batch", "--actor", "a"]);
    let told = "the time of 1 event goes backwards\n";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
}
