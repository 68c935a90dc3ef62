//! The page about a verification, from what the vault's libraries tell of it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use provara_core::finding::{Code, Finding, Report, Severity};
use provara_core::layout::{AnchorKind, GENESIS, LOG, MANIFEST, MANIFEST_SIG};
use provara_core::overview::{KeyMoment, Overview};
use provara_core::scan::{Field, scan_line};
use provara_core::time::Timestamp;
use provara_core::verify::seal::SealStanding as Standing;
use provara_pages::verification::{
    Anchor, Counted, Counts, Excerpt, Group, Head, Identity, Key, Keys, Lane, Mark, MarkKind,
    Named, Seal, SealStanding, Shown, Timeline, Verdict, Verification, grouped, moment,
};
use provara_report::{quote, shell};
use provara_vault::{
    Account, EventPlace, Examination, KeyAccount, SeenAnchor, Subject, VaultError, VerifyOptions,
};

use crate::causes::{causes, parents};
use crate::finding_fix::finding_fix;

/// How many findings of one rule are shown.
const SHOWN: usize = 5;

/// How many findings are looked at for their place in the picture.
const MARKED: usize = 500;

/// How many keys, types and tree heads are shown.
const KEYS: usize = 50;
const TYPES: usize = 40;
const HEADS: usize = 50;
const ANCHORS: usize = 50;

/// How many characters of a text of the vault are shown where the page has a list of them.
const TEXT: usize = 300;

/// And of a whole sentence.
const SENTENCE: usize = 1_500;

/// The page about `examination`, which came of `options` and was asked to describe what it verified; `vault` is as it was
/// named. The lines of the log are read once more, and nothing is verified again.
///
/// # Errors
/// [`VaultError::LogChanged`] where another program changed the log since, or [`VaultError::Io`].
///
/// # Panics
/// If the examination was not asked to [describe](VerifyOptions::describe) what it verified.
pub fn verification_page(
    examination: &Examination,
    options: &VerifyOptions,
    vault: &Path,
    version: &str,
    written_at: Timestamp,
) -> Result<String, VaultError> {
    let (Some(subject), Some(account)) = (examination.subject(), examination.account()) else {
        panic!("a page is made of a verification that was asked to describe what it verified");
    };
    let overview = examination.overview();
    let report = examination.report();
    let weights = Weights::of(report, options);
    let name = name_of(vault);
    let html = Verification {
        version: version.to_owned(),
        written_at: written_at.to_string(),
        verdict: weights.verdict,
        errors: weights.errors,
        warnings: weights.warnings,
        allowed: weights.allowed,
        strict: options.strict,
        identity: identity(subject, account, options, report),
        counts: counts(subject, account, &overview),
        digests: digests(subject, account),
        seal: seal(account),
        keys: keys(account, &overview),
        timeline: timeline(examination, account, &overview),
        types: types(&overview),
        heads: heads(account),
        anchors: anchors(examination.anchors()),
        findings: groups(examination, vault),
        notes: report.notes().iter().map(|note| sentence(note)).collect(),
        commands: commands(options, &name, vault, subject, account),
        vault: name,
    }
    .to_html();
    // After the last look at the log.
    examination.check_unchanged()?;
    Ok(html)
}

/// The latest anchors, those of whom the reader named first.
fn anchors(seen: &[SeenAnchor]) -> Vec<Anchor> {
    let mut rows = Vec::new();
    for anchor in seen {
        let events = anchor.events;
        let by_named = anchor.seen.iter().map(|seen| Anchor {
            when: seen.at_utc.to_string(),
            who: short(&seen.by),
            events,
            holds: true,
            verdict: match anchor.kind {
                AnchorKind::TimeStamp => "a time-stamp of an authority that was named",
                AnchorKind::Head => "cosigned by a witness that was named",
                AnchorKind::Event => "in an event of a vault whose key was named",
            }
            .to_owned(),
        });
        let named = rows.len();
        rows.extend(by_named);
        if rows.len() == named {
            let at = anchor.claimed_at_utc.map(|at| at.to_string());
            rows.push(Anchor {
                when: at.unwrap_or_default(),
                who: short(&anchor.claimed_by.join(", ")),
                events,
                holds: false,
                verdict: "as it says: none of those who made it was named".to_owned(),
            });
        }
    }
    rows.sort_by_key(|row| (!row.holds, std::cmp::Reverse(row.events)));
    rows.truncate(ANCHORS);
    rows
}

