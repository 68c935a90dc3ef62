//! `append --batch` with input as real files are: marks, line ends, compression, documents, refused records,
//! repeated ones.

use std::io::Write as _;
use std::process::{Command as Tool, Stdio};

use serde_json::Value;

use crate::world::{Answer, World};

/// What a batch of these bytes comes to.
pub(crate) fn batch(world: &World, input: &[u8], more: &[&str]) -> Answer {
    let arguments = [&["append", "vault", "--batch", "-"], more].concat();
    world.run_with(&arguments, |command| command.write_stdin(input))
}

pub(crate) fn observation(value: &str) -> String {
    format!(
        "{{\"type\":\"OBSERVATION\",\"data\":{{\"subject\":\"s\",\"predicate\":\"p\",\"value\":{value}}}}}"
    )
}

/// The events behind the two of `init`.
fn events(world: &World) -> Vec<Value> {
    let log = std::fs::read_to_string(world.path("vault/events/events.ndjson")).unwrap();
    let lines = log.lines().skip(2);
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn values(world: &World) -> Vec<Value> {
    let events = events(world);
    events
        .iter()
        .map(|it| it["payload"]["value"].clone())
        .collect()
}

fn rejects(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path("rejects")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a tool makes of its input.
fn through(tool: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Tool::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn marks_blank_lines_and_line_ends_are_taken_and_lines_counted() {
    let world = World::with_vault();
    let text = format!(
        "\u{feff}\r\n \t\r\n{}\r\n\n\n{}\r\n{}",
        observation("1"),
        observation("2"),
        observation("3")
    );
    let answer = batch(&world, text.as_bytes(), &[]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(values(&world), [1, 2, 3]);
    let answer = batch(&world, format!("{text}\n\n[1]\n").as_bytes(), &[]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.stderr.contains("Line 9 of the batch was refused"),
        "{}",
        answer.stderr
    );
    assert_eq!(batch(&world, b"\xef\xbb\xbf", &[]).code, 0);
    assert_eq!(batch(&world, b"\n \n", &[]).code, 0);
    let answer = batch(&world, b"\xff\xfe{\0", &[]);
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("UTF-16"), "{}", answer.stderr);
}

#[test]
fn compressed_input_is_known_by_its_content_and_has_to_be_whole() {
    let lines: String = (0..3000)
        .map(|n| observation(&n.to_string()) + "\r\n")
        .collect();
    let half = format!("\u{feff}{lines}");
    let mut tools = vec!["gzip"];
    // zstd is not part of every system; the frames of its own are tried in `source.rs` too.
    if Tool::new("zstd").arg("--version").output().is_ok() {
        tools.push("zstd");
    }
    for tool in tools {
        let world = World::with_vault();
        let member = through(tool, &["-c"], half.as_bytes());
        let both = [member.clone(), through(tool, &["-c"], lines.as_bytes())].concat();
        std::fs::write(world.path("records.txt"), &both).unwrap();
        let answer = world.run(&["append", "vault", "--batch", "records.txt"]);
        assert_eq!(answer.code, 0, "{tool}: {}", answer.stderr);
        assert_eq!(values(&world).len(), 6000);
        let answer = batch(&world, &member[..member.len() - 9], &["--atomic"]);
        assert_eq!(answer.code, 2, "{tool}");
        let told = format!("'standard input' ends inside its {tool} data");
        assert!(answer.stderr.contains(&told), "{}", answer.stderr);
        assert_eq!(values(&world).len(), 6000);
        let twice = through(tool, &["-c"], &member);
        let answer = batch(&world, &twice, &[]);
        assert_eq!(answer.code, 2);
        assert!(
            answer.stderr.contains("compressed twice"),
            "{}",
            answer.stderr
        );
        let mut wrong = member.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0x55;
        let answer = batch(&world, &wrong, &["--atomic"]);
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    }
}

#[test]
fn the_elements_of_an_array_are_records() {
    let world = World::with_vault();
    let (one, two) = (observation("1"), observation("2"));
    let array = format!("[{one},\n\n {two}]");
    for (text, more) in [
        (format!("\u{feff}\n{array}\n"), &[][..]),
        (array.clone(), &["--records", "."]),
        (
            format!("{{\"a\":{{\"Records\":[0]}},\"Records\":{array},\"n\":1}}"),
            &["--records", ".Records"],
        ),
        (
            format!("{{\"a.b\":{{\"c\":{array}}}}}"),
            &["--records", ".[\"a.b\"].c"],
        ),
    ] {
        let before = values(&world).len();
        let answer = batch(&world, text.as_bytes(), more);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert_eq!(values(&world)[before..], [1, 2]);
    }
    let text = format!("[{one},\n{one},\n{{\"type\":1}}]");
    let answer = batch(&world, text.as_bytes(), &[]);
    assert_eq!(answer.code, 2);
    let told = "Record 3 (on line 3) of the batch was refused; 2 events";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
    let answer = batch(&world, format!("[{one},").as_bytes(), &[]);
    assert!(
        answer
            .stderr
            .contains("ends before it is whole, after 1 record"),
        "{}",
        answer.stderr
    );
    let answer = batch(&world, b"{\n \"Records\": []\n}", &[]);
    assert!(
        answer.stderr.contains("--records '.NAME'"),
        "{}",
        answer.stderr
    );
    let answer = batch(&world, b"{\"x\":1}", &["--records", ".Records"]);
    assert!(
        answer.stderr.contains("no array at '.Records'"),
        "{}",
        answer.stderr
    );
}

#[test]
fn bare_records_are_data() {
    let world = World::with_vault();
    let text =
        "{\"id.orig_h\":\"10.0.0.1\",\"type\":7,\"data\":[1],\"uid\":\"C1\"}\n{\"uid\":\"C2\"}\n";
    let more = ["--type", "com.example.zeek.conn", "--allow-unregistered"];
    let alone = |more: &[&str]| {
        let arguments = [&["append", "vault", "--batch", "-"], more].concat();
        world.run_with(&arguments, |command| {
            command
                .write_stdin(text)
                .env("PROVARA_PYTHON", "/nonexistent")
        })
    };
    let answer = alone(&more);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let payloads: Vec<_> = events(&world)
        .iter()
        .map(|it| it["payload"].to_string())
        .collect();
    assert_eq!(
        payloads,
        [
            "{\"data\":[1],\"id.orig_h\":\"10.0.0.1\",\"type\":7,\"uid\":\"C1\"}",
            "{\"uid\":\"C2\"}"
        ]
    );
    let keyed = [&more[..], &["--idempotency-key-from", "uid"]].concat();
    for there in [0, 2] {
        let answer = alone(&keyed);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert_eq!(events(&world).len(), 4);
        assert_eq!(
            answer.stdout.contains("there before 2"),
            there == 2,
            "{}",
            answer.stdout
        );
    }
}

#[test]
fn what_is_refused_is_kept_with_its_line_and_the_rest_goes_in() {
    let world = World::with_vault();
    let text = [
        &observation("1"),
        "{\"type\":\"OBSERVATION\"",
        "",
        &observation("9007199254740993"),
        "{\"type\":\"observation\",\"data\":{}}",
        "{\"type\":\"GENESIS\",\"data\":{}}",
        "{\"type\":\"OBSERVATION\",\"data\":{},\"actor\":\"\"}",
        "{\"type\":\"KEY_REVOCATION\",\"data\":{}}",
        &observation("2"),
    ]
    .join("\n");
    let before = world.tree("vault");
    let answer = batch(
        &world,
        text.as_bytes(),
        &["--rejects", "rejects", "--dry-run", "--json"],
    );
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    let judged: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(
        (&judged["events"], &judged["refused"]),
        (&2.into(), &6.into())
    );
    assert_eq!(world.tree("vault"), before);
    let judged = rejects(&world);

    let answer = batch(&world, text.as_bytes(), &["--rejects", "rejects"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.stdout.contains("refused      6 (in rejects)"),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stderr.contains(
            "6 records of the batch were refused; 2 events of the batch are in and sealed"
        ),
        "{}",
        answer.stderr
    );
    assert_eq!(values(&world), [1, 2]);
    let rejected = rejects(&world);
    assert_eq!(rejected, judged);
    let told: Vec<_> = rejected
        .iter()
        .map(|it| (it["line"].as_u64().unwrap(), it["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (2, "json"),
            (4, "number"),
            (5, "type"),
            (6, "type"),
            (7, "actor"),
            (8, "payload")
        ]
    );
    assert_eq!(rejected[0]["text"], "{\"type\":\"OBSERVATION\"");
    assert_eq!(rejected[4]["record"]["actor"], "");
    // The bytes of a number stay.
    let kept = std::fs::read_to_string(world.path("rejects")).unwrap();
    assert!(kept.contains("\"value\":9007199254740993}"), "{kept}");

    // A good batch leaves an empty file in the place of the last one.
    let answer = batch(
        &world,
        observation("3").as_bytes(),
        &["--rejects", "rejects"],
    );
    assert_eq!(
        (answer.code, rejects(&world).len()),
        (0, 0),
        "{}",
        answer.stderr
    );
    // A file that is no such file is not replaced, and nothing is appended.
    std::fs::write(world.path("rejects"), observation("1")).unwrap();
    for path in ["rejects", "vault/rejects", "absent/rejects"] {
        let answer = batch(&world, observation("4").as_bytes(), &["--rejects", path]);
        assert_ne!(answer.code, 0, "{path}");
    }
    assert_eq!(values(&world), [1, 2, 3]);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn a_signal_leaves_the_refused_records_of_what_was_read() {
    let world = World::with_vault();
    let mut child = Tool::new(assert_cmd::cargo::cargo_bin("provara"))
        .args(["append", "vault", "--batch", "-", "--rejects", "rejects"])
        .current_dir(world.path("."))
        .env("HOME", world.path("home"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut source = child.stdin.take().unwrap();
    source
        .write_all(format!("1\n{}\n", observation("1")).as_bytes())
        .unwrap();
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while events(&world).is_empty() {
        assert!(std::time::Instant::now() < limit);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!world.path("rejects").exists());
    let id = child.id().to_string();
    assert!(
        Tool::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > limit {
            child.kill().unwrap();
            panic!("an interrupt does not end it (do these tests run with SIGINT ignored?)");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("1 event of the batch is in and sealed"),
        "{stderr}"
    );
    assert!(stderr.contains("1 record was refused"), "{stderr}");
    assert_eq!(rejects(&world)[0]["line"], 1);
    drop(source);
}

#[test]
fn a_repeated_append_gives_the_first_receipt() {
    let world = World::with_vault();
    let append = |value: &str, key: &str, more: &[&str]| {
        let data = format!("{{\"value\":{value}}}");
        let arguments = [
            "append",
            "vault",
            "--type",
            "OBSERVATION",
            "--json",
            "--data",
            &data,
            "--idempotency-key",
            key,
        ];
        world.run(&[&arguments, more].concat())
    };
    let receipt = |answer: &Answer| -> Value { serde_json::from_str(&answer.stdout).unwrap() };
    let first = append("1", "k", &[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let again = append("1.0", "k", &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let (mut first, again) = (receipt(&first), receipt(&again));
    assert_eq!(first.get("repeated"), None);
    first["repeated"] = true.into();
    first["notes"] = Value::Array(Vec::new());
    assert_eq!(first, again);
    assert_eq!(first["event"]["idempotency_key"], "k");
    for (value, more) in [
        ("2", &[][..]),
        ("1", &["--namespace", "local"]),
        ("1", &["--confidence", "0.5"]),
    ] {
        let answer = append(value, "k", more);
        assert_eq!(answer.code, 2, "{more:?}");
        assert!(
            answer
                .stderr
                .contains("The idempotency key 'k' of 'provara_user' is that of evt_"),
            "{}",
            answer.stderr
        );
    }
    for key in ["", &"x".repeat(1025)] {
        assert_eq!(append("1", key, &[]).code, 2);
    }
    assert_eq!(events(&world).len(), 1);
    // Of another actor it is another key; random bytes are no difference.
    assert_eq!(append("2", "k", &["--actor", "bob"]).code, 0);
    for _ in 0..2 {
        assert_eq!(append("3", "blind", &["--blind"]).code, 0);
    }
    assert_eq!(events(&world).len(), 3);
    // What is kept outside of the vault is made anew.
    std::fs::remove_dir_all(world.path("home/.cache")).unwrap();
    assert_eq!(receipt(&append("1", "k", &[]))["repeated"], true);
    assert_eq!(events(&world).len(), 3);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn a_repeated_batch_adds_what_is_new_and_gives_all_receipts_in_order() {
    let world = World::with_vault();
    let record = |n: u32| {
        let plain = observation(&n.to_string());
        format!(
            "{},\"idempotency_key\":\"k{n}\"}}\n",
            &plain[..plain.len() - 1]
        )
    };
    let old: String = (0..500).map(record).collect();
    assert_eq!(batch(&world, old.as_bytes(), &[]).code, 0);
    // Old, new, new again within the batch, and one without a key.
    let mixed: String = (0..1000)
        .flat_map(|n| [record(n), record(n), observation("0") + "\n"])
        .collect();
    let answer = batch(&world, mixed.as_bytes(), &["--json"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let receipts: Vec<Value> = answer
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(receipts.len(), 3000);
    assert_eq!(events(&world).len(), 500 + 500 + 1000);
    for (n, three) in receipts.chunks(3).enumerate() {
        assert_eq!(three[0]["event"]["payload"]["value"], n);
        assert_eq!(three[0]["event_id"], three[1]["event_id"]);
        assert_eq!(three[1]["repeated"], true);
        assert_eq!(three[0].get("repeated").is_some(), n < 500);
        assert_eq!(three[2]["event"]["payload"]["value"], 0);
        assert_eq!(three[0]["merkle_root"], three[2]["merkle_root"]);
    }
    let other = old.replace("\"value\":499}", "\"value\":-1}");
    let answer = batch(&world, other.as_bytes(), &["--rejects", "rejects"]);
    assert_eq!(answer.code, 2);
    assert_eq!(rejects(&world)[0]["line"], 500);
    assert_eq!(rejects(&world)[0]["code"], "idempotency-key");
    assert_eq!(events(&world).len(), 2000);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

/// Whoever is killed knows nothing, and asks again: in the end there is one event for each key.
#[test]
fn a_writer_that_is_killed_and_asked_again_appends_once() {
    let world = World::with_vault();
    let lines: String = (0..400)
        .map(|n| {
            let plain = observation(&n.to_string());
            format!(
                "{},\"idempotency_key\":\"b{n}\"}}\n",
                &plain[..plain.len() - 1]
            )
        })
        .collect();
    std::fs::write(world.path("lines"), lines).unwrap();
    let start = |arguments: &[&str]| {
        world
            .tool(&[&["append", "vault"], arguments].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut killed = 0;
    for round in 0..40_u64 {
        let key = format!("k{}", round / 4);
        let single = [
            "--type",
            "OBSERVATION",
            "--data",
            "{}",
            "--idempotency-key",
            &key,
        ];
        let mut child = match round % 4 {
            3 => start(&["--batch", "lines"]),
            _ => start(&single),
        };
        std::thread::sleep(std::time::Duration::from_micros(round * 7919 % 60_000));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed > 0, "nobody was killed");
    for key in 0..10 {
        let key = format!("k{key}");
        let answer = world.run(&[
            "append",
            "vault",
            "--type",
            "OBSERVATION",
            "--data",
            "{}",
            "--idempotency-key",
            &key,
        ]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
    }
    assert_eq!(world.run(&["append", "vault", "--batch", "lines"]).code, 0);
    let mut keys: Vec<String> = events(&world)
        .iter()
        .map(|it| it["idempotency_key"].to_string())
        .collect();
    assert_eq!(keys.len(), 410);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 410);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

/// What is for batches alone is never passed over for one event.
#[test]
fn options_of_batches_are_refused_for_one_event() {
    let world = World::with_vault();
    let before = world.tree("vault");
    for data in [
        vec!["--data", r#"{"subject":"a","predicate":"b","value":1}"#],
        vec!["--set", "subject=a"],
        vec![],
    ] {
        for option in [
            vec!["--dry-run"],
            vec!["--dry-run", "--json"],
            vec!["--records", ".x"],
            vec!["--rejects", "rejects"],
            vec!["--idempotency-key-from", "id"],
            vec!["--atomic"],
        ] {
            let mut arguments = vec!["append", "vault", "--type", "OBSERVATION"];
            arguments.extend(data.iter().chain(&option));
            assert_eq!(world.run(&arguments).code, 2, "{arguments:?}");
        }
    }
    assert_eq!(world.tree("vault"), before);
}

/// Nobody reads other bytes in the refused records than stood in the batch.
#[test]
fn refused_bytes_are_kept_as_they_were() {
    let world = World::with_vault();
    let line = b"{\"type\":\"OBSERVATION\",\"data\":{\"subject\":\"\xff\"}}";
    let answer = batch(&world, line, &["--rejects", "rejects"]);
    assert_eq!(answer.code, 2);
    let rejected = rejects(&world);
    let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(rejected[0]["hex"], hex.as_str());
    assert!(rejected[0].get("record").is_none() && rejected[0].get("text").is_none());
    // What is no such file stays.
    let kept = world.path("kept");
    std::fs::write(&kept, "mine").unwrap();
    let answer = batch(&world, line, &["--rejects", "kept"]);
    assert!(!answer.stderr.contains("--force"), "{}", answer.stderr);
    assert!(
        answer.stderr.contains("Name another file"),
        "{}",
        answer.stderr
    );
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
}
