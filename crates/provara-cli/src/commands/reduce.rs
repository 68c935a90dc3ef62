//! `provara reduce`: a state derived from the events.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use provara_core::summary::Summary;
use provara_explain::vault_failure;
use provara_plugins::builtin::Reducer;
use provara_plugins::catalog::PluginKind;
use provara_plugins::resolve::Provider;
use provara_report::{Class, Diagnostic};
use provara_vault::{SourceLog, Vault};

use crate::args::{GateArgs, VaultArg};
use crate::plugins::{HostArgs, Job, REDUCERS, Reducing, Session};
use crate::progress::{Progress, Waiting};
use crate::terminal::{self, GOOD, STRONG};
use crate::{determinism, gate, output_file, vault};

/// Derive a state from the events: a summary, or a plugin's
///
/// Without --plugin, prints how many events there are, each actor with the head of its chain, the
/// types and the last event. With --plugin, prints the reducer's result as one line of canonical
/// JSON. Built in are 'summary' and 'beliefs'; an installed plugin of such a name goes first. The
/// vault must verify first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara reduce my-vault
  provara reduce my-vault --json | jq .actors
  provara reduce my-vault --plugin com.acme.compliance.monitor
  provara reduce my-vault --plugin com.acme.compliance.monitor --output report.json
  provara reduce my-vault --plugin com.acme.compliance.monitor --check")]
pub(crate) struct ReduceArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The reducer ('provara plugins list --all' shows them)
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,

    /// Write the result to this file, whole or not at all; '-' is standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the output file if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Run the plugin twice, differently, and fail if the results differ
    #[arg(long, requires = "plugin")]
    check: bool,

    #[command(flatten)]
    gate: GateArgs,

    #[command(flatten)]
    host: HostArgs,

    /// Print the summary as one line of JSON (what --plugin gives is JSON always)
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReduceArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let file = args
        .output
        .as_deref()
        .filter(|path| !output_file::is_stdout(path));
    if let Some(output) = file {
        output_file::check(output, args.force, &vault)?;
    }
    let log = Arc::new(gate::verify_first(&vault, path, args.gate)?);
    let mut text = match &args.plugin {
        Some(name) => {
            let reduced = plugin(args, &vault, &log, name);
            gate::check_unchanged(&log, path)?;
            reduced?
        }
        None => {
            let progress = Progress::new();
            let summary = log.summary_watched(&|done, total| {
                progress.bytes("reducing", done, total);
                ControlFlow::Continue(())
            });
            progress.clear();
            let summary = summary.map_err(|error| vault_failure(error, path))?;
            if !args.json && args.output.is_none() {
                return terminal::result(&table(&summary));
            }
            json(&summary)?
        }
    };
    text.push(b'\n');
    let Some(output) = file else {
        return terminal::result_json_text(&text);
    };
    let staging = output_file::prepare(output, args.force, &vault)?;
    output_file::write(
        &staging,
        |file| file.write_all(&text),
        |error| provara_explain::io_failure("write", output, &error),
    )?;
    output_file::commit(staging)?;
    terminal::receipt(&output_file::done(output), &output_file::told(output))
}

