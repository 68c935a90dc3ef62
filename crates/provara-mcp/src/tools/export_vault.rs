//! A vault in another form, written into the one directory that the operator allowed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use provara_plugins::builtin::{self, ExportError, Format};
use provara_plugins::host::Exporting;
use provara_plugins::resolve::Provider;
use provara_plugins::staging::{self, Staging};
use rmcp::model::{Tool as Described, ToolAnnotations};
use serde_json::{Value, json};

use super::describe::{Choice, described, output};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::args;
use crate::config::Config;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::ErrorContext;

/// The tool's name.
pub(super) const NAME: &str = "export_vault";

/// `export_vault`.
pub(super) struct ExportVault;

impl Tool for ExportVault {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        let mut properties = export_properties();
        properties["format"] = json!({
            "type": "string", "minLength": 1, "maxLength": 200,
            "description": "csv, json, ndjson or an installed format ('list_plugins')."
        });
        described(
            "Export a vault",
            "Write a vault in another format into the directory that the operator allowed. The \
                 file appears whole or not at all; the vault stays as it is. The vault is verified \
                 first.",
            choice.input(properties, &["format", "name"]),
            exported(),
            writes_outside(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            plugins: true,
            stages: 3,
            ..Needs::default()
        }
    }

    fn is_offered(&self, config: &Config) -> bool {
        config.export_dir.is_some()
    }

    fn waits(&self, call: &Call) -> bool {
        let catalog = &call.installed.catalog;
        let given = args::text(&call.arguments, "format");
        given.is_some_and(|name| catalog.export(name).is_some())
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let name = args::text(&call.arguments, "format").unwrap_or_default();
        export(call, name, job)
    }
}

/// The schema of an export's receipt.
pub(super) fn exported() -> Value {
    output(&[("output", "string"), ("bytes", "integer")])
}

/// The properties that every export takes.
pub(super) fn export_properties() -> Value {
    json!({
        "name": {
            "type": "string",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
            "description": "The name of the file to write, without a directory, such as audit.csv."
        },
        "overwrite": {
            "type": "boolean",
            "default": false,
            "description": "Replace a file of that name."
        }
    })
}

/// Replaces an output, or writes a new one.
pub(super) fn writes_outside() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(false)
        .destructive(true)
        .idempotent(true)
        .open_world(false)
}

/// `export_vault` and the tools of installed exports.
pub(super) fn export(call: &Call, format: &str, job: &JobHandle) -> Result<Answer, Refusal> {
    let server = &call.server;
    let renderer = &*server.renderer;
    let staged = |error| Refusal(renderer.render(ErrorContext::Staging { error, format }));
    let handle = call.vault()?;
    let Some(directory) = &server.config.export_dir else {
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
    let vaults = server.vaults();
    let forbidden: Vec<PathBuf> = vaults.iter().map(|vault| vault.path.clone()).collect();
    staging::check(&target, overwrite, &forbidden).map_err(staged)?;
    let (vault, log) = call.verify_first(&handle, job, "exporting")?;
    let output = Staging::prepare(&target, overwrite, &forbidden).map_err(staged)?;
    let by = match call.installed.catalog.resolve_export(format) {
        Some(Provider::Plugin(info)) => {
            let purpose = Exporting {
                vault: vault.path().to_owned(),
                staging: output.directory().to_owned(),
            };
            // The vault in hand is among what is protected; for its export it is readable all the same.
            call.ask_plugin(purpose, job, |host| {
                host.export(&info.name, output.output())
            })?;
            info.origin.to_string()
        }
        Some(Provider::BuiltIn(format)) => {
            let vault = handle.path.as_path();
            let refused = |error| Refusal(renderer.render(ErrorContext::Export { error, vault }));
            // Cut short, it is thrown away below.
            let lines = log.lines().take_while(|_| !job.is_cancelled());
            write(format, lines, output.output()).map_err(refused)?;
            "built-in".to_owned()
        }
        None => return Err(call.no_plugin("export format", format)),
    };
    handle.check_unchanged(&log, renderer)?;
    job.check_cancelled()?;
    job.stage("writing");
    let bytes = size(output.output());
    let is_directory = output.output().is_dir();
    let place = output.target().to_string_lossy().into_owned();
    output.commit().map_err(staged)?;
    Ok(Answer::new()
        .with("vault", handle.name.as_str())
        .with("format", format)
        .with("by", &by)
        .with("output", &place)
        .with("is_directory", &is_directory)
        .with("bytes", &bytes))
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
