//! Why plugins could not be asked, or failed, in words.

use provara_core::event_type::{CustomType, OWN_TYPES};
use provara_plugins::catalog::{EventTypeInfo, Problem};
use provara_plugins::editable::AllowedError;
use provara_plugins::host::{HostError, NO_PLUGIN, PluginFailure, Shortage, SkippedPlugin};
use provara_plugins::interpreter::InterpreterError;
use provara_plugins::launch::LaunchError;
use provara_plugins::protocol::FailureKind;
use provara_plugins::runtime::Runtime;
use provara_plugins::sandbox::PathsError;
use provara_plugins::schema::SchemaViolations;
use provara_plugins::sources::ClosedSource;
use provara_plugins::state::Exposed;
use provara_plugins::surroundings::Hindrance;
use provara_plugins::violation::Suspicion;

use super::{interrupted, sentence};
use provara_report::shell;
use provara_report::{Class, Diagnostic, Parts, nearest};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What helps where only the plugin's author can.
const REPORT: &str = "Report it to the plugin's author; 'provara plugins list' names its package.";

/// No Python was found that could run plugins.
pub fn interpreter_failure(error: &InterpreterError) -> Diagnostic {
    let fix = match error {
        InterpreterError::NotFound { .. } => format!(
            "Install Python 3.10 or later with provara-protocol {VERSION}, or set PROVARA_PYTHON to \
             such an interpreter."
        ),
        InterpreterError::Dangling { .. } => format!(
            "Make the environment anew with a Python that is there, and install provara-protocol {VERSION} into \
             it; or set PROVARA_PYTHON to a Python that has it."
        ),
        InterpreterError::Unusable { .. } => format!(
            "Set PROVARA_PYTHON to a Python that has provara-protocol {VERSION}, or unset it."
        ),
    };
    Diagnostic::new(Class::Unavailable, sentence(&error.to_string())).fix(fix)
}

/// Whether the error says that the interpreter has no `provara` of this version: that no plugin
/// can be installed for it, rather than that a plugin failed.
pub fn is_no_python(error: &HostError) -> bool {
    match error {
        HostError::NoHost {
            runtime, output, ..
        } => lacks(runtime, output).is_some(),
        HostError::Version { .. } => true,
        _ => false,
    }
}

/// What a runtime lacks that could not find the host, as it said in `output`.
fn lacks(runtime: &Runtime, output: &str) -> Option<String> {
    match runtime {
        Runtime::Python(_) => python_lacks(output),
    }
}

/// What an interpreter lacks that could not find the module of the host, as it said in `output`.
pub(super) fn python_lacks(output: &str) -> Option<String> {
    // Python names the first part of the module's name that it did not find, or that is no package.
    let of_another = ["No module named 'provara.", "not found on 'provara"];
    if output.contains("No module named 'provara'") {
        Some("has no 'provara' module".to_owned())
    } else if of_another.iter().any(|words| output.contains(words)) {
        Some(format!(
            "has another version of 'provara'; {VERSION} is needed"
        ))
    } else {
        None
    }
}

