//! A signed event, of a core type or of one that a plugin defines.

use provara_core::canonical;
use provara_core::event_type::{Authority, CoreType, EventType};
use provara_core::json::Value as Json;
use provara_core::namespace::Namespace;
use provara_plugins::catalog::{EventTypeInfo, PluginName, ProblemKind};
use provara_plugins::resolve::Resolution;
use provara_report::{Class, Diagnostic};
use provara_vault::AppendRequest;
use rmcp::model::Tool as Described;
use serde_json::{Value, json};

use super::describe::{Choice, appends, described, output};
use super::{Call, Needs, Tool};
use crate::answer::Answer;
use crate::args::{self, Arguments};
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::renderer::ErrorContext;

/// The tool's name.
pub(super) const NAME: &str = "append_event";

/// The argument by which a repeated call is known.
pub(super) const KEY: &str = "idempotency_key";

/// `append_event`.
pub(super) struct AppendEvent;

impl Tool for AppendEvent {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self, choice: &Choice<'_>) -> Described {
        let core: Vec<_> = CoreType::ALL
            .iter()
            .filter(|core| **core != CoreType::Genesis)
            .filter(|core| choice.admin || core.authority().is_none())
            .map(|core| core.as_str())
            .collect();
        described(
            "Append an event",
            &format!(
                "Append one signed event to a vault, for ever: events are never changed or removed. \
                 Use OBSERVATION for something seen and ASSERTION for something concluded, with \
                 'subject', 'predicate' and 'value' in the data; or the type of an installed plugin \
                 ('list_plugins'; 'describe_event_type' has its schema), whose own tool 'append_…' is \
                 the better choice where there is one. Core types: {}. The actor and the signing key are \
                 fixed by the operator. Returns the event's id, which proves its content.",
                core.join(", ")
            ),
            choice.input(
                json!({
                    "type": {"type": "string", "minLength": 1, "maxLength": 200, "description": "The event's type: a core type, an installed plugin's type, or its alias."},
                    "data": {"type": "object", "description": "The event's data. Write integers beyond 2^53 as strings."},
                    "namespace": {"type": "string", "enum": ["canonical", "local", "contested", "archived"]},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "How sure the statement is (OBSERVATION and ASSERTION)."},
                    KEY: key_schema()
                }),
                &["type", "data"],
            ),
            receipt(),
            appends(),
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            plugins: true,
            turn: true,
            ..Needs::default()
        }
    }

    fn waits(&self, _: &Call) -> bool {
        true
    }

    fn run(&self, call: &Call, job: &JobHandle) -> Result<Answer, Refusal> {
        let name = args::text(&call.arguments, "type").unwrap_or_default();
        let data = call.evidence_of("data")?;
        let data = data.unwrap_or_else(|| Json::Object(Vec::new()));
        let statement = Statement::given(&call.arguments);
        resolved(call, name, data, statement, job)
    }
}

/// What an event says beside its data. The tool of one event type takes the key alone: its other arguments
/// are the data, and members of these names are the plugin's.
#[derive(Default)]
pub(super) struct Statement {
    namespace: Option<Namespace>,
    confidence: Option<f64>,
    idempotency_key: Option<String>,
}

impl Statement {
    /// One that says nothing more than its data.
    pub(super) fn with_key(idempotency_key: Option<String>) -> Self {
        Self {
            idempotency_key,
            ..Self::default()
        }
    }

    fn given(arguments: &Arguments) -> Self {
        let namespace = args::text(arguments, "namespace").and_then(|name| match name {
            "canonical" => Some(Namespace::Canonical),
            "local" => Some(Namespace::Local),
            "contested" => Some(Namespace::Contested),
            "archived" => Some(Namespace::Archived),
            _ => None,
        });
        let confidence = arguments.get("confidence").and_then(Value::as_f64);
        let idempotency_key = args::text(arguments, KEY).map(str::to_owned);
        Self {
            namespace,
            confidence,
            idempotency_key,
        }
    }
}

/// The schema of [`KEY`].
pub(super) fn key_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 1024, "description": "Of your choice, such as a UUID: the same call again with it appends nothing and gives the first receipt."})
}

/// What a client is told of a receipt.
pub(super) fn receipt() -> Value {
    output(&[("event_id", "string"), ("line", "integer")])
}

