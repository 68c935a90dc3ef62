//! The tools that read: the verdict, the events, the status.

use provara_vault::VerifyOptions;

use super::Call;
use super::builtin::FINDINGS;
use crate::answer::Answer;
use crate::args;
use crate::job::Handle;
use crate::read::{EVENTS, cursor, find, page, query, report, vault_status};
use crate::refusal::Refusal;

/// `verify_vault`.
pub(super) fn verify(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    let options = VerifyOptions {
        strict: args::flag(&call.arguments, "strict"),
        no_cache: args::flag(&call.arguments, "no_cache"),
        ..VerifyOptions::default()
    };
    let limit = args::count(&call.arguments, "limit", FINDINGS);
    let cursor = cursor(&call.arguments)?;
    job.stage("verifying");
    report(&call.hub, &served, &options, limit, cursor, job)
}

/// `get_vault_status`.
pub(super) fn status(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    job.stage("verifying");
    vault_status(&call.hub, &served, job)
}

/// `query_events`.
pub(super) fn query_events(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    let given = |name| args::text(&call.arguments, name);
    let conditions = call
        .arguments
        .get("where")
        .and_then(|value| value.as_array());
    let conditions = conditions
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str());
    let query = query(
        given("type"),
        given("actor"),
        given("after"),
        given("before"),
        conditions,
    )?;
    let limit = args::count(&call.arguments, "limit", EVENTS);
    let skip = cursor(&call.arguments)?;
    job.stage("verifying");
    let vault = served.open(&*call.hub.words, job)?;
    let log = served.verified(&vault, &*call.hub.words)?;
    Ok(page(&call.hub, &served, &log, &query, limit, skip))
}

/// `get_event`.
pub(super) fn get_event(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    let id = args::text(&call.arguments, "event_id").unwrap_or_default();
    job.stage("verifying");
    match find(&call.hub, &served, id, job)? {
        Some((number, event)) => Ok(Answer::new()
            .with("vault", served.name.as_str())
            .with("line", &number)
            .with_json("event", &event)),
        None => Err(Refusal::new(
            &format!("The vault '{}' holds no event {id}.", served.name),
            "Find its id with 'query_events'.",
        )),
    }
}
