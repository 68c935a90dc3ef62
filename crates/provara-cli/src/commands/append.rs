//! `provara append`: a new signed event.

mod batch;

use std::iter;

use clap::{ArgGroup, Args};
use provara_core::canonical;
use provara_core::event_type::{CoreType, CustomType, EventType};
use provara_core::json::Value;
use provara_core::namespace::Namespace;
use provara_explain::vault_failure;
use provara_plugins::catalog::{EventTypeInfo, PluginName};
use provara_plugins::host::Verdict;
use provara_plugins::resolve::Resolution;
use provara_plugins::set_option;
use provara_report::{Class, Diagnostic};
use provara_vault::{AppendRequest, Vault};

use crate::args::{JsonArg, KeyArgs, LockArgs, VaultArg};
use crate::plugins::{HostArgs, Job, Session, Unusable, Validating};
use crate::terminal::{self, GOOD};
use crate::{data, vault};

/// Append a signed event to a vault
///
/// The data becomes the event's payload. The data of a type that a plugin defines is checked
/// against the plugin's schema first, and then by the plugin itself; nothing is appended that either
/// refuses.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("content").args(["data", "set", "batch"]).multiple(true).required(true),
    after_long_help = "\
Examples:
  Something seen:
    provara append my-vault --type OBSERVATION \\
      --data '{\"subject\":\"door\",\"predicate\":\"state\",\"value\":\"open\"}'

  An event of an installed plugin, by its type or by its alias:
    provara append my-vault --type com.acme.audit.login \\
      --data '{\"user_id\":\"alice\",\"success\":true,\"ip_address\":\"192.168.1.1\"}'
    provara append my-vault --type login --set user_id=alice --set success=true \\
      --set ip_address=192.168.1.1

  Data from a file, with one member changed; data from a pipe:
    provara append my-vault --type OBSERVATION --data @reading.json --set value=open
    sensor | provara append my-vault --type OBSERVATION --data -

  Many events at once, one JSON object a line:
    provara append my-vault --batch events.ndjson
    sensor --ndjson | provara append my-vault --batch - --json | jq -r .event_id

  The new event's id in a script:
    provara append my-vault --type login --data @login.json --json | jq -r .event_id"
)]
pub(crate) struct AppendArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The event's type: a core type, a plugin's type or a plugin's alias for its type
    ///
    /// Core types: OBSERVATION, ASSERTION, ATTESTATION, RETRACTION, KEY_REVOCATION, KEY_PROMOTION,
    /// REDUCER_EPOCH, SIGNED_STATEMENT, RECEIPT.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "batch")]
    event_type: Option<String>,

    /// The event's data: a JSON object, @FILE to read one from a file, or - for standard input
    ///
    /// OBSERVATION and ASSERTION data without both "subject" and "predicate" becomes the "value" of a
    /// payload that has them: what is absent is "provara_cli" and the type.
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Set one member of the data, over --data; may be repeated
    ///
    /// The value is typed by the plugin's schema. Where there is none, JSON is taken as JSON and
    /// anything else as a string.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Append many events: a file of lines {"type":…,"data":{…}}, or - for standard input
    ///
    /// A line may also have "actor" and "namespace"; --actor and --namespace stand in where it has
    /// none. Signs on all cores, syncs in groups, and seals at least every second and at the end. Stops
    /// at the first bad line and says which; everything before it is then in the log and sealed. Other
    /// writers wait until the input ends. With --json, prints one receipt a line, each for an event that
    /// is durable and sealed.
    #[arg(
        long,
        value_name = "FILE|-",
        value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["event_type", "data", "set", "confidence"]
    )]
    batch: Option<String>,

    /// With --batch: check every line first, then append all of them or none
    #[arg(long, requires = "batch", conflicts_with_all = ["event_type", "data", "set"])]
    atomic: bool,

    /// Who makes the statement [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// The namespace: canonical, local, contested or archived
    #[arg(long, value_name = "NS", value_parser = namespace)]
    namespace: Option<Namespace>,

    /// How sure the statement is, from 0 to 1 (OBSERVATION and ASSERTION)
    #[arg(long, value_name = "C", value_parser = confidence, allow_negative_numbers = true)]
    confidence: Option<f64>,

    /// Put 16 random bytes into the payload, as its member "blind", for data that may have to be erased
    ///
    /// What a redaction leaves of a short payload can be guessed at; with these bytes it cannot.
    #[arg(long)]
    blind: bool,

    /// Append a custom type that no installed plugin defines, without a schema
    #[arg(long)]
    allow_unregistered: bool,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &AppendArgs) -> Result<(), Diagnostic> {
    match (&args.batch, &args.event_type) {
        (Some(source), _) => batch::run(args, source),
        (None, event_type) => append_one(args, event_type.as_deref().unwrap_or_default()),
    }
}

