//! Verification of a whole vault: every rule of the format, every finding, nothing written.

mod account;
pub(crate) mod alone;
mod log_check;
mod subject;

use std::ops::{ControlFlow, Deref};

use provara_core::beliefs::LogReducer;
use provara_core::finding::{Code, Report};
use provara_core::overview::{Overview, Part};
use provara_core::parallel::{available_threads, in_order};
use provara_core::verify::report;

use crate::anchors::SeenAnchor;
use crate::derive::SourceLog;
use crate::error::VaultError;
use crate::log_snapshot::{LogSnapshot, lines_of};
use crate::predecessor::follow;
use crate::replay_record::ReplayRecords;
use crate::replay_start::ReplayStart;
use crate::vault::Vault;

pub use account::{Account, HeadAccount, KeyAccount, SealAccount};
pub use alone::VerifyOptions;
pub use subject::{EventPlace, Subject};

impl Vault {
    /// Verifies everything: each event, the chains, the keys over time, the files and the seal. A
    /// report that finds faults is a result, not an error. Writers may be at work meanwhile; what
    /// is verified is one consistent state. Nothing in the vault is written.
    ///
    /// # Errors
    /// [`VaultError::Io`] where something could not be read, [`VaultError::Locked`] where writers
    /// left no moment at which the vault stood still, [`VaultError::Cancelled`]: the vault could then
    /// not be checked, or was not.
    pub fn verify(&self, options: &VerifyOptions) -> Result<Report, VaultError> {
        self.examine(options).map(|examination| examination.report)
    }

    /// As [`Vault::verify`], and keeps the log that was verified, so that what is derived comes from
    /// the same bytes.
    ///
    /// # Errors
    /// As [`Vault::verify`].
    pub fn examine(&self, options: &VerifyOptions) -> Result<Examination, VaultError> {
        let mut alone = self.examine_alone(options)?;
        alone.remember(self);
        alone.notes.extend(alone.unasked.take());
        if let Some(predecessor) = alone.predecessor.take() {
            let (findings, notes) = follow(self, predecessor, options)?;
            alone.findings.extend(findings);
            alone.notes.extend(notes);
        }
        Ok(Examination {
            report: report(
                alone.verdict,
                alone.findings,
                alone.notes,
                options.strict,
                &options.allowed,
            ),
            subject: alone.subject,
            anchors: alone.anchors,
            account: alone.account,
            log: alone.log,
            replayed: alone.replayed,
            start: alone.start,
            records: alone.records,
            refusal: alone.refusal,
        })
    }
}

/// A verification and the log that it was of.
#[derive(Debug)]
pub struct Examination {
    report: Report,
    subject: Option<Subject>,
    anchors: Vec<SeenAnchor>,
    account: Option<Account>,
    log: Option<LogSnapshot>,
    replayed: Option<LogReducer>,
    start: Option<ReplayStart>,
    records: Option<ReplayRecords>,
    refusal: Option<VaultError>,
}

impl Examination {
    /// Why a writer goes on from no such seal, if it does not.
    pub(crate) fn take_refusal(&mut self) -> Option<VaultError> {
        self.refusal.take()
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was verified, if [`VerifyOptions::describe`] asked for it.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The anchors that the log goes on from, in the order of their names.
    #[must_use]
    pub fn anchors(&self) -> &[SeenAnchor] {
        &self.anchors
    }

    /// What there is to tell of it, if [`VerifyOptions::describe`] asked for it.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// What the log looks like from afar, sound or not: its lines are read once more, and nothing is verified again.
    ///
    /// Asks no [`Examination::check_unchanged`].
    #[must_use]
    pub fn overview(&self) -> Overview {
        let mut overview = Overview::default();
        let Some(log) = &self.log else {
            return overview;
        };
        let read = |range, _| Part::from_lines(lines_of(range));
        let _ = in_order(log.bytes(), available_threads(), read, |part| {
            overview.append(part);
            ControlFlow::Continue(())
        });
        overview
    }

    /// Refuses a log that another program changed since it was verified: to be asked after the last look at it.
    ///
    /// # Errors
    /// [`VaultError::LogChanged`], or [`VaultError::Io`].
    pub fn check_unchanged(&self) -> Result<(), VaultError> {
        self.log
            .as_ref()
            .map_or(Ok(()), LogSnapshot::check_unchanged)
    }

    /// The line of the log in which byte `offset` lies, without its LF, and where it begins; an offset at a line end is
    /// that of the line before.
    #[must_use]
    pub fn line_at(&self, offset: u64) -> Option<(u64, &[u8])> {
        let bytes = self.log.as_ref()?.bytes();
        let at = usize::try_from(offset)
            .ok()
            .filter(|at| *at < bytes.len())?;
        let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1);
        let length =
            memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len() - start, |end| at + end - start);
        Some((start as u64, &bytes[start..start + length]))
    }

    /// The log, if the vault is valid.
    ///
    /// # Errors
    /// The report of a vault that is not.
    pub fn verified(self) -> Result<VerifiedLog, Report> {
        match self.log {
            Some(log) if self.report.is_valid() => {
                let reduced = self.replayed.map(ReplayStart::Reduced);
                let start = reduced.or(self.start);
                let mut findings = self.report.findings().iter();
                let settled = !findings.any(|it| matches!(it.code, Code::W010 | Code::W011));
                let log = SourceLog::verified(log, start, self.records, settled);
                Ok(VerifiedLog(log))
            }
            _ => Err(self.report),
        }
    }
}

/// The log of a vault that verifies, as it was when it did. Only a verification makes one.
#[derive(Debug)]
pub struct VerifiedLog(SourceLog);

impl VerifiedLog {
    /// The same log among those that need not have verified: for a program that also goes without.
    #[must_use]
    pub fn into_source(self) -> SourceLog {
        self.0
    }
}

impl AsRef<[u8]> for VerifiedLog {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Deref for VerifiedLog {
    type Target = SourceLog;

    fn deref(&self) -> &SourceLog {
        &self.0
    }
}
