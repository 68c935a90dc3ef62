//! Changes of the log itself (spec/VAULT_FORMAT, sections 2 and 3).

use provara_core::finding::Code::{
    E002, E003, E004, E005, E006, E007, E009, E011, E013, E101, E102, E103, E104, E105, E204, E300,
    E301, E302, W003, W004, W005, W006, W007,
};
use provara_core::id::Digest;
use provara_core::json;

use super::{LAST, Mutation, NOTHING, no_checkpoint};
use crate::golden::Golden;
use crate::golden::log_forge::{id, set};

pub(crate) const LINES: &[Mutation] = &[
    // Section 2: lines.
    Mutation("blank line", |g| g.insert_line(b"\n"), NOTHING, &[E104]),
    Mutation(
        "blank line with CR",
        |g| g.insert_line(b"\r\n"),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "garbage line",
        |g| g.insert_line(b"garbage\n"),
        NOTHING,
        &[E104],
    ),
    Mutation("array line", |g| g.insert_line(b"[]\n"), NOTHING, &[E104]),
    Mutation(
        "NUL line",
        |g| g.insert_line(b"\0\0\0\0\n"),
        NOTHING,
        &[E104],
    ),
    Mutation("CR LF", |g| g.insert(false, b"\r"), NOTHING, &[E104]),
    Mutation(
        "trailing space",
        |g| g.insert(false, b" "),
        NOTHING,
        &[E104],
    ),
    Mutation("leading space", |g| g.insert(true, b" "), NOTHING, &[E104]),
    Mutation("inner space", |g| g.edit_line(":", ": "), NOTHING, &[E104]),
    Mutation(
        "duplicate key",
        |g| g.edit_line("{", "{\"actor\":\"eve\","),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "unsorted keys",
        |g| {
            let at = g.middle();
            let line = String::from_utf8(g.log.lines[at].clone()).unwrap();
            let (head, kind) = line
                .trim_end()
                .trim_end_matches('}')
                .rsplit_once(",\"type\":")
                .unwrap();
            g.log.lines[at] = format!("{{\"type\":{kind},{}}}\n", &head[1..]).into_bytes();
        },
        NOTHING,
        &[E104],
    ),
    Mutation(
        "needless escape",
        |g| g.edit_line("\"payload\"", "\"p\\u0061yload\""),
        NOTHING,
        &[E104],
    ),
    Mutation(
        "byte order mark",
        |g| g.log.lines[0].splice(0..0, *b"\xEF\xBB\xBF").for_each(drop),
        NOTHING,
        &[E104, E302],
    ),
    Mutation(
        "torn last line",
        |g| {
            no_checkpoint(g);
            let length = g.log.lines[LAST].len() / 2;
            g.log.lines[LAST].truncate(length);
        },
        NOTHING,
        &[E104, W006],
    ),
    Mutation(
        "no final line end",
        |g| {
            g.log.lines[LAST].pop();
        },
        NOTHING,
        &[W006],
    ),
    Mutation(
        "token-preserving line",
        |g| {
            no_checkpoint(g);
            let line = String::from_utf8(g.log.lines[LAST].clone()).unwrap();
            let event = json::parse(line.as_bytes()).unwrap();
            let seed = if event.get("actor_key_id").unwrap().as_str() == Some(&id(2).to_string()) {
                2
            } else {
                3
            };
            g.log
                .edit_tokens(LAST, seed, "\"value\":23", "\"value\":23.0");
        },
        NOTHING,
        &[W007],
    ),
    // Section 3: events.
    Mutation("no actor", |g| resign(g, "actor", None), NOTHING, &[E300]),
    Mutation(
        "empty actor",
        |g| resign(g, "actor", Some("".into())),
        NOTHING,
        &[E300],
    ),
    Mutation("no type", |g| resign(g, "type", None), NOTHING, &[E300]),
    Mutation(
        "type of two labels",
        |g| resign(g, "type", Some("com.acme".into())),
        NOTHING,
        &[E301],
    ),
    Mutation(
        "lower-case core type",
        |g| resign(g, "type", Some("genesis".into())),
        NOTHING,
        &[E301],
    ),
    Mutation(
        "no payload",
        |g| resign(g, "payload", None),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "payload a text",
        |g| resign(g, "payload", Some("x".into())),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "no timestamp",
        |g| resign(g, "timestamp_utc", None),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "timestamp with offset",
        |g| resign(g, "timestamp_utc", Some("2027-02-01T00:00:00+02:00".into())),
        NOTHING,
        &[E105],
    ),
    Mutation(
        "timestamp before the last",
        |g| resign(g, "timestamp_utc", Some("2020-01-01T00:00:00Z".into())),
        NOTHING,
        &[W005, E009],
    ),
    Mutation(
        "ts_logical a text",
        |g| resign(g, "ts_logical", Some("9".into())),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "ts_logical beyond 64 bits",
        |g| {
            no_checkpoint(g);
            g.log.add("dave", 3, "RECEIPT", "{}");
            let at = g.log.lines.len() - 1;
            let beyond = "\"ts_logical\":100000000000000000000";
            g.log.edit_tokens(at, 3, "\"ts_logical\":1", beyond);
        },
        NOTHING,
        &[E300],
    ),
    Mutation(
        "ts_logical backwards",
        |g| resign(g, "ts_logical", Some(1_u64.into())),
        NOTHING,
        &[W004, E009],
    ),
    Mutation(
        "no prev_event_hash",
        |g| resign(g, "prev_event_hash", None),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "prev_event_hash malformed",
        |g| resign(g, "prev_event_hash", Some("x".into())),
        NOTHING,
        &[E101],
    ),
    Mutation(
        "chain starts again",
        |g| resign(g, "prev_event_hash", Some(json::Value::Null)),
        NOTHING,
        &[E002],
    ),
    Mutation(
        "fork",
        |g| {
            let (own, _) = relatives(g);
            resign(g, "prev_event_hash", Some(own.into()));
        },
        NOTHING,
        &[E002],
    ),
    Mutation(
        "another actor's event",
        |g| {
            let (_, other) = relatives(g);
            resign(g, "prev_event_hash", Some(other.into()));
        },
        NOTHING,
        &[E005],
    ),
    Mutation(
        "no such event",
        |g| {
            resign(
                g,
                "prev_event_hash",
                Some("evt_000000000000000000000000".into()),
            );
        },
        NOTHING,
        &[E006],
    ),
    Mutation(
        "first event points back",
        |g| {
            no_checkpoint(g);
            g.log.add("dave", 3, "RECEIPT", "{}");
            let at = g.log.lines.len() - 1;
            g.log.edit_signed(at, 3, |members| {
                set(
                    members,
                    "prev_event_hash",
                    "evt_000000000000000000000000".into(),
                );
            });
        },
        NOTHING,
        &[E013],
    ),
    Mutation(
        "first event points forward",
        |g| {
            no_checkpoint(g);
            g.log.add("dave", 3, "RECEIPT", "{}");
            g.log.add("dave", 3, "RECEIPT", "{}");
            let at = g.log.lines.len() - 1;
            g.log.lines.swap(at - 1, at);
        },
        NOTHING,
        &[E002, W004, W005],
    ),
    Mutation(
        "event twice",
        |g| {
            let at = g.middle();
            g.log.lines.insert(at, g.log.lines[at].clone());
        },
        NOTHING,
        &[E007],
    ),
    Mutation(
        "last event cut off, seal kept",
        NOTHING,
        |g| {
            let log = g.log.lines[..LAST].concat();
            g.files.insert("events/events.ndjson".into(), log);
        },
        &[E009, E011],
    ),
    Mutation(
        "payload edited",
        |g| g.edit_line("\"payload\":{", "\"payload\":{\"a\":0,"),
        NOTHING,
        &[E004, E003],
    ),
    Mutation(
        "event_id malformed",
        |g| {
            no_checkpoint(g);
            g.log
                .edit_text(LAST, "\"event_id\":\"evt_", "\"event_id\":\"EVT_");
        },
        NOTHING,
        &[E101, E003],
    ),
    Mutation(
        "actor_key_id malformed",
        |g| {
            g.log
                .edit_text(LAST, "\"actor_key_id\":\"bp1", "\"actor_key_id\":\"bp2");
        },
        NOTHING,
        &[E102, E004],
    ),
    Mutation("signature removed", |g| edit_sig(g, ""), NOTHING, &[E300]),
    Mutation(
        "signature empty",
        |g| edit_sig(g, "\"sig\":\"\","),
        NOTHING,
        &[E103],
    ),
    Mutation(
        "signature null",
        |g| edit_sig(g, "\"sig\":null,"),
        NOTHING,
        &[E300],
    ),
    Mutation(
        "signature short",
        |g| edit_sig(g, "\"sig\":\"AAAA\","),
        NOTHING,
        &[E103],
    ),
    Mutation(
        "signature of zeros",
        |g| {
            let zeros = format!(
                "\"sig\":\"{}\",",
                provara_core::keys::Signature([0; 64]).to_base64()
            );
            edit_sig(g, &zeros);
        },
        NOTHING,
        &[E003],
    ),
    Mutation(
        "signed by an unknown key",
        |g| {
            no_checkpoint(g);
            g.log.add("carol", 9, "RECEIPT", "{}");
        },
        NOTHING,
        &[E204],
    ),
    Mutation(
        "signed by another actor's key",
        |g| {
            no_checkpoint(g);
            g.log.add("carol", 3, "RECEIPT", "{}");
        },
        NOTHING,
        &[W003],
    ),
];

