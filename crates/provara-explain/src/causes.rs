//! Which findings of a report follow from others: a `keys.json` that cannot be read makes every signer unknown,
//! and a log whose line ends somebody changed is at fault in each of its lines.
//!
//! A report holds all findings, in the order of the log. Here they are put in the order in which they are to be
//! read: what is at fault first, and under it, as numbers, what comes of it or is of its kind. Nothing is lost
//! by that: the number is told, and `verify --all` and `--json` give each finding.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use provara_core::finding::{Code, Finding, Report};
use provara_core::keys::KeyRegistryError;
use provara_core::layout::{KEYS, LOG, MERKLE_ROOT};
use provara_core::scan::LineFault;
use provara_core::verify::files::MISSING;
use provara_report::shell;

/// How many findings of one kind are shown before the rest of them is counted.
const SHOWN_OF_A_KIND: usize = 3;

/// How many lines are named before the rest of them is counted.
const LINES_NAMED: usize = 8;

/// A finding that is shown, and what is counted under it. Numbers are places in [`Report::findings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The finding.
    pub finding: usize,
    /// What follows from it.
    pub followers: Vec<usize>,
    /// What is of its kind, further on in the log.
    pub alike: Vec<usize>,
}

/// The findings of a report as they are to be read: first what others follow from, then in the report's order.
#[must_use]
pub fn causes(report: &Report) -> Vec<Cause> {
    let findings = report.findings();
    let parents = parents(findings);
    let mut causes: Vec<Cause> = Vec::new();
    let mut place = HashMap::new();
    let mut kinds: HashMap<(Code, &str, &str), (usize, usize)> = HashMap::new();
    for (number, finding) in findings.iter().enumerate() {
        if parents[number].is_some() {
            continue;
        }
        let kind = (finding.code, &*finding.file, &*finding.message);
        let (count, last) = kinds.entry(kind).or_insert((0, causes.len()));
        *count += 1;
        if *count > SHOWN_OF_A_KIND {
            causes[*last].alike.push(number);
            continue;
        }
        *last = causes.len();
        place.insert(number, causes.len());
        causes.push(Cause {
            finding: number,
            followers: Vec::new(),
            alike: Vec::new(),
        });
    }
    for (number, parent) in parents.iter().enumerate() {
        if let Some(at) = parent.and_then(|parent| place.get(&parent)) {
            causes[*at].followers.push(number);
        }
    }
    // Stable: the rest keeps the order of the report.
    causes.sort_by_key(|cause| cause.followers.is_empty());
    causes
}

/// The findings of a report, those first that are to be read first.
#[must_use]
pub fn causes_first(report: &Report) -> Vec<&Finding> {
    let findings = report.findings();
    let first: Vec<_> = causes(report).iter().map(|cause| cause.finding).collect();
    let mut shown = vec![false; findings.len()];
    first.iter().for_each(|number| shown[*number] = true);
    let rest = (0..findings.len()).filter(|number| !shown[*number]);
    first
        .iter()
        .copied()
        .chain(rest)
        .map(|number| &findings[number])
        .collect()
}

/// For each finding the one that it follows from, if it does. A finding that another one follows from follows
/// from none.
#[must_use]
pub fn parents(findings: &[Finding]) -> Vec<Option<usize>> {
    let mut parents = vec![None; findings.len()];
    let mut follow = |cause: Option<usize>, follows: &dyn Fn(&Finding) -> bool| {
        let Some(cause) = cause else { return };
        for (number, finding) in findings.iter().enumerate() {
            if number != cause && parents[number].is_none() && follows(finding) {
                parents[number] = Some(cause);
            }
        }
    };
    let first = |is_it: &dyn Fn(&Finding) -> bool| findings.iter().position(is_it);
    // All signers are unknown where the file of keys cannot be read, and the manifest lists another file.
    follow(first(&keys_unreadable), &|it| {
        let of_keys = matches!(it.code, Code::E204 | Code::E205 | Code::W003 | Code::W009);
        of_keys || (it.file == KEYS && is_mismatch(it))
    });
    // Line ends that something changed on the way (a Git that was told to) were changed in every text file.
    follow(first(&has_crlf), &|it| {
        has_crlf(it)
            || (it.code == Code::E011 && grew(it))
            || rewritten(it)
            // Of the log and of the root file as they were; the first has its own fix, which is no help here.
            || it.code == Code::E015
            || (it.file == MERKLE_ROOT && it.code == Code::E100)
    });
    // A reference to an event whose line cannot be read.
    follow(first(&unreadable_line), &|it| {
        matches!(it.code, Code::E006 | Code::E013) && it.message.ends_with(NOT_READ)
    });
    // The id and the signature are over the same bytes: who changes them breaks both.
    let wrong_ids: BTreeMap<u64, usize> = findings
        .iter()
        .enumerate()
        .filter(|(_, it)| it.file == LOG && it.code == Code::E004)
        .filter_map(|(number, it)| Some((it.line?, number)))
        .collect();
    for (number, finding) in findings.iter().enumerate() {
        if finding.code == Code::E003 && finding.file == LOG && parents[number].is_none() {
            let id = finding.line.and_then(|line| wrong_ids.get(&line));
            parents[number] = id.copied();
        }
    }
    parents
}

