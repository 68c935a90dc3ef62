//! RFC 8785: the files and the numbers of its reference implementation.

use provara_core::canonical::jcs;
use provara_core::json::parse;
use provara_core::number::{es_number, is_es_form};

use super::data::{read_tar_xz, read_xz};

#[test]
fn rfc_8785_documents() {
    let files = read_tar_xz("jcs.tar.xz");
    let mut count = 0;
    for (path, input) in &files {
        let Some((folder, name)) = path.split_once("/input/") else {
            continue;
        };
        let beside = |kind: &str, name: &str| {
            let path = format!("{folder}/{kind}/{name}");
            &files.get(&path).unwrap_or_else(|| panic!("{path}"))[..]
        };
        let canonical = jcs(&parse(input).expect(path)).expect(path);
        assert_eq!(canonical, beside("output", name), "{path}");

        let hex_name = name.replace(".json", ".txt");
        let hex_text: String = std::str::from_utf8(beside("outhex", &hex_name))
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(hex::encode(&canonical), hex_text, "{path}");
        count += 1;
    }
    assert_eq!(count, 6);
    println!("RFC 8785: {count} documents agree with their output and its hex form");
}

#[test]
fn rfc_8785_numbers() {
    let text = String::from_utf8(read_xz("es6_numbers_20k.txt.xz")).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let (bits, expected) = line.split_once(',').unwrap();
        let number = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
        assert_eq!(es_number(number), expected, "{bits}");
        assert!(is_es_form(expected), "{expected}");
        // Through the whole way, from a token with needless digits.
        let token = format!("{number:.400e}");
        let canonical = jcs(&parse(token.as_bytes()).unwrap()).unwrap();
        assert_eq!(canonical, expected.as_bytes(), "{bits}");
        count += 1;
    }
    assert_eq!(count, 20_000);
    println!("RFC 8785: {count} numbers agree");
}
