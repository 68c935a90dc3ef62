//! What writes: events, and new vaults.

use std::sync::{Arc, PoisonError};

use provara_core::canonical;
use provara_core::event::Namespace;
use provara_core::event_type::{CoreType, CustomType, EventType, reserved_name};
use provara_core::json::Value as Json;
use provara_plugins::catalog::{EventTypeInfo, ProblemKind};
use provara_vault::{AppendRequest, InitOptions, Vault};
use serde::Serialize;
use serde_json::Value;

use super::Call;
use crate::answer::Answer;
use crate::args;
use crate::job::Handle;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::words::Trouble;

/// `append_event`.
pub(super) fn any(call: &Call, job: &Handle) -> Result<Answer, Refusal> {
    let name = args::text(&call.arguments, "type").unwrap_or_default();
    let empty = Value::Object(serde_json::Map::new());
    let data = args::evidence(call.arguments.get("data").unwrap_or(&empty))?;
    let event_type = match name.parse() {
        Ok(EventType::Core(core)) => EventType::Core(core),
        _ => return custom(call, name, data, job),
    };
    canonical(call, &data)?;
    append(call, event_type, data, None, job)
}

/// The tool of one installed event type.
pub(super) fn typed(
    call: &Call,
    name: &str,
    wrapped: bool,
    job: &Handle,
) -> Result<Answer, Refusal> {
    let data = if wrapped {
        let stranger = |name: &&String| !matches!(name.as_str(), "vault" | "data");
        if let Some(name) = call.arguments.keys().find(stranger) {
            return Err(Refusal::new(
                &format!("'{name}' is no argument of this tool."),
                "Give 'vault' and 'data'; members of the event belong into 'data'.",
            ));
        }
        match call.arguments.get("data") {
            Some(data @ Value::Object(_)) => args::evidence(data)?,
            _ => {
                return Err(Refusal::new(
                    "The event's data is missing, or is not an object.",
                    "Give it as 'data', beside 'vault'.",
                ));
            }
        }
    } else {
        args::evidence(&Value::Object(call.arguments.clone()))?
    };
    custom(call, name, data, job)
}

/// An event of a custom type: what its schema and its plugin accept.
fn custom(call: &Call, name: &str, data: Json<'static>, job: &Handle) -> Result<Answer, Refusal> {
    if let Some(core) = reserved_name(name) {
        return Err(Refusal::new(
            &format!("The event type '{name}' is reserved for core types, which are upper-case."),
            &format!("Write {}.", core.as_str()),
        ));
    }
    // Before a plugin is asked: what cannot be signed need not be judged.
    canonical(call, &data)?;
    let custom: Option<CustomType> = name.parse().ok();
    let Some(plugin) = call.installed.catalog.event_type(name) else {
        return match custom {
            Some(custom) if call.hub.config.allow_unregistered => {
                append(call, EventType::Custom(custom), data, unjudged(call), job)
            }
            _ => Err(unknown(call, name)),
        };
    };
    accepted(call, plugin, &data, job)?;
    // An alias stands for the plugin's own name; any other name keeps its letters.
    let event_type = custom.unwrap_or_else(|| plugin.event_type.clone());
    append(call, EventType::Custom(event_type), data, None, job)
}

/// Why nobody may have judged a type that no plugin is known to define, where plugins could not be used.
fn unjudged(call: &Call) -> Option<String> {
    let problems = call.installed.catalog.problems.iter();
    let broken = problems.filter(|problem| problem.kind != ProblemKind::Collision);
    let mut names: Vec<_> = broken
        .map(|problem| problem.plugin.as_deref().unwrap_or("?"))
        .collect();
    names.dedup();
    let whose = if call.installed.failure.is_some() {
        "the plugins, none of which can be used".to_owned()
    } else if names.is_empty() {
        return None;
    } else {
        format!("plugins that cannot be used: '{}'", names.join("', '"))
    };
    Some(format!(
        "The data was not judged. The type may be of {whose} ('list_plugins')."
    ))
}

/// The schema, then the plugin's own `validate`.
fn accepted(
    call: &Call,
    plugin: &EventTypeInfo,
    data: &Json<'static>,
    job: &Handle,
) -> Result<(), Refusal> {
    call.hub.validate(plugin, data, job)?;
    // A call that was cancelled while the plugin thought leaves no event.
    job.check_cancelled()
}

fn canonical(call: &Call, data: &Json<'static>) -> Result<(), Refusal> {
    let told = |error| Refusal(call.hub.words.tell(Trouble::Canonical(error)));
    canonical::jcs(data).map(drop).map_err(told)
}

