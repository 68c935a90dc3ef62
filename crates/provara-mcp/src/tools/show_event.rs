//! One event, its place, its key, and what refers to it.

use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Tool};
use crate::answer::Answer;
use crate::args;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The tool's name.
pub(super) const NAME: &str = "show_event";

/// `show_event`.
pub(super) struct ShowEvent;

impl Tool for ShowEvent {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Show an event's evidence",
            "One event with its place in the log, its actor's events before and after it, who signed it and \
             why that key was good then, what refers to it, and how to check it by hand. The vault is \
             verified first.",
            choice.input(
                json!({
                    "event_id": {"type": "string", "minLength": 1, "maxLength": 28, "description": "Its id, or as much of the beginning as no other id has."},
                    "cursor": part_cursor()
                }),
                &["event_id"],
            ),
            output(&[("event_id", "string"), ("line", "integer"), ("key", "object"), ("event", "object")]),
            reads(),
        )
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        let (_, log) = call.verify_first(&handle, job, "looking")?;
        let id = args::text(&call.arguments, "event_id").unwrap_or_default();
        let found = provara_explain::event::find(&log, id).map_err(|diagnostic| {
            Refusal::from(&diagnostic.fix("Find ids with 'query_events'."))
        })?;
        let path = handle.path.join(provara_core::layout::LOG);
        let shown = provara_explain::event::look(&log, &found, &path, true);
        let event = String::from_utf8_lossy(found.line).into_owned();
        handle.check_unchanged(&log, &*call.server.renderer)?;
        let answer = Answer::new().with("vault", handle.name.as_str());
        Ok(answer.with_members(&shown).with_json("event", &event))
    }
}
