//! Which keys signed events lead to, and what `keys.json` may say of them (spec/VAULT_FORMAT,
//! sections 1, 3 and 4).

use crate::support::log_forge::{Log, entry, id, key, set};
use provara_core::finding::Code;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value};
use provara_core::keys::{KeyEntry, ListedRevocation};
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
    assert_eq!(unvouched(&log), []);
}

/// The keys that signed and to which no signed events lead, with the line that is told.
fn unvouched(log: &Log) -> Vec<(u64, KeyId)> {
    let findings = log.whole_verdict().findings;
    let told = findings.iter().filter(|it| it.code == Code::W009);
    told.map(|it| {
        let mut words = it.message.split([' ', ',']);
        let key = words.find(|word| word.starts_with("bp1_")).unwrap();
        (it.line.unwrap(), key.parse().unwrap())
    })
    .collect()
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
    assert_eq!(unvouched(&log), [(2, id(3)), (4, id(4))]);
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
    assert_eq!(unvouched(&log), [(2, id(3))]);
    log.add("bob", 2, LOGIN, "{}");
    assert_eq!(log.found(), [(Code::W003, 5)], "its first proven use");
}

/// Key 2 is revoked in line 4 and key 4 takes its place in line 5; both events are named.
fn rotated() -> Log {
    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.promote("authority", 1, 4, 2);
    log.add("alice", 4, LOGIN, "{}");
    assert_eq!(log.found(), []);
    log
}

/// A change of the entries, of which the first is the root's, the second the revoked key's and the last
/// the promoted one's; it gets an event that is no rotation.
type Change = fn(&mut [KeyEntry], EventId);

#[test]
fn keys_json_names_the_rotations_of_the_log() {
    let changes: [(&str, Change); 6] = [
        ("another promotion", |keys, other| {
            keys[3].promotion_event_id = Some(other);
        }),
        ("no promotion", |keys, _| keys[3].promotion_event_id = None),
        ("a promotion that is none", |keys, other| {
            keys[0].promotion_event_id = Some(other);
        }),
        ("an active key with a revocation", |keys, other| {
            keys[0].revocation_event_id = Some(other);
        }),
        ("a revoked key without its revocation", |keys, _| {
            keys[1].revocation_event_id = None;
        }),
        ("another revocation", |keys, other| {
            keys[1].revocation_event_id = Some(other);
        }),
    ];
    for (name, change) in changes {
        let mut log = rotated();
        let other = log.ids[1];
        change(&mut log.registry.keys, other);
        let found = log.found();
        assert!(found.contains(&(Code::E302, 0)), "{name}: {found:?}");
    }
    let mut log = rotated();
    log.registry.keys[3].promotion_event_id = None;
    let unnamed = &log.verdict().findings[0];
    assert_eq!(unnamed.expected, Some(log.ids[4].to_string()));
    assert_eq!(unnamed.found.as_deref(), Some("none"));
}

#[test]
fn a_promoted_key_that_signed_before_is_listed_with_its_promotion_or_found() {
    let mut log = Log::new();
    log.registry.keys.push(entry(4));
    log.add("dave", 4, LOGIN, "{}");
    log.revoke("authority", 1, 2, None);
    log.promote("authority", 1, 4, 2);
    log.registry.keys.pop(); // the second entry of the key
    assert_eq!(log.found(), [(Code::E302, 0)], "keys.json does not name it");
    log.registry.keys[3].promotion_event_id = log.ids.last().copied();
    assert_eq!(log.found(), [(Code::E202, 4)], "signed before it counts");
}

#[test]
fn the_list_of_revocations_repeats_the_log() {
    let stated = |seed: u8, event| ListedRevocation {
        key_id: id(seed),
        event,
    };
    let mut log = rotated();
    let revocation = log.ids[3];
    for (entry, codes) in [
        (stated(2, Some(revocation)), &[][..]),
        (stated(2, None), &[]),
        (stated(2, Some(log.ids[1])), &[(Code::E302, 0)]),
        (stated(3, Some(revocation)), &[(Code::E302, 0)]),
        (stated(9, None), &[(Code::E302, 0)]),
    ] {
        log.registry.revocations = vec![entry];
        assert_eq!(log.found(), codes, "{entry:?}");
    }
}

