//! The vectors that the protocol publishes.

use provara_core::beliefs::BeliefReducer;
use provara_core::canonical::{jcs, token_preserving};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{Value, parse};
use provara_core::keys::{PublicKey, Signature};

use super::data::read;

fn text<'v>(value: &'v Value<'_>, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).expect(name)
}

#[test]
fn protocol_vectors() {
    let file = read("provara_vectors.json");
    let file = parse(&file).unwrap();
    let vectors = file.get("vectors").and_then(Value::as_array).unwrap();
    for vector in vectors {
        let input = vector.get("input").unwrap();
        let expected = text(vector, "expected");
        match text(vector, "id") {
            "canonical_json_01" => {
                assert_eq!(hex::encode(jcs(input).unwrap()), expected);
                assert_eq!(hex::encode(token_preserving(input)), expected);
            }
            "sha256_hash_01" => {
                let input = input.as_str().unwrap();
                assert_eq!(Digest::of(input.as_bytes()).to_string(), expected);
            }
            "event_id_derivation_01" => {
                let id = EventId::from_digest(Digest::of(&jcs(input).unwrap()));
                assert_eq!(id.to_string(), expected);
            }
            "key_id_derivation_01" => {
                let key = hex::decode(input.as_str().unwrap()).unwrap();
                assert_eq!(KeyId::of(&key.try_into().unwrap()).to_string(), expected);
            }
            "ed25519_sign_verify_01" => {
                let key = PublicKey::from_base64(text(input, "public_key_b64")).unwrap();
                assert_eq!(key.key_id().to_string(), text(input, "key_id"));
                let mut signature = Signature::from_base64(expected.as_bytes()).unwrap();
                // As in an event, the id of the key is part of what is signed.
                let mut signed = input
                    .get("message")
                    .and_then(Value::as_object)
                    .unwrap()
                    .clone();
                let key_id = input.get("key_id").unwrap().clone();
                signed.push(("actor_key_id".into(), key_id));
                let message = jcs(&Value::Object(signed)).unwrap();
                assert_eq!(key.verify(&message, &signature), Ok(()));
                signature.0[0] ^= 1;
                assert!(key.verify(&message, &signature).is_err());
            }
            "merkle_root_01" => merkle_root(input, expected),
            "reducer_determinism_01" => {
                let mut reducer = BeliefReducer::new();
                for event in input.as_array().unwrap() {
                    reducer.apply(event);
                }
                assert_eq!(reducer.finish().state_hash.to_string(), expected);
            }
            unknown => panic!("{unknown}"),
        }
    }
    assert_eq!(vectors.len(), 7);
    println!("protocol: {} vectors agree", vectors.len());
}

/// The entries are hashed as given: one of them states a digest that no manifest may.
fn merkle_root(entries: &Value<'_>, expected: &str) {
    let leaves = entries.as_array().unwrap().iter();
    let leaves = leaves.map(|entry| Digest::of(&jcs(entry).unwrap()));
    let root = provara_core::manifest::merkle_root(leaves);
    assert_eq!(root.to_string(), expected);
}

#[test]
fn token_preserving_vectors() {
    let file = read("provara_canonical_token_preserving.json");
    let file = parse(&file).unwrap();
    let vectors = file.get("vectors").and_then(Value::as_array).unwrap();
    for vector in vectors {
        let input = vector.get("input").unwrap();
        assert_eq!(
            hex::encode(token_preserving(input)),
            text(vector, "expected_hex"),
            "{}",
            text(vector, "id")
        );
    }
    assert_eq!(vectors.len(), 12);
    println!("token-preserving form: {} vectors agree", vectors.len());
}
