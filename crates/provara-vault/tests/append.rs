//! Making a vault and appending to it.

mod common;

use common::{Fixture, note};

#[test]
fn events_follow_each_other() {
    let fixture = Fixture::new();
    let first = fixture
        .vault
        .append(&note("alice", "one"), &fixture.keyfile)
        .unwrap();
    let other = fixture
        .vault
        .append(&note("bob", "two"), &fixture.keyfile)
        .unwrap();
    let second = fixture
        .vault
        .append(&note("alice", "three"), &fixture.keyfile)
        .unwrap();
    assert_eq!((first.line, other.line, second.line), (3, 4, 5));
    assert_eq!(
        (first.ts_logical, other.ts_logical, second.ts_logical),
        (1, 1, 2)
    );
    assert_eq!(first.prev_event_hash, None);
    assert_eq!(second.prev_event_hash, Some(first.event_id));
    assert_eq!(second.notes, Vec::<String>::new());
    let log = fixture.log();
    let last = log
        .strip_suffix(b"\n")
        .unwrap()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap();
    assert_eq!(last, second.event_json.as_bytes());
}
