//! Each rule of the log (spec/VAULT_FORMAT, sections 2 to 4 and 8), broken once, gives its code
//! at its line and nothing else; the same log unbroken gives nothing.

use crate::support::log_forge::{Log, id, set};
use provara_core::finding::Code;
use provara_core::id::{Digest, EventId};
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, KeyStatus};
use provara_core::verify::files::{check_genesis, check_keys};
use provara_core::verify::{CLOSING_TYPE, REDACTION_TYPE, verify_log};

#[test]
fn an_honest_log_has_no_findings() {
    let log = Log::new();
    assert_eq!(log.found(), []);
    let verdict = log.verdict();
    assert_eq!(verdict.event_count, 3);
    assert_eq!(verdict.genesis.unwrap().uid.as_deref(), Some("u"));
    let counts = "signatures verified: 3; keys known: 3; actors: 3";
    assert_eq!(verdict.notes, [counts]);
}

#[test]
fn an_empty_log_is_no_vault() {
    assert_eq!(
        verify_log(b"", &KeyRegistry::default()).findings[0].code,
        Code::E302
    );
}

#[test]
fn fields() {
    let cases: [(&str, Option<Value<'static>>, &[Code]); 14] = [
        ("actor", None, &[Code::E300]),
        ("actor", Some("".into()), &[Code::E300]),
        ("actor", Some(3_u64.into()), &[Code::E300]),
        ("type", None, &[Code::E300]),
        ("type", Some("login".into()), &[Code::E301]),
        ("type", Some("com.acme".into()), &[Code::E301]),
        ("timestamp_utc", None, &[Code::E300]),
        (
            "timestamp_utc",
            Some("2026-01-01 00:00:00".into()),
            &[Code::E105],
        ),
        (
            "timestamp_utc",
            Some("2026-01-01T00:00:00+02:00".into()),
            &[Code::E105],
        ),
        ("payload", None, &[Code::E300]),
        ("payload", Some("text".into()), &[Code::E300]),
        ("prev_event_hash", None, &[Code::E300]),
        ("prev_event_hash", Some("evt_123".into()), &[Code::E101]),
        ("ts_logical", Some("1".into()), &[Code::E300]),
    ];
    for (field, value, codes) in cases {
        let mut log = Log::new();
        log.edit_signed(2, 3, |members| match value.clone() {
            Some(value) => set(members, field, value),
            None => members.retain(|(name, _)| name != field),
        });
        let expected: Vec<_> = codes.iter().map(|code| (*code, 3)).collect();
        assert_eq!(log.found(), expected, "{field} := {value:?}");
    }
}

#[test]
fn identifiers_and_signatures() {
    let broken = |from: &str, to: &str| {
        let mut log = Log::new();
        log.edit_text(2, from, to);
        log.found()
    };
    assert_eq!(
        broken("\"n\":2", "\"n\":3"),
        [(Code::E004, 3), (Code::E003, 3)]
    );
    assert_eq!(
        broken("\"event_id\":\"evt_", "\"event_id\":\"EVT_")[0],
        (Code::E101, 3)
    );
    assert_eq!(
        broken("\"actor_key_id\":\"bp1_", "\"actor_key_id\":\"bp2_")[0],
        (Code::E102, 3)
    );
    assert_eq!(broken("\"sig\":\"", "\"sig\":\"AAAA"), [(Code::E103, 3)]);
    let unsigned = |sig: &str| {
        let mut log = Log::new();
        let text = String::from_utf8(log.lines[2].clone()).unwrap();
        let start = text.find("\"sig\":\"").unwrap();
        let end = start + 7 + 88 + 1;
        log.lines[2] = format!("{}{sig}{}", &text[..start], &text[end..]).into_bytes();
        log.found()
    };
    assert_eq!(unsigned("\"sig\":\"\""), [(Code::E103, 3)]);
    assert_eq!(unsigned("\"sig\":null"), [(Code::E300, 3)]);
    let mut log = Log::new();
    log.edit_signed(2, 2, |_| {});
    assert_eq!(log.found(), [(Code::E003, 3)]);
    log.edit_signed(2, 9, |members| {
        set(members, "actor_key_id", id(9).to_string().into());
    });
    assert_eq!(log.found(), [(Code::E204, 3)]);
}

#[test]
fn an_event_that_is_named_and_missing_may_be_one_that_could_not_be_read() {
    let said = |change: &dyn Fn(&mut Log)| {
        let mut log = Log::new();
        log.add("bob", 3, "com.acme.audit.login", "{}");
        log.add("bob", 3, "com.acme.audit.login", r#"{"last":1}"#);
        change(&mut log);
        let findings = log.verdict().findings;
        let found = findings.iter().find(|it| it.code == Code::E006).unwrap();
        found.message.clone()
    };
    assert_eq!(
        said(&|log| log.edit_text(3, "{", "")),
        "'prev_event_hash' names no event that could be read"
    );
    let missing = Value::from(EventId([7; 12]).to_string());
    assert_eq!(
        said(&|log| {
            log.edit_signed(4, 3, |members| {
                set(members, "prev_event_hash", missing.clone());
            });
        }),
        "'prev_event_hash' names no event of the log"
    );
}

#[test]
fn chains() {
    let link = |at: usize, seed: u8, prev: Value<'static>| {
        let mut log = Log::new();
        log.add("bob", 3, "com.acme.audit.login", "{}");
        log.add("bob", 3, "com.acme.audit.login", r#"{"last":1}"#);
        log.edit_signed(at, seed, |members| set(members, "prev_event_hash", prev));
        log.found()
    };
    let ids = Log::new().ids;
    let text = |id: EventId| Value::from(id.to_string());
    assert_eq!(link(4, 3, Value::Null), [(Code::E002, 5)]);
    assert_eq!(link(4, 3, text(ids[2])), [(Code::E002, 5)], "fork");
    assert_eq!(link(4, 3, text(ids[1])), [(Code::E005, 5)]);
    assert_eq!(link(4, 3, text(EventId([7; 12]))), [(Code::E006, 5)]);
    let mut log = Log::new();
    log.edit_signed(2, 3, |members| {
        set(members, "prev_event_hash", text(EventId([7; 12])));
    });
    assert_eq!(log.found(), [(Code::E013, 3)]);

    let mut log = Log::new();
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.lines.swap(2, 3);
    assert_eq!(
        log.found()[..2],
        [(Code::E002, 3), (Code::E002, 4)],
        "bob's second event stands first"
    );
    assert!(log.verdict().gaps.is_empty());
    let mut log = Log::new();
    let later = log.add("alice", 2, "com.acme.audit.login", "{}");
    log.edit_signed(2, 3, |members| set(members, "prev_event_hash", text(later)));
    assert_eq!(
        log.found(),
        [(Code::E005, 3)],
        "of another actor, and later"
    );
    let mut log = Log::new();
    log.lines.push(log.lines[2].clone());
    assert_eq!(log.found(), [(Code::E007, 4)]);
    let mut log = Log::new();
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.lines.remove(2);
    assert_eq!(
        log.found(),
        [(Code::E013, 3)],
        "an actor's first event was cut out"
    );
    assert!(log.verdict().gaps.into_iter().eq(["bob".to_owned()]));
}

#[test]
fn no_id_names_an_event_that_has_none() {
    let mut log = Log::new();
    log.edit_text(1, "\"event_id\":\"evt_", "\"event_id\":\"EVT_");
    let zeros = Value::from(EventId([0; 12]).to_string());
    log.edit_signed(2, 3, |members| set(members, "prev_event_hash", zeros));
    assert_eq!(log.found().last(), Some(&(Code::E013, 3)));
}

#[test]
fn the_first_event_is_the_only_genesis() {
    let mut log = Log::new();
    log.lines.remove(0);
    assert_eq!(log.found(), [(Code::E302, 1)]);
    let mut log = Log::new();
    log.add("alice", 2, "GENESIS", "{}");
    assert_eq!(log.found(), [(Code::E302, 4)]);
}

#[test]
fn a_rotation_in_the_place_of_the_genesis_has_no_effect() {
    let mut log = Log::new();
    log.lines.clear();
    log.heads.clear();
    log.revoke("authority", 1, 2, None);
    log.add("alice", 2, "com.acme.audit.login", "{}");
    // Line 1 is no GENESIS event; keys.json claims a revocation that did not take effect.
    assert_eq!(log.found(), [(Code::E302, 1), (Code::E302, 0)]);
}

#[test]
fn clocks_and_keys_of_an_actor_are_warnings() {
    let mut log = Log::new();
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.edit_signed(3, 3, |members| set(members, "ts_logical", 0_u64.into()));
    assert_eq!(log.found(), [(Code::W004, 4)]);
    let verdict = log.verdict();
    assert_eq!(verdict.findings[0].expected.as_deref(), Some("1 or above"));
    let mut log = Log::new();
    log.clock -= 1_000;
    log.add("bob", 3, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), [], "at the same time");
    log.clock -= 1_001;
    log.add("bob", 3, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), [(Code::W005, 5)]);
    let mut log = Log::new();
    log.add("bob", 2, "com.acme.audit.login", "{}");
    log.add("bob", 2, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), [(Code::W003, 4)]);
    let mut log = Log::new();
    log.lines.last_mut().unwrap().pop();
    assert_eq!(log.found(), [(Code::W006, 3)]);
}

