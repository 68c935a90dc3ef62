//! What can be read by its address: a vault's status, events, beliefs and report.

use std::sync::Arc;

use provara_vault::VerifyOptions;
use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};

use crate::answer::{Answer, MAX_ANSWER};
use crate::args::Arguments;
use crate::cursor::{Cursors, position_of};
use crate::job::JobHandle;
use crate::read::{self, EVENTS, MAX_EVENTS, MAX_FINDINGS, Order, Page};
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::uri::{self, Place};
use crate::vault_handle::VaultHandle;

const JSON: &str = "application/json";

/// The resources of every vault.
pub(crate) fn list(server: &ServerState) -> Vec<Resource> {
    let kinds = [
        (
            "status",
            "Status",
            "Whether it verifies, how many events, by whom, of which types.",
        ),
        (
            "events",
            "Events",
            "The first page of its events; the template has filters and pages.",
        ),
        (
            "beliefs",
            "Beliefs",
            "What its events add up to, as canonical JSON.",
        ),
        (
            "report",
            "Report",
            "Its verification: every finding with code, line and event.",
        ),
    ];
    let mut resources = Vec::new();
    for vault in server.vaults() {
        for (path, title, about) in kinds {
            let name = &vault.name;
            resources.push(
                Resource::new(format!("provara://{name}/{path}"), format!("{name}-{path}"))
                    .with_title(format!("{title} of {name}"))
                    .with_description(about)
                    .with_mime_type(JSON),
            );
        }
    }
    #[cfg(feature = "conformance-fixtures")]
    resources.extend(crate::fixtures::resources());
    resources
}

/// The addresses that have parts to fill in.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let filters = uri::FILTERS.join(",");
    let mut templates = vec![
        ResourceTemplate::new("provara://{vault}/events/{event_id}", "event")
            .with_title("An event")
            .with_description("One event by its id, as it was signed.")
            .with_mime_type(JSON),
        ResourceTemplate::new(
            format!("provara://{{vault}}/events{{?{filters}}}"),
            "events",
        )
        .with_title("Events")
        .with_description(
            "The events that meet every filter, a page at a time; 'cursor' is next_cursor of the \
                 page before.",
        )
        .with_mime_type(JSON),
    ];
    for (path, about) in [
        ("status", "What a vault holds."),
        ("beliefs", "What a vault's events add up to."),
        ("report", "A vault's verification."),
        (
            "types/{type}",
            "The whole JSON Schema of an installed event type.",
        ),
    ] {
        templates.push(
            ResourceTemplate::new(format!("provara://{{vault}}/{path}"), path)
                .with_title(about.trim_end_matches('.'))
                .with_description(about)
                .with_mime_type(JSON),
        );
    }
    #[cfg(feature = "conformance-fixtures")]
    templates.extend(crate::fixtures::templates());
    templates
}

/// The vault that an address is about, if it names something here; a fixture is about none.
pub(crate) fn known(
    server: &ServerState,
    uri: &str,
) -> Result<Option<Arc<VaultHandle>>, ErrorData> {
    #[cfg(feature = "conformance-fixtures")]
    if crate::fixtures::read(uri).is_some() {
        return Ok(None);
    }
    let found = uri::parse(uri).and_then(|(vault, _)| server.vault(vault).ok());
    found.map(Some).ok_or_else(|| absent(uri))
}

fn absent(uri: &str) -> ErrorData {
    let shown = provara_plugins::text::inline(uri);
    let shown = provara_plugins::text::shorten(&shown, 200);
    ErrorData::resource_not_found(format!("Resource not found: {shown}"), None)
}

/// Reads what an address names; blocks.
pub(crate) fn read(
    server: &ServerState,
    uri: &str,
    job: &JobHandle,
) -> Result<ReadResourceResult, ErrorData> {
    let (vault, place) = uri::parse(uri).ok_or_else(|| absent(uri))?;
    let handle = server.vault(vault).map_err(|_| absent(uri))?;
    let refused = |refusal: Refusal| ErrorData::internal_error(refusal.text(), None);
    let text = match place {
        Place::Status => read::vault_status(server, &handle, job)
            .and_then(finished)
            .map_err(refused)?,
        Place::Report => {
            // One page; the tool has others.
            read::report(
                server,
                &handle,
                &VerifyOptions {
                    describe: true,
                    ..VerifyOptions::default()
                },
                MAX_FINDINGS,
                0,
                // The rest is the tool's, called with the cursor alone.
                &Cursors::of(&Arguments::default(), &handle.path),
                job,
            )
            .and_then(finished)
            .map_err(refused)?
        }
        Place::Type(name) => {
            let installed = server.installed_now().unwrap_or_default();
            let found = installed.catalog.event_type(&name);
            found
                .map(|info| info.schema_json.clone())
                .ok_or_else(|| absent(uri))?
        }
        Place::Beliefs => beliefs(server, &handle, job).map_err(refused)?,
        Place::Event(id) => {
            let found = read::find(server, &handle, &id.to_string(), job).map_err(refused)?;
            found.map(|(_, event)| event).ok_or_else(|| absent(uri))?
        }
        Place::Events(filters) => {
            let given = |name: &str| {
                let found = filters.iter().find(|(filter, _)| filter == name);
                found.map(|(_, value)| value.as_str())
            };
            let wrong = |refusal: Refusal| ErrorData::invalid_params(refusal.text(), None);
            let number = |name: &str, absent: usize| match given(name) {
                None => Ok(absent),
                Some(text) => position_of(text).ok_or_else(|| {
                    ErrorData::invalid_params(format!("'{name}' is no number"), None)
                }),
            };
            let wanted = Page {
                order: match given("order") {
                    Some("newest_first") => Order::NewestFirst,
                    None | Some("oldest_first") => Order::OldestFirst,
                    Some(_) => {
                        let text = "'order' is newest_first or oldest_first";
                        return Err(ErrorData::invalid_params(text, None));
                    }
                },
                limit: number("limit", EVENTS)?.clamp(1, MAX_EVENTS),
                after: number("cursor", 0)?,
                cursors: None,
            };
            let query = read::query(
                given("type"),
                given("actor"),
                given("after"),
                given("before"),
                std::iter::empty(),
            )
            .map_err(wrong)?;
            let vault = handle.open(&*server.renderer, job).map_err(refused)?;
            let log = handle
                .verified(&vault, &*server.renderer)
                .map_err(refused)?;
            read::page(server, &handle, &log, &query, &wanted)
                .and_then(finished)
                .map_err(refused)?
        }
    };
    let contents = ResourceContents::text(text, uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]))
}

fn finished(answer: Answer) -> Result<String, Refusal> {
    answer.whole()
}

/// The canonical text of the state, hash and all.
fn beliefs(server: &ServerState, handle: &VaultHandle, job: &JobHandle) -> Result<String, Refusal> {
    let vault = handle.open(&*server.renderer, job)?;
    let log = handle.verified(&vault, &*server.renderer)?;
    let state = log
        .beliefs_watched(&|done, total| job.report_progress(done, total))
        .map_err(|error| handle.refusal(&*server.renderer, error))?;
    let text = String::from_utf8(state.to_json())
        .map_err(|_| Refusal::new("The state is not UTF-8.", "Report it to the operator."))?;
    if text.len() > MAX_ANSWER {
        return Err(Refusal::new(
            &format!(
                "The beliefs have {} bytes; at most {MAX_ANSWER} are given.",
                text.len()
            ),
            "Use the tool 'replay_beliefs' with a key_prefix.",
        ));
    }
    Ok(text)
}
