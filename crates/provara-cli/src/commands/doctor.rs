//! `provara doctor`: what this installation can do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use provara_explain::vault_failure;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::{Confinement, Level};
use provara_report::{Class, Diagnostic};
use provara_vault::Abilities;
use serde::Serialize;

use crate::args::JsonArg;
use crate::exit_code::exit_code;
use crate::plugins::{HostArgs, Job, Listing, Session};
use crate::terminal::{self, ERROR, GOOD, STRONG, WARNING};
use crate::text::counted;
use crate::vault;

/// Check this installation and its plugins
///
/// Shows the executable, how it verifies signatures, the Python that runs plugins, how many plugins there are, and how far they
/// are confined.
///
/// With a vault, what its file system can do is tried, too: whether names in directories can be made
/// durable, modes changed and locks taken, and what follows where they cannot. Nothing in it changes.
///
/// Vaults need none of what is checked of plugins: init, append of core types, verify and replay work
/// without Python. Exit codes: 0 all plugins can be used, 3 none can, 4 some cannot, or they end the process
/// that loads them and leaving some of them out did not help. A PROVARA_SIGNATURES that no other command takes:
/// 2 where there is no such value, 3 where this processor lacks what it needs.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara doctor
  provara doctor my-vault
  PROVARA_PYTHON=/opt/venv/bin/python3 provara doctor
  provara doctor --json | jq .python")]
pub(crate) struct DoctorArgs {
    /// A vault whose file system is tried
    #[arg(value_name = "VAULT", value_hint = clap::ValueHint::DirPath)]
    vault: Option<PathBuf>,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    json: JsonArg,
}

/// What was found; the form for programs.
#[derive(Serialize)]
struct Report {
    ok: bool,
    version: &'static str,
    executable: Option<String>,
    /// Which back end verifies signatures; where PROVARA_SIGNATURES names none that can be used, the one that would be
    /// without it.
    signatures: &'static str,
    /// Why the back end that PROVARA_SIGNATURES names cannot be used: every other command refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures_failure: Option<String>,
    python: Python,
    plugins: Option<Plugins>,
    /// What the file system of the vault can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_system: Option<Abilities>,
    /// How far plugins are confined.
    confinement: Option<Confinement>,
    /// Why plugins cannot be used.
    failure: Option<String>,
    /// What keeps a part of the installation from plugins, or slows them, each with what helps.
    warnings: Vec<String>,
    /// Whether a source tree is closed to plugins, so that its package cannot be used.
    #[serde(skip)]
    closed: bool,
}

#[derive(Serialize)]
struct Python {
    program: Option<String>,
    found_by: Option<&'static str>,
    version: Option<String>,
}

#[derive(Serialize)]
struct Plugins {
    event_types: usize,
    reducers: usize,
    exports: usize,
    problems: usize,
}

/// Runs it; `unusable` says what is wrong with PROVARA_SIGNATURES.
pub(crate) fn run(args: &DoctorArgs, unusable: Option<Diagnostic>) -> Result<ExitCode, Diagnostic> {
    let file_system = args.vault.as_deref().map(abilities).transpose()?;
    let found = Runtime::find();
    let mut report = Report {
        ok: false,
        version: env!("CARGO_PKG_VERSION"),
        executable: std::env::current_exe()
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
        signatures: provara_vault::signatures_backend().name(),
        signatures_failure: unusable.as_ref().map(Diagnostic::headline),
        python: Python::of(found.as_ref().ok()),
        plugins: None,
        file_system,
        confinement: None,
        failure: None,
        warnings: Vec::new(),
        closed: false,
    };
    let failure = match Session::start(&args.host, Job::new(Listing)) {
        Ok(session) => {
            report.python.version = Some(session.host.hello().python.clone());
            report.confinement = Some(session.host.confinement().clone());
            report.plugins = Some(Plugins {
                event_types: session.catalog.event_types.len(),
                reducers: session.catalog.reducers.len(),
                exports: session.catalog.exports.len(),
                problems: session.catalog.problems.len(),
            });
            // Those of source trees have been printed already.
            let closed = session.host.closed_sources();
            report.closed = !closed.is_empty();
            let closed = closed.iter().map(provara_explain::closed_source);
            let hindrances = session.host.hindrances();
            let hindrances = hindrances.iter().map(provara_explain::hindrance);
            hindrances.clone().for_each(|text| terminal::warn(&text));
            report.warnings = closed.chain(hindrances).collect();
            None
        }
        Err(unusable) => Some(unusable.into_failure("the installed plugins")),
    };
    report.failure = failure.as_ref().map(Diagnostic::headline);
    report.ok = unusable.is_none() && failure.is_none() && report.is_whole();
    if args.json.json {
        terminal::result_json(&report)?;
    } else {
        terminal::result(&text(&report))?;
    }
    match (unusable, failure) {
        (Some(unusable), Some(failure)) => {
            Err(unusable.detail(format!("and of plugins: {}", failure.headline())))
        }
        (Some(failure), None) | (None, Some(failure)) => Err(failure),
        (None, None) if report.is_whole() => Ok(ExitCode::SUCCESS),
        (None, None) => Ok(exit_code(Class::Plugin)),
    }
}

