//! `provara verify`: what is proven, what is not, and where.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use provara_core::finding::{Code, Finding, Report, Severity};
use provara_explain::{accept_fix, seal_fix, vault_failure};
use provara_report::{Class, Diagnostic, FIX_LABEL};
use provara_vault::{VerifyOptions, layout};
use serde::Serialize;

use crate::args::{JsonArg, VaultArg};
use crate::exit_code::exit_code;
use crate::terminal::{self, ERROR, GOOD, HINT, STRONG, WARNING};
use crate::text::counted;
use crate::vault;

/// Verify a vault: every id, signature and chain, and the seal
///
/// Needs no key, no network, no plugin and no Python, and writes nothing into the vault. Reports every
/// finding, in the order of the log. What verified before on this machine is recorded in the user's
/// cache directory: its bytes are hashed again, its signatures are not checked again. How far the vault
/// had come is remembered in the user's state directory, and an earlier state in its place is a warning
/// (PROVARA_W010). Exit codes: 0 valid, 1 invalid, 3 could not check.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara verify my-vault
  provara verify my-vault --strict
  provara verify my-vault --follow-predecessors ../archive
  provara verify my-vault --json | jq '.findings[] | {code, line}'")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Count warnings as errors
    #[arg(long)]
    strict: bool,

    /// Verify the vaults that this one continues, too: look for them in this folder
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    follow_predecessors: Option<PathBuf>,

    /// Check every signature, whatever verified before, and record nothing
    #[arg(long)]
    no_cache: bool,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, Diagnostic> {
    let path = &args.vault.vault;
    if let Some(folder) = args.follow_predecessors.as_deref()
        && !folder.is_dir()
    {
        return Err(Diagnostic::new(
            Class::Usage,
            format!(
                "'{}' is no directory to look for predecessors in.",
                folder.display()
            ),
        )
        .fix("Name the folder that holds the vaults which this one continues."));
    }
    let bar = progress_bar();
    let told = bar.clone();
    let vault = vault::open(path)?.with_progress(Arc::new(move |done, total| {
        if total >= LARGE {
            told.set_length(total);
            told.set_position(done);
        }
        ControlFlow::Continue(())
    }));
    let options = VerifyOptions {
        strict: args.strict,
        no_cache: args.no_cache,
        predecessors: args.follow_predecessors.clone(),
        ..VerifyOptions::default()
    };
    let report = vault.verify(&options);
    bar.finish_and_clear();
    let report = report.map_err(|error| vault_failure(error, path))?;
    if args.json.json {
        terminal::result_json(&Shown::of(&report, path))?;
    } else {
        terminal::result(&text(&report, path, args.strict))?;
    }
    Ok(if report.is_valid() {
        ExitCode::SUCCESS
    } else {
        exit_code(Class::Evidence)
    })
}

/// A report for programs, with what an owner can do where there is one command.
#[derive(Serialize)]
struct Shown<'r> {
    valid: bool,
    event_count: u64,
    findings: Vec<ShownFinding<'r>>,
    notes: &'r [String],
}

#[derive(Serialize)]
struct ShownFinding<'r> {
    #[serde(flatten)]
    finding: &'r Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl<'r> Shown<'r> {
    fn of(report: &'r Report, vault: &Path) -> Self {
        let findings = report.findings().iter().map(|finding| ShownFinding {
            finding,
            fix: fix(finding, report, vault),
        });
        Self {
            valid: report.is_valid(),
            event_count: report.event_count(),
            findings: findings.collect(),
            notes: report.notes(),
        }
    }
}

/// What an owner can do who has looked, where that is one command.
fn fix(finding: &Finding, report: &Report, vault: &Path) -> Option<String> {
    let vault = provara_report::shell(vault);
    match finding.code {
        Code::W010 | Code::W011 => Some(accept_fix(finding.code, &vault)),
        Code::E014 | Code::E015 => Some(seal_fix(finding.code, &vault, log_verifies(report))),
        _ => None,
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

/// The least log that is worth a progress bar, in bytes.
const LARGE: u64 = 32 << 20;

/// A bar on stderr; on what is no terminal it draws nothing.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The report for people: every finding, the notes, and last, where a terminal shows it, the
/// verdict.
fn text(report: &Report, vault: &Path, strict: bool) -> String {
    let mut text = String::new();
    for finding in report.findings() {
        write_finding(&mut text, finding);
        if let Some(fix) = fix(finding, report, vault) {
            let _ = writeln!(
                text,
                "  {HINT}{FIX_LABEL}{HINT:#} {}",
                terminal::clean(&fix)
            );
        }
        text.push('\n');
    }
    if !report.notes().is_empty() {
        let _ = writeln!(text, "{STRONG}Notes:{STRONG:#}");
        for note in report.notes() {
            let _ = writeln!(text, "  - {}", terminal::clean(note));
        }
        text.push('\n');
    }
    // By the codes: a strict report counts each warning as an error, and its severity says so.
    let all = report.findings().len() as u64;
    let warnings = report.findings().iter().filter(|f| f.code.is_warning());
    let warnings = warnings.count() as u64;
    let counted_as = match (strict, warnings) {
        (false, _) | (_, 0) => "",
        (true, 1) => " counted as an error (--strict)",
        (true, _) => " counted as errors (--strict)",
    };
    let (style, verdict) = match (report.is_valid(), warnings) {
        (true, 0) => (GOOD, "VALID"),
        (true, _) => (WARNING, "VALID, WITH WARNINGS"),
        (false, _) => (ERROR, "INVALID"),
    };
    let _ = writeln!(
        text,
        "{style}{verdict}{style:#}  {}: {}, {}, {}{counted_as}",
        terminal::clean(&vault.to_string_lossy()),
        counted(report.event_count(), "event"),
        counted(all - warnings, "error"),
        counted(warnings, "warning"),
    );
    text
}

fn write_finding(text: &mut String, finding: &Finding) {
    let style = match finding.severity {
        Severity::Error => ERROR,
        Severity::Warning => WARNING,
    };
    let place = match finding.line {
        Some(line) => format!("{}:{line}", finding.file),
        None => finding.file.clone(),
    };
    let _ = writeln!(
        text,
        "{style}{}{style:#} {}  {}",
        finding.code,
        finding.name,
        terminal::clean(&place)
    );
    let _ = writeln!(text, "  {}", terminal::clean(&finding.message));
    let offset = finding.offset.map(|offset| offset.to_string());
    let facts = [
        ("event", &finding.event_id),
        ("actor", &finding.actor),
        ("byte", &offset),
        ("expected", &finding.expected),
        ("found", &finding.found),
    ];
    for (label, fact) in facts {
        if let Some(fact) = fact {
            let _ = writeln!(text, "  {label:8}  {}", terminal::clean(fact));
        }
    }
}
