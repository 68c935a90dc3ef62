//! Merging, repairing, backing up and restoring.

use std::fs;
use std::io::Write;

use crate::world::{Answer, World, copy};

/// A vault, and a copy of it; each then has an event of its own.
fn diverged() -> World {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let status = std::process::Command::new("cp")
        .args(["-r", "vault", "copy"])
        .current_dir(world.path("."))
        .status()
        .unwrap();
    assert!(status.success());
    for (vault, actor) in [("vault", "here"), ("copy", "there")] {
        append(&world, vault, actor);
    }
    world
}

fn append(world: &World, vault: &str, actor: &str) {
    let answer = world.run(&[
        "append",
        vault,
        "--type",
        "OBSERVATION",
        "--actor",
        actor,
        "--set",
        "value=1",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
}

#[track_caller]
fn done(answer: &Answer) {
    assert_eq!(answer.code, 0, "{}", answer.transcript());
}

#[test]
fn a_merge_says_which_order_it_made() {
    let world = diverged();
    let transcripts: Vec<String> = [
        &["merge", "vault", "copy", "--append-only"][..],
        &["merge", "copy", "vault"],
        &["merge", "vault", "copy"],
        &["merge", "vault", "copy", "--json"],
        &["verify", "vault", "--strict"],
    ]
    .iter()
    .map(|arguments| {
        let answer = world.run(arguments);
        done(&answer);
        answer.transcript()
    })
    .collect();
    insta::assert_snapshot!(transcripts.join("\n"));
    let [a, b] =
        ["vault", "copy"].map(|v| fs::read(world.path(v).join("events/events.ndjson")).unwrap());
    assert_eq!(a, b);
}

/// Where both orders are one, no option is named that nobody gave.
#[test]
fn a_merge_names_no_option_that_was_not_given() {
    let world = World::with_vault();
    copy(&world.path("vault"), &world.path("copy"));
    append(&world, "copy", "phone");
    let answer = world.run(&["merge", "vault", "copy"]);
    done(&answer);
    let order = "order        the log as it was, and the new events after it, which is the order of the format here\n";
    assert!(answer.stdout.contains(order), "{}", answer.stdout);
    assert!(!answer.transcript().contains("append-only"));
}

#[test]
fn a_fork_is_refused_with_both_events() {
    let world = diverged();
    append(&world, "vault", "both");
    append(&world, "copy", "both");
    let before = world.tree("vault");
    let answer = world.run(&["merge", "vault", "copy"]);
    answer.refused(1, "PROVARA_E002: the merge would fork the chain of 'both'");
    assert_eq!(
        answer.stderr.matches(r#""actor":"both""#).count(),
        2,
        "{}",
        answer.stderr
    );
    assert_eq!(before, world.tree("vault"));
    let kept = world.run(&["merge", "vault", "copy", "--keep-forks"]);
    done(&kept);
    assert!(
        kept.stderr.contains("the vault does not verify"),
        "{}",
        kept.stderr
    );
    assert_eq!(world.run(&["verify", "vault"]).code, 1);
}

#[test]
fn a_bundle_goes_from_one_copy_to_the_other() {
    let world = diverged();
    done(&world.run(&["delta", "export", "copy", "--output", "new.ndjson"]));
    world
        .run(&["delta", "export", "copy", "--output", "new.ndjson"])
        .refused(3, "exists");
    let header = fs::read_to_string(world.path("new.ndjson")).unwrap();
    assert!(header.starts_with(r#"{"event_count":"#), "{header}");
    assert!(
        header
            .lines()
            .next()
            .unwrap()
            .contains(r#""type":"provara_delta_v1""#)
    );
    let first = world.run(&["delta", "import", "vault", "new.ndjson"]);
    done(&first);
    assert!(first.stdout.contains("new events   1"), "{}", first.stdout);
    let again = world.run(&["delta", "import", "vault", "new.ndjson"]);
    assert!(again.stdout.contains("Unchanged"), "{}", again.stdout);
    done(&world.run(&["verify", "vault", "--strict"]));

    let to_stdout = world.run(&["delta", "export", "vault", "--output", "-"]);
    assert_eq!(
        to_stdout.stdout.lines().count(),
        1 + fs::read_to_string(world.path("vault/events/events.ndjson"))
            .unwrap()
            .lines()
            .count()
    );
    world
        .run(&[
            "delta",
            "export",
            "vault",
            "--since",
            "evt_000000000000000000000000",
            "--output",
            "x",
        ])
        .refused(2, "The log holds no event");
    world
        .run(&["delta", "import", "vault", "vault/events/events.ndjson"])
        .refused(2, "no delta bundle");
    world
        .run(&["merge", "vault", "nowhere"])
        .refused(3, "no such directory");
}

#[test]
fn a_looser_policy_is_refused_with_the_rule() {
    let world = diverged();
    let path = world.path("copy/policies/safety_policy.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"within_lease\"", "true")).unwrap();
    done(&world.run(&["manifest", "copy"]));
    let answer = world.run(&["merge", "vault", "copy"]);
    answer.refused(1, "PROVARA_E400: the merge would loosen a safety tier");
    assert!(
        answer
            .stderr
            .contains("L2: 'offline_allowed' is \"within_lease\" here and true there"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_repair_says_what_it_would_do_and_does_it() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let seal = fs::read(world.path("vault/manifest.json")).unwrap();
    world.observe("door", "\"shut\"");
    fs::write(world.path("vault/manifest.json"), seal).unwrap();
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(world.path("vault/events/events.ndjson"))
        .unwrap();
    log.write_all(b"{\"actor\":").unwrap();
    assert_eq!(world.run(&["verify", "vault"]).code, 1);
    let before = world.tree("vault");
    let planned = world.run(&["repair", "vault", "--dry-run"]);
    done(&planned);
    assert_eq!(before, world.tree("vault"));
    let repaired = world.run(&["repair", "vault"]);
    done(&repaired);
    let again = world.run(&["repair", "vault"]);
    done(&again);
    let whole = [planned, repaired, again].map(|answer| answer.transcript());
    insta::assert_snapshot!(whole.join("\n"));
    done(&world.run(&["verify", "vault", "--strict"]));
}

#[test]
fn a_repair_asks_for_a_key_only_where_it_signs() {
    let world = World::with_vault();
    let keyfile = world.path("vault/identity/private_keys.json");
    fs::rename(&keyfile, world.path("keys.json")).unwrap();
    done(&world.run(&["repair", "vault"]));
    fs::write(world.path("vault/merkle_root.txt"), "0".repeat(64) + "\n").unwrap();
    world
        .run(&["repair", "vault"])
        .refused(3, "There is no keyfile");
    done(&world.run(&["repair", "vault", "--keyfile", "keys.json"]));
    done(&world.run(&["verify", "vault", "--strict"]));
}

/// A list of keys that differs from what signed events say is looked at by its owner, who adopts what they say.
#[test]
fn keys_that_signed_events_do_not_bring_are_the_users_to_judge() {
    let world = World::with_vault();
    let path = world.path("vault/identity/keys.json");
    let keys = fs::read_to_string(&path).unwrap();
    fs::write(&path, keys.clone() + "\n").unwrap();
    let arguments = ["append", "vault", "--type", "OBSERVATION", "--data", "{}"];
    for words in [&arguments[..], &["manifest", "vault"], &["repair", "vault"]] {
        let refused = world.run(words);
        refused.refused(1, "keys.json");
        let fix = "'provara adopt vault'";
        assert!(refused.stderr.contains(fix), "{}", refused.stderr);
    }
    done(&world.run(&["adopt", "vault", "--yes"]));
    assert_eq!(fs::read_to_string(&path).unwrap(), keys);
    done(&world.run(&arguments));
    done(&world.run(&["verify", "vault", "--strict"]));
}

#[test]
fn evidence_is_not_repaired() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let path = world.path("vault/events/events.ndjson");
    let log = fs::read_to_string(&path).unwrap();
    fs::write(&path, log.replace("\"open\"", "\"shut\"")).unwrap();
    for arguments in [&["repair", "vault"][..], &["repair", "vault", "--dry-run"]] {
        world
            .run(arguments)
            .refused(1, "The log is broken at line 3");
    }
    // What no interruption leaves is named, though there was nothing to repair.
    fs::write(&path, log).unwrap();
    fs::write(world.path("vault/state/phantom"), "x").unwrap();
    let answer = world.run(&["repair", "vault"]);
    assert_eq!(answer.code, 1, "{}", answer.transcript());
    assert!(answer.stderr.contains("phantom"), "{}", answer.stderr);
}

/// What has no end is not read to its end.
#[test]
fn an_endless_bundle_is_refused() {
    let world = diverged();
    let before = world.tree("vault");
    for (script, code, words) in [
        ("cat /dev/zero", 2, "a line of more than 64 MiB"),
        ("yes", 2, "no delta bundle"),
        // It begins as a bundle: what follows was added to it.
        ("cat bundle; yes", 1, "the header announces"),
    ] {
        done(&world.run(&["delta", "export", "copy", "--output", "bundle", "--force"]));
        let import = "\"$0\" delta import vault -";
        let output = std::process::Command::new("bash")
            .args(["-c", &format!("{{ {script}; }} 2> /dev/null | {import}")])
            .arg(assert_cmd::cargo::cargo_bin("provara"))
            .env("HOME", world.path("home"))
            .env_remove("XDG_STATE_HOME")
            .current_dir(world.path("."))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(words), "{script}: {stderr}");
        assert_eq!(output.status.code(), Some(code), "{script}: {stderr}");
    }
    world
        .run(&["delta", "import", "vault", "/dev/zero"])
        .refused(2, "a line of more than 64 MiB");
    assert!(world.tree("vault") == before);
}

#[test]
fn a_client_starts_the_server_with_what_was_given() {
    let world = World::with_vault();
    let install = |more: &[&str]| {
        let given = ["mcp", "install", "--client", "cursor", "--vault", "vault"];
        world.run_with(&[&given[..], more].concat(), |command| {
            command
                .env("PROVARA_KEYFILE", "away.json")
                .env("PROVARA_ACTOR", "robot")
                .env("PROVARA_PYTHON", "trap/python3")
                .env("PROVARA_PLUGINS", "a.b:C,d")
        })
    };
    fs::create_dir(world.path("new")).unwrap();
    // The server would not start with it.
    install(&[]).refused(3, "There is no keyfile at 'away.json'");
    for name in ["away.json", "mine.json"] {
        let own = world.path("vault/identity/private_keys.json");
        fs::copy(own, world.path(name)).unwrap();
    }
    let answer = install(&[
        "--allow-tool",
        "get_*",
        "--init-dir",
        "new",
        "--timeout",
        "5",
        "--sandbox",
        "require",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let printed: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let expected = serde_json::json!([
        "mcp",
        "--vault",
        "vault=<here>/vault",
        "--actor",
        "robot",
        "--keyfile",
        "<here>/away.json",
        "--allow-tool",
        "get_*",
        "--init-dir",
        "<here>/new",
        "--timeout",
        "5",
        "--sandbox",
        "require"
    ]);
    assert_eq!(printed["mcpServers"]["provara"]["args"], expected);
    let expected =
        serde_json::json!({"PROVARA_PYTHON": "<here>/trap/python3", "PROVARA_PLUGINS": "a.b:C,d"});
    assert_eq!(printed["mcpServers"]["provara"]["env"], expected);
    let more = install(&[
        "--allow-unregistered",
        "--no-lock",
        "--actor=-x",
        "--allow-tool=-*",
    ]);
    assert_eq!(more.code, 0, "{}", more.stderr);
    let printed: serde_json::Value = serde_json::from_str(&more.stdout).unwrap();
    let expected = serde_json::json!([
        "mcp",
        "--vault",
        "vault=<here>/vault",
        "--actor=-x",
        "--keyfile",
        "<here>/away.json",
        "--allow-unregistered",
        "--no-lock",
        "--allow-tool=-*"
    ]);
    assert_eq!(printed["mcpServers"]["provara"]["args"], expected);
    let other = install(&["--keyfile", "mine.json"]);
    assert!(
        other.stdout.contains("<here>/mine.json"),
        "{}",
        other.stdout
    );

    fs::remove_file(world.path("vault/identity/private_keys.json")).unwrap();
    assert!(!install(&[]).stderr.contains("WARNING"));
    let without = world.run(&["mcp", "install", "--client", "cursor", "--vault", "vault"]);
    assert_eq!(without.code, 0);
    assert!(
        without.stderr.contains("no keyfile of its own"),
        "{}",
        without.stderr
    );
}

#[test]
fn what_the_server_would_not_start_with_is_not_written() {
    let world = World::with_vault();
    fs::write(world.path("file"), "").unwrap();
    for (more, words) in [
        (["--vault", "VAULT=vault"], "two vaults are called 'VAULT'"),
        (["--export-dir", "gone"], "'gone' cannot be used"),
        (["--init-dir", "gone"], "'gone' cannot be used"),
        (["--export-dir", "file"], "it is not a directory"),
        (
            ["--init-dir", "vault/events"],
            "it lies in the vault 'vault'",
        ),
        (["--actor", ""], "actor's name is empty"),
    ] {
        let install = [
            "mcp", "install", "--client", "cursor", "--write", "--config", "c.json",
        ];
        let given = |command: &[&str]| world.run(&[command, &["--vault", "vault"], &more].concat());
        let (served, written) = (given(&["mcp"]), given(&install));
        assert_eq!(served.code, 2, "{}", served.stderr);
        assert!(
            served.stderr.to_lowercase().contains(&words.to_lowercase()),
            "{}",
            served.stderr
        );
        assert_eq!((written.code, &written.stderr), (2, &served.stderr));
        assert!(!world.path("c.json").exists());
    }
}

#[test]
fn a_client_s_file_is_added_to_and_what_is_replaced_is_told() {
    let world = World::with_vault();
    let install = |config: &str, more: &[&str]| {
        let given = ["mcp", "install", "--client", "cursor", "--vault", "vault"];
        let given = [&given[..], &["--write", "--config", config], more].concat();
        world.run(&given)
    };
    install("/dev/zero", &[]).refused(3, "not a regular file");
    let told = "another server of the name 'provara' stood there and was replaced";
    for (more, expected) in [(&[][..], false), (&[], false), (&["--read-only"], true)] {
        let answer = install("mcp.json", more);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert_eq!(answer.stderr.contains(told), expected, "{}", answer.stderr);
    }
}

#[test]
fn a_tape_s_padding_behind_a_backup_is_none_of_it() {
    let world = World::with_vault();
    done(&world.run(&["backup", "vault", "backup.tar.gz"]));
    let mut archive = fs::read(world.path("backup.tar.gz")).unwrap();
    archive.resize(archive.len() + 10240, 0);
    fs::write(world.path("padded.tar.gz"), archive).unwrap();
    done(&world.run(&["restore", "padded.tar.gz", "restored"]));
    done(&world.run(&["verify", "restored", "--strict"]));
}

#[test]
fn a_link_that_leads_nowhere_is_told_as_one() {
    let world = World::with_vault();
    std::os::unix::fs::symlink("unmounted/vault", world.path("dang")).unwrap();
    for arguments in [
        &["verify", "dang"][..],
        &["query", "dang"],
        &["replay", "dang"],
    ] {
        let answer = world.run(arguments);
        answer.refused(
            3,
            "the link 'dang' leads to 'unmounted/vault', which is not there",
        );
        assert!(!answer.stderr.contains("Did you mean"), "{}", answer.stderr);
        assert!(!answer.stderr.contains("provara init"), "{}", answer.stderr);
    }
}

#[test]
fn a_backup_comes_back() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let steps: [&[&str]; 4] = [
        &["backup", "vault", "backup.tar.gz"],
        &["restore", "backup.tar.gz", "restored"],
        &["verify", "restored", "--strict"],
        &["restore", "backup.tar.gz", "restored"],
    ];
    let answers = steps.map(|arguments| world.run(arguments));
    let codes = answers.each_ref().map(|answer| answer.code);
    assert_eq!(codes, [0, 0, 0, 3]);
    let text = answers.map(|answer| answer.transcript()).join("\n");
    // A compressed size differs from run to run, as signatures do.
    let text: Vec<_> = text
        .lines()
        .map(|line| match line.contains("bytes   ") {
            true => "  bytes        <size>",
            false => line,
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"));
    assert!(!world.path("restored/identity/private_keys.json").exists());

    let with = world.run(&[
        "backup",
        "vault",
        "keys.tar",
        "--with-private-keys",
        "--json",
    ]);
    assert!(
        with.stdout.contains("\"private_keys\":true"),
        "{}",
        with.transcript()
    );
    assert!(with.stderr.contains("private keys"), "{}", with.stderr);
    world
        .run(&["backup", "vault", "keys.tar"])
        .refused(3, "add --force to replace");
    world
        .run(&["backup", "vault", "backup.zip"])
        .refused(2, "does not end with");
    world
        .run(&["backup", "vault", "vault/backup.tar"])
        .refused(2, "inside the vault");
    fs::write(world.path("no.tar"), "nothing").unwrap();
    world
        .run(&["restore", "no.tar", "other"])
        .refused(3, "no archive");
    assert!(!world.path("other").exists());
}

#[test]
fn a_vault_that_lost_its_seal_is_adopted_by_who_has_looked() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    for file in ["manifest.json", "manifest.sig", "merkle_root.txt"] {
        fs::remove_file(world.path("vault").join(file)).unwrap();
    }
    let before = world.tree("vault");
    for more in [&[][..], &["--json"]] {
        let answer = world.run(&[&["manifest", "vault"], more].concat());
        answer.refused(1, "The vault has no manifest.sig");
        assert!(answer.stderr.contains("'provara adopt vault'"));
    }
    let unsigned = world.run(&["manifest", "vault", "--unsigned"]);
    unsigned.refused(2, "A seal that nobody signs vouches for nothing");
    let replaced = world.run(&["manifest", "vault", "--new-seal"]);
    replaced.refused(2, "'provara adopt' has taken the place");
    for words in [
        &["repair", "vault"][..],
        &crate::world::append(&["--set", "value=1"]),
    ] {
        let answer = world.run(words);
        assert_eq!(answer.code, 1, "{}", answer.transcript());
    }
    // Nobody is asked where nobody can answer.
    let answer = world.run(&["adopt", "vault"]);
    assert_eq!(answer.code, 2);
    assert_eq!(before, world.tree("vault"));
    let adopted = world.run(&["adopt", "vault", "--yes"]);
    done(&adopted);
    insta::assert_snapshot!(format!("{}\n{}", answer.transcript(), adopted.transcript()));
    done(&world.run(&["verify", "vault", "--strict"]));
    let answer = world.run(&["adopt", "vault", "--trust", "bp1_0123456789abcdef", "--yes"]);
    assert_eq!(answer.code, 2);
    let words = "keys.json does not list it either";
    assert!(answer.stderr.contains(words), "{}", answer.stderr);
}

#[test]
fn a_payload_is_redacted_and_nothing_else() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let log = world.path("vault/events/events.ndjson");
    let text = fs::read_to_string(&log).unwrap();
    let line = text.lines().last().unwrap();
    let id = &line[line.find("evt_").unwrap()..][..28];
    let words = ["redact", "vault", id, "--reason", "asked"];
    let asked = world.run(&words);
    assert_eq!(asked.code, 2, "{}", asked.transcript());
    assert_eq!(fs::read_to_string(&log).unwrap(), text);
    let with = ["--authority", "ticket 4711", "--yes"];
    let redacted = world.run(&[&words[..], &with].concat());
    done(&redacted);
    let again = world.run(&[&words[..], &["--yes"]].concat());
    again.refused(2, "was redacted before");
    let genesis = text.lines().next().unwrap();
    let genesis = &genesis[genesis.find("evt_").unwrap()..][..28];
    let kind = world.run(&["redact", "vault", genesis, "--reason", "x", "--yes"]);
    kind.refused(2, "is a GENESIS event");
    let whole = [asked, redacted, again, kind].map(|answer| answer.transcript());
    let whole = whole.join("\n");
    insta::assert_snapshot!(whole.replace(id, "evt_<id>").replace(genesis, "evt_<id>"));
    assert!(!fs::read_to_string(&log).unwrap().contains("open"));
    done(&world.run(&["verify", "vault", "--strict"]));
}

#[test]
fn a_place_that_is_not_there_is_named_and_no_temporary_one() {
    let world = World::with_vault();
    done(&world.run(&["backup", "vault", "a.tar"]));
    for words in [
        ["backup", "vault", "missing/a.tar"],
        ["restore", "a.tar", "missing/vault"],
    ] {
        let answer = world.run(&words);
        answer.refused(3, "Could not make a directory in 'missing': No such file");
        assert!(answer.stderr.contains("Fix: Check that missing exists."));
    }
}
