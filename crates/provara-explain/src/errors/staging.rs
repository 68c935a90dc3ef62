//! Why an output is not where it was to be, in words.

use provara_plugins::staging::StagingError;

use super::{io_fix, sentence};
use provara_report::{Class, Diagnostic};

/// An output cannot be staged or moved into place.
pub fn staging_failure(error: &StagingError) -> Diagnostic {
    let (exit, fix) = match error {
        StagingError::NoName(_) => (
            Class::Usage,
            "Name the file or directory to write, for example --output export.csv.".to_owned(),
        ),
        StagingError::Exists(_) => (
            Class::Unavailable,
            "Name another place, or add --force to replace it.".to_owned(),
        ),
        StagingError::NotReplaceable { .. } => (
            Class::Unavailable,
            "Name another place; what stands there is not replaced, with --force either.".to_owned(),
        ),
        StagingError::Forbidden { .. } => {
            (Class::Usage, "Name a place outside the vault, where every file is evidence.".to_owned())
        }
        StagingError::Directory { directory, source } => {
            (Class::Unavailable, io_fix(source, directory))
        }
        StagingError::Io { path, source } => (Class::Unavailable, io_fix(source, path)),
        StagingError::Nothing | StagingError::Foreign { .. } => (
            Class::Plugin,
            "Report it to the plugin's author: an export writes files and directories of its own to \
             the path that it is given."
                .to_owned(),
        ),
    };
    Diagnostic::new(exit, sentence(&error.to_string())).fix(fix)
}

/// The same for the output of the export format `name`: what only its plugin can have done names it.
pub fn export_staging_failure(name: &str, error: &StagingError) -> Diagnostic {
    let failure = staging_failure(error);
    match error {
        StagingError::Nothing | StagingError::Foreign { .. } => {
            failure.within(&format!("The plugin '{name}' failed"))
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_plugin_is_named_where_it_is_to_blame() {
        let told = |error| export_staging_failure("noop", &error).headline();
        assert_eq!(
            told(StagingError::Nothing),
            "The plugin 'noop' failed: Nothing was written."
        );
        assert_eq!(
            told(StagingError::Exists(PathBuf::from("out"))),
            "'out' exists already."
        );
    }
}