/// Which members of the vault's own receipt are told, and what they mean. All but the event, whose data the
/// client has just given.
fn receipt_schema() -> Value {
    json!({
        "type": "object",
        "required": ["vault", "event_id", "event_type", "actor", "key_id", "line", "timestamp_utc", "merkle_root", "notes"],
        "properties": {
            "vault": {"type": "string"},
            "event_id": {"type": "string", "description": "The new event's id; it proves the event's content."},
            "event_type": {"type": "string"},
            "actor": {"type": "string"},
            "key_id": {"type": "string", "description": "The key that signed it (its public id)."},
            "prev_event_hash": {"type": ["string", "null"], "description": "The actor's event before."},
            "ts_logical": {"type": "integer"},
            "timestamp_utc": {"type": "string"},
            "line": {"type": "integer", "description": "Its line in the log, from 1."},
            "merkle_root": {"type": "string", "description": "The root of the seal that covers it."},
            "notes": {"type": "array", "items": {"type": "string"}},
            "repeated": {"type": "boolean", "description": "True if the event was there already under its idempotency key, and nothing was appended."}
        }
    })
}

/// Appends an event of the type that a name means: what its schema and its plugin accept.
pub(super) fn resolved(
    call: &Call,
    name: &str,
    data: Json<'static>,
    statement: Statement,
    job: &JobHandle,
) -> Result<Answer, Refusal> {
    let resolution = call.installed.catalog.resolve(name);
    if let Resolution::Reserved(core) = resolution {
        return Err(Refusal::new(
            &format!("The event type '{name}' is reserved for core types, which are upper-case."),
            &format!("Write {}.", core.as_str()),
        ));
    }
    if let Some(problem) = call.installed.catalog.unusable(name) {
        let failure = provara_explain::unusable_type(name, problem);
        return Err(Refusal(failure.to_string()));
    }
    if let Resolution::Core(core) = resolution {
        permitted(call, &EventType::Core(core))?;
    } else if let Resolution::Plugin { event_type, .. }
    | Resolution::Unregistered(event_type)
    | Resolution::UnknownOwn(event_type) = &resolution
    {
        permitted(call, &EventType::Custom(event_type.clone()))?;
    }
    // Before a plugin is asked: what cannot be signed need not be judged.
    canonical(call, &data)?;
    let (event_type, note) = match resolution {
        Resolution::Core(core) => (EventType::Core(core), None),
        Resolution::Plugin { event_type, plugin } => {
            accepted(call, plugin, &data, job)?;
            (EventType::Custom(event_type), None)
        }
        Resolution::Unregistered(custom) if call.server.config.allow_unregistered => {
            (EventType::Custom(custom), unjudged(call))
        }
        Resolution::UnknownOwn(custom) => {
            return Err((&provara_explain::unknown_own_type(&custom)).into());
        }
        _ => return Err(unknown(call, name)),
    };
    append(call, event_type, data, statement, note, job)
}

/// Whether the operator lets agents append events of a type. What decides about the vault is the owner's:
/// whatever text an agent was made to believe, it can revoke no key with it.
fn permitted(call: &Call, event_type: &EventType) -> Result<(), Refusal> {
    let Some(authority) = event_type.authority() else {
        return Ok(());
    };
    // A second genesis is refused by the writer, whoever asks for it, in words of its own.
    if call.server.config.allow_admin || *event_type == EventType::Core(CoreType::Genesis) {
        return Ok(());
    }
    let decides = match authority {
        Authority::Keys => "which keys count in the vault, and which no longer do",
        Authority::Adoption => "that the owner takes over the vault as it is",
        Authority::Files => "which files belong to the vault",
        Authority::Closing => "that nothing more may be appended to the vault",
        Authority::Redaction => "that the data of an event may be erased",
        Authority::Reducer => "how the vault's events are reduced from then on",
    };
    let diagnostic = Diagnostic::new(
        Class::Usage,
        format!("An event of type {event_type} is not appended for an agent."),
    )
    .detail(format!(
        "It decides {decides}. That is the owner's to decide, and cannot be taken back."
    ))
    .fix(
        "Tell the operator, who can do it at the command line, or start this server with --allow-admin to \
         let agents append such events.",
    );
    Err(Refusal(diagnostic.to_string()))
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
    job: &JobHandle,
) -> Result<(), Refusal> {
    call.server.validate(plugin, data, job)?;
    // A call that was cancelled while the plugin thought leaves no event.
    job.check_cancelled()
}

