//! A plugin that hosts go on without, and what the user is told of it.

use provara_report::{Class, Diagnostic};

use crate::catalog::{Problem, ProblemKind};
use crate::protocol::Loading;
use crate::text::inline;

/// A plugin that hosts go on without, because one ended or had to be ended while it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedPlugin {
    pub(super) loading: Loading,
    pub(super) label: String,
    /// What became of the process, after "the process that loads plugins".
    pub(super) ending: String,
    /// Whether it was ended because it took too long.
    pub(super) late: bool,
}

impl SkippedPlugin {
    /// The plugin: its entry point with the distribution, or its item of `PROVARA_PLUGINS`. Safe for a
    /// terminal.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.label
    }

    /// What the user is told.
    pub(super) fn problem(&self) -> Problem {
        let SkippedPlugin {
            loading,
            label,
            ending,
            late,
        } = self;
        let module = loading
            .module
            .as_deref()
            .map_or_else(String::new, |module| {
                format!(", and with it all that is in the module {}", inline(module))
            });
        let text = Diagnostic::new(
            Class::Plugin,
            format!("Plugin '{label}' could not be loaded."),
        )
        .detail(format!(
            "The process that loads plugins {ending}. It had said that it was loading this one."
        ))
        .detail(format!(
            "It was left out{module}; the others were loaded in a new process."
        ))
        .fix(match late {
            true => {
                "Give it more time with --timeout SECONDS; if that does not help, repair it, uninstall its \
                 package, or take it out of PROVARA_PLUGINS."
            }
            false => {
                "Repair it, uninstall its package, or take it out of PROVARA_PLUGINS. All plugins are loaded in \
                 one process: if this one can be loaded where no other is installed, another one ended it."
            }
        });
        // The host names it as `entry point (distribution)`.
        let named = label
            .strip_suffix(')')
            .and_then(|label| label.rsplit_once(" ("));
        Problem {
            distribution: named.map(|(_, distribution)| distribution.to_owned()),
            ..Problem::new(ProblemKind::Load, label, &text)
        }
    }
}
