//! `provara doctor`: what this installation can do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use provara_explain::vault_failure;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::Confinement;
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
/// that loads them and leaving some of them out did not help.
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
    /// Which back end verifies signatures.
    signatures: &'static str,
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

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode, Diagnostic> {
    let file_system = args.vault.as_deref().map(abilities).transpose()?;
    let found = Runtime::find();
    let mut report = Report {
        ok: false,
        version: env!("CARGO_PKG_VERSION"),
        executable: std::env::current_exe()
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
        signatures: provara_vault::signatures_backend().name(),
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
            report.ok = true;
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
    if args.json.json {
        terminal::result_json(&report)?;
    } else {
        terminal::result(&text(&report))?;
    }
    match failure {
        None if report.is_whole() => Ok(ExitCode::SUCCESS),
        None => Ok(exit_code(Class::Plugin)),
        Some(failure) => Err(failure),
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

/// What a file system can do, and what is left where it cannot.
fn file_system_lines(found: &Abilities) -> [(&'static str, &'static str); 4] {
    let names = match found.durable_names {
        true => "durable: directories can be synced",
        false => {
            "not durable: directories cannot be synced. Events are on the disk when they are acknowledged; \
             after a loss of power the seal may be an earlier one, which the next writer renews, and what \
             was just made (a vault, a backup) may be gone"
        }
    };
    let modes = match found.modes {
        Some(true) => "can be changed",
        Some(false) => {
            "cannot be changed: what replaces a file has the mode of a new one, and never a wider one"
        }
        None => "not tried: the vault is in use, or may only be read",
    };
    let locks = match found.locks {
        true => "there are: any number of writers take turns",
        false => {
            "none: commands that write refuse, unless --no-lock says that nothing else writes to the vault"
        }
    };
    let trees = match found.tree_sync {
        true => "one sync for a whole tree",
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
    line("signatures", report.signatures);
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
        line("confined", &confinement.to_string());
    }
    if let Some(found) = &report.file_system {
        for (label, value) in file_system_lines(found) {
            line(label, value);
        }
    }
    let verdict = match (&report.failure, &report.plugins) {
        (Some(_), _) => format!("{ERROR}plugins cannot be used{ERROR:#}"),
        (None, _) if !report.is_whole() => {
            format!("{WARNING}some plugins cannot be used; see 'provara plugins list'{WARNING:#}")
        }
        _ => format!("{GOOD}everything can be used{GOOD:#}"),
    };
    let _ = writeln!(text, "{verdict}");
    text
}
