//! The vault that another one continues: found in a folder, verified, and held against what the
//! successor says of it (spec/VAULT_FORMAT, sections 1 and 8).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use provara_core::finding::{Code, Finding};
use provara_core::id::EventId;
use provara_core::layout::GENESIS;
use provara_core::scan::{Field, Line, scan_line};
use provara_core::tree::{self, EventTree};
use provara_core::verify::{Closed, Predecessor};
use provara_core::verify::{LogVerdict, REDACTION_TYPE, report};

use crate::error::{Context, VaultError};
use crate::vault::Vault;
use crate::verify::alone::{Alone, VerifyOptions};

/// How many entries of a folder are looked at in search of predecessors.
const SEARCHED: usize = 10_000;

/// Looks for `predecessor` of `vault` in `options.predecessors`, verifies it and those before it, and
/// gives what is to be said of them: findings of `vault`, and notes.
///
/// Copies of one vault may lie there, and some may be broken: each that ends with the event named is
/// tried until one has no finding. Only if none verifies and is what was named, that is a finding. A
/// chain may be as long as the folder has vaults, so the search keeps its own stack; a vault that was
/// judged is not judged again, however many name it.
pub(crate) fn follow(
    vault: &Vault,
    predecessor: Predecessor,
    options: &VerifyOptions,
) -> Result<(Vec<Finding>, Vec<String>), VaultError> {
    let Some(folder) = &options.predecessors else {
        let message = "the vault names a predecessor, which was not looked for".to_owned();
        return Ok((vec![finding(Code::W008, message)], Vec::new()));
    };
    let closed = closed_vaults(folder)?;
    let mut judged: Vec<Judged> = Vec::new();
    let mut known: HashMap<&Path, usize> = HashMap::new();
    let mut open = vec![Search::new(vault, None, predecessor, &closed)];
    loop {
        let search = open.last_mut().expect("the first is left by returning");
        let finished = match search.next() {
            Some(candidate) if open.iter().any(|it| it.vault.path() == candidate.path()) => {
                let message =
                    "the chain of predecessors comes back to a vault that it started from";
                let told = Told::of(vec![finding(Code::E302, message.to_owned())]);
                consider(&mut open, candidate, told);
                continue;
            }
            Some(candidate) if known.contains_key(candidate.path()) => {
                let at = known[candidate.path()];
                let told = judged[at].against(at, &open.last().expect("at hand").said);
                consider(&mut open, candidate, told);
                continue;
            }
            Some(candidate) => match candidate.examine_alone(options) {
                Err(VaultError::Cancelled) => return Err(VaultError::Cancelled),
                Err(error) => {
                    search_at_hand(&mut open).unreadable.get_or_insert(error);
                    continue;
                }
                Ok(mut alone) => {
                    let before = alone.predecessor.take();
                    let link = Link::new(candidate, alone);
                    match before {
                        Some(before) if !link.is_broken() => {
                            open.push(Search::new(candidate, Some(link), before, &closed));
                            continue;
                        }
                        _ => (candidate, link, Told::default()),
                    }
                }
            },
            None => {
                let search = open.pop().expect("it is the one at hand");
                let vault = search.vault;
                match search.end()? {
                    (None, told) => return Ok(told.with_all_before(judged)),
                    (Some(link), told) => (vault, link, told),
                }
            }
        };
        let (candidate, link, before) = finished;
        let at = judged.len();
        judged.push(link.judge(before, options));
        known.insert(candidate.path(), at);
        let told = judged[at].against(at, &search_at_hand(&mut open).said);
        consider(&mut open, candidate, told);
    }
}

fn finding(code: Code, message: String) -> Finding {
    Finding::new(code, GENESIS, message)
}

/// What there is to say of a candidate.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    notes: Vec<String>,
    /// How far all of it speaks against the candidate, with what was found of the vaults before it.
    weight: usize,
    /// Which of those that were judged it is of: what is to be said of the vaults before that one is
    /// kept there.
    of: Option<usize>,
}

impl Told {
    fn of(findings: Vec<Finding>) -> Self {
        Self {
            weight: weight(&findings),
            findings,
            ..Self::default()
        }
    }

    /// The findings and notes of the whole chain, from its far end.
    fn with_all_before(self, mut judged: Vec<Judged>) -> (Vec<Finding>, Vec<String>) {
        let mut chain = vec![self];
        while let Some(at) = chain.last().and_then(|told| told.of) {
            chain.push(std::mem::take(&mut judged[at].before));
        }
        let (mut findings, mut notes) = (Vec::new(), Vec::new());
        for told in chain.into_iter().rev() {
            findings.extend(told.findings);
            notes.extend(told.notes);
        }
        (findings, notes)
    }
}

