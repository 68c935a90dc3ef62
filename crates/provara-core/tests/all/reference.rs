//! The reducers held against a reference: the four cases of the specification applied one event after the other to
//! plain records, which are grouped and printed each time. It shares nothing with the library.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use provara_core::beliefs::{BeliefReducer, LogReducer, Steps, Unprinted};
use provara_core::json::parse;

/// Values as they are written and printed, with what Python holds equal under one number.
const VALUES: [(&str, &str, u8); 9] = [
    ("1", "1", 0),
    ("1.0", "1.0", 0),
    ("true", "true", 0),
    ("\"x\"", "\"x\"", 1),
    ("[1,false]", "[1,false]", 2),
    ("[1.0,0]", "[1.0,0]", 2),
    ("{\"b\":1,\"a\":\"\\u00e9\"}", "{\"a\":\"é\",\"b\":1}", 3),
    ("null", "null", 4),
    ("\"line\\nend\"", "\"line\\nend\"", 5),
];

/// Confidences as they are written, printed and compared; none where the type's own applies.
const CONFIDENCES: [Option<(&str, &str, f64)>; 6] = [
    None,
    Some(("0.2", "0.2", 0.2)),
    Some(("\"0.5\"", "0.5", 0.5)),
    Some(("0.4999", "0.4999", 0.4999)),
    Some(("true", "1.0", 1.0)),
    Some(("\"sure\"", "", f64::NAN)),
];

/// A small generator, so that a seed is a history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % sides
    }
}

#[derive(Clone)]
struct Evidence {
    actor: String,
    confidence: f64,
    printed_confidence: String,
    id: String,
    namespace: &'static str,
    time: String,
    value: usize,
}

struct Canonical {
    id: String,
    by: String,
    of: String,
    value: usize,
}

#[derive(Default)]
struct Key {
    evidence: Vec<Evidence>,
    canonical: Option<Canonical>,
    local: Option<(Evidence, usize)>,
    contested: Option<String>,
    archived: Vec<String>,
}

#[derive(Default)]
struct Reference {
    keys: BTreeMap<String, Key>,
    events: usize,
    last: String,
    epoch: String,
}