fn append_one(args: &AppendArgs, type_name: &str) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let actor = vault::actor(args.actor.as_deref())?;
    // Whatever can be refused without a plugin is refused before one is started.
    let given = args.data.as_deref().map(data::read).transpose()?;
    if let Some(given) = &given {
        canonical::jcs(given).map_err(|error| provara_explain::canonical_failure(&error))?;
    }
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let (event_type, data) = match core_type(type_name)? {
        Some(core) => (EventType::Core(core), with_options(args, None, given)?),
        None => custom(args, &vault, type_name, given)?,
    };
    let receipt = vault
        .append(
            &AppendRequest {
                event_type,
                data,
                actor,
                namespace: args.namespace,
                confidence: args.confidence,
                key_id: args.key.key_id,
                blind: args.blind,
            },
            &keyfile,
        )
        .map_err(|error| vault_failure(error, path))?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    let done = format!(
        "the event {} is in the vault, on line {}, durable and sealed",
        receipt.event_id, receipt.line
    );
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Appended{GOOD:#} {}\n  type       {}\n  actor      {}\n  line       {}\n  signed by  {}\n",
            receipt.event_id,
            terminal::clean(&receipt.event_type),
            terminal::clean(&receipt.actor),
            receipt.line,
            receipt.key_id,
        ),
    )
}

/// The core type that the option names, or `None` where a plugin has to know it.
fn core_type(name: &str) -> Result<Option<CoreType>, Diagnostic> {
    match Resolution::<&EventTypeInfo>::without_plugins(name) {
        Resolution::Core(core) => Ok(Some(core)),
        Resolution::Reserved(core) => Err(Diagnostic::new(
            Class::Usage,
            format!("The event type '{name}' is reserved for core types, which are upper-case."),
        )
        .fix(match core {
            CoreType::Genesis => provara_explain::NO_SECOND_GENESIS.to_owned(),
            _ => format!("Write --type {}.", core.as_str()),
        })),
        _ => Ok(None),
    }
}

/// The data of the event: what `--data` gave, and over it what the `--set` options say.
fn with_options(
    args: &AppendArgs,
    plugin: Option<&EventTypeInfo>,
    given: Option<Value<'static>>,
) -> Result<Value<'static>, Diagnostic> {
    let schema = plugin.map(|plugin| plugin.schema_json.as_str());
    let base = given.unwrap_or_else(|| Value::Object(Vec::new()));
    set_option::apply(base, &args.set, schema).map_err(|error| provara_explain::set_failure(&error))
}

/// Resolves a custom type and checks the data against whatever plugin defines it.
fn custom(
    args: &AppendArgs,
    vault: &Vault,
    name: &str,
    given: Option<Value<'static>>,
) -> Result<(EventType, Value<'static>), Diagnostic> {
    let alone = Resolution::<&EventTypeInfo>::without_plugins(name);
    if let Resolution::NoName(_) = alone {
        return Err(Diagnostic::new(
            Class::Usage,
            format!("'{name}' cannot be the name of an event type."),
        )
        .fix(NAMES));
    }
    let mut session = match start_session(args, vault) {
        Ok(session) => session,
        Err(unusable) => match (alone, unusable.no_python()) {
            (Resolution::Unregistered(custom), Some(reason)) if args.allow_unregistered => {
                terminal::note(&format!("no plugin was asked about '{name}': {reason}"));
                return Ok((EventType::Custom(custom), with_options(args, None, given)?));
            }
            _ => return Err(not_looked_up(unusable, name)),
        },
    };
    let (event_type, plugin) = match session.catalog.resolve(name) {
        Resolution::Plugin { event_type, plugin } => (event_type, plugin),
        Resolution::Unregistered(custom) if args.allow_unregistered => {
            session.warn_of_problems();
            return Ok((EventType::Custom(custom), with_options(args, None, given)?));
        }
        other => {
            let reverse_domain = matches!(other, Resolution::Unregistered(_));
            return Err(refuse_unknown(name, &session, reverse_domain));
        }
    };
    session.warn_of_problems();
    if event_type != plugin.event_type {
        terminal::note(&format!(
            "the plugin spells this type '{}'.",
            plugin.event_type
        ));
    }
    let data = with_options(args, Some(plugin), given)?;
    canonical::jcs(&data).map_err(|error| provara_explain::canonical_failure(&error))?;
    let unfit = session.host.check(plugin, &[&data]);
    if let Some((_, violations)) = unfit.map_err(provara_explain::host_failure)? {
        return Err(provara_explain::unfit(&violations));
    }
    let verdict = session
        .host
        .validate(&plugin.event_type, &data)
        .map_err(provara_explain::host_failure)?;
    if let Verdict::Refused(reason) = verdict {
        return Err(provara_explain::refused_by_plugin(plugin, &reason));
    }
    session.finish()?;
    Ok((EventType::Custom(event_type), data))
}

