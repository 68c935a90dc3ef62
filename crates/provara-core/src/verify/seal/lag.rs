//! Which files of a marked vault may be those of an earlier state, as an interrupted writer or an older tool
//! leaves them, and which may not (spec/VAULT_FORMAT, section 5).

use std::collections::HashSet;

use super::naming::Naming;
use super::sealed::SealedFiles;
use super::{KeysOf, SealCase, SealStanding};
use crate::finding::{Code, Finding, Severity};
use crate::history::KEYS_WRITTEN_DIFFERENTLY;
use crate::id::Digest;
use crate::layout::{KEYS, LOG, MANIFEST, MANIFEST_SIG, MERKLE_ROOT, checkpoint_events};
use crate::manifest::{ListedFile, Manifest, RootSignature, SealForm};
use crate::mark::SealName;
use crate::scan::scan_line;
use crate::verify::files::{
    DiskEntry, check_manifest_against_disk, check_root_file, read_root_file,
};

/// The files of a marked vault beside its log, held against its seal.
pub(super) struct Lag<'a, 'c> {
    pub(super) case: &'a SealCase<'c>,
    pub(super) sealed: &'a SealedFiles,
    pub(super) manifest: Option<&'a Manifest>,
    pub(super) signature: Option<&'a RootSignature>,
    pub(super) standing: &'a SealStanding,
}

impl Lag<'_, '_> {
    /// Gives what is to be said of a lag where no writer goes on from the vault.
    pub(super) fn check(&self, naming: &Naming<'_>, findings: &mut Vec<Finding>) -> Option<String> {
        let vouched = matches!(
            self.standing,
            SealStanding::Current | SealStanding::Continued { .. }
        );
        let mut lagging: Vec<String> = Vec::new();
        self.check_keys(vouched, &mut lagging, findings);
        let manifest = self.manifest?;
        if !vouched {
            check_manifest_against_disk(manifest, self.case.disk, self.case.about_log(), findings);
            check_root_file(self.case.seal.merkle_root, manifest.merkle_root(), findings);
            return None;
        }
        self.check_form(manifest, &mut lagging, findings);
        self.check_listed(manifest, &mut lagging, findings);
        self.check_root(manifest, naming, &mut lagging, findings);
        lagging.sort_unstable();
        lagging.dedup();
        if lagging.is_empty() && *self.standing == SealStanding::Current {
            return None;
        }
        let unrenewed = self.words(&lagging, false);
        let message = match self.is_refused(findings) {
            true => unrenewed.clone(),
            false => self.words(&lagging, true),
        };
        findings.push(Finding::new(Code::W001, MANIFEST_SIG, message));
        Some(unrenewed)
    }

    /// Whether the last line is cut off, as an interrupted writer leaves it: no event yet, and no fault.
    fn is_torn(&self) -> bool {
        let log = self.case.log;
        let start = memchr::memrchr(b'\n', log).map_or(0, |end| end + 1);
        start < log.len() && scan_line(&log[start..]).is_err()
    }

    /// Whether the log, the seal or the files that were held against it have a fault. Not every one of them
    /// stops a writer; but what is promised must hold.
    fn is_refused(&self, findings: &[Finding]) -> bool {
        let is_fault = |finding: &&Finding| finding.severity == Severity::Error;
        let torn = self.is_torn().then_some(self.case.events);
        let of_log = self.case.verdict.iter().flat_map(|log| &log.findings);
        let mut faults = of_log.filter(is_fault);
        faults.any(|it| it.line.is_none() || it.line != torn)
            || findings.iter().any(|it| is_fault(&it))
    }

    /// What lags, in words; whether the next writer puts it right, where that is so.
    fn words(&self, lagging: &[String], is_renewed: bool) -> String {
        let files = lagging.join(", ");
        let SealStanding::Continued { events, .. } = *self.standing else {
            let renewed = match is_renewed {
                true => ", which the next writer renews",
                false => "",
            };
            return format!(
                "the seal is of the vault as it is, and files of another state stand beside it{renewed}: \
                 {files}"
            );
        };
        let is_torn = self.is_torn();
        let covered = match events {
            1 => "the seal covers the first event".to_owned(),
            _ => format!("the seal covers the first {events} events"),
        };
        let beyond = (self.case.events - events).saturating_sub(u64::from(is_torn));
        let more = match (beyond, is_renewed) {
            (0, _) => "; no whole event follows".to_owned(),
            (1, true) => {
                "; 1 more follows, which verifies and which the next writer seals".to_owned()
            }
            (1, false) => "; 1 more follows, which no seal covers".to_owned(),
            (more, true) => {
                format!("; {more} more follow, which verify and which the next writer seals")
            }
            (more, false) => format!("; {more} more follow, which no seal covers"),
        };
        let torn = match (is_torn, is_renewed) {
            (false, _) => "",
            (true, true) => "; the last line is torn, and the next writer moves it out of the log",
            (true, false) => "; the last line is torn",
        };
        let also = match lagging {
            [] => String::new(),
            _ => format!(" (files of another state: {files})"),
        };
        format!("{covered}{more}{torn}{also}")
    }

