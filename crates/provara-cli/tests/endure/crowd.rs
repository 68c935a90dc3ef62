//! Many processes append at once, and readers verify in between.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::yard::{Yard, extent, receipts};

const WRITERS: u64 = 16;
const ACTORS: u64 = 5;

#[test]
fn sixteen_processes_append_at_once() {
    let each = extent("CROWD", 8);
    let mut yard = Yard::new();
    let (reads, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut promised = Vec::new();
    thread::scope(|scope| {
        let yard = &yard;
        let (reads, done) = (&reads, &done);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let actor = format!("actor {}", writer % ACTORS);
                    let mut mine = Vec::new();
                    for number in 0..each {
                        let value = format!("value={number}");
                        let output = yard.run(&[
                            "append",
                            "vault",
                            "--type",
                            "OBSERVATION",
                            "--actor",
                            &actor,
                            "--set",
                            &value,
                            "--json",
                        ]);
                        let stderr = String::from_utf8_lossy(&output.stderr);
                        assert_eq!(output.status.code(), Some(0), "{stderr}");
                        mine.extend(receipts(&output.stdout).map(|id| (id, actor.clone())));
                    }
                    mine
                })
            })
            .collect();
        let reader = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                yard.succeed(&["verify", "vault", "--strict"]);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        // A writer that failed must not leave the reader at work for ever.
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        for result in results {
            promised.extend(result.unwrap());
        }
    });
    assert_eq!(promised.len() as u64, WRITERS * each);
    yard.acknowledged
        .extend(promised.iter().map(|(id, _)| id.clone()));
    assert_eq!(
        yard.acknowledged.len(),
        promised.len(),
        "an id was given twice"
    );
    yard.check("vault");
    assert!(reads.into_inner() > 0);

    // Linear chains, told apart from the verifier's own judgement.
    let log = fs::read_to_string(yard.path("vault/events/events.ndjson")).unwrap();
    let mut heads: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut lines = 0;
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        let actor = text("actor").unwrap();
        let head = heads.get(&actor);
        assert_eq!(text("prev_event_hash").as_ref(), head.map(|(id, _)| id));
        let logical = event["ts_logical"].as_u64().unwrap();
        assert_eq!(logical, head.map_or(1, |(_, before)| before + 1));
        heads.insert(actor, (text("event_id").unwrap(), logical));
        lines += 1;
    }
    assert!(lines > WRITERS * each);
}