impl Canonical {
    fn head(&self) -> String {
        let Self { id, by, of, .. } = self;
        format!(r#""attestation_event_id":{id},"attested_by":{by},"provenance":{of},"#)
    }

    fn text(&self) -> String {
        format!("{{{}\"value\":{}}}", self.head(), VALUES[self.value].1)
    }

    fn archived(&self, by: &str, retracted: bool) -> String {
        let retracted = if retracted { "\"retracted\":true," } else { "" };
        let (head, value) = (self.head(), VALUES[self.value].1);
        format!(r#"{{{head}{retracted}"superseded_by":{by},"value":{value}}}"#)
    }
}

impl Key {
    fn contest(&mut self, reason: &str) {
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for it in &self.evidence {
            let (value, name) = (VALUES[it.value].1, it.namespace);
            groups.entry(value).or_default().push(format!(
                r#"{{"actor":{},"confidence":{},"event_id":{},"namespace":"{name}","timestamp_utc":{},"value":{value}}}"#,
                it.actor, it.printed_confidence, it.id, it.time
            ));
        }
        let groups: Vec<String> = groups
            .iter()
            .map(|(value, list)| {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{escaped}\":[{}]", list.join(","))
            })
            .collect();
        let canonical = self.canonical.as_ref();
        self.contested = Some(format!(
            r#"{{"canonical_value":{},"evidence_by_value":{{{}}},"reason":"{reason}","status":"AWAITING_RESOLUTION","total_evidence_count":{}}}"#,
            canonical.map_or("null", |it| VALUES[it.value].1),
            groups.join(","),
            self.evidence.len()
        ));
        self.local = None;
    }

    fn observe(&mut self, new: Evidence) {
        self.evidence.push(new.clone());
        let differs = |value: usize| VALUES[value].2 != VALUES[new.value].2;
        if new.confidence >= 0.5 && self.canonical.as_ref().is_some_and(|it| differs(it.value)) {
            return self.contest("conflicts_with_canonical");
        }
        if let Some((local, _)) = &self.local {
            let highest = local.confidence.max(new.confidence);
            if differs(local.value) && highest >= 0.5 {
                return self.contest("conflicts_with_local");
            }
            if !differs(local.value) && new.confidence <= local.confidence {
                return;
            }
        }
        self.local = Some((new, self.evidence.len()));
    }

    fn settle(&mut self, id: &str, next: Option<Canonical>) {
        if let Some(before) = self.canonical.take() {
            self.archived.push(before.archived(id, next.is_none()));
        }
        self.canonical = next;
        self.local = None;
        self.contested = None;
    }
}

impl Reference {
    /// The next event: its line, whose effect this takes in.
    fn next(&mut self, dice: &mut Dice) -> String {
        self.events += 1;
        let bare = format!("e{}", self.events);
        // An id that is empty counts as none, and then `id` does.
        let (mut line, id) = match dice.roll(12) {
            0 => (
                "\"event_id\":\"\"".to_owned(),
                "\"unknown_event\"".to_owned(),
            ),
            1 => (format!("\"id\":\"{bare}\""), format!("\"{bare}\"")),
            _ => (format!("\"event_id\":\"{bare}\""), format!("\"{bare}\"")),
        };
        self.last.clone_from(&id);
        let actor = match dice.roll(5) {
            0 => "\"unknown\"".to_owned(),
            1 => {
                line += ",\"actor\":7";
                "\"7\"".to_owned()
            }
            other => {
                let _ = write!(line, ",\"actor\":\"a\\\"{other}\"");
                format!("\"a\\\"{other}\"")
            }
        };
        let namespace = match dice.roll(4) {
            0 => {
                line += ",\"namespace\":\" Archived \"";
                "archived"
            }
            1 => {
                line += ",\"namespace\":\"elsewhere\"";
                "local"
            }
            _ => "local",
        };
        let (subject, value) = (dice.roll(4), dice.roll(VALUES.len()));
        let mut payload = format!("\"predicate\":\"p{}\",\"subject\":\"s\"", subject);
        let key = format!("s:p{subject}");
        let _ = write!(payload, ",\"value\":{}", VALUES[value].0);
        let kind = match dice.roll(20) {
            0..=7 => "OBSERVATION",
            8..=11 => "ASSERTION",
            12..=14 => "ATTESTATION",
            15 | 16 => "RETRACTION",
            17 => "REDUCER_EPOCH",
            18 => "com.example.test.note",
            // Without a subject it has no effect.
            _ => {
                payload = payload.replace("\"s\"", "\"\"");
                "ATTESTATION"
            }
        };
        match kind {
            "OBSERVATION" | "ASSERTION" => {
                let default = match kind {
                    "OBSERVATION" => ("0.5", 0.5),
                    _ => ("0.35", 0.35),
                };
                let stated = CONFIDENCES[dice.roll(CONFIDENCES.len())];
                if let Some((written, ..)) = stated {
                    let _ = write!(payload, ",\"confidence\":{written}");
                }
                let read = stated.filter(|it| !it.2.is_nan());
                let (printed, confidence) = read.map_or(default, |it| (it.1, it.2));
                let time = match dice.roll(3) {
                    0 => "null".to_owned(),
                    other => {
                        let name = ["timestamp", "timestamp_utc"][other - 1];
                        let _ = write!(payload, ",\"{name}\":\"t{}\"", self.events);
                        format!("\"t{}\"", self.events)
                    }
                };
                let evidence = Evidence {
                    actor,
                    confidence,
                    printed_confidence: printed.to_owned(),
                    id,
                    namespace,
                    time,
                    value,
                };
                self.keys.entry(key).or_default().observe(evidence);
            }
            "ATTESTATION" if payload.contains("\"s\"") => {
                let (mut by, mut of) = (actor, id.clone());
                if dice.roll(2) == 0 {
                    payload += ",\"actor_key_id\":\"k\",\"target_event_id\":\"t\"";
                    (by, of) = ("\"k\"".to_owned(), "\"t\"".to_owned());
                }
                let next = Canonical {
                    id: id.clone(),
                    by,
                    of,
                    value,
                };
                self.keys.entry(key).or_default().settle(&id, Some(next));
            }
            "RETRACTION" => {
                if let Some(key) = self.keys.get_mut(&key) {
                    key.settle(&id, None);
                }
            }
            "REDUCER_EPOCH" => {
                payload += ",\"epoch_id\":3";
                self.epoch = format!(
                    r#"{{"effective_from_event_id":{id},"epoch_id":3,"ontology_versions":null,"reducer_hash":null}}"#
                );
            }
            _ => {}
        }
        let members = format!("{line},\"payload\":{{{payload}}},\"type\":\"{kind}\"");
        match dice.roll(2) {
            // White space: not canonical, and the same event.
            0 => format!("{{ {members} }}"),
            // The same in the canonical form.
            _ => {
                let text = format!("{{{members}}}");
                let event = parse(text.as_bytes()).unwrap();
                String::from_utf8(provara_core::canonical::token_preserving(&event)).unwrap()
            }
        }
    }