    /// `keys.json` against what signed events say.
    fn check_keys(&self, vouched: bool, lagging: &mut Vec<String>, findings: &mut Vec<Finding>) {
        let Some(DiskEntry::File { sha256, .. }) = self.case.disk.get(KEYS) else {
            // Its absence has a finding of its own.
            return;
        };
        let digests: Vec<_> = self.sealed.keys_digests().collect();
        match digests.iter().rposition(|digest| digest == sha256) {
            Some(at) if at + 1 == digests.len() => {}
            Some(_) if vouched => lagging.push(KEYS.to_owned()),
            Some(_) => {
                let message = match self.difference() {
                    Some(Some(how)) => {
                        format!("it is as it was before the log's latest key events: {how}")
                    }
                    _ => "it is as it was before the log's latest key events".to_owned(),
                };
                findings.push(Finding::new(Code::E302, KEYS, message));
            }
            None => {
                let last = digests.last().copied().unwrap_or(Digest::of(b""));
                let of_bytes =
                    |message: &str| Finding::new(Code::E302, KEYS, message).compare(last, sha256);
                findings.push(match self.difference() {
                    Some(Some(how)) => Finding::new(Code::E302, KEYS, how),
                    Some(None) => of_bytes(KEYS_WRITTEN_DIFFERENTLY),
                    None => of_bytes("it is not what the signed events of the log say of the keys"),
                });
            }
        }
    }

    /// How `keys.json`, if it could be read, differs from what signed events say, if it does.
    fn difference(&self) -> Option<Option<String>> {
        let KeysOf::History(history) = self.case.keys else {
            return None;
        };
        Some(history.difference(self.case.listed?, self.case.events))
    }

    /// What neither the root nor its signature covers: the form of `manifest.sig`, and the time in
    /// `manifest.json`, which a writer makes the seal's.
    fn check_form(
        &self,
        manifest: &Manifest,
        lagging: &mut Vec<String>,
        findings: &mut Vec<Finding>,
    ) {
        let (Some(signature), Some(text)) = (self.signature, self.case.seal.signature) else {
            return;
        };
        let form = signature.form(text);
        if form.is_none() {
            let message = "it is not in the form in which a seal is written";
            findings.push(Finding::new(Code::E104, MANIFEST_SIG, message));
        }
        if form == Some(SealForm::Canonical)
            && *self.standing == SealStanding::Current
            && manifest.merkle_root() == signature.merkle_root
            && manifest.created_at_utc != signature.signed_at_utc
        {
            // The older tool's `manifest` lists the same files anew, and leaves the signature.
            if manifest.created_at_utc.ends_with("+00:00") {
                return lagging.push(MANIFEST.to_owned());
            }
            let message = "'created_at_utc' is not the time of the seal";
            let finding = Finding::new(Code::E012, MANIFEST, message);
            findings.push(finding.compare(&signature.signed_at_utc, &manifest.created_at_utc));
        }
    }

    /// The entries of the manifest that are not those of the disk: of the log, of `keys.json` and of
    /// checkpoints they may be of an earlier state; and checkpoints may not be listed yet.
    fn check_listed(
        &self,
        manifest: &Manifest,
        lagging: &mut Vec<String>,
        findings: &mut Vec<Finding>,
    ) {
        let mut found = Vec::new();
        check_manifest_against_disk(manifest, self.case.disk, self.case.about_log(), &mut found);
        let listed: HashSet<&str> = manifest.files.iter().map(|it| it.path.as_str()).collect();
        for finding in found {
            let path = finding.file.as_str();
            let of_earlier = || {
                let mut entries = manifest.files.iter();
                entries
                    .find(|entry| entry.path == path)
                    .is_some_and(|entry| self.was_so(entry))
            };
            let stands = matches!(self.case.disk.get(path), Some(DiskEntry::File { .. }));
            if checkpoint_events(path).is_some() && stands && !listed.contains(path) {
                lagging.push(format!("{path} (not listed yet)"));
            } else if matches!(finding.code, Code::E011 | Code::E012) && of_earlier() {
                lagging.push(MANIFEST.to_owned());
            } else {
                findings.push(finding);
            }
        }
    }

    /// Whether an entry is of an earlier state of the log or of `keys.json`.
    fn was_so(&self, entry: &ListedFile) -> bool {
        let Ok(digest) = entry.sha256.parse::<Digest>() else {
            return false;
        };
        match entry.path.as_str() {
            LOG => usize::try_from(entry.size)
                .ok()
                .and_then(|end| self.case.log.get(..end))
                .is_some_and(|prefix| prefix.ends_with(b"\n") && Digest::of(prefix) == digest),
            KEYS => self.sealed.keys_digests().any(|known| known == digest),
            _ => false,
        }
    }

    /// `merkle_root.txt`: the root of the manifest, or of a seal that there was.
    fn check_root(
        &self,
        manifest: &Manifest,
        naming: &Naming<'_>,
        lagging: &mut Vec<String>,
        findings: &mut Vec<Finding>,
    ) {
        let root = manifest.merkle_root();
        let sealed = self.signature.map(|signature| signature.merkle_root);
        let stated = match read_root_file(self.case.seal.merkle_root) {
            Ok(stated) => stated,
            Err(finding) => return findings.push(*finding),
        };
        if stated == root {
            if Some(root) != sealed {
                lagging.push(MANIFEST.to_owned());
            }
            return;
        }
        let log = self.case.log;
        // The line that first names it follows what it covered, as a rule directly.
        let before = naming.first_naming(SealName::of(stated)).map(|end| {
            let covered = memchr::memrchr(b'\n', &log[..end - 1]).map_or(0, |end| end + 1);
            let events = memchr::memchr_iter(b'\n', &log[..covered]).count() as u64;
            (events, covered)
        });
        let covered = |(events, end): (u64, usize)| {
            let digest = Digest::of(&log[..end]);
            self.sealed.is_root(stated, events, digest, end as u64)
        };
        let was_root = Some(stated) == sealed
            || covered((self.case.events, log.len()))
            || before.is_some_and(covered)
            || self
                .sealed
                .find(stated, log, (0, 0), self.case.threads)
                .is_some();
        if was_root {
            lagging.push(MERKLE_ROOT.to_owned());
        } else {
            check_root_file(self.case.seal.merkle_root, root, findings);
        }
    }
}
