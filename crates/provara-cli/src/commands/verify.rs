//! `provara verify`: what is proven, what is not, and where.

mod page;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use provara_core::finding::{Code, Finding, Report, Severity};
use provara_explain::{cause_fix, causes, counted_under, finding_fix, parents, vault_failure};
use provara_report::{Class, Diagnostic, FIX_LABEL};
use provara_vault::{
    Examination, HeadFolder, Held, KeyId, SeenAnchor, Subject, VerifyOptions, read_head,
};
use serde::Serialize;

use crate::args::{JsonArg, SeenArgs, VaultArg, key_id};
use crate::exit_code::exit_code;
use crate::terminal::{self, ERROR, GOOD, HINT, STRONG, WARNING};
use crate::text::counted;
use crate::vault;

/// Verify a vault: every id, signature and chain, and the seal
///
/// Needs no key, no network, no plugin and no Python, and writes nothing into the vault. Reports what is
/// wrong, causes first; what follows from one, and more of the same kind, is counted under it (--all prints
/// every finding, in the order of the log). What verified before on this machine is recorded in the user's
/// cache directory: its bytes are hashed again, its signatures are not checked again. How far the vault
/// had come is remembered in the user's state directory, and an earlier state in its place is a warning
/// (PROVARA_W010). A vault in an archive (.tar, .tar.gz, .tar.zst, .zip) is read into memory as it is. --head and --root-key hold it to what others kept of it, --witness and --tsa-cert to whom saw it. Exit codes: 0 valid, 1 invalid, 3 could not check.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara verify my-vault
  provara verify my-vault --strict --allow W007
  provara verify my-vault --head my-vault.head --root-key bp1_0123456789abcdef
  provara verify my-vault.tar.gz --head my-vault.head
  provara verify my-vault --witness KEY --witness KEY --witnesses 1 --tsa-cert authority.pem
  provara verify my-vault --no-cache --report my-vault.html
  provara verify my-vault --follow-predecessors ../archive
  provara verify my-vault --json | jq '.findings[] | {code, line}'")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Count warnings as errors
    #[arg(long)]
    strict: bool,

    /// Do not count this warning as an error under --strict, nor as a warning (repeatable); how many were
    /// allowed is shown
    #[arg(long, value_name = "CODE", value_parser = allowed_code)]
    allow: Vec<Code>,

    /// Print every finding in the order of the log, also those that follow from another
    #[arg(long)]
    all: bool,

    /// Verify the vaults that this one continues, too: look for them in this folder
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    follow_predecessors: Option<PathBuf>,

    /// Hold the vault to this tree head: it must go on from what 'provara tree-head' signed then (repeatable).
    /// In a folder named by PROVARA_HEADS every tree head of this vault is one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Vec<PathBuf>,

    /// Require that this key made the vault (repeatable: one of them)
    #[arg(long, value_name = "ID", value_parser = key_id)]
    root_key: Vec<KeyId>,

    #[command(flatten)]
    seen: SeenArgs,

    /// Require a time-stamp of the vault by an authority that a certificate in this file leads to (repeatable: one of
    /// them): PEM with one or more, or one in DER
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tsa_cert: Vec<PathBuf>,

    /// Check every signature, whatever verified before, and record nothing
    #[arg(long)]
    no_cache: bool,

    /// Also write a report for people to this file, outside the vault: one page of HTML that is complete in
    /// itself, for reading and printing
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    report: Option<PathBuf>,

    /// Replace the report if it exists
    #[arg(long, requires = "report")]
    force: bool,

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
    let vault = vault::open_to_verify(path)?.with_progress(Arc::new(move |done, total| {
        if total >= LARGE {
            told.set_length(total);
            told.set_position(done);
        }
        ControlFlow::Continue(())
    }));
    if let Some(file) = &args.report {
        page::check(file, args.force, &vault)?;
    }
    let options = VerifyOptions {
        strict: args.strict,
        allowed: args.allow.clone(),
        describe: args.json.json || args.report.is_some(),
        no_cache: args.no_cache,
        predecessors: args.follow_predecessors.clone(),
        held: held(args)?,
        ..VerifyOptions::default()
    };
    let examination = vault.examine(&options);
    bar.finish_and_clear();
    let examination = examination.map_err(|error| vault_failure(error, path))?;
    let report = examination.report();
    let page = args.report.as_ref().map(|file| {
        let page = page::of(&examination, &options, path)?;
        Ok((file, page))
    });
    let page = page.transpose()?;
    if args.json.json {
        terminal::result_json(&Shown::of(&examination, args))?;
    } else {
        terminal::result(&text(report, args))?;
    }
    if let Some((file, page)) = page {
        page::write(file, &page, args.force, &vault)?;
    }
    Ok(if report.is_valid() {
        ExitCode::SUCCESS
    } else {
        exit_code(Class::Evidence)
    })
}