    /// The four maps and the metadata, but for the hash.
    fn text(&self) -> String {
        let map = |entry: &dyn Fn(&Key) -> Option<String>| {
            let entries = self.keys.iter().filter_map(|(key, it)| {
                let text = entry(it)?;
                Some(format!("\"{key}\":{text}"))
            });
            entries.collect::<Vec<_>>().join(",")
        };
        let archived =
            map(&|it| (!it.archived.is_empty()).then(|| format!("[{}]", it.archived.join(","))));
        let canonical = map(&|it| it.canonical.as_ref().map(Canonical::text));
        let contested = map(&|it| it.contested.clone());
        let local = map(&|it| {
            let (from, count) = it.local.as_ref()?;
            Some(format!(
                r#"{{"actor":{},"confidence":{},"evidence_count":{count},"provenance":{},"timestamp":{},"value":{}}}"#,
                from.actor, from.printed_confidence, from.id, from.time, VALUES[from.value].1
            ))
        });
        let null = |text: &str| match text {
            "" => "null".to_owned(),
            some => some.to_owned(),
        };
        format!(
            "{{\"archived\":{{{archived}}},\"canonical\":{{{canonical}}},\"contested\":{{{contested}}},\
             \"local\":{{{local}}},\"metadata_partial\":{{\"current_epoch\":{},\"event_count\":{},\
             \"last_event_id\":{},\"reducer\":{{\"conflict_confidence_threshold\":0.5,\
             \"name\":\"SovereignReducerV0\",\"version\":\"0.2.0\"}}}}}}",
            null(&self.epoch),
            self.events,
            null(&self.last),
        )
    }
}

/// A log, and after each of its lines its length and the state.
fn history(seed: u64, events: usize) -> (Vec<u8>, Vec<(usize, String)>) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut reference = Reference::default();
    let mut log = Vec::new();
    let mut states = vec![(0, reference.text())];
    for _ in 0..events {
        log.extend_from_slice(reference.next(&mut dice).as_bytes());
        log.push(b'\n');
        states.push((log.len(), reference.text()));
    }
    (log, states)
}

fn text(reducer: &LogReducer, log: &[u8], threads: usize) -> String {
    let state = reducer.state(log, threads).unwrap();
    String::from_utf8(state.checkpoint_state()).unwrap()
}

#[test]
fn both_reducers_come_to_what_the_reference_comes_to() {
    let mut contested = 0;
    for seed in 0..80 {
        let (log, states) = history(seed, 60);
        let mut by_event = BeliefReducer::new();
        let mut by_line = LogReducer::new();
        let mut start = 0;
        for (end, expected) in &states {
            if let Some(line) = log[start..*end].strip_suffix(b"\n") {
                by_event.apply(&parse(line).unwrap());
                by_line.apply(&parse(line).unwrap(), start as u64);
                start = *end;
            }
            let state = by_event.state();
            let found = String::from_utf8(state.checkpoint_state()).unwrap();
            assert_eq!(found, *expected, "seed {seed}, {end} bytes");
            assert_eq!(
                text(&by_line, &log, 1),
                *expected,
                "seed {seed}, {end} bytes"
            );
            contested += usize::from(expected.contains("AWAITING"));
        }
    }
    assert!(
        contested > 1_000,
        "{contested}: the histories contest too little"
    );
}

