//! `provara plugins list`: what is installed.

mod check;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use provara_plugins::catalog::{Catalog, Origin, PluginInfo, PluginName, Problem};
use provara_plugins::editable::Allowed;
use provara_plugins::protocol::WireSource;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::Confinement;
use provara_report::Diagnostic;
use serde::Serialize;

use crate::args::JsonArg;
use crate::plugins::{EXPORTS, HostArgs, Job, Listing, REDUCERS, Session};
use crate::terminal::{self, STRONG};

/// See which plugins are installed, and check them
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara plugins list
  provara plugins list --all --json
  provara plugins check")]
pub(crate) struct PluginsArgs {
    #[command(subcommand)]
    command: PluginsCommand,
}

#[derive(Debug, Subcommand)]
enum PluginsCommand {
    List(ListArgs),
    Check(check::CheckArgs),
}

impl PluginsArgs {
    /// The schema of the command's result.
    pub(crate) fn schema(&self) -> &'static str {
        match self.command {
            PluginsCommand::List(_) => "provara.plugins.v1",
            PluginsCommand::Check(_) => "provara.plugins-check.v1",
        }
    }
}

/// The most that is told of one schema in a list of everything.
const MAX_ADVICE: usize = 20;

/// List the installed event types, reducers and export formats
///
/// Plugins are found among the packages of the Python environment that provara is installed in (or
/// that PROVARA_PYTHON names) and in PROVARA_PLUGINS. A plugin that cannot be used is reported on
/// stderr and hinders no other, also where it ends the process that loads it. One that blocks it is
/// left out when --timeout is over. What of a schema decides nothing (a misspelt keyword, an unknown
/// format) is told on stderr as well; 'provara plugins check' tells more.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara plugins list
  provara plugins list --all
  provara plugins list --editable ./my-plugin
  provara plugins list --json | jq -r '.exports[].name'")]
struct ListArgs {
    /// Also list what is built in, and show how far plugins are confined
    #[arg(long)]
    all: bool,

    /// Let plugins read this directory, but for vaults and keys in it: the source of an editable install
    /// that they may not read otherwise. It is remembered for this Python environment
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    editable: Vec<PathBuf>,

