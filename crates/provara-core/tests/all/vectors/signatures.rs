//! Ed25519: Wycheproof, and the edge cases in which implementations differ.

use provara_core::keys::{PublicKey, Signature};

use super::data::read_json;

fn verify(key: &str, message: &str, signature: &str) -> bool {
    let bytes = |text: &str| hex::decode(text).expect("hex");
    let (Ok(key), Ok(signature)) = (
        <[u8; 32]>::try_from(bytes(key)),
        <[u8; 64]>::try_from(bytes(signature)),
    ) else {
        return false;
    };
    PublicKey::from_bytes(&key)
        .is_ok_and(|key| key.verify(&bytes(message), &Signature(signature)).is_ok())
}

#[test]
fn wycheproof() {
    let file = read_json("wycheproof_ed25519.json");
    let (mut valid, mut invalid) = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let key = group["publicKey"]["pk"].as_str().unwrap();
        for case in group["tests"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            let accepted = verify(key, text("msg"), text("sig"));
            match text("result") {
                "valid" => {
                    assert!(accepted, "{case}");
                    valid += 1;
                }
                "invalid" => {
                    assert!(!accepted, "{case}");
                    invalid += 1;
                }
                other => panic!("{other}"),
            }
        }
    }
    println!("Wycheproof: {valid} valid signatures accepted, {invalid} invalid refused");
    assert_eq!((valid, invalid), (88, 63));
}

#[test]
fn edge_cases() {
    let file = read_json("ed25519_speccheck_cases.json");
    let cases = file.as_array().unwrap();
    let accepted: Vec<_> = cases
        .iter()
        .map(|case| {
            let text = |name: &str| case[name].as_str().unwrap();
            verify(text("pub_key"), text("message"), text("signature"))
        })
        .collect();
    let expected: Vec<_> = (0..12).map(|index| index <= 3 || index == 11).collect();
    assert_eq!(accepted, expected);
    println!(
        "Ed25519 edge cases: {} verdicts as plain RFC 8032",
        cases.len()
    );
}
