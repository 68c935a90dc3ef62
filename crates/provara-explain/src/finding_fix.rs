//! What an owner can do who has looked, or whoever has a crash to put right, where that is one command.

use std::path::Path;

use provara_core::finding::{Code, Finding, Report};
use provara_core::layout;

use crate::causes::{interruption_fix, stray_fix};
use crate::errors::{accept_fix, head_fix, seal_fix};

/// What helps against a finding of `report`, if that is one command; `vault` is as it was named.
#[must_use]
pub fn finding_fix(finding: &Finding, report: &Report, vault: &Path) -> Option<String> {
    let vault = provara_report::shell(vault);
    match finding.code {
        Code::W010 | Code::W011 => Some(accept_fix(finding.code, &vault)),
        Code::E017 | Code::E018 | Code::E019 | Code::E020 | Code::E207 => {
            Some(head_fix(finding.code, &vault))
        }
        Code::E014 | Code::E015 => Some(seal_fix(finding.code, &vault, log_verifies(report))),
        _ => stray_fix(finding, &vault).or_else(|| interruption_fix(finding, report, &vault)),
    }
}

/// Whether the log has no fault but a torn end, which every writer moves away, or keys that `keys.json`
/// lacks and signed events may bring.
fn log_verifies(report: &Report) -> bool {
    let findings = || report.findings().iter();
    let open = findings().find(|it| it.code == Code::W006);
    let open = open.and_then(|it| it.line);
    let keys_differ = findings().any(|it| it.code == Code::E302 && it.file == layout::KEYS);
    let is_fault = |it: &Finding| match it.code {
        Code::E104 if it.line == open => false,
        Code::E204 => !keys_differ,
        code => !code.is_warning(),
    };
    !findings().any(|it| it.line.is_some() && is_fault(it))
}