/// What the findings weigh together.
struct Weights {
    verdict: Verdict,
    errors: u64,
    warnings: u64,
    allowed: u64,
}

impl Weights {
    fn of(report: &Report, options: &VerifyOptions) -> Self {
        let count = |is_it: &dyn Fn(&Finding) -> bool| {
            let findings = report.findings().iter();
            findings.filter(|it| is_it(it)).count() as u64
        };
        let allowed = |it: &Finding| it.code.is_warning() && options.allowed.contains(&it.code);
        let (errors, allowed) = (count(&|it| it.severity == Severity::Error), count(&allowed));
        let warnings = report.findings().len() as u64 - errors - allowed;
        Self {
            verdict: match (report.is_valid(), warnings) {
                (false, _) => Verdict::Invalid,
                (true, 0) => Verdict::Valid,
                (true, _) => Verdict::Warned,
            },
            errors,
            warnings,
            allowed,
        }
    }
}

/// The last part of the vault's path.
fn name_of(vault: &Path) -> String {
    let whole = || vault.canonicalize().ok();
    let name = vault.file_name().map(ToOwned::to_owned);
    let name = name.or_else(|| whole()?.file_name().map(ToOwned::to_owned));
    let name = name.unwrap_or_else(|| vault.as_os_str().to_owned());
    name.to_string_lossy().into_owned()
}

/// A text of the vault, cut where it is long.
fn short(text: &str) -> String {
    provara_report::text::shorten(text, TEXT).into_owned()
}

/// A sentence about the vault, which may hold texts of it.
fn sentence(text: &str) -> String {
    provara_report::text::shorten(text, SENTENCE).into_owned()
}

fn identity(
    subject: &Subject,
    account: &Account,
    options: &VerifyOptions,
    report: &Report,
) -> Identity {
    let place = |event: &EventPlace| {
        let time = event.timestamp_utc.as_deref();
        (event.event_id.to_string(), time.map(short))
    };
    let found = |code: Code| report.findings().iter().any(|it| it.code == code);
    Identity {
        uid: subject.vault_uid.as_deref().map(short),
        root_key: subject.root_key_id.as_deref().map(short),
        root_key_was_named: !options.held.root_keys.is_empty() && !found(Code::E207),
        first_event: subject.first_event.as_ref().map(place),
        last_event: subject.last_event.as_ref().map(place),
        closed_by: account.closed_by.map(|id| id.to_string()),
        predecessor: account.continues.then(|| !found(Code::W008)),
    }
}

fn counts(subject: &Subject, account: &Account, overview: &Overview) -> Counts {
    Counts {
        events: subject.event_count,
        lines: subject.line_count,
        unreadable: overview.unreadable(),
        bytes: subject.log_bytes,
        signatures: subject.counts.signatures_verified,
        actors: subject.counts.actors,
        gaps: account.gaps.len() as u64,
        redacted: subject.counts.redacted_payloads,
        unbound: subject.counts.unbound_redactions,
        from_cache: account.from_cache,
    }
}

