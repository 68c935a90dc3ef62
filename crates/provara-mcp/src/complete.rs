//! Completion: names of vaults, ids, actors, types and codes, as far as they are typed.

use std::collections::BTreeSet;

use provara_core::event_type::CoreType;
use provara_core::finding::Code;
use provara_core::scan::{Field, scan_line};
use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference};

use crate::job::JobHandle;
use crate::state::ServerState;

/// The completions of one argument. What cannot be completed has none; that is no error.
pub(crate) fn complete(
    server: &ServerState,
    request: &CompleteRequestParams,
    job: &JobHandle,
) -> CompleteResult {
    let known = match &request.r#ref {
        Reference::Resource(reference) => reference.uri.starts_with("provara://"),
        Reference::Prompt(_) => true,
        _ => false,
    };
    let typed = request.argument.value.as_str();
    let context = request
        .context
        .as_ref()
        .and_then(|context| context.arguments.as_ref());
    let vault = context
        .and_then(|given| given.get("vault"))
        .map(String::as_str);
    let found = match request.argument.name.as_str() {
        _ if !known => Vec::new(),
        "vault" => {
            let vaults = server.vaults();
            fitting(typed, vaults.iter().map(|vault| vault.name.to_string()))
        }
        "code" => {
            let codes = Code::ALL.iter().map(|code| code.as_str().to_owned());
            let typed = typed.to_ascii_uppercase();
            match typed.starts_with("PROVARA_") || "PROVARA_".starts_with(&typed) {
                true => fitting(&typed, codes),
                false => fitting(&format!("PROVARA_{typed}"), codes),
            }
        }
        "type" => {
            let installed = server.installed_now().unwrap_or_default();
            let core = CoreType::ALL.iter().map(|core| core.as_str().to_owned());
            let plugins = installed
                .catalog
                .event_types
                .iter()
                .map(|i| i.event_type.to_string());
            let mut all: BTreeSet<String> = core.chain(plugins).collect();
            all.extend(from_log(server, vault, job, Field::Type));
            fitting(typed, all.into_iter())
        }
        "actor" => fitting(
            typed,
            from_log(server, vault, job, Field::Actor).into_iter(),
        ),
        "event_id" => fitting(
            typed,
            from_log(server, vault, job, Field::EventId).into_iter(),
        ),
        _ => Vec::new(),
    };
    let total = u32::try_from(found.len()).ok();
    let more = found.len() > CompletionInfo::MAX_VALUES;
    let values = found.into_iter().take(CompletionInfo::MAX_VALUES).collect();
    let info = CompletionInfo::with_pagination(values, total, more);
    let mut result = CompleteResult::default();
    result.completion = info.unwrap_or_default();
    result
}

fn fitting(typed: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    all.filter(|value| value.starts_with(typed)).collect()
}

/// The values of a field in the vault that is meant, or in the only one; nothing from one that does
/// not verify.
fn from_log(
    server: &ServerState,
    vault: Option<&str>,
    job: &JobHandle,
    field: Field,
) -> BTreeSet<String> {
    let vaults = server.vaults();
    let handle = match (vault, &vaults[..]) {
        (Some(name), _) => server.vault(name).ok(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let renderer = &*server.renderer;
    let log = handle.and_then(|handle| {
        let vault = handle.open(renderer, job).ok()?;
        handle.verified(&vault, renderer).ok()
    });
    let mut found = BTreeSet::new();
    let lines = log.iter().flat_map(|log| log.lines());
    for line in lines.take_while(|_| !job.is_cancelled()) {
        let value = scan_line(line)
            .ok()
            .and_then(|line| line.text(field).map(|t| t.into_owned()));
        found.extend(value);
    }
    found
}
