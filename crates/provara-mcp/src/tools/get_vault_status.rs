//! What a vault holds.

use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, reads};
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
             and the last event. A good first call.",
            choice.input(json!({}), &[]),
            json!({
                "type": "object",
                "required": ["vault", "valid", "event_count", "errors", "warnings", "read_only"],
                "properties": {
                    "vault": {"type": "string"},
                    "valid": {"type": "boolean"},
                    "event_count": {"type": "integer"},
                    "errors": {"type": "integer"},
                    "warnings": {"type": "integer"},
                    "read_only": {"type": "boolean", "description": "Whether this server refuses to append."},
                    "last_event": {"type": ["string", "null"]},
                    "actor_count": {"type": "integer"},
                    "actors": {"type": "object", "description": "The first 100 by name, with the heads of their chains."},
                    "type_count": {"type": "integer"},
                    "types": {"type": "object", "description": "The first 100 by name, with their counts."}
                }
            }),
            reads(),
        )
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        job.stage("verifying");
        vault_status(&call.server, &handle, job)
    }
}
