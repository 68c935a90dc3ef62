//! The tool of one installed reducer.

use provara_plugins::catalog::{PluginInfo, PluginKind};
use rmcp::model::Tool as Described;
use serde_json::json;

use super::describe::{Choice, described, part_cursor, reads};
use super::reduce_vault::{reduce, reduced};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// Runs one installed reducer.
pub(super) struct ReducerTool {
    pub(super) name: String,
    pub(super) info: PluginInfo,
}

impl Tool for ReducerTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn plugin(&self) -> Option<(PluginKind, &str)> {
        Some((PluginKind::Reducer, self.info.name.as_str()))
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        let name = &self.info.name;
        let about = self.info.description.as_deref().unwrap_or_default();
        let text = format!(
            "Run the reducer {name} ({}) over all events of a verified vault and get the state that it \
             derives. {about}",
            self.info.origin
        );
        let text = text.trim_end();
        let input = choice.input(json!({"cursor": part_cursor()}), &[]);
        let title = format!("Reduce with {name}");
        described(&title, text, input, reduced(), reads())
    }

    fn needs(&self) -> Needs {
        Needs {
            stages: 2,
            ..Needs::default()
        }
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        reduce(call, self.info.name.as_str(), job)
    }
}
