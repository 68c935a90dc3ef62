//! `provara reduce`: a state derived from the events.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use provara_core::summary::Summary;
use provara_vault::Vault;

use crate::cli::{GateArgs, VaultArg};
use crate::error::{self, vault_failure};
use crate::failure::{Exit, Failure};
use crate::out::{self, GOOD, STRONG};
use crate::plugins::{HostArgs, Job, Purpose, REDUCERS, Session, nearest};
use crate::{gate, output, vault};

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
  provara reduce my-vault --plugin com.acme.compliance.monitor --output report.json")]
pub(crate) struct ReduceArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The reducer ('provara plugins list --all' shows them)
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,

    /// Write the result to this file, whole or not at all
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the output file if it exists
    #[arg(long, requires = "output")]
    force: bool,

    #[command(flatten)]
    gate: GateArgs,

    #[command(flatten)]
    host: HostArgs,

    /// Print the summary as one line of JSON (what --plugin gives is JSON always)
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReduceArgs) -> Result<(), Failure> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    if let Some(output) = &args.output {
        output::check(output, args.force, &vault)?;
    }
    gate::verify_first(&vault, path, args.gate)?;
    let mut text = match &args.plugin {
        Some(name) => plugin(args, &vault, name)?,
        None => {
            let summary = vault
                .summary()
                .map_err(|error| vault_failure(error, path))?;
            if !args.json && args.output.is_none() {
                return out::result(&table(&summary));
            }
            json(&summary)?
        }
    };
    text.push(b'\n');
    let Some(output) = &args.output else {
        return out::result_bytes(&text);
    };
    let staging = output::prepare(output, args.force, &vault)?;
    output::write(
        &staging,
        |file| file.write_all(&text),
        |error| error::io_failure("write", output, &error),
    )?;
    output::commit(staging)?;
    out::result(&output::told(output))
}

fn plugin(args: &ReduceArgs, vault: &Vault, name: &str) -> Result<Vec<u8>, Failure> {
    let (log, length) = vault
        .open_log()
        .map_err(|error| vault_failure(error, vault.path()))?;
    let job = Job::new(Purpose::Reduce { log, len: length }).protecting(vault.path());
    let mut session = match Session::start(&args.host, job) {
        Ok(session) => session,
        Err(unusable) => match unusable.no_python() {
            Some(reason) if REDUCERS.contains(&name) => {
                out::note(&format!("the built-in reducer '{name}' is used: {reason}"));
                return builtin(vault, name);
            }
            _ => return Err(unusable.into_failure(&format!("the reducer '{name}'"))),
        },
    };
    if let Some(reducer) = session.catalog.reducer(name) {
        session.warn_of_problems();
        let result = session
            .host
            .reduce(&reducer.name)
            .map_err(error::host_failure)?;
        session.finish()?;
        return Ok(result);
    }
    if REDUCERS.contains(&name) {
        session.warn_of_problems();
        return builtin(vault, name);
    }
    let known = session
        .catalog
        .reducers
        .iter()
        .map(|reducer| reducer.name.as_str());
    let mut failure = session.not_found(format!(
        "No installed plugin provides the reducer '{name}'."
    ));
    if let Some(near) = nearest(name, known.chain(REDUCERS.iter().copied())) {
        failure = failure.detail(format!("Did you mean '{near}'?"));
    }
    Err(failure.fix(
        "Install the package that provides it, or use one that 'provara plugins list --all' shows.",
    ))
}

fn builtin(vault: &Vault, name: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error| vault_failure(error, vault.path());
    match name {
        "beliefs" => Ok(vault.beliefs().map_err(failed)?.to_json()),
        _ => json(&vault.summary().map_err(failed)?),
    }
}

fn json(summary: &Summary) -> Result<Vec<u8>, Failure> {
    provara_core::canonical::jcs_of(summary)
        .map_err(|error| Failure::new(Exit::CouldNot, error::sentence(&error.to_string())))
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
            .map(|name| out::clean(name).chars().count())
            .max()
            .unwrap_or(0)
    };
    let wide = width(&mut summary.actors.keys());
    for (name, actor) in &summary.actors {
        let _ = writeln!(
            text,
            "  {GOOD}{:wide$}{GOOD:#}  {:>8} {}  head {}  last {}",
            out::clean(name),
            actor.events,
            if actor.events == 1 {
                "event "
            } else {
                "events"
            },
            actor.head,
            out::clean(&actor.last_timestamp),
        );
    }
    let _ = writeln!(text, "\n{STRONG}Types ({}):{STRONG:#}", summary.types.len());
    let wide = width(&mut summary.types.keys());
    for (name, count) in &summary.types {
        let _ = writeln!(text, "  {:wide$}  {count:>8}", out::clean(name));
    }
    text
}
