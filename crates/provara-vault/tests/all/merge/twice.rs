//! An event that was signed twice: two lines of one id, either of which verifies.

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use provara_core::keys::Signature;
use sha2::Sha512;

use super::*;

/// The log of `fixture`, whose last event has another signature, as good as the first: with another nonce.
fn signed_otherwise(fixture: &Fixture) -> String {
    let keyfile = fs::read(&fixture.receipt.keyfile).unwrap();
    let keyfile: serde_json::Value = serde_json::from_slice(&keyfile).unwrap();
    let seed = keyfile["keys"][0]["private_key_b64"].as_str().unwrap();
    // Read as the first half of 64 bytes.
    let padded = format!("{}{}==", seed.trim_end_matches('='), "A".repeat(43));
    let bytes = Signature::from_base64(padded.as_bytes()).unwrap().0;
    let seed: &[u8; 32] = bytes.first_chunk().unwrap();
    let mut expanded = ExpandedSecretKey::from(seed);
    expanded.hash_prefix[0] ^= 1;
    let public = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key();

    let log = String::from_utf8(fixture.log()).unwrap();
    let start = log.trim_end().rfind('\n').unwrap() + 1;
    let member = log.rfind("\"sig\":\"").unwrap();
    let text = member + "\"sig\":\"".len();
    let end = text + Signature::TEXT_LENGTH;
    let signed = [&log[start..member], log[end + 2..].trim_end()].concat();
    let signature = raw_sign::<Sha512>(&expanded, signed.as_bytes(), &public);
    let signature = Signature(signature.to_bytes()).to_base64();
    assert_ne!(signature, log[text..end]);
    [&log[..text], &signature, &log[end..]].concat()
}

#[test]
fn an_event_that_was_signed_twice_is_one_event() {
    for append_only in [false, true] {
        let fixture = Fixture::new();
        fixture
            .vault
            .append(&note("a", "1"), &fixture.keyfile)
            .unwrap();
        let other = copy(&fixture.vault, &fixture.outside().join("other"));
        let ours = fixture.log();
        let theirs = signed_otherwise(&fixture).into_bytes();
        fs::write(other.log_path(), &theirs).unwrap();
        reseal(&other, &fixture.keyfile.keys()[0]);
        verifies(&other);

        let options = MergeOptions {
            append_only,
            ..MergeOptions::default()
        };
        let receipt = fixture.vault.merge(&other, &fixture.keyfile, &options);
        assert_eq!(receipt.unwrap().imported, 0);
        // Alike for either side, but where the log may only go on.
        let kept = match append_only {
            true => ours,
            false => ours.min(theirs),
        };
        assert!(fixture.log() == kept);
        verifies(&fixture.vault);
    }
}
