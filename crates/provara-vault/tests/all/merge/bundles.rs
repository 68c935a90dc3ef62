//! The import of bundles, which brings what a merge with the vault would.

use super::*;

/// A bundle of the events of `vault` after its first `skip`.
pub(super) fn bundle(vault: &Vault, skip: usize) -> Vec<u8> {
    let log = fs::read(vault.log_path()).unwrap();
    let since = log
        .split(|byte| *byte == b'\n')
        .nth(skip.wrapping_sub(1))
        .and_then(|line| {
            json::parse(line)
                .ok()?
                .get("event_id")?
                .as_str()?
                .parse()
                .ok()
        });
    let events = delta::events_since(&log, since).unwrap();
    let count = events.iter().filter(|byte| **byte == b'\n').count() as u64;
    let keys = fs::read(vault.path().join("identity/keys.json")).unwrap();
    let keys = provara_core::keys::KeyRegistry::parse(&keys).unwrap();
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    [&delta::header(since, count, now, &keys)[..], events].concat()
}

#[test]
fn a_bundle_brings_what_the_vault_would_and_nothing_that_does_not_verify() {
    let (fixture, other) = diverged();
    let twin = copy(&fixture.vault, &fixture.outside().join("twin"));
    twin.merge(&other, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    let bundle_text = bundle(&other, 3);
    let good = String::from_utf8(bundle_text.clone()).unwrap();
    let before = picture(fixture.vault.path());
    // A changed payload, a changed signature, a missing event, a bundle that is cut.
    let sig = good.rfind("\"sig\":\"").unwrap() + 7;
    let mut forged = good.clone();
    let other_letter = if forged.as_bytes()[sig] == b'A' {
        "B"
    } else {
        "A"
    };
    forged.replace_range(sig..=sig, other_letter);
    let mut lines: Vec<&str> = good.lines().collect();
    lines.remove(1);
    let gap = lines
        .join("\n")
        .replacen("\"event_count\":3", "\"event_count\":2", 1)
        + "\n";
    let cases = [
        (
            good.replacen("\"text\":\"1\"", "\"text\":\"9\"", 1),
            "PROVARA_E004",
        ),
        (forged, "PROVARA_E003"),
        (gap, "which neither log holds"),
        (good[..good.len() - 3].to_owned(), "cut short"),
    ];
    for (text, says) in cases {
        let result =
            fixture
                .vault
                .import_delta(text.as_bytes(), &fixture.keyfile, &MergeOptions::default());
        let refusal = refused(result);
        assert!(refusal.to_string().contains(says), "{says}: {refusal}");
    }
    assert_eq!(before, picture(fixture.vault.path()));

    let receipt = fixture
        .vault
        .import_delta(&bundle_text, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(receipt.imported, 3);
    assert_eq!(fixture.log(), fs::read(twin.log_path()).unwrap());
    verifies(&fixture.vault);
    let again = fixture
        .vault
        .import_delta(&bundle_text, &fixture.keyfile, &MergeOptions::default())
        .unwrap();
    assert_eq!(again.order, MergeOrder::Unchanged);
}

#[test]
fn a_bundle_that_changes_an_event_we_hold_is_refused() {
    let (fixture, other) = diverged();
    let text = String::from_utf8(bundle(&other, 0)).unwrap();
    for (from, to) in [
        ("\"text\":\"1\"", "\"text\":\"0\""),
        ("\"text\":\"1\"", "\"text\":\"9\""),
    ] {
        let changed = text.replacen(from, to, 1);
        for options in [MergeOptions::default(), append_only()] {
            let refusal = refused(fixture.vault.import_delta(
                changed.as_bytes(),
                &fixture.keyfile,
                &options,
            ));
            // And nobody is sent to where it is refused as well.
            let MergeRefusal::ResultInvalid {
                append_only_helps, ..
            } = refusal
            else {
                panic!("{refusal}");
            };
            assert!(!append_only_helps);
        }
    }
}
