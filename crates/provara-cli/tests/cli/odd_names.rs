//! Files that are no regular ones, names that would be lines of their own, and what follows the end of a batch.

use std::fs;
use std::io::Write as _;
use std::process::Command as Tool;

use crate::batch_input::observation;
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

/// To open a pipe takes for ever where nobody writes into it.
#[test]
fn a_pipe_is_no_file_that_is_written() {
    let world = World::with_vault();
    let pipe = |name: &str| {
        let made = Tool::new("mkfifo").arg(world.path(name)).status().unwrap();
        assert!(made.success());
    };
    pipe("pipe");
    std::os::unix::fs::symlink("pipe", world.path("link")).unwrap();
    fs::create_dir(world.path("pages")).unwrap();
    pipe("pages/provara.1");
    let before = world.tree("vault");
    for name in ["pipe", "link", "/dev/null"] {
        for arguments in [
            vec!["append", "vault", "--batch", "-", "--rejects", name],
            vec!["query", "vault", "--cursor", name],
            vec![
                "export", "vault", "--format", "csv", "--output", name, "--force",
            ],
        ] {
            let answer =
                world.run_with(&arguments, |command| command.write_stdin(observation("1")));
            answer.refused(3, "is neither a file nor a directory, and is not replaced");
        }
    }
    world
        .run(&["man", "pages"])
        .refused(3, "is neither a file nor a directory, and is not replaced");
    assert!(world.tree("vault") == before, "the vault changed");
}

/// What follows a batch is told as such: the file is whole, and to get it again would not help.
#[test]
fn what_follows_the_end_is_told() {
    let world = World::with_vault();
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(observation("1").as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(world.path("b.gz"), [&packed[..], b"{\"a\":1}\n"].concat()).unwrap();
    let answer = world.run(&["append", "vault", "--batch", "b.gz", "--dry-run"]);
    let at = packed.len();
    answer.refused(
        2,
        &format!("Something follows the end of the gzip data of 'b.gz', at byte {at}."),
    );
    let fix = format!("head -c {at} b.gz | provara append … --batch -");
    answer.refused(2, &fix);
    fs::write(
        world.path("b.json"),
        "[{\"subject\":\"s\",\"predicate\":\"p\",\"value\":1}] {\"b\":2}",
    )
    .unwrap();
    let answer = world.run(&[
        "append",
        "vault",
        "--type",
        "OBSERVATION",
        "--batch",
        "b.json",
        "--records",
        ".",
        "--dry-run",
    ]);
    answer.refused(2, "An object follows the array of the records.");
}
