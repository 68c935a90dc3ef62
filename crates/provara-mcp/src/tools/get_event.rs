//! One event by its id.

use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::args;
use crate::job::JobHandle;
use crate::read::find;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "get_event";

/// `get_event`.
pub(super) struct GetEvent;

impl Tool for GetEvent {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Get an event",
            "Get one event by its id (evt_ and 24 hex digits), as it was signed. The vault is verified \
             first.",
            choice.input(
                json!({
                    "event_id": {"type": "string", "pattern": "^evt_[0-9a-f]{24}$"},
                    "cursor": part_cursor()
                }),
                &["event_id"],
            ),
            output(&[("line", "integer"), ("event", "object")]),
            reads(),
        )
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        let id = args::text(&call.arguments, "event_id").unwrap_or_default();
        job.stage("verifying");
        match find(&call.server, &handle, id, job)? {
            Some((number, event)) => Ok(Answer::new()
                .with("vault", handle.name.as_str())
                .with("line", &number)
                .with_json("event", &event)),
            None => Err(Refusal::new(
                &format!("The vault '{}' holds no event {id}.", handle.name),
                "Find its id with 'query_events'.",
            )),
        }
    }
}
