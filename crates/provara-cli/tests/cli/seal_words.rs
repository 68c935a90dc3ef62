//! What is said of a seal, of keys and of copies: true where it stands, and a way on.

use std::fs;
use std::path::Path;

use provara_core::keys::{KeyRegistry, SigningKey};

use crate::world::{Answer, World, append, copy};

const KEYS: &str = "vault/identity/keys.json";
const SEAL: [&str; 3] = ["manifest.json", "manifest.sig", "merkle_root.txt"];

/// A vault whose seal is that of before its last event, as an interrupted writer leaves it.
fn lagging() -> World {
    let world = World::with_vault();
    let files = SEAL.map(|file| world.path("vault").join(file));
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    world.observe("door", "\"open\"");
    for (file, bytes) in files.iter().zip(before) {
        fs::write(file, bytes).unwrap();
    }
    assert_eq!(world.run(&["memory", "forget", "vault"]).code, 0);
    world
}

fn edit_keys(world: &World, edit: impl FnOnce(&mut KeyRegistry)) {
    let path = world.path(KEYS);
    let mut registry = KeyRegistry::parse(&fs::read(&path).unwrap()).unwrap();
    edit(&mut registry);
    fs::write(&path, registry.to_json()).unwrap();
}

/// Lists a key as whoever can write files can; gives its id.
fn list_stranger(world: &World) -> String {
    let stranger = SigningKey::from_seed(&[77; 32]);
    edit_keys(world, |registry| {
        let mut entry = registry.keys[0].clone();
        entry.key_id = stranger.key_id();
        entry.public_key = stranger.public();
        registry.keys.push(entry);
    });
    stranger.key_id().to_string()
}

/// The message of the only finding with this code, and its `fix`. Ids are as they are.
#[track_caller]
fn finding(world: &World, vault: &str, code: &str) -> (String, Option<String>) {
    let output = world.command().args(["verify", vault, "--json"]).output();
    let report: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let found = report["findings"].as_array().unwrap().iter();
    let found: Vec<_> = found.filter(|it| it["code"] == code).collect();
    assert_eq!(found.len(), 1, "{code} in {report}");
    let text = |name: &str| found[0][name].as_str().map(str::to_owned);
    (text("message").unwrap(), text("fix"))
}

/// Whether the next writer goes on.
fn goes_on(world: &World) -> bool {
    let answer = world.run(&append(&["--data", "{}"]));
    assert!([0, 1].contains(&answer.code), "{}", answer.transcript());
    answer.code == 0
}

fn remove_line(log: &Path, number: usize) {
    let text = fs::read_to_string(log).unwrap();
    let lines = text.split_inclusive('\n').enumerate();
    let kept: String = lines
        .filter(|(at, _)| at + 1 != number)
        .map(|it| it.1)
        .collect();
    fs::write(log, kept).unwrap();
}

#[test]
fn a_lag_is_said_to_be_renewed_only_where_writers_go_on() {
    let renewed = "1 more follows, which verifies and which the next writer seals";
    let world = lagging();
    let (message, _) = finding(&world, "vault", "PROVARA_W001");
    assert!(message.contains("first 2 events; "), "{message}");
    assert!(message.contains(renewed), "{message}");
    // A torn line is no event. A verification remembers nothing of a log with one.
    let log = world.path("vault/events/events.ndjson");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [&whole[..], b"{\"torn"].concat()).unwrap();
    let (message, _) = finding(&world, "vault", "PROVARA_W001");
    assert!(message.contains(renewed), "{message}");
    assert!(message.contains("the last line is torn"), "{message}");
    assert!(goes_on(&world));
    fs::write(
        &log,
        [fs::read(&log).unwrap(), b"{\"torn".to_vec()].concat(),
    )
    .unwrap();
    let (message, _) = finding(&world, "vault", "PROVARA_W001");
    assert!(
        message.contains("first 4 events; no whole event follows; the last line is torn"),
        "{message}"
    );
    assert!(goes_on(&world));
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);

    let world = lagging();
    list_stranger(&world);
    let (message, _) = finding(&world, "vault", "PROVARA_W001");
    assert!(!message.contains("next writer"), "{message}");
    assert!(
        message.contains("1 more follows, which no seal covers"),
        "{message}"
    );
    assert!(!goes_on(&world));
}

