//! What `verify` prints of vaults in which one cause has many effects; what it says of what is no vault.

use std::fs;

use serde_json::Value;

use crate::world::{World, copy};

/// A vault with so many events more, whose `file` is changed.
fn changed(events: usize, file: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> World {
    let world = World::with_vault();
    let lines: String = (0..events)
        .map(|number| {
            format!(
                r#"{{"type":"OBSERVATION","data":{{"subject":"a","predicate":"b","value":{number}}}}}"#
            ) + "\n"
        })
        .collect();
    fs::write(world.path("batch"), lines).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "batch"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let path = world.path("vault").join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    world
}

/// The printed findings: their first lines.
fn printed(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| line.starts_with("PROVARA_")).collect()
}

#[test]
fn a_byte_order_mark_in_the_keys_is_one_message() {
    let world = changed(300, "identity/keys.json", |text| {
        [&b"\xef\xbb\xbf"[..], &text].concat()
    });
    let answer = world.run(&["verify", "vault"]);
    assert_eq!(answer.code, 1);
    assert_eq!(
        printed(&answer.stdout),
        ["PROVARA_E104 CANONICAL_FORMAT  identity/keys.json"]
    );
    let text = &answer.stdout;
    assert!(text.contains("305 findings follow from it: "), "{text}");
    assert!(text.contains("PROVARA_E204 KEY_NOT_FOUND (304)"), "{text}");
    assert!(text.contains("Fix: Put identity/keys.json back"), "{text}");
    assert!(text.contains("provara verify vault --all"), "{text}");
    assert!(text.contains("302 events, 306 errors"), "{text}");

    let all = world.run(&["verify", "vault", "--all"]);
    assert_eq!(all.code, 1);
    assert_eq!(printed(&all.stdout).len(), 306);
    let report: Value =
        serde_json::from_str(&world.run(&["verify", "vault", "--json"]).stdout).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 306);
}

#[test]
fn changed_line_ends_are_one_message() {
    let world = changed(300, "events/events.ndjson", |text| {
        String::from_utf8(text)
            .unwrap()
            .replace('\n', "\r\n")
            .into_bytes()
    });
    let answer = world.run(&["verify", "vault"]);
    assert_eq!(answer.code, 1);
    assert_eq!(
        printed(&answer.stdout),
        ["PROVARA_E104 CANONICAL_FORMAT  events/events.ndjson:1"]
    );
    assert!(answer.stdout.contains("core.autocrlf"), "{}", answer.stdout);
}