/// An error of the plugin host.
pub fn host_failure(error: HostError) -> Diagnostic {
    let text = sentence(&error.to_string());
    match error {
        HostError::Interrupted(signal) => interrupted(signal),
        HostError::Launch(LaunchError::Refused(_)) => Diagnostic::new(Class::Unavailable, text)
            .fix("Run 'provara doctor' to see why; --sandbox=auto goes on with what there is."),
        HostError::Paths(PathsError::LinkedKeyfile { path, .. }) => {
            Diagnostic::new(Class::Unavailable, text).fix(format!(
                "Give the keyfile one name again: cp {0} {0}.new && mv {0}.new {0}",
                shell(&path)
            ))
        }
        HostError::Paths(PathsError::Unsearchable(_)) => Diagnostic::new(Class::Unavailable, text).fix(
            "Put the directory of the modules on PYTHONPATH and not one above it, or install the \
             project without --editable; --sandbox=off goes on without a sandbox.",
        ),
        HostError::Paths(_) => Diagnostic::new(Class::Unavailable, text).fix(
            "Keep vaults and keyfiles out of directories that Python reads, such as PYTHONPATH and \
             the source trees of editable installs; --sandbox=off goes on without a sandbox.",
        ),
        HostError::Launch(_) | HostError::Io(_) => Diagnostic::new(Class::Unavailable, text)
            .fix("Run 'provara doctor' to see what this installation can do."),
        HostError::NoHost {
            ref runtime,
            ref output,
            ..
        } => {
            let failure = match lacks(runtime, output) {
                Some(lack) => Diagnostic::new(
                    Class::Unavailable,
                    format!("{} {lack}.", named(runtime)),
                ),
                None => output
                    .lines()
                    .fold(Diagnostic::new(Class::Unavailable, text), |f, line| f.detail(line)),
            };
            failure.fix(install(runtime))
        }
        HostError::Version { ref runtime, .. } => {
            Diagnostic::new(Class::Unavailable, text).fix(install(runtime))
        }
        HostError::NotText(_) => Diagnostic::new(Class::Usage, text).fix(
            "Use a path of UTF-8 for the vault and for the output; the formats that are built in (csv, ndjson, \
             json) take any.",
        ),
        HostError::TooLarge(_) => Diagnostic::new(Class::Usage, text)
            .fix(super::TOO_LARGE_FIX),
        HostError::Schema { .. } => Diagnostic::new(Class::Plugin, text).fix(
            "Report it to the plugin's author: for this data the schema needs too much memory.",
        ),
        HostError::TimedOut { plugin, .. } if plugin == NO_PLUGIN => Diagnostic::new(Class::Plugin, text)
            .detail("No plugin was in hand: Python itself may have needed the time.")
            .fix("Give it more time with --timeout SECONDS."),
        HostError::TimedOut { .. } => Diagnostic::new(Class::Plugin, text)
            .fix("Give it more time with --timeout SECONDS, or report it to the plugin's author."),
        HostError::Loading { error, .. } => host_failure(*error),
        HostError::Exhausted { shortage, .. } => {
            Diagnostic::new(Class::Plugin, text).fix(match shortage {
                Shortage::Disk(directory) => {
                    format!("Free some space and try again: df -h {}", shell(&directory))
                }
                Shortage::Memory { .. } => "Let it keep less in its temporary directory, which is in memory for a \
                                            reducer, or report it to the plugin's author."
                    .to_owned(),
            })
        }
        HostError::Plugin(failure) => plugin_failure(*failure),
        HostError::Died { suspicion, .. } => {
            suspected(Diagnostic::new(Class::Plugin, text), suspicion).fix(REPORT)
        }
        HostError::Protocol { .. } => Diagnostic::new(Class::Plugin, text).fix(REPORT),
        HostError::Output { .. } => Diagnostic::new(Class::Plugin, text).fix(
            "Return only what JSON can carry: no NaN, no integers beyond 2^53-1, string keys.",
        ),
    }
}

/// A source tree that plugins cannot read, and what opens it.
pub fn closed_source(closed: &ClosedSource) -> String {
    format!(
        "{}. {}",
        sentence(&closed.to_string()).trim_end_matches('.'),
        closed.help()
    )
}

/// What keeps a part of an installation from plugins, or slows them, and what helps.
pub fn hindrance(found: &Hindrance) -> String {
    let help = match found {
        Hindrance::ClosedPath { directory, .. } => format!(
            "If plugins may read it, but for vaults and keys, open it with: provara plugins list --editable {}",
            shell(directory)
        ),
        Hindrance::RelativePath(_) => "Write it as an absolute path.".to_owned(),
        Hindrance::Uncompiled { site, program, .. } => format!(
            "Compile them once: {} -m compileall -q {}",
            shell(program),
            shell(site)
        ),
    };
    format!(
        "{}. {help}",
        sentence(&found.to_string()).trim_end_matches('.')
    )
}

