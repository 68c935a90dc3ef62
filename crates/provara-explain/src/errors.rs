//! Every error of the libraries as a diagnostic.

mod adoption;
mod anchor;
mod archive;
mod head;
mod host;
mod merge;
mod signatures;
mod staging;
mod vault;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use provara_core::canonical::{CanonicalError, UNNAMED};
use provara_core::number_policy::{NumberPolicy, Place};
use provara_core::number_rule::NumberFault;
use provara_plugins::builtin::ExportError;
use provara_plugins::interrupt::Guard;
use provara_plugins::set_option::SetError;
use provara_report::{Class, Diagnostic, quote, shell};
use provara_vault::VaultError;

pub use head::head_fix;
pub use host::{
    allowed_failure, because, closed_source, discovery_failure, exposed_cache, hindrance,
    host_failure, interpreter_failure, is_no_python, refused_by_plugin, unfit, unknown_own_type,
    unusable_type,
};
pub use signatures::{missing_signatures, unknown_signatures};
pub use staging::{export_staging_failure, staging_failure};
pub(crate) use vault::wants_another_key;
pub use vault::{
    NO_SECOND_GENESIS, TOO_LARGE_FIX, accept_fix, seal_fix, unverified, vault_failure,
};

/// The data cannot be carried by canonical JSON, for somebody who has chosen `policy` for its numbers.
pub fn canonical_failure(error: &CanonicalError, policy: &NumberPolicy) -> Diagnostic {
    Diagnostic::new(Class::Usage, sentence(&error.to_string())).fix(canonical_fix(error, policy))
}

/// An event was refused, whose data had its numbers treated by `policy`.
pub fn append_failure(error: VaultError, vault: &Path, policy: &NumberPolicy) -> Diagnostic {
    match &error {
        VaultError::Canonical(error) => canonical_failure(error, policy),
        _ => vault_failure(error, vault),
    }
}

/// What helps against a number that canonical JSON cannot carry, beside what is chosen already.
fn canonical_fix(error: &CanonicalError, policy: &NumberPolicy) -> String {
    let (path, token, fault) = match error {
        CanonicalError::Number { path, token, fault } => (path, token, fault),
        CanonicalError::Unserializable(_) => return "Give plain JSON.".to_owned(),
    };
    let string = as_string(token);
    match (policy, fault) {
        (NumberPolicy::Exact, NumberFault::Changed { nearest }) => format!(
            "{string}; or add --numbers string, which does that to every such number, or --numbers round, \
             which takes {nearest}."
        ),
        (NumberPolicy::Exact, NumberFault::OutOfRange | NumberFault::UnsafeInteger) => {
            format!("{string}; or add --numbers string, which does that to every such number.")
        }
        (NumberPolicy::Round, _) => format!(
            "{string}; or give --numbers string in place of --numbers round, which does that to every such \
             number."
        ),
        (NumberPolicy::StringsAt(_), _) => match place_of_all(path) {
            Some(place) => format!(
                "{string}; or add --numbers-at {}, which does that to every number there.",
                quote(&place)
            ),
            None => string + ".",
        },
        (NumberPolicy::Strings, _) => string + ".",
    }
}

/// A place of a number as --numbers-at takes it, with every item of its arrays; nothing where it cannot name
/// the place.
fn place_of_all(path: &str) -> Option<String> {
    if path == UNNAMED {
        return None;
    }
    let mut place = String::new();
    let mut rest = path;
    // A backslash stands before a bracket of a name itself.
    while let Some(at) = rest.find(['\\', '[']) {
        place.push_str(&rest[..at]);
        let end = match rest.as_bytes()[at] {
            b'\\' => {
                let escaped = rest[at..].chars().take(2);
                let end = at + escaped.map(char::len_utf8).sum::<usize>();
                place.push_str(&rest[at..end]);
                end
            }
            _ => {
                place.push_str("[*]");
                at + rest[at..].find(']')? + 1
            }
        };
        rest = &rest[end..];
    }
    place.push_str(rest);
    place.parse::<Place>().is_ok().then_some(place)
}

/// What helps against it where there is no option.
pub(crate) fn canonical_fix_without_options(error: &CanonicalError) -> String {
    match error {
        CanonicalError::Number { token, .. } => as_string(token) + ".",
        CanonicalError::Unserializable(_) => canonical_fix(error, &NumberPolicy::Exact),
    }
}

