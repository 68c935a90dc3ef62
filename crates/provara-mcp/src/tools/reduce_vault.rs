//! What a reducer derives from all events: the summary, the beliefs, or what a plugin makes of them.

use std::sync::Arc;

use provara_core::canonical;
use provara_plugins::builtin::Reducer;
use provara_plugins::host::Reducing;
use provara_plugins::resolve::Provider;
use provara_vault::SourceLog;
use rmcp::model::Tool as Described;
use serde_json::{Value, json};

use super::describe::{Choice, described, output, part_cursor, reads};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::args;
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::ErrorContext;
use crate::vault_handle::VaultHandle;

/// The tool's name.
pub(super) const NAME: &str = "reduce_vault";

/// `reduce_vault`.
pub(super) struct ReduceVault;

impl Tool for ReduceVault {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        described(
            "Reduce a vault",
            "Run a reducer over all events and get the state it derives. Built in are 'summary' and \
             'beliefs'; 'list_plugins' names the installed ones, each of which has a tool 'reduce_…' \
             too. The vault is verified first.",
            choice.input(
                json!({"reducer": {"type": "string", "minLength": 1, "maxLength": 200, "default": "summary"}, "cursor": part_cursor()}),
                &[],
            ),
            reduced(),
            reads(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            plugins: true,
            stages: 2,
            ..Needs::default()
        }
    }

    fn waits(&self, call: &Call) -> bool {
        let catalog = &call.installed.catalog;
        let given = args::text(&call.arguments, "reducer");
        given.is_some_and(|name| catalog.reducer(name).is_some())
    }

    fn in_parts(&self) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let name = args::text(&call.arguments, "reducer").unwrap_or("summary");
        reduce(call, name, job)
    }
}

/// The schema of a reducer's result.
pub(super) fn reduced() -> Value {
    output(&[("event_count", "integer"), ("result", "")])
}

/// `reduce_vault` and the tools of installed reducers.
pub(super) fn reduce(call: &Call, name: &str, job: &JobHandle) -> Result<Answer, Refusal> {
    let handle = call.vault()?;
    let (_, log) = call.verify_first(&handle, job, "reducing")?;
    let (result, by) = match call.installed.catalog.resolve_reducer(name) {
        Some(Provider::Plugin(info)) => {
            let purpose = Reducing {
                log: Arc::clone(&log).into(),
            };
            let result = call.ask_plugin(purpose, job, |host| host.reduce(&info.name))?;
            (result, info.origin.to_string())
        }
        Some(Provider::BuiltIn(reducer)) => (
            built_in(&handle, call, &log, reducer, job)?,
            "built-in".to_owned(),
        ),
        None => return Err(call.no_plugin("reducer", name)),
    };
    handle.check_unchanged(&log, &*call.server.renderer)?;
    let result = String::from_utf8(result).map_err(|_| {
        Refusal::new(
            "The result is not UTF-8.",
            "Report it to the plugin's author.",
        )
    })?;
    let events = log.lines().count();
    Ok(Answer::new()
        .with("vault", handle.name.as_str())
        .with("reducer", name)
        .with("by", &by)
        .with("event_count", &events)
        .with_json("result", &result))
}

fn built_in(
    handle: &VaultHandle,
    call: &Call,
    log: &SourceLog,
    reducer: Reducer,
    job: &JobHandle,
) -> Result<Vec<u8>, Refusal> {
    let watch = |done, total| job.report_progress(done, total);
    let failed = |error| handle.refusal(&*call.server.renderer, error);
    match reducer {
        Reducer::Beliefs => Ok(log.beliefs_watched(&watch).map_err(failed)?.to_json()),
        Reducer::Summary => {
            let summary = log.summary_watched(&watch).map_err(failed)?;
            let refused =
                |error| Refusal(call.server.renderer.render(ErrorContext::Canonical(error)));
            canonical::jcs_of(&summary).map_err(refused)
        }
    }
}