/// What commands believe lies where plugins may write.
pub fn exposed_cache(error: &Exposed) -> Diagnostic {
    Diagnostic::new(Class::Unavailable, sentence(&error.to_string())).fix(
        "Set XDG_CACHE_HOME and XDG_STATE_HOME to directories of which the second, with provara/plugins, does \
         not hold the first.",
    )
}

/// The list of opened source trees could not be read or changed.
pub fn allowed_failure(error: &AllowedError) -> Diagnostic {
    let failure = |class, fix: &str| Diagnostic::new(class, sentence(&error.to_string())).fix(fix);
    match error {
        AllowedError::Directory { .. } => failure(
            Class::Usage,
            "Name the directory of the project's pyproject.toml.",
        ),
        AllowedError::NotText(_) => failure(
            Class::Usage,
            "Rename the directory, or install the project without --editable.",
        ),
        AllowedError::NoHome => failure(Class::Unavailable, "Set XDG_STATE_HOME to a directory."),
        AllowedError::Damaged { file, .. } => failure(
            Class::Unavailable,
            &format!("Remove it and open the trees again: rm {}", shell(file)),
        ),
        AllowedError::Io { file, .. } => failure(
            Class::Unavailable,
            &format!("Make it readable and writable: {}", shell(file)),
        ),
    }
}

/// A runtime as the subject of a sentence.
fn named(runtime: &Runtime) -> String {
    match runtime {
        Runtime::Python(python) => format!("The Python interpreter {}", shell(&python.program)),
    }
}

/// What makes a runtime one that can be a plugin host.
fn install(runtime: &Runtime) -> String {
    match runtime {
        Runtime::Python(python) => format!(
            "Install the wheel of provara-protocol {VERSION}, or its source directory, into that \
             interpreter: {} -m pip install PATH; or set PROVARA_PYTHON to one that has it.",
            shell(&python.program)
        ),
    }
}

/// The plugin that defines an event type is there and cannot be used.
pub fn unusable_type(name: &str, problem: &Problem) -> Diagnostic {
    let headline = format!("The plugin that defines the event type '{name}' cannot be used.");
    because(Diagnostic::new(Class::Plugin, headline), problem)
}

/// A name below Provara's own namespace that nothing here defines.
pub fn unknown_own_type(event_type: &CustomType) -> Diagnostic {
    let headline = format!("The event type '{event_type}' is not known.");
    let failure = Diagnostic::new(Class::Usage, headline).detail(format!(
        "Names below 'com.provara.' are Provara's own, and version {} has no such type. A later one may have, and \
         would take the event for it.",
        VERSION
    ));
    let failure = match nearest(event_type.as_str(), OWN_TYPES.into_iter()) {
        Some(near) => failure.detail(format!("Did you mean '{near}'?")),
        None => failure,
    };
    failure.fix(
        "Use a name below a domain of yours, such as com.example.audit.login, or a version of Provara that knows \
         the type.",
    )
}

/// Adds the one problem with a plugin that a failure comes from, and what helps against it.
pub fn because(failure: Diagnostic, problem: &Problem) -> Diagnostic {
    let Parts {
        headline,
        details,
        fix,
    } = Diagnostic::verbatim(Class::Plugin, vec![problem.text.clone()]).parts();
    let failure = details
        .into_iter()
        .fold(failure.detail(headline), Diagnostic::detail);
    failure.fix(fix.as_deref().unwrap_or(REPORT))
}

/// The data does not fit the schema of its type: the words of the plugin contract.
pub fn unfit(violations: &SchemaViolations) -> Diagnostic {
    Diagnostic::verbatim(Class::Usage, vec![violations.to_string()])
}