/// Re-signs the last line after an edit, with the key that signed it.
fn resign(golden: &mut Golden, field: &str, value: Option<json::Value<'static>>) {
    let line = golden.log.lines[LAST].clone();
    let event = json::parse(&line).unwrap();
    let signer = event.get("actor_key_id").unwrap().as_str().unwrap();
    let seed = (1..=3)
        .find(|seed| id(*seed).to_string() == signer)
        .unwrap();
    golden.log.edit_signed(LAST, seed, |members| {
        members.retain(|(name, _)| name != field);
        members.extend(value.map(|value| (field.to_owned(), value)));
    });
}

/// The id of an event of the last line's actor, two before its head, and one of another actor.
fn relatives(golden: &Golden) -> (String, String) {
    let actor = |line: &Vec<u8>| {
        json::parse(line)
            .unwrap()
            .get("actor")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let last = actor(&golden.log.lines[LAST]);
    let own: Vec<_> = (1..LAST)
        .filter(|at| actor(&golden.log.lines[*at]) == last)
        .collect();
    let other = (1..LAST)
        .find(|at| actor(&golden.log.lines[*at]) != last)
        .unwrap();
    (
        golden.log.ids[own[own.len() - 2]].to_string(),
        golden.log.ids[other].to_string(),
    )
}

/// Replaces the signature member of a middle line.
fn edit_sig(golden: &mut Golden, with: &str) {
    let at = golden.middle();
    let text = String::from_utf8(golden.log.lines[at].clone()).unwrap();
    let start = text.find("\"sig\":\"").unwrap();
    let end = start + "\"sig\":\"\",".len() + 88;
    golden.log.lines[at] = format!("{}{with}{}", &text[..start], &text[end..]).into_bytes();
}

/// Puts a tombstone that names `redaction` in the place of a line's payload.
pub(crate) fn bury(golden: &mut Golden, line: usize, redaction: &str) {
    let text = String::from_utf8(golden.log.lines[line].clone()).unwrap();
    let start = text.find("\"payload\":{").unwrap() + 10;
    let end = start + text[start..].find('}').unwrap() + 1;
    let tombstone = format!(
        r#"{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"x"}}"#,
        Digest::of(b"x")
    );
    golden.log.lines[line] = format!("{}{tombstone}{}", &text[..start], &text[end..]).into_bytes();
}
