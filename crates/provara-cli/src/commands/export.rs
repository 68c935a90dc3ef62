//! `provara export`: a vault in another form.

use std::path::PathBuf;

use clap::Args;
use provara_plugins::builtin::{self, Format};
use provara_plugins::catalog::PluginKind;
use provara_plugins::resolve::Provider;
use provara_plugins::staging::Staging;
use provara_report::{Class, Diagnostic};
use provara_vault::{SourceLog, Vault};
use serde::Serialize;

use crate::args::{GateArgs, JsonArg, VaultArg};
use crate::plugins::{EXPORTS, Exporting, HostArgs, Job, Session};
use crate::progress::{Progress, Waiting};
use crate::terminal;
use crate::{gate, output_file, plugins, vault};

/// Export a vault in another format
///
/// The output appears whole or not at all, and the vault stays as it was. Built in are csv, ndjson
/// and json; an installed plugin of such a name goes first. The vault must verify first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara export my-vault --format csv --output vault-export.csv
  provara export my-vault --format ndjson --output events.ndjson --force
  provara export my-vault --format siem-splunk --output splunk.json --json")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The format ('provara plugins list --all' shows them)
    #[arg(long, short, value_name = "NAME")]
    format: String,

    /// The file or directory to write, outside the vault
    #[arg(long, short, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    output: PathBuf,

    /// Replace the output if it exists
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    gate: GateArgs,

    #[command(flatten)]
    host: HostArgs,

    /// Let the export's plugin use the network
    #[arg(long, help_heading = plugins::HEADING)]
    allow_net: bool,

    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Receipt<'a> {
    format: &'a str,
    output: String,
    /// Whether the vault was verified first.
    verified: bool,
    /// Package and version, or the class, of the plugin; `built-in` for one of ours.
    by: String,
}

pub(crate) fn run(args: &ExportArgs) -> Result<(), Diagnostic> {
    if output_file::is_stdout(&args.output) {
        return Err(
            Diagnostic::new(Class::Usage, "An export is not written to standard output.").fix(
                "Name a file or a directory; './-' is one of that name. 'provara query --format \
                 ndjson' prints events.",
            ),
        );
    }
    let vault = vault::open(&args.vault.vault)?;
    output_file::check(&args.output, args.force, &vault)?;
    let log = gate::verify_first(&vault, &args.vault.vault, args.gate)?;
    let staging = output_file::prepare(&args.output, args.force, &vault)?;
    let by = write(args, &vault, &log, &staging);
    // First of all: what it read may be why it failed.
    gate::check_unchanged(&log, &args.vault.vault)?;
    let by = by?;
    let target = staging.target().to_string_lossy().into_owned();
    staging
        .commit()
        .map_err(|error| provara_explain::export_staging_failure(&args.format, &error))?;
    let receipt = Receipt {
        format: &args.format,
        output: target,
        verified: !args.gate.unverified,
        by,
    };
    let done = output_file::done(&args.output);
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    let told = output_file::told(&args.output);
    let (format, by) = (
        terminal::clean(receipt.format),
        terminal::clean(&receipt.by),
    );
    terminal::receipt(&done, &format!("{told}  format  {format} ({by})\n"))
}

/// Writes the export into its staging directory; says by whom.
fn write(
    args: &ExportArgs,
    vault: &Vault,
    log: &SourceLog,
    output: &Staging,
) -> Result<String, Diagnostic> {
    let name = &args.format;
    let wanted = format!("the export format '{name}'");
    let builtin: Option<Format> = name.parse().ok();
    let purpose = Exporting {
        vault: vault.path().to_owned(),
        staging: output.directory().to_owned(),
    };
    let job = Job::new(purpose)
        .protecting(vault.path())
        .wanting(PluginKind::Export, name)
        .allowing_network(args.allow_net);
    let mut session = match Session::start(&args.host, job) {
        Ok(session) => session,
        Err(unusable) => match (builtin, unusable.no_python()) {
            (Some(format), Some(reason)) => {
                terminal::note(&format!("the built-in export '{format}' is used: {reason}"));
                return write_builtin(format, vault, log, output);
            }
            _ => return Err(unusable.into_failure_of(&wanted, name, EXPORTS.iter().copied())),
        },
    };
    let provider = session.catalog.resolve_export(name);
    if let Some(Provider::Plugin(export)) = provider {
        session.warn_of_problems();
        let waiting = Waiting::until(format!("exporting with {}", terminal::clean(name)));
        let exported = session.host.export(&export.name, output.output());
        drop(waiting);
        exported.map_err(provara_explain::host_failure)?;
        let by = export.origin.to_string();
        session.finish()?;
        return Ok(by);
    }
    if let Some(Provider::BuiltIn(format)) = provider {
        session.warn_of_problems();
        session.finish()?;
        return write_builtin(format, vault, log, output);
    }
    let known = session
        .catalog
        .exports
        .iter()
        .map(|export| export.name.as_str());
    let headline = format!("No installed plugin provides {wanted}.");
    let mut failure = session.not_found(&wanted, headline);
    if let Some(near) = provara_explain::nearest(name, known.chain(EXPORTS.iter().copied())) {
        failure = failure.detail(format!("Did you mean '{near}'?"));
    }
    Err(failure.fix_if_none(
        "Install the package that provides it, or use one that 'provara plugins list --all' shows.",
    ))
}

fn write_builtin(
    format: Format,
    vault: &Vault,
    log: &SourceLog,
    output: &Staging,
) -> Result<String, Diagnostic> {
    let progress = Progress::new();
    let mut done = 0;
    let told = log.lines().inspect(|line| {
        done += line.len() as u64 + 1;
        progress.bytes("exporting", done, log.len());
    });
    let written = output_file::write(
        output,
        |file| builtin::export(format, told, file),
        |error| provara_explain::export_failure(&error, vault.path()),
    );
    progress.clear();
    written?;
    Ok("built-in".to_owned())
}