/// Runs a reducer, one of a plugin or a built-in one.
fn plugin(
    args: &ReduceArgs,
    vault: &Vault,
    log: &Arc<SourceLog>,
    name: &str,
) -> Result<Vec<u8>, Diagnostic> {
    let job = || {
        let purpose = Reducing {
            log: Arc::clone(log).into(),
        };
        Job::new(purpose)
            .protecting(vault.path())
            .wanting(PluginKind::Reducer, name)
    };
    let builtin: Option<Reducer> = name.parse().ok();
    let wanted = format!("the reducer '{name}'");
    let session = match Session::start(&args.host, job()) {
        Ok(session) => session,
        Err(unusable) => match (builtin, unusable.no_python()) {
            (Some(builtin), Some(reason)) => {
                terminal::note(&format!(
                    "the built-in reducer '{builtin}' is used: {reason}"
                ));
                return run_builtin(vault, log, builtin);
            }
            _ => return Err(unusable.into_failure_of(&wanted, name, REDUCERS.iter().copied())),
        },
    };
    let provider = session.catalog.resolve_reducer(name);
    if let Some(Provider::Plugin(_)) = provider {
        session.warn_of_problems();
        let skipped = session.host.skipped().to_vec();
        let result = run_plugin(session, name)?;
        if args.check {
            let second = Session::start(&args.host, job().varied().without(skipped))
                .map_err(|unusable| unusable.into_failure(&wanted))?;
            let second = run_plugin(second, name)?;
            if let Some(difference) = determinism::difference(&result, &second) {
                return Err(determinism::not_deterministic(name, difference));
            }
        }
        return Ok(result);
    }
    if let Some(Provider::BuiltIn(builtin)) = provider {
        session.warn_of_problems();
        session.finish()?;
        return run_builtin(vault, log, builtin);
    }
    let known = session
        .catalog
        .reducers
        .iter()
        .map(|reducer| reducer.name.as_str());
    let headline = format!("No installed plugin provides {wanted}.");
    let mut failure = session.not_found(&wanted, headline);
    if let Some(near) = provara_explain::nearest(name, known.chain(REDUCERS.iter().copied())) {
        failure = failure.detail(format!("Did you mean '{near}'?"));
    }
    Err(failure.fix_if_none(
        "Install the package that provides it, or use one that 'provara plugins list --all' shows.",
    ))
}

/// Runs a reducer that the session's catalogue holds.
fn run_plugin(mut session: Session<Reducing>, name: &str) -> Result<Vec<u8>, Diagnostic> {
    let Some(reducer) = session.catalog.reducer(name) else {
        let headline = format!("The reducer '{name}' is not there any more.");
        let wanted = format!("the reducer '{name}'");
        let failure = session.not_found(&wanted, headline);
        return Err(failure.fix_if_none("Run the command again."));
    };
    let waiting = Waiting::until(format!("reducing with {}", terminal::clean(name)));
    let reduced = session.host.reduce(&reducer.name);
    drop(waiting);
    let result = reduced.map_err(provara_explain::host_failure)?;
    session.finish()?;
    Ok(result)
}

fn run_builtin(vault: &Vault, log: &SourceLog, reducer: Reducer) -> Result<Vec<u8>, Diagnostic> {
    let failed = |error| vault_failure(error, vault.path());
    let progress = Progress::new();
    let told = |done, total| {
        progress.bytes("reducing", done, total);
        ControlFlow::Continue(())
    };
    let result = match reducer {
        Reducer::Beliefs => log.beliefs_watched(&told).map(|state| Ok(state.to_json())),
        Reducer::Summary => log.summary_watched(&told).map(|summary| json(&summary)),
    };
    progress.clear();
    result.map_err(failed)?
}

fn json(summary: &Summary) -> Result<Vec<u8>, Diagnostic> {
    provara_core::canonical::jcs_of(summary).map_err(|error| {
        Diagnostic::new(
            Class::Unavailable,
            provara_explain::sentence(&error.to_string()),
        )
    })
}

/// The summary for people.
fn table(summary: &Summary) -> String {
    let mut text = format!("{STRONG}Events{STRONG:#}      {}\n", summary.event_count);
    let last = summary
        .last_event
        .map_or_else(|| "none".to_owned(), |id| id.to_string());
    let _ = writeln!(text, "{STRONG}Last event{STRONG:#}  {last}");
    let _ = writeln!(
        text,
        "\n{STRONG}Actors ({}):{STRONG:#}",
        summary.actors.len()
    );
    let width = |names: &mut dyn Iterator<Item = &String>| {
        names
            .map(|name| terminal::clean(name).chars().count())
            .max()
            .unwrap_or(0)
    };
    let wide = width(&mut summary.actors.keys());
    for (name, actor) in &summary.actors {
        let _ = writeln!(
            text,
            "  {GOOD}{:wide$}{GOOD:#}  {:>8} {}  head {}  last {}",
            terminal::clean(name),
            actor.events,
            if actor.events == 1 {
                "event "
            } else {
                "events"
            },
            actor.head,
            terminal::clean(&actor.last_timestamp),
        );
    }
    let _ = writeln!(text, "\n{STRONG}Types ({}):{STRONG:#}", summary.types.len());
    let wide = width(&mut summary.types.keys());
    for (name, count) in &summary.types {
        let _ = writeln!(text, "  {:wide$}  {count:>8}", terminal::clean(name));
    }
    text
}
