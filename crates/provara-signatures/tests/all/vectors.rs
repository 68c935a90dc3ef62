//! Wycheproof, and the edge cases in which implementations differ.

use ed25519_dalek::VerifyingKey;

use crate::cases::Case;
use crate::support::{backends, by_dalek, compare, limits};

fn read_json(name: &str) -> serde_json::Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&bytes).expect(name)
}

#[derive(Default)]
struct Vectors {
    keys: Vec<VerifyingKey>,
    cases: Vec<Case>,
    /// What the file says.
    expected: Vec<bool>,
}

impl Vectors {
    /// Adds a vector. One whose key is no point, or whose signature has not 64 bytes, never gets as far as a back end.
    fn add(&mut self, key: &str, message: &str, signature: &str, good: bool) {
        let bytes = |text: &str| hex::decode(text).expect("hex");
        let key: [u8; 32] = bytes(key).try_into().expect("32 bytes");
        let key = VerifyingKey::from_bytes(&key);
        let (Ok(key), Ok(signature)) = (key, bytes(signature).try_into()) else {
            assert!(!good);
            return;
        };
        let index = self.keys.iter().position(|it| *it == key);
        let key = index.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        let message = bytes(message);
        self.cases.push(Case {
            key,
            cut: message.len() / 2,
            message,
            signature,
            kind: ("", ""),
        });
        self.expected.push(good);
    }

    fn check(&self) {
        assert_eq!(by_dalek(&self.keys, &self.cases), self.expected);
        for chosen in backends() {
            for limits in limits(chosen.backend()) {
                for at_a_time in [1, 7, self.cases.len()] {
                    let Self {
                        keys,
                        cases,
                        expected,
                    } = self;
                    compare(chosen, limits, keys, cases, expected, at_a_time);
                }
            }
        }
    }
}

#[test]
fn wycheproof() {
    let file = read_json("wycheproof_ed25519.json");
    let mut vectors = Vectors::default();
    for group in file["testGroups"].as_array().unwrap() {
        let key = group["publicKey"]["pk"].as_str().unwrap();
        for case in group["tests"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            vectors.add(key, text("msg"), text("sig"), text("result") == "valid");
        }
    }
    let good = vectors.expected.iter().filter(|good| **good).count();
    let left_out = 151 - vectors.cases.len();
    assert_eq!((good, left_out), (88, 12));
    vectors.check();
}

#[test]
fn edge_cases() {
    let file = read_json("ed25519_speccheck_cases.json");
    let mut vectors = Vectors::default();
    for (index, case) in file.as_array().unwrap().iter().enumerate() {
        let text = |name: &str| case[name].as_str().unwrap();
        let good = index <= 3 || index == 11;
        vectors.add(text("pub_key"), text("message"), text("signature"), good);
    }
    assert_eq!(vectors.cases.len(), 12);
    vectors.check();
}