/// Many faults of one kind, which nothing explains: some are shown, the lines of the rest are named.
#[test]
fn many_faults_of_one_kind_are_shown_and_counted() {
    let world = changed(20, "events/events.ndjson", |text| {
        let text = String::from_utf8(text).unwrap();
        text.replace(r#""subject":"a""#, r#""subject":"c""#)
            .into_bytes()
    });
    let answer = world.run(&["verify", "vault"]);
    let shown = printed(&answer.stdout);
    let of_ids = shown.iter().filter(|line| line.starts_with("PROVARA_E004"));
    assert_eq!(of_ids.count(), 3, "{}", answer.stdout);
    assert!(
        answer.stdout.contains("17 more like it, in lines 6, 7"),
        "{}",
        answer.stdout
    );
    assert!(answer.stdout.contains("and 22"), "{}", answer.stdout);
}

#[test]
fn only_warnings_are_allowed_and_their_number_is_shown() {
    let world = World::with_vault();
    world.observe("door", "1");
    copy(&world.path("vault"), &world.path("earlier"));
    world.observe("door", "2");
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    // An earlier state in the place of a later one, which this machine has seen.
    fs::remove_dir_all(world.path("vault")).unwrap();
    copy(&world.path("earlier"), &world.path("vault"));
    let strict = world.run(&["verify", "vault", "--strict"]);
    assert_eq!(strict.code, 1, "{}", strict.transcript());
    assert!(strict.stdout.contains("PROVARA_W010"), "{}", strict.stdout);
    let answer = world.run(&["verify", "vault", "--strict", "--allow", "PROVARA_W010"]);
    assert_eq!(answer.code, 0, "{}", answer.transcript());
    let last = answer.stdout.lines().last().unwrap();
    assert!(last.starts_with("VALID "), "{last}");
    assert!(
        last.ends_with("0 errors, 0 warnings, 1 warning allowed (--allow)"),
        "{last}"
    );
    // Without the prefix, too; an error never, nor what is no code.
    assert_eq!(
        world
            .run(&["verify", "vault", "--strict", "--allow", "W010"])
            .code,
        0
    );
    assert_eq!(
        world
            .run(&["verify", "vault", "--strict", "--allow", "W006"])
            .code,
        1
    );
    let refused = world.run(&["verify", "vault", "--allow", "E003"]);
    refused.refused(2, "is an error");
    world
        .run(&["verify", "vault", "--allow", "W999"])
        .refused(2, "no finding has that code");
}

#[test]
fn a_path_that_is_not_there_is_advised_on() {
    let world = World::with_vault();
    world
        .run(&["verify", "vualt"])
        .refused(3, "Did you mean vault?");
    for arguments in [
        &["verify", "elsewhere/entirely"][..],
        &["query", "elsewhere/entirely"],
        &["backup", "elsewhere/entirely", "backup.tar"],
        &["merge", "elsewhere/entirely", "vault"],
        &["merge", "vault", "elsewhere/entirely"],
        &["repair", "elsewhere/entirely"],
        &["mcp", "--vault", "elsewhere/entirely"],
    ] {
        let answer = world.run(arguments);
        answer.refused(3, "provara memory list");
        assert!(!answer.stderr.contains("init"), "{}", answer.stderr);
    }
    // The first event may be the reason for a vault.
    let append = [
        "append",
        "elsewhere",
        "--type",
        "OBSERVATION",
        "--data",
        "{}",
    ];
    world.run(&append).refused(3, "provara init elsewhere");
}

#[test]
fn what_is_no_vault_is_told_and_exits_3() {
    let world = World::with_vault();
    let backup = world.run(&["backup", "vault", "vault.tar.gz"]);
    assert_eq!(backup.code, 0, "{}", backup.stderr);
    // A verification reads it as it is; whatever else is asked of it, it has to be unpacked for.
    assert_eq!(world.run(&["verify", "vault.tar.gz", "--strict"]).code, 0);
    world
        .run(&["query", "vault.tar.gz"])
        .refused(3, "provara restore vault.tar.gz DIRECTORY");
    let bundle = world.path("bundle");
    for directory in ["events", "identity", "manifest"] {
        fs::create_dir_all(bundle.join(directory)).unwrap();
    }
    for file in [
        "events/events.ndjson",
        "identity/genesis.json",
        "identity/keys.json",
    ] {
        fs::copy(world.path("vault").join(file), bundle.join(file)).unwrap();
    }
    fs::write(bundle.join("manifest/manifest.json"), "{}").unwrap();
    fs::write(
        bundle.join("chain_of_custody.json"),
        r#"{"events":[],"chain_intact":true}"#,
    )
    .unwrap();
    world
        .run(&["verify", "bundle"])
        .refused(3, "it is a forensic bundle");
    world
        .run(&["query", "bundle"])
        .refused(3, "it is a forensic bundle");
}

#[test]
fn the_commands_are_shown_where_none_is_named() {
    let world = World::new();
    let answer = world.run(&[]);
    answer.refused(2, "No command was given. There are:");
    for name in ["init", "append", "verify", "restore", "man"] {
        assert!(
            answer.stderr.contains(&format!("    {name} ")),
            "{name}: {}",
            answer.stderr
        );
    }
    world.run(&["memory"]).refused(2, "    forget ");
}

#[test]
fn an_option_that_is_nothing_like_another_is_not_taken_for_one() {
    let world = World::with_vault();
    let answer = world.run(&["query", "vault", "--nothing-of-the-kind"]);
    answer.refused(2, "Unexpected argument '--nothing-of-the-kind'");
    assert!(!answer.stderr.contains("Did you mean"), "{}", answer.stderr);
    world
        .run(&["verify", "vault", "--stirct"])
        .refused(2, "Did you mean '--strict'?");
}

#[test]
fn of_several_commands_the_nearest_is_meant() {
    let world = World::with_vault();
    for (typed, meant) in [
        ("verfy", "verify"),
        ("apend", "append"),
        ("memry", "memory"),
    ] {
        let answer = world.run(&[typed, "vault"]);
        answer.refused(2, &format!("Did you mean '{meant}'? Otherwise"));
    }
}

#[test]
fn colours_are_forced_and_forbidden() {
    let world = World::with_vault();
    let with = |variables: &[(&str, &str)]| {
        let answer = world.run_with(&["verify", "vault"], |command| {
            command.envs(variables.iter().copied())
        });
        answer.stdout.contains('\u{1b}')
    };
    assert!(!with(&[]));
    assert!(with(&[("FORCE_COLOR", "1")]));
    assert!(!with(&[("FORCE_COLOR", "0")]));
    assert!(!with(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn every_command_has_a_man_page() {
    let world = World::new();
    let answer = world.run(&["man", "man1"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    for (page, words) in [
        ("provara.1", ".SH SUBCOMMANDS"),
        ("provara-verify.1", "\\-\\-allow"),
        ("provara-delta-import.1", "provara delta import"),
    ] {
        let text = fs::read_to_string(world.path("man1").join(page)).unwrap();
        assert!(text.contains(words), "{page}: {text}");
    }
}

/// A last line that was not written to its end is an error, and what it says leads on.
#[test]
fn a_torn_line_says_what_puts_it_right() {
    let world = World::with_vault();
    let log = world.path("vault/events/events.ndjson");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, [&whole[..], b"{\"actor\":\"dep"].concat()).unwrap();
    let repair = "provara repair vault";
    let answer = world.run(&["verify", "vault"]);
    assert_eq!(answer.code, 1, "{}", answer.transcript());
    let fix = answer
        .stdout
        .lines()
        .find(|it| it.starts_with("  Fix: "))
        .unwrap();
    assert!(
        fix.ends_with(repair) && fix.contains("a writer is at work"),
        "{fix}"
    );
    let report: Value =
        serde_json::from_str(&world.run(&["verify", "vault", "--json"]).stdout).unwrap();
    let torn = &report["findings"][0];
    assert_eq!(torn["code"], "PROVARA_E104");
    assert!(torn["fix"].as_str().unwrap().ends_with(repair));
    // Those that derive something from the vault say it, too.
    let answer = world.run(&["replay", "vault"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer
            .stderr
            .contains("'provara repair vault' moves the line"),
        "{}",
        answer.stderr
    );
    assert_eq!(world.run(&["repair", "vault"]).code, 0);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);

    // What a crash does not explain, no repair explains away.
    let mut forged = String::from_utf8(whole)
        .unwrap()
        .replace("\"payload\":{", "\"payload\":{\"a\":1,");
    forged.push_str("{\"actor\":\"dep");
    std::fs::write(&log, forged).unwrap();
    let answer = world.run(&["verify", "vault", "--all"]);
    assert_eq!(answer.code, 1);
    assert!(
        !answer.stdout.contains("provara repair"),
        "{}",
        answer.stdout
    );
}