/// What the vault is held to.
fn held(args: &VerifyArgs) -> Result<Held, Diagnostic> {
    let path = &args.vault.vault;
    let failed = |error| vault_failure(error, path);
    let heads = args.head.iter().map(|file| read_head(file));
    let heads = heads.collect::<Result<_, _>>().map_err(failed)?;
    let folder = head_folder().map(|folder| HeadFolder::read(&folder));
    let folder = folder
        .transpose()
        .map_err(|error| vault_failure(error, path).detail("PROVARA_HEADS names the folder."))?;
    let mut held = Held::default();
    (held.heads, held.folder, held.root_keys) = (heads, folder, args.root_key.clone());
    args.seen.check()?;
    (held.witnesses, held.witnesses_needed) = (args.seen.witness.clone(), args.seen.needed());
    for file in &args.tsa_cert {
        held.authorities.extend(super::anchor::authorities(file)?);
    }
    Ok(held)
}

/// The folder of tree heads that the environment names.
fn head_folder() -> Option<PathBuf> {
    vault::environment("PROVARA_HEADS").map(PathBuf::from)
}

/// The code of a warning; an error cannot be allowed.
fn allowed_code(text: &str) -> Result<Code, String> {
    let name = text.strip_prefix("PROVARA_").unwrap_or(text);
    let is_it = |code: &&Code| code.as_str().strip_prefix("PROVARA_") == Some(name);
    match Code::ALL.iter().find(is_it) {
        Some(code) if code.is_warning() => Ok(*code),
        Some(code) => Err(format!(
            "{code} ({}) is an error: what it is found in does not verify, and only warnings can be allowed",
            code.name()
        )),
        None => Err("no finding has that code; a warning's is PROVARA_W007 or W007".to_owned()),
    }
}

/// A report for programs (`schemas/verify.v1.json`), with what an owner can do where there is one command.
#[derive(Serialize)]
struct Shown<'r> {
    valid: bool,
    event_count: u64,
    error_count: u64,
    warning_count: u64,
    allowed_count: u64,
    vault: String,
    /// What was verified.
    verified: Option<&'r Subject>,
    /// The anchors that the log goes on from.
    anchors: &'r [SeenAnchor],
    tool: Tool,
    options: ShownOptions<'r>,
    findings: Vec<ShownFinding<'r>>,
    notes: &'r [String],
}

/// What verified.
#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// How it was asked to.
#[derive(Serialize)]
struct ShownOptions<'r> {
    strict: bool,
    allow: &'r [Code],
    no_cache: bool,
    follow_predecessors: Option<String>,
    heads: Vec<String>,
    head_folder: Option<String>,
    root_keys: &'r [KeyId],
    witnesses: Vec<String>,
    witnesses_needed: Option<usize>,
    tsa_certs: Vec<String>,
}

#[derive(Serialize)]
struct ShownFinding<'r> {
    #[serde(flatten)]
    finding: &'r Finding,
    /// Whether --allow names its code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allowed: bool,
    /// The place in this list, from 0, of the finding that it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows_from: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl<'r> Shown<'r> {
    fn of(examination: &'r Examination, args: &'r VerifyArgs) -> Self {
        let (report, vault) = (examination.report(), &args.vault.vault);
        let parents = parents(report.findings());
        let findings = report.findings().iter().zip(&parents);
        let findings = findings.map(|(finding, parent)| ShownFinding {
            finding,
            allowed: args.allow.contains(&finding.code),
            follows_from: *parent,
            fix: finding_fix(finding, report, vault),
        });
        let counts = Counts::of(report, args);
        Self {
            valid: report.is_valid(),
            event_count: report.event_count(),
            error_count: counts.errors,
            warning_count: counts.warnings,
            allowed_count: counts.allowed,
            vault: vault.to_string_lossy().into_owned(),
            verified: examination.subject(),
            anchors: examination.anchors(),
            tool: Tool {
                name: "provara",
                version: env!("CARGO_PKG_VERSION"),
            },
            options: ShownOptions {
                strict: args.strict,
                allow: &args.allow,
                no_cache: args.no_cache,
                follow_predecessors: args
                    .follow_predecessors
                    .as_ref()
                    .map(|it| it.to_string_lossy().into_owned()),
                heads: args
                    .head
                    .iter()
                    .map(|it| it.to_string_lossy().into_owned())
                    .collect(),
                head_folder: head_folder().map(|it| it.to_string_lossy().into_owned()),
                root_keys: &args.root_key,
                witnesses: args.seen.witness.iter().map(ToString::to_string).collect(),
                witnesses_needed: args.seen.needed(),
                tsa_certs: args
                    .tsa_cert
                    .iter()
                    .map(|it| it.to_string_lossy().into_owned())
                    .collect(),
            },
            findings: findings.collect(),
            notes: report.notes(),
        }
    }
}