/// Starts the host that validates.
fn start_session(args: &AppendArgs, vault: &Vault) -> Result<Session<Validating>, Unusable> {
    let job = Job::new(Validating)
        .protecting(vault.path())
        .protecting(vault::keyfile_path(vault, args.key.keyfile.as_deref()));
    Session::start(&args.host, job)
}

/// The core types that may be appended.
fn core_names<'a>() -> impl Iterator<Item = &'a str> {
    let cores = CoreType::ALL
        .iter()
        .filter(|core| **core != CoreType::Genesis);
    cores.map(|core| core.as_str())
}

/// No plugin can be asked about the name, which may be no type at all.
fn not_looked_up(unusable: Unusable, name: &str) -> Diagnostic {
    let wanted = format!("the event type '{name}'");
    let failure = unusable.into_failure_of(&wanted, name, core_names());
    if name.parse::<CustomType>().is_ok() {
        return failure;
    }
    failure.detail(format!(
        "'{name}' is no core type and no reverse-domain name: at most it is a plugin's alias."
    ))
}

/// No plugin knows the name: what was tried, what is near, what to do.
fn refuse_unknown(name: &str, session: &Session<Validating>, reverse_domain: bool) -> Diagnostic {
    let known: Vec<&str> = core_names()
        .chain(session.catalog.event_types.iter().flat_map(|plugin| {
            iter::once(plugin.event_type.as_str())
                .chain(plugin.alias.as_ref().map(PluginName::as_str))
        }))
        .collect();
    let plugins = session.catalog.event_types.len();
    let wanted = format!("the event type '{name}'");
    let headline = format!("The event type '{name}' is not known.");
    let mut failure = session.not_found(&wanted, headline).detail(format!(
        "Tried: the {} core types; the types and aliases of {}.",
        CoreType::ALL.len(),
        match plugins {
            0 => "installed plugins (there are none)".to_owned(),
            1 => "1 installed plugin".to_owned(),
            n => format!("{n} installed plugins"),
        }
    ));
    if let Some(near) = provara_explain::nearest(name, known.into_iter()) {
        failure = failure.detail(format!("Did you mean '{near}'?"));
    }
    failure.fix(if reverse_domain {
        "Install the plugin that defines the type ('provara plugins list' shows what is there), or \
         add --allow-unregistered to append it without a schema."
            .to_owned()
    } else {
        NAMES.to_owned()
    })
}

/// What may stand after `--type`.
const NAMES: &str = "Use a core type, an installed plugin's type or alias ('provara plugins list'), \
                     or a reverse-domain name such as com.example.audit.login.";

fn namespace(text: &str) -> Result<Namespace, String> {
    match text {
        "canonical" => Ok(Namespace::Canonical),
        "local" => Ok(Namespace::Local),
        "contested" => Ok(Namespace::Contested),
        "archived" => Ok(Namespace::Archived),
        _ => Err("use canonical, local, contested or archived".to_owned()),
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("use a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_a_probability() {
        assert_eq!(confidence("0.85"), Ok(0.85));
        for text in ["-0.1", "1.1", "NaN", "inf", "high", ""] {
            assert!(confidence(text).is_err(), "{text}");
        }
    }
}