/// The weight of anything that is more than a warning.
const BROKEN: usize = usize::MAX;

/// The number of warnings, or [`BROKEN`].
fn weight(findings: &[Finding]) -> usize {
    if findings.iter().all(|finding| finding.code.is_warning()) {
        findings.len()
    } else {
        BROKEN
    }
}

/// The search for the predecessor of one vault.
struct Search<'v> {
    vault: &'v Vault,
    /// What was found of the vault itself; none for the one that the chain starts from.
    link: Option<Link>,
    /// What it says of its predecessor.
    said: Predecessor,
    left: std::slice::Iter<'v, Vault>,
    /// The best of those that were tried, the first of equals.
    best: Option<(&'v Vault, Told)>,
    /// Those that were tried and are no better.
    passed_over: Vec<&'v Vault>,
    /// Why one could not be looked at.
    unreadable: Option<VaultError>,
}

impl<'v> Search<'v> {
    fn new(
        vault: &'v Vault,
        link: Option<Link>,
        said: Predecessor,
        closed: &'v HashMap<EventId, Vec<Vault>>,
    ) -> Self {
        let candidates = said.seal_event_id.and_then(|id| closed.get(&id));
        Self {
            vault,
            link,
            said,
            left: candidates.map_or(&[][..], Vec::as_slice).iter(),
            best: None,
            passed_over: Vec::new(),
            unreadable: None,
        }
    }

    /// The next vault to try, while there is reason to.
    fn next(&mut self) -> Option<&'v Vault> {
        if self.best.as_ref().is_some_and(|(_, told)| told.weight == 0) {
            return None;
        }
        self.left.next()
    }

    /// What the search came to.
    fn end(self) -> Result<(Option<Link>, Told), VaultError> {
        let Some((_, mut told)) = self.best else {
            if let Some(error) = self.unreadable {
                return Err(error);
            }
            // One that names no event has its finding.
            let absent = self.said.seal_event_id.map(|seal| {
                let message =
                    format!("the predecessor, closed by {seal}, is not in the folder searched");
                finding(Code::W008, message)
            });
            return Ok((self.link, Told::of(Vec::from_iter(absent))));
        };
        if told.weight == BROKEN
            && let Some(error) = self.unreadable
        {
            return Err(error);
        }
        for vault in self.passed_over {
            let name = name_of(vault);
            told.notes.push(if told.weight == BROKEN {
                format!("'{name}' has the last event of the predecessor too, and is not it either")
            } else {
                format!(
                    "'{name}' has the last event of the predecessor too, and was passed over: more \
                     was found of it, or it is not what was named"
                )
            });
        }
        Ok((self.link, told))
    }
}

fn search_at_hand<'s, 'v>(open: &'s mut [Search<'v>]) -> &'s mut Search<'v> {
    open.last_mut().expect("it is searched for somebody")
}

/// Takes what was found of a candidate into the search at hand.
fn consider<'v>(open: &mut [Search<'v>], candidate: &'v Vault, told: Told) {
    let search = search_at_hand(open);
    let worse = match &search.best {
        Some((_, best)) if best.weight <= told.weight => Some(candidate),
        _ => search
            .best
            .replace((candidate, told))
            .map(|(vault, _)| vault),
    };
    search.passed_over.extend(worse);
}