/// How many findings there are of each weight, by their codes: a strict report counts each warning as an error,
/// and its severity says so.
struct Counts {
    errors: u64,
    warnings: u64,
    allowed: u64,
}

impl Counts {
    fn of(report: &Report, args: &VerifyArgs) -> Self {
        let all = report.findings().len() as u64;
        let of = |is_it: &dyn Fn(&Finding) -> bool| {
            let findings = report.findings().iter();
            findings.filter(|finding| is_it(finding)).count() as u64
        };
        let allowed = of(&|it| args.allow.contains(&it.code));
        let warnings = of(&|it| it.code.is_warning()) - allowed;
        Self {
            errors: all - warnings - allowed,
            warnings,
            allowed,
        }
    }
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

/// The report for people: the findings, the notes, and last, where a terminal shows it, the verdict.
fn text(report: &Report, args: &VerifyArgs) -> String {
    let (mut text, vault) = (String::new(), &args.vault.vault);
    let findings = report.findings();
    match args.all {
        true => findings
            .iter()
            .for_each(|it| write_whole(&mut text, it, report, vault)),
        false => write_causes(&mut text, report, vault),
    }
    if !report.notes().is_empty() {
        let _ = writeln!(text, "{STRONG}Notes:{STRONG:#}");
        for note in report.notes() {
            let _ = writeln!(text, "  - {}", terminal::clean(note));
        }
        text.push('\n');
    }
    let Counts {
        errors,
        warnings,
        allowed,
    } = Counts::of(report, args);
    let counted_as = match (args.strict, warnings) {
        (false, _) | (_, 0) => "",
        (true, 1) => " counted as an error (--strict)",
        (true, _) => " counted as errors (--strict)",
    };
    let allowed_too = match allowed {
        0 => String::new(),
        count => format!(", {} allowed (--allow)", counted(count, "warning")),
    };
    let (style, verdict) = match (report.is_valid(), warnings) {
        (true, 0) => (GOOD, "VALID"),
        (true, _) => (WARNING, "VALID, WITH WARNINGS"),
        (false, _) => (ERROR, "INVALID"),
    };
    let _ = writeln!(
        text,
        "{style}{verdict}{style:#}  {}: {}, {}, {}{counted_as}{allowed_too}",
        terminal::clean(&vault.to_string_lossy()),
        counted(report.event_count(), "event"),
        counted(errors, "error"),
        counted(warnings, "warning"),
    );
    text
}

/// The findings that are to be read first, with what is counted under each.
fn write_causes(text: &mut String, report: &Report, vault: &Path) {
    let findings = report.findings();
    let mut hidden = false;
    for cause in causes(report) {
        let finding = &findings[cause.finding];
        write_finding(text, finding);
        for line in counted_under(&cause, findings) {
            hidden = true;
            let _ = writeln!(text, "  {line}");
        }
        let cause_fix = match cause.followers.is_empty() {
            true => None,
            false => cause_fix(finding).map(str::to_owned),
        };
        write_fix(text, finding_fix(finding, report, vault).or(cause_fix));
        text.push('\n');
    }
    if hidden {
        let _ = writeln!(
            text,
            "What is counted above is printed by: provara verify {} --all\n",
            terminal::clean(&provara_report::shell(vault))
        );
    }
}

/// A finding by itself.
fn write_whole(text: &mut String, finding: &Finding, report: &Report, vault: &Path) {
    write_finding(text, finding);
    write_fix(text, finding_fix(finding, report, vault));
    text.push('\n');
}

fn write_fix(text: &mut String, fix: Option<String>) {
    if let Some(fix) = fix {
        let _ = writeln!(
            text,
            "  {HINT}{FIX_LABEL}{HINT:#} {}",
            terminal::clean(&fix)
        );
    }
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
