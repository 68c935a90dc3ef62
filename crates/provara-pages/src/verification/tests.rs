use provara_core::finding::Code;

use super::*;

/// What a page has that is about a valid vault of five events.
fn valid() -> Verification {
    Verification {
        vault: "ward".to_owned(),
        version: "1.2.3".to_owned(),
        written_at: "2026-11-22T08:38:38.001228Z".to_owned(),
        verdict: Verdict::Valid,
        errors: 0,
        warnings: 0,
        allowed: 0,
        strict: false,
        identity: Identity {
            uid: Some("ward-3".to_owned()),
            root_key: Some("bp1_0123456789abcdef".to_owned()),
            ..Identity::default()
        },
        counts: Counts {
            events: 5,
            lines: 5,
            signatures: 5,
            actors: 1,
            ..Counts::default()
        },
        digests: vec![Named {
            name: "The log",
            of: "SHA-256 of it.".to_owned(),
            value: "00ff".repeat(16),
        }],
        seal: Seal {
            standing: SealStanding::Current,
            ..Seal::default()
        },
        keys: Keys {
            marked: true,
            ..Keys::default()
        },
        timeline: Timeline {
            width: 1 << 10,
            lanes: vec![Lane {
                actor: Some("nurse".to_owned()),
                actors: 1,
                events: 5,
                lines: (1, 5),
                times: Some((0, 4_000_000)),
                cells: vec![(0, 1), (4_000_000, 4)],
                ..Lane::default()
            }],
            ..Timeline::default()
        },
        types: Counted {
            first: vec![("NOTE".to_owned(), 4), ("GENESIS".to_owned(), 1)],
            ..Counted::default()
        },
        heads: Vec::new(),
        anchors: Vec::new(),
        findings: Vec::new(),
        notes: Vec::new(),
        commands: vec!["provara verify ward --no-cache".to_owned()],
    }
}

fn head(events: u64, holds: bool) -> Head {
    Head {
        source: "march.head".to_owned(),
        origin: "provara/ward-3/main".to_owned(),
        events,
        root: "ab".repeat(32),
        holds,
    }
}

fn says(claims: &[claims::Claim], words: &str) -> bool {
    claims.iter().any(|claim| claim.says.contains(words))
}

#[test]
fn the_verdict_is_a_word_a_sentence_and_a_shape() {
    let mut facts = valid();
    let html = facts.to_html();
    assert!(html.contains("<strong>Valid</strong>"));
    assert!(
        html.contains("All 5 events of this vault and all of its files are as they were signed.")
    );
    assert!(!html.contains("What was found"));
    facts.verdict = Verdict::Warned;
    facts.warnings = 1;
    facts.allowed = 2;
    let html = facts.to_html();
    assert!(html.contains("<strong>Valid, with warnings</strong>"));
    assert!(html.contains("There is 1 warning that a reader should know"));
    assert!(html.contains("2 warnings were allowed by whoever verified"));
    facts.verdict = Verdict::Invalid;
    facts.errors = 2;
    facts.strict = true;
    let html = facts.to_html();
    assert!(html.contains("<strong>Not valid</strong>"));
    assert!(html.contains("2 faults were found"));
    assert!(html.contains("Warnings were counted as faults."));
    let signs: Vec<_> = [Verdict::Valid, Verdict::Warned, Verdict::Invalid]
        .map(|verdict| {
            let html = Verification { verdict, ..valid() }.to_html();
            let start = html.find("<svg class=\"sign\"").unwrap();
            html[start..start + html[start..].find("</svg>").unwrap()].to_owned()
        })
        .into();
    assert!(signs[0] != signs[1] && signs[1] != signs[2] && signs[0] != signs[2]);
}

#[test]
fn what_is_proven_follows_from_what_was_given() {
    let mut facts = valid();
    assert!(says(&claims::proven(&facts), "No file was added"));
    assert!(says(&claims::proven(&facts), "Only keys signed"));
    assert!(says(
        &claims::unproven(&facts),
        "the latest state, and the only one"
    ));
    assert!(says(&claims::unproven(&facts), "the one that you mean"));
    // A tree head that does not hold proves nothing.
    facts.heads = vec![head(3, false)];
    assert!(says(
        &claims::unproven(&facts),
        "the latest state, and the only one"
    ));
    facts.heads = vec![head(2, true), head(3, true)];
    assert!(says(
        &claims::proven(&facts),
        "The first 3 events are those"
    ));
    assert!(says(&claims::unproven(&facts), "after the first 3 are all"));
    facts.heads = vec![head(5, true)];
    assert!(says(&claims::unproven(&facts), "there were later events"));
    facts.heads = Vec::new();
    facts.anchors = vec![Anchor {
        when: "2026-11-22T08:38:38Z".to_owned(),
        who: "clock.example".to_owned(),
        events: 4,
        holds: true,
        verdict: "It holds.".to_owned(),
    }];
    assert!(says(&claims::unproven(&facts), "after the first 4 are all"));
    assert!(facts.to_html().contains("2026-11-22 08:38:38 UTC"));
    facts.identity.root_key_was_named = true;
    assert!(says(&claims::proven(&facts), "had named made the vault"));
    assert!(!says(&claims::unproven(&facts), "the one that you mean"));
    facts.keys.marked = false;
    assert!(!says(&claims::proven(&facts), "Only keys signed"));
    assert!(says(&claims::unproven(&facts), "the keys are the owner"));
    facts.seal.standing = SealStanding::None;
    assert!(!says(&claims::proven(&facts), "No file was added"));
    assert!(says(&claims::unproven(&facts), "taken away or exchanged"));
    facts.counts.gaps = 1;
    assert!(!says(&claims::proven(&facts), "removed from the middle"));
    assert!(says(&claims::unproven(&facts), "a chain has a gap"));
    // Of an invalid vault nothing of the kind is said.
    facts.verdict = Verdict::Invalid;
    facts.counts.signatures = 4;
    let proven = claims::proven(&facts);
    assert_eq!(proven.len(), 1);
    assert_eq!(proven[0].says, "4 signatures of the 5 events fit.");
}

