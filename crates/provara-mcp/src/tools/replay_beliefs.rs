//! What the events of a vault add up to.

use provara_core::canonical;
use provara_core::json::{self, Value as Json};
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Needs, Tool};
use crate::answer::{Answer, MAX_ANSWER};
use crate::args;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// The maps of a belief state.
const MAPS: [&str; 4] = ["canonical", "local", "contested", "archived"];

/// The tool's name.
pub(super) const NAME: &str = "replay_beliefs";

/// `replay_beliefs`.
pub(super) struct ReplayBeliefs;

impl Tool for ReplayBeliefs {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "What the events add up to",
            "Replay all events into beliefs: for each subject and predicate what is canonical, what is \
             local, what is contested and what was archived, with the evidence. The same events give \
             the same state and state_hash. The vault is verified first.",
            choice.input(
                json!({
                    "key_prefix": {"type": "string", "maxLength": 1000, "description": "Only beliefs whose key 'subject:predicate' begins with this."},
                    "cursor": part_cursor()
                }),
                &[],
            ),
            output(&[("event_count", "integer"), ("state_hash", "string"), ("beliefs", "object")]),
            reads(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            stages: 2,
            ..Needs::default()
        }
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let handle = call.vault()?;
        let renderer = &*call.server.renderer;
        let (_, log) = call.verify_first(&handle, job, "replaying")?;
        let state = log
            .beliefs_watched(&|done, total| job.report_progress(done, total))
            .map_err(|error| handle.refusal(renderer, error))?;
        let text = state.to_json();
        let broken = || Refusal::new("The state could not be read.", "Report it to the operator.");
        let tree = json::parse(&text).map_err(|_| broken())?;
        let prefix = args::text(&call.arguments, "key_prefix").unwrap_or_default();
        let chosen = MAPS.iter().map(|map| {
            let all = tree
                .get(map)
                .and_then(Json::as_object)
                .cloned()
                .unwrap_or_default();
            let fits = all.into_iter().filter(|(key, _)| key.starts_with(prefix));
            ((*map).into(), Json::Object(fits.collect()))
        });
        let chosen = canonical::token_preserving(&Json::Object(chosen.collect()));
        let chosen = String::from_utf8(chosen).map_err(|_| broken())?;
        if chosen.len() > MAX_ANSWER - 4096 {
            return Err(Refusal::new(
                &format!(
                    "These beliefs have {} bytes, more than an answer may have.",
                    chosen.len()
                ),
                "Ask for some of them with 'key_prefix', such as 'door:'.",
            ));
        }
        let count = tree
            .get("metadata")
            .and_then(|data| data.get("event_count"));
        Ok(Answer::new()
            .with("vault", handle.name.as_str())
            .with(
                "event_count",
                &count.and_then(Json::as_i64).unwrap_or_default(),
            )
            .with("state_hash", &state.state_hash.to_string())
            .with_json("beliefs", &chosen))
    }
}
