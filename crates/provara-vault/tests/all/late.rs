//! A copy that comes after a rotation: its events have no place in the log any more, and the refusal names them
//! and sends nobody where they are refused as well.

use provara_core::keys::SigningKey;
use provara_vault::{MergeOptions, MergeRefusal, Vault, VaultError};

use crate::common::{Fixture, copy, note, picture, request, rotation, verifies};

/// A vault whose root key was revoked, with a boundary or without; a copy from before; and the ids of the
/// events that the copy has of its own, written before or after the revocation, one for each of `texts`.
fn rotated(boundary: bool, late_first: bool, texts: &[&str]) -> (Fixture, Vault, Vec<String>) {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let other = copy(&fixture.vault, &fixture.outside().join("late"));
    let last = fixture
        .vault
        .append(&note("here", "1"), &fixture.keyfile)
        .unwrap();
    let write_late = || {
        let append = |text: &&str| other.append(&note("there", text), &fixture.keyfile);
        let ids = texts.iter().map(|it| append(it).unwrap().event_id);
        ids.map(|id| id.to_string()).collect::<Vec<_>>()
    };
    let early = late_first.then(write_late);
    match boundary {
        true => {
            let data = format!(
                r#"{{"revoked_key_id":"{root}","reason":"lost","trust_boundary_event_id":"{}","revoked_at_utc":"2026-01-01T00:00:00Z"}}"#,
                last.event_id
            );
            let mut revocation = request("KEY_REVOCATION", "authority", &data);
            revocation.key_id = Some(quorum);
            fixture.vault.append(&revocation, &fixture.keyfile).unwrap();
        }
        false => {
            let new = SigningKey::from_seed(&[7; 32]);
            for event in rotation(root, &new, quorum) {
                fixture.vault.append(&event, &fixture.keyfile).unwrap();
            }
        }
    }
    let ids = early.unwrap_or_else(write_late);
    (fixture, other, ids)
}

/// How the merge of `from` into `into` is refused; nothing is changed.
fn refusal(into: &Vault, from: &Vault, fixture: &Fixture, append_only: bool) -> MergeRefusal {
    let (_, quorum) = fixture.root_and_quorum();
    let options = MergeOptions {
        append_only,
        key_id: Some(quorum),
        ..MergeOptions::default()
    };
    let before = picture(into.path());
    match into.merge(from, &fixture.keyfile, &options).unwrap_err() {
        VaultError::Merge(refusal) => {
            assert_eq!(before, picture(into.path()), "something was changed");
            *refusal
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_late_events_are_named_in_either_order_and_from_either_side() {
    for (boundary, late_first, texts) in [
        (true, true, &["1", "2"][..]),
        (true, false, &["1", "2"]),
        (false, false, &["1", "2"]),
        (true, true, &["1"]),
    ] {
        let (fixture, late, ids) = rotated(boundary, late_first, texts);
        for append_only in [false, true] {
            for into_late in [false, true] {
                let (into, from) = match into_late {
                    true => (&late, &fixture.vault),
                    false => (&fixture.vault, &late),
                };
                // The late copy as it stands has them before the revocation that is appended to it.
                if into_late && append_only {
                    continue;
                }
                let refusal = refusal(into, from, &fixture, append_only);
                let MergeRefusal::AfterRevocation {
                    events,
                    append_only_helps,
                    ..
                } = &refusal
                else {
                    panic!("{boundary} {late_first} {append_only} {into_late}: {refusal}");
                };
                let named: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
                assert_eq!(named, ids);
                assert_eq!(*append_only_helps, into_late);
                let (root, _) = fixture.root_and_quorum();
                for event in events {
                    assert_eq!((event.actor.as_str(), event.key_id), ("there", root));
                    assert_eq!(event.ours, into_late);
                }
            }
        }
    }
}

#[test]
fn a_copy_that_is_merged_before_the_rotation_is_in_time() {
    let fixture = Fixture::with_quorum();
    let (root, quorum) = fixture.root_and_quorum();
    let other = copy(&fixture.vault, &fixture.outside().join("copy"));
    other.append(&note("there", "1"), &fixture.keyfile).unwrap();
    fixture
        .vault
        .merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    for event in rotation(root, &SigningKey::from_seed(&[7; 32]), quorum) {
        fixture.vault.append(&event, &fixture.keyfile).unwrap();
    }
    verifies(&fixture.vault);
}

#[test]
fn what_is_said_to_help_does() {
    let (fixture, late, ids) = rotated(true, true, &["1", "2"]);
    let (_, quorum) = fixture.root_and_quorum();
    let options = MergeOptions {
        append_only: true,
        key_id: Some(quorum),
        ..MergeOptions::default()
    };
    late.merge(&fixture.vault, &fixture.keyfile, &options)
        .unwrap();
    verifies(&late);
    let log = std::fs::read_to_string(late.log_path()).unwrap();
    assert!(ids.iter().all(|id| log.contains(id)));
}

#[test]
fn a_late_event_that_nobody_signed_is_no_late_event() {
    let (fixture, late, _) = rotated(true, true, &["1"]);
    let (_, quorum) = fixture.root_and_quorum();
    let log = late.snapshot().unwrap().unverified();
    let (header, events) = late.delta(&log, None).unwrap().unwrap();
    let bundle = String::from_utf8([&header[..], events].concat()).unwrap();
    let at = bundle.rfind("\"sig\":\"").unwrap() + 7;
    let letter = match &bundle[at..=at] {
        "A" => "B",
        _ => "A",
    };
    let forged = [&bundle[..at], letter, &bundle[at + 1..]].concat();
    let import = |text: &str| {
        let options = MergeOptions {
            key_id: Some(quorum),
            ..MergeOptions::default()
        };
        let imported = fixture
            .vault
            .import_delta(text.as_bytes(), &fixture.keyfile, &options);
        match imported.unwrap_err() {
            VaultError::Merge(refusal) => *refusal,
            other => panic!("{other}"),
        }
    };
    let refusal = import(&bundle);
    assert!(
        matches!(refusal, MergeRefusal::AfterRevocation { .. }),
        "{refusal}"
    );
    let refusal = import(&forged);
    assert!(
        matches!(refusal, MergeRefusal::ResultInvalid { .. }),
        "{refusal}"
    );
}