/// What tells this state of the vault from every other.
fn digests(subject: &Subject, account: &Account) -> Vec<Named> {
    let named =
        |name, of: String, value: Option<String>| value.map(|value| Named { name, of, value });
    let text = |digest: Option<provara_core::id::Digest>| digest.map(|it| it.to_string());
    let listed = subject.merkle_root;
    let as_it_is = (listed != Some(subject.files_merkle_root)).then_some(subject.files_merkle_root);
    let over = format!(
        "Over all {} events, as RFC 9162 has it; what a tree head signs.",
        grouped(subject.event_count)
    );
    let log = format!("SHA-256 of {LOG}, {} bytes.", grouped(subject.log_bytes));
    let named = [
        named("The log", log, Some(subject.log_sha256.to_string())),
        named(
            "Root of the event tree",
            over,
            Some(subject.tree_root.to_string()),
        ),
        named(
            "The birth of the vault",
            format!("SHA-256 of {GENESIS}."),
            text(account.genesis_sha256),
        ),
        named(
            "The list of files",
            format!("SHA-256 of {MANIFEST}."),
            text(subject.manifest_sha256),
        ),
        named(
            "The seal",
            format!("SHA-256 of {MANIFEST_SIG}."),
            text(subject.seal_sha256),
        ),
        named(
            "Root of the files",
            format!("Over the files that {MANIFEST} lists; what the seal signs."),
            text(listed),
        ),
        named(
            "Root of the files as they are",
            "It is another one than the list of files has.".to_owned(),
            text(as_it_is),
        ),
    ];
    named.into_iter().flatten().collect()
}

fn seal(account: &Account) -> Seal {
    let seal = &account.seal;
    Seal {
        standing: match seal.standing {
            Standing::Current => SealStanding::Current,
            Standing::Continued { events, .. } => SealStanding::Continued(events),
            Standing::Other => SealStanding::Other,
            Standing::Absent | Standing::Unreadable | Standing::Wrong | Standing::NotCounting => {
                SealStanding::None
            }
        },
        key: seal.key_id.map(|id| id.to_string()),
        signed_at: seal.signed_at_utc.as_deref().map(short),
    }
}

fn keys(account: &Account, overview: &Overview) -> Keys {
    let first = account.keys.iter().take(KEYS);
    Keys {
        marked: account.marked,
        unvouched: account.unvouched.map(|id| id.to_string()),
        first: first.map(|key| shown_key(key, account, overview)).collect(),
        more: account.keys.len().saturating_sub(KEYS) as u64,
    }
}

fn shown_key(key: &KeyAccount, account: &Account, overview: &Overview) -> Key {
    let moments = overview.key_events();
    let at = |line: u64| {
        let moment = moments.iter().find(|it| it.line == line);
        format!(
            "line {}{}",
            grouped(line),
            moment.map_or_else(String::new, of_moment)
        )
    };
    let came = match (key.from, key.brought_by) {
        (Some(0), _) => "Counts from the start.".to_owned(),
        (Some(line), _) => format!("Brought by {}.", at(line)),
        (None, Some(event)) => format!("Brought by event {event}."),
        (None, None) if account.marked => "Not introduced.".to_owned(),
        (None, None) => "Listed in the file of keys.".to_owned(),
    };
    let by = match (key.revoked_at, key.revoked_by) {
        (Some(line), _) => format!(" by {}", at(line)),
        (None, Some(event)) => format!(" by event {event}"),
        (None, None) => String::new(),
    };
    let until = key.trusted_until.map_or_else(String::new, |events| {
        format!(" What it signed counts up to event {}.", grouped(events))
    });
    Key {
        id: key.key_id.to_string(),
        roles: short(&key.roles.join(", ")),
        events: overview.signed_by(&key.key_id),
        came,
        standing: match key.is_revoked {
            true => format!("Revoked{by}.{until}"),
            false => "Not revoked.".to_owned(),
        },
        is_introduced: key.is_introduced,
    }
}

/// When an event about keys says that it was, and by whom.
fn of_moment(moment: &KeyMoment) -> String {
    let time = moment.time.and_then(Timestamp::from_unix_micros);
    let time = time.map_or_else(String::new, |time| {
        format!(", {}", self::moment(&time.to_string()))
    });
    format!(" (by {}{time})", short(&moment.actor))
}

fn types(overview: &Overview) -> Counted {
    let ranking = overview.types(TYPES);
    let first = ranking.first.into_iter();
    Counted {
        first: first.map(|(name, count)| (short(&name), count)).collect(),
        more: ranking.more,
        more_events: ranking.more_events,
    }
}

