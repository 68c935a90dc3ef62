//! Marked vaults: which keys count, and what the log says of seals, redactions and files
//! (spec/VAULT_FORMAT, section 4).

use crate::support::log_forge::{Log, entry, id, key, policy, set};
use provara_core::canonical::jcs;
use provara_core::finding::{Code, Finding};
use provara_core::id::{Digest, EventId};
use provara_core::json::{self, Value, object};
use provara_core::mark::{ADOPTION_TYPE, FILES_TYPE, KEY_ADDED_TYPE, SealName, SealPolicy};
use provara_core::scan::scan_line;
use provara_core::tree;
use provara_core::verify::{CLOSING_TYPE, REDACTION_TYPE};

const LOGIN: &str = "com.acme.audit.login";

fn codes(log: &Log) -> Vec<(Code, u64)> {
    let place = |finding: &Finding| (finding.code, finding.line.unwrap_or(0));
    log.whole_verdict().findings.iter().map(place).collect()
}

#[test]
fn a_key_that_no_signed_event_brings_is_none_of_a_marked_vault() {
    let mut log = Log::marked(&[1, 2]);
    log.add("alice", 2, LOGIN, "{}");
    assert_eq!(codes(&log), []);
    log.registry.keys.push(entry(3));
    log.add("mallory", 3, LOGIN, "{}");
    log.add("mallory", 3, LOGIN, "{}");
    assert_eq!(codes(&log), [(Code::E205, 3)], "once, at its first event");
    let stranger = &log.whole_verdict().findings[0];
    assert_eq!(stranger.actor.as_deref(), Some("mallory"));

    // Not even where it revokes the root key.
    let mut log = Log::marked(&[1, 2]);
    log.registry.keys.push(entry(3));
    log.revoke("mallory", 3, 1, None);
    assert_eq!(codes(&log), [(Code::E205, 2)]);
}

#[test]
fn a_mark_is_of_the_root_key_or_an_error() {
    let of = |root: u8, policy: Value<'static>| {
        let mut log = Log::marked(&[1, 2]);
        let payload = object([
            ("root_key_id", id(root).to_string().into()),
            ("seal_policy", policy),
        ]);
        log.edit_signed(0, 1, |members| set(members, "payload", payload));
        log
    };
    let with = |policy| codes(&of(1, policy));
    assert_eq!(with(policy(&[1, 2])), []);
    assert_eq!(with(policy(&[2, 1])), [(Code::E302, 1)]);
    let version = object([
        ("keys", policy(&[1]).get("keys").unwrap().clone()),
        ("version", 2u64.into()),
    ]);
    assert_eq!(with(version)[0], (Code::E303, 1));
    assert_eq!(with("x".into())[0], (Code::E300, 1));
    // Key 1 signs, and GENESIS names key 2 as the root.
    for keys in [&[1, 2], &[2, 1]] {
        let findings = of(2, policy(keys)).whole_verdict().findings;
        let of_policy = |it: &Finding| it.message.starts_with("'seal_policy'");
        assert!(findings.iter().any(of_policy), "{findings:?}");
    }
}

#[test]
fn an_event_that_names_a_seal_needs_a_mark() {
    let mut log = Log::new();
    let name = SealName::of(Digest([7; 32])).to_string();
    log.edit_signed(2, 3, |members| set(members, "seal", name.clone().into()));
    assert_eq!(log.found(), [(Code::E206, 3)]);
    let told = &log.verdict().findings[0].message;
    assert!(told.ends_with("(events that do: 1)"), "{told}");

    let mut log = Log::marked(&[1, 2]);
    log.add("alice", 2, LOGIN, "{}");
    log.edit_signed(1, 2, |members| set(members, "seal", name.clone().into()));
    assert_eq!(codes(&log), []);
    log.edit_signed(1, 2, |members| {
        set(members, "seal", name[1..].to_owned().into());
    });
    assert_eq!(codes(&log), [(Code::E100, 2)]);
}

