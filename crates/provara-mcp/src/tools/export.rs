//! What writes a vault in another form, into the one directory that the operator allowed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use provara_plugins::builtin::{self, ExportError, Format};
use provara_plugins::catalog::PluginName;
use provara_plugins::host::Purpose;
use provara_plugins::staging::{self, Staging};
use provara_vault::Vault;

use super::Call;
use crate::answer::Answer;
use crate::args;
use crate::job::Handle;
use crate::keeper;
use crate::refusal::Refusal;
use crate::words::Trouble;

/// `export_vault` and the tools of installed exports.
pub(super) fn export(call: &Call, format: &str, job: &Handle) -> Result<Answer, Refusal> {
    let hub = &call.hub;
    let words = &*hub.words;
    let staged = |error| Refusal(words.tell(Trouble::Staging { error, format }));
    let served = call.vault()?;
    let Some(directory) = &hub.config.export_dir else {
        return Err(Refusal::new(
            "The operator allowed no exports.",
            "Ask the operator to name a directory for them: --export-dir DIR.",
        ));
    };
    let name = args::text(&call.arguments, "name").unwrap_or_default();
    // The schema lets only plain names through; that rests on no pattern alone.
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Refusal::new(
            "That is no name of a file.",
            "Give one such as audit.csv.",
        ));
    }
    let target = directory.join(name);
    let overwrite = args::flag(&call.arguments, "overwrite");
    let vaults = hub.vaults();
    let forbidden: Vec<PathBuf> = vaults.iter().map(|vault| vault.path.clone()).collect();
    staging::check(&target, overwrite, &forbidden).map_err(staged)?;
    job.stage("verifying");
    let vault = served.open(words, job)?;
    let log = served.verified(&vault, words)?;
    job.check_cancelled()?;
    job.stage("exporting");
    let output = Staging::prepare(&target, overwrite, &forbidden).map_err(staged)?;
    let by = match call.installed.catalog.export(format) {
        Some(info) => {
            in_host(call, &vault, &info.name, &output, job)?;
            info.origin.to_string()
        }
        None => {
            let Ok(format) = format.parse::<Format>() else {
                return Err(missing(call, "export format", format));
            };
            let vault = served.path.as_path();
            let told = |error| Refusal(words.tell(Trouble::Export { error, vault }));
            // Cut short, it is thrown away below.
            let lines = log.lines().take_while(|_| !job.is_cancelled());
            write(format, lines, output.output()).map_err(told)?;
            "built-in".to_owned()
        }
    };
    job.check_cancelled()?;
    job.stage("writing");
    let bytes = size(output.output());
    let is_directory = output.output().is_dir();
    let place = output.target().to_string_lossy().into_owned();
    output.commit().map_err(staged)?;
    Ok(Answer::new()
        .with("vault", served.name.as_str())
        .with("format", format)
        .with("by", &by)
        .with("output", &place)
        .with("is_directory", &is_directory)
        .with("bytes", &bytes))
}

/// Runs an installed export in a host of its own, which can write this output and nothing else.
fn in_host(
    call: &Call,
    vault: &Vault,
    name: &PluginName,
    output: &Staging,
    job: &Handle,
) -> Result<(), Refusal> {
    let hub = &call.hub;
    let told = |error| Refusal(hub.words.tell(Trouble::Host(error)));
    let purpose = Purpose::Export {
        vault: vault.path().to_owned(),
        staging: output.directory().to_owned(),
    };
    // The vault in hand is among what is protected; for its export it is readable all the same.
    let left_out = &call.installed.left_out;
    let (plugins, protect) = (&hub.config.plugins, hub.protected());
    let mut host = keeper::start(plugins, purpose, protect, left_out, &*hub.words)?;
    job.tie(host.killer());
    keeper::load(&mut host, &*hub.words)?;
    host.export(name, output.output()).map_err(told)?;
    host.finish().map_err(told)
}

fn write<'a>(
    format: Format,
    lines: impl Iterator<Item = &'a [u8]>,
    path: &Path,
) -> Result<(), ExportError> {
    let mut file = BufWriter::with_capacity(1 << 16, File::create_new(path)?);
    builtin::export(format, lines, &mut file)?;
    Ok(file.flush()?)
}

/// The bytes of a file, or of all files of a directory.
fn size(path: &Path) -> u64 {
    let Ok(data) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !data.is_dir() {
        return data.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// No plugin has this name.
pub(super) fn missing(call: &Call, what: &str, name: &str) -> Refusal {
    let mut text = format!(
        "ERROR: No installed plugin provides the {what} '{}'.",
        provara_plugins::text::inline(name)
    );
    let failure = call
        .installed
        .failure
        .iter()
        .map(|failure| failure.0.as_str());
    let problems = call
        .installed
        .catalog
        .problems
        .iter()
        .map(|problem| problem.text.as_str());
    for line in problems.chain(failure).flat_map(str::lines) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text.push_str("\nFix: Use one that 'list_plugins' shows.");
    Refusal(text)
}
