//! What is wrong with a plugin, and what its author should know.

use provara_report::Diagnostic;
use serde::Serialize;

use super::{Origin, PluginKind};
use crate::schema::Remarks;
use crate::text::inline;

/// What sort of thing went wrong with a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A required method or attribute is missing.
    Invalid,
    /// Two plugins have one name.
    Collision,
    /// The plugin could not be loaded.
    Load,
    /// The name breaks the rules.
    Name,
    /// The schema is missing or wrong.
    Schema,
}

/// A plugin that is skipped, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort of problem it is.
    pub kind: ProblemKind,
    /// The plugin or entry point, safe for a terminal.
    pub plugin: Option<String>,
    /// The distribution that the plugin belongs to, where that is known; safe for a terminal.
    pub distribution: Option<String>,
    /// `ERROR: …`, details, `Fix: …`; several lines, safe for a terminal.
    pub text: String,
    /// What the plugin is, where that is known.
    #[serde(skip)]
    pub of: Option<PluginKind>,
    /// Where it comes from, where that is known.
    #[serde(skip)]
    pub origin: Option<Origin>,
    /// All that is wrong with its schema.
    #[serde(skip)]
    pub faults: Remarks,
    /// What else its author should know of its schema.
    #[serde(skip)]
    pub advice: Remarks,
}

impl Problem {
    /// A problem with a plugin of which no more is known than how it is called.
    pub(crate) fn new(kind: ProblemKind, plugin: &str, text: &Diagnostic) -> Problem {
        Problem {
            kind,
            plugin: Some(inline(plugin).into_owned()),
            distribution: None,
            text: text.to_string(),
            of: None,
            origin: None,
            faults: Remarks::default(),
            advice: Remarks::default(),
        }
    }

    /// The same with where the plugin comes from.
    pub(super) fn of(self, kind: PluginKind, origin: &Origin) -> Problem {
        Problem {
            distribution: origin.distribution.clone(),
            of: Some(kind),
            origin: Some(origin.clone()),
            ..self
        }
    }
}

/// What the author of a plugin that can be used should know of its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The event type.
    pub plugin: String,
    /// What there is to say.
    pub remarks: Remarks,
}