#[test]
fn however_a_log_is_cut_into_ranges_and_kept_between_them_the_state_is_the_same() {
    for seed in 300..360 {
        let (log, states) = history(seed, 80);
        let mut dice = Dice(seed);
        let mut reducer = LogReducer::new();
        let mut at = 0;
        while at < states.len() - 1 {
            let next = (at + 1 + dice.roll(30)).min(states.len() - 1);
            let range = states[at].0..states[next].0;
            let steps = Steps::of(&log[range.clone()], range.start as u64);
            assert_eq!(
                (steps.events(), steps.end()),
                ((next - at) as u64, range.end as u64)
            );
            assert_eq!(steps.fault(), None);
            reducer.take(&steps);
            if dice.roll(2) == 0 {
                let kept = reducer.save();
                reducer = LogReducer::restore(&kept, range.end as u64).expect("what was kept");
                assert_eq!(reducer.events(), next as u64);
            }
            at = next;
            let threads = 1 + dice.roll(3);
            // What follows the lines that were taken does not count.
            assert_eq!(text(&reducer, &log, threads), states[at].1, "seed {seed}");
        }
    }
}

#[test]
fn nothing_else_is_taken_for_a_reducer_that_was_kept() {
    let (log, _) = history(7, 200);
    let mut reducer = LogReducer::new();
    reducer.take(&Steps::of(&log, 0));
    let kept = reducer.save();
    let length = log.len() as u64;
    assert!(LogReducer::restore(&kept, length).is_some());
    for cut in 0..kept.len() {
        assert!(LogReducer::restore(&kept[..cut], length).is_none(), "{cut}");
    }
    let more = [&kept[..], b"\0"].concat();
    assert!(LogReducer::restore(&more, length).is_none());
    // Where lines begin lies within the log.
    assert!(LogReducer::restore(&kept, length / 2).is_none());
    // Whatever else it is, it panics nowhere.
    let mut dice = Dice(99);
    for _ in 0..2_000 {
        let mut damaged = kept.clone();
        let at = dice.roll(damaged.len());
        damaged[at] ^= 1 << dice.roll(8);
        if let Some(reducer) = LogReducer::restore(&damaged, length) {
            let _ = reducer.state(&log, 1);
        }
    }
}

#[test]
fn a_log_that_is_another_one_when_the_state_is_printed_is_an_error() {
    let (log, _) = history(11, 100);
    let mut reducer = LogReducer::new();
    reducer.take(&Steps::of(&log, 0));
    assert!(reducer.state(&log, 2).is_ok());
    let zeros = vec![0; log.len()];
    for other in [&zeros[..], b"", &log[..log.len() / 4]] {
        let error = reducer.state(other, 2).unwrap_err();
        assert!(matches!(error, Unprinted::Changed(_)), "{error}");
    }
}

#[test]
fn lines_that_are_no_events_end_the_steps_there() {
    let good = br#"{"event_id":"e1","type":"com.example.a.b"}"#;
    for (bad, reason) in [
        (&b"[1]"[..], "an array is no event"),
        (b"", "unexpected end of JSON at byte 0"),
        (
            b"{\"type\":\"a\",\"type\":\"a\"}",
            "duplicate key \"type\" at byte 12",
        ),
        (
            b"{\"payload\":{\"a\":1,\"a\":1},\"type\":\"OBSERVATION\"}",
            "duplicate key \"a\" at byte 18",
        ),
    ] {
        let log = [&good[..], b"\n", bad, b"\n", good, b"\n"].concat();
        let steps = Steps::of(&log, 10);
        assert_eq!(steps.fault(), Some(reason));
        assert_eq!(
            (steps.events(), steps.end()),
            (1, 10 + good.len() as u64 + 1)
        );
    }
}
