//! What is derived from all events: beliefs, the summary, a plugin's reduction.

use provara_core::json::{self, Value as Json};
use provara_core::{canonical, json::Value};
use provara_plugins::host::Purpose;
use provara_vault::{SourceLog, Vault};

use super::Call;
use crate::answer::{Answer, MAX_ANSWER};
use crate::args;
use crate::job::Handle;
use crate::keeper;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::words::Trouble;

/// The maps of a belief state.
const MAPS: [&str; 4] = ["canonical", "local", "contested", "archived"];

/// `replay_beliefs`.
pub(super) fn beliefs(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    let words = &*call.hub.words;
    job.stage("verifying");
    let vault = served.open(words, job)?;
    let log = served.verified(&vault, words)?;
    job.check_cancelled()?;
    job.stage("replaying");
    let state = log
        .beliefs_watched(&|done, total| job.went(done, total))
        .map_err(|error| served.told(words, error))?;
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
        .with("vault", served.name.as_str())
        .with(
            "event_count",
            &count.and_then(Value::as_i64).unwrap_or_default(),
        )
        .with("state_hash", &state.state_hash.to_string())
        .with_json("beliefs", &chosen))
}

/// `reduce_vault` and the tools of installed reducers.
pub(super) fn reduce(call: &Call, name: &str, job: &Handle) -> Result<Answer, Refusal> {
    let served = call.vault()?;
    let words = &*call.hub.words;
    job.stage("verifying");
    let vault = served.open(words, job)?;
    let log = served.verified(&vault, words)?;
    job.check_cancelled()?;
    job.stage("reducing");
    let (result, by) = match call.installed.catalog.reducer(name) {
        Some(info) => {
            let result = in_host(call, &served, &vault, &log, &info.name, job)?;
            (result, info.origin.to_string())
        }
        None => (
            builtin(&served, call, &log, name, job)?,
            "built-in".to_owned(),
        ),
    };
    let result = String::from_utf8(result).map_err(|_| {
        Refusal::new(
            "The result is not UTF-8.",
            "Report it to the plugin's author.",
        )
    })?;
    let events = log.lines().count();
    Ok(Answer::new()
        .with("vault", served.name.as_str())
        .with("reducer", name)
        .with("by", &by)
        .with("event_count", &events)
        .with_json("result", &result))
}

/// Runs an installed reducer in a host of its own, which can read this log and nothing else.
fn in_host(
    call: &Call,
    served: &Served,
    vault: &Vault,
    log: &SourceLog,
    name: &provara_plugins::catalog::PluginName,
    job: &Handle,
) -> Result<Vec<u8>, Refusal> {
    let hub = &call.hub;
    let told = |error| Refusal(hub.words.tell(Trouble::Host(error)));
    let file = vault
        .open_log(log)
        .map_err(|error| served.told(&*hub.words, error))?;
    let purpose = Purpose::Reduce {
        log: file,
        len: log.len(),
    };
    let left_out = &call.installed.left_out;
    let (plugins, protect) = (&hub.config.plugins, hub.protected());
    let mut host = keeper::start(plugins, purpose, protect, left_out, &*hub.words)?;
    job.tie(host.killer());
    keeper::load(&mut host, &*hub.words)?;
    let result = host.reduce(name).map_err(told)?;
    host.finish().map_err(told)?;
    Ok(result)
}

fn builtin(
    served: &Served,
    call: &Call,
    log: &SourceLog,
    name: &str,
    job: &Handle,
) -> Result<Vec<u8>, Refusal> {
    let watch = |done, total| job.went(done, total);
    let failed = |error| served.told(&*call.hub.words, error);
    if name.eq_ignore_ascii_case("beliefs") {
        return Ok(log.beliefs_watched(&watch).map_err(failed)?.to_json());
    }
    if name.eq_ignore_ascii_case("summary") {
        let summary = log.summary_watched(&watch).map_err(failed)?;
        let told = |error| Refusal(call.hub.words.tell(Trouble::Canonical(error)));
        return canonical::jcs_of(&summary).map_err(told);
    }
    Err(super::export::missing(call, "reducer", name))
}
