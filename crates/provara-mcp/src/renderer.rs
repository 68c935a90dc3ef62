//! What went wrong, handed to whoever renders it.

use provara_core::query::Query;
use provara_vault::SourceLog;

pub use provara_explain::ErrorContext;

/// Turns errors into texts: `ERROR: …`, details, `Fix: …`. The command line implements it, so that an
/// agent reads what a person reads; where the advice to a person is a command or an option, an agent's is
/// a tool, or to ask the operator.
pub trait Renderer: Send + Sync {
    /// The whole text, of several lines.
    fn render(&self, context: ErrorContext<'_>) -> String;

    /// Why a query that chose no event of the log may have been meant otherwise: a sentence for each
    /// reason.
    fn nothing_chosen(&self, query: &Query, log: &SourceLog) -> Vec<String>;
}