/// A plugin raised, exited, or returned what it must not.
fn plugin_failure(failure: PluginFailure) -> Diagnostic {
    let PluginFailure {
        kind,
        plugin,
        exception,
        message,
        traceback,
        violation,
        suspicion,
    } = failure;
    let said = match (&exception, &message) {
        (Some(exception), Some(message)) => format!("{exception}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    };
    if let Some(violation) = violation {
        return Diagnostic::new(
            Class::Plugin,
            format!("The plugin '{plugin}' was stopped by its sandbox: {violation}."),
        )
        .details(&traceback.unwrap_or(said))
        .fix(violation.allow.unwrap_or(REPORT));
    }
    let mut lines = said.lines();
    let first = lines.next().unwrap_or("no reason given");
    let (exit, headline, fix) = match kind {
        FailureKind::Raised => (
            Class::Plugin,
            format!("The plugin '{plugin}' failed: {first}"),
            REPORT,
        ),
        FailureKind::NotJson => (
            Class::Plugin,
            format!("The plugin '{plugin}' returned what is not JSON: {first}"),
            "Return only what JSON can carry: no NaN, no objects of classes, string keys.",
        ),
        FailureKind::Exit => (
            Class::Plugin,
            format!("The plugin '{plugin}' tried to exit the process: {first}"),
            "Report it to the plugin's author: a plugin returns, or raises an exception.",
        ),
        FailureKind::NotFound => (
            Class::Plugin,
            format!("The plugin '{plugin}' is not there any more: {first}"),
            "Run 'provara plugins list' to see what is installed.",
        ),
        FailureKind::Internal => (
            Class::Unavailable,
            format!("The plugin host failed: {first}"),
            "Run 'provara doctor' to see what this installation can do.",
        ),
    };
    let details = lines.chain(traceback.as_deref().unwrap_or_default().lines());
    let failure = details.fold(Diagnostic::new(exit, sentence(&headline)), |f, line| {
        f.detail(line)
    });
    suspected(failure, suspicion).fix(fix)
}

/// Adds which rule of the sandbox it may come from.
fn suspected(failure: Diagnostic, suspicion: Option<Suspicion>) -> Diagnostic {
    match suspicion {
        Some(suspicion) => failure.detail(suspicion.to_string()),
        None => failure,
    }
}

/// An event type's own `validate` refused the data.
pub fn refused_by_plugin(plugin: &EventTypeInfo, reason: &str) -> Diagnostic {
    let mut failure = Diagnostic::new(
        Class::Usage,
        format!("Event validation failed for type '{}'.", plugin.event_type),
    );
    for (index, line) in reason.lines().enumerate() {
        failure = failure.detail(if index == 0 {
            format!("Error: {line}")
        } else {
            line.to_owned()
        });
    }
    failure
        .detail(format!("Plugin: {}", plugin.origin.class))
        .fix("Correct the payload to satisfy the plugin.")
}

/// The host failed while it loaded the plugins.
pub fn discovery_failure(error: HostError) -> Diagnostic {
    if let HostError::Loading { error, skipped } = error {
        let names: Vec<_> = skipped.iter().map(SkippedPlugin::plugin).collect();
        let names = names.join("', '");
        return discovery_failure(*error)
            .detail(format!("Left out before, for the same: '{names}'."));
    }
    let named = match &error {
        // No plugin may have had its turn yet.
        HostError::TimedOut { plugin, .. } if plugin == NO_PLUGIN => None,
        HostError::Died { plugin, .. }
        | HostError::TimedOut { plugin, .. }
        | HostError::Protocol { plugin, .. } => Some(plugin != NO_PLUGIN),
        _ => None,
    };
    let failure = host_failure(error);
    match named {
        None => return failure,
        Some(true) => {
            return failure
                .detail("The process named it as the one in hand while it loaded plugins; all plugins share that process.")
                .fix(
                    "Uninstall its package, or take it out of PROVARA_PLUGINS; then report it to the \
                     plugin's author.",
                );
        }
        Some(false) => {}
    }
    let failure = failure.detail("It happened while the installed plugins were being loaded.");
    match std::env::var_os("PROVARA_PLUGINS").filter(|value| !value.is_empty()) {
        Some(plugins) => failure
            .detail(format!(
                "Among them is what PROVARA_PLUGINS names: {}",
                plugins.display()
            ))
            .fix("Unset PROVARA_PLUGINS, or take the entries out one by one to find the culprit."),
        None => failure.fix(
            "Uninstall the packages with plugins one by one ('pip list') to find the culprit.",
        ),
    }
}
