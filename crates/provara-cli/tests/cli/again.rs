//! What a batch that was not taken whole says of how to go on.

use crate::batch_input::{batch, observation, values};
use crate::world::World;

/// What is to be done after a batch that is not in whole depends on whether it may be run again.
#[test]
fn what_helps_after_a_refusal_depends_on_the_keys() {
    let keyed = |value: &str, key: &str| {
        let data = format!("{{\"subject\":\"s\",\"predicate\":\"p\",\"value\":{value}}}");
        format!("{{\"type\":\"OBSERVATION\",\"data\":{data},\"idempotency_key\":\"{key}\"}}")
    };
    let bad = observation("9007199254740993");
    let whole =
        "run the whole batch again, with the same options: what is in the log has idempotency keys";
    let alone = "append those alone, in a new batch";
    let rest = "Then append what is not in yet, from there on";
    for (records, keep, helps) in [
        ([keyed("1", "a"), bad.clone()], true, whole),
        ([observation("1"), bad.clone()], true, alone),
        // One without a key is enough.
        (
            [
                format!("{}\n{}", keyed("1", "a"), observation("2")),
                bad.clone(),
            ],
            true,
            alone,
        ),
        // Nothing is in the log.
        (
            [bad.clone(), bad.clone()],
            true,
            "where the batch came from, and run it again.",
        ),
        ([keyed("1", "a"), bad.clone()], false, whole),
        ([observation("1"), bad.clone()], false, rest),
    ] {
        let world = World::with_vault();
        let more: &[&str] = if keep { &["--rejects", "rejects"] } else { &[] };
        let answer = batch(&world, records.join("\n").as_bytes(), more);
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        let fix = answer.stderr.split_once("\nFix: ").unwrap().1;
        assert!(fix.contains(helps), "{records:?}: {fix}");
        for other in [whole, alone, rest] {
            assert!(other == helps || !fix.contains(other), "{records:?}: {fix}");
        }
        // It is as it says: the same again, corrected, appends nothing twice.
        if helps == whole {
            let corrected = [records[0].clone(), keyed("3", "c")];
            let answer = batch(&world, corrected.join("\n").as_bytes(), more);
            assert_eq!(answer.code, 0, "{}", answer.stderr);
            assert_eq!(values(&world), [1, 3]);
        }
    }
}

/// What was refused is taken as data by nobody's mistake, also where any object would do.
#[test]
fn the_file_of_refused_records_is_no_batch() {
    let world = World::with_vault();
    let bad = observation("9007199254740993");
    let input = [observation("1"), bad].join("\n");
    let answer = batch(&world, input.as_bytes(), &["--rejects", "rejects"]);
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    let before = world.tree("vault");
    for more in [
        &["--type", "OBSERVATION"][..],
        &["--type", "OBSERVATION", "--rejects", "again"],
        &["--type", "OBSERVATION", "--dry-run"],
        &[],
    ] {
        let rejects = std::fs::read(world.path("rejects")).unwrap();
        let answer = batch(&world, &rejects, more);
        answer.refused(
            2,
            "a line of the file that --rejects wrote, and that file is",
        );
        answer.refused(2, "Correct the refused records where they came from");
        assert!(world.tree("vault") == before, "{more:?}");
    }
}

/// A number is one key however it is written, as it is one value in the log.
#[test]
fn a_number_is_one_key_in_every_spelling() {
    let world = World::with_vault();
    let bare = |records: &str, more: &[&str]| {
        let bare = [
            "--type",
            "OBSERVATION",
            "--idempotency-key-from",
            "value",
            "--rejects",
            "rejects",
        ];
        batch(&world, records.as_bytes(), &[&bare[..], more].concat())
    };
    let record =
        |value: &str| format!("{{\"subject\":\"s\",\"predicate\":\"p\",\"value\":{value}}}\n");
    let spellings = ["7", "7.0", "7e0", "70E-1"].map(record).concat();
    let answer = bare(&spellings, &[]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(values(&world), [7]);
    // One that the rule of numbers refuses is no key; what the rule makes of it is.
    let odd = ["9007199254740993", "9007199254740992"]
        .map(record)
        .concat();
    let answer = bare(&odd, &["--dry-run"]);
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    let refused = "1 record of the batch was refused; 1 event would be appended";
    assert!(answer.stderr.contains(refused), "{}", answer.stderr);
    assert_eq!(bare(&odd, &["--numbers", "round"]).code, 0);
    assert_eq!(values(&world).len(), 2);
}