#[test]
fn rotations_that_follow_the_rules() {
    let mut log = Log::new();
    let last = log.ids[1];
    // Key 2 is lost after alice's event, 4 takes its place, and then 5 takes that of 4.
    log.revoke("authority", 1, 2, Some(last));
    log.promote("authority", 1, 4, 2);
    log.add("alice", 4, "com.acme.audit.login", "{}");
    log.revoke("authority", 1, 4, None);
    log.promote("authority", 1, 5, 4);
    log.add("alice", 5, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), []);
    assert_eq!(log.verdict().revoked_keys.len(), 2);

    // keys.json was lost but for the root and bob's key: the promotions make the new keys known,
    // and only what the lost file alone could tell is missing.
    let lost = KeyRegistry {
        keys: log.registry.keys[..3].to_vec(),
        ..KeyRegistry::default()
    };
    let found = verify_log(&log.lines.concat(), &lost);
    let codes: Vec<_> = found
        .findings
        .iter()
        .filter(|finding| finding.code != Code::W009)
        .map(|finding| (finding.code, &*finding.file))
        .collect();
    assert!(
        codes
            .iter()
            .all(|code| *code == (Code::E204, "identity/keys.json"))
            && codes.len() == 2,
        "{codes:?}"
    );
}

#[test]
fn a_boundary_in_the_past_takes_trust_away() {
    let mut log = Log::new();
    let trusted = log.ids[1];
    log.add("alice", 2, "com.acme.audit.login", r#"{"late":1}"#);
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.add("alice", 2, "com.acme.audit.login", r#"{"late":2}"#);
    assert_eq!(log.found(), []);
    log.revoke("authority", 1, 2, Some(trusted));
    assert_eq!(log.found(), [(Code::E202, 4), (Code::E202, 6)]);
}

#[test]
fn rotations_that_break_the_rules() {
    let mut log = Log::new();
    log.revoke("authority", 2, 2, None);
    assert_eq!(log.found()[0], (Code::E200, 4), "its own revocation");

    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.add("alice", 2, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), [(Code::E202, 5)], "after the revocation");

    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.revoke("other", 2, 3, None);
    assert_eq!(log.found()[0], (Code::E202, 5), "a revoked key revokes");

    let mut log = Log::new();
    log.promote("authority", 1, 4, 2);
    assert_eq!(log.found()[0], (Code::E201, 4), "no revocation before");

    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.promote("authority", 1, 4, 2);
    log.edit_signed(4, 4, |members| {
        set(members, "actor_key_id", id(4).to_string().into());
    });
    assert_eq!(
        log.found()[0].0,
        Code::E202,
        "not in effect before its promotion"
    );
    log.registry.keys.last_mut().unwrap().promotion_event_id = None;
    assert!(log.found().contains(&(Code::E200, 5)), "its own promotion");

    let mut log = Log::new();
    log.add(
        "authority",
        1,
        "KEY_REVOCATION",
        &format!(
            r#"{{"reason":"x","revoked_at_utc":"2026-01-02T00:00:00Z","revoked_key_id":"{}"}}"#,
            id(2)
        ),
    );
    assert_eq!(log.found(), [(Code::E203, 4)], "no boundary");

    let mut log = Log::new();
    log.revoke("authority", 1, 2, Some(EventId([9; 12])));
    assert_eq!(
        log.found()[0],
        (Code::E203, 4),
        "a boundary that is no event"
    );
    // An event that states this id as its own does not stand before itself.
    let own = log.ids[3].to_string();
    log.edit_text(3, &own, &EventId([9; 12]).to_string());
    assert!(log.found().contains(&(Code::E203, 4)));

    let mut log = Log::new();
    log.revoke("authority", 1, 9, None);
    assert_eq!(log.found(), [(Code::E204, 4)], "an unknown key");

    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.promote("authority", 1, 4, 2);
    log.edit_signed(4, 1, |members| {
        let payload = members
            .iter()
            .find(|(name, _)| name == "payload")
            .unwrap()
            .1
            .clone();
        let Value::Object(mut payload) = payload else {
            panic!()
        };
        payload.retain(|(name, _)| name != "new_key_id");
        payload.push(("new_key_id".into(), id(5).to_string().into()));
        set(members, "payload", Value::Object(payload));
    });
    assert_eq!(
        log.found()[0],
        (Code::E102, 5),
        "an id that is not the key's"
    );
}

#[test]
fn keys_json_that_contradicts_the_log() {
    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.registry.keys[1].status = KeyStatus::Active;
    assert_eq!(log.found(), [(Code::E302, 0)]);
    let mut log = Log::new();
    log.registry.keys[1].status = KeyStatus::Revoked;
    assert_eq!(log.found(), [(Code::E302, 0)]);
}

#[test]
fn nothing_follows_a_seal() {
    let mut log = Log::new();
    log.add("genesis", 1, CLOSING_TYPE, "{}");
    assert_eq!(log.found(), []);
    assert_eq!(log.verdict().sealed_by, log.ids.last().copied());
    log.add("bob", 3, "com.acme.audit.login", "{}");
    assert_eq!(log.found(), [(Code::E302, 5)]);
}

#[test]
fn tombstones_need_their_redaction() {
    let tombstone = |redaction: &str| {
        format!(
            r#""payload":{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"gdpr"}}"#,
            Digest::of(b"gone")
        )
    };
    let redacted = |log: &mut Log, target: EventId| {
        let payload = format!(
            r#"{{"authority":"dpo","reason":"gdpr","reason_detail":"","redaction_method":"tombstone","target_event_id":"{target}"}}"#
        );
        log.add("genesis", 1, REDACTION_TYPE, &payload)
    };
    let mut log = Log::new();
    let target = log.ids[1];
    let redaction = redacted(&mut log, target);
    assert_eq!(log.found(), [(Code::W013, 4)], "not yet carried out");
    log.edit_text(
        1,
        r#""payload":{"n":1}"#,
        &tombstone(&redaction.to_string()),
    );
    assert_eq!(log.found(), []);
    assert_eq!(log.verdict().redactions.len(), 1);
    let notes = log.verdict().notes;
    let unbound = |note: &String| note.ends_with("no signature proves anything of those lines: 1");
    assert!(notes.iter().any(unbound), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("vouch")));

    let mut other = Log::new();
    let wrong = redacted(&mut other, Log::new().ids[2]);
    other.edit_text(1, r#""payload":{"n":1}"#, &tombstone(&wrong.to_string()));
    assert_eq!(
        other.found(),
        [(Code::E003, 2), (Code::W013, 4)],
        "a redaction of another event"
    );

    let mut none = Log::new();
    none.edit_text(
        1,
        r#""payload":{"n":1}"#,
        &tombstone("evt_000000000000000000000000"),
    );
    assert_eq!(none.found(), [(Code::E003, 2)], "no redaction");

    log.edit_text(3, "\"reason\":\"gdpr\"", "\"reason\":\"gdpx\"");
    let codes: Vec<_> = log.found().into_iter().map(|(code, _)| code).collect();
    assert_eq!(
        codes,
        [Code::E003, Code::E004, Code::E003],
        "an invalid redaction permits nothing"
    );

    let mut orphan = Log::new();
    redacted(&mut orphan, EventId([5; 12]));
    assert_eq!(orphan.found(), [(Code::E006, 4)], "a redaction of nothing");
}

#[test]
fn a_logical_clock_is_an_integer_of_64_bits() {
    for (token, code) in [
        ("9223372036854775807", None),
        ("-9223372036854775808", None),
        ("-0", None),
        ("9223372036854775808", Some(Code::E300)),
        ("-9223372036854775809", Some(Code::E300)),
        ("100000000000000000000", Some(Code::E300)),
        ("123456789012345678901234567890.0", Some(Code::E300)),
        ("1.0", Some(Code::E300)),
        ("1e999", Some(Code::E300)),
        ("[1]", Some(Code::E300)),
        ("true", Some(Code::E300)),
        ("\"1\"", Some(Code::E300)),
    ] {
        let mut log = Log::new();
        log.edit_tokens(2, 3, "\"ts_logical\":1", &format!("\"ts_logical\":{token}"));
        let mut found: Vec<_> = log.found().into_iter().map(|(code, _)| code).collect();
        // Some of these tokens are none that the strict form has.
        found.retain(|code| *code != Code::W007);
        assert_eq!(found, Vec::from_iter(code), "{token}");
    }
}

#[test]
fn a_logical_clock_that_is_null_is_none() {
    let mut log = Log::new();
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.edit_signed(3, 3, |members| set(members, "ts_logical", Value::Null));
    assert_eq!(log.found(), []);
    log.add("bob", 3, "com.acme.audit.login", "{}");
    log.edit_signed(4, 3, |members| set(members, "ts_logical", 0_u64.into()));
    assert_eq!(log.found(), [(Code::W004, 5)], "it stands where it stood");
}

#[test]
fn what_the_genesis_event_states_is_of_its_kind() {
    let named = |member: &str| format!(r#"{{"predecessor_vault":{member}}}"#);
    let seal = r#""seal_event_id":"evt_000000000000000000000000""#;
    let with = |member: &str| named(&format!("{{{seal},{member}}}"));
    let cases: [(String, &[Code]); 19] = [
        (r#"{"uid":5}"#.into(), &[Code::E300]),
        (r#"{"root_key_id":["x"]}"#.into(), &[Code::E300]),
        (r#"{"quorum_key_id":{}}"#.into(), &[Code::E300]),
        (r#"{"predecessor_vault":null,"uid":null}"#.into(), &[]),
        (named("\"x\""), &[Code::E300]),
        (named("[]"), &[Code::E300]),
        (named("{}"), &[Code::E300]),
        (named(r#"{"seal_event_id":7}"#), &[Code::E300]),
        (named(r#"{"seal_event_id":"evt_1"}"#), &[Code::E101]),
        (with("\"merkle_root\":null"), &[]),
        (with("\"merkle_root\":5"), &[Code::E300]),
        (with("\"merkle_root\":\"5\""), &[Code::E100]),
        (with("\"seal_event_hash\":[\"x\"]"), &[Code::E300]),
        (with("\"seal_event_hash\":\"x\""), &[Code::E100]),
        (with("\"final_event_count\":5"), &[]),
        (with("\"final_event_count\":\"5\""), &[Code::E300]),
        (with("\"final_event_count\":-5"), &[Code::E300]),
        (with("\"final_event_count\":5.5"), &[Code::E300]),
        (with("\"final_event_count\":true"), &[Code::E300]),
    ];
    for (payload, codes) in cases {
        let mut log = Log::with_keys(&[1]);
        let value = json::parse(payload.as_bytes()).unwrap().into_owned();
        log.edit_signed(0, 1, |members| set(members, "payload", value));
        let expected: Vec<_> = codes.iter().map(|code| (*code, 1)).collect();
        assert_eq!(log.found(), expected, "{payload}");

        // genesis.json states the same, and the same is wrong with it.
        let whole = format!(
            r#"{{"birth_timestamp":"t","governance_model":"g","initial_ontology_versions":{{}},"root_key_id":"{}","uid":"u",{}"#,
            id(1),
            &payload[1..]
        );
        if payload.starts_with(r#"{"predecessor_vault":{"#) {
            let found = check_genesis(Some(whole.as_bytes())).1;
            let found: Vec<_> = found.iter().map(|finding| finding.code).collect();
            assert_eq!(found, codes, "{whole}");
        }
    }
}

#[test]
fn keys_json_is_an_object_whose_members_are_of_their_kind() {
    let entry = String::from_utf8(Log::with_keys(&[1]).registry.to_json()).unwrap();
    let found = |text: &str| {
        let found = check_keys(Some(text.as_bytes())).1;
        found.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(found(&entry), []);
    for other in ["[]", "5", "null", "\"keys\""] {
        assert_eq!(found(other), [Code::E302], "{other}");
    }
    let renamed = entry.replace(&id(1).to_string(), &id(2).to_string());
    let of_other = &check_keys(Some(renamed.as_bytes())).1[0];
    assert_eq!(of_other.code, Code::E102);
    assert_eq!(of_other.expected, Some(id(1).to_string()));
    assert_eq!(of_other.found, Some(id(2).to_string()));
    assert_eq!(found("{}"), [Code::E300]);
    assert_eq!(found(r#"{"keys":{}}"#), [Code::E300]);
    let revocations = |value: &str| entry.replace("\"revocations\": []", value);
    assert_eq!(found(&revocations(r#""revocations": null"#)), []);
    for value in ["{}", "\"none\"", "0"] {
        let text = revocations(&format!("\"revocations\": {value}"));
        assert_eq!(found(&text), [Code::E300], "{text}");
    }
    let listed = format!(
        r#""revocations": [{{"key_id":"{}","revoked_at_utc":1}}]"#,
        id(1)
    );
    assert_eq!(found(&revocations(&listed)), [Code::E300]);
    for (value, codes) in [
        ("null", &[][..]),
        ("5", &[Code::E300]),
        ("[]", &[Code::E300]),
    ] {
        let text = entry.replace(
            "\"status\": \"active\"",
            &format!("\"status\": \"active\", \"revoked_at_utc\": {value}"),
        );
        assert_eq!(found(&text), codes, "{text}");
    }
}
