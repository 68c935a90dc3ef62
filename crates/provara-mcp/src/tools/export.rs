//! The tool of one installed export.

use provara_plugins::catalog::{PluginInfo, PluginKind};
use rmcp::model::Tool as Described;

use super::describe::{Choice, described};
use super::export_vault::{export, export_properties, exported, writes_outside};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::config::Config;
use crate::job::JobHandle;
use crate::refusal::Refusal;

/// Runs one installed export.
pub(super) struct ExportTool {
    pub(super) name: String,
    pub(super) info: PluginInfo,
}

impl Tool for ExportTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn plugin(&self) -> Option<(PluginKind, &str)> {
        Some((PluginKind::Export, self.info.name.as_str()))
    }

    fn is_offered(&self, config: &Config) -> bool {
        config.export_dir.is_some()
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        let name = &self.info.name;
        let about = self.info.description.as_deref().unwrap_or_default();
        let text = format!(
            "Write a verified vault in the format {name} ({}) into the directory that the operator \
             allowed. {about}",
            self.info.origin
        );
        let text = text.trim_end();
        let input = choice.input(export_properties(), &["name"]);
        let title = format!("Export as {name}");
        described(&title, text, input, exported(), writes_outside())
    }

    fn needs(&self) -> Needs {
        Needs {
            stages: 3,
            ..Needs::default()
        }
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        export(call, self.info.name.as_str(), job)
    }
}