#[test]
fn a_lag_of_an_earlier_state_is_not_said_to_be_renewed() {
    let world = lagging();
    copy(&world.path("vault"), &world.path("earlier"));
    assert!(goes_on(&world));
    fs::remove_dir_all(world.path("vault")).unwrap();
    copy(&world.path("earlier"), &world.path("vault"));
    finding(&world, "vault", "PROVARA_W010");
    let (message, _) = finding(&world, "vault", "PROVARA_W001");
    assert!(!message.contains("next writer"), "{message}");
    assert!(!goes_on(&world));
    let (message, _) = finding(&world, "earlier", "PROVARA_W001");
    assert!(message.contains("which the next writer seals"), "{message}");
}

#[test]
fn a_list_of_keys_that_differs_is_told_by_the_keys() {
    let world = World::new();
    assert_eq!(world.run(&["init", "vault", "--quorum"]).code, 0);
    let before = fs::read(world.path(KEYS)).unwrap();
    let own = KeyRegistry::parse(&before).unwrap().keys;
    let [root, quorum] = [own[0].key_id, own[1].key_id];
    let told = |edit: &dyn Fn()| {
        edit();
        let (message, _) = finding(&world, "vault", "PROVARA_E302");
        let refused = world.command().args(append(&["--data", "{}"])).output();
        let refused = String::from_utf8(refused.unwrap().stderr).unwrap();
        assert!(refused.contains(&message), "{refused} lacks {message}");
        fs::write(world.path(KEYS), &before).unwrap();
        message
    };
    let stranger = SigningKey::from_seed(&[77; 32]).key_id();
    assert_eq!(
        told(&|| drop(list_stranger(&world))),
        format!("it lists the key {stranger}, to which no signed event of the log leads")
    );
    assert_eq!(
        told(&|| {
            list_stranger(&world);
            edit_keys(&world, |registry| drop(registry.keys.remove(1)));
        }),
        format!(
            "it lists the key {stranger}, to which no signed event of the log leads; it lacks the key {quorum}, \
             to which signed events of the log lead"
        )
    );
    assert_eq!(
        told(&|| edit_keys(&world, |registry| registry.keys[0].roles.truncate(1))),
        format!("it says something else of the key {root} than the signed events of the log")
    );
    assert_eq!(
        told(&|| fs::write(world.path(KEYS), [&before[..], b"\n"].concat()).unwrap()),
        "it says of the keys what the signed events of the log say, and is written differently"
    );
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

#[test]
fn an_absent_and_another_seal_lead_on() {
    let world = World::with_vault();
    world.observe("door", "\"open\"");
    let adopts = "says so with 'provara adopt vault'.";
    let refuses = "'provara adopt' refuses this one";
    let log = world.path("vault/events/events.ndjson");
    let adopted = |vault: &str| world.run(&["adopt", vault, "--yes"]).code;
    copy(&world.path("vault"), &world.path("whole"));
    for (code, broken) in [
        ("PROVARA_E014", "manifest.sig"),
        ("PROVARA_E015", "the log"),
    ] {
        let breaks = || match code {
            "PROVARA_E014" => fs::remove_file(world.path("vault/manifest.sig")).unwrap(),
            _ => remove_line(&log, 3),
        };
        breaks();
        let (message, fix) = finding(&world, "vault", code);
        let fix = fix.unwrap();
        assert!(
            fix.contains(adopts) && fix.contains("from a copy"),
            "{broken}: {fix}"
        );
        assert!(!message.contains("root"), "{message}");
        let text = world.run(&["verify", "vault"]).stdout;
        assert!(text.contains(&format!("  Fix: {fix}\n")), "{text}");
        let refusal = world.run(&append(&["--data", "{}"])).stderr;
        assert!(refusal.matches("(root ").count() < 2, "{refusal}");
        assert_eq!(adopted("vault"), 0);
        assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
        // Of a log that does not verify nothing is promised that is then refused.
        fs::remove_dir_all(world.path("vault")).unwrap();
        copy(&world.path("whole"), &world.path("vault"));
        breaks();
        let text = fs::read_to_string(&log).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let rest = rest.replacen("\"actor\":\"", "\"actor\":\"x", 1);
        fs::write(&log, format!("{first}\n{rest}")).unwrap();
        let (_, fix) = finding(&world, "vault", code);
        let fix = fix.unwrap();
        assert!(
            fix.contains(refuses) && !fix.contains(adopts),
            "{broken}: {fix}"
        );
        assert_eq!(adopted("vault"), 1);
        fs::remove_dir_all(world.path("vault")).unwrap();
        copy(&world.path("whole"), &world.path("vault"));
    }
}

#[test]
fn of_a_seal_of_other_content_a_writer_names_the_root_once() {
    let world = World::with_vault();
    let own = fs::read(world.path("vault/manifest.sig")).unwrap();
    copy(&world.path("vault"), &world.path("other"));
    fs::write(world.path("other/artifacts/note.txt"), "x").unwrap();
    assert_eq!(world.run(&["manifest", "other"]).code, 0);
    copy(
        &world.path("other/manifest.sig"),
        &world.path("vault/manifest.sig"),
    );
    let refusal = world.run(&append(&["--data", "{}"]));
    refusal.refused(1, "is of no state that this log");
    assert_eq!(
        refusal.stderr.matches("root").count(),
        1,
        "{}",
        refusal.stderr
    );
    fs::write(world.path("vault/manifest.sig"), own).unwrap();
    assert!(goes_on(&world));
}

/// No command makes the list of keys anew; the file of a backup is what helps.
#[test]
fn absent_keys_are_put_back_from_a_backup() {
    let world = World::with_vault();
    world.observe("door", "1");
    let made = world.run(&["backup", "vault", "backup.tar"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let kept = fs::read(world.path(KEYS)).unwrap();
    fs::remove_file(world.path(KEYS)).unwrap();
    let data = r#"{"subject":"a","predicate":"b","value":1}"#;
    for arguments in [
        append(&["--data", data]),
        vec!["repair", "vault"],
        vec!["adopt", "vault", "--yes"],
        vec!["manifest", "vault"],
    ] {
        let answer = world.run(&arguments);
        answer.refused(1, "Fix: Put identity/keys.json back from a backup");
    }
    let restored = world.run(&["restore", "backup.tar", "restored"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(
        fs::read(world.path("restored/identity/keys.json")).unwrap(),
        kept
    );
    fs::write(world.path(KEYS), kept).unwrap();
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}

/// What a writer advises is what 'provara adopt' does: it refuses a log with a line that somebody changed.
#[test]
fn a_writer_names_the_adoption_under_its_condition() {
    let world = World::with_vault();
    world.observe("door", "1");
    let log = world.path("vault/events/events.ndjson");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"value\":1", "\"value\":2")).unwrap();
    let data = r#"{"subject":"a","predicate":"b","value":1}"#;
    let answer = world.run(&append(&["--data", data]));
    answer.refused(1, "If every line of the log verifies");
    let answer = world.run(&["adopt", "vault", "--yes"]);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
}

#[test]
fn another_vault_has_no_later_copy() {
    let world = World::with_vault();
    fs::remove_dir_all(world.path("vault")).unwrap();
    assert_eq!(world.run(&["init", "other"]).code, 0);
    fs::rename(world.path("other"), world.path("vault")).unwrap();
    let (_, fix) = finding(&world, "vault", "PROVARA_W011");
    let fix = fix.unwrap();
    assert!(!fix.contains("later"), "{fix}");
    assert!(fix.contains("the vault that was there before"), "{fix}");
    let refusal = world.run(&append(&["--data", "{}"]));
    refusal.refused(1, "PROVARA_W011");
    assert!(refusal.stderr.contains(&fix), "{}", refusal.stderr);
    assert_eq!(world.run(&["accept", "vault"]).code, 0);
    assert!(goes_on(&world));
}

fn adopt(world: &World, more: &[&str]) -> Answer {
    world.run(&[&["adopt", "vault", "--yes"], more].concat())
}

#[test]
fn an_adoption_tells_of_a_longer_copy_elsewhere() {
    for json in [false, true] {
        let world = World::with_vault();
        copy(&world.path("vault"), &world.path("elsewhere"));
        world.observe("door", "\"open\"");
        world.observe("lamp", "\"on\"");
        fs::rename(world.path("vault"), world.path("longer")).unwrap();
        assert_eq!(world.run(&["verify", "longer", "--strict"]).code, 0);
        assert_eq!(world.run(&["memory", "forget", "vault"]).code, 0);
        copy(&world.path("elsewhere"), &world.path("vault"));
        fs::remove_file(world.path("vault/manifest.sig")).unwrap();
        let told = "the copy of this vault at '<here>/longer' had 4 events when this machine saw it (<time>), and this one has 2: \
             right for an earlier copy or a restored backup; if this one is meant to be the newest, look at that one, and \
             merge it into this one";
        let answer = adopt(&world, if json { &["--json"] } else { &[] });
        assert_eq!(answer.code, 0, "{}", answer.transcript());
        assert_eq!(answer.stderr.matches(told).count(), 1, "{}", answer.stderr);
        if json {
            let receipt: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
            assert_eq!(receipt["found"]["elsewhere"], serde_json::json!([told]));
            assert_eq!(receipt["found"]["remembered"], serde_json::Value::Null);
            assert!(receipt["notes"].as_array().unwrap().contains(&told.into()));
        } else {
            let before = answer.stderr.find(told).unwrap();
            assert!(
                answer.stderr.find("  key  ").unwrap() > before,
                "before the question"
            );
        }
        // What the machine knew of this path is told beside it.
        world.observe("door", "\"open\"");
        fs::remove_dir_all(world.path("vault")).unwrap();
        copy(&world.path("elsewhere"), &world.path("vault"));
        let answer = adopt(&world, &[]);
        assert_eq!(answer.code, 0, "{}", answer.transcript());
        assert!(
            answer.stderr.contains("  remembered   "),
            "{}",
            answer.stderr
        );
        assert!(answer.stderr.contains(told), "{}", answer.stderr);
    }
}

#[test]
fn a_marked_vault_trusts_no_key_by_an_option() {
    let world = World::with_vault();
    let stranger = list_stranger(&world);
    let tree = world.tree("vault");
    let refused = adopt(&world, &["--trust", &stranger]);
    // What was found is shown before.
    let listed = "its keys come by signed events alone, and none of them leads to key bp1_<id>: that keys.json \
                  lists it counts for nothing";
    let absent = "keys.json does not list it either";
    for (key, said) in [(&*stranger, listed), ("bp1_0123456789abcdef", absent)] {
        let refused = adopt(&world, &["--json", "--trust", key]);
        refused.refused(2, said);
        assert!(
            refused
                .stderr
                .contains("provara append vault --type com.provara.key.added"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(refused.code, 2);
    assert_eq!(world.tree("vault"), tree);
    // The way on that it names.
    let adopted = adopt(&world, &[]);
    assert!(
        adopted.stderr.contains("it no longer does"),
        "{}",
        adopted.stderr
    );
    let public = SigningKey::from_seed(&[77; 32]).public().to_base64();
    let data = format!(
        r#"{{"added_at_utc":"2026-11-22T12:00:00Z","algorithm":"Ed25519","key_id":"{stranger}","public_key_b64":"{public}","roles":["attestation"]}}"#
    );
    let added = world.run(&[
        "append",
        "vault",
        "--type",
        "com.provara.key.added",
        "--allow-unregistered",
        "--data",
        &data,
    ]);
    assert_eq!(added.code, 0, "{}", added.transcript());
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    // A key of the vault may be named.
    assert_eq!(adopt(&world, &["--trust", &stranger]).code, 0);
}
