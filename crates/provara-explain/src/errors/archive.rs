//! Why a backup or a restoration is refused, in words.

use provara_vault::ArchiveError;

use provara_report::Diagnostic;
use provara_report::shell;

use crate::causes::only_stray_fix;

/// How many findings are shown.
const SHOWN: usize = 5;

/// Adds what was found in the vault.
pub(super) fn with_details(failure: Diagnostic, error: &ArchiveError) -> Diagnostic {
    match error {
        ArchiveError::Unverified { report } | ArchiveError::Invalid { report } => report
            .findings()
            .iter()
            .take(SHOWN)
            .fold(failure, |failure, finding| {
                failure.detail(finding.to_string())
            }),
        _ => failure,
    }
}

/// What the user can do.
pub(super) fn fix(error: &ArchiveError, vault: &str) -> String {
    match error {
        ArchiveError::Extension { .. } => "Name it so, for example backup.tar.gz.".to_owned(),
        ArchiveError::KeysInside { file } => format!(
            "Move the keyfile out and renew the seal: mv {vault}/{file} ELSEWHERE && provara manifest \
             {vault}; or take it along with --with-private-keys."
        ),
        ArchiveError::Unverified { report } => only_stray_fix(report, vault).unwrap_or_else(|| {
            format!("Run 'provara repair {vault} --dry-run': it says whether an interruption explains this.")
        }),
        ArchiveError::Unreadable { path, .. } => format!(
            "Check the file: ls -l {0}; read are tar archives, compressed with gzip or Zstandard or not, and zip archives.",
            shell(path)
        ),
        ArchiveError::Method { .. } => {
            "Unpack it with the program that packed it, and pack it again with deflate, as zip -r does; \
             entries are read that are stored or deflated."
                .to_owned()
        }
        ArchiveError::Unsure { .. } => {
            "Check the disk (the system's log says more), then make it once more elsewhere."
                .to_owned()
        }
        ArchiveError::TooLarge { .. } => {
            "If the archive is yours and that large, say so to 'provara restore': --max-size BYTES.".to_owned()
        }
        ArchiveError::Damaged { .. }
        | ArchiveError::Entry { .. }
        | ArchiveError::NoVault
        | ArchiveError::Contradiction { .. }
        | ArchiveError::Invalid { .. } => {
            "Use another backup: one that 'provara backup' wrote and nobody changed.".to_owned()
        }
    }
}