/// A text that would be markup, end an attribute, or turn the text around it.
const HOSTILE: &str =
    "</title></style><script>alert(1)</script>\"'><img src=x onerror=y>\u{202e}\u{0}\n";

#[test]
fn every_text_of_the_vault_is_shown_and_none_is_obeyed() {
    let hostile = || HOSTILE.to_owned();
    let some = || Some(hostile());
    let facts = Verification {
        vault: hostile(),
        verdict: Verdict::Invalid,
        identity: Identity {
            uid: some(),
            root_key: some(),
            root_key_was_named: false,
            first_event: Some((hostile(), some())),
            last_event: Some((hostile(), some())),
            closed_by: some(),
            predecessor: Some(false),
        },
        digests: vec![Named {
            name: "The log",
            of: hostile(),
            value: hostile(),
        }],
        seal: Seal {
            standing: SealStanding::Continued(3),
            key: some(),
            signed_at: some(),
        },
        keys: Keys {
            marked: false,
            unvouched: some(),
            first: vec![Key {
                id: hostile(),
                roles: hostile(),
                came: hostile(),
                standing: hostile(),
                ..Key::default()
            }],
            more: 1,
        },
        timeline: Timeline {
            lanes: vec![Lane {
                actor: some(),
                marks: [MarkKind::Key, MarkKind::Warning, MarkKind::Error]
                    .map(|kind| Mark { time: 0, kind })
                    .into(),
                ..valid().timeline.lanes.remove(0)
            }],
            unmarked: 1,
            ..valid().timeline
        },
        types: Counted {
            first: vec![(hostile(), 5)],
            more: 3,
            more_events: 4,
        },
        heads: vec![Head {
            source: hostile(),
            origin: hostile(),
            ..head(1, false)
        }],
        anchors: vec![Anchor {
            when: hostile(),
            who: hostile(),
            events: 1,
            holds: false,
            verdict: hostile(),
        }],
        findings: vec![Group {
            code: Code::E003,
            is_error: true,
            first: vec![Shown {
                message: hostile(),
                file: hostile(),
                line: Some(1_000),
                byte: Some(12_345),
                event: some(),
                actor: some(),
                expected: some(),
                found: some(),
                excerpt: Some(Excerpt::around(HOSTILE.as_bytes(), 9)),
                follows: some(),
                fix: some(),
            }],
            more: 1_234,
        }],
        notes: vec![hostile()],
        commands: vec![hostile()],
        ..valid()
    };
    let html = facts.to_html();
    for word in ["<script", "<img", "</title></style>", "\u{202e}", "\u{0}"] {
        assert!(!html.contains(word), "{word}");
    }
    assert_eq!(html.matches("</style>").count(), 1);
    assert_eq!(html.matches("</title>").count(), 1);
    let shown = html
        .matches("&lt;script&gt;alert(1)&lt;/script&gt;")
        .count();
    assert_eq!(shown, 37, "one for each text");
    assert!(html.contains("\\u{202e}\\u{0}\\n"));
    assert!(html.contains(", line 1,000, byte 12,345"));
    assert!(html.contains("And 1,234 more of this kind"));
    for class in ["class=\"key\"", "class=\"warning\"", "class=\"error\""] {
        assert!(html.contains(class), "{class}");
    }
}

#[test]
fn a_tree_head_that_contradicts_was_given() {
    let question = "Whether this is the latest state, and the only one.";
    let html = valid().to_html();
    assert!(html.contains(question) && html.contains("none was given"));
    let mut facts = valid();
    facts.heads = vec![Head {
        source: "later.head".to_owned(),
        origin: "provara/ward/main".to_owned(),
        events: facts.counts.events + 8,
        root: "0".repeat(64),
        holds: false,
    }];
    let html = facts.to_html();
    assert!(html.contains(question) && html.contains("say that it is not"));
    assert!(!html.contains("none was given"));
}

#[test]
fn a_page_holds_itself_and_asks_for_nothing() {
    let html = valid().to_html();
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    let policy = "default-src 'none'; style-src 'sha256-";
    assert!(html.contains("http-equiv=\"Content-Security-Policy\""));
    assert!(html.contains(&policy.replace('\'', "&#39;")), "{html:.600}");
    for word in [
        "http:", "https:", "//", "src=", "@import", "url(", " style=", "<link",
    ] {
        let places = html
            .match_indices(word)
            .map(|(at, _)| &html[at.saturating_sub(40)..at + 20]);
        let places: Vec<_> = places.collect();
        assert!(places.is_empty(), "{word}: {places:?}");
    }
}
