//! The help of every command, whole.

use crate::world::World;

const COMMANDS: [&[&str]; 44] = [
    &[],
    &["init"],
    &["append"],
    &["verify"],
    &["query"],
    &["show"],
    &["replay"],
    &["reduce"],
    &["export"],
    &["redact"],
    &["merge"],
    &["delta"],
    &["delta", "export"],
    &["delta", "import"],
    &["backup"],
    &["restore"],
    &["repair"],
    &["adopt"],
    &["accept"],
    &["memory"],
    &["memory", "list"],
    &["memory", "forget"],
    &["checkpoint"],
    &["manifest"],
    &["tree-head"],
    &["prove"],
    &["disclose"],
    &["verify-proof"],
    &["anchor"],
    &["anchor", "add"],
    &["anchor", "list"],
    &["witness"],
    &["witness", "new"],
    &["witness", "sign"],
    &["witness", "last"],
    &["witness", "request"],
    &["plugins"],
    &["plugins", "list"],
    &["plugins", "check"],
    &["doctor"],
    &["mcp"],
    &["mcp", "install"],
    &["completions"],
    &["man"],
];

#[test]
fn every_help_text() {
    let world = World::new();
    for command in COMMANDS {
        let answer = world.run(&[command, &["--help"]].concat());
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
        insta::assert_snapshot!(
            format!("help_{}", [&["provara"], command].concat().join("_")),
            answer.transcript()
        );
    }
    assert!(!world.python_was_started());
}

#[test]
fn every_command_shows_examples() {
    let world = World::new();
    for command in COMMANDS {
        let help = world.run(&[command, &["--help"]].concat()).stdout;
        assert!(help.contains("\nExamples:\n"), "{command:?}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "too wide: {line}");
        }
    }
}

#[test]
fn help_is_not_behind_in_commands() {
    let help = World::new().run(&["-h"]).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed: Vec<_> = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for name in &listed {
        assert!(
            COMMANDS.iter().any(|command| command.first() == Some(name)),
            "{name}"
        );
    }
    assert_eq!(listed.len(), 30);
}

#[test]
fn version() {
    let world = World::new();
    let answer = world.run(&["--version"]);
    assert_eq!(answer.code, 0);
    assert_eq!(
        answer.stdout,
        format!("provara {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(!world.python_was_started());
}

#[test]
fn completions_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = world.run(&["completions", shell]);
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
        assert!(answer.stdout.contains("allow-unregistered"), "{shell}");
    }
}

#[test]
fn colours_are_asked_for_or_absent() {
    let world = World::new();
    let escape = '\u{1b}';
    assert!(!world.run(&["--help"]).stdout.contains(escape));
    assert!(
        world
            .run(&["--color", "always", "--help"])
            .stdout
            .contains(escape)
    );
    assert!(
        world
            .run(&["verify", "absent", "--color=always"])
            .stderr
            .contains(escape)
    );
    assert!(!world.run(&["verify", "absent"]).stderr.contains(escape));
    let forced = |arguments: &[&str]| {
        world
            .run_with(arguments, |command| command.env("CLICOLOR_FORCE", "1"))
            .stderr
    };
    assert!(forced(&["verify", "absent"]).contains(escape));
    assert!(!forced(&["verify", "absent", "--color=never"]).contains(escape));
    let silenced = world.run_with(&["verify", "absent"], |command| {
        command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")
    });
    assert!(!silenced.stderr.contains(escape));
}

#[test]
fn help_of_help_is_the_help() {
    let world = World::new();
    for (words, same) in [
        (&["help", "--help"][..], &["--help"][..]),
        (&["help", "-h"], &["--help"]),
        (&["help", "append", "--help"], &["append", "--help"]),
        (&["plugins", "help", "--help"], &["plugins", "--help"]),
    ] {
        let (answer, expected) = (world.run(words), world.run(same));
        assert_eq!(answer.code, 0, "{words:?}: {}", answer.stderr);
        assert_eq!(answer.stdout, expected.stdout, "{words:?}");
    }
    world
        .run(&["help", "apend"])
        .refused(2, "Unrecognized subcommand 'apend'");
}
