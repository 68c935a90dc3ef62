//! What went wrong, in the words for agents.

use provara_explain::Audience;
pub(crate) use provara_explain::ErrorContext;
use provara_query::Asked;
use provara_vault::SourceLog;

/// Turns errors into texts: `ERROR: …`, details, `Fix: …`. An agent reads what a person reads; where the
/// advice to a person is a command or an option, an agent's is a tool, or to ask the operator.
pub(crate) trait Renderer: Send + Sync {
    /// The whole text, of several lines.
    fn render(&self, context: ErrorContext<'_>) -> String {
        context.diagnostic(Audience::Agent).to_string()
    }

    /// Why a query that chose no event of the log may have been meant otherwise: a sentence for each
    /// reason.
    fn nothing_chosen(&self, asked: &Asked, log: &SourceLog) -> Vec<String> {
        provara_explain::nothing_chosen(asked, log)
    }
}

/// The renderer of a server.
pub(crate) struct ForAgents;

impl Renderer for ForAgents {}
