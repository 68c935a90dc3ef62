//! `provara plugins check`: whether each plugin can be used, and what its author should know.

mod found;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use provara_core::event_type::reserved_name;
use provara_plugins::schema::Remark;
use provara_report::{Class, Diagnostic};
use serde::Serialize;

use self::found::{Found, Usable};
use super::{EXPORTS, REDUCERS};
use crate::args::JsonArg;
use crate::exit_code::exit_code;
use crate::plugins::{HostArgs, Job, Listing, Session};
use crate::terminal::{self, ERROR, GOOD, STRONG, WARNING};
use crate::text::counted;
use provara_plugins::sandbox::Confinement;

/// Check whether each installed plugin can be used, and what its author should know
///
/// Each plugin is loaded in the sandbox and every schema is compiled, with those that it refers to. All that is
/// wrong with a schema is shown with its place in it, and so is what decides nothing in it (a misspelt keyword,
/// an unknown format, a keyword that its dialect ignores) or is read otherwise elsewhere (a pattern).
///
/// A NAME is that of a plugin, an alias, an entry point, an installed package, or a class. One with a colon need
/// not be installed: pkg.module:Class is loaded as PROVARA_PLUGINS would, from PYTHONPATH or the environment.
///
/// Exit codes: 0 all of them can be used, 2 a NAME names none, 3 there is no Python for plugins, 4 one of them
/// cannot be used or, with --strict, there is advice.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara plugins check
  provara plugins check my-plugins --strict
  PYTHONPATH=$PWD/src provara plugins check my_plugins.order:OrderPlugin
  provara plugins check --json | jq -r '.plugins[] | select(.usable | not).name'")]
pub(super) struct CheckArgs {
    /// A plugin, a package, or a class as pkg.module:Class [default: all that is installed]
    #[arg(value_name = "NAME", value_hint = clap::ValueHint::Other)]
    names: Vec<String>,

    /// Fail where there is advice, too
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    json: JsonArg,
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether the exit code is 0.
    ok: bool,
    plugins: &'a [Found],
    confinement: &'a Confinement,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, Diagnostic> {
    let classes = args.names.iter().filter(|name| name.contains(':'));
    let job = Job::new(Listing).also_loading(classes.cloned().collect());
    let session = Session::start(&args.host, job)
        .map_err(|unusable| unusable.into_failure("the installed plugins"))?;
    let mut plugins = found::all(&session.catalog);
    for name in &args.names {
        if !plugins.iter().any(|plugin| plugin.is_called(name)) {
            return Err(unknown(name, &plugins));
        }
    }
    if !args.names.is_empty() {
        plugins.retain(|plugin| args.names.iter().any(|name| plugin.is_called(name)));
    }
    let fails =
        |plugin: &Found| !plugin.is_whole() || args.strict && !plugin.advice.list.is_empty();
    let ok = !plugins.iter().any(fails);
    if args.json.json {
        terminal::result_json(&Report {
            ok,
            plugins: &plugins,
            confinement: session.host.confinement(),
        })?;
    } else {
        terminal::result(&text(&plugins))?;
    }
    for found in session.host.hindrances() {
        terminal::warn(&provara_explain::hindrance(&found));
    }
    Ok(match ok {
        true => ExitCode::SUCCESS,
        false => exit_code(Class::Plugin),
    })
}

/// A name of nothing that was found.
fn unknown(name: &str, plugins: &[Found]) -> Diagnostic {
    let shown = terminal::clean(name);
    let failure = Diagnostic::new(
        Class::Usage,
        format!("No installed plugin or package is called '{shown}'."),
    );
    if REDUCERS.contains(&name) || EXPORTS.contains(&name) || reserved_name(name).is_some() {
        return failure
            .detail("It is built in, and no plugin.")
            .fix("Run 'provara plugins check' without a name to check all plugins.");
    }
    let known = plugins.iter().flat_map(Found::names);
    match provara_explain::nearest(name, known) {
        Some(near) => failure.fix(format!("Did you mean '{near}'?")),
        None => failure.fix(
            "'provara plugins check' without a name shows what there is. A class that is not installed is named \
             with its module: pkg.module:Class.",
        ),
    }
}

/// The result for people: the plugins of each package, and what there is to say of them.
fn text(plugins: &[Found]) -> String {
    if plugins.is_empty() {
        return "No plugins are installed. A package that provides some is installed like any other, with pip, \
                into the environment of the interpreter that 'provara doctor' names.\n"
            .to_owned();
    }
    let mut packages: BTreeMap<(bool, String), Vec<&Found>> = BTreeMap::new();
    for plugin in plugins {
        let package = plugin.package();
        let loose = package.is_none();
        let package = package.unwrap_or_else(|| "Without a package".to_owned());
        packages.entry((loose, package)).or_default().push(plugin);
    }
    let mut text = String::new();
    for ((_, package), plugins) in packages {
        let _ = writeln!(text, "{STRONG}{package}{STRONG:#}");
        for plugin in plugins {
            add(&mut text, plugin);
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", verdict(plugins));
    text
}

fn add(text: &mut String, plugin: &Found) {
    let kind = plugin.kind_in_words();
    let verdict = match plugin.usable {
        Usable::Yes if plugin.problems.is_empty() => format!("{GOOD}can be used{GOOD:#}"),
        Usable::Yes => format!("{WARNING}can be used in part{WARNING:#}"),
        Usable::No => format!("{ERROR}cannot be used{ERROR:#}"),
    };
    let _ = writeln!(
        text,
        "  {kind} {STRONG}{}{STRONG:#}: {verdict}",
        plugin.name
    );
    let mut line = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = writeln!(text, "    {label}: {value}");
        }
    };
    line("class", plugin.class.as_deref());
    line("alias", plugin.cli_command.as_deref());
    line("schema", plugin.schema_version.as_deref());
    for problem in &plugin.problems {
        let told = problem.diagnostic(&plugin.faults).to_string();
        told.lines().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    let advice = plugin.advice.list.iter().map(Remark::to_string);
    let more = plugin.advice.more.then(|| "… and more".to_owned());
    for advice in advice.chain(more) {
        let _ = writeln!(text, "    {WARNING}advice:{WARNING:#} {advice}");
    }
}

/// The last line.
fn verdict(plugins: &[Found]) -> String {
    let count = |of: &dyn Fn(&Found) -> bool| plugins.iter().filter(|it| of(it)).count() as u64;
    let (all, useless) = (plugins.len() as u64, count(&|it| it.usable == Usable::No));
    let part = count(&|it| it.usable == Usable::Yes && !it.problems.is_empty());
    let advised = count(&|it| !it.advice.list.is_empty());
    let advice = match advised {
        0 => String::new(),
        n => format!("; there is advice on {}", counted(n, "schema")),
    };
    match (useless, part) {
        (0, 0) if all == 1 => format!("{GOOD}the plugin can be used{GOOD:#}{advice}"),
        (0, 0) => format!("{GOOD}all {all} plugins can be used{GOOD:#}{advice}"),
        (0, part) => format!("{WARNING}{part} of {all} can be used in part{WARNING:#}{advice}"),
        (useless, 0) => format!("{ERROR}{useless} of {all} cannot be used{ERROR:#}{advice}"),
        (useless, part) => {
            format!("{ERROR}{useless} of {all} cannot be used{ERROR:#}, {part} in part{advice}")
        }
    }
}