#[test]
fn keys_are_added_by_keys_of_the_vault_and_once() {
    let addition = |new: u8| {
        let public = key(new).public().to_base64();
        format!(
            r#"{{"added_at_utc":"2026-01-02T00:00:00Z","algorithm":"Ed25519","key_id":"{}","public_key_b64":"{public}","roles":["attestation"]}}"#,
            id(new)
        )
    };
    let listed = |log: &mut Log, new: u8, event| {
        let mut added = entry(new);
        added.roles = vec!["attestation".into()];
        added.addition_event_id = Some(event);
        log.registry.keys.push(added);
    };
    let mut log = Log::marked(&[1, 2]);
    let added = log.add("genesis", 1, KEY_ADDED_TYPE, &addition(4));
    listed(&mut log, 4, added);
    log.add("dora", 4, LOGIN, "{}");
    assert_eq!(codes(&log), []);
    let history = log.whole_verdict().history.unwrap();
    assert_eq!(history.registry_after(3).keys.len(), 3);

    // Two copies may have added the same key before they were merged.
    log.add("genesis", 1, KEY_ADDED_TYPE, &addition(4));
    assert_eq!(codes(&log), [], "the first addition counts");
    let history = log.whole_verdict().history.unwrap();
    assert_eq!(history.text_after(3), history.text_after(4));
    log.add("genesis", 1, KEY_ADDED_TYPE, &addition(2));
    assert_eq!(codes(&log), [(Code::E201, 5)], "a key of the mark");

    // A key that was revoked is not brought back.
    let mut revoked = Log::marked(&[1, 2]);
    let added = revoked.add("genesis", 1, KEY_ADDED_TYPE, &addition(4));
    listed(&mut revoked, 4, added);
    revoked.revoke("genesis", 1, 4, None);
    revoked.add("genesis", 1, KEY_ADDED_TYPE, &addition(4));
    assert_eq!(codes(&revoked), [(Code::E202, 4)]);

    let mut early = Log::marked(&[1, 2]);
    early.add("dora", 4, LOGIN, "{}");
    let added = early.add("genesis", 1, KEY_ADDED_TYPE, &addition(4));
    listed(&mut early, 4, added);
    assert_eq!(codes(&early), [(Code::E202, 2)], "before its addition");

    let mut own = Log::marked(&[1, 2]);
    own.add("genesis", 1, KEY_ADDED_TYPE, &addition(1));
    assert_eq!(codes(&own), [(Code::E200, 2), (Code::E201, 2)]);

    let mut stranger = Log::marked(&[1, 2]);
    stranger.registry.keys.extend([entry(3), entry(4)]);
    stranger.add("mallory", 3, KEY_ADDED_TYPE, &addition(4));
    stranger.add("mallet", 4, LOGIN, "{}");
    assert_eq!(codes(&stranger), [(Code::E205, 2), (Code::E205, 3)]);
}

#[test]
fn a_key_without_a_signing_role_signs_nothing() {
    let mut log = Log::marked(&[1, 2]);
    log.edit_signed(0, 1, |members| {
        let mut policy = SealPolicy {
            keys: [1, 2].map(|seed| (&entry(seed)).into()).to_vec(),
        };
        policy.keys[1].roles = vec!["reader".into()];
        let payload = object([
            ("root_key_id", id(1).to_string().into()),
            ("seal_policy", policy.to_value()),
        ]);
        set(members, "payload", payload);
    });
    log.add("alice", 2, LOGIN, "{}");
    assert_eq!(codes(&log), [(Code::E202, 2)]);

    let mut unmarked = Log::new();
    unmarked.registry.keys[1].roles = vec!["reader".into()];
    assert_eq!(unmarked.found(), [(Code::E202, 2)]);
}

