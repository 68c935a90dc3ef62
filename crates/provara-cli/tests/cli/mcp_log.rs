//! What the MCP server writes on stderr: as much as is asked for, and never what a client sent or a key.

use std::fs;

use crate::world::World;

/// What stands in every message that must not be in a line.
const SECRET: &str = "swordfish";

/// A client that appends, and sends in every way that is refused what quotes itself in the answer.
fn messages() -> String {
    let greeting = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"append_event","arguments":{"type":"OBSERVATION","data":{"subject":"SECRET","predicate":"is","value":"SECRET"}}}}
{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"append_event","arguments":"SECRET"}}
{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"append_event","arguments":{"SECRET":1,"SECRET":2}}}
{"jsonrpc":"2.0","id":4,"method":"tools/list","params":{"cursor":["SECRET"],"_meta":"SECRET"}}
{"jsonrpc":"2.0","id":5,"method":"ping","params":{"_meta":"SECRET"}}
{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"append_event","arguments":{"type":"SECRET","data":{}}}}
{"jsonrpc":"2.0","id":7,"method":"no/such/method","params":{"x":"SECRET"}}
{"SECRET"
"#;
    greeting.replace("SECRET", SECRET)
}

/// What the server says, on both streams, at a level.
fn said(world: &World, options: &[&str]) -> (String, String) {
    let output = world
        .command()
        .args(["mcp", "--vault", "vault", "--actor", "a"])
        .args(options)
        .write_stdin(messages())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (answers, lines) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{lines}");
    (answers, lines)
}

#[test]
fn no_line_of_the_server_has_what_a_client_sent_or_a_key() {
    let world = World::with_vault();
    let keyfile = fs::read_to_string(world.path("vault/identity/private_keys.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&keyfile).unwrap();
    let key = keys["keys"][0]["private_key_b64"].as_str().unwrap();
    let (answers, lines) = said(&world, &["--log", "debug"]);
    assert!(answers.contains("evt_"), "{answers}");
    assert!(answers.matches(SECRET).count() >= 4, "{answers}");
    assert!(
        lines.contains("provara mcp: append_event was done in "),
        "{lines}"
    );
    assert!(!lines.contains(SECRET) && !lines.contains(key), "{lines}");
    for line in lines.lines() {
        assert!(line.starts_with("provara mcp: "), "{lines}");
    }
}

#[test]
fn a_level_says_how_much_the_server_writes() {
    let world = World::with_vault();
    let refused = [
        "refused a message: 'params' or its '_meta' does not fit",
        "refused a message: EOF while parsing an object at line 1 column 12",
        "refused a message: an object has a member twice",
        "refused a message: the parameters of a list do not fit",
        "refused a request: The parameters of tools/call do not fit",
        "refused a request: Unknown method",
    ];
    for options in [&[][..], &["--log", "info"], &["--log", "warn"]] {
        let (_, lines) = said(&world, options);
        let mut lines: Vec<_> = lines.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, refused.map(|line| format!("provara mcp: {line}")));
    }
    for level in ["error", "off"] {
        assert_eq!(said(&world, &["--log", level]).1, "", "{level}");
    }
    let bad = world.run(&["mcp", "--vault", "vault", "--log", "loud"]);
    assert_eq!(bad.code, 2);
    assert!(
        bad.stderr.contains("off, error, warn, info, debug"),
        "{}",
        bad.stderr
    );
}

#[test]
fn a_type_that_was_mistyped_is_suggested_to_an_agent_too() {
    let world = World::with_vault();
    let call = messages().replace(
        &format!(r#""type":"{SECRET}","data":{{}}"#),
        r#""type":"OBSERVATOIN","data":{}"#,
    );
    let output = world
        .command()
        .args(["mcp", "--vault", "vault", "--actor", "a"])
        .write_stdin(call)
        .output()
        .unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert!(answers.contains("Did you mean 'OBSERVATION'?"), "{answers}");
}

#[test]
fn a_clients_configuration_says_how_much_is_told() {
    let world = World::with_vault();
    let install = ["mcp", "install", "--client", "cursor", "--vault", "vault"];
    let answer = world.run(&[&install[..], &["--log", "warn"]].concat());
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let configuration: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let arguments = configuration.to_string();
    assert!(arguments.contains(r#""--log","warn""#), "{arguments}");
    assert!(!world.run(&install).stdout.contains("--log"));
    world
        .run(&[&install[..], &["--log", "loud"]].concat())
        .refused(2, "loud");
}
