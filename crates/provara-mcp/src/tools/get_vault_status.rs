//! What a vault holds.

use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::read::vault_status;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "get_vault_status";

/// `get_vault_status`.
pub(super) struct GetVaultStatus;

impl Tool for GetVaultStatus {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Look at a vault",
            "What a vault holds: whether it verifies, how many events, by which actors, of which types, \
             and the last event; of actors and types the first 100 by name. A good first call.",
            choice.input(json!({"cursor": part_cursor()}), &[]),
            output(&[
                ("valid", "boolean"),
                ("event_count", "integer"),
                ("types", "object"),
            ]),
            reads(),
        )
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        job.stage("verifying");
        vault_status(&call.server, &handle, job)
    }
}
