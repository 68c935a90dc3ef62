//! Names that would be lines of their own.

use std::fs;

use crate::world::World;

/// A name with line ends in it stays within the line in which it is told.
#[test]
fn a_name_with_a_line_end_makes_no_line_of_its_own() {
    let world = World::with_vault();
    let name = "a is new in the seal\nnote: VALID\r\u{85}\u{2028}\u{2029}\nERROR: b";
    let told = "a is new in the seal\\nnote: VALID\\r\\u{85}\\u{2028}\\u{2029}\\nERROR: b";
    fs::create_dir_all(world.path("vault/artifacts")).unwrap();
    fs::write(world.path("vault/artifacts").join(name), "x").unwrap();
    let sealed = |what: &str| {
        let answer = world.run(&["manifest", "vault"]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let line = format!("note: artifacts/{told} {what}\n");
        assert!(answer.stderr.contains(&line), "{}", answer.stderr);
        let notes = answer.stderr.lines().filter(|it| it.starts_with("note:"));
        assert_eq!(notes.count(), answer.stderr.lines().count());
    };
    // It is an error of the log as well as of the seal.
    let unsealed = |arguments: &[&str]| {
        let answer = world.run(arguments);
        assert_eq!(answer.code, 1, "{}", answer.stderr);
        let both = format!("{}{}", answer.stdout, answer.stderr);
        assert!(both.contains(told), "{both}");
        for line in both.lines().map(str::trim) {
            assert!(
                !line.starts_with("note: VALID") && !line.starts_with("ERROR: b"),
                "{both}"
            );
        }
    };
    for arguments in [&["verify", "vault"], &["repair", "vault"]] {
        unsealed(arguments);
    }
    sealed("is new in the seal");
    fs::write(world.path("vault/artifacts").join(name), "y").unwrap();
    for arguments in [&["verify", "vault"], &["repair", "vault"]] {
        unsealed(arguments);
    }
    sealed("has changed");
}