/// Whether all that is wrong with a vault is a last line that was not written to its end: a writer is at work, or
/// was interrupted.
#[must_use]
pub fn is_only_torn(report: &Report) -> bool {
    let findings = report.findings();
    let open = findings.iter().find(|it| it.code == Code::W006);
    let open = open.and_then(|it| it.line);
    let torn = |it: &Finding| it.code == Code::E104 && it.file == LOG && it.line == open;
    let mut errors = findings.iter().filter(|it| !it.code.is_warning());
    open.is_some() && findings.iter().any(torn) && errors.all(torn)
}

/// What helps against what an interrupted command leaves, and nothing else explains: a finding of a report without
/// any other error. `vault` is as a shell takes it.
#[must_use]
pub fn interruption_fix(finding: &Finding, report: &Report, vault: &str) -> Option<String> {
    let whole = || report.findings().iter().all(|it| it.code.is_warning());
    match finding.code {
        Code::E104 if is_only_torn(report) => Some(format!(
            "It was never acknowledged. Where a writer is at work, verify again when it is done; after a crash, \
             the next append moves the bytes out of the log, and so does: provara repair {vault}"
        )),
        Code::W001 | Code::W006 | Code::W013 if whole() => Some(format!(
            "The next command that writes puts that right, and so does: provara repair {vault}"
        )),
        _ => None,
    }
}

/// What helps against a file that the manifest does not list. `vault` is as a shell takes it.
#[must_use]
pub fn stray_fix(finding: &Finding, vault: &str) -> Option<String> {
    is_stray(finding).then(|| {
        format!(
            "If it came there by accident, move it away: mv {vault}/{} ELSEWHERE. If it belongs to the vault, seal it: \
             provara manifest {vault}",
            shell(Path::new(&finding.file))
        )
    })
}

/// The same where nothing else is wrong with the vault.
pub(crate) fn only_stray_fix(report: &Report, vault: &str) -> Option<String> {
    let findings = report.findings().iter();
    let mut errors = findings.filter(|it| !it.code.is_warning());
    let fix = stray_fix(errors.next()?, vault)?;
    errors.all(is_stray).then_some(fix)
}

fn is_stray(finding: &Finding) -> bool {
    finding.code == Code::E302 && finding.message.starts_with(STRAY)
}

/// How the verifier's message begins of a file that the manifest does not list.
const STRAY: &str = "phantom file:";

/// How the verifier's message ends of a reference into a log with unreadable lines.
const NOT_READ: &str = "names no event that could be read";

/// Whether `keys.json` gives no key at all.
fn keys_unreadable(finding: &Finding) -> bool {
    let whole = [KeyRegistryError::NotAnObject, KeyRegistryError::Shape];
    // An entry that is at fault leaves the others as they are.
    let unreadable = finding.code == Code::E104
        || finding.message == MISSING
        || whole.iter().any(|it| finding.message == it.to_string());
    finding.file == KEYS && unreadable
}

fn has_crlf(finding: &Finding) -> bool {
    finding.code == Code::E104
        && finding.file == LOG
        && finding.message == LineFault::CarriageReturn.to_string()
}

fn unreadable_line(finding: &Finding) -> bool {
    finding.code == Code::E104 && finding.file == LOG && finding.event_id.is_none()
}

fn is_mismatch(finding: &Finding) -> bool {
    matches!(finding.code, Code::E011 | Code::E012)
}

/// Whether a file is longer than the manifest says.
fn grew(finding: &Finding) -> bool {
    let number = |text: &Option<String>| text.as_ref()?.parse::<u64>().ok();
    number(&finding.found) > number(&finding.expected)
}

/// Whether a file says the same in another form.
fn rewritten(finding: &Finding) -> bool {
    finding.file != LOG
        && (finding.message == "not in canonical form"
            || finding.message.ends_with("is written differently"))
}

