//! Changes of keys: the rotations of the log, and `keys.json` (spec/VAULT_FORMAT, sections 1 and 4).

use provara_core::finding::Code::{E102, E104, E105, E200, E201, E202, E203, E204, E300, E302};
use provara_core::json;

use super::{LAST, Mutation, NOTHING, no_checkpoint};
use crate::golden::Golden;
use crate::golden::log_forge::{self, id, set};

pub(crate) const KEYS: &[Mutation] = &[
    Mutation(
        "GENESIS event by another key than its root",
        |g| {
            no_checkpoint(g);
            g.log.edit_signed(0, 2, |members| {
                set(members, "actor_key_id", id(2).to_string().into());
            });
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "a revocation in the place of the GENESIS event",
        |g| {
            no_checkpoint(g);
            g.log.lines.clear();
            g.log.heads.clear();
            g.log.revoke("r", 1, 2, None);
            g.log.add("carol", 2, "RECEIPT", "{}");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "a key revokes itself",
        |g| {
            no_checkpoint(g);
            g.log.revoke("r", 2, 2, None);
        },
        NOTHING,
        &[E200, E302],
    ),
    Mutation(
        "a revoked key signs",
        |g| {
            no_checkpoint(g);
            g.log.revoke("r", 1, 2, None);
            g.log.add("carol", 2, "RECEIPT", "{}");
        },
        NOTHING,
        &[E202],
    ),
    Mutation(
        "promotion without revocation",
        |g| {
            no_checkpoint(g);
            g.log.promote("r", 1, 4, 2);
        },
        NOTHING,
        &[E201, E302],
    ),
    Mutation(
        "revocation without boundary",
        |g| {
            no_checkpoint(g);
            let payload = format!(
                r#"{{"reason":"x","revoked_at_utc":"2026-01-02T00:00:00Z","revoked_key_id":"{}"}}"#,
                id(2)
            );
            g.log.add("r", 1, "KEY_REVOCATION", &payload);
        },
        NOTHING,
        &[E203],
    ),
    Mutation(
        "promotion by another key than its signer",
        |g| {
            rotate(g, |payload| {
                set(payload, "promoted_by", id(3).to_string().into());
            });
        },
        NOTHING,
        &[E202, E302],
    ),
    Mutation(
        "promotion with two ids",
        |g| {
            rotate(g, |payload| {
                set(payload, "promoted_key_id", id(5).to_string().into());
            });
        },
        NOTHING,
        &[E102, E302],
    ),
    Mutation(
        "promotion at no time",
        |g| rotate(g, |payload| set(payload, "promoted_at_utc", "today".into())),
        NOTHING,
        &[E105, E302],
    ),
    Mutation(
        "promotion that keys.json does not name",
        |g| {
            rotate(g, |_| ());
            g.log.registry.keys[3].promotion_event_id = None;
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "promotion that keys.json names otherwise",
        |g| {
            rotate(g, |_| ());
            g.log.registry.keys[3].promotion_event_id = Some(g.log.ids[1]);
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "revocation that keys.json does not name",
        |g| {
            rotate(g, |_| ());
            g.log.registry.keys[1].revocation_event_id = None;
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "active key with a revocation",
        |g| g.log.registry.keys[2].revocation_event_id = Some(g.log.ids[1]),
        NOTHING,
        &[E302],
    ),
    Mutation(
        "list of revocations with another key",
        |g| {
            rotate(g, |_| ());
            g.seal();
            list_revocation(g, &id(2).to_string(), &id(3).to_string());
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "list of revocations with another event",
        |g| {
            rotate(g, |_| ());
            g.seal();
            let (revocation, other) = (g.log.ids[LAST + 1], g.log.ids[1]);
            list_revocation(g, &revocation.to_string(), &other.to_string());
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "list of revocations without a key",
        |g| {
            rotate(g, |_| ());
            g.seal();
            list_revocation(g, "\"key_id\"", "\"key\"");
        },
        NOTHING,
        &[E300],
    ),
    Mutation(
        "key entry of another id",
        |g| {
            g.seal();
            let (one, other) = (id(3).to_string(), id(9).to_string());
            g.edit("identity/keys.json", &one, &other);
        },
        NOTHING,
        &[E204, E102],
    ),
    Mutation(
        "key entry says revoked",
        |g| {
            g.seal();
            g.edit("identity/keys.json", "\"active\"", "\"revoked\"");
        },
        NOTHING,
        &[E302],
    ),
    Mutation(
        "key entry without roles",
        |g| {
            g.log.registry.keys.push(log_forge::entry(7));
            g.seal();
            let text = String::from_utf8(g.files["identity/keys.json"].clone()).unwrap();
            let at = text.rfind("\"roles\"").unwrap();
            let text = format!("{}\"rolls\"{}", &text[..at], &text[at + 7..]);
            g.files
                .insert("identity/keys.json".into(), text.into_bytes());
        },
        NOTHING,
        &[E300],
    ),
    Mutation(
        "keys.json is a list",
        |g| {
            g.files.insert("identity/keys.json".into(), b"[]".to_vec());
        },
        NOTHING,
        &[E204, E302],
    ),
    Mutation(
        "keys.json is no JSON",
        |g| {
            g.files.insert("identity/keys.json".into(), b"{".to_vec());
        },
        NOTHING,
        &[E104, E204],
    ),
];

/// Revokes key 2 and promotes key 4 in its place, with an edited promotion.
fn rotate(golden: &mut Golden, edit: impl FnOnce(&mut Vec<(String, json::Value<'static>)>)) {
    no_checkpoint(golden);
    golden.log.revoke("r", 1, 2, None);
    golden.log.promote("r", 1, 4, 2);
    let at = golden.log.lines.len() - 1;
    golden.log.edit_signed(at, 1, |members| {
        let payload = members.iter().find(|(name, _)| name == "payload").unwrap();
        let json::Value::Object(payload) = payload.1.clone() else {
            panic!("a payload is an object")
        };
        let named = |(name, value): (std::borrow::Cow<'_, str>, _)| (name.into_owned(), value);
        let mut payload = payload.into_iter().map(named).collect();
        edit(&mut payload);
        let payload = payload
            .into_iter()
            .map(|(name, value)| (name.into(), value));
        set(members, "payload", json::Value::Object(payload.collect()));
    });
    golden.log.registry.keys[3].promotion_event_id = Some(golden.log.ids[at]);
}

/// Edits `keys.json` from its list `revocations` on.
fn list_revocation(golden: &mut Golden, from: &str, to: &str) {
    let text = String::from_utf8(golden.files["identity/keys.json"].clone()).unwrap();
    let (keys, revocations) = text.split_at(text.find("\"revocations\"").unwrap());
    assert!(revocations.contains(from), "{revocations}");
    let text = format!("{keys}{}", revocations.replacen(from, to, 1));
    golden
        .files
        .insert("identity/keys.json".into(), text.into_bytes());
}