fn unknown(call: &Call, name: &str) -> Refusal {
    let catalog = &call.installed.catalog;
    let types: Vec<_> = catalog
        .event_types
        .iter()
        .map(|info| info.event_type.as_str())
        .collect();
    let failure = call.installed.failure.as_ref();
    let problems = catalog.problems.iter().map(|problem| problem.text.as_str());
    let mut text = format!(
        "ERROR: The event type '{}' is not known.\n  Tried: the {} core types; the types and aliases of {} installed plugins.",
        provara_plugins::text::inline(name),
        CoreType::ALL.len(),
        types.len()
    );
    if !types.is_empty() {
        text.push_str(&format!("\n  Installed: {}", types.join(", ")));
    }
    for problem in problems.chain(failure.map(|failure| failure.0.as_str())) {
        for line in problem.lines() {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text.push_str(match call.hub.config.allow_unregistered {
        true => {
            "\nFix: Use a core type, an installed plugin's type or alias ('list_plugins'), or a \
             reverse-domain name such as com.example.audit.login."
        }
        false => {
            "\nFix: Use a core type or an installed plugin's type or alias ('list_plugins'). A type that no \
             plugin defines is not appended."
        }
    });
    Refusal(text)
}

#[derive(Serialize)]
struct Receipt<'a> {
    vault: &'a str,
    event_id: String,
    event_type: &'a str,
    actor: &'a str,
    key_id: String,
    prev_event_hash: Option<String>,
    ts_logical: u64,
    timestamp_utc: &'a str,
    line: u64,
    merkle_root: String,
    notes: &'a [String],
}

fn append(
    call: &Call,
    event_type: EventType,
    data: Json<'static>,
    note: Option<String>,
    job: &Handle,
) -> Result<Answer, Refusal> {
    let hub = &call.hub;
    let served = call.vault()?;
    let vault = served.open(&*hub.words, job)?;
    let namespace = args::text(&call.arguments, "namespace").and_then(|name| match name {
        "canonical" => Some(Namespace::Canonical),
        "local" => Some(Namespace::Local),
        "contested" => Some(Namespace::Contested),
        "archived" => Some(Namespace::Archived),
        _ => None,
    });
    let own = matches!(call.tool.action, super::Action::AppendEvent);
    let confidence = call.arguments.get("confidence").and_then(Value::as_f64);
    let keyfile = served.keyfile(&*hub.words)?;
    let request = AppendRequest {
        event_type,
        data,
        actor: hub.config.actor.clone(),
        // A typed tool's arguments are the data; members of these names are the plugin's.
        namespace: namespace.filter(|_| own),
        confidence: confidence.filter(|_| own),
        key_id: hub.config.key_id,
        blind: false,
    };
    let receipt = vault
        .append(&request, &keyfile)
        .map_err(|error| served.told(&*hub.words, error))?;
    hub.appended.notify_one();
    let notes: Vec<_> = receipt.notes.into_iter().chain(note).collect();
    Ok(Answer::of(&Receipt {
        vault: served.name.as_str(),
        event_id: receipt.event_id.to_string(),
        event_type: &receipt.event_type,
        actor: &receipt.actor,
        key_id: receipt.key_id.to_string(),
        prev_event_hash: receipt.prev_event_hash.map(|id| id.to_string()),
        ts_logical: receipt.ts_logical,
        timestamp_utc: &receipt.timestamp_utc,
        line: receipt.line,
        merkle_root: receipt.merkle_root.to_string(),
        notes: &notes,
    }))
}

/// `init_vault`.
pub(super) fn init(call: &Call) -> Result<Answer, Refusal> {
    let hub = &call.hub;
    let name = args::text(&call.arguments, "name").unwrap_or_default();
    let refused = |text: &str| Refusal::new(text, "Choose another name.");
    let name: crate::config::VaultName = name
        .parse()
        .map_err(|_| refused("That is no name for a vault."))?;
    let Some(directory) = &hub.config.init_dir else {
        return Err(Refusal::new(
            "The operator allowed no new vaults.",
            "Ask the operator to name a directory for them: --init-dir DIR.",
        ));
    };
    let _turn = hub.making.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = |vault: &Arc<Served>| vault.name.as_str().eq_ignore_ascii_case(name.as_str());
    if hub.vaults().iter().any(taken) {
        return Err(refused(&format!(
            "A vault called '{name}' is served already."
        )));
    }
    let path = directory.join(name.as_str());
    // An empty directory, or a link to one, is somebody's; a new vault gets a new one.
    if std::fs::symlink_metadata(&path).is_ok() {
        return Err(refused(&format!(
            "There is something called '{name}' already."
        )));
    }
    let served = Arc::new(Served::new(name, path, None));
    let made = provara_vault::init(&served.path, &InitOptions::default())
        .map_err(|error| served.told(&*hub.words, error))?;
    if let Ok(vault) = Vault::open(&served.path) {
        // Whatever was there before: nothing is, and the operator gave the directory for new ones.
        let _ = vault.with_memory(true).remember_as_made();
    }
    hub.add_vault(Arc::clone(&served));
    call.registry.vaults_changed();
    call.hub.clients.lists_changed(true);
    Ok(Answer::new()
        .with("vault", served.name.as_str())
        .with("uid", &made.uid)
        .with("root_key_id", &made.root_key_id)
        .with("genesis_event_id", &made.genesis_event_id)
        .with("merkle_root", &made.merkle_root.to_string()))
}