/// What is counted under a cause, a line for each kind: what follows by its codes, and more of the same kind by
/// its lines.
#[must_use]
pub fn counted_under(cause: &Cause, findings: &[Finding]) -> Vec<String> {
    let mut told = Vec::new();
    if !cause.followers.is_empty() {
        let mut codes: BTreeMap<Code, u64> = BTreeMap::new();
        for number in &cause.followers {
            *codes.entry(findings[*number].code).or_default() += 1;
        }
        let codes: Vec<_> = codes
            .iter()
            .map(|(code, count)| format!("{code} {} ({count})", code.name()))
            .collect();
        told.push(format!(
            "{} from it: {}",
            match cause.followers.len() {
                1 => "1 finding follows".to_owned(),
                count => format!("{count} findings follow"),
            },
            codes.join(", ")
        ));
    }
    if !cause.alike.is_empty() {
        let lines: Vec<_> = cause
            .alike
            .iter()
            .filter_map(|number| findings[*number].line)
            .map(|line| line.to_string())
            .collect();
        let place = match lines.as_slice() {
            [] => String::new(),
            [line] => format!(", in line {line}"),
            lines if lines.len() <= LINES_NAMED => format!(", in lines {}", lines.join(", ")),
            lines => format!(
                ", in lines {}, … and {}",
                lines[..LINES_NAMED - 1].join(", "),
                lines[lines.len() - 1]
            ),
        };
        told.push(format!("{} more like it{place}", cause.alike.len()));
    }
    told
}

/// What helps against a cause from which others follow, where that is plain.
#[must_use]
pub fn cause_fix(finding: &Finding) -> Option<&'static str> {
    if has_crlf(finding) {
        return Some(
            "Take the vault as it was written: line ends were changed on the way, as Git does where \
             core.autocrlf is set. Write '* -text' into .gitattributes beside the vault, and clone it anew \
             with git -c core.autocrlf=false clone.",
        );
    }
    keys_unreadable(finding).then_some(
        "Put identity/keys.json back as it was: an editor may have added a byte order mark, or a restore \
         cut it. What follows from it then goes, and what is left is its own.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_log(code: Code, line: u64, message: &str) -> Finding {
        let mut finding = Finding::new(code, LOG, message);
        finding.line = Some(line);
        finding
    }

    #[test]
    fn unknown_signers_follow_from_keys_that_cannot_be_read() {
        let mut findings: Vec<_> = (1..=5)
            .map(|line| in_log(Code::E204, line, "the signer's key is not in keys.json"))
            .collect();
        findings.push(in_log(Code::E004, 3, "the id is not that of the content"));
        findings.push(Finding::new(
            Code::E104,
            KEYS,
            "not JSON: byte order mark at byte 0",
        ));
        findings.push(Finding::new(
            Code::E011,
            KEYS,
            "the size is not that of the manifest",
        ));
        let parents = parents(&findings);
        let expected = [
            Some(6),
            Some(6),
            Some(6),
            Some(6),
            Some(6),
            None,
            None,
            Some(6),
        ];
        assert_eq!(parents, expected);
    }

    #[test]
    fn one_bad_entry_of_the_keys_explains_no_other_key() {
        let findings = [
            in_log(Code::E204, 1, "the signer's key is not in keys.json"),
            Finding::new(Code::E102, KEYS, "entry 0: 'key_id' is not that of its key"),
        ];
        assert_eq!(parents(&findings), [None, None]);
    }

    #[test]
    fn a_changed_event_is_no_reason_for_another() {
        let findings = [
            in_log(Code::E004, 2, "the id is not that of the content"),
            in_log(Code::E003, 2, "the signature is not by the signer's key"),
            in_log(Code::E003, 3, "the signature is not by the signer's key"),
        ];
        assert_eq!(parents(&findings), [None, Some(0), None]);
    }

    #[test]
    fn a_byte_order_mark_is_no_reason_for_a_changed_line_end() {
        let findings = [
            in_log(Code::E104, 1, "the line ends with CR LF"),
            in_log(Code::E104, 2, "the line ends with CR LF"),
            in_log(Code::E104, 3, "white space between tokens"),
            Finding::new(Code::E011, "x", "size").compare(5, 7),
            Finding::new(Code::E011, "y", "size").compare(7, 5),
            Finding::new(Code::E012, "z", "hash"),
        ];
        let expected = [None, Some(0), None, Some(0), None, None];
        assert_eq!(parents(&findings), expected);
    }

    #[test]
    fn what_is_counted_says_how_much_and_where() {
        let findings: Vec<_> = (1..=12)
            .map(|line| in_log(Code::E202, line, "late"))
            .collect();
        let cause = Cause {
            finding: 0,
            followers: vec![1, 2],
            alike: (3..12).collect(),
        };
        assert_eq!(
            counted_under(&cause, &findings),
            [
                "2 findings follow from it: PROVARA_E202 KEY_ROTATION_INVALID_SIGNER (2)",
                "9 more like it, in lines 4, 5, 6, 7, 8, 9, 10, … and 12",
            ]
        );
    }
}