fn canonical(call: &Call, data: &Json<'static>) -> Result<(), Refusal> {
    let refused = |error| Refusal(call.server.renderer.render(ErrorContext::Canonical(error)));
    canonical::event_form(data).map(drop).map_err(refused)
}

/// No plugin is known to define the type.
pub(super) fn unknown(call: &Call, name: &str) -> Refusal {
    let catalog = &call.installed.catalog;
    let types: Vec<_> = catalog
        .event_types
        .iter()
        .map(|info| info.event_type.as_str())
        .collect();
    let failure = call.installed.failure.as_ref();
    let problems = catalog.problems.iter().map(|problem| problem.text.as_str());
    let mut diagnostic = Diagnostic::new(
        Class::Usage,
        format!("The event type '{name}' is not known."),
    )
    .detail(format!(
        "Tried: the {} core types; the types and aliases of {} installed plugins.",
        CoreType::ALL.len(),
        types.len()
    ));
    if !types.is_empty() {
        diagnostic = diagnostic.detail(format!("Installed: {}", types.join(", ")));
    }
    let problems = problems.chain(failure.map(|failure| failure.0.as_str()));
    let mut diagnostic = problems.fold(diagnostic, Diagnostic::detail);
    let aliases = catalog
        .event_types
        .iter()
        .filter_map(|info| info.alias.as_ref());
    let known = CoreType::ALL.iter().map(|core| core.as_str());
    let known = known.chain(types).chain(aliases.map(PluginName::as_str));
    if let Some(near) = provara_explain::nearest(name, known) {
        diagnostic = diagnostic.detail(format!("Did you mean '{near}'?"));
    }
    let diagnostic = diagnostic.fix(match call.server.config.allow_unregistered {
        true => {
            "Use a core type, an installed plugin's type or alias ('list_plugins'), or a reverse-domain \
             name such as com.example.audit.login."
        }
        false => {
            "Use a core type or an installed plugin's type or alias ('list_plugins'). A type that no \
             plugin defines is not appended."
        }
    });
    Refusal(diagnostic.to_string())
}

fn append(
    call: &Call,
    event_type: EventType,
    data: Json<'static>,
    statement: Statement,
    note: Option<String>,
    job: &JobHandle,
) -> Result<Answer, Refusal> {
    let server = &call.server;
    let handle = call.vault()?;
    let vault = handle.open(&*server.renderer, job)?;
    let keyfile = handle.keyfile(&*server.renderer)?;
    let request = AppendRequest {
        event_type,
        data,
        actor: server.config.actor.clone(),
        namespace: statement.namespace,
        confidence: statement.confidence,
        key_id: server.config.key_id,
        blind: false,
        idempotency_key: statement.idempotency_key,
        rounded: 0,
        with_head: false,
    };
    let mut receipt = vault
        .append(&request, &keyfile)
        .map_err(|error| handle.refusal(&*server.renderer, error))?;
    server.appended.notify_one();
    receipt.notes.extend(note);
    Ok(Answer::new()
        .with("vault", handle.name.as_str())
        .with_properties(&receipt_schema()["properties"], &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provara_vault::{InitOptions, Vault};

    #[test]
    fn a_receipt_is_told_as_its_schema_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let made = provara_vault::init(&path, &InitOptions::default()).unwrap();
        let keyfile = provara_vault::read_keyfile(&made.keyfile).unwrap();
        let event_type = EventType::Core(CoreType::Observation);
        let data = provara_core::json::parse(b"{}").unwrap();
        let request = AppendRequest::new(event_type, data, "a");
        let receipt = Vault::open(&path).unwrap().append(&request, &keyfile);
        let schema = receipt_schema();
        let properties = schema["properties"].as_object().unwrap();
        let answer = Answer::new()
            .with("vault", "v")
            .with_properties(&schema["properties"], &receipt.unwrap());
        let (_, told) = answer.finish(None).unwrap();
        // All of them, in this order, and so all that are required; the event itself is not among them.
        // One that is told of a repetition alone is not told of this one.
        let told: Vec<_> = told.as_object().unwrap().keys().collect();
        let names = properties.keys().filter(|name| *name != "repeated");
        assert_eq!(told, names.collect::<Vec<_>>());
        assert!(!properties.contains_key("event"));
        for name in schema["required"].as_array().unwrap() {
            assert!(properties.contains_key(name.as_str().unwrap()), "{name}");
        }
    }
}
