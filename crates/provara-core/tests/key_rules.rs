//! Which keys signed events lead to, and what `keys.json` may say of them (spec/VAULT_FORMAT,
//! sections 1, 3 and 4).

#[path = "support/log_forge.rs"]
mod log_forge;

use log_forge::{Log, id, set};
use provara_core::finding::Code;
use provara_core::id::Digest;
use provara_core::json::{self, Value};
use provara_core::verify::REDACTION_TYPE;

const LOGIN: &str = "com.acme.audit.login";

/// A log of the listed keys whose GENESIS event names `root` and `quorum` and is signed by `signer`.
fn founded(listed: &[u8], signer: u8, root: u8, quorum: Option<u8>) -> Log {
    let quorum = quorum.map_or(String::new(), |seed| {
        format!(r#","quorum_key_id":"{}""#, id(seed))
    });
    let payload = format!(r#"{{"root_key_id":"{}","uid":"u"{quorum}}}"#, id(root));
    let payload = json::parse(payload.as_bytes()).unwrap().into_owned();
    let mut log = Log::with_keys(listed);
    log.edit_signed(0, signer, |members| {
        set(members, "actor_key_id", id(signer).to_string().into());
        set(members, "payload", payload);
    });
    log
}

/// Changes members of the payload of line `at`, which key `seed` signs again.
fn edit_payload(log: &mut Log, at: usize, seed: u8, changes: &[(&str, Option<Value<'static>>)]) {
    log.edit_signed(at, seed, |members| {
        let at = members.iter().position(|(name, _)| name == "payload");
        let Value::Object(payload) = &mut members[at.unwrap()].1 else {
            panic!()
        };
        for (name, value) in changes {
            payload.retain(|(member, _)| member != name);
            payload.extend(
                value
                    .clone()
                    .map(|value| ((*name).to_owned().into(), value)),
            );
        }
    });
}

fn notes(log: &Log, part: &str) -> Vec<String> {
    let notes = log.verdict().notes.into_iter();
    notes.filter(|note| note.contains(part)).collect()
}

#[test]
fn the_genesis_event_is_signed_by_the_root_that_it_names() {
    assert_eq!(founded(&[1, 2], 1, 1, None).found(), []);
    assert_eq!(founded(&[1, 2], 2, 1, None).found(), [(Code::E302, 1)]);
    // A signature that does not hold is found for itself, and proves nothing of who signed.
    let mut log = founded(&[1, 2], 2, 1, None);
    log.edit_text(0, "\"uid\":\"u\"", "\"uid\":\"v\"");
    assert_eq!(log.found(), [(Code::E004, 1), (Code::E003, 1)]);
    // A root that is no key id names nobody.
    let mut log = founded(&[1, 2], 2, 1, None);
    edit_payload(&mut log, 0, 2, &[("root_key_id", Some("root".into()))]);
    assert_eq!(log.found(), []);
    assert!(log.verdict().introduced.is_empty());
}

#[test]
fn keys_are_introduced_by_a_chain_of_signed_events() {
    let mut log = founded(&[1, 2, 3], 1, 1, Some(2));
    log.revoke("authority", 2, 1, None);
    log.promote("authority", 2, 4, 1);
    log.revoke("successor", 4, 2, None);
    log.promote("successor", 4, 5, 2);
    assert_eq!(log.found(), []);
    let introduced = log.verdict().introduced;
    assert_eq!(introduced, [1, 2, 4, 5].map(id).into());
    assert_eq!(notes(&log, "vouches"), [""; 0]);
}

#[test]
fn a_key_that_keys_json_alone_lists_introduces_nobody() {
    // Key 3 was written into keys.json, revokes the root and promotes 4: the format allows it.
    let mut log = founded(&[1, 3], 1, 1, None);
    log.revoke("mallory", 3, 1, None);
    log.promote("mallory", 3, 4, 1);
    log.add("mallet", 4, LOGIN, "{}");
    assert_eq!(log.found(), []);
    assert_eq!(log.verdict().introduced, [id(1)].into());
    let mut listed = [id(3).to_string(), id(4).to_string()];
    listed.sort_unstable();
    assert!(notes(&log, "vouches")[0].ends_with(&format!(": {}", listed.join(", "))));
    assert!(notes(&log, "rotations")[0].ends_with(": 2, 3"));
}

#[test]
fn a_redacted_line_proves_no_key() {
    // Bob signs with 3; his second event, redacted since, names key 2, which never signed for him.
    let mut log = founded(&[1, 2, 3], 1, 1, None);
    log.add("bob", 3, LOGIN, "{}");
    let target = log.add("bob", 2, LOGIN, r#"{"n":1}"#);
    let payload = format!(
        r#"{{"authority":"a","reason":"r","reason_detail":"","redaction_method":"tombstone","target_event_id":"{target}"}}"#
    );
    let redaction = log.add("authority", 1, REDACTION_TYPE, &payload);
    log.edit_text(
        2,
        r#""payload":{"n":1}"#,
        &format!(
            r#""payload":{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"r"}}"#,
            Digest::of(b"gone")
        ),
    );
    assert_eq!(log.found(), []);
    assert!(!notes(&log, "vouches")[0].contains(&id(2).to_string()));
    log.add("bob", 2, LOGIN, "{}");
    assert_eq!(log.found(), [(Code::W003, 5)], "its first proven use");
}
