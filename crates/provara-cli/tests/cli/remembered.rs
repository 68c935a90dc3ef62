//! What this machine remembers: told, accepted, listed, forgotten.

use crate::world::{World, copy};

/// A vault in whose place an earlier state was put.
fn rolled_back() -> World {
    let world = World::with_vault();
    copy(&world.path("vault"), &world.path("golden"));
    world.observe("door", "\"open\"");
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    std::fs::remove_dir_all(world.path("vault")).unwrap();
    copy(&world.path("golden"), &world.path("vault"));
    world
}

#[test]
fn an_earlier_state_is_told_and_accepted() {
    let world = rolled_back();
    let told = world.run(&["verify", "vault"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    insta::assert_snapshot!("an_earlier_state", told.transcript());
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 1);
    let json = world.run(&["verify", "vault", "--json"]).stdout;
    assert!(json.contains("\"code\":\"PROVARA_W010\""), "{json}");
    assert!(json.contains("provara accept vault\"}"), "{json}");
    // What is derived from it says so, too.
    let derived = world.run(&["replay", "vault"]);
    assert_eq!(derived.code, 0);
    assert!(
        derived.stderr.contains("WARNING: PROVARA_W010"),
        "{}",
        derived.stderr
    );
    let tree = world.tree("vault");
    insta::assert_snapshot!("accepted", world.run(&["accept", "vault"]).transcript());
    assert_eq!(world.tree("vault"), tree);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    let again = world.run(&["accept", "vault", "--json"]);
    assert!(again.stdout.contains("\"given_up\":[]"), "{}", again.stdout);
}

#[test]
fn a_vault_that_does_not_verify_is_not_accepted() {
    let world = rolled_back();
    std::fs::write(world.path("vault/phantom"), "x").unwrap();
    let refused = world.run(&["accept", "vault"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("PROVARA_E302 phantom"),
        "{}",
        refused.stderr
    );
    std::fs::remove_file(world.path("vault/phantom")).unwrap();
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 1);
    assert_eq!(world.run(&["accept", "absent"]).code, 3);
    assert_eq!(world.run(&["accept"]).code, 2);
}

#[test]
fn what_is_remembered_is_listed_and_forgotten() {
    let world = rolled_back();
    insta::assert_snapshot!("listed", world.run(&["memory", "list"]).transcript());
    let json = world.run(&["memory", "list", "--json"]).stdout;
    assert!(
        json.starts_with("{\"schema\":\"provara.memory-list.v1\",\"vaults\":[{\"path\":\""),
        "{json}"
    );
    std::os::unix::fs::symlink(world.path("vault"), world.path("link")).unwrap();
    assert_eq!(world.run(&["memory", "forget", "link"]).code, 0);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    let forgotten = world.run(&["memory", "forget", "vault", "--json"]);
    assert!(
        forgotten.stdout.contains("\"event_count\":2"),
        "{}",
        forgotten.stdout
    );
    let nothing = world.run(&["memory", "forget", "vault"]);
    assert_eq!(nothing.code, 3);
    assert!(
        nothing.stderr.contains("remembers nothing of 'vault'"),
        "{}",
        nothing.stderr
    );
    let other = ["memory", "forget", "--id", "evt_745f1631c2bce9c561d6fe87"];
    assert_eq!(world.run(&other).code, 3);
    for wrong in [
        &["memory", "forget"][..],
        &["memory", "forget", "--id", "x"],
        &["memory"],
    ] {
        assert_eq!(world.run(wrong).code, 2, "{wrong:?}");
    }
    let empty = world.run(&["memory", "list"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""));
    assert!(
        empty.stderr.contains("remembers no vault"),
        "{}",
        empty.stderr
    );
}

#[test]
fn who_makes_a_vault_where_one_was_says_what_is_given_up() {
    let world = rolled_back();
    assert_eq!(world.run(&["backup", "golden", "golden.tar"]).code, 0);
    std::fs::remove_dir_all(world.path("vault")).unwrap();
    let restored = world.run(&["restore", "golden.tar", "vault"]);
    assert_eq!(restored.code, 0);
    assert!(
        restored.stderr.contains("no longer expects"),
        "{}",
        restored.stderr
    );
    assert!(restored.stderr.contains("3 events"), "{}", restored.stderr);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
    std::fs::remove_dir_all(world.path("vault")).unwrap();
    let made = world.run(&["init", "vault"]);
    assert!(made.stderr.contains("no longer expects"), "{}", made.stderr);
    assert_eq!(world.run(&["verify", "vault", "--strict"]).code, 0);
}
