//! The logical clock of an actor: a writer goes on from it, or refuses; it never starts it again.

use provara_core::finding::Code;
use provara_core::json;
use provara_core::keys::Keyfile;
use provara_vault::{AppendRequest, Vault, VaultError, VerifyOptions};

use crate::golden::Golden;
use crate::golden::log_forge::key;

/// A vault whose last event, of the actor `dave`, has `clock` as its `ts_logical`.
fn vault_at(clock: &str, home: &std::path::Path) -> Vault {
    let mut golden = Golden::new();
    golden.files.retain(|path, _| !path.ends_with(".chk"));
    golden.log.add("dave", 3, "RECEIPT", "{}");
    let at = golden.log.lines.len() - 1;
    let stated = format!("\"ts_logical\":{clock}");
    golden.log.edit_tokens(at, 3, "\"ts_logical\":1", &stated);
    golden.seal();
    golden.write_to(&home.join("vault"));
    Vault::open(&home.join("vault"))
        .unwrap()
        .with_state_directory(home.join("state"))
        .with_cache_directory(Some(home.join("cache")))
}

fn append(vault: &Vault, actor: &str) -> Result<u64, VaultError> {
    let request = AppendRequest {
        event_type: "RECEIPT".parse().unwrap(),
        data: json::parse(b"{}").unwrap(),
        actor: actor.to_owned(),
        namespace: None,
        confidence: None,
        key_id: None,
        blind: false,
        idempotency_key: None,
        rounded: 0,
        with_head: false,
    };
    let keyfile = Keyfile::new(vec![key(3)]);
    let receipt = vault.append(&request, &keyfile)?;
    Ok(receipt.ts_logical)
}

#[test]
fn a_clock_that_cannot_be_read_is_not_started_again() {
    for clock in [
        "100000000000000000000",
        "9223372036854775808",
        "\"9\"",
        "1.5",
    ] {
        let home = tempfile::tempdir().unwrap();
        let vault = vault_at(clock, home.path());
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        let found = report.findings().iter().map(|finding| finding.code);
        assert!(found.into_iter().any(|code| code == Code::E300), "{clock}");
        for actor in ["dave", "erin"] {
            let error = append(&vault, actor).unwrap_err();
            assert!(matches!(error, VaultError::BrokenLog { .. }), "{error}");
            assert!(error.to_string().contains("ts_logical"), "{error}");
        }
    }
}

#[test]
fn a_clock_at_its_end_is_refused_also_from_the_cache() {
    for clock in ["9007199254740991", "9223372036854775807"] {
        let home = tempfile::tempdir().unwrap();
        let vault = vault_at(clock, home.path());
        // The second time, the state of the log comes from the cache.
        for turn in 1..=2 {
            assert_eq!(append(&vault, "erin").unwrap(), turn);
            let error = append(&vault, "dave").unwrap_err();
            assert!(matches!(error, VaultError::LogicalClock { .. }), "{error}");
        }
    }
}

#[test]
fn a_clock_that_is_absent_or_below_one_begins_at_one() {
    for (clock, next) in [
        ("null", 1),
        ("-7", 1),
        ("0", 1),
        ("1", 2),
        ("4294967296", 4_294_967_297),
    ] {
        let home = tempfile::tempdir().unwrap();
        let vault = vault_at(clock, home.path());
        assert_eq!(append(&vault, "erin").unwrap(), 1);
        assert_eq!(
            append(&vault, "dave").unwrap(),
            next,
            "{clock}, from the cache"
        );
        let report = vault.verify(&VerifyOptions::default()).unwrap();
        assert!(report.is_valid(), "{clock}: {:?}", report.findings());
    }
}
