//! `provara doctor`: what this installation can do.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::Confinement;
use provara_report::Diagnostic;
use serde::Serialize;

use crate::args::JsonArg;
use crate::plugins::{HostArgs, Job, Listing, Session};
use crate::terminal::{self, ERROR, GOOD, STRONG, WARNING};
use crate::text::counted;

/// Check this installation and its plugins
///
/// Shows the executable, the Python that runs plugins, how many plugins there are, and how far they
/// are confined.
///
/// Vaults need none of what is checked here: init, append of core types, verify and replay work
/// without Python. Exit codes: 0 plugins can be used, 3 they cannot, 4 they end the process that loads
/// them, and leaving some of them out did not help.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara doctor
  PROVARA_PYTHON=/opt/venv/bin/python3 provara doctor
  provara doctor --json | jq .python")]
pub(crate) struct DoctorArgs {
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
    python: Python,
    plugins: Option<Plugins>,
    /// How far plugins are confined.
    confinement: Option<Confinement>,
    /// Why plugins cannot be used.
    failure: Option<String>,
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
    let found = Runtime::find();
    let mut report = Report {
        ok: false,
        version: env!("CARGO_PKG_VERSION"),
        executable: std::env::current_exe()
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
        python: Python::of(found.as_ref().ok()),
        plugins: None,
        confinement: None,
        failure: None,
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
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure),
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
    let verdict = match (&report.failure, &report.plugins) {
        (Some(_), _) => format!("{ERROR}plugins cannot be used{ERROR:#}"),
        (None, Some(Plugins { problems: 1.., .. })) => {
            format!("{WARNING}some plugins cannot be used; see 'provara plugins list'{WARNING:#}")
        }
        _ => format!("{GOOD}everything can be used{GOOD:#}"),
    };
    let _ = writeln!(text, "{verdict}");
    text
}
