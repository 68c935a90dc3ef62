//! JSONTestSuite: what a JSON reader must take, must refuse, and may do as it likes.

use provara_core::json::{ParseErrorKind, parse};

use super::data::read_tar_xz;

#[test]
fn json_test_suite() {
    let (mut taken, mut duplicates, mut refused) = (0, 0, 0);
    let (mut may_taken, mut may_refused) = (0, 0);
    for (path, text) in read_tar_xz("parse.tar.xz") {
        let Some((_, name)) = path.split_once("/test_parsing/") else {
            continue;
        };
        let result = parse(&text);
        match &name[..2] {
            "y_" => match result {
                Ok(_) => taken += 1,
                // The one deviation: two parsers would disagree on what was signed.
                Err(error) if name.starts_with("y_object_duplicated_key") => {
                    assert!(
                        matches!(&error.kind, ParseErrorKind::DuplicateKey(key) if key == "a"),
                        "{name}: {error}"
                    );
                    duplicates += 1;
                }
                Err(error) => panic!("{name} must parse: {error}"),
            },
            "n_" => {
                assert!(result.is_err(), "{name} must be refused");
                refused += 1;
            }
            "i_" if result.is_ok() => may_taken += 1,
            "i_" => may_refused += 1,
            _ => panic!("{name}"),
        }
    }
    println!(
        "JSONTestSuite: {taken} of 95 that must parse do, {duplicates} are refused for a duplicate \
         key; {refused} of 188 are refused; of 35 that may, {may_taken} parse"
    );
    assert_eq!((taken, duplicates, refused), (93, 2, 188));
    assert_eq!(may_taken + may_refused, 35);
}
