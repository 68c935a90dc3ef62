//! One golden vault, and one change at a time: each gives the code of the rule that it breaks, and
//! nothing that does not follow from it. The unchanged twin verifies.

use provara_core::finding::{Code, Finding, Report};

mod files;
mod keys;
mod lines;

use crate::golden::Golden;

type Change = fn(&mut Golden);

/// A change before the vault is sealed, one after it, and the codes that must be found.
struct Mutation(&'static str, Change, Change, &'static [Code]);

const NOTHING: Change = |_| {};

/// Index of the golden log's last line.
const LAST: usize = 48;

/// Without the checkpoint, whose state would rightly diverge beside the rule in question.
fn no_checkpoint(golden: &mut Golden) {
    golden.files.retain(|path, _| !path.ends_with(".chk"));
}

/// What is found but for what every vault of this kind gets: it has no mark, and its GENESIS does not lead
/// to the keys of its actors, so that keys.json alone vouches for them.
fn beside_its_kind(report: &Report) -> Vec<&Finding> {
    let findings = report.findings().iter();
    findings.filter(|it| it.code != Code::W009).collect()
}

#[test]
fn the_unchanged_twin_is_valid() {
    let mut golden = Golden::new();
    golden.seal();
    let report = golden.verify(true);
    assert_eq!(beside_its_kind(&report), Vec::<&Finding>::new());
    assert_eq!(report.event_count(), LAST as u64 + 1);
}

#[test]
fn every_mutation_is_caught_with_its_code() {
    let mutations = || {
        [lines::LINES, keys::KEYS, files::FILES]
            .into_iter()
            .flatten()
    };
    assert!(mutations().count() >= 80);
    let mut wrong = Vec::new();
    for Mutation(name, before, after, codes) in mutations() {
        let mut golden = Golden::new();
        before(&mut golden);
        golden.seal();
        after(&mut golden);
        let report = golden.verify(false);
        let found = beside_its_kind(&report);
        let mut found: Vec<_> = found.iter().map(|finding| finding.code).collect();
        let mut expected = codes.to_vec();
        // What one broken event drags behind it may come more than once: codes are compared as a
        // set, and the first finding must be of the rule in question.
        let first = found.first().copied();
        for list in [&mut found, &mut expected] {
            list.sort_unstable();
            list.dedup();
        }
        let only_warnings = codes.iter().all(|code| code.is_warning());
        let strict = golden.verify(true);
        let result = report.is_valid() == only_warnings && !beside_its_kind(&strict).is_empty();
        if found != expected || !result || first.is_none() {
            let findings: Vec<_> = report.findings().iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{name}: expected {expected:?}, found {findings:#?}"
            ));
        }
    }
    println!("{} mutations", mutations().count());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_redaction_after_a_checkpoint_is_no_fault_of_the_checkpoint() {
    let mut golden = Golden::new();
    let target = golden.log.ids[4];
    let redaction = golden.log.add(
        "alice",
        2,
        "com.provara.redaction",
        &format!(
            r#"{{"authority":"a","reason":"r","reason_detail":"","redaction_method":"tombstone","target_event_id":"{target}"}}"#
        ),
    );
    lines::bury(&mut golden, 4, &redaction.to_string());
    golden.seal();
    let report = golden.verify(false);
    assert!(report.is_valid(), "{:#?}", report.findings());
    assert!(report.notes().iter().any(|note| note.contains("redacted")));
}