fn name_of(vault: &Vault) -> String {
    let name = vault.path().file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A vault of the chain, before those before it are known.
struct Link {
    name: String,
    verdict: LogVerdict,
    findings: Vec<Finding>,
    notes: Vec<String>,
    closed: Closed,
}

impl Link {
    fn new(vault: &Vault, alone: Alone) -> Self {
        let verdict = alone.verdict;
        let events = verdict.closed_at.unwrap_or(verdict.event_count);
        let redacted = events < verdict.event_count;
        let lines = || {
            alone
                .log
                .iter()
                .flat_map(|log| log.lines())
                .take(events as usize)
        };
        let tree_root = if redacted {
            let mut tree = EventTree::new();
            for line in lines().filter_map(|line| scan_line(line).ok()) {
                tree.push(tree::leaf(&line));
            }
            tree.root()
        } else {
            verdict.tree.root()
        };
        Self {
            name: name_of(vault),
            closed: Closed {
                events,
                line: lines().last().unwrap_or_default().to_owned(),
                redacted,
                merkle_root: alone.merkle_root,
                tree_root,
            },
            verdict,
            findings: alone.findings,
            notes: alone.notes,
        }
    }

    /// Whether it does not verify by itself.
    fn is_broken(&self) -> bool {
        weight(&self.findings) == BROKEN || weight(&self.verdict.findings) == BROKEN
    }

    /// Judges it, given what is to be said of those `before` it.
    fn judge(self, before: Told, options: &VerifyOptions) -> Judged {
        let name = self.name;
        let sealed_by = self.verdict.sealed_by;
        let report = report(
            self.verdict,
            self.findings,
            self.notes,
            options.strict,
            &options.allowed,
        );
        let own = report.findings();
        let sound = weight(own).max(before.weight) < BROKEN;
        let (findings, before) = if sound {
            let tell = |found: &Finding| {
                let line = found
                    .line
                    .map_or_else(String::new, |line| format!(":{line}"));
                let message = format!(
                    "in the predecessor '{name}', {}{line}: {}",
                    found.file, found.message
                );
                finding(found.code, message)
            };
            (own.iter().map(tell).collect(), before)
        } else {
            let findings = match own.len() + before.findings.len() {
                1 => "1 finding".to_owned(),
                count => format!("{count} findings"),
            };
            let message = format!(
                "the predecessor '{name}' does not verify ({findings}): verify it by itself to see more"
            );
            (vec![finding(Code::E302, message)], Told::default())
        };
        Judged {
            events: report.event_count(),
            notes: report.notes().to_vec(),
            name,
            sound,
            findings,
            before,
            sealed_by,
            closed: self.closed,
        }
    }
}

/// A vault of the chain that was judged.
struct Judged {
    name: String,
    /// Whether it and all before it verify.
    sound: bool,
    /// What is to be said of it in the vault after it: that it does not verify, or its warnings, which
    /// whoever trusts the vault after it must know.
    findings: Vec<Finding>,
    notes: Vec<String>,
    /// What is to be said of the vaults before it.
    before: Told,
    events: u64,
    sealed_by: Option<EventId>,
    closed: Closed,
}

impl Judged {
    /// What is to be said of it, the one `at` this place among those judged, where a vault says of it
    /// what `said` has.
    fn against(&self, at: usize, said: &Predecessor) -> Told {
        let mut findings = self.findings.clone();
        if !self.sound {
            return Told::of(findings);
        }
        let (name, count) = (&self.name, self.events);
        let seal = said
            .seal_event_id
            .map_or_else(String::new, |id| id.to_string());
        if self.sealed_by != said.seal_event_id {
            let message = format!("the predecessor '{name}' is not closed by {seal}");
            findings.push(finding(Code::E302, message));
        }
        findings.extend(said.check(&self.closed));
        let mut notes = vec![format!(
            "the predecessor '{name}' verifies: {count} events, closed by {seal}"
        )];
        let told = self.notes.iter();
        notes.extend(told.map(|note| format!("in the predecessor '{name}': {note}")));
        Told {
            weight: weight(&findings).max(self.before.weight),
            findings,
            notes,
            of: Some(at),
        }
    }
}

/// The vaults in `folder`, or directly below it, by the id of the last event of each that is no redaction.
fn closed_vaults(folder: &Path) -> Result<HashMap<EventId, Vec<Vault>>, VaultError> {
    let entries = fs::read_dir(folder).context("read", folder)?.take(SEARCHED);
    let mut places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // The order of a directory is no order; of several with one last event, the order of their names
    // is always the same.
    places.sort_unstable();
    let last_event = |place: PathBuf| {
        let vault = Vault::open(&place).ok()?;
        let log = vault.snapshot().ok()?;
        // Redactions may follow the event that closes a vault.
        let lines = log.bytes().rsplit(|byte| *byte == b'\n');
        let events = lines.filter(|line| !line.is_empty()).map(scan_line);
        let is_redaction =
            |line: &Line<'_>| line.text(Field::Type).as_deref() == Some(REDACTION_TYPE);
        let mut events = events.skip_while(|line| line.as_ref().is_ok_and(is_redaction));
        let last = events.next()?.ok()?;
        Some((last.text(Field::EventId)?.parse().ok()?, vault))
    };
    let places = std::iter::once(folder.to_owned()).chain(places);
    let mut found: HashMap<EventId, Vec<Vault>> = HashMap::new();
    for (id, vault) in places.filter_map(last_event) {
        let copies = found.entry(id).or_default();
        // A link to it has its resolved path.
        if copies.iter().all(|copy| copy.path() != vault.path()) {
            copies.push(vault);
        }
    }
    Ok(found)
}