/// Those that contradict the vault first, and then the latest.
fn heads(account: &Account) -> Vec<Head> {
    let mut heads: Vec<_> = account.heads.iter().collect();
    heads.sort_by_key(|head| (head.holds, std::cmp::Reverse(head.size)));
    let heads = heads.into_iter().take(HEADS);
    heads
        .map(|head| Head {
            source: short(&head.source),
            origin: short(&head.origin),
            events: head.size,
            root: head.root.to_string(),
            holds: head.holds,
        })
        .collect()
}

/// The picture: the overview of the log, with marks for what speaks of keys and for what was found.
fn timeline(examination: &Examination, account: &Account, overview: &Overview) -> Timeline {
    let seen = overview.timeline();
    let mut lanes: Vec<Lane> = seen
        .lanes
        .into_iter()
        .map(|lane| Lane {
            has_gap: lane
                .actor
                .as_ref()
                .is_some_and(|it| account.gaps.contains(it)),
            actors: lane.actors,
            events: lane.extent.events,
            lines: (lane.extent.first_line, lane.extent.last_line),
            times: lane.extent.earliest.zip(lane.extent.latest),
            cells: lane.cells,
            marks: Vec::new(),
            actor: lane.actor,
        })
        .collect();
    let places: BTreeMap<String, usize> = lanes
        .iter()
        .zip(0..)
        .filter_map(|(lane, at)| Some((lane.actor.clone()?, at)))
        .collect();
    let rest = lanes.iter().position(|lane| lane.actor.is_none());
    let mut mark = |actor: &str, time: Option<i64>, kind| {
        let lane = places.get(actor).copied().or(rest);
        match (lane, time) {
            (Some(lane), Some(time)) => {
                lanes[lane].marks.push(Mark { time, kind });
                true
            }
            _ => false,
        }
    };
    for moment in overview.key_events() {
        mark(&moment.actor, moment.time, MarkKind::Key);
    }
    let findings = examination.report().findings().iter();
    let in_log = findings.filter(|it| it.file == LOG && it.line.is_some());
    let mut unmarked = 0;
    let mut marked = HashSet::new();
    for (number, finding) in in_log.enumerate() {
        let kind = match finding.severity {
            Severity::Error => MarkKind::Error,
            Severity::Warning => MarkKind::Warning,
        };
        let is_marked = |stated: (String, Option<i64>)| mark(&stated.0, stated.1, kind);
        let mut is_new = || marked.insert((finding.line, kind == MarkKind::Error));
        if number >= MARKED || (is_new() && !stated(examination, finding).is_some_and(is_marked)) {
            unmarked += 1;
        }
    }
    for lane in &mut lanes {
        lane.actor = lane.actor.as_deref().map(short);
    }
    Timeline {
        width: seen.width,
        lanes,
        without_time: seen.without_time,
        left_out: seen.left_out,
        unmarked,
    }
}

/// The actor and the time that the line of a finding states.
fn stated(examination: &Examination, finding: &Finding) -> Option<(String, Option<i64>)> {
    let (_, line) = examination.line_at(finding.offset?)?;
    let line = scan_line(line).ok()?;
    let actor = line.text(Field::Actor)?.into_owned();
    let time: Option<Timestamp> = line
        .text(Field::TimestampUtc)
        .and_then(|it| it.parse().ok());
    Some((actor, time.map(Timestamp::unix_micros)))
}

/// The findings by rule: those first that others follow from.
fn groups(examination: &Examination, vault: &Path) -> Vec<Group> {
    let report = examination.report();
    let findings = report.findings();
    let parents = parents(findings);
    let first: Vec<_> = causes(report).iter().map(|cause| cause.finding).collect();
    let is_first: HashSet<_> = first.iter().copied().collect();
    let rest = (0..findings.len()).filter(|number| !is_first.contains(number));
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for number in first.iter().copied().chain(rest) {
        let finding = &findings[number];
        let is_error = finding.severity == Severity::Error;
        let place = *places
            .entry((finding.code.as_str(), is_error))
            .or_insert_with(|| {
                groups.push(Group {
                    code: finding.code,
                    is_error,
                    first: Vec::new(),
                    more: 0,
                });
                groups.len() - 1
            });
        let group = &mut groups[place];
        if group.first.len() == SHOWN {
            group.more += 1;
            continue;
        }
        let parent = parents[number].map(|parent| &findings[parent]);
        group.first.push(Shown {
            follows: parent.map(follows),
            fix: finding_fix(finding, report, vault),
            ..shown(finding, examination)
        });
    }
    groups.sort_by_key(|group| !group.is_error);
    groups
}