fn as_string(token: &str) -> String {
    match token.len() {
        ..=60 => format!("Write the number as a string, \"{token}\""),
        _ => "Write the number as a string, in quotation marks".to_owned(),
    }
}

/// A signal asked the command to end, and it has cleaned up.
pub fn interrupted(signal: i32) -> Diagnostic {
    interrupted_after(signal, "nothing was changed")
}

/// The same where something was done before.
pub fn interrupted_after(signal: i32, done: &str) -> Diagnostic {
    // Never dropped: the last guard would let the signal end the process at once, and the exit code
    // would depend on who waits for it.
    std::mem::forget(Guard::new());
    Diagnostic::new(
        Class::Interrupted(u8::try_from(signal).unwrap_or_default()),
        format!("Interrupted; {done}."),
    )
}

/// `PROVARA_SANDBOX` has a value that it may not have.
pub fn sandbox_variable(text: &OsStr) -> Diagnostic {
    Diagnostic::new(
        Class::Usage,
        format!(
            "PROVARA_SANDBOX is '{}', which is none of require, auto and off.",
            text.display()
        ),
    )
    .fix("Set it to one of them, or unset it.")
}

/// A `--set` option cannot be applied.
pub fn set_failure(error: &SetError) -> Diagnostic {
    let (exit, fix) = match error {
        SetError::Schema(_) => (
            Class::Plugin,
            "Report it to the plugin's author; --data needs no such schema.",
        ),
        SetError::NoValue(_) => (
            Class::Usage,
            "Write --set KEY=VALUE, for example --set level=3.",
        ),
        SetError::Twice(_) => (Class::Usage, "Keep one of the two options."),
        SetError::NoSuchItem { .. } => (Class::Usage, "Set the items in their order, from [0]."),
        SetError::BadJson { .. } => (
            Class::Usage,
            "Write the value so that every JSON reader takes it the same way.",
        ),
        SetError::WrongType { .. } => (
            Class::Usage,
            "Give a value of the type that the schema names.",
        ),
        SetError::BadPath { .. } | SetError::NotAContainer { .. } => (
            Class::Usage,
            "Write a path such as user.name or tags[0]; a backslash keeps '.' and '[' as they are.",
        ),
    };
    Diagnostic::new(exit, sentence(&error.to_string())).fix(fix)
}

/// A built-in export stopped.
pub fn export_failure(error: &ExportError, vault: &Path) -> Diagnostic {
    let text = sentence(&error.to_string());
    match error {
        ExportError::Line { .. } => Diagnostic::new(Class::Evidence, text).fix(format!(
            "Run 'provara verify {}' to see every finding; --format ndjson takes the log as it is.",
            shell(vault)
        )),
        ExportError::Io(error) => {
            Diagnostic::new(Class::Unavailable, text).fix(io_fix(error, Path::new(".")))
        }
    }
}

/// The handlers of signals could not be installed.
pub fn signals_failure(error: &io::Error) -> Diagnostic {
    Diagnostic::new(
        Class::Unavailable,
        format!("Signals could not be watched: {error}."),
    )
    .fix("Check the limits of the process: ulimit -a")
}

/// The system refused something about `path`.
pub fn io_failure(action: &str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(
        Class::Unavailable,
        format!("Could not {action} '{}': {error}.", path.display()),
    )
    .fix(io_fix(error, path))
}

fn io_fix(error: &io::Error, path: &Path) -> String {
    /// Too many open files, in the process and in the system.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    let shown = shell(path);
    if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
        return "Close what holds files open, or allow more of them: ulimit -n 1024".to_owned();
    }
    match error.kind() {
        io::ErrorKind::NotFound => format!("Check that {shown} exists."),
        io::ErrorKind::PermissionDenied => {
            format!("Check who may read and write it: ls -ld {shown}")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "Work on a copy on a writable disk; 'provara verify' needs none.".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("Free some space: df -h {shown}")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            format!("Check the path: ls -ld {shown}")
        }
        _ => format!("Check the disk and the path: ls -ld {shown}"),
    }
}

/// A library's message as a sentence: a capital first, unless a name stands there, a full stop
/// last.
pub fn sentence(message: &str) -> String {
    let first = message.split(' ').next().unwrap_or_default();
    let mut text = message.to_owned();
    if !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_lowercase()) {
        text[..1].make_ascii_uppercase();
    }
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests;
