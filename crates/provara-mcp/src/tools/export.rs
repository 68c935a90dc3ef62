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
        let text = format!(
            "Write a vault in the format {name} of the plugin {} into the directory that the \
             operator allowed. It appears whole or not at all; the vault stays as it is. The vault \
             is verified first.",
            self.info.origin
        );
        let input = choice.input(export_properties(), &["name"]);
        let title = format!("Export as {name}");
        described(&title, &text, input, exported(), writes_outside())
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