/// What the file system of a vault can do.
fn abilities(path: &Path) -> Result<Abilities, Diagnostic> {
    let vault = vault::open(path)?;
    vault
        .abilities()
        .map_err(|error| vault_failure(error, path))
}

impl Report {
    /// Whether everything that is installed can be used.
    fn is_whole(&self) -> bool {
        !self.closed
            && self
                .plugins
                .as_ref()
                .is_none_or(|plugins| plugins.problems == 0)
    }
}

impl Python {
    fn of(found: Option<&Runtime>) -> Self {
        Self {
            program: found.map(|runtime| runtime.program().to_string_lossy().into_owned()),
            found_by: found.map(Runtime::found_by),
            version: None,
        }
    }
}

/// How far plugins are kept from what is not theirs.
fn confined(found: &Confinement) -> String {
    let words = match found.level {
        Level::Full => "plugins run in a sandbox, enforced in full",
        Level::Partial => "plugins run in a sandbox, enforced in part",
        Level::Process => "plugins run in a process of their own, without a sandbox",
    };
    match found.missing.is_empty() {
        true => words.to_owned(),
        false => format!("{words}: {}", found.missing.join("; ")),
    }
}

/// What a file system can do, and what is left where it cannot.
fn file_system_lines(found: &Abilities) -> [(&'static str, &'static str); 4] {
    let names = match found.durable_names {
        true => "file names are durable: directories can be synced",
        false => {
            "file names are not durable: directories cannot be synced. Events are on the disk when they are acknowledged; \
             after a loss of power the seal may be an earlier one, which the next writer renews, and what \
             was just made (a vault, a backup) may be gone"
        }
    };
    let modes = match found.modes {
        Some(true) => "file modes can be changed",
        Some(false) => {
            "file modes cannot be changed: what replaces a file has the mode of a new one, and never a wider one"
        }
        None => "not tried: the vault is in use, or may only be read",
    };
    let locks = match found.locks {
        true => "files can be locked: any number of writers take turns",
        false => {
            "files cannot be locked: commands that write refuse, unless --no-lock says that nothing else writes to the vault"
        }
    };
    let trees = match found.tree_sync {
        true => "a whole directory tree is synced at once, as 'restore' does",
        false => "files are synced in groups: a restoration of many files takes longer",
    };
    [
        ("names", names),
        ("modes", modes),
        ("locks", locks),
        ("trees", trees),
    ]
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(
            text,
            "{STRONG}{label:10}{STRONG:#}  {}",
            terminal::clean(value)
        );
    };
    line("provara", report.version);
    line(
        "executable",
        report.executable.as_deref().unwrap_or("unknown"),
    );
    match &report.signatures_failure {
        None => line("signatures", report.signatures),
        Some(failure) => line(
            "signatures",
            &format!("{failure} Without it: {}", report.signatures),
        ),
    }
    let python = &report.python;
    let version = python
        .version
        .as_deref()
        .map(|version| format!("{version}, "));
    let place = match (&python.program, python.found_by) {
        (Some(program), Some(found_by)) => {
            format!(
                "{}{program} (found: {found_by})",
                version.unwrap_or_default()
            )
        }
        _ => "none".to_owned(),
    };
    line("python", &place);
    if let Some(plugins) = &report.plugins {
        line(
            "plugins",
            &format!(
                "{}, {}, {}; {} with problems",
                counted(plugins.event_types as u64, "event type"),
                counted(plugins.reducers as u64, "reducer"),
                counted(plugins.exports as u64, "export format"),
                plugins.problems
            ),
        );
    }
    if let Some(confinement) = &report.confinement {
        line("confined", &confined(confinement));
    }
    if let Some(found) = &report.file_system {
        for (label, value) in file_system_lines(found) {
            line(label, value);
        }
    }
    if report.signatures_failure.is_some() {
        let _ = writeln!(
            text,
            "{ERROR}no other command works until PROVARA_SIGNATURES is corrected{ERROR:#}"
        );
    }
    let verdict = match &report.failure {
        Some(_) => format!("{ERROR}plugins cannot be used{ERROR:#}"),
        None if !report.is_whole() => {
            format!("{WARNING}some plugins cannot be used; see 'provara plugins check'{WARNING:#}")
        }
        None if report.signatures_failure.is_some() => {
            format!("{GOOD}all plugins can be used{GOOD:#}")
        }
        None => format!("{GOOD}everything can be used{GOOD:#}"),
    };
    let _ = writeln!(text, "{verdict}");
    text
}