#[test]
fn a_promotion_says_who_signed_it_whom_and_when() {
    let text = |seed: u8| Some(Value::from(id(seed).to_string()));
    let older = [("promoted_key_id", text(4)), ("new_key_id", None)];
    for (changes, code) in [
        (&[("promoted_by", text(3))][..], Some(Code::E202)),
        (&[("promoted_by", Some("me".into()))], Some(Code::E300)),
        (&[("new_key_id", text(5))], Some(Code::E102)),
        (&[("promoted_key_id", text(5))], Some(Code::E102)),
        (
            &[("promoted_key_id", Some("mine".into()))],
            Some(Code::E102),
        ),
        (&[("promoted_key_id", text(4))], None),
        (&older, None),
        (
            &[("promoted_at_utc", Some("today".into()))],
            Some(Code::E105),
        ),
        (&[("promoted_at_utc", Some("".into()))], Some(Code::E300)),
    ] {
        let mut log = Log::new();
        log.revoke("authority", 1, 2, None);
        log.promote("authority", 1, 4, 2);
        edit_payload(&mut log, 4, 1, changes);
        log.registry.keys[3].promotion_event_id = Some(log.ids[4]);
        let found: Vec<_> = log.found().into_iter().filter(|it| it.1 == 5).collect();
        let expected: Vec<_> = code.map(|code| (code, 5)).into_iter().collect();
        assert_eq!(found, expected, "{changes:?}");
    }
    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    let now = ("revoked_at_utc", Some("2026-01-02".into()));
    edit_payload(&mut log, 3, 1, &[now]);
    assert_eq!(log.found()[0], (Code::E105, 4));
}

#[test]
fn a_key_is_revoked_once() {
    let mut log = Log::new();
    let login = log.add("alice", 2, LOGIN, "{}");
    log.revoke("authority", 1, 2, Some(login));
    let registry = log.registry.clone();
    assert_eq!(log.found(), []);
    // A second one, which would distrust the key from an earlier place.
    let first = log.ids[0];
    log.revoke("authority", 1, 2, Some(first));
    log.registry = registry;
    assert_eq!(log.found(), [(Code::E201, 6)]);
}

#[test]
fn keys_that_were_promoted_and_are_not_listed_are_told() {
    let mut log = Log::new();
    log.revoke("authority", 1, 2, None);
    log.promote("authority", 1, 4, 2);
    assert!(log.whole_verdict().promoted_keys.is_empty());
    log.registry.keys.retain(|entry| entry.key_id != id(4));
    assert_eq!(log.whole_verdict().promoted_keys, [key(4).public()]);
}

#[test]
fn a_root_key_without_a_role_signs_nothing() {
    let mut log = Log::with_keys(&[1]);
    log.edit_signed(0, 1, |members| {
        let payload = format!(r#"{{"root_key_id":"{}","uid":"u"}}"#, id(1));
        let payload = json::parse(payload.as_bytes()).unwrap().into_owned();
        set(members, "payload", payload);
    });
    assert_eq!(log.found(), []);
    log.registry.keys[0].roles = vec!["reader".into()];
    assert_eq!(log.found(), [(Code::E202, 1)]);
}

#[test]
fn in_a_marked_vault_events_give_the_roles() {
    let mut log = Log::marked(&[1, 2]);
    log.add("alice", 2, "com.acme.audit.login", "{}");
    let before = log.whole_verdict().findings;
    log.registry.keys[1].roles = vec!["reader".into()];
    assert_eq!(log.whole_verdict().findings, before);
}

#[test]
fn only_the_first_event_founds_a_vault() {
    let mut log = Log::new();
    let before = log.whole_verdict().genesis;
    log.add("genesis", 1, "GENESIS", r#"{"uid":"another"}"#);
    let verdict = log.whole_verdict();
    assert!(verdict.findings.iter().any(|it| it.line == Some(4)));
    assert_eq!(format!("{:?}", verdict.genesis), format!("{before:?}"));
}