#[test]
fn an_adoption_gives_its_keys_to_the_whole_log() {
    let adoption = |keys: &[u8]| {
        let payload = object([("found", object([])), ("seal_policy", policy(keys))]);
        String::from_utf8(jcs(&payload).unwrap()).unwrap()
    };
    let founded = || {
        let mut log = Log::new();
        log.edit_signed(0, 1, |members| {
            let payload = format!(r#"{{"root_key_id":"{}","uid":"u"}}"#, id(1));
            let payload = json::parse(payload.as_bytes()).unwrap().into_owned();
            set(members, "payload", payload);
        });
        log
    };
    let mut log = founded();
    assert_eq!(codes(&log), [(Code::W009, 2), (Code::W009, 3)]);
    log.add("genesis", 1, ADOPTION_TYPE, &adoption(&[1, 2, 3]));
    assert_eq!(codes(&log), []);
    assert!(log.whole_verdict().history.is_some());

    // By a key to which nothing leads it is told for good.
    let mut trusted = founded();
    trusted.add("bob", 3, ADOPTION_TYPE, &adoption(&[1, 2, 3]));
    assert_eq!(codes(&trusted), [(Code::W009, 4)]);
    assert_eq!(
        trusted.whole_verdict().history.unwrap().unvouched(),
        Some(id(3))
    );

    // And beside one that does count it is a stranger's.
    let mut forged = founded();
    forged.registry.keys.push(entry(9));
    forged.add("mallory", 9, ADOPTION_TYPE, &adoption(&[1, 2, 3, 9]));
    forged.add("genesis", 1, ADOPTION_TYPE, &adoption(&[1, 2, 3]));
    assert_eq!(codes(&forged), [(Code::E205, 4)]);
}

#[test]
fn a_bound_redaction_holds_the_rest_of_its_target() {
    let mut log = Log::marked(&[1, 2]);
    let target = log.add("alice", 2, LOGIN, r#"{"n":1}"#);
    let line = log.lines[1].strip_suffix(b"\n").unwrap().to_vec();
    let leaf = tree::leaf(&scan_line(&line).unwrap());
    let payload =
        format!(r#"{{"reason":"r","target_event_id":"{target}","target_leaf_hash":"{leaf}"}}"#);
    let before = log.whole_verdict().tree.root();
    let redaction = log.add("genesis", 1, REDACTION_TYPE, &payload);
    assert_eq!(codes(&log), [(Code::W013, 3)]);
    let with = log.whole_verdict().tree.root();
    assert_ne!(before, with);
    let tombstone = |hash: Digest| {
        format!(
            r#""payload":{{"original_payload_hash":"{hash}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"r"}}"#
        )
    };
    let honest = log.lines.clone();
    let replaced = |hash| {
        let mut log = honest.clone();
        let text = String::from_utf8(log[1].clone()).unwrap();
        log[1] = text
            .replace(r#""payload":{"n":1}"#, &tombstone(hash))
            .into_bytes();
        log
    };
    log.lines = replaced(Digest::of(br#"{"n":1}"#));
    assert_eq!(codes(&log), []);
    let notes = log.whole_verdict().notes;
    let vouches = |note: &String| note.ends_with("vouch for what is left of those lines: 1");
    assert!(notes.iter().any(vouches), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("no signature")));
    assert_eq!(
        log.whole_verdict().tree.root(),
        with,
        "a redaction keeps the tree"
    );
    let carried_out = log.lines.clone();
    for (from, to) in [
        (LOGIN, "com.acme.audit.logout"),
        ("\"ts_logical\":1", "\"ts_logical\":2"),
        ("\"sig\":\"", "\"sig\":\"A"),
    ] {
        log.lines = carried_out.clone();
        if to.ends_with('A') {
            // Another signature of the right length.
            let text = String::from_utf8(log.lines[1].clone()).unwrap();
            let at = text.find(from).unwrap() + from.len();
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            log.lines[1] = format!("{}{other}{}", &text[..at], &text[at + 1..]).into_bytes();
        } else {
            log.edit_text(1, from, to);
        }
        assert_eq!(codes(&log), [(Code::E016, 2)], "{to}");
    }
    log.lines = replaced(Digest([0; 32]));
    assert_eq!(codes(&log), [(Code::E016, 2)], "a made-up hash");
}

#[test]
fn a_payload_that_was_signed_as_a_tombstone_is_an_ordinary_one() {
    let mut log = Log::marked(&[1, 2]);
    let hash = Digest([7; 32]);
    let redaction = log.ids[0];
    let payload = format!(
        r#"{{"original_payload_hash":"{hash}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"r"}}"#
    );
    log.add("alice", 2, LOGIN, &payload);
    assert_eq!(codes(&log), []);
    assert_eq!(log.whole_verdict().counts.redacted_payloads, 0);
}

#[test]
fn only_redactions_follow_the_event_that_closes_a_vault() {
    let mut log = Log::marked(&[1, 2]);
    let target = log.add("alice", 2, LOGIN, r#"{"n":1}"#);
    log.add("genesis", 1, CLOSING_TYPE, "{}");
    let payload = format!(r#"{{"reason":"r","target_event_id":"{target}"}}"#);
    log.add("genesis", 1, REDACTION_TYPE, &payload);
    assert_eq!(codes(&log), [(Code::W013, 4)]);
    assert_eq!(log.whole_verdict().closed_at, Some(3));
    log.add("alice", 2, LOGIN, "{}");
    assert_eq!(codes(&log), [(Code::W013, 4), (Code::E302, 5)]);
}

#[test]
fn a_statement_of_files_has_its_form() {
    let malformed = |payload: &str| {
        let mut log = Log::marked(&[1, 2]);
        log.add("genesis", 1, FILES_TYPE, payload);
        codes(&log)
    };
    assert_eq!(malformed("{}"), [(Code::E300, 2)]);
    assert_eq!(
        malformed(r#"{"file_count":1,"files_root":"x"}"#),
        [(Code::E100, 2)]
    );
}

#[test]
fn only_a_sound_event_states_files() {
    let root = Digest([7; 32]);
    let payload = format!(r#"{{"file_count":1,"files_root":"{root}"}}"#);
    let mut log = Log::marked(&[1, 2]);
    log.add("genesis", 1, FILES_TYPE, &payload);
    assert_eq!(log.whole_verdict().files[0].root, root);
    log.edit_text(1, &root.to_string(), &Digest([8; 32]).to_string());
    assert_eq!(codes(&log), [(Code::E004, 2), (Code::E003, 2)]);
    assert_eq!(log.whole_verdict().files, []);
}

#[test]
fn an_addition_that_nobody_signed_adds_no_key() {
    let mut log = Log::marked(&[1, 2]);
    let payload = format!(
        r#"{{"added_at_utc":"2026-01-02T00:00:00Z","algorithm":"Ed25519","key_id":"{}","public_key_b64":"{}","roles":["attestation"]}}"#,
        id(4),
        key(4).public().to_base64()
    );
    log.add("genesis", 1, KEY_ADDED_TYPE, &payload);
    log.add("dora", 4, LOGIN, "{}");
    assert_eq!(log.whole_verdict().counts.keys_known, 3);
    let text = String::from_utf8(log.lines[1].clone()).unwrap();
    let at = text.find("\"sig\":\"").unwrap() + 7;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    log.lines[1] = [&text[..at], other, &text[at + 1..]].concat().into_bytes();
    let found = codes(&log);
    assert!(found.contains(&(Code::E003, 2)), "{found:?}");
    assert!(found.iter().any(|(_, line)| *line == 3), "{found:?}");
    assert_eq!(log.whole_verdict().counts.keys_known, 2);
}

#[test]
fn a_redaction_that_states_no_leaf_is_counted_as_unbound() {
    for bound in [false, true] {
        let mut log = Log::marked(&[1, 2]);
        let target = log.add("alice", 2, LOGIN, r#"{"n":1}"#);
        let line = log.lines[1].strip_suffix(b"\n").unwrap().to_vec();
        let leaf = tree::leaf(&scan_line(&line).unwrap());
        let stated = match bound {
            true => format!(r#","target_leaf_hash":"{leaf}""#),
            false => String::new(),
        };
        let payload = format!(r#"{{"reason":"r","target_event_id":"{target}"{stated}}}"#);
        let redaction = log.add("genesis", 1, REDACTION_TYPE, &payload);
        replace_payload(&mut log, 1, r#"{"n":1}"#, redaction);
        let counts = log.whole_verdict().counts;
        assert_eq!(counts.redacted_payloads, 1);
        assert_eq!(counts.unbound_redactions, u64::from(!bound));
    }
}

#[test]
fn the_events_of_a_key_without_a_role_are_counted() {
    let mut log = Log::new();
    log.add("bob", 3, LOGIN, "{}");
    log.add("bob", 3, LOGIN, "{}");
    log.registry.keys[2].roles = vec!["reader".into()];
    let found = log.whole_verdict().findings;
    let told = found.iter().find(|finding| finding.code == Code::E202);
    let told = &told.unwrap().message;
    assert!(told.ends_with("(events by it: 3)"), "{told}");
}

/// A tombstone in the place of the payload of line `at`, which `redaction` names.
fn replace_payload(log: &mut Log, at: usize, payload: &str, redaction: EventId) {
    let tombstone = format!(
        r#""payload":{{"original_payload_hash":"{}","redacted":true,"redaction_event_id":"{redaction}","redaction_reason":"r"}}"#,
        Digest::of(payload.as_bytes())
    );
    log.edit_text(at, &format!(r#""payload":{payload}"#), &tombstone);
}

#[test]
fn what_the_rules_read_has_its_payload() {
    let addition = format!(
        r#"{{"added_at_utc":"2026-01-02T00:00:00Z","algorithm":"Ed25519","key_id":"{}","public_key_b64":"{}","roles":["attestation"]}}"#,
        id(4),
        key(4).public().to_base64()
    );
    for (event_type, payload) in [(KEY_ADDED_TYPE, &*addition), (CLOSING_TYPE, "{}")] {
        let mut log = Log::marked(&[1, 2]);
        let target = log.add("genesis", 1, event_type, payload);
        let reason = format!(r#"{{"reason":"r","target_event_id":"{target}"}}"#);
        let redaction = log.add("genesis", 1, REDACTION_TYPE, &reason);
        replace_payload(&mut log, 1, payload, redaction);
        let found = log.whole_verdict().findings;
        let told = found.iter().find(|it| it.code == Code::E003).unwrap();
        assert_eq!(told.line, Some(2));
        assert!(
            told.message
                .ends_with("an event of this type cannot be redacted"),
            "{told}"
        );
    }
}

#[test]
fn a_tombstone_that_was_signed_anew_is_a_tombstone() {
    let mut log = Log::marked(&[1, 2]);
    let target = log.add("alice", 2, LOGIN, r#"{"n":1}"#);
    let reason = format!(r#"{{"reason":"r","target_event_id":"{target}"}}"#);
    let redaction = log.add("genesis", 1, REDACTION_TYPE, &reason);
    replace_payload(&mut log, 1, r#"{"n":1}"#, redaction);
    let before = codes(&log);
    let event = json::parse(&log.lines[1]).unwrap().into_owned();
    let Value::Object(mut members) = event else {
        panic!("an event is an object")
    };
    members.retain(|(name, _)| name != "sig");
    let signature = key(2).sign(&jcs(&Value::Object(members.clone())).unwrap());
    members.push(("sig".into(), signature.to_base64().into()));
    log.lines[1] = [jcs(&Value::Object(members)).unwrap(), b"\n".to_vec()].concat();
    assert_eq!(codes(&log), before);
    assert_eq!(log.whole_verdict().counts.redacted_payloads, 1);
}