    /// Close a directory again that --editable opened
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    no_editable: Vec<PathBuf>,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &PluginsArgs) -> Result<ExitCode, Diagnostic> {
    match &args.command {
        PluginsCommand::List(args) => list(args).map(|()| ExitCode::SUCCESS),
        PluginsCommand::Check(args) => check::run(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Diagnostic> {
    allow(args)?;
    let session = Session::start(&args.host, Job::new(Listing))
        .map_err(|unusable| unusable.into_failure("the installed plugins"))?;
    let catalog = &session.catalog;
    if args.json.json {
        terminal::result_json(&Report::of(&session, args.all))?;
    } else {
        terminal::result(&table(&session, args.all))?;
    }
    // After the list, so that the reader of both streams sees it last. A listing that reports broken
    // plugins has done what was asked.
    catalog
        .problems
        .iter()
        .for_each(|problem| terminal::diagnostic(&problem.text));
    for advice in &catalog.advice {
        let (plugin, remarks) = (&advice.plugin, &advice.remarks);
        for remark in remarks.list.iter().take(MAX_ADVICE) {
            let stop = if remark.text.ends_with('?') { "" } else { "." };
            terminal::warn(&format!("the schema of '{plugin}', {remark}{stop}"));
        }
        if remarks.more || remarks.list.len() > MAX_ADVICE {
            terminal::warn(&format!(
                "there is more to say of the schema of '{plugin}': provara plugins check {plugin}"
            ));
        }
    }
    for found in session.host.hindrances() {
        terminal::warn(&provara_explain::hindrance(&found));
    }
    Ok(())
}

/// Opens and closes source trees, before anything is listed.
fn allow(args: &ListArgs) -> Result<(), Diagnostic> {
    if args.editable.is_empty() && args.no_editable.is_empty() {
        return Ok(());
    }
    let failed = |error| provara_explain::allowed_failure(&error);
    let runtime = Runtime::find().map_err(|error| provara_explain::interpreter_failure(&error))?;
    let allowed = Allowed::of_user().map_err(failed)?;
    for tree in &args.no_editable {
        if !allowed.remove(&runtime, tree).map_err(failed)? {
            let tree = terminal::clean(&tree.to_string_lossy()).into_owned();
            terminal::note(&format!("'{tree}' was not open to plugins."));
        }
    }
    for tree in &args.editable {
        let tree = allowed.add(&runtime, tree).map_err(failed)?;
        let tree = terminal::clean(&tree.to_string_lossy()).into_owned();
        let environment = runtime
            .environment_directory()
            .to_string_lossy()
            .into_owned();
        terminal::note(&format!(
            "plugins in the environment '{}' may read '{tree}' from now on, but for vaults and keys in it.",
            terminal::clean(&environment)
        ));
    }
    Ok(())
}

/// The list in the form of the plugin contract.
fn table(session: &Session<Listing>, all: bool) -> String {
    let catalog = &session.catalog;
    let mut text =
        format!("{STRONG}Installed Provara Plugins{STRONG:#}\n=========================\n");
    let types: Vec<_> = catalog
        .event_types
        .iter()
        .map(|plugin| (plugin.event_type.to_string(), plugin.origin.to_string()))
        .collect();
    section(&mut text, "Event Types", types);
    section(
        &mut text,
        "Reducers",
        entries(&catalog.reducers, REDUCERS, all),
    );
    section(
        &mut text,
        "Export Formats",
        entries(&catalog.exports, EXPORTS, all),
    );
    if catalog.event_types.is_empty() && catalog.reducers.is_empty() && catalog.exports.is_empty() {
        text.push_str(
            "\nNo plugins are installed. A package that provides some is installed like any other, with pip, into \
             the environment of the interpreter that 'provara doctor' names.\n",
        );
    }
    if all {
        let _ = writeln!(
            text,
            "\n{STRONG}Confinement:{STRONG:#}\n  {}",
            terminal::clean(&session.host.confinement().to_string())
        );
    }
    text
}

/// Name and origin of the plugins of one kind and, where asked for, of what is built in, by name.
fn entries(plugins: &[PluginInfo], builtins: &[&str], all: bool) -> Vec<(String, String)> {
    let builtins = builtins
        .iter()
        .filter(|_| all)
        .map(|name| ((*name).to_owned(), "built-in".to_owned()));
    let mut entries: Vec<_> = plugins
        .iter()
        .map(|plugin| (plugin.name.to_string(), plugin.origin.to_string()))
        .chain(builtins)
        .collect();
    // Stable: a plugin stands before the built-in whose name it takes.
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn section(text: &mut String, title: &str, entries: Vec<(String, String)>) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{STRONG}{title}:{STRONG:#}");
    for (name, origin) in entries {
        let _ = writeln!(
            text,
            "  - {} ({})",
            terminal::clean(&name),
            terminal::clean(&origin)
        );
    }
}

/// The list for programs.
#[derive(Serialize)]
struct Report<'a> {
    event_types: Vec<Entry<'a>>,
    reducers: Vec<Entry<'a>>,
    exports: Vec<Entry<'a>>,
    problems: &'a [Problem],
    advice: Vec<Advice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confinement: Option<&'a Confinement>,
}

/// What the author of an event type should know.
#[derive(Serialize)]
struct Advice<'a> {
    plugin: &'a str,
    text: String,
}

fn advice(catalog: &Catalog) -> Vec<Advice<'_>> {
    let each = catalog.advice.iter().flat_map(|advice| {
        let remarks = advice.remarks.list.iter();
        remarks.map(|remark| Advice {
            plugin: &advice.plugin,
            text: remark.to_string(),
        })
    });
    each.collect()
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    builtin: bool,
    class: Option<&'a str>,
    distribution: Option<&'a str>,
    version: Option<&'a str>,
    source: Option<WireSource>,
    entry_point: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cli_command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn plugin(name: &'a str, origin: &'a Origin) -> Self {
        Self {
            name,
            builtin: false,
            class: Some(&origin.class),
            distribution: origin.distribution.as_deref(),
            version: origin.version.as_deref(),
            source: Some(origin.source),
            entry_point: origin.entry_point.as_deref(),
            cli_command: None,
            schema_version: None,
        }
    }

    fn builtin(name: &'a str) -> Self {
        Self {
            name,
            builtin: true,
            class: None,
            distribution: None,
            version: None,
            source: None,
            entry_point: None,
            cli_command: None,
            schema_version: None,
        }
    }
}

impl<'a> Report<'a> {
    fn of(session: &'a Session<Listing>, all: bool) -> Self {
        let catalog = &session.catalog;
        let list = |plugins: &'a [PluginInfo], builtins: &'a [&'a str]| {
            let mut entries: Vec<_> = plugins
                .iter()
                .map(|plugin| Entry::plugin(plugin.name.as_str(), &plugin.origin))
                .chain(
                    builtins
                        .iter()
                        .filter(|_| all)
                        .map(|name| Entry::builtin(name)),
                )
                .collect();
            entries.sort_by_key(|entry| entry.name);
            entries
        };
        let event_types = catalog
            .event_types
            .iter()
            .map(|plugin| Entry {
                cli_command: plugin.alias.as_ref().map(PluginName::as_str),
                schema_version: Some(&plugin.schema_version),
                ..Entry::plugin(plugin.event_type.as_str(), &plugin.origin)
            })
            .collect();
        Self {
            event_types,
            reducers: list(&catalog.reducers, REDUCERS),
            exports: list(&catalog.exports, EXPORTS),
            problems: &catalog.problems,
            advice: advice(catalog),
            confinement: all.then(|| session.host.confinement()),
        }
    }
}