fn follows(parent: &Finding) -> String {
    match parent.line {
        Some(line) => format!(
            "It follows from {} at line {} of {}.",
            parent.code,
            grouped(line),
            parent.file
        ),
        None => format!("It follows from {} of {}.", parent.code, parent.file),
    }
}

fn shown(finding: &Finding, examination: &Examination) -> Shown {
    let in_log = finding.offset.filter(|_| finding.file == LOG);
    let excerpt = in_log.and_then(|offset| {
        let (start, line) = examination.line_at(offset)?;
        let at = match usize::try_from(offset - start).ok()? {
            0 => value_at(line, finding.found.as_deref()),
            at => at,
        };
        Some(Excerpt::around(line, at))
    });
    let text = |text: &Option<String>| text.as_deref().map(short);
    Shown {
        message: sentence(&finding.message),
        file: short(&finding.file),
        line: finding.line,
        byte: finding.offset,
        event: text(&finding.event_id),
        actor: text(&finding.actor),
        expected: text(&finding.expected),
        found: text(&finding.found),
        excerpt,
        follows: None,
        fix: None,
    }
}

/// Where what was found stands in the line as a value; 0 where it does not.
fn value_at(line: &[u8], found: Option<&str>) -> usize {
    let place = found.and_then(|found| {
        let value = format!(":\"{found}\"");
        memchr::memmem::find(line, value.as_bytes())
    });
    place.map_or(0, |colon| colon + 1)
}

/// How somebody else comes to the same.
fn commands(
    options: &VerifyOptions,
    name: &str,
    vault: &Path,
    subject: &Subject,
    account: &Account,
) -> Vec<String> {
    let named = shell(Path::new(name));
    let held = &options.held;
    let mut verify = String::new();
    if let Some(folder) = &held.folder {
        verify.push_str(&format!("PROVARA_HEADS={} ", shell(folder.path())));
    }
    verify.push_str(&format!("provara verify {named} --no-cache"));
    for head in &held.heads {
        // A program may have had it from elsewhere.
        let file = Path::new(&head.source).is_file();
        let source = if file {
            quote(&head.source)
        } else {
            "FILE".to_owned()
        };
        verify.push_str(&format!(" --head {source}"));
    }
    for key in &held.root_keys {
        verify.push_str(&format!(" --root-key {key}"));
    }
    for witness in &held.witnesses {
        verify.push_str(&format!(" --witness {}", quote(&witness.to_string())));
    }
    if let Some(needed) = held.witnesses_needed {
        verify.push_str(&format!(" --witnesses {needed}"));
    }
    if !held.authorities.is_empty() {
        verify.push_str(" --tsa-cert FILE");
    }
    if let Some(folder) = &options.predecessors {
        verify.push_str(&format!(" --follow-predecessors {}", shell(folder)));
    }
    if options.strict {
        verify.push_str(" --strict");
    }
    for code in &options.allowed {
        verify.push_str(&format!(" --allow {code}"));
    }
    let mut commands = vec![verify, format!("provara verify {named} --no-cache --json")];
    if vault.is_dir() {
        let files = [
            (LOG, true),
            (GENESIS, account.genesis_sha256.is_some()),
            (MANIFEST, subject.manifest_sha256.is_some()),
            (MANIFEST_SIG, subject.seal_sha256.is_some()),
        ];
        let files = files.iter().filter(|(_, there)| *there);
        let files: Vec<_> = files.map(|(file, _)| *file).collect();
        commands.push(format!("cd {named} && sha256sum {}", files.join(" ")));
    }
    commands
}

#[cfg(test)]
mod tests;
